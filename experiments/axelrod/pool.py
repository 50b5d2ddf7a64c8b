"""The strategies of the package `axelrod` that entered the published tournaments, and their rules."""

import dataclasses
import math
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import axelrod

COOPERATE, DEFECT = 0, 1
PAYOFF: Float[np.ndarray, "2 2"] = np.array([[3.0, 0.0], [5.0, 1.0]])
"""The row player's, by its own action and the column player's."""
NEWER = ("Burn Both Ends", "CAPRI", "Evolved FSM 6", "SpitefulCC")
"""Strategies of the package that the published tables do not have."""
TEAM = (
    "EvolvedHMM5",
    "EvolvedLookerUp2_2_2",
    "EvolvedFSM16",
    "EvolvedANN5",
    "PSOGambler2_2_2",
    "FoolMeOnce",
    "DoubleCrosser",
    "Gradual",
)
"""Of the one team that entered beside the package's own strategies."""
TURNS, HORIZON = 200, 60
ACTIONS = (axelrod.Action.C, axelrod.Action.D)


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


def _parametrised() -> list[Callable[[], Any]]:
    makers: list[Callable[[], Any]] = []
    for p in (0.1, 0.3, 0.7, 0.9):
        makers.append(lambda p=p: axelrod.Random(p))
        makers.append(lambda p=p: axelrod.GTFT(p))
    team = [getattr(axelrod, name) for name in TEAM]
    return [*makers, lambda: axelrod.MetaWinner(team=team)]


def pool() -> dict[str, Callable[[], Any]]:
    """Return makers of the strategies by name, without those that run long."""
    slow = {*axelrod.long_run_time_strategies}
    makers: list[Callable[[], Any]] = [
        s for s in axelrod.strategies if s not in slow
    ]
    makers += _parametrised()
    named = {str(maker()): maker for maker in makers}
    return {n: m for n, m in named.items() if n not in NEWER}


def published_name(name: str) -> str:
    """Return the name of a strategy in the published tables: teams of all players of a kind were one or more smaller then."""
    return re.sub(r"^((?:Meta|NMWE) .* Memory One): 37 ", r"\1: 36 ", name)


def start(
    makers: Sequence[Callable[[], Any]], rules: Rules, rng: np.random.Generator
) -> list[Any]:
    """Make players for one match each, seeded, and told the rules."""
    players = []
    for maker in makers:
        player = maker()
        player.set_match_attributes(
            length=rules.turns, game=axelrod.DefaultGame, noise=rules.noise
        )
        player.set_seed(int(rng.integers(2**31)))
        players.append(player)
    return players
