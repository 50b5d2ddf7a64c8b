"""The contract of `Game`: its properties, and the checks of what a game declares.

A game declares its sizes and settings, and what an observation determines.
`check_game` in check.py combines these checks with those of play.
"""

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from xml.etree import ElementTree

import jax
import numpy as np

from bestreply.games.base import Game
from bestreply.games.comparisons import brief
from bestreply.games.host import HostGame
from bestreply.games.seats import own_actions
from bestreply.games.sizes import (
    MAX_EPISODE_BYTES,
    are_names,
    episode_bytes,
)
from bestreply.types import ABSENT, TimeStep, ego_order
from bestreply.utils.spec import is_role, tuples

PROPERTIES = {
    "description": "sizes and version are ints, names are text, and they are consistent",
    "goals": "goals are different names and end in 'none'",
    "seats": "each seat has a role and a number of actions; no other action is legal for it; observations tell seats that differ",
    "settings": "a game is hashable; its name and settings, also through JSON, make an equal game",
    "reset": "a first step has reward 0, is not over and has a player present",
    "step": "`step` accepts every joint legal action",
    "types": "the arrays of a TimeStep have their shapes and dtypes",
    "finite": "observations and rewards are finite",
    "binary": "the entries declared binary are 0 or 1",
    "legal": "every seat has a legal action in every step, also after its game is over",
    "flags": "terminated, truncated and present are consistent",
    "left": "a seat that left stays absent, terminated, with reward 0; its action has no effect",
    "max_steps": "an episode ends within `max_steps` steps, and is truncated only at this limit; a `HostEnv` also before it",
    "finished": "a finished game steps to itself with reward 0",
    "last_observation": "the last observation is the one reached, not that of a next episode",
    "determinism": "equal keys and actions give an equal episode",
    "purity": "equal state, actions and key give an equal step",
    "mutation": "a step does not change the state and the actions it is given",
    "state": "the state keeps its structure, shapes and dtypes",
    "jit": "`reset` and `step` give the same under `jax.jit`",
    "vmap": "`reset` and `step` give the same under `jax.vmap`",
    "ego_first": "an observation has its own seat first and the other seats in seat order",
    "perspective": "`perspective` gives the other seat's observation, up to the order of players",
    "legal_in": "`legal_in` gives the legal actions of the observing seat",
    "present_in": "`present_in` gives the players present, ego-first",
    "symmetries": "`symmetries` are permutations, first the identity; declarations transform with them",
    "achieved": "`achieved` gives a goal's index or -1, for one step and for arrays of steps",
    "text": "`text` is a string, `picture` a well-formed SVG element",
}
"""The properties of the contract; a `GameError` names one of them."""

MAX_SYMMETRIES = 16
"""Symmetries that are checked."""


class GameError(AssertionError):
    """A violated property of the contract of `Game`.

    `property` is one of `PROPERTIES`, `seen` the evidence.
    """

    def __init__(self, game: Any, property: str, seen: str):
        self.property, self.seen = property, seen
        name = getattr(game, "name", type(game).__name__)
        super().__init__(
            f"{name}: {property}\n  expected: {PROPERTIES[property]}\n  seen: {seen}"
        )


class Play(NamedTuple):
    """One episode of ``T`` steps."""

    states: list[Any]  # T + 1
    shown: list[TimeStep]  # T + 1, in NumPy
    actions: list[np.ndarray]  # T of [N]
    keys: list[jax.Array]  # T + 1: of the reset, then of every step


# -- declarations ------------------------------------------------------------


def check_description(game: object) -> None:
    """Check sizes, names, version, planes and goals.

    Args:
        game: the game.

    Raises:
        GameError: at the first violation of "description" or "goals".
    """
    if not isinstance(game, Game):
        kind = type(game).__name__
        seen = f"{kind} does not subclass bestreply.games.base.Game"
        raise GameError(game, "description", seen)
    for fits, seen in _descriptions(game):
        if not fits:
            raise GameError(game, "description", seen)
    goals = game.goals
    if not goals or goals[-1] != "none" or len(set(goals)) != len(goals):
        raise GameError(game, "goals", f"goals = {goals!r}")


