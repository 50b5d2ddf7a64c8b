"""Imagined games: equal to play in the true game; targets are values of the best action."""

import dataclasses
from functools import partial
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game
from bestreply.config import ModelConfig, TrainConfig
from bestreply.models.true_model import TrueModel
from bestreply.opponents.learned import LearnedOpponents
from bestreply.replay.moa_buffer import all_indices, fill, gather
from bestreply.training.imagination import (
    ImaginedTransition,
    imagine_batch,
    imagine_starts,
)
from bestreply.training.targets import (
    LoggedBeliefs,
    improved_target,
    logged_steps,
)
from bestreply.types import ABSENT
from tests.shared import build, compiled, played

GAME = make_game(
    "stag_hunt(height=2, width=2, hunters=3, stags=1, hares=1, max_steps=3)"
)
STAY = GAME.action_names.index("STAY")
GAMES = 1024
CONFIG = TrainConfig(
    target="improved", imagined_games=GAMES, gamma=0.5, at_limit="zero"
)
LOG = played(GAME, ("random",) * 3, 20)
BUFFER = fill(LOG)
KEYS = jax.random.split(jax.random.key(0), 6)


def last_bias(model):
    return model.net.layers[-1].bias


def staying_opponents(second_type=1.0):
    """Two types; the first stays, the second stays (1) or never does (-1)."""
    model = build(
        LearnedOpponents.create,
        GAME,
        ModelConfig(latent=4, width=4, depth=1),
        2,
    )
    net = jax.tree.map(
        lambda x: np.zeros(x.shape, x.dtype) if eqx.is_array(x) else x,
        model.net,
    )
    stay = 50.0 * np.eye(GAME.num_actions, dtype=np.float32)[STAY]
    bias = np.concatenate([stay, np.float32(second_type) * stay])
    model = eqx.tree_at(lambda m: m.net, model, net)
    return jax.device_put(eqx.tree_at(last_bias, model, bias))


def true_world(values):
    """The true game, with fixed action values."""
    heads = SimpleNamespace(
        config=SimpleNamespace(value_heads="action"),
        encode=lambda obs: None,
        value=lambda z, o, b: jnp.array(values, jnp.float32),
    )
    return TrueModel(learned=heads, game=GAME)


WORLD = true_world(range(7))


@partial(jax.jit, static_argnames="config")
def imagine(games, key, model, config=CONFIG):
    return imagine_batch(config, WORLD, model, BUFFER, games, key)


def starts(key, model):
    return imagine_starts(CONFIG, model, BUFFER, key, GAMES)


@jax.jit
def true_steps(games, actions):
    """The true game's step, reward and end for each imagined game; opponents stay."""

    def one(obs, action):
        joint = jnp.array([action, STAY, STAY], jnp.int32)
        state = GAME.state_in(obs)
        _, shown = GAME.step(state, joint, jax.random.key(0))
        ends = shown.terminated[0] | shown.truncated
        legal = GAME.legal_in(obs)[action]
        return shown.obs[0], shown.reward[0], ends, legal

    return jax.vmap(one)(games.obs, actions)


def test_an_imagined_step_in_the_true_game_is_a_step_of_play():
    model = staying_opponents()
    games = starts(KEYS[0], model)
    for key in KEYS[1:5]:
        after, steps = imagine(games, key, model)
        obs, reward, ends, legal = map(
            np.asarray, true_steps(games, steps.action)
        )
        assert legal.all() and ends.any()
        np.testing.assert_allclose(steps.next_obs, obs, atol=1e-6)
        np.testing.assert_allclose(steps.reward, reward, rtol=1e-6)
        np.testing.assert_array_equal(steps.continues, ~ends)
        # A game that has ended starts again: full time, all seats present.
        next_obs, present = np.asarray(after.obs), np.asarray(after.present)
        assert (next_obs[ends, 0, 0, -1] == 1).all() and present[ends].all()
        np.testing.assert_array_equal(
            next_obs[~ends], np.asarray(steps.next_obs)[~ends]
        )
        games = after


def test_games_without_a_limit_are_left_after_its_length_on_average():
    model = staying_opponents()
    games = starts(KEYS[0], model)
    config = dataclasses.replace(CONFIG, at_limit="bootstrap")
    after, steps = imagine(games, KEYS[1], model, config)
    goes_on = np.asarray(steps.continues) > 0
    left = (np.asarray(after.obs)[:, 0, 0, -1] == 1) & goes_on
    rate = left.sum() / goes_on.sum()
    np.testing.assert_allclose(rate, 1 / GAME.max_steps, atol=0.05)


