"""Panels that stand on several dashboards."""

from .alerts import rows
from .before import at_end
from .queries import (
    ASSESSED,
    DURATION,
    ENDED,
    EXPORTER,
    NEGATIVE,
    OUTCOMES,
    RANGE,
    RATE,
    TONED,
    UNRESOLVED,
    count,
    count_at_end,
    expected_of_agents,
    gauge,
    labelled,
    named,
    of_exporters,
    per_minute,
    quantile,
    share,
)
from .style import (
    BLUE,
    CLOCK,
    DASHED,
    GREY,
    ORANGE,
    PER_MINUTE,
    PURPLE,
    SHARE,
    SKY,
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
    prop,
    value,
)

# The shortest step of a share over time: what is divided needs some sessions in it.
STEADY = "5m"
# The shortest step of a count over time.
CALM = "1m"


def freshness(width: int = 4, height: int = 4):
    """Whether the numbers are complete. Nothing on a dashboard is worth more than this."""
    # The same agent from several exporters: they watch one organization, and every sum counts its sessions several times.
    several = f"max(count by (agent_id) (agntix_agent_info{{{EXPORTER}}})) > bool 1 or vector(0)"
    lag, refused = gauge("max", "agntix_exporter_catching_up"), f"(1 - {gauge('min', 'agntix_up')})"
    # Of replicas that is the target with their page, which any of them serves.
    down = f"(min({of_exporters('up', RANGE, 'agntix_up')}) == bool 0 or vector(0))"
    twice = ("Counted twice", VERMILLION)
    is_down = ("One is down", VERMILLION)
    refuses = ("API refuses", VERMILLION)
    return figure(
        "Trust the numbers?",
        "Yes: the API answers and what has ended is counted. Catching up: the look-back or a backlog is being worked off, so that recent "
        "numbers are still too low. API refuses: the API does not answer with our credential, and nothing new is counted. Counted twice: "
        "several exporters of one organization are chosen, each of which counts all of its sessions; choose one instance. One is down: an "
        "exporter among the chosen cannot be scraped, or none of several replicas, and its sessions are missing in every sum.",
        [Query(f"{lag} + 2 * {refused} + 4 * ({several}) + 8 * {down}")],
        width=width,
        height=height,
        empty="No exporter",
        texts={
            "0": ("Yes", BLUE),
            "1": ("Catching up", ORANGE),
            "2": refuses,
            "3": refuses,
            "4": twice,
            "5": twice,
            "6": refuses,
            "7": refuses,
            **{str(value): is_down for value in range(8, 16)},
        },
    )


def alerts_table(*matchers: str, width: int = 24, height: int = 6):
    """Alerts that fire or are about to, and the ways from there."""
    of_row = {name: field(f"its {name}") for name in ("agent", "job", "signal")}
    of_row["organization"] = field("its organization", ":percentencode")
    return grid(
        "Which alerts?",
        "Agntix alerts that are firing, or pending: their condition holds since then, but not yet for long enough. Those about the chosen "
        "organizations, jobs and agents, and those about none in particular; instance is not followed. A click on an alert opens its runbook, on what "
        "it is about the dashboard of that, and on the sessions those that are watched, with the time range kept.",
        [Query(rows(*matchers))],
        [
            Column(
                "alertstate",
                "State",
                width=80,
                texts={"firing": ("firing", VERMILLION), "pending": ("pending", ORANGE)},
            ),
            Column(
                "severity",
                "Severity",
                width=85,
                texts={"critical": ("critical", VERMILLION), "warning": ("warning", ORANGE)},
            ),
            Column("alertname", "Alert", width=290, link=("Runbook", field("Runbook"))),
            Column("about", "About", width=260, link=("Its dashboard", link_to(field("Board"), **of_row))),
            Column("came", "What came, and what was expected"),
            Column("behind", "Sessions", width=165, blank=True, link=("The sessions behind it", link_to("agntix-sessions", **of_row))),
            Column("Value", "Since", "dateTimeAsLocal", width=165),
            Column("organization", "Organization", width=130),
            *(Column(f"its_{name}", f"its {name}", hidden=True) for name in of_row),
            Column("board", "Board", hidden=True),
            Column("runbook", "Runbook", hidden=True),
        ],
        width=width,
        height=height,
        sort=("State", "Severity"),
        descending=False,
        empty="No alert is pending or firing",
    )


