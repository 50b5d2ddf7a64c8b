"""Draw the belief about one other player by step, above its true type, below the board.

Colour is never the only sign: areas have outlines, changes have marks, and a sentence
states the same.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bestreply.report.svg import el, points, tick
from bestreply.report.texts import Texts

LEFT, RIGHT = 58.0, 300.0  # of the axis, in units; the chart is 300 wide
TOP, FLOOR = 14.0, 50.0  # of the belief
TRUE_TOP, TRUE_FLOOR = 54.0, 62.0  # of the true type
COLOURS = 8  # classes g0 to g7 of the style sheet
MIN_LEAD = 1e-3
"""Probability by which the most probable type must lead the second."""
MAX_RUNS = 6  # in the sentence


@dataclass(frozen=True)
class BeliefStrip:
    """The chart of one player, and the same in words."""

    title: str
    figure: Markup
    words: str


def colour(type_: int) -> str:
    """Return the classes of a type's area, bar or key.

    Args:
        type_: index of the type.

    Returns:
        Classes of the style sheet; colours repeat.
    """
    return f"goal g{type_ % COLOURS}"


def likeliest_types(
    belief: Sequence[Sequence[float | None]],
) -> list[int | None]:
    """Return the most probable type at each step.

    Args:
        belief: [T][G] probabilities.

    Returns:
        [T] types. None until a type leads by MIN_LEAD; without a leader, the last one.
    """
    likeliest: list[int | None] = []
    for row in belief:
        ranked = sorted((p, -g) for g, p in enumerate(row) if p is not None)
        leads = ranked and (
            len(ranked) == 1 or ranked[-1][0] - ranked[-2][0] >= MIN_LEAD
        )
        last = likeliest[-1] if likeliest else None
        likeliest.append(-ranked[-1][1] if leads else last)
    return likeliest


def change_steps(likeliest: Sequence[int | None]) -> list[int]:
    """Return the steps at which the most probable type changes.

    Args:
        likeliest: [T] types, of `likeliest_types`.

    Returns:
        Steps, from 0. The first type is not a change.
    """
    pairs = enumerate(itertools.pairwise(likeliest), start=1)
    return [t for t, (a, b) in pairs if a is not None and a != b]


def belief_strip(
    title: str,
    belief: Sequence[Sequence[float | None]],
    truth: Sequence[int | None],
    who: Sequence[str | None],
    goals: Sequence[str],
    texts: Texts,
    steps: int = 0,
) -> BeliefStrip:
    """Draw the belief about one other player above its true type, and describe both in words.

    Args:
        title: the player.
        belief: [T][G] probabilities.
        truth: [T] indices of `goals`, None where the true type is none of them.
        who: [T] names of the true type where `truth` is None.
        goals: [G] names of types.
        texts: language of the page.
        steps: length of the axis, at least T: there is no belief about a player that has left.

    Returns:
        The chart and the words.
    """
    count = max(steps, len(belief), 1)
    width = (RIGHT - LEFT) / count
    likeliest = likeliest_types(belief)
    names = [
        goals[g] if g is not None else name
        for g, name in zip(truth, who, strict=True)
    ]
    is_known = any(name is not None for name in names)
    parts = [tick(texts("strip_believed"), LEFT - 6, 36, "end")]
    parts += [_area(belief, g, width) for g in range(len(goals))]
    parts += [_change(LEFT + t * width) for t in change_steps(likeliest)]
    if is_known:
        parts.append(tick(texts("strip_actual"), LEFT - 6, 62, "end"))
        parts += _truth(truth, names, width)
    parts += step_ticks(count, width, 74)
    size = {"width": width, "height": TRUE_FLOOR - TOP + 4, "rx": 1.5}
    parts.append(el("rect", class_="cursor", x=LEFT, y=TOP - 2, **size))
    figure = el(
        "svg",
        *parts,
        class_="figure strip",
        viewBox="0 0 300 76",
        aria_hidden="true",
        data_left=f"{LEFT:g}",
        data_step=f"{width:.4f}",
    )
    sentences = [_believed(likeliest, goals, texts)]
    if is_known:
        runs = _runs([n or texts("strip_unknown") for n in names], texts)
        sentences.append(texts("strip_sentence_actual", runs=runs))
    words = texts("sentence_gap").join(sentences)
    return BeliefStrip(title, figure, words)


def _believed(
    likeliest: Sequence[int | None], goals: Sequence[str], texts: Texts
) -> str:
    undecided = texts("strip_undecided")
    names = [undecided if g is None else goals[g] for g in likeliest]
    return texts("strip_sentence_believed", runs=_runs(names, texts))


def _area(
    belief: Sequence[Sequence[float | None]], goal: int, width: float
) -> Markup:
    """Draw the area of one type in the stack, level within a step."""
    across, upper, lower = [], [], []
    for t, row in enumerate(belief):
        below = sum(p or 0.0 for p in row[:goal])
        across += [LEFT + t * width, LEFT + (t + 1) * width]
        upper += [_level(below + (row[goal] or 0.0))] * 2
        lower += [_level(below)] * 2
    outline = points(across + across[::-1], upper + lower[::-1])
    return el("polygon", class_=f"area {colour(goal)}", points=outline)


def _level(share: float) -> float:
    return FLOOR - min(max(share, 0.0), 1.0) * (FLOOR - TOP)


def _change(x: float) -> Markup:
    """Draw the mark of a change."""
    flag = f"{x - 4:.1f},3 {x + 4:.1f},3 {x:.1f},10"
    return el("polygon", class_="turn", points=flag) + el(
        "line", class_="turn", x1=x, x2=x, y1=9, y2=FLOOR
    )


def _truth(
    truth: Sequence[int | None], names: Sequence[str | None], width: float
) -> list[Markup]:
    """Draw a bar for each run of steps with the same true type."""
    bars, begin = [], 0
    for t in range(1, len(names) + 1):
        if t < len(names) and names[t] == names[begin]:
            continue
        goal = truth[begin]
        style = "area other" if goal is None else f"area {colour(goal)}"
        if names[begin] is not None:
            place = {"y": TRUE_TOP, "height": TRUE_FLOOR - TRUE_TOP}
            place |= {"x": LEFT + begin * width, "width": (t - begin) * width}
            bars.append(el("rect", class_=style, **place))
        begin = t
    return bars


def step_ticks(count: int, width: float, y: float) -> list[Markup]:
    """Return the labels of an axis of steps.

    Args:
        count: number of steps.
        width: of a step, in units.
        y: base line, in units.
    """
    every = next(
        k
        for k in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
        if count / k <= 8 or k == 1000
    )
    shown = [
        t
        for t in range(1, count + 1)
        if t == 1 or (t % every == 0 and t > every / 2)
    ]
    return [tick(t, LEFT + (t - 0.5) * width, y) for t in shown]


def _runs(names: Sequence[str], texts: Texts) -> str:
    """Write ``hare, stag from step 4``."""
    starts = [
        t for t in range(len(names)) if t == 0 or names[t] != names[t - 1]
    ]
    runs = [
        names[t] if t == 0 else texts("strip_from", name=names[t], step=t + 1)
        for t in starts[:MAX_RUNS]
    ]
    if len(starts) > MAX_RUNS:
        runs.append(texts("strip_more", count=len(starts) - MAX_RUNS))
    return texts("list_gap").join(runs)
