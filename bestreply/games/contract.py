"""What `Game` promises, and the part of it that a game says: of itself, and of what its observations tell.

`check_game` in check.py uses this beside what it finds by playing.
"""

import copy
import dataclasses
import json
from collections.abc import Callable
from typing import Any, NamedTuple
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import numpy as np

from bestreply.games.base import Game
from bestreply.types import ABSENT, TimeStep, ego_order

PROPERTIES = {
    "description": "sizes, names and the version are whole numbers and texts that fit together",
    "goals": "goals are different names and end in 'none'",
    "settings": "a game is hashable, and its name and settings, also through JSON, make it again",
    "reset": "a first step has reward 0, is not over and has somebody present",
    "step": "a joint legal action makes a step",
    "types": "the arrays of a TimeStep have their shapes and dtypes",
    "finite": "observations and rewards are finite",
    "binary": "entries of an observation that are called binary are 0 or 1",
    "legal": "every seat has a legal action in every step, after its game is over as well",
    "flags": "terminated, truncated and present are three facts that agree with one another",
    "left": "a seat that has left stays so, terminated and with reward 0, and its action counts for nothing",
    "max_steps": "an episode is over after `max_steps` steps, and truncated only then",
    "finished": "a finished game steps to itself with reward 0",
    "last_observation": "the observation of a last step is the one reached, not that of a next episode",
    "determinism": "the same keys and actions give the same episode",
    "purity": "the same state, actions and key give the same step",
    "mutation": "a step leaves the state and the actions that it is given as they were",
    "state": "the state keeps its structure, shapes and dtypes",
    "jit": "`reset` and `step` do under `jax.jit` what they do without",
    "vmap": "`reset` and `step` do under `jax.vmap` what they do for one",
    "ego_first": "a seat sees itself first, the others in seat order, and so can tell which one it is",
    "perspective": "`perspective` makes the other seat's observation, up to the order of the others",
    "legal_in": "`legal_in` gives the legal actions of the seat whose observation it is shown",
    "present_in": "`present_in` gives who is in the game, ego first, from a seat's observation",
    "symmetries": "`symmetries` are permutations, the first changes nothing; the other claims turn with them",
    "achieved": "`achieved` gives a goal's index or -1, for one step and for arrays of steps",
    "text": "`text` is a string, `picture` a well-formed SVG element",
}
"""What is checked, in words; a `GameError` names one of these."""

MOST_SYMMETRIES = 16  # that are looked at


class GameError(AssertionError):
    """A promise of `Game` that a game breaks: `property` is one of `PROPERTIES`, `seen` what showed it."""

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


# -- what it says of itself ----------------------------------------------------------------------------------


def check_description(game: Any) -> None:
    def need(fits: bool, seen: str) -> None:
        if not fits:
            raise GameError(game, "description", seen)

    need(
        isinstance(game, Game),
        f"{type(game).__name__} does not subclass bestreply.games.base.Game",
    )
    for name in ("num_players", "num_actions", "max_steps", "version"):
        value = getattr(game, name, None)
        need(
            isinstance(value, int) and value >= 1,
            f"{name} = {value!r}; a whole number, 1 or more",
        )
    for name in ("name", "summary"):
        value = getattr(game, name, None)
        need(
            isinstance(value, str) and value != "",
            f"{name} = {value!r}; a text",
        )
    names, shape, planes = game.action_names, game.obs_shape, game.planes
    need(
        len(set(names)) == game.num_actions,
        f"{game.num_actions} actions, action_names = {names!r}",
    )
    need(
        isinstance(shape, tuple) and all(isinstance(s, int) for s in shape),
        f"obs_shape = {shape!r}",
    )
    need(
        not planes or len(planes) == shape[-1],
        f"planes = {planes!r}, obs_shape = {shape}",
    )
    binary = np.asarray(game.binary)
    fits = binary.shape == shape and binary.dtype == bool
    need(fits, f"binary is {binary.dtype} {binary.shape}, obs_shape = {shape}")
    goals = game.goals
    if not goals or goals[-1] != "none" or len(set(goals)) != len(goals):
        raise GameError(game, "goals", f"goals = {goals!r}")


