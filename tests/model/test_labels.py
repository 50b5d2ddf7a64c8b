"""What logged steps count for which goal: by the rules beside slow code, and the posterior by hand."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game
from bestreply.collect import play, seat_players
from bestreply.config import ModelConfig, RunConfig, TrainConfig
from bestreply.data.goals import EVENT, NO_EVENT
from bestreply.model.labels import label_weights, survival, tail_likelihood, tail_posterior, ways
from bestreply.model.opponent import LearnedOpponents
from bestreply.types import ABSENT, ego_order

GAME = make_game("stag_hunt(height=2, width=3, hunters=3, stags=1, hares=1, max_steps=6)")
NOTHING = len(GAME.goals) - 1


@pytest.fixture(scope="module")
def episodes():
    lineup = seat_players(GAME, ["random", "nearest_hare", "nearest_stag"], 40, seed=0)
    return play(GAME, lineup, seed=0).episodes


@pytest.fixture(scope="module")
def model():
    config = ModelConfig(width=8, depth=1)
    return LearnedOpponents.create(GAME, config, len(GAME.goals), key=jax.random.key(0))


def weights(model, episodes, labels):
    config = RunConfig(model=ModelConfig(opponent_goal="goal"), train=TrainConfig(labels=labels))
    return label_weights(config, model, episodes)


def test_what_each_rule_keeps(model, episodes):
    acted, tail = episodes.action != ABSENT, episodes.goal_source == NO_EVENT
    event = episodes.goal_source == EVENT
    assert tail.any() and event.any() and (acted == tail | event).all()
    certain = np.eye(len(GAME.goals))[np.maximum(episodes.goal, 0)]
    only, rest, posterior = (weights(model, episodes, w) for w in ("event", "hindsight", "posterior"))
    np.testing.assert_array_equal(only, np.where(event[..., None], certain, 0))
    np.testing.assert_array_equal(rest, np.where(acted[..., None], certain, 0))
    np.testing.assert_array_equal(posterior[event], certain[event])
    np.testing.assert_allclose(posterior.sum(-1), acted, atol=1e-5)
    config = RunConfig(model=ModelConfig(opponent_goal="goal"), train=TrainConfig(labels="posterior"))
    first = label_weights(config, model, episodes, trained=False)
    assert ((first[tail] > 0.01).sum(-1) > 1).all()
    for episode, seat in itertools.product(range(40), range(3)):  # one tail is one intention
        assert len({w.tobytes() for w in posterior[episode, :, seat][tail[episode, :, seat]]}) <= 1


def test_players_on_record_need_no_weighing(episodes):
    known = LearnedOpponents.create(GAME, ModelConfig(width=8, depth=1), 3, key=jax.random.key(0))
    acted = (episodes.action != ABSENT)[..., None]
    found = label_weights(RunConfig(), known, episodes)
    np.testing.assert_array_equal(found, np.eye(3)[episodes.player][:, None] * acted)


def slow_ways(episodes, goal):
    took = []
    for episode, seat in itertools.product(range(40), range(3)):
        paid = np.flatnonzero(
            episodes.reward[episode, :, seat] > 0
        )  # an event pays here, and the hunter leaves
        took += [paid[0] + 1] if len(paid) and episodes.goal[episode, paid[0], seat] == goal else []
    return took


def test_how_long_the_ways_to_an_event_take(episodes):
    found = ways(GAME, episodes)
    for goal in range(len(GAME.goals)):
        assert sorted(found[goal]) == sorted(slow_ways(episodes, goal))
    assert len(found[NOTHING]) == 0 < min(map(len, found[:NOTHING]))


def test_survival_by_hand():
    """Ways of 1, 2 and 2 steps; tails of 1 and 3 steps, the second by half. At risk: 4.5, 2.5, .5, and one more each."""
    found = survival(np.array([1, 2, 2]), np.array([1, 3]), np.array([1.0, 0.5]))
    np.testing.assert_allclose(
        found, [1, 1 - 1 / 5.5, (1 - 1 / 5.5) * (1 - 2 / 3.5), (1 - 1 / 5.5) * (1 - 2 / 3.5)]
    )
    nothing = np.array([], int)
    np.testing.assert_allclose(survival(nothing, np.array([2]), np.array([1.0])), [1, 1, 1])


def test_likelihood_of_tails_is_that_of_their_actions(model, episodes):
    tail = episodes.goal_source == NO_EVENT
    found = np.asarray(tail_likelihood(model, episodes, jnp.asarray(tail)))
    for episode, seat in [(0, 0), (1, 1), (2, 2), (5, 0)]:
        watcher = (seat + 1) % 3
        place = list(ego_order(3)[watcher]).index(seat) - 1
        total = np.zeros(len(GAME.goals))
        for t in np.flatnonzero(tail[episode, :, seat]):
            logits = model.logits(jnp.asarray(episodes.obs[episode, t, watcher]))[place]
            total += np.asarray(logits[:, episodes.action[episode, t, seat]])
        np.testing.assert_allclose(found[episode, seat], total, rtol=1e-4, atol=1e-5)


def test_posterior_of_tails_by_slow_expectation_maximisation(episodes):
    rng = np.random.default_rng(0)
    likely = 8 * rng.normal(size=(40, 3, len(GAME.goals)))
    found = tail_posterior(GAME, episodes, likely)
    assert (found.sum((0, 1)) > 1).all()  # every goal is somebody's
    tails = []
    for episode, seat in itertools.product(range(40), range(3)):
        length = int((episodes.goal_source[episode, :, seat] == NO_EVENT).sum())
        tails += [(episode, seat, length, np.exp(likely[episode, seat]))] if length else []
    each = [np.full(len(GAME.goals), 1 / len(GAME.goals)) for _ in tails]
    lengths = np.array([length for _, _, length, _ in tails])
    for _ in range(20):
        share = np.maximum(np.mean(each, 0), 1e-6)
        alive = [
            survival(np.array(slow_ways(episodes, g), int), lengths, np.array([w[g] for w in each]))
            for g in range(len(GAME.goals))
        ]
        scores = [
            [share[g] * chance[g] * alive[g][length] for g in range(len(GAME.goals))]
            for _, _, length, chance in tails
        ]
        each = [np.array(score) / sum(score) for score in scores]
    for (episode, seat, _, _), slow in zip(tails, each, strict=True):
        np.testing.assert_allclose(found[episode, seat], slow, rtol=1e-4, atol=1e-6)


def test_play_without_an_event_is_nobodys_failure(model, episodes):
    """No event at all: nothing is known of the ways to one, and every step still counts."""
    none = dataclasses.replace(
        episodes,
        goal=np.where(episodes.action == ABSENT, ABSENT, NOTHING).astype(np.int32),
        goal_source=np.where(episodes.action == ABSENT, episodes.goal_source, NO_EVENT).astype(np.int8),
        reward=np.zeros_like(episodes.reward),
    )
    found = weights(model, none, "posterior")
    np.testing.assert_allclose(found.sum(-1), none.action != ABSENT, atol=1e-5)
    assert (weights(model, none, "event") == 0).all()
