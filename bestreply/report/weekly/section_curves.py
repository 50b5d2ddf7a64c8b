"""Learning curves with intervals over seeds, how soon they converge, and how the returns of episodes are spread."""

import numpy as np

from bestreply.report.line_charts import (
    MAX_LINES,
    Curve,
    line_chart,
    line_style,
)
from bestreply.report.row_charts import shade, stacked_shares
from bestreply.report.run_files import number
from bestreply.report.texts import Texts, compact, fixed, show
from bestreply.report.weekly.curves import (
    FRACTIONS,
    Convergence,
    LearningCurves,
    MetricCurves,
    learning_curves,
    mean_and_interval,
)
from bestreply.report.weekly.document import (
    Block,
    Fold,
    Grid,
    Heading,
    Line,
    Paragraph,
    Picture,
    Pictures,
    Section,
    cells,
    line,
)
from bestreply.report.weekly.groups import Family
from bestreply.report.weekly.returns import (
    MIN_DISTANCE,
    ReturnDistribution,
    return_distributions,
)
from bestreply.report.weekly.week import Week, mean_of, stderr_of

MAX_PANELS = 12


def section_curves(week: Week, texts: Texts) -> Section:
    blocks: list[Block] = []
    for family in week.families:
        found = learning_curves(family)
        blocks.append(Heading(family.title))
        blocks += (
            _curves(family, found, texts)
            if found
            else [Paragraph(line(texts("weekly_no_curves")), "caveat")]
        )
    return Section("curves", texts("weekly_title_curves"), blocks)


def keys_of(family: Family) -> list[tuple[str, str]]:
    return [
        (line_style(k), g.name) for k, g in enumerate(family.groups[:MAX_LINES])
    ]


def _curves(family: Family, found: LearningCurves, texts: Texts) -> list[Block]:
    low, high = found.steps
    steps = texts.count(low, high)
    blocks: list[Block] = [
        Paragraph(
            line(
                texts(
                    "weekly_axis_steps"
                    if found.by_steps
                    else "weekly_axis_updates",
                    steps=steps,
                )
            ),
            "note",
        )
    ]
    styles = {
        g.name: line_style(k) for k, g in enumerate(family.groups[:MAX_LINES])
    }
    pictures = [
        _picture(metric, styles, found.by_steps, texts)
        for metric in found.metrics[:MAX_PANELS]
    ]
    blocks.append(Pictures(pictures, keys=keys_of(family)))
    if len(family.groups) > MAX_LINES:
        blocks.append(
            Paragraph(
                line(texts("weekly_lines_left_out", count=MAX_LINES)), "note"
            )
        )
    head = [
        texts(f"weekly_curve_{name}")
        for name in ("metric", "method", "seeds", "first")
    ]
    head += [
        *(f"{100 * part:.0f}%" for part in FRACTIONS),
        texts("weekly_curve_final"),
    ]
    head.append(
        texts(
            "weekly_curve_reached_steps"
            if found.by_steps
            else "weekly_curve_reached_updates"
        )
    )
    rows = [
        _speed(m.name, name, speed, texts)
        for m in found.metrics
        for name, speed in m.speeds.items()
    ]
    note = texts("weekly_note_speed", every=f"{found.every:,.0f}")
    return [
        *blocks,
        Fold(
            texts("weekly_title_speed"),
            [Grid(head, rows, text=2), Paragraph(line(note), "note")],
        ),
    ]


def _picture(
    metric: MetricCurves, styles: dict[str, str], by_steps: bool, texts: Texts
) -> Picture:
    lines = [
        Curve(m.name, styles[m.name], m.x, m.mean, m.low, m.high)
        for m in metric.means
        if m.name in styles
    ]
    ends = texts("list_gap").join(
        f"{m.name} {show(float(m.mean[-1]))}" for m in metric.means
    )
    label = texts("weekly_curve_label", metric=metric.name, ends=ends)
    return Picture(metric.name, line_chart(lines, label))


