"""The positions that play of a small game can reach, step by step: what `tree` goes back through."""

import functools
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bestreply.exact.hidden_modes import Modes
from bestreply.games.base import Game, Outcomes
from bestreply.players.base import ScriptedPlayer
from bestreply.types import ABSENT, Array, TimeStep, ego_order

CHUNK = 2**14
"""Joint actions that are tried side by side."""

SAME = 1e-9
"""Beliefs that differ by less are one."""


class Layer(NamedTuple):
    """The `P` positions of one step and what can follow them.

    A row `X` is a position, an own action and a joint action of the others that some mode may choose; a row `Y` is a way for
    chance to end such a step. `C` is the number of modes that the reply is told apart: 1 where it is told none.
    """

    obs: np.ndarray  # [P, N, *obs_shape] float32
    legal: np.ndarray  # [P, A] bool, of the seat
    code: np.ndarray  # [X] int64, rising: position, own action and joint action of the others (see `coded`)
    weight: np.ndarray  # [X, C] float64, the probability of the others' actions
    step: np.ndarray  # [Y] int64, rising: its row in `code`
    probability: np.ndarray  # [Y] float64
    reward: np.ndarray  # [Y] float64, of the seat
    child: np.ndarray  # [Y] int64, position in the next layer; -1 where the game is over for the seat


class Problem(NamedTuple):
    """What is to be solved."""

    game: Game
    seat: int
    seats: tuple[int, ...]  # the others'
    modes: tuple[Modes, ...]  # of each other
    told: bool  # of the others' modes
    limit: int

    @property
    def players(self) -> tuple[tuple[ScriptedPlayer, ...], ...]:
        """For each other, the players of its modes."""
        return tuple(m.players for m in self.modes)

    def initial(self) -> np.ndarray:
        """[M] float64: how likely each joint mode of the others is at their first step; the first other's mode changes slowest."""
        return functools.reduce(
            np.kron, [m.initial for m in self.modes], np.ones(1)
        ) @ self.transition(0)

    def transition(self, step: int) -> np.ndarray:
        """[M, M] float64, as in `Modes`."""
        return functools.reduce(
            np.kron, [m.transition(step) for m in self.modes], np.eye(1)
        )


class Positions(NamedTuple):
    """The positions of one step while what follows them is looked for."""

    state: Any  # leaves [P, ...]; of a host game [P] objects
    shown: TimeStep  # [P, ...]
    carries: Any  # for each other, for each of its modes, what it remembers after looking [P, ...]
    mind: np.ndarray  # [P, M] float64, the belief over joint modes; if told, 1 for each that can be here


class Gather:
    """The positions of one step as they are found, equal ones made one."""

    def __init__(self, problem: Problem, room: int):
        self.problem, self.room = problem, room
        self.index: dict[bytes, int] = {}
        self.parts: list[Positions] = []
        self.logged_beliefs: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, found: Positions, last: np.ndarray) -> np.ndarray:
        """[Y] int64: which positions those of `found` are, -1 where the game is over for the seat.

        The others have not looked there yet; last: [Y, N] int32, what everybody has just done.
        """
        problem, index = self.problem, self.index
        seat, shown = problem.seat, found.shown
        ended, present = np.asarray(shown.terminated), np.asarray(shown.present)
        over = (
            ended[:, seat]
            | ended.all(1)
            | np.asarray(shown.truncated)
            | ~present[:, seat]
        )
        number, live = np.full(len(over), -1), np.flatnonzero(~over)
        if not len(live):
            return number
        found, last = _take((found, last), live)
        look = partial(_look, problem.players, problem.seats)
        found = found._replace(
            carries=_batched(look, found.carries, found.shown.obs, last)
        )
        before = len(index)
        keys = _keys(problem, found)
        number[live] = [index.setdefault(key, len(index)) for key in keys]
        if len(index) > self.room:
            raise ValueError(
                f"more than {problem.limit:,} positions of {problem.game.name} can be reached; expected: at most that many. "
                "Use fewer rounds or actions, or players that remember less; or give a higher `limit`, if memory allows"
            )
        new, where = np.unique(number[live], return_index=True)
        self.parts.append(_take(found, where[new >= before]))
        self.logged_beliefs.append((number[live], found.mind))
        return number

    def positions(self) -> Positions:
        """In order of their numbers. There must be one."""
        whole = jax.tree.map(lambda *x: np.concatenate(x), *self.parts)
        mind = np.zeros_like(whole.mind)
        for number, each in self.logged_beliefs:
            np.maximum.at(
                mind, number, each
            )  # where modes are told, each path here may allow others
        return whole._replace(mind=_settled(mind, self.problem.told))


def _settled(mind: np.ndarray, told: bool) -> np.ndarray:
    """`mind` [P, M] to scale, as `Positions` has it."""
    return (
        (mind > 0).astype(np.float64)
        if told
        else mind / mind.sum(1, keepdims=True)
    )


