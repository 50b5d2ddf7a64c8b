"""Each section of the page as plain data for the template: what was run, scores, curves, diagnostics."""

import json
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
    ratio_text,
    reference_notes,
    score_table,
    table_note,
)
from bestreply.report.svg import share_bar
from bestreply.report.texts import Texts, duration, fixed, moment, show

MAX_PANELS = 60  # learning curves on one page


@dataclass(frozen=True)
class TextTable:
    """Cells as text; `bold` marks those to be read first, `own` the row of the run's method."""

    head: list[str]
    rows: list[list[str]]
    bold: frozenset[tuple[int, int]] = frozenset()
    own: int | None = None
    shares: dict[tuple[int, int], Markup] | None = (
        None  # a bar beside the number
    )


# -- what was run ----------------------------------------------------------------------------------


def facts(
    run: RunFiles, scores: ScoreColumns | None, texts: Texts
) -> list[tuple[str, str]]:
    """Game, settings, budget in environment steps, seeds and time, as far as the files tell."""
    documents = [d for d in (run.provenance, run.config) if isinstance(d, dict)]
    game = lookup(documents, "game")
    settings = (
        game.get("settings")
        if isinstance(game, dict)
        else lookup(documents, "game_settings")
    )
    name = game.get("name", "?") if isinstance(game, dict) else game
    version = game.get("version") if isinstance(game, dict) else None
    seeds = lookup(documents, "seeds", "seed")
    found = {
        "game": f"{name} ({texts('version', version=version)})"
        if version is not None
        else name,
        "settings": ", ".join(f"{k} = {v}" for k, v in settings.items())
        if isinstance(settings, dict)
        else None,
        "method": lookup(documents, "method"),
        "budget": _budget(run, documents, texts),
        "seed": ", ".join(map(str, seeds))
        if isinstance(seeds, list)
        else seeds,
        "evaluated": _evaluated(scores, texts) if scores else None,
        "started": moment(lookup(documents, "started", "time")),
        "took": duration(number(lookup(documents, "seconds")), texts),
    }
    return [
        (texts(f"fact_{key}"), str(value))
        for key, value in found.items()
        if value is not None
    ]


def _budget(run: RunFiles, documents: list[Any], texts: Texts) -> str | None:
    steps, updates = number(lookup(documents, "env_steps")), None
    if isinstance(run.metrics, dict) and run.metrics:
        steps = steps or max(
            int(s.env_steps.max()) for s in run.metrics.values()
        )
        updates = max(int(s.update.max()) for s in run.metrics.values())
    if steps is None:
        return None
    said = texts("budget_steps", steps=f"{steps:,.0f}")
    return (
        said
        if updates is None
        else said + texts("budget_updates", updates=f"{updates:,}")
    )


def _evaluated(scores: ScoreColumns, texts: Texts) -> str:
    seeds, seats = len(np.unique(scores.seed)), len(np.unique(scores.seat))
    return texts(
        "evaluated", episodes=f"{len(scores.value):,}", seats=seats, seeds=seeds
    )


@dataclass(frozen=True)
class Finding:
    verdict: str
    text: str


def findings(table: ScoreTable, texts: Texts) -> tuple[str, list[Finding]]:
    """One sentence over all, and one for each opponent set against the best other method there."""
    found = []
    for against in table.opponents:
        own, rival = (
            table.cells.get((table.own, against)),
            table.best_other(against),
        )
        if own is None:
            continue
        said = texts(
            "found", method=table.own, opponents=against, mean=cell_text(own)
        )
        verdict = "alone"
        if rival is None:
            said += texts("found_alone")
        else:
            other = table.cells[rival, against]
            difference = compare_cells(own, other)
            verdict = difference.verdict
            said += texts(
                f"found_{verdict}",
                rival=rival,
                mean=cell_text(other),
                difference=fixed(difference.mean, sign=True),
                low=fixed(difference.low, sign=True),
                high=fixed(difference.high, sign=True),
            )
        found.append(Finding(verdict, said))
    counts = {
        v: sum(f.verdict == v for f in found)
        for v in ("better", "unclear", "worse", "unknown")
    }
    parts = [texts(f"count_{v}", count=n) for v, n in counts.items() if n]
    overall = (
        texts(
            "overall",
            method=table.own,
            sets=len(found),
            parts=texts("list_gap").join(parts),
        )
        if parts
        else ""
    )
    return overall, found


