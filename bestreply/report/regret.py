"""Prepare `regret.json` for the page: regret to the best reply by cause, and the
costliest decisions.

An opponent set that does not fit docs/files.md is left out with the reason.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from markupsafe import Markup

from bestreply.report.checks import (
    board,
    expect,
    index_of,
    row_of,
    strings,
)
from bestreply.report.row_charts import WaterfallStep, waterfall
from bestreply.report.run_files import number
from bestreply.report.tables import TextTable
from bestreply.report.texts import (
    Texts,
    decimals_of,
    facing,
    fixed,
    ties,
    with_error,
)

PARTS = ("others", "dynamics", "depth", "value")
MAX_SETS, MAX_DECISIONS = 24, 12  # on one page
T = TypeVar("T")


@dataclass(frozen=True)
class DecisionOption:
    """An action of a decision, as text."""

    name: str
    legal: bool
    chosen: bool
    best: str  # the mark of the best action, or of several; else empty
    score: str  # of the agent
    exact: str  # Q*
    behind: str  # exact minus that of the best action


@dataclass(frozen=True)
class Decision:
    """A costly decision."""

    title: str
    picture: Markup | None
    text: str
    refused: str
    options: list[DecisionOption]


@dataclass(frozen=True)
class OpponentRegret:
    """Regret against one opponent set."""

    title: str
    figure: Markup
    cells: list[str]  # row of the table
    decisions: list[Decision]
    summary: str  # title of the decisions


def regret_section(document: dict[str, object], texts: Texts) -> dict[str, Any]:
    """Return the valid opponent sets and a table of them.

    Args:
        document: `regret.json`.
        texts: language of the page.

    Returns:
        Values of the template; `left_out` has a sentence about each invalid set.
    """
    sets, left_out = opponent_sets(
        document, _opponent_regret, "losses_bad", texts
    )
    causes = [f"part_{part}" for part in PARTS]
    keys = ["opponents_column", "best_reply_column", *causes]
    keys += ["lost", "agent_column", "share"]
    is_given = document.get("types") == "true"
    gamma = number(document.get("gamma"))
    discount = "–" if gamma is None else f"{gamma:g}"
    planner = str(document.get("planner", "?"))
    return {
        "sets": sets,
        "table": TextTable([texts(k) for k in keys], [s.cells for s in sets]),
        "note": texts("note_losses", planner=planner, gamma=discount),
        "types": texts("types_given" if is_given else "types_inferred"),
        "left_out": left_out,
    }


def opponent_sets(
    document: dict[str, object],
    read: Callable[[object, Texts], T],
    refusal: str,
    texts: Texts,
) -> tuple[list[T], list[str]]:
    """Read the opponent sets of a file.

    Args:
        document: the file, with the sets in the list `against`.
        read: function from an entry to an opponent set; raises ValueError for an invalid one.
        refusal: key of the text about an invalid entry.
        texts: language of the page.

    Returns:
        At most MAX_SETS opponent sets, and a sentence about each invalid entry.
    """
    entries = document.get("against")
    sets, left_out = [], []
    for k, entry in enumerate(entries if isinstance(entries, list) else []):
        if k == MAX_SETS:
            break
        try:
            sets.append(read(entry, texts))
        except ValueError as error:
            left_out.append(texts(refusal, number=k + 1, reason=error))
    return sets, left_out


def _opponent_regret(entry: Any, texts: Texts) -> OpponentRegret:
    expect(isinstance(entry, dict), "opponent set", entry, "an object")
    title = str(entry.get("opponents", "?"))
    best, lost = _number(entry, "best"), _number(entry, "lost")
    steps = _steps(entry, texts)
    raw = entry.get("costliest", [])
    expect(isinstance(raw, list), "costliest", raw, "a list")
    decisions = [_decision(decision, texts) for decision in raw[:MAX_DECISIONS]]
    unit = decimals_of(best, lost, *(s.lost for s in steps))
    parts = [with_error(-s.lost, s.error, unit, sign=True) for s in steps]
    lost_error = number(entry.get("lost_stderr"))
    share, share_error = (
        number(entry.get(key)) for key in ("share", "share_stderr")
    )
    return OpponentRegret(
        title=facing(title, texts),
        figure=_waterfall(title, best, lost, steps, texts),
        cells=[
            title,
            fixed(best, unit),
            *parts,
            with_error(-lost, lost_error, unit, sign=True),
            fixed(best - lost, unit),
            with_error(share, share_error),
        ],
        decisions=decisions,
        summary=texts(
            "costliest_against", opponents=title, count=len(decisions)
        ),
    )


def _steps(entry: dict[str, Any], texts: Texts) -> list[WaterfallStep]:
    parts, errors = entry.get("parts"), entry.get("parts_stderr", {})
    are_objects = isinstance(parts, dict) and isinstance(errors, dict)
    expect(are_objects, "parts", parts, "an object of numbers")
    assert isinstance(parts, dict)
    return [
        WaterfallStep(
            texts(f"cause_{part}"),
            _number(parts, part),
            number(errors.get(part)),
        )
        for part in PARTS
    ]


def _waterfall(
    title: str,
    best: float,
    lost: float,
    steps: list[WaterfallStep],
    texts: Texts,
) -> Markup:
    unit = decimals_of(best, lost, *(step.lost for step in steps))
    causes = [
        f"{step.name} {fixed(-step.lost, unit, sign=True)}" for step in steps
    ]
    label = texts(
        "waterfall_label",
        opponents=title,
        best=fixed(best, unit),
        parts=texts("list_gap").join(causes),
        agent=fixed(best - lost, unit),
    )
    first, last = (texts("best_reply"), best), (texts("agent"), best - lost)
    return waterfall(first, steps, last, label)


def _number(entry: dict[str, Any], name: str) -> float:
    value = number(entry.get(name))
    expect(value is not None, name, entry.get(name), "a number")
    assert value is not None
    return value


def _decision(decision: Any, texts: Texts) -> Decision:
    expect(isinstance(decision, dict), "decision", decision, "an object")
    episode, step = (_count(decision.get(key)) for key in ("episode", "step"))
    options, unit = _options(decision, texts)
    cost = fixed(number(decision.get("cost")), unit)
    title = texts("decision", episode=episode, step=step, cost=cost)
    return Decision(title, *board(decision), options)


def _count(index: object) -> str:
    """Write an index that starts at 0 as a number that starts at 1."""
    value = number(index)
    return "–" if value is None else f"{value + 1:.0f}"


def _options(
    decision: dict[str, Any], texts: Texts
) -> tuple[list[DecisionOption], int]:
    """Return the actions, and the decimals of their values."""
    actions = strings(decision, "actions")
    size = len(actions)
    scores = row_of(decision, "scores", size)
    exact = row_of(decision, "exact", size)
    chosen = index_of(decision.get("action"), size, "action")
    best = index_of(decision.get("best"), size, "best")
    top, unit = exact[best], decimals_of(*exact, *scores)
    equal = [q is not None and ties(q, top, unit) for q in exact]
    tag = texts("best_action" if sum(equal) < 2 else "best_tie")
    options = []
    for k, (name, score, q) in enumerate(
        zip(actions, scores, exact, strict=True)
    ):
        to_best = None if q is None or top is None else q - top
        is_best = tag if equal[k] or k == best else ""
        numbers = (fixed(value, unit) for value in (score, q, to_best))
        option = DecisionOption(
            name, q is not None, k == chosen, is_best, *numbers
        )
        options.append(option)
    return options, unit