def _keys(problem: Problem, found: Positions) -> list[bytes]:
    """A name for each position, the same for those that are one."""
    leaves = jax.tree.leaves(
        (found.state if problem.game.compiled else (), found.carries)
    )
    if not problem.told:
        # beliefs are often round numbers: their steps are put where hardly any lies
        leaves.append(np.floor(found.mind / SAME + 0.3183).astype(np.int64))
    size = len(found.mind)
    leaves = [
        x + 0.0 if x.dtype.kind == "f" else x for x in leaves if x.size
    ]  # -0.0 is 0.0
    columns = [
        np.ascontiguousarray(x).reshape(size, -1).view(np.uint8) for x in leaves
    ]
    rows = np.concatenate([np.zeros((size, 1), np.uint8), *columns], 1)
    keys = rows.view(f"V{rows.shape[1]}")[:, 0].tolist()
    if problem.game.compiled:
        return keys
    return [
        key + problem.game.state_key(state)
        for key, state in zip(keys, found.state, strict=True)
    ]


def find_layers(
    problem: Problem, first: Outcomes
) -> tuple[list[Layer], np.ndarray]:
    """Every layer, and which positions [K] of the first one the first states are; -1 where the game is over there."""
    size = len(first.probability)
    carries = tuple(
        tuple(jax.device_get(p.init(size)) for p in players)
        for players in problem.players
    )
    gather = Gather(problem, problem.limit)
    mind = _settled(np.tile(problem.initial(), (size, 1)), problem.told)
    begin = Positions(first.state, first.shown, carries, mind)
    begins = gather.add(
        begin, np.full((size, problem.game.num_players), ABSENT, np.int32)
    )
    layers, room = [], problem.limit
    while gather.index:
        room -= len(gather.index)
        here, gather = gather.positions(), Gather(problem, room)
        layers.append(
            _expand(problem, here, problem.transition(len(layers) + 1), gather)
        )
    return layers, begins


def coded(
    position: np.ndarray, own: np.ndarray, others: np.ndarray, num_actions: int
) -> np.ndarray:
    """[X] int64: the number of a position [X], an own action [X] and the others' [X, N-1], the last one's the fastest to change."""
    code = position.astype(np.int64) * num_actions + own
    for action in others.T:
        code = code * num_actions + action
    return code


def _expand(
    problem: Problem, here: Positions, transition: np.ndarray, gather: Gather
) -> Layer:
    """The layer of `here`; what follows goes to `gather`. transition: [M, M] of the joint mode, to the next step."""
    game, seat = problem.game, problem.seat
    at, actions, plays = _steps(problem, here)
    acts = here.shown.present & ~here.shown.terminated
    parts = []
    for begin in range(0, len(at), CHUNK):
        some = slice(begin, begin + CHUNK)
        row, ends = _ends(game, _take(here.state, at[some]), actions[some])
        row = row + begin
        mind = _settled(plays[row] @ transition, problem.told)
        done = partial(_act, problem.players, problem.seats)
        carries = _batched(done, _take(here.carries, at[row]), actions[row])
        last = np.where(acts[at[row]], actions[row], ABSENT).astype(np.int32)
        child = gather.add(
            Positions(ends.state, ends.shown, carries, mind), last
        )
        parts.append(
            (
                row,
                ends.probability,
                ends.shown.reward[:, seat].astype(np.float64),
                child,
            )
        )
    step, probability, reward, child = (
        np.concatenate(x) for x in zip(*parts, strict=True)
    )
    return Layer(
        obs=here.shown.obs,
        legal=here.shown.legal[:, seat],
        code=coded(
            at, actions[:, seat], actions[:, problem.seats], game.num_actions
        ),
        weight=plays if problem.told else plays.sum(1, keepdims=True),
        step=step,
        probability=probability,
        reward=reward,
        child=child,
    )


