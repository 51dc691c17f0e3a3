"""What the dashboards look like: colours that mean something, units, and the kinds of panels."""

import re

from grafana_foundation_sdk.builders import bargauge, common, dashboard, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heatmap_model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

# Okabe and Ito's palette, which colour-blind people can tell apart. Blue is good, vermillion is bad, grey is neither.
BLUE, SKY, GREEN = "#0072B2", "#56B4E9", "#009E73"
ORANGE, VERMILLION, PURPLE = "#E69F00", "#D55E00", "#CC79A7"
GREY, DARK_GREY = "#999999", "#6E6E6E"

MEANING = {
    "resolved": BLUE,
    "partially_resolved": SKY,
    "unresolved": VERMILLION,
    "not_applicable": GREY,
    "none": DARK_GREY,
    "positive": BLUE,
    "neutral": GREY,
    "negative": VERMILLION,
}

COUNT, SHARE, SECONDS, PER_MINUTE = "none", "percentunit", "s", "suffix:/min"
# How long sessions take: 00:01:12.
CLOCK = "dthms"
NO_SESSIONS = "No sessions in this window"

DATASOURCE = common_model.DataSourceRef(type_val="prometheus", uid="${datasource}")
# What every link between the dashboards takes along; a target that sets a variable itself leaves it out here.
VARIABLES = (
    "datasource",
    "cluster",
    "namespace",
    "organization",
    "job",
    "instance",
    "agent",
    "session_type",
    "channel",
    "language",
    "signal",
    "zone",
)


def link_to(uid: str, **values: str) -> str:
    """The address of a dashboard with the present time range and variables, but for those given here."""
    kept = [f"${{{name}:queryparam}}" for name in VARIABLES if name not in values]
    given = [f"var-{name}={value}" for name, value in values.items()]
    return f"/d/{uid}?" + "&".join([*given, *kept, "${__url_time_range}"])


# The page of Agntix that has a session: the hidden variable of the dashboards that lead there, as it is.
APP = "${app_url:raw}"


def field(name: str, form: str = "") -> str:
    """The value of another field in the row that is clicked. `form` is how Grafana writes it, as :percentencode."""
    return f'${{__data.fields["{name}"]{form}}}'


class Query(prometheus.Dataquery):
    """A Prometheus query. `step` is the shortest step, and so bounds $__rate_interval from below."""

    def __init__(self, expr: str, legend: str = "__auto", step: str = "", exemplar: bool = False):
        super().__init__()
        self.expr(expr).legend_format(legend).datasource(DATASOURCE)
        if step:
            self.interval(step)
        if exemplar:
            self.exemplar(True)


def _letters(queries: list[Query]) -> list[Query]:
    for letter, query in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", queries, strict=False):
        query.ref_id(letter)
    return queries


def prop(name: str, value: object) -> model.DynamicConfigValue:
    """One property of a field."""
    return model.DynamicConfigValue(id_val=name, value=value)


def fixed(colour: str) -> model.DynamicConfigValue:
    """A colour of a field."""
    return prop("color", {"mode": "fixed", "fixedColor": colour})


# What is expected, beside what came.
DASHED = [prop("custom.lineStyle", {"fill": "dash", "dash": [8, 8]}), prop("custom.lineWidth", 1), prop("custom.showPoints", "never")]


def thresholds(*steps: tuple[float | None, str]) -> dashboard.ThresholdsConfig:
    """Colours from these values on; the first has none."""
    config = dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE)
    return config.steps([model.Threshold(value=value, color=colour) for value, colour in steps])


def mapping(texts: dict[str, tuple[str, str | None]]) -> model.ValueMap:
    """Texts, and colours, for values."""
    results = enumerate(texts.items())
    return model.ValueMap(
        {
            value: model.ValueMappingResult(text=text, color=colour, index=index)
            for index, (value, (text, colour)) in results
        }
    )


MEANING_MAP = mapping({value: (value.replace("_", " "), colour) for value, colour in MEANING.items()})


