"""Tables and charts of opponent models, value function and world model."""

from typing import Any

import numpy as np
from markupsafe import Markup

from bestreply.report.line_charts import named_lines
from bestreply.report.run_files import number
from bestreply.report.svg import share_bar
from bestreply.report.tables import TextTable, entries_of
from bestreply.report.texts import Texts, decimals_of, fixed, show


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
