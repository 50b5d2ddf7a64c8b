"""Sections of the page as plain data for the template: facts, scores, curves,
diagnostics.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from bestreply.report.line_charts import (
    MAX_POINTS,
    Curve,
    line_chart,
    named_lines,
    thin,
)
from bestreply.report.row_charts import Interval, Row, interval_chart
from bestreply.report.run_files import (
    FileProblem,
    MetricSeries,
    RunFiles,
    ScoreColumns,
    lookup,
    number,
)
from bestreply.report.scores import (
    RATIOS,
    ScoreTable,
    best_reply_row,
    cell_text,
    compare_cells,
    method_notes,
    ratio_text,
    reference_notes,
    role_note,
    score_table,
    table_note,
)
from bestreply.report.svg import share_bar
from bestreply.report.texts import (
    ALONE,
    Texts,
    decimals_of,
    duration,
    facing,
    fixed,
    moment,
    show,
    ties,
)

MAX_PANELS = 60  # learning curves on one page
MAX_STAGES = 8  # of environment steps, marked in learning curves


@dataclass(frozen=True)
class TextTable:
    """A table of text. `bold` marks the best cells, `own` the row of the run's method."""

    head: list[str]
    rows: list[list[str]]
    bold: frozenset[tuple[int, int]] = frozenset()
    own: int | None = None
    shares: dict[tuple[int, int], Markup] | None = None
    """Bars beside numbers, by (row, column)."""


# -- facts -----------------------------------------------------------------------


def facts(
    run: RunFiles, scores: ScoreColumns | None, texts: Texts
) -> list[tuple[str, str]]:
    """Return what was run: game, settings, budget, seeds and time.

    Args:
        run: files of the run.
        scores: its scores, if they can be used.
        texts: language.

    Returns:
        (label, value) of every fact that the files state.
    """
    documents = [d for d in (run.provenance, run.config) if isinstance(d, dict)]
    seeds = lookup(documents, "seeds", "seed")
    if isinstance(seeds, list):
        seeds = ", ".join(map(str, seeds))
    game, settings = _game(documents, texts)
    values = {
        "game": game,
        "settings": settings,
        "method": lookup(documents, "method"),
        "budget": _budget(run, documents, texts),
        "seed": seeds,
        "evaluated": _evaluated(scores, texts) if scores else None,
        "started": moment(lookup(documents, "started", "time")),
        "took": duration(number(lookup(documents, "seconds")), texts),
    }
    return [
        (texts(f"fact_{key}"), str(value))
        for key, value in values.items()
        if value is not None
    ]


def _game(documents: list[Any], texts: Texts) -> tuple[Any, str | None]:
    """Return the game with its version, and its settings."""
    game = lookup(documents, "game")
    if isinstance(game, dict):
        settings, version = game.get("settings"), game.get("version")
        game = game.get("name", "?")
        if version is not None:
            game = f"{game} ({texts('version', version=version)})"
    else:
        settings = lookup(documents, "game_settings")
    if not isinstance(settings, dict):
        return game, None
    return game, ", ".join(f"{k} = {v}" for k, v in settings.items())


def _budget(run: RunFiles, documents: list[Any], texts: Texts) -> str | None:
    steps, updates = number(lookup(documents, "env_steps")), None
    if isinstance(run.metrics, dict) and run.metrics:
        steps = steps or max(
            int(s.env_steps.max()) for s in run.metrics.values()
        )
        updates = max(int(s.update.max()) for s in run.metrics.values())
    if steps is None:
        return None
    text = texts("budget_steps", steps=f"{steps:,.0f}")
    if updates is None:
        return text
    return text + texts("budget_updates", updates=f"{updates:,}")


def _evaluated(scores: ScoreColumns, texts: Texts) -> str:
    seeds, seats = len(np.unique(scores.seed)), len(np.unique(scores.seat))
    return texts(
        "evaluated", episodes=f"{len(scores.value):,}", seats=seats, seeds=seeds
    )


