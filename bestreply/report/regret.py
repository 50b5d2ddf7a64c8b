"""Prepare `regret.json` for the page: where return is lost to the best reply, and the costliest decisions.

An opponent set that does not fit docs/files.md is left out with the reason.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from markupsafe import Markup

from bestreply.report.checks import board, place_of, row_of, strings, want
from bestreply.report.row_charts import WaterfallStep, waterfall
from bestreply.report.run_files import number
from bestreply.report.sections import TextTable
from bestreply.report.texts import Texts, fixed

PARTS = ("others", "dynamics", "depth", "value")
MAX_SETS, MAX_DECISIONS = 24, 12  # on one page
T = TypeVar("T")


@dataclass(frozen=True)
class DecisionOption:
    """One action of a decision."""

    name: str
    legal: bool
    chosen: bool
    best: bool
    score: str  # the agent's own
    exact: str
    behind: str  # exact less the best action's


@dataclass(frozen=True)
class Decision:
    title: str
    picture: Markup | None
    text: str
    refused: str
    options: list[DecisionOption]


@dataclass(frozen=True)
class OpponentLoss:
    """The return lost against one opponent set."""

    title: str
    figure: Markup
    cells: list[str]  # of the table
    decisions: list[Decision]
    summary: str  # of the decisions


def losses_section(document: dict[str, Any], texts: Texts) -> dict[str, Any]:
    """Return the opponent sets that fit, a table of them, and why others were left out."""
    sets, left_out = opponent_sets(
        document, _opponent_loss, "losses_bad", texts
    )
    head = [
        texts("opponents_column"),
        texts("best_reply_column"),
        *(texts(f"part_{p}") for p in PARTS),
    ]
    head += [texts("lost"), texts("agent_column"), texts("share")]
    planner, types = str(document.get("planner", "?")), document.get("types")
    types = types if types in ("told", "inferred") else "inferred"
    gamma = number(document.get("gamma"))
    return {
        "sets": sets,
        "table": TextTable(head, [s.cells for s in sets]),
        "note": texts(
            "note_losses",
            planner=planner,
            gamma="–" if gamma is None else f"{gamma:g}",
        ),
        "types": texts(f"types_{types}"),
        "left_out": left_out,
    }


def opponent_sets(
    document: dict[str, Any],
    read: Callable[[Any, Texts], T],
    refusal: str,
    texts: Texts,
) -> tuple[list[T], list[str]]:
    """Read every opponent set of a file.

    Args:
        document: the file; its sets are in the list `against`.
        read: makes one of an entry, or raises ValueError.
        refusal: the key of the text about an entry that does not fit.
        texts: the page's language.

    Returns:
        What was read of at most MAX_SETS sets, and a sentence on each that does not fit.
    """
    entries = document.get("against")
    sets, left_out = [], []
    for place, entry in enumerate(
        entries[:MAX_SETS] if isinstance(entries, list) else []
    ):
        try:
            sets.append(read(entry, texts))
        except ValueError as error:
            left_out.append(texts(refusal, number=place + 1, reason=error))
    return sets, left_out


def _opponent_loss(entry: Any, texts: Texts) -> OpponentLoss:
    want(
        isinstance(entry, dict), "an opponent set wants to be an object", entry
    )
    title = str(entry.get("opponents", "?"))
    best, lost = _number(entry, "best"), _number(entry, "lost")
    parts, errors = entry.get("parts"), entry.get("parts_stderr", {})
    want(
        isinstance(parts, dict) and isinstance(errors, dict),
        "parts wants an object of numbers",
        parts,
    )
    falls = [
        WaterfallStep(
            texts(f"fall_{p}"), _number(parts, p), number(errors.get(p))
        )
        for p in PARTS
    ]
    cells = [title, fixed(best)]
    cells += [_with_error(-f.lost, f.error, sign=True) for f in falls]
    cells += [
        _with_error(-lost, number(entry.get("lost_stderr")), sign=True),
        fixed(best - lost),
    ]
    cells.append(
        _with_error(
            number(entry.get("share")), number(entry.get("share_stderr"))
        )
    )
    causes = texts("list_gap").join(
        f"{f.name} {fixed(-f.lost, sign=True)}" for f in falls
    )
    label = texts(
        "waterfall_label",
        opponents=title,
        best=fixed(best),
        parts=causes,
        agent=fixed(best - lost),
    )
    figure = waterfall(
        (texts("best_reply"), best), falls, (texts("agent"), best - lost), label
    )
    raw = entry.get("costliest", [])
    want(isinstance(raw, list), "costliest wants a list", raw)
    decisions = [_decision(decision, texts) for decision in raw[:MAX_DECISIONS]]
    summary = texts("costliest_against", opponents=title, count=len(decisions))
    return OpponentLoss(
        texts("against", opponents=title), figure, cells, decisions, summary
    )


def _number(entry: dict[str, Any], name: str) -> float:
    value = number(entry.get(name))
    want(value is not None, f"{name} wants a number", entry.get(name))
    assert value is not None
    return value


def _with_error(
    value: float | None, error: float | None, sign: bool = False
) -> str:
    return fixed(value, sign=sign) + (
        f" ± {fixed(error)}" if error is not None else ""
    )


def _decision(decision: Any, texts: Texts) -> Decision:
    want(
        isinstance(decision, dict), "a decision wants to be an object", decision
    )
    actions = strings(decision, "actions")
    size = len(actions)
    scores, exact = (
        row_of(decision, "scores", size),
        row_of(decision, "exact", size),
    )
    action, best = (
        place_of(decision.get(name), size, name) for name in ("action", "best")
    )
    top = exact[best]
    options = []
    for k, name in enumerate(actions):
        q = exact[k]
        behind = None if q is None or top is None else q - top
        shown = (fixed(scores[k]), fixed(q), fixed(behind))
        options.append(
            DecisionOption(name, q is not None, k == action, k == best, *shown)
        )
    picture, text, refused = board(decision)
    episode, step = (
        number(decision.get("episode")),
        number(decision.get("step")),
    )
    title = texts(
        "decision",
        episode="–" if episode is None else f"{episode + 1:.0f}",
        step="–" if step is None else f"{step + 1:.0f}",
        cost=fixed(number(decision.get("cost"))),
    )
    return Decision(title, picture, text, refused, options)
