"""The tree solver in games whose players leave, and from given first states."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from state_replies import Recursion, first_outcomes

from bestreply import make_game
from bestreply.exact.tree import solve
from bestreply.games.base import Game, Outcomes
from bestreply.players.base import ScriptedPlayer
from bestreply.types import ABSENT, TimeStep, ego_order
from tests.shared import played


class Stalls(eqx.Module):
    """The sellers that remain."""

    remains: jax.Array  # [3] bool
    time: jax.Array  # [] int32


@dataclasses.dataclass(frozen=True)
class Market(Game):
    """Three sellers ask a price of 1 or 2, or leave for a quarter; the cheapest sell."""

    name = "market"
    version = 1
    summary = "sell or leave"
    max_steps: int = 3
    num_players = 3
    action_names = ("LOW", "HIGH", "LEAVE")
    obs_shape = (4,)

    def first_states(self):
        first = Outcomes(jnp.float32(1), *self.reset(jax.random.key(0)))
        return jax.tree.map(lambda x: x[None], first)

    def start(self, key):
        return Stalls(jnp.ones(3, bool), jnp.int32(0))

    def advance(self, state, actions, key):
        stays = state.remains & (actions != 2)
        price = jnp.where(stays, actions + 1, 9)
        sells = stays & (price == price.min())
        leaves = state.remains & (actions == 2)
        income = jnp.where(sells, price / jnp.maximum(sells.sum(), 1), 0.0)
        return Stalls(stays, state.time + 1), income + 0.25 * leaves

    def finished(self, state):
        return ~state.remains.any() | (state.time >= self.max_steps)

    def look(self, state, reward):
        time = jnp.full((3, 1), state.time)
        obs = jnp.concatenate([state.remains[ego_order(3)], time], 1)
        over = state.time >= self.max_steps
        return TimeStep(
            obs=obs.astype(jnp.float32),
            legal=state.remains[:, None] | (jnp.arange(3) == 0),
            reward=reward.astype(jnp.float32),
            terminated=~state.remains,
            truncated=over & state.remains.any(),
            present=state.remains,
        )


class Sells(ScriptedPlayer):
    """Asks LOW mostly after an ABSENT, otherwise HIGH; leaves the less often the more ABSENT."""

    name: str = eqx.field(static=True, default="sells")
    version: int = eqx.field(static=True, default=1)

    def start(self):
        return jnp.zeros(2, jnp.int32)

    def see(self, carry, obs, others, key):
        absent = (others == ABSENT).sum()
        return jnp.stack([carry[0] + absent, absent > 0]).astype(jnp.int32)

    def policy(self, carry, obs, legal):
        leave = 0.4 / (1 + carry[0])
        prices = jnp.array([[0.2, 0.8, 0.0], [0.9, 0.1, 0.0]])[carry[1]]
        probs = (prices * (1 - leave)).at[2].set(leave)
        probs = jnp.where(legal, probs, 0)
        return probs / probs.sum()


def test_players_that_leave_are_observed_as_absent():
    """A third player's memory depends on whether it observes ABSENT or an action."""
    game, others = Market(), [Sells(), Sells()]
    expected = Recursion(game, others).value(game.start(jax.random.key(0)))
    for know in ("types", "belief"):
        reply = solve(game, 0, others, know=know)
        assert reply.value == pytest.approx(expected, rel=1e-6)


def test_given_first_states_and_decisions_after_an_opponent_has_left():
    game = make_game(
        "stag_hunt(height=1, width=3, hunters=2, stags=1, hares=1, max_steps=3)"
    )
    episodes = played(game, ("random", "nearest_hare"), 30)
    weights = np.arange(1, 31) / np.arange(1, 31).sum()
    first = first_outcomes(game, episodes, weights)
    reply = solve(game, 0, ["nearest_hare"], first=first)
    value = reply.decisions(episodes).value
    assert reply.value == pytest.approx(weights @ value[:, 0], rel=1e-6)
    recursion = Recursion(game, ["nearest_hare"])
    states = jax.device_get(first.state)
    for row in range(3):
        state = jax.tree.map(lambda x, row=row: x[row], states)
        assert value[row, 0] == pytest.approx(recursion.value(state), rel=1e-6)
    acted = episodes.action != ABSENT
    assert (acted[:, :, 0] & ~acted[:, :, 1]).any()
    assert np.array_equal(~np.isnan(value), acted[:, :, 0])
