"""Imagined play: in the true game it is play, and what it teaches is the best action's value."""

import dataclasses
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
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
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

GAME = make_game(
    "stag_hunt(height=2, width=2, hunters=3, stags=1, hares=1, max_steps=3)"
)
STAY = GAME.action_names.index("STAY")
CONFIG = TrainConfig(target="improved", imagined_games=64, gamma=0.5)
LOG = play(GAME, seat_players(GAME, ["random"] * 3, 20, 0), 0).episodes
BUFFER = fill(LOG)


def staying(goals=2):
    """Others who stay, whatever they see and are."""
    made = LearnedOpponents.create(
        GAME,
        ModelConfig(latent=4, width=4, depth=1),
        goals,
        key=jax.random.key(0),
    )
    flat = jax.tree.map(
        lambda x: jnp.zeros_like(x) if eqx.is_inexact_array(x) else x, made.net
    )
    bias = 50.0 * jax.nn.one_hot(STAY, GAME.num_actions)
    net = eqx.tree_at(lambda n: n.layers[-1].bias, flat, jnp.tile(bias, goals))
    return eqx.tree_at(lambda m: m.net, made, net)


def true_world(values=tuple(range(7))):
    """The real game, with a value that likes the later actions."""
    heads = SimpleNamespace(
        config=SimpleNamespace(value_heads="action"),
        encode=lambda obs: None,
        value=lambda z, o, b: jnp.array(values, jnp.float32),
    )
    return TrueModel(learned=heads, game=GAME)


def test_in_the_true_game_a_dream_is_play():
    world, model, advance = true_world(), staying(), jax.jit(GAME.step)
    imagined_games = imagine_starts(
        CONFIG, model, BUFFER, jax.random.key(1), CONFIG.imagined_games
    )
    for number in range(4):
        after, steps = imagine_batch(
            CONFIG, world, model, BUFFER, imagined_games, jax.random.key(number)
        )
        for row in range(CONFIG.imagined_games):
            state = GAME.state_in(imagined_games.obs[row])
            joint = jnp.array([steps.action[row], STAY, STAY], jnp.int32)
            _, shown = advance(state, joint, jax.random.key(0))
            assert GAME.legal_in(imagined_games.obs[row])[steps.action[row]]
            np.testing.assert_allclose(
                steps.next_obs[row], shown.obs[0], atol=1e-6
            )
            assert steps.reward[row] == pytest.approx(float(shown.reward[0]))
            over = bool(shown.terminated[0] | shown.truncated)
            assert steps.continues[row] == (not over)
            if over:  # another begins: full time, everybody there
                assert (
                    after.obs[row, 0, 0, -1] == 1 and after.present[row].all()
                )
            else:
                np.testing.assert_array_equal(
                    after.obs[row], steps.next_obs[row]
                )
        imagined_games = after


def test_who_does_not_explore_does_what_its_value_likes_best():
    world, model = true_world(), staying()
    imagined_games = imagine_starts(
        CONFIG, model, BUFFER, jax.random.key(1), 64
    )
    imagined_games = eqx.tree_at(
        lambda d: d.exploration, imagined_games, jnp.zeros(64)
    )
    _, steps = imagine_batch(
        CONFIG, world, model, BUFFER, imagined_games, jax.random.key(0)
    )
    legal = np.asarray(jax.vmap(GAME.legal_in)(imagined_games.obs))
    np.testing.assert_array_equal(
        steps.action, 6 - np.argmax(legal[:, ::-1], 1)
    )  # the last legal one
    tried = eqx.tree_at(lambda d: d.exploration, imagined_games, jnp.ones(64))
    _, steps = imagine_batch(
        CONFIG, world, model, BUFFER, tried, jax.random.key(0)
    )
    assert (
        len(set(np.asarray(steps.action).tolist())) >= 5
        and legal[np.arange(64), steps.action].all()
    )


def test_who_is_told_knows_and_the_others_learn():
    """Of two types one stays and one never would: a step tells. Whom nobody told believes the prior before it."""
    model = staying()
    unlike = jnp.concatenate(
        [model.net.layers[-1].bias[:7], -model.net.layers[-1].bias[:7]]
    )
    model = eqx.tree_at(lambda m: m.net.layers[-1].bias, model, unlike)
    imagined_games = imagine_starts(
        CONFIG, model, BUFFER, jax.random.key(2), 64
    )
    _, steps = imagine_batch(
        CONFIG, true_world(), model, BUFFER, imagined_games, jax.random.key(0)
    )
    told, truth = (
        np.asarray(imagined_games.types_given),
        np.asarray(jax.nn.one_hot(imagined_games.types, 2)),
    )
    assert 15 < told.sum() < 49
    np.testing.assert_array_equal(steps.belief[told], truth[told])
    np.testing.assert_array_equal(steps.next_belief[told], truth[told])
    np.testing.assert_allclose(steps.belief[~told], 0.5)
    np.testing.assert_allclose(
        steps.next_belief[~told], truth[~told], atol=0.02
    )


