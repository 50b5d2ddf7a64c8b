"""The one loop over `Game.step`: collection and evaluation play matches with it.

A line-up is a pool of distinct players and, for every match, the player of each
seat. A pool player acts for all of its seats in a match at once, so one compiled
program serves every line-up, and a costly planner runs once a step, not once a
seat.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int, Int32, Key, PRNGKeyArray, UInt32

from bestreply.games.base import Game
from bestreply.games.hindsight_goals import label_goals
from bestreply.games.host import HostGame
from bestreply.games.sizes import episode_bytes
from bestreply.players.base import Player, ScriptedPlayer
from bestreply.players.callback import player_errors
from bestreply.players.function import FunctionPlayer, FunctionPolicy
from bestreply.simulation.decisions import (
    Carries,
    Log,
    Seats,
    choose,
    first_carries,
    log_step,
    refuse,
    renewed,
)
from bestreply.simulation.host_loop import play_on_host
from bestreply.simulation.lineup import Lineup
from bestreply.simulation.seed_batch import (
    call_for_all,
    matches_at_once,
    pad_seats,
    say_alone,
)
from bestreply.types import (
    ABSENT,
    Array,
    Episodes,
    TimeStep,
)
from bestreply.utils.compilation import cache_compilations
from bestreply.utils.console import Meter
from bestreply.utils.keys import two_keys
from bestreply.utils.quick import quickly
from bestreply.utils.seeds import checked_seed

ENVIRONMENTS = 256
"""Environments of the host that are stepped side by side."""
PLAY_BYTES = 2**30
"""Bytes of observations and masks in one chunk of matches."""
PLANNING_CHUNK = 256
"""Parallel matches with planning players; more do not fit the processor's cache."""
QUICK_STEPS = 2**14
"""Steps of all matches up to which compiling takes longer than playing them: their
program is compiled quickly."""
PADDED_STEPS = 2**11
"""Steps to which fewer matches are filled up, so that their number compiles nothing."""
LOG_BYTES = 2**26
"""Bytes of the whole log of a chunk up to which evaluation computes it as well, so that
one program serves it, collection and recorded matches."""

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
    act_key, move_key = two_keys(key)
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


