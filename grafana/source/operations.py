"""Operations: how was the day, beside yesterday, last week and the last four weeks? For the lead's morning."""

from grafana_foundation_sdk.models.dashboard import FieldColorModeId

from .board import Board
from .queries import (
    ASSESSED,
    DURATION,
    ENDED,
    INTENTS,
    LANGUAGES,
    NEGATIVE,
    OUTCOMES,
    RANGE,
    RESOLVED,
    TONED,
    UNRESOLVED,
    count,
    mean,
    named,
    quantile,
    select,
    share,
)
from .style import (
    BLUE,
    CLOCK,
    GREY,
    NO_SESSIONS,
    SHARE,
    VERMILLION,
    Column,
    Query,
    bars,
    field,
    figure,
    grid,
    link_to,
    matrix,
    prop,
    value,
)

# The last four weeks, week by week.
WEEKS = ("1w", "2w", "3w", "4w")


def before(expr: str, offset: str) -> str:
    """The same, so long before."""
    return expr.replace(f"[{RANGE}]", f"[{RANGE}] offset {offset}")


def of_weeks(expr: str) -> str:
    """The mean of the last four weeks, as far as they are known."""
    weeks = (f'label_replace({before(expr, week)}, "week", "{week}", "", "")' for week in WEEKS)
    return f"avg({' or '.join(weeks)})"


def beside_before(title: str, about: str, expr: str, unit: str, decimals: int | None = 0, colour: str | None = None):
    """A number beside what it was."""
    queries = [
        Query(expr, "now"),
        Query(before(expr, "1d"), "a day before"),
        Query(before(expr, "1w"), "a week before"),
        Query(of_weeks(expr), "mean of 4 weeks"),
    ]
    panel = figure(title, about, queries, width=4, height=7, unit=unit, decimals=decimals)
    if colour:
        panel.override_by_name("now", [prop("color", {"mode": "fixed", "fixedColor": colour})])
    return panel


BOARD = Board(
    "agntix-operations",
    "How was the day? Volume, handle time, resolution and sentiment beside the day and the week before and the mean of four weeks; the hours of "
    "the week; and the intents that need work.",
    "now-24h",
)
BOARD.row(
    "How was it, beside before?",
    beside_before("Volume", "Sessions that ended in the time range.", count(ENDED), "none"),
    beside_before(
        "Average handle time (AHT)",
        "Mean time from the creation of a session to its end.",
        mean(DURATION),
        CLOCK,
        None,
    ),
    beside_before(
        "Median handle time",
        "Half of the sessions took no longer. Interpolated within a bucket.",
        quantile(0.5, DURATION, window=RANGE),
        CLOCK,
        None,
    ),
    beside_before(
        "Resolved",
        "Share of resolved sessions among those that were assessed: resolved, partially resolved or unresolved.",
        share(OUTCOMES, RESOLVED, ASSESSED),
        SHARE,
        1,
        BLUE,
    ),
    beside_before(
        "Unresolved",
        "Share of unresolved sessions among those that were assessed.",
        share(OUTCOMES, UNRESOLVED, ASSESSED),
        SHARE,
        1,
        VERMILLION,
    ),
    beside_before(
        "Negative",
        "Share of negative sessions among those whose sentiment is known.",
        share(OUTCOMES, NEGATIVE, TONED),
        SHARE,
        1,
        VERMILLION,
    ),
)

# At the end of each hour: what this hour is called. Prometheus knows UTC alone.
HOUR_OF_WEEK = (
    'label_replace(count_values("hour", hour(vector(time() - 1))), "hour", "0$1", "hour", "(.)")'
    ' * on () group_left (weekday) count_values("weekday", (day_of_week(vector(time() - 1)) + 6) % 7)'
)


def by_hour(metric: str, *matchers: str) -> str:
    """How many there were in each hour of the week, on average over four weeks."""
    counted = f"sum(increase({select(metric, *matchers)}[1h]))"
    return f"avg_over_time(({HOUR_OF_WEEK} * on () group_left () {counted})[4w:1h])"