def _descriptions(game: Game) -> Iterator[tuple[bool, str]]:
    """Yield whether each declaration is valid, and its value."""
    names = game.action_names
    yield are_names(names), f"action_names = {names!r:.200}; texts"
    for name in ("num_players", "num_actions", "max_steps", "version"):
        value = getattr(game, name, None)
        fits = type(value) is int and value >= 1
        yield fits, f"{name} = {value!r}; an int, 1 or more"
    for name in ("name", "summary"):
        value = getattr(game, name, None)
        yield (
            isinstance(value, str) and value != "",
            f"{name} = {value!r}; a text",
        )
    shape, planes = game.obs_shape, game.planes
    count = game.num_actions
    yield len(set(names)) == count, f"{count} actions, action_names = {names!r}"
    ints = isinstance(shape, tuple) and all(
        type(s) is int and s >= 1 for s in shape
    )
    yield ints, f"obs_shape = {shape!r}; ints, 1 or more"
    size, most = episode_bytes(game), MAX_EPISODE_BYTES
    yield size <= most, f"an episode has {size} bytes; at most {most}"
    fits = not planes or len(planes) == shape[-1]
    yield fits, f"planes = {planes!r}, obs_shape = {shape}"
    binary = np.asarray(game.binary)
    fits = binary.shape == shape and binary.dtype == bool
    yield fits, f"binary is {binary.dtype} {binary.shape}, obs_shape = {shape}"


def check_seats(game: Game, samples: "Samples") -> None:
    """Check roles, the seats' actions, and `seat_in`.

    Args:
        game: the game.
        samples: time steps.

    Raises:
        GameError: if "seats" is violated.
    """
    n, roles, counts = game.num_players, game.roles, game.seat_actions
    if len(roles) != n or not all(map(is_role, roles)):
        plain = "texts without quotes, brackets, commas, '=' and '|'"
        raise GameError(
            game, "seats", f"roles = {roles!r} of {n} seats; {plain}"
        )
    fits = len(counts) == n and max(counts, default=0) == game.num_actions
    if not fits or min(counts) < 1:
        seen = f"seat_actions = {counts!r}, num_actions = {game.num_actions}"
        raise GameError(game, "seats", seen)
    own = own_actions(game)
    for where, shown in samples:
        if (np.asarray(shown.legal) & ~own).any():
            seen = (
                f"{where}: legal {brief(shown.legal)}; the seats have {counts}"
            )
            raise GameError(game, "seats", seen)
        given = game.seat_in(np.asarray(shown.obs))
        if given is None and game.homogeneous:
            continue
        if given is None or not np.array_equal(given, np.arange(n)):
            seen = f"{where}: seat_in gives {given} for the seats 0 to {n - 1}"
            raise GameError(game, "seats", seen)


def check_settings(game: Game, skipped: dict[str, str]) -> None:
    """Check that name and settings, also through JSON, make an equal game.

    Args:
        game: the game.
        skipped: properties that cannot be checked, with reasons; extended in place.

    Raises:
        GameError: if "settings" is violated.
    """
    if not dataclasses.is_dataclass(game):
        skipped["settings"] = "the game is no dataclass, so it has no settings"
        return
    try:
        settings = game.settings
        through_json = tuples(json.loads(json.dumps(settings)))
        for source, given in (
            ("settings", settings),
            ("JSON of settings", through_json),
        ):
            again = _make_again(game, given)
            if again != game or hash(again) != hash(game):
                seen = f"its {source}, {given}, make {again!r}, not {game!r}"
                raise GameError(game, "settings", seen)
    except (TypeError, ValueError) as error:
        seen = f"{type(error).__name__}: {error}"
        raise GameError(game, "settings", seen) from error


def _make_again(game: Game, settings: dict[str, Any]) -> Game:
    from bestreply.games.registry import ADAPTED, GAMES, make_game

    by_name = isinstance(game, HostGame) or game.name in GAMES
    if by_name or game.name.partition(":")[0] in ADAPTED:
        return make_game(game.name, **settings)
    return type(game)(**settings)


# -- what observations determine ---------------------------------------------

