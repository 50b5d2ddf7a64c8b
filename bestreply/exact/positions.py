"""The positions of a grid game, numbered the same for every layout of its blocks and things."""

import itertools
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from bestreply.games.grid import STAY, GridGame, GridState
from bestreply.types import Array
from bestreply.utils.quick import quickly


class Layout(NamedTuple):
    """The cells of blocks and things.

    Things of one kind are sorted by cell, so that equal boards are equal layouts.
    """

    blocks: Array  # [..., cells] bool
    thing_cell: Array  # [..., K] int32


class GridPositions(NamedTuple):
    """Every position in which seat 0 still plays; number `S` stands for all others.

    A position is: which players have left, which things remain, and the cell of every player
    that has not left. There are `S` of them, whatever the layout.
    """

    cell: np.ndarray  # [S, N] int32, 0 for a player that has left
    left: np.ndarray  # [S, N] bool
    remains: np.ndarray  # [S, K] bool
    offset: np.ndarray
    """[2^(N+K)] int32: by stage (`left`, `remains`), its first position; S: not reachable."""

    @property
    def total(self) -> int:
        """The number of positions, S."""
        return len(self.cell)


class StageGroup(NamedTuple):
    """Consecutive stages (who has left, which things remain) with the same remaining players.

    Their positions are numbered like the elements of an array [stages, cells, cells, ...]
    with one axis of cells for each of `seats`.
    """

    seats: tuple[int, ...]  # the remaining players in seat order, seat 0 first
    begin: int  # number of the first position
    stages: int


@lru_cache(maxsize=4)
def number_positions(game: GridGame, limit: int = 5_000_000) -> GridPositions:
    """Return all positions of `game` that play can reach.

    Args:
        game: a grid game.
        limit: the largest number of positions.

    Returns:
        The positions, those of the first stage (no player left, all things remain) first.

    Raises:
        ValueError: there are more positions than `limit`.
    """
    n = game.num_players
    stages = sorted(_stages(game), key=lambda stage: stage[0].tolist())
    sizes = [game.cells ** int((~left).sum()) for left, _ in stages]
    total = sum(sizes)
    if total > limit:
        raise ValueError(
            f"{game.name} with {n} players on {game.cells} cells has {total:,} positions for one "
            f"layout: expected at most {limit:,}. Use a smaller board or fewer players, or the "
            "reference by search"
        )
    offset = np.full(2 ** (n + len(game.thing_kind)), total, np.int32)
    cell, left_rows, remains_rows = [], [], []
    begins = np.cumsum([0, *sizes[:-1]])
    for (left, remains), size, begin in zip(stages, sizes, begins, strict=True):
        offset[_stage_code(left, remains)] = begin
        places = [range(1 if gone else game.cells) for gone in left]
        cell.append(np.array(list(itertools.product(*places)), np.int32))
        left_rows.append(np.broadcast_to(left, (size, n)))
        remains_rows.append(np.broadcast_to(remains, (size, len(remains))))
    return GridPositions(
        np.concatenate(cell),
        np.concatenate(left_rows),
        np.concatenate(remains_rows),
        offset,
    )


def stage_groups(
    game: GridGame, positions: GridPositions
) -> tuple[StageGroup, ...]:
    """Return all positions as groups of stages, in the order of their numbers.

    Args:
        game: the game of `positions`.
        positions: as `number_positions` returns them.

    Returns:
        One group for each set of remaining players.
    """
    changes = (positions.left[1:] != positions.left[:-1]).any(1)
    begins = np.flatnonzero(np.append(True, changes)).tolist()
    groups = []
    for begin, end in itertools.pairwise([*begins, positions.total]):
        seats = tuple(np.flatnonzero(~positions.left[begin]).tolist())
        stages = (end - begin) // game.cells ** len(seats)
        groups.append(StageGroup(seats, begin, stages))
    return tuple(groups)


def _stage_code(left: np.ndarray, remains: np.ndarray) -> int:
    bits = np.concatenate([left, remains])
    return int(bits @ 2 ** np.arange(len(bits)))


