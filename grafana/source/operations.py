"""Operations: how was the day, beside yesterday, last week and the last four weeks? For the lead's morning."""

from grafana_foundation_sdk.models.dashboard import FieldColorModeId

from .before import before, beside_before, beside_week, share_beside_week
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
    RECORDED,
    RESOLVED,
    TONED,
    UNRESOLVED,
    count,
    count_at_end,
    labelled,
    mean,
    mean_score,
    most,
    named,
    named_ones,
    quantile,
    select,
    share,
)
from .style import (
    BLUE,
    CLOCK,
    COUNT,
    GREY,
    NO_SESSIONS,
    ORANGE,
    SHARE,
    VERMILLION,
    Column,
    Query,
    bars,
    beside,
    course,
    field,
    fixed,
    grid,
    link_to,
    matrix,
    value,
)

# Of the panels that show the last four weeks, a day.
STEP = "$__interval"
HANDLED = "agntix_session_outcome_duration_seconds_total"
REPEATS = "agntix_session_repeat_contacts_total"
VARIABLES = "agntix_session_variables_total"
EXTRACTED = "agntix_session_extracted_values_total"
NUMBERS = "agntix_session_extracted_value"
NO_CUSTOMERS = "none known: metrics.repeat_contacts"
NO_TRANSFERS = "none known: field transferred of metrics.extracted"
NO_CSAT = "none known: field csat of metrics.extracted"
NO_OBJECTIVE = "No objective is set: agntix:threshold:resolution_objective"
TRANSFERRED, IS_CSAT = 'field="transferred"', 'field="csat"'
NOT_TRANSFERRED = f'{TRANSFERRED}, value=~"false|no"'


def first_contact(by: str) -> str:
    """Resolved sessions whose customer did not come back, of the assessed ones. `by`: within, for each window, or nothing for the longest."""
    came_back = count(REPEATS, "within", 'previous_resolution="resolved"')
    came_back = came_back if by else f"max({came_back})"
    within = "on () group_right () " if by else ""
    return f"clamp_min(({count(OUTCOMES, '', RESOLVED)} - {within}{came_back}) / {'on () group_left () ' if by else ''}({count(OUTCOMES, '', ASSESSED)} > 0), 0)"


CONTAINED = share(EXTRACTED, NOT_TRANSFERRED, TRANSFERRED)
TOLD_TRANSFERRED = count(EXTRACTED, "", TRANSFERRED)
RATED = count(NUMBERS + "_count", "", IS_CSAT)


def csat(by: str) -> str:
    """The mean of what customers say."""
    return f"{count(NUMBERS + '_sum', by, IS_CSAT)} / ({count(NUMBERS + '_count', by, IS_CSAT)} > 0)"


OF_SIGNAL = 'signal="unresolved"'


def recorded(name: str, *matchers: str) -> str:
    """What the rules recorded of the chosen agents, and of all together if all are chosen."""
    chosen = RECORDED.removesuffix(', agent_id!=""')
    return f"{name}{{{', '.join((chosen, OF_SIGNAL, *matchers))}}}"


def _of_one(expr: str) -> str:
    return f"max by (agent_id) ({expr})"


ALLOWED = _of_one(recorded("agntix:sessions_bad_share:allowed"))


def burn(window: str) -> str:
    """How many times as fast as it may the budget is used up."""
    ratio = recorded("agntix:sessions_bad_share:ratio", f'window="{window}"')
    return f"{_of_one(f'{ratio} >= 0')} / on (agent_id) {ALLOWED}"


def _totals(name: str) -> str:
    return _of_one(f"increase({recorded(name)}[4w])")


SPENT = f"{_totals('agntix:sessions_bad:sum')} / on (agent_id) ({_totals('agntix:sessions_judged:sum')} > 0)"
LEFT = f"1 - {SPENT} / on (agent_id) {ALLOWED}"


def whose(expr: str) -> str:
    """Adds agent_name; what is of no agent is of all of them."""
    told = f"({expr}) * on (agent_id) group_left (agent_name) {named_ones(expr)}"
    # In an address All is a choice; an empty value would be none.
    return labelled(told, ("agent_name", "All agents", "agent_id", ""), ("its_agent", "All", "", ""), ("its_agent", "$1", "agent_id", "(.+)"))


