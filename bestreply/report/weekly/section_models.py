"""Opponent models: inferred types, calibration, predicted actions."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bestreply.report.line_charts import (
    Curve,
    line_chart,
)
from bestreply.report.run_files import number
from bestreply.report.tables import entries_of
from bestreply.report.texts import Texts, fixed
from bestreply.report.weekly.curves import mean_and_interval
from bestreply.report.weekly.document import (
    Block,
    Fold,
    Grid,
    Heading,
    Paragraph,
    Picture,
    Pictures,
    Section,
    cells,
    line,
)
from bestreply.report.weekly.groups import Family, RunGroup
from bestreply.report.weekly.section_curves import legend
from bestreply.report.weekly.week import Week, mean_text

TABLE_MOVES = (0.0, 1.0, 2.0, 5.0, 10.0)
"""Moves observed in the table of accuracies, if they are known."""
CONFIDENCE_BINS = 10


def section_models(week: Week, texts: Texts) -> Section:
    """Return how well the opponent models infer types and predict actions.

    Args:
        week: runs and comparisons.
        texts: language.

    Returns:
        The section.
    """
    note = texts("weekly_note_models")
    blocks: list[Block] = [Paragraph(line(note), "note")]
    for family in week.families:
        diagnosed = [
            group
            for group in family.groups
            if any(record.diagnostics for record in group.runs)
        ]
        if not diagnosed:
            continue
        blocks.append(Heading(family.title))
        believing = [group for group in diagnosed if beliefs_of(group)]
        if believing:
            blocks += _beliefs(family, believing, texts)
        without = [group.name for group in diagnosed if group not in believing]
        if without:
            listed = texts("list_gap").join(without)
            text = texts("weekly_no_belief", methods=listed)
            blocks.append(Paragraph(line(text), "note"))
        blocks += _predictions(family, texts)
    return Section("models", texts("title_opponents"), blocks)


def beliefs_of(group: RunGroup) -> list[dict[str, Any]]:
    """Return ``belief`` of the diagnostics of each run.

    Args:
        group: runs of one method.

    Returns:
        One entry for each run with accuracies.
    """
    beliefs = [record.diagnostics.get("belief") for record in group.runs]
    return [
        belief
        for belief in beliefs
        if isinstance(belief, dict) and _by_moves(belief, "accuracy")
    ]


def numbers_of(entries: Sequence[dict[str, Any]], key: str) -> list[float]:
    """Return the numbers under a key.

    Args:
        entries: JSON objects.
        key: name of the number.

    Returns:
        One number for each object that has it.
    """
    values = [number(entry.get(key)) for entry in entries]
    return [value for value in values if value is not None]


def _by_moves(belief: dict[str, Any], key: str) -> dict[float, float]:
    """Return a number by moves observed."""
    values = {}
    for entry in entries_of(belief, "moves"):
        moves, value = number(entry.get("moves")), number(entry.get(key))
        if moves is not None and value is not None:
            values[moves] = value
    return values


def _beliefs(
    family: Family, groups: list[RunGroup], texts: Texts
) -> list[Block]:
    accuracies = {
        group.name: [_by_moves(b, "accuracy") for b in beliefs_of(group)]
        for group in groups
    }
    by_moves, by_confidence = [], []
    for style, name in legend(family):
        for group in groups:
            if group.name == name:
                by_moves.append(_over_seeds(name, style, accuracies[name]))
                by_confidence.append(_reliability(group, style))
    label = texts("weekly_reliability")
    unit = (0.0, 1.0)
    charts = [
        line_chart(by_moves, texts("belief_label"), y_range=unit),
        line_chart(
            by_confidence, label, x_range=unit, y_range=unit, diagonal=True
        ),
    ]
    titles = (texts("weekly_belief_moves"), label)
    pictures = [Picture(*pair) for pair in zip(titles, charts, strict=True)]
    keys = [key for key in legend(family) if key[1] in accuracies]
    return [
        Pictures(pictures, wide=True, keys=keys),
        Paragraph(line(texts("weekly_note_belief")), "figure"),
        _belief_table(groups, accuracies, texts),
        Paragraph(line(texts("weekly_note_ece")), "note"),
        _reliability_table(groups, texts),
    ]


def _over_seeds(name: str, style: str, runs: list[dict[float, float]]) -> Curve:
    """Average runs at every x that all of them have, with the interval."""
    common = sorted(set.intersection(*(set(run) for run in runs)))
    values = np.array([[run[x] for x in common] for run in runs])
    return Curve(name, style, np.array(common), *mean_and_interval(values))


def _belief_table(
    groups: list[RunGroup],
    accuracies: dict[str, list[dict[float, float]]],
    texts: Texts,
) -> Grid:
    every = [run for runs in accuracies.values() for run in runs]
    common = set.intersection(*(set(run) for run in every))
    moves = [k for k in TABLE_MOVES if k in common]
    head = [texts("method"), texts("weekly_opponent_seeds")]
    head += [texts("weekly_after", moves=f"{k:g}") for k in moves]
    head += [texts("weekly_bits"), texts("weekly_ece")]
    rows = []
    for group in groups:
        beliefs, runs = beliefs_of(group), accuracies[group.name]
        bits = [_by_moves(belief, "bits") for belief in beliefs]
        last = [run[max(run)] for run in bits if run]
        row = cells(
            group.name,
            str(len(beliefs)),
            *(mean_text([run[k] for run in runs]) for k in moves),
            mean_text(last),
            mean_text(numbers_of(beliefs, "ece"), 3),
        )
        rows.append(row)
    return Grid(head, rows)


def _reliability(group: RunGroup, style: str) -> Curve:
    """Return accuracy by confidence over all runs, in bins of confidence.

    Bins are weighted by the number of predictions in them.
    """
    sums = np.zeros((CONFIDENCE_BINS, 3))
    for belief in beliefs_of(group):
        for entry in entries_of(belief, "reliability"):
            confidence, accuracy, count = (
                number(entry.get(key))
                for key in ("confidence", "accuracy", "count")
            )
            if confidence is None or accuracy is None:
                continue
            if count is not None and count > 0:
                bin_ = min(int(confidence * CONFIDENCE_BINS), len(sums) - 1)
                sums[bin_] += np.array([confidence, accuracy, 1.0]) * count
    used = sums[sums[:, 2] > 0]
    means = used[:, :2] / used[:, 2:]
    return Curve(group.name, style, means[:, 0], means[:, 1])


def _reliability_table(groups: list[RunGroup], texts: Texts) -> Fold:
    """Return the numbers of the reliability chart."""
    rows = []
    for group in groups:
        curve = _reliability(group, "")
        for confidence, accuracy in zip(curve.x, curve.y, strict=True):
            numbers = fixed(float(confidence)), fixed(float(accuracy))
            rows.append(cells(group.name, *numbers))
    head = [texts("method"), texts("column_confidence"), texts("column_right")]
    return Fold(texts("weekly_reliability"), [Grid(head, rows)])


def _predictions(family: Family, texts: Texts) -> list[Block]:
    """Return the accuracy of predicted actions, by player and method."""
    rows = []
    by_group = [(group, _by_player(group)) for group in family.groups]
    players = dict.fromkeys(p for _, by_player in by_group for p in by_player)
    for player in players:
        for group, by_player in by_group:
            entries = by_player.get(player)
            if entries:
                numbers = [
                    mean_text(numbers_of(entries, key))
                    for key in ("top1", "log_loss", "log_loss_true_type")
                ]
                seeds = str(len(entries))
                rows.append(cells(player, group.name, seeds, *numbers))
    if not rows:
        return []
    names = (
        "column_player",
        "method",
        "weekly_opponent_seeds",
        "weekly_top1",
        "weekly_log_loss",
        "weekly_log_loss_given",
    )
    return [
        Heading(texts("weekly_title_predictions")),
        Grid([texts(name) for name in names], rows, text=2),
        Paragraph(line(texts("note_opponents")), "note"),
    ]


def _by_player(group: RunGroup) -> dict[str, list[dict[str, Any]]]:
    """Return the entries of all runs by player."""
    by_player: dict[str, list[dict[str, Any]]] = {}
    for record in group.runs:
        for entry in entries_of(record.diagnostics, "opponent"):
            if isinstance(entry.get("player"), str):
                by_player.setdefault(entry["player"], []).append(entry)
    return by_player
