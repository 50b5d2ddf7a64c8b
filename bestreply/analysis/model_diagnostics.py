"""Can the models be trusted? Held-out losses, open-loop predictions entity by entity, opponent predictions, value errors."""

from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

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
from bestreply.players.zoo import ZOO, make_player
from bestreply.replay.moa_buffer import (
    BufferState,
    Index,
    all_indices,
    fill,
    gather,
    gather_window,
)
from bestreply.training.losses import world_losses
from bestreply.training.targets import n_step_return
from bestreply.training.updates import labels, opponent_loss
from bestreply.types import ABSENT, Episodes, Transition

if TYPE_CHECKING:
    from bestreply.run import Run

HORIZONS = (1, 3, 5, 10)
MOST = 20_000  # transitions looked at for each table


def diagnose(run: "Run", held_out: Episodes) -> dict[str, Any]:
    """Return measures of the run's models on held-out episodes, the content of diagnostics.json (docs/files.md)."""
    assert run.train_state is not None
    buffer, index = (
        fill(held_out),
        _some(all_indices(held_out), MOST, run.config.seed),
    )
    beliefs = follow_beliefs(run.train_state.opponents, buffer.episodes)
    expected = follow_predictions(run.opponents(), buffer.episodes)
    read = follow_beliefs(run.opponents(), buffer.episodes)
    result = {
        "heldout": heldout_losses(run, buffer, beliefs, index),
        "open_loop": open_loop(run.game, run.train_state.world, buffer, index),
        "opponent": opponent_table(
            run.config,
            run.train_state.opponents,
            run.roster,
            buffer,
            beliefs,
            expected,
            index,
        ),
        "value": value_table(run, buffer, beliefs, index)
        if run.config.model.value_heads != "action"
        else agent_value_table(run),
    }
    if opponent_types(run.config.model).logged is None:
        weights = label_weights(
            run.config, run.train_state.opponents, buffer.episodes
        )
        result["codes"] = code_table(run.roster, held_out, beliefs, weights)
    elif (
        believed := belief_table(
            run.config, run.train_state.opponents, held_out, read
        )
    ) is not None:
        result["belief"] = believed
    return result


def _some(index: Index, most: int, seed: int) -> Index:
    if len(index.row) <= most:
        return index
    chosen = np.sort(
        np.random.default_rng(seed).choice(len(index.row), most, replace=False)
    )
    return Index(*(x[chosen] for x in index))


def told(
    config: RunConfig,
    model: LearnedOpponents,
    at: Transition,
    beliefs: Array,
    index: Index,
) -> Float[Array, "B others G"]:
    """Certainty of the goals or types of the others, or, where nobody labels them, what is believed of them at the episode's end."""
    truth = labels(config, at)
    return (
        beliefs[index.row, -1, index.seat]
        if truth is None
        else jax.nn.one_hot(truth, model.goals)
    )


def heldout_losses(
    run: "Run", buffer: BufferState, beliefs: Array, index: Index
) -> dict[str, float]:
    """Each loss of training over held-out transitions."""
    train_state: Any = run.train_state
    windows = gather_window(buffer, index, 1)
    limit_ends = run.config.train.at_limit == "zero"
    losses = jax.jit(
        lambda w, at: jax.tree.map(
            jnp.mean,
            jax.vmap(partial(world_losses, w, limit_ends=limit_ends))(at),
        )
    )(train_state.world, windows)
    at = jax.tree.map(lambda x: x[:, 0], windows)
    log_loss = jax.jit(opponent_loss)(
        train_state.opponents,
        at,
        told(run.config, train_state.opponents, at, beliefs, index),
    )
    return {name: float(value) for name, value in losses.items()} | {
        "log_loss": float(log_loss)
    }


# -- several steps ahead -------------------------------------------------------------------------------------------------------


def open_loop(
    game: Game, world: WorldModel, buffer: BufferState, index: Index
) -> list[dict[str, Any]]:
    """Predictions k steps ahead from one observation and the actions that were played, for each kind of entity.

    For a plane of 0/1 entries `accuracy` is the share of windows in which the whole plane is right (after rounding) and `recall`
    the share of its ones that are there: did it lose a hunter? Other observations are one entity, "observation": `accuracy` is the
    share of entries within a tenth of the entry's range, and there is no recall.
    """
    count = (np.asarray(buffer.episodes.action) != ABSENT).sum(1)[
        index.row, index.seat
    ]
    rows = []
    for steps in HORIZONS:
        enough = np.flatnonzero(index.step + steps <= count)
        if not len(enough):
            continue
        windows = gather_window(
            buffer, Index(*(x[enough] for x in index)), steps
        )
        predicted = np.asarray(predict_ahead(world, windows))
        truth = np.asarray(windows.next_obs[:, -1])
        rows += [
            {"steps": steps, **row, "count": len(enough)}
            for row in _compare(game, predicted, truth)
        ]
    return rows


@jax.jit
def predict_ahead(world: WorldModel, windows: Transition) -> Array:
    """[B, *obs_shape]: the observation decoded after all steps of windows [B, L, ...], from their first observation alone."""

    def one(window: Transition) -> Array:
        def step(z: Array, joint: Any) -> tuple[Array, None]:
            return world.next(z, *joint), None

        z, _ = jax.lax.scan(
            step, world.encode(window.obs[0]), (window.action, window.others)
        )
        return world.decode(z)

    return jax.lax.map(one, windows, batch_size=512)