# -- scores ----------------------------------------------------------------------------------------


def own_method(run: RunFiles) -> str | None:
    """The method that the run is about: named in the provenance, else whose thoughts the matches show."""
    named = lookup([run.provenance], "method")
    if isinstance(named, str):
        return named
    try:
        match = run.matches[0]  # type: ignore[index]
        return match["players"][match["seat"]]
    except (LookupError, TypeError):
        return None


def scores_section(
    run: RunFiles, scores: ScoreColumns, texts: Texts
) -> dict[str, Any]:
    own = own_method(run)
    references = run.references if isinstance(run.references, dict) else {}
    table = score_table(
        scores, own if isinstance(own, str) else None, references
    )
    mixed = len(table.units) > 1
    rows, bold, pictures = [], set(), []
    for r, method in enumerate(table.methods):
        rows.append(
            [method]
            + [
                cell_text(table.cells.get((method, a)), mixed)
                for a in table.opponents
            ]
        )
        bold |= {
            (r, c + 1)
            for c, a in enumerate(table.opponents)
            if method in table.best(a)
        }
    if table.held_against:
        rows.append([texts("best_reply"), *best_reply_row(table, texts)])
    for against in table.opponents:
        played = [
            (m, table.cells[m, against])
            for m in table.methods
            if (m, against) in table.cells
        ]
        own_cell = table.cells.get((table.own, against))
        intervals = []
        for method, cell in played:
            style = "own" if method == table.own else "other"
            row = Row(method, fixed(cell.mean), style)
            intervals.append(Interval(row, cell.mean, cell.interval(), style))
        label = texts(
            "dots_label",
            opponents=against,
            values=", ".join(f"{m} {cell_text(c)}" for m, c in played),
        )
        pictures.append(
            (
                texts("against", opponents=against),
                interval_chart(
                    intervals, label, mark=own_cell and own_cell.mean
                ),
            )
        )
    overall, found = findings(table, texts)
    head = [
        texts("method"),
        *(texts("against", opponents=a) for a in table.opponents),
    ]
    return {
        "overall": overall,
        "findings": found,
        "table": TextTable(head, rows, frozenset(bold), own=0),
        "note": table_note(table, texts),
        "one_seed": table.units == {"episodes"},
        "pictures": pictures,
        "ratios": _ratios(table, head, texts) if table.held_against else [],
        "reference_notes": reference_notes(table, texts),
    }


def _ratios(
    table: ScoreTable, head: list[str], texts: Texts
) -> list[tuple[str, TextTable]]:
    """A table each of normalised returns and of shares of the best reply, with their titles."""
    found = []
    for what in RATIOS:
        rows = [
            [m, *(ratio_text(table, what, m, a) for a in table.opponents)]
            for m in table.methods
        ]
        rows.append(
            [texts("best_reply"), *best_reply_row(table, texts, value="1")]
        )
        found.append((texts(f"title_{what}"), TextTable(head, rows, own=0)))
    return found


# -- learning curves -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Panel:
    title: str
    last: str
    figure: Markup


