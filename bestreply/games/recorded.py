"""A game that is known by its records alone: shapes and names, no rules."""

import dataclasses
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Int, Shaped

from bestreply.games.base import Game
from bestreply.games.seats import marked_seat, marked_shape
from bestreply.games.sizes import MAX_ACTIONS, MAX_PLAYERS, check_sizes
from bestreply.types import Array
from bestreply.utils.checks import shown, whole_number

DTYPES = (
    "float32",
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
)
"""Types of an observation's entries, those that a dataset can hold."""


@dataclasses.dataclass(frozen=True)
class RecordedGame(Game):
    """The description of logged play whose simulator is not at hand.

    Models are trained on its records and planned with. It cannot be played:
    `start` and `advance` raise ValueError.
    """

    name = "recorded"
    version = 1
    summary = "logged play without a simulator: shapes and names, no rules"

    players: int = 2
    """Number of seats, N."""
    actions: int | tuple[str, ...] = 2
    """Names of the actions, or their number."""
    obs: tuple[int, ...] = (1,)
    """Shape of an observation, without the mark of the seat."""
    max_steps: int = 1
    """Steps of the longest episode."""
    dtype: str = "float32"
    """Type of an observation's entries, one of `DTYPES`."""
    roles: tuple[str, ...] = ()  # pyright: ignore[reportIncompatibleMethodOverride]
    """Role of each seat; empty: all seats have one role."""
    seat_actions: tuple[int, ...] = ()  # pyright: ignore[reportIncompatibleMethodOverride]
    """Number of actions of each seat, its first ones; empty: all actions."""
    goals: tuple[str, ...] = ("none",)  # pyright: ignore[reportIncompatibleMethodOverride]
    """Names of the goals, the last one "none"."""
    zero_one: bool = False
    """Whether every entry of an observation is 0 or 1."""
    seat_names: tuple[str, ...] = ()
    """Names of the seats, where the log had names; empty: it had numbers."""

    def __post_init__(self) -> None:
        where = " in recorded"
        whole_number("players", self.players, 1, MAX_PLAYERS, where)
        if not isinstance(self.actions, tuple):
            whole_number("actions", self.actions, 1, MAX_ACTIONS, where)
        else:
            _check_names("actions", self.actions)
        if not self.actions:
            raise ValueError("actions=(): expected at least one in recorded")
        _check_names("goals", self.goals)
        if self.goals[-1:] != ("none",):
            raise ValueError(
                f"goals={shown(self.goals)}: expected 'none' as the last goal "
                "in recorded"
            )
        if self.dtype not in DTYPES:
            raise ValueError(
                f"dtype={shown(self.dtype)}: expected one of "
                f"{', '.join(DTYPES)} in recorded"
            )
        if type(self.zero_one) is not bool:
            raise ValueError(
                f"zero_one={shown(self.zero_one)}: expected True or False in "
                "recorded"
            )
        self._complete_seats()
        if not isinstance(self.obs, tuple) or not self.obs:
            raise ValueError(
                f"obs={shown(self.obs)}: expected a shape of at least one axis, "
                "such as (5,), in recorded"
            )
        check_sizes(self)

    def _complete_seats(self) -> None:
        """Check roles and numbers of actions, and write them out for every seat."""
        size = len(self.action_names)
        roles = self.roles or ("player",) * self.players
        counts = self.seat_actions or (size,) * self.players
        _check_names("roles", roles, different=False)
        _check_names("seat_names", self.seat_names)
        each = {"roles": roles, "seat_actions": counts}
        if self.seat_names:
            each["seat_names"] = self.seat_names
        for name, values in each.items():
            if not isinstance(values, tuple) or len(values) != self.players:
                raise ValueError(
                    f"{name}={shown(values)}: expected one entry for each of "
                    f"{self.players} seats in recorded"
                )
        for count in counts:
            whole_number("seat_actions", count, 1, size, " in recorded")
        object.__setattr__(self, "roles", roles)
        object.__setattr__(self, "seat_actions", counts)

    # -- description -----------------------------------------------------------

    @property
    def settings(self) -> dict[str, Any]:
        """Settings by name, those that are not the defaults of these sizes."""
        given = super().settings
        size = len(self.action_names)
        common = {
            "roles": ("player",) * self.players,
            "seat_actions": (size,) * self.players,
            "dtype": "float32",
            "goals": ("none",),
            "zero_one": False,
            "seat_names": (),
        }
        return {k: v for k, v in given.items() if v != common.get(k)}

    @property
    def num_players(self) -> int:
        return self.players

    @property
    def action_names(self) -> tuple[str, ...]:
        if isinstance(self.actions, tuple):
            return self.actions
        return tuple(map(str, range(self.actions)))

    @property
    def obs_shape(self) -> tuple[int, ...]:
        if self.homogeneous:
            return self.obs
        return marked_shape(self.obs, self.players)

    @property
    def obs_dtype(self) -> np.dtype:
        return np.dtype(self.dtype)

    @property
    def binary(self) -> np.ndarray:
        return np.full(self.obs_shape, self.zero_one)

    def seat_in(self, obs: Shaped[Array, "..."]) -> Int[Array, "..."] | None:
        """Return the seat that an observation marks; None if all seats have one role.

        Args:
            obs: [..., *obs_shape] observations.

        Returns:
            [...] int32 seats.
        """
        if self.homogeneous:
            return None
        return marked_seat(obs, self.obs_shape, self.players)

    # -- rules -----------------------------------------------------------------

    def reset(self, key: Any) -> NoReturn:
        """Refuse: the game has no rules.

        Raises:
            ValueError: always; the error names what can be done instead.
        """
        raise ValueError(no_rules())

    def step(self, state: Any, actions: Any, key: Any) -> NoReturn:
        """Refuse: the game has no rules.

        Raises:
            ValueError: always; the error names what can be done instead.
        """
        raise ValueError(no_rules())

    def look(self, state: Any, reward: Any) -> NoReturn:
        """Refuse: the game has no rules.

        Raises:
            ValueError: always; the error names what can be done instead.
        """
        raise ValueError(no_rules("its states are not known"))

    def first_states(self) -> NoReturn:
        """Refuse: the game has no rules.

        Raises:
            ValueError: always; the error names what can be done instead.
        """
        raise ValueError(no_rules("best replies cannot be solved in it"))


# Settings of the wrong type, as a file can hold, are refused in a sentence.
RecordedGame.__init__.__no_type_check__ = True  # pyright: ignore[reportFunctionMemberAccess]


def _check_names(name: str, values: Any, different: bool = True) -> None:
    fits = isinstance(values, tuple) and all(
        isinstance(value, str) and value for value in values
    )
    if not fits or (different and len(set(values)) < len(values)):
        raise ValueError(
            f"{name}={shown(values)}: expected names"
            f"{', all different,' if different else ''} in recorded"
        )


def no_rules(what: str = "it cannot be played") -> str:
    """Return the sentence that refuses play of a recorded game.

    Args:
        what: what cannot be done.
    """
    return (
        f"game=recorded: expected a game with rules; {what}. What can be done with "
        "its data: 'bestreply run --data DATASET' trains, estimates returns and "
        "reports, Run.agent().plan() plans"
    )


def is_recorded(game: Game) -> bool:
    """Return whether a game is known by its records alone.

    Args:
        game: the game.
    """
    return isinstance(game, RecordedGame)


def check_playable(game: Game, what: str = "it cannot be played") -> None:
    """Refuse a game without rules.

    Args:
        game: the game.
        what: what cannot be done.

    Raises:
        ValueError: the game is recorded.
    """
    if is_recorded(game):
        raise ValueError(no_rules(what))
