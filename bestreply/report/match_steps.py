"""One step of a match as text and bars: candidates of the agent, the other players."""

import math
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bestreply.report.belief_strips import colour
from bestreply.report.checks import (
    ABSENT,
    board,
    expect,
    index_of,
    row_of,
    rows_of,
)
from bestreply.report.match_frame import Frame
from bestreply.report.run_files import number
from bestreply.report.svg import el, share_bar
from bestreply.report.texts import Texts, fixed, ties

MAX_ACTIONS = 14
"""Candidates up to which all are listed; of more, the chosen and the best ones."""
MAX_PREDICTED = 10
"""Actions of another player up to which all are listed; of more, the likeliest."""
MAX_PANELS = 8
"""Other players with predictions and beliefs; of more, one sentence each."""


@dataclass(frozen=True)
class Candidate:
    """An action of the agent at one step, as text."""

    name: str
    legal: bool
    chosen: bool
    score: str
    points: float | None  # the score as a number
    reward: str
    value: str
    behind: str  # score minus the best legal score
    exact: str  # Q*
    lost: str  # Q* minus the best Q*
    best: str  # the mark of the highest Q*, or of several; else empty
    bar: Markup


@dataclass(frozen=True)
class ProbabilityBar:
    """An action or type of another player, and its probability."""

    name: str
    text: str
    marked: bool
    bar: Markup


@dataclass(frozen=True)
class OpponentPanel:
    """Another player at one step: predicted actions and belief over its type."""

    title: str
    left: str  # why it does not act; empty where it does
    absent: bool  # it is not in this game at all
    actions: list[ProbabilityBar]
    goals: list[ProbabilityBar]
    rest: str  # about actions that are not listed


@dataclass(frozen=True)
class MatchStep:
    """One step of a match."""

    at: int  # from 0
    text: str
    picture: Markup | None
    refused: str  # why the picture is not shown; empty without a picture
    candidates: list[Candidate]
    hidden: str  # about candidates that are not listed
    scored: bool
    others: list[OpponentPanel]
    more: str  # about other players without a panel
    sentence: str
    reward: str
    total: str
    exact: bool  # whether there is a Q*
    unit: int  # decimals of rewards and values
    cost: float  # loss of Q*, discounted to the start; 0 if unknown


def read_step(
    step: dict[str, Any], index: int, total: float, frame: Frame, texts: Texts
) -> MatchStep:
    """Return one step as text and bars.

    Args:
        step: entry of the file.
        index: number of the step, from 0.
        total: rewards up to this step, its own included.
        frame: what all steps of the match have in common.
        texts: language of the page.

    Raises:
        ValueError: an entry does not fit docs/files.md.
    """
    picture, text, refused = board(step)
    candidates, chosen = _candidates(step, frame, texts)
    values = row_of(
        step, "exact" if step.get("exact") else "scores", len(frame.actions)
    )
    shown = _listed(
        values[: len(candidates)], candidates.index(chosen), MAX_ACTIONS
    )
    has_exact, cost = _cost(step, frame)
    others = _opponent_panels(step, frame, texts)
    hidden = len(candidates) - len(shown)
    return MatchStep(
        at=index,
        text=text,
        picture=picture,
        refused=refused,
        candidates=[candidates[k] for k in shown],
        hidden=texts("more_actions", count=hidden) if hidden else "",
        scored=any(c.score != "–" for c in candidates),
        others=others[:MAX_PANELS],
        more=_sentences(others[MAX_PANELS:], texts),
        sentence=_sentence(index, chosen, others[:MAX_PANELS], frame, texts),
        reward=fixed(number(step.get("reward_got")), frame.decimals),
        total=fixed(total, frame.decimals),
        exact=has_exact,
        unit=frame.decimals,
        cost=cost * frame.gamma**index,
    )


# -- the agent -------------------------------------------------------------------


