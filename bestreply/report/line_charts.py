"""Line charts with bands: learning curves, accuracies, calibration."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup

from bestreply.report.svg import (
    WIDTH,
    Scale,
    chart,
    el,
    fit,
    name_text,
    points,
    tick,
)
from bestreply.report.texts import compact

MAX_POINTS = 240
COLOURS = 8
"""Colours of the style sheet, c0 to c7; the next eight lines are dashed."""
MAX_LINES = 2 * COLOURS
LEFT, RIGHT, NAMES_RIGHT, TOP, BOTTOM = 46, 14, 112, 8, 24
NAME_GAP = 13  # between names at the ends of lines, in units
MIN_LOG_SPAN = 30  # maximum / minimum above which y is logarithmic


@dataclass(frozen=True)
class Curve:
    """One line in order of x, and its band if it has one."""

    name: str
    style: str  # a class of the style sheet
    x: np.ndarray  # [points]
    y: np.ndarray  # [points]
    low: np.ndarray | None = None  # [points]
    high: np.ndarray | None = None  # [points]


def line_style(number: int) -> str:
    """Return the class of a line in the style sheet.

    Args:
        number: position of the line, from 0.

    Returns:
        A colour; the next eight lines are dashed.
    """
    return f"c{number % COLOURS}" + (" dashed" if number >= COLOURS else "")


def thin(line: Curve, extremes: bool = False) -> Curve:
    """Reduce a line to at most MAX_POINTS points, the means of equal segments.

    Args:
        line: a line of any length; points that are not finite are dropped.
        extremes: set the band to the minimum and maximum y of each segment.

    Returns:
        The reduced line.
    """
    edges = [edge for edge in (line.low, line.high) if edge is not None]
    values = np.array([line.x, line.y, *edges], float)
    values = values[:, np.isfinite(values).all(0)]
    if values.shape[1] > MAX_POINTS:
        parts = np.array_split(values, MAX_POINTS, axis=1)
        values = np.array([part.mean(1) for part in parts]).T
        if extremes:
            low = [part[1].min() for part in parts]
            high = [part[1].max() for part in parts]
            values = np.vstack([values[:2], low, high])
    low, high = values[2:] if len(values) == 4 else (None, None)
    return replace(line, x=values[0], y=values[1], low=low, high=high)


def named_lines(
    lines: dict[str, list[tuple[float, float]]], label: str
) -> Markup:
    """Draw shares in [0, 1] against steps, with each line's name at its end.

    Args:
        lines: (step, share) points by name.
        label: description for screen readers.

    Returns:
        The chart.
    """
    curves = []
    for name, pairs in lines.items():
        if pairs:
            x, y = np.array(sorted(pairs)).T
            curves.append(Curve(name, line_style(len(curves)), x, y))
    return line_chart(curves, label, y_range=(0.98, 1.0), names=True)


def line_chart(
    lines: Sequence[Curve],
    label: str,
    *,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    marks: Sequence[float] = (),
    diagonal: bool = False,
    names: bool = False,
    log: bool = False,
) -> Markup:
    """Draw lines and their bands; y is logarithmic if it is positive and spans a factor
    of 30.

    Args:
        lines: lines; those without a finite point are left out.
        label: description for screen readers.
        x_range: range of the horizontal axis; by default that of the lines.
        y_range: minimum range of the vertical axis; bands are clipped there.
        marks: x of vertical dashed lines.
        diagonal: draw y = x, dashed.
        names: write each line's name at its end.
        log: make both axes logarithmic; `x_range` and `y_range` are not used.

    Returns:
        The chart; empty without lines.
    """
    lines = [line for line in map(thin, lines) if len(line.x)]
    if not lines:
        return Markup("")
    height = max(178, TOP + BOTTOM + NAME_GAP * len(lines) * names)
    floor, end = height - BOTTOM, WIDTH - (NAMES_RIGHT if names else RIGHT)
    values = np.concatenate([line.x for line in lines])
    if log:
        y = fit(np.concatenate([line.y for line in lines]), floor, TOP, True)
        x = fit(values, LEFT, end, True)
        low, high = x.low, x.high
    else:
        y = _y_scale(lines, y_range, floor)
        low, high = x_range or (float(values.min()), float(values.max()))
        span = (low, high) if high > low else (low - 1, high + 1)
        x = Scale(*span, LEFT, end)
    parts = _axes(x, y, whole=bool((values % 1 == 0).all()))
    parts += [
        el("line", class_="mark", x1=x(m), x2=x(m), y1=TOP, y2=floor)
        for m in marks
    ]
    if diagonal:
        ends = {"x1": x(low), "x2": x(high), "y1": y(low), "y2": y(high)}
        parts.append(el("line", class_="mark", **ends))
    parts += [_band(line, x, y) for line in lines if line.low is not None]
    for line in lines:
        parts += _line(line, x, y)
    if names:
        parts += _names(lines, x, y)
    return chart(parts, height, label, data_x=x.written, data_y=y.written)


def _y_scale(
    lines: Sequence[Curve], y_range: tuple[float, float] | None, floor: float
) -> Scale:
    means = np.concatenate([line.y for line in lines])
    if y_range:
        low = min(y_range[0], float(means.min()))
        high = max(y_range[1], float(means.max()))
        return Scale(low, high, floor, TOP)
    edges = [
        edge
        for line in lines
        for edge in (line.low, line.high)
        if edge is not None
    ]
    values = np.concatenate([means, *edges])
    log = bool(means.min() > 0 and means.max() > MIN_LOG_SPAN * means.min())
    if log:  # intervals may reach below 0
        values = np.maximum(values, means.min() / 3)
    return fit(values, floor, TOP, log)


def _axes(x: Scale, y: Scale, whole: bool) -> list[Markup]:
    floor = y.start
    parts = [
        el("line", class_="axis", x1=x.start, x2=x.end, y1=floor, y2=floor)
    ]
    for value in y.ticks(4):
        at = y(value)
        parts.append(
            el("line", class_="grid", x1=x.start, x2=x.end, y1=at, y2=at)
        )
        parts.append(tick(compact(value), x.start - 6, at + 3.5, "end"))
    for value in x.ticks(4):
        if value % 1 == 0 or not whole:
            parts.append(tick(compact(value), x(value), floor + 16))
    if y.log:
        parts.append(tick("log", x.end, TOP + 8, "end"))
    return parts


def _band(line: Curve, x: Scale, y: Scale) -> Markup:
    across = [x(value) for value in line.x.tolist()]
    high, low = (
        [y(value) for value in np.clip(edge, y.low, y.high).tolist()]
        for edge in (line.high, line.low)
        if edge is not None
    )
    return el(
        "polygon",
        class_=f"band {line.style}",
        points=points(across + across[::-1], high + low[::-1]),
    )


def _line(line: Curve, x: Scale, y: Scale) -> list[Markup]:
    """Draw a line, with dots at all of at most 12 points, otherwise at its end."""
    xs = [x(value) for value in line.x.tolist()]
    ys = [y(value) for value in line.y.tolist()]
    title = el("title", line.name) if line.name else ""
    parts = [
        el(
            "polyline",
            title,
            class_=f"line {line.style}",
            points=points(xs, ys),
        )
    ]
    first = 0 if len(xs) <= 12 else -1
    dots = zip(xs[first:], ys[first:], strict=True)
    return parts + [
        el("circle", class_=f"dot {line.style}", cx=a, cy=b, r=2.5)
        for a, b in dots
    ]


def _names(lines: Sequence[Curve], x: Scale, y: Scale) -> list[Markup]:
    """Write the names of lines beside their ends, with leaders."""
    ends = [y(float(line.y[-1])) for line in lines]
    edge, parts = x.end, []
    places = _spread(ends, TOP, y.start)
    for line, end, place in zip(lines, ends, places, strict=True):
        leader = points(
            (x(float(line.x[-1])) + 5, edge + 12, edge + 16),
            (end, place, place),
        )
        parts.append(
            el("polyline", class_=f"leader {line.style}", points=leader)
        )
        parts.append(
            name_text(line.name, 15, line.style, x=edge + 20, y=place + 4)
        )
    return parts


def _spread(places: list[float], low: float, high: float) -> list[float]:
    """Move positions to at least NAME_GAP from each other, in order, within [low, high]
    if possible.
    """
    offsets = NAME_GAP * np.arange(len(places))
    moved = np.maximum(np.sort(places) - offsets, low)
    moved = np.maximum.accumulate(moved) + offsets
    moved = np.minimum(moved, high - offsets[::-1])
    return moved[np.argsort(np.argsort(places, kind="stable"))].tolist()
