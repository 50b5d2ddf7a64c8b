"""Models of the others: how soon the agent is right about who they are, how sure it may be, and what they do next."""

from typing import Any

from bestreply.report.line_charts import (
    MAX_LINES,
    Curve,
    line_chart,
    line_style,
)
from bestreply.report.run_files import number
from bestreply.report.texts import Texts, fixed
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
from bestreply.report.weekly.groups import Family, RunGroup
from bestreply.report.weekly.section_curves import (
    as_points,
    keys_of,
    over_seeds,
)
from bestreply.report.weekly.week import Week, mean_text

TABLE_MOVES = (0.0, 1.0, 2.0, 5.0, 10.0)
"""Moves seen at which accuracies stand in the table, where they are known."""


def section_models(week: Week, texts: Texts) -> Section:
    blocks: list[Block] = [Paragraph(line(texts("weekly_note_models")), "note")]
    for family in week.families:
        told = [g for g in family.groups if beliefs_of(g)]
        if not any(r.diagnostics for r in family.runs):
            continue
        blocks.append(Heading(family.title))
        if told:
            blocks += _beliefs(family, told, texts)
        without = [
            g
            for g in family.groups
            if g not in told and any(r.diagnostics for r in g.runs)
        ]
        if without:
            names = texts("list_gap").join(g.name for g in without)
            blocks.append(
                Paragraph(
                    line(texts("weekly_no_belief", methods=names)), "note"
                )
            )
        blocks += _predictions(family, texts)
    return Section("models", texts("title_opponents"), blocks)


def beliefs_of(group: RunGroup) -> list[dict[str, Any]]:
    """``belief`` of every run's diagnostics that has one with accuracies."""
    found = [r.diagnostics.get("belief") for r in group.runs]
    return [
        b
        for b in found
        if isinstance(b, dict)
        and as_points(b.get("moves"), "moves", "accuracy")
    ]


def numbers_of(entries: list[dict[str, Any]], key: str) -> list[float]:
    return [value for e in entries if (value := number(e.get(key))) is not None]


def _beliefs(family: Family, told: list[RunGroup], texts: Texts) -> list[Block]:
    moves, sure = [], []
    points = {
        g.name: [
            as_points(b.get("moves"), "moves", "accuracy")
            for b in beliefs_of(g)
        ]
        for g in told
    }
    for group in told:
        number_ = family.groups.index(group)
        if number_ >= MAX_LINES:
            continue
        moves.append(
            over_seeds(group.name, line_style(number_), points[group.name])
        )
        sure.append(_reliability(group, line_style(number_)))
    pictures = [
        Picture(
            texts("weekly_belief_moves"),
            line_chart(moves, texts("belief_label"), y_range=(0.0, 1.0)),
        ),
        Picture(
            texts("weekly_reliability"),
            line_chart(
                sure,
                texts("weekly_reliability"),
                x_range=(0.0, 1.0),
                y_range=(0.0, 1.0),
                diagonal=True,
            ),
        ),
    ]
    every = [p for runs in points.values() for p in runs]
    common = set.intersection(*(set(p) for p in every))
    after = [k for k in TABLE_MOVES if k in common]
    head = [texts("method"), texts("weekly_opponent_seeds")]
    head += [texts("weekly_after", moves=f"{k:g}") for k in after]
    head += [texts("weekly_bits"), texts("weekly_ece")]
    rows = [_belief_row(g, points[g.name], after) for g in told]
    return [
        Pictures(
            pictures,
            wide=True,
            keys=[k for k in keys_of(family) if k[1] in points],
        ),
        Paragraph(line(texts("weekly_note_belief")), "figure"),
        Grid(head, rows),
        Paragraph(line(texts("weekly_note_ece")), "note"),
        _sure_table(told, texts),
    ]


def _belief_row(
    group: RunGroup, points: list[dict[float, float]], after: list[float]
) -> list[Line]:
    beliefs = beliefs_of(group)
    bits = [as_points(b.get("moves"), "moves", "bits") for b in beliefs]
    most = [run[max(run)] for run in bits if run]
    return cells(
        group.name,
        str(len(beliefs)),
        *(mean_text([run[k] for run in points]) for k in after),
        mean_text(most) if most else "–",
        mean_text(numbers_of(beliefs, "ece"), 3),
    )


def _reliability(group: RunGroup, style: str) -> Curve:
    """How often it was right by how sure it was, over all runs: bins of confidence, weighted by how many fell into each."""
    import numpy as np

    sums: dict[int, list[float]] = {}
    for belief in beliefs_of(group):
        entries = belief.get("reliability")
        for entry in entries if isinstance(entries, list) else []:
            if not isinstance(entry, dict):
                continue
            sure, right, count = (
                number(entry.get(k))
                for k in ("confidence", "accuracy", "count")
            )
            if sure is None or right is None or not count or count < 0:
                continue
            bin_ = sums.setdefault(min(int(sure * 10), 9), [0.0, 0.0, 0.0])
            for k, value in enumerate((sure * count, right * count, count)):
                bin_[k] += value
    means = np.array(
        [[s / n, r / n] for _, (s, r, n) in sorted(sums.items())]
    ).reshape(-1, 2)
    return Curve(group.name, style, means[:, 0], means[:, 1])


def _sure_table(told: list[RunGroup], texts: Texts) -> Fold:
    """The numbers of the reliability figure."""
    rows = []
    for group in told:
        band = _reliability(group, "")
        rows += [
            cells(group.name, fixed(a), fixed(b))
            for a, b in zip(band.x.tolist(), band.y.tolist(), strict=True)
        ]
    head = [texts("method"), texts("column_confidence"), texts("column_right")]
    return Fold(texts("weekly_reliability"), [Grid(head, rows)])


def _predictions(family: Family, texts: Texts) -> list[Block]:
    """What the others do next, by who they are."""
    rows = []
    players = dict.fromkeys(p for g in family.groups for p in _by_player(g))
    for player in players:
        for group in family.groups:
            entries = _by_player(group).get(player)
            if entries:
                told = [
                    mean_text(numbers_of(entries, key))
                    for key in ("top1", "log_loss", "log_loss_true_type")
                ]
                rows.append(cells(player, group.name, str(len(entries)), *told))
    if not rows:
        return []
    head = [
        texts("column_player"),
        texts("method"),
        texts("weekly_opponent_seeds"),
        texts("column_top1"),
    ]
    head += [texts("column_log_loss"), texts("weekly_log_loss_given")]
    return [
        Heading(texts("weekly_title_predictions")),
        Grid(head, rows, text=2),
        Paragraph(line(texts("note_opponents")), "note"),
    ]


def _by_player(group: RunGroup) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for record in group.runs:
        entries = record.diagnostics.get("opponent")
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict) and isinstance(entry.get("player"), str):
                found.setdefault(entry["player"], []).append(entry)
    return found
