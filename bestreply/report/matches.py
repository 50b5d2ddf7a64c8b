"""Prepare the matches of `matches.json` to be shown step by step.

All shapes of docs/files.md are checked first: A actions, G types, and N-1 other
players in ego-first order. A match that does not fit is left out with the reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bestreply.report.belief_strips import (
    BeliefStrip,
    belief_strip,
    colour,
)
from bestreply.report.checks import (
    ABSENT,
    expect,
    index_of,
    rows_of,
)
from bestreply.report.match_frame import Frame, read_frame
from bestreply.report.match_steps import (
    MAX_PANELS,
    MatchStep,
    read_step,
)
from bestreply.report.observation_plots import (
    ObservationPlot,
    plot_observations,
)
from bestreply.report.run_files import number
from bestreply.report.texts import ALONE, Texts, fixed

MAX_PAGE_BYTES = 800_000
"""Of the steps of all matches, about: longer ones show fewer of their steps."""
ROW_BYTES, STEP_BYTES = 260, 2200
"""Of a row of a table, and of the rest of a step."""
MIN_STEPS = 10
"""Steps of each match that are shown in any case."""
MAX_COSTLIEST = 8  # links to decisions


@dataclass(frozen=True)
class Match:
    """One match."""

    title: str
    steps: list[MatchStep]
    length: int  # steps of the game
    strips: list[BeliefStrip]  # of each other player
    legend: list[tuple[str, str]]  # types and their colours
    plots: list[ObservationPlot]  # of the agent's observations
    plot_note: str  # on entries without a plot
    note: str  # what exact Q is, or why it is missing; empty if not requested
    course: (
        str  # how the game ended, for the agent and for all; empty if not known
    )
    left_out: str  # about steps that are not shown


@dataclass(frozen=True)
class DecisionLink:
    """A costly decision and its place."""

    match: int
    step: int  # place among the steps shown
    text: str


def read_matches(
    documents: Sequence[object], texts: Texts
) -> tuple[list[Match], list[str]]:
    """Read the matches of `matches.json`.

    Args:
        documents: entries of the file.
        texts: language of the page.

    Returns:
        The valid matches, and a sentence about each one that is left out.
    """
    matches, left_out, size = [], [], 0
    share = MAX_PAGE_BYTES // max(len(documents), 1)
    for index, document in enumerate(documents):
        if size > 2 * MAX_PAGE_BYTES:
            count = len(documents) - index
            left_out.append(texts("match_many", count=count))
            break
        try:
            match = _match(document, share, texts)
        except ValueError as error:
            left_out.append(texts("match_bad", number=index + 1, reason=error))
            continue
        size += sum(map(_bytes, match.steps))
        matches.append(match)
    return matches, left_out


def costliest(matches: Sequence[Match], texts: Texts) -> list[DecisionLink]:
    """Return links to the costliest decisions.

    Args:
        matches: matches of the page.
        texts: language of the page.

    Returns:
        At most MAX_COSTLIEST links, in descending order of cost; none without exact Q,
        or whose cost is 0 as written.
    """
    costs = [
        (-step.cost, m, k, step.at, step.unit)
        for m, match in enumerate(matches)
        for k, step in enumerate(match.steps)
        if step.cost >= 0.5 * 10.0**-step.unit
    ]
    key = "jump_in_match" if len(matches) > 1 else "jump"
    return [
        DecisionLink(
            m,
            k,
            texts(key, match=m + 1, step=at + 1, cost=fixed(-cost, unit)),
        )
        for cost, m, k, at, unit in sorted(costs)[:MAX_COSTLIEST]
    ]


# -- a match ---------------------------------------------------------------------


def _match(document: Any, share: int, texts: Texts) -> Match:
    expect(isinstance(document, dict), "match", document, "an object")
    raw = document.get("steps")
    are_steps = (
        isinstance(raw, list)
        and bool(raw)
        and all(isinstance(s, dict) for s in raw)
    )
    expect(are_steps, "steps", raw, "a list of objects")
    frame = read_frame(document, raw)
    steps = _steps(raw, frame, share, texts)
    value = number(document.get("return"))
    opponents = document.get("opponents", "?")
    title = texts(
        "match_title",
        opponents=texts("alone") if opponents == ALONE else opponents,
        seat=frame.seat + 1,
        value=fixed(value, frame.decimals),
    )
    strips = _strips(raw, frame, texts)
    names = enumerate(frame.goals) if strips else ()
    plots, plot_note = plot_observations(document.get("observed"), texts)
    hidden = len(raw) - len(steps)
    return Match(
        title=title,
        steps=steps,
        length=frame.length,
        strips=strips,
        legend=[(name, colour(g)) for g, name in names],
        plots=plots,
        plot_note=plot_note,
        note=_exact_note(document, texts),
        course=_course(document, frame, len(raw), texts),
        left_out=texts("steps_left_out", count=f"{hidden:,}") if hidden else "",
    )


def _steps(
    raw: list[dict[str, Any]], frame: Frame, share: int, texts: Texts
) -> list[MatchStep]:
    """Return the steps that have details; of a long match so many as fit the page."""
    detailed = {
        t for t, step in enumerate(raw) if "text" in step or "picture" in step
    }
    detailed = detailed or set(range(len(raw)))
    steps, total = [], 0.0
    for index, step in enumerate(raw):
        total += number(step.get("reward_got")) or 0.0
        if index not in detailed:
            continue
        try:
            steps.append(read_step(step, index, total, frame, texts))
        except ValueError as error:
            raise ValueError(f"step {index}: {error}") from None
    size = sum(map(_bytes, steps))
    most = max(int(len(steps) * share / size), MIN_STEPS)
    if len(steps) <= most:
        return steps
    ranked = sorted(steps, key=lambda step: -step.cost)[: most // 3]
    costly = {step.at for step in ranked if step.cost > 0}
    even = {len(steps) * k // most for k in range(most)} | {len(steps) - 1}
    return [s for k, s in enumerate(steps) if k in even or s.at in costly]


def _bytes(step: MatchStep) -> int:
    rows = len(step.candidates)
    rows += sum(len(o.actions) + len(o.goals) for o in step.others)
    words = 2 * len(step.sentence) + len(step.more)
    drawn = len(step.picture or "") + len(step.text)
    return STEP_BYTES + ROW_BYTES * rows + words + drawn


def _course(
    document: dict[str, Any], frame: Frame, acted: int, texts: Texts
) -> str:
    """Say how the game ended, for the agent before its end where it left."""
    end = document.get("end")
    if end not in ("terminated", "truncated"):
        return ""
    parts = [texts(f"game_{end}", step=f"{frame.length:,}")]
    left = frame.left[frame.seat]
    if left is not None:
        key = "agent_terminated" if left[1] == "terminated" else "agent_left"
        parts.insert(0, texts(key, step=f"{left[0]:,}"))
    return texts("sentence_gap").join(parts)


def _exact_note(document: dict[str, Any], texts: Texts) -> str:
    if document.get("kind") in ("exact", "upper bound"):
        return texts("exact_is")
    if "missing" not in document:
        return ""
    missing = str(document["missing"])
    if missing not in ("too_large", "no_distribution"):
        missing = "not_solved"
    reason = str(document.get("reason", ""))
    bracket = texts("reason", reason=reason) if reason else ""
    return texts(f"exact_{missing}", reason=bracket)


def _strips(
    raw: list[dict[str, Any]], frame: Frame, texts: Texts
) -> list[BeliefStrip]:
    """Draw the belief about each other player until it leaves.

    There are no strips if the belief is about a single type, or was not logged.
    """
    if len(frame.goals) < 2 or not any(step.get("belief") for step in raw):
        return []
    strips = []
    for k, seat in enumerate(frame.other_seats[:MAX_PANELS]):
        rows, truth, who = _belief_rows(raw, k, frame)
        if rows:
            strips.append(
                belief_strip(
                    frame.title(seat, texts),
                    rows,
                    truth,
                    who,
                    frame.goals,
                    texts,
                    len(raw),
                )
            )
    return strips


def _belief_rows(
    raw: list[dict[str, Any]], k: int, frame: Frame
) -> tuple[list[list[float | None]], list[int | None], list[str | None]]:
    """Return belief, true type and its name by step of other player `k`, until it leaves."""
    count, size = len(frame.other_seats), len(frame.goals)
    rows, truth, who = [], [], []
    for index, step in enumerate(raw):
        actual = step.get("actual") or [0] * count
        if actual[k] == ABSENT:
            break
        rows.append(rows_of(step, "belief", count, size)[k])
        try:
            truth.append(_true_type(step, k, count, size))
        except ValueError as error:
            raise ValueError(f"step {index}: {error}") from None
        who.append(_true_name(step, k, count))
    return rows, truth, who


def _true_type(
    step: dict[str, Any], k: int, count: int, size: int
) -> int | None:
    value = step.get("truth")
    if value is None:
        return None
    fits = isinstance(value, list) and len(value) == count
    expect(fits, "truth", value, f"{count} entries")
    return None if value[k] is None else index_of(value[k], size, "truth")


def _true_name(step: dict[str, Any], k: int, count: int) -> str | None:
    value = step.get("who")
    if value is None:
        return None
    fits = (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(v, str) for v in value)
    )
    expect(fits, "who", value, f"{count} names")
    return value[k]