def _legal_row(step: dict[str, Any], key: str, size: int) -> list[float | None]:
    """Return a row of numbers with None for illegal actions."""
    legal = step.get("legal", [True] * size)
    fits = isinstance(legal, list) and len(legal) == size
    expect(fits, "legal", legal, f"{size} entries")
    row = row_of(step, key, size)
    return [v if ok else None for v, ok in zip(row, legal, strict=True)]


def _cost(step: dict[str, Any], frame: Frame) -> tuple[bool, float]:
    """Return whether there is an exact Q, and what the action loses of it."""
    size = len(frame.actions)
    row = _legal_row(step, "exact", size)
    known = [q for q in row if q is not None]
    chosen = row[index_of(step.get("action"), size, "action")]
    return bool(known), 0.0 if chosen is None else max(known) - chosen


def _candidates(
    step: dict[str, Any], frame: Frame, texts: Texts
) -> tuple[list[Candidate], Candidate]:
    """Return all actions of the agent's seat, and the chosen one."""
    size, unit = len(frame.actions), frame.decimals
    action = index_of(step.get("action"), size, "action")
    rows = [
        _legal_row(step, key, size)
        for key in ("scores", "reward", "value", "exact")
    ]
    scores, rewards, values, exact = rows
    rows += [_minus_best(scores), _minus_best(exact)]
    legal = step.get("legal", [True] * size)
    equal = [lost is not None and ties(lost, 0.0, unit) for lost in rows[-1]]
    tag = texts("best_action" if sum(equal) < 2 else "best_tie")
    candidates = []
    for k, name in enumerate(frame.actions):
        score, reward, value, q, behind, lost = (
            fixed(row[k], unit) for row in rows
        )
        candidate = Candidate(
            name=name,
            legal=bool(legal[k]),
            chosen=k == action,
            score=score,
            points=scores[k],
            reward=reward,
            value=value,
            behind=behind,
            exact=q,
            lost=lost,
            best=tag if equal[k] else "",
            bar=_parts_bar(rewards[k], values[k], frame.span),
        )
        candidates.append(candidate)
    own = max(frame.sizes[frame.seat], action + 1)
    return candidates[:own], candidates[action]


def _listed(
    values: list[float | None], first: int | None, most: int
) -> list[int]:
    """Return the indices to list: all, or of more than `most` those of the largest values.

    Args:
        values: one for each index.
        first: an index that is listed in any case.
        most: largest number of indices that are all listed.
    """
    if len(values) <= most:
        return list(range(len(values)))

    def rank(index: int) -> tuple[bool, float]:
        value = values[index]
        return index != first, math.inf if value is None else -value

    return sorted(sorted(range(len(values)), key=rank)[: most - 2])


def _minus_best(row: list[float | None]) -> list[float | None]:
    best = max((v for v in row if v is not None), default=0.0)
    return [None if v is None else v - best for v in row]


def _parts_bar(
    reward: float | None, value: float | None, span: tuple[float, float]
) -> Markup:
    """Draw the reward, then the value: positive parts right of zero, negative ones left."""
    scale = 100 / (span[1] - span[0])
    zero = -span[0] * scale
    parts, ends = [], {True: zero, False: zero}
    for style, part in (("reward", reward), ("value", value)):
        if part:
            width = abs(part) * scale
            start = ends[True] if part > 0 else ends[False] - width
            ends[part > 0] += width if part > 0 else -width
            parts.append(_bar(style, start, f"{width:.1f}%"))
    parts.append(_bar("zero", min(zero, 99.0), 1))
    return el("svg", *parts, class_="hbar", aria_hidden="true")


def _bar(style: str, start: float, width: object) -> Markup:
    place = {"x": f"{start:.1f}%", "width": width, "height": "100%"}
    return el("rect", class_=style, **place)


# -- the other players -----------------------------------------------------------


