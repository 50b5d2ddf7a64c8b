"""The exact best reply in a grid game, by dynamic programming over every position of a layout, compiled.

For others whose modes m (see `modes`) choose by what they see, with no memory of their own:

    Q_t(s, m, a) = E_{a_j ~ pi_m(. | s, t)} [ r(s, a, a_j) + gamma E_{m' ~ P_{t+1}(m, .)} [ V_{t+1}(s', m') ] ]
    V_t(s, m) = max over legal a of Q_t(s, m, a)

backwards from V = 0 at the step limit and wherever seat 0 no longer plays (Bellman, 1957). The expectation over the others' moves is
taken one player at a time where that is the same (`apart`), otherwise over their joint draws (`joint`). A layout's tables are made
when they are first asked for.
"""

import dataclasses
import enum
import functools
import itertools
import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from bestreply.exact.apart import dependence, solve_apart, steps_by_outcome
from bestreply.exact.backward import Case
from bestreply.exact.base import BestReply, Decisions
from bestreply.exact.joint import solve_jointly
from bestreply.exact.modes import Modes, modes_of
from bestreply.exact.positions import (
    Group,
    Layout,
    Positions,
    groups_of,
    number_of,
    number_positions,
    read_layout,
    read_position,
    read_things,
)
from bestreply.exact.sight import keeps_to_its_cell
from bestreply.games.grid import GridGame
from bestreply.players.base import ScriptedPlayer
from bestreply.types import ABSENT, Array, Episodes


class Way(enum.Enum):
    """How the others' moves are weighed."""

    APART = "one player at a time: each provably looks at its own cell and the things alone"
    TRIED = "one player at a time in layouts where trying every position shows that each does so, jointly in others"
    JOINTLY = "over all joint draws"