def curves_section(
    metrics: dict[str, MetricSeries], texts: Texts
) -> dict[str, Any]:
    """Panels by the first part of the metric's name; a held-out loss is drawn into the panel of the loss it
    belongs to.

    x is environment steps. Where they stand still or move in a few stages while updates go on (training on
    logged play), it is updates, with the number of environment steps said or marked: never wall-clock time.
    """
    steps = np.unique(np.concatenate([s.env_steps for s in metrics.values()]))
    updates = np.unique(np.concatenate([s.update for s in metrics.values()]))
    by_steps = len(steps) > 1 and 2 * len(steps) >= len(updates)
    stages = _stages(metrics) if not by_steps and len(steps) > 1 else []
    if by_steps:
        axis = texts("axis_steps")
    elif stages:
        shown = texts("list_gap").join(
            texts("stage", update=f"{u:,}", steps=f"{s:,}")
            for u, s in stages[:8]
        )
        axis = texts("axis_stages", stages=shown)
    else:
        axis = texts("axis_updates", steps=f"{steps[0]:,}")
    x_range = (
        (float(steps[0]), float(steps[-1]))
        if by_steps
        else (float(updates[0]), float(updates[-1]))
    )
    partners = _partners(list(metrics))
    groups: dict[str, list[Panel]] = {}
    names = [n for n in metrics if n not in partners.values()]
    for name in names[:MAX_PANELS]:
        lines = [
            _curve(
                metrics[name],
                by_steps,
                "own",
                texts("training") if name in partners else "",
            )
        ]
        if name in partners:
            lines.append(
                _curve(
                    metrics[partners[name]], by_steps, "held", texts("heldout")
                )
            )
        last = texts("list_gap").join(
            f"{c.name} {show(_last(c.y))}".strip() for c in lines
        )
        label = texts("curve_label", name=name, axis=axis, last=last)
        thinned = [thin(curve, extremes=True) for curve in lines]
        figure = line_chart(
            thinned,
            label,
            x_range=x_range,
            marks=[float(u) for u, _ in stages[:8]],
        )
        prefix, _, rest = name.partition("/") if "/" in name else ("", "", name)
        groups.setdefault(prefix, []).append(Panel(rest, last, figure))
    return {
        "axis": axis,
        "groups": [
            (texts.get(f"group_{prefix}", prefix), panels)
            for prefix, panels in groups.items()
        ],
        "thinned": any(len(s.value) > MAX_POINTS for s in metrics.values()),
        "held": bool(partners),
        "left_out": names[MAX_PANELS:],
    }


def _stages(metrics: dict[str, MetricSeries]) -> list[tuple[int, int]]:
    """(update, env_steps) where the environment steps change."""
    pairs = sorted(
        {
            (int(u), int(e))
            for s in metrics.values()
            for u, e in zip(s.update, s.env_steps, strict=True)
        }
    )
    return [p for k, p in enumerate(pairs) if k == 0 or p[1] != pairs[k - 1][1]]


def _partners(names: list[str]) -> dict[str, str]:
    """Training metric -> held-out metric, where ``heldout/X`` belongs to exactly one ``X`` or ``.../X``."""
    found = {}
    for held in names:
        prefix, _, rest = held.partition("/")
        if prefix == "heldout" and rest:
            fits = [
                n
                for n in names
                if not n.startswith("heldout/")
                and (n == rest or n.endswith("/" + rest))
            ]
            if len(fits) == 1 and fits[0] not in found:
                found[fits[0]] = held
    return found


def _curve(
    series: MetricSeries, by_steps: bool, style: str, name: str
) -> Curve:
    if not by_steps:
        return Curve(name, style, series.update.astype(float), series.value)
    order = np.argsort(series.env_steps, kind="stable")
    x = series.env_steps[order]
    final = np.append(
        x[1:] != x[:-1], True
    )  # of several values at one number of steps, the last
    return Curve(
        name, style, x[final].astype(float), series.value[order][final]
    )