def agents_table(width: int = 15, height: int = 8, title: str = "Which agent?"):
    """All agents, the worst first."""
    by = "agent_id"
    bad = count(OUTCOMES, by, UNRESOLVED)
    # The first one and that of open sessions have the names; the others are joined with them by the agent's id.
    queries = [
        Query(named(count(ENDED, by))),
        Query(count(OUTCOMES, by, UNRESOLVED)),
        Query(share(OUTCOMES, UNRESOLVED, ASSESSED, by)),
        Query(expected_of_agents("unresolved")),
        Query(count(OUTCOMES, by, ASSESSED)),
        Query(share(OUTCOMES, NEGATIVE, TONED, by)),
        Query(count(OUTCOMES, by, TONED)),
        Query(quantile(0.5, DURATION, by, window=RANGE)),
        Query(named(gauge("sum", "agntix_sessions_open", by))),
        # An agent that nothing is expected of has all of its own.
        Query(f"{bad} - on (agent_id) {count(OUTCOMES, by, ASSESSED)} * on (agent_id) {expected_of_agents('unresolved')} or on (agent_id) {bad}"),
    ]
    n = len(queries)
    return grid(
        title,
        "Each agent in the time range, the most unresolved sessions beyond what is expected first: how many ended, the share of unresolved ones among the assessed "
        "and of negative ones among those whose sentiment is known, each with the number that it is a share of, and the median duration. Expected is "
        "the share that the alert rules expect now, if they are loaded; beyond, how many more sessions are unresolved than that would be. "
        "A click opens the agent.",
        queries,
        [
            Column("agent_name", "Agent", link=("This agent", link_to("agntix-agent", agent=field("Agent ID")))),
            Column("agent_id", "Agent ID", hidden=True),
            Column(value(0, n), "Ended", decimals=0, width=70),
            Column(value(1, n), "Unresolved", decimals=0, width=110),
            Column(value(2, n), "Share", SHARE, 1, width=110, bar=VERMILLION),
            Column(value(3, n), "Expected", SHARE, 1, width=110, bar=GREY),
            Column(value(9, n), "Beyond", decimals=0, width=80),
            Column(value(4, n), "of", decimals=0, width=65),
            Column(value(5, n), "Negative", SHARE, 1, width=110, bar=VERMILLION),
            Column(value(6, n), "of ", decimals=0, width=65),
            Column(value(7, n), "Median", CLOCK, width=85),
            Column(value(8, n), "Open", decimals=0, width=65),
        ],
        width=width,
        height=height,
        sort="Beyond",
    )


def outcome_course(width: int = 12, height: int = 8):
    """Sessions by resolution, stacked."""
    return course(
        "How do sessions end?",
        "Sessions a minute by resolution, stacked. none: without an analysis. Points are unresolved sessions; a click on one opens it.",
        [
            Query(per_minute(OUTCOMES, "resolution", UNRESOLVED), "{{resolution}}", step=CALM, exemplar=True),
            Query(per_minute(OUTCOMES, "resolution", 'resolution!="unresolved"'), "{{resolution}}", step=CALM),
        ],
        width=width,
        height=height,
        unit=PER_MINUTE,
        stack="normal",
    )


def sentiment_course(width: int = 12, height: int = 8):
    """Sessions by sentiment, stacked."""
    return course(
        "In what mood do they end?",
        "Sessions a minute by sentiment, stacked. none: without an analysis. Points are negative sessions; a click on one opens it.",
        [
            Query(per_minute(OUTCOMES, "sentiment", NEGATIVE), "{{sentiment}}", step=CALM, exemplar=True),
            Query(per_minute(OUTCOMES, "sentiment", 'sentiment!="negative"'), "{{sentiment}}", step=CALM),
        ],
        width=width,
        height=height,
        unit=PER_MINUTE,
        stack="normal",
    )


# The agents that are drawn one by one, the first one first.
DRAWN = (VERMILLION, ORANGE, PURPLE, SKY)


def share_course(title: str, about: str, signal: str, part: str, whole: str, width: int = 12, height: int = 8):
    """The share of the agents that stand out, beside what is expected of them, and the number that all of them are shares of."""
    bad, judged = (count_at_end(OUTCOMES, "agent_id", matcher) for matcher in (part, whole))
    expected = expected_of_agents(signal)
    # Sessions beyond what is expected; an agent that nothing is expected of has all of its own.
    excess = f"({bad} - on (agent_id) {judged} * on (agent_id) {at_end(expected)} or on (agent_id) {bad})"
    both = (share(OUTCOMES, part, whole, "agent_id", window=RATE), labelled(expected, ("what", ", expected", "", "")))

    def ranked(rank: int) -> str:
        # One query each, so that a colour is that of a place, and share and expectation have the same.
        those = f"topk({rank}, {excess})" + (f" unless topk({rank - 1}, {excess})" if rank > 1 else "")
        return named(f"({' or '.join(both)}) and on (agent_id) ({those})")

    panel = course(
        title,
        f"{about} Drawn are the {len(DRAWN)} agents with the most such sessions beyond what is expected, the first one in red; dashed, in the same colour: the "
        "share that the alert rules expect, if they are loaded. Grey bars: how many sessions a minute that is, all agents together. A gap: no session.",
        [
            *(Query(ranked(rank), "{{agent_name}}{{what}}", step=STEADY) for rank in range(1, len(DRAWN) + 1)),
            Query(per_minute(OUTCOMES, "", whole), "sessions", step=STEADY),
        ],
        width=width,
        height=height,
        unit=SHARE,
    )
    for letter, colour in zip("ABCD", DRAWN, strict=True):
        panel.override_by_query(letter, [fixed(colour)])
    panel.override_by_regexp("/, expected$/", [*DASHED, prop("custom.hideFrom", {"legend": True, "tooltip": False, "viz": False})])
    return beside(panel, "sessions")