def _compare(
    game: Game, predicted: np.ndarray, truth: np.ndarray
) -> list[dict[str, Any]]:
    binary = (
        game.binary.reshape(-1, game.obs_shape[-1]).all(0)
        if game.planes
        else np.zeros(1, bool)
    )
    if not binary.any():
        span = np.maximum(np.ptp(truth, axis=0), 1e-6)
        return [
            {
                "entity": "observation",
                "accuracy": float(
                    (abs(predicted - truth) <= 0.1 * span).mean()
                ),
                "recall": None,
            }
        ]
    rows = []
    for plane in np.flatnonzero(binary):
        there, seen = truth[..., plane] > 0.5, predicted[..., plane] > 0.5
        right = (there == seen).reshape(len(there), -1).all(1).mean()
        recall = (
            float((there & seen).sum() / there.sum()) if there.any() else None
        )
        rows.append(
            {
                "entity": game.planes[plane],
                "accuracy": float(right),
                "recall": recall,
            }
        )
    return rows


# -- the others, and the value -------------------------------------------------------------------------------------------------


def opponent_table(
    config: RunConfig,
    model: LearnedOpponents,
    roster: list[dict[str, Any]],
    buffer: BufferState,
    beliefs: Array,
    expected: Float[Array, "E T N others A"],
    index: Index,
) -> list[dict[str, Any]]:
    """For each player of the data as an opponent: how often its likeliest `expected` action was played, -log of what was played, and how
    far from their frequency the probabilities of the likeliest are (expected calibration error).

    `log_loss_told` is that of the `model` of types when told the player's goal or type.
    """
    at = gather(buffer, index)
    expect = jax.jit(jax.vmap(model.expect))
    believed = np.asarray(expected[index])  # [B, N-1, A]
    knowing = np.asarray(
        expect(told(config, model, at, beliefs, index), at.obs)
    )
    others, player = np.asarray(at.others), np.asarray(at.player)[:, 1:]
    rows = []
    for number, entry in enumerate(roster):
        mine = (player == number) & (others != ABSENT)
        if not mine.any():
            continue
        taken = others[mine][:, None]
        right = believed[mine].argmax(-1) == taken[:, 0]
        loss, loss_told = (
            -np.log(
                np.maximum(np.take_along_axis(p[mine], taken, 1), 1e-9)
            ).mean()
            for p in (believed, knowing)
        )
        rows.append(
            {
                "player": entry["name"],
                "top1": float(right.mean()),
                "ece": calibration(believed[mine].max(-1), right)[0],
                "log_loss": float(loss),
                "log_loss_told": float(loss_told),
                "count": int(mine.sum()),
            }
        )
    return rows


PLAYED = 256
"""Episodes of the agent's own play to judge its values by."""


def agent_value_table(run: "Run") -> list[dict[str, Any]]:
    """The value of the agent's choice against the discounted returns that it then had, in play among the players of the data.

    Values of the best action are about the agent's own play: what the data's players had is no measure of them. Empty where none of
    those players can be made again.
    """
    from bestreply.simulation.lineup import seat_players
    from bestreply.simulation.loop import PLANNING_CHUNK, play

    others = [
        make_player(e["name"], run.game)
        for e in run.roster
        if e["name"].partition("(")[0] in ZOO
    ]
    scripted = tuple(p for p in others if isinstance(p, ScriptedPlayer))
    if not scripted:
        return []
    drawn = Mixture(
        players=scripted, weights=(1.0,) * len(scripted), name="anyone"
    )
    lineup = seat_players(
        run.game,
        [run.agent(), *[drawn] * (run.game.num_players - 1)],
        PLAYED,
        run.config.seed,
    )
    played = play(
        run.game,
        lineup,
        run.config.seed,
        watch=int(lineup.seating[0, 0]),
        chunk=PLANNING_CHUNK,
    )
    log, value = (
        played.episodes,
        played.actor_outputs.plan.scores[:, :, 0].max(-1),
    )  # [E, T]
    acted, later = log.action[:, :, 0] != ABSENT, np.zeros(PLAYED)
    returns = np.zeros(acted.shape)
    for t in reversed(range(acted.shape[1])):
        returns[:, t] = later = (
            log.reward[:, t, 0] + run.config.train.gamma * later
        )
    return [_value_row("agent", value[acted], returns[acted])]


def value_table(
    run: "Run", buffer: BufferState, beliefs: Array, index: Index
) -> list[dict[str, Any]]:
    """For each player of the data: its value head against the discounted returns that it then had."""
    train_state: Any = run.train_state
    at = gather(buffer, index)
    whole = partial(
        n_step_return, run.config.train, n_step=buffer.episodes.action.shape[1]
    )
    returns = np.asarray(jax.jit(whole)(buffer.episodes, index)[0])
    values = jax.jit(
        jax.vmap(
            lambda o, b: train_state.world.value(
                train_state.world.encode(o), o, b
            )
        )
    )(at.obs, beliefs[index])
    player = np.asarray(at.player)[:, 0]
    head = (
        player
        if run.config.model.value_heads == "player"
        else np.zeros_like(player)
    )
    value = np.take_along_axis(np.asarray(values), head[:, None], 1)[:, 0]
    rows = []
    for number, entry in enumerate(run.roster):
        mine = player == number
        if not mine.any():
            continue
        rows.append(_value_row(entry["name"], value[mine], returns[mine]))
    return rows


def _value_row(
    player: str, value: np.ndarray, returns: np.ndarray
) -> dict[str, Any]:
    error = value - returns
    varies = value.std() > 0 and returns.std() > 0
    return {
        "player": player,
        "rmse": float(np.sqrt((error**2).mean())),
        "bias": float(error.mean()),
        "correlation": float(np.corrcoef(value, returns)[0, 1])
        if varies
        else None,
        "count": len(value),
    }
