"""`check_game`: play a game and report the first violated property of its contract.

For every game, compiled or on the host. The players are random and prefer actions
that were rarely legal, so that rare events (a catch, the last step) occur within
few episodes.
"""

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from bestreply.games import contract
from bestreply.games.base import Game
from bestreply.games.comparisons import (
    brief,
    differ,
    is_key,
    same_state,
    snapshot,
)
from bestreply.games.contract import PROPERTIES, GameError, Play, raised
from bestreply.games.host import HostGame
from bestreply.games.registry import make_game
from bestreply.games.sizes import checked_episodes
from bestreply.types import Array, TimeStep
from bestreply.utils.compilation import cache_compilations
from bestreply.utils.seeds import checked_seed
from bestreply.utils.spec import Spec

EAGER_STEPS = 12
"""Steps of a compiled game that are played without `jit` as well, which is slow."""

SAMPLES = 12
"""Time steps that are checked seat by seat."""

MAX_ROWS = 32
"""Steps that are batched by `vmap`."""


@dataclasses.dataclass(frozen=True)
class Conformance:
    """The result of a check without violations."""

    game: str
    episodes: int
    steps: int
    kept: tuple[str, ...]
    """The properties that were checked."""
    skipped: dict[str, str]
    """The properties that could not be checked, with reasons."""

    def __str__(self) -> str:
        played = f"{self.episodes} episodes, {self.steps} steps"
        first = f"{self.game}: {len(self.kept)} properties kept over {played}"
        skipped = self.skipped.items()
        lines = [f"  not checked: {name}: {reason}" for name, reason in skipped]
        return "\n".join([first, *lines])


def check_game(
    game: Game | str, seed: int = 0, episodes: int = 6
) -> Conformance:
    """Play a game and check the properties of its contract.

    Random play does not reach everything: more episodes find rarer violations.

    Args:
        game: the game, or what `make_game` makes one of.
        seed: seed of keys and actions.
        episodes: episodes to play.

    Returns:
        The properties that were checked, and those that could not be.

    Raises:
        GameError: at the first violated property (`PROPERTIES`).
        ValueError: if `episodes` is below 1, or the seed outside 0 <= seed < 2^32.
    """
    cache_compilations()
    episodes = checked_episodes(episodes)
    seed = checked_seed(seed)
    if isinstance(game, str | Spec | type) or inspect.isroutine(game):
        game = make_game(game)
    skipped: dict[str, str] = {}
    contract.check_description(game)
    contract.check_settings(game, skipped)
    plays, caller = _plays(game, seed, episodes)
    if game.compiled:
        _check_vmap(game, plays)
    else:
        names = ("state", "jit", "vmap")
        skipped |= dict.fromkeys(names, "not a compiled game")
    _check_last(caller, plays)
    _check_same(game, plays[0], _replay(caller, plays[0]), "determinism")
    samples = list(_samples(plays))
    contract.check_seats(game, samples)
    contract.check_ego_first(game, caller.step, plays, samples)
    contract.check_legal_in(game, samples, skipped)
    contract.check_present_in(game, samples, skipped)
    contract.check_perspective(game, samples, skipped)
    contract.check_symmetries(game, plays, skipped)
    contract.check_achieved(game, plays[0])
    contract.check_text(game, plays[0])
    if all(shown.present.all() for play in plays for shown in play.shown):
        skipped["left"] = "no seat left in these episodes"
    kept = tuple(name for name in PROPERTIES if name not in skipped)
    steps = sum(len(p.actions) for p in plays)
    return Conformance(game.name, episodes, steps, kept, skipped)


# -- play --------------------------------------------------------------------


class _Caller(NamedTuple):
    """A game's `reset` and `step` as they are called; their results are checked."""

    game: Game
    on_reset: Callable
    on_step: Callable
    property: str = ""
    """The property that an exception violates; "": named like the method."""

    def reset(self, key: jax.Array) -> tuple[Any, TimeStep]:
        return self._call("reset", self.on_reset, key)

    def step(
        self, state: Any, actions: np.ndarray, key: jax.Array
    ) -> tuple[Any, TimeStep]:
        return self._call("step", self.on_step, state, actions, key)

    def _call(
        self, method: str, function: Callable, *args: Any
    ) -> tuple[Any, TimeStep]:
        try:
            state, shown = function(*args)
        except Exception as error:
            seen = f"{method} {raised(error)}"
            raise GameError(self.game, self.property or method, seen) from error
        return state, _checked(self.game, shown, f"after {method}")