BOARD = Board(
    "agntix-operations",
    "How was the day? Volume, handle time, resolution, first contact resolution and sentiment beside the day and the week before and the mean of four weeks; "
    "the objective; the intents that need work; the hours of the week. For a whole day choose Yesterday as the time range.",
    "now-24h",
    "15m",
)
BOARD.top(
    share_beside_week(
        "Resolved",
        "Share of resolved sessions among those that were assessed: resolved, partially resolved or unresolved.",
        RESOLVED,
        ASSESSED,
        BLUE,
        width=4,
    ),
    beside_week(
        "First contact (FCR)",
        "First contact resolution: the share of the assessed sessions that were resolved and whose customer did not come back within the longest window of "
        "metrics.repeat_contacts. Sessions without a known customer count as if theirs did not.",
        first_contact(""),
        unit=SHARE,
        decimals=1,
        colour=BLUE,
        off=NO_CUSTOMERS,
        width=4,
    ),
    share_beside_week(
        "Negative",
        "Share of negative sessions among those whose sentiment is known.",
        NEGATIVE,
        TONED,
        VERMILLION,
        width=4,
    ),
    beside_week("Volume", "Sessions that ended in the time range.", count(ENDED), width=4),
    beside_week(
        "Handle time (AHT)",
        "Average handle time: the mean time from the creation of a session to its end.",
        mean(DURATION),
        unit=CLOCK,
        decimals=None,
        width=4,
    ),
    beside_week(
        "Median handle time",
        "Half of the sessions took no longer. Interpolated within a bucket.",
        quantile(0.5, DURATION, window=RANGE),
        unit=CLOCK,
        decimals=None,
        width=4,
    ),
)
BOARD.row(
    "How was it, beside before?",
    beside_before(
        "How was it, beside before?",
        "The numbers of the time range, of the same span a day and a week before, and their mean over the same span of the last four weeks, as far "
        "as Prometheus knows them: with fewer weeks it is the mean of those, and a span that is known in part counts too little. FCR: resolved "
        "and the customer did not come back within the longest window of metrics.repeat_contacts. Score: sentiment, from -1 to 1. An entry that is "
        "missing is not known.",
        {
            "Volume": (count(ENDED), COUNT, 0),
            "Resolved": (share(OUTCOMES, RESOLVED, ASSESSED), SHARE, 1),
            "FCR": (first_contact(""), SHARE, 1),
            "Contained": (CONTAINED, SHARE, 1),
            "AHT": (mean(DURATION), CLOCK, None),
            "Median": (quantile(0.5, DURATION, window=RANGE), CLOCK, None),
            "Negative": (share(OUTCOMES, NEGATIVE, TONED), SHARE, 1),
            "Score": (mean_score(), COUNT, 2),
            "CSAT": (csat(""), COUNT, 2),
        },
        width=24,
        height=6,
    ),
    beside(
        course(
            "How did the last four weeks go?",
            "Shares of each day of the last four weeks, whatever the time range: resolved and unresolved among the assessed sessions, negative among those "
            "whose sentiment is known. Grey bars: sessions a day. The last day is not over.",
            [
                Query(share(OUTCOMES, RESOLVED, ASSESSED, window=STEP), "resolved", step="1d"),
                Query(share(OUTCOMES, UNRESOLVED, ASSESSED, window=STEP), "unresolved", step="1d"),
                Query(share(OUTCOMES, NEGATIVE, TONED, window=STEP), "negative", step="1d"),
                Query(count(ENDED, window=STEP), "sessions", step="1d"),
            ],
            width=12,
            height=9,
            unit=SHARE,
            room=False,
        ).override_by_name("negative", [fixed(ORANGE)]),
        "sessions",
        "sessions a day",
        COUNT,
    ).time_from("4w"),
    grid(
        "How much of the error budget is left?",
        "The objective is the share of the assessed sessions that is to be resolved, at least in part; what it leaves may be unresolved. Unresolved and left: of the last four weeks, and the part of "
        "that budget that they have not used up, below 0 if they have used more. Burn: how many times as fast as it may the last 6 hours, "
        "day and 3 days used it up; above 1 the objective is missed. Needs the rules of deploy/prometheus and an objective.",
        [
            Query(whose(f"1 - {ALLOWED}")),
            Query(f"{SPENT} and on (agent_id) {ALLOWED}"),
            Query(LEFT),
            Query(burn("6h")),
            Query(burn("1d")),
            Query(burn("3d")),
        ],
        [
            Column("agent_name", "Agent", link=("This agent", link_to("agntix-agent", agent=field("its agent")))),
            Column("its_agent", "its agent", hidden=True),
            Column("agent_id", "Agent ID", hidden=True),
            Column(value(0, 6), "Objective", SHARE, 0, width=72),
            Column(value(1, 6), "Unresolved", SHARE, 1, width=100),
            Column(value(2, 6), "Budget left", SHARE, 0, width=125, bar=BLUE),
            Column(value(3, 6), "Burn 6h", decimals=2, width=72),
            Column(value(4, 6), "Burn 1d", decimals=2, width=72),
            Column(value(5, 6), "Burn 3d", decimals=2, width=72),
        ],
        width=12,
        height=9,
        sort="Budget left",
        descending=False,
        empty=NO_OBJECTIVE,
    ),
)
_INTENT = share(INTENTS, UNRESOLVED, ASSESSED, "agent_id, intent")
_INTENT_BEFORE = before(_INTENT, "1w")
_TREND = share(INTENTS, UNRESOLVED, ASSESSED, "intent", window=STEP)
BOARD.row(
    "What needs work?",
    grid(
        "Which intents need work?",
        "Intents by the number of unresolved sessions in the time range, with their share now and a week before, and by how many points of a percentage "
        "it has risen. A click opens Intents or the agent.",
        [
            # The first one has the names; the others are joined with it by agent and intent.
            Query(named(count(INTENTS, "agent_id, intent", ASSESSED)) + " > 0"),
            Query(count(INTENTS, "agent_id, intent", UNRESOLVED)),
            Query(_INTENT),
            Query(_INTENT_BEFORE),
            Query(f"100 * ({_INTENT} - {_INTENT_BEFORE})"),
        ],
        [
            Column("intent", "Intent", link=("Intents", link_to("agntix-intents", agent=field("Agent ID")))),
            Column("agent_name", "Agent", link=("This agent", link_to("agntix-agent", agent=field("Agent ID")))),
            Column("agent_id", "Agent ID", hidden=True),
            Column(value(1, 5), "Unresolved", decimals=0, width=105),
            Column(value(2, 5), "Share", SHARE, 1, width=95, bar=VERMILLION),
            Column(value(3, 5), "A week before", SHARE, 1, width=115, bar=GREY),
            Column(value(4, 5), "Change", "suffix: pp", 1, width=75),
            Column(value(0, 5), "of", decimals=0, width=55),
        ],
        width=13,
        height=9,
        sort="Unresolved",
        empty=NO_SESSIONS,
    ),
    course(
        "How did the worst intents go in four weeks?",
        "Unresolved among the assessed sessions of each day of the last four weeks, whatever the time range, of the five intents with the most unresolved "
        "sessions in them. The last day is not over.",
        [Query(most(5, "intent", _TREND, count_at_end(INTENTS, "intent", UNRESOLVED)), "{{intent}}", step="1d")],
        width=11,
        height=9,
        unit=SHARE,
    ).time_from("4w"),
)
_LANGUAGE = [
    Query(count(LANGUAGES, "language") + " > 0"),
    Query(share(LANGUAGES, RESOLVED, ASSESSED, "language")),
    Query(share(LANGUAGES, UNRESOLVED, ASSESSED, "language")),
    Query(share(LANGUAGES, NEGATIVE, TONED, "language")),
    Query(before(share(LANGUAGES, UNRESOLVED, ASSESSED, "language"), "1w")),
]
_VARIABLE = [
    Query(count(VARIABLES, "variable, value") + " > 0"),
    Query(share(VARIABLES, RESOLVED, ASSESSED, "variable, value")),
    Query(share(VARIABLES, UNRESOLVED, ASSESSED, "variable, value")),
]
BOARD.row(
    "Who comes back, and what takes long?",
    bars(
        "How many are resolved at first contact?",
        "Share of the assessed sessions that were resolved and whose customer did not come back, by how long that is looked at: the windows of metrics.repeat_contacts.",
        [Query(first_contact("within"), "within {{within}}")],
        width=8,
        unit=SHARE,
        decimals=1,
        empty=NO_CUSTOMERS,
    ).max(1),
    bars(
        "After which outcome do they come back?",
        "Repeat contacts in the time range by the resolution of the earlier session, of the longest window; longer windows hold shorter ones.",
        [Query(f"max by (previous_resolution) ({count(REPEATS, 'previous_resolution, within')})", "{{previous_resolution}}")],
        width=8,
        empty=NO_CUSTOMERS,
    ),
    bars(
        "What is the handle time of each outcome?",
        "Mean time from the creation of a session to its end, by resolution.",
        [Query(f"{count(HANDLED, 'resolution')} / ({count(OUTCOMES, 'resolution')} > 0)", "{{resolution}}")],
        width=8,
        unit=CLOCK,
        decimals=None,
    ),
)
BOARD.row(
    "Who is handed over, and who is satisfied?",
    beside_week(
        "Contained",
        "Share of the sessions that were not handed over to a person, among those that say so: the extracted field transferred is false or no. "
        "docs/contact-centre.md says how to have it.",
        CONTAINED,
        of=TOLD_TRANSFERRED,
        unit=SHARE,
        decimals=1,
        colour=BLUE,
        off=NO_TRANSFERS,
        width=5,
        height=7,
    ),
    bars(
        "Which agent hands over to people?",
        "Share of the sessions that were handed over to a person, among those that say so: the extracted field transferred is neither false nor no.",
        [
            Query(
                named(f"1 - {share(EXTRACTED, NOT_TRANSFERRED, TRANSFERRED, 'agent_id')}"),
                "{{agent_name}}",
            )
        ],
        width=7,
        height=7,
        unit=SHARE,
        decimals=1,
        colour=ORANGE,
        empty=NO_TRANSFERS,
    ).max(1),
    beside_week(
        "CSAT",
        "How satisfied customers say that they are: the mean of the extracted field csat. docs/contact-centre.md says how to have it.",
        csat(""),
        of=RATED,
        decimals=2,
        colour=BLUE,
        off=NO_CSAT,
        width=5,
        height=7,
    ),
    bars(
        "Which agent's customers are satisfied?",
        "Mean of the extracted field csat, by agent.",
        [Query(named(csat("agent_id")), "{{agent_name}}")],
        width=7,
        height=7,
        decimals=2,
        empty=NO_CSAT,
    ),
)
BOARD.row(
    "Which languages, which campaigns?",
    grid(
        "Which language does well?",
        "Sessions by detected language in the time range, with the shares of resolved, unresolved and negative ones, and the unresolved share a week before.",
        _LANGUAGE,
        [
            Column("language", "Language"),
            Column(value(0, 5), "Sessions", decimals=0, width=90),
            Column(value(1, 5), "Resolved", SHARE, 1, width=115, bar=BLUE),
            Column(value(2, 5), "Unresolved", SHARE, 1, width=115, bar=VERMILLION),
            Column(value(4, 5), "A week before", SHARE, 1, width=120, bar=GREY),
            Column(value(3, 5), "Negative", SHARE, 1, width=115, bar=VERMILLION),
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

# At the end of each hour: what this hour is called. Prometheus knows UTC alone; the variable is a distance from it, in seconds.
_HOUR = "vector(time() - 1 + $zone)"
HOUR_OF_WEEK = (
    f'label_replace(count_values("hour", hour({_HOUR})), "hour", "0$1", "hour", "(.)")'
    f' * on () group_left (weekday) count_values("weekday", (day_of_week({_HOUR}) + 6) % 7)'
)


def by_hour(metric: str, *matchers: str) -> str:
    """How many there were in each hour of the week, on average over four weeks."""
    counted = f"sum(increase({select(metric, *matchers)}[1h]))"
    return f"avg_over_time(({HOUR_OF_WEEK} * on () group_left () {counted})[4w:1h])"


DAYS = ("weekday", "Day", ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"))
HOURS = ("hour", [f"{hour:02}" for hour in range(24)])
IN_ZONE = "in the zone that Hours in chooses, a fixed distance from UTC"

BOARD.row(
    "When?",
    matrix(
        "When do sessions come?",
        f"Sessions that ended in each hour of the week, {IN_ZONE}, on average over the last four weeks.",
        Query(by_hour(ENDED)),
        rows=DAYS,
        columns=HOURS,
        scheme=FieldColorModeId.CONTINUOUS_BLUES,
        width=24,
        height=9,
        decimals=0,
    ),
    matrix(
        "When do they stay unresolved?",
        f"Share of unresolved sessions among the assessed ones that ended in each hour of the week, {IN_ZONE}, over the last four weeks.",
        Query(f"{by_hour(OUTCOMES, UNRESOLVED)} / ({by_hour(OUTCOMES, ASSESSED)} > 0)"),
        rows=DAYS,
        columns=HOURS,
        scheme=FieldColorModeId.CONTINUOUS_REDS,
        width=24,
        height=9,
        unit=SHARE,
        decimals=0,
    ),
)