@dataclasses.dataclass(frozen=True)
class GridReply(BestReply):
    """The best reply in a grid game; `solve_grid` makes it. Seats of a grid game differ in nothing, so one solution serves all."""

    game: GridGame  # pyright: ignore[reportIncompatibleVariableOverride]  # this solver's games
    seat: int
    others: tuple[str, ...]
    gamma: float
    know: str
    value: float
    stderr: float
    modes: tuple[Modes, ...] = dataclasses.field(repr=False)
    positions: Positions = dataclasses.field(repr=False)
    groups: tuple[Group, ...] = dataclasses.field(repr=False)
    way: Way
    kept: dict[bytes, np.ndarray] = dataclasses.field(
        default_factory=dict, repr=False
    )  # layout -> Q [T, S, M, A]

    @property
    def kind(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Told modes that nobody could see, it is more than can be had."""
        return "exact" if all(len(m.players) == 1 for m in self.modes) else "upper bound"

    def tables(self, layout: Layout) -> np.ndarray:
        """Q* [T, S, M, A] float32 of one layout, -inf for illegal actions; made when first asked for, kept while there is room."""
        name = np.asarray(layout.blocks).tobytes() + np.asarray(layout.thing_cell).tobytes()
        if name not in self.kept:
            table = np.asarray(self._solve(layout, keep=True))
            if (len(self.kept) + 1) * table.nbytes > ROOM:
                return table
            self.kept[name] = table
        return self.kept[name]

    def decisions(self, episodes: Episodes, seats: Array | None = None) -> Decisions:
        if any(len(modes.players) > 1 for modes in self.modes):
            raise ValueError(
                f"{', '.join(self.others)}: their modes are hidden and not logged; wanted: one plain player for each seat "
                "(`collect` logs whom a mixture drew: solve for each of them)"
            )
        rows = np.arange(len(episodes.length))
        seats = np.full(len(rows), self.seat) if seats is None else np.asarray(seats)
        obs, action = np.asarray(episodes.obs)[rows, :, seats], np.asarray(episodes.action)[rows, :, seats]
        layouts = read_layout(self.game, obs[:, 0])
        number = np.asarray(read_numbers(self.game, self.positions, layouts, obs[:, :-1]))  # [E, T]
        acted = action != ABSENT
        q = np.full((*action.shape, self.game.num_actions), np.nan)
        boards = np.concatenate([layouts.blocks, layouts.thing_cell], 1)
        _, first, board = np.unique(boards, axis=0, return_index=True, return_inverse=True)
        for k, row in enumerate(first):
            table = self.tables(Layout(layouts.blocks[row], layouts.thing_cell[row]))[:, :, 0]
            rows, times = np.nonzero(acted & (board.reshape(-1, 1) == k))
            q[rows, times] = table[times, number[rows, times]]
        return Decisions(np.where(acted, q.max(-1), np.nan), q)

    def value_of(self, player: ScriptedPlayer, layouts: Sequence[Layout]) -> tuple[float, float]:
        """Expected discounted return of a scripted `player` in the place of the best reply, and its standard error over layouts."""
        return mean_and_error([self._start_value(layout, player) for layout in layouts])

    def value_of_starts(self, layouts: Sequence[Layout]) -> tuple[float, float]:
        """The best reply's own expected discounted return over first states of `layouts`, and its standard error over layouts."""
        return mean_and_error([self._start_value(layout) for layout in layouts])

    def _start_value(self, layout: Layout, own: ScriptedPlayer | None = None) -> float:
        """The mean over where everybody may begin and the others' modes at the first step."""
        first = functools.reduce(np.kron, [m.initial @ m.transition(0) for m in self.modes], np.ones(1))
        free = ~np.asarray(layout.blocks)
        where = functools.reduce(np.kron, [free / free.sum()] * self.game.num_players)
        value = np.asarray(self._solve(layout, keep=False, own=own))
        value = value[: len(where)].astype(np.float64)  # nobody has left: the first positions
        return float(where @ value @ first)

    def _solve(self, layout: Layout, keep: bool, own: ScriptedPlayer | None = None) -> Array:
        """As `backward`, of the best reply or of a player `own` in its place."""
        case = Case(
            modes=tuple(m.players for m in self.modes),
            transitions=mode_transitions(self.game, self.modes),
            positions=self.positions,
            layout=layout,
            gamma=np.float32(self.gamma),
            own=own,
        )
        if self._apart(case):
            return solve_apart(self.game, self.groups, case, keep)
        return solve_jointly(self.game, case, keep)

    def _apart(self, case: Case) -> bool:
        if self.way is Way.TRIED:
            return float(dependence(self.game, self.groups, case)) < SAME
        return self.way is Way.APART


ROOM = 2**30
"""Bytes of tables that one best reply keeps."""

SAME = 1e-6
"""Probabilities that differ by less are taken for one, rounded differently."""


def solve_grid(
    game: GridGame, others: Sequence[ScriptedPlayer], *, seat: int = 0, gamma: float = 1.0, layouts: int = 64
) -> GridReply:
    """The best reply to `others`, told their modes. `value` is over `layouts` drawn layouts, all of them where there are no more.

    Raises ValueError for a board with too many positions, or a player with a memory of its own.
    """
    modes = memoryless_modes(game, others)
    names = tuple(player.name for player in others)
    positions = number_positions(game)
    groups, way = groups_of(game, positions), _way(game, modes)
    reply = GridReply(game, seat, names, gamma, "types", np.nan, np.nan, modes, positions, groups, way)
    drawn, every = draw_layouts(game, layouts)
    value, stderr = reply.value_of_starts(drawn)
    return dataclasses.replace(reply, value=value, stderr=0.0 if every else stderr)


def memoryless_modes(game: GridGame, others: Sequence[ScriptedPlayer]) -> tuple[Modes, ...]:
    """The modes of `others`. Raises ValueError for a player with a memory of its own."""
    modes = tuple(modes_of(player) for player in others)
    for player in (p for m in modes for p in m.players):
        if jax.tree.leaves(player.start()):
            raise ValueError(
                f"{player.name} remembers; wanted in {game.name}: players that choose by what they see"
            )
    return modes


def draw_layouts(game: GridGame, count: int, seed: int = 0) -> tuple[list[Layout], bool]:
    """`count` layouts as games begin with, or every one where there are no more; and whether these are all."""
    kinds, free = list(game.kinds.values()), game.cells
    total = 1 if not game.blocks else 10**9
    for size in kinds:
        total, free = total * math.comb(free, size), free - size
    if total > count:
        states = jax.vmap(game.start)(jax.random.split(jax.random.key(seed), count))
        first = np.asarray(jax.vmap(game.observe)(states))[:, 0]
        found = read_layout(game, first)
        return [Layout(b, c) for b, c in zip(*found, strict=True)], False
    chosen: list[tuple[int, ...]] = [()]
    for size in kinds:
        chosen = [
            (*before, *more)
            for before in chosen
            for more in itertools.combinations([c for c in range(game.cells) if c not in before], size)
        ]
    return [Layout(np.zeros(game.cells, bool), np.array(c, np.int32)) for c in chosen], True


def _way(game: GridGame, modes: Sequence[Modes]) -> Way:
    if not steps_by_outcome(game):
        return Way.JOINTLY
    proved = [keeps_to_its_cell(game, p, j) for j, m in enumerate(modes, start=1) for p in m.players]
    return Way.APART if all(proved) else Way.TRIED


def mode_transitions(game: GridGame, modes: Sequence[Modes]) -> np.ndarray:
    """[T+1, M, M] float32: of the others' joint mode, before acting at each step."""
    times = range(game.max_steps + 1)
    joint = [functools.reduce(np.kron, [m.transition(t) for m in modes], np.eye(1)) for t in times]
    return np.array(joint, np.float32)


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    spread = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(np.mean(values)), float(spread)


@partial(jax.jit, static_argnames=("game",))
def read_numbers(game: GridGame, positions: Positions, layouts: Layout, obs: Array) -> Array:
    """[E, T] int32: the positions that observations [E, T, *obs_shape] of play on `layouts` [E, ...] show."""

    def one(layout: Layout, obs: Array) -> Array:
        cell, left, _ = read_position(game, obs)
        return number_of(game, positions, cell, left, read_things(game, layout, obs))

    return jax.vmap(lambda layout, row: jax.vmap(partial(one, layout))(row))(layouts, jnp.asarray(obs))
