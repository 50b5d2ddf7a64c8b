"""What was believed about one other player, step by step, over who it really was: drawn small, to stand under a board.

Colours alone tell nothing: areas are outlined, changes of mind are marked, and the same is said in words.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bestreply.report.svg import el, points
from bestreply.report.texts import Texts

LEFT, RIGHT = 58.0, 300.0  # of the steps, in units of a figure 300 wide
TOP, FLOOR = 14.0, 50.0  # of the belief
TRUE_TOP, TRUE_FLOOR = 54.0, 62.0
COLOURS = 8  # classes g0, g1, ... of the style sheet
CLEAR = 1e-3
"""By so much a goal must lead for the mind to be made up."""
MOST_RUNS = 6  # told in words


@dataclass(frozen=True)
class Strip:
    title: str
    figure: Markup
    said: str


def colour(goal: int) -> str:
    """The classes of a goal's area, bar or key."""
    return f"goal g{goal % COLOURS}"


def minds(belief: Sequence[Sequence[float | None]]) -> list[int | None]:
    """For each step of `belief` [T][G] the goal thought likeliest; None until one leads, then the last that did."""
    made_up: list[int | None] = []
    for row in belief:
        ranked = sorted((p, -g) for g, p in enumerate(row) if p is not None)
        leads = ranked and (len(ranked) == 1 or ranked[-1][0] - ranked[-2][0] >= CLEAR)
        made_up.append(-ranked[-1][1] if leads else made_up[-1] if made_up else None)
    return made_up


def changes(made_up: Sequence[int | None]) -> list[int]:
    """The steps, from 0, at which the mind is another than it was; making it up for the first time is none."""
    return [t for t in range(1, len(made_up)) if made_up[t] != made_up[t - 1] and made_up[t - 1] is not None]


def strip(
    title: str,
    belief: Sequence[Sequence[float | None]],
    truth: Sequence[int | None],
    who: Sequence[str | None],
    goals: Sequence[str],
    texts: Texts,
    steps: int = 0,
) -> Strip:
    """Belief [T][G] about one other, over who it was: `truth` [T] indexes `goals`, `who` [T] names it where no goal does.

    `steps`: how many the axis has room for, at least T (a player that has left is believed nothing of).
    """
    count = max(steps, len(belief), 1)
    width = (RIGHT - LEFT) / count
    mind = minds(belief)
    turned = changes(mind)
    names = [goals[g] if g is not None else w for g, w in zip(truth, who, strict=True)]
    parts = [
        el("text", texts("strip_believed"), class_="tick", x=LEFT - 6, y=36, text_anchor="end"),
        *(_area(belief, g, width) for g in range(len(goals))),
        *(_turn(LEFT + t * width) for t in turned),
    ]
    if any(name is not None for name in names):
        parts.append(el("text", texts("strip_really"), class_="tick", x=LEFT - 6, y=62, text_anchor="end"))
        parts += _truth(truth, names, width)
    parts += _ticks(count, width)
    parts.append(
        el("rect", class_="cursor", x=LEFT, y=TOP - 2, width=width, height=TRUE_FLOOR - TOP + 4, rx=1.5)
    )
    figure = el(
        "svg", *parts, class_="figure strip", viewBox="0 0 300 76", aria_hidden="true", data_left=f"{LEFT:g}",
        data_step=f"{width:.4f}",
    )  # fmt: skip
    thought = [texts("strip_undecided") if g is None else goals[g] for g in mind]
    said = [texts("strip_said_believed", runs=_runs(thought, texts))]
    if any(name is not None for name in names):
        told = [name if name is not None else texts("strip_unknown") for name in names]
        said.append(texts("strip_said_really", runs=_runs(told, texts)))
    return Strip(title, figure, texts("sentence_gap").join(said))


def _area(belief: Sequence[Sequence[float | None]], goal: int, width: float) -> Markup:
    """The area of one goal in a stack, level within a step."""
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
    """The mark of a change of mind."""
    flag = f"{x - 4:.1f},3 {x + 4:.1f},3 {x:.1f},10"
    return el("polygon", class_="turn", points=flag) + el("line", class_="turn", x1=x, x2=x, y1=9, y2=FLOOR)


def _truth(truth: Sequence[int | None], names: Sequence[str | None], width: float) -> list[Markup]:
    """One bar for each stretch of steps with the same truth."""
    bars, begin = [], 0
    for t in range(1, len(names) + 1):
        if t == len(names) or names[t] != names[begin]:
            goal = truth[begin]
            style = "area other" if goal is None else f"area {colour(goal)}"
            place = {"x": LEFT + begin * width, "width": (t - begin) * width}
            if names[begin] is not None:
                bars.append(el("rect", class_=style, y=TRUE_TOP, height=TRUE_FLOOR - TRUE_TOP, **place))
            begin = t
    return bars


def _ticks(count: int, width: float) -> list[Markup]:
    every = next(k for k in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if count / k <= 8 or k == 1000)
    shown = [t for t in range(1, count + 1) if t == 1 or (t % every == 0 and t > every / 2)]
    return [
        el("text", t, class_="tick", x=LEFT + (t - 0.5) * width, y=74, text_anchor="middle") for t in shown
    ]


def _runs(names: Sequence[str], texts: Texts) -> str:
    """``hare, stag from step 4``."""
    starts = [t for t in range(len(names)) if t == 0 or names[t] != names[t - 1]]
    said = [
        names[t] if t == 0 else texts("strip_from", name=names[t], step=t + 1) for t in starts[:MOST_RUNS]
    ]
    if len(starts) > MOST_RUNS:
        said.append(texts("strip_more", count=len(starts) - MOST_RUNS))
    return texts("list_gap").join(said)
