"""The one loop over `Game.step`: collection and evaluation play matches with it.

A line-up is a pool of distinct players and, for every match, the player of each
seat. A pool player acts for all of its seats in a match at once, so one compiled
program serves every line-up, and a costly planner runs once a step, not once a
seat.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int, Int32, Key, PRNGKeyArray, PyTree

from bestreply.games.base import Game
from bestreply.games.hindsight_goals import label_goals
from bestreply.players.base import Player
from bestreply.simulation.lineup import Lineup
from bestreply.types import (
    ABSENT,
    ActorOutput,
    Array,
    Episodes,
    TimeStep,
    ego_order,
)
from bestreply.utils.compilation import cache_compilations
from bestreply.utils.console import Meter
from bestreply.utils.seeds import checked_seed

PLANNING_CHUNK = 256
"""Parallel matches with planning players; more do not fit the processor's cache."""

Seats = tuple[Int32[Array, " _"], ...]
"""For each pool player [m] int32, its seats in one match; an entry of N is padding."""

Carries = tuple[PyTree, ...]
"""For each pool player its carries [m, ...], one for every seat."""


class Choice(NamedTuple):
    """The joint decision at one step of one match."""

    carries: Carries
    action: jax.Array  # [N] int32
    prob: jax.Array  # [N] float32, of the action; NaN if the player gives none
    actor_outputs: tuple[ActorOutput, ...]  # by pool player, [m, ...]
    mode: (
        jax.Array
    )  # [N] int32, the acting modes; ABSENT if the player gives none


def choose(
    pool: tuple[Player, ...],
    carries: Carries,
    seats: Seats,
    shown: TimeStep,
    last: Int[Array, " N"],
    key: PRNGKeyArray,
) -> Choice:
    """Return the joint decision of all players at one step of one match.

    Args:
        pool: the distinct players.
        carries: their carries before the step.
        seats: their seats.
        shown: the time step that the game shows.
        last: the joint action of the step before, ABSENT if there was none.
        key: random key of the step.

    Returns:
        Actions with their probabilities, carries after the step, actor outputs.
    """
    n = shown.present.shape[0]
    action = jnp.zeros(n, jnp.int32)
    prob, mode = jnp.full(n, jnp.nan), jnp.full(n, ABSENT)
    carries_after, outputs = [], []
    for index, (player, carry, own) in enumerate(
        zip(pool, carries, seats, strict=True)
    ):
        player_key = jax.random.fold_in(key, index)
        carry_after, chosen, output = _act(
            player, carry, own, shown, last, player_key
        )
        action = action.at[own].set(chosen, mode="drop")
        if output.probs is not None:
            of_chosen = jnp.take_along_axis(output.probs, chosen[:, None], 1)
            prob = prob.at[own].set(of_chosen[:, 0], mode="drop")
        if output.mode is not None:
            mode = mode.at[own].set(output.mode, mode="drop")
        carries_after.append(carry_after)
        outputs.append(output)
    return Choice(tuple(carries_after), action, prob, tuple(outputs), mode)


def _act(
    player: Player,
    carry: PyTree,
    seats: Int32[Array, " m"],
    shown: TimeStep,
    last: Int[Array, " N"],
    key: PRNGKeyArray,
) -> tuple[PyTree, jax.Array, ActorOutput]:
    """Return the step of one player in each of its seats, [m, ...]."""
    n = shown.present.shape[0]
    seat = jnp.minimum(seats, n - 1)
    ego = jnp.asarray(ego_order(n))[seat]  # [m, N]
    keys = jax.vmap(partial(jax.random.fold_in, key))(seat)

    def step(carry, obs, legal, key, others, present):
        return player.step(
            carry, obs, legal, key, others=others, present=present
        )

    return jax.vmap(step)(
        carry,
        shown.obs[seat],
        shown.legal[seat],
        keys,
        last[ego[:, 1:]],
        shown.present[ego],
    )


