"""What returns are held against where the exact best reply is out of reach: what a search has, and what nobody can pass.

Both know the true game and the true players, whatever these keep to themselves, and need but to play: nothing has to be listed.

    search   before every move each legal action is tried in games that are played on from here, with each of some policies in the
             focal seat from then on; the action with the best mean is made (rollouts: Tesauro and Galperin, "On-line policy improvement
             using Monte-Carlo search", 1996). The best reply that is told as much has at least what this has.
    bound    the return of the best plan for one future, all draws of chance and of the others being known beforehand, in the mean over
             futures (Brown, Smith and Sun, "Information relaxations and duality in stochastic dynamic programs", 2010). No reply has
             more, whatever it is told.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from bestreply.games.base import Game
from bestreply.players.base import Player, ScriptedPlayer, uniform
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import Choice, choose, first_carries, log_step
from bestreply.types import ABSENT, Array, TimeStep, ego_order

CHUNK = 64
"""Games that are searched side by side."""

LOTS = (512, 16384)
"""How many states of one step are moved on at once: few sizes, so that few programs are compiled."""

FEWEST = 16
"""With fewer futures a mean over them has no error worth the name."""


class Estimate(NamedTuple):
    """A mean over games from the first state on, and its standard error."""

    mean: float
    stderr: float
    games: int


class World(NamedTuple):
    """Where a match stands: all that decides how it goes on, but for the draws that are yet to come."""

    state: Any
    last: Array  # [N] int32, everybody's action in the step before
    carries: Any  # of the pool's players


class Focal(ScriptedPlayer):
    """Who sits in the focal seat: nobody; its actions come from outside."""

    name: str = eqx.field(static=True, default="focal")
    version: int = eqx.field(static=True, default=1)

    def policy(self, carry: Any, obs: Array, legal: Array) -> jax.Array:
        return uniform(legal)


class Table(eqx.Module):
    """One match to be: who sits where."""

    pool: tuple[Player, ...]
    seats: Any  # for each pool player, [m] int32
    focal: Array  # [] int32
    game: Game = eqx.field(static=True)

    def begin(self, key: Array) -> World:
        nobody = jnp.full(self.game.num_players, ABSENT, jnp.int32)
        return World(
            self.game.start(key), nobody, first_carries(self.pool, self.seats)
        )

    def look(self, world: World) -> TimeStep:
        return self.game.look(world.state, jnp.zeros(self.game.num_players))

    def choose(self, world: World, key: Array) -> Choice:
        """What the others do; the focal seat's part of it does not count."""
        return choose(
            self.pool,
            world.carries,
            self.seats,
            self.look(world),
            world.last,
            key,
        )

    def step(
        self, world: World, choice: Choice, own: Array, key: Array
    ) -> tuple[World, Array]:
        """One step in which the focal seat does `own`, and its reward; a game that is over stays as it is."""
        before = self.look(world)
        joint = choice._replace(action=choice.action.at[self.focal].set(own))
        state, after = self.game.step(world.state, joint.action, key)
        done = log_step(joint, before, after, None).action
        return World(state, done, choice.carries), after.reward[self.focal]

    def move(self, world: World, own: Array, key: Array) -> tuple[World, Array]:
        """The same, with what the others draw."""
        act_key, move_key = jax.random.split(key)
        return self.step(world, self.choose(world, act_key), own, move_key)

    def done(self, world: World) -> Array:
        """Whether there is nothing more to be had for the focal seat."""
        shown = self.look(world)
        return (
            shown.truncated
            | shown.terminated[self.focal]
            | ~shown.present[self.focal]
        )


def tables(
    game: Game, others: Sequence[Any], games: int, seed: int
) -> tuple[Table, jax.Array]:
    """`games` matches [M] with the focal seat in every place in turn, as `evaluate` seats them, and a key for each."""
    lineup = seat_players(game, [Focal(), *others], games, seed, rotate=True)  # pyright: ignore[reportCallIssue]
    focal = jnp.arange(games, dtype=jnp.int32) % game.num_players
    keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(seed)))(
        jnp.arange(games)
    )
    return Table(
        lineup.pool, jax.tree.map(jnp.asarray, lineup.seats()), focal, game
    ), keys


# -- search --------------------------------------------------------------------------------------------------------------------


