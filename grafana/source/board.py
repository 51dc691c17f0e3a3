"""What all dashboards share: variables, links, annotations, and where the panels stand."""

from grafana_foundation_sdk.builders import dashboard, prometheus
from grafana_foundation_sdk.models import dashboard as model

from . import alerts, queries, style

TAG = "agntix"
TITLES = {
    "agntix-overview": "Agntix / Overview",
    "agntix-operations": "Agntix / Operations",
    "agntix-conversation": "Agntix / Conversation",
    "agntix-quality": "Agntix / Quality",
    "agntix-intents": "Agntix / Intents",
    "agntix-duration": "Agntix / Duration",
    "agntix-agent": "Agntix / Agent",
    "agntix-sessions": "Agntix / Sessions",
    "agntix-exporter": "Agntix / Exporter",
}
COLUMNS = 24
# Grafana's number for the form of a dashboard: that of the oldest version that is supported, 10.4. Later ones bring it up to theirs when they read it.
SCHEMA = 39
# Distances from UTC in seconds, by name. Those of half an hour are left out: what is counted by the hour of UTC is not counted by theirs.
ZONES = [("UTC", 0), *((f"UTC{hours:+}", hours * 3600) for hours in range(-12, 15) if hours)]


def _variable(
    name: str, label: str, query: str, about: str, every: str, hide: bool, regex: str = ""
) -> dashboard.QueryVariable:
    variable = dashboard.QueryVariable(name).label(label).description(about).datasource(style.DATASOURCE)
    # Grafana's numbers for these two kinds of queries.
    kind = 1 if query.startswith("label_values(") else 3
    # The object form is what Grafana itself writes, and the text what older versions and tools read.
    variable.query({"query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery", "qryType": kind})
    variable.definition(query).regex(regex)
    variable.multi(True).include_all(True).all_value(every).current(
        model.VariableOption(selected=True, text=["All"], value=["$__all"])
    )
    variable.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(
        model.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC
    )
    variable.hide(model.VariableHide.HIDE_VARIABLE if hide else model.VariableHide.DONT_HIDE)
    return variable.options([])


