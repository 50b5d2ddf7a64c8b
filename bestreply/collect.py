"""Play. The only loop over `Game.step`: collection and evaluation both use it.

Who plays is a pool of distinct players and, for every match, the player of each seat. In every match each pool player acts for the
seats it holds and for no others, so one compiled program serves every line-up: a costly planner runs once a step, not once a seat.
"""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from bestreply.compilation import cache_compilations
from bestreply.console import Meter, fresh_path, meter
from bestreply.data.goals import label_goals
from bestreply.games.base import Game
from bestreply.players.base import Player
from bestreply.players.scripted import Mixture
from bestreply.players.zoo import make_player
from bestreply.spec import Spec
from bestreply.types import ABSENT, Array, Episodes, TimeStep, ego_order

if TYPE_CHECKING:
    from bestreply.data.store import Store


class Lineup(NamedTuple):
    """Who plays `M` matches."""

    pool: tuple[Player, ...]  # distinct players
    seating: np.ndarray  # [M, N] int32, index into the pool

    @property
    def roster(self) -> list[dict[str, Any]]:
        return [{"name": p.name, "version": p.version} for p in self.pool]

    def seats(self) -> tuple[np.ndarray, ...]:
        """For each pool player, [M, m] int32: the seats it holds, padded with N to the most it holds in any match."""
        n = self.seating.shape[1]
        held = []
        for index in range(len(self.pool)):
            mine = self.seating == index
            most = max(int(mine.sum(1).max()), 1)
            order = np.argsort(~mine, axis=1, kind="stable")[:, :most]
            held.append(np.where(np.take_along_axis(mine, order, 1), order, n).astype(np.int32))
        return tuple(held)


def seat_players(
    game: Game, players: Sequence[str | Spec | Player], matches: int, seed: int, *, rotate: bool = False
) -> Lineup:
    """Seats one player (or spec) per seat for `matches` matches; a `Mixture` is drawn anew for every match, from `seed`.

    With `rotate`, match m seats player k at ``(k + m) % N``: everybody sits everywhere in turn.

    Raises ValueError if there is not one player for each seat.
    """
    n = game.num_players
    if isinstance(players, str | Player) or len(players) != n:
        raise ValueError(
            f"{game.name} has {n} seats; got players={players!r}. Wanted: one player for each seat"
        )
    if matches < 1:
        raise ValueError(f"{matches} episodes; wanted: at least 1")
    rng = np.random.default_rng(seed)
    pool: list[Player] = []
    seating = np.zeros((matches, n), np.int32)
    for k, spec in enumerate(players):
        for turn in range(n if rotate else 1):
            seat, rows = (k + turn) % n, slice(turn, None, n if rotate else 1)
            player = make_player(spec, game, seat)
            parts, weights = (
                (player.players, player.weights) if isinstance(player, Mixture) else ((player,), (1.0,))
            )
            indices = np.array([find_player(pool, part) for part in parts])
            size = len(seating[rows, seat])
            seating[rows, seat] = rng.choice(indices, size=size, p=np.array(weights) / sum(weights))
    return Lineup(tuple(pool), seating)


def find_player(pool: list[Player], player: Player) -> int:
    """The place of `player` in `pool`, added where it is new."""
    for index, known in enumerate(pool):
        if known is player or (known.name == player.name and bool(eqx.tree_equal(known, player))):
            return index
    pool.append(player)
    return len(pool) - 1


PLANNING_CHUNK = 256
"""Matches side by side where planners play: more would not fit the processor's cache."""

# -- one step of everybody -----------------------------------------------------------------------------------------------------


class Choice(NamedTuple):
    """What everybody decided at one step of one match."""

    carries: tuple[Any, ...]  # for each pool player, its carries [m, ...]
    action: jax.Array  # [N] int32
    prob: jax.Array  # [N] float32, NaN where the player does not tell
    thoughts: tuple[Any, ...]  # for each pool player, its thoughts [m, ...]
    mode: jax.Array  # [N] int32, which of its modes each seat's player is in; ABSENT where it does not tell