def _plays(game: Game, seed: int, episodes: int) -> tuple[list[Play], _Caller]:
    """Return checked episodes, and the caller that played them.

    The first steps of a compiled game are played without `jit` as well.
    """
    caller = _Caller(game, game.reset, game.step)
    counts = np.zeros(game.num_actions)
    keys = jax.random.split(jax.random.key(seed), episodes)
    if game.compiled:
        steps = min(EAGER_STEPS, game.max_steps)
        eager = _play(caller, keys[0], counts, steps, twice=True)
        _check_state(game, eager)
        caller = _Caller(game, jax.jit(game.reset), jax.jit(game.step), "jit")
        _check_same(game, eager, _replay(caller, eager), "jit", exact=False)
    plays = [
        _play(caller, key, counts, game.max_steps, twice=not game.compiled)
        for key in keys
    ]
    return plays, caller


def _checked(game: Game, shown: Any, where: str) -> TimeStep:
    """Return a time step in NumPy, its arrays checked one by one."""
    if not isinstance(shown, TimeStep):
        seen = f"{where}: a {type(shown).__name__}, not a TimeStep"
        raise GameError(game, "types", seen)
    n, a = game.num_players, game.num_actions
    types = {
        "obs": ((n, *game.obs_shape), np.dtype(game.obs_dtype)),
        "legal": ((n, a), np.bool_),
        "reward": ((n,), np.float32),
        "terminated": ((n,), np.bool_),
        "truncated": ((), np.bool_),
        "present": ((n,), np.bool_),
    }
    arrays = {name: np.asarray(getattr(shown, name)) for name in types}
    for name, (shape, dtype) in types.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != dtype:
            seen = (
                f"{where}: {name} is {array.dtype} {array.shape}; "
                f"expected: {np.dtype(dtype)} {shape}"
            )
            raise GameError(game, "types", seen)
    for name in ("obs", "reward"):
        if not np.isfinite(arrays[name]).all():
            seen = f"{where}: {name} = {brief(arrays[name])}"
            raise GameError(game, "finite", seen)
    binary = arrays["obs"][:, np.asarray(game.binary)]
    if not np.isin(binary, (0, 1)).all():
        values = brief(np.unique(binary))
        seen = f"{where}: {values} in entries declared binary"
        raise GameError(game, "binary", seen)
    if not arrays["legal"].any(1).all():
        seats = np.flatnonzero(~arrays["legal"].any(1)).tolist()
        seen = f"{where}: no legal action for seats {seats}"
        raise GameError(game, "legal", seen)
    return TimeStep(**arrays)


def _play(
    caller: _Caller, key: jax.Array, counts: np.ndarray, steps: int, twice: bool
) -> Play:
    """Return an episode of at most `steps` checked steps; `twice` repeats every call."""
    game = caller.game
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    keys = list(jax.random.split(key, steps + 1))
    state, shown = _first(caller, keys[0], twice)
    play = Play([state], [shown], [], [keys[0]])
    step, checked_absent = _step_twice if twice else _Caller.step, False
    for t, step_key in enumerate(keys[1:], 1):
        actions = _sample(rng, shown.legal, counts)
        state, after = step(caller, state, actions, step_key)
        _check_flags(game, shown, after, t)
        if not shown.present.all() and not checked_absent:
            checked_absent = True
            _check_absent(caller, play, actions, step_key, after)
        play.states.append(state)
        play.shown.append(after)
        play.actions.append(actions)
        play.keys.append(step_key)
        shown = after
        if _over(shown):
            _check_finished(caller, play, _sample(rng, shown.legal, counts))
            break
    return play


def _first(
    caller: _Caller, key: jax.Array, twice: bool
) -> tuple[Any, TimeStep]:
    """Return a checked first state."""
    state, shown = caller.reset(key)
    if twice and (wrong := differ(shown, caller.reset(key)[1])):
        seen = f"two resets with one key: {wrong}"
        raise GameError(caller.game, "determinism", seen)
    playing = (shown.present & ~shown.terminated).any()
    if shown.reward.any() or shown.truncated or not playing:
        seen = f"reward {shown.reward}, {_flags(shown)}"
        raise GameError(caller.game, "reset", seen)
    return state, shown


