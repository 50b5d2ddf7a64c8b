"""Makes a match of `matches.json` ready to be drawn step by step.

Everything is checked against the shapes of docs/files.md first: A actions, G goals, N-1 others in ego-first
order. A match that does not fit is left out with the reason.
"""

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bestreply.report.checks import ABSENT, board, place_of, row_of, rows_of, strings, want
from bestreply.report.figures import el, share_bar
from bestreply.report.read import number
from bestreply.report.texts import Texts, fixed

MAX_STEPS_SHOWN = 1000  # of all matches together, to keep the page openable


@dataclass(frozen=True)
class Candidate:
    name: str
    legal: bool
    chosen: bool
    score: str
    reward: str
    value: str
    behind: str  # score less the best legal score
    bar: Markup


@dataclass(frozen=True)
class Bar:
    name: str
    text: str
    marked: bool
    bar: Markup


@dataclass(frozen=True)
class Other:
    title: str
    left: bool
    actions: list[Bar]
    goals: list[Bar]


@dataclass(frozen=True)
class Step:
    text: str
    picture: Markup | None
    refused: str  # why the picture is not shown; empty where it is, or where there is none
    candidates: list[Candidate]
    scored: bool
    others: list[Other]
    sentence: str
    reward: str
    total: str


@dataclass(frozen=True)
class Match:
    title: str
    steps: list[Step]


def read_matches(documents: list[Any], texts: Texts) -> tuple[list[Match], list[str]]:
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
            left_out.append(texts("match_many", count=len(documents) - index, limit=f"{MAX_STEPS_SHOWN:,}"))
            break
        matches.append(match)
    return matches, left_out


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


def _match(document: Any, texts: Texts) -> Match:
    want(isinstance(document, dict), "a match wants to be an object", document)
    players, actions = strings(document, "players"), strings(document, "actions")
    goals = strings(document, "goals", empty=True)
    seat = place_of(document.get("seat"), len(players), "seat")
    raw = document.get("steps")
    want(
        isinstance(raw, list) and bool(raw) and all(isinstance(s, dict) for s in raw),
        "steps wants a list of objects",
        raw,
    )
    frame = _Frame(players, actions, goals, seat, _span(raw, len(actions)), len(raw))
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
    return Match(title, steps)


def _span(steps: list[dict[str, Any]], size: int) -> tuple[float, float]:
    """Least and greatest end of any candidate's bar: one scale for a match makes its steps comparable."""
    low = high = 0.0
    for step in steps:
        for r, v in zip(row_of(step, "reward", size), row_of(step, "value", size), strict=True):
            parts = [r or 0.0, v or 0.0]
            low = min(low, sum(p for p in parts if p < 0))
            high = max(high, sum(p for p in parts if p > 0))
    return (low, high) if high > low else (0.0, 1.0)


def _step(step: dict[str, Any], index: int, total: float, frame: _Frame, texts: Texts) -> Step:
    picture, text, refused = board(step)
    candidates, chosen = _candidates(step, frame)
    others = _others(step, frame, texts)
    return Step(
        text=text,
        picture=picture,
        refused=refused,
        candidates=candidates,
        scored=any(c.score != "–" for c in candidates),
        others=others,
        sentence=_sentence(index, chosen, others, frame, texts),
        reward=fixed(number(step.get("reward_got"))),
        total=fixed(total),
    )


def _candidates(step: dict[str, Any], frame: _Frame) -> tuple[list[Candidate], Candidate]:
    size = len(frame.actions)
    scores, rewards, values = (row_of(step, key, size) for key in ("scores", "reward", "value"))
    action = place_of(step.get("action"), size, "action")
    legal = step.get("legal", [True] * size)
    want(isinstance(legal, list) and len(legal) == size, f"legal wants {size} entries", legal)
    best = max((s for s, ok in zip(scores, legal, strict=True) if ok and s is not None), default=None)
    rows = []
    for k, name in enumerate(frame.actions):
        score, r, v = (row[k] if legal[k] else None for row in (scores, rewards, values))
        behind = None if score is None or best is None else score - best
        bar = _parts_bar(r, v, frame.span)
        rows.append(Candidate(name, bool(legal[k]), k == action, *map(fixed, (score, r, v, behind)), bar=bar))
    return rows, rows[action]


def _parts_bar(reward: float | None, value: float | None, span: tuple[float, float]) -> Markup:
    """Reward part, then value part: to the right of zero if positive, to the left if negative."""
    scale = 100 / (span[1] - span[0])
    zero = -span[0] * scale
    parts, ends = [], {True: zero, False: zero}
    for style, part in (("reward", reward), ("value", value)):
        if part:
            width = abs(part) * scale
            start = ends[part > 0] if part > 0 else ends[False] - width
            ends[part > 0] += width if part > 0 else -width
            parts.append(el("rect", class_=style, x=f"{start:.1f}%", width=f"{width:.1f}%", height="100%"))
    parts.append(el("rect", class_="zero", x=f"{min(zero, 99.0):.1f}%", width=1, height="100%"))
    return el("svg", *parts, class_="hbar", aria_hidden="true")


def _others(step: dict[str, Any], frame: _Frame, texts: Texts) -> list[Other]:
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
        did = None if actual is None else place_of(actual[k], size, "actual", ABSENT)
        bars = [
            Bar(name, fixed(p), a == did, share_bar(p, "actual" if a == did else "guess"))
            for a, (name, p) in enumerate(zip(frame.actions, predicted[k], strict=True))
        ]
        goals = [
            Bar(name, fixed(p), False, share_bar(p, "belief"))
            for name, p in zip(frame.goals, belief[k], strict=True)
            if p is not None
        ]
        title = texts("player_at", seat=seat + 1, player=frame.players[seat])
        others.append(Other(title, did == ABSENT, bars, goals))
    return others


def _sentence(index: int, chosen: Candidate, others: list[Other], frame: _Frame, texts: Texts) -> str:
    said = [texts("say_step", step=index + 1, count=frame.count)]
    key = "say_chose" if chosen.score != "–" else "say_did"
    said.append(texts(key, player=frame.players[frame.seat], action=chosen.name, score=chosen.score))
    for other in others:
        did = next((b for b in other.actions if b.marked), None)
        if other.left:
            said.append(texts("say_left", player=other.title))
        elif did:
            key = "say_other" if did.text != "–" else "say_did"
            said.append(texts(key, player=other.title, action=did.name, probability=did.text))
    return texts("sentence_gap").join(said)
