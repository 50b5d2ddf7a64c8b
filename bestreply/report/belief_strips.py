"""Draw the belief about one other player by step, above its true type, to stand under a board.

Nothing is shown by colour alone: areas are outlined, changes are marked, and a sentence says the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bestreply.report.svg import el, points
from bestreply.report.texts import Texts

LEFT, RIGHT = 58.0, 300.0  # of the steps, in units of a figure 300 wide
TOP, FLOOR = 14.0, 50.0  # of the belief
TRUE_TOP, TRUE_FLOOR = 54.0, 62.0  # of the true type
COLOURS = 8  # classes g0, g1, ... of the style sheet
MIN_LEAD = 1e-3
"""Probability by which the likeliest type must lead the next."""
MAX_STRETCHES = 6  # in the sentence


@dataclass(frozen=True)
class Strip:
    """The chart of one player, and the same in words."""

    title: str
    figure: Markup
    said: str


def colour(goal: int) -> str:
    """Return the classes of a goal's area, bar or key."""
    return f"goal g{goal % COLOURS}"


def likeliest_types(
    belief: Sequence[Sequence[float | None]],
) -> list[int | None]:
    """Return the likeliest type at each step of `belief` [T][G]; None until one leads, then the last that did."""
    made_up: list[int | None] = []
    for row in belief:
        ranked = sorted((p, -g) for g, p in enumerate(row) if p is not None)
        leads = ranked and (
            len(ranked) == 1 or ranked[-1][0] - ranked[-2][0] >= MIN_LEAD
        )
        made_up.append(
            -ranked[-1][1] if leads else made_up[-1] if made_up else None
        )
    return made_up


def changes(made_up: Sequence[int | None]) -> list[int]:
    """Return the steps, from 0, at which the likeliest type changes; the first choice is no change."""
    return [
        t
        for t in range(1, len(made_up))
        if made_up[t] != made_up[t - 1] and made_up[t - 1] is not None
    ]


def strip(
    title: str,
    belief: Sequence[Sequence[float | None]],
    truth: Sequence[int | None],
    who: Sequence[str | None],
    goals: Sequence[str],
    texts: Texts,
    steps: int = 0,
) -> Strip:
    """Draw the belief about one other player above its true type, and say both in words.

    Args:
        title: the player.
        belief: [T][G] probabilities.
        truth: [T] indices of `goals`, None where the true type is none of them.
        who: [T] names of the true type where `truth` has none.
        goals: [G] names.
        texts: the page's language.
        steps: the length of the axis, at least T: there is no belief about a player that has left.
    """
    count = max(steps, len(belief), 1)
    width = (RIGHT - LEFT) / count
    mind = likeliest_types(belief)
    turned = changes(mind)
    names = [
        goals[g] if g is not None else w
        for g, w in zip(truth, who, strict=True)
    ]
    parts = [
        el(
            "text",
            texts("strip_believed"),
            class_="tick",
            x=LEFT - 6,
            y=36,
            text_anchor="end",
        ),
        *(_area(belief, g, width) for g in range(len(goals))),
        *(_turn(LEFT + t * width) for t in turned),
    ]
    if any(name is not None for name in names):
        parts.append(
            el(
                "text",
                texts("strip_really"),
                class_="tick",
                x=LEFT - 6,
                y=62,
                text_anchor="end",
            )
        )
        parts += _truth(truth, names, width)
    parts += _ticks(count, width)
    parts.append(
        el(
            "rect",
            class_="cursor",
            x=LEFT,
            y=TOP - 2,
            width=width,
            height=TRUE_FLOOR - TOP + 4,
            rx=1.5,
        )
    )
    figure = el(
        "svg", *parts, class_="figure strip", viewBox="0 0 300 76", aria_hidden="true", data_left=f"{LEFT:g}",
        data_step=f"{width:.4f}",
    )  # fmt: skip
    thought = [
        texts("strip_undecided") if g is None else goals[g] for g in mind
    ]
    said = [texts("strip_said_believed", runs=_runs(thought, texts))]
    if any(name is not None for name in names):
        known = [
            name if name is not None else texts("strip_unknown")
            for name in names
        ]
        said.append(texts("strip_said_really", runs=_runs(known, texts)))
    return Strip(title, figure, texts("sentence_gap").join(said))


def _area(
    belief: Sequence[Sequence[float | None]], goal: int, width: float
) -> Markup:
    """Draw the area of one goal in a stack, level within a step."""
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


def _turn(x: float) -> Markup:
    """Draw the mark of a change."""
    flag = f"{x - 4:.1f},3 {x + 4:.1f},3 {x:.1f},10"
    return el("polygon", class_="turn", points=flag) + el(
        "line", class_="turn", x1=x, x2=x, y1=9, y2=FLOOR
    )


def _truth(
    truth: Sequence[int | None], names: Sequence[str | None], width: float
) -> list[Markup]:
    """Draw a bar for each stretch of steps with the same true type."""
    bars, begin = [], 0
    for t in range(1, len(names) + 1):
        if t == len(names) or names[t] != names[begin]:
            goal = truth[begin]
            style = "area other" if goal is None else f"area {colour(goal)}"
            place = {"x": LEFT + begin * width, "width": (t - begin) * width}
            if names[begin] is not None:
                bars.append(
                    el(
                        "rect",
                        class_=style,
                        y=TRUE_TOP,
                        height=TRUE_FLOOR - TRUE_TOP,
                        **place,
                    )
                )
            begin = t
    return bars


def _ticks(count: int, width: float) -> list[Markup]:
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
    return [
        el(
            "text",
            t,
            class_="tick",
            x=LEFT + (t - 0.5) * width,
            y=74,
            text_anchor="middle",
        )
        for t in shown
    ]


def _runs(names: Sequence[str], texts: Texts) -> str:
    """Return ``hare, stag from step 4``."""
    starts = [
        t for t in range(len(names)) if t == 0 or names[t] != names[t - 1]
    ]
    said = [
        names[t] if t == 0 else texts("strip_from", name=names[t], step=t + 1)
        for t in starts[:MAX_STRETCHES]
    ]
    if len(starts) > MAX_STRETCHES:
        said.append(texts("strip_more", count=len(starts) - MAX_STRETCHES))
    return texts("list_gap").join(said)
