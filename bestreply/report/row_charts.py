"""Charts with a row for each name on one axis: intervals, waterfalls, stacked shares; and a heat map."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from bestreply.report.svg import WIDTH, Scale, chart, el, fit, name_text
from bestreply.report.texts import compact, fixed

ROW, LEFT, RIGHT, TOP, BOTTOM = 24, 138, 48, 4, 24
NAME_LENGTH = 21
SHADES = 6
"""Classes of the style sheet, s0 (least) to s5 (greatest)."""


@dataclass(frozen=True)
class Row:
    """The name on the left and the number on the right of a row."""

    name: str
    value: str = ""
    style: str = ""  # a class of the style sheet


def _middle(row: float) -> float:
    """Return the y of the middle of a row."""
    return TOP + ROW * (row + 0.5)


def _across(values: Sequence[float]) -> Scale:
    """Return the scale of an axis over all `values`."""
    return fit(np.array(values), LEFT + 6, WIDTH - RIGHT)


def _rows(
    rows: Sequence[Row],
    x: Scale,
    parts: list[Markup],
    label: str,
    tick: Callable[[float], str] = compact,
) -> Markup:
    """Put together the axis of `x`, the names and numbers of rows, and `parts` drawn into them."""
    floor = TOP + ROW * len(rows)
    frame = []
    for value in x.ticks(4):
        at = x(value)
        frame.append(el("line", class_="grid", x1=at, x2=at, y1=TOP, y2=floor))
        frame.append(
            el(
                "text",
                tick(value),
                class_="tick",
                x=at,
                y=floor + 16,
                text_anchor="middle",
            )
        )
    for k, row in enumerate(rows):
        y = _middle(k) + 4
        frame.append(
            name_text(
                row.name, NAME_LENGTH, row.style, x=LEFT, y=y, text_anchor="end"
            )
        )
        if row.value:
            style = f"name {row.style}".strip()
            frame.append(
                el(
                    "text",
                    row.value,
                    class_=style,
                    x=WIDTH - 2,
                    y=y,
                    text_anchor="end",
                )
            )
    return chart([*frame, *parts], floor + BOTTOM, label)


@dataclass(frozen=True)
class Interval:
    """A value, and its interval where there is one."""

    row: Row
    value: float
    interval: tuple[float, float] | None
    style: str


def interval_chart(
    rows: Sequence[Interval], label: str, mark: float | None = None
) -> Markup:
    """Draw a dot for each value and a bar for its interval, with a dashed line at `mark`."""
    ends = [v for r in rows for v in (r.value, *(r.interval or ()))]
    x = _across(ends if mark is None else [mark, *ends])
    parts = []
    if mark is not None:
        parts.append(
            el(
                "line",
                class_="mark",
                x1=x(mark),
                x2=x(mark),
                y1=TOP,
                y2=TOP + ROW * len(rows),
            )
        )
    for k, r in enumerate(rows):
        y = _middle(k)
        if r.interval:
            low, high = r.interval
            parts.append(
                el(
                    "line",
                    class_=f"bar {r.style}",
                    x1=x(low),
                    x2=x(high),
                    y1=y,
                    y2=y,
                )
            )
        parts.append(
            el("circle", class_=f"dot {r.style}", cx=x(r.value), cy=y, r=3.5)
        )
    return _rows([r.row for r in rows], x, parts, label)


@dataclass(frozen=True)
class WaterfallStep:
    """What one cause takes away; negative: what it adds."""

    name: str
    lost: float
    error: float | None  # standard error


def waterfall(
    first: tuple[str, float],
    falls: Sequence[WaterfallStep],
    last: tuple[str, float],
    label: str,
) -> Markup:
    """Draw a bar for each of `falls` from the value of `first` to that of `last`; lines are 95 % intervals."""
    levels = list(
        itertools.accumulate((-f.lost for f in falls), initial=first[1])
    )
    spans = [1.96 * (f.error or 0.0) for f in falls]
    edges = [
        (level - span, level + span)
        for level, span in zip(levels[1:], spans, strict=True)
    ]
    x = _across([*levels, last[1], *itertools.chain.from_iterable(edges)])
    rows = [Row(first[0], fixed(first[1]), "other")]
    parts = [
        el(
            "line",
            class_="mark",
            x1=x(level),
            x2=x(level),
            y1=_middle(k),
            y2=_middle(k + 1),
        )
        for k, level in enumerate(levels)
    ]
    for k, fall in enumerate(falls):
        y, style = _middle(k + 1), "loss" if fall.lost > 0 else "gain"
        rows.append(Row(fall.name, fixed(-fall.lost, sign=True), style))
        low, high = sorted((x(levels[k]), x(levels[k + 1])))
        parts.append(
            el(
                "rect",
                class_=style,
                x=low,
                y=y - 6,
                width=max(high - low, 1.0),
                height=12,
            )
        )
        if fall.error:
            low, high = edges[k]
            parts.append(
                el("line", class_="whisker", x1=x(low), x2=x(high), y1=y, y2=y)
            )
    rows.append(Row(last[0], fixed(last[1]), "own"))
    for k, value, style in (
        (0, first[1], "other"),
        (len(falls) + 1, last[1], "own"),
    ):
        parts.append(
            el("circle", class_=f"dot {style}", cx=x(value), cy=_middle(k), r=4)
        )
    return _rows(rows, x, parts, label)


def stacked_shares(rows: dict[str, np.ndarray], label: str) -> Markup:
    """Draw a bar for each name of shares that add up to 1, shaded from the first to the last."""
    x = Scale(0.0, 1.0, LEFT + 6, WIDTH - 14)
    parts = []
    for k, each in enumerate(rows.values()):
        ends = [x(float(end)) for end in np.cumsum([0.0, *each])]
        for bin_, share in enumerate(each.tolist()):
            width = ends[bin_ + 1] - ends[bin_]
            if width > 0:
                place = {
                    "x": ends[bin_],
                    "y": _middle(k) - 8,
                    "width": width,
                    "height": 16,
                }
                title = el("title", f"{100 * share:.1f}%")
                parts.append(
                    el("rect", title, class_=shade(bin_, len(each)), **place)
                )
    return _rows(
        [Row(name) for name in rows],
        x,
        parts,
        label,
        lambda value: f"{100 * value:.0f}%",
    )


def shade(bin_: int, bins: int) -> str:
    """Return the class of one of `bins` shades in order."""
    return f"s{round((SHADES - 1) * bin_ / max(bins - 1, 1))}"


def heat_map(
    rows: dict[str, list[float]],
    columns: Sequence[str],
    corner: str,
    label: str,
) -> Markup:
    """Write shares in [0, 1] in per cent, each on a ground the deeper the larger the share.

    Args:
        rows: [columns] shares by name.
        columns: their headings.
        corner: what the columns are.
        label: read out in place of the chart.
    """
    left, top = LEFT - 6, 24
    wide = max((WIDTH - left) / max(len(columns), 1), 30.0)
    middles = [left + wide * (k + 0.5) for k in range(len(columns))]
    parts = [
        el(
            "text",
            corner,
            class_="tick",
            x=left - 8,
            y=top - 8,
            text_anchor="end",
        )
    ]
    for x, name in zip(middles, columns, strict=True):
        parts.append(
            el(
                "text",
                name,
                class_="tick",
                x=x,
                y=top - 8,
                text_anchor="middle",
            )
        )
    for k, (name, shares) in enumerate(rows.items()):
        y = top + ROW * k
        parts.append(
            name_text(
                name, NAME_LENGTH - 1, x=left - 8, y=y + 16, text_anchor="end"
            )
        )
        for x, share in zip(middles, shares, strict=True):
            place = {
                "x": x - wide / 2 + 1,
                "y": y + 1,
                "width": wide - 2,
                "height": ROW - 2,
                "rx": 3,
            }
            parts.append(
                el(
                    "rect",
                    class_="heat",
                    fill_opacity=f"{0.06 + 0.4 * share:.2f}",
                    **place,
                )
            )
            parts.append(
                el(
                    "text",
                    f"{100 * share:.0f}",
                    class_="cell",
                    x=x,
                    y=y + 16,
                    text_anchor="middle",
                )
            )
    return chart(
        parts,
        top + ROW * len(rows) + 4,
        label,
        width=left + wide * len(columns),
    )
