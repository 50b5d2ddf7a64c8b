"""Limits of a game's sizes, checked before arrays of these sizes are made."""

import math
from typing import Any

import numpy as np

from bestreply.games.base import Game
from bestreply.utils.checks import shown, whole_number
from bestreply.utils.untrusted import free_memory, size_text

MAX_PLAYERS = 1_000
MAX_ACTIONS = 100_000
MAX_STEPS = 1_000_000
MAX_EPISODES = 2**31 - 1
"""Largest number of episodes that one call plays."""
LINEUP_BYTES = 32
"""Bytes that the line-up of an episode takes for each seat, at most."""
CHECKED_EPISODES = 1_000_000
"""Episodes from which on their line-up is compared with the free memory."""
MAX_EPISODE_BYTES = 2**30
"""Bytes of the observations and masks of one episode."""


def checked_episodes(episodes: Any, seats: int = 1) -> int:
    """Return a number of episodes to play as a plain int.

    Args:
        episodes: a whole number, Python's or NumPy's.
        seats: number of seats of the game, N.

    Returns:
        The number.

    Raises:
        ValueError: no whole number, one below 1, or one whose line-up alone does not
            fit into the free memory.
    """
    episodes = whole_number("episodes", episodes, 1, MAX_EPISODES)
    if episodes < CHECKED_EPISODES:
        return episodes
    each, free = LINEUP_BYTES * seats, free_memory()
    if episodes * each > free:
        raise ValueError(
            f"episodes={episodes}: expected at most {free // each}, whose line-up fits "
            f"into the free memory, {size_text(free)}"
        )
    return episodes


def episode_bytes(game: Game) -> int:
    """Return the bytes of the observations and masks of one episode, all seats.

    Args:
        game: the game.
    """
    entry = np.dtype(game.obs_dtype).itemsize
    step = entry * math.prod(game.obs_shape) + game.num_actions
    return (game.max_steps + 1) * game.num_players * step


def checked_dtype(value: Any, where: str = "") -> np.dtype:
    """Return the type of an observation's entries as NumPy's.

    Args:
        value: the type: NumPy's, or a name or class that NumPy reads as one.
        where: what has it, for the error, such as " in stag_hunt".

    Raises:
        ValueError: it is no type of numbers or booleans.
    """
    try:
        dtype = None if value is None else np.dtype(value)
    except TypeError:
        dtype = None
    if dtype is None or dtype.kind not in "biuf":
        raise ValueError(
            f"obs_dtype={shown(value)}: expected a NumPy type of numbers or booleans, "
            f'such as np.uint8 or "float32"{where}'
        )
    return dtype


def are_names(value: Any) -> bool:
    """Return whether a value is a tuple or list of texts, and no text itself.

    Args:
        value: the names of a game's actions.
    """
    listed = isinstance(value, tuple | list)
    return listed and all(isinstance(name, str) for name in value)


def check_sizes(game: Game) -> None:
    """Refuse a game whose sizes are no counts, or too large to be played.

    The names of its actions and the type of its observations are checked too.

    Args:
        game: the game.

    Raises:
        ValueError: a size is out of its bounds, the names are no texts, or the type
            is none of numbers; names it and what is expected.
    """
    where = f" in {game.name}"
    if not are_names(game.action_names):
        raise ValueError(
            f"action_names={shown(game.action_names)}: expected a tuple of texts, "
            f'such as ("LEFT", "RIGHT"){where}'
        )
    bounds = (
        ("num_players", MAX_PLAYERS),
        ("num_actions", MAX_ACTIONS),
        ("max_steps", MAX_STEPS),
    )
    for name, most in bounds:
        whole_number(name, getattr(game, name, None), 1, most, where)
    shape: Any = game.obs_shape
    if not isinstance(shape, tuple):
        raise ValueError(
            f"obs_shape={shown(shape)}: expected a tuple of whole numbers{where}"
        )
    for size in shape:
        whole_number("obs_shape", size, 1, MAX_EPISODE_BYTES, where)
    checked_dtype(game.obs_dtype, where)
    if (needed := episode_bytes(game)) > MAX_EPISODE_BYTES:
        raise ValueError(
            f"max_steps={game.max_steps}, num_players={game.num_players}, "
            f"obs_shape={shown(shape)}: expected an episode of at most "
            f"{MAX_EPISODE_BYTES / 1e9:.1f} GB of observations{where}; "
            f"it has {needed / 1e9:,.1f} GB"
        )
