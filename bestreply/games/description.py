"""What a game tells of itself: sizes, names, seats, and what an observation holds."""

import abc
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, PyTree, Shaped

from bestreply.games.pictures import observation_picture, text_picture
from bestreply.types import Array

MAX_NUMBERS = 400
"""Entries of an image, or of planes, up to which its text has them all."""


class Symmetries(NamedTuple):
    """`S` symmetries of a game in a seat's view; the first is the identity."""

    obs: np.ndarray  # [S, D] int32: new flat entry d is old entry obs[s, d]
    action: np.ndarray  # [S, A] int32: action a becomes action[s, a]
    others: np.ndarray  # [S, N-1] int32: new other seat j is old others[s, j]


class Description(abc.ABC):
    """What `Game` and `HostEnv` share: everything but the rules."""

    name: ClassVar[str]
    version: ClassVar[int]
    """Changes whenever the same settings and key would play differently."""
    summary: ClassVar[str]
    """One line for `bestreply games`."""

    # -- sizes and names -----------------------------------------------------

    @property
    @abc.abstractmethod
    def num_players(self) -> int: ...

    @property
    @abc.abstractmethod
    def action_names(self) -> tuple[str, ...]: ...

    @property
    @abc.abstractmethod
    def obs_shape(self) -> tuple[int, ...]: ...

    max_steps: int  # the step limit of an episode

    @property
    def num_actions(self) -> int:
        return len(self.action_names)

    # -- seats that differ ---------------------------------------------------

    @property
    def roles(self) -> tuple[str, ...]:
        """The role of each seat; seats of one role have equal shapes, actions and aims."""
        return ("player",) * self.num_players

    @property
    def seat_actions(self) -> tuple[int, ...]:
        """The number of actions of each seat: its first ones are those it has.

        The largest is `num_actions`. The masks of a seat are False at all others.
        """
        return (self.num_actions,) * self.num_players

    seat_names: tuple[str, ...] = ()
    """The name of the agent in each seat, where they have names of their own; tables
    of play can hold them."""

    @property
    def homogeneous(self) -> bool:
        """Whether all seats have one role and the same actions."""
        return len(set(self.roles)) == 1 == len(set(self.seat_actions))

    def seat_in(self, obs: Shaped[Array, "..."]) -> Int[Array, "..."] | None:
        """Return the seat that has an observation; games whose seats differ override it.

        Args:
            obs: [..., *obs_shape] observations.

        Returns:
            [...] int32 seats; None if observations do not tell.
        """
        return None

    @property
    def perfect_information(self) -> bool:
        """Whether what a seat observes, and all actions so far, determine the state.

        False where something is hidden from a seat, such as the cards of others:
        exact best replies then decide by information set (`bestreply.exact`).
        """
        return True

    # -- names, kinds of entries ---------------------------------------------

    @property
    def obs_dtype(self) -> np.dtype:
        """Type of an observation's entries; data keep it on disk and in memory."""
        return np.dtype(np.float32)

    @property
    def goals(self) -> tuple[str, ...]:
        """The goals that a player can pursue, ending in "none"."""
        return ("none",)

    @property
    def planes(self) -> tuple[str, ...]:
        """Names along the last axis of an observation made of planes, else empty.

        The first `num_players` are the players', ego-first: "self", then the other
        seats in seat order.
        """
        return ()

    @property
    def binary(self) -> np.ndarray:
        """[*obs_shape] bool: the entries of an observation that are 0 or 1."""
        return np.zeros(self.obs_shape, bool)

    @property
    def symmetric(self) -> bool:
        """Whether the game treats all seats the same; True only where that is certain."""
        return False

    # -- contents of an observation, where it determines them ----------------

    def perspective(
        self, obs: Shaped[Array, "..."], other: Int[Array, ""] | int
    ) -> Shaped[Array, "..."] | None:
        """Return another seat's observation, computed from the own one.

        Fully observed games override it; opponent models then learn from the play of
        all seats at once.

        Args:
            obs: [*obs_shape] the own observation.
            other: ego-first index of the other seat; 0 is the own seat.

        Returns:
            [*obs_shape] its observation, with the remaining players in any order;
            None if `obs` does not determine it.
        """
        return None

    def legal_in(
        self, obs: Shaped[Array, "..."]
    ) -> Bool[Array, "... A"] | None:
        """Return the legal actions of the seat that has an observation.

        Args:
            obs: [*obs_shape] the observation.

        Returns:
            The legal actions; None if `obs` does not determine them.
        """
        return None

    def present_in(
        self, obs: Shaped[Array, "..."]
    ) -> Bool[Array, "... N"] | None:
        """Return the players that are present in an observation.

        Args:
            obs: [*obs_shape] the observation.

        Returns:
            Presence, ego-first; None if `obs` does not determine it.
        """
        return None

    def state_in(self, obs: Shaped[Array, "*obs_shape"]) -> PyTree | None:
        """Return the state that an observation determines, its seats ego-first.

        `TrueModel` plans with it.

        Args:
            obs: an observation.

        Returns:
            The state, as far as further play depends on it; None if `obs` does not
            determine it, or if the rules treat seats differently.
        """
        return None

    def symmetries(self) -> Symmetries | None:
        """Return the game's symmetries in a seat's view; training augments play with them."""
        return None

    def achieved(
        self,
        obs: Shaped[Array, "..."],
        action: Int[Array, "*batch"],
        reward: Float[Array, "*batch"],
    ) -> Int[Array, "*batch"]:
        """Return the goal that a player reached by a step; called on NumPy arrays.

        Args:
            obs: [*batch, *obs_shape] the observations before the step.
            action: the actions, ABSENT where there was none.
            reward: the rewards of the step.

        Returns:
            Indices into `goals`, -1 for no goal.
        """
        return np.full(np.shape(action), -1, np.int32)

    def text(self, obs: Shaped[Array, "*obs_shape"], seat: int = 0) -> str:
        """Return an observation as text for a terminal.

        Args:
            obs: the observation.
            seat: the seat that has it; seats are named 1, 2, ... in global order.

        Returns:
            One or more lines; by default its numbers, of a large image or many planes
            only its size and range.
        """
        array = np.asarray(obs)
        if array.ndim > 1 and array.size > MAX_NUMBERS:
            size = " x ".join(map(str, array.shape))
            return f"{array.dtype} {size}, {array.min():g} to {array.max():g}"
        return np.array2string(array, precision=2, suppress_small=True)

    def picture(self, obs: Shaped[Array, "*obs_shape"], seat: int = 0) -> str:
        """Return an observation as an SVG element.

        Args:
            obs: the observation.
            seat: the seat that has it.

        Returns:
            The element; by default the game's own `text`, or where it has none a picture
            by shape and type (`bestreply.games.pictures`).
        """
        if type(self).text is not Description.text:
            return text_picture(self.text(obs, seat))
        players = 0 if self.homogeneous else self.num_players
        return observation_picture(np.asarray(obs), self.planes, players)
