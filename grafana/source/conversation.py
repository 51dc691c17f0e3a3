"""Conversation: how do they talk? Turns, how long people wait for answers, and who got none. Needs messages.enabled."""

from .before import at_end, beside_week
from .board import Board
from .common import CALM, STEADY
from .queries import (
    CHANNEL_PARTS,
    PER_CHANNEL,
    RANGE,
    RATE,
    channels,
    count,
    mean,
    most,
    named,
    per_minute,
    quantile,
    select,
)
from .style import (
    BLUE,
    COUNT,
    ORANGE,
    PER_MINUTE,
    SECONDS,
    SHARE,
    VERMILLION,
    Column,
    Query,
    course,
    field,
    fixed,
    grid,
    heat,
    link_to,
    value,
)

MESSAGES = "agntix_session_messages_total"
TURNS = "agntix_session_turns"
FIRST = "agntix_session_first_response_seconds"
RESPONSE = "agntix_session_response_seconds"
UNANSWERED = "agntix_sessions_unanswered_total"
SILENT = "agntix_sessions_silent_total"
OFF = "none read: messages.enabled"
EMPTY = "No messages were read in this window; messages.enabled switches them on"


def of_read(metric: str, by: str = "", window: str = RANGE) -> str:
    """The share of the sessions whose messages were read; of several labels, of each."""
    read = count(TURNS + "_count", by, window=window)
    return f"clamp_max({count(metric, by, window=window)} / ({read} > 0), 1)"


def table(by: str) -> list[Query]:
    """What is told of an agent or a channel."""
    # The first one has the names; the others are joined with it by what they are of.
    add = named if by == "agent_id" else channels
    more = "" if by == "agent_id" else " > 0"
    return [
        Query(add(count(TURNS + "_count", by)) + more),
        Query(mean(TURNS, by)),
        Query(quantile(0.5, FIRST, by, window=RANGE)),
        Query(quantile(0.9, FIRST, by, window=RANGE)),
        Query(quantile(0.5, RESPONSE, by, window=RANGE)),
        Query(quantile(0.9, RESPONSE, by, window=RANGE)),
        Query(of_read(UNANSWERED, by)),
        Query(of_read(SILENT, by)),
    ]


COLUMNS = [
    Column(value(0, 8), "Read", decimals=0, width=90),
    Column(value(1, 8), "Turns", decimals=1, width=90),
    Column(value(2, 8), "First response", SECONDS, 1, width=130),
    Column(value(3, 8), "First, p90", SECONDS, 1, width=110),
    Column(value(4, 8), "Response", SECONDS, 1, width=110),
    Column(value(5, 8), "Response, p90", SECONDS, 1, width=130),
    Column(value(6, 8), "Unanswered", SHARE, 1, width=180, bar=VERMILLION),
    Column(value(7, 8), "Silent", SHARE, 1, width=180, bar=ORANGE),
]


def worst(expr: str, ranking: str) -> str:
    """By name the five agents that are worst in the whole time range."""
    return named(most(5, "agent_id", f"({expr})", at_end(ranking)))


def wait_beside_week(title: str, about: str, expr: str, **more):
    """How long people wait, and the difference from a week before."""
    return beside_week(title, about, expr, unit=SECONDS, decimals=1, off=OFF, **more)


def left_beside_week(title: str, about: str, metric: str, colour: str):
    """A share of the sessions whose messages were read, and the difference from a week before."""
    whole = count(TURNS + "_count")
    return beside_week(
        title, about, of_read(metric), of=whole, unit=SHARE, decimals=1, colour=colour, off=OFF, width=4
    )


