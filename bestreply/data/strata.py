"""Balanced sampling: transitions drawn by kind, so that rare players, goals and rewards are seen as often as wished.

A stratum is what a seat's player, goal and reward (none, gain, loss) have in common; a step is in that of one seat. Strata are drawn with
probability proportional to n_k^(1 - evenness), n_k the transitions of stratum k, and a transition uniformly within. Its importance weight

    w = (1 / M) / q = n_k / (M q_k),

M all transitions, makes weighted means over draws unbiased estimates of plain means over all transitions.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bestreply.types import ABSENT, Episodes, ego_order


class Balance(NamedTuple):
    """How play is balanced."""

    players: int
    """Players told apart: the length of the roster."""
    goals: int = 1
    """Goals told apart: the game's, or 1 for none."""
    rewards: bool = True
    """Whether steps without reward, with a gain and with a loss are told apart."""
    evenness: float = 1.0
    """0: every transition as likely as any other; 1: every stratum as likely as any other that there is."""
    of: int = 0
    """Whose player, goal and reward count: 0 the seat that looks on, j the j-th other in ego-first order."""

    @property
    def strata(self) -> int:
        return self.players * self.goals * (3 if self.rewards else 1)


class Strata(eqx.Module):
    """Transitions in order of their stratum."""

    order: Int[Array, " CTN"]  # flat places (row, step, seat), by stratum; those without a transition last
    count: Int[Array, " K"]
    probability: Float[Array, " K"]  # of drawing each stratum
    balance: Balance = eqx.field(static=True)


def stratify(balance: Balance, episodes: Episodes) -> Strata:
    """Raises ValueError for sizes below 1 or an evenness outside [0, 1]."""
    if min(balance.players, balance.goals) < 1 or not 0 <= balance.evenness <= 1:
        raise ValueError(f"{balance}; wanted: players and goals of at least 1, evenness from 0 to 1")
    if not 0 <= balance.of < episodes.action.shape[2]:
        raise ValueError(f"{balance}: of={balance.of} in a game of {episodes.action.shape[2]} seats")
    which = strata_of(balance, episodes).reshape(-1)
    count = jnp.zeros(balance.strata + 1, jnp.int32).at[which].add(1)[:-1]
    wanted = jnp.where(count > 0, jnp.maximum(count, 1).astype(jnp.float32) ** (1 - balance.evenness), 0.0)
    return Strata(jnp.argsort(which), count, wanted / jnp.maximum(wanted.sum(), 1e-9), balance)


def strata_of(balance: Balance, episodes: Episodes) -> Int[Array, "C T N"]:
    """The stratum of each transition; one past the last where there is none."""
    seen = ego_order(episodes.action.shape[2])[:, balance.of]  # whose it is, for each seat that looks on
    player, goal, reward = (
        jnp.asarray(x)[..., seen] for x in (episodes.player, episodes.goal, episodes.reward)
    )
    number = _number(balance, player[:, None], goal, reward)
    return jnp.where(jnp.asarray(episodes.action) != ABSENT, number, balance.strata)


def _number(balance: Balance, player: Array, goal: Array, reward: Array) -> Array:
    """A player that is not in the roster counts as the nearest that is; who had left, and has no goal, as goal 0."""
    player, goal = jnp.clip(player, 0, balance.players - 1), jnp.clip(goal, 0, balance.goals - 1)
    number = player * balance.goals + goal
    if balance.rewards:
        number = 3 * number + jnp.where(reward > 0, 1, jnp.where(reward < 0, 2, 0))
    return number.astype(jnp.int32)


def draw_places(strata: Strata, key: Array, batch: int) -> Int[Array, " B"]:
    """`batch` flat places (row, step, seat), drawn with replacement."""
    stratum_key, place_key = jax.random.split(key)
    which = jax.random.categorical(stratum_key, jnp.log(strata.probability), shape=(batch,))
    count, ends = strata.count[which], jnp.cumsum(strata.count)
    place = jax.random.randint(place_key, (batch,), 0, jnp.maximum(count, 1))
    return strata.order[ends[which] - count + place]


def importance(strata: Strata, episodes: Episodes, index: tuple[Any, Any, Any]) -> Float[Array, "*B"]:
    """n_k / (M q_k) of the transitions at `index` (row, step, seat)."""
    row, step, seat = index
    whose = jnp.asarray(ego_order(episodes.action.shape[2]))[seat, strata.balance.of]
    which = _number(
        strata.balance,
        episodes.player[row, whose],
        episodes.goal[row, step, whose],
        episodes.reward[row, step, whose],
    )
    chance = strata.count.sum() * strata.probability[which]
    return strata.count[which] / jnp.maximum(chance, 1e-9)
