"""The positions that play of a small game can reach, step by step, for `tree` to solve."""

import functools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from bestreply.exact.hidden_modes import ModeChain
from bestreply.games.base import Game, Outcomes
from bestreply.players.base import ScriptedPlayer
from bestreply.types import ABSENT, Array, TimeStep, ego_order

CHUNK = 2**14
"""Joint actions that are expanded side by side."""

BELIEF_TOLERANCE = 1e-9
"""Beliefs that differ by less are merged."""

Tree = TypeVar("Tree")


class Layer(NamedTuple):
    """The `P` positions of one step and the transitions out of them.

    A row `X` is a position, an own action and a joint action of the other players that some
    mode may choose. A row `Y` is an outcome of chance after such a row. `C` is the number of
    modes that the reply observes: 1 if it observes none.
    """

    obs: np.ndarray  # [P, N, *obs_shape] float32
    legal: np.ndarray  # [P, A] bool, of the seat
    code: (
        np.ndarray
    )  # [X] int64, ascending: position, own and joint action (`coded`)
    weight: np.ndarray  # [X, C] float64, the probability of the joint action
    step: np.ndarray  # [Y] int64, ascending: the row in `code`
    probability: np.ndarray  # [Y] float64
    reward: np.ndarray  # [Y] float64, of the seat
    child: (
        np.ndarray
    )  # [Y] int64, position in the next layer; -1 where the game is over


class TreeProblem(NamedTuple):
    """A game, a seat, the modes of the other players, and what the seat observes of them."""

    game: Game
    seat: int
    seats: tuple[int, ...]  # of the other players
    chains: tuple[ModeChain, ...]  # of each other player
    sees_modes: bool
    limit: int

    @property
    def players(self) -> tuple[tuple[ScriptedPlayer, ...], ...]:
        """For each other player, the players of its modes."""
        return tuple(chain.players for chain in self.chains)

    def initial(self) -> np.ndarray:
        """Return the distribution of the joint mode at the first step.

        Returns:
            [M] float64; the mode of the first other player changes slowest.
        """
        before = [chain.initial for chain in self.chains]
        return functools.reduce(np.kron, before, np.ones(1)) @ self.transition(
            0
        )

    def transition(self, step: int) -> np.ndarray:
        """Return the transition matrix of the joint mode, as in `ModeChain`.

        Args:
            step: index of the step; the matrix applies before acting at it.

        Returns:
            [M, M] float64.
        """
        each = [chain.transition(step) for chain in self.chains]
        return functools.reduce(np.kron, each, np.eye(1))


class TreePositions(NamedTuple):
    """The positions of one step, with all that their expansion needs."""

    state: Any  # leaves [P, ...]; of a host game [P] objects
    shown: TimeStep  # [P, ...]
    carries: Any  # by other player and mode: its memory after observing, leaves [P, ...]
    belief: np.ndarray
    """[P, M] float64 over joint modes; with modes observed, 1 for each possible one."""


class LayerBuilder:
    """Collects the positions of one step and merges equal ones."""

    def __init__(self, problem: TreeProblem, capacity: int):
        self.problem, self.capacity = problem, capacity
        self.index: dict[bytes, int] = {}
        self.parts: list[TreePositions] = []
        self.beliefs: list[tuple[np.ndarray, np.ndarray]] = []

    def add(
        self, reached: TreePositions, last: Int[np.ndarray, "Y N"]
    ) -> np.ndarray:
        """Add positions in which the other players have not observed yet.

        Args:
            reached: `Y` positions, equal ones included.
            last: [Y, N] int32, the joint action that led to each.

        Returns:
            [Y] int64, the index of each position; -1 where the game is over for the seat.

        Raises:
            ValueError: there are more than `capacity` positions.
        """
        problem, index = self.problem, self.index
        over = _is_over(problem.seat, reached.shown)
        number, live = np.full(len(over), -1), np.flatnonzero(~over)
        if not len(live):
            return number
        reached, last = _take((reached, last), live)
        see = partial(_see, problem.players, problem.seats)
        carries = _batched(see, reached.carries, reached.shown.obs, last)
        reached = reached._replace(carries=carries)
        before = len(index)
        keys = _keys(problem, reached)
        number[live] = [index.setdefault(key, len(index)) for key in keys]
        if len(index) > self.capacity:
            raise ValueError(
                f"more than {problem.limit:,} positions of {problem.game.name} can be reached: "
                "expected at most that many. Use fewer rounds or actions, or players that "
                "remember less; or give a higher `limit`, if memory allows"
            )
        new, first = np.unique(number[live], return_index=True)
        self.parts.append(_take(reached, first[new >= before]))
        self.beliefs.append((number[live], reached.belief))
        return number

    def positions(self) -> TreePositions:
        """Return all positions in the order of their index.

        Returns:
            The positions, of which there must be at least one.
        """
        whole = jax.tree.map(lambda *x: np.concatenate(x), *self.parts)
        belief = np.zeros_like(whole.belief)
        for number, each in self.beliefs:
            # With modes observed, different paths to a position may allow different modes.
            np.maximum.at(belief, number, each)
        belief = _normalised(belief, self.problem.sees_modes)
        return whole._replace(belief=belief)