def test_without_exploration_the_action_of_highest_value_is_taken():
    model = staying_opponents()
    games = starts(KEYS[0], model)
    legal = np.asarray(jax.vmap(GAME.legal_in)(games.obs))
    greedy = eqx.tree_at(
        lambda g: g.exploration, games, np.zeros(GAMES, np.float32)
    )
    _, steps = imagine(greedy, KEYS[1], model)
    last_legal = 6 - np.argmax(legal[:, ::-1], 1)
    np.testing.assert_array_equal(steps.action, last_legal)
    exploring = eqx.tree_at(
        lambda g: g.exploration, games, np.ones(GAMES, np.float32)
    )
    action = np.asarray(imagine(exploring, KEYS[1], model)[1].action)
    assert len(set(action.tolist())) >= 5
    assert legal[np.arange(GAMES), action].all()


def test_given_types_are_certain_and_inferred_types_follow_from_a_step():
    """One type stays, the other never does: one step identifies the type."""
    model = staying_opponents(second_type=-1.0)
    games = starts(KEYS[0], model)
    _, steps = imagine(games, KEYS[1], model)
    given = np.asarray(games.types_given)
    certain = np.eye(2)[np.asarray(games.types)]
    belief, next_belief = map(np.asarray, (steps.belief, steps.next_belief))
    assert 0.4 < given.mean() < 0.6
    np.testing.assert_array_equal(belief[given], certain[given])
    np.testing.assert_array_equal(next_belief[given], certain[given])
    np.testing.assert_allclose(belief[~given], 0.5)
    np.testing.assert_allclose(next_belief[~given], certain[~given], atol=0.02)


def test_opponents_change_type_at_the_change_rate_unless_types_are_given():
    model = staying_opponents()
    games = starts(KEYS[0], model)
    config = dataclasses.replace(CONFIG, change_rate=0.2)
    after, steps = imagine(games, KEYS[1], model, config)
    continues = np.asarray(steps.continues) > 0
    types = np.asarray(games.types)[continues]
    changed = np.asarray(after.types)[continues] != types
    given = np.asarray(games.types_given)[continues]
    assert not changed[given].any()
    # Of two types, half of the draws give the same type again.
    np.testing.assert_allclose(changed[~given].mean(), 0.2 / 2, atol=0.03)
    after, steps = imagine(games, KEYS[1], model)
    continues = np.asarray(steps.continues) > 0
    assert (np.asarray(after.types) == games.types)[continues].all()


def test_the_improved_target_by_hand():
    """The online network selects the last legal action, the target network values it."""
    obs = LOG.obs[0, 1, 0]
    best = int(np.flatnonzero(np.asarray(GAME.legal_in(jnp.asarray(obs))))[-1])
    target_net = true_world([-1, -2, -3, -4, -5, -6, -7])
    belief = np.full((2, 2), 0.5, np.float32)
    continues = np.array([1, 0], np.float32)
    steps = ImaginedTransition(
        obs=np.stack([obs] * 2),
        belief=np.stack([belief] * 2),
        action=np.zeros(2, np.int32),
        reward=np.full(2, 2.0, np.float32),
        continues=continues,
        next_obs=np.stack([obs] * 2),
        next_belief=np.stack([belief] * 2),
    )
    y = jax.jit(
        jax.vmap(
            lambda step: improved_target(CONFIG, WORLD, target_net, GAME, step)
        )
    )(steps)
    np.testing.assert_allclose(y, 2.0 + 0.5 * continues * (-1.0 - best))


@pytest.mark.parametrize("at_limit", ["zero", "bootstrap"])
def test_logged_steps_are_the_transitions(at_limit):
    config = TrainConfig(target="improved", at_limit=at_limit)
    index = all_indices(LOG)
    at = gather(BUFFER, index)
    episodes, steps, seats = LOG.action.shape
    rng = np.random.default_rng(0)
    beliefs = rng.random((episodes, steps + 1, seats, 2, 3), np.float32)
    types = rng.integers(0, 3, (len(index.row), 2))
    logged = compiled(logged_steps)(
        config,
        LoggedBeliefs(jax.device_put(beliefs), None),
        at,
        index,
        jax.device_put(types.astype(np.int32)),
        KEYS[0],
    )
    row, step, seat = index
    np.testing.assert_array_equal(logged.obs, LOG.obs[row, step, seat])
    np.testing.assert_array_equal(logged.next_obs, LOG.obs[row, step + 1, seat])
    ends = np.asarray(LOG.terminated)[row, step, seat]
    if at_limit == "zero":
        ends = ends | np.asarray(LOG.truncated)[row, step]
    np.testing.assert_array_equal(logged.continues, ~ends)
    belief = np.asarray(logged.belief)
    given = np.isin(belief, (0, 1)).all((1, 2))
    assert 0.35 < given.mean() < 0.65
    np.testing.assert_array_equal(belief[given], np.eye(3)[types][given])
    np.testing.assert_array_equal(
        np.asarray(logged.next_belief)[~given],
        beliefs[row, step + 1, seat][~given],
    )
    assert (LOG.action != ABSENT).sum() == len(logged.action)
