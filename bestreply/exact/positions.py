"""Where everybody can stand: the positions of a grid game, numbered, for any lie of its blocks and things."""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bestreply.games.grid import STAY, GridGame, GridState
from bestreply.types import Array


class Layout(NamedTuple):
    """Where blocks and things lie; things of a kind in order of their cells, so that equal boards are equal layouts."""

    blocks: Array  # [..., cells] bool
    thing_cell: Array  # [..., K] int32


class Positions(NamedTuple):
    """Every position in which seat 0 still plays, `S` of them, whatever the layout; number `S` stands for all others.

    A position is who has left, which things are still there, and the cell of everyone who has not left.
    """

    cell: np.ndarray  # [S, N] int32, 0 for a player that has left
    left: np.ndarray  # [S, N] bool
    there: np.ndarray  # [S, K] bool
    offset: np.ndarray  # [2^(N+K)] int32, number of the first position with these who left and things there; S: none such

    @property
    def total(self) -> int:
        return len(self.cell)


class Group(NamedTuple):
    """Stages (who has left, what is there) in which the same players are left in the game, one after another among all positions.

    Their positions are numbered like the elements of an array [stages, cells, cells, ...], a `cells` for each of `seats`.
    """

    seats: tuple[int, ...]  # who still plays, in seat order: 0 first
    begin: int  # number of the first position
    stages: int


def number_positions(game: GridGame, limit: int = 5_000_000) -> Positions:
    """All positions of `game` that play can reach. Raises ValueError for more than `limit`."""
    n = game.num_players
    stages = sorted(
        _stages(game), key=lambda stage: stage[0].tolist()
    )  # nobody has left, all there: first
    sizes = [game.cells ** int((~left).sum()) for left, _ in stages]
    total = sum(sizes)
    if total > limit:
        raise ValueError(
            f"{game.name} with {n} players on {game.cells} cells has {total:,} positions for one layout; expected: at most {limit:,}. "
            "Use a smaller board or fewer players, or the reference by search"
        )
    offset = np.full(2 ** (n + len(game.thing_kind)), total, np.int32)
    cells, lefts, theres = [], [], []
    for (left, there), size, begin in zip(
        stages, sizes, np.cumsum([0, *sizes]), strict=False
    ):
        offset[_code(left, there)] = begin
        places = [range(1 if gone else game.cells) for gone in left]
        cells.append(np.array(list(itertools.product(*places)), np.int32))
        lefts.append(np.broadcast_to(left, (size, n)))
        theres.append(np.broadcast_to(there, (size, len(there))))
    return Positions(
        np.concatenate(cells),
        np.concatenate(lefts),
        np.concatenate(theres),
        offset,
    )


def groups_of(game: GridGame, positions: Positions) -> tuple[Group, ...]:
    """All positions as groups of stages, in order of their numbers."""
    begins = np.flatnonzero(
        np.append(True, (positions.left[1:] != positions.left[:-1]).any(1))
    )
    groups = []
    for begin, end in itertools.pairwise([*begins.tolist(), positions.total]):
        seats = tuple(np.flatnonzero(~positions.left[begin]).tolist())
        groups.append(
            Group(seats, begin, (end - begin) // game.cells ** len(seats))
        )
    return tuple(groups)


def _code(left: np.ndarray, there: np.ndarray) -> int:
    bits = np.concatenate([left, there])
    return int(bits @ 2 ** np.arange(len(bits)))


def _stages(game: GridGame) -> list[tuple[np.ndarray, np.ndarray]]:
    """Who has left [N] and what is there [K], in every combination that takes can lead to while seat 0 still plays."""
    n, kinds = game.num_players, game.thing_kind
    things = len(kinds)
    taking = np.array(
        list(itertools.product(range(things + 1), repeat=n)), np.int32
    )  # `things`: takes nothing
    cell = jnp.asarray(np.where(taking < things, taking, 0))
    action = jnp.asarray(
        np.where(taking < things, STAY + 1 + np.append(kinds, 0)[taking], STAY)
    )

    @jax.jit
    def after(left: Array, there: Array) -> tuple[Array, Array, Array]:
        def one(cell: Array, action: Array) -> tuple[Array, Array, Array]:
            state = GridState(
                cell,
                left,
                jnp.zeros(game.cells, bool),
                jnp.arange(things),
                there,
                jnp.int32(0),
            )
            state, _ = game.advance(state, action, jax.random.key(0))
            return state.left, state.thing_present, game.over(state)

        return jax.vmap(one)(cell, action)

    first = (np.zeros(n, bool), np.ones(things, bool))
    found, queue = {_code(*first): first}, [first]
    while queue:
        left, there, over = map(
            np.asarray, after(*map(jnp.asarray, queue.pop()))
        )
        for row in np.flatnonzero(~over & ~left[:, 0]):
            stage = left[row], there[row]
            if _code(*stage) not in found:
                found[_code(*stage)] = stage
                queue.append(stage)
    return list(found.values())


def number_of(
    game: GridGame, positions: Positions, cell: Array, left: Array, there: Array
) -> Array:
    """[] int32: the number of one position; `positions.total` where seat 0 no longer plays. Arrays as in `GridState`."""
    bits = jnp.concatenate([left, there])
    begin = jnp.asarray(positions.offset)[
        (bits * 2 ** jnp.arange(bits.shape[0])).sum()
    ]
    radix = jnp.where(left, 1, game.cells)
    later = (
        jnp.cumprod(radix[::-1])[::-1] // radix
    )  # how many arrangements of the players after this one
    return jnp.where(
        begin == positions.total,
        begin,
        begin + (jnp.where(left, 0, cell) * later).sum(),
    ).astype(jnp.int32)


def read_position(game: GridGame, obs: Array) -> tuple[Array, Array, Array]:
    """Cells [N] and who has left [N], ego first, and the time [] int32, from one's own observation."""
    flat = jnp.reshape(obs, (game.cells, -1)) > 0.5
    players = flat[:, : game.num_players]
    time = jnp.round(game.max_steps * (1 - jnp.reshape(obs, -1)[-1])).astype(
        jnp.int32
    )
    return jnp.argmax(players, 0).astype(jnp.int32), ~players.any(0), time


def read_things(game: GridGame, layout: Layout, obs: Array) -> Array:
    """[K] bool: which things of `layout` are still there in an observation."""
    flat = jnp.reshape(obs, (game.cells, -1)) > 0.5
    return flat[layout.thing_cell, game.num_players + 1 + game.thing_kind]


def read_layout(game: GridGame, obs: np.ndarray) -> Layout:
    """The layouts [E, ...] that first observations [E, H, W, P] show: everything is still there."""
    flat = np.reshape(obs, (len(obs), game.cells, -1)) > 0.5
    begin = game.num_players + 1
    kinds = [
        np.argsort(~flat[..., begin + kind], axis=1, kind="stable")[:, :count]
        for kind, count in enumerate(game.kinds.values())
    ]
    return Layout(
        flat[..., game.num_players], np.concatenate(kinds, 1).astype(np.int32)
    )
