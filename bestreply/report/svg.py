"""SVG elements, scales and ticks: the parts of every chart of a report.

The page's style sheet sets the colours, so charts follow the reader's colour scheme.
Charts are 360 units wide, about the width of a phone's column. docs/charts.md
compares drawing libraries.
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
        tag: name of the element.
        children: elements; anything else is escaped.
        attributes: `class_` is class, ``_`` is ``-``, None is left out, numbers
            are rounded to 0.1.

    Returns:
        The element.
    """
    text = ""
    for name, value in attributes.items():
        if isinstance(value, float):
            value = f"{value:.1f}".removesuffix(".0")
        if value is not None:
            text += f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"'
    content = "".join(str(escape(child)) for child in children)
    return Markup(
        f"<{tag}{text}>{content}</{tag}>" if content else f"<{tag}{text}/>"
    )


def chart(
    parts: Iterable[Markup],
    height: float,
    label: str,
    *,
    width: float = WIDTH,
    **data: object,
) -> Markup:
    """Write a chart.

    Args:
        parts: elements.
        height: height, in units.
        label: description for screen readers.
        width: width, in units.
        data: attributes for the page's script.

    Returns:
        The ``<svg>`` element.
    """
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


def tick(text: object, x: float, y: float, anchor: str = "middle") -> Markup:
    """Write a label of an axis.

    Args:
        text: label.
        x: horizontal position, in units.
        y: base line, in units.
        anchor: the part of the text that is at `x`: "start", "middle" or "end".

    Returns:
        The element.
    """
    place = {"x": x, "y": y, "text_anchor": anchor}
    return el("text", text, class_="tick", **place)


def points(xs: Iterable[float], ys: Iterable[float]) -> str:
    """Write the `points` of a polyline or polygon.

    Args:
        xs: horizontal positions, in units.
        ys: vertical positions, in units.

    Returns:
        The attribute.
    """
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))


def share_bar(share: float | None, style: str) -> Markup:
    """Draw a bar that fills a share of its table cell.

    Args:
        share: in [0, 1]; None draws no bar.
        style: class of the style sheet.

    Returns:
        The ``<svg>`` element.
    """
    width = f"{100 * min(max(share or 0.0, 0.0), 1.0):.1f}%"
    return el(
        "svg",
        el("rect", class_=style, width=width, height="100%"),
        class_="hbar",
        aria_hidden="true",
    )


def name_text(
    name: str, max_length: int, style: str = "", **place: object
) -> Markup:
    """Write a name, shortened if it is too long; the whole name is then in its title.

    Args:
        name: text.
        max_length: greatest length in Latin characters; a Chinese character
            counts as two.
        style: class of the style sheet.
        place: attributes of the ``<text>`` element.

    Returns:
        The element.
    """
    left, text = max_length, ""
    for character in name:
        left -= 2 if east_asian_width(character) in "WF" else 1
        text += character if left >= 0 else ""
    if left < 0:
        text = text[:-1] + "…"
    return el(
        "text",
        el("title", name) if left < 0 else "",
        text,
        class_=f"name {style}".strip(),
        **place,
    )


@dataclass(frozen=True)
class Scale:
    """A map from values in [low, high] to positions in [start, end], logarithmic if
    `log`.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            low, high = math.log10(low), math.log10(high)
            value = math.log10(value)
        fraction = (value - low) / (high - low)
        return self.start + fraction * (self.end - self.start)

    def ticks(self, count: int = 4) -> list[float]:
        """Return round values of an axis.

        Args:
            count: approximate number of values.

        Returns:
            Multiples of one step; if `log`, powers of ten or 1, 2 and 5 times
            them.
        """
        if not self.log:
            return ticks(self.low, self.high, count)
        first = math.floor(math.log10(self.low))
        last = math.ceil(math.log10(self.high))
        exponents = range(first, last + 1)
        powers = self._inside([10.0**p for p in exponents])
        if len(powers) > 2:
            return powers[:: -(-len(powers) // count)]
        return self._inside(
            [float(f"{m}e{p}") for p in exponents for m in (1, 2, 5)]
        )

    def _inside(self, values: list[float]) -> list[float]:
        return [value for value in values if self.low <= value <= self.high]

    @property
    def written(self) -> str:
        """The scale as text for the page's script: low, high, start, end, log."""
        return f"{self.low!r} {self.high!r} {self.start!r} {self.end!r} {int(self.log)}"


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Return round numbers in a range.

    Args:
        low: least value.
        high: greatest value, above `low`.
        count: approximate number of values.

    Returns:
        Multiples of one step.
    """
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
    """Return a scale over all values, with a margin of 6 % at both ends.

    Args:
        values: [n] finite numbers; positive if `log`.
        start: position of the low end, in units.
        end: position of the high end, in units.
        log: logarithmic scale.

    Returns:
        The scale.
    """
    low, high = float(values.min()), float(values.max())
    if log:
        return Scale(low / 1.3, high * 1.3, start, end, True)
    spread, size = high - low, max(abs(low), abs(high))
    if spread > 1e-9 * size:
        margin = 0.06 * spread
    else:
        margin = max(0.1 * size, 0.5 if size > 0.05 else 0.0) or 1.0
    return Scale(low - margin, high + margin, start, end)
