"""The best reply in a grid game that is told no modes: it believes of the others what play has shown.

With b the belief over the others' joint modes (see `modes`), and b' what Bayes' rule makes of it after a_j,

    Q_t(s, b, a) = E_{a_j ~ sum_m b(m) pi_m(. | s, t)} [ r(s, a, a_j) + gamma V_{t+1}(s', b') ]
    V_t(s, b) = max over legal a of Q_t(s, b, a)
    b'(m') = sum_m b(m) pi_m(a_j | s, t) P_{t+1}(m, m'), to scale

(Astrom, Optimal Control of Markov Processes with Incomplete State Information, 1965). V is held at the corners of a cut simplex and
is their weighted mean in between. As V is convex in b that is never too low: an upper bound, the nearer the finer the cut.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bestreply.exact.backward import Case
from bestreply.exact.base import BestReply, Decisions
from bestreply.exact.grid import (
    draw_layouts,
    mean_and_error,
    memoryless_modes,
    mode_transitions,
    read_numbers,
)
from bestreply.exact.joint import Choices, list_choices, list_outcomes
from bestreply.exact.modes import Modes
from bestreply.exact.positions import Layout, Positions, number_positions, read_layout
from bestreply.exact.simplex import Simplex, corners, cut_simplex
from bestreply.games.grid import GridGame
from bestreply.players.base import ScriptedPlayer
from bestreply.types import ABSENT, Array, Episodes

LIMIT = 60_000_000
"""Values of one step, over positions, beliefs and modes, that a solution holds unless told otherwise."""


@dataclasses.dataclass(frozen=True)
class BelievedReply(BestReply):
    """The best reply of one who knows the prior over the others' modes and what play has shown; `solve_believed` makes it."""

    game: GridGame  # pyright: ignore[reportIncompatibleVariableOverride]  # this solver's games
    seat: int
    others: tuple[str, ...]
    gamma: float
    know: str
    kind: str
    value: float
    stderr: float
    modes: tuple[Modes, ...] = dataclasses.field(repr=False)
    positions: Positions = dataclasses.field(repr=False)
    simplex: Simplex = dataclasses.field(repr=False)

    def decisions(self, episodes: Episodes, seats: Array | None = None) -> Decisions:
        """As `BestReply.decisions`; the values are those of what was believed at each step."""
        rows = np.arange(len(episodes.length))
        seats = np.full(len(rows), self.seat) if seats is None else np.asarray(seats)
        order = (seats[:, None] + np.arange(self.game.num_players)) % self.game.num_players
        action = np.take_along_axis(np.asarray(episodes.action), order[:, None], 2)  # ego first
        obs = np.asarray(episodes.obs)[rows, :, seats]
        layouts = read_layout(self.game, obs[:, 0])
        number = np.asarray(read_numbers(self.game, self.positions, layouts, obs[:, :-1]))  # [E, T]
        q = np.full((*number.shape, self.game.num_actions), np.nan, np.float32)
        for row in rows:
            solved = self._solve(Layout(layouts.blocks[row], layouts.thing_cell[row]))
            q[row] = _along(
                solved,
                self.simplex,
                jnp.asarray(self._first(), jnp.float32),
                number[row],
                action[row, :, 1:],
                jnp.float32(self.gamma),
            )
        acted = action[..., 0] != ABSENT
        q = np.where(acted[..., None], q, np.nan)
        return Decisions(np.where(acted, q.max(-1), np.nan), q)

    def value_of_starts(self, layouts: Sequence[Layout]) -> tuple[float, float]:
        """Its expected discounted return over first states of `layouts`, and its standard error over layouts."""
        return mean_and_error([self._start_value(layout) for layout in layouts])

    def _start_value(self, layout: Layout) -> float:
        free = ~np.asarray(layout.blocks)
        where = functools.reduce(np.kron, [free / free.sum()] * self.game.num_players)
        k, w = map(np.asarray, corners(self.simplex, jnp.asarray(self._first(), jnp.float32)))
        value = np.asarray(self._solve(layout).value[0, : len(where)])
        return float(where @ (value[:, k] @ w))

    def _first(self) -> np.ndarray:
        """[M]: what is believed of the joint mode when the first step is acted in."""
        return functools.reduce(np.kron, [m.initial @ m.transition(0) for m in self.modes], np.ones(1))

    def _solve(self, layout: Layout) -> "Solved":
        case = Case(
            modes=tuple(m.players for m in self.modes),
            transitions=mode_transitions(self.game, self.modes),
            positions=self.positions,
            layout=layout,
            gamma=np.float32(self.gamma),
        )
        choices = list_choices(self.game, case)
        return _solve_layout(self.game, case, choices, self.simplex, tuple(int(w) for w in choices.widths))


def solve_believed(
    game: GridGame,
    others: Sequence[ScriptedPlayer],
    *,
    seat: int = 0,
    gamma: float = 1.0,
    layouts: int = 64,
    resolution: int = 12,
) -> BestReply:
    """The best reply to `others` that believes of their modes what play has shown. `value` is over `layouts` drawn layouts.

    Args:
        resolution: beliefs are held in steps of 1/`resolution`. With one mode for each other nothing is to be believed.

    Raises ValueError for a board with too many positions and beliefs, or a player with a memory of its own.
    """
    modes, positions = memoryless_modes(game, others), number_positions(game)
    count = int(np.prod([len(m.players) for m in modes]))
    held = positions.total * count * math.comb(resolution + count - 1, count - 1)
    if held > LIMIT:
        raise ValueError(
            f"{positions.total:,} positions of {game.name} with beliefs over {count} joint modes in steps of 1/{resolution} make {held:,} "
            f"values; wanted: at most {LIMIT:,}. Give a coarser resolution, fewer modes, or know='types' for an upper bound"
        )
    names = tuple(player.name for player in others)
    kind = "exact" if count == 1 else "upper bound"
    simplex = cut_simplex(count, resolution)
    reply = BelievedReply(game, seat, names, gamma, "belief", kind, np.nan, np.nan, modes, positions, simplex)
    drawn, every = draw_layouts(game, layouts)
    value, stderr = reply.value_of_starts(drawn)
    return dataclasses.replace(reply, value=value, stderr=0.0 if every else stderr)


