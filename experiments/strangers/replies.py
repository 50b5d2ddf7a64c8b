"""Exact best replies to automata, and a Bayes player that knows who can be met.

The memory of an automaton follows from play, so the state of the game and its mode are a
Markov decision process:

    Q_t(s, m, a) = E_{a_j ~ pi_m(. | s, t)} [ r(s, a, a_j) + gamma max_a' Q_{t+1}(s', m', a') ]

with m' = following(m, a, features of s'). It is solved backwards over every position of one
layout and every mode of all players at once. The reply that knows its opponent (`Knows`)
takes the action of the highest Q; no reply earns more. `Bayes` does not know the opponent:
with the posterior b over its library it takes the action of the highest sum_k b_k Q_k
(QMDP; Littman, Cassandra and Kaelbling, 1995). It infers, but does not act to learn, so the
best reply that must infer earns between these two.
"""

import abc
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, Int32, PRNGKeyArray, PyTree

from bestreply.exact.backward_induction import GridProblem
from bestreply.exact.joint_backup import list_outcomes
from bestreply.exact.positions import Layout, number_positions
from bestreply.games.grid import GridState
from bestreply.players.base import Player, draw
from bestreply.types import ABSENT, Array
from experiments.strangers.players import Automaton
from experiments.strangers.rules import (
    FEATURES,
    features,
    read_board,
    rule_policies,
)

TIME = FEATURES.index("time")


class Tables(NamedTuple):
    """One layout: rules, features and outcomes in each of `S` positions."""

    rules: Float[Array, "S rules A"]  # of seat 1
    noticed: Int32[Array, "S+1 features"]
    """Features of seat 1, at time 0. Position S stands for the end of the game."""
    legal: Array  # [S, A] bool, of seat 0
    following: Int32[Array, "A S A"]
    """The next position by own action, position and the other player's action."""
    reward: Float[Array, "A S A"]  # of seat 0
    problem: GridProblem


@eqx.filter_jit
def _layout_tables(automata: Automaton, problem: GridProblem) -> Tables:
    game = automata.game

    def one(state: GridState) -> tuple[Array, Array, Array]:
        legal = game.legal(state)
        board = read_board(game, game.observe(state)[1])
        rules = rule_policies(game, board, legal[1])
        return rules, features(game, board), legal[0]

    states = problem.states(slice(None))
    rules, noticed, legal = jax.vmap(one)(states)
    actions = jnp.arange(game.num_actions)[:, None]
    actions = jnp.broadcast_to(actions, (len(rules), *actions.shape))
    following, reward = list_outcomes(game, problem, actions)
    noticed = jnp.pad(noticed, ((0, 1), (0, 0)))
    return Tables(rules, noticed, legal, following, reward, problem)


def layout_tables(automata: Automaton, layout: Layout, gamma: float) -> Tables:
    """Return the tables of one layout.

    Args:
        automata: the players, as `join` returns them.
        layout: cells of the things.
        gamma: discount per step.
    """
    problem = GridProblem(
        modes=(),
        transitions=np.ones((1, 1, 1), np.float32),
        positions=number_positions(automata.game),
        layout=layout,
        gamma=np.float32(gamma),
    )
    return _layout_tables(automata, problem)


def solve(automata: Automaton, tables: Tables) -> Float[Array, "T S modes A"]:
    """Return Q* of seat 0 against each mode, after it has seen the position.

    Args:
        automata: the players, as `join` returns them.
        tables: the layout.

    Returns:
        Q*; -inf for illegal actions.
    """
    timed = np.flatnonzero(np.asarray(automata.look) == TIME)
    return _solve(automata, tables, tuple(timed.tolist()))


