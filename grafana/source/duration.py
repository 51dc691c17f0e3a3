"""Duration: how long do sessions take?"""

from .board import Board
from .common import STEADY
from .queries import (
    CHANNEL_PARTS,
    DURATION,
    ENDED,
    PER_CHANNEL,
    RANGE,
    RATE,
    channels,
    count,
    mean,
    named,
    per_minute,
    quantile,
    select,
    share,
)
from .style import (
    BLUE,
    CLOCK,
    GREY,
    ORANGE,
    SHARE,
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
    value,
)

INFO = "agntix_watched_session_info"


def of_watched(function: str) -> str:
    """An aggregate over the watched sessions that have ended, by outcome."""
    ended = "max by (session_id, resolution) (" + select(INFO, 'state!="open"') + ")"
    took = f"max by (session_id) ({select('agntix_watched_session_duration_seconds')})"
    return f"{function} by (resolution) ({ended} * on (session_id) group_left () {took})"


def quantiles(by: str) -> list[Query]:
    """Number, median, p90 and mean of a table."""
    add = named if by == "agent_id" else channels
    more = "" if by == "agent_id" else " > 0"
    return [
        Query(add(count(DURATION + "_count", by)) + more),
        Query(add(quantile(0.5, DURATION, by, window=RANGE))),
        Query(add(quantile(0.9, DURATION, by, window=RANGE))),
        Query(add(mean(DURATION, by))),
    ]


COLUMNS = [
    Column(value(0, 4), "Sessions", decimals=0, width=90),
    Column(value(1, 4), "Median", CLOCK, width=90),
    Column(value(2, 4), "p90", CLOCK, width=90),
    Column(value(3, 4), "Mean", CLOCK, width=90),
]

BOARD = Board(
    "agntix-duration",
    "How long do sessions take, from creation to end? Median, 90th percentile and spread, by agent, channel and outcome.",
    "now-24h",
)
BOARD.top(
    figure(
        "Sessions ended",
        "Ended sessions in the time range; all figures here are about these.",
        [Query(count(DURATION + "_count"))],
        width=4,
    ),
    figure(
        "Median",
        "Half of the sessions took no longer. Interpolated within a bucket of metrics.duration_buckets.",
        [Query(quantile(0.5, DURATION, window=RANGE))],
        unit=CLOCK,
        width=4,
    ),
    figure(
        "90th percentile",
        "Nine of ten sessions took no longer. Interpolated within a bucket of metrics.duration_buckets.",
        [Query(quantile(0.9, DURATION, window=RANGE))],
        unit=CLOCK,
        width=4,
    ),
    figure("Mean", "Total time over the number of sessions.", [Query(mean(DURATION))], unit=CLOCK, width=4),
    figure(
        "Total time", "Time that all sessions together took.", [Query(count(DURATION + "_sum"))], unit=CLOCK, width=4
    ),
    figure(
        "Expired",
        "Share of sessions that nobody closed: they ended because they had expired; and of how many.",
        [Query(share(ENDED, 'state="expired"', ""), "share"), Query(count(ENDED), "of")],
        unit=SHARE,
        width=4,
        decimals=1,
    )
    .override_by_name("share", [fixed(ORANGE)])
    .override_by_name("of", [prop("unit", "none"), prop("decimals", 0), fixed(GREY)]),
)
BOARD.row(
    "Over time",
    beside(
        course(
            "Do sessions take longer?",
            "Median and 90th percentile of the duration. Grey bars: sessions a minute. Points are single sessions; a click on one opens it.",
            [
                Query(quantile(0.5, DURATION), "median", step=STEADY, exemplar=True),
                Query(quantile(0.9, DURATION), "p90", step=STEADY),
                Query(per_minute(DURATION + "_count"), "sessions", step=STEADY),
            ],
            unit=CLOCK,
            width=12,
            height=9,
        )
        .override_by_name("median", [fixed(BLUE)])
        .override_by_name("p90", [fixed(ORANGE)]),
        "sessions",
    ),
    heat(
        "How are the durations spread?",
        "Durations over time: each cell holds the sessions of one step that took up to the time on the left and longer than the next "
        "lower one. Two bands: two kinds of conversations.",
        Query(f"sum by (le) (increase({select(DURATION + '_bucket')}[{RATE}]))", "{{le}}", step=STEADY, exemplar=True),
        width=12,
        height=9,
    ),
    course(
        "Which agent takes longer?",
        "Median duration by agent. A gap: no session.",
        [Query(named(quantile(0.5, DURATION, "agent_id")), "{{agent_name}}", step=STEADY, exemplar=True)],
        unit=CLOCK,
        width=12,
    ),
    course(
        "Which channel takes longer?",
        "Median duration by channel. A gap: no session.",
        [
            Query(
                quantile(0.5, DURATION, PER_CHANNEL),
                "{{session_type}} {{platform}} {{direction}}",
                step=STEADY,
                exemplar=True,
            )
        ],
        unit=CLOCK,
        width=12,
    ),
)
BOARD.row(
    "By agent and channel",
    grid(
        "How long do each agent's sessions take?",
        "Each agent in the time range. A click opens the agent.",
        quantiles("agent_id"),
        [
            Column("agent_name", "Agent", link=("This agent", link_to("agntix-agent", agent=field("Agent ID")))),
            Column("agent_id", "Agent ID", hidden=True),
            *COLUMNS,
        ],
        width=12,
        sort="Median",
    ),
    grid(
        "How long does each channel take?",
        "Each channel in the time range.",
        quantiles(PER_CHANNEL),
        [Column("channel", "Channel"), *COLUMNS],
        without=CHANNEL_PARTS,
        width=12,
        sort="Median",
    ),
)
BOARD.row(
    "By outcome, of the watched sessions only",
    grid(
        "Do unresolved sessions take longer?",
        "Mean and longest duration by resolution of the watched sessions that have ended, now: the durable durations are not split by "
        "outcome. Watched are the sessions of sessions.ids and sessions.files, and metrics.watch_recent recent unresolved or negative ones, "
        "so this is no fair sample.",
        [Query(of_watched("count")), Query(of_watched("avg")), Query(of_watched("max"))],
        [
            Column("resolution", "Resolution", meaning=True),
            Column(value(0, 3), "Sessions", decimals=0),
            Column(value(1, 3), "Mean", CLOCK),
            Column(value(2, 3), "Longest", CLOCK),
        ],
        width=24,
        height=6,
        sort="Mean",
        empty="No session is watched",
    ),
    folded=True,
)
