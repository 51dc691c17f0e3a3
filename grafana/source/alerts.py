"""What alerts know, as queries: rows of the alert table, and marks in the graphs.

Grafana reads no annotations of alerts, and in the text of a mark it can use labels only, not values. So the numbers of the rules of
deploy/prometheus become labels here, within the query, by count_values; no series with such labels is stored.
"""

from .queries import alerts, labelled, named_ones

# What distinguishes one alert from another; and of these, what its recorded numbers have, too.
ALERT = "alertname, severity, component, organization, job, instance, agent_id, signal, intent, session_type, session_id, source, reason, label, listener"
AGENT = "job, organization, agent_id"
# One of these at most is on an alert.
DETAILS = ("intent", "session_type", "session_id", "source", "reason", "label", "listener")


def _recorded(name: str, *matchers: str) -> str:
    # Of which job and agent is for the join with an alert to choose, which follows the variables.
    return f"{name}{{{', '.join(matchers)}}}"


def _said(text: str, words: tuple[str, ...], **numbers: tuple[str, str]) -> str:
    """Series with the label `came`: `text`, where $1, $2 and so on are the numbers, rounded, and then the labels `words`.

    Each number comes with the labels by which it is found. There is a series for each of the first one.
    """

    def number(name: str, by: str, expr: str) -> str:
        # One series at most, so that no other one is in the way of the join.
        return f'count_values by ({by}) ("{name}", max by ({by}) (round({expr})))'

    (first, (by, expr)), *rest = numbers.items()
    joined = number(first, by, expr)
    for name, (by, expr) in rest:
        joined = f"{joined} * on ({by}) group_left ({name}) {number(name, by, expr)}"
    parts = (*numbers, *words)
    joined = f'label_join({joined}, "came", ";", {", ".join(f"{chr(34)}{part}{chr(34)}" for part in parts)})'
    return labelled(joined, ("came", text, "came", ";".join(["(.*)"] * len(parts))))


def _share(pace: str) -> str:
    """The window that the alert is about: of those in excess that of the highest share. Where none is so any more, that whose share is most surely high."""
    by = f"{AGENT}, signal"
    about = " or on ({by}) ".join(
        f"topk by ({{by}}) (1, {_recorded(f'agntix:sessions_bad_share:{name}', pace)} >= 0)" for name in ("excess", "lower")
    ).replace("{by}", by)
    return _said(
        "$1 % of $2 $4 in $5, $3 % expected",
        ("signal", "window"),
        share=(f"{by}, window, pace", f"100 * {_recorded('agntix:sessions_bad_share:ratio', pace)} and ({about})"),
        n=(f"{by}, window", _recorded("agntix:sessions_judged:increase", pace)),
        expected=(f"{by}, pace", f"100 * {_recorded('agntix:sessions_bad_share:expected', pace)}"),
    )


def _burn(window: str) -> str:
    by, of = f"{AGENT}, signal", ('signal="unresolved"', f'window="{window}"')
    share = _recorded("agntix:sessions_bad_share:ratio", *of)
    return _said(
        f"$1 % of $2 unresolved in {window}, $3 % allowed",
        (),
        share=(by, f"100 * {share} >= 0"),
        n=(by, _recorded("agntix:sessions_judged:increase", *of)),
        allowed=(by, f"100 * {_recorded('agntix:sessions_bad_share:allowed')}"),
    )


def _volume(windows: str, extreme: str) -> str:
    """Of the windows the one that differs most from past weeks: `extreme` is topk or bottomk."""
    by, window = f"{AGENT}, window", f'window=~"{windows}"'
    came = _recorded("agntix:sessions_started:increase", window)
    usual = f"avg without (week) ({_recorded('agntix:sessions_started:past_weeks', window)})"
    return _said(
        "$1 started in $3, $2 expected",
        ("window",),
        started=(by, f"{came} and {extreme} by ({AGENT}) (1, {came} / ({usual} > 0))"),
        expected=(by, usual),
    )


def _handle_time() -> str:
    of = f"{AGENT}, session_type"
    came, usual = (_recorded(f"agntix:session_duration_seconds:{name}") for name in ("median", "median_before"))
    most = f"topk by ({of}) (1, abs({came} - {usual}) / {usual} >= 0)"
    return _said(
        "median $1 s in $3, $2 s before",
        ("window",),
        came=(f"{of}, window", f"{came} and {most}"),
        expected=(f"{of}, window", usual),
    )


def _intent() -> str:
    of = f"{AGENT}, intent"
    bad, judged = (_recorded(f"agntix:intent_sessions_{name}:increase") for name in ("unresolved", "judged"))
    surest = f"topk by ({of}) (1, {_recorded('agntix:intent_unresolved_share:lower')} >= 0)"
    share = f"({bad} / {judged} and {surest})"
    # These windows are recorded before they have been seen as a whole.
    known = _recorded("agntix:sessions_judged:sum", 'signal="unresolved"')
    whole = " or ".join(
        f'label_replace({known} offset {window}, "window", "{window}", "", "")' for window in ("6h", "3d")
    )
    in_whole = labelled(f"({share} and on ({AGENT}, window) ({whole}))", ("span", "in $1", "window", "(.+)"))
    return _said(
        "$1 % of $2 unresolved $4, $3 % expected",
        ("span",),
        share=(f"{of}, window, span", f"100 * ({in_whole} or on ({of}) {labelled(share, ('span', 'so far', '', ''))})"),
        n=(f"{of}, window", judged),
        expected=(of, f"100 * {_recorded('agntix:intent_unresolved_share:expected')}"),
    )