@dataclass(frozen=True)
class Finding:
    """The run's method compared with another one, in one sentence."""

    verdict: str
    text: str


def findings(table: ScoreTable, texts: Texts) -> tuple[str, list[Finding]]:
    """Compare the run's method with the best other method on each opponent set.

    Args:
        table: mean returns.
        texts: language.

    Returns:
        A sentence over all opponent sets (empty without any), and one for each set.
    """
    sets = [o for o in table.opponents if (table.own, o) in table.cells]
    comparisons = [_finding(table, against, texts) for against in sets]
    counts = Counter(finding.verdict for finding in comparisons)
    parts = [
        texts(f"count_{verdict}", count=counts[verdict])
        for verdict in ("better", "tie", "unclear", "worse", "unknown")
        if counts[verdict]
    ]
    if not parts:
        return "", comparisons
    joined = texts("list_gap").join(parts)
    overall = texts(
        "overall", method=table.own, sets=len(comparisons), parts=joined
    )
    return overall, comparisons


def _finding(table: ScoreTable, against: str, texts: Texts) -> Finding:
    own, rivals = table.cells[table.own, against], table.best_others(against)
    mean, decimals = cell_text(own, table.decimals), table.decimals
    key = "finding_of_one" if against == ALONE else "finding"
    text = texts(key, opponents=against, mean=mean)
    if not rivals:
        return Finding("alone", text + texts("finding_alone"))
    other = table.cells[rivals[0], against]
    difference = compare_cells(own, other)
    parts = difference.mean, difference.low, difference.high
    verdict = difference.verdict
    if verdict != "unknown" and all(ties(x, 0.0, decimals) for x in parts):
        verdict = "tie"
    rival = texts("list_gap").join(rivals)
    if len(rivals) > 1 and verdict != "tie":
        rival = texts("tied", names=rival)
    written = [fixed(part, decimals, sign=True) for part in parts]
    names = dict(zip(("difference", "low", "high"), written, strict=True))
    mean = cell_text(other, decimals)
    text += texts(f"finding_{verdict}", rival=rival, mean=mean, **names)
    return Finding(verdict, text)


# -- scores ----------------------------------------------------------------------


def own_method(run: RunFiles) -> str | None:
    """Return the method of a run.

    Args:
        run: files of the run.

    Returns:
        The method in the provenance, otherwise the focal player of the first match.
    """
    method = lookup([run.provenance], "method")
    if isinstance(method, str):
        return method
    try:
        match = run.matches[0]  # type: ignore[index]
        player = match["players"][match["seat"]]
    except (LookupError, TypeError):
        return None
    return player if isinstance(player, str) else None


def scores_section(
    run: RunFiles, scores: ScoreColumns, texts: Texts
) -> dict[str, Any]:
    """Return tables, charts and sentences about the scores.

    Args:
        run: files of the run.
        scores: its scores.
        texts: language.

    Returns:
        Values of the template.
    """
    references = run.references if isinstance(run.references, dict) else {}
    table = score_table(scores, own_method(run), references)
    overall, comparisons = findings(table, texts)
    return {
        "overall": overall,
        "findings": comparisons,
        "table": _returns_table(table, texts),
        "note": table_note(table, texts),
        "bold": texts("note_ties" if table.has_ties else "note_bold"),
        "one_seed": table.units == {"episodes"},
        "pictures": [_dots(table, o, texts) for o in table.opponents],
        "ratios": _ratios(table, texts) if table.solved else [],
        "method_notes": [
            note
            for note in (
                role_note(table, texts),
                *method_notes(table.methods, texts),
            )
            if note
        ],
        "reference_notes": reference_notes(table, texts),
    }


def _headings(table: ScoreTable, corner: str, texts: Texts) -> list[str]:
    sets = [facing(o, texts) for o in table.opponents]
    return [texts(corner), *sets]


