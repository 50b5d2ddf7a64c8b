"""Training: first the model of the others, then the world model and its value, which is told what that model believes."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from bestreply import checkpoint
from bestreply.compilation import cache_compilations
from bestreply.config import RunConfig, TrainConfig
from bestreply.console import meter
from bestreply.data.augment import draw_symmetry, turn, turn_action, turn_obs
from bestreply.data.moa_buffer import BufferState, Index, all_indices, draw_index, fill, gather, gather_window
from bestreply.games.base import Game
from bestreply.metrics import MetricsLog
from bestreply.model.dreams import Dream, Dreamt, begin_many, dream_batch, no_dreams
from bestreply.model.losses import opponent_losses, total_loss, value_loss, world_losses
from bestreply.model.opponent import LearnedOpponents
from bestreply.model.targets import (
    Minds,
    Targets,
    follow_beliefs,
    improved_target,
    logged_steps,
    n_step_return,
    policy_ratios,
    value_targets,
)
from bestreply.model.world import WorldModel
from bestreply.types import Episodes, Transition

if TYPE_CHECKING:
    from bestreply.data.store import Store
    from bestreply.run import Run


class Learner(eqx.Module):
    """All that training changes: what a checkpoint holds."""

    opponents: LearnedOpponents
    world: WorldModel
    slow: WorldModel  # the slow target network
    opponent_optimiser: Any
    world_optimiser: Any
    value_optimiser: Any  # of the phase that fits the value alone
    dreams: Dream | None  # [D, ...], the imagined games of that phase
    opponent_updates: Array  # [] int32, gradient steps made
    updates: Array  # [] int32
    value_updates: Array  # [] int32


# -- beginnings ----------------------------------------------------------------------------------------------------------------


def goals_of(config: RunConfig, game: Game, roster: list[dict[str, Any]]) -> tuple[str, ...]:
    """What the model of the others is conditioned on, by name."""
    return {"none": ("anyone",), "goal": game.goals, "player": tuple(p["name"] for p in roster)}[
        config.model.opponent_goal
    ]


def start_learner(config: RunConfig, game: Game, roster: list[dict[str, Any]]) -> Learner:
    """Untrained networks for `game`, drawn from the run's seed."""
    goals = len(goals_of(config, game, roster))
    return _fresh(config, game, goals, len(roster), jax.random.key(config.seed))


@partial(
    jax.jit, static_argnames=("config", "game", "goals", "heads")
)  # else every weight's shape compiles apart
def _fresh(config: RunConfig, game: Game, goals: int, heads: int, key: Array) -> Learner:
    opponent_key, world_key = jax.random.split(key)
    opponents = LearnedOpponents.create(game, config.model, goals, key=opponent_key, leak=config.planner.leak)
    world = WorldModel(game, config.model, goals=goals, heads=heads, key=world_key)
    opponent_transform = optimiser(config.train, config.train.opponent_updates)
    return Learner(
        opponents=opponents,
        world=world,
        slow=world,
        opponent_optimiser=opponent_transform.init(_weights(opponents.net)),
        world_optimiser=optimiser(config.train, config.train.updates).init(_weights(world)),
        value_optimiser=optimiser(config.train, config.train.value_updates).init(_weights(world.value_net)),
        dreams=no_dreams(config.train, game, goals) if config.train.target == "improved" else None,
        opponent_updates=jnp.int32(0),
        updates=jnp.int32(0),
        value_updates=jnp.int32(0),
    )