def first_carries(pool: tuple[Player, ...], seats: Seats) -> Carries:
    """Return the carries of all players at the start of a match.

    Args:
        pool: the distinct players.
        seats: their seats.

    Returns:
        For each player its initial carry, once for every seat.
    """
    pairs = zip(pool, seats, strict=True)
    return tuple(player.init(own.shape[0]) for player, own in pairs)


def renewed(
    pool: tuple[Player, ...], seats: Seats, carries: Carries
) -> Carries:
    """Return the carries at the start of a further episode of the same match.

    Args:
        pool: the distinct players.
        seats: their seats.
        carries: their carries at the end of an episode.

    Returns:
        The carries that the players' `renew` gives.
    """

    def renew(player: Player, own: Array, carry: PyTree) -> PyTree:
        # Mapped over the seats as well, since a carry can have no arrays.
        return jax.vmap(lambda _, one: player.renew(one))(own, carry)

    return tuple(map(renew, pool, seats, carries))


class Log(NamedTuple):
    """The log of one step of one match."""

    shown: Any  # TimeStep before the action; in a lean log (present,)
    action: jax.Array  # [N] int32, ABSENT where the seat did not act
    prob: jax.Array  # [N] float32
    reward: jax.Array  # [N] float32, of the action
    ended: jax.Array  # [N] bool, terminated by the action
    cut: jax.Array  # [] bool, truncated by the action
    illegal: jax.Array  # [N] bool
    actor_outputs: Any  # of the watched pool player, or None
    mode: Any  # [N] int32, acting modes; None without a watched player


def log_step(
    choice: Choice, before: TimeStep, after: TimeStep, watch: int | None
) -> Log:
    """Return the log of one step.

    Args:
        choice: the joint decision.
        before: the time step at which it was taken.
        after: the time step that it led to.
        watch: index of the pool player whose outputs are logged.

    Returns:
        The log, without the actions of seats that had left or terminated.
    """
    over = jnp.all(before.terminated) | before.truncated
    acts = before.present & ~before.terminated & ~over
    legal = jnp.take_along_axis(before.legal, choice.action[:, None], 1)[:, 0]
    return Log(
        shown=before,
        action=jnp.where(acts, choice.action, ABSENT),
        prob=choice.prob,
        reward=after.reward,
        ended=after.terminated & acts,
        cut=after.truncated & ~over,
        illegal=acts & ~legal,
        actor_outputs=None if watch is None else choice.actor_outputs[watch],
        mode=None if watch is None else choice.mode,
    )


# -- compiled games ----------------------------------------------------------


class _Setting(NamedTuple):
    """What all steps of a compiled program share."""

    game: Game
    pool: tuple[Player, ...]
    watch: int | None
    lean: bool


def _compiled_step(
    setting: _Setting, seats: Seats, carry: Any, key: PRNGKeyArray
) -> tuple[Any, Log]:
    state, shown, last, carries = carry
    act_key, move_key = jax.random.split(key)
    choice = choose(setting.pool, carries, seats, shown, last, act_key)
    state, after = setting.game.step(state, choice.action, move_key)
    log = log_step(choice, shown, after, setting.watch)
    if setting.lean:
        log = log._replace(shown=(log.shown.present,))
    return (state, after, log.action, choice.carries), log


def _compiled_episode(
    setting: _Setting, seats: Seats, carries: Carries, key: PRNGKeyArray
) -> tuple[Carries, tuple[Log, Any]]:
    """Return the renewed carries, the logs [T, ...] and the last time step."""
    game = setting.game
    reset_key, key = jax.random.split(key)
    state, shown = game.reset(reset_key)
    nothing = jnp.full(game.num_players, ABSENT, jnp.int32)
    (_, shown, _, carries), logs = jax.lax.scan(
        partial(_compiled_step, setting, seats),
        (state, shown, nothing, carries),
        jax.random.split(key, game.max_steps),
    )
    end = (shown.present,) if setting.lean else shown
    return renewed(setting.pool, seats, carries), (logs, end)


