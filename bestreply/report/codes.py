"""Prepare `codes` of `diagnostics.json` for the page: learned type codes by player, and
their information.
"""

from typing import Any

from bestreply.report.row_charts import heat_map
from bestreply.report.run_files import number
from bestreply.report.tables import TextTable, entries_of
from bestreply.report.texts import Texts, fixed

MAX_SHOWN = 40
"""Greatest number of codes and of players in the chart."""


def codes_section(codes: object, texts: Texts) -> dict[str, Any] | None:
    """Return a heat map of players by codes, and a table by moves observed.

    Args:
        codes: the entry of the file, of any type.
        texts: language of the page.

    Returns:
        Values of the template; None without valid shares.
    """
    if not isinstance(codes, dict) or not (rows := _shares(codes)):
        return None
    names = [str(k + 1) for k in range(len(next(iter(rows.values()))))]
    sentences = [
        texts(
            "codes_row",
            player=player,
            shares=texts("list_gap").join(_row_texts(shares, names, texts)),
        )
        for player, shares in rows.items()
    ]
    label = texts("codes_label", rows=" ".join(sentences))
    return {
        "figure": heat_map(rows, names, texts("codes_corner"), label),
        "table": _by_moves(codes, texts),
    }


def _shares(document: dict[str, Any]) -> dict[str, list[float]]:
    """Return by player the [codes] share of its matches that ends in each code."""
    players, joint = document.get("players"), document.get("shares")
    if not isinstance(players, list) or not isinstance(joint, list):
        return {}
    if len(players) > MAX_SHOWN:
        return {}
    codes = [
        [number(v) for v in row]
        for row in joint[:MAX_SHOWN]
        if isinstance(row, list)
    ]
    if not codes or any(len(row) != len(players) for row in codes):
        return {}
    rows = {}
    for name, column in zip(players, zip(*codes, strict=True), strict=True):
        known = [v if v is not None and v > 0 else 0.0 for v in column]
        if sum(known) > 0:
            rows[str(name)] = [v / sum(known) for v in known]
    return rows


def _row_texts(
    shares: list[float], names: list[str], texts: Texts
) -> list[str]:
    return [
        texts("codes_cell", code=name, share=f"{100 * share:.0f}%")
        for name, share in zip(names, shares, strict=True)
        if share >= 0.005
    ]


def _by_moves(document: dict[str, Any], texts: Texts) -> TextTable:
    entries, end = entries_of(document, "moves"), document.get("end")
    keys = ("bits", "entropy", "accuracy", "hit")
    rows = [
        [
            fixed(number(e.get("moves")), 0),
            *(fixed(number(e.get(k)), 3) for k in keys),
        ]
        for e in entries
    ]
    if isinstance(end, dict):
        rows.append(
            [texts("codes_end"), *(fixed(number(end.get(k)), 3) for k in keys)]
        )
    head = ["column_moves", *(f"codes_{k}" for k in keys)]
    return TextTable([texts(name) for name in head], rows)
