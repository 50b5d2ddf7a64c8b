"""Matches of an agent against strategies of the package, all in lockstep."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import axelrod
import numpy as np
from jaxtyping import Float, Int

from experiments.axelrod.pool import ACTIONS, DEFECT, PAYOFF, Rules, start


class Player(Protocol):
    """What plays many matches at once."""

    def begin(self, matches: int, rules: Rules, seed: int) -> None: ...

    def act(self) -> Int[np.ndarray, " B"]: ...

    def observe(
        self, mine: Int[np.ndarray, " B"], theirs: Int[np.ndarray, " B"]
    ) -> None: ...


@dataclasses.dataclass(frozen=True)
class Log:
    """Played matches.

    Attributes:
        actions: of both, as they were carried out: 0 cooperates, 1 defects, -1 after the end.
        length: number of turns of each match.
    """

    actions: Int[np.ndarray, "B T 2"]
    length: Int[np.ndarray, " B"]

    @property
    def rewards(self) -> Float[np.ndarray, "B T"]:
        """The first player's."""
        mine, theirs = self.actions[..., 0], self.actions[..., 1]
        return np.where(mine < 0, 0.0, PAYOFF[mine, theirs])

    @property
    def scores(self) -> Float[np.ndarray, " B"]:
        """The first player's, per turn."""
        return self.rewards.sum(1) / self.length

    @property
    def opponents(self) -> Float[np.ndarray, " B"]:
        """The strategies' scores per turn."""
        return dataclasses.replace(self, actions=self.actions[..., ::-1]).scores

    @property
    def cooperation(self) -> float:
        """Share of the first player's turns in which it cooperates."""
        mine = self.actions[..., 0]
        return float((mine == 0).sum() / (mine >= 0).sum())


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
