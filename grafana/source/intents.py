"""Intents: what do people want, and where do they not get it?"""

from .board import Board
from .common import CALM, STEADY
from .queries import (
    ASSESSED,
    INTENTS,
    NEGATIVE,
    RATE,
    TONED,
    UNRESOLVED,
    count,
    count_at_end,
    mean,
    most,
    named,
    per_minute,
    share,
)
from .style import (
    BLUE,
    DARK_GREY,
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
    link_to,
    share_figure,
    value,
)

NO_INTENT = "No session with an intent in this window"
# Fewer sessions than this say nothing about a share.
ENOUGH = 10

BOARD = Board(
    "agntix-intents",
    "What do people want, and where do they not get it? The mix of intents, the worst by number and by share, and how they move.",
    "now-24h",
)
BOARD.top(
    figure(
        "Sessions with an intent",
        "Ended sessions in the time range whose analysis names an intent.",
        [Query(count(INTENTS))],
        width=4,
        empty=NO_INTENT,
    ),
    figure(
        "Different intents",
        "Intents that occurred in the time range. Beyond metrics.max_label_values an agent's further intents are other.",
        [Query(f"count({count(INTENTS, 'intent')} > 0)")],
        width=4,
        empty=NO_INTENT,
    ),
    share_figure(
        "Unresolved",
        "Share of unresolved sessions among the assessed ones with an intent.",
        share(INTENTS, UNRESOLVED, ASSESSED),
        count(INTENTS, "", ASSESSED),
        width=5,
        empty=NO_INTENT,
    ),
    share_figure(
        "Negative",
        "Share of negative sessions among those with an intent and a known sentiment.",
        share(INTENTS, NEGATIVE, TONED),
        count(INTENTS, "", TONED),
        width=5,
        empty=NO_INTENT,
    ),
    share_figure(
        "Confidence in the intent",
        "Mean confidence of the analysis in the intents that it named, and how many those are.",
        mean("agntix_session_intent_confidence"),
        count("agntix_session_intent_confidence_count"),
        name="mean",
        width=6,
        colour=BLUE,
        empty=NO_INTENT,
    ),
)


def worst(ranking: str) -> list[Query]:
    """What is told of each of the worst intents; the ranking comes first and picks the rows."""
    return [
        Query(ranking),
        Query(count(INTENTS, "intent", UNRESOLVED)),
        Query(share(INTENTS, UNRESOLVED, ASSESSED, "intent")),
        Query(count(INTENTS, "intent", ASSESSED)),
        Query(share(INTENTS, NEGATIVE, TONED, "intent")),
        Query(count(INTENTS, "intent", TONED)),
    ]


_ENOUGH = f"({count(INTENTS, 'intent', ASSESSED)} >= {ENOUGH})"
_WORST_SHARE = f"topk(15, {share(INTENTS, UNRESOLVED, ASSESSED, 'intent')} > 0 and {_ENOUGH})"
BOARD.row(
    "Which are the worst?",
    grid(
        "Which intents stay unresolved most often?",
        "All intents in the time range, most unresolved sessions first, with their agent.",
        [
            Query(named(count(INTENTS, "agent_id, intent", UNRESOLVED)) + " > 0"),
            Query(named(share(INTENTS, UNRESOLVED, ASSESSED, "agent_id, intent"))),
            Query(named(count(INTENTS, "agent_id, intent", ASSESSED)) + " > 0"),
            Query(named(share(INTENTS, NEGATIVE, TONED, "agent_id, intent"))),
            Query(named(count(INTENTS, "agent_id, intent", TONED)) + " > 0"),
        ],
        [
            Column("intent", "Intent"),
            Column("agent_name", "Agent", link=("This agent", link_to("agntix-agent", agent=field("Agent ID")))),
            Column("agent_id", "Agent ID", hidden=True),
            Column(value(0, 5), "Unresolved", decimals=0, width=115),
            Column(value(1, 5), "Share", SHARE, 1, width=110, bar=VERMILLION),
            Column(value(2, 5), "of", decimals=0, width=65),
            Column(value(3, 5), "Negative", SHARE, 1, width=110, bar=VERMILLION),
            Column(value(4, 5), "of ", decimals=0, width=65),
        ],
        width=14,
        height=11,
        sort="Unresolved",
        empty=NO_INTENT,
    ),
    grid(
        "Which intents have the worst share?",
        f"The 15 intents with the highest unresolved share in the time range, of those with at least {ENOUGH} assessed sessions: "
        "a share of fewer says little.",
        [Query(_WORST_SHARE), Query(f"{count(INTENTS, 'intent', ASSESSED)} >= {ENOUGH}")],
        [
            Column("intent", "Intent"),
            Column(value(0, 2), "Unresolved", SHARE, 1, width=150, bar=VERMILLION),
            Column(value(1, 2), "of", decimals=0, width=80),
        ],
        width=10,
        height=11,
        sort="Unresolved",
        empty=f"No intent with {ENOUGH} assessed sessions in this window",
    ),
)
_TOP = count_at_end(INTENTS, "intent")
_TOP_UNRESOLVED = count_at_end(INTENTS, "intent", UNRESOLVED)
BOARD.row(
    "How do they move?",
    course(
        "What do people want?",
        "Sessions a minute by intent, stacked: the six most frequent of the time range, and the others.",
        [
            Query(most(6, "intent", per_minute(INTENTS, "intent"), _TOP), "{{intent}}", step=CALM),
            Query(
                f"{per_minute(INTENTS)} - sum({most(6, 'intent', per_minute(INTENTS, 'intent'), _TOP)})",
                "others",
                step=CALM,
            ),
        ],
        unit=PER_MINUTE,
        stack="normal",
        width=12,
        height=9,
        empty=NO_INTENT,
    ).override_by_name("others", [fixed(DARK_GREY)]),
    beside(
        course(
            "Which intents go wrong more often?",
            "Unresolved share by intent: the five with the most unresolved sessions in the time range. "
            "Grey bars: assessed sessions a minute, all intents together. A gap: no session.",
            [
                Query(
                    most(5, "intent", share(INTENTS, UNRESOLVED, ASSESSED, "intent", window=RATE), _TOP_UNRESOLVED),
                    "{{intent}}",
                    step=STEADY,
                ),
                Query(per_minute(INTENTS, "", ASSESSED), "sessions", step=STEADY),
            ],
            unit=SHARE,
            width=12,
            height=9,
            empty=NO_INTENT,
        ),
        "sessions",
    ),
)
BOARD.row(
    "By outcome",
    grid(
        "What becomes of each intent?",
        "Sessions by intent, resolution and sentiment in the time range.",
        [Query(count(INTENTS, "intent, resolution, sentiment") + " > 0")],
        [
            Column("intent", "Intent"),
            Column("resolution", "Resolution", meaning=True),
            Column("sentiment", "Sentiment", meaning=True),
            Column("Value", "Sessions", decimals=0),
        ],
        width=24,
        height=10,
        sort="Sessions",
        empty=NO_INTENT,
    ),
    folded=True,
)
