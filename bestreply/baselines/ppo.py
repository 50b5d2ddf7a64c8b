"""Proximal policy optimisation (Schulman et al., 2017) in the game itself, without a model.

The policy plays every seat in turn, among players drawn as in the data, for as many
environment steps as the data has. Advantages are generalised advantage estimates
(Schulman et al., 2016). With memory, it can infer the types of the other players.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Bool, Float, Int, Int32, Key, PyTree

from bestreply.baselines.policy import ActorCritic, PolicyMethod, PolicyPlayer
from bestreply.config import RunConfig
from bestreply.games.base import Game
from bestreply.replay.moa_buffer import BufferState
from bestreply.run import Run
from bestreply.simulation.lineup import drawn_players, seat_players
from bestreply.simulation.loop import play
from bestreply.training.divergence import check_finite
from bestreply.training.phases import Seeds, Write, updates_made
from bestreply.training.state import trainable
from bestreply.types import ABSENT, Array, Episodes, ego_order
from bestreply.utils.console import meter

EPISODES = 64
"""Episodes played between two rounds of learning."""
EPOCHS = 4
"""Passes over the episodes of a round."""
MINIBATCHES = 4
"""Gradient steps in an epoch."""
LEARNING_RATE = 1e-3
"""Initial learning rate of Adam; it decays linearly to 0 with the budget."""
FIXED_RATE = "PPO's learning rate is fixed; scale the rewards of the game"
"""Advice where training diverges."""
CLIP_RATIO = 0.2
"""Largest deviation of a probability ratio from 1 in the surrogate."""
ENTROPY_WEIGHT = 0.01
"""Initial weight of the entropy bonus; it decays linearly to 0 with the budget."""
GAE_LAMBDA = 0.95
"""lambda of the generalised advantage estimates."""
PLAY_STREAM = 1_500_450_271
"""Number of the stream of random draws of the policy's own play."""


class PPOState(eqx.Module):
    """The state that training changes."""

    net: ActorCritic
    optimiser: PyTree
    scale: Float[
        Array, ""
    ]  # unit of the critic's values, a root mean square return
    env_steps: Int32[Array, ""]  # environment steps played
    updates: Int32[Array, ""]  # rounds of learning


class Batch(NamedTuple):
    """Steps of the policy's own seat: E episodes of T steps."""

    obs: Array  # [E, T+1, *obs_shape]
    legal: Array  # [E, T+1, A]
    before: Array  # [E, T+1, N] int32, the previous joint action, ego first
    action: Array  # [E, T] int32, ABSENT where it did not act
    prob: Array  # [E, T], probability of the action
    reward: Array  # [E, T]
    ends: Array  # [E, T] bool, no value follows this step


