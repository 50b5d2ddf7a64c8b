"""Axes of arrays of other programs: episodes, steps and seats, brought to steps and seats."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Int, Int32, Shaped

from bestreply.data.array_casts import as_array, as_whole
from bestreply.types import ABSENT
from bestreply.utils.checks import shown

if TYPE_CHECKING:
    from bestreply.games.base import Game


@dataclass(frozen=True)
class Axes:
    """The leading axes of all arrays, by the actions."""

    actions: Int32[np.ndarray, "..."]
    lead: tuple[int, ...]  # [S] or [E, T]
    seats: int

    @classmethod
    def of(cls, actions: Any) -> "Axes":
        """Return the axes of an array of actions.

        Args:
            actions: [S], [S, N] or [E, T, N] whole numbers, -1 for an absent seat.
                Two axes are always [S, N].

        Raises:
            ValueError: the array has other axes, is empty or holds other numbers.
        """
        array = as_array("actions", actions)
        if array.ndim == 1:
            array = array[:, None]
        if array.ndim not in (2, 3) or not array.size:
            raise ValueError(
                f"actions of shape {array.shape}: expected [steps, seats] or "
                "[episodes, steps, seats], not empty. Number actions that consist of "
                "several parts"
            )
        meaning = "the number of an action (-1: absent seat)"
        array = as_whole("actions", array, ABSENT, None, meaning)
        return cls(array, array.shape[:-1], array.shape[-1])

    def refuse_episodes_of_one_seat(
        self,
        observed: tuple[int, ...],
        stops: Sequence[Bool[np.ndarray, "..."]],
    ) -> None:
        """Refuse actions [E, T] of one seat, which would be read as [S, N].

        Terminals [E, T] could be [S, N] too. They are refused if every row has a stop
        and, read as [S, N], a seat acts after its own.

        Args:
            observed: shape of the observations.
            stops: terminals and timeouts, as far as they are given.

        Raises:
            ValueError: the arrays fit episodes of one seat alone.
        """
        if len(self.lead) != 1 or self.seats < 2:
            return
        shape = (*self.lead, self.seats)
        remedy = (
            f"Episodes of one seat have actions of shape {(*shape, 1)}: "
            "actions[..., None]"
        )
        if observed[:2] == (shape[0], shape[1] + 1):
            raise ValueError(
                f"observations of shape {observed}: expected {shape} as first axes, "
                f"as actions of shape {shape} are read as [steps, seats]. {remedy}"
            )
        if not stops or any(stop.shape != shape for stop in stops):
            return
        stopped = np.logical_or.reduce(stops)
        if stopped.any(1).all() and _acts_after_stop(self.actions, stopped):
            raise ValueError(
                f"actions of shape {shape}: expected -1 after the terminal or timeout "
                f"of a seat, as they are read as [steps, seats]. {remedy}"
            )

    @property
    def steps(self) -> int:
        """Steps of all episodes, S."""
        return int(np.prod(self.lead))

    def seated(
        self, name: str, values: Shaped[np.ndarray, "..."]
    ) -> Shaped[np.ndarray, "S N"]:
        """Return values of each step and seat.

        Args:
            name: name of the argument, for the error.
            values: [*lead, N], or [*lead] of what all seats share.

        Raises:
            ValueError: the values have another shape.
        """
        whole = (*self.lead, self.seats)
        if values.shape == self.lead:
            values = np.broadcast_to(values[..., None], whole)
        if values.shape != whole:
            raise ValueError(
                f"{name} of shape {values.shape}: expected {whole}, as actions have, "
                f"or {self.lead}"
            )
        return values.reshape(self.steps, self.seats)

    def observed(
        self,
        name: str,
        values: Shaped[np.ndarray, "..."],
        *,
        longer: bool = True,
    ) -> tuple[Shaped[np.ndarray, "O N ..."], bool]:
        """Return values of each seat at each step, and whether they have one step more.

        Args:
            name: name of the argument, for the error.
            values: [*lead, N, ...], or [E, T + 1, N, ...]. The axis of one seat may be
                missing.
            longer: whether a step more is accepted.

        Raises:
            ValueError: the values have other leading axes.
        """
        axes = len(self.lead)
        with_final = (*self.lead[:-1], self.lead[-1] + 1)
        accepted = [self.lead]
        if longer and axes == 2:
            accepted.append(with_final)
        if values.shape[:axes] not in accepted or (
            self.seats > 1 and values.shape[axes : axes + 1] != (self.seats,)
        ):
            more = (
                f" or {(*with_final, self.seats)}" if len(accepted) > 1 else ""
            )
            raise ValueError(
                f"{name} of shape {values.shape}: expected "
                f"{(*self.lead, self.seats)}{more} as first axes, as actions have "
                f"{self.actions.shape}"
            )
        lead = values.shape[:axes]
        rest = values.shape[axes:]
        if self.seats > 1 or (rest[:1] == (1,) and len(rest) > 1):
            rest = rest[1:]
        shape = (int(np.prod(lead)), self.seats, *(rest or (1,)))
        return values.reshape(shape), lead != self.lead

    def obs_start(self, start: Int[np.ndarray, " E"]) -> Int[np.ndarray, " E"]:
        """Return the first places of episodes in observations of one step more.

        Args:
            start: their first steps.
        """
        return start // self.lead[1] * (self.lead[1] + 1)


def _acts_after_stop(
    action: Int32[np.ndarray, "S N"], stopped: Bool[np.ndarray, "S N"]
) -> bool:
    """Return whether a seat acts between its own stop and the end of the episode."""
    gone = np.zeros(action.shape[1], bool)
    for acted, stops in zip(action != ABSENT, stopped, strict=True):
        if (gone & acted).any():
            return True
        gone |= stops
        if (gone | ~acted).all():
            gone[:] = False
    return False


# -- a dict of one array for each seat -----------------------------------------


def joined(
    given: dict[str, Any], game: "Game | None" = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return arrays with an axis of seats in place of dicts of one array for each seat.

    Args:
        given: the arguments by name; those that are dicts have the seats of `actions`.
        game: the game, in whose order seats of its names are put.

    Returns:
        The arguments, and facts on seats: `seat_names`; where seats differ `roles`, the
        names without numbers at their ends, and `seat_actions`.

    Raises:
        ValueError: seats or numbers of steps differ.
    """
    actions = given["actions"]
    if not isinstance(actions, Mapping):
        return given, {}
    names = list(actions)
    if not names:
        raise ValueError("actions={}: expected an array for each seat")
    lead = as_array("actions", actions[names[0]]).ndim
    if game is not None:
        names = _in_order_of(names, game)
    result, shapes = dict(given), {}
    for name, value in given.items():
        if isinstance(value, Mapping):
            arrays = _of_seats(name, value, names)
            shapes[name] = [array.shape[lead:] for array in arrays]
            result[name] = _stacked(name, arrays, lead)
    facts = _differences(names, shapes)
    return result, {"seat_names": tuple(map(str, names)), **facts}


