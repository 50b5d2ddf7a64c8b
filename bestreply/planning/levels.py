"""Which observations count as the same: those whose entries are at the same levels.

Many games have observations of finitely many values: whole numbers, 0/1 planes, cells
divided by the width of the grid. Each entry then has a first level and a step to the next
one. The levels are measured from logged play (`measured_levels`), and kept with a run.
Entries that tell the time are left out: what a value errs by changes little from one step
to the next. Where observations are marked with their seat, each seat has levels of its own,
since the same entry can mean different things.
"""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt32

from bestreply.games.base import Game
from bestreply.types import ABSENT, Array, Episodes

MAX_ENTRIES = 2048
"""Largest size of an observation whose levels are measured."""
MAX_LEVELS = 1000
"""Largest number of levels of an entry that has no whole numbers."""
MAX_WHOLE = 2.0**24
"""Largest absolute value of an entry: float32 holds all whole numbers up to it."""
TOLERANCE = 0.05
"""Largest distance of an entry from a level, in steps between levels: entries may be
rounded to a few decimals, or to 16 bits."""
TIME_TOLERANCE = 0.4
"""Largest distance of an entry that tells the time from a straight line, in its change in
one step."""
STEPS, ENTRIES = 2**14, 2**23
"""Largest numbers of steps and of entries that are looked at."""
LARGEST, SMALLEST = 1e30, 1e-30
"""Bounds of numbers in a file: those that float32 holds."""


class Levels(eqx.Module):
    """The levels of the entries of an observation, for R seats that see differently."""

    first: Float[Array, "R D"]
    step: Float[Array, "R D"]
    """Distance between two levels."""
    weight: UInt32[Array, "R D"]
    """Odd factors of the hash; 0: the entry is left out."""
    marked: Int[Array, " S"]
    """Entries that tell the seats apart."""
    marks: Float[Array, "R S"]
    """What they are."""

    def number(self, obs: Shaped[Array, "*obs"]) -> UInt32[Array, ""]:
        """Return a hash of 32 bits; that of equal observations is equal.

        Args:
            obs: an observation, or a predicted one: entries go to the nearest level.
        """
        seat, entries = self._places(obs)
        numbers = jnp.round(entries).astype(jnp.int32).astype(jnp.uint32)
        hashed = (numbers * self.weight[seat]).sum(dtype=jnp.uint32)
        return hashed + seat.astype(jnp.uint32)

    def holds(self, obs: Shaped[Array, "*obs"]) -> Bool[Array, ""]:
        """Return whether all entries are at levels, but for those that tell the time.

        Args:
            obs: an observation.
        """
        seat, entries = self._places(obs)
        near = jnp.abs(entries - jnp.round(entries)) <= TOLERANCE
        return jnp.all(near | (self.weight[seat] == 0))

    def _places(
        self, obs: Shaped[Array, "*obs"]
    ) -> tuple[Int[Array, ""], Float[Array, " D"]]:
        """Return the seat, and the place of each entry among its levels."""
        entries = obs.astype(jnp.float32).reshape(-1)
        away = jnp.abs(entries[self.marked] - self.marks).sum(-1)
        seat = jnp.argmin(away)
        return seat, (entries - self.first[seat]) / self.step[seat]

    @classmethod
    def whole(cls, game: Game) -> "Levels | None":
        """Return those of whole numbers; None for a game whose observations have others.

        Args:
            game: the game.
        """
        kind, size = np.dtype(game.obs_dtype).kind, math.prod(game.obs_shape)
        whole = kind in "biu" or bool(np.all(game.binary))
        if not whole or size > MAX_ENTRIES:
            return None
        layout = {
            "marks": [],
            "first": [0.0] * size,
            "step": [1.0] * size,
            "time": [],
        }
        return cls.read({"marked": [], "layouts": [layout]})

    @classmethod
    def read(cls, facts: dict[str, Any]) -> "Levels":
        """Return those that `measured_levels` returned.

        Args:
            facts: what it returned; `are_levels` says whether it has the form.
        """
        layouts = facts["layouts"]

        def numbers(name: str) -> Float[Array, "R K"]:
            return jnp.asarray([one[name] for one in layouts], jnp.float32)

        size = len(layouts[0]["first"])
        rng = np.random.default_rng(0)
        weight = rng.integers(0, 2**32, size, np.uint32) | np.uint32(1)
        weights = np.tile(weight, (len(layouts), 1))
        for own, one in zip(weights, layouts, strict=True):
            own[np.asarray(one["time"], int)] = 0
        return cls(
            numbers("first"),
            numbers("step"),
            jnp.asarray(weights),
            jnp.asarray(facts["marked"], jnp.int32),
            numbers("marks"),
        )


def entries_of(facts: dict[str, Any]) -> int:
    """Return the number of entries of an observation.

    Args:
        facts: what `measured_levels` returned.
    """
    return len(facts["layouts"][0]["first"])