def _common(
    panel, title: str, about: str, width: int, height: int, queries: list[Query], unit: str, decimals, empty: str
):
    panel.title(title).description(about).span(width).height(height).datasource(DATASOURCE)
    panel.unit(unit).no_value(empty).targets(_letters(queries))
    if decimals is not None:
        panel.decimals(decimals)
    return panel


def figure(
    title,
    about,
    queries,
    *,
    width=3,
    height=4,
    unit=COUNT,
    decimals=0,
    empty=NO_SESSIONS,
    colour=None,
    steps=None,
    texts=None,
):
    """One number, or two side by side: a share and what it is a share of."""
    for query in queries:
        query.instant()
    panel = _common(stat.Panel(), title, about, width, height, queries, unit, decimals, empty)
    panel.graph_mode(common_model.BigValueGraphMode.NONE)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
    panel.orientation(common_model.VizOrientation.VERTICAL if len(queries) > 1 else common_model.VizOrientation.AUTO)
    named = common_model.BigValueTextMode.VALUE_AND_NAME if len(queries) > 1 else common_model.BigValueTextMode.VALUE
    panel.text_mode(named).wide_layout(False).justify_mode(common_model.BigValueJustifyMode.CENTER)
    panel.text(common.VizTextDisplayOptions().value_size(26).title_size(12))
    panel.color_mode(
        common_model.BigValueColorMode.VALUE if colour or steps or texts else common_model.BigValueColorMode.NONE
    )
    if texts:
        panel.mappings([mapping(texts)])
    panel.thresholds(steps or thresholds((None, colour or GREY)))
    panel.color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    return panel


def share_figure(title, about, part, whole, *, width=4, colour=VERMILLION, empty=NO_SESSIONS, name="share"):
    """A share, and beside it the number that it is a share of."""
    panel = figure(
        title, about, [Query(part, name), Query(whole, "of")], width=width, unit=SHARE, decimals=1, empty=empty
    )
    panel.color_mode(common_model.BigValueColorMode.VALUE)
    panel.override_by_name(name, [fixed(colour)])
    return panel.override_by_name("of", [prop("unit", COUNT), prop("decimals", 0), fixed(GREY)])


def course(
    title,
    about,
    queries,
    *,
    width=12,
    height=8,
    unit=COUNT,
    decimals=None,
    empty=NO_SESSIONS,
    stack=None,
    bars=False,
    least=0,
    greatest=None,
    room=True,
):
    """A course over time."""
    panel = _common(timeseries.Panel(), title, about, width, height, queries, unit, decimals, empty)
    panel.draw_style(common_model.GraphDrawStyle.BARS if bars else common_model.GraphDrawStyle.LINE)
    panel.line_width(1 if bars or stack else 2).fill_opacity(70 if bars else 60 if stack else 0)
    panel.show_points(common_model.VisibilityMode.AUTO).point_size(5)
    panel.span_nulls(False)
    panel.tooltip(
        common.VizTooltipOptions().mode(common_model.TooltipDisplayMode.MULTI).sort(common_model.SortOrder.DESCENDING)
    )
    legend = common.VizLegendOptions().show_legend(True).display_mode(common_model.LegendDisplayMode.LIST).calcs([])
    panel.legend(legend.placement(common_model.LegendPlacement.BOTTOM))
    # For series whose names nobody knows beforehand. Grafana's own colour-blind palette is behind a feature flag, and a version
    # that does not know a palette breaks the page.
    panel.color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
    if least is not None:
        panel.min(least)
    if greatest is not None:
        panel.max(greatest)
    elif unit == SHARE and room:
        # Room above small shares, so that noise does not look like a mountain; it grows when it must.
        panel.axis_soft_max(0.5)
    if stack:
        panel.stacking(common.StackingConfig().mode(stack).group("A"))
    for name, colour in MEANING.items():
        legends = [query.build().legend_format for query in queries]
        if name in legends or "{{resolution}}" in legends or "{{sentiment}}" in legends:
            panel.override_by_name(name, [fixed(colour)])
    return panel


