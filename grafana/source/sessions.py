"""Sessions: the watched ones, one by one."""

from .board import Board
from .queries import CHANNEL_PARTS, channels, named, select
from .style import (
    APP,
    BLUE,
    CLOCK,
    GREY,
    ORANGE,
    SHARE,
    VERMILLION,
    Column,
    Query,
    bars,
    field,
    figure,
    grid,
    link_to,
    thresholds,
    value,
)

INFO = "agntix_watched_session_info"
NONE = "None is watched"
HOW_TO_WATCH = (
    "No such session is watched. Set metrics.watch_recent to how many recent unresolved or negative sessions are to be watched (0: none), "
    "or name sessions in sessions.ids or sessions.files."
)
LABELS = "session_id, agent_id, session_type, platform, direction, state, intent, resolution, sentiment, language"


def chosen(*matchers: str) -> str:
    """The chosen sessions: a signal is the name of a resolution or of a sentiment."""
    return " or ".join(select(INFO, f'{part}=~"$signal"', *matchers) for part in ("resolution", "sentiment"))


def watched(*matchers: str) -> str:
    """The chosen sessions, once each, whatever the number of exporters."""
    return f"max by (session_id) ({chosen(*matchers)})"


def how_many(matcher: str) -> str:
    """How many of the watched sessions; 0, not nothing, if none of them, and nothing if none is watched."""
    return f"count({watched(matcher)}) or 0 * count({watched()})"


def measured(metric: str) -> str:
    """A value of the chosen sessions."""
    return f"max by (session_id) ({select(metric)}) and on (session_id) ({chosen()})"


BOARD = Board(
    "agntix-sessions",
    "Watched sessions, one by one: those of sessions.ids and sessions.files, and metrics.watch_recent recent unresolved or negative ones. "
    "Alerts lead here, with their agent and signal chosen. A click on a session opens it in Agntix.",
)
BOARD.top(
    figure("Watched", "Sessions that are exposed one by one now.", [Query(f"count({watched()})")], width=4, empty=NONE),
    figure("Open", "Watched sessions that are open now.", [Query(how_many('state="open"'))], width=5, empty=NONE),
    figure(
        "Unresolved",
        "Watched sessions that are unresolved.",
        [Query(how_many('resolution="unresolved"'))],
        width=5,
        empty=NONE,
        steps=thresholds((None, BLUE), (1, VERMILLION)),
    ),
    figure(
        "Negative",
        "Watched sessions whose sentiment is negative.",
        [Query(how_many('sentiment="negative"'))],
        width=5,
        empty=NONE,
        steps=thresholds((None, BLUE), (1, VERMILLION)),
    ),
    figure(
        "Longest",
        "The longest of the watched sessions that have ended.",
        [Query("max(" + measured("agntix_watched_session_duration_seconds") + ")")],
        width=5,
        unit=CLOCK,
        empty="None has ended",
    ),
)
_INFO = f"max by ({LABELS}) ({chosen()})"
_VALUES = [
    Query(channels(f"({named(_INFO)} or on (session_id) {_INFO})")),
    Query("1000 * (" + measured("agntix_watched_session_last_activity_timestamp_seconds") + ")"),
    Query(measured("agntix_watched_session_duration_seconds")),
    Query(measured("agntix_watched_session_sentiment_score")),
    Query(measured("agntix_watched_session_resolution_confidence")),
]
BOARD.row(
    "The sessions",
    grid(
        "Which sessions?",
        "The watched sessions as last seen, the latest first. A click on a session opens it in Agntix, a click on its agent that agent's dashboard. "
        "A value that is not known has no entry.",
        _VALUES,
        [
            Column(value(1, 5), "Last active", "dateTimeAsLocal", width=165),
            Column("session_id", "Session", link=("Open in Agntix", f"{APP}?opened=${{__value.raw}}"), width=320),
            Column("agent_name", "Agent", link=("This agent", link_to("agntix-agent", agent=field("Agent ID")))),
            Column("agent_id", "Agent ID", hidden=True),
            Column("channel", "Channel", width=180),
            Column(
                "state",
                "State",
                width=75,
                texts={"open": ("open", ORANGE), "closed": ("closed", GREY), "expired": ("expired", GREY)},
            ),
            Column("intent", "Intent"),
            Column("resolution", "Resolution", width=125, meaning=True),
            Column(value(4, 5), "Confidence", SHARE, 0, width=95),
            Column("sentiment", "Sentiment", width=90, meaning=True),
            Column(value(3, 5), "Score", decimals=2, width=65),
            Column(value(2, 5), "Duration", CLOCK, 0, width=85),
            Column("language", "Language", width=85),
            Column(value(0, 5), "Watched", hidden=True),
        ],
        width=24,
        height=16,
        sort="Last active",
        empty=HOW_TO_WATCH,
        without=CHANNEL_PARTS,
    ),
)
BOARD.row(
    "What they have in common",
    grid(
        "Which intents?",
        "Watched sessions by intent.",
        [Query(f"count by (intent) (max by (session_id, intent) ({chosen()}))")],
        [Column("intent", "Intent"), Column("Value", "Sessions", decimals=0, width=100)],
        width=8,
        sort="Sessions",
        empty=NONE,
    ),
    bars(
        "Which resolutions?",
        "Watched sessions by resolution.",
        [Query(f"count by (resolution) (max by (session_id, resolution) ({chosen()}))", "{{resolution}}")],
        empty=NONE,
    ),
    bars(
        "Which sentiments?",
        "Watched sessions by sentiment.",
        [Query(f"count by (sentiment) (max by (session_id, sentiment) ({chosen()}))", "{{sentiment}}")],
        empty=NONE,
    ),
    folded=True,
)
