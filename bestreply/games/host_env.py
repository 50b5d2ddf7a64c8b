"""The interface of stateful environments, stepped in place."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32

from bestreply.games.description import Description
from bestreply.games.seats import common_shape
from bestreply.types import TimeStep


class EnvStep(NamedTuple):
    """What an environment shows after a reset or a step; seats in global order.

    The fields are those of `TimeStep`, which can be returned in its place.
    """

    obs: Any
    """[N, *obs_shape], or a list of each seat's own observation; None in the list: that
    of a seat that has left."""
    reward: Any = None
    """[N] numbers; None: 0."""
    terminated: Any = None
    """[N] or [] bool; None: False."""
    truncated: Any = False
    """[] bool: a limit, or anything else outside the rules, ended the game for all; at
    any step up to `max_steps`."""
    legal: Any = None
    """[N, A] bool; None: all that the seats have."""
    present: Any = None
    """[N] bool: False from the step on at which a seat leaves; None: True."""


class _Settable:
    """A property of `Description` that an environment may set as a plain attribute."""

    def __init__(self, default: Any) -> None:
        self.default = default

    def __get__(self, env: Any, kind: type | None = None) -> Any:
        return self if env is None else self.default.fget(env)


class HostEnv(Description):
    """A stateful environment of `num_players` seats, stepped in place.

    A subclass sets `num_players`, `action_names`, `max_steps` and `obs_shape` as
    attributes of the class or in `__init__`, and implements `reset` and `step`. Its
    settings are the parameters of `__init__`. Where seats have observations of several
    shapes it sets `seat_shapes` in place of `obs_shape`; where they differ in roles or
    actions it sets `roles` or `seat_actions`, and observations are marked with their
    seat (`bestreply.games.seats`).
    """

    name: str = ""  # pyright: ignore[reportIncompatibleVariableOverride]
    version: int = 1  # pyright: ignore[reportIncompatibleVariableOverride]
    summary: str = ""  # pyright: ignore[reportIncompatibleVariableOverride]
    num_players: int = 0  # pyright: ignore
    action_names: tuple[str, ...] = ()  # pyright: ignore
    max_steps: int = 0
    seat_shapes: tuple[tuple[int, ...], ...] = ()
    """Shape of each seat's own observation; empty: `obs_shape` for all."""

    obs_shape: Any = ()  # pyright: ignore
    roles: Any = _Settable(Description.roles)
    seat_actions: Any = _Settable(Description.seat_actions)
    obs_dtype: Any = _Settable(Description.obs_dtype)
    goals: Any = _Settable(Description.goals)
    planes: Any = _Settable(Description.planes)
    binary: Any = _Settable(Description.binary)
    symmetric: Any = _Settable(Description.symmetric)

    def reset(self, seed: int) -> EnvStep | TimeStep:
        """Start an episode.

        Args:
            seed: decides all chance of the episode; 0 <= seed < 2^31. Equal seeds and
                actions give equal episodes.

        Returns:
            What is shown first.
        """
        raise NotImplementedError

    def step(self, actions: Int32[np.ndarray, " N"]) -> EnvStep | TimeStep:
        """Make one step; it is not called once the game is over.

        Args:
            actions: the joint action in seat order, ABSENT (-1) for each seat that
                has left or terminated.

        Returns:
            What is shown next. The observation of a seat whose game ends is its last;
            that of a seat that has left can be anything.
        """
        raise NotImplementedError

    def render(self) -> np.ndarray | None:
        """Return a picture of the present state, [H, W, 3] uint8, or None."""
        return None

    def close(self) -> None:
        """Free what the environment holds; it is not used again."""

    @property
    def bare_shape(self) -> tuple[int, ...]:
        """Shape of an observation without the marks of its seat."""
        return (
            common_shape(self.seat_shapes)
            if self.seat_shapes
            else self.obs_shape
        )
