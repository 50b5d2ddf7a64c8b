"""Stateful environments as games."""

from functools import partial

import jax
import numpy as np
import pytest

from bestreply import EnvStep, HostEnv, collect, make_game, validate
from bestreply.games import check_game
from bestreply.games.contract import GameError
from bestreply.games.registry import spec_of_game
from bestreply.games.seats import check_roles, own_actions
from tests.host_env import Chase

NAME = "tests.host_env:Chase"


@pytest.mark.parametrize("settings", ["", "(tired=3)", "(small=True, cells=4)"])
def test_an_environment_is_a_game_that_keeps_the_contract(settings):
    game = make_game(NAME + settings)
    assert not game.compiled and game.obs_shape == (3 + 3,)
    assert {"purity", "determinism", "left"} <= set(check_game(game).kept)


def test_names_classes_and_factories_give_equal_games():
    game = make_game(NAME, cells=4)
    assert game == make_game(Chase, cells=4) == make_game(f"{NAME}(cells=4)")
    assert hash(game) == hash(make_game(spec_of_game(game)))
    assert game != make_game(NAME)

    def factory(cells=4):
        return Chase(cells)

    local = make_game(factory, cells=5)
    assert local.max_steps == 8
    assert make_game(spec_of_game(local)) == local


@pytest.mark.parametrize(
    "spec, sentence",
    [
        ("tests.host_env:one_chase", "expected the class of a HostEnv"),
        (f"{NAME}(4)", "expected settings by name"),
        (f"{NAME}(size=4)", "expected settings of tests.host_env:Chase: cells"),
        ("tests.host_env:Shapeless", "expected obs_shape, or seat_shapes"),
        (
            "tests.zoo_envs:Relay(size=3)",
            r"For an environment of pettingzoo, name it "
            r"pettingzoo:tests.zoo_envs:Relay\(size=3\)$",
        ),
        (
            "tests.zoo_envs:parallel_env",
            "name it pettingzoo:tests.zoo_envs:par",
        ),
        ("tests.zoo_envs:Stairs", "name it gymnasium:tests.zoo_envs:Stairs$"),
        ("os:system(ls)", "it is the builtin_function_or_method system$"),
        ("os:getcwd", "it is the builtin_function_or_method getcwd$"),
    ],
)
def test_what_is_no_environment_gets_a_sentence(spec, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_game(spec)


@pytest.mark.parametrize(
    "fault, sentence",
    [
        ("mask", "expected a legal action for seat 0"),
        (
            "reward",
            r"reward: expected float32 \(3,\) from tests.host_env:Chase",
        ),
    ],
)
def test_what_an_environment_returns_is_checked(fault, sentence):
    env = make_game(NAME, fault=fault).live()
    with pytest.raises(ValueError, match=sentence):
        env.reset(0)
        env.step(np.ones(3, int))


def test_observations_are_padded_and_tell_their_seat():
    game = make_game(NAME)
    env = game.live()
    shown = env.reset(5)
    np.testing.assert_array_equal(game.seat_in(shown.obs), [0, 1, 2])
    np.testing.assert_array_equal(
        game.seat_in(jax.numpy.asarray(shown.obs)), [0, 1, 2]
    )
    assert shown.obs[2, 2] == 0
    np.testing.assert_array_equal(shown.legal, own_actions(game))


def test_a_seat_truncated_alone_keeps_its_last_observation_and_is_not_terminated():
    env = make_game(NAME, tired=1).live()
    before = env.reset(2)
    after = env.step(np.array([2, 2, 0]))
    assert not after.present[2] and not after.terminated[2]
    assert not after.truncated and after.present[:2].all()
    assert (after.obs[2, :2] != before.obs[2, :2]).any()
    later = env.step(np.array([2, 2, 0]))
    assert later.reward[2] == 0 and not later.present[2]


def test_an_older_state_is_reached_again():
    game = make_game(NAME)
    key = jax.random.key(1)
    first, _ = game.reset(key)
    states, rng = [first], np.random.default_rng(0)
    for _ in range(3):
        state, _ = game.step(states[-1], rng.integers(0, 3, 3), key)
        states.append(state)
    again, _ = game.step(states[1], states[2].taken[-1], key)
    np.testing.assert_array_equal(again.shown.obs, states[2].shown.obs)
    assert game.frame(states[1]).tolist() == np.full((4, 6, 3), 1).tolist()
    assert game.frame(states[3]).max() == 3


class Duel(HostEnv):
    """Two seats with observations of 2 and 3 entries."""

    num_players, action_names, max_steps = 2, ("A", "B"), 4
    seat_shapes = ((2,), (3,))

    def __init__(self, result=None, second=3, ends=4):
        self.result, self.second, self.ends = result, second, ends

    def reset(self, seed):
        self.time = 0
        if self.result is not None:
            return self.result
        return EnvStep([np.zeros(2), np.full(3, seed % 7)])

    def step(self, actions):
        self.time += 1
        obs = [np.zeros(2), np.ones(self.second)]
        return EnvStep(obs, truncated=self.time >= self.ends)


@pytest.mark.parametrize("second", [2, 4])
def test_an_observation_of_another_shape_than_its_seat_declares_is_refused(
    second,
):
    game = make_game(Duel, second=second)
    env = game.live()
    env.reset(5)
    message = (
        r"obs of seat 1: expected float32 \(3,\) from .*Duel at step 1 of seed 5; "
        rf"it returns float32 \({second},\)"
    )
    with pytest.raises(ValueError, match=message):
        env.step(np.zeros(2, int))
    with pytest.raises(GameError, match=r"obs of seat 1: expected"):
        check_game(game)


@pytest.mark.parametrize(
    "result, kind",
    [({"obs": 0}, "dict"), ((np.zeros(2), {}), "tuple"), (3, "int")],
)
def test_a_result_that_is_no_env_step_is_refused(result, kind):
    def factory():
        return Duel(result)

    env = make_game(factory).live()
    with pytest.raises(
        ValueError, match=f"reset: expected an EnvStep .*returns a {kind}"
    ):
        env.reset(0)


class Told(HostEnv):
    """Three seats; a function of the number of the step gives what is shown."""

    num_players, action_names, max_steps = 3, ("A", "B", "C"), 4
    obs_shape = (2,)

    def __init__(self, tell=None):
        self.tell = tell

    def reset(self, seed):
        self.time = 0
        return self._told()

    def step(self, actions):
        self.time += 1
        return self._told()

    def _told(self):
        told = self.tell(self.time) if self.tell else {}
        return EnvStep(**{"obs": np.zeros((3, 2), np.float32), **told})


def told(tell, steps=2, **members):
    """Return the last of some steps of an environment that tells this of itself."""
    kind = type("Telling", (Told,), members)
    env = make_game(lambda: kind(tell)).live()
    shown = env.reset(0)
    for _ in range(steps):
        shown = env.step(np.zeros(3, int))
    return shown


@pytest.mark.parametrize(
    "value", [[False] * 3, np.zeros(3, bool), "no", {}, 0.5, 2, np.nan]
)
def test_truncation_is_one_flag_for_all_seats(value):
    with pytest.raises(ValueError, match=r"truncated.*: expected (one )?bool"):
        told(lambda t: {"truncated": value})


@pytest.mark.parametrize("value", [None, False, np.False_, np.array(0), 0])
def test_any_single_false_is_no_truncation(value):
    assert not told(lambda t: {"truncated": value}).truncated
    assert told(lambda t: {"truncated": np.array(t == 2)}).truncated


@pytest.mark.parametrize(
    "legal, sentence",
    [
        (np.full((3, 3), 0.3), r"legal=\[\[0.3.*: expected only 0 and 1"),
        (np.full((3, 3), 2), "expected only 0 and 1"),
        (np.full((3, 3), np.nan), "expected only 0 and 1"),
        (np.ones((2, 3)), r"legal: expected bool \(3, 3\)"),
        ([[1], [1, 1]], r"legal: expected bool \(3, 3\) .*\[\[1\], "),
    ],
)
def test_masks_hold_nothing_but_0_and_1(legal, sentence):
    with pytest.raises(ValueError, match=sentence):
        told(lambda t: {"legal": legal})


@pytest.mark.parametrize("dtype", [np.int8, np.float32, bool])
def test_masks_may_have_any_type(dtype):
    shown = told(lambda t: {"legal": np.eye(3, dtype=dtype)})
    assert shown.legal.dtype == bool and (shown.legal == np.eye(3)).all()


def test_a_seat_that_has_left_does_not_return():
    away = np.array([True, False, True])
    assert told(lambda t: {"present": away}).present.tolist() == away.tolist()
    # None: nothing new is told
    shown = told(lambda t: {"present": away if t == 0 else None})
    assert shown.present.tolist() == away.tolist()
    sentence = r"present=\[True, True, True\]: expected seat 1 to stay away"
    with pytest.raises(ValueError, match=sentence):
        told(lambda t: {"present": away if t == 1 else ~away | away})


@pytest.mark.parametrize("names", [3, None, "AB", ("A", 1), {"A": 0}])
def test_what_are_no_names_of_actions_is_refused(names):
    with pytest.raises(ValueError, match=r"action_names=.*: expected a tuple"):
        told(None, action_names=names)


@pytest.mark.parametrize("role", ["a=c", "x, y", "a|b", "a(b)", " a", "", 3])
def test_roles_that_no_opponent_set_can_hold_are_refused(role):
    kind = type("Telling", (Told,), {"roles": ("a", role, "a b")})
    game = make_game(lambda: kind())
    with pytest.raises(GameError, match=r"roles = .*; texts without quotes"):
        check_game(game, episodes=1)
    with pytest.raises(ValueError, match=r"role=.*: expected a text"):
        check_roles(game)


def test_a_seat_that_terminated_may_be_called_present_all_along():
    shown = told(
        lambda t: {
            "terminated": np.array([t == 1, False, False]),
            "present": np.ones(3, bool),
        }
    )
    assert shown.present.tolist() == [False, True, True]


@pytest.mark.parametrize(
    "members, obs, sentence",
    [
        (
            {"obs_dtype": np.int32},
            np.full((3, 2), 2**40),
            "obs=1099511627776: expected numbers that int32 holds",
        ),
        (
            {},
            [np.zeros(2), np.array([2**24 + 1, 0]), None],
            "obs of seat 1=16777217: expected numbers that float32 holds",
        ),
        ({"obs_dtype": np.uint8}, np.full((3, 2), 300, np.uint16), "obs=300"),
        ({}, np.full((3, 2), 1e39), r"obs=1e\+39"),
        ({}, None, r"obs: expected float32 \(3, 2\) .* it returns None"),
        ({}, {0: [0, 0]}, r"float32 \(3, 2\) .* it returns \{0: \[0, 0\]\}"),
        ({}, [[0, 0], [0], "no"], r"obs of seat 1: expected float32 \(2,\)"),
        (
            {},
            [[0, 0], [[0], [0, 0]], None],
            r"of seat 1: .*\[\[0\], \[0, 0\]\]",
        ),
        (
            {"seat_shapes": ((2,), (3,), (2,))},
            None,
            r"obs: expected a list of float32 \(2,\), \(3,\), \(2,\) from",
        ),
    ],
)
def test_observations_that_would_be_changed_or_are_none_are_refused(
    members, obs, sentence
):
    with pytest.raises(ValueError, match=sentence):
        told(lambda t: {"obs": obs}, **members)


def test_an_episode_can_end_by_a_limit_of_its_own(tmp_path):
    game = make_game(Duel, ends=2)
    assert "max_steps" in check_game(game).kept
    store = collect(game, ["random"] * 2, 3, seed=0, path=tmp_path / "data")
    episodes = store.episodes()
    assert episodes.length.tolist() == [2, 2, 2]
    assert episodes.truncated[:, 1].all() and not validate(store.path)


def with_dtype(kind):
    """Return a class of always the same name, whose observations are of a type."""

    def reset(env, seed):
        return EnvStep(np.ones((2, 2), "uint8"))

    members = {"seat_shapes": (), "obs_shape": (2,), "obs_dtype": kind}
    return type("Again", (Duel,), {**members, "reset": reset})


@pytest.mark.parametrize(
    "kind, name", [(np.uint8, "uint8"), ("uint8", "uint8"), (float, "float64")]
)
def test_any_spelling_of_a_numpy_type_is_a_type_of_observations(kind, name):
    game = make_game(with_dtype(kind))
    assert game.obs_dtype == np.dtype(name)
    assert game.live().reset(0).obs.dtype == np.dtype(name)


@pytest.mark.parametrize("kind", ["nothing", None, object, "U3", 7])
def test_what_is_no_type_of_numbers_is_refused(kind):
    with pytest.raises(ValueError, match=r"obs_dtype=.*expected a NumPy type"):
        make_game(with_dtype(kind))


def test_a_class_that_is_defined_again_is_another_game():
    """As in a notebook; the same class is the same game."""
    kinds = [with_dtype("uint8"), with_dtype("float32")]
    games = [make_game(kind) for kind in kinds]
    assert [game.obs_dtype for game in games] == ["uint8", "float32"]
    assert games[0] != games[1] and games[0] == make_game(kinds[0])
    partials = [partial(kind) for kind in kinds]
    assert [make_game(p).obs_dtype for p in partials] == ["uint8", "float32"]
