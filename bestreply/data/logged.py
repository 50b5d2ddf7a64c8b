"""Logged play as flat arrays, and the padded episodes that a dataset is written from."""

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32, Shaped

from bestreply.types import ABSENT
from bestreply.utils.console import warn

if TYPE_CHECKING:
    from bestreply.games.base import Game
    from bestreply.types import Episodes

PART_BYTES = 256 << 20
"""Approximate size of the padded observations of a part."""


@dataclasses.dataclass(frozen=True)
class Logged:
    """Logged play: steps of all episodes in one axis ``S``; seats in global order.

    Steps ``start[e]`` to ``start[e] + length[e] - 1`` are those of episode ``e``.
    """

    obs: Shaped[np.ndarray, "O N ..."]
    action: Int32[np.ndarray, "S N"]  # ABSENT: the seat has left, or never came
    reward: Float32[np.ndarray, "S N"]
    terminated: Bool[np.ndarray, "S N"]
    timeout: Bool[np.ndarray, "S N"]  # the seat stops, but its game is not over
    start: Int[np.ndarray, " E"]
    length: Int[np.ndarray, " E"]
    obs_start: Int[np.ndarray, " E"]  # of the first observation in `obs`
    has_final: Bool[np.ndarray, " E"]
    """Whether `obs` has, after the last step of an episode, the one reached."""
    next_obs: Shaped[np.ndarray, "S N ..."] | None = None
    legal: Bool[np.ndarray, "O N A"] | None = None  # at the places of `obs`
    next_legal: Bool[np.ndarray, "S N A"] | None = None
    prob: Float32[np.ndarray, "S N"] | None = None
    goal: Int32[np.ndarray, "S N"] | None = None
    goal_source: Shaped[np.ndarray, "S N"] | None = None
    player: Any = None  # [E, N] int32, indices into the roster

    @property
    def num_players(self) -> int:
        """Number of seats."""
        return self.action.shape[1]

    @property
    def reaches(self) -> bool:
        """Whether the observation after the last step of an episode is known."""
        return self.next_obs is not None or bool(self.has_final.all())


def ended(
    over: Bool[np.ndarray, "... T N"], action: Int32[np.ndarray, "... T N"]
) -> Bool[np.ndarray, "... T"]:
    """Return the steps at which no seat goes on; the axis of time begins an episode.

    Args:
        over: steps that end the episode for a seat.
        action: the actions, ABSENT for a seat that is not in the game.
    """
    gone = np.maximum.accumulate(over, -2)
    return (gone | (action == ABSENT)).all(-1)


def flat_spans(
    over: Bool[np.ndarray, "S N"], action: Int32[np.ndarray, "S N"]
) -> tuple[Int[np.ndarray, " E"], Int[np.ndarray, " E"]]:
    """Return first step and length of the episodes that follow each other in one axis.

    An episode ends where no seat goes on, the last one at the end of the arrays. A step
    without an action ends one and belongs to none.

    Args:
        over: steps that end the episode for a seat.
        action: the actions, ABSENT for a seat that is not in the game.

    Raises:
        ValueError: no step has an action.
    """
    steps, seats = action.shape
    absent = action == ABSENT
    empty = absent.all(1)
    if empty.all():
        raise ValueError("actions: expected an action of a seat; all are -1")
    gone = np.zeros(seats, bool)
    first, spans = 0, []
    for step in np.flatnonzero(over.any(1) | empty):
        gone |= over[step]
        if (gone | absent[step]).all():
            spans.append((first, step + (not empty[step]) - first))
            first = int(step) + 1
            gone[:] = False
    spans.append((first, steps - first))
    bounds = np.array([span for span in spans if span[1]], np.int32)
    return bounds[:, 0], bounds[:, 1]


