"""Datasets from arrays of other programs."""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Int

from bestreply.data.array_axes import Axes, joined
from bestreply.data.array_casts import (
    as_flags,
    as_floats,
    as_observations,
    as_probs,
    as_whole,
)
from bestreply.data.logged import (
    Logged,
    chunks,
    ended,
    flat_spans,
    warned_ends,
)
from bestreply.data.store import Store, create_store
from bestreply.types import ABSENT
from bestreply.utils.checks import shown
from bestreply.utils.output_folders import output_folder

if TYPE_CHECKING:
    from bestreply.games.base import Game

UNKNOWN = "unknown"
"""Name of a player of which nothing is known."""


def store_from_arrays(
    observations: Any,
    actions: Any,
    rewards: Any,
    terminals: Any = None,
    timeouts: Any = None,
    *,
    legal: Any = None,
    probs: Any = None,
    goals: Any = None,
    players: Any = None,
    next_observations: Any = None,
    next_legal: Any = None,
    action_names: Sequence[str] | None = None,
    goal_names: Sequence[str] | None = None,
    roles: Sequence[str] | None = None,
    seat_actions: Sequence[int] | None = None,
    max_steps: int | None = None,
    game: "Game | str | None" = None,
    path: str | os.PathLike | None = None,
) -> Store:
    """Write logged play as a dataset, from arrays of N seats in one of two layouts.

    Episodes along an axis, [E, T, N, ...], or steps of all episodes one after the
    other, [S, N, ...] (of one seat also [S]); `actions` decides: two axes are always
    [S, N], so episodes of one seat are [E, T, 1]. Each array can be a dict of one
    array for each seat, without the axis of seats; with `game`, names of its seats are
    put in its order. An episode ends at the
    first step at which each seat has a terminal or a timeout or is absent, else at the
    end of the arrays, as by a timeout. What follows it in [E, T, ...] is padding.

    Casts: whole numbers keep their value or are refused; floats are rounded to 32
    bits; observations that are booleans or whole numbers of at most 16 bits keep their
    type.

    Args:
        observations: [..., N, *obs], or [E, T + 1, N, *obs] with the observation that
            the last step reached.
        actions: [..., N] whole numbers from 0; -1 for a seat that is absent.
        rewards: [..., N], or without the axis of seats: all seats have it.
        terminals: [..., N] or [...] bool: the step ended the game for a seat, or all.
            None: no game ended by its rules. The second layout requires this array or
            the next one.
        timeouts: as `terminals`: the step limit, or the end of the log; the game could
            have gone on.
        legal: [..., N, A] bool, also [E, T + 1, N, A]; by default all actions.
        probs: [..., N] probability of the action by the policy that chose it; NaN or
            None: unknown.
        goals: [..., N] indices into `goal_names`; -1: unknown.
        players: N names, for each seat one, or [E, N] names. By default "unknown".
        next_observations: [..., N, *obs] after each step. Those after the last step
            are read. Where none are given, the last step of an episode that a timeout
            ended is left out, and one that a terminal ended reaches its own
            observation again.
        next_legal: [..., N, A], as `next_observations`.
        action_names: by default "0", "1", ...
        goal_names: by default "0", "1", ..., "none".
        roles: role of each seat, where seats differ.
        seat_actions: number of actions of each seat, its first ones, where they
            differ.
        max_steps: step limit; by default the longest episode.
        game: the game, or its name; by default a recorded game of these shapes and
            names.
        path: folder of the dataset; by default a new one in ``datasets/``.

    Returns:
        The dataset.

    Raises:
        ValueError: a shape or a value does not fit; names the argument, the place and
            the value.
        FileExistsError: there is a dataset in `path`.
    """
    from bestreply.games import make_game

    game = None if game is None else make_game(game)
    given = {
        "observations": observations,
        "actions": actions,
        "rewards": rewards,
        "terminals": terminals,
        "timeouts": timeouts,
        "legal": legal,
        "probs": probs,
        "goals": goals,
        "next_observations": next_observations,
        "next_legal": next_legal,
    }
    names = {
        "action_names": action_names,
        "goal_names": goal_names,
        "roles": roles,
        "seat_actions": seat_actions,
        "max_steps": max_steps,
    }
    given, seats = joined(given, game)
    log = logged_arrays(given, game)
    log, roster = _seated(log, players)
    log = warned_ends(log)
    if game is None:
        own = {k: fact for k, fact in seats.items() if names.get(k) is None}
        game = recorded_game(log, **names | own)
    else:
        refuse_beside(game, names)
    return write_store(log, game, roster, path)


