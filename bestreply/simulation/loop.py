"""Play matches: the only loop over `Game.step`; collection and evaluation both use it."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bestreply.games.base import Game
from bestreply.games.hindsight_goals import label_goals
from bestreply.players.base import Player
from bestreply.simulation.lineup import Lineup
from bestreply.types import ABSENT, Array, Episodes, TimeStep, ego_order
from bestreply.utils.compilation import cache_compilations
from bestreply.utils.console import Meter

PLANNING_CHUNK = 256
"""Matches side by side where planners play: more would not fit the processor's cache."""


class Choice(NamedTuple):
    """What everybody decided at one step of one match."""

    carries: tuple[Any, ...]  # for each pool player, its carries [m, ...]
    action: jax.Array  # [N] int32
    prob: jax.Array  # [N] float32, NaN where the player does not tell
    actor_outputs: tuple[
        Any, ...
    ]  # for each pool player, its actor_outputs [m, ...]
    mode: jax.Array  # [N] int32, which of its modes each seat's player is in; ABSENT where it does not tell


def choose(
    pool: tuple[Player, ...],
    carries: Any,
    seats: Any,
    shown: TimeStep,
    last: Array,
    key: jax.Array,
) -> Choice:
    """Lets every pool player act for the seats it holds in one match.

    Args:
        seats: for each pool player, [m] int32; an entry of N is padding.
        shown: what the game shows now; last: [N] int32, everybody's action in the step before, ABSENT where there was none.
    """
    n = shown.present.shape[0]
    order = jnp.asarray(ego_order(n))
    action, prob, mode = (
        jnp.zeros(n, jnp.int32),
        jnp.full(n, jnp.nan),
        jnp.full(n, ABSENT),
    )
    after, actor_outputs = [], []
    for index, (player, carry, held) in enumerate(
        zip(pool, carries, seats, strict=True)
    ):
        seat = jnp.minimum(held, n - 1)
        keys = jax.vmap(
            partial(jax.random.fold_in, jax.random.fold_in(key, index))
        )(seat)
        ego = order[seat]  # [m, N]

        def act(
            c: Any,
            o: Array,
            m: Array,
            k: jax.Array,
            a: Array,
            p: Array,
            player: Player = player,
        ) -> Any:
            return player.step(c, o, m, k, others=a, present=p)

        new, chosen, actor_output = jax.vmap(act)(
            carry,
            shown.obs[seat],
            shown.legal[seat],
            keys,
            last[ego[:, 1:]],
            shown.present[ego],
        )
        action = action.at[held].set(chosen, mode="drop")
        if actor_output.probs is not None:
            told = jnp.take_along_axis(actor_output.probs, chosen[:, None], 1)[
                :, 0
            ]
            prob = prob.at[held].set(told, mode="drop")
        if actor_output.mode is not None:
            mode = mode.at[held].set(actor_output.mode, mode="drop")
        after.append(new)
        actor_outputs.append(actor_output)
    return Choice(tuple(after), action, prob, tuple(actor_outputs), mode)


def first_carries(pool: tuple[Player, ...], seats: Any) -> tuple[Any, ...]:
    return tuple(
        player.init(held.shape[0])
        for player, held in zip(pool, seats, strict=True)
    )


def renewed(
    pool: tuple[Player, ...], seats: Any, carries: Any
) -> tuple[Any, ...]:
    renew = [
        jax.vmap(lambda _, carry, player=player: player.renew(carry))
        for player in pool
    ]  # a carry can be empty
    return tuple(
        each(held, carry)
        for each, held, carry in zip(renew, seats, carries, strict=True)
    )


class Log(NamedTuple):
    """One step of one match as it is logged."""

    shown: Any  # TimeStep before the action; of a lean log only (present,)
    action: jax.Array  # [N] int32, ABSENT where the seat did not act
    prob: jax.Array  # [N] float32
    reward: jax.Array  # [N] float32, of the action
    ended: jax.Array  # [N] bool, terminated by the action
    cut: jax.Array  # [] bool, truncated by the action
    illegal: jax.Array  # [N] bool
    actor_outputs: Any  # of the pool player that is watched, or None
    mode: Any  # [N] int32, which of its modes each seat's player was in; None where nobody is watched


def log_step(
    choice: Choice, before: TimeStep, after: TimeStep, watch: int | None
) -> Log:
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