def _speed(
    metric: str, name: str, speed: Convergence, texts: Texts
) -> list[Line]:
    reached = [r for r in speed.reached if r is not None]
    some = texts(
        "weekly_of_seeds", count=len(reached), seeds=len(speed.reached)
    )
    short = f"{some}" if len(reached) < len(speed.reached) else ""
    return cells(
        metric,
        name,
        str(len(speed.final)),
        show(mean_of(speed.first)),
        *(
            show(mean_of([run[k] for run in speed.along]))
            for k in range(len(FRACTIONS))
        ),
        _shown(speed.final),
        _whole(reached) + short,
    )


def _shown(values: list[float]) -> str:
    error = stderr_of(values)
    return show(mean_of(values)) + (
        f" ± {show(error, 2)}" if error is not None else ""
    )


def _whole(values: list[float]) -> str:
    error = stderr_of(values)
    return fixed(mean_of(values), 0) + (
        f" ± {fixed(error, 0)}" if error is not None else ""
    )


# -- returns ---------------------------------------------------------------------------------------------------------------------


def section_returns(week: Week, texts: Texts) -> Section:
    blocks: list[Block] = [
        Paragraph(
            line(texts("weekly_note_returns", distance=fixed(MIN_DISTANCE, 1))),
            "note",
        )
    ]
    for family in week.families:
        found = return_distributions(family)
        if found:
            blocks += [Heading(family.title), *_returns(found, texts)]
    return Section("returns", texts("weekly_title_returns"), blocks)


def _returns(found: list[ReturnDistribution], texts: Texts) -> list[Block]:
    alone = all(len(s.shares) < 2 for s in found)
    apart = [s for s in found if alone or s.distance >= MIN_DISTANCE]
    alike = [s for s in found if s not in apart]
    blocks: list[Block] = []
    for spread in apart:
        title = texts("against", opponents=spread.opponents)
        label = texts("weekly_returns_label", opponents=spread.opponents)
        keys = [
            (shade(k, len(spread.bins)), _bin(b))
            for k, b in enumerate(spread.bins)
        ]
        blocks.append(
            Pictures(
                [Picture(title, stacked_shares(spread.shares, label))],
                wide=True,
                keys=keys,
            )
        )
    for key, some in (
        ("weekly_different", [] if alone else apart),
        ("weekly_similar", alike),
    ):
        if some:
            names = texts("weekly_list_gap").join(
                f"{s.opponents} ({fixed(s.distance)})" for s in some
            )
            blocks.append(Paragraph(line(texts(key, opponents=names)), "note"))
    inside: list[Block] = []
    for spread in found:
        head = [
            texts("against", opponents=spread.opponents),
            *(_bin(b) for b in spread.bins),
        ]
        rows = [
            cells(name, *(f"{100 * s:.1f}%" for s in each.tolist()))
            for name, each in spread.shares.items()
        ]
        inside.append(Grid(head, rows))
    return [*blocks, Fold(texts("weekly_title_shares"), inside)]


def _bin(bin_: tuple[float, float]) -> str:
    low, high = (compact(round(v, 2)) for v in bin_)
    return low if low == high else f"{low} … {high}"


def as_points(entries: object, x: str, y: str) -> dict[float, float]:
    """From a list of objects in a file: number under `x` -> number under `y`."""
    found = {}
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            at, value = number(entry.get(x)), number(entry.get(y))
            if at is not None and value is not None:
                found[at] = value
    return found


def over_seeds(name: str, style: str, runs: list[dict[float, float]]) -> Curve:
    """The mean of the runs at every x that all of them have, with its interval."""
    common = sorted(set.intersection(*(set(run) for run in runs)))
    values = np.array([[run[x] for x in common] for run in runs])
    return Curve(name, style, np.array(common), *mean_and_interval(values))