Samples = list[tuple[str, TimeStep]]
"""Time steps to check, each with a description of its place."""


def _call(game: Game, name: str, *args: Any) -> Any:
    """Return the result of a method, in NumPy; an exception violates its property."""
    try:
        result = _method(game, name)(*args)
    except Exception as error:
        property = "text" if name == "picture" else name
        raise GameError(game, property, raised(error)) from error
    if result is None or isinstance(result, str):
        return result
    return np.asarray(result)


@functools.lru_cache(maxsize=16)
def _method(game: Game, name: str) -> Callable:
    """Return a method, compiled if a compiled game's; some are called on the host."""
    method = getattr(game, name)
    on_host = name in ("achieved", "text", "picture")
    jitted = game.compiled and not on_host
    return jax.jit(method) if jitted else method


def raised(error: Exception) -> str:
    """Return the type and the first line of an exception.

    Args:
        error: the exception.

    Returns:
        One line.
    """
    text = str(error).strip().split("\n")[0]
    return f"raised {type(error).__name__}: {text}"


UNDETERMINED = "the game does not define it"


def _has_player_planes(game: Game) -> bool:
    return len(game.planes) >= game.num_players and game.planes[0] == "self"


def check_ego_first(
    game: Game, step: Callable, plays: list[Play], samples: Samples
) -> None:
    """Check that an observation has its own seat first, the others in seat order.

    If all seats have the same observation, it must not depend on which seat acted
    how: the step is repeated with the actions of two seats exchanged.

    Args:
        game: the game.
        step: its `step`, called as (state, actions, key).
        plays: episodes.
        samples: time steps of them.

    Raises:
        GameError: if "ego_first" is violated.
    """
    if _has_player_planes(game):
        for where, shown in samples:
            _check_own_planes(game, where, shown)
    common = all(
        (shown.obs == shown.obs[:1]).all() for p in plays for shown in p.shown
    )
    if game.num_players > 1 and common:
        for play in plays:
            _check_anonymous(game, step, play)


def _check_own_planes(game: Game, where: str, shown: TimeStep) -> None:
    """Compare the plane of every seat in every view with that seat's plane "self"."""
    place = np.argsort(ego_order(game.num_players), axis=1)  # [viewer, seat]
    present = np.flatnonzero(shown.present)
    for viewer in present:
        for seat in present:
            plane = place[viewer, seat]
            own = shown.obs[seat][..., 0]
            if not np.array_equal(own, shown.obs[viewer][..., plane]):
                seen = (
                    f"{where}: plane {plane} of seat {viewer} is not the plane "
                    f"'self' of seat {seat}"
                )
                raise GameError(game, "ego_first", seen)


def _check_anonymous(game: Game, step: Callable, play: Play) -> None:
    """Exchange the actions of the first two seats; the observations must not change."""
    rows = zip(
        play.states, play.shown, play.actions, play.keys[1:], strict=False
    )
    for state, shown, actions, key in rows:
        swapped = np.concatenate([actions[[1, 0]], actions[2:]])
        legal = shown.legal[range(game.num_players), swapped].all()
        if not legal or (swapped == actions).all():
            continue
        one, other = (
            step(state, joint, key)[1].obs for joint in (actions, swapped)
        )
        if not np.array_equal(one, other):
            seen = (
                "all seats have the same observation, yet it distinguishes the "
                f"joint actions {actions} and {swapped}"
            )
            raise GameError(game, "ego_first", seen)


def check_legal_in(
    game: Game, samples: Samples, skipped: dict[str, str]
) -> None:
    """Check `legal_in` for every seat.

    Args:
        game: the game.
        samples: time steps.
        skipped: properties that cannot be checked, with reasons; extended in place.

    Raises:
        GameError: if "legal_in" is violated.
    """
    for where, shown in samples:
        for seat in range(game.num_players):
            legal = _call(game, "legal_in", shown.obs[seat])
            if legal is None:
                skipped["legal_in"] = UNDETERMINED
                return
            if not np.array_equal(legal, shown.legal[seat]):
                seen = (
                    f"{where}, seat {seat}: {brief(legal)}; "
                    f"legal: {brief(shown.legal[seat])}"
                )
                raise GameError(game, "legal_in", seen)


