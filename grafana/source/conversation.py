"""Conversation: how do they talk? Turns, how long people wait for answers, and who got none. Needs messages.enabled."""

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
    figure,
    fixed,
    grid,
    heat,
    link_to,
    share_figure,
    value,
)

MESSAGES = "agntix_session_messages_total"
TURNS = "agntix_session_turns"
FIRST = "agntix_session_first_response_seconds"
RESPONSE = "agntix_session_response_seconds"
UNANSWERED = "agntix_sessions_unanswered_total"
SILENT = "agntix_sessions_silent_total"
EMPTY = "No messages were read in this window; messages.enabled switches them on"


def of_read(metric: str, by: str = "", window: str = RANGE) -> str:
    """The share of the sessions whose messages were read; of several labels, of each."""
    read = count(TURNS + "_count", by, window=window)
    return f"clamp_max({count(metric, by, window=window)} / ({read} > 0), 1)"


def table(by: str) -> list[Query]:
    """What is told of an agent or a channel."""
    add = named if by == "agent_id" else channels
    more = "" if by == "agent_id" else " > 0"
    return [
        Query(add(count(TURNS + "_count", by)) + more),
        Query(add(mean(TURNS, by))),
        Query(add(quantile(0.5, FIRST, by, window=RANGE))),
        Query(add(quantile(0.5, RESPONSE, by, window=RANGE))),
        Query(add(quantile(0.9, RESPONSE, by, window=RANGE))),
        Query(add(of_read(UNANSWERED, by))),
        Query(add(of_read(SILENT, by))),
    ]


COLUMNS = [
    Column(value(0, 7), "Read", decimals=0, width=70),
    Column(value(1, 7), "Turns", decimals=1, width=70),
    Column(value(2, 7), "First response", SECONDS, 1, width=125),
    Column(value(3, 7), "Response", SECONDS, 1, width=95),
    Column(value(4, 7), "p90", SECONDS, 1, width=75),
    Column(value(5, 7), "Unanswered", SHARE, 1, width=115, bar=VERMILLION),
    Column(value(6, 7), "Silent", SHARE, 1, width=100, bar=ORANGE),
]

BOARD = Board(
    "agntix-conversation",
    "How do they talk? Turns, how long people wait for answers, sessions that were left unanswered and those in which nobody spoke. Of the sessions whose "
    "messages were read: messages.enabled and messages.share.",
    "now-24h",
)
BOARD.top(
    figure(
        "Messages read of",
        "Sessions that ended in the time range and whose messages were read. messages.share says how many are.",
        [Query(count(TURNS + "_count"))],
        width=4,
        empty=EMPTY,
    ),
    figure(
        "Turns",
        "Messages of the user in a session, on average.",
        [Query(mean(TURNS))],
        width=4,
        decimals=1,
        empty=EMPTY,
    ),
    figure(
        "First response",
        "Half of the sessions had their first answer within this time of the user's first message. Interpolated within a bucket.",
        [Query(quantile(0.5, FIRST, window=RANGE))],
        width=4,
        unit=SECONDS,
        decimals=1,
        empty=EMPTY,
    ),
    figure(
        "Response",
        "Half of all answers came within this time of the user's last message, and nine in ten within the second.",
        [Query(quantile(0.5, RESPONSE, window=RANGE), "median"), Query(quantile(0.9, RESPONSE, window=RANGE), "p90")],
        width=4,
        unit=SECONDS,
        decimals=1,
        empty=EMPTY,
    ),
    share_figure(
        "Unanswered",
        "Share of the sessions whose last word was the user's.",
        of_read(UNANSWERED),
        count(TURNS + "_count"),
        empty=EMPTY,
    ),
    share_figure(
        "Silent",
        "Share of the sessions in which the user never said a word.",
        of_read(SILENT),
        count(TURNS + "_count"),
        colour=ORANGE,
        empty=EMPTY,
    ),
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
    grid(
        "Which agent answers slowly?",
        "Each agent in the time range. A click opens the agent.",
        table("agent_id"),
        [
            Column("agent_name", "Agent", link=("This agent", link_to("agntix-agent", agent=field("Agent ID")))),
            Column("agent_id", "Agent ID", hidden=True),
            *COLUMNS,
        ],
        width=12,
        sort="p90",
        empty=EMPTY,
    ),
    grid(
        "Which channel answers slowly?",
        "Each channel in the time range.",
        table(PER_CHANNEL),
        [Column("channel", "Channel"), *COLUMNS],
        width=12,
        sort="p90",
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