@quickly(static_argnames=("game", "series", "watch", "lean"))
def _play_compiled(
    game: Game,
    pool: tuple[Player, ...],
    seats: tuple[Int32[Array, "M _"], ...],
    seed: UInt32[Array, ""],
    numbers: UInt32[Array, " M"],
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

    return jax.vmap(match)(seats, _match_keys(seed, numbers))


def _match_keys(
    seed: UInt32[Array, ""], numbers: UInt32[Array, " M"]
) -> Key[jax.Array, " M"]:
    return jax.vmap(partial(jax.random.fold_in, jax.random.key(seed)))(numbers)


_match_keys_compiled = quickly()(_match_keys)


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
    like: int = 0,
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
        lean: omit observations, masks and actor outputs; enough for scores.
        chunk: matches of one chunk.
        like: number of matches of another call, not lean or of as many in `like`, whose
            compiled program to use where the whole log is small; 0: of none.
        progress: a meter, advanced by the number of steps.

    Returns:
        The episodes, and the outputs of the watched player.

    Raises:
        ValueError: if a player chose an illegal action (names player, step, seat), or
            the seed is outside 0 <= seed < 2^32.
    """
    pieces = play_pieces(
        game,
        lineup,
        seed,
        series=series,
        numbers=numbers,
        watch=watch,
        lean=lean,
        chunk=chunk,
        like=like,
        progress=progress,
    )
    first, *more = pieces
    if not more:  # large arrays are not copied once more
        return jax.tree.map(lambda x: np.require(x, requirements="W"), first)
    return jax.tree.map(lambda *x: np.concatenate(x), first, *more)


def play_pieces(
    game: Game,
    lineup: Lineup,
    seed: int,
    *,
    series: int = 1,
    numbers: Int[np.ndarray, " M"] | None = None,
    watch: int | None = None,
    lean: bool = False,
    chunk: int = 1024,
    like: int = 0,
    progress: Meter | None = None,
) -> Iterator[Played]:
    """Yield what `play` returns in pieces of `chunk` matches, so that memory is bounded.

    Args:
        game, lineup, seed, series, numbers, watch, lean, chunk, like, progress: as in
            `play`.

    Returns:
        The pieces in the order of the matches.

    Raises:
        ValueError: as in `play`.
    """
    cache_compilations()
    total, key = len(lineup.seating), np.asarray(checked_seed(seed), np.uint32)
    numbers = np.arange(total) if numbers is None else numbers
    numbers = numbers.astype(np.uint32)
    program = _Program(game, lineup, series, watch, lean)
    size = program.fit(total, chunk, like)
    for begin in range(0, total, size):
        # The last chunk repeats its last match, so that one size is compiled.
        rows = np.minimum(np.arange(begin, begin + size), total - 1)
        with player_errors():
            logged = program(rows, key, numbers[rows])
        rows = rows[: total - begin]
        part = _to_played(game, lineup, rows, logged, lean)
        if progress is not None:
            progress.advance(float(part.episodes.length.sum()))
        yield part


class _Program:
    """The program that plays chunks of the matches of one call."""

    def __init__(
        self,
        game: Game,
        lineup: Lineup,
        series: int,
        watch: int | None,
        lean: bool,
    ) -> None:
        self.game, self.pool, self.series = game, lineup.pool, series
        self.watch, self.lean = watch, lean
        self.seats = pad_seats(_even_seats(lineup), game.num_players)
        self.whole, self.quick = not lean, False

    def fit(self, total: int, chunk: int, like: int) -> int:
        """Choose how the program is compiled, and return the size of its chunks."""
        most = matches_at_once(min(chunk, _most(self.game)))
        steps = self.series * self.game.max_steps
        if not self.game.compiled:
            self.quick = total * steps <= QUICK_STEPS
            return min(most, total)
        if like:
            size = _size(max(total, like), most, steps, self.pool)
            like = like if self._log_bytes(size) <= LOG_BYTES else 0
        self.whole = not self.lean or like > 0
        self.quick = max(total, like) * steps <= QUICK_STEPS
        return _size(max(total, like), most, steps, self.pool)

    def _log_bytes(self, size: int) -> int:
        """Return the bytes of the whole log of a chunk."""
        rows, zero = np.zeros(size, np.uint32), np.zeros((), np.uint32)
        inputs = tuple(own[rows] for own in self.seats), zero, rows
        setting = self.series, self.watch, False
        log = _play_compiled.plain.eval_shape(
            self.game, self.pool, *inputs, *setting
        )
        return sum(
            math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(log)
        )

    def __call__(
        self, rows: np.ndarray, seed: np.ndarray, numbers: np.ndarray
    ) -> tuple[Log, Any]:
        """Return logs [M, series, T, ...] and last time steps [M, series, ...]."""
        seats = tuple(own[rows] for own in self.seats)
        setting = self.series, self.watch
        if not self.game.compiled:
            say_alone(f"{self.game.name} runs on the host")
            keys = _match_keys_compiled(seed, numbers)
            logged = play_on_host(
                *(self.game, self.pool, seats, keys, *setting, self.lean),
                quick=self.quick,
            )
            return jax.device_get(logged)
        if not self.whole:
            setting = self.series, None
        logged, end = call_for_all(
            _play_compiled if self.quick else _play_compiled.plain,
            *(self.game, self.pool, seats, seed, numbers),
            *(*setting, not self.whole),
        )
        if self.lean and self.whole:
            logged, end = _without_details(logged, end)
        return jax.device_get((logged, end))


def _even_seats(lineup: Lineup) -> tuple[Int32[np.ndarray, "M _"], ...]:
    """Return the seats of pool players, those of scripted ones in few widths.

    The most seats that a player has in a match are drawn with the line-up; another seed
    must not compile another program.
    """
    n, seats = lineup.seating.shape[1], []
    for player, own in zip(lineup.pool, lineup.seats(), strict=True):
        asked = isinstance(player, FunctionPolicy)  # no more than it has to be
        if (
            isinstance(player, ScriptedPlayer)
            and own.shape[1] > 1
            and not asked
        ):
            missing = (0, 0), (0, n - own.shape[1])
            own = np.pad(own, missing, constant_values=n)
        seats.append(own)
    return tuple(seats)


def asks_functions(pool: Sequence[Player]) -> bool:
    """Return whether a player, or a part of one, is a function of NumPy arrays.

    Args:
        pool: players.
    """
    functions = FunctionPlayer, FunctionPolicy
    parts = jax.tree.leaves(
        list(pool), is_leaf=lambda x: isinstance(x, functions)
    )
    return any(isinstance(part, functions) for part in parts)


def _size(total: int, most: int, steps: int, pool: tuple[Player, ...]) -> int:
    """Return the matches of a chunk: a power of two, so that few sizes are compiled."""
    if asks_functions(pool):
        return min(most, total)  # a function is asked no more than it has to be
    smallest = _power_of_two(max(PADDED_STEPS // steps, 1))
    return min(max(_power_of_two(total), smallest), most)


def _power_of_two(count: int) -> int:
    """Return the largest power of two that is not above a count."""
    return 1 << (count.bit_length() - 1)


def _without_details(log: Log, end: TimeStep) -> tuple[Log, Any]:
    shown = (log.shown.present,)
    log = log._replace(shown=shown, actor_outputs=None, mode=None)
    return log, (end.present,)


def _most(game: Game) -> int:
    """Return the most matches of a game that are played side by side."""
    most = max(PLAY_BYTES // episode_bytes(game), 1)
    return min(most, ENVIRONMENTS) if isinstance(game, HostGame) else most


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
        refuse(game, name, action, step, seat, legal)
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
