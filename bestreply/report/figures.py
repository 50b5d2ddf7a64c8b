"""Figures as inline SVG, coloured by the page's style sheet so that they follow the reader's colour scheme.

Each is drawn for a width of 360 units: a phone's column, or one of two or three on a desktop, at about
natural size.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from bestreply.report.texts import compact, fixed

WIDTH = 360
MAX_POINTS = 240


def el(tag: str, *children: object, **attributes: object) -> Markup:
    """An SVG element; `class_` is class, ``_`` in names is ``-``, None is left out, text is escaped."""
    shown = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_short(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    inside = "".join(str(escape(child)) for child in children)
    return Markup(f"<{tag}{shown}>{inside}</{tag}>" if inside else f"<{tag}{shown}/>")


def _short(value: object) -> object:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value


def share_bar(share: float | None, style: str) -> Markup:
    """A bar of `share` in [0, 1] of its cell's width; the number stands beside it."""
    width = f"{100 * min(max(share or 0.0, 0.0), 1.0):.1f}%"
    return el("svg", el("rect", class_=style, width=width, height="100%"), class_="hbar", aria_hidden="true")


# -- scales ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scale:
    """From values in [low, high] to pixels in [start, end]; by their logarithms if `log`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self, count: int = 4) -> list[float]:
        if not self.log:
            return ticks(self.low, self.high, count)
        powers = range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)
        if len(powers) > 2:
            return [10.0**p for p in powers][:: max(1, -(-len(powers) // count))]
        fine = [float(f"{m * 10.0**p:.1g}") for p in range(powers.start - 1, powers.stop) for m in (1, 2, 5)]
        return [v for v in fine if self.low <= v <= self.high]

    @property
    def back(self) -> str:
        """For the readout: low, high, start, end, log."""
        return f"{self.low!r} {self.high!r} {self.start!r} {self.end!r} {int(self.log)}"


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers in [low, high]."""
    rough = (high - low) / count
    base = 10.0 ** math.floor(math.log10(rough))
    step = next(base * m for m in (1, 2, 2.5, 5, 10) if base * m >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, math.floor(high / step + 1e-9) + 1)]


def fit(values: np.ndarray, start: float, end: float, log: bool = False, pad: float = 0.06) -> Scale:
    """A scale that holds all `values` with some room."""
    low, high = float(values.min()), float(values.max())
    if log:
        return Scale(low / 1.3, high * 1.3, start, end, True)
    room = (high - low) * pad or max(abs(high) * 0.1, 0.5 if high else 1.0)
    return Scale(low - room, high + room, start, end)


# -- learning curves -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """One line: points in order, `style` is a class of the style sheet."""

    x: np.ndarray
    y: np.ndarray
    style: str
    label: str