def choose(
    pool: tuple[Player, ...], carries: Any, seats: Any, shown: TimeStep, last: Array, key: jax.Array
) -> Choice:
    """Lets every pool player act for the seats it holds in one match.

    Args:
        seats: for each pool player, [m] int32; an entry of N is padding.
        shown: what the game shows now; last: [N] int32, everybody's action in the step before, ABSENT where there was none.
    """
    n = shown.present.shape[0]
    order = jnp.asarray(ego_order(n))
    action, prob, mode = jnp.zeros(n, jnp.int32), jnp.full(n, jnp.nan), jnp.full(n, ABSENT)
    after, thoughts = [], []
    for index, (player, carry, held) in enumerate(zip(pool, carries, seats, strict=True)):
        seat = jnp.minimum(held, n - 1)
        keys = jax.vmap(partial(jax.random.fold_in, jax.random.fold_in(key, index)))(seat)
        ego = order[seat]  # [m, N]

        def act(c: Any, o: Array, m: Array, k: jax.Array, a: Array, p: Array, player: Player = player) -> Any:
            return player.step(c, o, m, k, others=a, present=p)

        new, chosen, thought = jax.vmap(act)(
            carry, shown.obs[seat], shown.legal[seat], keys, last[ego[:, 1:]], shown.present[ego]
        )
        action = action.at[held].set(chosen, mode="drop")
        if thought.probs is not None:
            told = jnp.take_along_axis(thought.probs, chosen[:, None], 1)[:, 0]
            prob = prob.at[held].set(told, mode="drop")
        if thought.mode is not None:
            mode = mode.at[held].set(thought.mode, mode="drop")
        after.append(new)
        thoughts.append(thought)
    return Choice(tuple(after), action, prob, tuple(thoughts), mode)


def first_carries(pool: tuple[Player, ...], seats: Any) -> tuple[Any, ...]:
    return tuple(player.init(held.shape[0]) for player, held in zip(pool, seats, strict=True))


def renewed(pool: tuple[Player, ...], seats: Any, carries: Any) -> tuple[Any, ...]:
    renew = [
        jax.vmap(lambda _, carry, player=player: player.renew(carry)) for player in pool
    ]  # a carry can be empty
    return tuple(each(held, carry) for each, held, carry in zip(renew, seats, carries, strict=True))


class Log(NamedTuple):
    """One step of one match as it is logged."""

    shown: Any  # TimeStep before the action; of a lean log only (present,)
    action: jax.Array  # [N] int32, ABSENT where the seat did not act
    prob: jax.Array  # [N] float32
    reward: jax.Array  # [N] float32, of the action
    ended: jax.Array  # [N] bool, terminated by the action
    cut: jax.Array  # [] bool, truncated by the action
    illegal: jax.Array  # [N] bool
    thoughts: Any  # of the pool player that is watched, or None
    mode: Any  # [N] int32, which of its modes each seat's player was in; None where nobody is watched


def log_step(choice: Choice, before: TimeStep, after: TimeStep, watch: int | None) -> Log:
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
        thoughts=None if watch is None else choice.thoughts[watch],
        mode=None if watch is None else choice.mode,
    )


# -- whole matches -------------------------------------------------------------------------------------------------------------


