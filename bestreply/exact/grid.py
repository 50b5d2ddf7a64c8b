"""The exact best reply in a grid game, by dynamic programming over every position of a layout, compiled.

For others whose modes m (see `modes`) choose by what they see, with no memory of their own:

    Q_t(s, m, a) = E_{a_j ~ pi_m(. | s, t)} [ r(s, a, a_j) + gamma E_{m' ~ P_{t+1}(m, .)} [ V_{t+1}(s', m') ] ]
    V_t(s, m) = max over legal a of Q_t(s, m, a)

backwards from V = 0 at the step limit and wherever seat 0 no longer plays (Bellman, 1957). A layout's tables are made when they are
first asked for.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bestreply.exact.base import BestReply, Decisions
from bestreply.exact.modes import Modes, modes_of
from bestreply.exact.positions import (
    Layout,
    Positions,
    number_of,
    number_positions,
    read_layout,
    read_position,
    read_things,
)
from bestreply.games.grid import GridGame, GridState
from bestreply.players.base import ScriptedPlayer
from bestreply.types import ABSENT, Array, Episodes


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
            table = _solve_layout(self.game, self.modes, self.positions, layout, self.gamma)
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
        number = np.asarray(_read_numbers(self.game, self.positions, layouts, obs[:, :-1]))  # [E, T]
        steps, acted = np.arange(action.shape[1]), action != ABSENT
        q = np.full((*action.shape, self.game.num_actions), np.nan)
        for row in np.lexsort(layouts.thing_cell.T):  # equal layouts after one another
            table = self.tables(Layout(layouts.blocks[row], layouts.thing_cell[row]))[:, :, 0]
            here = steps[acted[row]]
            q[row, here] = table[here, number[row, here]]
        return Decisions(np.where(acted, q.max(-1), np.nan), q)

    def value_of(self, player: ScriptedPlayer, layouts: Sequence[Layout]) -> tuple[float, float]:
        """Expected discounted return of a scripted `player` in the place of the best reply, and its standard error over layouts."""
        values = [
            _value_of_layout(self.game, self.modes, self.positions, layout, self.gamma, player)
            for layout in layouts
        ]
        return _mean(values)

    def value_of_starts(self, layouts: Sequence[Layout]) -> tuple[float, float]:
        """The best reply's own expected discounted return over first states of `layouts`, and its standard error over layouts."""
        return _mean(
            [_start_value(self.game, self.modes, layout, self.tables(layout).max(-1)) for layout in layouts]
        )


ROOM = 4 * 2**30
"""Bytes of tables that one best reply keeps."""


def solve_grid(
    game: GridGame, others: Sequence[ScriptedPlayer], *, seat: int = 0, gamma: float = 1.0, layouts: int = 64
) -> GridReply:
    """The best reply to `others`, told their modes. `value` is over `layouts` drawn layouts, all of them where there are no more.

    Raises ValueError for a board with too many positions, or a player with a memory of its own.
    """
    modes = memoryless_modes(game, others)
    names = tuple(player.name for player in others)
    reply = GridReply(game, seat, names, gamma, "types", np.nan, np.nan, modes, number_positions(game))
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


# -- one layout ----------------------------------------------------------------------------------------------------------------


def _solve_layout(
    game: GridGame,
    modes: tuple[Modes, ...],
    positions: Positions,
    layout: Layout,
    gamma: float,
    own: Array | None = None,
) -> np.ndarray:
    """Q [T, S, M, A] of the best reply, or of a seat 0 that plays `own` [T, S, A]."""
    choices = _choices(game, tuple(m.players for m in modes), positions, layout)
    widths = tuple(int(w) for w in choices.widths)
    times = range(game.max_steps + 1)
    joint = jnp.asarray(
        [functools.reduce(np.kron, [m.transition(t) for m in modes], np.eye(1)) for t in times]
    )
    return np.asarray(_tables(game, choices, joint, positions, layout, jnp.float32(gamma), widths, own))


def _value_of_layout(
    game: GridGame,
    modes: tuple[Modes, ...],
    positions: Positions,
    layout: Layout,
    gamma: float,
    player: ScriptedPlayer,
) -> float:
    own = _policies(game, 0, (player,), positions, layout)[0]
    q = _solve_layout(game, modes, positions, layout, gamma, own)
    chosen = np.asarray(own[0])[:, None]  # [S, 1, A]
    played = np.multiply(q[0], chosen, where=chosen > 0, out=np.zeros_like(q[0]))  # -inf where nobody goes
    return _start_value(game, modes, layout, played.sum(-1)[None])


def _start_value(game: GridGame, modes: tuple[Modes, ...], layout: Layout, value: np.ndarray) -> float:
    """The mean of `value` [T, S, M] at time 0 over where everybody may begin and the others' modes at the first step."""
    first = functools.reduce(np.kron, [m.initial @ m.transition(0) for m in modes], np.ones(1))
    free = ~np.asarray(layout.blocks)
    where = functools.reduce(
        np.kron, [free / free.sum()] * game.num_players
    )  # everybody is in the game: the first positions
    return float(where @ value[0, : len(where)].astype(np.float64) @ first)


def _mean(values: Sequence[float]) -> tuple[float, float]:
    spread = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(np.mean(values)), float(spread)


