"""Makes a match of `matches.json` ready to be drawn step by step.

Everything is checked against the shapes of docs/files.md first: A actions, G goals, N-1 others in ego-first
order. A match that does not fit is left out with the reason.
"""

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bestreply.report.belief_strips import Strip, colour, strip
from bestreply.report.checks import (
    ABSENT,
    board,
    place_of,
    row_of,
    rows_of,
    strings,
    want,
)
from bestreply.report.run_files import number
from bestreply.report.svg import el, share_bar
from bestreply.report.texts import Texts, fixed

MAX_STEPS_SHOWN = 1000  # of all matches together, to keep the page openable
MAX_COSTLIEST = 8  # decisions to jump to
MIN_COST = 0.005  # least cost of these; less is shown as 0.00


@dataclass(frozen=True)
class Candidate:
    name: str
    legal: bool
    chosen: bool
    score: str
    reward: str
    value: str
    behind: str  # score less the best legal score
    exact: str  # Q*
    lost: str  # Q* less the best Q*
    best: bool  # of the highest Q*
    bar: Markup


@dataclass(frozen=True)
class ProbabilityBar:
    name: str
    text: str
    marked: bool
    bar: Markup


@dataclass(frozen=True)
class OpponentPanel:
    title: str
    left: bool
    actions: list[ProbabilityBar]
    goals: list[ProbabilityBar]


@dataclass(frozen=True)
class MatchStep:
    text: str
    picture: Markup | None
    refused: str  # why the picture is not shown; empty where it is, or where there is none
    candidates: list[Candidate]
    scored: bool
    others: list[OpponentPanel]
    sentence: str
    reward: str
    total: str
    exact: bool  # whether there is a Q* to be shown
    cost: float  # return given up, discounted to the match's start; 0 where that is not known


@dataclass(frozen=True)
class Match:
    title: str
    steps: list[MatchStep]
    strips: list[Strip]  # belief over time, of each other player
    legend: list[tuple[str, str]]  # goals and their colours
    note: str  # what the exact Q is, or why there is none; empty where none was asked for


@dataclass(frozen=True)
class DecisionLink:
    """A costly decision, and where it is."""

    match: int
    step: int
    text: str


def read_matches(
    documents: list[Any], texts: Texts
) -> tuple[list[Match], list[str]]:
    """The matches that fit, and what was left out and why."""
    matches, left_out, shown = [], [], 0
    for index, document in enumerate(documents):
        try:
            match = _match(document, texts)
        except ValueError as error:
            left_out.append(texts("match_bad", number=index + 1, reason=error))
            continue
        shown += len(match.steps)
        if shown > MAX_STEPS_SHOWN:
            left_out.append(
                texts(
                    "match_many",
                    count=len(documents) - index,
                    limit=f"{MAX_STEPS_SHOWN:,}",
                )
            )
            break
        matches.append(match)
    return matches, left_out


def costliest(matches: list[Match], texts: Texts) -> list[DecisionLink]:
    """The decisions that gave up most, the most costly first; none where no exact Q is known."""
    found = [
        (s.cost, m, t)
        for m, match in enumerate(matches)
        for t, s in enumerate(match.steps)
    ]
    found = sorted(
        (f for f in found if f[0] >= MIN_COST),
        key=lambda f: (-f[0], *f[1:]),
    )
    key = "jump_in_match" if len(matches) > 1 else "jump"
    return [
        DecisionLink(
            m, t, texts(key, match=m + 1, step=t + 1, cost=fixed(cost))
        )
        for cost, m, t in found[:MAX_COSTLIEST]
    ]


# -- a match ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Frame:
    """What all steps of a match share."""

    players: list[str]
    actions: list[str]
    goals: list[str]
    seat: int
    span: tuple[float, float]  # of the bars of the candidates
    count: int
    gamma: float


