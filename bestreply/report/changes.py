"""Prepare `changes.json` for the page: detection of type changes, and the return lost
until then.

An opponent set that does not fit docs/files.md is left out with the reason.
"""

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bestreply.report.checks import expect
from bestreply.report.line_charts import named_lines
from bestreply.report.regret import opponent_sets
from bestreply.report.run_files import number
from bestreply.report.tables import TextTable, entries_of
from bestreply.report.texts import Texts, decimals_of, fixed, with_error

AGENTS = ("expecting", "not expecting")
MAX_STEPS = 10  # after a change, in the chart
MAX_FALSE_ALARMS = 0.01  # per game without a change


@dataclass(frozen=True)
class OpponentChange:
    """Changes of the opponents of one set."""

    title: str
    figure: Markup
    cells: list[str]


def changes_section(
    document: dict[str, object], texts: Texts
) -> dict[str, Any]:
    """Return the valid opponent sets and a table of them.

    Args:
        document: `changes.json`.
        texts: language of the page.

    Returns:
        Values of the template; `left_out` has a sentence about each invalid set.
    """
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
    expect(isinstance(entry, dict), "opponent set", entry, "an object")
    title = str(entry.get("opponents", "?"))
    since = entry.get("belief_since")
    expect(isinstance(since, dict), "belief_since", since, "an object")
    lines = {}
    for agent in AGENTS:
        values = since.get(agent)
        name = f"belief_since of {agent}"
        expect(isinstance(values, list), name, values, "a list")
        points = [
            (float(k), number(v)) for k, v in enumerate(values[: MAX_STEPS + 1])
        ]
        lines[texts(f"agent_{agent.replace(' ', '_')}")] = [
            (k, v) for k, v in points if v is not None
        ]
    noticed, delay = _best_alarm(entry.get("curve"))
    lost = entry.get("lost")
    expect(isinstance(lost, dict), "lost", lost, "an object")
    cells = [title, _lost(lost, "not expecting"), _lost(lost, "expecting")]
    cells += [fixed(noticed), "–" if delay is None else fixed(delay, 1)]
    return OpponentChange(
        title,
        named_lines(lines, texts("changes_label", opponents=title)),
        cells,
    )


def _lost(lost: dict[str, Any], agent: str) -> str:
    value: Any = lost.get(agent)
    expect(isinstance(value, dict), f"lost of {agent}", value, "an object")
    mean, error = number(value.get("mean")), number(value.get("stderr"))
    return with_error(mean, error, decimals_of(mean, error))


def _best_alarm(curve: Any) -> tuple[float | None, float | None]:
    """Return share detected and mean delay, in steps, at the best threshold with few
    false alarms.
    """
    reliable = [
        row
        for row in entries_of({"curve": curve}, "curve")
        if (number(row.get("false_alarms")) or 0.0) <= MAX_FALSE_ALARMS
        and number(row.get("noticed")) is not None
    ]
    if not reliable:
        return None, None
    best = max(reliable, key=lambda row: row["noticed"])
    return number(best["noticed"]), number(best.get("delay"))