def check_settings(game: Game, skipped: dict[str, str]) -> None:
    from bestreply.games.registry import GAMES, make_game

    def make(settings: dict[str, Any]) -> Any:
        if game.name in GAMES or game.name.startswith("openspiel:"):
            return make_game(game.name, **settings)
        return type(game)(**settings)

    if not dataclasses.is_dataclass(game):
        skipped["settings"] = (
            "the game is no dataclass, so it has no settings to be made from"
        )
        return
    try:
        settings = game.settings
        for how, given in (
            ("settings", settings),
            ("JSON of settings", json.loads(json.dumps(settings))),
        ):
            again = make(given)
            if again != game or hash(again) != hash(game):
                seen = f"made again from its {how}, {given}, it is {again!r}, not {game!r}"
                raise GameError(game, "settings", seen)
    except (TypeError, ValueError) as error:
        raise GameError(
            game, "settings", f"{type(error).__name__}: {error}"
        ) from error


# -- what observations tell ----------------------------------------------------------------------------------

Samples = list[tuple[str, TimeStep]]
"""Steps to look at, each with the words that say where it was."""


def _asked(game: Game, property: str, function: Callable, *args: Any) -> Any:
    """What `function` of the game answers, in NumPy; an exception breaks `property`."""
    try:
        answer = function(*args)
    except Exception as error:
        text = str(error).strip().split("\n")[0]
        raise GameError(
            game, property, f"raised {type(error).__name__}: {text}"
        ) from error
    return (
        answer
        if answer is None or isinstance(answer, str)
        else np.asarray(answer)
    )


def _has_player_planes(game: Game) -> bool:
    return len(game.planes) >= game.num_players and game.planes[0] == "self"


def check_ego_first(
    game: Game, step: Callable, plays: list[Play], samples: Samples
) -> None:
    n = game.num_players
    place = np.argsort(
        ego_order(n), axis=1
    )  # [me, seat]: where I see that seat
    for where, shown in samples if _has_player_planes(game) else []:
        for me in np.flatnonzero(shown.present):
            for seat in np.flatnonzero(shown.present):
                at = place[me, seat]
                if not np.array_equal(
                    shown.obs[seat][..., 0], shown.obs[me][..., at]
                ):
                    seen = f"{where}: plane {at} of seat {me} is not the plane 'self' of seat {seat}"
                    raise GameError(game, "ego_first", seen)
    if n == 1 or not all(
        (shown.obs == shown.obs[:1]).all()
        for play in plays
        for shown in play.shown
    ):
        return
    for play in plays:  # all see the same; that is well as long as it does not tell who did what
        for state, shown, actions, key in zip(
            play.states, play.shown, play.actions, play.keys[1:], strict=False
        ):
            swapped = np.concatenate([actions[[1, 0]], actions[2:]])
            if (
                shown.legal[range(n), swapped].all()
                and (swapped != actions).any()
            ):
                here, there = (
                    step(state, actions, key)[1].obs,
                    step(state, swapped, key)[1].obs,
                )
                if not np.array_equal(here, there):
                    seen = f"all seats see the same, yet it tells who did what: {actions} or {swapped}"
                    raise GameError(game, "ego_first", seen)


def check_legal_in(
    game: Game, samples: Samples, skipped: dict[str, str]
) -> None:
    legal_in = jax.jit(game.legal_in) if game.compiled else game.legal_in
    for where, shown in samples:
        for seat in range(game.num_players):
            told = _asked(game, "legal_in", legal_in, shown.obs[seat])
            if told is None:
                skipped["legal_in"] = "the game does not say"
                return
            if not np.array_equal(told, shown.legal[seat]):
                seen = f"{where}, seat {seat}: {brief(told)}; legal there: {brief(shown.legal[seat])}"
                raise GameError(game, "legal_in", seen)


def check_present_in(
    game: Game, samples: Samples, skipped: dict[str, str]
) -> None:
    order = ego_order(game.num_players)
    for where, shown in samples:
        for seat in range(game.num_players):
            told = _asked(game, "present_in", game.present_in, shown.obs[seat])
            if told is None:
                skipped["present_in"] = "the game does not say"
                return
            if not np.array_equal(told, shown.present[order[seat]]):
                seen = f"{where}, seat {seat}: {told}; present, ego first: {shown.present[order[seat]]}"
                raise GameError(game, "present_in", seen)


def check_perspective(
    game: Game, samples: Samples, skipped: dict[str, str]
) -> None:
    order = ego_order(game.num_players)
    perspective = (
        jax.jit(game.perspective) if game.compiled else game.perspective
    )
    legal_in = jax.jit(game.legal_in) if game.compiled else game.legal_in
    for where, shown in samples:
        for me in np.flatnonzero(shown.present):
            for index, seat in enumerate(order[me]):
                made = _asked(
                    game,
                    "perspective",
                    perspective,
                    shown.obs[me],
                    np.asarray(index, np.int32),
                )
                if made is None:
                    skipped["perspective"] = "the game does not say"
                    return
                if not shown.present[seat]:
                    continue
                wrong = _views_differ(
                    game, made, np.asarray(shown.obs[seat]), index
                )
                told = (
                    None if wrong else _asked(game, "legal_in", legal_in, made)
                )
                if told is not None and not np.array_equal(
                    told, shown.legal[seat]
                ):
                    wrong = "other legal actions than it has"
                if wrong:
                    seen = f"{where}: seat {seat} as made from what seat {me} sees: {wrong}"
                    raise GameError(game, "perspective", seen)


