"""Goal labels by hindsight: the goal that a player reached next."""

import numpy as np
from jaxtyping import Float, Int, Int8, Int32, Shaped

from bestreply.games.base import Game
from bestreply.types import ABSENT, GOAL_SOURCES

NONE, EVENT, NO_EVENT = (
    GOAL_SOURCES.index(source) for source in ("none", "event", "no_event")
)


def label_goals(
    game: Game,
    obs: Shaped[np.ndarray, "E T N *obs_shape"],
    action: Int[np.ndarray, "E T N"],
    reward: Float[np.ndarray, "E T N"],
) -> tuple[Int32[np.ndarray, "E T N"], Int8[np.ndarray, "E T N"]]:
    """Return the goal of every step, and the source of the label.

    Args:
        game: the game; `Game.achieved` gives the goals reached by a step.
        obs: observations before the steps.
        action: actions, ABSENT where the seat did not act.
        reward: rewards of the steps.

    Returns:
        goal: the goal reached at this step or next after it (source "event"); the
            last goal, "none", if none is reached until the end (source "no_event");
            ABSENT where the seat did not act. A game without goals has label 0
            ("none") with source "none".
        goal_source: index into `GOAL_SOURCES`.
    """
    acted = action != ABSENT
    no_goal = len(game.goals) - 1
    if no_goal == 0:
        goal = np.where(acted, 0, ABSENT).astype(np.int32)
        return goal, np.full(action.shape, NONE, np.int8)
    reached = np.where(
        acted, np.asarray(game.achieved(obs, action, reward)), -1
    )
    goal = np.full(action.shape, no_goal, np.int32)
    source = np.full(action.shape, NO_EVENT, np.int8)
    next_goal, next_source = goal[:, 0].copy(), source[:, 0].copy()
    for t in reversed(range(action.shape[1])):
        event = reached[:, t] >= 0
        next_goal = np.where(event, reached[:, t], next_goal)
        next_source = np.where(event, EVENT, next_source)
        goal[:, t], source[:, t] = next_goal, next_source
    goal = np.where(acted, goal, ABSENT).astype(np.int32)
    return goal, np.where(acted, source, NONE).astype(np.int8)