def measured_levels(episodes: Episodes) -> dict[str, Any] | None:
    """Return the levels of the entries of logged observations.

    Args:
        episodes: logged play.

    Returns:
        ``marked``, the entries that tell the seats apart, and ``layouts``, for each seat
        that they tell apart: what they are (``marks``), ``first`` and ``step`` of each entry,
        and in ``time`` the entries that tell the time, which rise or fall by one amount in
        each step, in all episodes alike. None where observations are large, or an entry
        has values of no levels.
    """
    size = math.prod(episodes.obs.shape[3:])
    row, step, seat = np.nonzero(np.asarray(episodes.action) != ABSENT)
    if not len(row) or size > MAX_ENTRIES:
        return None
    most = min(STEPS, ENTRIES // size)
    picked = np.sort(np.random.default_rng(0).permutation(len(row))[:most])
    row, step, seat = row[picked], step[picked], seat[picked]
    obs = np.asarray(episodes.obs[row, step, seat]).reshape(-1, size)
    order = np.argsort(step, kind="stable")
    obs, step, seat = obs[order].astype(np.float64), step[order], seat[order]
    if not np.all(np.abs(obs) <= LARGEST):
        return None
    marked, marks = _marks(obs, seat)
    layouts = []
    for own in marks:
        rows = np.all(obs[:, marked] == own, -1)
        layout = _layout(obs[rows], step[rows])
        if layout is None:
            return None
        layouts.append({"marks": own.tolist(), **layout})
    return {"marked": marked.tolist(), "layouts": layouts}


def _marks(
    obs: Float[np.ndarray, "M D"], seat: Int[np.ndarray, " M"]
) -> tuple[Int[np.ndarray, " S"], Float[np.ndarray, "R S"]]:
    """Return the entries that never change in any seat but differ between some, and what they are."""
    seats = [obs[seat == number] for number in np.unique(seat)]
    constant = np.all([np.ptp(own, 0) == 0 for own in seats], 0)
    first = np.stack([own[0] for own in seats])
    marked = np.flatnonzero(constant & (np.ptp(first, 0) > 0))
    return marked, np.unique(first[:, marked], axis=0)


def _layout(
    obs: Float[np.ndarray, "M D"], step: Int[np.ndarray, " M"]
) -> dict[str, list] | None:
    time = [k for k, entry in enumerate(obs.T) if _tells_time(entry, step)]
    found = [
        (0.0, 1.0) if k in time else _levels_of(entry)
        for k, entry in enumerate(obs.T)
    ]
    levels = [one for one in found if one is not None]
    if len(levels) < len(found):
        return None
    first, steps = zip(*levels, strict=True)
    return {"first": list(first), "step": list(steps), "time": time}


def _levels_of(entry: Float[np.ndarray, " M"]) -> tuple[float, float] | None:
    """Return the first level and the distance of two; None: values of no levels."""
    values = np.unique(entry)
    first, span = values[0], values[-1] - values[0]
    if np.abs(values).max() > MAX_WHOLE:
        return None
    if span == 0:
        return float(first), 1.0
    gaps = np.diff(values)
    if np.all(values == np.round(values)):
        return float(first), float(np.gcd.reduce(gaps.astype(np.int64)))
    # Values that rounding alone tells apart are one level.
    step = gaps[gaps > span * TOLERANCE / MAX_LEVELS].min()
    if span > step * MAX_LEVELS:
        return None
    step = span / np.round(span / step)
    places = (values - first) / step
    if np.abs(places - np.round(places)).max() > TOLERANCE or step < SMALLEST:
        return None
    return float(first), float(step)


def _tells_time(
    entry: Float[np.ndarray, " M"], step: Int[np.ndarray, " M"]
) -> bool:
    """Return whether an entry changes by one amount in each step; steps are in order."""
    if step[0] == step[-1] or entry[0] == entry[-1]:
        return False
    slope = (entry[-1] - entry[0]) / (step[-1] - step[0])
    error = np.abs(entry - entry[0] - slope * (step - step[0])).max()
    return bool(error <= TIME_TOLERANCE * abs(slope))


def are_levels(facts: Any) -> bool:
    """Return whether a value of a file has the form that `Levels.read` takes.

    Args:
        facts: of any type.
    """
    if not (_has(facts, "marked", "layouts") and facts["layouts"]):
        return False
    marked, layouts = facts["marked"], facts["layouts"]
    names = "marks", "first", "step", "time"
    if not all(_has(one, *names) for one in layouts):
        return False
    size = len(layouts[0]["first"])
    return _are_entries(marked, size) and all(
        _are_numbers(one["marks"], len(marked))
        and _are_numbers(one["first"], size)
        and _are_numbers(one["step"], size)
        and all(number >= SMALLEST for number in one["step"])
        and _are_entries(one["time"], size)
        for one in layouts
    )


def _has(table: Any, *lists: str) -> bool:
    return (
        isinstance(table, dict)
        and table.keys() == {*lists}
        and all(isinstance(value, list) for value in table.values())
    )


def _are_numbers(values: list, count: int) -> bool:
    return len(values) == count and all(
        type(x) in (int, float) and -LARGEST <= x <= LARGEST for x in values
    )


def _are_entries(values: list, size: int) -> bool:
    return all(type(k) is int and 0 <= k < size for k in values)