def _views_differ(
    game: Game, made: np.ndarray, real: np.ndarray, index: int
) -> str:
    """In words, how two views differ that may have the others in another order; "" where they do not."""
    n = game.num_players
    if made.shape != real.shape:
        return f"shape {made.shape}, not {real.shape}"
    if index == 0 or n == 2:
        return "" if np.allclose(made, real) else "not the same"
    if not _has_player_planes(
        game
    ):  # no telling what is whose; the same entries have to be there
        return (
            ""
            if np.allclose(np.sort(made, None), np.sort(real, None))
            else "not the same entries"
        )
    others = [
        sorted(view[..., 1:n].reshape(-1, n - 1).T.tolist())
        for view in (made, real)
    ]
    if others[0] != others[1]:
        return "the others' planes are not the same"
    common = [0, *range(n, made.shape[-1])]
    return (
        ""
        if np.allclose(made[..., common], real[..., common])
        else "its own and the common planes differ"
    )


def check_symmetries(
    game: Game, plays: list[Play], skipped: dict[str, str]
) -> None:
    """What observations tell has to turn with them; whether the rules do cannot be seen from outside."""
    turns, n, entries = (
        game.symmetries(),
        game.num_players,
        int(np.prod(game.obs_shape)),
    )
    if turns is None:
        skipped["symmetries"] = "the game does not say"
        return
    for name, size in (
        ("obs", entries),
        ("action", game.num_actions),
        ("others", n - 1),
    ):
        table = np.asarray(getattr(turns, name))
        if (
            table.shape != (len(turns.obs), size)
            or not (np.sort(table, 1) == np.arange(size)).all()
        ):
            seen = f"{name} {table.shape}: not a permutation of {size} in every row"
            raise GameError(game, "symmetries", seen)
        if (table[0] != np.arange(size)).any():
            raise GameError(
                game,
                "symmetries",
                f"the first of {name} changes something: {brief(table[0])}",
            )
    for which, turn in list(enumerate(zip(*turns, strict=True)))[
        :MOST_SYMMETRIES
    ]:
        for play in plays:
            for t in {len(play.actions) // 2, len(play.actions) - 1}:
                name, wanted, found = _turned_claim(
                    game, turn, play, t, which % n
                )
                if name:
                    seen = f"symmetry {which}, seat {which % n}: {name} {brief(found)}; expected: {brief(wanted)}"
                    raise GameError(game, "symmetries", seen)


def _turned_claim(
    game: Game, turn: tuple[np.ndarray, ...], play: Play, t: int, seat: int
) -> tuple[str, Any, Any]:
    """The first claim that does not turn along, what it should be and what it is; "" where all do."""
    obs_map, action_map, others = turn
    shown, action = play.shown[t], np.asarray(play.actions[t][seat])
    obs, paid = (
        np.asarray(shown.obs[seat]),
        np.asarray(play.shown[t + 1].reward[seat]),
    )
    turned = obs.reshape(-1)[obs_map].reshape(obs.shape)
    binary = np.asarray(game.binary).reshape(-1)
    if (binary[obs_map] != binary).any():
        return "binary", binary, binary[obs_map]
    order = {
        "legal_in": np.argsort(action_map),
        "present_in": np.array([0, *(1 + others)]),
    }
    for name, places in order.items():
        before, after = (
            _asked(game, name, getattr(game, name), view)
            for view in (obs, turned)
        )
        if before is not None and not np.array_equal(before[places], after):
            return name, before[places], after
    goal = _asked(game, "achieved", game.achieved, obs, action, paid)
    found = _asked(
        game,
        "achieved",
        game.achieved,
        turned,
        np.asarray(action_map[action]),
        paid,
    )
    return (
        ("", goal, found)
        if np.array_equal(goal, found)
        else ("achieved", goal, found)
    )


def check_achieved(game: Game, play: Play) -> None:
    obs = np.stack([shown.obs for shown in play.shown[:-1]])  # [T, N, ...]
    reward = np.stack([shown.reward for shown in play.shown[1:]])
    acted = np.stack(
        [shown.present & ~shown.terminated for shown in play.shown[:-1]]
    )
    action = np.where(acted, np.stack(play.actions), ABSENT).astype(np.int32)
    goals = _asked(game, "achieved", game.achieved, obs, action, reward)
    if goals.shape != action.shape or goals.dtype.kind != "i":
        raise GameError(
            game,
            "achieved",
            f"{goals.dtype} {goals.shape} for actions {action.shape}",
        )
    if (
        goals.min() < -1
        or goals.max() >= len(game.goals) - 1
        or (goals[~acted] != -1).any()
    ):
        seen = f"{np.unique(goals)} for the goals {game.goals}; {np.unique(goals[~acted])} for no action"
        raise GameError(game, "achieved", seen)
    one = _asked(
        game,
        "achieved",
        game.achieved,
        obs[-1, 0],
        action[-1, 0, ...],
        reward[-1, 0, ...],
    )
    if one.shape != () or one != goals[-1, 0]:
        raise GameError(
            game,
            "achieved",
            f"{one} for one step, {goals[-1, 0]} for it among others",
        )


def check_text(game: Game, play: Play) -> None:
    for shown in (play.shown[0], play.shown[-1]):
        for seat in range(game.num_players):
            text = _asked(game, "text", game.text, shown.obs[seat], seat)
            picture = _asked(game, "text", game.picture, shown.obs[seat], seat)
            if (
                not isinstance(text, str)
                or not text
                or not isinstance(picture, str)
            ):
                raise GameError(
                    game, "text", f"text is {text!r}, picture is {picture!r}"
                )
            try:
                kind = ElementTree.fromstring(picture).tag
            except ElementTree.ParseError as error:
                raise GameError(
                    game, "text", f"picture cannot be read: {error}"
                ) from error
            if kind.split("}")[-1] != "svg":
                raise GameError(game, "text", f"picture is a {kind!r} element")


# -- comparing -----------------------------------------------------------------------------------------------


def brief(array: Any) -> str:
    return np.array2string(
        np.asarray(array), threshold=24, edgeitems=3, precision=4
    ).replace("\n", "")


def differ(one: TimeStep, other: TimeStep, exact: bool = True) -> str:
    """In words, the first difference; "" where there is none. Rounding is none unless `exact`."""
    for field in dataclasses.fields(TimeStep):
        a, b = (
            np.asarray(getattr(one, field.name)),
            np.asarray(getattr(other, field.name)),
        )
        rounds = a.dtype.kind == "f" and not exact and a.shape == b.shape
        if not (
            np.allclose(a, b, rtol=1e-5, atol=1e-6)
            if rounds
            else np.array_equal(a, b)
        ):
            return f"{field.name} {brief(a)} and {brief(b)}"
    return ""


_UNKNOWN = object()


def is_key(leaf: Any) -> bool:
    """A typed JAX key, or an array of them."""
    return isinstance(leaf, jax.Array) and jnp.issubdtype(
        leaf.dtype, jax.dtypes.prng_key
    )


def _leaves(state: Any) -> list[Any]:
    """The arrays and values of a state; an object that JAX does not know is opened once, then taken whole."""
    leaves = []
    for leaf in jax.tree.leaves(state):
        known = isinstance(leaf, jax.Array | np.ndarray) or not hasattr(
            leaf, "__dict__"
        )
        leaves += [leaf] if known else jax.tree.leaves(vars(leaf))
    return [
        np.asarray(jax.random.key_data(leaf)) if is_key(leaf) else leaf
        for leaf in leaves
    ]


def frozen(state: Any) -> list[Any]:
    """Copies of the leaves of a state; `_UNKNOWN` for one that cannot be copied."""
    copies = []
    for leaf in _leaves(state):
        if isinstance(leaf, jax.Array):  # cannot be changed
            copies.append(leaf)
            continue
        try:
            copies.append(copy.deepcopy(leaf))
        except (
            Exception
        ):  # an object of another library, which may refuse in any way
            copies.append(_UNKNOWN)
    return copies


def same_state(state: Any, other: Any) -> bool:
    """As far as can be told: objects that cannot be copied or compared count as the same."""
    here, there = _leaves(state), _leaves(other)
    return len(here) == len(there) and all(map(_same, here, there))


def _same(leaf: Any, other: Any) -> bool:
    if isinstance(leaf, jax.Array | np.ndarray) or isinstance(
        other, jax.Array | np.ndarray
    ):
        numbers = (
            np.asarray(leaf).dtype.kind in "fc"
            and np.asarray(other).dtype.kind in "fc"
        )
        return np.array_equal(leaf, other, equal_nan=numbers)
    if other is _UNKNOWN or type(leaf).__eq__ is object.__eq__:
        return True
    return bool(leaf == other)