def _match(document: Any, texts: Texts) -> Match:
    want(isinstance(document, dict), "a match wants to be an object", document)
    players, actions = (
        strings(document, "players"),
        strings(document, "actions"),
    )
    goals = strings(document, "goals", empty=True)
    seat = place_of(document.get("seat"), len(players), "seat")
    raw = document.get("steps")
    want(
        isinstance(raw, list)
        and bool(raw)
        and all(isinstance(s, dict) for s in raw),
        "steps wants a list of objects",
        raw,
    )
    gamma = number(document.get("gamma"))
    gamma = 1.0 if gamma is None or not 0 <= gamma <= 1 else gamma
    frame = _Frame(
        players, actions, goals, seat, _span(raw, len(actions)), len(raw), gamma
    )
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
        seat=seat + 1,
        value=fixed(number(document.get("return"))),
    )
    strips = _strips(raw, frame, texts)
    legend = (
        [(name, colour(g)) for g, name in enumerate(goals)] if strips else []
    )
    return Match(title, steps, strips, legend, _exact_note(document, texts))


def _exact_note(document: dict[str, Any], texts: Texts) -> str:
    if document.get("kind") in ("exact", "upper bound"):
        return texts("exact_is")
    if "missing" not in document:
        return ""
    missing = str(document["missing"])
    key = (
        missing if missing in ("too_large", "no_distribution") else "not_solved"
    )
    reason = str(document.get("reason", ""))
    return texts(
        f"exact_{key}", reason=texts("reason", reason=reason) if reason else ""
    )


def _strips(
    raw: list[dict[str, Any]], frame: _Frame, texts: Texts
) -> list[Strip]:
    """Belief over time about each other player, up to the step at which it is gone; none where it is of one goal only, or not logged."""
    seats = [s for s in range(len(frame.players)) if s != frame.seat]
    size = len(frame.goals)
    if size < 2 or not any(step.get("belief") for step in raw):
        return []
    found = []
    for k, seat in enumerate(seats):
        rows, truth, who = [], [], []
        for index, step in enumerate(raw):
            actual = step.get("actual") or [0] * len(seats)
            if actual[k] == ABSENT:
                break
            rows.append(rows_of(step, "belief", len(seats), size)[k])
            try:
                truth.append(_truth(step, "truth", k, len(seats), size))
            except ValueError as error:
                raise ValueError(f"step {index}: {error}") from None
            who.append(_name(step, k, len(seats)))
        if rows:
            title = texts(
                "player_at", seat=seat + 1, player=frame.players[seat]
            )
            found.append(
                strip(title, rows, truth, who, frame.goals, texts, frame.count)
            )
    return found


def _truth(
    step: dict[str, Any], key: str, place: int, count: int, size: int
) -> int | None:
    value = step.get(key)
    if value is None:
        return None
    want(
        isinstance(value, list) and len(value) == count,
        f"{key} wants {count} entries",
        value,
    )
    return None if value[place] is None else place_of(value[place], size, key)


def _name(step: dict[str, Any], place: int, count: int) -> str | None:
    value = step.get("who")
    if value is None:
        return None
    fits = (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(v, str) for v in value)
    )
    want(fits, f"who wants {count} names", value)
    return value[place]


def _span(steps: list[dict[str, Any]], size: int) -> tuple[float, float]:
    """Least and greatest end of any candidate's bar: one scale for a match makes its steps comparable."""
    low = high = 0.0
    for step in steps:
        for r, v in zip(
            row_of(step, "reward", size),
            row_of(step, "value", size),
            strict=True,
        ):
            parts = [r or 0.0, v or 0.0]
            low = min(low, sum(p for p in parts if p < 0))
            high = max(high, sum(p for p in parts if p > 0))
    return (low, high) if high > low else (0.0, 1.0)


def _step(
    step: dict[str, Any], index: int, total: float, frame: _Frame, texts: Texts
) -> MatchStep:
    picture, text, refused = board(step)
    candidates, chosen = _candidates(step, frame)
    exact, cost = _cost(step, frame)
    others = _others(step, frame, texts)
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
        exact=exact,
        cost=cost * frame.gamma**index,
    )


def _cost(step: dict[str, Any], frame: _Frame) -> tuple[bool, float]:
    """Whether there is an exact Q, and what the action gave up of it."""
    size = len(frame.actions)
    legal = step.get("legal", [True] * size)
    row = [
        q if ok else None
        for q, ok in zip(row_of(step, "exact", size), legal, strict=True)
    ]
    known = [q for q in row if q is not None]
    taken = row[place_of(step.get("action"), size, "action")]
    return bool(known), 0.0 if taken is None else max(known) - taken