def thin(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """At most MAX_POINTS points: x and y as means of equal runs, and each run's least and greatest y."""
    if len(x) <= MAX_POINTS:
        return x, y, y, y
    parts = np.array_split(np.arange(len(x)), MAX_POINTS)
    means = [np.array([of[p].mean() for p in parts]) for of in (x, y)]
    return means[0], means[1], np.array([y[p].min() for p in parts]), np.array([y[p].max() for p in parts])


def curves(
    lines: list[Curve], x_range: tuple[float, float], label: str, marks: list[float] | None = None
) -> Markup:
    """Lines against a common x; y is logarithmic where all values are positive and span a factor of 30.

    `marks` are x positions of thin vertical lines. `label` is read out in place of the picture.
    """
    lines = [Curve(c.x[np.isfinite(c.y)], c.y[np.isfinite(c.y)], c.style, c.label) for c in lines]
    lines = [c for c in lines if len(c.y)]
    if not lines:
        return Markup("")
    height, left, right, top, bottom = 168, 46, 14, 8, 24
    values = np.concatenate([c.y for c in lines])
    log = bool(values.min() > 0 and values.max() > 30 * values.min())
    y = fit(values, height - bottom, top, log)
    x = Scale(
        *(x_range if x_range[1] > x_range[0] else (x_range[0] - 1, x_range[0] + 1)), left, WIDTH - right
    )
    parts = [axes(x, y, height - bottom, left)]
    if log:
        parts.append(el("text", "log", class_="tick", x=x.end, y=top + 8, text_anchor="end"))
    parts += [el("line", class_="mark", x1=x(m), x2=x(m), y1=top, y2=height - bottom) for m in marks or []]
    for curve in lines:
        px, py, low, high = thin(curve.x, curve.y)
        if low is not py:
            band = [(x(a), y(b)) for a, b in zip(px, high, strict=True)]
            band += [(x(a), y(b)) for a, b in zip(px[::-1], low[::-1], strict=True)]
            parts.append(el("polygon", class_=f"band {curve.style}", points=points_text(band)))
        points = [(x(a), y(b)) for a, b in zip(px, py, strict=True)]
        parts.append(
            el("polyline", class_=f"line {curve.style}", points=points_text(points), data_label=curve.label)
        )
        dots = points if len(points) <= 12 else points[-1:]
        parts += [el("circle", class_=f"dot {curve.style}", cx=a, cy=b, r=2.5) for a, b in dots]
    return el(
        "svg", *parts, class_="figure curves", viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=label,
        data_x=x.back, data_y=y.back, data_log="log" if log else None,
    )  # fmt: skip


def axes(x: Scale, y: Scale, floor: float, left: float) -> Markup:
    end = x.end
    parts = []
    for value in y.ticks(3):
        parts.append(el("line", class_="grid", x1=left, x2=end, y1=y(value), y2=y(value)))
        parts.append(
            el("text", compact(value), class_="tick", x=left - 6, y=y(value) + 3.5, text_anchor="end")
        )
    for value in x.ticks(4):
        parts.append(
            el("text", compact(value), class_="tick", x=x(value), y=floor + 16, text_anchor="middle")
        )
    parts.append(el("line", class_="axis", x1=left, x2=end, y1=floor, y2=floor))
    return Markup("").join(parts)


def points_text(points: Sequence[tuple[float, float]] | np.ndarray) -> str:
    return " ".join(["%.1f,%.1f"] * len(points)) % tuple(itertools.chain.from_iterable(points))


# -- dots and intervals ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Dot:
    """One row: a mean, and its interval where there is one."""

    name: str
    mean: float
    interval: tuple[float, float] | None
    own: bool


def dots(rows: list[Dot], label: str) -> Markup:
    """A row per method on one axis: dot = mean, bar = interval, dashed line = the own method's mean."""
    row, left, right, top, bottom = 22, 132, 44, 4, 24
    height = top + row * len(rows) + bottom
    ends = [v for r in rows for v in (r.mean, *(r.interval or ()))]
    x = fit(np.array(ends), left + 6, WIDTH - right)
    floor = height - bottom
    parts = []
    for value in x.ticks(4):
        parts.append(el("line", class_="grid", x1=x(value), x2=x(value), y1=top, y2=floor))
        parts.append(
            el("text", compact(value), class_="tick", x=x(value), y=floor + 16, text_anchor="middle")
        )
    parts += [
        el("line", class_="mark", x1=x(r.mean), x2=x(r.mean), y1=top, y2=floor)
        for r in rows
        if r.own and len(rows) > 1
    ]
    for k, r in enumerate(rows):
        y = top + row * (k + 0.5)
        style = "own" if r.own else "other"
        name = r.name if len(r.name) <= 21 else r.name[:20] + "…"
        parts.append(
            el("text", el("title", r.name), name, class_=f"name {style}", x=left, y=y + 4, text_anchor="end")
        )
        if r.interval:
            parts.append(
                el("line", class_=f"bar {style}", x1=x(r.interval[0]), x2=x(r.interval[1]), y1=y, y2=y)
            )
        parts.append(el("circle", class_=f"dot {style}", cx=x(r.mean), cy=y, r=3.5))
        parts.append(
            el("text", fixed(r.mean), class_=f"name {style}", x=WIDTH - 2, y=y + 4, text_anchor="end")
        )
    return el("svg", *parts, class_="figure", viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=label)


# -- a waterfall -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fall:
    """What one cause takes away; negative: what it adds."""

    name: str
    lost: float
    error: float | None  # standard error


def waterfall(first: tuple[str, float], falls: list[Fall], last: tuple[str, float], label: str) -> Markup:
    """From the value of `first` down a bar for each of `falls` to that of `last`, a row each on one axis; lines are 95 % intervals."""
    row, left, right, top, bottom = 24, 132, 48, 4, 24
    floor = top + row * (len(falls) + 2)
    levels = list(itertools.accumulate((-f.lost for f in falls), initial=first[1]))
    spans = [1.96 * (f.error or 0.0) for f in falls]
    ends = [v + d for v, span in zip(levels[1:], spans, strict=True) for d in (-span, span)]
    x = fit(np.array([*levels, *ends, last[1]]), left + 6, WIDTH - right)
    parts = []
    for value in x.ticks(4):
        parts.append(el("line", class_="grid", x1=x(value), x2=x(value), y1=top, y2=floor))
        parts.append(
            el("text", compact(value), class_="tick", x=x(value), y=floor + 16, text_anchor="middle")
        )
    for k, level in enumerate(levels):  # where one row ends the next begins
        middle = top + row * (k + 0.5)
        parts.append(el("line", class_="mark", x1=x(level), x2=x(level), y1=middle, y2=middle + row))
    parts += _waterfall_row(first[0], fixed(first[1]), "other", left, top + row * 0.5)
    parts.append(el("circle", class_="dot other", cx=x(first[1]), cy=top + row * 0.5, r=4))
    for k, fall in enumerate(falls):
        y, style = top + row * (k + 1.5), "loss" if fall.lost > 0 else "gain"
        low, high = sorted((x(levels[k]), x(levels[k + 1])))
        parts.append(el("rect", class_=style, x=low, y=y - 6, width=max(high - low, 1.0), height=12))
        if fall.error:
            whisker = [x(levels[k + 1] + d) for d in (-spans[k], spans[k])]
            parts.append(el("line", class_="whisker", x1=whisker[0], x2=whisker[1], y1=y, y2=y))
        parts += _waterfall_row(fall.name, fixed(-fall.lost, sign=True), style, left, y)
    y = top + row * (len(falls) + 1.5)
    parts += _waterfall_row(last[0], fixed(last[1]), "own", left, y)
    parts.append(el("circle", class_="dot own", cx=x(last[1]), cy=y, r=4))
    box = f"0 0 {WIDTH} {floor + bottom}"
    return el("svg", *parts, class_="figure", viewBox=box, role="img", aria_label=label)


def _waterfall_row(name: str, value: str, style: str, left: float, y: float) -> list[Markup]:
    """The name on the left and the number on the right of a row."""
    return [
        el("text", name, class_=f"name {style}", x=left, y=y + 4, text_anchor="end"),
        el("text", value, class_=f"name {style}", x=WIDTH - 2, y=y + 4, text_anchor="end"),
    ]


# -- shares as a heat map ---------------------------------------------------------------------------


def heat(rows: dict[str, list[float]], columns: list[str], corner: str, label: str) -> Markup:
    """A row of shares in [0, 1] each, as numbers in per cent on the deeper a ground the larger they are. `corner` says what columns are."""
    row, left, top = 26, 132, 24
    wide = max((WIDTH - left) / max(len(columns), 1), 30.0)
    parts = [
        el("text", name, class_="tick", x=left + wide * (k + 0.5), y=top - 8, text_anchor="middle")
        for k, name in enumerate(columns)
    ]
    parts.append(el("text", corner, class_="tick", x=left - 8, y=top - 8, text_anchor="end"))
    for r, (name, shares) in enumerate(rows.items()):
        y = top + row * r
        short = name if len(name) <= 20 else name[:19] + "…"
        parts.append(
            el("text", el("title", name), short, class_="name", x=left - 8, y=y + 17, text_anchor="end")
        )
        for k, share in enumerate(shares):
            x, deep = left + wide * k, f"{0.06 + 0.4 * share:.2f}"
            size = {"x": x + 1, "y": y + 1, "width": wide - 2, "height": row - 2}
            parts.append(el("rect", class_="heat", rx=3, fill_opacity=deep, **size))
            said = f"{100 * share:.0f}"
            parts.append(el("text", said, class_="cell", x=x + wide / 2, y=y + 17, text_anchor="middle"))
    box = f"0 0 {_short(left + wide * len(columns))} {top + row * len(rows) + 4}"
    return el("svg", *parts, class_="figure", viewBox=box, role="img", aria_label=label)


# -- several named lines ---------------------------------------------------------------------------


def named_lines(lines: dict[str, list[tuple[float, float]]], label: str) -> Markup:
    """Accuracies in [0, 1] against steps, one line per name with the name at its end."""
    lines = {name: sorted(points) for name, points in lines.items() if points}
    if not lines:
        return Markup("")
    left, right, top, bottom, gap = 40, 112, 10, 24, 13
    height = max(190, top + bottom + gap * len(lines))
    floor = height - bottom
    steps = sorted({a for points in lines.values() for a, _ in points})
    values = np.array([b for points in lines.values() for _, b in points])
    y = Scale(min(0.98, float(values.min()) - 0.02), max(1.0, float(values.max())), floor, top)
    x = Scale(min(steps), max(steps) if len(steps) > 1 else steps[0] + 1, left + 4, WIDTH - right)
    parts = []
    for value in y.ticks(4):
        parts.append(el("line", class_="grid", x1=left, x2=WIDTH - right, y1=y(value), y2=y(value)))
        parts.append(
            el("text", f"{value:.4g}", class_="tick", x=left - 6, y=y(value) + 3.5, text_anchor="end")
        )
    parts += [el("text", f"{s:g}", class_="tick", x=x(s), y=floor + 16, text_anchor="middle") for s in steps]
    places = _spread([y(points[-1][1]) for points in lines.values()], gap, top, floor)
    for k, ((name, points), place) in enumerate(zip(lines.items(), places, strict=True)):
        style = f"c{k % 8}" + (" dashed" if k >= 8 else "")
        pixels = [(x(a), y(b)) for a, b in points]
        end_x, end_y = pixels[-1]
        parts.append(el("polyline", class_=f"line {style}", points=points_text(pixels)))
        parts += [el("circle", class_=f"dot {style}", cx=a, cy=b, r=2.5) for a, b in pixels]
        leader = points_text([(end_x + 5, end_y), (WIDTH - right + 12, place), (WIDTH - right + 16, place)])
        parts.append(el("polyline", class_=f"leader {style}", points=leader))
        short = name if len(name) <= 15 else name[:14] + "…"
        parts.append(
            el("text", el("title", name), short, class_=f"name {style}", x=WIDTH - right + 20, y=place + 4)
        )
    return el("svg", *parts, class_="figure", viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=label)


def _spread(places: list[float], gap: float, low: float, high: float) -> list[float]:
    """The places moved apart to at least `gap`, in their order, within [low, high] where that is possible."""
    order = sorted(range(len(places)), key=lambda k: places[k])
    moved = list(places)
    edge = low
    for k in order:
        moved[k] = max(moved[k], edge)
        edge = moved[k] + gap
    edge = high
    for k in reversed(order):
        moved[k] = min(moved[k], edge)
        edge = moved[k] - gap
    return moved
