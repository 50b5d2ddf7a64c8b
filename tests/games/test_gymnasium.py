"""Environments of Gymnasium beside themselves, stepped bare with the same seeds."""

import gymnasium
import jax
import numpy as np
import pytest

import bestreply as br
from tests.zoo_envs import Stairs

STAIRS = "gymnasium:tests.zoo_envs:Stairs"


def test_an_environment_equals_itself_stepped_bare():
    game = br.make_game("gymnasium:CartPole-v1")
    assert (game.num_players, game.obs_shape, game.max_steps) == (1, (4,), 500)
    env, bare = game.live(), gymnasium.make("CartPole-v1")
    for seed in (0, 5):
        shown, (obs, _) = env.reset(seed), bare.reset(seed=seed)
        ended, rng = False, np.random.default_rng(seed)
        np.testing.assert_array_equal(shown.obs[0], obs)
        while not ended:
            action = int(rng.integers(2))
            shown = env.step(np.array([action], np.int32))
            obs, reward, ended, cut, _ = bare.step(action)
            assert shown.reward.tolist() == [reward]
            assert shown.terminated.tolist() == [ended] and not cut
            np.testing.assert_array_equal(shown.obs[0], obs)
    br.check_game(game, episodes=1)


def test_the_limit_truncates():
    game = br.make_game("gymnasium:CartPole-v1(max_steps=3)")
    env = game.live()
    shown = env.reset(0)
    for step in range(3):
        shown = env.step(np.array([step % 2], np.int32))
    assert bool(shown.truncated) and not shown.terminated.any()


def test_parts_masks_and_pictures():
    game = br.make_game(STAIRS, max_steps=4)
    assert game == br.make_game(Stairs, max_steps=4)
    assert game.obs_shape == (4 + 2,) and game.obs_dtype == np.float32
    assert game.binary.tolist() == [True] * 4 + [False] * 2
    assert game.action_names == ("0,0", "0,1", "1,0", "1,1")
    assert br.make_game(STAIRS).max_steps == 6  # the default of its parameter
    key = jax.random.key(0)
    state, shown = game.reset(key)
    assert shown.obs[0, :4].tolist() == [1, 0, 0, 0] and shown.legal.all()
    for _ in range(2):
        state, shown = game.step(state, np.array([3]), key)
    assert shown.legal[0].tolist() == [True, True, True, False]
    assert game.frame(state).max() == 2
    state, shown = game.step(state, np.array([1]), key)
    assert shown.reward.tolist() == [3] and shown.terminated.all()
    br.check_game(game, episodes=1)


class Sloppy(Stairs):
    """Stairs whose mask, or number of the stair, or end, is wrong at step 1."""

    def __init__(self, fault="mask"):
        super().__init__()
        self.fault = fault

    def _look(self):
        (height, place), info = super()._look()
        if height and self.fault == "mask":
            info["action_mask"] = info["action_mask"][1:]
        if height and self.fault == "number":
            height = -1
        return (height, place), info

    def step(self, action):
        obs, reward, ended, cut, info = super().step(action)
        if self.fault == "end":
            ended = np.zeros(2, bool)
        if self.fault == "limit":
            cut = "no"
        return obs, reward, ended, cut, info


@pytest.mark.parametrize(
    "fault, sentence",
    [
        ("mask", r"action_mask=\[1, 1, 1\]: expected 4 .* at step 1 of seed 5"),
        ("end", r"terminated=array.*: expected one bool at step 1 of seed 5"),
        ("limit", r"truncated='no': expected one bool at step 1 of seed 5"),
        ("number", r"observation\[0\]=-1: .*Discrete\(4\) of gymnasium:"),
    ],
)
def test_what_contradicts_the_spaces_is_refused(fault, sentence):
    env = br.make_game(Sloppy, fault=fault, max_steps=3).live()
    env.reset(5)
    with pytest.raises(ValueError, match=sentence):
        env.step(np.array([3]))


@pytest.mark.parametrize(
    "name, sentence",
    [
        ("CartPol-v1", "expected a name of Gymnasium's registry"),
        ("nothing_there:Maze-v0", "there is no 'nothing_there'"),
        ("CartPole-v1(sutton=True)", "sutton=True: expected a setting"),
        ("Pendulum-v1", "expected discrete or multi-discrete actions"),
        ("Blackjack-v1", r"max_steps=None: .*Blackjack-v1\(max_steps=100\)"),
        ("GymV26Environment-v0", "expected the environment's own name"),
        ("tests.zoo_envs:delete_all(path='.')", None),
    ],
)
def test_what_cannot_be_played_gets_a_sentence(name, sentence):
    error = AssertionError if sentence is None else ValueError
    with pytest.raises(error, match=sentence):
        br.make_game(f"gymnasium:{name}")
