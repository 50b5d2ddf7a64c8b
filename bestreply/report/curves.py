"""Learning curves of a run."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from bestreply.report.line_charts import MAX_POINTS, Curve, line_chart, thin
from bestreply.report.run_files import MetricSeries
from bestreply.report.texts import Texts, show

MAX_PANELS = 60  # learning curves on one page
MAX_STAGES = 8  # of environment steps, marked in learning curves


@dataclass(frozen=True)
class CurvePanel:
    """The chart of one metric."""

    title: str
    last: str
    figure: Markup


def curves_section(
    metrics: dict[str, MetricSeries], texts: Texts
) -> dict[str, Any]:
    """Return charts of all metrics, grouped by the first part of their names.

    A held-out loss is drawn with the training loss of the same name. The horizontal axis is
    environment steps. If these are constant or change in few stages while updates go on
    (training on logged play), it is updates, with the environment steps in the text or as
    marks. It is never wall-clock time.

    Args:
        metrics: metrics by name.
        texts: language.

    Returns:
        Values of the template.
    """
    axis = _curve_axis(metrics, texts)
    heldout = _heldout_names(list(metrics))
    groups: dict[str, list[CurvePanel]] = {}
    names = [n for n in metrics if n not in heldout.values()]
    for name in names[:MAX_PANELS]:
        training = texts("training") if name in heldout else ""
        lines = [_curve(metrics[name], axis.by_steps, "own", training)]
        if name in heldout:
            series = metrics[heldout[name]]
            label = texts("heldout")
            lines.append(_curve(series, axis.by_steps, "heldout", label))
        prefix, slash, rest = name.partition("/")
        title = rest if slash else name
        panel = _curve_panel(name, title, lines, axis, texts)
        groups.setdefault(prefix if slash else "", []).append(panel)
    return {
        "axis": axis.text,
        "groups": [
            (texts.get(f"group_{prefix}", prefix), panels)
            for prefix, panels in groups.items()
        ],
        "thinned": any(len(s.value) > MAX_POINTS for s in metrics.values()),
        "heldout": bool(heldout),
        "left_out": names[MAX_PANELS:],
    }


@dataclass(frozen=True)
class CurveAxis:
    """The horizontal axis of all learning curves of a run."""

    by_steps: bool  # environment steps; otherwise updates
    text: str
    range: tuple[float, float]
    marks: list[float]


def grows_with_updates(metrics: Iterable[MetricSeries]) -> bool:
    """Return whether environment steps grow with updates.

    Data collected before training has one number of steps, or one per stage.

    Args:
        metrics: metrics of one run.

    Returns:
        True if there are at least half as many distinct steps as updates.
    """
    steps = np.unique(np.concatenate([s.env_steps for s in metrics]))
    updates = np.unique(np.concatenate([s.update for s in metrics]))
    return len(steps) > 1 and 2 * len(steps) >= len(updates)


def _curve_axis(metrics: dict[str, MetricSeries], texts: Texts) -> CurveAxis:
    every = list(metrics.values())
    steps = np.concatenate([s.env_steps for s in every])
    if grows_with_updates(every):
        ends = float(steps.min()), float(steps.max())
        return CurveAxis(True, texts("axis_steps"), ends, [])
    updates = np.concatenate([s.update for s in every])
    ends = float(updates.min()), float(updates.max())
    if steps.min() == steps.max():
        text = texts("axis_updates", steps=f"{steps[0]:,}")
        return CurveAxis(False, text, ends, [])
    stages = _stages(metrics)[:MAX_STAGES]
    listed = texts("list_gap").join(
        texts("stage", update=f"{u:,}", steps=f"{s:,}") for u, s in stages
    )
    text = texts("axis_stages", stages=listed)
    return CurveAxis(False, text, ends, [float(u) for u, _ in stages])


def _curve_panel(
    name: str, title: str, lines: list[Curve], axis: CurveAxis, texts: Texts
) -> CurvePanel:
    last = texts("list_gap").join(
        f"{line.name} {show(_last(line.y))}".strip() for line in lines
    )
    label = texts("curve_label", name=name, axis=axis.text, last=last)
    thinned = [thin(line, extremes=True) for line in lines]
    figure = line_chart(thinned, label, x_range=axis.range, marks=axis.marks)
    return CurvePanel(title, last, figure)


def _stages(metrics: dict[str, MetricSeries]) -> list[tuple[int, int]]:
    """Return (update, env_steps) wherever the environment steps change."""
    pairs = sorted(
        {
            (int(u), int(e))
            for s in metrics.values()
            for u, e in zip(s.update, s.env_steps, strict=True)
        }
    )
    return [p for k, p in enumerate(pairs) if k == 0 or p[1] != pairs[k - 1][1]]


def _heldout_names(names: list[str]) -> dict[str, str]:
    """Map training metrics to held-out ones: ``heldout/X`` to the only ``X`` or ``.../X``."""
    pairs = {}
    for heldout in names:
        prefix, _, rest = heldout.partition("/")
        if prefix != "heldout" or not rest:
            continue
        training = [
            name
            for name in names
            if not name.startswith("heldout/")
            and (name == rest or name.endswith("/" + rest))
        ]
        if len(training) == 1 and training[0] not in pairs:
            pairs[training[0]] = heldout
    return pairs


def _curve(
    series: MetricSeries, by_steps: bool, style: str, name: str
) -> Curve:
    if not by_steps:
        return Curve(name, style, series.update.astype(float), series.value)
    order = np.argsort(series.env_steps, kind="stable")
    x, y = series.env_steps[order], series.value[order]
    is_last = np.append(x[1:] != x[:-1], True)  # of several values at one x
    return Curve(name, style, x[is_last].astype(float), y[is_last])


def _last(values: np.ndarray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else None
