"""Matches of an agent against strategies of the package, all in lockstep."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from experiments.axelrod.game import DEFECT, Log, Player, Rules
from experiments.axelrod.pool import ACTIONS, axelrod, start


def play(
    player: Player,
    makers: Sequence[Callable[[], Any]],
    rules: Rules,
    seed: int,
) -> Log:
    """Play one match against each.

    Args:
        player: the agent.
        makers: of the strategies.
        rules: of the tournament.
        seed: of strategies, noise and lengths.
    """
    rng = np.random.default_rng(seed)
    length = rules.lengths(len(makers), rng)
    others = start(makers, rules, rng)
    seats = start([axelrod.Player] * len(makers), rules, rng)
    actions = np.full((len(makers), int(length.max()), 2), -1, np.int8)
    player.begin(len(makers), rules, seed)
    for t in range(actions.shape[1]):
        joint = np.zeros((len(makers), 2), np.int64)
        joint[:, 0] = player.act()
        live = np.flatnonzero(t < length)
        for b in live:
            joint[b, 1] = others[b].strategy(seats[b]) == ACTIONS[DEFECT]
        joint ^= rng.random(joint.shape) < rules.noise
        for b in live:
            mine, theirs = ACTIONS[joint[b, 0]], ACTIONS[joint[b, 1]]
            seats[b].update_history(mine, theirs)
            others[b].update_history(theirs, mine)
        actions[live, t] = joint[live]
        player.observe(joint[:, 0], joint[:, 1])
    return Log(actions, length)
