"""The exact best reply to a partner: expected steps until all food is eaten, by value iteration.

The game is deterministic after its start and fully observed; a partner draws among ties,
and the entitled one draws its sides in secret. A node is the own cell, the partner's cell,
the food that is left, what the partner remembers and the posterior over what it drew.
From a start all nodes within reach are listed; on them value iteration is exact up to
rounding.

Beside the entitled partner the reply observes the partner's action distribution, not its
action alone, so its steps are a lower bound there. The two differ where food blocks one
of the partner's ways, so that its waiting can have two reasons.
"""

import functools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Int

from bestreply.games.base import Game
from bestreply.types import ABSENT
from experiments.foraging.players import (
    ACTIONS,
    LOAD,
    MOVES,
    NOTHING,
    Entitled,
    InOrder,
    NearestToTeammate,
    OrderCarry,
    things_in,
)

Partner = InOrder | NearestToTeammate | Entitled
DIGITS = 9
"""Decimals of a posterior that tell nodes apart."""
MIN_PROB = 1e-12
"""Probabilities of the partner's actions below this are rounding."""
TOLERANCE = 1e-7
"""Largest change of a value in the last sweep."""


class Start(NamedTuple):
    """A first state, from one seat."""

    own: int
    """Own cell, row * n + column."""
    partner: int
    food: tuple[int, ...]
    """Cells of the food, in the observation's order."""


# -- the game ------------------------------------------------------------------


@functools.lru_cache
def landings(size: int) -> Int[np.ndarray, "C C A A 2"]:
    """Return the cells of both agents after a joint action on a grid without food.

    Args:
        size: rows of the grid, n; C = n*n cells.

    Returns:
        By own cell, other cell, own action, other action. A move into a cell that the
        other agent holds, or to the same cell as its move, is none.
    """
    cells = np.arange(size * size)
    place = np.stack(np.divmod(cells, size), -1)
    to = place[:, None] + MOVES
    inside = ((to >= 0) & (to < size)).all(-1)
    to = np.where(inside, to[..., 0] * size + to[..., 1], cells[:, None])
    one, other = to[:, None, :, None], to[None, :, None, :]
    here, there = cells[:, None, None, None], cells[None, :, None, None]
    one = np.where(one == there, here, one)
    other = np.where(other == here, there, other)
    clash = one == other
    both = np.where(clash, here, one), np.where(clash, there, other)
    return np.stack(np.broadcast_arrays(*both), -1)


class Board:
    """The rules for one placement of the food."""

    def __init__(self, size: int, food: tuple[int, ...]) -> None:
        """Compute the tables.

        Args:
            size: rows of the grid, n.
            food: cells of the food.
        """
        self.size, self.food = size, np.array(food)
        cells = np.arange(size * size)
        row, column = np.divmod(cells, size)
        food_row, food_column = np.divmod(self.food, size)
        far = abs(row[:, None] - food_row) + abs(column[:, None] - food_column)
        bits = 1 << np.arange(len(food))
        self.beside = ((far == 1) * bits).sum(-1)  # [C] food beside a cell
        self.on = ((far == 0) * bits).sum(-1)
        self.masks = 1 << len(food)

    def after(
        self,
        own: Int[np.ndarray, "*B"],
        other: Int[np.ndarray, "*B"],
        eaten: Int[np.ndarray, "*B"],
        own_action: Int[np.ndarray, "*B"],
        other_action: Int[np.ndarray, "*B"],
    ) -> tuple[Any, Any, Any]:
        """Return both cells and the eaten food after a step.

        Args:
            own: own cells.
            other: cells of the other agent.
            eaten: bits of the food that is eaten.
            own_action: own actions.
            other_action: actions of the other agent.
        """
        left = self.masks - 1 - eaten
        own_action = self._possible(own, left, own_action)
        other_action = self._possible(other, left, other_action)
        both = landings(self.size)[own, other, own_action, other_action]
        loads = (own_action == LOAD) & (other_action == LOAD)
        loaded = self.beside[own] & self.beside[other] & left
        return both[..., 0], both[..., 1], eaten | np.where(loads, loaded, 0)

    def _possible(
        self, cell: np.ndarray, left: np.ndarray, action: np.ndarray
    ) -> np.ndarray:
        """Return actions, 0 for a move into food."""
        row, column = np.divmod(cell, self.size)
        row, column = row + MOVES[action, 0], column + MOVES[action, 1]
        inside = (row >= 0) & (row < self.size)
        inside &= (column >= 0) & (column < self.size)
        to = np.where(inside, row * self.size + column, cell)
        return np.where(self.on[to] & left, 0, action)