def _in_order_of(names: list[str], game: "Game") -> list[str]:
    """Return names of seats in the order of a game that has them; others as they are."""
    from bestreply.games.seats import seats_by_name

    known = seats_by_name(game)
    if any(str(name) not in known for name in names):
        return names
    seats = [known[str(name)] for name in names]
    if sorted(seats) != list(range(game.num_players)):
        raise ValueError(
            f"actions of the seats {shown(names)}: expected one array for each seat of "
            f"{game.name}: {shown(list(known))}"
        )
    return [names[seats.index(seat)] for seat in sorted(seats)]


def _of_seats(
    name: str, value: Mapping[str, Any], seats: list[str]
) -> list[np.ndarray]:
    if set(value) != set(seats):
        raise ValueError(
            f"{name} of {shown(list(value))}: expected an array for each of "
            f"{shown(seats)}, as in actions"
        )
    return [as_array(f"{name}[{seat!r}]", value[seat]) for seat in seats]


def _stacked(name: str, arrays: list[np.ndarray], lead: int) -> np.ndarray:
    from bestreply.games.seats import common_shape

    sizes = {array.shape[:lead] for array in arrays}
    if len(sizes) > 1:
        raise ValueError(
            f"{name} of {shown(sorted(sizes))} steps: expected equally many of each "
            "seat"
        )
    shape = common_shape([array.shape[lead:] for array in arrays])
    whole = [_padded(array, lead, shape) for array in arrays]
    return np.stack(whole, lead)


def _padded(array: np.ndarray, lead: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array with zeros behind each axis after the leading ones."""
    if array.ndim - lead != len(shape):
        array = array.reshape(*array.shape[:lead], -1)
    have = array.shape[lead:]
    margins = [(0, n - k) for n, k in zip(shape, have, strict=True)]
    return np.pad(array, [*[(0, 0)] * lead, *margins])


def _differences(
    names: list[str], shapes: dict[str, list[tuple[int, ...]]]
) -> dict[str, Any]:
    """Return roles and numbers of actions of seats whose shapes differ."""
    facts: dict[str, Any] = {}
    differs = [len({*shapes.get(k, ())}) > 1 for k in ("observations", "legal")]
    if any(differs):
        facts["roles"] = [
            re.sub(r"_?\d+$", "", str(name)) or str(name) for name in names
        ]
    if differs[1]:
        facts["seat_actions"] = [shape[0] for shape in shapes["legal"]]
    return facts
