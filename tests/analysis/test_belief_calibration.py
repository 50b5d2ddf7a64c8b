"""Quality of beliefs: computed by hand, and for beliefs that are correct by construction."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import make_game
from bestreply.analysis import belief_calibration
from bestreply.analysis.belief_calibration import (
    accuracy_by_moves,
    belief_table,
    informative,
    true_types,
)
from bestreply.config import ModelConfig, RunConfig
from bestreply.games.hindsight_goals import EVENT
from bestreply.opponents.learned import LearnedOpponents
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.types import ABSENT, ego_order

GAME = make_game(
    "stag_hunt(height=2, width=3, hunters=3, stags=1, hares=2, max_steps=5)"
)
PLAYERS = ["mixture(random, nearest_hare, nearest_stag)"] * 3
CONFIG = RunConfig()


@pytest.fixture(scope="module")
def episodes():
    return play(GAME, seat_players(GAME, PLAYERS, 30, seed=0), seed=0).episodes


@pytest.fixture(scope="module")
def model():
    config = ModelConfig(width=8, depth=1)
    return LearnedOpponents.create(GAME, config, 3, key=jax.random.key(0))


def test_accuracy_by_moves_by_hand():
    believed = np.array([[0.5, 0.5], [0.9, 0.1], [0.25, 0.75], [0.5, 0.5]])
    truth, moves = np.array([0, 0, 0, 1]), np.array([0, 1, 1, 7])
    rows = accuracy_by_moves(believed, truth, moves)
    assert [row["moves"] for row in rows] == [0, 1]
    assert rows[1] == {
        "moves": 1,
        "accuracy": 0.5,
        "share": pytest.approx(0.575),
        "bits": pytest.approx((np.log2(0.9) + np.log2(0.25)) / 2),
        "entropy": 0.0,
        "count": 2,
    }
    [row] = accuracy_by_moves(np.eye(2), np.array([0, 1]), np.array([0, 0]))
    assert row["bits"] == row["entropy"] == row["accuracy"] == 1


@pytest.mark.parametrize("kind", ["player", "goal"])
def test_true_types_seat_by_seat(episodes, kind):
    config = RunConfig(model=ModelConfig(opponent_types=kind))
    types = true_types(config, episodes)
    action, player = map(np.asarray, (episodes.action, episodes.player))
    goal, source = map(np.asarray, (episodes.goal, episodes.goal_source))
    order = ego_order(3)
    known = 0
    for (e, t, seat, k), value in np.ndenumerate(types):
        other = order[seat, k + 1]
        both = action[e, t, seat] != ABSENT and action[e, t, other] != ABSENT
        if kind == "player":
            expected, shown = player[e, other], True
        else:
            expected = goal[e, t, other]
            shown = source[e, t, other] == EVENT
        assert value == (expected if both and shown else ABSENT)
        known += both and shown
    assert known > 50


def test_a_correct_belief_and_a_confident_wrong_one(episodes, model):
    truth = true_types(CONFIG, episodes)
    certain = np.zeros((30, 6, 3, 2, 3), np.float32)
    certain[:, :-1] = np.eye(3)[np.maximum(truth, 0)]
    correct = belief_table(CONFIG, model, episodes, certain)
    assert correct["ece"] == 0
    assert all(row["accuracy"] == 1 for row in correct["moves"])
    count = int((truth != ABSENT).sum())
    row = {"confidence": 1.0, "accuracy": 1.0, "count": count}
    assert correct["reliability"] == [row]
    wrong = belief_table(CONFIG, model, episodes, np.roll(certain, 1, -1))
    assert wrong["ece"] == 1 and wrong["moves"][0]["bits"] < -10


def test_the_prior_is_calibrated(episodes, model):
    """Its confidence is the frequency of the likeliest type."""
    truth = true_types(CONFIG, episodes)
    truth = truth[truth != ABSENT]
    prior = np.bincount(truth, minlength=3) / len(truth)
    beliefs = np.broadcast_to(prior.astype(np.float32), (30, 6, 3, 2, 3))
    table = belief_table(CONFIG, model, episodes, beliefs)
    assert table["ece"] == pytest.approx(0, abs=1e-6)
    assert len(table["reliability"]) == 1


class RandomPolicies(LearnedOpponents):
    """The same 4 policies at every observation."""

    def logits(self, obs):
        actions = obs.shape[-1]
        logits = jax.random.normal(jax.random.key(actions), (2, 4, actions))
        return jax.nn.log_softmax(3 * logits)


@pytest.mark.parametrize("actions", [2, 3, 6])
def test_the_greatest_difference_of_two_types_is_that_of_all_pairs(
    model, monkeypatch, actions
):
    """However many actions there are; the last type does not occur."""
    prior = jnp.array([0.3, 0.3, 0.4, 0.0])
    fixed = RandomPolicies(net=model.net, prior=prior, game=GAME)
    obs = np.zeros((1, 2, 3, actions), np.float32)
    probs = np.exp(np.asarray(fixed.logits(obs[0, 0, 0])))[:, :3]
    pairs = np.abs(probs[:, :, None] - probs[:, None]).sum(3) / 2
    for other, greatest in enumerate(pairs.max((1, 2))):
        for least, expected in (
            (greatest - 1e-3, True),
            (greatest + 1e-3, False),
        ):
            monkeypatch.setattr(belief_calibration, "INFORMATIVE_TV", least)
            informative.clear_cache()
            found = np.asarray(informative(fixed, obs))
            assert (found[..., other] == expected).all()
    informative.clear_cache()


class FixedPolicies(LearnedOpponents):
    """Types 0 and 1 act the same, type 2 differs."""

    def logits(self, obs):
        probs = jnp.asarray([[0.7, 0.3], [0.6, 0.4], [0.1, 0.9]])
        return jnp.broadcast_to(jnp.log(probs), (2, 3, 2))


def test_moves_are_informative_if_types_that_occur_differ(model):
    obs = np.zeros((2, 5, 3, *GAME.obs_shape), np.float32)
    for prior, expected in (([0.3, 0.3, 0.4], True), ([0.5, 0.5, 0.0], False)):
        fixed = FixedPolicies(
            net=model.net, prior=jnp.asarray(prior), game=GAME
        )
        result = np.asarray(informative(fixed, obs))
        assert result.shape == (2, 4, 3, 2)
        assert (result == expected).all()


def test_one_type_has_no_table(episodes, model):
    single = dataclasses.replace(model, prior=jnp.ones(1))
    beliefs = np.ones((30, 6, 3, 2, 1), np.float32)
    assert belief_table(CONFIG, single, episodes, beliefs) is None