def _candidates(
    step: dict[str, Any], frame: _Frame
) -> tuple[list[Candidate], Candidate]:
    size = len(frame.actions)
    scores, rewards, values = (
        row_of(step, key, size) for key in ("scores", "reward", "value")
    )
    action = place_of(step.get("action"), size, "action")
    legal = step.get("legal", [True] * size)
    want(
        isinstance(legal, list) and len(legal) == size,
        f"legal wants {size} entries",
        legal,
    )
    best = max(
        (
            s
            for s, ok in zip(scores, legal, strict=True)
            if ok and s is not None
        ),
        default=None,
    )
    exact = row_of(step, "exact", size)
    top = max(
        (q for q, ok in zip(exact, legal, strict=True) if ok and q is not None),
        default=None,
    )
    rows = []
    for k, name in enumerate(frame.actions):
        score, r, v, q = (
            row[k] if legal[k] else None
            for row in (scores, rewards, values, exact)
        )
        behind = None if score is None or best is None else score - best
        lost = None if q is None or top is None else q - top
        told = map(fixed, (score, r, v, behind, q, lost))
        bar = _parts_bar(r, v, frame.span)
        rows.append(
            Candidate(
                name,
                bool(legal[k]),
                k == action,
                *told,
                best=lost == 0,
                bar=bar,
            )
        )
    return rows, rows[action]


def _parts_bar(
    reward: float | None, value: float | None, span: tuple[float, float]
) -> Markup:
    """Reward part, then value part: to the right of zero if positive, to the left if negative."""
    scale = 100 / (span[1] - span[0])
    zero = -span[0] * scale
    parts, ends = [], {True: zero, False: zero}
    for style, part in (("reward", reward), ("value", value)):
        if part:
            width = abs(part) * scale
            start = ends[part > 0] if part > 0 else ends[False] - width
            ends[part > 0] += width if part > 0 else -width
            parts.append(
                el(
                    "rect",
                    class_=style,
                    x=f"{start:.1f}%",
                    width=f"{width:.1f}%",
                    height="100%",
                )
            )
    parts.append(
        el(
            "rect",
            class_="zero",
            x=f"{min(zero, 99.0):.1f}%",
            width=1,
            height="100%",
        )
    )
    return el("svg", *parts, class_="hbar", aria_hidden="true")


def _others(
    step: dict[str, Any], frame: _Frame, texts: Texts
) -> list[OpponentPanel]:
    seats = [s for s in range(len(frame.players)) if s != frame.seat]
    size = len(frame.actions)
    predicted = rows_of(step, "predicted", len(seats), size)
    belief = rows_of(step, "belief", len(seats), len(frame.goals))
    actual = step.get("actual")
    if actual is not None:
        want(
            isinstance(actual, list) and len(actual) == len(seats),
            f"actual wants {len(seats)} entries",
            actual,
        )
    others = []
    for k, seat in enumerate(seats):
        did = (
            None
            if actual is None
            else place_of(actual[k], size, "actual", ABSENT)
        )
        bars = [
            ProbabilityBar(
                name,
                fixed(p),
                a == did,
                share_bar(p, "actual" if a == did else "guess"),
            )
            for a, (name, p) in enumerate(
                zip(frame.actions, predicted[k], strict=True)
            )
        ]
        goals = [
            ProbabilityBar(name, fixed(p), False, share_bar(p, colour(g)))
            for g, (name, p) in enumerate(
                zip(frame.goals, belief[k], strict=True)
            )
            if p is not None
        ]
        title = texts("player_at", seat=seat + 1, player=frame.players[seat])
        others.append(OpponentPanel(title, did == ABSENT, bars, goals))
    return others


def _sentence(
    index: int,
    chosen: Candidate,
    others: list[OpponentPanel],
    frame: _Frame,
    texts: Texts,
) -> str:
    said = [texts("say_step", step=index + 1, count=frame.count)]
    key = "say_chose" if chosen.score != "–" else "say_did"
    said.append(
        texts(
            key,
            player=frame.players[frame.seat],
            action=chosen.name,
            score=chosen.score,
        )
    )
    for other in others:
        did = next((b for b in other.actions if b.marked), None)
        if other.left:
            said.append(texts("say_left", player=other.title))
        elif did:
            key = "say_other" if did.text != "–" else "say_did"
            said.append(
                texts(
                    key,
                    player=other.title,
                    action=did.name,
                    probability=did.text,
                )
            )
    return texts("sentence_gap").join(said)
