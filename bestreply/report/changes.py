"""Makes `changes.json` ready to be drawn: how soon the agent notices that others have changed their mind, and what it loses until then.

An opponent set that does not fit docs/files.md is left out with the reason.
"""

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bestreply.report.checks import want
from bestreply.report.line_charts import named_lines
from bestreply.report.read import number
from bestreply.report.sections import Table
from bestreply.report.texts import Texts, fixed

AGENTS = ("told", "expecting", "not expecting")
MAX_SETS = 24
STEPS = 10  # after a change, that are drawn
QUIET = 0.01  # false alarms in a game without a change


@dataclass(frozen=True)
class Against:
    """One opponent set."""

    title: str
    figure: Markup
    cells: list[str]


def changes_section(document: dict[str, Any], texts: Texts) -> dict[str, Any]:
    """The opponent sets that fit, a table over them, and what was left out and why."""
    entries = document.get("against")
    sets, left_out = [], []
    for place, entry in enumerate(entries[:MAX_SETS] if isinstance(entries, list) else []):
        try:
            sets.append(_against(entry, texts))
        except ValueError as error:
            left_out.append(texts("changes_bad", number=place + 1, reason=error))
    head = [
        texts("opponents_column"),
        *(texts(f"changes_{key}") for key in ("lost", "lost_expecting", "noticed", "delay")),
    ]
    return {"sets": sets, "table": Table(head, [s.cells for s in sets]), "left_out": left_out}


def _against(entry: Any, texts: Texts) -> Against:
    want(isinstance(entry, dict), "an opponent set wants to be an object", entry)
    title = str(entry.get("opponents", "?"))
    since = entry.get("belief_since")
    want(isinstance(since, dict), "belief_since wants to be an object", since)
    lines = {}
    for agent in AGENTS[1:]:
        values = since.get(agent)
        want(isinstance(values, list), f"belief_since of {agent} wants to be a list", values)
        points = [(float(k), number(v)) for k, v in enumerate(values[: STEPS + 1])]
        lines[texts(f"agent_{agent.replace(' ', '_')}")] = [(k, v) for k, v in points if v is not None]
    noticed, delay = _quiet(entry.get("curve"))
    lost = entry.get("lost")
    want(isinstance(lost, dict), "lost wants to be an object", lost)
    cells = [title, _lost(lost, "not expecting"), _lost(lost, "expecting")]
    cells += [fixed(noticed), "–" if delay is None else fixed(delay, 1)]
    return Against(title, named_lines(lines, texts("changes_label", opponents=title)), cells)


def _lost(lost: dict[str, Any], agent: str) -> str:
    found: Any = lost.get(agent)
    want(isinstance(found, dict), f"lost of {agent} wants to be an object", found)
    return f"{fixed(number(found.get('mean')))} ± {fixed(number(found.get('stderr')))}"


def _quiet(curve: Any) -> tuple[float | None, float | None]:
    """Share noticed and mean delay at the threshold that notices most with hardly a false alarm."""
    rows = [row for row in curve if isinstance(row, dict)] if isinstance(curve, list) else []
    quiet = [
        row
        for row in rows
        if (number(row.get("false_alarms")) or 0.0) <= QUIET and number(row.get("noticed")) is not None
    ]
    best = max(quiet, key=lambda row: row["noticed"], default=None)
    return (None, None) if best is None else (number(best["noticed"]), number(best.get("delay")))