# -- the partner ---------------------------------------------------------------


class Tables(NamedTuple):
    """A partner's rule as tables, by what it drew (M modes) and remembers (H memories)."""

    probs: Float[np.ndarray, "M H masks C C A"]
    """By mode, memory, eaten food, own cell (the partner's teammate) and its cell."""
    memory: Int[np.ndarray, "H masks"]
    """The memory after it observes which food is eaten."""
    alike: Int[np.ndarray, "masks M"]
    """The first mode that acts like each one while that food is eaten."""


@eqx.filter_jit
def _probs(
    partner: Partner,
    size: int,
    carry: Any,
    food: Any,
    masks: Any,
) -> Any:
    """Return the distributions [H, masks, C, C, A] of a partner with a carry [H, masks]."""
    cells = jnp.stack(jnp.divmod(jnp.arange(size * size), size), -1)

    def one(carry: Any, mask: Any, own: Any, cell: Any) -> Any:
        left = (mask >> jnp.arange(len(food))) % 2 == 0
        shown = jnp.where(left[:, None], food, -1)
        things = jnp.concatenate([shown, left[:, None] * 2], 1).reshape(-1)
        agents = jnp.array([*cell, 1, *own, 1])
        obs = jnp.concatenate([things, agents])
        return partner.policy(carry, obs, _legal(size, food, left, own, cell))

    of_cells = jax.vmap(one, (None, None, None, 0))
    of_cells = jax.vmap(of_cells, (None, None, 0, None))
    of_masks = jax.vmap(of_cells, (0, 0, None, None))
    of_memories = jax.vmap(of_masks, (0, None, None, None))
    return of_memories(carry, masks, cells, cells)


def _legal(size: int, food: Any, left: Any, own: Any, cell: Any) -> Any:
    """Return the partner's legal actions."""
    to = cell + jnp.asarray(MOVES)
    inside = ((to >= 0) & (to < size)).all(-1)
    in_food = ((to[:, None] == food).all(-1) & left).any(-1)
    legal = inside & ~in_food & ~(to == own).all(-1)
    beside = ((jnp.abs(food - cell).sum(-1) == 1) & left).any()
    return legal.at[LOAD].set(beside)


def tables_of(partner: Partner, size: int, start: Start) -> Tables:
    """Return a partner's rule as tables.

    Args:
        partner: the partner.
        size: rows of the grid.
        start: the first state.
    """
    food = np.stack(np.divmod(np.array(start.food), size), -1)
    food = food.astype(np.int32)
    masks = np.arange(1 << len(food), dtype=np.int32)
    one_memory = np.zeros((1, len(masks)), np.int32)
    alone = np.zeros((len(masks), 1), np.int32)
    if isinstance(partner, NearestToTeammate):
        probs = _probs(partner, size, one_memory, food, masks)
        return Tables(np.asarray(probs)[None], one_memory, alone)
    if isinstance(partner, Entitled):
        drawn, alike = masks, masks & ~masks[:, None]
        if partner.orientations != ABSENT:
            drawn, alike = [partner.orientations], alone
        modes = [
            _probs(partner, size, one_memory + mode, food, masks)
            for mode in drawn
        ]
        return Tables(np.stack(modes), one_memory, alike)
    cells = np.array(start.food), np.array([start.own, start.partner])
    order = _order(partner, size, *cells)
    memory = np.zeros((len(food), len(masks)), np.int32)
    advanced = np.zeros(memory.shape, bool)
    for index in range(len(food)):
        advanced[index] = masks >> order[index] & 1
        memory[index] = np.minimum(index + advanced[index], len(food) - 1)
    places = np.broadcast_to(food[order], (*memory.shape, len(food), 2))
    carry = OrderCarry(places, memory, advanced)
    probs = _probs(partner, size, carry, food, masks)
    return Tables(np.asarray(probs)[None], memory, alone)


