"""Prepare `belief` of `diagnostics.json` for the page: accuracy of inferred types, and
calibration.
"""

from typing import Any

from markupsafe import Markup

from bestreply.report.line_charts import named_lines
from bestreply.report.run_files import number
from bestreply.report.svg import share_bar
from bestreply.report.tables import TextTable, entries_of
from bestreply.report.texts import Texts, fixed


def belief_section(
    belief: object, texts: Texts, goals: bool = False
) -> dict[str, Any] | None:
    """Return a chart and a table of accuracy by moves observed, and a table of
    confidence.

    Args:
        belief: the entry of the file, of any type.
        texts: language of the page.
        goals: types are goals that the game declares, so that accuracy is the hit
            ratio.

    Returns:
        Values of the template; None without accuracies.
    """
    if not isinstance(belief, dict):
        return None
    lines: dict[str, list[tuple[float, float]]] = {}
    for kind in ("moves", "informative"):
        points = [
            (number(e.get("moves")), number(e.get("accuracy")))
            for e in entries_of(belief, kind)
        ]
        lines[texts(f"belief_{kind}")] = [
            (k, a) for k, a in points if k is not None and a is not None
        ]
    if not any(lines.values()):
        return None
    reliability = entries_of(belief, "reliability")
    bars = {
        (row, column): share_bar(number(entry.get(key)), "guess")
        for row, entry in enumerate(reliability)
        for column, key in enumerate(("confidence", "accuracy"))
    }
    return {
        "figure": named_lines(lines, texts("belief_label")),
        "table": _table(
            entries_of(belief, "moves"),
            ("moves", "accuracy", "share", "bits", "count"),
            texts,
        ),
        "reliability": _table(
            reliability, ("confidence", "accuracy", "count"), texts, bars
        ),
        "note": texts("note_belief", ece=fixed(number(belief.get("ece")), 3)),
        "hits": texts("note_hit_ratio") if goals else "",
    }


def _table(
    entries: list[dict[str, Any]],
    keys: tuple[str, ...],
    texts: Texts,
    bars: dict[tuple[int, int], Markup] | None = None,
) -> TextTable:
    names = {"share": "share_of_truth", "accuracy": "right"}
    rows = [
        [
            fixed(number(e.get(k)), 0 if k in ("moves", "count") else 3)
            for k in keys
        ]
        for e in entries
    ]
    return TextTable(
        [texts(f"column_{names.get(k, k)}") for k in keys], rows, shares=bars
    )