@eqx.filter_jit
def _solve(
    automata: Automaton, tables: Tables, timed: tuple[int, ...]
) -> Float[Array, "T S modes A"]:
    game, count = automata.game, len(tables.legal)
    weights, modes = jnp.asarray(automata.weights), len(automata.weights)
    mode, watch = jnp.arange(modes), jnp.asarray(automata.watch)
    value = tables.noticed[:count, jnp.asarray(automata.look)]
    timeless = jnp.einsum("smr,sra->sam", weights[mode, value], tables.rules)
    by_time = jnp.array(timed, jnp.int32)

    def policies(time: Array) -> Float[Array, "S A modes"]:
        if not timed:
            return timeless
        now = jnp.einsum("mr,sra->sam", weights[by_time, time], tables.rules)
        return timeless.at[:, :, by_time].set(now)

    def backup(later: Array, time: Array) -> tuple[Array, Array]:
        """Return V [S+1, modes] and Q [S, modes, A] at `time` from the next V."""
        policy = policies(time)
        value = jnp.where(watch == TIME, time + 1, tables.noticed[:, watch])

        def of_action(action: Array) -> Float[Array, "S modes"]:
            after = jnp.asarray(automata.following)[mode, action + 1, value]
            seen = jnp.take_along_axis(later, after, axis=1)
            returns = tables.problem.gamma * seen[tables.following[action]]
            returns += tables.reward[action][..., None]  # [S, A, modes]
            return (returns * policy).sum(1)

        q = jax.lax.map(of_action, jnp.arange(game.num_actions))
        q = jnp.moveaxis(q, 0, -1)
        q = jnp.where(tables.legal[:, None], q, -jnp.inf)
        return jnp.pad(q.max(-1), ((0, 1), (0, 0))), q

    at_end = jnp.zeros((count + 1, modes))
    times = jnp.arange(game.max_steps)
    return jax.lax.scan(backup, at_end, times, reverse=True)[1]


# -- play ------------------------------------------------------------------------


class View(NamedTuple):
    """All that there is to know at one step of one game against an automaton."""

    automata: Automaton
    tables: Tables
    q: Float[Array, "T S modes A"]
    time: Int[Array, ""]
    position: Int[Array, ""]
    mode: Int[Array, ""]  # of the opponent, after it has seen the position
    last: Int[Array, " 2"]  # actions of the step before, own first, or ABSENT

    def advance(self, mode: Int[Array, "*n"]) -> Int32[Array, "*n"]:
        """Return modes after seeing the position.

        Args:
            mode: modes of the step before.
        """
        watch = jnp.asarray(self.automata.watch)[mode]
        value = self.tables.noticed[self.position, watch]
        value = jnp.where(watch == TIME, self.time, value)
        following = jnp.asarray(self.automata.following)
        return following[mode, self.last[0] + 1, value]

    def policy(self, mode: Int[Array, "*n"]) -> Float[Array, "*n A"]:
        """Return the policies of modes.

        Args:
            mode: modes after seeing the position.
        """
        look = jnp.asarray(self.automata.look)[mode]
        value = self.tables.noticed[self.position, look]
        value = jnp.where(look == TIME, self.time, value)
        weights = jnp.asarray(self.automata.weights)[mode, value]
        return weights @ self.tables.rules[self.position]


class Focal(eqx.Module):
    """A player of seat 0 against automata."""

    @abc.abstractmethod
    def start(self) -> PyTree:
        """Return the carry before the first step."""

    def renew(self, carry: PyTree) -> PyTree:
        """Return the carry before the first step of a further episode, same opponent.

        Args:
            carry: the carry at the end of the last episode; unused by default.
        """
        return self.start()

    @abc.abstractmethod
    def act(
        self, carry: PyTree, view: View, key: PRNGKeyArray
    ) -> tuple[PyTree, Int32[Array, ""]]:
        """Return the next carry and an action.

        Args:
            carry: the carry of the step before.
            view: the step.
            key: random key.
        """


class Knows(Focal):
    """The best reply that knows its opponent."""

    def start(self) -> PyTree:
        return ()

    def act(
        self, carry: PyTree, view: View, key: PRNGKeyArray
    ) -> tuple[PyTree, Int32[Array, ""]]:
        q = view.q[view.time, view.position, view.mode]
        return carry, jnp.argmax(q).astype(jnp.int32)


class Bayes(Focal):
    """The action of the highest expected Q* under the posterior over a library."""

    begins: Int32[Array, " library"]
    """The first mode of each player of the library."""
    prior: Float[Array, " library"]
    slip: float = eqx.field(static=True, default=1e-3)
    """Probability of an action of any kind, in the posterior."""
    mixing: float = eqx.field(static=True, default=0.0)
    """Fraction of the prior that is mixed into the posterior at each step."""
    actions: int = eqx.field(static=True, default=7)
    keeps: bool = eqx.field(static=True, default=False)
    """Whether the posterior is the prior of the next episode."""

    def renew(self, carry: PyTree) -> PyTree:
        _, first, policy = self.start()
        belief = carry[0] if self.keeps else self.start()[0]
        return belief, first, policy

    def start(self) -> PyTree:
        first = jnp.asarray(self.begins, jnp.int32)
        policy = jnp.ones((len(first), self.actions))
        return jnp.log(jnp.asarray(self.prior)), first, policy

    def act(
        self, carry: PyTree, view: View, key: PRNGKeyArray
    ) -> tuple[PyTree, Int32[Array, ""]]:
        log_belief, mode, policy = carry
        chance = policy[:, jnp.maximum(view.last[1], 0)]
        chance = (1 - self.slip) * chance + self.slip / self.actions
        log_belief += jnp.where(view.last[1] == ABSENT, 0.0, jnp.log(chance))
        belief = jax.nn.softmax(log_belief)
        belief = (1 - self.mixing) * belief + self.mixing * self.prior
        mode = view.advance(mode)
        q = view.q[view.time, view.position, mode]
        expected = belief @ jnp.where(jnp.isfinite(q), q, 0)
        legal = view.tables.legal[view.position]
        action = jnp.argmax(jnp.where(legal, expected, -jnp.inf))
        log_belief = jnp.log(jnp.maximum(belief, 1e-30))
        carry = log_belief, mode, view.policy(mode)
        return carry, action.astype(jnp.int32)