def _open_long() -> str:
    return _said(
        "at least $1 of $2 open for more than 4 h",
        (),
        long=(AGENT, _recorded("agntix:sessions_open_long:lower")),
        open=(AGENT, _recorded("agntix:sessions_open:sum")),
    )


# What came and what was expected, by the kind of alert, and the alerts of that kind by name.
SAID = {
    "spike": ("Agntix(Organization)?(Unresolved|Negative)Spike", _share('pace="fast"')),
    "elevated": ("Agntix(Organization)?(Unresolved|Negative)Elevated", _share('pace!="fast"')),
    "burn fast": ("AgntixResolutionBudgetBurnFast", _burn("6h")),
    "burn slow": ("AgntixResolutionBudgetBurnSlow", _burn("3d")),
    "silent": ("Agntix(Organization)?SessionsSilent", _volume("30m|2h|6h", "bottomk")),
    "missing": ("AgntixSessionsMissing", _volume("6h|2d", "bottomk")),
    "flood": ("Agntix(Organization)?SessionsFlood", _volume("30m|2h", "topk")),
    "handle time": ("AgntixHandleTimeShift", _handle_time()),
    "intent": ("AgntixIntentUnresolved", _intent()),
    "open long": ("AgntixSessionsOpenLong", _open_long()),
}
# The labels by which an alert finds its numbers: those that it has not, they have not either.
OF_NUMBERS = f"kind, {AGENT}, signal, session_type, intent"


def _told(found: str) -> str:
    """Alerts with what they are `about` and what `came`."""
    said = " or ".join(labelled(numbers, ("kind", kind, "", "")) for kind, (_, numbers) in SAID.items())
    # This stays where an alert still fires and its numbers are gone.
    of_kind = labelled(
        found,
        *(("kind", kind, "alertname", names) for kind, (names, _) in SAID.items()),
        ("came", "see its runbook", "", ""),
        ("came", "recent numbers may be late or missing", "component", "exporter"),
    )
    told = f"{of_kind} * on ({OF_NUMBERS}) group_left (came) ({said}) or on (alertstate, {ALERT}) {of_kind}"
    whole = labelled(
        f"({told}) * on (agent_id) group_left (agent_name) {named_ones(found)}",
        ("subject", "the exporter", "component", "exporter"),
        ("subject", "all agents", "component", "sessions"),
        ("subject", "$1", "instance", "(.+)"),
        ("subject", "$1", "agent_name", "(.+)"),
    )
    details = ", ".join(f'"{detail}"' for detail in DETAILS)
    joined = f'label_join(label_join({whole}, "detail", "", {details}), "about", ", ", "subject", "detail")'
    return labelled(joined, ("about", "$1", "about", "(.+), "))


def _runbooks() -> str:
    """Where runbooks are: one series with the label `url`. All exporters have the same, so that any will do; of one that is down the last address."""
    recorded = "agntix:runbook:url"
    of_choice = f"{recorded}{{organization=~{chr(34)}$organization|{chr(34)}, job=~{chr(34)}$job|{chr(34)}}}"
    known = (of_choice, f"{recorded}{{}}", f"last_over_time({recorded}{{}}[$__range])")
    return f"({' or on () '.join(f'topk(1, {one})' for one in known)} or on () vector(1))"


def rows(*matchers: str) -> str:
    """Alerts that fire or are pending, with the time since when their condition holds, in milliseconds, and with labels for links."""
    found = f"max by (alertstate, {ALERT}) ({alerts(*matchers)})"
    since = f"1000 * max by ({ALERT}) ({alerts(*matchers, metric='ALERTS_FOR_STATE')})"
    timed = f"({_told(found)}) * on ({ALERT}) group_left () ({since} or on ({ALERT}) NaN * max by ({ALERT}) ({alerts(*matchers)}))"
    linked = labelled(
        f"{timed} * on () group_left (url) {_runbooks()}",
        # The address has the alert's name in place of {alert}.
        *((part, f"${number}", "url", "(.*)[{]alert[}](.*)") for number, part in enumerate(("before", "after"), 1)),
        # In an address All is a choice; an empty value would be none.
        *((f"its_{name}", "All", "", "") for name in ("agent", "organization", "job", "signal")),
        ("its_agent", "$1", "agent_id", "(.+)"),
        ("its_organization", "$1", "organization", "(.+)"),
        ("its_job", "$1", "job", "(.+)"),
        ("its_signal", "unresolved", "alertname", ".*(Unresolved|Resolution).*"),
        ("its_signal", "negative", "alertname", ".*Negative.*"),
        ("board", "agntix-exporter", "component", "exporter"),
        ("board", "agntix-overview", "component", "sessions"),
        ("board", "agntix-agent", "agent_id", ".+"),
        # An alert about the exporter is about no sessions.
        ("behind", "watched sessions", "component", "sessions"),
        ("behind", "$1 sessions", "its_signal", "(unresolved|negative)"),
    )
    linked = f'label_join({linked}, "runbook", "", "before", "alertname", "after")'
    shown = "alertstate, alertname, severity, organization, about, came, behind, board, its_agent, its_organization, its_job, its_signal, runbook"
    return f"max by ({shown}) ({linked})"


def beginnings(*matchers: str) -> str:
    """Alerts that fire now and did not one step ago.

    Not a fixed time ago: how long the steps of a mark's query are is for Grafana to choose. Before version 12 it asks for a hundred of them.
    """
    firing = alerts('alertstate="firing"', *matchers)
    return _told(f"max by (alertstate, {ALERT}) ({firing} unless {firing} offset $__interval)")