def _variables(expressions: list[str]):
    def unused(name: str) -> bool:
        return not style.applies(name, expressions)

    agents = (
        f"query_result(count by (agent_id, agent_name) (agntix_agent_info{{{queries.EXPORTER}}}) or on (agent_id)"
        f" count by (agent_id) (agntix_sessions_started_total{{{queries.EXPORTER}}}))"
    )
    of_agents = f'{queries.EXPORTER}, agent_id=~"$agent"'
    place = 'cluster=~"$cluster", namespace=~"$namespace"'
    return [
        dashboard.DatasourceVariable("datasource")
        .label("Data source")
        .type("prometheus")
        .description("The Prometheus that scrapes the exporter.")
        .current(model.VariableOption(selected=True, text="Prometheus", value="prometheus"))
        .hide(model.VariableHide.DONT_HIDE),
        _variable(
            "cluster",
            "Cluster",
            "label_values(agntix_exporter_build_info, cluster)",
            "The cluster, by the label that Prometheus or metrics.static_labels sets. Without that label there is only All.",
            ".*",
            False,
        ),
        _variable(
            "namespace",
            "Namespace",
            'label_values(agntix_exporter_build_info{cluster=~"$cluster"}, namespace)',
            "The namespace, by the label that Prometheus Operator sets. Without that label there is only All.",
            ".*",
            False,
        ),
        _variable(
            "organization",
            "Organization",
            f"label_values(agntix_exporter_build_info{{{place}}}, organization)",
            "The organization, by the label that metrics.static_labels or the scrape configuration sets. Without that label there is only All.",
            ".*",
            False,
        ),
        _variable(
            "job",
            "Job",
            f'label_values(agntix_exporter_build_info{{{place}, organization=~"$organization"}}, job)',
            "The scrape job of the exporter.",
            ".+",
            False,
        ),
        _variable(
            "instance",
            "Instance",
            f'label_values(agntix_exporter_build_info{{{place}, organization=~"$organization", job=~"$job"}}, instance)',
            "The exporter. Each exporter of one organization counts all of its sessions: choose one of them.",
            ".+",
            False,
        ),
        _variable(
            "agent",
            "Agent",
            agents,
            "The agents, by name.",
            ".*",
            unused("agent"),
            '/agent_name="(?<text>[^"]+)|agent_id="(?<value>[^"]+)/g',
        ),
        _variable(
            "session_type",
            "Type",
            f"label_values(agntix_sessions_started_total{{{of_agents}}}, session_type)",
            "Voice or chat.",
            ".*",
            unused("session_type"),
        ),
        _variable(
            "channel",
            "Channel",
            f'label_values(agntix_sessions_started_total{{{of_agents}, session_type=~"$session_type"}}, platform)',
            "The platform that the conversation takes place on: phone, web, WhatsApp.",
            ".*",
            unused("channel"),
        ),
        _variable(
            "language",
            "Language",
            f"label_values(agntix_session_languages_total{{{of_agents}}}, language)",
            "The detected language.",
            ".*",
            unused("language"),
        ),
        dashboard.CustomVariable("signal")
        .label("Signal")
        .description("What is wrong with the session: it is unresolved, or its sentiment is negative. All: watched for whatever reason.")
        .values("unresolved,negative")
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
        .hide(model.VariableHide.HIDE_VARIABLE if unused("signal") else model.VariableHide.DONT_HIDE),
        dashboard.CustomVariable("zone")
        .label("Hours in")
        .description("What the hours of the week are told in: a fixed distance from UTC. Daylight saving time is one hour more.")
        .values(",".join(f"{name} : {seconds}" for name, seconds in ZONES))
        .current(model.VariableOption(selected=True, text="UTC", value="0"))
        .hide(model.VariableHide.HIDE_VARIABLE if unused("zone") else model.VariableHide.DONT_HIDE),
    ]


def _app() -> dashboard.QueryVariable:
    """The address of Agntix, for the dashboards that lead there: that of the rules, else the built-in one.

    It is asked for when the dashboard is opened and not again, so that another one in the dashboard's own address (var-app_url) stays.
    """
    variable = _variable(
        "app_url",
        "Agntix",
        f"query_result({queries.settings('app_url')})",
        "Where sessions are opened: app_url of agntix-settings.yml. Another address can be given in that of the dashboard, as var-app_url.",
        "",
        True,
        '/app_url="([^"]+)"/',
    )
    address = queries.LINKS["app_url"]
    variable.multi(False).include_all(False).current(model.VariableOption(selected=True, text=address, value=address))
    variable._internal.all_value = None
    return variable.refresh(model.VariableRefresh.ON_DASHBOARD_LOAD).sort(model.VariableSort.DISABLED)


def _leads_to_app(panel: model.Panel) -> bool:
    properties = [prop for rule in panel.field_config.overrides or [] for prop in rule.properties]
    return any(style.APP in link["url"] for prop in properties if prop.id_val == "links" for link in prop.value)


def _alerts() -> dashboard.AnnotationQuery:
    """Marks where critical alerts began to fire, with what came and what was expected.

    Not how long they fired: Grafana shades such spans over the graph, and the shades of an incident's several alerts add up
    until they hide it.
    """
    # The chart, and whoever renames severities with deploy/prometheus/apply, replaces this very text.
    query = alerts.beginnings('severity="critical"')
    target = prometheus.Dataquery().expr(query).ref_id("Anno").datasource(style.DATASOURCE).interval("1m")
    return (
        dashboard.AnnotationQuery()
        .name("Alerts")
        .datasource(style.DATASOURCE)
        .enable(True)
        .icon_color(style.VERMILLION)
        .expr(query)
        .step("1m")
        .title_format("{{alertname}}")
        .text_format("{{about}}: {{came}}")
        .tag_keys("severity,organization")
        .target(target)
    )