def refuse_beside(game: "Game", given: Mapping[str, Any]) -> None:
    """Refuse names and sizes that are not those of the game they are given with.

    Args:
        game: the game.
        given: `action_names`, `goal_names`, `roles`, `seat_actions` and `max_steps`;
            None: not given.

    Raises:
        ValueError: for the first that differs.
    """
    goals = [game.goals, game.goals[:-1]]  # the last one is "none"
    known = {"goal_names": goals, "max_steps": [game.max_steps]}
    for name, value in given.items():
        if value is None:
            continue
        own = known.get(name) or [getattr(game, name)]
        plain = tuple(value) if isinstance(value, Iterable) else value
        if plain not in own:
            raise ValueError(
                f"{name}={shown(value)}: expected {shown(own[0])}, as {game.name} "
                "has; leave it out"
            )


def write_store(
    log: Logged,
    game: "Game",
    roster: Sequence[Mapping[str, Any]],
    path: str | os.PathLike | None,
) -> Store:
    """Write logged play as a new dataset.

    Args:
        log: logged play with players.
        game: its game.
        roster: the players that `log.player` indexes.
        path: folder of the dataset; None: a new one in ``datasets/``.

    Returns:
        The dataset.

    Raises:
        ValueError: the play is not the game's.
        FileExistsError: there is a dataset in `path`.
    """
    _check_game(log, game)
    folder = output_folder(path, "datasets", game.name)
    is_new = not folder.exists()
    store = create_store(folder, game, roster)
    try:
        for episodes in chunks(log, game):
            store.append(episodes, seed=None)
    except ValueError:
        if not store.manifest.parts:
            (folder / "manifest.json").unlink()
            if is_new and not any(folder.iterdir()):
                folder.rmdir()
        raise
    return store


# -- arrays of other programs --------------------------------------------------


ARRAYS = (
    "observations",
    "actions",
    "rewards",
    "terminals",
    "timeouts",
    "legal",
    "probs",
    "goals",
    "next_observations",
    "next_legal",
)
"""Arguments of `store_from_arrays` that are arrays, and names in an .npz file."""


def logged_arrays(given: Mapping[str, Any], game: "Game | None") -> Logged:
    """Return logged play, without players, from arrays with an axis of seats.

    Args:
        given: the arrays by their names in `ARRAYS`; missing ones count as None.
        game: the game; None: it is not known.

    Raises:
        ValueError: a shape or a value does not fit.
    """
    given = {name: given.get(name) for name in ARRAYS}
    axes = Axes.of(given["actions"])
    dtype = None if game is None else game.obs_dtype
    observed = as_observations("observations", given["observations"], dtype)
    stops = {
        name: as_flags(name, given[name])
        for name in ("terminals", "timeouts")
        if given[name] is not None
    }
    axes.refuse_episodes_of_one_seat(observed.shape, [*stops.values()])
    action = axes.seated("actions", axes.actions)
    if len(axes.lead) == 1 and not stops:
        raise ValueError(
            f"terminals=None, timeouts=None: expected at least one of them, to tell "
            f"where each episode of {axes.steps} steps ends; or arrays [E, T, N, ...]"
        )
    over = _stops(axes, "terminals", stops)
    timeout = _stops(axes, "timeouts", stops)
    obs, has_final = axes.observed("observations", observed)
    start, length = _spans(axes, over | timeout)
    following = given["next_observations"]
    if following is not None:
        name = "next_observations"
        following = as_observations(name, following, obs.dtype)
        following, _ = axes.observed(name, following, longer=False)
    legal, next_legal = _masks(axes, given, has_final)
    goal = _optional(axes, "goals", given["goals"], _as_goals)
    return Logged(
        obs=obs,
        action=action,
        reward=axes.seated("rewards", as_floats("rewards", given["rewards"])),
        terminated=over,
        timeout=timeout,
        start=start,
        length=length,
        obs_start=axes.obs_start(start) if has_final else start,
        has_final=np.full(len(start), has_final),
        next_obs=following,
        legal=legal,
        next_legal=next_legal,
        prob=_optional(axes, "probs", given["probs"], as_probs),
        goal=goal,
        goal_source=None if goal is None else (goal >= 0).astype(np.int8),
    )


