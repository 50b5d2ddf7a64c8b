"""Pictures that a game draws of its own states, in matches that were played before."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8

from bestreply.games.base import Game
from bestreply.games.pictures import MAX_SIDE, image_picture
from bestreply.simulation.loop import Played
from bestreply.simulation.replayed import states_of
from bestreply.types import ABSENT
from bestreply.utils.console import warn

MAX_BYTES = 500_000
"""Of all pictures of one file, about; more of them are smaller."""
MIN_SIDE = 64
"""Pixels of the longer side of the smallest pictures."""


def draw_frames(
    game: Game,
    played: Played,
    seed: int,
    matches: Sequence[dict[str, Any]],
) -> None:
    """Replace the pictures of observations by those that the game draws of its states.

    The episodes are stepped again. Nothing changes in a game that draws none.

    Args:
        game: the game.
        played: the play that the matches describe, in the same order.
        seed: its seed.
        matches: matches of `describe_match`, changed in place.
    """
    if type(game).frame is Game.frame:
        return
    share = MAX_BYTES // max(len(matches), 1)
    for number, match in enumerate(matches):
        episode = jax.tree.map(lambda x, k=number: x[k], played.episodes)
        acted = np.flatnonzero(episode.action[:, match["seat"]] != ABSENT)
        shown = {
            t: step
            for t, step in zip(acted.tolist(), match["steps"], strict=True)
            if "picture" in step
        }
        side = MAX_SIDE
        for t, state in enumerate(states_of(game, seed, number, episode)):
            if t not in shown:
                continue
            pixels = frame_of(game, state)
            if pixels is None:
                return
            if t == min(shown):
                side = _side(pixels, len(shown), share)
            shown[t]["picture"] = image_picture(pixels, side)


def frame_of(game: Game, state: Any) -> UInt8[np.ndarray, "H W 3"] | None:
    """Return the picture that a game draws of a state.

    Args:
        game: the game.
        state: a state.

    Returns:
        The pixels; None if the game draws none, or fails to: a display or a package
        that it draws with can be missing. A warning then says so.
    """
    try:
        pixels = game.frame(state)
    except Exception as error:
        warn(f"{game.name} draws no picture: {type(error).__name__}: {error}")
        return None
    if pixels is None:
        return None
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        warn(
            f"{game.name} draws {pixels.dtype}{list(pixels.shape)}: expected a picture "
            "[H, W, 3] of uint8"
        )
        return None
    return pixels


def _side(pixels: UInt8[np.ndarray, "H W 3"], count: int, share: int) -> int:
    """Return the longer side at which `count` pictures take about `share` bytes."""
    size = len(image_picture(pixels))
    scale = math.sqrt(share / (size * count))
    return max(min(int(MAX_SIDE * scale), MAX_SIDE), MIN_SIDE)