@partial(jax.jit, static_argnames=("game", "series", "watch", "lean"))
def _play_compiled(
    game: Game,
    pool: Any,
    seats: Any,
    keys: jax.Array,
    series: int,
    watch: int | None,
    lean: bool,
) -> Any:
    """Plays matches of a compiled game side by side. keys [M]. Returns logs [M, series, T, ...] and last steps [M, series, ...]."""

    def step(seat: Any, carry: Any, key: jax.Array) -> Any:
        state, shown, last, carries = carry
        act_key, move_key = jax.random.split(key)
        choice = choose(pool, carries, seat, shown, last, act_key)
        state, after = game.step(state, choice.action, move_key)
        log = log_step(choice, shown, after, watch)
        if lean:
            log = log._replace(shown=(log.shown.present,))
        return (state, after, log.action, choice.carries), log

    def episode(seat: Any, carries: Any, key: jax.Array) -> Any:
        reset_key, key = jax.random.split(key)
        state, shown = game.reset(reset_key)
        first = (
            state,
            shown,
            jnp.full(game.num_players, ABSENT, jnp.int32),
            carries,
        )
        (_, shown, _, carries), logs = jax.lax.scan(
            partial(step, seat), first, jax.random.split(key, game.max_steps)
        )
        return renewed(pool, seat, carries), (
            logs,
            (shown.present,) if lean else shown,
        )

    def match(seat: Any, key: jax.Array) -> Any:
        return jax.lax.scan(
            partial(episode, seat),
            first_carries(pool, seat),
            jax.random.split(key, series),
        )[1]

    return jax.vmap(match)(seats, keys)


@jax.jit
def choose_batch(
    pool: Any, carries: Any, seats: Any, shown: Any, last: Any, keys: Any
) -> Choice:
    return jax.vmap(partial(choose, pool))(carries, seats, shown, last, keys)


def _play_host(
    game: Game,
    pool: Any,
    seats: Any,
    keys: jax.Array,
    series: int,
    watch: int | None,
) -> Any:
    """The same for a host game: players act for all matches in one compiled call, the games step one after another."""
    matches = len(keys)
    carries = jax.vmap(partial(first_carries, pool))(seats)
    episodes = []
    for index in range(series):
        episode_keys = jax.vmap(partial(jax.random.fold_in, data=index))(keys)
        states, steps = zip(*(game.reset(k) for k in episode_keys), strict=True)
        shown, logs = _stack(steps), []
        last = np.full((matches, game.num_players), ABSENT, np.int32)
        for t in range(game.max_steps):
            step_keys = jax.vmap(
                lambda k, t=t: jax.random.split(jax.random.fold_in(k, t))
            )(episode_keys)
            choice = choose_batch(
                pool, carries, seats, shown, last, step_keys[:, 0]
            )
            actions = np.asarray(choice.action)
            _refuse_on_host(game, pool, seats, shown, actions, t)
            states, steps = zip(
                *map(game.step, states, actions, step_keys[:, 1]), strict=True
            )
            after = _stack(steps)
            logs.append(
                jax.vmap(partial(log_step, watch=watch))(choice, shown, after)
            )
            shown, carries, last = after, choice.carries, logs[-1].action
        carries = jax.vmap(partial(renewed, pool))(seats, carries)
        episodes.append(
            (jax.tree.map(lambda *x: jnp.stack(x, 1), *logs), shown)
        )
    return jax.tree.map(lambda *x: jnp.stack(x, 1), *episodes)


def _refuse_on_host(
    game: Game,
    pool: Any,
    seats: Any,
    shown: TimeStep,
    actions: np.ndarray,
    step: int,
) -> None:
    """Before the game sees them: it would not know whose choice an illegal action was. `shown` and `actions` [M, ...]."""
    acts = (
        shown.present
        & ~shown.terminated
        & ~(shown.terminated.all(1) | shown.truncated)[:, None]
    )
    illegal = (
        acts
        & ~np.take_along_axis(np.asarray(shown.legal), actions[..., None], 2)[
            ..., 0
        ]
    )
    for match, seat in np.argwhere(illegal)[:1]:
        name = next(
            player.name
            for player, held in zip(pool, seats, strict=True)
            if seat in held[match]
        )
        _refuse(
            game,
            name,
            actions[match, seat],
            step,
            seat,
            np.asarray(shown.legal[match, seat]),
        )


def _stack(steps: Sequence[TimeStep]) -> TimeStep:
    return jax.tree.map(lambda *x: np.stack(x), *steps)