@partial(jax.jit, static_argnames=("game", "series", "watch", "lean"))
def _play_compiled(
    game: Game,
    pool: tuple[Player, ...],
    seats: tuple[Int32[Array, "M _"], ...],
    keys: Key[jax.Array, " M"],
    series: int,
    watch: int | None,
    lean: bool,
) -> tuple[Log, Any]:
    """Return logs [M, series, T, ...] and last time steps [M, series, ...]."""
    setting = _Setting(game, pool, watch, lean)

    def match(seats: Seats, key: PRNGKeyArray) -> tuple[Log, Any]:
        return jax.lax.scan(
            partial(_compiled_episode, setting, seats),
            first_carries(pool, seats),
            jax.random.split(key, series),
        )[1]

    return jax.vmap(match)(seats, keys)


# -- host games --------------------------------------------------------------


@jax.jit
def choose_batch(
    pool: tuple[Player, ...],
    carries: Carries,
    seats: tuple[Int32[Array, "M _"], ...],
    shown: TimeStep,
    last: Int[Array, "M N"],
    keys: Key[jax.Array, " M"],
) -> Choice:
    """Return the joint decisions of `choose` in M matches.

    Args:
        pool: the distinct players.
        carries: their carries, with a leading axis [M].
        seats: for each pool player its seats in every match.
        shown: the time steps [M, ...].
        last: the joint actions of the step before.
        keys: a random key for each match.

    Returns:
        The decisions [M, ...].
    """
    return jax.vmap(partial(choose, pool))(carries, seats, shown, last, keys)


def _play_host(
    game: Game,
    pool: tuple[Player, ...],
    seats: tuple[Int32[Array, "M _"], ...],
    keys: Key[jax.Array, " M"],
    series: int,
    watch: int | None,
) -> tuple[Log, Any]:
    """Return what `_play_compiled` returns, for a host game.

    The players act for all matches in one compiled call; the games step one after
    another.
    """
    carries = _first_batch(pool, seats)
    episodes = []
    for index in range(series):
        carries, logs, end = _host_episode(
            game, pool, seats, carries, _fold_in_each(keys, index), watch
        )
        carries = _renewed_batch(pool, seats, carries)
        episodes.append((logs, end))
    return jax.tree.map(lambda *x: np.stack(x, 1), *episodes)


def _host_episode(
    game: Game,
    pool: tuple[Player, ...],
    seats: tuple[Int32[Array, "M _"], ...],
    carries: Carries,
    keys: Key[jax.Array, " M"],
    watch: int | None,
) -> tuple[Carries, Log, TimeStep]:
    """Return carries, logs [M, T, ...] and last time steps [M, ...]."""
    states, steps = zip(*map(game.reset, keys), strict=True)
    shown, logs = _stack(steps), []
    last = np.full((len(keys), game.num_players), ABSENT, np.int32)
    for t in range(game.max_steps):
        act_keys, move_keys = _split_each(_fold_in_each(keys, t))
        choice = choose_batch(pool, carries, seats, shown, last, act_keys)
        actions = np.asarray(choice.action)
        _refuse_on_host(game, pool, seats, shown, actions, t)
        states, steps = zip(
            *map(game.step, states, actions, move_keys), strict=True
        )
        after = _stack(steps)
        log = jax.device_get(_log_batch(choice, shown, after, watch))
        logs.append(log)
        shown, carries, last = after, choice.carries, log.action
    return carries, jax.tree.map(lambda *x: np.stack(x, 1), *logs), shown


@jax.jit
def _first_batch(
    pool: tuple[Player, ...], seats: tuple[Int32[Array, "M _"], ...]
) -> Carries:
    return jax.vmap(partial(first_carries, pool))(seats)


@jax.jit
def _renewed_batch(
    pool: tuple[Player, ...],
    seats: tuple[Int32[Array, "M _"], ...],
    carries: Carries,
) -> Carries:
    return jax.vmap(partial(renewed, pool))(seats, carries)


