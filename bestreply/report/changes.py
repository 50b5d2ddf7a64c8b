"""Prepare `changes.json` for the page: how soon the agent notices a change of type, and what it loses until then.

An opponent set that does not fit docs/files.md is left out with the reason.
"""

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bestreply.report.checks import want
from bestreply.report.line_charts import named_lines
from bestreply.report.regret import opponent_sets
from bestreply.report.run_files import number
from bestreply.report.sections import TextTable
from bestreply.report.texts import Texts, fixed

AGENTS = ("told", "expecting", "not expecting")
MAX_STEPS = 10  # after a change, in the chart
MAX_FALSE_ALARMS = 0.01  # a game without a change


@dataclass(frozen=True)
class OpponentChange:
    """The changes of one opponent set."""

    title: str
    figure: Markup
    cells: list[str]


def changes_section(document: dict[str, Any], texts: Texts) -> dict[str, Any]:
    """Return the opponent sets that fit, a table of them, and why others were left out."""
    sets, left_out = opponent_sets(
        document, _opponent_change, "changes_bad", texts
    )
    head = [
        texts("opponents_column"),
        *(
            texts(f"changes_{key}")
            for key in ("lost", "lost_expecting", "noticed", "delay")
        ),
    ]
    return {
        "sets": sets,
        "table": TextTable(head, [s.cells for s in sets]),
        "left_out": left_out,
    }


def _opponent_change(entry: Any, texts: Texts) -> OpponentChange:
    want(
        isinstance(entry, dict), "an opponent set wants to be an object", entry
    )
    title = str(entry.get("opponents", "?"))
    since = entry.get("belief_since")
    want(isinstance(since, dict), "belief_since wants to be an object", since)
    lines = {}
    for agent in AGENTS[1:]:
        values = since.get(agent)
        want(
            isinstance(values, list),
            f"belief_since of {agent} wants to be a list",
            values,
        )
        points = [
            (float(k), number(v)) for k, v in enumerate(values[: MAX_STEPS + 1])
        ]
        lines[texts(f"agent_{agent.replace(' ', '_')}")] = [
            (k, v) for k, v in points if v is not None
        ]
    noticed, delay = _best_alarm(entry.get("curve"))
    lost = entry.get("lost")
    want(isinstance(lost, dict), "lost wants to be an object", lost)
    cells = [title, _lost(lost, "not expecting"), _lost(lost, "expecting")]
    cells += [fixed(noticed), "–" if delay is None else fixed(delay, 1)]
    return OpponentChange(
        title,
        named_lines(lines, texts("changes_label", opponents=title)),
        cells,
    )


def _lost(lost: dict[str, Any], agent: str) -> str:
    value: Any = lost.get(agent)
    want(
        isinstance(value, dict), f"lost of {agent} wants to be an object", value
    )
    return f"{fixed(number(value.get('mean')))} ± {fixed(number(value.get('stderr')))}"


def _best_alarm(curve: Any) -> tuple[float | None, float | None]:
    """Return the share noticed and mean delay in steps at the best threshold with few false alarms."""
    rows = (
        [row for row in curve if isinstance(row, dict)]
        if isinstance(curve, list)
        else []
    )
    reliable = [
        row
        for row in rows
        if (number(row.get("false_alarms")) or 0.0) <= MAX_FALSE_ALARMS
        and number(row.get("noticed")) is not None
    ]
    best = max(reliable, key=lambda row: row["noticed"], default=None)
    return (
        (None, None)
        if best is None
        else (number(best["noticed"]), number(best.get("delay")))
    )