def beside(panel, name: str, label: str = "sessions a minute", unit: str = PER_MINUTE):
    """Draws a series as grey bars on an axis of its own, on the right: the n beside a share."""
    return panel.override_by_name(
        name,
        [
            fixed(DARK_GREY),
            prop("custom.drawStyle", "bars"),
            prop("custom.fillOpacity", 25),
            prop("custom.lineWidth", 0),
            prop("custom.axisPlacement", "right"),
            prop("custom.axisLabel", label),
            prop("custom.axisGridShow", False),
            prop("unit", unit),
            # The axis names it, and what holds for shares does not hold for it.
            prop("custom.hideFrom", {"legend": True, "tooltip": False, "viz": False}),
            prop("custom.axisSoftMax", None),
            prop("min", 0),
            prop("max", None),
        ],
    )


def heat(title, about, query, *, width=12, height=8, unit=SECONDS, empty=NO_SESSIONS, decimals=None):
    """Buckets over time; the darker, the more."""
    query.format(PromQueryFormat.HEATMAP)
    panel = _common(heatmap.Panel(), title, about, width, height, [query], unit, None, empty)
    panel.calculate(False).cell_gap(1).show_legend().show_value(common_model.VisibilityMode.NEVER)
    panel.color(
        heatmap.HeatmapColorOptions()
        .mode(heatmap_model.HeatmapColorMode.SCHEME)
        .scheme("Blues")
        .steps(64)
        .reverse(False)
        .exponent(0.5)
        .fill(BLUE)
    )
    axis = heatmap.YAxisConfig().unit(unit).axis_placement(common_model.AxisPlacement.LEFT)
    panel.y_axis(axis if decimals is None else axis.decimals(decimals))
    panel.cell_values(heatmap.CellValues().unit(COUNT).decimals(1))
    panel.exemplars_color(VERMILLION)
    tooltip = (
        heatmap.HeatmapTooltip().mode(common_model.TooltipDisplayMode.SINGLE).y_histogram(True).show_color_scale(False)
    )
    return panel.tooltip(tooltip)


def bars(title, about, queries, *, width=8, height=8, unit=COUNT, decimals=0, empty=NO_SESSIONS, colour=BLUE):
    """Horizontal bars, one a series, the longest first."""
    for query in queries:
        query.instant().expr(f"sort_desc({query.build().expr})")
    panel = _common(bargauge.Panel(), title, about, width, height, queries, unit, decimals, empty)
    panel.orientation(common_model.VizOrientation.HORIZONTAL).display_mode(common_model.BarGaugeDisplayMode.BASIC)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
    panel.value_mode(common_model.BarGaugeValueMode.TEXT).show_unfilled(True).min(0)
    panel.text(common.VizTextDisplayOptions().title_size(12).value_size(14))
    panel.sizing(common_model.BarGaugeSizing.MANUAL).min_viz_height(36).max_viz_height(44).min_viz_width(8)
    panel.name_placement(common_model.BarGaugeNamePlacement.TOP)
    panel.color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color(colour))
    panel.thresholds(thresholds((None, colour)))
    for name, meaning in MEANING.items():
        panel.override_by_name(name, [fixed(meaning)])
    return panel


