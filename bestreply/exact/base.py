"""What an exact best reply is: values of every position and time, whoever computed them."""

import abc
import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bestreply.games.base import Game
from bestreply.types import ABSENT, Array, Episodes


class Decisions(NamedTuple):
    """What each logged step was worth. NaN where the seat did not act."""

    value: (
        np.ndarray
    )  # [E, T] float64, V*: what the best reply would have had from there on
    q: np.ndarray  # [E, T, A] float64, Q*: the same after each action; -inf for illegal ones

    def regret(self, action: Array) -> np.ndarray:
        """[E, T] float64: V* - Q*(a), what each of `action` [E, T] gave away; 0 where the seat did not act."""
        action = np.asarray(action)
        taken = np.take_along_axis(self.q, np.maximum(action, 0)[..., None], 2)[
            ..., 0
        ]
        return np.where(
            action == ABSENT, 0.0, np.nan_to_num(self.value - taken)
        )

    def lost(self, action: Array, gamma: float) -> np.ndarray:
        """[E] float64: sum_t gamma^t (V* - Q*(a_t)), the discounted return that the choices `action` [E, T] gave away.

        In expectation what the best reply has more than whoever chose them, without the luck of the others' moves.
        """
        regret = self.regret(action)
        return (regret * gamma ** np.arange(regret.shape[1])).sum(1)

    def share(self, action: Array, gamma: float) -> float:
        """1 - E[lost] / E[V*(s_0)]: what whoever chose `action` [E, T] has of the best reply's discounted return.

        Of the same expectation as a quotient of returns, and of a fraction of its variance. Raises ValueError where the seat does not
        act in the first step, or the best reply is worth nothing.
        """
        worth = float(self.value[:, 0].mean())
        if not worth > 0:
            raise ValueError(
                f"the best reply is worth {worth:g} at the first step; expected: play in which the seat acts then, and more than 0 "
                "(`lost` is there in any case)"
            )
        return 1 - float(self.lost(action, gamma).mean()) / worth


@dataclasses.dataclass(frozen=True, eq=False)
class BestReply(abc.ABC):
    """The exact best reply of a seat to fixed others, who give their action distributions.

    It sees everything but the others' hidden modes: who a mixture drew, whether a switch has happened. With ``know="types"`` it is
    told these too, at every moment: nobody can do better. With ``know="belief"`` it knows the prior and what play has shown.
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
        seats: Array | None = None,
        modes: Array | None = None,
    ) -> Decisions:
        """V* and Q* at every step of logged play against these others.

        Args:
            episodes: play of this game; seats: [E] int, who is the focal player in each episode; by default always `seat`.
            modes: [E, T, N-1] int, which of its modes each other was in at each step, of play that tells them (`Played.modes`):
                wanted where ``know="types"`` and somebody has more than one, of no account otherwise.

        Raises ValueError where modes are wanted and not given.
        """

    def _joint_mode(
        self, shape: tuple[int, ...], sizes: Sequence[int], modes: Array | None
    ) -> np.ndarray:
        """[E, T] int, the number of the others' joint mode, the first other's changing slowest; `sizes`: how many modes each has."""
        if max(sizes, default=1) == 1:
            return np.zeros(shape, int)
        if modes is None:
            raise ValueError(
                f"{', '.join(self.others)}: their modes are hidden and not logged; expected: know='belief', one plain player for each "
                "seat (`collect` logs whom a mixture drew: solve for each of them), or `modes`"
            )
        each = np.moveaxis(np.maximum(np.asarray(modes), 0), -1, 0)
        return np.asarray(np.ravel_multi_index(tuple(each), tuple(sizes)))
