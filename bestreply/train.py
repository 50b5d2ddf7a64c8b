"""Training: first the model of the others, then the world model and its value, which is told what that model believes."""

import dataclasses
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
from bestreply.config import RunConfig, TrainConfig
from bestreply.console import meter
from bestreply.data.augment import draw_symmetry, turn
from bestreply.data.moa_buffer import BufferState, Index, all_indices, draw_index, fill, gather, gather_window
from bestreply.games.base import Game
from bestreply.metrics import MetricsLog
from bestreply.model.losses import data_target, expected_target, opponent_losses, total_loss, value_loss, world_losses
from bestreply.model.opponent import LearnedOpponents
from bestreply.model.world import WorldModel
from bestreply.plan.one_step import joint_actions
from bestreply.types import ABSENT, Episodes, Transition, ego_order

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
    opponent_updates: Array  # [] int32, gradient steps made
    updates: Array  # [] int32


# -- beginnings ----------------------------------------------------------------------------------------------------------------


def goals_of(config: RunConfig, game: Game, roster: list[dict[str, Any]]) -> tuple[str, ...]:
    """What the model of the others is conditioned on, by name."""
    return {"none": ("anyone",), "goal": game.goals, "player": tuple(p["name"] for p in roster)}[config.model.opponent_goal]


def start_learner(config: RunConfig, game: Game, roster: list[dict[str, Any]]) -> Learner:
    """Untrained networks for `game`, drawn from the run's seed."""
    opponent_key, world_key = jax.random.split(jax.random.key(config.seed))
    goals = len(goals_of(config, game, roster))
    heads = len(roster) if config.model.value_heads == "player" else 1
    opponents = LearnedOpponents.create(game, config.model, goals, key=opponent_key, leak=config.planner.leak)
    world = WorldModel(game, config.model, goals=goals, heads=heads, key=world_key)
    return Learner(
        opponents=opponents,
        world=world,
        slow=jax.tree.map(jnp.copy, world),
        opponent_optimiser=optimiser(config.train, config.train.opponent_updates).init(_weights(opponents.net)),
        world_optimiser=optimiser(config.train, config.train.updates).init(_weights(world)),
        opponent_updates=jnp.int32(0),
        updates=jnp.int32(0),
    )


