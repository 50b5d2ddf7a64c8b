"""Goal labels by hindsight, for episodes written by hand."""

import numpy as np

from bestreply import make_game
from bestreply.games.hindsight_goals import EVENT, NO_EVENT, NONE, label_goals
from bestreply.types import ABSENT, GOAL_SOURCES

HUNT = make_game("stag_hunt(hunters=2)")
STAY, STAG, HARE = 4, 5, 6
IS_STAG, IS_HARE, IS_NONE = (
    HUNT.goals.index(g) for g in ("stag", "hare", "none")
)


def label(game, actions, rewards):
    """Goal and source of one episode, seat by seat, each [N][T]."""
    action = np.array(actions).T[None]
    reward = np.array(rewards, np.float32).T[None]
    obs = np.zeros((*action.shape, *game.obs_shape), np.float32)
    goal, source = label_goals(game, obs, action.astype(np.int32), reward)
    assert goal.dtype == np.int32 and source.dtype == np.int8
    return goal[0].T.tolist(), source[0].T.tolist()


def test_a_step_is_labelled_with_the_next_goal():
    goal, source = label(
        HUNT, [[STAY, STAG, STAG], [STAY, STAY, HARE]], [[0, 0, 5], [0, 0, 1]]
    )
    # a HUNT_STAG without reward is no event
    assert goal == [[IS_STAG] * 3, [IS_HARE] * 3]
    assert source == [[EVENT] * 3, [EVENT] * 3]


def test_after_the_last_event_the_goal_is_none():
    goal, source = label(
        HUNT, [[HARE, STAY, STAG, STAY], [STAY] * 4], [[1, 0, 5, 0], [0] * 4]
    )
    assert goal == [[IS_HARE, IS_STAG, IS_STAG, IS_NONE], [IS_NONE] * 4]
    assert source == [[EVENT, EVENT, EVENT, NO_EVENT], [NO_EVENT] * 4]


def test_a_seat_that_has_left_has_no_goal():
    goal, source = label(
        HUNT,
        [[HARE, ABSENT, ABSENT], [STAY, STAY, ABSENT]],
        [[1, 0, 0], [0, 0, 0]],
    )
    assert goal == [[IS_HARE, ABSENT, ABSENT], [IS_NONE, IS_NONE, ABSENT]]
    assert source == [[EVENT, NONE, NONE], [NO_EVENT, NO_EVENT, NONE]]


def test_a_game_without_goals_has_no_labels():
    game = make_game("matrix")
    goal, source = label(game, [[0, 1], [1, ABSENT]], [[3, 5], [3, 0]])
    assert game.goals == ("none",)
    assert goal == [[0, 0], [0, ABSENT]] and source == [[NONE] * 2] * 2


def test_sources_by_name():
    assert [GOAL_SOURCES[k] for k in (NONE, EVENT, NO_EVENT)] == [
        "none",
        "event",
        "no_event",
    ]
