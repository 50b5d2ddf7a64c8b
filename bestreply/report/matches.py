"""Prepare the matches of `matches.json` to be shown step by step.

All shapes of docs/files.md are checked first: A actions, G types, and N-1 other
players in ego-first order. A match that does not fit is left out with the reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bestreply.report.belief_strips import (
    BeliefStrip,
    belief_strip,
    colour,
)
from bestreply.report.checks import (
    ABSENT,
    board,
    expect,
    index_of,
    row_of,
    rows_of,
    strings,
)
from bestreply.report.run_files import number
from bestreply.report.svg import el, share_bar
from bestreply.report.texts import Texts, fixed

MAX_STEPS_SHOWN = 1000  # of all matches, to limit the size of the page
MAX_COSTLIEST = 8  # links to decisions
MIN_COST = 0.005  # of these decisions; lower costs round to 0.00


@dataclass(frozen=True)
class Candidate:
    """An action of the agent at one step, as text."""

    name: str
    legal: bool
    chosen: bool
    score: str
    reward: str
    value: str
    behind: str  # score minus the best legal score
    exact: str  # Q*
    lost: str  # Q* minus the best Q*
    best: bool  # has the highest Q*
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
    left: bool
    actions: list[ProbabilityBar]
    goals: list[ProbabilityBar]


@dataclass(frozen=True)
class MatchStep:
    """One step of a match."""

    text: str
    picture: Markup | None
    refused: str  # why the picture is not shown; empty without a picture
    candidates: list[Candidate]
    scored: bool
    others: list[OpponentPanel]
    sentence: str
    reward: str
    total: str
    exact: bool  # whether there is a Q*
    cost: float  # loss of Q*, discounted to the start; 0 if unknown


@dataclass(frozen=True)
class Match:
    """One match."""

    title: str
    steps: list[MatchStep]
    strips: list[BeliefStrip]  # of each other player
    legend: list[tuple[str, str]]  # types and their colours
    note: str  # what exact Q is, or why it is missing; empty if not requested


@dataclass(frozen=True)
class DecisionLink:
    """A costly decision and its place."""

    match: int
    step: int
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
    matches, left_out, shown = [], [], 0
    for index, document in enumerate(documents):
        try:
            match = _match(document, texts)
        except ValueError as error:
            left_out.append(texts("match_bad", number=index + 1, reason=error))
            continue
        shown += len(match.steps)
        if shown > MAX_STEPS_SHOWN:
            count, limit = len(documents) - index, f"{MAX_STEPS_SHOWN:,}"
            left_out.append(texts("match_many", count=count, limit=limit))
            break
        matches.append(match)
    return matches, left_out


def costliest(matches: Sequence[Match], texts: Texts) -> list[DecisionLink]:
    """Return links to the costliest decisions.

    Args:
        matches: matches of the page.
        texts: language of the page.

    Returns:
        At most MAX_COSTLIEST links, in descending order of cost; none without exact Q.
    """
    costs = [
        (-step.cost, m, t)
        for m, match in enumerate(matches)
        for t, step in enumerate(match.steps)
        if step.cost >= MIN_COST
    ]
    key = "jump_in_match" if len(matches) > 1 else "jump"
    return [
        DecisionLink(
            m, t, texts(key, match=m + 1, step=t + 1, cost=fixed(-cost))
        )
        for cost, m, t in sorted(costs)[:MAX_COSTLIEST]
    ]


# -- a match ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Frame:
    """What all steps of a match have in common."""

    players: list[str]
    actions: list[str]
    goals: list[str]
    seat: int
    span: tuple[float, float]  # of the bars of the candidates
    count: int
    gamma: float

    @property
    def other_seats(self) -> list[int]:
        return [s for s in range(len(self.players)) if s != self.seat]


def _match(document: Any, texts: Texts) -> Match:
    expect(isinstance(document, dict), "match", document, "an object")
    raw = document.get("steps")
    are_steps = (
        isinstance(raw, list)
        and bool(raw)
        and all(isinstance(s, dict) for s in raw)
    )
    expect(are_steps, "steps", raw, "a list of objects")
    frame = _frame(document, raw)
    steps, total = [], 0.0
    for index, step in enumerate(raw):
        total += number(step.get("reward_got")) or 0.0
        try:
            steps.append(_step(step, index, total, frame, texts))
        except ValueError as error:
            raise ValueError(f"step {index}: {error}") from None
    title = texts(
        "match_title",
        opponents=document.get("opponents", "?"),
        seat=frame.seat + 1,
        value=fixed(number(document.get("return"))),
    )
    strips = _strips(raw, frame, texts)
    names = enumerate(frame.goals) if strips else ()
    legend = [(name, colour(g)) for g, name in names]
    return Match(title, steps, strips, legend, _exact_note(document, texts))


def _frame(document: dict[str, Any], raw: list[dict[str, Any]]) -> _Frame:
    players = strings(document, "players")
    actions = strings(document, "actions")
    gamma = number(document.get("gamma"))
    return _Frame(
        players,
        actions,
        strings(document, "goals", empty=True),
        index_of(document.get("seat"), len(players), "seat"),
        _span(raw, len(actions)),
        len(raw),
        1.0 if gamma is None or not 0 <= gamma <= 1 else gamma,
    )


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
    raw: list[dict[str, Any]], frame: _Frame, texts: Texts
) -> list[BeliefStrip]:
    """Draw the belief about each other player until it leaves.

    There are no strips if the belief is about a single type, or was not logged.
    """
    if len(frame.goals) < 2 or not any(step.get("belief") for step in raw):
        return []
    strips = []
    for k, seat in enumerate(frame.other_seats):
        rows, truth, who = _belief_rows(raw, k, frame)
        if rows:
            player = frame.players[seat]
            title = texts("player_at", seat=seat + 1, player=player)
            strips.append(
                belief_strip(
                    title, rows, truth, who, frame.goals, texts, frame.count
                )
            )
    return strips


def _belief_rows(
    raw: list[dict[str, Any]], k: int, frame: _Frame
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


def _span(steps: list[dict[str, Any]], size: int) -> tuple[float, float]:
    """Return the least and greatest end of all bars of a match, which share one scale."""
    low = high = 0.0
    for step in steps:
        rewards = row_of(step, "reward", size)
        values = row_of(step, "value", size)
        for reward, value in zip(rewards, values, strict=True):
            parts = [reward or 0.0, value or 0.0]
            low = min(low, sum(p for p in parts if p < 0))
            high = max(high, sum(p for p in parts if p > 0))
    return (low, high) if high > low else (0.0, 1.0)


def _step(
    step: dict[str, Any], index: int, total: float, frame: _Frame, texts: Texts
) -> MatchStep:
    picture, text, refused = board(step)
    candidates, chosen = _candidates(step, frame)
    has_exact, cost = _cost(step, frame)
    others = _opponent_panels(step, frame, texts)
    return MatchStep(
        text=text,
        picture=picture,
        refused=refused,
        candidates=candidates,
        scored=any(c.score != "–" for c in candidates),
        others=others,
        sentence=_sentence(index, chosen, others, frame, texts),
        reward=fixed(number(step.get("reward_got"))),
        total=fixed(total),
        exact=has_exact,
        cost=cost * frame.gamma**index,
    )


def _legal_row(step: dict[str, Any], key: str, size: int) -> list[float | None]:
    """Return a row of numbers with None for illegal actions."""
    legal = step.get("legal", [True] * size)
    fits = isinstance(legal, list) and len(legal) == size
    expect(fits, "legal", legal, f"{size} entries")
    row = row_of(step, key, size)
    return [v if ok else None for v, ok in zip(row, legal, strict=True)]


def _cost(step: dict[str, Any], frame: _Frame) -> tuple[bool, float]:
    """Return whether there is an exact Q, and what the action loses of it."""
    size = len(frame.actions)
    row = _legal_row(step, "exact", size)
    known = [q for q in row if q is not None]
    chosen = row[index_of(step.get("action"), size, "action")]
    return bool(known), 0.0 if chosen is None else max(known) - chosen


def _candidates(
    step: dict[str, Any], frame: _Frame
) -> tuple[list[Candidate], Candidate]:
    """Return all actions, and the chosen one."""
    size = len(frame.actions)
    action = index_of(step.get("action"), size, "action")
    scores, rewards, values, exact = (
        _legal_row(step, key, size)
        for key in ("scores", "reward", "value", "exact")
    )
    legal = step.get("legal", [True] * size)
    to_best, lost = _minus_best(scores), _minus_best(exact)
    rows = []
    for k, name in enumerate(frame.actions):
        candidate = Candidate(
            name=name,
            legal=bool(legal[k]),
            chosen=k == action,
            score=fixed(scores[k]),
            reward=fixed(rewards[k]),
            value=fixed(values[k]),
            behind=fixed(to_best[k]),
            exact=fixed(exact[k]),
            lost=fixed(lost[k]),
            best=lost[k] == 0,
            bar=_parts_bar(rewards[k], values[k], frame.span),
        )
        rows.append(candidate)
    return rows, rows[action]


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


def _opponent_panels(
    step: dict[str, Any], frame: _Frame, texts: Texts
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
        player = frame.players[seat]
        title = texts("player_at", seat=seat + 1, player=player)
        bars = _action_bars(frame.actions, probabilities, action)
        goals = _type_bars(frame.goals, types)
        panels.append(OpponentPanel(title, action == ABSENT, bars, goals))
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
    return [
        ProbabilityBar(name, fixed(p), False, share_bar(p, colour(g)))
        for g, (name, p) in enumerate(zip(names, probabilities, strict=True))
        if p is not None
    ]


def _sentence(
    index: int,
    chosen: Candidate,
    others: list[OpponentPanel],
    frame: _Frame,
    texts: Texts,
) -> str:
    sentences = [texts("say_step", step=index + 1, count=frame.count)]
    player = frame.players[frame.seat]
    sentences.append(choice_sentence(player, chosen, texts))
    for panel in others:
        if panel.left or any(bar.marked for bar in panel.actions):
            sentences.append(opponent_sentence(panel, texts))
    return texts("sentence_gap").join(sentences)


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
