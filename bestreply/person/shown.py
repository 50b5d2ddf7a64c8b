"""What the page is told of a sitting: everything that it shows, in words and safe pictures, as plain data."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bestreply.person.sitting import Sitting
from bestreply.report.picture import Refused, safe_svg
from bestreply.report.strips import colour, strip
from bestreply.report.texts import Texts, fixed
from bestreply.types import ABSENT

LIKELY = 3  # actions that are told of what an agent expects
WORTH_TELLING = 0.05  # the least probability of these


def show(
    sitting: Sitting, texts: Texts, *, goals: Sequence[str] = (), beliefs: bool = False
) -> dict[str, Any]:
    """The state of the game for the page.

    Args:
        goals: names of what agents' beliefs are about. beliefs: whether they are told at all.
    """
    text = sitting.game.text(sitting.obs, sitting.seat)
    return {
        "game": sitting.number,
        "step": sitting.step,
        "over": sitting.over,
        "legal": sitting.legal,
        "board": _board(sitting),
        "text": text,
        "said": _said(sitting, texts),
        "kept": _kept(sitting, texts),
        "beliefs": _beliefs(sitting, goals, texts) if beliefs else [],
        "legend": [[name, colour(g)] for g, name in enumerate(goals)] if beliefs and len(goals) > 1 else [],
    }


def _board(sitting: Sitting) -> str:
    """The picture as SVG markup from our short list of shapes; empty where it is not safe to show, and the text has to do."""
    try:
        return safe_svg(sitting.game.picture(sitting.obs, sitting.seat))
    except Refused:
        return ""


def _player(sitting: Sitting, seat: int, texts: Texts) -> str:
    name = texts("play_you") if seat == sitting.seat else sitting.names[seat]
    return texts("player_at", seat=seat + 1, player=name)


def _said(sitting: Sitting, texts: Texts) -> str:
    """What has just happened, and what is to be done, as one line to be read out."""
    said = []
    if not sitting.step:
        others = [
            _player(sitting, seat, texts) for seat in range(sitting.game.num_players) if seat != sitting.seat
        ]
        listed = texts("list_gap").join(others)
        said.append(texts("play_seat", seat=sitting.seat + 1, count=sitting.game.num_players, others=listed))
    else:
        said += _moves(sitting, texts)
    if sitting.over:
        said.append(_ending(sitting, texts))
    else:
        said.append(texts("play_ask", step=sitting.step + 1, count=sitting.game.max_steps))
    return texts("sentence_gap").join(said)


def _moves(sitting: Sitting, texts: Texts) -> list[str]:
    """What was done at the last step at which the person acted."""
    actions = np.array([log.action[0] for log in sitting.logs])
    own = np.flatnonzero(actions[:, sitting.seat] != ABSENT)
    if not len(own):
        return [texts("play_left")]
    at, names = int(own[-1]), sitting.game.action_names
    said = [texts("play_did", action=names[actions[at, sitting.seat]])]
    for seat, action in enumerate(actions[at].tolist()):
        if seat != sitting.seat and action != ABSENT:
            said.append(texts("say_did", player=_player(sitting, seat, texts), action=names[action]))
    rewards = sitting.rewards[:, sitting.seat]
    said.append(texts("play_reward", reward=fixed(rewards[at]), total=fixed(rewards.sum())))
    if at + 1 < sitting.step:
        said.append(texts("play_left"))
    return said


def _ending(sitting: Sitting, texts: Texts) -> str:
    totals = [
        texts("play_return", player=_player(sitting, seat, texts), total=fixed(total))
        for seat, total in enumerate(sitting.rewards.sum(0).tolist())
    ]
    return texts("play_over", steps=sitting.step, returns=texts("list_gap").join(totals))


def _kept(sitting: Sitting, texts: Texts) -> str:
    if sitting.trouble:
        return texts("play_not_kept", reason=sitting.trouble)
    return texts("play_kept", path=sitting.out, count=sitting.kept) if sitting.kept else ""


def _beliefs(sitting: Sitting, goals: Sequence[str], texts: Texts) -> list[dict[str, str]]:
    """Each agent's belief about the person over the game so far, and what it expects it to do now."""
    expected = sitting.expected()
    found = []
    for seat, rows in sorted(sitting.beliefs.items()):
        told: dict[str, str] = {"title": _player(sitting, seat, texts), "figure": "", "said": ""}
        if len(goals) > 1:
            nothing = [None] * len(rows)
            drawn = strip(told["title"], rows, nothing, nothing, goals, texts, sitting.game.max_steps)
            told |= {"figure": str(drawn.figure), "said": drawn.said}
        if seat in expected:
            told["expects"] = _expects(expected[seat], sitting.game.action_names, texts)
        found.append(told)
    return found


def _expects(probabilities: np.ndarray, names: Sequence[str], texts: Texts) -> str:
    order = np.argsort(-probabilities, kind="stable")[:LIKELY]
    likely = [
        texts("play_share", action=names[a], share=f"{100 * probabilities[a]:.0f}")
        for a in order
        if probabilities[a] >= WORTH_TELLING
    ]
    return texts("play_expects", actions=texts("list_gap").join(likely)) if likely else ""
