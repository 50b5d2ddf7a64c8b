"""Logged play as rows, one for each step of each seat, and policies cloned from it."""

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Bool, Float, Float32, Int

from bestreply.models.networks import MLP, linear
from bestreply.types import ABSENT, Array, Episodes, ego_order

HIDDEN = (64, 64)
BATCH = 256
UPDATES = 2000
LEARNING_RATE = 3e-3
MIN_LOGIT = -1e9


class Trajectories(NamedTuple):
    """Logged play of M seats of episodes, from the first step to the last; seats ego-first."""

    obs: np.ndarray  # [M, T, *obs_shape]
    legal: np.ndarray  # [M, T, A]
    joint: np.ndarray  # [M, T, N] actions, ABSENT
    reward: np.ndarray  # [M, T]
    acted: np.ndarray  # [M, T] bool
    player: np.ndarray  # [M, N] indices into the roster
    prob: np.ndarray  # [M, T], NaN: unknown
    episode: np.ndarray  # [M]

    @property
    def returns(self) -> Float[np.ndarray, " M"]:
        """The return of each trajectory."""
        return self.reward.astype(np.float64).sum(1)

    @property
    def before(self) -> Int[np.ndarray, "M T N"]:
        """The joint action of the step before; ABSENT at the first step."""
        first = np.full_like(self.joint[:, :1], ABSENT)
        return np.concatenate([first, self.joint[:, :-1]], 1)

    def rows(self, values: np.ndarray) -> np.ndarray:
        """Return the values [M, T, ...] of the logged steps, one after the other.

        Args:
            values: a value for each step of each trajectory.
        """
        return values[self.acted]

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Return values of the logged steps as [M, T, ...], 0 elsewhere.

        Args:
            values: [rows, ...] in the order of `rows`.
        """
        whole = np.zeros((*self.acted.shape, *values.shape[1:]), values.dtype)
        whole[self.acted] = values
        return whole


def trajectories(episodes: Episodes) -> Trajectories:
    """Return the trajectory of each seat of each episode that acts at its first step.

    Args:
        episodes: E episodes.
    """
    action = np.asarray(episodes.action)
    longest = int(np.asarray(episodes.length).max())
    e, s = np.nonzero(action[:, 0] != ABSENT)
    order = ego_order(action.shape[2])[s]
    t = np.arange(longest)
    joint = action[e[:, None, None], t[:, None], order[:, None]]
    acted = joint[..., 0] != ABSENT
    reward = np.asarray(episodes.reward)[e, :longest, s]
    return Trajectories(
        obs=np.asarray(episodes.obs[:, :longest])[e, :, s],
        legal=np.asarray(episodes.legal)[e, :longest, s],
        joint=joint,
        reward=np.where(acted, reward, 0),
        acted=acted,
        player=np.asarray(episodes.player)[e[:, None], order],
        prob=np.asarray(episodes.prob)[e, :longest, s],
        episode=e,
    )


def inputs(
    play: Trajectories, players: Int[np.ndarray, "M N"], roster: int
) -> Float32[np.ndarray, "rows F"]:
    """Return the facts of each logged step: observation, last joint action, time, players.

    Args:
        play: logged play.
        players: the players that are given, ego-first; ABSENT: not given.
        roster: number of players in the roster.
    """
    m, t = np.nonzero(play.acted)
    parts = [
        play.obs[m, t],
        _one_hot(play.before[m, t], play.legal.shape[2]),
        _one_hot(players[m], roster),
        t / play.acted.shape[1],
    ]
    flat = [np.asarray(p, np.float32).reshape(len(m), -1) for p in parts]
    return np.concatenate(flat, 1)


def _one_hot(
    index: Int[np.ndarray, "*lead"], size: int
) -> Float32[np.ndarray, "*lead size"]:
    """Return one-hot vectors; zeros for ABSENT."""
    return (index[..., None] == np.arange(size)).astype(np.float32)


# -- cloned policies -----------------------------------------------------------


def clone(
    x: Float32[np.ndarray, "rows F"],
    legal: Bool[np.ndarray, "rows A"],
    action: Int[np.ndarray, " rows"],
    seed: int,
) -> MLP:
    """Return a network of the policy that chose logged actions.

    Args:
        x: the facts of each step.
        legal: legal actions.
        action: the actions.
        seed: seed of weights and batches.
    """
    arrays = jax.device_put((x, legal, action.astype(np.int32)))
    return _clone(*arrays, jax.random.key(seed))


@jax.jit
def _clone(x: Array, legal: Array, action: Array, key: Array) -> MLP:
    start_key, batch_key = jax.random.split(key)
    net = MLP(x.shape[1], HIDDEN, legal.shape[1], key=start_key)
    schedule = optax.cosine_decay_schedule(LEARNING_RATE, UPDATES)
    transform = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adam(schedule)
    )

    def loss(net: MLP, rows: Array) -> Array:
        log_probs = jax.vmap(partial(_log_policy, net))(x[rows], legal[rows])
        chosen = action[rows][:, None]
        return -jnp.take_along_axis(log_probs, chosen, 1).mean()

    def update(state: Any, key: Array) -> tuple[Any, None]:
        net, memory = state
        rows = jax.random.randint(key, (BATCH,), 0, len(x))
        gradient = eqx.filter_grad(loss)(net, rows)
        change, memory = transform.update(gradient, memory)
        return (optax.apply_updates(net, change), memory), None

    keys = jax.random.split(batch_key, UPDATES)
    start: Any = net
    start = start, transform.init(start)
    (net, _), _ = jax.lax.scan(update, start, keys)
    return net


def _log_policy(
    net: MLP, x: Float[Array, " F"], legal: Bool[Array, " A"]
) -> Float[Array, " A"]:
    return jax.nn.log_softmax(jnp.where(legal, net(x), MIN_LOGIT))


def policy_of_clone(
    net: MLP,
    x: Float32[np.ndarray, "rows F"],
    legal: Bool[np.ndarray, "rows A"],
) -> Float[np.ndarray, "rows A"]:
    """Return the policy of a clone at each step.

    Args:
        net: the clone.
        x: the facts of each step.
        legal: legal actions.
    """
    return np.asarray(_policy_of_clone(net, x, legal))


@jax.jit
def _policy_of_clone(net: MLP, x: Array, legal: Array) -> Array:
    def one(at: tuple[Array, Array]) -> Array:
        return jnp.exp(_log_policy(net, *at))

    return jax.lax.map(one, (x, legal), batch_size=BATCH)


# -- features of values --------------------------------------------------------


def learned_features(
    x: Float32[np.ndarray, "rows F"],
    legal: Bool[np.ndarray, "rows A"],
    action: Int[np.ndarray, " rows"],
    to_go: Float[np.ndarray, " rows"],
    seed: int,
) -> Float32[np.ndarray, "rows H"]:
    """Return the last hidden layer of a network that predicts actions and logged returns.

    Args:
        x: the facts of each step.
        legal: legal actions.
        action: the actions.
        to_go: the logged return from each step on.
        seed: seed of weights and batches.
    """
    scaled = (to_go - to_go.mean()) / max(float(to_go.std()), 1e-6)
    arrays = jax.device_put(
        (x, legal, action.astype(np.int32), scaled.astype(np.float32))
    )
    return np.asarray(_features(*arrays, jax.random.key(seed)))


@jax.jit
def _features(
    x: Array, legal: Array, action: Array, to_go: Array, key: Array
) -> Array:
    start_key, batch_key = jax.random.split(key)
    actions = legal.shape[1]
    net = MLP(x.shape[1], HIDDEN, 2 * actions, key=start_key)
    schedule = optax.cosine_decay_schedule(LEARNING_RATE, UPDATES)
    transform = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adam(schedule)
    )

    def loss(net: MLP, rows: Array) -> Array:
        out, chosen = jax.vmap(net)(x[rows]), action[rows][:, None]
        logits = jnp.where(legal[rows], out[:, :actions], MIN_LOGIT)
        log_probs = jax.nn.log_softmax(logits)
        q = jnp.take_along_axis(out[:, actions:], chosen, 1)[:, 0]
        imitation = -jnp.take_along_axis(log_probs, chosen, 1).mean()
        return imitation + ((q - to_go[rows]) ** 2).mean()

    def update(state: Any, key: Array) -> tuple[Any, None]:
        net, memory = state
        rows = jax.random.randint(key, (BATCH,), 0, len(x))
        gradient = eqx.filter_grad(loss)(net, rows)
        change, memory = transform.update(gradient, memory)
        return (optax.apply_updates(net, change), memory), None

    start: Any = net
    start = start, transform.init(start)
    keys = jax.random.split(batch_key, UPDATES)
    (net, _), _ = jax.lax.scan(update, start, keys)

    def hidden(row: Array) -> Array:
        for layer, norm in zip(net.layers[:-1], net.norms, strict=True):
            row = jax.nn.silu(norm(linear(layer, row)))
        return row

    return jax.lax.map(hidden, x, batch_size=BATCH)