def without_unknown_ends(log: Logged) -> tuple[Logged, int]:
    """Return play in which every step that is not final has a next observation.

    Where the observation after the last step of a truncated episode is unknown, that
    step is left out: the observation before it becomes the one reached.

    Args:
        log: logged play.

    Returns:
        The play, and the number of steps left out. An episode of one such step is
        left out as a whole.
    """
    if log.reaches:
        return log, 0
    cut = _is_cut(log)
    length = log.length - cut
    kept = length > 0
    fields = ("start", "length", "obs_start", "player")
    arrays = {name: getattr(log, name)[kept] for name in fields}
    arrays["length"] = length[kept]
    arrays["has_final"] = cut[kept]  # the observation before the step left out
    return dataclasses.replace(log, **arrays), int(cut.sum())


def warned_ends(log: Logged) -> Logged:
    """Return play as `without_unknown_ends`, after a warning about what it leaves out.

    Args:
        log: logged play.

    Raises:
        ValueError: nothing is left.
    """
    episodes = len(log.length)
    log, left_out = without_unknown_ends(log)
    if left_out:
        warn(
            f"{left_out:,} truncated episodes without an observation after their last "
            "step: that step is left out. Give next observations to keep it"
        )
    if not len(log.length):
        raise ValueError(
            f"{episodes} episodes of one step: expected an episode with a step whose "
            "next observation is known. Give next observations"
        )
    return log


def _is_cut(log: Logged) -> Bool[np.ndarray, " E"]:
    """Return the episodes whose last step is not final for some seat."""
    last = log.start + log.length - 1
    early = log.timeout.copy()
    early[last] = False
    stopped = log.terminated | early
    # A row more, as the last episode ends behind the last step.
    stopped = np.concatenate([stopped, np.zeros_like(stopped[:1])])
    bounds = np.stack([log.start, last + 1], 1).reshape(-1)
    stopped = np.logical_or.reduceat(stopped, bounds, axis=0)[::2]
    return ~(stopped | (log.action[last] == ABSENT)).all(1)


