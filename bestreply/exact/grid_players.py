"""What all best replies in grid games share: layouts, modes, and positions read from play."""

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

from bestreply.exact.backward_induction import GridProblem
from bestreply.exact.base import BestReply
from bestreply.exact.hidden_modes import ModeChain, mode_chain
from bestreply.exact.positions import (
    GridPositions,
    Layout,
    position_number,
    read_layout,
    read_position,
    read_things,
)
from bestreply.games.grid import GridGame
from bestreply.players.base import ScriptedPlayer
from bestreply.types import Array, Episodes
from bestreply.utils.quick import quickly
from bestreply.utils.seeds import checked_seed


@dataclasses.dataclass(frozen=True, eq=False)
class BaseGridReply(BestReply):
    """A best reply in a grid game. All seats of a grid game are the same, so one solution serves."""

    game: GridGame  # pyright: ignore[reportIncompatibleVariableOverride]  # these solvers' games
    chains: tuple[ModeChain, ...] = dataclasses.field(repr=False)
    positions: GridPositions = dataclasses.field(repr=False)

    def start_value(self, layouts: Sequence[Layout]) -> tuple[float, float]:
        """Return the best reply's value averaged over the first states of layouts.

        Args:
            layouts: initial layouts.

        Returns:
            Expected discounted return, and its standard error over layouts (NaN for one).
        """
        return mean_and_error([self._start_value(layout) for layout in layouts])

    def _start_value(self, layout: Layout) -> float:
        raise NotImplementedError

    def _first_modes(self) -> np.ndarray:
        """Return the distribution [M] of the joint mode at the first step."""
        each = [chain.initial @ chain.transition(0) for chain in self.chains]
        return functools.reduce(np.kron, each, np.ones(1))

    def _first_positions(self, layout: Layout) -> np.ndarray:
        """Return the distribution over the first stage's positions, which are numbered first."""
        free = ~np.asarray(layout.blocks)
        each = [free / free.sum()] * self.game.num_players
        return functools.reduce(np.kron, each)

    def _problem(
        self, layout: Layout, own: ScriptedPlayer | None = None
    ) -> GridProblem:
        joint = []
        for time in range(self.game.max_steps + 1):
            each = [chain.transition(time) for chain in self.chains]
            joint.append(functools.reduce(np.kron, each, np.eye(1)))
        return GridProblem(
            modes=tuple(chain.players for chain in self.chains),
            transitions=np.array(joint, np.float32),
            positions=self.positions,
            layout=layout,
            gamma=np.float32(self.gamma),
            own=own,
        )

    def _seats(self, episodes: Episodes, seats: Array | None) -> np.ndarray:
        if seats is None:
            return np.full(len(episodes.length), self.seat)
        return np.asarray(seats)

    def _read(
        self, episodes: Episodes, seats: np.ndarray
    ) -> tuple[Layout, np.ndarray, np.ndarray]:
        """Return what the seat `seats` [E] of each episode observes.

        Layouts [E], positions [E, T], and an index [E] that equal layouts share.
        """
        obs = np.asarray(episodes.obs)[np.arange(len(seats)), :, seats]
        layouts = read_layout(self.game, obs[:, 0])
        boards = np.concatenate([layouts.blocks, layouts.thing_cell], 1)
        board = np.unique(boards, axis=0, return_inverse=True)[1].reshape(-1)
        number = _read_numbers(self.game, self.positions, layouts, obs[:, :-1])
        return layouts, np.asarray(number), board


Reply = TypeVar("Reply", bound=BaseGridReply)


def with_value(reply: Reply, layouts: int) -> Reply:
    """Return the same reply with its `value` and `stderr`.

    Args:
        reply: a best reply without a value.
        layouts: the number of drawn layouts to average over, all of them if there are no
            more; 0: the value stays NaN.

    Returns:
        The reply with its value.
    """
    if not layouts:
        return reply
    drawn, every = draw_layouts(reply.game, layouts)
    value, stderr = reply.start_value(drawn)
    return dataclasses.replace(
        reply, value=value, stderr=0.0 if every else stderr
    )


def memoryless_chains(
    game: GridGame, others: Sequence[ScriptedPlayer]
) -> tuple[ModeChain, ...]:
    """Return the modes of each player.

    Args:
        game: for the error.
        others: players whose modes choose by their observation alone.

    Returns:
        One chain for each player.

    Raises:
        ValueError: a mode has a memory of its own.
    """
    chains = tuple(mode_chain(player) for player in others)
    for player in (p for chain in chains for p in chain.players):
        if jax.tree.leaves(player.start()):
            raise ValueError(
                f"{player.name} has a memory: expected, in {game.name}, players that choose by "
                "their observation alone"
            )
    return chains


def draw_layouts(
    game: GridGame, count: int, seed: int = 0
) -> tuple[list[Layout], bool]:
    """Return initial layouts of a game.

    Args:
        game: a grid game.
        count: the number of layouts to draw; every layout is returned if there are no more.
        seed: of the draws.

    Returns:
        The layouts, and whether these are all.
    """
    kinds, free = list(game.kinds.values()), game.cells
    total = 1 if not game.blocks else 10**9
    for size in kinds:
        total, free = total * math.comb(free, size), free - size
    if total > count:
        first = np.asarray(_first_observations(game, count, checked_seed(seed)))
        layouts = read_layout(game, first)
        return [Layout(b, c) for b, c in zip(*layouts, strict=True)], False
    chosen: list[tuple[int, ...]] = [()]
    for size in kinds:
        chosen = [
            (*before, *more)
            for before in chosen
            for more in itertools.combinations(
                [c for c in range(game.cells) if c not in before], size
            )
        ]
    blocks = np.zeros(game.cells, bool)
    return [Layout(blocks, np.array(c, np.int32)) for c in chosen], True


@quickly(static_argnames=("game", "count", "seed"))
def _first_observations(game: GridGame, count: int, seed: int) -> jax.Array:
    """Return what seat 0 observes in `count` first states, [count, H, W, planes]."""
    keys = jax.random.split(jax.random.key(seed), count)
    return jax.vmap(lambda key: game.observe(game.start(key))[0])(keys)


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean of values and its standard error, NaN for a single value.

    Args:
        values: independent samples.

    Returns:
        Mean and standard error.
    """
    spread = np.nan
    if len(values) > 1:
        spread = np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values)), float(spread)


@partial(jax.jit, static_argnames=("game",))
def _read_numbers(
    game: GridGame, positions: GridPositions, layouts: Layout, obs: Array
) -> Array:
    """Return the positions [E, T] int32 of observations [E, T, *obs_shape]."""

    def one(layout: Layout, obs: Array) -> Array:
        cell, left, _ = read_position(game, obs)
        remains = read_things(game, layout, obs)
        return position_number(game, positions, cell, left, remains)

    def episode(layout: Layout, obs: Array) -> Array:
        return jax.vmap(partial(one, layout))(obs)

    return jax.vmap(episode)(layouts, jnp.asarray(obs))