def _order(
    partner: InOrder, size: int, food: np.ndarray, cells: np.ndarray
) -> np.ndarray:
    """Return the indices of the food in a partner's order."""
    rows = np.stack(np.divmod(food, size), -1)
    own, other = np.stack(np.divmod(cells, size), -1)
    obs = np.array([*np.c_[rows, rows[:, :1] * 0 + 2].flat, *other, 1, *own, 1])
    carry = partner.see(
        partner.start(), obs, np.array([ABSENT]), jax.random.key(0)
    )
    places = np.asarray(carry.food)
    return (places[:, None] == rows).all(-1).argmax(1)


# -- the search ----------------------------------------------------------------


class Graph(NamedTuple):
    """The K nodes within reach of a start, the start first, and Q outcomes of a step there."""

    columns: Int[np.ndarray, "K 5"]
    """Own cell, partner's cell, eaten food, memory, number of the posterior."""
    over: Bool[np.ndarray, " K"]
    node: Int[np.ndarray, " Q"]
    """The node of an outcome, in ascending order."""
    action: Int[np.ndarray, " Q"]
    """The partner's action."""
    modes: Int[np.ndarray, " Q"]
    """Bits of the partner's modes that have the outcome's action distribution."""
    prob: Float[np.ndarray, " Q"]
    next: Int[np.ndarray, "Q A"]
    """The node that follows, by own action."""
    eaten: Int[np.ndarray, "Q A"]
    """Number of foods that are eaten in the step."""


class Posteriors:
    """Numbers of the posteriors over a partner's modes that occur."""

    def __init__(self, tables: Tables) -> None:
        """Begin with the uniform prior, number 0.

        Args:
            tables: the partner's rule.
        """
        self.modes, self.alike = len(tables.probs), tables.alike
        self.rows: list[np.ndarray] = []
        self.numbers: dict[bytes, int] = {}
        self.known: dict[int, int] = {}
        self._add(np.full(self.modes, 1 / self.modes), 0)

    def _add(self, posterior: Float[np.ndarray, " M"], eaten: int) -> int:
        """Return the number of a posterior while some food is eaten.

        What the partner drew about eaten food no longer matters: the probability of
        modes that act alike is spread evenly over them.
        """
        groups = self.alike[eaten]
        count = np.bincount(groups, minlength=self.modes)
        mass = np.bincount(groups, posterior, self.modes)
        spread = mass[groups] / count[groups] / posterior.sum()
        key = spread.round(DIGITS).tobytes()
        if key not in self.numbers:
            self.numbers[key] = len(self.rows)
            self.rows.append(spread)
        return self.numbers[key]

    def add_all(
        self,
        number: Int[np.ndarray, "*B"],
        modes: Int[np.ndarray, "*B"],
        eaten: Int[np.ndarray, "*B"],
    ) -> Int[np.ndarray, "*B"]:
        """Return the numbers of posteriors restricted to some modes.

        Args:
            number: numbers of the posteriors before.
            modes: bits of the modes that remain.
            eaten: bits of the food that is eaten then.
        """
        masks = len(self.alike)
        keys = (number.astype(np.int64) << self.modes | modes) * masks + eaten
        unique, inverse = np.unique(keys, return_inverse=True)
        numbers = []
        for key in unique.tolist():
            if key not in self.known:
                before, mask = divmod(key, masks)
                remain = (before >> np.arange(self.modes)) & 1
                posterior = self.rows[before >> self.modes] * remain
                self.known[key] = self._add(posterior, mask)
            numbers.append(self.known[key])
        return np.array(numbers)[inverse].reshape(number.shape)


