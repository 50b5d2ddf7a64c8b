"""Whole episodes of one player after another, as another seat saw them: what models that read a history learn from."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from bestreply.games.base import Game
from bestreply.games.symmetries import (
    draw_symmetry,
    transform_action,
    transform_obs,
)
from bestreply.replay.moa_buffer import BufferState
from bestreply.types import ABSENT, Episodes, ego_order


class Seatings(eqx.Module):
    """Where each player of the roster sat: places (episode * N + seat), sorted by player; last those where nobody acted."""

    place: Array  # [E * N] int32
    first: Array  # [P] int32, where a player's own begin
    count: Array  # [P] int32


class History(NamedTuple):
    """Some episodes [K] of one player, the last of which it is to be predicted in, each as one other seat saw it."""

    obs: Array  # [K, T, *obs_shape], of the seat that looks on
    other: Array  # [K] int32, where the player stands among that seat's others
    action: Array  # [K, T] int32; ABSENT where it did not act, and all through an episode that is left out
    weight: Array  # [K, T, G], how much each step tells of each goal or type


def seatings(episodes: Episodes) -> Seatings:
    """Of a buffer's episodes, which may be empty."""
    acted, player = (
        np.asarray(x).reshape(-1)
        for x in (episodes.action[:, 0] != ABSENT, episodes.player)
    )
    players = int(player.max()) + 1
    count = np.bincount(player[acted], minlength=players)
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    order = np.argsort(np.where(acted, player, players), kind="stable")
    return Seatings(*(jnp.asarray(x, jnp.int32) for x in (order, first, count)))


def draw_histories(
    buffer: BufferState,
    where: Seatings,
    weights: Array,
    key: Array,
    batch: int,
    length: int,
) -> History:
    """`batch` histories of `length` episodes: one drawn from all, before it others of the same player, from none to all of them.

    weights [E, T, N, G]: what each step counts for each goal or type.
    """
    episodes = buffer.episodes
    _, steps, n = episodes.action.shape
    orders = jnp.asarray(ego_order(n))

    def one(key: Array) -> History:
        last_key, past_key, watch_key, many_key = jax.random.split(key, 4)
        last = where.place[
            jax.random.randint(last_key, (1,), 0, where.count.sum())
        ]
        player = episodes.player.reshape(-1)[last[0]]
        rank = jax.random.randint(
            past_key, (length - 1,), 0, where.count[player]
        )
        row, seat = jnp.divmod(
            jnp.concatenate([where.place[where.first[player] + rank], last]), n
        )
        watcher = (
            seat + 1 + jax.random.randint(watch_key, (length,), 0, n - 1)
        ) % n  # any seat but its own
        other = jnp.argmax(orders[watcher] == seat[:, None], 1) - 1
        kept = jnp.arange(length) >= jax.random.randint(many_key, (), 0, length)
        t = jnp.arange(steps)  # not a slice, which would copy the whole buffer
        action = episodes.action[row[:, None], t, seat[:, None]]
        return History(
            episodes.obs[row[:, None], t, watcher[:, None]],
            other.astype(jnp.int32),
            jnp.where(kept[:, None], action, ABSENT),
            weights[row[:, None], t, seat[:, None]],
        )

    return jax.vmap(one)(jax.random.split(key, batch))


def transform_histories(game: Game, histories: History, key: Array) -> History:
    """Histories [B, ...], each under a random symmetry of the game."""
    symmetries = game.symmetries()
    if symmetries is None:
        return histories

    def one(which: Int[Array, ""], history: History) -> History:
        order = jnp.asarray(symmetries.others)[which]
        return history._replace(
            obs=transform_obs(symmetries, which, history.obs),
            other=jnp.argmax(order == history.other[:, None], 1).astype(
                jnp.int32
            ),
            action=transform_action(symmetries, which, history.action),
        )

    return jax.vmap(one)(
        draw_symmetry(symmetries, key, len(histories.other)), histories
    )
