"""Sections of the page as plain data for the template: facts and scores."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from bestreply.report import below
from bestreply.report.row_charts import Interval, Row, interval_chart
from bestreply.report.run_files import RunFiles, ScoreColumns, lookup, number
from bestreply.report.score_tables import (
    cell_text,
    ratio_tables,
    reference_notes,
    returns_table,
    score_notes,
    table_note,
)
from bestreply.report.scores import ScoreTable, compare_cells, score_table
from bestreply.report.texts import (
    ALONE,
    Texts,
    duration,
    facing,
    fixed,
    moment,
    ties,
)

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
        "below": below.warnings(
            table, run.config, run.metrics, run.diagnostics, texts
        ),
        "table": returns_table(table, texts),
        "note": table_note(table, texts),
        "bold": texts("note_ties" if table.has_ties else "note_bold"),
        "one_seed": table.units == {"episodes"},
        "pictures": [_dots(table, o, texts) for o in table.opponents],
        "ratios": ratio_tables(table, texts),
        "method_notes": score_notes(table, texts),
        "reference_notes": reference_notes(table, texts),
    }


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