@partial(jax.jit, static_argnames="watch")
def _log_batch(
    choice: Choice, before: TimeStep, after: TimeStep, watch: int | None
) -> Log:
    return jax.vmap(partial(log_step, watch=watch))(choice, before, after)


@jax.jit
def _fold_in_all(
    key: PRNGKeyArray, numbers: Int[Array, " M"]
) -> Key[jax.Array, " M"]:
    return jax.vmap(partial(jax.random.fold_in, key))(numbers)


@jax.jit
def _fold_in_each(
    keys: Key[jax.Array, " M"], number: int | Int[Array, ""]
) -> Key[jax.Array, " M"]:
    return jax.vmap(partial(jax.random.fold_in, data=number))(keys)


@jax.jit
def _split_each(
    keys: Key[jax.Array, " M"],
) -> tuple[Key[jax.Array, " M"], Key[jax.Array, " M"]]:
    split = jax.vmap(jax.random.split)(keys)
    return split[:, 0], split[:, 1]


def _stack(steps: Sequence[TimeStep]) -> TimeStep:
    return jax.tree.map(lambda *x: np.stack(x), *steps)


def _refuse_on_host(
    game: Game,
    pool: tuple[Player, ...],
    seats: tuple[Int32[Array, "M _"], ...],
    shown: TimeStep,
    actions: Int[np.ndarray, "M N"],
    step: int,
) -> None:
    """Raise ValueError before the game receives an illegal action."""
    over = shown.terminated.all(1) | shown.truncated
    acts = shown.present & ~shown.terminated & ~over[:, None]
    legal = np.take_along_axis(np.asarray(shown.legal), actions[..., None], 2)[
        ..., 0
    ]
    for match, seat in np.argwhere(acts & ~legal)[:1]:
        player = next(
            p for p, own in zip(pool, seats, strict=True) if seat in own[match]
        )
        allowed = np.asarray(shown.legal[match, seat])
        _refuse(
            game, player.name, int(actions[match, seat]), step, seat, allowed
        )


# -- whole matches -----------------------------------------------------------


class Played(NamedTuple):
    """The output of `play`: episodes of the matches in order, [M * series, ...]."""

    episodes: Episodes  # lean: the last axis of obs and legal has length 0
    actor_outputs: Any  # [M * series, T, m, ...], of the watched player
    modes: Any = None  # [M * series, T, N] int32, acting modes, or None


def play(
    game: Game,
    lineup: Lineup,
    seed: int,
    *,
    series: int = 1,
    numbers: Int[np.ndarray, " M"] | None = None,
    watch: int | None = None,
    lean: bool = False,
    chunk: int = 1024,
    progress: Meter | None = None,
) -> Played:
    """Play every match of a line-up, in chunks of matches.

    Args:
        game: the game, compiled or on the host.
        lineup: the players of M matches.
        seed: match m is played with a key derived from (seed, m) alone, so the
            result does not depend on `chunk`.
        series: consecutive episodes of a match; players keep what their `renew`
            keeps.
        numbers: match numbers to use as m in place of 0, 1, 2, ...; equal numbers
            give equal first states.
        watch: index of the pool player whose actor outputs are returned.
        lean: omit observations and masks; enough for scores.
        chunk: matches of one chunk.
        progress: a meter, advanced by the number of steps.

    Returns:
        The episodes, and the outputs of the watched player.

    Raises:
        ValueError: if a player chose an illegal action (names player, step, seat), or
            the seed is outside 0 <= seed < 2^32.
    """
    cache_compilations()
    total = len(lineup.seating)
    size, seats = min(chunk, total), lineup.seats()
    numbers = np.arange(total) if numbers is None else numbers
    key, parts = jax.random.key(checked_seed(seed)), []
    for begin in range(0, total, size):
        # The last chunk repeats its last match, so that one size is compiled.
        rows = np.minimum(np.arange(begin, begin + size), total - 1)
        keys = _fold_in_all(key, numbers[rows])
        inputs = tuple(own[rows] for own in seats), keys, series, watch
        if game.compiled:
            logs, end = _play_compiled(game, lineup.pool, *inputs, lean)
        else:
            logs, end = _play_host(game, lineup.pool, *inputs)
            if lean:
                logs = logs._replace(shown=(logs.shown.present,))
                end = (end.present,)
        rows = rows[: total - begin]
        part = _to_played(game, lineup, rows, jax.device_get((logs, end)), lean)
        parts.append(part)
        if progress is not None:
            progress.advance(float(part.episodes.length.sum()))
    return jax.tree.map(lambda *x: np.concatenate(x), *parts)


