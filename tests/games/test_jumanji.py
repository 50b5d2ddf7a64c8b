"""The adapter beside Jumanji itself."""

import jax
import jumanji
import numpy as np
import pytest
from jumanji.environments.routing.connector.env import Connector
from jumanji.environments.routing.connector.generator import (
    RandomWalkGenerator as Walks,
)
from jumanji.environments.routing.lbf.env import LevelBasedForaging
from jumanji.environments.routing.lbf.generator import RandomGenerator
from jumanji.environments.routing.robot_warehouse.env import RobotWarehouse
from jumanji.environments.routing.robot_warehouse.generator import (
    RandomGenerator as Warehouses,
)

from bestreply.games import make_game
from bestreply.games.check import check_game
from bestreply.games.registry import spec_of_game
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from tests.games.beside_bare import beside

FORAGING = (
    "jumanji:LevelBasedForaging-v0(grid_size=5,num_food=1,fov=5,"
    "force_coop=False,time_limit=25)"
)
CONNECTOR = (
    "jumanji:Connector-v3(grid_size=4,num_agents=2,max_steps=6,time_limit=12)"
)


def bare_foraging():
    generator = RandomGenerator(
        grid_size=5, num_agents=2, num_food=1, fov=5, force_coop=False
    )
    return LevelBasedForaging(generator, time_limit=25)


def both(spec, env, episodes):
    game = make_game(spec)

    def step(state, actions, key):
        return env.step(state, actions)

    return game, beside(game, env.reset, step, episodes)


def test_foraging_is_that_of_jumanji_itself():
    game, played = both(FORAGING, bare_foraging(), 64)
    live, bare, after = played.live, played.bare, played.after
    assert game.obs_dtype == np.int32
    np.testing.assert_array_equal(
        played.before.obs[:, 0], played.first.observation.agents_view
    )
    seen = bare.observation
    np.testing.assert_array_equal(after.obs[live], seen.agents_view[live])
    np.testing.assert_array_equal(after.reward[live], bare.reward[live])
    last = bare.step_type == 2
    ended = last & (bare.discount == 0).all(-1)
    cut = last & (bare.discount == 1).all(-1)
    assert (ended & live).any()
    assert (cut & live).any()
    np.testing.assert_array_equal(
        after.terminated[live], np.stack([ended, ended], -1)[live]
    )
    np.testing.assert_array_equal(after.truncated[live], cut[live])
    goes_on = live & ~ended
    np.testing.assert_array_equal(
        after.legal[goes_on], seen.action_mask[goes_on]
    )
    # A finished game stays as it is, without rewards.
    assert not after.reward[~live].any()
    np.testing.assert_array_equal(after.obs[~live], played.before.obs[~live])


def test_a_common_reward_is_the_mean_over_agents():
    game, played = both(
        FORAGING[:-1] + ",common_reward=True)", bare_foraging(), 64
    )
    live, mean = played.live, played.bare.reward.mean(-1, keepdims=True)
    assert (np.ptp(played.bare.reward[live], axis=-1) > 0).any()
    np.testing.assert_allclose(
        played.after.reward[live], np.repeat(mean, 2, -1)[live], rtol=1e-6
    )
    assert game != make_game(FORAGING)
    with pytest.raises(ValueError, match="common_reward=1: expected true or"):
        make_game(FORAGING, common_reward=1)


def test_integers_are_shown_as_one_hot_vectors():
    game = make_game(FORAGING, one_hot=True)
    plain = make_game(FORAGING)
    assert game.obs_shape == (9 * 7,)  # 9 numbers from -1 to the grid's size, 5
    assert game.binary.all()
    for seed in range(3):
        key = jax.random.key(seed)
        shown, numbers = game.reset(key)[1].obs, plain.reset(key)[1].obs
        rows = np.asarray(shown).reshape(2, 9, 7)
        assert (rows.sum(-1) == 1).all()
        np.testing.assert_array_equal(rows.argmax(-1) - 1, numbers)
    with pytest.raises(
        ValueError, match="one_hot=True: expected observations of"
    ):
        make_game("jumanji:RobotWarehouse-v0(one_hot=True)")


def test_a_connected_agent_leaves():
    env = Connector(
        Walks(grid_size=4, num_agents=2, max_steps=6), time_limit=12
    )
    game, played = both(CONNECTOR, env, 64)
    assert game.obs_shape == (4, 4, 1 + 2)  # a grid that all see, and the seat
    live, bare, after = played.live, played.bare, played.after
    grid = np.repeat(bare.observation.grid[:, :, None], 2, 2)
    np.testing.assert_array_equal(after.obs[live][..., 0], grid[live])
    marks = after.obs[..., 0, 0, 1:]
    np.testing.assert_array_equal(marks[live][0], np.eye(2))
    assert game.seat_in(after.obs[0, 0]).tolist() == [0, 1]
    np.testing.assert_array_equal(
        after.terminated[live], bare.discount[live] == 0
    )
    alone = live & (after.terminated.sum(-1) == 1) & ~after.truncated
    assert alone.any()
    np.testing.assert_array_equal(
        after.present[alone], ~after.terminated[alone]
    )
    left = live & ~played.before.present.all(-1)
    assert not after.reward[left][~played.before.present[left]].any()
    np.testing.assert_array_equal(
        after.reward[live & ~left], bare.reward[live & ~left]
    )