# What the description of a panel adds where the dashboard has a variable that the panel cannot follow.
EXCEPT = {"agent": "agent", "session_type": "type", "channel": "channel", "language": "language", "signal": "signal"}


class Board:
    """A dashboard in the making. Panels are set from left to right, and a new line begins when the width is used up."""

    def __init__(self, uid: str, about: str, span: str = "now-6h", refresh: str = "1m"):
        self.uid, self.about, self.span, self.refresh = uid, about, span, refresh
        self.rows: list[tuple[str | None, bool, list]] = [(None, False, [])]

    def row(self, title: str, *panels, folded: bool = False) -> "Board":
        """Panels under a heading; folded ones are queried when they are opened."""
        self.rows.append((title, folded, list(panels)))
        return self

    def top(self, *panels) -> "Board":
        """Panels above the first heading."""
        self.rows[0][2].extend(panels)
        return self

    def _expressions(self) -> list[str]:
        return [target.expr for _, _, panels in self.rows for panel in panels for target in panel.build().targets]

    def build(self) -> model.Dashboard:
        """The dashboard."""
        expressions = self._expressions()
        board = dashboard.Dashboard(TITLES[self.uid]).uid(self.uid).description(self.about).tags([TAG])
        board.readonly().timezone("browser").time(self.span, "now").refresh(self.refresh).tooltip(
            model.DashboardCursorSync.CROSSHAIR
        )
        board.timepicker(dashboard.TimePicker().refresh_intervals(["30s", "1m", "5m", "15m", "1h"]))
        to_app = any(_leads_to_app(panel.build()) for _, _, panels in self.rows for panel in panels)
        board.variables([*_variables(expressions), *([_app()] if to_app else [])]).annotations([_alerts()])
        for uid, title in TITLES.items():
            if uid != self.uid:
                board.link(
                    dashboard.DashboardLink(title.removeprefix("Agntix / "))
                    .type(model.DashboardLinkType.LINK)
                    .url(f"/d/{uid}")
                    .include_vars(True)
                    .keep_time(True)
                    .icon("dashboard")
                    .tooltip(f"{title}, same time and variables")
                )
        number, y = 1, 0
        for title, folded, panels in self.rows:
            placed = []
            if title is not None:
                heading = dashboard.Row(title).collapsed(folded).id(number)
                heading.grid_pos(model.GridPos(x=0, y=y, w=COLUMNS, h=1))
                number, y = number + 1, y + 1
            x = tallest = 0
            for panel in panels:
                built = panel.build()
                if x + built.grid_pos.w > COLUMNS:
                    x, y, tallest = 0, y + tallest, 0
                built.grid_pos.x, built.grid_pos.y = x, y
                x, tallest = x + built.grid_pos.w, max(tallest, built.grid_pos.h)
                built.id_val, number = number, number + 1
                self._note_exceptions(built, expressions)
                placed.append(built)
            if title is not None and folded:
                row = heading.build()
                row.panels = placed
                board._internal.panels = [*(board._internal.panels or []), row]
                # What follows stands right below the folded heading.
                y = row.grid_pos.y + 1
                continue
            if title is not None:
                board._internal.panels = [*(board._internal.panels or []), heading.build()]
            board._internal.panels = [*(board._internal.panels or []), *placed]
            y += tallest
        built = board.build()
        built.schema_version = SCHEMA
        return built

    def _note_exceptions(self, panel: model.Panel, expressions: list[str]) -> None:
        own = [target.expr for target in panel.targets]
        ignored = [
            name for key, name in EXCEPT.items() if style.applies(key, expressions) and not style.applies(key, own)
        ]
        if ignored and self.uid != "agntix-exporter":
            choice = ", ".join(ignored[:-1]) + (" or " if ignored[:-1] else "") + ignored[-1]
            panel.description = f"{panel.description} Does not follow the choice of {choice}."
