"""Which observations count as the same: those whose entries are at the same levels.

Many games have observations of finitely many values: whole numbers, 0/1 planes, cells
divided by the width of the grid. Each entry then has a first level and a step to the next
one. The levels are measured from logged play (`measured_levels`), and kept with a run.
Entries that tell the time are left out: what a value errs by changes little from one step
to the next.
"""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped, UInt32

from bestreply.games.base import Game
from bestreply.types import ABSENT, Array, Episodes

MAX_ENTRIES = 2048
"""Largest size of an observation whose levels are measured."""
MAX_LEVELS = 1000
"""Largest number of levels of an entry."""
MAX_WHOLE = 2.0**24
"""Largest absolute value of an entry: float32 holds all whole numbers up to it."""
TOLERANCE = 1e-3
"""Largest distance of an entry from a level, in steps between levels."""
STEPS, ENTRIES = 2**14, 2**23
"""Largest numbers of steps and of entries that are looked at."""


class Levels(eqx.Module):
    """The levels of the entries of an observation."""

    first: Float[Array, " D"]
    step: Float[Array, " D"]
    """Distance between two levels."""
    weight: UInt32[Array, " D"]
    """Odd factors of the hash; 0: the entry is left out."""

    def number(self, obs: Shaped[Array, "*obs"]) -> UInt32[Array, ""]:
        """Return a hash of 32 bits; that of equal observations is equal.

        Args:
            obs: an observation, or a predicted one: entries go to the nearest level.
        """
        entries = obs.astype(jnp.float32).reshape(-1)
        entries = jnp.round((entries - self.first) / self.step)
        numbers = entries.astype(jnp.int32).astype(jnp.uint32)
        return (numbers * self.weight).sum(dtype=jnp.uint32)

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
        first, step = np.zeros(size, np.float32), np.ones(size, np.float32)
        return cls(first, step, _weights(size))

    @classmethod
    def read(cls, facts: dict[str, Any]) -> "Levels":
        """Return those that `measured_levels` returned.

        Args:
            facts: what it returned; `are_levels` says whether it has the form.
        """
        first, step = (
            jnp.asarray(facts[name], jnp.float32) for name in ("first", "step")
        )
        weight = _weights(len(first))
        weight[facts["time"]] = 0
        return cls(first, step, jnp.asarray(weight))


def _weights(size: int) -> UInt32[np.ndarray, " D"]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 2**32, size, np.uint32) | np.uint32(1)


def measured_levels(episodes: Episodes) -> dict[str, list] | None:
    """Return the levels of the entries of logged observations.

    Args:
        episodes: logged play.

    Returns:
        ``first`` and ``step`` of each entry, and in ``time`` the numbers of the entries that
        tell the time: they rise or fall by one amount in each step, in all episodes alike.
        None where observations are large, or an entry has values of no levels.
    """
    size = math.prod(episodes.obs.shape[3:])
    row, step, seat = np.nonzero(np.asarray(episodes.action) != ABSENT)
    if not len(row) or size > MAX_ENTRIES:
        return None
    most = min(STEPS, ENTRIES // size)
    picked = np.sort(np.random.default_rng(0).permutation(len(row))[:most])
    row, step, seat = row[picked], step[picked], seat[picked]
    obs = np.asarray(episodes.obs[row, step, seat]).reshape(-1, size)
    levels: list[tuple[float, float]] = []
    for entry in obs.T:
        found = _levels_of(entry)
        if found is None:
            return None
        levels.append(found)
    first, steps = zip(*levels, strict=True)
    order = np.argsort(step, kind="stable")
    obs, step = obs[order], step[order]
    time = [k for k in range(size) if _tells_time(obs[:, k], step)]
    return {"first": list(first), "step": list(steps), "time": time}


def are_levels(facts: Any) -> bool:
    """Return whether a value of a file has the form that `Levels.read` takes.

    Args:
        facts: of any type.
    """
    if not (
        isinstance(facts, dict) and facts.keys() == {"first", "step", "time"}
    ):
        return False
    first, step, time = facts["first"], facts["step"], facts["time"]
    if not all(isinstance(x, list) for x in (first, step, time)):
        return False
    numbers = all(
        type(x) in (int, float) and math.isfinite(x) for x in (*first, *step)
    )
    return (
        numbers
        and len(first) == len(step)
        and all(x > 0 for x in step)
        and all(type(k) is int and 0 <= k < len(first) for k in time)
    )


def _levels_of(entry: Shaped[np.ndarray, " M"]) -> tuple[float, float] | None:
    """Return the first level and the distance of two; None: values of no levels."""
    values = np.unique(entry.astype(np.float64))
    first, span = values[0], values[-1] - values[0]
    if not np.all(np.abs(values) <= MAX_WHOLE):
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
    if np.abs(places - np.round(places)).max() > TOLERANCE:
        return None
    return float(first), float(step)


def _tells_time(
    entry: Shaped[np.ndarray, " M"], step: Shaped[np.ndarray, " M"]
) -> bool:
    """Return whether an entry changes by one amount in each step; steps are in order."""
    entry = entry.astype(np.float64)
    if step[0] == step[-1] or entry[0] == entry[-1]:
        return False
    slope = (entry[-1] - entry[0]) / (step[-1] - step[0])
    error = np.abs(entry - entry[0] - slope * (step - step[0])).max()
    return bool(error <= TOLERANCE * abs(slope))