def _is_over(seat: int, shown: TimeStep) -> np.ndarray:
    ended, present = np.asarray(shown.terminated), np.asarray(shown.present)
    finished = ended[:, seat] | ended.all(1) | np.asarray(shown.truncated)
    return finished | ~present[:, seat]


def _normalised(belief: np.ndarray, sees_modes: bool) -> np.ndarray:
    """Return `belief` [P, M] as `TreePositions` holds it."""
    if sees_modes:
        return (belief > 0).astype(np.float64)
    return belief / belief.sum(1, keepdims=True)


def _keys(problem: TreeProblem, reached: TreePositions) -> list[bytes]:
    """Return a key per position, the same for equal positions."""
    state = reached.state if problem.game.compiled else ()
    leaves = jax.tree.leaves((state, reached.carries))
    if not problem.sees_modes:
        # Beliefs are often round numbers; the offset keeps them off the cells' borders.
        cell = np.floor(reached.belief / BELIEF_TOLERANCE + 0.3183)
        leaves.append(cell.astype(np.int64))
    size = len(reached.belief)
    # Adding 0.0 turns -0.0 into 0.0.
    leaves = [x + 0.0 if x.dtype.kind == "f" else x for x in leaves if x.size]
    columns = [
        np.ascontiguousarray(x).reshape(size, -1).view(np.uint8) for x in leaves
    ]
    rows = np.concatenate([np.zeros((size, 1), np.uint8), *columns], 1)
    keys = rows.view(f"V{rows.shape[1]}")[:, 0].tolist()
    if problem.game.compiled:
        return keys
    return [
        key + problem.game.state_key(state)
        for key, state in zip(keys, reached.state, strict=True)
    ]


def find_layers(
    problem: TreeProblem, first: Outcomes
) -> tuple[list[Layer], np.ndarray]:
    """Return every layer of positions that play from `first` can reach.

    Args:
        problem: game, seat and other players.
        first: `K` first states in NumPy (see `listed`).

    Returns:
        The layers, and the index [K] of each first state in the first layer; -1 where the
        game is over there.

    Raises:
        ValueError: more than `problem.limit` positions can be reached.
    """
    size = len(first.probability)
    carries = tuple(
        tuple(jax.device_get(p.init(size)) for p in players)
        for players in problem.players
    )
    builder = LayerBuilder(problem, problem.limit)
    prior = np.tile(problem.initial(), (size, 1))
    belief = _normalised(prior, problem.sees_modes)
    begin = TreePositions(first.state, first.shown, carries, belief)
    no_action = np.full((size, problem.game.num_players), ABSENT, np.int32)
    begins = builder.add(begin, no_action)
    layers, capacity = [], problem.limit
    while builder.index:
        capacity -= len(builder.index)
        positions = builder.positions()
        builder = LayerBuilder(problem, capacity)
        transition = problem.transition(len(layers) + 1)
        layers.append(_expand(problem, positions, transition, builder))
    return layers, begins


def coded(
    position: Int[np.ndarray, " X"],
    own: Int[np.ndarray, " X"],
    others: Int[np.ndarray, "X others"],
    num_actions: int,
) -> np.ndarray:
    """Return one number per position and joint action; the last action changes fastest.

    Args:
        position: [X] int, index in the layer.
        own: [X] int, action of the replying seat.
        others: [X, N-1] int, actions of the other players.
        num_actions: A.

    Returns:
        [X] int64.
    """
    code = position.astype(np.int64) * num_actions + own
    for action in others.T:
        code = code * num_actions + action
    return code