def test_settings_make_an_equal_game():
    game = make_game(FORAGING)
    assert game.settings["num_agents"] == 2  # the default, listed
    assert make_game(spec_of_game(game)) == game
    assert make_game(str(spec_of_game(game))) == game
    assert hash(make_game(spec_of_game(game))) == hash(game)
    assert make_game(game.name, **game.settings) == game
    assert game != make_game(FORAGING, time_limit=24)


@pytest.mark.filterwarnings("ignore:scatter inputs")  # Jumanji's own
def test_planes_of_a_view_are_last_and_a_picture_is_the_viewers():
    game = make_game(
        "jumanji:LevelBasedForaging-v0(grid_observation=True,fov=2)"
    )
    assert game.obs_shape == (5, 5, 3)
    game = make_game(FORAGING)
    state, _ = game.reset(jax.random.key(0))
    picture = game.frame(state)
    assert picture.dtype == np.uint8
    assert picture.shape == (400, 400, 3)
    assert np.unique(picture).size > 10


def test_one_agent_with_several_numbers():
    game = make_game(
        "jumanji:Minesweeper-v0(num_rows=3,num_cols=2,num_mines=1,max_steps=4)"
    )
    assert game.num_players == 1
    assert game.action_names == ("0,0", "0,1", "1,0", "1,1", "2,0", "2,1")
    assert game.obs_shape == (3 * 2 + 1,)  # the board and the number of mines
    env = jumanji.registration.make("Minesweeper-v0")
    assert game.traits.extra.decode(np.array([3])).tolist() == [1, 1]
    assert env.action_spec.num_values.tolist() == [10, 10]


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("Foraging-v0", "expected one of .*LevelBasedForaging-v0"),
        ("Snake-v1(size=3)", "size=3: expected a setting of jumanji:Snake-v1"),
        ("Game2048-v1", r"max_steps=None: .* give one"),
        ("Snake-v1(time_limit=0)", "time_limit=0: expected an int, 1 or more"),
        ("SearchAndRescue-v0", "expected discrete .* write a wrapper"),
        ("JobShop-v0(max_steps=9)", "expected 1 to 1024 combinations"),
        (
            "LevelBasedForaging-v0(grid_size=3)",
            "expected settings that Jumanji",
        ),
    ],
)
def test_refused_in_a_sentence(spec, text):
    with pytest.raises(ValueError, match=text) as error:
        make_game(f"jumanji:{spec}")
    assert "\n" not in str(error.value)


def test_play_keeps_the_type_of_observations():
    game = make_game(FORAGING)
    lineup = seat_players(game, ["random", "always(load)"], 3, 0)
    episodes = play(game, lineup, 0).episodes
    assert episodes.obs.dtype == np.int32
    assert episodes.obs.shape == (3, 26, 2, 9)


@pytest.mark.slow
@pytest.mark.parametrize(
    "spec",
    [
        FORAGING,
        CONNECTOR,
        "jumanji:RobotWarehouse-v0(num_agents=2,time_limit=10)",
        "jumanji:Cleaner-v0(num_rows=5,num_cols=5,time_limit=10)",
        "jumanji:Snake-v1(num_rows=5,num_cols=5,time_limit=10)",
        "jumanji:Game2048-v1(max_steps=8)",
        "jumanji:Maze-v0(num_rows=5,num_cols=5,time_limit=8)",
    ],
)
def test_the_contract_is_kept(spec):
    check_game(make_game(spec), episodes=3)


@pytest.mark.slow
def test_the_step_limit_of_a_warehouse_truncates():
    # Jumanji itself calls it a termination, like a collision.
    env = RobotWarehouse(
        Warehouses(
            shelf_rows=1,
            shelf_columns=3,
            column_height=2,
            num_agents=3,
            sensor_range=1,
            request_queue_size=2,
        ),
        time_limit=12,
    )
    game, played = both(
        "jumanji:RobotWarehouse-v0(shelf_rows=1,shelf_columns=3,column_height=2,"
        "num_agents=3,request_queue_size=2,time_limit=12)",
        env,
        64,
    )
    live, bare, after = played.live, played.bare, played.after
    np.testing.assert_array_equal(
        after.obs[live], bare.observation.agents_view[live]
    )
    over = after.truncated | after.terminated.all(-1)
    np.testing.assert_array_equal(over[live], bare.step_type[live] == 2)
    assert after.truncated.any()
    assert after.terminated.any()
    assert not bare.discount[over & live].any()
    paid = np.repeat(bare.reward[..., None], game.num_players, -1)
    np.testing.assert_array_equal(after.reward[live], paid[live])