def check_present_in(
    game: Game, samples: Samples, skipped: dict[str, str]
) -> None:
    """Check `present_in` for every seat.

    Args:
        game: the game.
        samples: time steps.
        skipped: properties that cannot be checked, with reasons; extended in place.

    Raises:
        GameError: if "present_in" is violated.
    """
    order = ego_order(game.num_players)
    for where, shown in samples:
        for seat in range(game.num_players):
            present = _call(game, "present_in", shown.obs[seat])
            if present is None:
                skipped["present_in"] = UNDETERMINED
                return
            truth = shown.present[order[seat]]
            if not np.array_equal(present, truth):
                seen = f"{where}, seat {seat}: {present}; present, ego-first: {truth}"
                raise GameError(game, "present_in", seen)


def check_perspective(
    game: Game, samples: Samples, skipped: dict[str, str]
) -> None:
    """Check `perspective` between all pairs of present seats.

    Args:
        game: the game.
        samples: time steps.
        skipped: properties that cannot be checked, with reasons; extended in place.

    Raises:
        GameError: if "perspective" is violated.
    """
    order = ego_order(game.num_players)
    for where, shown in samples:
        for viewer in np.flatnonzero(shown.present):
            for index, seat in enumerate(order[viewer]):
                other = np.asarray(index, np.int32)
                view = _call(game, "perspective", shown.obs[viewer], other)
                if view is None:
                    skipped["perspective"] = UNDETERMINED
                    return
                if not shown.present[seat]:
                    continue
                wrong = _views_differ(
                    game, view, np.asarray(shown.obs[seat]), index
                )
                if not wrong:
                    legal = _call(game, "legal_in", view)
                    if legal is not None and (legal != shown.legal[seat]).any():
                        wrong = "its legal actions differ"
                if wrong:
                    seen = (
                        f"{where}: the view of seat {seat} computed from that of "
                        f"seat {viewer}: {wrong}"
                    )
                    raise GameError(game, "perspective", seen)


def _views_differ(
    game: Game, view: np.ndarray, truth: np.ndarray, index: int
) -> str:
    """Return how two views differ up to the order of the other players, or ""."""
    n = game.num_players
    if view.shape != truth.shape:
        return f"shape {view.shape}, not {truth.shape}"
    if index == 0 or n == 2:
        return "" if np.allclose(view, truth) else "the entries differ"
    if not _has_player_planes(game):
        # The entries of a player are unknown, so only their values are compared.
        same = np.allclose(np.sort(view, None), np.sort(truth, None))
        return "" if same else "the values of the entries differ"
    planes, expected = (
        sorted(x[..., 1:n].reshape(-1, n - 1).T.tolist()) for x in (view, truth)
    )
    if planes != expected:
        return "the planes of the other players differ"
    common = [0, *range(n, view.shape[-1])]
    same = np.allclose(view[..., common], truth[..., common])
    return "" if same else "the own and the common planes differ"


