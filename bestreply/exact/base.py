"""The interface of exact best replies: values of every position and step, whatever the solver."""

import abc
import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from bestreply.games.base import Game
from bestreply.types import ABSENT, Array, Episodes


class Decisions(NamedTuple):
    """V* and Q* at every logged step; NaN where the seat did not act."""

    value: np.ndarray
    """[E, T] float64, V*: the best reply's expected return from the step on."""
    q: np.ndarray
    """[E, T, A] float64, Q*: the same after each action; -inf for illegal actions."""

    def regret(self, action: Int[Array, "E T"]) -> np.ndarray:
        """Return V* - Q*(a), the return that each action gave up.

        Args:
            action: [E, T] int, ABSENT where the seat did not act.

        Returns:
            [E, T] float64; 0 where the seat did not act.
        """
        action = np.asarray(action)
        index = np.maximum(action, 0)[..., None]
        taken = np.take_along_axis(self.q, index, 2)[..., 0]
        regret = np.nan_to_num(self.value - taken)
        return np.where(action == ABSENT, 0.0, regret)

    def lost(self, action: Int[Array, "E T"], gamma: float) -> np.ndarray:
        """Return sum_t gamma^t (V* - Q*(a_t)), the discounted return that the actions gave up.

        Its expectation is the best reply's discounted return minus that of the player that
        chose `action`, without the variance of the opponents' moves.

        Args:
            action: [E, T] int, ABSENT where the seat did not act.
            gamma: discount per step.

        Returns:
            [E] float64.
        """
        regret = self.regret(action)
        return (regret * gamma ** np.arange(regret.shape[1])).sum(1)

    def share(self, action: Int[Array, "E T"], gamma: float) -> float:
        """Return 1 - E[lost] / E[V*(s_0)], the fraction of the best reply's discounted return.

        It estimates the quotient of the two returns with a fraction of its variance.

        Args:
            action: [E, T] int, ABSENT where the seat did not act.
            gamma: discount per step.

        Returns:
            A fraction, at most 1.

        Raises:
            ValueError: the seat does not act in the first step, or V*(s_0) is not positive.
        """
        best = float(self.value[:, 0].mean())
        if not best > 0:
            raise ValueError(
                f"value of the best reply at the first step={best:g}: expected more than 0, in "
                "play in which the seat acts at that step (`lost` is defined in any case)"
            )
        return 1 - float(self.lost(action, gamma).mean()) / best


@dataclasses.dataclass(frozen=True, eq=False)
class BestReply(abc.ABC):
    """The exact best reply of a seat to fixed players that give their action distributions.

    It observes the state (in a game that hides something, what its own player observes), but
    not the other players' hidden modes: the player that a mixture drew, and whether a switch
    has occurred. With ``know="types"`` it is given these modes at
    every step, so that no reply earns more. With ``know="belief"`` it knows their prior and
    infers them from play.
    """

    game: Game
    seat: int
    others: tuple[str, ...]
    gamma: float
    know: str  # "types" or "belief"
    kind: str  # "exact" or "upper bound"
    value: float  # expected discounted return from the first states
    stderr: float  # of `value`; 0 where every first state is counted

    @abc.abstractmethod
    def decisions(
        self,
        episodes: Episodes,
        seats: Int[Array, " E"] | None = None,
        modes: Int[Array, "E T others"] | None = None,
    ) -> Decisions:
        """Return V* and Q* at every step of logged play against these players.

        Args:
            episodes: play of this game.
            seats: [E] int, the focal seat of each episode; by default `seat` in all.
            modes: [E, T, N-1] int, the mode of each other player at each step
                (`Played.modes`); required with ``know="types"`` if a player has several.

        Returns:
            Values of the focal seat's decisions.

        Raises:
            ValueError: `modes` is required and not given.
        """

    def _joint_mode(
        self, shape: tuple[int, ...], sizes: Sequence[int], modes: Array | None
    ) -> np.ndarray:
        """Return the index [E, T] of the joint mode; that of the first player changes slowest.

        `sizes` holds the number of modes of each other player.
        """
        if max(sizes, default=1) == 1:
            return np.zeros(shape, int)
        if modes is None:
            raise ValueError(
                f"modes=None with {', '.join(self.others)}, whose modes are hidden: expected "
                "know='belief', one plain player per seat (`collect` logs the player that a "
                "mixture drew: solve for each of them), or `modes` from `Played.modes`"
            )
        by_player = np.moveaxis(np.maximum(np.asarray(modes), 0), -1, 0)
        return np.asarray(np.ravel_multi_index(tuple(by_player), tuple(sizes)))
