# pyright: reportMissingImports=false
"""The adapter beside JaxMARL itself."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply.games import make_game
from bestreply.games.check import check_game
from bestreply.games.registry import spec_of_game
from tests.games.beside_bare import beside

pytestmark = pytest.mark.slow


def bare(name, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import jaxmarl

        return jaxmarl.make(name, **settings)


def both(spec, env, episodes=16):
    """Play a game and JaxMARL's environment side by side, agents with equal spaces."""
    game = make_game(spec)

    def reset(key):
        obs, state = env.reset(key)
        return state, [obs[agent] for agent in env.agents]

    def step(state, actions, key):
        given = dict(zip(env.agents, actions, strict=True))
        obs, state, reward, done, _ = env.step_env(key, state, given)
        seen = [obs[agent] for agent in env.agents]
        paid = jnp.stack([reward[agent] for agent in env.agents])
        return state, (seen, paid, done["__all__"])

    return game, beside(game, reset, step, episodes)


def same_until(game, played, steps):
    """Compare observations and rewards of the first steps; the marks of seats follow."""
    live, after, (seen, paid, _) = played.live, played.after, played.bare
    live = live & (np.arange(live.shape[1]) < steps)
    for seat, own in enumerate(seen):
        size = own.shape[-1]
        rows = after.obs[live][:, seat]
        np.testing.assert_allclose(rows[..., :size], own[live], rtol=1e-6)
        padding = rows[..., size : rows.shape[-1] - game.num_players]
        assert game.homogeneous or not padding.any()
    np.testing.assert_allclose(after.reward[live], paid[live], rtol=1e-5)


def test_an_episode_of_coin_game_is_an_inner_one():
    one_more = bare("coin_game", num_inner_steps=11)
    game, played = both("jaxmarl:coin_game", one_more)
    assert (game.max_steps, game.obs_dtype) == (10, np.int8)
    same_until(game, played, 10)  # the last observation and reward included
    assert played.after.truncated[:, 9].all()
    assert not played.after.terminated.any()
    game, played = both("jaxmarl:coin_game", bare("coin_game"))
    same_until(game, played, 9)
    # JaxMARL pays nothing for the tenth step and shows the next start.
    assert not played.bare[1][:, 9].any()
    assert played.after.reward[:, 9].any()


def test_agents_of_simple_tag_are_padded_and_marked():
    env = bare("MPE_simple_tag_v3")
    game, played = both("jaxmarl:MPE_simple_tag_v3", env)
    assert game.roles == ("adversary",) * 3 + ("agent",)
    assert game.obs_shape == (16 + 4,)
    same_until(game, played, 25)
    assert played.after.truncated[:, 24].all()
    assert game.seat_in(played.after.obs[0, 0]).tolist() == [0, 1, 2, 3]


def test_speaker_and_listener_have_their_own_actions():
    env = bare("MPE_simple_speaker_listener_v4")
    game, played = both("jaxmarl:MPE_simple_speaker_listener_v4", env)
    assert game.seat_actions == (3, 5)
    assert game.roles == ("speaker", "listener")
    assert not played.before.legal[..., 0, 3:].any()
    assert set(np.unique(played.actions[..., 1])) == {0, 1, 2, 3, 4}
    same_until(game, played, 25)


