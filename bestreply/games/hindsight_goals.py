"""Goal labels by hindsight: what a player turned out to be after."""

import numpy as np

from bestreply.games.base import Game
from bestreply.types import ABSENT, GOAL_SOURCES

NONE, EVENT, NO_EVENT = (
    GOAL_SOURCES.index(source) for source in ("none", "event", "no_event")
)


def label_goals(
    game: Game, obs: np.ndarray, action: np.ndarray, reward: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Labels every step with the goal its player reached next, and says how the label was come by.

    Args:
        game: tells what a step achieved (`Game.achieved`).
        obs: [E, T, N, *obs_shape]; action: [E, T, N], ABSENT where the seat did not act; reward: [E, T, N].

    Returns:
        goal [E, T, N] int32: the game's goal reached at this step or the next time one was (source "event"); the last goal,
        "none", where none was reached until the end (source "no_event"); ABSENT where the seat did not act.
        goal_source [E, T, N] int8. A game without goals of its own gives label 0 ("none") with source "none".
    """
    acted = action != ABSENT
    nothing = len(game.goals) - 1
    if nothing == 0:
        return np.where(acted, 0, ABSENT).astype(np.int32), np.full(
            action.shape, NONE, np.int8
        )
    reached = np.where(
        acted, np.asarray(game.achieved(obs, action, reward)), -1
    )
    goal = np.full(action.shape, nothing, np.int32)
    source = np.full(action.shape, NO_EVENT, np.int8)
    later, how = goal[:, 0].copy(), source[:, 0].copy()
    for t in reversed(range(action.shape[1])):
        here = reached[:, t] >= 0
        later, how = (
            np.where(here, reached[:, t], later),
            np.where(here, EVENT, how),
        )
        goal[:, t], source[:, t] = later, how
    return np.where(acted, goal, ABSENT).astype(np.int32), np.where(
        acted, source, NONE
    ).astype(np.int8)