def chunks(log: Logged, game: "Game") -> Iterator["Episodes"]:
    """Yield episodes as padded arrays, about `PART_BYTES` at a time.

    Args:
        log: logged play with players.
        game: its game.
    """
    row = int(np.prod(game.obs_shape)) * np.dtype(game.obs_dtype).itemsize
    longest = int(log.length.max()) + 1
    size = max(1, PART_BYTES // max(1, longest * log.num_players * row))
    for first in range(0, len(log.length), size):
        yield _padded(log, game, slice(first, first + size))


def _padded(log: Logged, game: "Game", some: slice) -> "Episodes":
    from bestreply.types import Episodes

    length = log.length[some]
    t = np.arange(int(length.max()))
    valid = t < length[:, None]
    at = log.start[some][:, None] + np.minimum(t, length[:, None] - 1)
    action = np.where(valid[..., None], log.action[at], ABSENT)
    over = log.terminated[at] & valid[..., None]
    stopped = over | (log.timeout[at] & valid[..., None])
    action[(np.cumsum(stopped, 1) - stopped) > 0] = ABSENT
    acted = action != ABSENT
    _refuse_lost_steps(acted, stopped, length, some.start)
    over &= acted
    present = _present(acted, over, length)
    going_on = (acted & ~over).any(2)
    return Episodes(
        obs=_observations(log, game, some, at, acted),
        legal=_masks(log, game, some, at, acted),
        present=present,
        action=action,
        terminated=over,
        truncated=(t == length[:, None] - 1) & going_on,
        length=length,
        player=log.player[some],
        **_step_columns(log, at, acted),
    )


def _refuse_lost_steps(
    acted: Bool[np.ndarray, "E T N"],
    stopped: Bool[np.ndarray, "E T N"],
    length: Int[np.ndarray, " E"],
    first: int,
) -> None:
    """Raise ValueError where a seat no longer acts, and nothing says why."""
    lost = (acted & ~stopped)[:, :-1] & ~acted[:, 1:]
    lost &= (np.arange(1, acted.shape[1]) < length[:, None])[..., None]
    for e, t, s in np.argwhere(lost)[:1]:
        raise ValueError(
            f"episode {first + e}, step {t}: seat {s} has no action at the next step, "
            "and has not left: expected a terminal (the game is over for the seat) or "
            "a timeout (the seat is cut off alone) of its own at this step"
        )


def _step_columns(
    log: Logged, at: Int[np.ndarray, "E T"], acted: Bool[np.ndarray, "E T N"]
) -> dict[str, np.ndarray]:
    """Return what is known of each step, and padding where no seat acted."""
    steps = {
        "prob": (log.prob, np.float32(np.nan)),
        "reward": (log.reward, np.float32(0)),
        "goal": (log.goal, np.int32(ABSENT)),
        "goal_source": (log.goal_source, np.int8(0)),
    }
    return {
        name: np.full(acted.shape, empty)
        if values is None
        else np.where(acted, values[at], empty)
        for name, (values, empty) in steps.items()
    }


def _present(
    acted: Bool[np.ndarray, "E T N"],
    over: Bool[np.ndarray, "E T N"],
    length: Int[np.ndarray, " E"],
) -> Bool[np.ndarray, "E T1 N"]:
    """Return presence: at the end, of the seats that acted last and did not terminate."""
    present = np.concatenate([acted, np.zeros_like(acted[:, :1])], 1)
    rows = np.arange(len(acted))
    present[rows, length] = (acted & ~over)[rows, length - 1]
    return present


def _reached(
    log: Logged,
    values: Shaped[np.ndarray, "O N ..."],
    following: Shaped[np.ndarray, "S N ..."] | None,
    some: slice,
    at: Int[np.ndarray, "E T"],
    acted: Bool[np.ndarray, "E T N"],
) -> Shaped[np.ndarray, "E T1 N ..."]:
    """Return values at each step and at the end; the last known one where that is unknown."""
    length = log.length[some][:, None]
    last = length - ~log.has_final[some][:, None]
    t = np.arange(at.shape[1] + 1)
    result = values[log.obs_start[some][:, None] + np.minimum(t, last)]
    if following is not None:
        later = np.concatenate([acted[:, 1:], np.zeros_like(acted[:, :1])], 1)
        e, step, seat = np.nonzero(acted & ~later)
        result[e, step + 1, seat] = following[at[e, step], seat]
    return result


def _observations(
    log: Logged,
    game: "Game",
    some: slice,
    at: Int[np.ndarray, "E T"],
    acted: Bool[np.ndarray, "E T N"],
) -> Shaped[np.ndarray, "E T1 N ..."]:
    """Return observations, with the seats' marks where the game asks for them."""
    from bestreply.games.seats import seat_marks

    obs = _reached(log, log.obs, log.next_obs, some, at, acted)
    shape = obs.shape[3:]
    if shape != game.obs_shape:
        marks = seat_marks(shape, log.num_players, obs.dtype)
        marks = np.broadcast_to(marks, (*obs.shape[:2], *marks.shape))
        obs = np.concatenate([obs, marks], -1)
    return obs.astype(game.obs_dtype, copy=False)


def _masks(
    log: Logged,
    game: "Game",
    some: slice,
    at: Int[np.ndarray, "E T"],
    acted: Bool[np.ndarray, "E T N"],
) -> Bool[np.ndarray, "E T1 N A"]:
    """Return legal actions; all actions of the seat where they are unknown, or none is."""
    from bestreply.games.seats import own_actions

    own = own_actions(game)
    if log.legal is None:
        shape = (len(acted), acted.shape[1] + 1, *own.shape)
        return np.broadcast_to(own, shape).copy()
    legal = _reached(log, log.legal, log.next_legal, some, at, acted)
    empty = ~legal.any(-1, keepdims=True)
    acts = np.concatenate([acted, np.zeros_like(acted[:, :1])], 1)[..., None]
    return np.where(empty & ~acts, own, legal)
