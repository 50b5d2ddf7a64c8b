"""Errors of a run's models on held-out play: losses, open-loop predictions, opponents, values."""

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from bestreply.analysis.belief_calibration import (
    belief_table,
    calibration,
    code_table,
)
from bestreply.config import RunConfig
from bestreply.games.base import Game
from bestreply.models.base import Latent
from bestreply.models.images import MAX_FLAT_ENTRIES
from bestreply.models.units import ROUNDING
from bestreply.models.world_model import WorldModel
from bestreply.opponents.filtering import follow_beliefs, follow_predictions
from bestreply.opponents.labels import label_weights
from bestreply.opponents.learned import LearnedOpponents
from bestreply.opponents.opponent_types import opponent_types
from bestreply.players.base import ScriptedPlayer
from bestreply.players.scripted import Mixture
from bestreply.players.zoo import players_in_file
from bestreply.replay.moa_buffer import (
    BufferState,
    Index,
    all_indices,
    fill,
    gather,
    gather_window,
)
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import PLANNING_CHUNK, play
from bestreply.training.losses import world_losses
from bestreply.training.targets import (
    history_steps,
    logged_latents,
    n_step_return,
    with_history,
)
from bestreply.training.updates import logged_types, opponent_loss
from bestreply.types import ABSENT, Episodes, Transition

if TYPE_CHECKING:
    from bestreply.run import Run

Beliefs = Float[Array, "E T1 N others G"]
"""Held before each step of each seat about each other player, and at the end."""

HORIZONS = (1, 3, 5, 10)
"""Steps of open-loop prediction."""
MAX_TRANSITIONS = 20_000
"""Transitions that each table is computed from."""
MAX_ENTRIES = 2**27
"""Entries of observations that a table is computed from, at most."""
OWN_EPISODES = 256
"""Episodes of the agent's own play that its values are compared with."""


def diagnose(run: "Run", held_out: Episodes) -> dict[str, Any]:
    """Return measures of the run's models on held-out episodes: diagnostics.json.

    Args:
        run: a run with its networks.
        held_out: episodes that the models were not trained on.

    Returns:
        The content of the file (docs/files.md).
    """
    assert run.train_state is not None
    config, model = run.config, run.train_state.opponents
    buffer = fill(held_out)
    most = _most_rows(run.game, MAX_TRANSITIONS)
    index = _sample(all_indices(held_out), most, config.seed)
    beliefs = follow_beliefs(model, buffer.episodes)
    expected = follow_predictions(run.opponents(), buffer.episodes)
    result = {
        "heldout": heldout_losses(run, buffer, beliefs, index),
        "open_loop": open_loop(run.game, run.train_state.world, buffer, index),
        "opponent": opponent_table(
            config, model, run.roster, buffer, beliefs, expected, index
        ),
    }
    if config.model.value_heads == "action":
        result["value"] = agent_value_table(run)
    else:
        result["value"] = value_table(run, buffer, beliefs, index)
    if run.game.num_players == 1:
        return result  # no opponents to have beliefs about
    if opponent_types(config.model).logged is None:
        weights = label_weights(config, model, buffer.episodes)
        result["codes"] = code_table(run.roster, held_out, beliefs, weights)
    else:
        filtered = follow_beliefs(run.opponents(), buffer.episodes)
        belief = belief_table(config, model, held_out, filtered)
        if belief is not None:
            result["belief"] = belief
    return result


