"""Quality: what became of the sessions, and in what mood?"""

from .board import Board
from .common import CALM, STEADY, outcome_course, sentiment_course
from .queries import (
    ASSESSED,
    CHANNEL_PARTS,
    LANGUAGES,
    NEGATIVE,
    OUTCOMES,
    PER_CHANNEL,
    RATE,
    RESOLVED,
    SCORE,
    TONED,
    UNRESOLVED,
    channels,
    count,
    mean,
    mean_score,
    named,
    per_minute,
    scored,
    select,
    share,
)
from .style import (
    BLUE,
    COUNT,
    GREY,
    ORANGE,
    PER_MINUTE,
    SHARE,
    VERMILLION,
    Column,
    Query,
    beside,
    course,
    field,
    figure,
    fixed,
    grid,
    heat,
    link_to,
    prop,
    share_figure,
    value,
)

RESOLUTION_CONFIDENCE = "agntix_session_resolution_confidence"
INTENT_CONFIDENCE = "agntix_session_intent_confidence"
TIMEOUTS = "agntix_session_analysis_timeouts_total"
RECLASSIFIED = "agntix_session_reclassifications_total"


def shares(by: str) -> list[Query]:
    """The shares of a table, each with its n."""
    add = named if by == "agent_id" else channels
    return [
        Query(add(count(OUTCOMES, by) + " > 0") if by != "agent_id" else add(count(OUTCOMES, by))),
        Query(add(share(OUTCOMES, RESOLVED, ASSESSED, by))),
        Query(add(share(OUTCOMES, UNRESOLVED, ASSESSED, by))),
        Query(add(count(OUTCOMES, by, ASSESSED))),
        Query(add(share(OUTCOMES, NEGATIVE, TONED, by))),
        Query(add(count(OUTCOMES, by, TONED))),
        Query(add(mean_score(by))),
    ]


def share_columns() -> list[Column]:
    """The columns of those shares."""
    return [
        Column(value(0, 7), "Counted", decimals=0, width=80),
        Column(value(1, 7), "Resolved", SHARE, 1, width=105, bar=BLUE),
        Column(value(2, 7), "Unresolved", SHARE, 1, width=120, bar=VERMILLION),
        Column(value(3, 7), "of", decimals=0, width=60),
        Column(value(4, 7), "Negative", SHARE, 1, width=105, bar=VERMILLION),
        Column(value(5, 7), "of ", decimals=0, width=60),
        Column(value(6, 7), "Score", decimals=2, width=65),
    ]