def _steps(
    problem: Problem, here: Positions
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every joint action that can be: its position [X], the action of every seat [X, N], and mind times likelihood [X, M]."""
    count, seat, size = problem.game.num_actions, problem.seat, len(here.mind)
    each = _choices(problem, here)
    parts = []
    wide = max(1, CHUNK * 64 // (here.mind.shape[1] * count ** len(each)))
    for begin in range(0, size, wide):
        some = slice(begin, begin + wide)
        joint = np.ones((len(here.mind[some]), 1, 1))
        for p in each:
            joint = (
                joint[:, :, None, :, None] * p[some, None, :, None, :]
            ).reshape(len(joint), joint.shape[1] * p.shape[1], -1)
        plays = (here.mind[some, :, None] * joint).swapaxes(1, 2)  # [P, J, M]
        at, own, others = np.nonzero(
            here.shown.legal[some, seat, :, None]
            & np.any(plays > 0, axis=2)[:, None]
        )
        actions = np.empty((len(at), 1 + len(each)), np.int32)
        actions[:, seat] = own
        actions[:, problem.seats] = np.stack(
            np.unravel_index(others, (count,) * len(each)), 1
        )
        parts.append((at + begin, actions, plays[at, others]))
    at, actions, plays = (np.concatenate(x) for x in zip(*parts, strict=True))
    return at, actions, plays


def _choices(problem: Problem, here: Positions) -> list[np.ndarray]:
    """For each other [P, M_j, A] float64: what each of its modes does; action 0 where the seat does not act."""
    shown = here.shown
    policy = partial(_policies, problem.players, problem.seats)
    policies = _batched(policy, here.carries, shown.obs, shown.legal)
    acts = np.logical_and(shown.present, np.logical_not(shown.terminated))
    nothing = np.arange(problem.game.num_actions) == 0
    exact = [p / p.sum(-1, keepdims=True, dtype=np.float64) for p in policies]
    return [
        np.where(acts[:, s, None, None], p, nothing)
        for s, p in zip(problem.seats, exact, strict=True)
    ]


def _ends(
    game: Game, state: Any, actions: np.ndarray
) -> tuple[np.ndarray, Outcomes]:
    """What chance makes of steps from `state` [X, ...] with `actions` [X, N]: of which of them each outcome is [Y], and these."""
    if game.compiled:
        found = _batched(
            partial(_outcomes, game), state, actions
        )  # [X, K, ...]
        row = np.repeat(np.arange(len(actions)), found.probability.shape[1])
        ends = jax.tree.map(lambda x: x.reshape(len(row), *x.shape[2:]), found)
    else:
        each = [
            listed(game.outcomes(s, a))
            for s, a in zip(state, actions, strict=True)
        ]
        row = np.repeat(
            np.arange(len(actions)), [len(x.probability) for x in each]
        )
        ends = jax.tree.map(lambda *x: np.concatenate(x), *each)
    probability = (
        ends.probability / np.bincount(row, ends.probability)[row]
    )  # float64
    likely = np.flatnonzero(probability > 0)
    return row[likely], _take(ends._replace(probability=probability), likely)


def listed(outcomes: Outcomes) -> Outcomes:
    """The same in NumPy; a list of states as an array of objects, to be picked from like any other."""
    if not isinstance(outcomes.state, list):
        return jax.device_get(outcomes)
    states = np.empty(len(outcomes.state), object)
    states[:] = outcomes.state
    return outcomes._replace(state=states)


def _take(tree: Any, index: Any) -> Any:
    return jax.tree.map(lambda x: x[index], tree)


def _batched(function: Any, *trees: Any) -> Any:
    """`function` of arrays [X, ...] in NumPy. They are filled up to one of a few sizes, for each is compiled once."""
    size = len(jax.tree.leaves(trees)[0])
    full = 64
    while full < size:
        full *= 4
    index = np.minimum(np.arange(full), size - 1)
    return _take(jax.device_get(function(*_take(trees, index))), slice(size))


@partial(jax.jit, static_argnums=0)
def _outcomes(game: Game, state: Any, actions: Array) -> Outcomes:
    return jax.vmap(game.outcomes)(state, actions)


@partial(jax.jit, static_argnums=1)
def _look(
    players: Any, seats: tuple[int, ...], carries: Any, obs: Array, last: Array
) -> Any:
    """What each mode of each other remembers after looking at obs [X, N, ...], everybody having just done `last` [X, N]."""
    order = ego_order(last.shape[1])
    key = jax.random.key(
        0
    )  # no mode's player reads it: `modes_of` refuses those that do

    def one(carries: Any, obs: Array, last: Array) -> Any:
        return tuple(
            tuple(
                p.see(c, obs[s], last[order[s, 1:]], key)
                for p, c in zip(modes, kept, strict=True)
            )
            for s, modes, kept in zip(seats, players, carries, strict=True)
        )

    return jax.vmap(one)(carries, obs, last)


@partial(jax.jit, static_argnums=1)
def _act(
    players: Any, seats: tuple[int, ...], carries: Any, actions: Array
) -> Any:
    """What each mode of each other remembers after acting: all of them take it that the action of their seat was their own."""

    def one(carries: Any, actions: Array) -> Any:
        return tuple(
            tuple(
                p.did(c, actions[s]) for p, c in zip(modes, kept, strict=True)
            )
            for s, modes, kept in zip(seats, players, carries, strict=True)
        )

    return jax.vmap(one)(carries, actions)


@partial(jax.jit, static_argnums=1)
def _policies(
    players: Any, seats: tuple[int, ...], carries: Any, obs: Array, legal: Array
) -> tuple[Array, ...]:
    """For each other [X, M_j, A]: what each of its modes does."""

    def one(carries: Any, obs: Array, legal: Array) -> tuple[Array, ...]:
        return tuple(
            jnp.stack(
                [
                    p.policy(c, obs[s], legal[s])
                    for p, c in zip(modes, kept, strict=True)
                ]
            )
            for s, modes, kept in zip(seats, players, carries, strict=True)
        )

    return jax.vmap(one)(carries, obs, legal)