class Plays(Focal):
    """A player of the library in seat 0."""

    player: Player

    def start(self) -> PyTree:
        return self.player.init()

    def renew(self, carry: PyTree) -> PyTree:
        return self.player.renew(carry)

    def act(
        self, carry: PyTree, view: View, key: PRNGKeyArray
    ) -> tuple[PyTree, Int32[Array, ""]]:
        game = view.automata.game
        state = _state(view)
        carry, action, _ = self.player.step(
            carry,
            game.observe(state)[0],
            game.legal(state)[0],
            key,
            others=view.last[1:],
            present=jnp.ones(2, bool),
        )
        return carry, action


def _state(view: View) -> GridState:
    """Return the state of the game at one step."""
    problem = view.tables.problem
    cell, left, remains = (
        jnp.asarray(x)[view.position] for x in problem.positions[:3]
    )
    blocks, thing_cell = map(jnp.asarray, problem.layout)
    return GridState(cell, left, blocks, thing_cell, remains, view.time)


class Outcome(NamedTuple):
    """Games of one player; discounted sums over steps."""

    value: Float[Array, "games series"]  # V* of the first step
    lost: Float[Array, "games series"]  # sum of V* - Q*(action)
    returns: Float[Array, "games series"]


@eqx.filter_jit
def play(
    focal: Focal,
    automata: Automaton,
    tables: Tables,
    q: Float[Array, "T S modes A"],
    modes: Int[Array, " games"],
    positions: Int[Array, "games series"],
    key: PRNGKeyArray,
) -> Outcome:
    """Play games of one layout against automata.

    Args:
        focal: the player of seat 0.
        automata: the players, as `join` returns them.
        tables: the layout.
        q: as `solve` returns it.
        modes: the first mode of the opponent in each game.
        positions: the first position of each episode; the episodes of a game follow each
            other, and the focal player keeps what its `renew` keeps.
        key: random key; games of equal index have equal draws.

    Returns:
        Values and losses.
    """
    over = len(tables.legal)

    def step(key: Array, carry: PyTree, time: Array) -> tuple[PyTree, Outcome]:
        inner, position, mode, last = carry
        own_key, other_key = jax.random.split(jax.random.fold_in(key, time))
        view = View(automata, tables, q, time, position, mode, last)
        view = view._replace(mode=view.advance(mode))
        inner, own = focal.act(inner, view, own_key)
        other = draw(other_key, view.policy(view.mode))
        scores = q[time, position, view.mode]
        plays = position < over
        weight = tables.problem.gamma**time
        value, reward = scores.max(), tables.reward[own, position, other]
        outcome = Outcome(
            value,
            jnp.where(plays, weight * (value - scores[own]), 0.0),
            jnp.where(plays, weight * reward, 0.0),
        )
        after = tables.following[own, position, other]
        after = jnp.where(plays, after, over)
        last = jnp.stack([own, other])
        return (inner, after, view.mode, last), outcome

    def game(mode: Array, positions: Array, key: PRNGKeyArray) -> Outcome:
        def episode(inner: PyTree, at: tuple[Array, Array]) -> PyTree:
            position, key = at
            last = jnp.full(2, ABSENT, jnp.int32)
            first = inner, position, mode, last
            times = jnp.arange(automata.game.max_steps)
            end, steps = jax.lax.scan(partial(step, key), first, times)
            outcome = Outcome(
                steps.value[0], steps.lost.sum(), steps.returns.sum()
            )
            return focal.renew(end[0]), outcome

        keys = jax.random.split(key, len(positions))
        return jax.lax.scan(episode, focal.start(), (positions, keys))[1]

    keys = jax.random.split(key, len(modes))
    return jax.vmap(game)(jnp.asarray(modes), jnp.asarray(positions), keys)
