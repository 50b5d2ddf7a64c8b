"""The state of a session for its page: words and safe pictures, as plain data."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bestreply.analysis.frames import frame_of
from bestreply.games.pictures import image_picture
from bestreply.games.spaces import WAIT
from bestreply.interactive.session import Session
from bestreply.report.belief_strips import belief_strip, colour
from bestreply.report.safe_svg import UnsafePicture, safe_svg
from bestreply.report.texts import Texts, decimals_of, fixed
from bestreply.types import ABSENT

MAX_SIDE = 400
"""Pixels of the longer side of a picture that the game draws."""
MAX_EXPECTED = 3
"""Expected actions that are shown, at most."""
MIN_PROB = 0.05
"""Smallest probability that is shown."""


def show(
    session: Session,
    texts: Texts,
    *,
    goals: Sequence[str] = (),
    beliefs: bool = False,
) -> dict[str, Any]:
    """Return the state of the game for the page.

    Args:
        session: the session.
        texts: strings of the page's language.
        goals: names of the types that agents' beliefs are about.
        beliefs: show beliefs.

    Returns:
        Plain data, as `play.js` reads it.
    """
    text = session.game.text(session.obs, session.seat)
    return {
        "game": session.number,
        "step": session.step,
        "over": session.over,
        "legal": session.legal,
        "board": _board(session),
        "text": text,
        "said": _said(session, texts),
        "kept": _kept(session, texts),
        "beliefs": _beliefs(session, goals, texts) if beliefs else [],
        "legend": [[name, colour(g)] for g, name in enumerate(goals)]
        if beliefs and len(goals) > 1
        else [],
    }


def _board(session: Session) -> str:
    """Return the game's own picture, or that of the observation, as SVG of allowed shapes.

    It is empty where the picture is not safe.
    """
    pixels = frame_of(session.game, session.state)
    try:
        if pixels is not None:
            return safe_svg(image_picture(pixels, MAX_SIDE))
        return safe_svg(session.game.picture(session.obs, session.seat))
    except UnsafePicture:
        return ""


def _player(session: Session, seat: int, texts: Texts) -> str:
    name = texts("play_you") if seat == session.seat else session.names[seat]
    return texts("player_at", seat=seat + 1, player=name)


def _said(session: Session, texts: Texts) -> str:
    """Return the last events and the next step as one line for a screen reader."""
    said = []
    if not session.step:
        others = [
            _player(session, seat, texts)
            for seat in range(session.game.num_players)
            if seat != session.seat
        ]
        listed = texts("list_gap").join(others)
        said.append(
            texts(
                "play_seat",
                seat=session.seat + 1,
                count=session.game.num_players,
                others=listed,
            )
        )
    else:
        said += _moves(session, texts)
    if session.over:
        said.append(_ending(session, texts))
    else:
        said.append(
            texts(
                "play_ask", step=session.step + 1, count=session.game.max_steps
            )
        )
    return texts("sentence_gap").join(said)


def _moves(session: Session, texts: Texts) -> list[str]:
    """Return what each player did from the person's last decision on."""
    actions = np.array([log.action[0] for log in session.logs])
    own = np.flatnonzero(actions[:, session.seat] != ABSENT)
    if not len(own):
        return [texts("play_left")]
    at, names = int(own[-1]), session.game.action_names
    waits = [names[a] == WAIT for a in actions[own, session.seat].tolist()]
    moved = own[~np.array(waits)]
    first = int(moved[-1]) if len(moved) else int(own[0])
    said = []
    for t in range(first, at + 1):
        if names[own_action := actions[t, session.seat]] != WAIT:
            said.append(texts("play_did", action=names[own_action]))
        said += _others_moves(session, actions[t].tolist(), texts)
    rewards = session.rewards[:, session.seat]
    decimals = decimals_of(*rewards.tolist(), rewards.sum())
    said.append(
        texts(
            "play_reward",
            reward=fixed(rewards[first : at + 1].sum(), decimals),
            total=fixed(rewards.sum(), decimals),
        )
    )
    if at + 1 < session.step:
        said.append(texts("play_left"))
    return said


def _others_moves(
    session: Session, actions: Sequence[int], texts: Texts
) -> list[str]:
    """Return what each other player did at a step, those left out that had no move."""
    names = session.game.action_names
    return [
        texts(
            "say_did",
            player=_player(session, seat, texts),
            action=names[action],
        )
        for seat, action in enumerate(actions)
        if seat != session.seat and action != ABSENT and names[action] != WAIT
    ]


def _ending(session: Session, texts: Texts) -> str:
    sums = session.rewards.sum(0).tolist()
    totals = [
        texts(
            "play_return",
            player=_player(session, seat, texts),
            total=fixed(total, decimals_of(*sums)),
        )
        for seat, total in enumerate(sums)
    ]
    return texts(
        "play_over", steps=session.step, returns=texts("list_gap").join(totals)
    )


def _kept(session: Session, texts: Texts) -> str:
    if session.trouble:
        return texts("play_not_kept", reason=session.trouble)
    return (
        texts("play_kept", path=session.out, count=session.kept)
        if session.kept
        else ""
    )


def _beliefs(
    session: Session, goals: Sequence[str], texts: Texts
) -> list[dict[str, str]]:
    """Return each agent's belief about the person, step by step, and the actions it expects."""
    expected = session.expected()
    found = []
    for seat, rows in sorted(session.beliefs.items()):
        shown: dict[str, str] = {
            "title": _player(session, seat, texts),
            "figure": "",
            "said": "",
        }
        if len(goals) > 1:
            nothing = [None] * len(rows)
            drawn = belief_strip(
                shown["title"],
                rows,
                nothing,
                nothing,
                goals,
                texts,
                session.game.max_steps,
            )
            shown |= {"figure": str(drawn.figure), "said": drawn.words}
        if seat in expected:
            shown["expects"] = _expects(
                expected[seat], session.game.action_names, texts
            )
        found.append(shown)
    return found


def _expects(
    probabilities: np.ndarray, names: Sequence[str], texts: Texts
) -> str:
    order = np.argsort(-probabilities, kind="stable")[:MAX_EXPECTED]
    likely = [
        texts(
            "play_share", action=names[a], share=f"{100 * probabilities[a]:.0f}"
        )
        for a in order
        if probabilities[a] >= MIN_PROB
    ]
    return (
        texts("play_expects", actions=texts("list_gap").join(likely))
        if likely
        else ""
    )