class Played(NamedTuple):
    """What `play` gives."""

    episodes: Episodes  # [M * series, ...], matches in order; in a lean one obs and legal end in an axis of length 0
    actor_outputs: Any  # [M * series, T, m, ...] of the player watched, or None
    modes: Any = None  # [M * series, T, N] int32, which of its modes each seat's player was in, where one is watched


def play(
    game: Game,
    lineup: Lineup,
    seed: int,
    *,
    series: int = 1,
    numbers: np.ndarray | None = None,
    watch: int | None = None,
    lean: bool = False,
    chunk: int = 1024,
    progress: Meter | None = None,
) -> Played:
    """Plays every match of `lineup`, `series` episodes each, in chunks of about `chunk` matches.

    Args:
        seed: match m is played with a key made of (seed, m) alone, so results do not depend on `chunk`.
        numbers: [M] int, to be used as m instead of 0, 1, 2, ...: equal numbers give equal first states.
        series: consecutive episodes of a match; players carry over what their `renew` keeps.
        watch: index of the pool player whose actor_outputs to return.
        lean: leave out observations and masks, for scores only.

    Raises ValueError if a player chose an illegal action: who, where, when, and what would have been legal.
    """
    cache_compilations()
    total = len(lineup.seating)
    size = min(chunk, total)
    seats = lineup.seats()
    keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(seed)))(
        np.arange(total) if numbers is None else numbers
    )
    parts = []
    for begin in range(0, total, size):
        index = np.minimum(
            np.arange(begin, begin + size), total - 1
        )  # the last chunk is filled up: one compiled size
        args = (
            game,
            lineup.pool,
            tuple(s[index] for s in seats),
            keys[index],
            series,
            watch,
        )
        logs, end = jax.device_get(
            _play_compiled(*args, lean) if game.compiled else _play_host(*args)
        )
        if lean and not game.compiled:
            logs, end = (
                logs._replace(shown=(logs.shown.present,)),
                (end.present,),
            )
        kept = min(size, total - begin)
        logs, end = jax.tree.map(
            lambda x, kept=kept: x[:kept].reshape(kept * series, *x.shape[2:]),
            (logs, end),
        )
        part = to_episodes(
            game,
            logs,
            end,
            np.repeat(lineup.seating[index[:kept]], series, 0),
            lean,
        )
        _refuse_illegal(game, lineup, logs, part)
        parts.append((part, logs.actor_outputs, logs.mode))
        if progress is not None:
            progress.advance(float(part.length.sum()))
    return Played(*jax.tree.map(lambda *x: np.concatenate(x), *parts))


def to_episodes(
    game: Game, logs: Log, end: Any, seating: np.ndarray, lean: bool
) -> Episodes:
    """Logs [E, T, ...] and last steps [E, ...] as `Episodes`."""

    def joined(before: np.ndarray, last: np.ndarray) -> np.ndarray:
        return np.concatenate([before, last[:, None]], 1)

    acted = logs.action != ABSENT
    reward = np.where(acted, logs.reward, 0.0).astype(np.float32)
    if lean:
        present = joined(logs.shown[0], end[0])
        obs, legal = (
            np.zeros((*present.shape, 0), np.float32),
            np.zeros((*present.shape, 0), bool),
        )
        goal, source = (
            np.full(acted.shape, ABSENT, np.int32),
            np.zeros(acted.shape, np.int8),
        )
    else:
        shown = jax.tree.map(joined, logs.shown, end)
        present, obs, legal = shown.present, shown.obs, shown.legal
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


def _refuse_illegal(
    game: Game, lineup: Lineup, logs: Log, part: Episodes
) -> None:
    for episode, step, seat in np.argwhere(logs.illegal)[:1]:
        name = lineup.pool[part.player[episode, seat]].name
        _refuse(
            game,
            name,
            logs.action[episode, step, seat],
            step,
            seat,
            part.legal[episode, step, seat],
        )


def _refuse(
    game: Game, name: str, action: Any, step: Any, seat: Any, legal: np.ndarray
) -> None:
    """Raises ValueError; `legal` [A], or [0] where the play was lean."""
    names = game.action_names
    there = (
        "; legal: "
        + ", ".join(n for n, ok in zip(names, legal, strict=True) if ok)
        if len(legal)
        else ""
    )
    raise ValueError(
        f"{name} chose {names[int(action)]} at step {step} in seat {seat} of {game.name}, which is illegal{there}"
    )
