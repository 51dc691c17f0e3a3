"""Overview: is anything wrong now?"""

from .before import beside_week, share_beside_week
from .board import Board
from .common import agents_table, alerts_table, freshness, outcome_course, sentiment_course, share_course
from .queries import (
    ASSESSED,
    CHANNEL_PARTS,
    DURATION,
    ENDED,
    INTENTS,
    NEGATIVE,
    OUTCOMES,
    PER_CHANNEL,
    RANGE,
    RESOLVED,
    TONED,
    UNRESOLVED,
    alerts,
    channels,
    count,
    gauge,
    quantile,
    share,
)
from .style import (
    BLUE,
    CLOCK,
    NO_SESSIONS,
    SHARE,
    VERMILLION,
    Column,
    Query,
    figure,
    grid,
    link_to,
    thresholds,
    value,
)

BOARD = Board(
    "agntix-overview",
    "Is anything wrong now? Volume, unresolved and negative sessions with their numbers, alerts, and how far the numbers can be trusted.",
)
BOARD.top(
    share_beside_week(
        "Resolved",
        "Share of resolved sessions among those that were assessed: resolved, partially resolved or unresolved. "
        "Not-applicable ones and those without an analysis are left out.",
        RESOLVED,
        ASSESSED,
        BLUE,
    ),
    share_beside_week(
        "Unresolved",
        "Share of unresolved sessions among those that were assessed.",
        UNRESOLVED,
        ASSESSED,
        VERMILLION,
    ),
    share_beside_week(
        "Negative",
        "Share of negative sessions among those whose sentiment is known.",
        NEGATIVE,
        TONED,
        VERMILLION,
    ),
    beside_week(
        "Sessions ended",
        "Sessions that ended in the time range. Prometheus extrapolates to its edges, so that it can be off by what happens in about a scrape.",
        count(ENDED),
    ),
    beside_week(
        "Median duration",
        "Half of the sessions that ended in the time range took no longer than this, from creation to end. Interpolated within a bucket.",
        quantile(0.5, DURATION, window=RANGE),
        unit=CLOCK,
        decimals=None,
    ),
    beside_week(
        "Open",
        "Sessions that are known to be open now.",
        gauge("sum", "agntix_sessions_open"),
        empty="–",
        width=2,
    ),
    figure(
        "Alerts firing",
        "Agntix alerts that are firing now, about the chosen jobs and agents or about none in particular. "
        "Needs the rules of deploy/prometheus; without them nothing ever fires.",
        [Query("count(" + alerts('alertstate="firing"') + f") or 0 * {gauge('max', 'agntix_exporter_catching_up')}")],
        empty="No exporter",
        steps=thresholds((None, BLUE), (1, VERMILLION)),
        height=5,
    ),
    freshness(width=4, height=5),
)
BOARD.row("Where is it?", alerts_table(height=7), agents_table(width=24))
BOARD.row(
    "Since when?",
    outcome_course(width=12),
    sentiment_course(width=12),
    share_course(
        "Which agent's unresolved share rises?",
        "Unresolved among assessed sessions, by agent.",
        "unresolved",
        UNRESOLVED,
        ASSESSED,
        width=12,
    ),
    share_course(
        "Which agent's negative share rises?",
        "Negative among sessions whose sentiment is known, by agent.",
        "negative",
        NEGATIVE,
        TONED,
        width=12,
    ),
)
_INTENTS = [
    Query(count(INTENTS, "intent", UNRESOLVED) + " > 0"),
    Query(share(INTENTS, UNRESOLVED, ASSESSED, "intent")),
    Query(count(INTENTS, "intent", ASSESSED)),
]
_CHANNELS = [
    Query(channels(count(ENDED, PER_CHANNEL)) + " > 0"),
    Query(channels(share(OUTCOMES, UNRESOLVED, ASSESSED, PER_CHANNEL))),
    Query(channels(count(OUTCOMES, PER_CHANNEL, ASSESSED)) + " > 0"),
    Query(channels(share(OUTCOMES, NEGATIVE, TONED, PER_CHANNEL))),
    Query(channels(count(OUTCOMES, PER_CHANNEL, TONED)) + " > 0"),
]
BOARD.row(
    "What is it about?",
    grid(
        "Which intents stay unresolved?",
        "Intents by the number of unresolved sessions in the time range. A click opens Intents.",
        _INTENTS,
        [
            Column("intent", "Intent", link=("This intent's dashboard", link_to("agntix-intents"))),
            Column(value(0, 3), "Unresolved", decimals=0, width=110),
            Column(value(1, 3), "Share", SHARE, 1, width=140, bar=VERMILLION),
            Column(value(2, 3), "of", decimals=0, width=90),
        ],
        sort="Unresolved",
        empty="No unresolved session with an intent in this window",
    ),
    grid(
        "Which channel?",
        "Sessions by channel in the time range, with the shares of unresolved and negative ones and what they are shares of.",
        _CHANNELS,
        [
            Column("channel", "Channel"),
            Column(value(0, 5), "Ended", decimals=0, width=80),
            Column(value(1, 5), "Unresolved", SHARE, 1, width=125, bar=VERMILLION),
            Column(value(2, 5), "of", decimals=0, width=70),
            Column(value(3, 5), "Negative", SHARE, 1, width=110, bar=VERMILLION),
            Column(value(4, 5), "of ", decimals=0, width=70),
        ],
        sort="Ended",
        empty=NO_SESSIONS,
        without=CHANNEL_PARTS,
    ),
)
