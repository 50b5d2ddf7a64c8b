"""Games as environments of PettingZoo: its own tests, and the way back to the bit."""

import warnings

import jax
import numpy as np
import pytest

import bestreply as br
from tests.shared import compiled

HUNT = "stag_hunt(height=3, width=3, hunters=3, stags=1, hares=2, max_steps=6)"
FIELDS = ("obs", "legal", "reward", "terminated", "present")
GAMES = [
    HUNT,
    "stag_hunt(height=3, width=3, hunters=2, stags=1, hares=1, max_steps=5, leave=True)",
    "snowdrift(height=3, width=3, max_steps=5)",
    "matrix(rounds=4)",
    "openspiel:goofspiel(num_cards=3)",
    "openspiel:kuhn_poker",
    "tests.host_env:Chase(tired=3)",
]


@pytest.mark.parametrize("spec", GAMES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_pettingzoos_own_tests_pass(spec):
    game = br.make_game(spec)
    from pettingzoo.test import parallel_api_test, parallel_seed_test

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        parallel_api_test(br.parallel_env(game), num_cycles=20)
        parallel_seed_test(lambda: br.parallel_env(game), num_cycles=20)


def test_a_game_and_itself_through_pettingzoo_give_equal_play():
    game = br.make_game(HUNT)
    back = br.make_game("pettingzoo:bestreply:parallel_env", game=HUNT)
    for name in (
        "num_players",
        "num_actions",
        "obs_shape",
        "obs_dtype",
        "max_steps",
    ):
        assert getattr(back, name) == getattr(game, name)
    assert back.seat_actions == game.seat_actions
    np.testing.assert_array_equal(back.binary, game.binary)
    env, rng = back.live(), np.random.default_rng(0)
    reset, step = compiled(game.reset), compiled(game.step)
    for seed in range(3):
        key, time = jax.random.key(seed), 0
        state, shown = reset(key)
        again = env.reset(seed)
        while not (shown.truncated or shown.terminated.all()):
            here = np.asarray(shown.present)
            for field in FIELDS:
                one, two = (
                    np.asarray(getattr(shown, field)),
                    getattr(again, field),
                )
                if field in (
                    "obs",
                    "legal",
                ):  # of seats that have left: anything
                    one, two = one[here], two[here]
                assert one.tobytes() == two.tobytes() and one.dtype == two.dtype
            actions = np.array(
                [rng.choice(np.flatnonzero(row)) for row in again.legal],
                np.int32,
            )
            time += 1
            state, shown = step(state, actions, jax.random.fold_in(key, time))
            again = env.step(actions)
        assert bool(again.truncated) == bool(shown.truncated)
        np.testing.assert_array_equal(again.reward, shown.reward)


def test_agents_illegal_actions_and_text():
    env = br.parallel_env(HUNT, render_mode="ansi")
    assert env.possible_agents == ["player_0", "player_1", "player_2"]
    obs, _ = env.reset(seed=4)
    assert isinstance(env.render(), str) and env.state().shape == (3, 3, 3, 7)
    masks = {a: obs[a]["action_mask"] for a in env.agents}
    illegal = {a: int(np.flatnonzero(m == 0)[0]) for a, m in masks.items()}
    *_, infos = env.step(illegal)
    assert {a: infos[a]["illegal_action"] for a in illegal} == illegal
    assert env.observation_space("player_0").contains(obs["player_0"])
    strict = br.parallel_env(HUNT, illegal="raise")
    strict.reset(seed=4)
    with pytest.raises(ValueError, match="expected a legal action of player_0"):
        strict.step(illegal)
    with pytest.raises(ValueError, match="expected one of each in player_0"):
        strict.step({})
    for wrong in ({"illegal": "end"}, {"render_mode": "rgb_array"}):
        with pytest.raises(ValueError, match="expected"):
            br.parallel_env(HUNT, **wrong)


@pytest.mark.parametrize(
    "action", [0.7, 1.0, "x", None, [0, 1], [[0], [0, 1]], np.float32(1)]
)
def test_actions_are_whole_numbers(action):
    env = br.parallel_env(GAMES[3])
    env.reset(seed=0)
    sentence = "expected a whole number, 0 to 1, of player_1 at step 0"
    with pytest.raises(ValueError, match=sentence):
        env.step({"player_0": 0, "player_1": action})


def test_actions_of_any_integer_type_are_played():
    env = br.parallel_env(GAMES[3], illegal="raise")
    env.reset(seed=0)
    env.step({"player_0": np.int64(1), "player_1": np.array([1], np.uint8)})


def test_unknown_agents_and_steps_before_a_reset_are_refused():
    env = br.parallel_env("tests.host_env:Chase", render_mode="ansi")
    joint = {"chaser_0": 0, "chaser_1": 2, "runner_0": 2}
    for method, given in (("step", (joint,)), ("state", ()), ("render", ())):
        with pytest.raises(ValueError, match=f"{method}: .* reset first"):
            getattr(env, method)(*given)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="agent='wolf': expected agents of"):
        env.step(joint | {"wolf": 0})
    while "chaser_0" in env.agents:  # who falls off, and may go on to be named
        env.step(joint)
    if env.agents:
        env.step(joint)


def test_a_seed_given_once_decides_all_episodes():
    one, two = (br.parallel_env("matrix(memory=2)") for _ in range(2))
    firsts = []
    for env in (one, two):
        env.reset(seed=9)
        firsts.append([env.reset()[0], env.reset()[0]])
    np.testing.assert_equal(firsts[0], firsts[1])


def test_pictures_of_a_game_that_draws_some():
    env = br.parallel_env(
        "pettingzoo:tests.zoo_envs:Relay", render_mode="rgb_array"
    )
    env.reset(seed=0)
    assert env.render().shape == (6, 8, 3)
    back = br.make_game("pettingzoo:bestreply:parallel_env", game=HUNT)
    assert back.frame(back.reset(jax.random.key(0))[0]) is None