def _as_goals(name: str, values: Any) -> np.ndarray:
    return as_whole(name, values, ABSENT, None, "a goal, or -1 if unknown")


def _optional(axes: Axes, name: str, values: Any, cast: Any) -> Any:
    return None if values is None else axes.seated(name, cast(name, values))


def _stops(
    axes: Axes, name: str, stops: Mapping[str, np.ndarray]
) -> Bool[np.ndarray, "S N"]:
    if name not in stops:
        return np.zeros((axes.steps, axes.seats), bool)
    return axes.seated(name, stops[name])


def _spans(
    axes: Axes, stops: Bool[np.ndarray, "S N"]
) -> tuple[Int[np.ndarray, " E"], Int[np.ndarray, " E"]]:
    """Return first step and length of each episode."""
    action = axes.seated("actions", axes.actions)
    if len(axes.lead) == 1:
        return flat_spans(stops, action)
    episodes, steps = axes.lead
    shape = (episodes, steps, axes.seats)
    action, stops = action.reshape(shape), stops.reshape(shape)
    over, acted = ended(stops, action), (action != ABSENT).any(2)
    # A step without an action is behind the end.
    length = np.where(over.any(1), over.argmax(1), steps - 1)
    length += acted[np.arange(episodes), length]
    for episode in np.flatnonzero(~acted[:, 0])[:1]:
        raise ValueError(
            f"actions[{episode}]: expected an action of a seat at the first step; "
            "all are -1"
        )
    return np.arange(episodes) * steps, length


