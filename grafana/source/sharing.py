"""The form in which dashboards are imported by a person, or published: it asks for the data source, and says what it requires."""

# The oldest Grafana that reads what the dashboards use. grafana/README.md says what that is, and tests/it/dashboards/schema.rs holds them to it.
OLDEST = "10.4.0"
INPUT = "DS_PROMETHEUS"
# Kinds of panels, all of which Grafana brings along, by the names that its importer shows.
PANELS = {
    "bargauge": "Bar gauge",
    "heatmap": "Heatmap",
    "histogram": "Histogram",
    "piechart": "Pie chart",
    "stat": "Stat",
    "table": "Table",
    "timeseries": "Time series",
}


def _kinds(panels: list[dict]) -> set[str]:
    inner = [kind for panel in panels for kind in _kinds(panel.get("panels", []))]
    return {*inner, *(panel["type"] for panel in panels if panel["type"] != "row")}


def to_import(board: dict) -> dict:
    """The dashboard, with an input for its data source.

    The input is what the variable `datasource` begins with, so that another one can still be chosen on the dashboard.
    """
    requires = [
        {"type": "grafana", "id": "grafana", "name": "Grafana", "version": OLDEST},
        {"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"},
        # Built in, and so of Grafana's own version.
        *({"type": "panel", "id": kind, "name": PANELS[kind], "version": ""} for kind in _kinds(board["panels"])),
    ]
    asked = {
        "name": INPUT,
        "label": "Prometheus",
        "description": "The Prometheus that scrapes the exporter.",
        "type": "datasource",
        "pluginId": "prometheus",
        "pluginName": "Prometheus",
    }
    chosen = {"selected": True, "text": f"${{{INPUT}}}", "value": f"${{{INPUT}}}"}
    variables = [
        {**variable, "current": chosen} if variable["type"] == "datasource" else variable
        for variable in board["templating"]["list"]
    ]
    return {
        **board,
        "__inputs": [asked],
        "__elements": {},
        "__requires": sorted(requires, key=lambda one: one["id"]),
        # Whoever imports it owns the copy.
        "editable": True,
        "id": None,
        "templating": {**board["templating"], "list": variables},
    }
