"""What every chart of the report is made of: SVG elements, scales and round ticks.

The style sheet of the page gives the colours, so charts follow the reader's colour scheme. Charts are 360
units wide, about the width of a phone's column. docs/charts.md says why they are not made by a library.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from unicodedata import east_asian_width

import numpy as np
from markupsafe import Markup, escape

WIDTH = 360


def el(tag: str, *children: object, **attributes: object) -> Markup:
    """Write an SVG element.

    Args:
        tag: the element's name.
        children: elements; anything else is escaped.
        attributes: `class_` is class, ``_`` is ``-``, None is left out; numbers are rounded to 0.1.
    """
    written = ""
    for name, value in attributes.items():
        if isinstance(value, float):
            value = f"{value:.1f}".removesuffix(".0")
        if value is not None:
            written += (
                f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"'
            )
    inside = "".join(str(escape(child)) for child in children)
    return Markup(
        f"<{tag}{written}>{inside}</{tag}>" if inside else f"<{tag}{written}/>"
    )


def chart(
    parts: Iterable[Markup],
    height: float,
    label: str,
    *,
    width: float = WIDTH,
    **data: object,
) -> Markup:
    """Write a chart: `label` is read out in its place, `data` are attributes for the page's script."""
    box = f"0 0 {width:g} {height:g}"
    return el(
        "svg",
        *parts,
        class_="figure",
        viewBox=box,
        role="img",
        aria_label=label,
        **data,
    )


def points(xs: Iterable[float], ys: Iterable[float]) -> str:
    """Write pixels as the `points` of a polyline or polygon."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))


def share_bar(share: float | None, style: str) -> Markup:
    """Draw a bar of `share` in [0, 1] of its table cell's width."""
    width = f"{100 * min(max(share or 0.0, 0.0), 1.0):.1f}%"
    return el(
        "svg",
        el("rect", class_=style, width=width, height="100%"),
        class_="hbar",
        aria_hidden="true",
    )


def name_text(name: str, most: int, style: str = "", **place: object) -> Markup:
    """Write a name, cut off after `most` Latin characters or half as many Chinese ones."""
    room, shown = most, ""
    for character in name:
        room -= 2 if east_asian_width(character) in "WF" else 1
        shown += character if room >= 0 else ""
    if room < 0:
        shown = shown[:-1] + "…"
    return el(
        "text",
        el("title", name) if room < 0 else "",
        shown,
        class_=f"name {style}".strip(),
        **place,
    )


@dataclass(frozen=True)
class Scale:
    """A map from values in [low, high] to pixels in [start, end]; linear in their logarithms if `log`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            low, high, value = (
                math.log10(low),
                math.log10(high),
                math.log10(value),
            )
        return self.start + (value - low) / (high - low) * (
            self.end - self.start
        )

    def ticks(self, count: int = 4) -> list[float]:
        """Return about `count` round values; powers of ten, or 1, 2 and 5 times them, if `log`."""
        if not self.log:
            return ticks(self.low, self.high, count)
        first, last = (
            math.floor(math.log10(self.low)),
            math.ceil(math.log10(self.high)),
        )
        powers = [
            10.0**p
            for p in range(first, last + 1)
            if self.low <= 10.0**p <= self.high
        ]
        if len(powers) > 2:
            return powers[:: -(-len(powers) // count)]
        fine = [
            float(f"{m}e{p}") for p in range(first, last + 1) for m in (1, 2, 5)
        ]
        return [value for value in fine if self.low <= value <= self.high]

    @property
    def written(self) -> str:
        """Return what the page's script reads values off pixels with: low, high, start, end, log."""
        return f"{self.low!r} {self.high!r} {self.start!r} {self.end!r} {int(self.log)}"


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Return about `count` round numbers in [low, high]."""
    rough = (high - low) / count
    base = 10.0 ** math.floor(math.log10(rough))
    step = next(
        base * m for m in (1, 2, 2.5, 5, 10) if base * m >= rough * 0.999
    )
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def fit(
    values: np.ndarray, start: float, end: float, log: bool = False
) -> Scale:
    """Return a scale over all finite `values` with 6 % of room at both ends."""
    low, high = float(values.min()), float(values.max())
    if log:
        return Scale(low / 1.3, high * 1.3, start, end, True)
    room = (high - low) * 0.06 or max(abs(high) * 0.1, 0.5 if high else 1.0)
    return Scale(low - room, high + room, start, end)