def _returns_table(table: ScoreTable, texts: Texts) -> TextTable:
    mixed = len(table.units) > 1
    rows, bold = [], set()
    for r, method in enumerate(table.methods):
        row = [method]
        for c, against in enumerate(table.opponents):
            cell = table.cells.get((method, against))
            row.append(cell_text(cell, table.decimals, mixed))
            if method in table.best(against):
                bold.add((r, c + 1))
        rows.append(row)
    if table.solved:
        rows.append([texts("best_reply"), *best_reply_row(table, texts)])
    head = _headings(table, "scores_corner", texts)
    return TextTable(head, rows, frozenset(bold), own=0)


def _dots(table: ScoreTable, against: str, texts: Texts) -> tuple[str, Markup]:
    """Return title and chart of the mean returns against one opponent set."""
    intervals, values = [], []
    for method in table.methods:
        cell = table.cells.get((method, against))
        if cell is None:
            continue
        style = "own" if method == table.own else "other"
        row = Row(method, fixed(cell.mean, table.decimals), style)
        intervals.append(Interval(row, cell.mean, cell.interval(), style))
        values.append(f"{method} {cell_text(cell, table.decimals)}")
    listed = ", ".join(values)
    label = texts("dots_label", opponents=against, values=listed)
    own = table.cells.get((table.own, against))
    chart = interval_chart(intervals, label, mark=own and own.mean)
    return facing(against, texts), chart


def _ratios(table: ScoreTable, texts: Texts) -> list[tuple[str, TextTable]]:
    """Return a table of normalised returns and one of shares, with their titles."""
    tables = []
    for name in RATIOS:
        rows = [
            [m, *(ratio_text(table, name, m, o) for o in table.opponents)]
            for m in table.methods
        ]
        best = best_reply_row(table, texts, value="1")
        rows.append([texts("best_reply"), *best])
        head = _headings(table, f"corner_{name}", texts)
        tables.append((texts(f"title_{name}"), TextTable(head, rows, own=0)))
    return tables


# -- learning curves -------------------------------------------------------------


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


# -- diagnostics -----------------------------------------------------------------


def diagnostics_section(
    diagnostics: dict[str, Any], num_actions: int | None, texts: Texts
) -> dict[str, Any]:
    """Return tables of opponent models, value function and world model.

    Args:
        diagnostics: `diagnostics.json`.
        num_actions: A, if known.
        texts: language.

    Returns:
        Values of the template; None for each table without entries.
    """
    opponent = entries_of(diagnostics, "opponent")
    value = entries_of(diagnostics, "value")
    keys = ("player", "rmse", "bias", "correlation", "count")
    open_loop = entries_of(diagnostics, "open_loop")
    return {
        "opponent": _opponent_table(opponent, texts) if opponent else None,
        "chance": _chance(num_actions, texts) if num_actions else "",
        "value": _plain(value, keys, texts) if value else None,
        "heldout": _heldout_table(diagnostics.get("heldout"), texts),
        "open_loop": _open_loop(open_loop, texts),
    }


def _chance(num_actions: int, texts: Texts) -> str:
    loss = fixed(float(np.log(num_actions)))
    return texts("chance", actions=num_actions, loss=loss)


def _heldout_table(losses: object, texts: Texts) -> TextTable | None:
    if not isinstance(losses, dict) or not losses:
        return None
    rows = [[str(name), show(number(v))] for name, v in losses.items()]
    return TextTable([texts("loss"), texts("loss_value")], rows)