BOARD = Board(
    "agntix-quality",
    "What became of the sessions, and in what mood? Resolution and sentiment by agent, channel and language, the scores, and how sure "
    "the analysis is.",
    "now-24h",
)
BOARD.top(
    share_figure(
        "Resolved",
        "Share of resolved sessions among those that were assessed: resolved, partially resolved or unresolved.",
        share(OUTCOMES, RESOLVED, ASSESSED),
        count(OUTCOMES, "", ASSESSED),
        colour=BLUE,
    ),
    share_figure(
        "Unresolved",
        "Share of unresolved sessions among those that were assessed.",
        share(OUTCOMES, UNRESOLVED, ASSESSED),
        count(OUTCOMES, "", ASSESSED),
    ),
    share_figure(
        "Positive",
        "Share of positive sessions among those whose sentiment is known.",
        share(OUTCOMES, 'sentiment="positive"', TONED),
        count(OUTCOMES, "", TONED),
        colour=BLUE,
    ),
    share_figure(
        "Negative",
        "Share of negative sessions among those whose sentiment is known.",
        share(OUTCOMES, NEGATIVE, TONED),
        count(OUTCOMES, "", TONED),
    ),
    figure(
        "Mean sentiment score",
        "From -1, all negative, to 1, all positive: the sum of all scores over their number.",
        [Query(mean_score(), "score"), Query(scored(), "of")],
        width=4,
        decimals=2,
    ).override_by_name("of", [prop("decimals", 0), fixed(GREY)]),
    share_figure(
        "Without an analysis",
        "Share of sessions that were counted without a resolution, because the analysis had none or did not arrive in time.",
        share(OUTCOMES, 'resolution="none"', ""),
        count(OUTCOMES),
        colour=ORANGE,
    ),
)
BOARD.row(
    "Over time",
    outcome_course(),
    sentiment_course(),
    beside(
        course(
            "How do the shares move?",
            "Resolved, partially resolved and unresolved among the assessed sessions. Grey bars: how many sessions a minute that is. "
            "A gap: no session.",
            [
                Query(
                    f"{count(OUTCOMES, 'resolution', ASSESSED, window=RATE)} / ignoring (resolution) group_left ()"
                    f" ({count(OUTCOMES, '', ASSESSED, window=RATE)} > 0)",
                    "{{resolution}}",
                    step=STEADY,
                ),
                Query(per_minute(OUTCOMES, "", ASSESSED), "sessions", step=STEADY),
            ],
            width=8,
            unit=SHARE,
        ),
        "sessions",
    ),
    heat(
        "How are the sentiment scores spread?",
        "Scores over time: each cell holds the sessions of one step whose score was up to the value on the left and above the next lower one.",
        Query(f"sum by (le) (increase({select(SCORE + '_bucket')}[{RATE}]))", "{{le}}", step=STEADY, exemplar=True),
        width=8,
        unit=COUNT,
        decimals=1,
    ),
    beside(
        course(
            "Which agent's mood changes?",
            "Mean sentiment score by agent, -1 to 1. Grey bars: how many sessions a minute have a score. A gap: none.",
            [
                Query(named(mean_score("agent_id", window=RATE)), "{{agent_name}}", step=STEADY),
                Query(per_minute(SCORE + "_bucket", "", 'le="+Inf"'), "sessions", step=STEADY),
            ],
            width=8,
            least=-1,
            greatest=1,
            decimals=1,
        ),
        "sessions",
    ),
)
BOARD.row(
    "By agent, channel and language",
    grid(
        "Which agent does well?",
        "Each agent in the time range; each share with the number that it is a share of. A click opens the agent.",
        shares("agent_id"),
        [
            Column("agent_name", "Agent", link=("This agent", link_to("agntix-agent", agent=field("Agent ID")))),
            Column("agent_id", "Agent ID", hidden=True),
            *share_columns(),
        ],
        width=12,
        sort="Unresolved",
    ),
    grid(
        "Which channel does well?",
        "Each channel in the time range; each share with the number that it is a share of.",
        shares(PER_CHANNEL),
        [Column("channel", "Channel"), *share_columns()],
        without=CHANNEL_PARTS,
        width=12,
        sort="Unresolved",
    ),
    course(
        "Which languages are spoken?",
        "Sessions a minute by detected language. Resolution and sentiment are not counted by language.",
        [Query(per_minute(LANGUAGES, "language"), "{{language}}", step=CALM)],
        unit=PER_MINUTE,
        stack="normal",
        width=12,
        empty="No session with a detected language in this window",
    ),
    grid(
        "Which agent speaks what?",
        "Sessions by agent and detected language in the time range.",
        [Query(named(count(LANGUAGES, "agent_id, language")) + " > 0")],
        [
            Column("agent_name", "Agent", link=("This agent", link_to("agntix-agent", agent=field("Agent ID")))),
            Column("agent_id", "Agent ID", hidden=True),
            Column("language", "Language"),
            Column("Value", "Sessions", decimals=0),
        ],
        width=12,
        sort="Sessions",
        empty="No session with a detected language in this window",
    ),
)
BOARD.row(
    "How sure is the analysis?",
    course(
        "How sure is it of the resolution?",
        "Mean confidence by resolution, 0 to 1. Low confidence: take the shares above with care.",
        [Query(mean(RESOLUTION_CONFIDENCE, "resolution", window=RATE), "{{resolution}}", step=STEADY)],
        width=8,
        unit=SHARE,
        greatest=1,
        decimals=0,
    ),
    course(
        "How sure is it of the intent?",
        "Mean confidence in the intent by agent, 0 to 1.",
        [Query(named(mean(INTENT_CONFIDENCE, "agent_id", window=RATE)), "{{agent_name}}", step=STEADY)],
        width=8,
        unit=SHARE,
        greatest=1,
        decimals=0,
    ),
    heat(
        "How is the confidence in the resolution spread?",
        "Confidences over time: each cell holds the sessions of one step with a confidence up to the value on the left.",
        Query(f"sum by (le) (increase({select(RESOLUTION_CONFIDENCE + '_bucket')}[{RATE}]))", "{{le}}", step=STEADY),
        width=8,
        unit=SHARE,
    ),
    grid(
        "How often does an analysis change afterwards?",
        "Counted sessions whose analysis was seen to change later, by part, in the time range. What was counted stays as it was.",
        [Query(named(count(RECLASSIFIED, "agent_id, part")) + " > 0")],
        [
            Column("agent_name", "Agent", link=("This agent", link_to("agntix-agent", agent=field("Agent ID")))),
            Column("agent_id", "Agent ID", hidden=True),
            Column("part", "Part"),
            Column("Value", "Changes", decimals=0),
        ],
        width=12,
        sort="Changes",
        empty="No analysis changed in this window",
    ),
    grid(
        "Whose analyses are late?",
        "Sessions that were counted without an analysis because poll.analysis_deadline passed, and those still waited for now.",
        [
            Query(named(count(TIMEOUTS, "agent_id"))),
            Query(named(f"sum by (agent_id) ({select('agntix_sessions_awaiting_analysis')})")),
        ],
        [
            Column("agent_name", "Agent", link=("This agent", link_to("agntix-agent", agent=field("Agent ID")))),
            Column("agent_id", "Agent ID", hidden=True),
            Column(value(0, 2), "Given up", decimals=0),
            Column(value(1, 2), "Awaited now", decimals=0),
        ],
        width=12,
        sort="Given up",
        empty="No analysis is late",
    ),
    folded=True,
)