def _sample(
    rng: np.random.Generator, legal: Array, counts: np.ndarray
) -> np.ndarray:
    """Return a legal action for each seat [N] int32, and count them in `counts` [A].

    The weight of an action falls with its count.
    """
    weight = np.asarray(legal) / (1.0 + counts)
    actions = [rng.choice(len(w), p=w / w.sum()) for w in weight]
    np.add.at(counts, actions, 1)
    return np.array(actions, np.int32)


def _step_twice(
    caller: _Caller, state: Any, actions: np.ndarray, key: jax.Array
) -> tuple[Any, TimeStep]:
    """Return a step, checked for changed inputs and for a different second result."""
    game, before, given = caller.game, snapshot(state), actions.copy()
    new, shown = caller.step(state, actions, key)
    if not same_state(state, before):
        seen = "`step` changed the state it was given"
        raise GameError(game, "mutation", seen)
    if not np.array_equal(actions, given):
        seen = (
            f"`step` changed the actions it was given from {given} to {actions}"
        )
        raise GameError(game, "mutation", seen)
    if wrong := differ(shown, caller.step(state, actions, key)[1]):
        seen = f"the second of two equal calls of `step`: {wrong}"
        raise GameError(game, "purity", seen)
    return new, shown


def _replay(caller: _Caller, play: Play) -> Play:
    """Return an episode of the same keys and actions."""
    state, shown = caller.reset(play.keys[0])
    replay = Play([state], [shown], play.actions, play.keys)
    for actions, key in zip(play.actions, play.keys[1:], strict=True):
        state, shown = caller.step(state, actions, key)
        replay.states.append(state)
        replay.shown.append(shown)
    return replay


# -- the course of an episode ------------------------------------------------


def _over(shown: TimeStep) -> bool:
    return bool(shown.terminated.all() or shown.truncated)


def _flags(shown: TimeStep) -> str:
    return (
        f"terminated {shown.terminated}, truncated {shown.truncated}, "
        f"present {shown.present}"
    )


def _check_flags(game: Game, before: TimeStep, after: TimeStep, t: int) -> None:
    """Check the flags and rewards of step `t`, which leads from `before` to `after`."""
    left, over, cut = ~before.present, _over(after), bool(after.truncated)
    ended, present = np.asarray(after.terminated), np.asarray(after.present)
    limit = f"max_steps = {game.max_steps}"
    faults = (
        (
            "left",
            (left & (present | (ended != before.terminated) & ~over)).any(),
            "a seat that had left is present, or has another `terminated`",
        ),
        (
            "left",
            np.asarray(after.reward)[left].any(),
            "a seat that had left has a reward",
        ),
        (
            "flags",
            not over and (present & ended).any(),
            "a seat has terminated and is present; the game is not over",
        ),
        (
            "flags",
            cut and ended.all(),
            "the game ended by its rules and is truncated",
        ),
        (
            "max_steps",
            not isinstance(game, HostGame) and cut and t != game.max_steps,
            f"truncated; {limit}",
        ),
        ("max_steps", t >= game.max_steps and not over, f"not over; {limit}"),
    )
    for name, fault, description in faults:
        if fault:
            seen = (
                f"step {t}: {description}: present was {before.present}; "
                f"now {_flags(after)}, reward {after.reward}"
            )
            raise GameError(game, name, seen)


def _check_absent(
    caller: _Caller,
    play: Play,
    actions: np.ndarray,
    key: jax.Array,
    after: TimeStep,
) -> None:
    """Check that the action of a seat that has left has no effect on the next step."""
    other = (actions + 1) % caller.game.num_actions
    present = play.shown[-1].present
    changed = np.where(present, actions, other).astype(np.int32)
    if wrong := differ(after, caller.step(play.states[-1], changed, key)[1]):
        step = len(play.actions) + 1
        seen = f"step {step}: another action of a seat that has left: {wrong}"
        raise GameError(caller.game, "left", seen)


def _check_finished(caller: _Caller, play: Play, actions: np.ndarray) -> None:
    """Check two steps after the end of an episode."""
    last = play.shown[-1]
    expected = dataclasses.replace(last, reward=np.zeros_like(last.reward))
    state = play.states[-1]
    for further in (1, 2):
        new, shown = caller.step(state, actions, play.keys[-1])
        wrong = differ(expected, shown)
        if not wrong and not same_state(state, new):
            wrong = "the state changed"
        if wrong:
            end = len(play.actions)
            seen = f"{further} step(s) after the end, at step {end}: {wrong}"
            raise GameError(caller.game, "finished", seen)
        state = new


