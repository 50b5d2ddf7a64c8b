"""The planner that scores own actions by their value heads, beside the network itself."""

import numpy as np
import pytest

from bestreply import make_game
from bestreply.config import ModelConfig, PlannerConfig
from bestreply.models.world_model import WorldModel
from bestreply.opponents.learned import LearnedOpponents
from bestreply.planning.agent import Agent
from tests.shared import build

GAME = make_game("matrix", table="stag_hunt", rounds=3)
NAME = "action_values"
TYPES = 3
OBS = np.random.default_rng(1).random(GAME.obs_shape).astype(np.float32)


def agent(heads):
    config = ModelConfig(latent=4, width=8, depth=1, value_heads=heads)
    world = build(WorldModel, GAME, config, goals=TYPES, heads=TYPES, key=0)
    opponents = build(LearnedOpponents.create, GAME, config, TYPES, key=5)
    return Agent(world, opponents, GAME, PlannerConfig(planner=NAME), 0.9)


def test_scores_are_the_value_heads_at_the_observation_and_the_belief():
    player, belief = agent("action"), np.array([[0.7, 0.1, 0.2]], np.float32)
    legal = np.array([False, True])
    plan = player.plan(OBS, legal, belief=belief)
    expected = player.world.value(player.world.encode(OBS), OBS, belief)
    np.testing.assert_allclose(plan.value, expected, rtol=1e-5)
    np.testing.assert_allclose(plan.scores[1], expected[1], rtol=1e-5)
    assert plan.scores[0] == -np.inf and plan.action == 1
    predicted = player.opponents.predict(belief, OBS, legal)
    np.testing.assert_allclose(plan.others, predicted, rtol=1e-5)
    other = player.plan(OBS, legal, belief=belief[:, ::-1].copy())
    assert not np.allclose(other.value, plan.value)


def test_other_value_heads_are_refused():
    with pytest.raises(ValueError, match="value_heads='player'"):
        agent("player").plan(OBS, np.ones(2, bool))
