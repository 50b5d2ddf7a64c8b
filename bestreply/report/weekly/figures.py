"""Figures of the report over runs, as inline SVG in the manner of `bestreply.report.figures`."""

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from bestreply.report.figures import MAX_POINTS, WIDTH, Scale, axes, el, fit, points_text
from bestreply.report.texts import compact, fixed

STYLES = 8
"""Colours of the style sheet, c0 to c7; the next so many are dashed."""
MOST_LINES = 2 * STYLES


def style_of(number: int) -> str:
    return f"c{number % STYLES}" + (" dashed" if number >= STYLES else "")


@dataclass(frozen=True)
class Band:
    """A line and, where there is one, the interval about it; points in order."""

    name: str
    style: str
    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None


def bands(lines: list[Band], label: str, *, diagonal: bool = False, unit: bool = False) -> Markup:
    """Lines with their intervals against a common x; `unit`: y is at least [0, 1]; `diagonal`: so is x, and y = x is marked.

    y is logarithmic where all of it is positive and spans a factor of 30.
    """
    lines = [b for b in (_thinned(b, unit) for b in lines) if len(b.x)]
    if not lines:
        return Markup("")
    height, left, right, top, bottom = 178, 46, 14, 8, 24
    floor = height - bottom
    means = np.concatenate([b.y for b in lines])
    log = bool(means.min() > 0 and means.max() > 30 * means.min()) and not unit
    least = means.min() / 3 if log else -np.inf  # an interval may reach below 0
    ends = [np.maximum(v, least) for b in lines for v in (b.y, b.low, b.high) if v is not None]
    y = fit(np.concatenate(ends), floor, top, log)
    if unit:
        y = Scale(min(0.0, y.low), max(1.0, y.high), floor, top)
    x_all = np.concatenate([b.x for b in lines])
    low, high = (0.0, 1.0) if diagonal else (float(x_all.min()), float(x_all.max()))
    x = Scale(*((low, high) if high > low else (low - 1, high + 1)), left, WIDTH - right)
    parts = [axes(x, y, floor, left)]
    if log:
        parts.append(el("text", "log", class_="tick", x=x.end, y=top + 8, text_anchor="end"))
    if diagonal:
        parts.append(el("line", class_="mark", x1=x(0), x2=x(1), y1=y(0), y2=y(1)))
    for b in lines:
        if b.low is not None and b.high is not None:
            across = [x(a) for a in b.x.tolist()]
            edge = list(zip(across, map(y, np.maximum(b.high, least).tolist()), strict=True))
            edge += list(zip(across, map(y, np.maximum(b.low, least).tolist()), strict=True))[::-1]
            parts.append(el("polygon", class_=f"band {b.style}", points=points_text(edge)))
    for b in lines:
        points = [(x(a), y(v)) for a, v in zip(b.x.tolist(), b.y.tolist(), strict=True)]
        parts.append(
            el("polyline", el("title", b.name), class_=f"line {b.style}", points=points_text(points))
        )
        dots = points if len(points) <= 12 else points[-1:]
        parts += [el("circle", class_=f"dot {b.style}", cx=a, cy=v, r=2.5) for a, v in dots]
    return el("svg", *parts, class_="figure", viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=label)


def _thinned(b: Band, unit: bool) -> Band:
    """Without what is not finite, at most MAX_POINTS points, and intervals of shares cut off where shares end."""
    whole = np.isfinite(b.y) & np.isfinite(b.x)
    for edge in (b.low, b.high):
        whole &= np.isfinite(edge) if edge is not None else True
    kept = np.flatnonzero(whole)
    if len(kept) > MAX_POINTS:
        kept = kept[np.unique(np.linspace(0, len(kept) - 1, MAX_POINTS).astype(int))]
    low, high = (None if edge is None else edge[kept] for edge in (b.low, b.high))
    if unit:
        low, high = (None if edge is None else np.clip(edge, 0.0, 1.0) for edge in (low, high))
    return Band(b.name, b.style, b.x[kept], b.y[kept], low, high)


@dataclass(frozen=True)
class Apart:
    """A difference with its interval, and the verdict on it."""

    name: str
    difference: float
    low: float
    high: float
    verdict: str


def differences(rows: list[Apart], label: str) -> Markup:
    """A row each on one axis about 0: dot = difference, bar = interval, coloured by the verdict."""
    row, left, right, top, bottom = 22, 142, 44, 4, 24
    floor = top + row * len(rows)
    ends = [v for r in rows for v in (r.difference, r.low, r.high) if np.isfinite(v)]
    x = fit(np.array([0.0, *ends]), left + 6, WIDTH - right)
    parts = []
    for value in x.ticks(4):
        parts.append(el("line", class_="grid", x1=x(value), x2=x(value), y1=top, y2=floor))
        parts.append(
            el("text", compact(value), class_="tick", x=x(value), y=floor + 16, text_anchor="middle")
        )
    parts.append(el("line", class_="zero", x1=x(0), x2=x(0), y1=top, y2=floor))
    for k, r in enumerate(rows):
        y = top + row * (k + 0.5)
        name = r.name if len(r.name) <= 21 else r.name[:20] + "…"
        parts.append(el("text", el("title", r.name), name, class_="name", x=left, y=y + 4, text_anchor="end"))
        if np.isfinite(r.low) and np.isfinite(r.high):
            parts.append(el("line", class_=f"bar v-{r.verdict}", x1=x(r.low), x2=x(r.high), y1=y, y2=y))
        parts.append(el("circle", class_=f"dot v-{r.verdict}", cx=x(r.difference), cy=y, r=3.5))
        said = fixed(r.difference, sign=True)
        parts.append(el("text", said, class_="name", x=WIDTH - 2, y=y + 4, text_anchor="end"))
    box = f"0 0 {WIDTH} {floor + bottom}"
    return el("svg", *parts, class_="figure", viewBox=box, role="img", aria_label=label)


def shares(rows: dict[str, np.ndarray], label: str) -> Markup:
    """A bar each of shares that add up to 1, shaded from the first to the last."""
    row, left, top, bottom = 24, 112, 2, 22
    floor = top + row * len(rows)
    x = Scale(0.0, 1.0, left + 6, WIDTH - 14)
    parts = []
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(el("line", class_="grid", x1=x(value), x2=x(value), y1=top, y2=floor))
        parts.append(
            el("text", f"{100 * value:.0f}%", class_="tick", x=x(value), y=floor + 15, text_anchor="middle")
        )
    for k, (name, each) in enumerate(rows.items()):
        y, begun = top + row * k + 4, 0.0
        short = name if len(name) <= 17 else name[:16] + "…"
        parts.append(el("text", el("title", name), short, class_="name", x=left, y=y + 12, text_anchor="end"))
        for bin_, share in enumerate(each.tolist()):
            width = x(begun + share) - x(begun)
            if width > 0:
                told = el("title", f"{100 * share:.1f}%")
                shade = shade_of(bin_, len(each))
                parts.append(el("rect", told, class_=shade, x=x(begun), y=y, width=width, height=row - 8))
            begun += share
    box = f"0 0 {WIDTH} {floor + bottom}"
    return el("svg", *parts, class_="figure", viewBox=box, role="img", aria_label=label)


def shade_of(bin_: int, bins: int) -> str:
    """s0 (least) to s5 (greatest)."""
    return f"s{round(5 * bin_ / max(bins - 1, 1))}"
