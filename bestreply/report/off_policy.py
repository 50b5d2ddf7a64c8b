"""Prepare `off_policy.json` for the page: returns that are estimated from logged play."""

from typing import Any

from bestreply.report.run_files import number
from bestreply.report.tables import TextTable, entries_of
from bestreply.report.texts import Texts, decimals_of, fixed

COLUMNS = ("fitted_q", "weighted", "logged")
MAX_POLICIES = 50  # on one page


def off_policy_section(
    document: dict[str, Any] | None, texts: Texts
) -> dict[str, Any] | None:
    """Return a table of estimated returns with their intervals, and notes.

    Args:
        document: content of the file; None without it.
        texts: language of the page.

    Returns:
        Values of the template; None without estimates.
    """
    if document is None:
        return None
    entries = entries_of(document, "policies")[:MAX_POLICIES]
    entries = [e for e in entries if isinstance(e.get("policy"), str)]
    if not entries:
        return None
    cells = [
        [_numbers(entry.get(name)) for name in COLUMNS] for entry in entries
    ]
    known = [cell[0] for row in cells for cell in row if cell]
    decimals = decimals_of(*known)
    rows = [
        [_name(entry, texts), *(_text(cell, decimals) for cell in row)]
        for entry, row in zip(entries, cells, strict=True)
    ]
    count = number(document.get("episodes")) or 0
    which = "held_out" if document.get("held_out") is True else "all"
    return {
        "table": TextTable(
            [
                texts("off_policy_corner"),
                *(texts(f"off_policy_{k}") for k in COLUMNS),
            ],
            rows,
            own=0,
        ),
        "note": texts(f"note_off_policy_{which}", count=f"{count:,.0f}"),
    }


def _name(entry: dict[str, Any], texts: Texts) -> str:
    kind = entry.get("kind")
    if kind == "player":
        return texts("off_policy_clone_of", player=entry["policy"])
    return entry["policy"]


def _numbers(cell: object) -> list[float] | None:
    """Return mean, low and high; None where one is missing."""
    cell = cell if isinstance(cell, dict) else {}
    values = [number(cell.get(name)) for name in ("mean", "low", "high")]
    return None if None in values else [v for v in values if v is not None]


def _text(cell: list[float] | None, decimals: int) -> str:
    if cell is None:
        return "–"
    mean, low, high = (fixed(value, decimals) for value in cell)
    return f"{mean} [{low}, {high}]"