def test_the_improved_target_by_hand():
    """The online value likes HUNT_HARE best, then HUNT_STAG, then STAY; the target_net one says what the liked action is worth: -1, ..., -7."""
    obs = LOG.obs[0, 1, 0]
    legal = np.asarray(GAME.legal_in(jnp.asarray(obs)))
    liked = int(np.flatnonzero(legal)[-1])
    target_net = true_world([-1, -2, -3, -4, -5, -6, -7])
    obs, belief = jnp.asarray(obs), jnp.full((2, 2), 0.5)
    for goes_on in (1.0, 0.0):
        step = ImaginedTransition(
            obs,
            belief,
            jnp.int32(0),
            jnp.float32(2.0),
            jnp.float32(goes_on),
            obs,
            belief,
        )
        y = improved_target(CONFIG, true_world(), target_net, GAME, step)
        assert y == pytest.approx(2.0 + 0.5 * goes_on * (-1.0 - liked))


@pytest.mark.parametrize("at_limit", ["zero", "bootstrap"])
def test_logged_steps_are_the_transitions(at_limit):
    config = TrainConfig(target="improved", at_limit=at_limit)
    index = jax.tree.map(jnp.asarray, all_indices(LOG))
    at = gather(BUFFER, index)
    episodes, steps, seats = LOG.action.shape
    beliefs = jnp.asarray(
        np.random.default_rng(0).random((episodes, steps + 1, seats, 2, 3)),
        jnp.float32,
    )
    truth = jnp.asarray(
        np.random.default_rng(1).integers(0, 3, (len(index.row), 2))
    )
    found = logged_steps(
        config,
        LoggedBeliefs(beliefs, None),
        at,
        index,
        truth,
        jax.random.key(0),
    )
    np.testing.assert_array_equal(
        found.obs, LOG.obs[index.row, index.step, index.seat]
    )
    np.testing.assert_array_equal(
        found.next_obs, LOG.obs[index.row, index.step + 1, index.seat]
    )
    ends = LOG.terminated[index.row, index.step, index.seat]
    cut = LOG.truncated[index.row, index.step]
    np.testing.assert_array_equal(
        found.continues, ~(ends | cut) if at_limit == "zero" else ~ends
    )
    told = np.isin(np.asarray(found.belief), (0, 1)).all((1, 2))
    assert 0.35 < told.mean() < 0.65
    np.testing.assert_array_equal(
        np.asarray(found.belief)[told], jax.nn.one_hot(truth, 3)[told]
    )
    np.testing.assert_array_equal(
        np.asarray(found.next_belief)[~told],
        np.asarray(beliefs)[index.row, index.step + 1, index.seat][~told],
    )
    assert (LOG.action != ABSENT).sum() == len(found.action)


def test_others_change_their_minds_as_often_as_asked_and_tell_nobody():
    model = LearnedOpponents.create(
        GAME,
        ModelConfig(latent=4, width=4, depth=1),
        4,
        key=jax.random.key(0),
        prior_mixing=0.01,
    )
    imagined_games = imagine_starts(
        CONFIG, model, BUFFER, jax.random.key(1), 4000
    )
    config = dataclasses.replace(CONFIG, change_rate=0.2, imagined_games=4000)
    after, steps = imagine_batch(
        config, true_world(), model, BUFFER, imagined_games, jax.random.key(2)
    )
    went_on = np.asarray(steps.continues) > 0
    moved = np.asarray(after.types != imagined_games.types)[went_on]
    told = np.asarray(imagined_games.types_given)[went_on]
    assert not moved[told].any()
    # one in four changes into what it was
    np.testing.assert_allclose(moved[~told].mean(), 0.2 * 3 / 4, atol=0.02)
    stays, steps = imagine_batch(
        CONFIG, true_world(), model, BUFFER, imagined_games, jax.random.key(2)
    )
    assert np.asarray(stays.types == imagined_games.types)[
        np.asarray(steps.continues) > 0
    ].all()