def _expand(
    problem: TreeProblem,
    positions: TreePositions,
    transition: np.ndarray,
    builder: LayerBuilder,
) -> Layer:
    """Return the layer of `positions`, and add their successors to `builder`.

    `transition` [M, M] is that of the joint mode to the next step.
    """
    game, seat, seats = problem.game, problem.seat, problem.seats
    at, actions, joint = _joint_actions(problem, positions)
    acts = positions.shown.present & ~positions.shown.terminated
    parts = []
    for begin in range(0, len(at), CHUNK):
        chunk = slice(begin, begin + CHUNK)
        state = _take(positions.state, at[chunk])
        row, ends = _outcomes_of(game, state, actions[chunk])
        row = row + begin
        belief = _normalised(joint[row] @ transition, problem.sees_modes)
        act = partial(_act, problem.players, seats)
        carries = _take(positions.carries, at[row])
        carries = _batched(act, carries, actions[row])
        last = np.where(acts[at[row]], actions[row], ABSENT).astype(np.int32)
        reached = TreePositions(ends.state, ends.shown, carries, belief)
        child = builder.add(reached, last)
        reward = ends.shown.reward[:, seat].astype(np.float64)
        parts.append((row, ends.probability, reward, child))
    step, probability, reward, child = map(
        np.concatenate, zip(*parts, strict=True)
    )
    weight = joint if problem.sees_modes else joint.sum(1, keepdims=True)
    return Layer(
        obs=positions.shown.obs,
        legal=positions.shown.legal[:, seat],
        code=coded(at, actions[:, seat], actions[:, seats], game.num_actions),
        weight=weight,
        step=step,
        probability=probability,
        reward=reward,
        child=child,
    )