@pytest.mark.filterwarnings("ignore:OvercookedV2 is now")
def test_overcooked_keeps_planes_and_type():
    from jaxmarl.environments.overcooked import overcooked_layouts

    layout = overcooked_layouts["coord_ring"]
    env = bare("overcooked", layout=layout, max_steps=20)
    game, played = both(
        "jaxmarl:overcooked(layout=coord_ring,max_steps=20)", env
    )
    assert game.obs_shape == (5, 5, 26)
    assert game.obs_dtype == np.uint8
    same_until(game, played, 20)
    assert played.bare[2][:, 19].all()  # JaxMARL's only end is the limit
    assert played.after.truncated[:, 19].all()
    assert not played.after.terminated.any()
    state, _ = game.reset(jax.random.key(0))
    assert game.frame(state).shape == (160 * 7 // 5, 160 * 7 // 5, 3)


def test_an_end_by_the_rules_is_a_termination():
    game, played = both("jaxmarl:switch_riddle", bare("switch_riddle"), 64)
    same_until(game, played, 6)
    live, over = played.live, played.bare[2]
    ended = live & over & (np.arange(6) < 5)
    assert ended.any()
    assert played.after.terminated[ended].all()
    assert not played.after.truncated[ended].any()
    assert played.after.truncated[:, 5].any()


def test_masks_and_turns_of_hanabi():
    env = bare("hanabi")
    game, played = both("jaxmarl:hanabi(max_steps=40)", env, 8)
    same_until(game, played, 40)
    waits = played.before.legal[..., -1] & (played.before.legal.sum(-1) == 1)
    assert (waits[played.live].sum(-1) == 1).all()  # one seat moves


def test_a_dead_unit_stays_for_the_reward_of_its_team():
    game = make_game("jaxmarl:HeuristicEnemySMAX", scenario="3m", max_steps=40)
    assert game.num_players == 3

    def reset(key):
        obs, state = game.traits.env.reset(key)
        return state, obs["ally_0"]

    def step(state, actions, key):
        env = game.traits.env
        given = dict(zip(env.agents, actions, strict=True))
        _, state, reward, done, _ = env.step_env(key, state, given)
        dead = jnp.stack([done[agent] for agent in env.agents])
        return state, (jnp.stack([reward[a] for a in env.agents]), dead)

    played = beside(game, reset, step, 8)
    paid, dead = played.bare
    live = played.live
    some = (
        live & dead.any(-1) & ~dead.all(-1) & ~played.after.terminated.all(-1)
    )
    assert some.any()
    assert played.after.present[some].all()
    assert (played.after.legal[some][dead[some]].sum(-1) == 1).all()
    np.testing.assert_allclose(played.after.reward[live], paid[live], rtol=1e-5)


def test_settings_make_an_equal_game():
    game = make_game("jaxmarl:coin_game(num_inner_steps=6)")
    assert game.max_steps == 6
    assert game.settings["payoff_matrix"] == ((1, 1, -2), (1, 1, -2))
    assert make_game(str(spec_of_game(game))) == game
    assert hash(make_game(spec_of_game(game))) == hash(game)
    assert make_game("jaxmarl:MPE_simple_tag_v3").max_steps == 25


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("coin", "expected one of .*coin_game"),
        ("coin_game(num_outer_steps=3)", "num_outer_steps=3: .* series="),
        ("hanabi", r"max_steps=None: .* give one"),
        ("switch_riddle(max_steps=60)", "max_steps=60: expected at most 6"),
        ("overcooked(layout=kitchen)", "layout='kitchen': .*cramped_room"),
        ("MPE_simple_tag_v3(num_cats=2)", "num_cats=2: expected a setting of"),
        ("overcooked(num_cats=2)", "expected settings that JaxMARL accepts"),
        ("MPE_simple_world_comm_v3", "expected discrete .* write a wrapper"),
        ("storm(max_steps=9)", "expected observations by agent"),
    ],
)
def test_refused_in_a_sentence(spec, text):
    with pytest.raises(ValueError, match=text) as error:
        make_game(f"jaxmarl:{spec}")
    assert "\n" not in str(error.value)


def test_importing_prints_nothing(capfd):
    make_game("jaxmarl:coin_game")
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    "spec",
    [
        "coin_game",
        "MPE_simple_tag_v3",
        "MPE_simple_speaker_listener_v4",
        "switch_riddle",
    ],
)
def test_the_contract_is_kept(spec):
    check_game(make_game(f"jaxmarl:{spec}"), episodes=3)
