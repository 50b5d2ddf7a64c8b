"""Histories: consecutive episodes of one player, observed from other seats.

Opponent models over sequences learn from them.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from bestreply.games.base import Game
from bestreply.games.symmetries import (
    draw_symmetry,
    transform_action,
    transform_obs,
)
from bestreply.replay.moa_buffer import BufferState
from bestreply.types import ABSENT, Episodes, ego_order, obs_at


class Seatings(eqx.Module):
    """The places of every player of the roster.

    A place is episode * N + seat. Places are sorted by player; the last ones are those
    whose seat did not act.
    """

    place: Array  # [E * N] int32
    first: Array  # [P] int32, index of a player's first place
    count: Array  # [P] int32


class History(NamedTuple):
    """K episodes of one player, each observed from another seat.

    The player is to be predicted in the last one.
    """

    obs: Array  # [K, T, *obs_shape], of the observing seat
    other: Array  # [K] int32, index of the player among that seat's others
    action: (
        Array  # [K, T] int32; ABSENT without action, and in omitted episodes
    )
    weight: Array  # [K, T, G], weight of each step for each goal or type


def seatings(episodes: Episodes) -> Seatings:
    """Return the places of every player in the episodes of a buffer.

    Args:
        episodes: the episodes; some can be empty.

    Returns:
        The places.
    """
    acted = np.asarray(episodes.action[:, 0] != ABSENT).reshape(-1)
    player = np.asarray(episodes.player).reshape(-1)
    players = int(player.max()) + 1
    count = np.bincount(player[acted], minlength=players)
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    order = np.argsort(np.where(acted, player, players), kind="stable")
    tables = (order, first, count)
    return Seatings(*(jax.device_put(x.astype(np.int32)) for x in tables))


def draw_histories(
    buffer: BufferState,
    where: Seatings,
    weights: Float[Array, "E T N G"],
    key: PRNGKeyArray,
    batch: int,
    length: int,
) -> History:
    """Return random histories.

    The last episode is drawn from all. Before it come episodes of the same player; the
    number that is kept is uniform from none to all of them.

    Args:
        buffer: the episodes.
        where: their places.
        weights: weight of each step for each goal or type.
        key: random key.
        batch: the number of histories.
        length: the number of episodes of a history, K.

    Returns:
        Histories [batch, K, ...].
    """
    episodes = buffer.episodes
    _, steps, n = episodes.action.shape
    orders = jnp.asarray(ego_order(n))

    def one(key: PRNGKeyArray) -> History:
        last_key, past_key, watch_key, many_key = jax.random.split(key, 4)
        index = jax.random.randint(last_key, (1,), 0, where.count.sum())
        last = where.place[index]
        player = episodes.player.reshape(-1)[last[0]]
        past = jax.random.randint(
            past_key, (length - 1,), 0, where.count[player]
        )
        past = where.place[where.first[player] + past]
        row, seat = jnp.divmod(jnp.concatenate([past, last]), n)
        shift = jax.random.randint(watch_key, (length,), 0, n - 1)
        observer = (seat + 1 + shift) % n  # any seat but the player's own
        other = jnp.argmax(orders[observer] == seat[:, None], 1) - 1
        omitted = jax.random.randint(many_key, (), 0, length)
        kept = jnp.arange(length) >= omitted
        t = jnp.arange(steps)  # not a slice, which would copy the whole buffer
        action = episodes.action[row[:, None], t, seat[:, None]]
        return History(
            obs_at(episodes.obs, (row[:, None], t, observer[:, None])),
            other.astype(jnp.int32),
            jnp.where(kept[:, None], action, ABSENT),
            weights[row[:, None], t, seat[:, None]],
        )

    return jax.vmap(one)(jax.random.split(key, batch))


def transform_histories(
    game: Game, histories: History, key: PRNGKeyArray
) -> History:
    """Return histories, each under a random symmetry of the game.

    Args:
        game: the game.
        histories: histories [B, ...].
        key: random key.

    Returns:
        The transformed histories; the same ones if the game has no symmetries.
    """
    symmetries = game.symmetries()
    if symmetries is None:
        return histories

    def one(which: Int[Array, ""], history: History) -> History:
        order = jnp.asarray(symmetries.others)[which]
        other = jnp.argmax(order == history.other[:, None], 1)
        return history._replace(
            obs=transform_obs(symmetries, which, history.obs),
            other=other.astype(jnp.int32),
            action=transform_action(symmetries, which, history.action),
        )

    which = draw_symmetry(symmetries, key, len(histories.other))
    return jax.vmap(one)(which, histories)
