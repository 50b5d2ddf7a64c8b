"""Markov Snowdrift Game: beside a reference, and worked out by hand."""

import jax
import numpy as np
import pytest
from reference_grid import ReferenceGrid, compare

from bestreply.games import check_game, make_game
from bestreply.games.grid import GridState
from tests.shared import compiled

DOWN, LEFT, RIGHT, STAY, REMOVE = 1, 2, 3, 4, 5
KEY = jax.random.key(0)


class ReferenceSnowdrift(ReferenceGrid):
    def __init__(self, game, state):
        super().__init__(game, state)
        self.reward, self.cost = game.removal_reward, game.removal_cost
        self.crowds = set()

    def take(self, names):
        rewards = [0.0] * self.n
        for thing in list(self.things):
            removers = self.players_on(thing[1], "REMOVE", names)
            self.crowds.add(len(removers))
            if removers:
                self.things.remove(thing)
                for i in range(self.n):
                    rewards[i] += self.reward
                for i in removers:
                    rewards[i] -= self.cost / len(removers)
        return rewards

    def over(self):
        return not self.things


SETTINGS = [
    {},
    {
        "height": 2,
        "width": 2,
        "players": 5,
        "drifts": 4,
        "max_steps": 8,
        "removal_reward": 1,
        "removal_cost": 7,
    },
    {"height": 6, "width": 6, "max_steps": 25, "blocks": 3},
    {"height": 1, "width": 5, "max_steps": 50, "players": 1, "drifts": 5},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_play_matches_the_reference(settings):
    game = make_game("snowdrift", **settings)
    references, rewards = compare(game, ReferenceSnowdrift)
    removed = np.array([game.drifts - len(one.things) for one in references])
    # the group's gain from one drift
    gain = game.players * game.removal_reward - game.removal_cost
    np.testing.assert_allclose(rewards.sum((0, 2)), gain * removed, rtol=1e-6)


def test_the_comparison_includes_crowds_and_complete_games():
    game = make_game("snowdrift", height=1, width=2, drifts=2)
    references, rewards = compare(game, ReferenceSnowdrift, 48)
    crowds = set().union(*(one.crowds for one in references))
    assert crowds == {0, 1, 2, 3, 4}
    returns = rewards.sum(0)  # [E, N]
    # all drifts removed: 5 each
    assert returns.mean(1).max() == pytest.approx(10)
    assert returns.max() <= 12


def standing(cells, time=0, **settings):
    """A 4x4 game with drifts on cells 0 to 5 and players on `cells`; game and state."""
    game = make_game("snowdrift", players=len(cells), **settings)
    state = GridState(
        cell=np.array(cells, np.int32),
        left=np.zeros(len(cells), bool),
        blocks=np.zeros(16, bool),
        thing_cell=np.arange(6, dtype=np.int32),
        thing_present=np.ones(6, bool),
        time=np.array(time, np.int32),
    )
    return game, state


def step(game, state, actions):
    state, shown = compiled(game.step)(state, np.array(actions, np.int32), KEY)
    return state, jax.tree.map(np.asarray, shown)


@pytest.mark.parametrize(
    "actions, rewards",
    [
        ([REMOVE, STAY, STAY, STAY], [2, 6, 6, 6]),
        ([REMOVE, REMOVE, STAY, STAY], [4, 4, 6, 6]),
        ([REMOVE, REMOVE, REMOVE, REMOVE], [5, 5, 5, 5]),
        ([STAY, STAY, STAY, STAY], [0, 0, 0, 0]),
    ],
)
def test_rewards_of_one_drift(actions, rewards):
    state, shown = step(*standing([0, 0, 0, 0]), actions)
    assert shown.reward.tolist() == rewards
    assert sum(rewards) in (0, 20)
    assert np.asarray(state.thing_present)[0] == (sum(rewards) == 0)
    assert shown.present.all()  # no player leaves


def test_two_drifts_in_one_step_pay_twice():
    _, shown = step(*standing([0, 1, 8, 8]), [REMOVE, REMOVE, STAY, STAY])
    assert shown.reward.tolist() == [8, 8, 12, 12]


def test_a_sole_worker_earns_12_a_free_rider_36_and_the_mean_is_30():
    game, state = standing([0, 15, 15, 15])
    # drifts 0 to 3 along the first row, then down and back to 5 and 4
    route = [REMOVE, RIGHT, REMOVE, RIGHT, REMOVE, RIGHT, REMOVE]
    route += [DOWN, LEFT, LEFT, REMOVE, LEFT, REMOVE]
    returns, shown = np.zeros(4), None
    for action in route:
        assert shown is None or not shown.terminated.any()
        state, shown = step(game, state, [action, STAY, STAY, STAY])
        returns += shown.reward
    assert returns.tolist() == [12, 36, 36, 36]
    assert returns.mean() == 30
    assert shown is not None and shown.terminated.all() and not shown.truncated


def test_the_step_limit_truncates():
    _, shown = step(*standing([15] * 4, time=14), [STAY] * 4)
    assert shown.truncated and not shown.terminated.any()


@pytest.mark.parametrize("reward, cost", [(4, 4), (-2.5, 1)])
def test_removing_reaches_the_goal_whatever_it_pays(reward, cost):
    game, state = standing(
        [0, 15, 15, 15], removal_reward=reward, removal_cost=cost
    )
    actions = np.array([REMOVE, STAY, STAY, STAY], np.int32)
    _, shown = step(game, state, actions)
    assert shown.reward.tolist() == [reward - cost, reward, reward, reward]
    obs = np.zeros((4, *game.obs_shape), np.float32)
    assert game.goals == ("drift", "none")
    goals = game.achieved(obs, actions, shown.reward)
    assert goals.tolist() == [0, -1, -1, -1]


def test_settings():
    assert make_game("snowdrift").settings == {
        "height": 4,
        "width": 4,
        "blocks": 0,
        "max_steps": 15,
        "players": 4,
        "drifts": 6,
        "removal_reward": 6,
        "removal_cost": 4,
    }
    with pytest.raises(ValueError, match="17 things for 16 cells"):
        make_game("snowdrift", drifts=17)
    with pytest.raises(ValueError, match="players=0: expected 1 or more"):
        make_game("snowdrift", players=0)


def test_text_shows_the_contents_of_cells():
    game, state = standing([0, 0, 6, 15])
    shown = compiled(game.look)(state, np.zeros(4, np.float32))
    assert game.text(shown.obs[2], 2).splitlines()[:2] == [
        "12D   D   D   D",
        "  D   D   3   .",
    ]


def test_the_contract_of_a_game_is_kept():
    game = make_game("snowdrift(height=3, width=3, players=3, drifts=2)")
    assert set(check_game(game, episodes=4).skipped) == {"left"}
