"""PromQL, put together from the few forms that all dashboards use.

A count over the whole time range of the dashboard is an `increase` over `$__range`; a course over time is a `rate` over
`$__rate_interval`. A share is divided by a count above 0 only, so that an empty window is empty instead of NaN.
"""

RANGE = "$__range"
RATE = "$__rate_interval"

# What a selector is narrowed by: the variables whose labels the metric has. A series without a cluster, a namespace or an organization is in the
# choice of all of them.
TARGET = 'cluster=~"$cluster", namespace=~"$namespace", job=~"$job", instance=~"$instance"'
EXPORTER = 'organization=~"$organization", ' + TARGET
AGENT = EXPORTER + ', agent_id=~"$agent"'
CHANNEL = AGENT + ', session_type=~"$session_type", platform=~"$channel"'
LANGUAGE = AGENT + ', language=~"$language"'
WATCHED = CHANNEL + ', language=~"$language"'

BY_CHANNEL = {
    "agntix_sessions_started_total",
    "agntix_sessions_ended_total",
    "agntix_session_outcomes_total",
    "agntix_session_duration_seconds",
    "agntix_session_sentiment_score",
    "agntix_session_sentiment_score_positive_total",
    "agntix_session_sentiment_score_negative_total",
    "agntix_sessions_open",
    "agntix_session_outcome_duration_seconds_total",
    "agntix_session_messages_total",
    "agntix_session_turns",
    "agntix_session_first_response_seconds",
    "agntix_session_response_seconds",
    "agntix_sessions_unanswered_total",
    "agntix_sessions_silent_total",
}
BY_AGENT = {
    "agntix_session_intents_total",
    "agntix_session_resolution_confidence",
    "agntix_session_intent_confidence",
    "agntix_session_extracted_values_total",
    "agntix_session_extracted_value",
    "agntix_session_analysis_timeouts_total",
    "agntix_session_reclassifications_total",
    "agntix_sessions_awaiting_analysis",
    "agntix_agent_info",
    "agntix_session_variables_total",
    "agntix_session_repeat_contacts_total",
}

# What Prometheus says of a target by itself: labels of the exporter's own pages are not on it.
OF_TARGETS = {"up", "scrape_duration_seconds", "scrape_samples_scraped"}

CHANNEL_PARTS = ("session_type", "platform", "direction")
PER_CHANNEL = ", ".join(CHANNEL_PARTS)

STARTED = "agntix_sessions_started_total"
ENDED = "agntix_sessions_ended_total"
OUTCOMES = "agntix_session_outcomes_total"
INTENTS = "agntix_session_intents_total"
LANGUAGES = "agntix_session_languages_total"
DURATION = "agntix_session_duration_seconds"
SCORE = "agntix_session_sentiment_score"

# Sessions whose problem could be judged, and those whose tone could.
ASSESSED = 'resolution=~"resolved|partially_resolved|unresolved"'
UNRESOLVED = 'resolution="unresolved"'
RESOLVED = 'resolution="resolved"'
TONED = 'sentiment=~"positive|neutral|negative"'
NEGATIVE = 'sentiment="negative"'

# The alerts of deploy/prometheus about the chosen organizations, jobs and agents, or about none in particular.
ALERTS_OF_CHOICE = 'alertname=~"Agntix.*", cluster=~"$cluster|", namespace=~"$namespace|", organization=~"$organization|", job=~"$job|", agent_id=~"$agent|"'

# What the rules of deploy/prometheus record of agents has no instance, and a cluster or a namespace only if Prometheus gives it to all that it records;
# without an agent it is of all of them together.
RECORDED = 'cluster=~"$cluster|", namespace=~"$namespace|", organization=~"$organization", job=~"$job", agent_id=~"$agent", agent_id!=""'

# Links of agntix-settings.yml, as they are there.
LINKS = {"app_url": "https://app.agntix.ai/en/logs-history"}

# Scores and confidences end at the last bound, so that the row above it would always be empty.
NO_INFINITY = 'le!="+Inf"'


def select(metric: str, *matchers: str) -> str:
    """A selector with all variables that apply to the metric."""
    family = metric
    for suffix in ("_bucket", "_count", "_sum"):
        family = family.removesuffix(suffix)
    if family in BY_CHANNEL:
        scope = CHANNEL
    elif family in BY_AGENT:
        scope = AGENT
    elif family == LANGUAGES:
        scope = LANGUAGE
    elif family == "agntix_watched_session_info":
        scope = WATCHED
    elif family in OF_TARGETS:
        scope = TARGET
    else:
        scope = EXPORTER
    return f"{metric}{{{', '.join((scope, *matchers))}}}"


def _by(function: str, labels: str, inner: str) -> str:
    return f"{function} by ({labels}) ({inner})" if labels else f"{function}({inner})"


def count(metric: str, by: str = "", *matchers: str, window: str = RANGE) -> str:
    """How many in the window."""
    return _by("sum", by, f"increase({select(metric, *matchers)}[{window}])")


def per_minute(metric: str, by: str = "", *matchers: str) -> str:
    """How many a minute, over time."""
    return "60 * " + _by("sum", by, f"rate({select(metric, *matchers)}[{RATE}])")


def per_second(metric: str, by: str = "", *matchers: str) -> str:
    """How many, or how much, a second, over time."""
    return _by("sum", by, f"rate({select(metric, *matchers)}[{RATE}])")