# -- one layout ----------------------------------------------------------------------------------------------------------------


class Solved(NamedTuple):
    """One layout, solved: V, and what is needed to look one step further from any belief."""

    value: Array  # [T+1, S+1, B], 0 for position S and at time T
    legal: Array  # [S, A] bool
    acts: Array  # [S, W, N-1] int32, the others' joint actions that can be chosen in each position
    weights: Array  # [T, S, W, M], their probabilities by joint mode
    following: Array  # [A, S, W] int32, the next position
    reward: Array  # [A, S, W]
    transitions: Array  # [T+1, M, M] of the joint mode


@partial(jax.jit, static_argnames=("game", "widths"))
def _solve_layout(
    game: GridGame, case: Case, choices: Choices, simplex: Simplex, widths: tuple[int, ...]
) -> Solved:
    """`widths` as in `Choices`, fixed."""
    acts, weights = _joint_actions(choices, widths)
    following, reward = list_outcomes(game, case, acts)
    legal = jax.vmap(game.legal)(case.states(slice(None)))[:, 0]
    transitions, gamma = jnp.asarray(case.transitions), jnp.asarray(case.gamma)
    points = jnp.asarray(simplex.points)

    def backup(later: Array, time: Array) -> tuple[Array, Array]:
        """Values [S+1, B] at `time` from those a step later."""

        def position(at: tuple[Array, Array, Array, Array]) -> Array:  # [B]
            legal, likely, after, gain = at
            q = jax.vmap(
                lambda b: _scores(b, likely, after, gain, later, transitions[time + 1], simplex, gamma)
            )(points)
            return jnp.where(legal, q, -jnp.inf).max(-1)

        each = (legal, weights[time], jnp.moveaxis(following, 1, 0), jnp.moveaxis(reward, 1, 0))
        value = jax.lax.map(position, each, batch_size=64)
        value = jnp.concatenate([value, jnp.zeros((1, len(points)))])
        return value, value

    nothing = jnp.zeros((len(legal) + 1, len(points)))
    value = jax.lax.scan(backup, nothing, jnp.arange(game.max_steps), reverse=True)[1]
    value = jnp.concatenate([value, nothing[None]])
    return Solved(value, legal, acts, weights, following, reward, transitions)


def _scores(
    belief: Array,
    likely: Array,
    following: Array,
    reward: Array,
    later: Array,
    transition: Array,
    simplex: Simplex,
    gamma: Array,
) -> Array:
    """Q [A] in one position: `likely` [W, M], `following` and `reward` [A, W]; `later` [S+1, B] the values a step later."""
    joint = belief * likely
    chance = joint.sum(-1)
    number, weight = corners(simplex, (joint @ transition) / jnp.maximum(chance, 1e-12)[:, None])  # [W, M]
    value = (later[following[..., None], number] * weight).sum(-1)  # [A, W]
    return (reward + gamma * value) @ chance


def _joint_actions(choices: Choices, widths: tuple[int, ...]) -> tuple[Array, Array]:
    """`acts` and `weights` as in `Solved`."""
    slots = jnp.asarray(list(itertools.product(*map(range, widths))), jnp.int32).reshape(-1, len(widths))
    likely = [(p > 0).any((0, 1)) for p in choices.policies]  # [S, A]: ever chosen
    firsts = [jnp.argsort(~x, axis=1, stable=True)[:, :k] for x, k in zip(likely, widths, strict=True)]
    acts = jnp.stack([f[:, s] for f, s in zip(firsts, slots.T, strict=True)], -1)
    modes = jnp.asarray(list(itertools.product(*(range(len(p)) for p in choices.policies))))  # [M, N-1]
    each = [
        jnp.take_along_axis(p, f[None, None], 3)[modes[:, j]][..., slots[:, j]]
        for j, (p, f) in enumerate(zip(choices.policies, firsts, strict=True))
    ]
    return acts, jnp.moveaxis(functools.reduce(jnp.multiply, each), 0, -1)


@jax.jit
def _along(
    solved: Solved, simplex: Simplex, first: Array, number: Array, others: Array, gamma: Array
) -> Array:
    """Q [T, A] along one episode: positions `number` [T], the others' actions [T, N-1], what is believed at `first` [M]."""

    def step(belief: Array, at: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        time, here, taken = at
        s = jnp.minimum(here, len(solved.legal) - 1)
        likely, transition = solved.weights[time, s], solved.transitions[time + 1]
        following, reward = solved.following[:, s], solved.reward[:, s]
        q = _scores(belief, likely, following, reward, solved.value[time + 1], transition, simplex, gamma)
        seen = likely[jnp.argmax(((solved.acts[s] == taken) | (taken == ABSENT)).all(-1))]
        moved = (belief * seen) @ transition
        belief = jnp.where(moved.sum() > 0, moved / jnp.maximum(moved.sum(), 1e-12), belief)
        return belief, jnp.where(solved.legal[s], q, -jnp.inf)

    return jax.lax.scan(step, first, (jnp.arange(len(number)), number, others))[1]