def _to_played(
    game: Game,
    lineup: Lineup,
    rows: Int[np.ndarray, " K"],
    logged: tuple[Log, Any],
    lean: bool,
) -> Played:
    """Return the episodes of a chunk's first K matches, rows of the line-up."""
    series = logged[0].action.shape[1]

    def flat(x: np.ndarray) -> np.ndarray:
        return x[: len(rows)].reshape(len(rows) * series, *x.shape[2:])

    logs, end = jax.tree.map(flat, logged)
    seating = np.repeat(lineup.seating[rows], series, 0)
    episodes = to_episodes(game, logs, end, seating, lean)
    for episode, step, seat in np.argwhere(logs.illegal)[:1]:
        name = lineup.pool[seating[episode, seat]].name
        action = int(logs.action[episode, step, seat])
        legal = episodes.legal[episode, step, seat]
        _refuse(game, name, action, step, seat, legal)
    return Played(episodes, logs.actor_outputs, logs.mode)


def to_episodes(
    game: Game,
    logs: Log,
    end: TimeStep | tuple[Bool[np.ndarray, "E N"]],
    seating: Int32[np.ndarray, "E N"],
    lean: bool,
) -> Episodes:
    """Return logged steps as `Episodes`, with goals labelled by hindsight.

    Args:
        game: the game.
        logs: the logs [E, T, ...].
        end: the last time steps [E, ...]; lean: (present,).
        seating: the roster index of the player in each seat.
        lean: whether observations and masks were omitted.

    Returns:
        E episodes.
    """
    acted = logs.action != ABSENT
    reward = np.where(acted, logs.reward, 0.0).astype(np.float32)
    shown = jax.tree.map(_append_last, logs.shown, end)
    if lean:
        (present,) = shown
        obs = np.zeros((*present.shape, 0), np.float32)
        legal = np.zeros((*present.shape, 0), bool)
        goal = np.full(acted.shape, ABSENT, np.int32)
        source = np.zeros(acted.shape, np.int8)
    else:
        obs, legal, present = shown.obs, shown.legal, shown.present
        goal, source = label_goals(
            game, obs[:, :-1], np.asarray(logs.action), reward
        )
    return Episodes(
        obs=obs,
        legal=legal,
        present=present,
        action=logs.action,
        prob=np.where(acted, logs.prob, np.nan).astype(np.float32),
        reward=reward,
        terminated=logs.ended,
        truncated=logs.cut,
        length=acted.any(2).sum(1).astype(np.int32),
        player=seating,
        goal=goal,
        goal_source=source,
    )


def _append_last(steps: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Return [E, T+1, ...]: T steps and the last one."""
    return np.concatenate([steps, last[:, None]], 1)


def _refuse(
    game: Game,
    player: str,
    action: int,
    step: int | np.integer,
    seat: np.integer,
    legal: Bool[np.ndarray, " A"],
) -> None:
    """Raise ValueError for an illegal action; `legal` has length 0 in lean play."""
    names = game.action_names
    message = (
        f"action={names[action]}: expected a legal action from {player} at "
        f"step {step} in seat {seat} of {game.name}"
    )
    if len(legal):
        allowed = [n for n, ok in zip(names, legal, strict=True) if ok]
        message += f"; legal: {', '.join(allowed)}"
    raise ValueError(message)