def _most_rows(game: Game, most: int, steps: int = 1) -> int:
    """Return how many windows of observations are held at a time, at most `most`."""
    size = math.prod(game.obs_shape) * steps
    return max(min(most, MAX_ENTRIES // size), 1)


def _sample_of(total: int, count: int) -> np.ndarray:
    """Return at most `count` of `total` rows, evenly spaced."""
    return np.unique(np.linspace(0, total - 1, min(total, count)).astype(int))


def _sample(index: Index, count: int, seed: int) -> Index:
    total = len(index.row)
    if total <= count:
        return index
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(total, count, replace=False))
    return Index(*(x[chosen] for x in index))


def known_types(
    config: RunConfig,
    model: LearnedOpponents,
    at: Transition,
    beliefs: Beliefs,
    index: Index,
) -> Float[Array, "B others G"]:
    """Return one-hot true types, or, if none are labelled, the beliefs at the episode's end.

    Args:
        config: of the run.
        model: opponent model.
        at: `B` transitions.
        beliefs: [E, T+1, N, N-1, G].
        index: of the transitions.

    Returns:
        [B, N-1, G].
    """
    truth = logged_types(config, at)
    if truth is None:
        return beliefs[index.row, -1, index.seat]
    return jax.nn.one_hot(truth, model.goals)


def heldout_losses(
    run: "Run", buffer: BufferState, beliefs: Beliefs, index: Index
) -> dict[str, float]:
    """Return the mean of each training loss over held-out transitions.

    Args:
        run: a run with its networks.
        buffer: held-out play.
        beliefs: [E, T+1, N, N-1, G].
        index: of the transitions.

    Returns:
        By name of the loss; `log_loss` is the opponent model's with known types, in nats.
    """
    train_state: Any = run.train_state
    limit_ends = run.config.train.at_limit == "zero"
    world = train_state.world
    losses = _mean_world_losses(world, buffer, index, limit_ends)
    at = gather(buffer, index)
    model = train_state.opponents
    types = known_types(run.config, model, at, beliefs, index)
    log_loss = jax.jit(opponent_loss)(model, at, types)
    means = {name: float(value) for name, value in losses.items()}
    return means | {"log_loss": float(log_loss)}


@partial(jax.jit, static_argnums=3)
def _mean_world_losses(
    world: WorldModel, buffer: BufferState, index: Index, limit_ends: bool
) -> dict[str, Array]:
    history = history_steps(world)
    losses = partial(
        world_losses, world, limit_ends=limit_ends, history=history
    )
    if not history and math.prod(world.obs_shape) <= MAX_FLAT_ENTRIES:
        windows = gather_window(buffer, index, 1)
        return jax.tree.map(jnp.mean, jax.vmap(losses)(windows))

    def one(
        at: Index,
    ) -> dict[str, Array]:  # windows are too large for all at once
        at = jax.tree.map(lambda x: x[None], at)
        window = with_history(buffer, at, history)
        return losses(jax.tree.map(lambda x: x[0], window))

    index = jax.tree.map(jnp.asarray, index)
    return jax.tree.map(jnp.mean, jax.lax.map(one, index, batch_size=128))


# -- several steps ahead ---------------------------------------------------------------


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
    acted = np.asarray(buffer.episodes.action) != ABSENT
    length = acted.sum(1)[index.row, index.seat]
    rows = []
    for steps in HORIZONS:
        enough = np.flatnonzero(index.step + steps <= length)
        if not len(enough):
            continue
        most = _most_rows(game, MAX_TRANSITIONS, steps)
        enough = enough[_sample_of(len(enough), most)]
        chosen = Index(*(x[enough] for x in index))
        windows = gather_window(buffer, chosen, steps)
        z = logged_latents_in_parts(world, buffer, chosen)
        predicted = np.asarray(predict_ahead(world, z, windows))
        truth = np.asarray(windows.next_obs[:, -1])
        rows += [
            {"steps": steps, **row, "count": len(enough)}
            for row in compare(game, predicted, truth)
        ]
    return rows


@jax.jit
def logged_latents_in_parts(
    world: WorldModel, buffer: BufferState, index: Index
) -> Latent:
    """Return the latents of logged observations, computed a few at a time.

    Args:
        world: world model.
        buffer: logged play.
        index: of the observations.
    """

    def one(at: Index) -> Array:
        at = jax.tree.map(lambda x: x[None], at)
        return logged_latents(world, buffer.episodes, at)[0]

    index = jax.tree.map(jnp.asarray, index)
    return jax.lax.map(one, index, batch_size=512)


@jax.jit
def predict_ahead(
    world: WorldModel, z: Latent, windows: Transition
) -> Float[Array, "B *obs"]:
    """Return the observation decoded after all steps of each window.

    Args:
        world: world model.
        z: the latents of the first observations.
        windows: [B, L, ...]; the actions are used.

    Returns:
        [B, *obs_shape].
    """

    def one(row: tuple[Array, Transition]) -> Array:
        def step(z: Array, joint: Any) -> tuple[Array, None]:
            return world.next(z, *joint), None

        z, window = row
        joint = window.action, window.others
        z, _ = jax.lax.scan(step, z, joint)
        return world.decode(z)

    return jax.lax.map(one, (z, windows), batch_size=512)


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


# -- opponents and values --------------------------------------------------------------


def opponent_table(
    config: RunConfig,
    model: LearnedOpponents,
    roster: Sequence[dict[str, str | int]],
    buffer: BufferState,
    beliefs: Beliefs,
    expected: Float[Array, "E T N others A"],
    index: Index,
) -> list[dict[str, Any]]:
    """Return the quality of predicted actions, for each player of the data as an opponent.

    Args:
        config: of the run.
        model: opponent model with types.
        roster: the players of the data.
        buffer: held-out play.
        beliefs: [E, T+1, N, N-1, G].
        expected: [E, T, N, N-1, A], probabilities predicted from play.
        index: of the transitions.

    Returns:
        For each player: `top1`, how often the likeliest action was played; `log_loss` in
        nats; `ece`, the expected calibration error of the likeliest action's probability;
        and `log_loss_true_type`, that of `model` given the true goal or type.
    """
    at = gather(buffer, index)
    types = known_types(config, model, at, beliefs, index)
    given_type = np.asarray(
        jax.jit(jax.vmap(model.expected_policy))(types, at.obs)
    )
    inferred = np.asarray(expected[index])  # [B, N-1, A]
    others, player = np.asarray(at.others), np.asarray(at.player)[:, 1:]
    rows = []
    for number, entry in enumerate(roster):
        chosen = (player == number) & (others != ABSENT)
        if not chosen.any():
            continue
        taken, probs = others[chosen], inferred[chosen]
        correct = probs.argmax(-1) == taken
        rows.append(
            {
                "player": entry["name"],
                "top1": float(correct.mean()),
                "ece": calibration(probs.max(-1), correct)[0],
                "log_loss": _log_loss(probs, taken),
                "log_loss_true_type": _log_loss(given_type[chosen], taken),
                "count": int(chosen.sum()),
            }
        )
    return rows


def _log_loss(probs: np.ndarray, taken: np.ndarray) -> float:
    """Return the mean of -log `probs` [B, A] of the actions `taken` [B]."""
    prob = np.take_along_axis(probs, taken[:, None], 1)
    return float(-np.log(np.maximum(prob, 1e-9)).mean())


def agent_value_table(run: "Run") -> list[dict[str, Any]]:
    """Return the error of the agent's values in its own play among the players of the data.

    Values of the best action are about the agent's own play, so that returns of the data's
    players do not measure their error.

    Args:
        run: a run with its networks.

    Returns:
        One row, as `value_table`; none if the data's players cannot be constructed.
    """
    game, seed = run.game, run.config.seed
    names = [str(entry["name"]) for entry in run.roster]
    players = players_in_file(names, game, run.trust)
    scripted = tuple(
        p for p in players.values() if isinstance(p, ScriptedPlayer)
    )
    if not scripted:
        return []
    weights = (1.0,) * len(scripted)
    drawn = Mixture(players=scripted, weights=weights, name="anyone")
    seated = [run.agent(), *[drawn] * (game.num_players - 1)]
    lineup = seat_players(game, seated, OWN_EPISODES, seed)
    watch = int(lineup.seating[0, 0])
    played = play(game, lineup, seed, watch=watch, chunk=PLANNING_CHUNK)
    log = played.episodes
    value = played.actor_outputs.plan.scores[:, :, 0].max(-1)  # [E, T]
    acted = log.action[:, :, 0] != ABSENT
    returns, later = np.zeros(acted.shape), np.zeros(OWN_EPISODES)
    for t in reversed(range(acted.shape[1])):
        later = log.reward[:, t, 0] + run.config.train.gamma * later
        returns[:, t] = later
    return [_value_row("agent", value[acted], returns[acted])]


def value_table(
    run: "Run", buffer: BufferState, beliefs: Beliefs, index: Index
) -> list[dict[str, Any]]:
    """Return the error of the value function against discounted returns, by player of the data.

    Args:
        run: a run with its networks.
        buffer: held-out play.
        beliefs: [E, T+1, N, N-1, G].
        index: of the transitions.

    Returns:
        For each player: root mean square error, bias, correlation (None if constant) and the
        number of transitions, of its value head.
    """
    train_state: Any = run.train_state
    at = gather(buffer, index)
    length = buffer.episodes.action.shape[1]
    full_return = partial(n_step_return, run.config.train, n_step=length)
    returns = np.asarray(jax.jit(full_return)(buffer.episodes, index)[0])
    z = logged_latents_in_parts(train_state.world, buffer, index)
    values = np.asarray(_values(train_state.world, z, at.obs, beliefs[index]))
    player = np.asarray(at.player)[:, 0]
    by_player = run.config.model.value_heads == "player"
    head = player if by_player else np.zeros_like(player)
    value = np.take_along_axis(values, head[:, None], 1)[:, 0]
    rows = []
    for number, entry in enumerate(run.roster):
        chosen = player == number
        if chosen.any():
            name = str(entry["name"])
            rows.append(_value_row(name, value[chosen], returns[chosen]))
    return rows


@jax.jit
def _values(world: WorldModel, z: Array, obs: Array, beliefs: Array) -> Array:
    return jax.lax.map(
        lambda row: world.value(*row), (z, obs, beliefs), batch_size=512
    )


def _value_row(
    player: str, value: np.ndarray, returns: np.ndarray
) -> dict[str, Any]:
    error = value - returns
    correlation = None
    if value.std() > 0 and returns.std() > 0:
        correlation = float(np.corrcoef(value, returns)[0, 1])
    return {
        "player": player,
        "rmse": float(np.sqrt((error**2).mean())),
        "bias": float(error.mean()),
        "correlation": correlation,
        "count": len(value),
    }
