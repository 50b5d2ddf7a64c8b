"""Charts with one row per name (intervals, waterfalls, stacked shares), and a heat map."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from bestreply.report.svg import (
    WIDTH,
    Scale,
    chart,
    el,
    fit,
    name_text,
    tick,
)
from bestreply.report.texts import compact, decimals_of, fixed

ROW, LEFT, RIGHT, TOP, BOTTOM = 24, 138, 48, 4, 24
NAME_LENGTH = 21
MAX_TICK_LENGTH = 32
"""Characters of all labels of an axis."""
SHADES = 6
"""Classes s0 (least) to s5 (greatest) of the style sheet."""


@dataclass(frozen=True)
class Row:
    """Name on the left and number on the right of a row."""

    name: str
    value: str = ""
    style: str = ""  # a class of the style sheet


def _middle(row: float) -> float:
    """Return the y of the middle of a row."""
    return TOP + ROW * (row + 0.5)


def _line(style: str, x1: float, x2: float, y1: float, y2: float) -> Markup:
    return el("line", class_=style, x1=x1, x2=x2, y1=y1, y2=y2)


def _across(values: Sequence[float]) -> Scale:
    """Return the scale of an axis that covers all values."""
    return fit(np.array(values), LEFT + 6, WIDTH - RIGHT)


def _rows(
    rows: Sequence[Row],
    x: Scale,
    parts: list[Markup],
    label: str,
    write: Callable[[float], str] = compact,
) -> Markup:
    """Assemble axis, names and numbers of rows, and the parts drawn into them."""
    floor = TOP + ROW * len(rows)
    frame = []
    marks = x.ticks(4)
    if sum(len(write(value)) + 2 for value in marks) > MAX_TICK_LENGTH:
        marks = x.ticks(2)
    for value in marks:
        at = x(value)
        frame.append(_line("grid", at, at, TOP, floor))
        frame.append(tick(write(value), at, floor + 16))
    for k, row in enumerate(rows):
        y = _middle(k) + 4
        frame.append(
            name_text(
                row.name, NAME_LENGTH, row.style, x=LEFT, y=y, text_anchor="end"
            )
        )
        if row.value:
            frame.append(
                name_text(
                    row.value,
                    99,
                    row.style,
                    x=WIDTH - 2,
                    y=y,
                    text_anchor="end",
                )
            )
    return chart([*frame, *parts], floor + BOTTOM, label)


@dataclass(frozen=True)
class Interval:
    """A value, and its interval if it has one."""

    row: Row
    value: float
    interval: tuple[float, float] | None
    style: str


def interval_chart(
    rows: Sequence[Interval], label: str, mark: float | None = None
) -> Markup:
    """Draw a dot for each value and a bar for its interval.

    Args:
        rows: values, from top to bottom.
        label: description for screen readers.
        mark: value of a vertical dashed line.

    Returns:
        The chart.
    """
    ends = [v for r in rows for v in (r.value, *(r.interval or ()))]
    x = _across(ends if mark is None else [mark, *ends])
    parts = []
    if mark is not None:
        bottom = TOP + ROW * len(rows)
        parts.append(_line("mark", x(mark), x(mark), TOP, bottom))
    for k, r in enumerate(rows):
        y = _middle(k)
        if r.interval:
            low, high = r.interval
            parts.append(_line(f"bar {r.style}", x(low), x(high), y, y))
        parts.append(
            el("circle", class_=f"dot {r.style}", cx=x(r.value), cy=y, r=3.5)
        )
    return _rows([r.row for r in rows], x, parts, label)


@dataclass(frozen=True)
class WaterfallStep:
    """A change of value with one cause."""

    name: str
    lost: float  # decrease; negative for an increase
    error: float | None  # standard error


def waterfall(
    first: tuple[str, float],
    steps: Sequence[WaterfallStep],
    last: tuple[str, float],
    label: str,
) -> Markup:
    """Draw a bar for each step from the first value to the last; lines are 95 % intervals.

    Args:
        first: name and value of the first row.
        steps: changes in order; they add up to the difference of the two values.
        last: name and value of the last row.
        label: description for screen readers.

    Returns:
        The chart.
    """
    losses = [step.lost for step in steps]
    levels = [first[1] - lost for lost in itertools.accumulate([0.0, *losses])]
    spans = [1.96 * (step.error or 0.0) for step in steps]
    edges = [
        (level - span, level + span)
        for level, span in zip(levels[1:], spans, strict=True)
    ]
    x = _across([*levels, last[1], *itertools.chain.from_iterable(edges)])
    unit = decimals_of(first[1], last[1], *losses)
    rows = [Row(first[0], fixed(first[1], unit), "other")]
    parts = [
        _line("mark", x(level), x(level), _middle(k), _middle(k + 1))
        for k, level in enumerate(levels)
    ]
    for k, step in enumerate(steps):
        y, style = _middle(k + 1), "loss" if step.lost > 0 else "gain"
        rows.append(Row(step.name, fixed(-step.lost, unit, sign=True), style))
        low, high = sorted((x(levels[k]), x(levels[k + 1])))
        size = {"width": max(high - low, 1.0), "height": 12}
        parts.append(el("rect", class_=style, x=low, y=y - 6, **size))
        if step.error:
            low, high = edges[k]
            parts.append(_line("whisker", x(low), x(high), y, y))
    rows.append(Row(last[0], fixed(last[1], unit), "own"))
    parts.append(_dot("other", x(first[1]), _middle(0)))
    parts.append(_dot("own", x(last[1]), _middle(len(steps) + 1)))
    return _rows(rows, x, parts, label)


def _dot(style: str, x: float, y: float) -> Markup:
    return el("circle", class_=f"dot {style}", cx=x, cy=y, r=4)


def stacked_shares(rows: dict[str, np.ndarray], label: str) -> Markup:
    """Draw a bar of shares for each name, shaded from the first to the last.

    Args:
        rows: by name, [bins] shares that add up to 1.
        label: description for screen readers.

    Returns:
        The chart.
    """
    x = Scale(0.0, 1.0, LEFT + 6, WIDTH - 14)
    parts = []
    for k, shares in enumerate(rows.values()):
        ends = [x(float(end)) for end in np.cumsum([0.0, *shares])]
        for bin_, share in enumerate(shares.tolist()):
            width = ends[bin_ + 1] - ends[bin_]
            if width > 0:
                title = el("title", f"{100 * share:.1f}%")
                place = {"x": ends[bin_], "y": _middle(k) - 8}
                size = {"width": width, "height": 16}
                style = shade(bin_, len(shares))
                parts.append(el("rect", title, class_=style, **place, **size))
    return _rows([Row(name) for name in rows], x, parts, label, _percent)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def shade(bin_: int, bins: int) -> str:
    """Return the class of a shade in the style sheet.

    Args:
        bin_: position, from 0.
        bins: number of shades in use.

    Returns:
        The class.
    """
    return f"s{round((SHADES - 1) * bin_ / max(bins - 1, 1))}"


def heat_map(
    rows: dict[str, list[float]],
    columns: Sequence[str],
    corner: str,
    label: str,
) -> Markup:
    """Write shares in per cent, on a background that is darker for larger shares.

    Args:
        rows: by name, [columns] shares in [0, 1].
        columns: headings.
        corner: heading of the column names.
        label: description for screen readers.

    Returns:
        The chart.
    """
    left, top = LEFT - 6, 24
    wide = max((WIDTH - left) / max(len(columns), 1), 30.0)
    middles = [left + wide * (k + 0.5) for k in range(len(columns))]
    parts = [tick(corner, left - 8, top - 8, "end")]
    for x, name in zip(middles, columns, strict=True):
        parts.append(tick(name, x, top - 8))
    for k, (name, shares) in enumerate(rows.items()):
        y = top + ROW * k
        place = {"x": left - 8, "y": y + 16, "text_anchor": "end"}
        parts.append(name_text(name, NAME_LENGTH - 1, **place))
        for x, share in zip(middles, shares, strict=True):
            parts += _heat_cell(x, y, wide, share)
    height, width = top + ROW * len(rows) + 4, left + wide * len(columns)
    return chart(parts, height, label, width=width)


def _heat_cell(x: float, y: float, wide: float, share: float) -> list[Markup]:
    """Draw a cell of a heat map around x, below y."""
    ground = el(
        "rect",
        class_="heat",
        fill_opacity=f"{0.06 + 0.4 * share:.2f}",
        x=x - wide / 2 + 1,
        y=y + 1,
        width=wide - 2,
        height=ROW - 2,
        rx=3,
    )
    text = f"{100 * share:.0f}"
    place = {"x": x, "y": y + 16, "text_anchor": "middle"}
    return [ground, el("text", text, class_="cell", **place)]
