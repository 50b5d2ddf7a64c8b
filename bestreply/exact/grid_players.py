"""What best replies in grid games share: layouts to begin with, the others' modes, positions read off play."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from bestreply.exact.backward_induction import Case
from bestreply.exact.base import BestReply
from bestreply.exact.hidden_modes import Modes, modes_of
from bestreply.exact.positions import (
    Layout,
    Positions,
    number_of,
    read_layout,
    read_position,
    read_things,
)
from bestreply.games.grid import GridGame
from bestreply.players.base import ScriptedPlayer
from bestreply.types import Array, Episodes


@dataclasses.dataclass(frozen=True, eq=False)
class ReplyOnGrid(BestReply):
    """A best reply in a grid game. Seats of a grid game differ in nothing, so one solution serves all."""

    game: GridGame  # pyright: ignore[reportIncompatibleVariableOverride]  # these solvers' games
    modes: tuple[Modes, ...] = dataclasses.field(repr=False)
    positions: Positions = dataclasses.field(repr=False)

    def value_of_starts(self, layouts: Sequence[Layout]) -> tuple[float, float]:
        """The best reply's own expected discounted return over first states of `layouts`, and its standard error over layouts."""
        return mean_and_error([self._start_value(layout) for layout in layouts])

    def _start_value(self, layout: Layout) -> float:
        raise NotImplementedError

    def _first_modes(self) -> np.ndarray:
        """[M]: how likely each joint mode is when the first step is acted in."""
        return functools.reduce(
            np.kron,
            [m.initial @ m.transition(0) for m in self.modes],
            np.ones(1),
        )

    def _first_positions(self, layout: Layout) -> np.ndarray:
        """How likely each position is to be begun in; nobody has left, so these are the first ones of all."""
        free = ~np.asarray(layout.blocks)
        return functools.reduce(
            np.kron, [free / free.sum()] * self.game.num_players
        )

    def _case(self, layout: Layout, own: ScriptedPlayer | None = None) -> Case:
        times = range(self.game.max_steps + 1)
        joint = [
            functools.reduce(
                np.kron, [m.transition(t) for m in self.modes], np.eye(1)
            )
            for t in times
        ]
        return Case(
            modes=tuple(m.players for m in self.modes),
            transitions=np.array(joint, np.float32),
            positions=self.positions,
            layout=layout,
            gamma=np.float32(self.gamma),
            own=own,
        )

    def _read(
        self, episodes: Episodes, seats: np.ndarray
    ) -> tuple[Layout, np.ndarray, np.ndarray]:
        """Of each episode, seen from its seat of `seats` [E]: the layout, positions [E, T], which layouts are one [E]."""
        obs = np.asarray(episodes.obs)[np.arange(len(seats)), :, seats]
        layouts = read_layout(self.game, obs[:, 0])
        boards = np.concatenate([layouts.blocks, layouts.thing_cell], 1)
        board = np.unique(boards, axis=0, return_inverse=True)[1].reshape(-1)
        return (
            layouts,
            np.asarray(
                _read_numbers(self.game, self.positions, layouts, obs[:, :-1])
            ),
            board,
        )


Reply = TypeVar("Reply", bound=ReplyOnGrid)


def valued(reply: Reply, layouts: int) -> Reply:
    """The same reply, its `value` over `layouts` drawn layouts, all of them where there are no more; 0: it is left NaN."""
    if not layouts:
        return reply
    drawn, every = draw_layouts(reply.game, layouts)
    value, stderr = reply.value_of_starts(drawn)
    return dataclasses.replace(
        reply, value=value, stderr=0.0 if every else stderr
    )


def memoryless_modes(
    game: GridGame, others: Sequence[ScriptedPlayer]
) -> tuple[Modes, ...]:
    """The modes of `others`. Raises ValueError for a player with a memory of its own."""
    modes = tuple(modes_of(player) for player in others)
    for player in (p for m in modes for p in m.players):
        if jax.tree.leaves(player.start()):
            raise ValueError(
                f"{player.name} remembers; wanted in {game.name}: players that choose by what they see"
            )
    return modes


def draw_layouts(
    game: GridGame, count: int, seed: int = 0
) -> tuple[list[Layout], bool]:
    """`count` layouts as games begin with, or every one where there are no more; and whether these are all."""
    kinds, free = list(game.kinds.values()), game.cells
    total = 1 if not game.blocks else 10**9
    for size in kinds:
        total, free = total * math.comb(free, size), free - size
    if total > count:
        states = jax.vmap(game.start)(
            jax.random.split(jax.random.key(seed), count)
        )
        first = np.asarray(jax.vmap(game.observe)(states))[:, 0]
        found = read_layout(game, first)
        return [Layout(b, c) for b, c in zip(*found, strict=True)], False
    chosen: list[tuple[int, ...]] = [()]
    for size in kinds:
        chosen = [
            (*before, *more)
            for before in chosen
            for more in itertools.combinations(
                [c for c in range(game.cells) if c not in before], size
            )
        ]
    return [
        Layout(np.zeros(game.cells, bool), np.array(c, np.int32))
        for c in chosen
    ], True


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    spread = (
        np.std(values, ddof=1) / np.sqrt(len(values))
        if len(values) > 1
        else np.nan
    )
    return float(np.mean(values)), float(spread)


@partial(jax.jit, static_argnames=("game",))
def _read_numbers(
    game: GridGame, positions: Positions, layouts: Layout, obs: Array
) -> Array:
    """[E, T] int32: the positions that observations [E, T, *obs_shape] of play on `layouts` [E, ...] show."""

    def one(layout: Layout, obs: Array) -> Array:
        cell, left, _ = read_position(game, obs)
        return number_of(
            game, positions, cell, left, read_things(game, layout, obs)
        )

    return jax.vmap(lambda layout, row: jax.vmap(partial(one, layout))(row))(
        layouts, jnp.asarray(obs)
    )