def _masks(
    axes: Axes, given: dict[str, Any], has_final: bool
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return legal actions at the places of the observations, and after each step."""
    legal, following = given["legal"], given["next_legal"]
    if following is not None:
        following = as_flags("next_legal", following)
        following, _ = axes.observed("next_legal", following, longer=False)
    if legal is None:
        return None, None
    legal, longer = axes.observed("legal", as_flags("legal", legal))
    if longer == has_final:
        return legal, following
    episodes, steps = axes.lead
    if longer:  # masks after the last step, but no observations
        whole = legal.reshape(episodes, steps + 1, *legal.shape[1:])
        after = whole[:, 1:].reshape(-1, *legal.shape[1:])
        whole = whole[:, :-1].reshape(-1, *legal.shape[1:])
        return whole, after if following is None else following
    whole = legal.reshape(episodes, steps, *legal.shape[1:])
    whole = np.concatenate([whole, np.zeros_like(whole[:, :1])], 1)
    return whole.reshape(-1, *legal.shape[1:]), following


def _seated(log: Logged, players: Any) -> tuple[Logged, list[dict[str, Any]]]:
    """Return play with the players of each episode, and their roster."""
    shape = len(log.length), log.num_players
    if isinstance(players, Mapping):
        players = list(players.values())
    names = np.array(UNKNOWN if players is None else players)
    if players is not None and (
        names.dtype.kind != "U" or names.shape not in (shape, shape[1:])
    ):
        raise ValueError(
            f"players of shape {names.shape}, {names.dtype}: expected a name for "
            f"each of {shape[1]} seats, or names [{shape[0]} episodes, {shape[1]}]"
        )
    if players is not None and not (names != "").all():
        raise ValueError("players='': expected names that are not empty")
    known, index = np.unique(np.broadcast_to(names, shape), return_inverse=True)
    roster = [{"name": str(name), "version": 1} for name in known]
    player = index.reshape(shape).astype(np.int32)
    return dataclasses.replace(log, player=player), roster


def recorded_game(
    log: Logged,
    *,
    action_names: Sequence[str] | None = None,
    goal_names: Sequence[str] | None = None,
    roles: Sequence[str] | None = None,
    seat_actions: Sequence[int] | None = None,
    max_steps: int | None = None,
    seat_names: Sequence[str] = (),
) -> "Game":
    """Return the recorded game of logged play.

    Args:
        log: logged play.
        action_names, goal_names, roles, seat_actions, max_steps: as in
            `store_from_arrays`.
        seat_names: names of the seats, where the log has names.

    Returns:
        The game.

    Raises:
        ValueError: the names do not fit the play.
    """
    from bestreply.games.recorded import RecordedGame

    counts = tuple(map(int, seat_actions or ()))
    count = _action_count(log, counts, action_names)
    goals = () if goal_names is None else tuple(goal_names)
    if goal_names is None and log.goal is not None:
        goals = tuple(map(str, range(int(log.goal.max()) + 1)))
    if goals[-1:] != ("none",):
        goals = (*goals, "none")
    values = log.obs
    return RecordedGame(
        players=log.num_players,
        actions=tuple(action_names) if action_names else count,
        obs=values.shape[2:],
        max_steps=int(log.length.max()) if max_steps is None else max_steps,
        dtype=values.dtype.name,
        roles=tuple(roles or ()),
        seat_actions=counts,
        goals=goals,
        zero_one=bool(((values == 0) | (values == 1)).all()),
        seat_names=tuple(seat_names),
    )


def _action_count(
    log: Logged, seat_actions: tuple[int, ...], names: Sequence[str] | None
) -> int:
    """Return the number of actions: that of `legal`, else of the largest action."""
    used = int(log.action.max()) + 1
    count = max(used, *seat_actions, 1)
    source = f"actions go up to {used - 1}"
    if count > used:
        source = f"seat_actions goes up to {count}"
    if log.legal is not None:
        width = log.legal.shape[-1]
        if width < count:
            raise ValueError(
                f"legal of {width} actions: expected at least {count}, as {source}"
            )
        count, source = width, f"legal has {width}"
    if names and len(names) < count:
        raise ValueError(
            f"action_names={shown(list(names))}: expected at least {count} names, as "
            f"{source}"
        )
    return count


def _check_game(log: Logged, game: "Game") -> None:
    """Refuse play that is not of a game: seats, shape, steps, actions, goals."""
    seats, shape = log.num_players, log.obs.shape[2:]
    marked = (*shape[:-1], shape[-1] + seats)
    if seats != game.num_players:
        raise ValueError(
            f"actions of {seats} seats: expected {game.num_players}, as "
            f"{game.name} has"
        )
    if game.obs_shape not in (shape, marked):
        raise ValueError(
            f"observations of shape {shape}: expected {game.obs_shape}, as "
            f"{game.name} has"
        )
    limits = {
        "steps of an episode": (int(log.length.max()), game.max_steps + 1),
        "actions": (int(log.action.max()), game.num_actions),
    }
    if log.goal is not None:
        limits["goals"] = int(log.goal.max()), len(game.goals)
    if log.legal is not None:
        size = log.legal.shape[-1]
        limits["actions of legal"] = size, game.num_actions + 1
    for name, (largest, end) in limits.items():
        if largest >= end:
            raise ValueError(
                f"{name} up to {largest}: expected at most {end - 1}, as "
                f"{game.name} has"
            )
    if log.legal is not None and log.legal.shape[-1] != game.num_actions:
        raise ValueError(
            f"legal with {log.legal.shape[-1]} actions: expected "
            f"{game.num_actions}, as {game.name} has"
        )