def search(
    game: Game,
    others: Sequence[Any],
    policies: Sequence[Player],
    *,
    games: int,
    rollouts: int = 16,
    gamma: float = 1.0,
    seed: int = 0,
) -> Estimate:
    """Discounted return of the search against `others` (as `seat_players` takes them), in all seats in turn.

    Args:
        policies: who may play on for the focal seat in a game that is tried out.
        rollouts: games that are tried out for each action and policy.

    A mean over games of a reply that can be played, so that its expectation is not above the best reply's that is told as much.
    """
    table, keys = tables(game, others, games, seed)
    found = []
    for begin in range(0, games, CHUNK):
        rows = jnp.minimum(
            jnp.arange(begin, begin + min(CHUNK, games)), games - 1
        )  # one compiled size
        some = _rows(table, rows)
        found.append(
            _searched(some, keys[rows], tuple(policies), gamma, rollouts)
        )
    returns = np.concatenate(jax.device_get(found))[:games].astype(np.float64)
    return _estimate(returns)


def _rows(table: Table, rows: Array) -> Table:
    return Table(
        table.pool,
        jax.tree.map(lambda x: x[rows], table.seats),
        table.focal[rows],
        table.game,
    )


def _estimate(returns: np.ndarray) -> Estimate:
    spread = (
        returns.std(ddof=1) / len(returns) ** 0.5 if len(returns) > 1 else 0.0
    )
    return Estimate(float(returns.mean()), float(spread), len(returns))


@partial(jax.jit, static_argnames=("rollouts",))
def _searched(
    table: Table, keys: Array, policies: Any, gamma: Any, rollouts: int
) -> jax.Array:
    """[M] returns."""

    def match(seats: Any, focal: Array, key: Array) -> Array:
        one = Table(table.pool, seats, focal, table.game)
        first_key, key = jax.random.split(key)

        def step(carry: Any, t: Array) -> tuple[Any, None]:
            world, total, weight = carry
            try_key, move_key = jax.random.split(jax.random.fold_in(key, t))
            tried = _tried(one, world, policies, t, try_key, gamma, rollouts)
            legal = one.look(world).legal[focal]
            own = jnp.argmax(jnp.where(legal, tried.max(0), -jnp.inf)).astype(
                jnp.int32
            )
            world, reward = one.move(world, own, move_key)
            return (world, total + weight * reward, weight * gamma), None

        first = one.begin(first_key), jnp.float32(0), jnp.float32(1)
        return jax.lax.scan(step, first, jnp.arange(table.game.max_steps))[0][1]

    return jax.vmap(match)(table.seats, table.focal, keys)


def _tried(
    table: Table,
    world: World,
    policies: Any,
    t: Array,
    key: Array,
    gamma: Any,
    rollouts: int,
) -> Array:
    """[P, A]: the mean of `rollouts` games that go on from `world`, at step `t`, with each action and from then on with each policy;
    the same draws for all."""
    order = jnp.asarray(ego_order(table.game.num_players))[table.focal]

    def game(which: Array, own: Array, key: Array) -> Array:
        def step(i: Array, carry: Any) -> Any:
            world, logged_beliefs, total, weight = carry
            act_key, move_key = jax.random.split(jax.random.fold_in(key, i))
            shown = table.look(world)
            seen = shown.obs[table.focal], shown.legal[table.focal], act_key
            told = {
                "others": world.last[order[1:]],
                "present": shown.present[order],
            }
            chosen = [
                p.step(mind, *seen, **told)
                for p, mind in zip(policies, logged_beliefs, strict=True)
            ]
            action = jnp.where(
                i == t,
                own,
                jnp.stack([action for _, action, _ in chosen])[which],
            )
            world, reward = table.move(world, action, move_key)
            return (
                world,
                tuple(mind for mind, _, _ in chosen),
                total + weight * reward,
                weight * gamma,
            )

        begun = (
            world,
            tuple(p.init() for p in policies),
            jnp.float32(0),
            jnp.float32(1),
        )
        return jax.lax.fori_loop(t, table.game.max_steps, step, begun)[2]

    which, own = (
        jnp.arange(len(policies)),
        jnp.arange(table.game.num_actions, dtype=jnp.int32),
    )
    keys = jax.random.split(key, rollouts)
    mean = lambda w, a: jax.vmap(partial(game, w, a))(keys).mean()  # noqa: E731
    return jax.vmap(jax.vmap(mean, (None, 0)), (0, None))(which, own)


# -- bound ---------------------------------------------------------------------------------------------------------------------


