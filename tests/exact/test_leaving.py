"""The position-by-position solver in games whose players leave, and from first states of one's choice."""

import dataclasses
import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game, make_player
from bestreply.exact.tree import solve
from bestreply.games.base import Game, Outcomes
from bestreply.players.base import ScriptedPlayer
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.types import ABSENT, TimeStep, ego_order


def slow_game(game, others, state, shown, carries, last):
    """The best of seat 0 by recursion over `game.step`; `carries` of `others` before they look, everybody having done `last`."""
    order, key = ego_order(game.num_players), jax.random.key(0)
    acts = np.asarray(shown.present & ~shown.terminated)
    seen, choices = [], []
    for seat, (player, carry) in enumerate(
        zip(others, carries, strict=True), start=1
    ):
        seen.append(
            player.see(
                carry, shown.obs[seat], jnp.array(last[order[seat, 1:]]), key
            )
        )
        probs = np.asarray(
            player.policy(seen[-1], shown.obs[seat], shown.legal[seat]),
            np.float64,
        )
        choices.append([(a, p) for a, p in enumerate(probs) if p > 0])
    scores = []
    for action in np.flatnonzero(np.asarray(shown.legal[0])):
        total = 0.0
        for joint in itertools.product(*choices):
            actions = np.array([action, *(a for a, _ in joint)], np.int32)
            done = [
                p.did(c, jnp.asarray(actions[j + 1]))
                for j, (p, c) in enumerate(zip(others, seen, strict=True))
            ]
            after, next_shown = jitted_step(game)(state, actions)
            worth = float(next_shown.reward[0])
            if not (next_shown.terminated[0] or next_shown.truncated):
                did = np.where(acts, actions, ABSENT).astype(np.int32)
                worth += slow_game(game, others, after, next_shown, done, did)
            total += np.prod([p for _, p in joint]) * worth
        scores.append(total)
    return max(scores)


@functools.cache
def jitted_step(game):
    return jax.jit(
        lambda state, actions: game.step(state, actions, jax.random.key(0))
    )


def slow_from_reset(game, others, state, shown):
    last = np.full(game.num_players, ABSENT, np.int32)
    return slow_game(
        game, others, state, shown, [p.start() for p in others], last
    )


class Stalls(eqx.Module):
    """Who is still there."""

    there: jax.Array  # [3] bool
    time: jax.Array  # [] int32


@dataclasses.dataclass(frozen=True)
class Market(Game):
    """Three sellers ask a price of 1 or 2, or leave; the cheapest sell. Who leaves gets a quarter on the way."""

    name = "market"
    version = 1
    summary = "sell or leave"
    max_steps: int = 3
    num_players = 3
    action_names = ("LOW", "HIGH", "LEAVE")
    obs_shape = (4,)

    def first_states(self):
        return jax.tree.map(
            lambda x: x[None],
            Outcomes(jnp.float32(1), *self.reset(jax.random.key(0))),
        )

    def start(self, key):
        return Stalls(jnp.ones(3, bool), jnp.int32(0))

    def advance(self, state, actions, key):
        stays = state.there & (actions != 2)
        price = jnp.where(stays, actions + 1, 9)
        sells = stays & (price == price.min())
        leaves = state.there & (actions == 2)
        reward = (
            jnp.where(sells, price / jnp.maximum(sells.sum(), 1), 0.0)
            + 0.25 * leaves
        )
        return Stalls(stays, state.time + 1), reward

    def finished(self, state):
        return ~state.there.any() | (state.time >= self.max_steps)

    def look(self, state, reward):
        gone = ~state.there[:, None] & (jnp.arange(3) > 0)
        obs = jnp.concatenate(
            [state.there[ego_order(3)], jnp.full((3, 1), state.time)], 1
        )
        over = state.time >= self.max_steps
        return TimeStep(
            obs=obs.astype(jnp.float32),
            legal=~gone,
            reward=reward.astype(jnp.float32),
            terminated=~state.there,
            truncated=over & state.there.any(),
            present=state.there,
        )


class Sells(ScriptedPlayer):
    """Asks LOW mostly after an ABSENT, otherwise HIGH, and leaves the less often the more it has seen ABSENT."""

    name: str = eqx.field(static=True, default="sells")
    version: int = eqx.field(static=True, default=1)

    def start(self):
        return jnp.zeros(2, jnp.int32)

    def see(self, carry, obs, others, key):
        return jnp.stack(
            [
                carry[0] + (others == ABSENT).sum(),
                (others == ABSENT).any().astype(jnp.int32),
            ]
        )

    def policy(self, carry, obs, legal):
        leave = 0.4 / (1 + carry[0])
        probs = jnp.where(
            carry[1] == 1,
            jnp.array([0.9, 0.1, 0.0]),
            jnp.array([0.2, 0.8, 0.0]),
        ) * (1 - leave)
        probs = jnp.where(legal, probs.at[2].set(leave), 0)
        return probs / probs.sum()


@pytest.mark.parametrize("know", ["types", "belief"])
def test_others_that_leave_are_seen_as_absent(know):
    """What a third player remembers depends on whether it sees ABSENT or an action, of a game of one's own."""
    game = Market()
    wanted = slow_from_reset(
        game, [Sells(), Sells()], *game.reset(jax.random.key(0))
    )
    assert solve(game, 0, [Sells(), Sells()], know=know).value == pytest.approx(
        wanted, rel=1e-6
    )


def test_first_states_of_ones_choice_and_a_walk_past_an_other_that_has_left():
    game = make_game(
        "stag_hunt(height=1, width=3, hunters=2, stags=1, hares=1, max_steps=3)"
    )
    episodes = play(
        game, seat_players(game, ["random", "nearest_hare"], 30, 0), 0
    ).episodes
    states = jax.vmap(game.state_in)(episodes.obs[:, 0, 0])
    shown = jax.vmap(game.look)(states, jnp.zeros((30, 2)))
    weights = np.arange(1, 31) / np.arange(1, 31).sum()
    reply = solve(
        game, 0, ["nearest_hare"], first=Outcomes(weights, states, shown)
    )
    found = reply.decisions(episodes)
    assert reply.value == pytest.approx(weights @ found.value[:, 0], rel=1e-6)
    for row in range(3):
        state, seen = jax.tree.map(lambda x, row=row: x[row], (states, shown))
        wanted = slow_from_reset(
            game, [make_player("nearest_hare", game)], state, seen
        )
        assert found.value[row, 0] == pytest.approx(wanted, rel=1e-6)
    acted = episodes.action != ABSENT
    assert (acted[:, :, 0] & ~acted[:, :, 1]).any()
    assert np.array_equal(~np.isnan(found.value), acted[:, :, 0])
