"""Numbers beside what they were: a day, a week, or four weeks before."""

import re

from .queries import OUTCOMES, count, labelled, share
from .style import BLUE, COUNT, DARK_GREY, GREY, SHARE, Column, Query, common, common_model, figure, grid, mapping, model, prop, value

# The last four weeks, week by week.
WEEKS = ("1w", "2w", "3w", "4w")
# A selector, with its range if it has one.
SELECTOR = re.compile(r"\{[^}]*\}(\[[^\]]*\])?")
# So many points has the line below a number: each is counted over the whole time range.
POINTS = 20


def before(expr: str, offset: str) -> str:
    """The same, so long before."""
    return SELECTOR.sub(rf"\g<0> offset {offset}", expr)


def at_end(expr: str, offset: str = "") -> str:
    """The same at the end of the time range, at each of its steps; or so long before that."""
    return SELECTOR.sub(rf"\g<0> @ end(){f' offset {offset}' if offset else ''}", expr)


def of_weeks(expr: str) -> str:
    """The mean of the last four weeks, as far as they are known."""
    weeks = (f'label_replace({before(expr, week)}, "week", "{week}", "", "")' for week in WEEKS)
    return f"avg({' or '.join(weeks)})"


def _change(expr: str, points: bool) -> str:
    """One series with the label `change`: by how much the number differs from a week before, in points of a percentage or in percent."""
    now, then = at_end(expr), at_end(expr, "1w")
    change = f"round(100 * ({now} - ({then})), 0.1)" if points else f"round(100 * (({now}) / (({then}) > 0) - 1))"
    text = labelled(
        f'count_values("change", {change})',
        ("change", "+$1", "change", "([0-9].*)"),
        ("change", f"$1 {'pp' if points else '%'} in a week", "change", "(.*)"),
    )
    return f'({text} or on () {labelled("vector(1)", ("change", "no week before", "", ""))})'


def beside_week(title: str, about: str, expr: str, *, of: str = "", unit=COUNT, decimals=0, colour=GREY, empty="No sessions", off="", width=3, height=5):
    """A number, how it went in the time range, and how it differs from a week before.

    `of`: what a share is a share of. `off`: said in small letters where there is no number; what is said of an empty panel is as large as a number.
    """
    beside = _change(expr, unit == SHARE)
    if of:
        n = f'count_values("n", round({at_end(of)}))'
        joined = f'label_join({n} * on () group_left (change) {beside}, "change", ", ", "n", "change")'
        beside = labelled(joined, ("change", "of $1", "change", "(.*)"))
    shown = f"({expr}) * on () group_left (change) {beside}"
    if off:
        shown = f"{shown} or on () ({labelled('vector(NaN)', ('change', off, '', ''))} unless on () ({at_end(expr)}))"
    query = Query(shown, "{{change}}")
    more = "The line is the same number as it was at each moment, over as long a time. "
    more += "Below it: how it differs from a week before" + (", in points of a percentage" if unit == SHARE else "")
    panel = figure(title, f"{about} {more}.", [query], width=width, height=height, unit=unit, decimals=decimals, empty=empty, colour=colour)
    query.range()
    if off:
        nothing = model.DashboardSpecialValueMapOptions(match=model.SpecialValueMatch.NULL_AND_NAN, result=model.ValueMappingResult(text="–", color=DARK_GREY))
        panel.mappings([model.SpecialValueMap(options=nothing)])
    panel.max_data_points(POINTS).graph_mode(common_model.BigValueGraphMode.AREA)
    # In the middle the number would stand on the line.
    panel.justify_mode(common_model.BigValueJustifyMode.AUTO).text(common.VizTextDisplayOptions().value_size(26).title_size(11))
    return panel.text_mode(common_model.BigValueTextMode.VALUE_AND_NAME)


def share_beside_week(title: str, about: str, part: str, whole: str, colour: str, **more):
    """A share of the outcomes, what it is a share of, and the difference from a week before."""
    of = count(OUTCOMES, "", whole)
    return beside_week(title, about, share(OUTCOMES, part, whole), of=of, unit=SHARE, decimals=1, colour=colour, **more)


# Rows of the table below, in this order.
SPANS = ("The time range", "A day before", "A week before", "Mean of 4 weeks")


def _spans(expr: str) -> str:
    """The number in each of the spans, with the label `span`."""
    each = (expr, before(expr, "1d"), before(expr, "1w"), of_weeks(expr))
    return " or ".join(f'label_replace({one}, "span", "{number}", "", "")' for number, one in enumerate(each))


def beside_before(title: str, about: str, numbers: dict[str, tuple[str, str, int | None]], **more):
    """Numbers by name, one a column, each with its unit and its decimals; beside them what they were."""
    columns = [
        Column(value(index, len(numbers)), name, unit, decimals)
        for index, (name, (_, unit, decimals)) in enumerate(numbers.items())
    ]
    queries = [Query(_spans(expr)) for expr, _, _ in numbers.values()]
    panel = grid(title, about, queries, [Column("span", "When", width=150), *columns], sort="When", descending=False, **more)
    texts = {str(number): (name, BLUE if number == 0 else GREY) for number, name in enumerate(SPANS)}
    return panel.override_by_name(
        "When", [prop("mappings", [mapping(texts)]), prop("custom.cellOptions", {"type": "color-text"})]
    )