def share(metric: str, part: str, whole: str, by: str = "", window: str = RANGE) -> str:
    """The part of the whole, where there is a whole."""
    matchers = [whole] if whole else []
    # Each count is extrapolated for itself; what comes out above 1 is 1.
    return (
        f"clamp_max({count(metric, by, part, window=window)} / ({count(metric, by, *matchers, window=window)} > 0), 1)"
    )


def gauge(function: str, metric: str, by: str = "", *matchers: str) -> str:
    """A gauge, aggregated."""
    return _by(function, by, select(metric, *matchers))


def quantile(q: float, metric: str, by: str = "", window: str = RATE) -> str:
    """A quantile of a histogram of values that are not negative; empty, not NaN, when nothing was observed."""
    labels = f"le, {by}" if by else "le"
    buckets = select(metric + "_bucket")
    function = "rate" if window == RATE else "increase"
    return f"histogram_quantile({q}, {_by('sum', labels, f'{function}({buckets}[{window}])')}) >= 0"


def mean(metric: str, by: str = "", window: str = RANGE) -> str:
    """The mean of a histogram."""
    return f"{count(metric + '_sum', by, window=window)} / ({count(metric + '_count', by, window=window)} > 0)"


def mean_score(by: str = "", window: str = RANGE) -> str:
    """The mean sentiment score. Its histogram has neither a sum, which could fall, nor in OpenMetrics a count."""
    positive = count(SCORE + "_positive_total", by, window=window)
    negative = count(SCORE + "_negative_total", by, window=window)
    # Each sum is extrapolated for itself, which shows when there are few.
    return f"clamp(({positive} - {negative}) / ({scored(by, window)} > 0), -1, 1)"


def scored(by: str = "", window: str = RANGE) -> str:
    """How many sessions have a sentiment score."""
    return count(SCORE + "_bucket", by, 'le="+Inf"', window=window)


def agent_names() -> str:
    """One series an agent, with its name; the id stands for the name of an agent that the API does not list."""
    listed = f"topk by (agent_id) (1, {select('agntix_agent_info')})"
    seen = f"group by (agent_id) ({STARTED}{{{AGENT}}})"
    return f'({listed} or on (agent_id) label_replace({seen}, "agent_name", "$1", "agent_id", "(.*)"))'


def named(expr: str) -> str:
    """Adds agent_name to what has an agent_id."""
    return f"({expr}) * on (agent_id) group_left (agent_name) {agent_names()}"


def named_ones(expr: str) -> str:
    """One series an agent of `expr`, with its name: also for agents that no exporter knows, and without a name for what is of no agent."""
    return f'({agent_names()} or on (agent_id) label_replace(group by (agent_id) ({expr}), "agent_name", "$1", "agent_id", "(.*)"))'


def alerts(*matchers: str, metric: str = "ALERTS") -> str:
    """A selector of alerts."""
    return f"{metric}{{{', '.join((ALERTS_OF_CHOICE, *matchers))}}}"


def of_exporters(metric: str, over: str = "", shown: str = "agntix_exporter_build_info") -> str:
    """A metric that other targets have, too, narrowed to exporters: with all jobs chosen, job does not do that.

    With a window, to those that were exporters at any time in it, so that one that is down now is among them. Every process shows its
    build_info; agntix_up is shown by what has the sessions, which is one target for all replicas that share them.
    """
    exporter = select(shown)
    return f"{select(metric)} and on (job, instance) {f'last_over_time({exporter}[{over}])' if over else exporter}"


def expected_share(signal: str) -> str:
    """The share that the alert rules expect of the chosen agents: of several the mean, weighted by how many sessions of the last hour were judged."""
    agent = "cluster, namespace, organization, job, agent_id"
    each = f'agntix:sessions_bad_share:expected{{{RECORDED}, signal="{signal}", pace="fast"}}'
    judged = f'agntix:sessions_judged:increase{{{RECORDED}, signal="{signal}", window="1h"}}'
    # An agent without sessions weighs as if it had one, so that the line does not end when there are none.
    weight = f"clamp_min({judged}, 1)"
    return f"sum({each} * on ({agent}) {weight}) / sum({weight} and on ({agent}) {each})"


def expected_of_agents(signal: str) -> str:
    """The share that the alert rules expect of each of the chosen agents."""
    return f'max by (agent_id) (agntix:sessions_bad_share:expected{{{RECORDED}, signal="{signal}", pace="fast"}})'


def labelled(expr: str, *steps: tuple[str, str, str, str]) -> str:
    """Sets labels one after another: name, value, and the label and the pattern (of all of its value) that it is set for."""
    for name, value, source, pattern in steps:
        expr = f'label_replace({expr}, "{name}", "{value}", "{source}", "{pattern}")'
    return expr


def settings(*labels: str) -> str:
    """One series with these of the links of agntix-settings.yml as labels; the built-in ones where the rules are not loaded."""
    built_in = labelled("vector(1)", *((label, LINKS[label], "", "") for label in labels))
    return f"(topk(1, agntix:setting:links{{}}) or on () {built_in})"


def channels(expr: str) -> str:
    """Adds a label that says what a channel is made of: voice phone inbound."""
    return f'label_join({expr}, "channel", " ", {", ".join(f"{chr(34)}{part}{chr(34)}" for part in CHANNEL_PARTS)})'


def most(n: int, label: str, expr: str, ranking: str) -> str:
    """`expr` for the n values of `label` that rank highest over the whole time range, the same at each of its steps."""
    return f"{expr} and on ({label}) topk({n}, {ranking})"


def count_at_end(metric: str, by: str, *matchers: str) -> str:
    """How many in the whole time range, the same at each of its steps."""
    return _by("sum", by, f"increase({select(metric, *matchers)}[{RANGE}] @ end())")