@partial(jax.jit, static_argnames=("game",))
def _read_numbers(game: GridGame, positions: Positions, layouts: Layout, obs: Array) -> Array:
    """[E, T] int32: the positions that observations [E, T, *obs_shape] of play on `layouts` [E, ...] show."""

    def one(layout: Layout, obs: Array) -> Array:
        cell, left, _ = read_position(game, obs)
        return number_of(game, positions, cell, left, read_things(game, layout, obs))

    return jax.vmap(lambda layout, row: jax.vmap(partial(one, layout))(row))(layouts, jnp.asarray(obs))


class Choices(NamedTuple):
    """What everybody may do in each position of one layout."""

    legal: Array  # [S, A] bool, of seat 0
    policies: tuple[Array, ...]  # for each other [M_j, T, S, A]
    widths: Array  # [N-1] int32, the most actions that each may choose among in any position


@partial(jax.jit, static_argnames=("game",))
def _choices(
    game: GridGame, modes: tuple[tuple[Any, ...], ...], positions: Positions, layout: Layout
) -> Choices:
    """`modes`: the players of each other's modes."""
    policies = tuple(
        _policies(game, j, players, positions, layout) for j, players in enumerate(modes, start=1)
    )

    def legal(cell: Array, left: Array, there: Array) -> Array:
        return game.legal(GridState(cell, left, layout.blocks, layout.thing_cell, there, jnp.int32(0)))[0]

    widths = jnp.stack([(p > 0).any((0, 1)).sum(-1).max() for p in policies])
    cell, left, there, _ = map(jnp.asarray, positions)
    return Choices(jax.vmap(legal)(cell, left, there), policies, widths)


@partial(jax.jit, static_argnames=("game", "seat"))
def _policies(
    game: GridGame, seat: int, players: tuple[Any, ...], positions: Positions, layout: Layout
) -> Array:
    """[M, T, S, A]: what each of `players` does in `seat`."""

    def at(time: Array) -> Array:
        def one(cell: Array, left: Array, there: Array) -> Array:
            state = GridState(cell, left, layout.blocks, layout.thing_cell, there, time)
            obs, legal = game.observe(state)[seat], game.legal(state)[seat]
            return jnp.stack([p.policy(p.start(), obs, legal) for p in players])

        return jax.vmap(one)(*map(jnp.asarray, positions[:3]))

    return jnp.moveaxis(jax.lax.map(at, jnp.arange(game.max_steps)), 2, 0)


@partial(jax.jit, static_argnames=("game", "widths"))
def _tables(
    game: GridGame,
    choices: Choices,
    transitions: Array,
    positions: Positions,
    layout: Layout,
    gamma: Array,
    widths: tuple[int, ...],
    own: Array | None = None,
) -> Array:
    """Q [T, S, M, A] for one layout: of the best reply, or of a seat 0 that plays `own` [T, S, A].

    `transitions` [T+1, M, M] of the others' joint mode, `widths` as in `Choices`, fixed.
    """
    slots = jnp.asarray(list(itertools.product(*map(range, widths))), jnp.int32).reshape(-1, len(widths))
    likely = [(p > 0).any((0, 1)) for p in choices.policies]  # [S, A]: ever chosen
    firsts = [jnp.argsort(~x, axis=1, stable=True)[:, :k] for x, k in zip(likely, widths, strict=True)]
    acts = jnp.stack([f[:, s] for f, s in zip(firsts, slots.T, strict=True)], -1)  # [S, slots, N-1]
    probs = [jnp.take_along_axis(p, f[None, None], 3) for p, f in zip(choices.policies, firsts, strict=True)]

    def outcome(action: Array) -> tuple[Array, Array]:
        """The next position and the reward of seat 0, [S, slots] each, if it takes `action`."""

        def one(cell: Array, left: Array, there: Array, others: Array) -> tuple[Array, Array]:
            state = GridState(cell, left, layout.blocks, layout.thing_cell, there, jnp.int32(0))
            joint = jnp.concatenate([action[None], others])
            after, reward = game.advance(state, joint, jax.random.key(0))
            return number_of(game, positions, after.cell, after.left, after.thing_there), reward[0]

        cell, left, there, _ = map(jnp.asarray, positions)
        return jax.vmap(lambda c, f, h, o: jax.vmap(partial(one, c, f, h))(o))(cell, left, there, acts)

    following, reward = jax.lax.map(outcome, jnp.arange(game.num_actions))  # [A, S, slots]
    modes = jnp.asarray(list(itertools.product(*(range(len(p)) for p in choices.policies))))  # [M, N-1]

    def backup(value: Array, time: Array) -> tuple[Array, Array]:
        """Values [S+1, M] at `time` from those a step later."""
        later = value @ transitions[time + 1].T

        def weigh(slot: Array) -> Array:  # [S, M]
            each = [p[modes[:, j], time][..., slot[j]] for j, p in enumerate(probs)]
            return jnp.stack(each).prod(0).T

        weights = jax.vmap(weigh, out_axes=1)(slots)  # [S, slots, M]

        def score(at: tuple[Array, Array]) -> Array:
            after, gain = at
            return (weights * (gain[..., None] + gamma * later[after])).sum(1)  # [S, M]

        q = jnp.moveaxis(jax.lax.map(score, (following, reward)), 0, -1)  # [S, M, A]
        best = jnp.where(choices.legal[:, None], q, -jnp.inf)
        value = best.max(-1) if own is None else (own[time][:, None] * q).sum(-1)
        return jnp.concatenate([value, jnp.zeros((1, len(modes)))]), best

    nothing = jnp.zeros((len(positions.cell) + 1, len(modes)))
    return jax.lax.scan(backup, nothing, jnp.arange(game.max_steps), reverse=True)[1]