class Column:
    """A column of a table: the field that Prometheus gives it, and how it is shown."""

    def __init__(
        self,
        source: str,
        name: str,
        unit: str | None = None,
        decimals: int | None = None,
        width: int | None = None,
        link: tuple[str, str] | None = None,
        hidden: bool = False,
        bar: str | None = None,
        meaning: bool = False,
        texts: dict[str, tuple[str, str | None]] | None = None,
        blank: bool = False,
    ):
        self.source, self.name, self.hidden = source, name, hidden
        self.properties = []
        if unit:
            self.properties.append(prop("unit", unit))
        if decimals is not None:
            self.properties.append(prop("decimals", decimals))
        if unit or decimals is not None or blank:
            # The text for an empty panel is none for an empty cell.
            self.properties.append(prop("noValue", "–"))
        if width:
            self.properties.append(prop("custom.width", width))
        if link:
            title, url = link
            # What is not a dashboard opens beside it.
            blank = not url.startswith("/d/")
            self.properties.append(prop("links", [{"title": title, "url": url, "targetBlank": blank}]))
        if hidden:
            # Grafana 12.1 and newer read the first, older ones the second. The field must stay for the links to use.
            self.properties.append(prop("custom.hideFrom", {"viz": True, "legend": False, "tooltip": True}))
            self.properties.append(prop("custom.hidden", True))
        if bar:
            self.properties.append(fixed(bar))
            self.properties.append(
                prop("custom.cellOptions", {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"})
            )
            self.properties.append(prop("min", 0))
            self.properties.append(prop("max", 1))
        if meaning or texts:
            self.properties.append(prop("mappings", [mapping(texts) if texts else MEANING_MAP]))
            self.properties.append(prop("custom.cellOptions", {"type": "color-text"}))


def grid(
    title,
    about,
    queries,
    columns,
    *,
    width=12,
    height=8,
    sort=None,
    descending=True,
    empty=NO_SESSIONS,
    unit=COUNT,
    without=(),
):
    """A table of the labels and values of instant queries, joined on their common labels."""
    for query in queries:
        query.instant().format(PromQueryFormat.TABLE)
    panel = _common(table.Panel(), title, about, width, height, queries, unit, None, empty)
    panel.min_width(60)
    panel.show_header(True).cell_height(common_model.TableCellHeight.SM)
    if len(queries) > 1:
        panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    order = {column.source: index for index, column in enumerate(columns)}
    names = {column.source: column.name for column in columns}
    panel.with_transformation(
        model.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": dict.fromkeys(("Time", *without), True),
                "includeByName": {},
                "indexByName": order,
                "renameByName": names,
            },
        )
    )
    for column in columns:
        if column.properties:
            panel.override_by_name(column.name, column.properties)
    if sort:
        # Where Grafana sorts by one column only, it is the first.
        by = [sort] if isinstance(sort, str) else sort
        panel.sort_by([common.TableSortByFieldState().display_name(name).desc(descending) for name in by])
    return panel


def matrix(
    title,
    about,
    query,
    *,
    rows: tuple[str, str, tuple[str, ...]],
    columns: tuple[str, list[str]],
    scheme: model.FieldColorModeId,
    width=12,
    height=9,
    unit=COUNT,
    decimals=0,
    empty=NO_SESSIONS,
):
    """A table of one value by two labels; the darker a cell, the greater it is.

    `rows`: the label of the rows, its heading, and the names of its values 0, 1, 2 …. `columns`: the label of the columns, and its values.
    """
    query.instant().format(PromQueryFormat.TABLE)
    panel = _common(table.Panel(), title, about, width, height, [query], unit, decimals, empty)
    (row, heading, names), (column, values) = rows, columns
    panel.show_header(True).cell_height(common_model.TableCellHeight.SM).min_width(36)
    crossed = f"{row}\\{column}"
    panel.with_transformation(
        model.DataTransformerConfig(
            id_val="groupingToMatrix",
            options={"rowField": row, "columnField": column, "valueField": "Value", "emptyValue": "null"},
        )
    )
    panel.with_transformation(
        model.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {},
                "includeByName": {},
                "indexByName": {name: index for index, name in enumerate([crossed, *values])},
                "renameByName": {crossed: heading},
            },
        )
    )
    panel.color_scheme(dashboard.FieldColor().mode(scheme))
    background = [prop("custom.cellOptions", {"type": "color-background", "mode": "basic"}), prop("custom.align", "center")]
    panel.override_by_regexp("/^[0-9]+$/", background)
    texts = {str(index): (name, None) for index, name in enumerate(names)}
    first = [prop("mappings", [mapping(texts)]), prop("custom.cellOptions", {"type": "auto"}), prop("custom.width", 60), prop("unit", "none")]
    panel.override_by_name(heading, first)
    return panel.sort_by([common.TableSortByFieldState().display_name(heading).desc(False)])


def value(query_index: int, queries: int) -> str:
    """What the table calls the value of a query: with its letter once there are several."""
    return f"Value #{'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[query_index]}" if queries > 1 else "Value"


def applies(name: str, expressions: list[str]) -> bool:
    """Whether a variable is used by one of the expressions."""
    return any(re.search(rf"\$({name}\b|{{{name}\b)", expression) for expression in expressions)