def _check_last(caller: _Caller, plays: list[Play]) -> None:
    """Check that the last observations are not those of a reset.

    They are if every episode, and no earlier step, ends in a first observation.
    """
    for play in plays:
        if len(play.actions) < 2:
            return
        key = play.keys[-1]
        keys = [key, *jax.random.split(key), *jax.random.split(key, 3)]
        starts = [p.shown[0].obs for p in plays]
        starts += [caller.reset(key)[1].obs for key in keys]
        first = [
            any(np.array_equal(shown.obs, start) for start in starts)
            for shown in play.shown[1:]
        ]
        if any(first[:-1]) or not first[-1]:
            return
    count = len(plays)
    seen = f"{count} episodes of {count} end in the observation of a reset"
    raise GameError(caller.game, "last_observation", seen)


# -- transformations of JAX --------------------------------------------------


def _check_state(game: Game, play: Play) -> None:
    """Check that the state keeps its structure, shapes and dtypes."""
    actions, key = play.actions[0], play.keys[1]
    try:
        first = jax.eval_shape(game.reset, play.keys[0])[0]
        later = jax.eval_shape(game.step, play.states[0], actions, key)[0]
    except Exception as error:
        seen = f"tracing {raised(error)}"
        raise GameError(game, "jit", seen) from error
    if jax.tree.structure(first) != jax.tree.structure(later):
        seen = f"{jax.tree.structure(first)} became {jax.tree.structure(later)}"
        raise GameError(game, "state", seen)
    leaves = jax.tree.leaves_with_path(first)
    for (path, old), new in zip(leaves, jax.tree.leaves(later), strict=True):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            name = jax.tree_util.keystr(path)
            seen = (
                f"state{name}: {old.dtype} {old.shape} became "
                f"{new.dtype} {new.shape}"
            )
            raise GameError(game, "state", seen)


def _check_same(
    game: Game, play: Play, other: Play, property: str, exact: bool = True
) -> None:
    rows = zip(play.shown, other.shown, strict=True)
    for t, (shown, again) in enumerate(rows):
        if wrong := differ(shown, again, exact):
            raise GameError(game, property, f"step {t}: {wrong}")


def _check_vmap(game: Game, plays: list[Play]) -> None:
    """Compare resets and steps under `vmap` with single ones."""
    resets = [((p.keys[0],), p.shown[0]) for p in plays]
    steps = [
        (args, shown)
        for p in plays
        for *args, shown in zip(
            p.states[:-1], p.actions, p.keys[1:], p.shown[1:], strict=True
        )
    ]
    steps = steps[:: -(-len(steps) // MAX_ROWS)]
    _check_batch(game, "reset", resets)
    _check_batch(game, "step", steps)


def _check_batch(
    game: Game, method: str, rows: list[tuple[Any, TimeStep]]
) -> None:
    """Compare a batch of calls, rows (args, time step), with the single ones."""
    batch = jax.tree.map(_stack, *(tuple(args) for args, _ in rows))
    try:
        _, result = jax.jit(jax.vmap(getattr(game, method)))(*batch)
    except Exception as error:
        raise GameError(game, "vmap", f"{method} {raised(error)}") from error
    result = jax.tree.map(np.asarray, result)
    for index, (_, shown) in enumerate(rows):
        row = jax.tree.map(lambda x, index=index: x[index], result)
        if wrong := differ(shown, row, exact=False):
            seen = f"{method}, row {index} of {len(rows)}: {wrong}"
            raise GameError(game, "vmap", seen)


def _stack(*leaves: Any) -> Any:
    """Return one array, stacked in NumPy: `jnp.stack` compiles for every length."""
    if is_key(leaves[0]):
        data = np.stack([jax.random.key_data(leaf) for leaf in leaves])
        impl = jax.random.key_impl(leaves[0])
        return jax.random.wrap_key_data(jax.numpy.asarray(data), impl=impl)
    return np.stack(leaves)


def _samples(plays: list[Play]) -> Iterator[tuple[str, TimeStep]]:
    """Yield time steps from all episodes, evenly spaced, each with its place."""
    steps = [
        (f"episode {e}, step {t}", shown)
        for e, p in enumerate(plays)
        for t, shown in enumerate(p.shown)
    ]
    for index in np.unique(np.linspace(0, len(steps) - 1, SAMPLES).astype(int)):
        yield steps[index]