def optimiser(config: TrainConfig, updates: int) -> optax.GradientTransformation:
    """AdamW under a clipped gradient, with warm-up and cosine decay to a tenth."""
    peak, warm = config.learning_rate, max(updates // 50, 1)
    schedule = optax.warmup_cosine_decay_schedule(0.0, peak, warm, max(updates, warm + 1), peak / 10)
    return optax.chain(optax.clip_by_global_norm(config.clip), optax.adamw(schedule, weight_decay=config.weight_decay))


def _weights(tree: Any, like: Any = None) -> Any:
    """The trainable leaves of `tree`: all floats but the units of the value. `like`: the model that a gradient belongs to."""
    model = tree if like is None else like
    floats = jax.tree.map(eqx.is_inexact_array, model)
    if isinstance(model, WorldModel):
        floats = eqx.tree_at(lambda w: (w.value_mean, w.value_scale), floats, (False, False))
    return eqx.filter(tree, floats)


def set_value_units(learner: Learner, config: RunConfig, episodes: Episodes) -> Learner:
    """Gives each value head the mean and deviation of the discounted returns that its players had in `episodes`."""
    index = all_indices(episodes)
    whole = dataclasses.replace(config.train, n_step=episodes.action.shape[1])
    returns = np.asarray(jax.jit(partial(n_step_return, whole))(episodes, index)[0])
    heads = learner.world.value_scale.shape[0]
    head = np.asarray(episodes.player)[index.row, index.seat] if config.model.value_heads == "player" else 0 * index.seat
    mine = [returns[head == k] if (head == k).any() else returns for k in range(heads)]
    mean = jnp.asarray([x.mean() for x in mine], jnp.float32)
    scale = jnp.asarray([max(x.std(), 1e-2) for x in mine], jnp.float32)
    where = (lambda s: s.world.value_mean, lambda s: s.world.value_scale, lambda s: s.slow.value_mean, lambda s: s.slow.value_scale)
    return eqx.tree_at(lambda s: tuple(w(s) for w in where), learner, (mean, scale, jnp.copy(mean), jnp.copy(scale)))


# -- one gradient step of each phase -------------------------------------------------------------------------------------------


def labels(config: RunConfig, at: Transition) -> Array:
    """[..., N-1] int32: the goal or type of each other player, as the model of the others counts them."""
    others = {"none": jnp.zeros_like(at.player), "goal": at.goal, "player": at.player}[config.model.opponent_goal]
    return others[..., 1:]


def opponent_loss(model: LearnedOpponents, batch: Transition, goal: Array) -> Array:
    """Mean of -log pi_hat_j(a_j | o, g_j) over those that acted."""
    losses, acted = jax.vmap(partial(opponent_losses, model))(batch.obs, batch.others, goal)
    return losses.sum() / jnp.maximum(acted.sum(), 1)


def opponent_step(config: RunConfig, buffer: BufferState, learner: Learner, key: Array) -> tuple[Learner, dict[str, Array]]:
    """One gradient step for the model of the others."""
    draw_key, turn_key = jax.random.split(key)
    batch = gather(buffer, draw_index(buffer, draw_key, config.train.batch))
    batch, _ = turned(config, learner.opponents.game, batch, None, turn_key)

    def loss(net: Any) -> Array:
        return opponent_loss(eqx.tree_at(lambda m: m.net, learner.opponents, net), batch, labels(config, batch))

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


def turned(config: RunConfig, game: Game, batch: Transition, belief: Any, key: Array) -> tuple[Transition, Any]:
    """A batch [B, ...] of steps or windows and the beliefs [B, N-1, G] at their start, each under a random symmetry of the game."""
    symmetries = game.symmetries() if config.train.symmetries else None
    if symmetries is None:
        return batch, belief
    which = draw_symmetry(symmetries, key, batch.obs.shape[0])
    batch = jax.vmap(partial(turn, symmetries))(which, batch)
    if belief is not None:
        belief = jnp.take_along_axis(belief, jnp.asarray(symmetries.others)[which][..., None], 1)
    return batch, belief


class Targets(NamedTuple):
    """What the value is fitted to, for a batch."""

    y: Array  # [B] float32
    head: Array  # [B] int32, the value head of the player that acted
    belief: Array  # [B, N-1, G], at o_t


def value_targets(
    config: RunConfig, learner: Learner, buffer: BufferState, beliefs: Array, index: Index, at: Transition, key: Array
) -> Targets:
    """TD targets of the specification; `at` [B] are the transitions at `index`, `beliefs` [E, T+1, N, N-1, G]."""
    head = at.player[:, 0] if config.model.value_heads == "player" else jnp.zeros_like(at.seat)
    belief = beliefs[index]
    if config.train.target == "expected":
        return Targets(_expected_targets(config, learner, at, belief, head, key), head, belief)
    reward, discount, end = n_step_return(config.train, buffer.episodes, index)
    row, _, seat = index
    obs = buffer.episodes.obs[row, end, seat]
    after = jax.vmap(lambda o, b: learner.slow.value(learner.slow.encode(o), o, b))(obs, beliefs[row, end, seat])
    value = jnp.take_along_axis(after, head[:, None], 1)[:, 0]
    return Targets(data_target(reward, discount, value), head, belief)


def n_step_return(config: TrainConfig, episodes: Episodes, index: Index) -> tuple[Array, Array, Array]:
    """Discounted rewards of up to n steps of the seat's own episode, the discount of what follows, and the step that follows [B].

    The discount is gamma^m (1 - terminated): a step limit ends nothing, unless `config.at_limit` says so.
    """
    row, t, seat = index
    steps = t[:, None] + jnp.arange(config.n_step)  # [B, n]
    steps = jnp.minimum(steps, episodes.action.shape[1] - 1)
    again = jnp.arange(config.n_step) + t[:, None] != steps  # past the last row
    acted = (episodes.action[row[:, None], steps, seat[:, None]] != ABSENT) & ~again
    rewards = jnp.where(acted, episodes.reward[row[:, None], steps, seat[:, None]], 0.0)
    total = (rewards * config.gamma ** jnp.arange(config.n_step)).sum(1)
    count = acted.sum(1)
    last = t + count - 1
    goes_on = ~episodes.terminated[row, last, seat]
    if config.at_limit == "zero":
        goes_on &= ~episodes.truncated[row, last]
    return total, goes_on * config.gamma**count, t + count


def _expected_targets(config: RunConfig, learner: Learner, at: Transition, belief: Array, head: Array, key: Array) -> Array:
    goes_on = ~at.terminated
    if config.train.at_limit == "zero":
        goes_on &= ~at.truncated
    model = learner.opponents

    def one(at: Transition, belief: Array, head: Array, goes_on: Array, key: Array) -> Array:
        probs = model.predict(belief, at.obs, at.legal)
        joint, weights = joint_actions(probs, at.present[1:], key, config.planner)

        def believed(others: Array) -> Array:
            return model.posterior(model.update(belief, at.obs, jnp.concatenate([at.action[None], others]), at.present))

        moved = jax.vmap(believed)(joint)
        return expected_target(learner.slow, at, joint, weights, moved, head, goes_on * config.train.gamma)

    return jax.vmap(one)(at, belief, head, goes_on, jax.random.split(key, len(head)))


def world_loss(world: WorldModel, config: RunConfig, windows: Transition, obs: Array, targets: Targets) -> tuple[Array, dict[str, Array]]:
    """The weighted sum of all losses and each by name: the value's over `obs` [V, ...], the others' over windows [B, L, ...]."""
    losses = jax.tree.map(jnp.mean, jax.vmap(partial(world_losses, world))(windows))
    value = jax.vmap(partial(value_loss, world))(obs, targets.belief, targets.head, targets.y)
    losses = losses | {"value": value.mean()}
    return total_loss(losses, config.train.weights), losses


def world_step(
    config: RunConfig, buffer: BufferState, beliefs: Array, learner: Learner, key: Array
) -> tuple[Learner, dict[str, Array]]:
    """One gradient step for the world model and its value; the target network follows slowly."""
    window_key, value_key, target_key, turn_key, turn_value_key = jax.random.split(key, 5)
    game = learner.opponents.game
    windows = gather_window(buffer, draw_index(buffer, window_key, config.train.batch), config.train.unroll)
    windows, _ = turned(config, game, windows, None, turn_key)
    index = draw_index(buffer, value_key, config.train.value_batch)
    at = gather(buffer, index)
    targets = value_targets(config, learner, buffer, beliefs, index, at, target_key)
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
    rate = config.train.target_rate
    slow = jax.tree.map(lambda old, new: old + rate * (new - old) if eqx.is_inexact_array(old) else old, learner.slow, world)
    learner = eqx.tree_at(
        lambda s: (s.world, s.slow, s.world_optimiser, s.updates), learner, (world, slow, state, learner.updates + 1)
    )
    return learner, {f"world/{name}": value for name, value in losses.items()}


# -- beliefs along the data ----------------------------------------------------------------------------------------------------


@jax.jit
def follow_beliefs(model: LearnedOpponents, episodes: Episodes) -> Array:
    """[E, T+1, N, N-1, G]: what every seat believes about the others before each step of every episode."""
    order = jnp.asarray(ego_order(episodes.action.shape[2]))

    def seat(obs: Array, action: Array, present: Array, ego: Array) -> Array:
        def step(belief: Array, at: Any) -> tuple[Array, Array]:
            o, a, p, s = at
            after = model.update(belief, o[s], a[ego], p[ego])
            return after, model.posterior(belief)

        steps = (obs[:-1], action, present[:-1], jnp.broadcast_to(ego[0], action.shape[:1]))
        last, before = jax.lax.scan(step, model.init(), steps)
        return jnp.concatenate([before, model.posterior(last)[None]])

    def episode(args: Any) -> Array:
        return jax.vmap(partial(seat, *args))(order).swapaxes(0, 1)

    return jax.lax.map(episode, (episodes.obs, episodes.action, episodes.present), batch_size=256)


# -- the loop ------------------------------------------------------------------------------------------------------------------

Step = Callable[[RunConfig, Any, Learner, Array], tuple[Learner, dict[str, Array]]]


@partial(jax.jit, static_argnames=("config", "step", "updates"), donate_argnames=("learner",))
def _updates(config: RunConfig, step: Step, data: Any, learner: Learner, seed: Array, first: Array, updates: int) -> Any:
    """`updates` gradient steps as one program; update number u draws from a key made of (seed, u) alone."""

    def body(learner: Learner, number: Array) -> tuple[Learner, dict[str, Array]]:
        return step(config, data, learner, jax.random.fold_in(seed, number))

    learner, metrics = jax.lax.scan(body, learner, first + jnp.arange(updates))
    return learner, jax.tree.map(lambda x: x.mean(0), metrics)


def _opponent_phase(config: RunConfig, data: Any, learner: Learner, key: Array) -> Any:
    return opponent_step(config, data, learner, key)


def _world_phase(config: RunConfig, data: Any, learner: Learner, key: Array) -> Any:
    buffer, beliefs = data
    return world_step(config, buffer, beliefs, learner, key)


class Phase(NamedTuple):
    """A stretch of training."""

    name: str
    step: Step
    counter: str  # the field of `Learner` that counts its updates
    updates: int


def _run_phase(phase: Phase, config: RunConfig, data: Any, learner: Learner, save: Callable[[Learner], None], log: MetricsLog) -> Learner:
    """Trains to the end of `phase` in blocks of `log_every`; logs after each block, saves after each `checkpoint_every`."""
    done = int(getattr(learner, phase.counter))
    seed = jax.random.fold_in(jax.random.key(config.seed), {"opponents": 1, "world": 2}[phase.name])
    with meter(f"train: {phase.name}", phase.updates - done, "updates") as progress:
        while done < phase.updates:
            block = min(config.train.log_every, phase.updates - done)
            learner, metrics = _updates(config, phase.step, data, learner, seed, jnp.int32(done), block)
            done += block
            log.write(phase.name, done, {name: float(value) for name, value in metrics.items()})
            saving = done % config.train.checkpoint_every < block or done == phase.updates
            if saving:
                save(learner)
            progress.advance(block)
    return learner


def split_episodes(episodes: Episodes, holdout: float, seed: int) -> tuple[Episodes, Episodes]:
    """Training and held-out episodes, drawn by `seed`; at least one of each."""
    total = len(episodes.length)
    if total < 2:
        raise ValueError(f"{total} episodes to learn from; wanted: at least 2, one of them held out")
    held = min(max(round(total * holdout), 1), total - 1)
    order = np.random.default_rng(seed).permutation(total)
    return tuple(jax.tree.map(lambda x, i=i: x[i], episodes) for i in (np.sort(order[held:]), np.sort(order[:held])))  # type: ignore[return-value]


def train(data: "Store", config: RunConfig, *, path: str | Path | None = None, resume: bool = False, command: str | None = None) -> "Run":
    """Fits the models to a store and writes a run directory.

    With `resume`, goes on from the run's newest checkpoint to the same bits as an uninterrupted run.

    Raises ValueError where the configuration names another game than the store's, or `resume` finds another configuration.
    """
    from bestreply.diagnostics import diagnose
    from bestreply.run import open_run

    run = open_run(path, config, data, resume=resume, command=command)
    game = run.game
    episodes, held_out = split_episodes(data.episodes(), config.train.holdout, config.seed)
    learner = start_learner(config, game, run.roster)
    if resume and checkpoint.list_checkpoints(run.path / "checkpoints"):
        learner = run.restore(learner)
    steps = int(episodes.length.sum())
    log = MetricsLog(run.path, steps, {"opponents": config.train.opponent_updates, "world": config.train.updates})
    log.rewind({"opponents": int(learner.opponent_updates), "world": int(learner.updates)})

    def save(learner: Learner) -> None:
        log.flush()
        checkpoint.save_checkpoint(run.path / "checkpoints", int(learner.opponent_updates) + int(learner.updates), learner)

    buffer = fill(episodes)
    learner = _run_phase(
        Phase("opponents", _opponent_phase, "opponent_updates", config.train.opponent_updates), config, buffer, learner, save, log
    )
    beliefs = follow_beliefs(learner.opponents, buffer.episodes)
    learner = set_value_units(learner, config, buffer.episodes)
    learner = _run_phase(
        Phase("world", _world_phase, "updates", config.train.updates), config, (buffer, beliefs), learner, save, log
    )
    log.close()
    run = run.with_learner(learner)
    diagnose(run, held_out)
    return run