BOARD = Board(
    "agntix-conversation",
    "How do they talk? Turns, how long people wait for answers, sessions that were left unanswered and those in which nobody spoke. Of the sessions whose "
    "messages were read: messages.enabled and messages.share.",
    "now-24h",
)
BOARD.top(
    beside_week(
        "Messages read of",
        "Sessions that ended in the time range and whose messages were read. messages.share says how many are.",
        count(TURNS + "_count"),
        off=OFF,
    ),
    beside_week("Turns", "Messages of the user in a session, on average.", mean(TURNS), decimals=1, off=OFF),
    wait_beside_week(
        "First response",
        "Half of the sessions had their first answer within this time of the user's first message. Interpolated within a bucket.",
        quantile(0.5, FIRST, window=RANGE),
    ),
    wait_beside_week(
        "Response",
        "Half of all answers came within this time of the user's last message. Interpolated within a bucket.",
        quantile(0.5, RESPONSE, window=RANGE),
    ),
    wait_beside_week(
        "Slow response (p90)",
        "Nine in ten answers came within this time of the user's last message. Interpolated within a bucket.",
        quantile(0.9, RESPONSE, window=RANGE),
        width=4,
    ),
    left_beside_week("Unanswered", "Share of the sessions whose last word was the user's.", UNANSWERED, VERMILLION),
    left_beside_week("Silent", "Share of the sessions in which the user never said a word.", SILENT, ORANGE),
)
BOARD.row(
    "How long do people wait?",
    course(
        "How long do answers take?",
        "Percentiles of the time from the user's last message to the answer, of every answer.",
        [Query(quantile(q, RESPONSE), name, step=STEADY) for q, name in ((0.5, "median"), (0.9, "p90"), (0.99, "p99"))],
        unit=SECONDS,
        empty=EMPTY,
    ),
    course(
        "How long does the first answer take?",
        "Percentiles of the time from the user's first message to the first answer to it.",
        [Query(quantile(q, FIRST), name, step=STEADY) for q, name in ((0.5, "median"), (0.9, "p90"))],
        unit=SECONDS,
        empty=EMPTY,
    ),
    heat(
        "How are the response times spread?",
        "Response times over time: each cell holds the answers of one step that took up to the value on the left.",
        Query(f"sum by (le) (increase({select(RESPONSE + '_bucket')}[{RATE}]))", "{{le}}", step=STEADY),
        empty=EMPTY,
    ),
    course(
        "Which share is left alone?",
        "Share of the sessions whose last word was the user's, and of those in which the user never spoke.",
        [
            Query(of_read(UNANSWERED, window=RATE), "unanswered", step=STEADY),
            Query(of_read(SILENT, window=RATE), "silent", step=STEADY),
        ],
        unit=SHARE,
        empty=EMPTY,
    )
    .override_by_name("unanswered", [fixed(VERMILLION)])
    .override_by_name("silent", [fixed(ORANGE)]),
)
BOARD.row(
    "Where?",
    course(
        "Whose answers take longer?",
        "Nine in ten answers came within this time, by agent: the five agents whose answers take longest in the time range.",
        [Query(worst(quantile(0.9, RESPONSE, "agent_id"), quantile(0.9, RESPONSE, "agent_id", window=RANGE)), "{{agent_name}}", step=STEADY)],
        unit=SECONDS,
        height=7,
        empty=EMPTY,
    ),
    course(
        "Who leaves people unanswered?",
        "Share of the sessions whose last word was the user's, by agent: the five agents with the highest share in the time range.",
        [Query(worst(of_read(UNANSWERED, "agent_id", window=RATE), of_read(UNANSWERED, "agent_id")), "{{agent_name}}", step=STEADY)],
        unit=SHARE,
        height=7,
        empty=EMPTY,
    ),
    grid(
        "Which agent answers slowly?",
        "Each agent in the time range. A click opens the agent.",
        table("agent_id"),
        [
            Column("agent_name", "Agent", link=("This agent", link_to("agntix-agent", agent=field("Agent ID")))),
            Column("agent_id", "Agent ID", hidden=True),
            *COLUMNS,
        ],
        width=24,
        height=7,
        sort="Response, p90",
        empty=EMPTY,
    ),
    grid(
        "Which channel answers slowly?",
        "Each channel in the time range.",
        table(PER_CHANNEL),
        [Column("channel", "Channel"), *COLUMNS],
        width=24,
        height=7,
        sort="Response, p90",
        empty=EMPTY,
        without=CHANNEL_PARTS,
    ),
)
BOARD.row(
    "What is said?",
    course(
        "Who speaks?",
        "Messages a minute by role, stacked: user, assistant, system, and the tools that the assistant used.",
        [Query(per_minute(MESSAGES, "role"), "{{role}}", step=CALM)],
        unit=PER_MINUTE,
        stack="normal",
        empty=EMPTY,
    ).override_by_name("user", [fixed(BLUE)]),
    course(
        "How many turns has a session?",
        "Percentiles of the user's messages in a session.",
        [Query(quantile(q, TURNS), name, step=STEADY) for q, name in ((0.5, "median"), (0.9, "p90"))],
        unit=COUNT,
        empty=EMPTY,
    ),
)
