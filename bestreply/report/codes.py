"""Makes `codes` of `diagnostics.json` ready to be drawn: which learned codes are believed of which players, and what they tell."""

from typing import Any

from bestreply.report.read import number
from bestreply.report.row_charts import heat_map
from bestreply.report.sections import Table
from bestreply.report.texts import Texts, fixed

MOST = 40
"""Codes and players that are drawn."""


def codes_section(found: Any, texts: Texts) -> dict[str, Any] | None:
    """A heat map of players by codes, and a table by moves seen; None where there is nothing to draw."""
    rows = _shares(found) if isinstance(found, dict) else {}
    if not rows:
        return None
    names = [str(k + 1) for k in range(len(next(iter(rows.values()))))]
    told = [
        texts("codes_row", player=player, shares=texts("list_gap").join(_told(shares, names, texts)))
        for player, shares in rows.items()
    ]
    label = texts("codes_label", rows=" ".join(told))
    return {
        "figure": heat_map(rows, names, texts("codes_corner"), label),
        "table": _by_moves(found, texts),
    }


def _shares(found: dict[str, Any]) -> dict[str, list[float]]:
    """Of each player's matches the share that ends in each code."""
    players, joint = found.get("players"), found.get("shares")
    if not (isinstance(players, list) and isinstance(joint, list) and len(players) <= MOST):
        return {}
    codes = [[number(v) for v in row] for row in joint[:MOST] if isinstance(row, list)]
    if not codes or any(len(row) != len(players) for row in codes):
        return {}
    rows = {}
    for name, column in zip(players, zip(*codes, strict=True), strict=True):
        known = [v if v is not None and v > 0 else 0.0 for v in column]
        if sum(known) > 0:
            rows[str(name)] = [v / sum(known) for v in known]
    return rows


def _told(shares: list[float], names: list[str], texts: Texts) -> list[str]:
    return [
        texts("codes_cell", code=name, share=f"{100 * share:.0f}%")
        for name, share in zip(names, shares, strict=True)
        if share >= 0.005
    ]


def _by_moves(found: dict[str, Any], texts: Texts) -> Table:
    moves, end = found.get("moves"), found.get("end")
    entries = [e for e in moves if isinstance(e, dict)] if isinstance(moves, list) else []
    keys = ("bits", "entropy", "accuracy", "hit")
    rows = [[fixed(number(e.get("moves")), 0), *(fixed(number(e.get(k)), 3) for k in keys)] for e in entries]
    if isinstance(end, dict):
        rows.append([texts("codes_end"), *(fixed(number(end.get(k)), 3) for k in keys)])
    head = ["column_moves", *(f"codes_{k}" for k in keys)]
    return Table([texts(name) for name in head], rows)
