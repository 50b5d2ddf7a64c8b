"""Detection of type changes: counted by hand on given games, and on a small run."""

import dataclasses
import json

import numpy as np
import pytest

from bestreply import make_game, preset
from bestreply.analysis.change_detection import (
    AgentGames,
    alarm_curve,
    changes_table,
    evaluate_changes,
    read_type_change,
    return_after_change,
)
from bestreply.config import EvaluateConfig
from bestreply.pipeline import evaluate_run, resolve
from bestreply.run import Run
from bestreply.training.state import initial_train_state

NAN = np.nan


def games(changed, reward=None):
    changed = np.array(changed, float)
    reward = np.zeros(changed.shape) if reward is None else reward
    return AgentGames(np.array(reward, float), changed, np.zeros(changed.shape))


def test_alarms_by_hand():
    """A change at step 2, alarms at 0.9.

    Noticed after 1 and 3 steps; alarm before the change; never; game over too soon.
    """
    played = games(
        [
            [0, 0, 0, 0.95, 1.0, 1.0],
            [0, 0, 0, 0.10, 0.5, 0.9],
            [0, 0.9, 0, 0.00, 0.0, 0.0],
            [0, 0, 0, 0.10, 0.2, 0.3],
            [0, 0, 0, NAN, NAN, NAN],
        ]
    )
    unchanged = games(
        [[0, 0, 0.95, 0], [0, 0, 0, 0.5], [0, 0, NAN, NAN], [0, 0, 0, 0]]
    )
    curve = alarm_curve([2], [played], [unchanged])
    [row] = [r for r in curve if r["threshold"] == 0.9]
    assert row == {
        "threshold": 0.9,
        "false_alarms": 0.25,
        "noticed": 0.5,
        "early": 0.25,
        "delay": 2.0,
        "median_delay": 2.0,
    }
    assert [r["false_alarms"] for r in curve[:4]] == [0.5] * 4


def test_the_cost_of_a_change_by_hand():
    """Rewards before the change do not count."""
    oracle = [games([[0] * 3] * 2, [[9, 1, 1], [9, 2, 0]])]
    fixed = [games([[0] * 3] * 2, [[9, 0, 1], [0, 1, 0]])]
    cost = return_after_change([1], {"oracle": oracle, "not expecting": fixed})
    assert cost["returns"]["oracle"]["mean"] == 2
    assert cost["lost"] == {"not expecting": {"mean": 1.0, "stderr": 0.0}}
    assert cost["reward_since"] == {
        "oracle": [1.5, 0.5],
        "not expecting": [0.5, 0.5],
    }


HUNT = "stag_hunt(height=3, width=3, hunters=2, stags=1, hares=1, max_steps=6, leave=False)"


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    config = resolve(dataclasses.replace(preset("debug"), game=HUNT))
    game = make_game(HUNT)
    roster = [{"name": name, "version": 1} for name in config.collect.players]
    state = initial_train_state(config, game, roster)
    path = tmp_path_factory.mktemp("run")
    return Run(path, config, game, {"data": {"roster": roster}}, state)


@pytest.mark.slow
def test_a_run_against_opponents_that_change(untrained):
    sets = ["switching(nearest_stag, nearest_hare, random=2)", "nearest_stag"]
    config = untrained.config
    config = dataclasses.replace(
        config,
        planner=dataclasses.replace(config.planner, unknown_type_prior=0.05),
        train=dataclasses.replace(config.train, change_rate=0.1),
    )
    run = dataclasses.replace(untrained, config=config)
    path = evaluate_changes(run, sets, 8)
    [entry] = json.loads(path.read_text())["against"]
    assert entry["opponents"] == sets[0] and entry["steps"] == [0, 1]
    assert entry["games"] == entry["unchanged_games"] == 8
    assert entry["change_rate"] == 0.1
    assert set(entry["returns"]) == {"oracle", "expecting", "not expecting"}
    assert entry["belief_since"]["oracle"] == [1.0] * 6
    expecting = entry["belief_since"]["expecting"]
    assert len(expecting) == 6 and 0 < min(expecting) <= max(expecting) < 1
    rates = [row["false_alarms"] for row in entry["curve"]]
    assert rates == sorted(rates, reverse=True)
    assert changes_table([entry]).row_count == 1

    without = EvaluateConfig(
        (sets[0],),
        episodes=4,
        methods=("agent",),
        reference_layouts=0,
        changes=False,
    )
    config = dataclasses.replace(config, evaluate=without)
    evaluate_run(dataclasses.replace(run, config=config))
    assert not path.exists()  # the earlier file is removed


@pytest.mark.parametrize(
    "text",
    [
        "random",
        "mixture(nearest_stag, random)",
        "self",
        "switching(nearest_stag, always(UP), step=2)",  # not in the data
        "switching(nearest_stag, random, hazard=0.1)",  # at no given step
    ],
)
def test_other_opponent_sets_are_skipped(untrained, text):
    assert read_type_change(untrained, text) is None
    assert evaluate_changes(untrained, [text], 8) is None


def test_memory_carries_beliefs_into_the_next_episode(untrained):
    """Without memory the next episode starts with the prior."""
    agent = untrained.agent(memory=0.9)
    carry = agent.init()
    joint = np.asarray(carry.at.belief.joint).copy()
    joint[0, 0] = [0.0, 1.0, 0.0]
    belief = carry.at.belief._replace(joint=joint)
    renewed = agent.renew(carry._replace(at=carry.at._replace(belief=belief)))
    prior = np.asarray(untrained.train_state.opponents.prior)
    posterior = np.asarray(agent.opponents.posterior(renewed.at.belief))[0]
    expected = (prior + np.array([0, 0.9, 0])) / 1.9
    np.testing.assert_allclose(posterior, expected, rtol=1e-5)
    assert not renewed.started
    forgetful = untrained.agent()
    belief = forgetful.renew(forgetful.init()).at.belief
    np.testing.assert_array_equal(belief[0], prior)
