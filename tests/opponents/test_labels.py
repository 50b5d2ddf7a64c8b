"""What logged steps count for which goal: by the rules beside slow code, and the posterior by hand."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game
from bestreply.config import ModelConfig, RunConfig, TrainConfig
from bestreply.games.hindsight_goals import EVENT, NO_EVENT
from bestreply.opponents.labels import (
    label_weights,
    step_likelihood,
    tail_posterior,
)
from bestreply.opponents.learned import LearnedOpponents
from bestreply.replay.moa_buffer import fill
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.training.loop import fit_opponents
from bestreply.training.state import initial_train_state
from bestreply.types import ABSENT, ego_order

GAME = make_game(
    "stag_hunt(height=2, width=3, hunters=3, stags=1, hares=1, max_steps=6)"
)
NOTHING = len(GAME.goals) - 1


@pytest.fixture(scope="module")
def episodes():
    lineup = seat_players(
        GAME, ["random", "nearest_hare", "nearest_stag"], 40, seed=0
    )
    return play(GAME, lineup, seed=0).episodes


@pytest.fixture(scope="module")
def model():
    config = ModelConfig(width=8, depth=1)
    return LearnedOpponents.create(
        GAME, config, len(GAME.goals), key=jax.random.key(0)
    )


def weights(model, episodes, labels):
    config = RunConfig(
        model=ModelConfig(opponent_types="goal"),
        train=TrainConfig(labels=labels),
    )
    return label_weights(config, model, episodes)


def test_what_each_rule_keeps(model, episodes):
    acted, tail = episodes.action != ABSENT, episodes.goal_source == NO_EVENT
    event = episodes.goal_source == EVENT
    assert tail.any() and event.any() and (acted == tail | event).all()
    certain = np.eye(len(GAME.goals))[np.maximum(episodes.goal, 0)]
    only, rest, posterior = (
        weights(model, episodes, w) for w in ("event", "hindsight", "posterior")
    )
    np.testing.assert_array_equal(only, np.where(event[..., None], certain, 0))
    np.testing.assert_array_equal(rest, np.where(acted[..., None], certain, 0))
    np.testing.assert_array_equal(posterior[event], certain[event])
    np.testing.assert_allclose(posterior.sum(-1), acted, atol=1e-5)
    config = RunConfig(
        model=ModelConfig(opponent_types="goal"),
        train=TrainConfig(labels="posterior"),
    )
    first = label_weights(config, model, episodes, trained=False)
    assert ((first[tail] > 0.01).sum(-1) > 1).all()
    for episode, seat in itertools.product(
        range(40), range(3)
    ):  # one tail is one intention
        assert (
            len(
                {
                    w.tobytes()
                    for w in posterior[episode, :, seat][tail[episode, :, seat]]
                }
            )
            <= 1
        )


def test_players_on_record_need_no_weighing(episodes):
    known = LearnedOpponents.create(
        GAME, ModelConfig(width=8, depth=1), 3, key=jax.random.key(0)
    )
    acted = (episodes.action != ABSENT)[..., None]
    found = label_weights(RunConfig(), known, episodes)
    np.testing.assert_array_equal(
        found, np.eye(3)[episodes.player][:, None] * acted
    )


def test_likelihood_of_tails_is_that_of_their_actions(model, episodes):
    tail = episodes.goal_source == NO_EVENT
    found = (
        np.asarray(step_likelihood(model, episodes)) * tail[..., None]
    ).sum(1)
    for episode, seat in [(0, 0), (1, 1), (2, 2), (5, 0)]:
        watcher = (seat + 1) % 3
        place = list(ego_order(3)[watcher]).index(seat) - 1
        total = np.zeros(len(GAME.goals))
        for t in np.flatnonzero(tail[episode, :, seat]):
            logits = model.logits(
                jnp.asarray(episodes.obs[episode, t, watcher])
            )[place]
            total += np.asarray(logits[:, episodes.action[episode, t, seat]])
        np.testing.assert_allclose(
            found[episode, seat], total, rtol=1e-4, atol=1e-5
        )


def test_posterior_of_tails_by_slow_expectation_maximisation():
    rng = np.random.default_rng(0)
    likely = 3 * rng.normal(size=(40, 3, 4))
    there = rng.random((40, 3)) < 0.5
    found = tail_posterior(likely, there)
    assert (found[~there] == 0).all()
    tails = np.exp(likely[there])
    each = [np.full(4, 1 / 4) for _ in tails]
    for _ in range(20):
        share = np.mean(each, 0)
        each = [share * chance / sum(share * chance) for chance in tails]
    np.testing.assert_allclose(found[there], each, rtol=1e-4, atol=1e-6)


def test_hunters_whom_nobody_helped_are_told_from_random_play():
    """Nobody catches a stag alone: a nearest-stag hunter among random ones leaves a tail, and so do these."""
    game = make_game(
        "stag_hunt(height=4, width=4, hunters=2, stags=1, hares=2, max_steps=12)"
    )
    config = RunConfig(
        model=ModelConfig(opponent_types="goal", width=32, depth=2),
        train=TrainConfig(
            labels="posterior",
            opponent_updates=500,
            opponent_batch=128,
            checkpoint_every=100,
        ),
    )
    lineup = seat_players(
        game, ["mixture(nearest_stag, nearest_hare, random)"] * 2, 600, seed=0
    )
    episodes = play(game, lineup, seed=0).episodes
    train_state = initial_train_state(config, game, lineup.roster)
    train_state = fit_opponents(
        config, fill(episodes), train_state, lambda _: None, lambda *_: None
    )
    found = label_weights(config, train_state.opponents, episodes)
    stag, nothing = game.goals.index("stag"), len(game.goals) - 1
    tail = (episodes.goal_source == NO_EVENT)[
        :, 0
    ]  # of whoever has not reached anything at all
    for name, goal in (("nearest_stag", stag), ("random", nothing)):
        number = [entry["name"] for entry in lineup.roster].index(name)
        mine = found[:, 0][tail & (episodes.player == number)]
        assert len(mine) > 50 and mine[:, goal].mean() > 0.8
    prior = np.asarray(train_state.opponents.prior)
    np.testing.assert_allclose(prior, found[:, 0].mean((0, 1)), atol=1e-5)


def test_play_without_an_event_is_nobodys_failure(model, episodes):
    """No event at all: nothing is known of the ways to one, and every step still counts."""
    none = dataclasses.replace(
        episodes,
        goal=np.where(episodes.action == ABSENT, ABSENT, NOTHING).astype(
            np.int32
        ),
        goal_source=np.where(
            episodes.action == ABSENT, episodes.goal_source, NO_EVENT
        ).astype(np.int8),
        reward=np.zeros_like(episodes.reward),
    )
    found = weights(model, none, "posterior")
    np.testing.assert_allclose(found.sum(-1), none.action != ABSENT, atol=1e-5)
    assert (weights(model, none, "event") == 0).all()
