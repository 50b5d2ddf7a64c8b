"""Errors of a run's models on held-out play: losses, open-loop predictions, opponents, values."""

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from bestreply.analysis.belief_calibration import (
    belief_table,
    calibration,
    code_table,
)
from bestreply.analysis.index_rows import (
    AT_ONCE,
    map_rows,
    most_rows,
    padded,
    room_for,
)
from bestreply.analysis.open_loop import MAX_TRANSITIONS, open_loop
from bestreply.config import RunConfig
from bestreply.models.images import MAX_FLAT_ENTRIES
from bestreply.models.world_model import WorldModel
from bestreply.opponents.base import OpponentModel
from bestreply.opponents.filtering import follow_both
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
)
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import PLANNING_CHUNK, play
from bestreply.training.losses import opponent_losses, world_losses
from bestreply.training.opponent_updates import logged_types
from bestreply.training.targets import (
    history_steps,
    logged_latents,
    n_step_return,
    with_history,
)
from bestreply.types import ABSENT, Episodes, Transition, obs_at
from bestreply.utils.quick import quickly

if TYPE_CHECKING:
    from bestreply.run import Run

Beliefs = Float[Array, "E T1 N others G"]
"""Held before each step of each seat about each other player, and at the end."""

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
    room = len(held_out.length)
    if math.prod(run.game.obs_shape) <= MAX_FLAT_ENTRIES:
        room = room_for(room, run.game)  # seeds hold out different numbers
    buffer = fill(held_out, capacity=room)
    most = most_rows(run.game, MAX_TRANSITIONS)
    index = _sample(all_indices(held_out), most, config.seed)
    filtered, expected = _follow(run.opponents(), buffer.episodes)
    beliefs = filtered
    if run.opponents() is not model:
        beliefs = _follow(model, buffer.episodes)[0]
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
        result["codes"] = code_table(
            run.roster, buffer.episodes, beliefs, weights
        )
    else:
        belief = belief_table(config, model, buffer.episodes, filtered)
        if belief is not None:
            result["belief"] = belief
    return result


@quickly()
def _follow(
    model: OpponentModel, episodes: Episodes
) -> tuple[Beliefs, Float[Array, "E T N others A"]]:
    """Return beliefs before each step and at the end, and predictions before each step."""
    return follow_both(model, episodes)


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
    count, rows = len(index.row), padded(index, run.game)
    losses, log_loss, weight = jax.device_get(
        _row_losses(
            run.config,
            (train_state.world, train_state.opponents),
            buffer,
            beliefs,
            rows,
        )
    )
    means = {k: float(v[:count].mean()) for k, v in losses.items()}
    total = max(float(weight[:count].sum()), 1e-6)
    return means | {"log_loss": float(log_loss[:count].sum()) / total}


@quickly(static_argnames="config")
def _row_losses(
    config: RunConfig,
    models: tuple[WorldModel, LearnedOpponents],
    buffer: BufferState,
    beliefs: Beliefs,
    index: Index,
) -> tuple[dict[str, Array], Array, Array]:
    """Return losses [B] of the world model, and those of the opponent model with weights."""
    world, model = models
    history = history_steps(world)
    limit_ends = config.train.at_limit == "zero"
    losses = partial(
        world_losses, world, limit_ends=limit_ends, history=history
    )

    def part(index: Index) -> tuple[dict[str, Array], Array, Array]:
        window = with_history(buffer, index, history)
        at = jax.tree.map(lambda x: x[:, -1], window)
        types = known_types(config, model, at, beliefs, index)
        log_loss, weight = jax.vmap(partial(opponent_losses, model))(
            at.obs, at.others, types
        )
        return jax.vmap(losses)(window), log_loss.sum(1), weight.sum(1)

    # Windows of images or of a history are large.
    large = history or math.prod(world.obs_shape) > MAX_FLAT_ENTRIES
    return map_rows(part, index, 128 if large else AT_ONCE)


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
    count, all_rows = len(index.row), padded(index, model.game)
    at, given_type = jax.device_get(
        _policies_given_type(config, model, buffer, beliefs, all_rows)
    )
    given_type = given_type[:count]
    inferred = np.asarray(expected)[index]  # [B, N-1, A]
    others, player = at.others[:count], at.player[:count, 1:]
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


@quickly(static_argnames="config")
def _policies_given_type(
    config: RunConfig,
    model: LearnedOpponents,
    buffer: BufferState,
    beliefs: Beliefs,
    index: Index,
) -> tuple[Transition, Float[Array, "B others A"]]:
    """Return the transitions, without observations, and policies given the known types."""

    def part(index: Index) -> tuple[Transition, Array]:
        at = gather(buffer, index)
        types = known_types(config, model, at, beliefs, index)
        policy = jax.vmap(model.expected_policy)(types, at.obs)
        rest = eqx.tree_at(lambda t: (t.obs, t.next_obs), at, (None, None))
        return rest, policy

    return map_rows(part, index)


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
    count, all_rows = len(index.row), padded(index, run.game)
    values, returns = jax.device_get(
        _values(run.config, train_state.world, buffer, beliefs, all_rows)
    )
    values, returns = values[:count], returns[:count]
    player = np.asarray(buffer.episodes.player)[index.row, index.seat]
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


@quickly(static_argnames="config")
def _values(
    config: RunConfig,
    world: WorldModel,
    buffer: BufferState,
    beliefs: Beliefs,
    index: Index,
) -> tuple[Float[Array, "B K"], Float[Array, " B"]]:
    """Return values of logged observations, and the returns that followed."""
    episodes = buffer.episodes

    def part(index: Index) -> tuple[Array, Array]:
        row, step, seat = index
        obs = obs_at(episodes.obs, (row, step, seat))
        z = logged_latents(world, episodes, index)
        returns = n_step_return(
            config.train, episodes, index, episodes.action.shape[1]
        )[0]
        value = jax.vmap(world.value)(z, obs, beliefs[row, step, seat])
        return value, returns

    return map_rows(part, index)


def _value_row(
    player: str, value: np.ndarray, returns: np.ndarray
) -> dict[str, Any]:
    # In float32 the mean of equal numbers can differ from them.
    value, returns = value.astype(np.float64), returns.astype(np.float64)
    error = value - returns
    correlation = None
    if np.ptp(value) > 0 and np.ptp(returns) > 0:
        correlation = float(np.corrcoef(value, returns)[0, 1])
    return {
        "player": player,
        "rmse": float(np.sqrt((error**2).mean())),
        "bias": float(error.mean()),
        "correlation": correlation,
        "count": len(value),
    }