def bound(
    game: Game,
    others: Sequence[Any],
    *,
    futures: int,
    states: int = 3_000_000,
    gamma: float = 1.0,
    seed: int = 0,
) -> Estimate | None:
    """What no reply to `others` has more of: the best plan's discounted return in each of `futures`, in all seats in turn.

    Args:
        futures: at most.
        states: that may be looked at, of all futures together. Where the first few show that they would not do, there are fewer
            futures, and with fewer than `FEWEST` none: the answer is None.

    Exact for each future: every state that own actions lead to is looked at, once.
    """
    table, keys = tables(game, others, futures, seed)
    fewest = min(FEWEST, futures)
    found: list[tuple[float, int]] = []
    while len(found) < futures:
        row = len(found)
        best = _best_plan(
            _rows(table, jnp.int32(row)), keys[row], gamma, states // fewest
        )
        if best is None:
            return None
        found.append(best)
        if len(found) == max(fewest // 4, 1):
            futures = min(
                futures, int(states / np.mean([seen for _, seen in found]))
            )
            if futures < fewest:
                return None
    return _estimate(np.array([value for value, _ in found]))


class _Step(NamedTuple):
    """What own actions come to in the states of one step. S states, A actions."""

    allowed: np.ndarray  # [S, A] bool
    reward: np.ndarray  # [S, A]
    to: (
        np.ndarray
    )  # [S, A] int, which state of the next step; -1: nothing more to be had


def _best_plan(
    table: Table, key: Array, gamma: float, limit: int
) -> tuple[float, int] | None:
    """The best plan's return in the future that `key` draws, and the states that were looked at; None for more than `limit`."""
    first_key, key = jax.random.split(key)
    worlds = jax.tree.map(
        lambda x: np.asarray(x)[None], _begun(table, first_key)
    )
    steps: list[_Step] = []
    seen = 0
    for t in range(table.game.max_steps):
        seen += len(worlds.last)
        if seen > limit:
            return None
        allowed, after, reward, done = _all_moves(
            table, worlds, jax.random.fold_in(key, t)
        )
        goes_on = allowed & ~done
        to = np.full(allowed.shape, -1)
        steps.append(_Step(allowed, reward, to))
        if not goes_on.any():
            break
        worlds, to[goes_on] = _distinct(
            jax.tree.map(lambda x, at=goes_on: x[at], after)
        )
    value = np.zeros(1)  # its last entry is of no more to be had: index -1
    for step in reversed(steps):
        q = np.where(
            step.allowed, step.reward + gamma * value[step.to], -np.inf
        )
        value = np.append(q.max(1), 0.0)
    return float(value[0]), seen


def _all_moves(
    table: Table, worlds: World, key: Array
) -> tuple[np.ndarray, World, np.ndarray, np.ndarray]:
    """Every own action in each of `worlds` [S]: whether it is allowed [S, A], the worlds after it [S, A], rewards and whether that was
    all [S, A]."""
    count = len(worlds.last)
    lot = next((size for size in LOTS if size >= count), LOTS[-1])
    found = []
    for begin in range(0, count, lot):
        rows = np.minimum(np.arange(begin, begin + lot), count - 1)
        found.append(
            jax.device_get(
                _moved(
                    table, jax.tree.map(lambda x, at=rows: x[at], worlds), key
                )
            )
        )
    return jax.tree.map(lambda *x: np.concatenate(x)[:count], *found)


@jax.jit
def _begun(table: Table, key: Array) -> World:
    return table.begin(key)


@jax.jit
def _moved(table: Table, worlds: World, key: Array) -> Any:
    actions = jnp.arange(table.game.num_actions, dtype=jnp.int32)
    act_key, move_key = jax.random.split(key)

    def one(world: World) -> Any:
        choice = table.choose(world, act_key)
        after, reward = jax.vmap(
            lambda own: table.step(world, choice, own, move_key)
        )(actions)
        return (
            table.look(world).legal[table.focal],
            after,
            reward,
            jax.vmap(table.done)(after),
        )

    return jax.vmap(one)(worlds)


def _distinct(worlds: World) -> tuple[World, np.ndarray]:
    """Each of `worlds` [K] once, and for each of the K which one it is."""
    kept = [np.asarray(x) for x in jax.tree.leaves(worlds)]
    flat = [
        np.ascontiguousarray(x.reshape(len(x), -1))
        .view(np.uint8)
        .reshape(len(x), -1)
        for x in kept
        if x.size
    ]
    rows = np.concatenate(flat, 1)
    whole = rows.view([("", np.void, rows.shape[1])]).ravel()
    _, first, which = np.unique(whole, return_index=True, return_inverse=True)
    return jax.tree.map(lambda x: x[first], worlds), which.reshape(-1)
