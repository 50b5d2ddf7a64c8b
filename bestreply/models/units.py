"""Units of observations and rewards, measured from the data.

Networks read and predict numbers of mean 0 and deviation 1, whatever the range of the
game's own. Entries that are 0 or 1 and marks of seats keep their values, and so do
numbers that are of this size already: with a deviation of `MIN_DEVIATION` to
`MAX_DEVIATION` and a root mean square of at most `MAX_DEVIATION`.
"""

import math
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, PyTree, Shaped

from bestreply.games.base import Game
from bestreply.games.seats import marks_seats, role_names, role_of_seat
from bestreply.types import ABSENT, Array, Episodes, PackedObs

MIN_DEVIATION, MAX_DEVIATION = 0.05, 10.0
"""Deviations that are not changed."""
ROUNDING = 1e-6
"""A deviation below this fraction of the mean is rounding: the number is constant."""
MEASURED_ENTRIES = 2**25
"""Entries of observations that units are measured from, at most."""
MEASURED_EPISODES = 2**16
"""Episodes that units are measured from, at most."""

Tree = TypeVar("Tree")


class Units(eqx.Module):
    """Zero points and sizes of units; no part of what is trained."""

    mean: Float[Array, " D"]
    scale: Float[Array, " D"]

    def normalised(self, x: Shaped[Array, "... D"]) -> Float[Array, "... D"]:
        """Return numbers of the game in these units.

        Args:
            x: in units of the game.
        """
        return (x - self.mean) / self.scale

    def restored(self, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        """Return numbers in units of the game.

        Args:
            x: in these units.
        """
        return self.mean + self.scale * x


class ObsUnits(Units):
    """Units of the entries of a flat observation."""


class RewardUnits(Units):
    """Units of rewards, one for each role."""


def unit_obs(game: Game) -> ObsUnits | None:
    """Return the observation's own units; None where all entries are 0 or 1.

    Args:
        game: the game.
    """
    if game.binary.all():
        return None
    size = math.prod(game.obs_shape)
    return ObsUnits(jnp.zeros(size), jnp.ones(size))


def unit_rewards(game: Game) -> RewardUnits:
    """Return the game's own units of rewards.

    Args:
        game: the game.
    """
    roles = len(role_names(game))
    return RewardUnits(jnp.zeros(roles), jnp.ones(roles))


def flat_obs(
    units: ObsUnits | None, obs: Shaped[Array, "*obs"]
) -> Float[Array, " D"]:
    """Return an observation of any type as networks read it: flat, float32, in units.

    Args:
        units: the units; None: those of the game.
        obs: the observation.
    """
    flat = jnp.reshape(obs, -1).astype(jnp.float32)
    return flat if units is None else units.normalised(flat)


def measured_obs_units(game: Game, episodes: Episodes) -> ObsUnits | None:
    """Return units of observations by their mean and deviation in logged play.

    Images have one unit: of integers for all their entries, of other numbers for each
    channel. Any other observation has one for each entry.

    Args:
        game: the game.
        episodes: the training episodes.

    Returns:
        The units; None where all entries are 0 or 1.
    """
    if game.binary.all():
        return None
    kept, shape = _kept_entries(game), game.obs_shape
    places = _sampled_places(episodes, math.prod(shape))
    if not len(places[0]) or kept.all():
        return unit_obs(game)
    if len(shape) == 3 and not np.issubdtype(episodes.obs.dtype, np.integer):
        moments = _moments_of_channels(episodes.obs, places, kept)
    else:
        obs = np.asarray(episodes.obs[places])
        moments = (
            _moments(obs, (0,))
            if len(shape) < 3
            else _moments(obs[:, ~kept], (0, 1))
        )
    mean, scale = _units(*moments)
    mean = np.where(kept, 0, mean).reshape(-1)
    scale = np.where(kept, 1, scale).reshape(-1)
    return ObsUnits(_array(mean), _array(scale))


def _moments_of_channels(
    obs: Any,
    places: tuple[np.ndarray, ...],
    kept: Bool[np.ndarray, "H W C"],
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of each channel; 0 and 1 where all entries are kept."""
    whole = np.asarray(kept.all((0, 1)))
    # NumPy adds the entries of one channel alone in another order than those of two.
    count = max(int((~whole).sum()), 2)
    measured = np.sort(np.argsort(whole, kind="stable")[:count])
    if isinstance(obs, PackedObs):  # entries that are bits are kept
        of_rest = np.frombuffer(obs.binary, np.uint8) == 0
        column = np.where(of_rest, np.cumsum(of_rest) - 1, ABSENT)
        column = column.reshape(kept.shape)[..., measured]
        rest = np.asarray(obs.rest[places])
        entries = np.zeros((len(rest), *column.shape), rest.dtype)
        entries[:, column != ABSENT] = rest[:, column[column != ABSENT]]
    else:
        entries = np.ascontiguousarray(obs[places][..., measured])
    moments = np.zeros(len(whole)), np.ones(len(whole))
    for of_all, found in zip(
        moments, _moments(entries, (0, 1, 2)), strict=True
    ):
        of_all[measured] = found
    return moments


def _kept_entries(game: Game) -> Bool[np.ndarray, "*obs"]:
    """Return the entries that keep their values: those of 0 and 1, and marks."""
    kept = np.array(game.binary, bool)
    if marks_seats(game):
        kept[..., -game.num_players :] = True
    return kept


def measured_reward_units(game: Game, episodes: Episodes) -> RewardUnits:
    """Return units of rewards by their mean and deviation in logged play, by role.

    Args:
        game: the game.
        episodes: the training episodes.

    Returns:
        The units; those of the game for a role without a logged step.
    """
    rows = _sampled_rows(len(episodes.length), MEASURED_EPISODES)
    reward = np.asarray(episodes.reward[rows])
    acted = np.asarray(episodes.action[rows]) != ABSENT
    roles = role_of_seat(game)
    means, scales = [], []
    for role in range(len(role_names(game))):
        of_role = reward[acted & (roles == role)]
        mean, scale = 0.0, 1.0
        if len(of_role):
            mean, scale = _units(*_moments(of_role, (0,)))
        means.append(mean)
        scales.append(scale)
    return RewardUnits(_array(np.array(means)), _array(np.array(scales)))


def _sampled_rows(total: int, count: int) -> np.ndarray:
    """Return at most `count` of `total` rows, evenly spaced."""
    return np.unique(np.linspace(0, total - 1, min(total, count)).astype(int))


def _sampled_places(
    episodes: Episodes, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row, step and seat of observations at which a seat acted, evenly spaced."""
    count = max(MEASURED_ENTRIES // size, 256)
    rows = _sampled_rows(len(episodes.length), min(count, MEASURED_EPISODES))
    acted = np.asarray(episodes.action[rows]) != ABSENT
    row, step, seat = np.nonzero(acted)
    if not len(row):
        return row, step, seat
    chosen = _sampled_rows(len(row), count)
    return rows[row[chosen]], step[chosen], seat[chosen]


def _moments(
    x: np.ndarray, axes: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation over `axes`, a part of the rows at a time."""
    total = [0.0, 0.0]
    first = x[:1].astype(np.float64).mean(axes, keepdims=True)[0]
    for rows in np.array_split(x, max(x.size // 2**22, 1)):
        centred = rows - first  # float64: large means leave their digits
        total[0] = total[0] + centred.sum(axes)
        total[1] = total[1] + (centred**2).sum(axes)
    count = math.prod(x.shape[axis] for axis in axes)
    mean = np.asarray(total[0]) / count
    variance = np.asarray(total[1]) / count - mean**2
    first = first.reshape(np.shape(mean))
    deviation = np.sqrt(np.maximum(variance, 0))
    return np.asarray(mean + first), np.asarray(deviation)


def _units(
    mean: np.ndarray, deviation: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return zero point and size of the units of numbers; of a constant the size is 1."""
    constant = deviation <= ROUNDING * np.abs(mean)
    moderate = constant | (deviation >= MIN_DEVIATION)
    moderate &= np.hypot(mean, deviation) <= MAX_DEVIATION
    scale = np.where(constant | moderate, 1.0, deviation)
    return np.where(moderate, 0.0, mean), scale


def _array(x: np.ndarray) -> jax.Array:
    return jnp.asarray(x, jnp.float32)


def _copy(units: Units) -> Units:
    # by NumPy: JAX compiles a program for each shape
    return jax.device_put(jax.tree.map(lambda x: np.array(x), units))


def with_units(
    tree: Tree, obs: ObsUnits | None, rewards: RewardUnits | None = None
) -> Tree:
    """Return models with other units of observations and rewards.

    Args:
        tree: models, such as a train state.
        obs: units of observations; None: all stay.
        rewards: units of rewards; None: all stay.

    Returns:
        The tree; no two of its leaves share memory with each other through units.
    """

    def changed(leaf: PyTree) -> PyTree:
        for kind, units in ((ObsUnits, obs), (RewardUnits, rewards)):
            if isinstance(leaf, kind) and units is not None:
                # an optimiser's state has the same nodes without arrays
                whole = eqx.is_array(leaf.mean)
                return _copy(units) if whole else leaf
        return leaf

    return jax.tree.map(changed, tree, is_leaf=lambda x: isinstance(x, Units))