def _joint_actions(
    problem: TreeProblem, positions: TreePositions
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return every possible joint action.

    Its position [X], the action of every seat [X, N], and belief times likelihood [X, M].
    """
    seat, size = problem.seat, len(positions.belief)
    count, modes = problem.game.num_actions, positions.belief.shape[1]
    policies = _mode_policies(problem, positions)
    shape = (count,) * len(policies)
    parts = []
    rows = max(1, CHUNK * 64 // (modes * count ** len(policies)))
    for begin in range(0, size, rows):
        chunk = slice(begin, begin + rows)
        joint = np.ones((len(positions.belief[chunk]), 1, 1))  # [P, M, J]
        for p in policies:
            product = joint[:, :, None, :, None] * p[chunk, None, :, None, :]
            merged = joint.shape[1] * p.shape[1]
            joint = product.reshape(len(joint), merged, -1)
        joint = positions.belief[chunk, :, None] * joint
        joint = joint.swapaxes(1, 2)  # [P, J, M]
        possible = np.any(joint > 0, axis=2)[:, None]
        legal = positions.shown.legal[chunk, seat, :, None]
        at, own, others = np.nonzero(legal & possible)
        actions = np.empty((len(at), 1 + len(policies)), np.int32)
        actions[:, seat] = own
        actions[:, problem.seats] = np.stack(np.unravel_index(others, shape), 1)
        parts.append((at + begin, actions, joint[at, others]))
    at, actions, joint = map(np.concatenate, zip(*parts, strict=True))
    return at, actions, joint


def _mode_policies(
    problem: TreeProblem, positions: TreePositions
) -> list[np.ndarray]:
    """Return the policies of each other player's modes, [P, M_j, A] float64 each.

    A seat that does not act has action 0.
    """
    shown = positions.shown
    policy = partial(_policies, problem.players, problem.seats)
    policies = _batched(policy, positions.carries, shown.obs, shown.legal)
    acts = np.logical_and(shown.present, np.logical_not(shown.terminated))
    no_action = np.arange(problem.game.num_actions) == 0
    exact = [p / p.sum(-1, keepdims=True, dtype=np.float64) for p in policies]
    return [
        np.where(acts[:, s, None, None], p, no_action)
        for s, p in zip(problem.seats, exact, strict=True)
    ]


def _outcomes_of(
    game: Game, state: Any, actions: np.ndarray
) -> tuple[np.ndarray, Outcomes]:
    """Return the outcomes [Y] of steps from `state` [X, ...] with `actions` [X, N].

    First the row [Y] of the step of each outcome, then the outcomes.
    """
    if game.compiled:
        outcomes = _batched(
            partial(_outcomes, game), state, actions
        )  # [X, K, ..]
        row = np.repeat(np.arange(len(actions)), outcomes.probability.shape[1])
        ends = jax.tree.map(
            lambda x: x.reshape(len(row), *x.shape[2:]), outcomes
        )
    else:
        each = [
            listed(game.outcomes(s, a))
            for s, a in zip(state, actions, strict=True)
        ]
        counts = [len(x.probability) for x in each]
        row = np.repeat(np.arange(len(actions)), counts)
        ends = jax.tree.map(lambda *x: np.concatenate(x), *each)
    total = np.bincount(row, ends.probability)[row]
    probability = ends.probability / total  # float64
    possible = np.flatnonzero(probability > 0)
    ends = ends._replace(probability=probability)
    return row[possible], _take(ends, possible)


def listed(outcomes: Outcomes) -> Outcomes:
    """Return the same outcomes in NumPy, a list of states as an array of objects.

    Args:
        outcomes: `K` outcomes of a compiled game or a host game.

    Returns:
        `K` outcomes whose leaves can be indexed alike.
    """
    if not isinstance(outcomes.state, list):
        return jax.device_get(outcomes)
    states = np.empty(len(outcomes.state), object)
    states[:] = outcomes.state
    return outcomes._replace(state=states)


def _take(tree: Tree, index: np.ndarray | slice) -> Tree:
    return jax.tree.map(lambda x: x[index], tree)


def _batched(function: Callable[..., Any], *trees: Any) -> Any:
    """Return `function` of arrays [X, ...], in NumPy.

    The arrays are padded to one of a few sizes, as each size is compiled once.
    """
    size = len(jax.tree.leaves(trees)[0])
    padded = 64
    while padded < size:
        padded *= 4
    index = np.minimum(np.arange(padded), size - 1)
    return _take(jax.device_get(function(*_take(trees, index))), slice(size))


@partial(jax.jit, static_argnums=0)
def _outcomes(game: Game, state: Any, actions: Array) -> Outcomes:
    return jax.vmap(game.outcomes)(state, actions)


@partial(jax.jit, static_argnums=1)
def _see(
    players: Any, seats: tuple[int, ...], carries: Any, obs: Array, last: Array
) -> Any:
    """Return each mode's memory after observing `obs` [X, N, ...] and actions `last` [X, N]."""
    order = ego_order(last.shape[1])
    # No mode reads the key: `mode_chain` refuses those that do.
    key = jax.random.key(0)

    def one(carries: Any, obs: Array, last: Array) -> Any:
        return tuple(
            tuple(
                p.see(c, obs[s], last[order[s, 1:]], key)
                for p, c in zip(modes, memories, strict=True)
            )
            for s, modes, memories in zip(seats, players, carries, strict=True)
        )

    return jax.vmap(one)(carries, obs, last)


@partial(jax.jit, static_argnums=1)
def _act(
    players: Any, seats: tuple[int, ...], carries: Any, actions: Array
) -> Any:
    """Return each mode's memory after acting; each mode takes its seat's action for its own."""

    def one(carries: Any, actions: Array) -> Any:
        return tuple(
            tuple(
                p.did(c, actions[s])
                for p, c in zip(modes, memories, strict=True)
            )
            for s, modes, memories in zip(seats, players, carries, strict=True)
        )

    return jax.vmap(one)(carries, actions)


@partial(jax.jit, static_argnums=1)
def _policies(
    players: Any, seats: tuple[int, ...], carries: Any, obs: Array, legal: Array
) -> tuple[Array, ...]:
    """Return the policies of each other player's modes, [X, M_j, A] each."""

    def one(carries: Any, obs: Array, legal: Array) -> tuple[Array, ...]:
        return tuple(
            jnp.stack(
                [
                    p.policy(c, obs[s], legal[s])
                    for p, c in zip(modes, memories, strict=True)
                ]
            )
            for s, modes, memories in zip(seats, players, carries, strict=True)
        )

    return jax.vmap(one)(carries, obs, legal)