class Nodes:
    """Numbers of nodes, each a row of `Graph.columns`, in order of their discovery."""

    def __init__(self, *sizes: int) -> None:
        """Begin without nodes.

        Args:
            sizes: number of values of each column but the last.
        """
        self.factors = np.cumprod([1, *sizes])
        self.sizes = np.array(sizes)
        self.codes, self.numbers = np.zeros(0, np.int64), np.zeros(0, np.int64)

    def add_all(
        self, *columns: Int[np.ndarray, "*B"]
    ) -> tuple[Int[np.ndarray, "*B"], Int[np.ndarray, "F 5"]]:
        """Return the numbers of nodes, and the columns of those that are new.

        Args:
            columns: the columns of the nodes.
        """
        pairs = zip(columns, self.factors, strict=True)
        codes = np.asarray(sum(x.astype(np.int64) * f for x, f in pairs))
        unique, inverse = np.unique(codes, return_inverse=True)
        fresh = np.setdiff1d(unique, self.codes, assume_unique=True)
        at = np.searchsorted(self.codes, fresh)
        count = len(self.codes) + np.arange(len(fresh))
        self.codes = np.insert(self.codes, at, fresh)
        self.numbers = np.insert(self.numbers, at, count)
        numbers = self.numbers[np.searchsorted(self.codes, unique)]
        rows = [fresh // f for f in self.factors]
        rows = [x % n for x, n in zip(rows, self.sizes, strict=False)] + rows[
            -1:
        ]
        return numbers[inverse].reshape(codes.shape), np.stack(rows, -1)


def reachable(board: Board, tables: Tables, start: Start) -> Graph:
    """List the nodes within reach of a start, and the outcomes of a step at each.

    Args:
        board: the rules.
        tables: the partner's rule.
        start: the first state.
    """
    posteriors = Posteriors(tables)
    cells, memories = board.size**2, len(tables.memory)
    numbers_of = Nodes(cells, cells, board.masks, memories)
    begin = start.own, start.partner, 0, 0, 0
    _, rows = numbers_of.add_all(*np.array(begin)[:, None])
    nodes, parts = [rows], []
    while len(rows):
        first = len(numbers_of.codes) - len(rows)
        own, cell, eaten, memory, number = rows.T
        belief = np.stack(posteriors.rows)[number]  # [n, M]
        policy = tables.probs[:, memory, eaten, own, cell]
        policy = np.moveaxis(policy, 0, 1).astype(np.float64)  # [n, M, A]
        same = abs(policy[:, :, None] - policy[:, None]).max(-1) < 1e-5
        leader = (same & (belief > 0)[:, None]).argmax(-1)  # [n, M]
        in_group = (leader[:, None] == np.arange(posteriors.modes)[:, None]) & (
            belief > 0
        )[:, None]  # [n, M groups, M modes]
        mass = (in_group * belief[:, None]).sum(-1)
        prob = mass[..., None] * policy
        prob[eaten == board.masks - 1] = 0
        node, group, action = np.nonzero(prob > MIN_PROB)
        modes = (in_group[node, group] << np.arange(posteriors.modes)).sum(-1)
        to_own, to_cell, to_eaten = board.after(
            own[node, None],
            cell[node, None],
            eaten[node, None],
            np.arange(ACTIONS),
            action[:, None],
        )
        shape = to_own.shape
        before = np.broadcast_to(eaten[node, None], shape)
        known = posteriors.add_all(
            np.broadcast_to(number[node, None], shape),
            np.broadcast_to(modes[:, None], shape),
            to_eaten,
        )
        remembered = np.broadcast_to(
            tables.memory[memory, eaten][node, None], shape
        )
        following, rows = numbers_of.add_all(
            to_own, to_cell, to_eaten, remembered, known
        )
        parts.append(
            (
                node + first,
                action,
                modes,
                prob[node, group, action],
                following,
                _ones(to_eaten & ~before),
            )
        )
        nodes.append(rows)
    columns = np.concatenate(nodes)
    over = columns[:, 2] == board.masks - 1
    outcomes = map(np.concatenate, zip(*parts, strict=True))
    return Graph(columns, over, *outcomes)


def _ones(bits: np.ndarray) -> np.ndarray:
    """Return the number of ones of integers below 256."""
    ones = sum((bits >> k) & 1 for k in range(8))
    return np.asarray(ones, np.int8)


class Reply(NamedTuple):
    """What the best reply from a start attains."""

    steps: float
    """Least expected number of steps, at most the step limit."""
    discounted: float
    """Largest expected discounted return."""
    action: Int[np.ndarray, " K"]
    """Of the reply that takes fewest steps, at each node."""
    graph: Graph


def best_reply(
    partner: Partner,
    start: Start,
    *,
    size: int = 7,
    limit: int = 100,
    gamma: float = 0.99,
    paid: float = 0.5,
) -> Reply:
    """Return what the best reply to a partner attains from a start.

    Args:
        partner: the partner; what it draws in secret is inferred.
        start: the first state.
        size: rows of the grid.
        limit: step limit.
        gamma: discount of a step.
        paid: reward of all food together.

    Returns:
        Least expected steps, and largest expected discounted return.
    """
    board = Board(size, start.food)
    graph = reachable(board, tables_of(partner, size, start), start)
    count, each = len(graph.over), paid / len(start.food)
    weights = scipy.sparse.csr_array(
        (graph.prob, (graph.node, np.arange(len(graph.node)))),
        shape=(count, len(graph.node)),
    )
    steps, discounted, costs = np.zeros(count), np.zeros(count), np.zeros(0)
    for _ in range(limit):
        costs = weights @ steps[graph.next]
        least = np.where(graph.over, 0, 1 + costs.min(1))
        gains = each * graph.eaten + gamma * discounted[graph.next]
        most = np.where(graph.over, 0, (weights @ gains).max(1))
        change = max(abs(least - steps).max(), abs(most - discounted).max())
        steps, discounted = least, most
        if change < TOLERANCE:
            break
    action = costs.argmin(1)
    return Reply(float(steps[0]), float(discounted[0]), action, graph)


# -- in the game ---------------------------------------------------------------


def first_key(seed: int, episode: int | Any) -> Any:
    """Return the key of the first state of an evaluation's episode.

    Args:
        seed: seed of play.
        episode: number of the episode.
    """
    key = jax.random.fold_in(jax.random.key(seed), episode)
    return jax.random.split(jax.random.split(key, 1)[0])[0]


@eqx.filter_jit
def _act(
    partner: Partner, carry: Any, obs: Any, legal: Any, key: Any
) -> tuple[Any, Any]:
    """Return the partner's carry and action after an observation."""
    none = jnp.full(1, ABSENT)
    return partner.step(carry, obs, legal, key, others=none)[:2]


def replay(
    game: Game,
    partner: Partner,
    reply: Reply,
    seed: int,
    episode: int,
    draws: int = 0,
) -> int:
    """Play the reply that takes fewest steps in the game itself; return the steps.

    Args:
        game: the game.
        partner: the partner.
        reply: the reply from the first state of the episode.
        seed: seed of play of an evaluation.
        episode: number of its episode, which gives the first state and the seat.
        draws: seed of the partner's draws.

    Raises:
        RuntimeError: the game and the search disagree about where the agents are.
    """
    seat = episode % 2
    state, shown = game.reset(first_key(seed, episode))
    carry, node, size = partner.start(), 0, partner.size

    def mode(carry: Any) -> int:
        drawn = isinstance(partner, Entitled) and partner.orientations == ABSENT
        return int(carry) if drawn else 0

    for time in range(game.max_steps):
        at = things_in(shown.obs[seat], partner.food)
        cells = np.stack([at.own, at.other]) @ np.array([size, 1])
        if cells.tolist() != reply.graph.columns[node, :2].tolist():
            raise RuntimeError(
                f"step {time}: cells {cells}, not those of the search"
            )
        own = int(reply.action[node])
        if not shown.legal[seat, own]:
            own = NOTHING
        key = jax.random.fold_in(jax.random.key(draws), time)
        there = 1 - seat
        carry, action = _act(
            partner, carry, shown.obs[there], shown.legal[there], key
        )
        joint = np.zeros(2, np.int32)
        joint[[seat, there]] = own, int(action)
        state, shown = game.step(state, joint, key)
        node = _following(reply.graph, node, own, int(action), mode(carry))
        if bool(shown.terminated.all()):
            return time + 1
    return game.max_steps


def _following(
    graph: Graph, node: int, own: int, action: int, mode: int
) -> int:
    """Return the node after a step, given the partner's mode."""
    rows = slice(*np.searchsorted(graph.node, [node, node + 1]))
    fits = (graph.action[rows] == action) & (graph.modes[rows] >> mode & 1 > 0)
    [row] = np.flatnonzero(fits)
    return int(graph.next[rows][row, own])
