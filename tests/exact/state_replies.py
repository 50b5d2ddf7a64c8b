"""Q of a small compiled game by recursion over `game.step`, one joint action after another."""

import itertools
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bestreply import make_player
from bestreply.games.base import Outcomes
from bestreply.types import ABSENT, ego_order


class Node(NamedTuple):
    """A state of the game, and what the other players remember before they observe it."""

    state: Any
    carries: Any
    last: Any  # [N] int32


@partial(jax.jit, static_argnums=(0, 3))
def expand(game, players, node, own):
    """Legal actions of seat 0, policies of all seats, and the result of every joint action."""
    n, order, key = (
        game.num_players,
        ego_order(game.num_players),
        jax.random.key(0),
    )
    shown = game.look(node.state, jnp.zeros(n))
    acts = shown.present & ~shown.terminated
    seats = range(1 - own, n)
    seen = [
        p.see(c, shown.obs[s], node.last[order[s, 1:]], key)
        for s, p, c in zip(seats, players, node.carries, strict=True)
    ]
    probs = [
        p.policy(c, shown.obs[s], shown.legal[s])
        for s, p, c in zip(seats, players, seen, strict=True)
    ]

    def step(joint):
        after, later = game.step(node.state, joint, key)
        pairs = zip(seats, players, seen, strict=True)
        done = [
            p.remember(c, shown.obs[s], shown.legal[s], joint[s])
            for s, p, c in pairs
        ]
        last = jnp.where(acts, joint, ABSENT).astype(jnp.int32)
        over = later.terminated[0] | later.truncated | ~later.present[0]
        return Node(after, done, last), later.reward[0], over

    joints = np.array(
        list(itertools.product(range(game.num_actions), repeat=n))
    )
    results = jax.vmap(step)(jnp.asarray(joints, jnp.int32))
    return shown.legal[0], jnp.stack(probs), results


class Recursion:
    """Values of seat 0 against `others`: of the best reply, or of the player `own`."""

    def __init__(self, game, others, gamma=1.0, own=None):
        self.game, self.gamma, self.own = game, gamma, own is not None
        players = [*([own] if self.own else []), *others]
        self.players = [
            make_player(p, game, seat)
            for seat, p in enumerate(players, 1 - self.own)
        ]
        self.known = {}

    def q(self, state):
        """Q [A] in a first state, -inf for illegal actions."""
        return self._solve(self._first(state))[0]

    def value(self, state):
        """V in a first state."""
        return self._solve(self._first(state))[1]

    def _first(self, state):
        carries = [jax.device_get(p.start()) for p in self.players]
        last = np.full(self.game.num_players, ABSENT, np.int32)
        return Node(jax.device_get(state), carries, last)

    def _solve(self, node):
        key = b"".join(np.asarray(x).tobytes() for x in jax.tree.leaves(node))
        if key not in self.known:
            self.known[key] = self._expand(node)
        return self.known[key]

    def _expand(self, node):
        game = self.game
        legal, probs, (nodes, rewards, over) = jax.device_get(
            expand(game, self.players, node, self.own)
        )
        shape = (game.num_actions,) * game.num_players
        policies = probs[int(self.own) :].astype(np.float64)
        choices = [np.flatnonzero(p > 0) for p in policies]
        q = np.full(game.num_actions, -np.inf)
        for action in np.flatnonzero(legal):
            q[action] = 0.0
            for others in itertools.product(*choices):
                at = np.ravel_multi_index((action, *others), shape)
                value = float(rewards[at])
                if not over[at]:
                    after = jax.tree.map(lambda x, at=at: x[at], nodes)
                    value += self.gamma * self._solve(after)[1]
                chances = [p[a] for p, a in zip(policies, others, strict=True)]
                q[action] += np.prod(chances) * value
        if self.own:
            return q, float(np.where(legal, q, 0.0) @ probs[0])
        return q, q.max()


@partial(jax.jit, static_argnums=0)
def shown_in(game, states):
    size = jax.tree.leaves(states)[0].shape[0]
    return jax.vmap(game.look)(states, jnp.zeros((size, game.num_players)))


@partial(jax.jit, static_argnums=0)
def states_of(game, obs):
    """The states that observations [E, ...] of seat 0 show."""
    return jax.vmap(game.state_in)(obs)


def first_outcomes(game, episodes, weights=None):
    """The first states of logged play, as `tree.solve` takes them."""
    states = states_of(game, episodes.obs[:, 0, 0])
    size = len(episodes.length)
    weights = np.full(size, 1 / size) if weights is None else weights
    return Outcomes(weights, states, shown_in(game, states))
