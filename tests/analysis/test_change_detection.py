"""How changes of mind are counted: by hand on made games, and whole on a small run."""

import dataclasses
import json

import numpy as np
import pytest

from bestreply import make_game, preset
from bestreply.analysis.change_detection import (
    Games,
    after_change,
    alarm_curve,
    changes_table,
    evaluate_changes,
    read_case,
)
from bestreply.config import EvaluateConfig
from bestreply.pipeline import evaluate_run, resolve
from bestreply.run import Run
from bestreply.training.state import initial_train_state

NAN = np.nan


def games(changed, reward=None):
    changed = np.array(changed, float)
    reward = (
        np.zeros(changed.shape) if reward is None else np.array(reward, float)
    )
    return Games(reward, changed, np.zeros(changed.shape))


def test_alarms_by_hand():
    """A change at step 2. Alarms at 0.9: noticed after 1 and 3 steps; before the change; never; and one game that ended too soon."""
    played = games(
        [
            [0, 0, 0, 0.95, 1.0, 1.0],
            [0, 0, 0, 0.10, 0.5, 0.9],
            [0, 0.9, 0, 0.00, 0.0, 0.0],
            [0, 0, 0, 0.10, 0.2, 0.3],
            [0, 0, 0, NAN, NAN, NAN],
        ]
    )
    calm = games(
        [[0, 0, 0.95, 0], [0, 0, 0, 0.5], [0, 0, NAN, NAN], [0, 0, 0, 0]]
    )
    row = next(
        r for r in alarm_curve([2], [played], [calm]) if r["threshold"] == 0.9
    )
    assert row == {
        "threshold": 0.9,
        "false_alarms": 0.25,
        "noticed": 0.5,
        "early": 0.25,
        "delay": 2.0,
        "median_delay": 2.0,
    }
    assert [
        r["false_alarms"] for r in alarm_curve([2], [played], [calm])[:4]
    ] == [0.5] * 4


def test_what_a_change_costs_by_hand():
    """Rewards before the change are nobody's loss."""
    told = [games([[0] * 3] * 2, [[9, 1, 1], [9, 2, 0]])]
    late = [games([[0] * 3] * 2, [[9, 0, 1], [0, 1, 0]])]
    found = after_change([1], {"told": told, "not expecting": late})
    assert found["returns"]["told"]["mean"] == 2 and found["lost"] == {
        "not expecting": {"mean": 1.0, "stderr": 0.0}
    }
    assert found["reward_since"] == {
        "told": [1.5, 0.5],
        "not expecting": [0.5, 0.5],
    }


@pytest.fixture
def run(tmp_path):
    """A run whose networks have learned nothing yet: what is counted does not ask for more."""
    hunt = "stag_hunt(height=3, width=3, hunters=2, stags=1, hares=1, max_steps=6, leave=False)"
    config = resolve(dataclasses.replace(preset("debug"), game=hunt))
    game, roster = (
        make_game(hunt),
        [{"name": name, "version": 1} for name in config.collect.players],
    )
    return Run(
        tmp_path,
        config,
        game,
        {"data": {"roster": roster}},
        initial_train_state(config, game, roster),
    )


@pytest.mark.slow
def test_a_run_against_others_that_change(run):
    sets = ["switching(nearest_stag, nearest_hare, random=2)", "nearest_stag"]
    planner = dataclasses.replace(run.config.planner, unknown_type_prior=0.05)
    changing = dataclasses.replace(run.config.train, change_rate=0.1)
    run = dataclasses.replace(
        run,
        config=dataclasses.replace(run.config, planner=planner, train=changing),
    )
    path = evaluate_changes(run, sets, 8)
    assert path is not None
    [found] = json.loads(path.read_text())["against"]
    assert (
        found["opponents"] == sets[0]
        and found["steps"] == [0, 1]
        and found["games"] == 8
        and found["change_rate"] == 0.1
    )
    assert (
        set(found["returns"]) == {"told", "expecting", "not expecting"}
        and found["calm_games"] == 8
    )
    assert (
        found["belief_since"]["told"] == [1.0] * 6
    )  # told the truth, it believes it
    expecting = found["belief_since"]["expecting"]
    assert len(expecting) == 6 and 0 < min(expecting) <= max(expecting) < 1
    rates = [row["false_alarms"] for row in found["curve"]]
    assert rates == sorted(rates, reverse=True)
    assert changes_table([found]).row_count == 1
    quiet = EvaluateConfig(
        (sets[0],),
        episodes=4,
        methods=("agent",),
        reference_layouts=0,
        changes=False,
    )
    evaluate_run(
        dataclasses.replace(
            run, config=dataclasses.replace(run.config, evaluate=quiet)
        )
    )
    assert not path.exists()  # nor what was measured before


@pytest.mark.parametrize(
    "text",
    [
        "random",
        "mixture(nearest_stag, random)",
        "self",
        "switching(nearest_stag, always(UP), step=2)",  # the model was not taught it
        "switching(nearest_stag, random, hazard=0.1)",  # no telling when
    ],
)
def test_what_it_can_say_nothing_about(run, text):
    assert read_case(run, text) is None
    assert evaluate_changes(run, [text], 8) is None


def test_agents_remember_those_they_meet_again(run):
    """A second episode against the same others begins with what the first has shown; without memory with the prior."""
    agent = run.agent(memory=0.9)
    carry = agent.init()
    belief = carry["belief"]._replace(
        joint=carry["belief"].joint.at[0, 0].set(np.array([0.0, 1.0, 0.0]))
    )
    again = agent.renew(carry | {"belief": belief})
    prior = np.asarray(run.train_state.opponents.prior)
    found = np.asarray(agent.opponents.posterior(again["belief"]))[0]
    np.testing.assert_allclose(
        found, (prior + np.array([0, 0.9, 0])) / 1.9, rtol=1e-5
    )
    assert not again["begun"]
    forgetful = run.agent()
    np.testing.assert_array_equal(
        forgetful.renew(forgetful.init())["belief"][0], prior
    )