@partial(jax.jit, static_argnames=("game", "series", "watch", "lean"))
def _play_compiled(
    game: Game, pool: Any, seats: Any, keys: jax.Array, series: int, watch: int | None, lean: bool
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
        first = (state, shown, jnp.full(game.num_players, ABSENT, jnp.int32), carries)
        (_, shown, _, carries), logs = jax.lax.scan(
            partial(step, seat), first, jax.random.split(key, game.max_steps)
        )
        return renewed(pool, seat, carries), (logs, (shown.present,) if lean else shown)

    def match(seat: Any, key: jax.Array) -> Any:
        return jax.lax.scan(partial(episode, seat), first_carries(pool, seat), jax.random.split(key, series))[
            1
        ]

    return jax.vmap(match)(seats, keys)


@jax.jit
def choose_batch(pool: Any, carries: Any, seats: Any, shown: Any, last: Any, keys: Any) -> Choice:
    return jax.vmap(partial(choose, pool))(carries, seats, shown, last, keys)


def _play_host(game: Game, pool: Any, seats: Any, keys: jax.Array, series: int, watch: int | None) -> Any:
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
            step_keys = jax.vmap(lambda k, t=t: jax.random.split(jax.random.fold_in(k, t)))(episode_keys)
            choice = choose_batch(pool, carries, seats, shown, last, step_keys[:, 0])
            actions = np.asarray(choice.action)
            _refuse_on_host(game, pool, seats, shown, actions, t)
            states, steps = zip(*map(game.step, states, actions, step_keys[:, 1]), strict=True)
            after = _stack(steps)
            logs.append(jax.vmap(partial(log_step, watch=watch))(choice, shown, after))
            shown, carries, last = after, choice.carries, logs[-1].action
        carries = jax.vmap(partial(renewed, pool))(seats, carries)
        episodes.append((jax.tree.map(lambda *x: jnp.stack(x, 1), *logs), shown))
    return jax.tree.map(lambda *x: jnp.stack(x, 1), *episodes)


def _refuse_on_host(
    game: Game, pool: Any, seats: Any, shown: TimeStep, actions: np.ndarray, step: int
) -> None:
    """Before the game sees them: it would not know whose choice an illegal action was. `shown` and `actions` [M, ...]."""
    acts = shown.present & ~shown.terminated & ~(shown.terminated.all(1) | shown.truncated)[:, None]
    illegal = acts & ~np.take_along_axis(np.asarray(shown.legal), actions[..., None], 2)[..., 0]
    for match, seat in np.argwhere(illegal)[:1]:
        name = next(player.name for player, held in zip(pool, seats, strict=True) if seat in held[match])
        _refuse(game, name, actions[match, seat], step, seat, np.asarray(shown.legal[match, seat]))


def _stack(steps: Sequence[TimeStep]) -> TimeStep:
    return jax.tree.map(lambda *x: np.stack(x), *steps)


class Played(NamedTuple):
    """What `play` gives."""

    episodes: Episodes  # [M * series, ...], matches in order; in a lean one obs and legal end in an axis of length 0
    thoughts: Any  # [M * series, T, m, ...] of the player watched, or None
    modes: Any = (
        None  # [M * series, T, N] int32, which of its modes each seat's player was in, where one is watched
    )


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
        watch: index of the pool player whose thoughts to return.
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
        args = (game, lineup.pool, tuple(s[index] for s in seats), keys[index], series, watch)
        logs, end = jax.device_get(_play_compiled(*args, lean) if game.compiled else _play_host(*args))
        if lean and not game.compiled:
            logs, end = logs._replace(shown=(logs.shown.present,)), (end.present,)
        kept = min(size, total - begin)
        logs, end = jax.tree.map(
            lambda x, kept=kept: x[:kept].reshape(kept * series, *x.shape[2:]), (logs, end)
        )
        part = to_episodes(game, logs, end, np.repeat(lineup.seating[index[:kept]], series, 0), lean)
        _refuse_illegal(game, lineup, logs, part)
        parts.append((part, logs.thoughts, logs.mode))
        if progress is not None:
            progress.advance(float(part.length.sum()))
    return Played(*jax.tree.map(lambda *x: np.concatenate(x), *parts))


def to_episodes(game: Game, logs: Log, end: Any, seating: np.ndarray, lean: bool) -> Episodes:
    """Logs [E, T, ...] and last steps [E, ...] as `Episodes`."""

    def joined(before: np.ndarray, last: np.ndarray) -> np.ndarray:
        return np.concatenate([before, last[:, None]], 1)

    acted = logs.action != ABSENT
    reward = np.where(acted, logs.reward, 0.0).astype(np.float32)
    if lean:
        present = joined(logs.shown[0], end[0])
        obs, legal = np.zeros((*present.shape, 0), np.float32), np.zeros((*present.shape, 0), bool)
        goal, source = np.full(acted.shape, ABSENT, np.int32), np.zeros(acted.shape, np.int8)
    else:
        shown = jax.tree.map(joined, logs.shown, end)
        present, obs, legal = shown.present, shown.obs, shown.legal
        goal, source = label_goals(game, obs[:, :-1], np.asarray(logs.action), reward)
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


def _refuse_illegal(game: Game, lineup: Lineup, logs: Log, part: Episodes) -> None:
    for episode, step, seat in np.argwhere(logs.illegal)[:1]:
        name = lineup.pool[part.player[episode, seat]].name
        _refuse(game, name, logs.action[episode, step, seat], step, seat, part.legal[episode, step, seat])


def _refuse(game: Game, name: str, action: Any, step: Any, seat: Any, legal: np.ndarray) -> None:
    """Raises ValueError; `legal` [A], or [0] where the play was lean."""
    names = game.action_names
    there = "; legal: " + ", ".join(n for n, ok in zip(names, legal, strict=True) if ok) if len(legal) else ""
    raise ValueError(
        f"{name} chose {names[int(action)]} at step {step} in seat {seat} of {game.name}, which is illegal{there}"
    )


def collect(
    game: Game,
    players: Sequence[str | Spec | Player],
    episodes: int,
    seed: int,
    *,
    path: str | Path | None = None,
    roster: Sequence[dict[str, Any]] = (),
    rotate: bool = False,
    chunk: int = 1024,
    command: str | None = None,
) -> "Store":
    """Plays `episodes` episodes and logs every step of every seat to a store on disk.

    Args:
        players: one for each seat; a `mixture(...)` is drawn anew for every episode, and the log names the player drawn.
        path: where the store goes, or a store of the same game to append to; by default a new one in ``datasets/``.
        roster: further players (name, version) that later additions to a new store will log.
        rotate: everybody sits everywhere in turn (see `seat_players`).

    Returns:
        The store (`bestreply.data.store.Store`).

    Raises ValueError for an illegal action, or where the store at `path` is of another game or does not know a player.
    """
    lineup = seat_players(game, players, episodes, seed, rotate=rotate)
    path = fresh_path("datasets", game.name.replace(":", "-")) if path is None else Path(path)
    store = open_log(path, game, lineup.roster, roster)
    with meter("collect", episodes * game.max_steps, "steps") as progress:
        began = time.perf_counter()
        played = play(game, lineup, seed, chunk=chunk, progress=progress).episodes
        seconds = time.perf_counter() - began
    store.append(named_in(store, lineup, played), seed=seed, command=command, seconds=seconds)
    return store


def open_log(
    path: Path, game: Game, roster: Sequence[dict[str, Any]], later: Sequence[dict[str, Any]] = ()
) -> "Store":
    """The store at `path` for play of `roster`: a new one, which also knows the players `later`, or the one that is there.

    Raises ValueError where that one is of another game or does not know a player.
    """
    from bestreply.data.store import create_store, open_store

    there = open_store(path).roster if (path / "manifest.json").exists() else None
    known = [*roster, *(p for p in later if p not in roster)] if there is None else there
    missing = [p for p in roster if p not in known]
    if missing:
        raise ValueError(
            f"{path} logs play of {known}, not of {missing}; wanted: a store begun with these players, or a new one"
        )
    return create_store(path, game, known, append=True)


def named_in(store: "Store", lineup: Lineup, played: Episodes) -> Episodes:
    """`played` with its players counted as the store's roster counts them."""
    names = np.array([store.roster.index(p) for p in lineup.roster], np.int32)
    return eqx.tree_at(lambda e: e.player, played, names[played.player])