def _last(values: np.ndarray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else None


# -- diagnostics -----------------------------------------------------------------------------------


def diagnostics_section(
    diagnostics: dict[str, Any], num_actions: int | None, texts: Texts
) -> dict[str, Any]:
    opponent = entries_of(diagnostics, "opponent")
    value = entries_of(diagnostics, "value")
    heldout = diagnostics.get("heldout", {})
    losses = (
        [[str(k), show(number(v))] for k, v in heldout.items()]
        if isinstance(heldout, dict)
        else []
    )
    return {
        "opponent": _opponent_table(opponent, texts) if opponent else None,
        "chance": texts(
            "chance",
            actions=num_actions,
            loss=fixed(float(np.log(num_actions))),
        )
        if num_actions
        else "",
        "value": _plain(
            value, ("player", "rmse", "bias", "correlation", "count"), texts
        )
        if value
        else None,
        "heldout": TextTable([texts("loss"), texts("loss_value")], losses)
        if losses
        else None,
        "open_loop": _open_loop(entries_of(diagnostics, "open_loop"), texts),
    }


def entries_of(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the objects in the list under `key`, if it is one."""
    entries = document.get(key)
    return (
        [e for e in entries if isinstance(e, dict)]
        if isinstance(entries, list)
        else []
    )


def _plain(
    entries: list[dict[str, Any]], keys: tuple[str, ...], texts: Texts
) -> TextTable:
    rows = []
    for entry in entries:
        row = [str(entry.get(keys[0], "?"))]
        for key in keys[1:]:
            found = number(entry.get(key))
            row.append(
                fixed(found, 0)
                if key == "count"
                else fixed(found, 3, sign=key == "bias")
            )
        rows.append(row)
    return TextTable([texts(f"column_{key}") for key in keys], rows)


def _opponent_table(entries: list[dict[str, Any]], texts: Texts) -> TextTable:
    plain = _plain(entries, ("player", "top1", "log_loss", "count"), texts)
    bars = {
        (r, 1): share_bar(number(e.get("top1")), "guess")
        for r, e in enumerate(entries)
    }
    return TextTable(plain.head, plain.rows, shares=bars)


def _open_loop(
    entries: list[dict[str, Any]], texts: Texts
) -> dict[str, Any] | None:
    """A figure each for accuracy and recall against steps ahead, and one table of both."""
    points: dict[str, dict[str, dict[float, float]]] = {
        "accuracy": {},
        "recall": {},
    }
    counts: dict[float, list[int]] = {}
    for entry in entries:
        steps, name = number(entry.get("steps")), str(entry.get("entity", "?"))
        if steps is None:
            continue
        counts.setdefault(steps, []).append(
            int(number(entry.get("count")) or 0)
        )
        for kind, lines in points.items():
            found = number(entry.get(kind))
            if found is not None:
                lines.setdefault(name, {})[steps] = found
    names = list(dict.fromkeys([*points["accuracy"], *points["recall"]]))
    if not names:
        return None
    pictures, horizons = [], sorted(counts)
    kinds = [kind for kind, lines in points.items() if lines]
    for kind in kinds:
        lines = {
            name: list(by_steps.items())
            for name, by_steps in points[kind].items()
        }
        pictures.append(
            (
                texts(f"open_{kind}"),
                named_lines(lines, texts(f"open_{kind}_label")),
            )
        )
    head = [texts("column_entity")]
    head += [
        texts("open_head", kind=texts(f"column_{kind}"), steps=f"{s:g}")
        for kind in kinds
        for s in horizons
    ]
    rows = [
        [
            n,
            *(
                fixed(points[k].get(n, {}).get(s), 3)
                for k in kinds
                for s in horizons
            ),
        ]
        for n in names
    ]
    sizes = [c for found in counts.values() for c in found]
    note = texts("open_note", count=texts.count(min(sizes), max(sizes)))
    return {"pictures": pictures, "table": TextTable(head, rows), "note": note}


# -- provenance ------------------------------------------------------------------------------------


def flat(
    document: dict[str, Any] | FileProblem, prefix: str = ""
) -> list[tuple[str, str]]:
    """``train.learning_rate``: ``0.001`` for every leaf."""
    if isinstance(document, FileProblem):
        return []
    rows = []
    for key, value in document.items():
        if isinstance(value, dict) and value:
            rows += flat(value, f"{prefix}{key}.")
        else:
            text = (
                value
                if isinstance(value, str)
                else json.dumps(value, ensure_ascii=False)
            )
            rows.append((f"{prefix}{key}", text))
    return rows
