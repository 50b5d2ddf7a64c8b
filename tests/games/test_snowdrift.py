import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow_grid import SlowGrid, compare

from bestreply.games import check_game, make_game
from bestreply.games.grid import GridState

LEFT, RIGHT, STAY, REMOVE = 2, 3, 4, 5
KEY = jax.random.key(0)


class SlowSnowdrift(SlowGrid):
    def __init__(self, game, state):
        super().__init__(game, state)
        self.reward, self.cost, self.crowds = (
            game.removal_reward,
            game.removal_cost,
            set(),
        )

    def take(self, names):
        rewards = [0.0] * self.n
        for thing in list(self.things):
            removers = self.who(names, "REMOVE", thing[1])
            self.crowds.add(len(removers))
            if removers:
                self.things.remove(thing)
                for i in range(self.n):
                    rewards[i] += self.reward
                for i in removers:
                    rewards[i] -= self.cost / len(removers)
        return rewards

    def own_end(self):
        return not self.things


SETTINGS = [
    {},
    {"height": 3, "width": 2, "players": 2, "drifts": 3, "max_steps": 6},
    {"height": 2, "width": 2, "players": 5, "drifts": 4, "max_steps": 8},
    {
        "height": 3,
        "width": 3,
        "players": 3,
        "drifts": 2,
        "removal_reward": 1,
        "removal_cost": 7,
    },
    {"height": 6, "width": 6, "max_steps": 25, "blocks": 3},
    {"height": 1, "width": 5, "max_steps": 50, "players": 1, "drifts": 5},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_plays_by_the_rules(settings):
    game = make_game("snowdrift", **settings)
    slow, rewards = compare(game, SlowSnowdrift)
    gone = np.array([game.drifts - len(one.things) for one in slow])
    each = (
        game.players * game.removal_reward - game.removal_cost
    )  # a drift's worth to the group
    np.testing.assert_allclose(rewards.sum((0, 2)), each * gone, rtol=1e-6)


def test_the_comparison_sees_crowds_and_full_games():
    slow, rewards = compare(
        make_game("snowdrift", height=1, width=2, drifts=2), SlowSnowdrift, 48
    )
    assert set().union(*(one.crowds for one in slow)) == {0, 1, 2, 3, 4}
    returns = rewards.sum(0)  # [E, N]
    assert returns.mean(1).max() == pytest.approx(
        10
    )  # every drift gone: 5 each
    assert returns.max() <= 12


def standing(cells, **settings):
    """A 4x4 game with drifts on the first cells; players where told."""
    game = make_game("snowdrift", players=len(cells), **settings)
    state = GridState(
        cell=jnp.array(cells, jnp.int32),
        left=jnp.zeros(len(cells), bool),
        blocks=jnp.zeros(16, bool),
        thing_cell=jnp.arange(game.drifts, dtype=jnp.int32),
        thing_present=jnp.ones(game.drifts, bool),
        time=jnp.int32(0),
    )
    return game, state


@pytest.mark.parametrize(
    "acts, paid",
    [
        ([REMOVE, STAY, STAY, STAY], [2, 6, 6, 6]),
        ([REMOVE, REMOVE, STAY, STAY], [4, 4, 6, 6]),
        ([REMOVE, REMOVE, REMOVE, REMOVE], [5, 5, 5, 5]),
        ([STAY, STAY, STAY, STAY], [0, 0, 0, 0]),
    ],
)
def test_what_one_drift_pays(acts, paid):
    game, state = standing([0, 0, 0, 0])
    state, shown = game.step(state, np.array(acts), KEY)
    assert shown.reward.tolist() == paid
    assert sum(paid) in (0, 20)
    assert state.thing_present[0] == (sum(paid) == 0)
    assert shown.present.all()  # nobody leaves


def test_two_drifts_in_one_step_pay_twice():
    game, state = standing([0, 1, 8, 8])
    _, shown = game.step(state, np.array([REMOVE, REMOVE, STAY, STAY]), KEY)
    assert shown.reward.tolist() == [8, 8, 12, 12]


def test_a_sole_worker_earns_12_a_free_rider_36_and_the_mean_is_30():
    game, state = standing([0, 15, 15, 15])
    # the drifts lie on cells 0 ... 5: along the first row, down, and back to where 5 and 4 are
    route = [
        REMOVE,
        RIGHT,
        REMOVE,
        RIGHT,
        REMOVE,
        RIGHT,
        REMOVE,
        1,
        LEFT,
        LEFT,
        REMOVE,
        LEFT,
        REMOVE,
    ]
    returns, shown = np.zeros(4), None
    for action in route:
        assert not game.finished(state)
        state, shown = game.step(
            state, np.array([action, STAY, STAY, STAY]), KEY
        )
        returns += np.asarray(shown.reward)
    assert returns.tolist() == [12, 36, 36, 36]
    assert returns.mean() == 30
    assert shown is not None and shown.terminated.all() and not shown.truncated


def test_the_step_limit_truncates():
    game, state = standing([15] * 4, max_steps=1)
    _, shown = game.step(state, np.full(4, STAY), KEY)
    assert shown.truncated and not shown.terminated.any()


@pytest.mark.parametrize("reward, cost", [(4, 4), (1, 4), (0, 0), (-2.5, 1)])
def test_removing_shows_the_goal_whatever_it_pays(reward, cost):
    game, state = standing(
        [0, 15, 15, 15], removal_reward=reward, removal_cost=cost
    )
    before = state
    state, shown = game.step(state, np.array([REMOVE, STAY, STAY, STAY]), KEY)
    assert shown.reward.tolist() == [reward - cost, reward, reward, reward]
    obs = game.look(before, shown.reward).obs
    assert game.goals == ("drift", "none")
    assert game.achieved(
        obs, np.array([REMOVE, STAY, STAY, STAY]), shown.reward
    ).tolist() == [0, -1, -1, -1]


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
    with pytest.raises(ValueError, match="players=0"):
        make_game("snowdrift", players=0)
    game, state = standing([0, 0, 6, 15])
    shown = game.look(state, jnp.zeros(4))
    assert game.text(shown.obs[2], 2).splitlines()[:2] == [
        "12D   D   D   D",
        "  D   D   3   .",
    ]


def test_keeps_every_promise_of_a_game():
    report = check_game(
        make_game("snowdrift(height=3, width=3, players=3, drifts=2)"),
        episodes=4,
    )
    assert set(report.skipped) == {"left"}
