"""Errors of a world model's predictions several steps ahead, by kind of entity."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from bestreply.analysis.index_rows import (
    map_rows,
    most_rows,
    padded,
    sample_of,
)
from bestreply.games.base import Game
from bestreply.models.units import ROUNDING
from bestreply.models.world_model import WorldModel
from bestreply.replay.moa_buffer import BufferState, Index
from bestreply.training.targets import logged_latents
from bestreply.types import ABSENT, ego_order, obs_at
from bestreply.utils.quick import quickly

HORIZONS = (1, 3, 5, 10)
"""Steps of open-loop prediction."""
MAX_TRANSITIONS = 20_000
"""Transitions that each table is computed from."""


def open_loop(
    game: Game, world: WorldModel, buffer: BufferState, index: Index
) -> list[dict[str, Any]]:
    """Return the errors of predictions k steps ahead, by kind of entity.

    Predictions start from one observation (with a memory, from all up to it) and follow
    the actions that were played. For a plane of 0/1 entries, `accuracy` is the share of
    windows whose whole plane is correct after rounding, and `recall` the share of its
    ones that are predicted. Of an observation without such planes, "observation",
    `accuracy` is the share of its 0/1 entries, if it has any, that are correct. `error`
    is that of other numbers: root mean square, in standard deviations of the truth; 1
    is that of a constant prediction.

    Args:
        game: the game.
        world: world model.
        buffer: held-out play.
        index: of the first transitions.

    Returns:
        A row for each of `HORIZONS` and each entity; a measure that does not apply is
        None.
    """
    action = np.asarray(buffer.episodes.action)
    length = (action != ABSENT).sum(1)[index.row, index.seat]
    rows = []
    for steps in HORIZONS:
        enough = np.flatnonzero(index.step + steps <= length)
        if not len(enough):
            continue
        most = most_rows(game, MAX_TRANSITIONS, steps)
        enough = enough[sample_of(len(enough), most)]
        chosen = Index(*(x[enough] for x in index))
        size = len(index.row) if most == MAX_TRANSITIONS else len(enough)
        predicted, truth = jax.device_get(
            predict_ahead(
                world,
                buffer,
                padded(chosen, game, size),
                _joint_actions(action, padded(chosen, game, size)),
                np.int32(steps),
            )
        )
        rows += [
            {"steps": steps, **row, "count": len(enough)}
            for row in compare(
                game, predicted[: len(enough)], truth[: len(enough)]
            )
        ]
    return rows


def _joint_actions(
    action: Int[np.ndarray, "E T N"], index: Index
) -> Int[np.ndarray, "B H N"]:
    """Return the joint actions from each step on, ego first, for the longest horizon."""
    last = action.shape[1] - 1
    steps = np.minimum(index.step[:, None] + np.arange(max(HORIZONS)), last)
    order = ego_order(action.shape[2])[index.seat]
    return action[index.row[:, None, None], steps[..., None], order[:, None]]


@quickly()
def predict_ahead(
    world: WorldModel,
    buffer: BufferState,
    index: Index,
    actions: Int[Array, "B H N"],
    steps: Int[Array, ""],
) -> tuple[Float[Array, "B *obs"], Float[Array, "B *obs"]]:
    """Return the observations some steps later, as decoded and as logged.

    Args:
        world: world model.
        buffer: logged play.
        index: places of the first observations.
        actions: the joint actions from there on, ego first.
        steps: number of steps, at most H.

    Returns:
        The predictions [B, *obs_shape], and the truth.
    """
    episodes = buffer.episodes

    def part(at: tuple[Index, Array]) -> tuple[Array, Array]:
        index, actions = at
        z = logged_latents(world, episodes, index)

        def step(k: Array, z: Array) -> Array:
            joint = actions[:, k]
            return jax.vmap(world.next)(z, joint[:, 0], joint[:, 1:])

        z = jax.lax.fori_loop(0, steps, step, z)
        later = index.row, index.step + steps, index.seat
        return jax.vmap(world.decode)(z), obs_at(episodes.obs, later)

    return map_rows(part, (index, actions))


def compare(
    game: Game, predicted: np.ndarray, truth: np.ndarray
) -> list[dict[str, Any]]:
    """Return the measures of `open_loop` for each entity.

    Args:
        game: the game.
        predicted: [B, *obs_shape], in units of the game.
        truth: [B, *obs_shape].
    """
    binary = game.binary
    of_plane = np.zeros(1, bool)
    if game.planes:
        of_plane = np.atleast_1d(binary.reshape(-1, game.obs_shape[-1]).all(0))
    if not of_plane.any():
        hits = (truth[:, binary] > 0.5) == (predicted[:, binary] > 0.5)
        row = {
            "entity": "observation",
            "accuracy": float(hits.mean()) if hits.size else None,
            "recall": None,
            "error": normalised_error(game, predicted, truth, ~binary),
        }
        return [row]
    rows = []
    for plane, name in enumerate(game.planes):
        entries = np.zeros(binary.shape, bool)
        entries[..., plane] = True
        row = {"entity": name, "accuracy": None, "recall": None, "error": None}
        if of_plane[plane]:
            ones, predicted_ones = (
                truth[:, entries] > 0.5,
                predicted[:, entries] > 0.5,
            )
            row["accuracy"] = float((ones == predicted_ones).all(1).mean())
            row["recall"] = _recall(truth[:, entries], predicted[:, entries])
        else:
            row["error"] = normalised_error(game, predicted, truth, entries)
        rows.append(row)
    return rows


def _recall(truth: np.ndarray, predicted: np.ndarray) -> float | None:
    ones = truth > 0.5
    if not ones.any():
        return None
    return float((ones & (predicted > 0.5)).sum() / ones.sum())


def normalised_error(
    game: Game,
    predicted: np.ndarray,
    truth: np.ndarray,
    entries: Bool[np.ndarray, "*obs"],
) -> float | None:
    """Return the root mean square error in standard deviations of the truth.

    Entries that never vary do not count. Of images, errors and deviations are those of
    all entries together.

    Args:
        game: the game.
        predicted: [B, *obs_shape].
        truth: [B, *obs_shape].
        entries: the entries that count.

    Returns:
        The error; None if no entry varies.
    """
    truth = truth[:, entries].astype(np.float64)
    squared = ((predicted[:, entries] - truth) ** 2).mean(0)
    variance = truth.var(0)
    varies = variance > (ROUNDING * np.abs(truth).max(0, initial=0)) ** 2
    if not varies.any():
        return None
    if len(game.obs_shape) == 3:
        return float(np.sqrt(squared.sum() / variance[varies].sum()))
    return float(np.sqrt((squared[varies] / variance[varies]).mean()))