BOARD.row(
    "When?",
    matrix(
        "When do sessions come?",
        "Sessions that ended in each hour of the week (UTC), on average over the last four weeks.",
        Query(by_hour(ENDED)),
        rows=("weekday", "Day", ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")),
        columns=("hour", [f"{hour:02}" for hour in range(24)]),
        scheme=FieldColorModeId.CONTINUOUS_BLUES,
        width=12,
        height=9,
        decimals=0,
    ),
    matrix(
        "When do they stay unresolved?",
        "Share of unresolved sessions among the assessed ones that ended in each hour of the week (UTC), over the last four weeks.",
        Query(f"{by_hour(OUTCOMES, UNRESOLVED)} / ({by_hour(OUTCOMES, ASSESSED)} > 0)"),
        rows=("weekday", "Day", ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")),
        columns=("hour", [f"{hour:02}" for hour in range(24)]),
        scheme=FieldColorModeId.CONTINUOUS_REDS,
        width=12,
        height=9,
        unit=SHARE,
        decimals=0,
    ),
)
_INTENT = share(INTENTS, UNRESOLVED, ASSESSED, "agent_id, intent")
BOARD.row(
    "What needs work?",
    grid(
        "Which intents need work?",
        "Intents by the number of unresolved sessions in the time range, with their share now and a week before.",
        [
            Query(named(count(INTENTS, "agent_id, intent", UNRESOLVED)) + " > 0"),
            Query(named(_INTENT)),
            Query(named(before(_INTENT, "1w"))),
            Query(named(count(INTENTS, "agent_id, intent", ASSESSED)) + " > 0"),
        ],
        [
            Column("intent", "Intent"),
            Column("agent_name", "Agent", link=("This agent", link_to("agntix-agent", agent=field("Agent ID")))),
            Column("agent_id", "Agent ID", hidden=True),
            Column(value(0, 4), "Unresolved", decimals=0, width=115),
            Column(value(1, 4), "Share", SHARE, 1, width=120, bar=VERMILLION),
            Column(value(2, 4), "A week before", SHARE, 1, width=130, bar=GREY),
            Column(value(3, 4), "of", decimals=0, width=65),
        ],
        width=24,
        height=9,
        sort="Unresolved",
        empty=NO_SESSIONS,
    ),
)
HANDLED = "agntix_session_outcome_duration_seconds_total"
REPEATS = "agntix_session_repeat_contacts_total"
VARIABLES = "agntix_session_variables_total"
_LANGUAGE = [
    Query(count(LANGUAGES, "language") + " > 0"),
    Query(share(LANGUAGES, RESOLVED, ASSESSED, "language")),
    Query(share(LANGUAGES, UNRESOLVED, ASSESSED, "language")),
    Query(share(LANGUAGES, NEGATIVE, TONED, "language")),
]
_VARIABLE = [
    Query(count(VARIABLES, "variable, value") + " > 0"),
    Query(share(VARIABLES, RESOLVED, ASSESSED, "variable, value")),
    Query(share(VARIABLES, UNRESOLVED, ASSESSED, "variable, value")),
]
BOARD.row(
    "Who comes back, and what takes long?",
    figure(
        "First contact resolution (FCR)",
        "Share of the sessions that were not followed by another one of the same customer within the window. Needs metrics.repeat_contacts, which names the windows.",
        [Query(f"1 - {count(REPEATS, 'within')} / on () group_left () ({count(OUTCOMES)} > 0)", "within {{within}}")],
        width=6,
        height=7,
        unit=SHARE,
        decimals=1,
        empty="No customers are known: metrics.repeat_contacts is not set",
    ),
    bars(
        "After which outcome do they come back?",
        "Repeat contacts in the time range by the resolution of the earlier session, of the longest window; longer windows hold shorter ones.",
        [Query(f"max by (previous_resolution) ({count(REPEATS, 'previous_resolution, within')})", "{{previous_resolution}}")],
        width=9,
        height=7,
        empty="No customers are known: metrics.repeat_contacts is not set",
    ),
    bars(
        "What is the handle time of each outcome?",
        "Mean time from the creation of a session to its end, by resolution.",
        [Query(f"{count(HANDLED, 'resolution')} / ({count(OUTCOMES, 'resolution')} > 0)", "{{resolution}}")],
        width=9,
        height=7,
        unit=CLOCK,
        decimals=None,
    ),
)
BOARD.row(
    "Which languages, which campaigns?",
    grid(
        "Which language does well?",
        "Sessions by detected language in the time range, with the shares of resolved, unresolved and negative ones.",
        _LANGUAGE,
        [
            Column("language", "Language"),
            Column(value(0, 4), "Sessions", decimals=0, width=95),
            Column(value(1, 4), "Resolved", SHARE, 1, width=120, bar=BLUE),
            Column(value(2, 4), "Unresolved", SHARE, 1, width=120, bar=VERMILLION),
            Column(value(3, 4), "Negative", SHARE, 1, width=120, bar=VERMILLION),
        ],
        width=12,
        sort="Sessions",
        empty="No session with a detected language in this window",
    ),
    grid(
        "Which value of a session variable does well?",
        "Sessions by the variables that metrics.variables names, such as a campaign, with the shares of resolved and unresolved ones.",
        _VARIABLE,
        [
            Column("variable", "Variable"),
            Column("value", "Value"),
            Column(value(0, 3), "Sessions", decimals=0, width=95),
            Column(value(1, 3), "Resolved", SHARE, 1, width=120, bar=BLUE),
            Column(value(2, 3), "Unresolved", SHARE, 1, width=120, bar=VERMILLION),
        ],
        width=12,
        sort="Sessions",
        empty="No variable is named in metrics.variables",
    ),
)
