"""The repeated prisoner's dilemma: its payoffs, the rules of tournaments, and logs of matches."""

import dataclasses
import math
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int

COOPERATE, DEFECT = 0, 1
PAYOFF: Float[np.ndarray, "2 2"] = np.array([[3.0, 0.0], [5.0, 1.0]])
"""The row player's, by its own action and the column player's."""
TURNS, HORIZON = 200, 60


@dataclasses.dataclass(frozen=True)
class Rules:
    """Rules of a tournament, as its players know them.

    Attributes:
        noise: probability that an action is flipped, each player's independently.
        prob_end: probability that a match ends after a turn; 0: it has `TURNS` turns.
    """

    noise: float = 0.0
    prob_end: float = 0.0

    @property
    def weights(self) -> Float[np.ndarray, " T"]:
        """What a turn's reward counts for in the score, which is the mean over matches of the reward per turn.

        With a drawn length L: the sum over l >= t of P(L = l) / l. Turns beyond `HORIZON` are left out.
        """
        if not self.prob_end:
            return np.full(TURNS, 1 / TURNS)
        length = np.arange(1, 10 * HORIZON)
        each = self.prob_end * (1 - self.prob_end) ** (length - 1) / length
        return each[::-1].cumsum()[::-1][:HORIZON]

    @property
    def turns(self) -> float:
        """Number of turns that players know of; infinity where it is drawn."""
        return math.inf if self.prob_end else TURNS

    def lengths(self, matches: int, rng: np.random.Generator) -> np.ndarray:
        """Draw the number of turns of each match."""
        if not self.prob_end:
            return np.full(matches, TURNS)
        return rng.geometric(self.prob_end, matches)


TOURNAMENTS = {
    "standard": Rules(),
    "noise": Rules(noise=0.05),
    "prob_end": Rules(prob_end=0.1),
}


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