def _stages(game: GridGame) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return every reachable stage in which seat 0 plays: who has left [N], what remains [K]."""
    things = len(game.thing_kind)
    first = (np.zeros(game.num_players, bool), np.ones(things, bool))
    stages, queue = {_stage_code(*first): first}, [first]
    while queue:
        left, remains, over = jax.device_get(_take_all(game, *queue.pop()))
        for row in np.flatnonzero(~over & ~left[:, 0]):
            stage = left[row], remains[row]
            if _stage_code(*stage) not in stages:
                stages[_stage_code(*stage)] = stage
                queue.append(stage)
    return list(stages.values())


@quickly(static_argnums=0)
def _take_all(
    game: GridGame, left: Array, remains: Array
) -> tuple[Array, Array, Array]:
    """Return the stage after every combination of takes, one thing or none per player.

    First who has left [X, N], then what remains [X, K], and whether the game is over [X].
    """
    kinds = game.thing_kind
    things = len(kinds)
    options = range(things + 1)  # the last takes nothing
    taking = np.array(
        list(itertools.product(options, repeat=game.num_players)), np.int32
    )
    take = STAY + 1 + np.append(kinds, 0)[taking]
    cell = np.where(taking < things, taking, 0)
    action = np.where(taking < things, take, STAY)

    def one(cell: Array, action: Array) -> tuple[Array, Array, Array]:
        blocks, time = jnp.zeros(game.cells, bool), jnp.int32(0)
        state = GridState(cell, left, blocks, jnp.arange(things), remains, time)
        state, _ = game.advance(state, action, jax.random.key(0))
        return state.left, state.thing_present, game.over(state)

    return jax.vmap(one)(jnp.asarray(cell), jnp.asarray(action))


def position_number(
    game: GridGame,
    positions: GridPositions,
    cell: Int[Array, " N"],
    left: Bool[Array, " N"],
    remains: Bool[Array, " K"],
) -> Int[Array, ""]:
    """Return the number of one position; `positions.total` where seat 0 no longer plays.

    Args:
        game: the game of `positions`.
        positions: as `number_positions` returns them.
        cell: [N] int32, as `GridState.cell`.
        left: [N] bool, as `GridState.left`.
        remains: [K] bool, as `GridState.thing_present`.

    Returns:
        [] int32.
    """
    bits = jnp.concatenate([left, remains])
    code = (bits * 2 ** jnp.arange(bits.shape[0])).sum()
    begin = jnp.asarray(positions.offset)[code]
    radix = jnp.where(left, 1, game.cells)
    # The number of arrangements of the players after each one.
    later = jnp.cumprod(radix[::-1])[::-1] // radix
    number = begin + (jnp.where(left, 0, cell) * later).sum()
    return jnp.where(begin == positions.total, begin, number).astype(jnp.int32)


def read_position(
    game: GridGame, obs: Float[Array, "H W planes"]
) -> tuple[Int[Array, " N"], Bool[Array, " N"], Int[Array, ""]]:
    """Return the position that one seat observes.

    Args:
        game: the game of the observation.
        obs: [H, W, planes], one seat's observation.

    Returns:
        The cell of every player [N] int32 and whether it has left [N] bool, ego first, and
        the time [] int32.
    """
    flat = jnp.reshape(obs, (game.cells, -1)) > 0.5
    players = flat[:, : game.num_players]
    elapsed = game.max_steps * (1 - jnp.reshape(obs, -1)[-1])
    time = jnp.round(elapsed).astype(jnp.int32)
    return jnp.argmax(players, 0).astype(jnp.int32), ~players.any(0), time


def read_things(
    game: GridGame, layout: Layout, obs: Float[Array, "H W planes"]
) -> Bool[Array, " K"]:
    """Return the things of `layout` that remain in an observation.

    Args:
        game: the game of the observation.
        layout: cells of blocks and things at the start of the episode.
        obs: [H, W, planes], one seat's observation.

    Returns:
        [K] bool.
    """
    flat = jnp.reshape(obs, (game.cells, -1)) > 0.5
    return flat[layout.thing_cell, game.num_players + 1 + game.thing_kind]


def read_layout(
    game: GridGame, obs: Float[np.ndarray, "E H W planes"]
) -> Layout:
    """Return the layouts of episodes from their first observations.

    Args:
        game: the game of the observations.
        obs: [E, H, W, planes] at the first step, when every thing remains.

    Returns:
        `E` layouts.
    """
    flat = np.reshape(obs, (len(obs), game.cells, -1)) > 0.5
    begin = game.num_players + 1
    cells = [
        np.argsort(~flat[..., begin + kind], axis=1, kind="stable")[:, :count]
        for kind, count in enumerate(game.kinds.values())
    ]
    thing_cell = np.concatenate(cells, 1).astype(np.int32)
    return Layout(flat[..., game.num_players], thing_cell)
