"""Draw the agent's observations over the steps of a match: lines of neighbouring entries.

Entries that are 0 or 1 throughout are rows of bars; entries that never change are
counted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bestreply.report.belief_strips import LEFT, RIGHT, step_ticks
from bestreply.report.checks import expect
from bestreply.report.run_files import number
from bestreply.report.svg import el, points, tick
from bestreply.report.texts import Texts, show

MAX_LINES = 6
"""Entries of one plot."""
MAX_RATIO = 20.0
"""Of the largest sizes of two entries of one plot."""
MAX_PLOTS = 8
MAX_BARS = 40
"""Entries that are 0 or 1, in one plot."""
MAX_POINTS = 300
"""Of a line; of more steps every second, third, ... is drawn."""
TOP, FLOOR, BAR = 6.0, 60.0, 5.0

Series = list[float | None]


@dataclass(frozen=True)
class ObservationPlot:
    """Some entries of the observation over time."""

    title: str
    figure: Markup
    legend: list[tuple[str, str]]  # entries and their colours; empty for bars


def plot_observations(
    rows: Any, texts: Texts
) -> tuple[list[ObservationPlot], str]:
    """Draw the entries of observations over the steps of a match.

    Args:
        rows: [T][D] numbers, or None without any.
        texts: language of the page.

    Returns:
        The plots, and a sentence on entries without one.

    Raises:
        ValueError: `rows` is no list of rows of one length.
    """
    if rows is None:
        return [], ""
    are_rows = isinstance(rows, list) and all(isinstance(r, list) for r in rows)
    fits = are_rows and len({len(row) for row in rows}) == 1
    expect(fits, "observed", rows, "rows of one length")
    columns = [
        [number(v) for v in column] for column in zip(*rows, strict=True)
    ]
    moving = {k: c for k, c in enumerate(columns) if len(set(c)) > 1}
    bars = [k for k, c in moving.items() if set(c) <= {0.0, 1.0}]
    groups = _groups({k: c for k, c in moving.items() if k not in bars})
    plots = [_lines(group, moving, texts) for group in groups[:MAX_PLOTS]]
    if bars:
        plots.append(_bars(bars[:MAX_BARS], moving, texts))
    drawn = sum(map(len, groups[:MAX_PLOTS])) + len(bars[:MAX_BARS])
    notes = []
    if still := len(columns) - len(moving):
        notes.append(texts("observed_still", count=still))
    if left := len(moving) - drawn:
        notes.append(texts("observed_more", count=left))
    return plots, texts("sentence_gap").join(notes)


def _groups(columns: dict[int, Series]) -> list[list[int]]:
    """Return neighbouring entries of like size together."""
    groups: list[list[int]] = []
    sizes: dict[int, float] = {}
    for k, column in columns.items():
        sizes[k] = max(abs(v) for v in column if v is not None)
        group = groups[-1] if groups else []
        same_unit = group and all(
            max(sizes[k], sizes[j]) <= MAX_RATIO * min(sizes[k], sizes[j])
            for j in group
        )
        if same_unit and len(group) < MAX_LINES:
            group.append(k)
        else:
            groups.append([k])
    return groups


def _title(entries: Sequence[int], texts: Texts) -> str:
    first, last = entries[0], entries[-1]
    if first == last:
        return texts("observed_one", entry=first)
    return texts("observed_some", first=first, last=last)


def _lines(
    entries: list[int], columns: dict[int, Series], texts: Texts
) -> ObservationPlot:
    known = [v for k in entries for v in columns[k] if v is not None]
    low, high = min(known), max(known)
    scale = (FLOOR - TOP) / ((high - low) or 1.0)
    count = len(columns[entries[0]])
    width = (RIGHT - LEFT) / count
    every = math.ceil(count / MAX_POINTS)
    parts = [
        tick(show(high), LEFT - 6, TOP + 6, "end"),
        tick(show(low), LEFT - 6, FLOOR, "end"),
    ]
    if low < 0 < high:
        zero = FLOOR + low * scale
        place = {"x1": LEFT, "x2": RIGHT, "y1": zero, "y2": zero}
        parts.append(el("line", class_="grid", **place))
    for n, k in enumerate(entries):
        at = [
            (LEFT + (t + 0.5) * width, FLOOR - (v - low) * scale)
            for t, v in enumerate(columns[k])
            if v is not None and (t % every == 0 or t == count - 1)
        ]
        line = points(*zip(*at, strict=True))
        parts.append(el("polyline", class_=f"line c{n}", points=line))
    figure = _figure(parts, count, width, FLOOR)
    legend = [(str(k), f"c{n}") for n, k in enumerate(entries)]
    return ObservationPlot(_title(entries, texts), figure, legend)


def _bars(
    entries: list[int], columns: dict[int, Series], texts: Texts
) -> ObservationPlot:
    """Draw a row for each entry, with a bar wherever it is 1."""
    count = len(columns[entries[0]])
    width = (RIGHT - LEFT) / count
    parts = []
    for n, k in enumerate(entries):
        y, begin = TOP + BAR * n, 0
        column = columns[k]
        if n % 4 == 0:
            parts.append(tick(k, LEFT - 6, y + BAR, "end"))
        for t in range(1, count + 1):
            if t < count and column[t] == column[begin]:
                continue
            if column[begin]:
                place = {"x": LEFT + begin * width, "y": y, "height": BAR - 1}
                size = (t - begin) * width
                parts.append(el("rect", class_="bit", width=size, **place))
            begin = t
    figure = _figure(parts, count, width, TOP + BAR * len(entries))
    return ObservationPlot(_title(entries, texts), figure, [])


def _figure(
    parts: list[Markup], count: int, width: float, floor: float
) -> Markup:
    size = {"width": max(width, 1.5), "height": floor - TOP + 8, "rx": 1.5}
    cursor = el("rect", class_="cursor", x=LEFT, y=TOP - 4, **size)
    return el(
        "svg",
        *parts,
        *step_ticks(count, width, floor + 14),
        cursor,
        class_="figure strip",
        viewBox=f"0 0 300 {floor + 16:g}",
        aria_hidden="true",
        data_left=f"{LEFT:g}",
        data_step=f"{width:.4f}",
    )