class PPO(PolicyMethod):
    """Trains a policy without memory by its own play."""

    greedy = True
    can_batch = False
    recurrent = False

    def init(
        self, config: RunConfig, game: Game, key: Key[Array, ""]
    ) -> PPOState:
        net = ActorCritic.create(
            game, config.model, recurrent=self.recurrent, key=key
        )
        state = _optimiser().init(trainable(net))
        return PPOState(net, state, jnp.float32(0), jnp.int32(0), jnp.int32(0))

    def updates(
        self, config: RunConfig, train_state: PPOState
    ) -> dict[str, tuple[int, int]]:
        """Return the rounds of learning; their total is not known before the end: 0.

        Args:
            config: configuration of the run.
            train_state: its train state.
        """
        return {"policy": (updates_made(train_state, "updates"), 0)}

    def fit(
        self,
        run: Run,
        buffer: BufferState,
        train_state: PPOState,
        save: Callable[[PPOState], None],
        write: Write,
        seeds: Seeds = None,
    ) -> PPOState:
        """Play and learn until the policy has played as many steps as the data has.

        Args:
            run: the run.
            buffer: not read.
            train_state: the state to continue from.
            save: writes a checkpoint of a train state.
            write: logs metrics.
            seeds: not read; seeds are trained one at a time.

        Returns:
            The trained state.

        Raises:
            Diverged: a metric or a parameter is not finite after a round.
        """
        config, budget = run.config, run.provenance["env_steps"]
        played = int(train_state.env_steps)
        save_every = max(config.train.checkpoint_every // 10, 1)
        with meter("train: policy", budget - played, "steps") as progress:
            while played < budget:
                batch, steps = _play(config, run.game, train_state)
                budget_left = jnp.float32(max(1 - played / budget, 0))
                train_state, metrics = _learn(
                    config, train_state, batch, budget_left, jnp.int32(steps)
                )
                played, number = played + steps, int(train_state.updates)
                values = {name: float(x) for name, x in metrics.items()}
                write("policy", number, values, played)
                check_finite(
                    "policy", number, number, values, train_state, FIXED_RATE
                )
                if number % save_every == 0 or played >= budget:
                    save(train_state)
                progress.advance(steps)
        return train_state


class RecurrentPPO(PPO):
    """Trains a policy with memory by its own play."""

    recurrent = True


def _optimiser() -> optax.GradientTransformation:
    """Return Adam; its updates are multiplied by the rest of the budget where applied."""
    return optax.chain(
        optax.clip_by_global_norm(0.5), optax.adam(LEARNING_RATE, eps=1e-5)
    )


def _play(
    config: RunConfig, game: Game, train_state: PPOState
) -> tuple[Batch, int]:
    """Return steps of one round of play, and its number of environment steps."""
    player = PolicyPlayer(net=train_state.net, game=game, name="ppo")
    players = [player, *[drawn_players(config)] * (game.num_players - 1)]
    entropy = [config.seed, PLAY_STREAM, int(train_state.updates)]
    seed = int(np.random.default_rng(entropy).integers(2**31))
    lineup = seat_players(game, players, EPISODES, seed, rotate=True)
    episodes = play(game, lineup, seed, chunk=EPISODES).episodes
    # `rotate` seats the first player in every seat in turn.
    seat = np.arange(len(episodes.length)) % game.num_players
    limit_ends = config.train.at_limit == "zero"
    return own_play(episodes, seat, limit_ends), int(episodes.length.sum())


def own_play(
    episodes: Episodes, seat: Int[np.ndarray, " E"], limit_ends: bool
) -> Batch:
    """Return the steps of one seat of each episode.

    Args:
        episodes: E episodes of T steps.
        seat: the seat of each episode.
        limit_ends: whether no value follows the step limit.

    Returns:
        The steps of these seats.
    """

    def of_seat(x: Array) -> Array:  # [E, T, N, ...] -> [E, T, ...]
        return np.asarray(x)[np.arange(len(seat)), :, seat]

    action = np.asarray(episodes.action)
    ego = ego_order(action.shape[2])[seat]  # [E, N]
    joint = np.take_along_axis(action, ego[:, None], 2)
    first = np.full_like(joint[:, :1], ABSENT)
    truncated = np.asarray(episodes.truncated)
    return Batch(
        obs=of_seat(episodes.obs),
        legal=of_seat(episodes.legal),
        before=np.concatenate([first, joint], 1),
        action=of_seat(episodes.action),
        prob=np.nan_to_num(of_seat(episodes.prob), nan=1.0),
        reward=of_seat(episodes.reward),
        ends=of_seat(episodes.terminated) | (truncated & limit_ends),
    )


@partial(jax.jit, static_argnames=("config",))
def _learn(
    config: RunConfig,
    train_state: PPOState,
    batch: Batch,
    budget_left: Float[Array, ""],
    steps: Int32[Array, ""],
) -> tuple[PPOState, dict[str, Array]]:
    """Make `EPOCHS` passes over one round of play of `steps` environment steps."""
    along = jax.vmap(train_state.net.along)
    values = along(batch.obs, batch.legal, batch.before)[1] * train_state.scale
    acted = batch.action != ABSENT
    advantage = gae(batch, values, config.train.gamma, GAE_LAMBDA)
    returns = advantage + values[:, :-1]
    scale = _next_scale(train_state.scale, returns, acted)

    def update(carry: Any, rows: Int[Array, " M"]) -> tuple[Any, Any]:
        net, state = carry
        part, adv, y = jax.tree.map(
            lambda x: x[rows], (batch, advantage, returns / scale)
        )
        (_, parts), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(
            net, part, adv, y, budget_left
        )
        change, state = _optimiser().update(
            trainable(gradient, net), state, trainable(net)
        )
        change = jax.tree.map(lambda x: budget_left * x, change)
        return (eqx.apply_updates(net, change), state), parts

    key = jax.random.fold_in(jax.random.key(config.seed), train_state.updates)
    (net, state), parts = jax.lax.scan(
        update,
        (train_state.net, train_state.optimiser),
        _minibatches(len(batch.action), key),
    )
    metrics = {f"policy/{name}": value.mean() for name, value in parts.items()}
    metrics["policy/return"] = jnp.where(acted, batch.reward, 0).sum(1).mean()
    env_steps = train_state.env_steps + steps
    train_state = PPOState(
        net, state, scale, env_steps, train_state.updates + 1
    )
    return train_state, metrics


def _next_scale(
    scale: Float[Array, ""],
    returns: Float[Array, "E T"],
    acted: Bool[Array, "E T"],
) -> Float[Array, ""]:
    """Return the moving average of the root mean square return, at least 0.01."""
    total = jnp.where(acted, returns**2, 0).sum()
    deviation = jnp.sqrt(total / jnp.maximum(acted.sum(), 1))
    moved = 0.95 * scale + 0.05 * deviation
    return jnp.maximum(jnp.where(scale == 0, deviation, moved), 1e-2)


def _minibatches(episodes: int, key: Key[Array, ""]) -> Int[Array, "U M"]:
    """Return the episodes of each gradient step of all epochs, in random order."""
    orders = jax.vmap(lambda k: jax.random.permutation(k, episodes))(
        jax.random.split(key, EPOCHS)
    )
    size = max(episodes // MINIBATCHES, 1)
    return orders[:, : episodes // size * size].reshape(-1, size)


def gae(
    batch: Batch, values: Float[Array, "E T1"], gamma: float, lam: float
) -> Float[Array, "E T"]:
    """Return generalised advantage estimates (Schulman et al., 2016).

    Args:
        batch: E episodes of T steps.
        values: V at each step and after the last.
        gamma: discount of a step.
        lam: lambda of the estimates.

    Returns:
        The advantages; 0 at steps without an own action.
    """
    acted = batch.action != ABSENT
    discount = gamma * ~batch.ends
    delta = batch.reward + discount * values[:, 1:] - values[:, :-1]
    delta = jnp.where(acted, delta, 0)
    discount = jnp.where(acted, discount, 0)

    def backwards(
        after: Array, step: tuple[Array, Array]
    ) -> tuple[Array, Array]:
        delta, discount = step
        advantage = delta + lam * discount * after
        return advantage, advantage

    last = jnp.zeros(len(delta))
    steps = delta.T, discount.T
    return jax.lax.scan(backwards, last, steps, reverse=True)[1].T


def loss(
    net: ActorCritic,
    batch: Batch,
    advantage: Float[Array, "E T"],
    y: Float[Array, "E T"],
    budget_left: Float[Array, ""],
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Return the clipped surrogate loss (eq. 7 and 9) and its parts.

    Args:
        net: policy and critic.
        batch: E episodes of T steps.
        advantage: advantage of each action.
        y: target of the critic, in its unit.
        budget_left: fraction of the budget that is still to be played; it multiplies
            the entropy bonus.

    Returns:
        The loss, and its parts surrogate, value and entropy.
    """
    acted = batch.action != ABSENT

    def mean(x: Float[Array, "E T"]) -> Float[Array, ""]:
        return jnp.where(acted, x, 0).sum() / jnp.maximum(acted.sum(), 1)

    logs, values = jax.vmap(net.along)(batch.obs, batch.legal, batch.before)
    logs, values = logs[:, :-1], values[:, :-1]
    action = jnp.maximum(batch.action, 0)[..., None]
    log_prob = jnp.take_along_axis(logs, action, 2)[..., 0]
    ratio = jnp.exp(log_prob - jnp.log(jnp.maximum(batch.prob, 1e-8)))
    centred = advantage - mean(advantage)
    advantage = centred / (jnp.sqrt(mean(centred**2)) + 1e-8)
    clipped = jnp.clip(ratio, 1 - CLIP_RATIO, 1 + CLIP_RATIO)
    policy = -mean(jnp.minimum(ratio * advantage, clipped * advantage))
    value = mean((values - y) ** 2)
    entropy = mean(-(jnp.exp(logs) * jnp.maximum(logs, -30)).sum(2))
    total = policy + 0.5 * value - budget_left * ENTROPY_WEIGHT * entropy
    return total, {"surrogate": policy, "value": value, "entropy": entropy}
