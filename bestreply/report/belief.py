"""Makes `belief` of `diagnostics.json` ready to be drawn: how soon the agent is right about who the others are, and how sure it may be."""

from typing import Any

from bestreply.report.line_charts import named_lines
from bestreply.report.read import number
from bestreply.report.sections import Table
from bestreply.report.svg import share_bar
from bestreply.report.texts import Texts, fixed


def belief_section(found: Any, texts: Texts, goals: bool = False) -> dict[str, Any] | None:
    """A figure of accuracy against moves, a table of it, and one of confidence; None where there is nothing to draw.

    With `goals` the types are goals that the game declares, and accuracy is the hit ratio.
    """
    if not isinstance(found, dict):
        return None
    lines: dict[str, list[tuple[float, float]]] = {}
    for kind in ("moves", "informative"):
        points = [(number(e.get("moves")), number(e.get("accuracy"))) for e in _entries(found, kind)]
        lines[texts(f"belief_{kind}")] = [(k, a) for k, a in points if k is not None and a is not None]
    if not any(lines.values()):
        return None
    sure = _entries(found, "reliability")
    bars = {
        (row, column): share_bar(number(entry.get(key)), "guess")
        for row, entry in enumerate(sure)
        for column, key in enumerate(("confidence", "accuracy"))
    }
    return {
        "figure": named_lines(lines, texts("belief_label")),
        "table": _table(_entries(found, "moves"), ("moves", "accuracy", "share", "bits", "count"), texts),
        "reliability": _table(sure, ("confidence", "accuracy", "count"), texts, bars),
        "note": texts("note_belief", ece=fixed(number(found.get("ece")), 3)),
        "hits": texts("note_hit_ratio") if goals else "",
    }


def _entries(found: dict[str, Any], key: str) -> list[dict[str, Any]]:
    entries = found.get(key)
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []


def _table(entries: list[dict[str, Any]], keys: tuple[str, ...], texts: Texts, bars: Any = None) -> Table:
    names = {"share": "share_of_truth", "accuracy": "right"}
    rows = [[fixed(number(e.get(k)), 0 if k in ("moves", "count") else 3) for k in keys] for e in entries]
    return Table([texts(f"column_{names.get(k, k)}") for k in keys], rows, shares=bars)
