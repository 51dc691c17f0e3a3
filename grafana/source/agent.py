"""Agent: everything about one agent, or about several side by side."""

from .board import Board
from .common import CALM, STEADY, alerts_table, freshness, outcome_course, sentiment_course
from .queries import (
    ASSESSED,
    DURATION,
    ENDED,
    INTENTS,
    LANGUAGES,
    NEGATIVE,
    NO_INFINITY,
    OUTCOMES,
    PER_CHANNEL,
    RANGE,
    RATE,
    SCORE,
    STARTED,
    TONED,
    UNRESOLVED,
    count,
    expected_share,
    gauge,
    mean_score,
    named,
    per_minute,
    quantile,
    scored,
    select,
    share,
)
from .style import (
    BLUE,
    CLOCK,
    DASHED,
    GREY,
    ORANGE,
    PER_MINUTE,
    SHARE,
    SKY,
    VERMILLION,
    Column,
    Query,
    bars,
    beside,
    course,
    figure,
    fixed,
    grid,
    heat,
    link_to,
    prop,
    share_figure,
    value,
)

YES_NO = {"true": ("yes", BLUE), "false": ("no", GREY)}

BOARD = Board(
    "agntix-agent",
    "Everything about one agent: choose it above. With several, their sums, and their names wherever they differ.",
    "now-24h",
)
BOARD.top(
    grid(
        "Who is it?",
        "The chosen agents as the API lists them now.",
        [Query(select("agntix_agent_info"))],
        [
            Column("agent_name", "Agent"),
            Column("agent_id", "ID", width=310),
            Column("language", "Language", width=85),
            Column("active", "Active", width=65, texts=YES_NO),
            Column("voice_enabled", "Voice", width=60, texts=YES_NO),
            *(Column(name, name, hidden=True) for name in ("Value", "__name__", "instance", "job")),
        ],
        width=19,
        height=5,
        empty="The API lists no such agent",
    ),
    freshness(width=5, height=5),
    alerts_table(),
)
BOARD.row(
    "In the time range",
    figure("Started", "Sessions that started.", [Query(count(STARTED))]),
    figure("Ended", "Sessions that ended.", [Query(count(ENDED))]),
    figure(
        "Open now",
        "Sessions that are known to be open now.",
        [Query(gauge("sum", "agntix_sessions_open"))],
        empty="No exporter",
    ),
    share_figure(
        "Unresolved",
        "Share of unresolved sessions among those that were assessed: resolved, partially resolved or unresolved.",
        share(OUTCOMES, UNRESOLVED, ASSESSED),
        count(OUTCOMES, "", ASSESSED),
    ),
    share_figure(
        "Negative",
        "Share of negative sessions among those whose sentiment is known.",
        share(OUTCOMES, NEGATIVE, TONED),
        count(OUTCOMES, "", TONED),
    ),
    figure(
        "Mean sentiment score",
        "From -1, all negative, to 1, all positive; and of how many scores.",
        [Query(mean_score(), "score"), Query(scored(), "of")],
        width=4,
        decimals=2,
    ).override_by_name("of", [prop("decimals", 0), fixed(GREY)]),
    figure(
        "Median duration",
        "Half of the sessions took no longer, from creation to end.",
        [Query(quantile(0.5, DURATION, window=RANGE))],
        unit=CLOCK,
    ),
)
BOARD.row(
    "Over time",
    course(
        "How busy is it?",
        "Sessions that start and end a minute, and those that are open.",
        [
            Query(per_minute(STARTED), "started", step=CALM),
            Query(per_minute(ENDED), "ended", step=CALM),
            Query(gauge("sum", "agntix_sessions_open"), "open"),
        ],
        unit=PER_MINUTE,
        width=8,
    )
    .override_by_name("started", [fixed(SKY)])
    .override_by_name("ended", [fixed(BLUE)])
    .override_by_name(
        "open",
        [
            fixed(ORANGE),
            prop("unit", "none"),
            prop("custom.axisPlacement", "right"),
            prop("custom.axisLabel", "open"),
            prop("custom.axisGridShow", False),
            prop("decimals", 0),
        ],
    ),
    outcome_course(width=8),
    sentiment_course(width=8),
    beside(
        course(
            "Do more sessions go wrong?",
            "Unresolved among assessed sessions, and negative among those whose sentiment is known. Dashed: what the alert rules expect of these "
            "agents on all their channels. Grey bars: how many assessed sessions a minute that is. A gap: no session.",
            [
                Query(share(OUTCOMES, UNRESOLVED, ASSESSED, window=RATE), "unresolved", step=STEADY),
                Query(share(OUTCOMES, NEGATIVE, TONED, window=RATE), "negative", step=STEADY),
                Query(expected_share("unresolved"), "unresolved, expected", step=STEADY),
                Query(expected_share("negative"), "negative, expected", step=STEADY),
                Query(per_minute(OUTCOMES, "", ASSESSED), "sessions", step=STEADY),
            ],
            unit=SHARE,
            width=8,
        )
        .override_by_name("negative", [fixed(ORANGE)])
        .override_by_name("unresolved, expected", [fixed(VERMILLION), *DASHED])
        .override_by_name("negative, expected", [fixed(ORANGE), *DASHED]),
        "sessions",
    ),
    course(
        "Do sessions take longer?",
        "Median and 90th percentile of the duration. Points are single sessions; a click on one opens it.",
        [
            Query(quantile(0.5, DURATION), "median", step=STEADY, exemplar=True),
            Query(quantile(0.9, DURATION), "p90", step=STEADY),
        ],
        unit=CLOCK,
        width=8,
    )
    .override_by_name("median", [fixed(BLUE)])
    .override_by_name("p90", [fixed(ORANGE)]),
    heat(
        "How are the sentiment scores spread?",
        "Scores over time: each cell holds the sessions of one step whose score was up to the value on the left.",
        Query(f"sum by (le) (increase({select(SCORE + '_bucket', NO_INFINITY)}[{RATE}]))", "{{le}}", step=STEADY, exemplar=True),
        width=8,
        unit="none",
        decimals=1,
    ),
)
_INTENTS = [
    Query(count(INTENTS, "intent") + " > 0"),
    Query(share(INTENTS, UNRESOLVED, ASSESSED, "intent")),
    Query(count(INTENTS, "intent", ASSESSED) + " > 0"),
    Query(share(INTENTS, NEGATIVE, TONED, "intent")),
    Query(count(INTENTS, "intent", TONED) + " > 0"),
]
BOARD.row(
    "What about?",
    grid(
        "What do people want of it?",
        "Intents in the time range, the most frequent first. A click opens Intents for this agent.",
        _INTENTS,
        [
            Column("intent", "Intent", link=("Intents", link_to("agntix-intents"))),
            Column(value(0, 5), "Sessions", decimals=0, width=95),
            Column(value(1, 5), "Unresolved", SHARE, 1, width=120, bar=VERMILLION),
            Column(value(2, 5), "of", decimals=0, width=60),
            Column(value(3, 5), "Negative", SHARE, 1, width=105, bar=VERMILLION),
            Column(value(4, 5), "of ", decimals=0, width=60),
        ],
        width=12,
        sort="Sessions",
        empty="No session with an intent in this window",
    ),
    bars(
        "Over which channels?",
        "Ended sessions by channel in the time range.",
        [Query(count(ENDED, PER_CHANNEL) + " > 0", "{{session_type}} {{platform}} {{direction}}")],
        width=6,
    ),
    bars(
        "In which languages?",
        "Sessions by detected language in the time range.",
        [Query(count(LANGUAGES, "language") + " > 0", "{{language}}")],
        width=6,
        empty="No session with a detected language in this window",
    ),
)
BOARD.row(
    "Extracted fields and late analyses",
    grid(
        "Which values were extracted?",
        "Sessions by the value of the extracted fields that metrics.extracted names, in the time range.",
        [Query(named(count("agntix_session_extracted_values_total", "agent_id, field, value")) + " > 0")],
        [
            Column("agent_name", "Agent"),
            Column("agent_id", "Agent ID", hidden=True),
            Column("field", "Field"),
            Column("value", "Value"),
            Column("Value", "Sessions", decimals=0),
        ],
        width=12,
        sort="Sessions",
        empty="None was extracted; metrics.extracted names the fields",
    ),
    grid(
        "Which numbers were extracted?",
        "Mean of the numeric extracted fields that metrics.extracted names, in the time range.",
        [
            Query(
                named(
                    f"{count('agntix_session_extracted_value_sum', 'agent_id, field')}"
                    f" / ({count('agntix_session_extracted_value_count', 'agent_id, field')} > 0)"
                )
            ),
            Query(named(count("agntix_session_extracted_value_count", "agent_id, field")) + " > 0"),
        ],
        [
            Column("agent_name", "Agent"),
            Column("agent_id", "Agent ID", hidden=True),
            Column("field", "Field"),
            Column(value(0, 2), "Mean", decimals=2),
            Column(value(1, 2), "of", decimals=0),
        ],
        width=12,
        sort="of",
        empty="None was extracted; metrics.extracted names the fields",
    ),
    figure(
        "Awaiting analysis",
        "Ended sessions whose analysis has not arrived and is still waited for.",
        [Query(gauge("sum", "agntix_sessions_awaiting_analysis"))],
        width=6,
        empty="No exporter",
    ),
    figure(
        "Analyses given up",
        "Sessions that were counted without an analysis because poll.analysis_deadline passed.",
        [Query(count("agntix_session_analysis_timeouts_total"))],
        width=6,
        empty="None",
    ),
    figure(
        "Analyses changed",
        "Analyses that were seen to change after the session was counted. What was counted stays as it was.",
        [Query(count("agntix_session_reclassifications_total"))],
        width=6,
        empty="None",
    ),
    folded=True,
)