def entries_of(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the objects in the list under a key.

    Args:
        document: JSON object.
        key: name of the entry.

    Returns:
        The objects; empty if the entry is not a list.
    """
    entries = document.get(key)
    if not isinstance(entries, list):
        return []
    return [entry for entry in entries if isinstance(entry, dict)]


def _plain(
    entries: list[dict[str, Any]], keys: tuple[str, ...], texts: Texts
) -> TextTable:
    of_return = [number(e.get(k)) for e in entries for k in ("rmse", "bias")]
    unit = decimals_of(*of_return)
    decimals_by_key = {"count": 0} | dict.fromkeys(
        ("rmse", "bias"), 3 if unit == 2 else unit
    )
    rows = []
    for entry in entries:
        row = [str(entry.get(keys[0], "?"))]
        for key in keys[1:]:
            decimals = decimals_by_key.get(key, 3)
            value = number(entry.get(key))
            row.append(fixed(value, decimals, sign=key == "bias"))
        rows.append(row)
    return TextTable([texts(f"column_{key}") for key in keys], rows)


def _opponent_table(entries: list[dict[str, Any]], texts: Texts) -> TextTable:
    plain = _plain(entries, ("player", "top1", "log_loss", "count"), texts)
    bars = {
        (r, 1): share_bar(number(e.get("top1")), "guess")
        for r, e in enumerate(entries)
    }
    return TextTable(plain.head, plain.rows, shares=bars)


OPEN_LOOP = ("accuracy", "recall", "error")
"""Measures of open-loop predictions; those in the file are shown."""
Points = dict[str, dict[float, float]]
"""By entity, a number by steps ahead."""


def _open_loop(
    entries: list[dict[str, Any]], texts: Texts
) -> dict[str, Any] | None:
    """Return charts of `OPEN_LOOP` against steps ahead, and one table of all."""
    kinds: dict[str, Points] = {kind: {} for kind in OPEN_LOOP}
    counts: list[int] = []
    horizons: set[float] = set()
    for entry in entries:
        steps, name = number(entry.get("steps")), str(entry.get("entity", "?"))
        if steps is None:
            continue
        horizons.add(steps)
        counts.append(int(number(entry.get("count")) or 0))
        for kind, points in kinds.items():
            value = number(entry.get(kind))
            if value is not None:
                points.setdefault(name, {})[steps] = value
    kinds = {kind: points for kind, points in kinds.items() if points}
    if not kinds:
        return None
    pictures = [
        _open_loop_chart(k, points, texts) for k, points in kinds.items()
    ]
    return {
        "pictures": pictures,
        "table": _open_loop_table(kinds, sorted(horizons), texts),
        "note": texts("sentence_gap").join(
            [
                texts("open_note", count=texts.count(min(counts), max(counts))),
                *(texts(f"open_note_{kind}") for kind in kinds),
            ]
        ),
    }


def _open_loop_chart(
    kind: str, points: Points, texts: Texts
) -> tuple[str, Markup]:
    lines = {name: list(row.items()) for name, row in points.items()}
    chart = named_lines(lines, texts(f"open_{kind}_label"))
    return texts(f"open_{kind}"), chart


def _open_loop_table(
    kinds: dict[str, Points], horizons: list[float], texts: Texts
) -> TextTable:
    names = dict.fromkeys(name for points in kinds.values() for name in points)
    head = [texts("column_entity")]
    rows = {name: [name] for name in names}
    for kind, points in kinds.items():
        for steps in horizons:
            column = texts(f"column_{kind}")
            head.append(texts("open_head", kind=column, steps=f"{steps:g}"))
            for name, row in rows.items():
                row.append(fixed(points.get(name, {}).get(steps), 3))
    return TextTable(head, list(rows.values()))


# -- provenance ------------------------------------------------------------------


def flat(
    document: dict[str, Any] | FileProblem, prefix: str = ""
) -> list[tuple[str, str]]:
    """Flatten a document: ``train.learning_rate``, ``0.001`` for every leaf.

    Args:
        document: JSON object; a file that cannot be used gives no rows.
        prefix: written before every name.

    Returns:
        (name, value) of every leaf.
    """
    if isinstance(document, FileProblem):
        return []
    rows = []
    for key, value in document.items():
        if isinstance(value, dict) and value:
            rows += flat(value, f"{prefix}{key}.")
        else:
            if not isinstance(value, str):
                value = json.dumps(value, ensure_ascii=False)
            rows.append((f"{prefix}{key}", value))
    return rows