def _opponent_panels(
    step: dict[str, Any], frame: Frame, texts: Texts
) -> list[OpponentPanel]:
    seats, size = frame.other_seats, len(frame.actions)
    predicted = rows_of(step, "predicted", len(seats), size)
    belief = rows_of(step, "belief", len(seats), len(frame.goals))
    actual = step.get("actual")
    if actual is None:
        actions: list[int | None] = [None] * len(seats)
    else:
        fits = isinstance(actual, list) and len(actual) == len(seats)
        expect(fits, "actual", actual, f"{len(seats)} entries")
        actions = [index_of(a, size, "actual", ABSENT) for a in actual]
    panels = []
    for seat, action, probabilities, types in zip(
        seats, actions, predicted, belief, strict=True
    ):
        own = frame.sizes[seat]
        bars = _action_bars(frame.actions[:own], probabilities[:own], action)
        shown = _listed(probabilities[:own], action, MAX_PREDICTED)
        hidden = len(bars) - len(shown)
        gone = frame.left[seat] or (0, "left") if action == ABSENT else None
        panel = OpponentPanel(
            title=frame.title(seat, texts),
            left=texts(f"has_{gone[1]}", step=gone[0]) if gone else "",
            absent=bool(gone) and gone[1] == "absent",
            actions=[bars[k] for k in shown],
            goals=_type_bars(frame.goals, types),
            rest=texts("more_actions", count=hidden) if hidden else "",
        )
        panels.append(panel)
    return panels


def _action_bars(
    names: list[str], probabilities: list[float | None], action: int | None
) -> list[ProbabilityBar]:
    bars = []
    for k, (name, p) in enumerate(zip(names, probabilities, strict=True)):
        style = "actual" if k == action else "guess"
        bar = share_bar(p, style)
        bars.append(ProbabilityBar(name, fixed(p), k == action, bar))
    return bars


def _type_bars(
    names: list[str], probabilities: list[float | None]
) -> list[ProbabilityBar]:
    if len(names) < 2:
        return []
    return [
        ProbabilityBar(name, fixed(p), False, share_bar(p, colour(g)))
        for g, (name, p) in enumerate(zip(names, probabilities, strict=True))
        if p is not None
    ]


# -- sentences -------------------------------------------------------------------


def _sentence(
    index: int,
    chosen: Candidate,
    others: list[OpponentPanel],
    frame: Frame,
    texts: Texts,
) -> str:
    player = frame.players[frame.seat]
    sentences = [
        texts("say_step", step=index + 1, count=frame.length),
        choice_sentence(player, chosen, texts),
        _sentences(others, texts),
    ]
    return texts("sentence_gap").join(filter(None, sentences))


def _sentences(panels: list[OpponentPanel], texts: Texts) -> str:
    """Describe the actions of other players, as far as they are known."""
    return texts("sentence_gap").join(
        opponent_sentence(panel, texts)
        for panel in panels
        if (panel.left and not panel.absent)
        or any(bar.marked for bar in panel.actions)
    )


def choice_sentence(player: str, chosen: Candidate, texts: Texts) -> str:
    """Describe the agent's choice.

    Args:
        player: name of the agent.
        chosen: the chosen action.
        texts: language of the page.

    Returns:
        One sentence.
    """
    key = "say_chose" if chosen.score != "–" else "say_did"
    return texts(key, player=player, action=chosen.name, score=chosen.score)


def opponent_sentence(panel: OpponentPanel, texts: Texts) -> str:
    """Describe the action of another player.

    Args:
        panel: the other player at one step.
        texts: language of the page.

    Returns:
        One sentence; the player's title if its action is not known.
    """
    if panel.left:
        return texts("say_left", player=panel.title)
    actual = next((bar for bar in panel.actions if bar.marked), None)
    if actual is None:
        return panel.title
    key = "say_other" if actual.text != "–" else "say_did"
    return texts(
        key, player=panel.title, action=actual.name, probability=actual.text
    )
