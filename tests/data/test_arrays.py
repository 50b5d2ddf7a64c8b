"""Arrays of other programs become datasets; what does not fit is refused by name and place."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bestreply as br
from bestreply.data.store import Store

E, T, N, A = 4, 3, 2, 3
RNG = np.random.default_rng(0)
OBS = RNG.normal(size=(E, T + 1, N, 2))
ACTION = RNG.integers(0, A, (E, T, N))
REWARD = RNG.normal(size=(E, T, N))
OVER = np.broadcast_to(np.arange(T) == T - 1, (E, T))


def write(path: Path, **changes: Any) -> Store:
    given = {
        "observations": OBS,
        "actions": ACTION,
        "rewards": REWARD,
        "terminals": OVER,
    }
    return br.store_from_arrays(**given | changes, path=path / "data")


def flat(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, *values.shape[2:])


def test_arrays_of_episodes(tmp_path):
    store = write(tmp_path, players=["ann", "bob"])
    assert br.validate(store.path) == []
    episodes, game = store.episodes(), store.game()
    np.testing.assert_array_equal(episodes.obs, OBS.astype(np.float32))
    np.testing.assert_array_equal(episodes.action, ACTION)
    np.testing.assert_array_equal(episodes.reward, REWARD.astype(np.float32))
    assert episodes.terminated[:, -1].all() and not episodes.truncated.any()
    assert episodes.legal.all() and np.isnan(episodes.prob).all()
    assert [p["name"] for p in store.roster] == ["ann", "bob"]
    assert (game.num_players, game.num_actions, game.max_steps) == (N, A, T)
    assert game.obs_shape == (2,) and game.goals == ("none",)


def test_steps_one_after_the_other_are_the_same_episodes(tmp_path):
    whole = write(tmp_path / "whole").episodes()
    store = br.store_from_arrays(
        flat(OBS[:, :-1]),
        flat(ACTION),
        flat(REWARD),
        flat(OVER),
        next_observations=flat(OBS[:, 1:]),
        path=tmp_path / "flat",
    )
    for name in ("obs", "action", "reward", "terminated", "length", "present"):
        one, other = getattr(whole, name), getattr(store.episodes(), name)
        np.testing.assert_array_equal(one, other)


def test_without_a_last_observation_a_terminal_repeats_and_a_timeout_drops(
    tmp_path, capsys
):
    ends = np.array([0, 0, 1, 0, 1, 0, 0], bool)  # of 3, 2 and 2 steps
    late = np.array([0, 0, 0, 0, 1, 0, 0], bool)
    obs = np.arange(14.0).reshape(7, 2, 1)
    store = br.store_from_arrays(
        obs,
        np.zeros((7, 2), int),
        np.ones(7),
        ends & ~late,
        late,
        path=tmp_path / "data",
    )
    assert "2 truncated episodes" in " ".join(capsys.readouterr().err.split())
    episodes = store.episodes()
    assert episodes.length.tolist() == [3, 1, 1]
    np.testing.assert_array_equal(episodes.obs[0, 3], episodes.obs[0, 2])
    np.testing.assert_array_equal(episodes.obs[1, 1], obs[4])
    assert episodes.truncated[1:, 0].all() and episodes.reward[0, 0].all()


def test_without_any_ends_episodes_end_with_their_arrays(tmp_path):
    episodes = write(tmp_path, terminals=None).episodes()
    assert episodes.truncated[:, -1].all() and not episodes.terminated.any()
    with pytest.raises(ValueError, match="terminals=None, timeouts=None"):
        br.store_from_arrays(
            flat(OBS[:, :-1]), flat(ACTION), flat(REWARD), path=tmp_path / "b"
        )


def test_seats_that_leave_or_never_come(tmp_path):
    action, over = ACTION.copy(), np.zeros((E, T, N), bool)
    over[:, -1] = True
    over[0, 0, 1] = True  # what follows is padding
    action[1, :, 1] = -1
    episodes = write(tmp_path, actions=action, terminals=over).episodes()
    np.testing.assert_array_equal(episodes.action[0, 1:, 1], [-1, -1])
    np.testing.assert_array_equal(episodes.present[0, :, 1], [1, 0, 0, 0])
    assert not episodes.present[1, :, 1].any()
    np.testing.assert_array_equal(
        episodes.obs[0, 1, 1], np.float32(OBS[0, 1, 1])
    )


def test_a_seat_is_cut_off_alone_where_timeouts_say_so(tmp_path):
    """It has not terminated, and a next observation; without a reason it is refused."""
    action, late = ACTION.copy(), np.zeros((E, T, N), bool)
    late[0, 0, 1] = True
    action[0, 1:, 1] = -1
    store = write(tmp_path, actions=action, timeouts=late)
    assert br.validate(store.path) == []
    episodes = store.episodes()
    np.testing.assert_array_equal(episodes.present[0, :, 1], [1, 0, 0, 0])
    assert not episodes.terminated[0, 0, 1] and not episodes.truncated.any()
    np.testing.assert_array_equal(
        episodes.obs[0, 1, 1], np.float32(OBS[0, 1, 1])
    )
    late[0, 0, 1], action[2, 2, 0] = False, -1
    late[2, 1, 0] = True
    with pytest.raises(ValueError, match="episode 0, step 0: seat 1 has no"):
        write(tmp_path / "b", actions=action, timeouts=late)


ONE_SEAT = {
    "observations": OBS[:, :-1, 0],
    "actions": ACTION[..., 0],
    "rewards": REWARD[..., 0],
    "terminals": OVER,
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"observations": OBS[:, :, 0]},
            r"observations of shape \(4, 4, 2\): expected \(4, 3\) .*\(4, 3, 1\)",
        ),
        ({}, "expected -1 after the terminal .*Episodes of one seat have"),
        (
            {"terminals": None, "timeouts": OVER},
            "expected -1 after the terminal .*Episodes of one seat have",
        ),
    ],
)
def test_episodes_of_one_seat_are_not_read_as_steps_of_seats(
    tmp_path, changes, message
):
    with pytest.raises(ValueError, match=message):
        write(tmp_path, **ONE_SEAT | changes)
    given = ONE_SEAT | changes
    given["actions"] = given["actions"][..., None]
    episodes = write(tmp_path, **given).episodes()
    assert episodes.action.shape[2] == 1 and len(episodes.length) == E


def test_terminals_of_each_seat_can_stand_in_two_axes(tmp_path):
    """Seat 0 stops first; its later actions are padding in the second episode."""
    action = np.array([[0, 1], [-1, 1], [1, 1], [2, 0], [1, 0]])
    over = np.array([[1, 0], [0, 1], [0, 0], [1, 0], [1, 1]], bool)
    store = write(
        tmp_path,
        observations=np.zeros((5, 2, 1)),
        actions=action,
        rewards=np.ones((5, 2)),
        terminals=over,
    )
    assert store.episodes().length.tolist() == [2, 3]


@pytest.mark.parametrize("is_flat", [False, True])
def test_a_step_at_which_all_seats_are_absent_ends_an_episode(
    tmp_path, is_flat
):
    action = np.array([[[0, 1], [-1, -1], [1, 1]], [[0, 1], [1, 1], [0, 0]]])
    over = np.zeros((2, 3, 2), bool)
    over[:, -1] = True
    given = {
        "observations": np.arange(12.0).reshape(2, 3, 2, 1),
        "actions": action,
        "rewards": np.ones((2, 3, 2)),
        "terminals": over,
        "next_observations": np.arange(12.0).reshape(2, 3, 2, 1) + 2,
    }
    if is_flat:
        given = {name: flat(values) for name, values in given.items()}
    store = write(tmp_path, **given)
    assert br.validate(store.path) == []
    episodes = store.episodes()
    lengths = [1, 1, 3] if is_flat else [1, 3]
    assert episodes.length.tolist() == lengths
    assert episodes.truncated[0, 0] and episodes.obs[0, 1, 0, 0] == 2


def test_steps_without_any_action_are_refused(tmp_path):
    action = ACTION.copy()
    action[1, 0] = -1
    with pytest.raises(ValueError, match=r"actions\[1\]: .*first step"):
        write(tmp_path, actions=action)
    with pytest.raises(ValueError, match="all are -1"):
        write(
            tmp_path,
            observations=np.zeros((3, 2, 1)),
            actions=np.full((3, 2), -1),
            rewards=np.zeros(3),
            terminals=np.ones(3, bool),
        )


def test_what_is_known_is_kept(tmp_path):
    legal = np.ones((E, T, N, A), bool)
    legal[..., 0] = ACTION == 0
    probs = np.full((E, T, N), 0.5)
    probs[0] = np.nan
    goals = np.where(REWARD > 0, 1, -1)
    names = np.array([["ann", "bob"], ["bob", "ann"]] * 2)
    store = write(
        tmp_path,
        legal=legal,
        probs=probs,
        goals=goals,
        players=names,
        goal_names=["left", "right"],
        action_names=["x", "y", "z"],
        max_steps=10,
    )
    episodes, game = store.episodes(), store.game()
    np.testing.assert_array_equal(episodes.legal[:, :T], legal)
    np.testing.assert_array_equal(episodes.prob[:, :T], probs)
    np.testing.assert_array_equal(episodes.goal[:, :T], goals)
    np.testing.assert_array_equal(episodes.player[:2], [[0, 1], [1, 0]])
    assert game.goals == ("left", "right", "none") and game.max_steps == 10
    assert game.action_names == ("x", "y", "z")


def test_observations_keep_a_small_type_and_are_zero_one_where_they_are(
    tmp_path,
):
    images = (RNG.random((E, T + 1, N, 2, 2, 3)) > 0.5).astype(np.uint8)
    game = write(tmp_path, observations=images).game()
    assert game.obs_dtype == np.uint8 and game.obs_shape == (2, 2, 3)
    assert game.binary.all()
    assert write(tmp_path / "b").game().obs_dtype == np.float32


def test_seats_that_differ_are_given_by_name(tmp_path):
    store = write(
        tmp_path,
        observations={"adversary_0": OBS[:, :, 0, :1], "agent_0": OBS[:, :, 1]},
        actions={"adversary_0": ACTION[..., 0] % 2, "agent_0": ACTION[..., 1]},
        seat_actions=[2, 3],
    )
    game = store.game()
    assert game.roles == ("adversary", "agent") and game.seat_actions == (2, 3)
    assert game.obs_shape == (4,)  # padded, and a mark of the seat
    obs = store.episodes().obs
    np.testing.assert_array_equal(obs[0, 0, :, 2:], np.eye(2))
    np.testing.assert_array_equal(
        game.seat_in(obs), np.broadcast_to([0, 1], (E, 4, 2))
    )
    assert obs[0, 0, 0, 1] == 0
    assert not store.episodes().legal[..., 0, 2].any()


def test_arrays_of_a_game_that_can_be_played(tmp_path):
    game = br.make_game("matrix(table=prisoners_dilemma, rounds=3)")
    given = {
        "observations": np.zeros((E, T + 1, N, 5)),
        "actions": ACTION % 2,
        "game": game,
    }
    assert write(tmp_path, **given).game() == game
    refused = r"observations of shape \(2,\): expected \(5,\), as matrix has"
    with pytest.raises(ValueError, match=refused):
        write(tmp_path / "b", **given | {"observations": OBS})


def test_names_of_seats_are_recorded_and_are_names_of_the_game(tmp_path):
    given = {
        "observations": {
            name: np.zeros((E, T + 1, 2)) for name in ("red", "blue")
        },
        "actions": {"red": np.zeros((E, T)), "blue": np.ones((E, T))},
        "rewards": {name: np.zeros((E, T)) for name in ("red", "blue")},
    }
    game = write(tmp_path / "a", **given).game()
    assert game.seat_names == ("red", "blue")
    turned = {
        name: dict(reversed(values.items())) for name, values in given.items()
    }
    again = write(tmp_path / "b", **turned, game=game)
    assert again.episodes().action[0, 0].tolist() == [0, 1]


def test_seats_of_a_game_by_name_are_in_its_order(tmp_path):
    game = br.make_game("matrix(table=prisoners_dilemma, rounds=3)")
    action = {f"player_{k}": np.full((E, T), k) for k in (1, 0)}
    obs = {name: np.zeros((E, T + 1, 5)) for name in action}
    rewards = {name: 2.0 * values for name, values in action.items()}
    given = {"observations": obs, "actions": action, "rewards": rewards}
    store = write(tmp_path, **given, game=game)
    assert store.episodes().action[0, 0].tolist() == [0, 1]
    assert store.episodes().reward[0, 0].tolist() == [0, 2]


def changed(values: np.ndarray, value: float) -> np.ndarray:
    values = np.array(values, float)
    values[1, 2, 0] = value
    return values


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"actions": changed(ACTION, 0.5)},
            r"actions\[1, 2, 0\]=0.5: .*whole number",
        ),
        ({"actions": changed(ACTION, -2)}, r"actions\[1, 2, 0\]=-2.0: .*-1"),
        ({"actions": np.array([["a"]])}, "actions='a': expected numbers"),
        (
            {"actions": np.zeros((2, 2, 2, 2), int)},
            r"actions of shape \(2, 2, 2, 2\)",
        ),
        ({"actions": [[1, 2], [1]]}, "actions of type object"),
        (
            {"rewards": changed(REWARD, np.nan)},
            r"rewards\[1, 2, 0\]=nan: .*finite",
        ),
        ({"rewards": changed(REWARD, 1e60)}, r"rewards\[1, 2, 0\]=1e\+60"),
        (
            {"rewards": np.full((E, T, N), 2**24 + 1)},
            r"rewards\[0, 0, 0\]=16777217",
        ),
        (
            {"rewards": REWARD[:2]},
            r"rewards of shape \(2, 3, 2\): .*\(4, 3, 2\)",
        ),
        (
            {"terminals": changed(REWARD, 2)},
            r"terminals\[0, 0, 0\]=.*True or False",
        ),
        ({"observations": OBS[:2]}, r"observations of shape \(2, 4, 2, 2\)"),
        ({"observations": OBS * np.inf}, r"observations\[0, 0, 0, 0\]=inf"),
        (
            {"probs": np.full((E, T, N), 1.5)},
            r"probs\[0, 0, 0\]=1.5: .*probability",
        ),
        (
            {"legal": ACTION[..., None] != np.arange(A)},
            "expected a legal action",
        ),
        (
            {"legal": np.ones((E, T, N, 2), bool)},
            "legal of 2 actions: expected at least 3, as actions go up to 2",
        ),
        (
            {"action_names": ["x", "y"]},
            r"action_names=\['x', 'y'\]: expected at least 3 names, as actions",
        ),
        (
            {"goals": ACTION, "goal_names": ["a"]},
            "goals up to 2: expected at most 1",
        ),
        ({"players": ["ann"]}, r"players of shape \(1,\).*each of 2 seats"),
        ({"players": [["ann", "bob"]]}, r"players of shape \(1, 2\)"),
        ({"max_steps": 2}, "steps of an episode up to 3: expected at most 2"),
        ({"action_names": ["x", "x", "y"]}, "actions=.* all different"),
        ({"roles": ["a"]}, "roles=.*one entry for each of 2 seats"),
        (
            {"actions": {"a": ACTION[..., 0]}, "rewards": {"b": REWARD}},
            "rewards of",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name_and_nothing_is_left(
    tmp_path, changes, message
):
    with pytest.raises(ValueError, match=message):
        write(tmp_path, **changes)
    assert not (tmp_path / "data").exists()


def test_masked_entries_are_refused(tmp_path):
    rewards = np.ma.masked_array(np.ones((2, 3, 1)), [[[0]] * 3, [[1]] * 3])
    zeros = np.zeros((2, 3, 1))
    with pytest.raises(ValueError, match=r"rewards\[1, 0, 0\] is masked"):
        br.store_from_arrays(zeros, zeros, rewards, zeros, path=tmp_path / "a")


def test_a_dataset_is_not_overwritten(tmp_path):
    write(tmp_path)
    with pytest.raises(FileExistsError, match="expected no dataset there"):
        write(tmp_path)