def check_symmetries(
    game: Game, plays: list[Play], skipped: dict[str, str]
) -> None:
    """Check that symmetries are permutations and that declarations transform with them.

    Whether the rules are invariant is not checked.

    Args:
        game: the game.
        plays: episodes.
        skipped: properties that cannot be checked, with reasons; extended in place.

    Raises:
        GameError: if "symmetries" is violated.
    """
    symmetries, n = game.symmetries(), game.num_players
    if symmetries is None:
        skipped["symmetries"] = UNDETERMINED
        return
    sizes = {
        "obs": int(np.prod(game.obs_shape)),
        "action": game.num_actions,
        "others": n - 1,
    }
    for name, size in sizes.items():
        table, identity = np.asarray(getattr(symmetries, name)), np.arange(size)
        shape = (len(symmetries.obs), size)
        if table.shape != shape or (np.sort(table, 1) != identity).any():
            seen = f"{name} {table.shape}: not a permutation of {size} in every row"
            raise GameError(game, "symmetries", seen)
        if (table[0] != identity).any():
            seen = f"the first of {name} is not the identity: {brief(table[0])}"
            raise GameError(game, "symmetries", seen)
    rows = list(zip(*symmetries, strict=True))[:MAX_SYMMETRIES]
    for which, maps in enumerate(rows):
        seat = which % n
        for play in plays:
            for t in {len(play.actions) // 2, len(play.actions) - 1}:
                for name, result, expected in _transformed(
                    game, maps, play, t, seat
                ):
                    if np.array_equal(result, expected):
                        continue
                    seen = (
                        f"symmetry {which}, seat {seat}: {name} {brief(result)}; "
                        f"expected: {brief(expected)}"
                    )
                    raise GameError(game, "symmetries", seen)


def _transformed(
    game: Game, maps: tuple[np.ndarray, ...], play: Play, t: int, seat: int
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield each declaration: name, value of the transformed step, transformed value."""
    obs_map, action_map, others = maps
    shown, action = play.shown[t], np.asarray(play.actions[t][seat])
    reward = np.asarray(play.shown[t + 1].reward[seat])
    obs = np.asarray(shown.obs[seat])
    new_obs = obs.reshape(-1)[obs_map].reshape(obs.shape)
    binary = np.asarray(game.binary).reshape(-1)
    yield "binary", binary[obs_map], binary
    order = {
        "legal_in": np.argsort(action_map),
        "present_in": np.array([0, *(1 + others)]),
    }
    for name, places in order.items():
        before, after = (_call(game, name, view) for view in (obs, new_obs))
        if before is not None:
            yield name, after, before[places]
    goal = _call(game, "achieved", obs, action, reward)
    new_action = np.asarray(action_map[action], np.int32)
    new_goal = _call(game, "achieved", new_obs, new_action, reward)
    yield "achieved", new_goal, goal


def check_achieved(game: Game, play: Play) -> None:
    """Check `achieved` for all steps of an episode at once and for one step.

    Args:
        game: the game.
        play: an episode.

    Raises:
        GameError: if "achieved" is violated.
    """
    before = play.shown[:-1]
    obs = np.stack([shown.obs for shown in before])  # [T, N, ...]
    reward = np.stack([shown.reward for shown in play.shown[1:]])
    acted = np.stack([shown.present & ~shown.terminated for shown in before])
    action = np.where(acted, np.stack(play.actions), ABSENT).astype(np.int32)
    goals = _call(game, "achieved", obs, action, reward)
    if goals.shape != action.shape or goals.dtype.kind != "i":
        seen = f"{goals.dtype} {goals.shape} for actions {action.shape}"
        raise GameError(game, "achieved", seen)
    inside = goals.min() >= -1 and goals.max() < len(game.goals) - 1
    if not inside or (goals[~acted] != -1).any():
        seen = (
            f"{np.unique(goals)} for the goals {game.goals}; "
            f"{np.unique(goals[~acted])} for no action"
        )
        raise GameError(game, "achieved", seen)
    single = obs[-1, 0], action[-1, 0, ...], reward[-1, 0, ...]
    one = _call(game, "achieved", *single)
    if one.shape != () or one != goals[-1, 0]:
        seen = f"{one} for one step, {goals[-1, 0]} for this step in an array"
        raise GameError(game, "achieved", seen)


def check_text(game: Game, play: Play) -> None:
    """Check `text` and `picture` of the first and the last observation.

    Args:
        game: the game.
        play: an episode.

    Raises:
        GameError: if "text" is violated.
    """
    for shown in (play.shown[0], play.shown[-1]):
        for seat in range(game.num_players):
            text, picture = (
                _call(game, name, shown.obs[seat], seat)
                for name in ("text", "picture")
            )
            if (
                not isinstance(text, str)
                or not text
                or not isinstance(picture, str)
            ):
                seen = f"text is {text!r}, picture is {picture!r}"
                raise GameError(game, "text", seen)
            try:
                tag = ElementTree.fromstring(picture).tag
            except ElementTree.ParseError as error:
                seen = f"picture is not well-formed: {error}"
                raise GameError(game, "text", seen) from error
            if tag.split("}")[-1] != "svg":
                raise GameError(game, "text", f"picture is a {tag!r} element")
