"""Errors of a run's models on held-out play: losses, open-loop predictions, opponents, values."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from bestreply.analysis.belief_calibration import (
    belief_table,
    calibration,
    code_table,
)
from bestreply.config import RunConfig
from bestreply.games.base import Game
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
from bestreply.training.targets import n_step_return
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
    index = _sample(all_indices(held_out), MAX_TRANSITIONS, config.seed)
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
    windows = gather_window(buffer, index, 1)
    limit_ends = run.config.train.at_limit == "zero"
    losses = _mean_world_losses(train_state.world, windows, limit_ends)
    at = jax.tree.map(lambda x: x[:, 0], windows)
    model = train_state.opponents
    types = known_types(run.config, model, at, beliefs, index)
    log_loss = jax.jit(opponent_loss)(model, at, types)
    means = {name: float(value) for name, value in losses.items()}
    return means | {"log_loss": float(log_loss)}


@partial(jax.jit, static_argnums=2)
def _mean_world_losses(
    world: WorldModel, windows: Transition, limit_ends: bool
) -> dict[str, Array]:
    losses = partial(world_losses, world, limit_ends=limit_ends)
    return jax.tree.map(jnp.mean, jax.vmap(losses)(windows))


# -- several steps ahead ---------------------------------------------------------------


def open_loop(
    game: Game, world: WorldModel, buffer: BufferState, index: Index
) -> list[dict[str, Any]]:
    """Return the accuracy of predictions k steps ahead, by kind of entity.

    Predictions start from one observation and follow the actions that were played. For a
    plane of 0/1 entries, `accuracy` is the share of windows whose whole plane is correct
    after rounding, and `recall` the share of its ones that are predicted. Any other
    observation is one entity, "observation": `accuracy` is the share of entries within a
    tenth of the entry's range, and `recall` is None.

    Args:
        game: the game.
        world: world model.
        buffer: held-out play.
        index: of the first transitions.

    Returns:
        A row for each of `HORIZONS` and each entity.
    """
    acted = np.asarray(buffer.episodes.action) != ABSENT
    length = acted.sum(1)[index.row, index.seat]
    rows = []
    for steps in HORIZONS:
        enough = np.flatnonzero(index.step + steps <= length)
        if not len(enough):
            continue
        chosen = Index(*(x[enough] for x in index))
        windows = gather_window(buffer, chosen, steps)
        predicted = np.asarray(predict_ahead(world, windows))
        truth = np.asarray(windows.next_obs[:, -1])
        rows += [
            {"steps": steps, **row, "count": len(enough)}
            for row in _compare(game, predicted, truth)
        ]
    return rows


@jax.jit
def predict_ahead(
    world: WorldModel, windows: Transition
) -> Shaped[Array, "B *obs"]:
    """Return the observation decoded after all steps of each window.

    Args:
        world: world model.
        windows: [B, L, ...]; only the first observation is used.

    Returns:
        [B, *obs_shape].
    """

    def one(window: Transition) -> Array:
        def step(z: Array, joint: Any) -> tuple[Array, None]:
            return world.next(z, *joint), None

        joint = window.action, window.others
        z, _ = jax.lax.scan(step, world.encode(window.obs[0]), joint)
        return world.decode(z)

    return jax.lax.map(one, windows, batch_size=512)


def _compare(
    game: Game, predicted: np.ndarray, truth: np.ndarray
) -> list[dict[str, Any]]:
    binary = np.zeros(1, bool)
    if game.planes:
        binary = game.binary.reshape(-1, game.obs_shape[-1]).all(0)
    if not binary.any():
        span = np.maximum(np.ptp(truth, axis=0), 1e-6)
        accuracy = float((abs(predicted - truth) <= 0.1 * span).mean())
        row = {"entity": "observation", "accuracy": accuracy, "recall": None}
        return [row]
    rows = []
    for plane in np.flatnonzero(binary):
        ones, predicted_ones = (
            truth[..., plane] > 0.5,
            predicted[..., plane] > 0.5,
        )
        equal = (ones == predicted_ones).reshape(len(ones), -1).all(1)
        recall = None
        if ones.any():
            recall = float((ones & predicted_ones).sum() / ones.sum())
        rows.append(
            {
                "entity": game.planes[plane],
                "accuracy": float(equal.mean()),
                "recall": recall,
            }
        )
    return rows


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
    values = np.asarray(_values(train_state.world, at.obs, beliefs[index]))
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
def _values(world: WorldModel, obs: Array, beliefs: Array) -> Array:
    def one(obs: Array, belief: Array) -> Array:
        return world.value(world.encode(obs), obs, belief)

    return jax.vmap(one)(obs, beliefs)


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
