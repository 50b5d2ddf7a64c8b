"""Playing on after one step: beside slow play in the real game, and what a right value leaves to be corrected."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game, make_player
from bestreply.config import PlannerConfig
from bestreply.model.opponent import RuleOpponents
from bestreply.model.truth import TrueWorld
from bestreply.plan.one_step import one_step
from bestreply.plan.rollout import rollout

GAMMA = 0.9


def valued(value):
    """A `WorldModel` of which only the value is asked: `value(obs)`."""
    return SimpleNamespace(
        config=SimpleNamespace(value_heads="single"),
        encode=lambda obs: None,
        value=lambda z, obs, belief: jnp.reshape(value(obs), (1,)),
    )


def parts(spec, other, value):
    game = make_game(spec)
    rules = RuleOpponents(players=(make_player(other, game),), game=game)
    return game, TrueWorld(learned=valued(value), game=game), rules


def planned(planner, world, rules, shown, key=0, **settings):
    @jax.jit
    def answer(obs, legal):
        sight, drawn = (obs, legal, jnp.ones(2, bool)), jax.random.key(key)
        return planner(
            world, rules, rules.init(), *sight, drawn, gamma=GAMMA, config=PlannerConfig(**settings)
        )

    return answer(shown.obs[0], shown.legal[0])


def rules_of(world):
    """What the true game does and shows, compiled: slow play asks for it again and again."""
    step = jax.jit(lambda z, own, other: world._step(z, own, other[None]))
    look = jax.jit(lambda z: world.game.look(z, jnp.zeros(2)))

    def advance(z, own, other):
        z, after = step(z, jnp.int32(own), jnp.int32(other))
        return z, jax.device_get(after)

    return world.game, advance, lambda z: jax.device_get(look(z))


@jax.jit
def policy(player, obs, legal):
    return player.policy(player.start(), obs, legal)


def played_on(rules, other, z, steps, worth):
    """Return of an agent that takes what pays at once, and so much after `steps` steps; the other's moves are certain."""
    game, advance, look = rules
    shown = look(z)
    them = int(np.argmax(policy(other, shown.obs[1], shown.legal[1])))
    scores = np.full(game.num_actions, -np.inf)
    for action in np.flatnonzero(np.asarray(shown.legal[0])):
        _, after = advance(z, action, them)
        goes_on = not bool(after.terminated[0] | after.truncated)
        scores[action] = float(after.reward[0]) + GAMMA * goes_on * worth
    own = int(np.argmax(scores))
    z, after = advance(z, own, them)
    if bool(after.terminated[0] | after.truncated):
        return float(after.reward[0])
    more = played_on(rules, other, z, steps - 1, worth) if steps > 1 else worth
    return float(after.reward[0]) + GAMMA * more


@pytest.mark.parametrize("steps", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_scores_are_what_slow_play_brings(steps):
    spec = "stag_hunt(height=1, width=4, hunters=2, stags=1, hares=2, max_steps=6, leave=False)"
    game, world, rules = parts(spec, "always(STAY)", lambda obs: 0.25)
    true = rules_of(world)
    for seed in range(3):
        shown = game.reset(jax.random.key(seed))[1]
        z = world.encode(shown.obs[0])
        found = planned(rollout, world, rules, shown, rollout_steps=steps)
        for action in np.flatnonzero(np.asarray(shown.legal[0])):
            next_z, after = true[1](z, action, game.action_names.index("STAY"))
            over = bool(after.terminated[0] | after.truncated)
            more = 0 if over else played_on(true, rules.players[0], next_z, steps, 0.25)
            np.testing.assert_allclose(found.scores[action], float(after.reward[0]) + GAMMA * more, rtol=1e-5)


def test_no_steps_is_one_step():
    game, world, rules = parts(
        "snowdrift(height=2, width=2, players=2, drifts=2, max_steps=4)", "random", jnp.sum
    )
    shown = game.reset(jax.random.key(0))[1]
    one, none = (planned(p, world, rules, shown, rollout_steps=0) for p in (one_step, rollout))
    np.testing.assert_allclose(one.scores, none.scores, rtol=1e-6)


DILEMMA = "matrix(payoffs=(((3, 0), (5, 1)), ((3, 5), (0, 1))), rounds=4, memory=4)"


def test_a_right_value_is_left_as_it_is_and_a_wrong_one_is_mended():
    """Against one who always cooperates each of the rounds left is worth 5, whatever is drawn."""

    def right(obs):
        left = jnp.round(obs[-1] * 4)
        return 5 * (1 - GAMMA**left) / (1 - GAMMA)

    def wrong(obs):
        return right(obs) * 0.3 - 2

    shown = make_game(DILEMMA).reset(jax.random.key(0))[1]
    scores = {}
    for name, value in (("right", right), ("wrong", wrong)):
        _, world, rules = parts(DILEMMA, f"always({make_game(DILEMMA).action_names[0]})", value)
        for key in range(2):
            scores[name, key] = planned(rollout, world, rules, shown, key=key, rollout_steps=3).scores
    one = planned(one_step, world, rules, shown).scores
    for found in scores.values():  # three more rounds are all there are
        np.testing.assert_allclose(found, scores["right", 0], rtol=1e-5)
    assert not np.allclose(one, scores["right", 0])


def test_what_is_unlikely_is_valued_as_it_is():
    game, world, rules = parts(
        "snowdrift(height=1, width=3, players=2, drifts=2, max_steps=4)", "random", lambda obs: obs.sum()
    )
    shown = game.reset(jax.random.key(1))[1]
    one = planned(one_step, world, rules, shown).scores
    np.testing.assert_allclose(planned(rollout, world, rules, shown, unlikely=1.0).scores, one, rtol=1e-6)
    assert not np.allclose(planned(rollout, world, rules, shown, unlikely=0.0).scores, one)