def optimiser(config: TrainConfig, updates: int) -> optax.GradientTransformation:
    """AdamW under a clipped gradient, with warm-up and cosine decay to a tenth."""
    peak, warm = config.learning_rate, max(updates // 50, 1)
    schedule = optax.warmup_cosine_decay_schedule(0.0, peak, warm, max(updates, warm + 1), peak / 10)
    return optax.chain(
        optax.clip_by_global_norm(config.clip), optax.adamw(schedule, weight_decay=config.weight_decay)
    )


def _weights(tree: Any, like: Any = None) -> Any:
    """The trainable leaves of `tree`: all floats but the units of the value. `like`: the model that a gradient belongs to."""
    model = tree if like is None else like
    floats = jax.tree.map(eqx.is_inexact_array, model)
    if isinstance(model, WorldModel):
        floats = eqx.tree_at(lambda w: (w.value_mean, w.value_scale), floats, (False, False))
    return eqx.filter(tree, floats)


NO_VALUE = -1e6
"""The value of a head whose player has no play in the data yet: no planner follows it."""


def set_units(learner: Learner, config: RunConfig, episodes: Episodes) -> Learner:
    """Takes from `episodes` what the networks count in: how often each goal was met, and each value head's returns.

    The prior of the model of the others becomes the share of each goal or type; the units of a head the mean and deviation of the
    discounted returns that its player had; those of values of actions, for each goal or type, of the returns had among such others.
    """
    index = all_indices(episodes)
    whole = partial(n_step_return, config.train, n_step=episodes.action.shape[1])
    returns = np.asarray(jax.jit(whole)(episodes, index)[0])
    player = np.asarray(episodes.player)[index.row, index.seat]
    mean, scale = _units(learner, config, episodes, index, returns)
    met = {"none": np.zeros_like(player), "goal": np.asarray(episodes.goal)[index], "player": player}[
        config.model.opponent_goal
    ]
    counts = np.bincount(met[met >= 0], minlength=learner.opponents.goals)
    prior = jnp.asarray(counts / counts.sum(), jnp.float32)

    def places(s: Learner) -> Any:
        return (
            s.opponents.prior,
            s.world.value_mean,
            s.world.value_scale,
            s.slow.value_mean,
            s.slow.value_scale,
        )

    return eqx.tree_at(places, learner, (prior, mean, scale, jnp.copy(mean), jnp.copy(scale)))


def _units(
    learner: Learner, config: RunConfig, episodes: Episodes, index: Index, returns: np.ndarray
) -> tuple[Array, Array]:
    """Means and deviations of `returns` [B], as `WorldModel.value_mean` and `value_scale` want them."""
    count, player = learner.world.value_scale.shape[0], np.asarray(episodes.player)[index.row]  # [B, N]
    own = np.arange(player.shape[1]) == index.seat[:, None]
    if config.model.value_heads == "action":
        kinds = {
            "none": np.zeros_like(player),
            "goal": np.asarray(episodes.goal)[index.row, index.step],
            "player": player,
        }[config.model.opponent_goal]
        weights = np.stack([((kinds == k) & ~own).sum(1) for k in range(count)]).astype(np.float64)
    elif config.model.value_heads == "player":
        weights = np.stack([((player == k) & own).sum(1) for k in range(count)]).astype(np.float64)
    else:
        weights = np.ones((1, len(returns)))
    total = weights.sum(1)
    there, total = total > 0, np.maximum(total, 1e-9)
    mean = weights @ returns / total
    deviation = np.sqrt(np.maximum(weights @ returns**2 / total - mean**2, 0))
    nothing = 0.0 if config.model.value_heads == "action" else NO_VALUE
    mean, scale = np.where(there, mean, nothing), np.where(there, np.maximum(deviation, 1e-2), 1.0)
    return jnp.asarray(mean, jnp.float32), jnp.asarray(scale, jnp.float32)


# -- one gradient step of each phase -------------------------------------------------------------------------------------------


def labels(config: RunConfig, at: Transition) -> Array:
    """[..., N-1] int32: the goal or type of each other player, as the model of the others counts them."""
    others = {"none": jnp.zeros_like(at.player), "goal": at.goal, "player": at.player}[
        config.model.opponent_goal
    ]
    return others[..., 1:]


def opponent_loss(model: LearnedOpponents, batch: Transition, goal: Array) -> Array:
    """Mean of -log pi_hat_j(a_j | o, g_j) over those that acted."""
    losses, acted = jax.vmap(partial(opponent_losses, model))(batch.obs, batch.others, goal)
    return losses.sum() / jnp.maximum(acted.sum(), 1)


def opponent_step(
    config: RunConfig, buffer: BufferState, learner: Learner, key: Array
) -> tuple[Learner, dict[str, Array]]:
    """One gradient step for the model of the others."""
    draw_key, turn_key = jax.random.split(key)
    batch = gather(buffer, draw_index(buffer, draw_key, config.train.batch))
    batch, _ = turned(config, learner.opponents.game, batch, None, turn_key)

    def loss(net: Any) -> Array:
        return opponent_loss(
            eqx.tree_at(lambda m: m.net, learner.opponents, net), batch, labels(config, batch)
        )

    value, gradient = eqx.filter_value_and_grad(loss)(learner.opponents.net)
    transform = optimiser(config.train, config.train.opponent_updates)
    change, state = transform.update(gradient, learner.opponent_optimiser, _weights(learner.opponents.net))
    net = eqx.apply_updates(learner.opponents.net, change)
    learner = eqx.tree_at(
        lambda s: (s.opponents.net, s.opponent_optimiser, s.opponent_updates),
        learner,
        (net, state, learner.opponent_updates + 1),
    )
    return learner, {"opponent/log_loss": value}


def turned(
    config: RunConfig, game: Game, batch: Transition, belief: Any, key: Array
) -> tuple[Transition, Any]:
    """A batch [B, ...] of steps or windows and the beliefs [B, N-1, G] at their start, each under a random symmetry of the game."""
    symmetries = game.symmetries() if config.train.symmetries else None
    if symmetries is None:
        return batch, belief
    which = draw_symmetry(symmetries, key, batch.obs.shape[0])
    batch = jax.vmap(partial(turn, symmetries))(which, batch)
    if belief is not None:
        belief = jnp.take_along_axis(belief, jnp.asarray(symmetries.others)[which][..., None], 1)
    return batch, belief


def world_loss(
    world: WorldModel, config: RunConfig, windows: Transition, obs: Array, targets: Targets | None
) -> tuple[Array, dict[str, Array]]:
    """The weighted sum of all losses and each by name: the value's over `obs` [V, ...], the others' over windows [B, L, ...].

    Without `targets` the value is left alone: it has a phase of its own.
    """
    each_window = partial(world_losses, world, limit_ends=config.train.at_limit == "zero")
    losses = jax.tree.map(jnp.mean, jax.vmap(each_window)(windows))
    if targets is None:
        losses = losses | {"value": jnp.float32(0)}
        return total_loss(losses, config.train.weights), losses
    heads = jnp.arange(targets.y.shape[1])
    each = jax.vmap(lambda o, b, y: jax.vmap(partial(value_loss, world, o, b))(heads, y))(
        obs, targets.belief, targets.y
    )
    losses = losses | {"value": (targets.weight * each).sum(1).mean()}
    return total_loss(losses, config.train.weights), losses


def world_step(
    config: RunConfig, buffer: BufferState, minds: Minds, learner: Learner, key: Array
) -> tuple[Learner, dict[str, Array]]:
    """One gradient step for the world model and, unless it has a phase of its own, its value; the target network follows slowly."""
    window_key, value_key, target_key, turn_key, turn_value_key = jax.random.split(key, 5)
    game = learner.opponents.game
    windows = gather_window(buffer, draw_index(buffer, window_key, config.train.batch), config.train.unroll)
    windows, _ = turned(config, game, windows, None, turn_key)
    at, targets = windows, None
    if config.train.target != "improved":
        index = draw_index(buffer, value_key, config.train.value_batch)
        at = gather(buffer, index)
        targets = value_targets(config, learner.slow, learner.opponents, buffer, minds, index, at, target_key)
        at, belief = turned(config, game, at, targets.belief, turn_value_key)
        targets = targets._replace(belief=belief)
    (_, losses), gradient = eqx.filter_value_and_grad(world_loss, has_aux=True)(
        learner.world, config, windows, at.obs, targets
    )
    gradient = _weights(gradient, learner.world)
    change, state = optimiser(config.train, config.train.updates).update(
        gradient, learner.world_optimiser, _weights(learner.world)
    )
    world = eqx.apply_updates(learner.world, change)
    slow = follow(config, learner.slow, world)
    learner = eqx.tree_at(
        lambda s: (s.world, s.slow, s.world_optimiser, s.updates),
        learner,
        (world, slow, state, learner.updates + 1),
    )
    return learner, {f"world/{name}": value for name, value in losses.items()}


def follow(config: RunConfig, slow: Any, online: Any) -> Any:
    """The slow target network, a little nearer to the online one."""
    rate = config.train.target_rate
    return jax.tree.map(
        lambda old, new: old + rate * (new - old) if eqx.is_inexact_array(old) else old, slow, online
    )


def value_step(
    config: RunConfig, buffer: BufferState, minds: Minds, learner: Learner, key: Array
) -> tuple[Learner, dict[str, Array]]:
    """One gradient step for the values of actions, on logged and on imagined steps; every imagined game goes one step further."""
    index_key, told_key, dream_key, turn_key = jax.random.split(key, 4)
    game, world = learner.opponents.game, learner.world
    index = draw_index(buffer, index_key, config.train.value_batch)
    at = gather(buffer, index)
    logged = logged_steps(config.train, minds, at, index, labels(config, at), told_key)
    assert learner.dreams is not None
    dreams, dreamt = dream_batch(config.train, world, learner.opponents, buffer, learner.dreams, dream_key)
    steps = jax.tree.map(lambda *x: jnp.concatenate(x), logged, dreamt)
    steps = turned_steps(config, game, steps, turn_key)
    y = jax.vmap(partial(improved_target, config.train, world, learner.slow, game))(steps)

    def loss(net: Any) -> Array:
        fitted = eqx.tree_at(lambda w: w.value_net, world, net)
        return jax.vmap(partial(value_loss, fitted))(steps.obs, steps.belief, steps.action, y).mean()

    value, gradient = eqx.filter_value_and_grad(loss)(world.value_net)
    transform = optimiser(config.train, config.train.value_updates)
    change, state = transform.update(gradient, learner.value_optimiser, _weights(world.value_net))
    net = eqx.apply_updates(world.value_net, change)
    learner = eqx.tree_at(
        lambda s: (s.world.value_net, s.slow.value_net, s.value_optimiser, s.dreams, s.value_updates),
        learner,
        (net, follow(config, learner.slow.value_net, net), state, dreams, learner.value_updates + 1),
    )
    return learner, {"value/value": value}


def turned_steps(config: RunConfig, game: Game, steps: Dreamt, key: Array) -> Dreamt:
    """Steps [B, ...], each under a random symmetry of the game."""
    symmetries = game.symmetries() if config.train.symmetries else None
    if symmetries is None:
        return steps

    def one(which: Array, step: Dreamt) -> Dreamt:
        order = jnp.asarray(symmetries.others)[which]
        return step._replace(
            obs=turn_obs(symmetries, which, step.obs),
            belief=step.belief[order],
            action=turn_action(symmetries, which, step.action),
            next_obs=turn_obs(symmetries, which, step.next_obs),
            next_belief=step.next_belief[order],
        )

    return jax.vmap(one)(draw_symmetry(symmetries, key, len(steps.action)), steps)


# -- the loop ------------------------------------------------------------------------------------------------------------------

Step = Callable[[RunConfig, Any, Learner, Array], tuple[Learner, dict[str, Array]]]


@partial(jax.jit, static_argnames=("config", "step", "updates"), donate_argnames=("learner",))
def _updates(
    config: RunConfig, step: Step, data: Any, learner: Learner, seed: Array, first: Array, updates: int
) -> Any:
    """`updates` gradient steps as one program; update number u draws from a key made of (seed, u) alone."""

    def body(learner: Learner, number: Array) -> tuple[Learner, dict[str, Array]]:
        return step(config, data, learner, jax.random.fold_in(seed, number))

    learner, metrics = jax.lax.scan(body, learner, first + jnp.arange(updates))
    return learner, jax.tree.map(lambda x: x.mean(0), metrics)


def _opponent_phase(config: RunConfig, data: Any, learner: Learner, key: Array) -> Any:
    return opponent_step(config, data, learner, key)


def _world_phase(config: RunConfig, data: Any, learner: Learner, key: Array) -> Any:
    buffer, minds = data
    return world_step(config, buffer, minds, learner, key)


def _value_phase(config: RunConfig, data: Any, learner: Learner, key: Array) -> Any:
    buffer, minds = data
    return value_step(config, buffer, minds, learner, key)


class Phase(NamedTuple):
    """A stretch of training. `counter` names its updates, both those to make (`TrainConfig`) and those made (`Learner`)."""

    name: str
    step: Step
    counter: str


OPPONENTS = Phase("opponents", _opponent_phase, "opponent_updates")
WORLD = Phase("world", _world_phase, "updates")
VALUE = Phase("value", _value_phase, "value_updates")


def _phases(config: TrainConfig) -> tuple[Phase, ...]:
    return (OPPONENTS, WORLD, VALUE) if config.target == "improved" else (OPPONENTS, WORLD)


def _run_phase(
    phase: Phase,
    config: RunConfig,
    data: Any,
    learner: Learner,
    save: Callable[[Learner], None],
    log: MetricsLog,
) -> Learner:
    """Trains to the end of `phase` in blocks of `log_every`; logs after each block, saves after each `checkpoint_every`."""
    done, updates = int(getattr(learner, phase.counter)), getattr(config.train, phase.counter)
    seed = jax.random.fold_in(
        jax.random.key(config.seed), {"opponents": 1, "world": 2, "value": 3}[phase.name]
    )
    with meter(f"train: {phase.name}", updates - done, "updates") as progress:
        while done < updates:
            block = min(config.train.log_every, updates - done)
            learner, metrics = _updates(config, phase.step, data, learner, seed, jnp.int32(done), block)
            done += block
            log.write(phase.name, done, {name: float(value) for name, value in metrics.items()})
            saving = done % config.train.checkpoint_every < block or done == updates
            if saving:
                save(learner)
            progress.advance(block)
    return learner


def read_minds(config: RunConfig, model: LearnedOpponents, episodes: Episodes) -> Minds:
    """What the trained model of the others makes of `episodes`."""
    wanted = (
        config.train.off_policy > 0 and config.model.value_heads == "player" == config.model.opponent_goal
    )
    ratios = policy_ratios(model, episodes, config.train.most_ratio) if wanted else None
    if ratios is not None:
        ratios = ratios * (model.prior > 0)  # a player without play in the data has no value to be taught yet
    return Minds(follow_beliefs(model, episodes), ratios)


def split_episodes(episodes: Episodes, holdout: float, seed: int) -> tuple[Episodes, Episodes]:
    """Training and held-out episodes, drawn by `seed`; at least one of each. ValueError for fewer than 2."""
    total = len(episodes.length)
    if total < 2:
        raise ValueError(f"{total} episodes to learn from; wanted: at least 2, one of them held out")
    held = (
        np.random.default_rng(seed).random(total) < holdout
    )  # an episode's lot does not change when more are added
    if held.all() or not held.any():
        held = np.arange(total) == 0
    return jax.tree.map(lambda x: x[~held], episodes), jax.tree.map(lambda x: x[held], episodes)


def train(
    data: "Store",
    config: RunConfig,
    *,
    path: str | Path | None = None,
    start: "Run | None" = None,
    resume: bool = False,
    command: str | None = None,
) -> "Run":
    """Fits the models to a store and writes a run directory.

    Args:
        data: the play to learn from; its game is the configuration's.
        path: the run directory; by default a new one in ``runs/``.
        start: a run whose networks to begin with, of the same configuration and roster.
        resume: go on from the newest checkpoint in `path`, to the same bits as an uninterrupted run.

    Raises ValueError where the configuration names another game than the store's, or `resume` finds another configuration.
    """
    from bestreply.diagnostics import diagnose
    from bestreply.run import open_run

    if (config.train.target == "improved") != (config.model.value_heads == "action"):
        raise ValueError(
            f'train.target="{config.train.target}" with model.value_heads="{config.model.value_heads}"; wanted: "improved" with '
            '"action", or neither'
        )
    cache_compilations()
    run = open_run(path, config, data, resume=resume, command=command)
    episodes, held_out = split_episodes(data.episodes(), config.train.holdout, config.seed)
    buffer = fill(episodes)
    learner = _begin(run, start, episodes)
    if resume and checkpoint.list_checkpoints(run.path / "checkpoints"):
        learner = run.restore(learner)
    phases = _phases(config.train)

    def made(learner: Learner) -> dict[str, int]:
        return {phase.name: int(getattr(learner, phase.counter)) for phase in phases}

    wanted = {phase.name: getattr(config.train, phase.counter) for phase in phases}
    log = MetricsLog(run.path, data.manifest.steps, wanted, start and start.path)
    log.rewind(made(learner))

    def save(learner: Learner) -> None:
        log.flush()
        checkpoint.save_checkpoint(run.path / "checkpoints", sum(made(learner).values()), learner)

    learner = _run_phase(OPPONENTS, config, buffer, learner, save, log)
    minds = read_minds(config, learner.opponents, buffer.episodes)
    for phase in phases[1:]:
        if phase is VALUE and not int(learner.value_updates):
            learner = _fall_asleep(config, learner, buffer)
        learner = _run_phase(phase, config, (buffer, minds), learner, save, log)
    log.close()
    run = run.with_learner(learner)
    diagnose(run, held_out)
    return run


def _fall_asleep(config: RunConfig, learner: Learner, buffer: BufferState) -> Learner:
    """The first imagined games, and a slow value network that starts as the online one."""
    key = jax.random.fold_in(jax.random.key(config.seed), 4)
    dreams = begin_many(config.train, learner.opponents, buffer, key, config.train.dreams)
    slow = jax.tree.map(jnp.copy, learner.world)
    return eqx.tree_at(lambda s: (s.dreams, s.slow), learner, (dreams, slow))


def _begin(run: "Run", start: "Run | None", episodes: Episodes) -> Learner:
    """Fresh networks, or those of `start` with fresh optimisers and counters."""
    learner = jax.tree.map(
        jnp.copy, start_learner(run.config, run.game, run.roster)
    )  # donated: nothing shared
    if start is not None and start.learner is not None:
        nets = jax.tree.map(jnp.copy, (start.learner.opponents, start.learner.world, start.learner.slow))
        learner = eqx.tree_at(lambda s: (s.opponents, s.world, s.slow), learner, nets)
    return set_units(learner, run.config, episodes)
