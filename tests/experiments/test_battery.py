"""The battery: its own game and players, its sweeps, and its verdicts."""

import numpy as np
import pytest
from scipy import stats

from bestreply import check_game, make_game, make_player
from bestreply.sweeps.sweep import read_sweep
from experiments.battery.__main__ import MARGIN, Cell, beaten, sweep_file
from experiments.battery.line import LEFT, RIGHT, STAY, TAKE, Line
from experiments.battery.players import coop, greedy, taker
from experiments.battery.settings import SETTINGS

LINE = "experiments.battery.line:Line"


def test_the_line_of_coins_is_a_game():
    assert check_game(make_game(f"{LINE}(max_steps=6)")).steps


def test_a_coin_that_two_take_is_shared_and_who_has_three_leaves():
    env = Line(max_steps=9)
    env.reset(0)
    env._cells, env._coins = np.array([2, 2]), np.array([2, 5])
    shown = env.step(np.array([TAKE, TAKE]))
    assert shown.reward.tolist() == [0.5, 0.5]
    assert 2 not in env._coins
    assert 5 in env._coins
    for taken in (2, 3):
        env._cells[0] = env._coins[0]
        shown = env.step(np.array([TAKE, STAY]))
        assert shown.reward.tolist() == [1, 0]
        assert shown.terminated.tolist() == [taken == 3, False]
    assert not shown.legal[0, [LEFT, RIGHT, TAKE]].any()


def test_players_go_where_they_say():
    line = np.zeros((1, 23))
    line[0, [3, 7 + 6, 14 + 1, 14 + 4]] = 1  # own cell 3, coins on 1 and 4
    legal = np.array([[True, True, True, False]])
    assert taker.rule.fn(line, legal)[0].argmax() == RIGHT
    planes = np.zeros((1, 9, 4))
    planes[0, [0, 8, 2, 6], [0, 1, 2, 3]] = 1  # own coin left, the other's up
    every = np.ones((1, 5), bool)
    obs = planes.reshape(1, -1)
    assert coop.rule.fn(obs, every)[0].argmax() == 1
    planes[0, 2, 2], planes[0, 4, 2] = 0, 1  # two steps away
    assert greedy.rule.fn(planes.reshape(1, -1), every)[0].argmax() == 3


@pytest.mark.parametrize(
    "name", [n for n, s in SETTINGS.items() if ":" not in s.game]
)
def test_every_setting_is_a_sweep_of_the_demo_alone(name, tmp_path):
    file = tmp_path / f"{name}.toml"
    file.write_text(sweep_file(name, SETTINGS[name], 2))
    sweep = read_sweep(file)
    methods = {unit.config.method for unit in sweep.units}
    assert methods == {"agent", "behaviour_cloning", "iql", "ppo"}
    setting, config = SETTINGS[name], sweep.units[0].config
    assert config.collect.players == setting.players
    assert len(config.evaluate.opponents) == len(setting.players) + 1
    game = make_game(setting.game)
    assert game.max_steps == setting.steps
    assert all(make_player(player, game) for player in setting.players)


def rows(opponents: str, **returns: list[float]) -> list[dict]:
    return [
        {
            "method": method.replace("__", ":"),
            "folder": f"runs/{method}",
            "opponents": opponents,
            "seed": seed,
            "mean": mean,
        }
        for method, means in returns.items()
        for seed, mean in enumerate(means)
    ]


def test_a_bound_is_that_of_the_paired_t_interval():
    agent, best = [9.6, 9.9, 10.1, 9.8], [10.0, 9.9, 10.3, 10.1]
    random = [2.0, 2.1, 1.9, 2.0]
    mixture = "mixture(good, random)"
    table = rows(
        mixture,
        agent=agent,
        good=best,
        random=random,
        behaviour_cloning=[5.0] * 4,
        iql=[20.0] * 4,
    )
    cell = Cell(table, mixture)
    less = np.subtract(agent, best)
    low = stats.ttest_1samp(less, 0).confidence_interval(0.9).low
    span = np.mean(best) - np.mean(random)
    assert cell.lower("agent", "good") == pytest.approx(low / span)
    assert (low / span < -MARGIN) == ("good" in dict(beaten(cell, "agent")))
    assert "iql" not in dict(beaten(cell, "agent"))  # no player of the data


def test_the_span_where_the_random_player_is_the_best():
    table = rows("x", agent=[3.0], good=[1.0], random=[2.0])
    assert Cell(table, "x").span == 1.0
