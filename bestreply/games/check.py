"""Does a game keep what `Game` promises? `check_game` plays it and names the first promise that it breaks.

For anybody's game, compiled or stepped on the host. The players are random, but favour actions that they have
seldom been allowed, so that rare events (a catch, the last step) come up in few episodes.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from bestreply.games import contract
from bestreply.games.base import Game
from bestreply.games.contract import (
    PROPERTIES,
    GameError,
    Play,
    brief,
    differ,
    frozen,
    is_key,
    same_state,
)
from bestreply.types import Array, TimeStep

EAGER_STEPS = 12  # of a compiled game, played without `jit` as well: slow
SAMPLES = 12  # steps that are looked at seat by seat


@dataclasses.dataclass(frozen=True)
class Conformance:
    """What `check_game` found in order, over how much play, and what could not be checked, and why."""

    game: str
    episodes: int
    steps: int
    kept: tuple[str, ...]
    skipped: dict[str, str]

    def __str__(self) -> str:
        played = f"{self.episodes} episodes, {self.steps} steps"
        lines = [f"{self.game}: {len(self.kept)} properties kept over {played}"]
        return "\n".join(
            lines
            + [
                f"  not checked: {name}: {why}"
                for name, why in self.skipped.items()
            ]
        )


def check_game(game: Game, seed: int = 0, episodes: int = 6) -> Conformance:
    """Plays `game` and raises GameError at the first of `PROPERTIES` that it breaks.

    Random play cannot show everything: more `episodes` find rarer faults. `seed` decides keys and actions.
    """
    if episodes < 1:
        raise ValueError(f"episodes={episodes}; expected: 1 or more")
    skipped: dict[str, str] = {}
    contract.check_description(game)
    contract.check_settings(game, skipped)
    caller, counts = (
        _Caller(game, game.reset, game.step),
        np.zeros(game.num_actions),
    )
    keys = jax.random.split(jax.random.key(seed), episodes)
    if game.compiled:
        first = _play(
            caller,
            keys[0],
            counts,
            min(EAGER_STEPS, game.max_steps),
            twice=True,
        )
        _check_state(game, first)
        caller = _Caller(game, jax.jit(game.reset), jax.jit(game.step), "jit")
        _check_same(game, first, _again(caller, first), "jit", exact=False)
    plays = [
        _play(caller, key, counts, game.max_steps, twice=not game.compiled)
        for key in keys
    ]
    if game.compiled:
        _check_vmap(game, plays)
    else:
        skipped |= dict.fromkeys(
            ("state", "jit", "vmap"), "not a compiled game"
        )
    _check_last(caller, plays)
    _check_same(game, plays[0], _again(caller, plays[0]), "determinism")
    samples = list(_samples(plays))
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
    return Conformance(
        game.name, episodes, sum(len(p.actions) for p in plays), kept, skipped
    )


# -- play ----------------------------------------------------------------------------------------------------


class _Caller(NamedTuple):
    """A game's `reset` and `step` as they are to be called; what they give is checked and made NumPy."""

    game: Game
    on_reset: Callable
    on_step: Callable
    blame: str = ""  # the property that an exception breaks; where empty, the function's own name

    def reset(self, key: jax.Array) -> tuple[Any, TimeStep]:
        return self._call("reset", self.on_reset, key)

    def step(
        self, state: Any, actions: np.ndarray, key: jax.Array
    ) -> tuple[Any, TimeStep]:
        return self._call("step", self.on_step, state, actions, key)

    def _call(
        self, what: str, function: Callable, *args: Any
    ) -> tuple[Any, TimeStep]:
        try:
            state, shown = function(*args)
        except Exception as error:
            text = str(error).strip().split("\n")[0]
            seen = f"{what} raised {type(error).__name__}: {text}"
            raise GameError(self.game, self.blame or what, seen) from error
        return state, _seen(self.game, shown, f"after {what}")


def _seen(game: Game, shown: Any, where: str) -> TimeStep:
    """`shown` in NumPy, its arrays checked one by one."""
    n, a = game.num_players, game.num_actions
    wanted = {
        "obs": ((n, *game.obs_shape), np.float32),
        "legal": ((n, a), np.bool_),
        "reward": ((n,), np.float32),
        "terminated": ((n,), np.bool_),
        "truncated": ((), np.bool_),
        "present": ((n,), np.bool_),
    }
    if not isinstance(shown, TimeStep):
        raise GameError(
            game, "types", f"{where}: a {type(shown).__name__}, not a TimeStep"
        )
    arrays = {name: np.asarray(getattr(shown, name)) for name in wanted}
    for name, (shape, dtype) in wanted.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != dtype:
            seen = f"{where}: {name} is {array.dtype} {array.shape}; expected: {np.dtype(dtype)} {shape}"
            raise GameError(game, "types", seen)
    for name in ("obs", "reward"):
        if not np.isfinite(arrays[name]).all():
            raise GameError(
                game, "finite", f"{where}: {name} = {brief(arrays[name])}"
            )
    binary = arrays["obs"][:, np.asarray(game.binary)]
    if not np.isin(binary, (0, 1)).all():
        raise GameError(
            game,
            "binary",
            f"{where}: {brief(np.unique(binary))} in entries said to be binary",
        )
    if not arrays["legal"].any(1).all():
        seats = np.flatnonzero(~arrays["legal"].any(1)).tolist()
        raise GameError(
            game, "legal", f"{where}: no legal action for seats {seats}"
        )
    return TimeStep(**arrays)


def _play(
    caller: _Caller, key: jax.Array, counts: np.ndarray, most: int, twice: bool
) -> Play:
    """An episode of at most `most` steps, every one checked; with `twice`, every call is made again."""
    game = caller.game
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    keys = list(jax.random.split(key, most + 1))
    state, shown = caller.reset(keys[0])
    if twice and (wrong := differ(shown, caller.reset(keys[0])[1])):
        raise GameError(
            game, "determinism", f"two resets with one key: {wrong}"
        )
    if (
        shown.reward.any()
        or shown.truncated
        or not (shown.present & ~shown.terminated).any()
    ):
        raise GameError(
            game, "reset", f"reward {shown.reward}, {_flags(shown)}"
        )
    play = Play([state], [shown], [], [keys[0]])
    step, asked_absent = _step_twice if twice else _Caller.step, False
    for t, step_key in enumerate(keys[1:], 1):
        actions = _act(rng, shown.legal, counts)
        state, after = step(caller, state, actions, step_key)
        _check_flags(game, shown, after, t)
        if not shown.present.all() and not asked_absent:
            asked_absent = True
            other = np.where(
                shown.present, actions, (actions + 1) % game.num_actions
            ).astype(np.int32)
            if wrong := differ(
                after, caller.step(play.states[-1], other, step_key)[1]
            ):
                raise GameError(
                    game,
                    "left",
                    f"step {t}: another action of a seat that has left: {wrong}",
                )
        play.states.append(state)
        play.shown.append(after)
        play.actions.append(actions)
        play.keys.append(step_key)
        shown = after
        if _over(shown):
            _check_finished(caller, play, _act(rng, shown.legal, counts))
            break
    return play


def _act(
    rng: np.random.Generator, legal: Array, counts: np.ndarray
) -> np.ndarray:
    """[N] int32: a legal action a seat, seldom chosen ones more often. Counts them in `counts` [A]."""
    weight = np.asarray(legal) / (1.0 + counts)
    actions = np.array(
        [rng.choice(len(w), p=w / w.sum()) for w in weight], np.int32
    )
    np.add.at(counts, actions, 1)
    return actions


def _step_twice(
    caller: _Caller, state: Any, actions: np.ndarray, key: jax.Array
) -> tuple[Any, TimeStep]:
    before, given = frozen(state), actions.copy()
    new, shown = caller.step(state, actions, key)
    if not same_state(state, before):
        raise GameError(
            caller.game, "mutation", "the state given to `step` has changed"
        )
    if not np.array_equal(actions, given):
        raise GameError(
            caller.game,
            "mutation",
            f"the actions given to `step`, {given}, are now {actions}",
        )
    if wrong := differ(shown, caller.step(state, actions, key)[1]):
        raise GameError(
            caller.game,
            "purity",
            f"the second of two equal calls of `step`: {wrong}",
        )
    return new, shown


def _again(caller: _Caller, play: Play) -> Play:
    """The same keys and actions once more."""
    state, shown = caller.reset(play.keys[0])
    again = Play([state], [shown], play.actions, play.keys)
    for actions, key in zip(play.actions, play.keys[1:], strict=True):
        state, shown = caller.step(state, actions, key)
        again.states.append(state)
        again.shown.append(shown)
    return again


# -- an episode's course -------------------------------------------------------------------------------------


def _over(shown: TimeStep) -> bool:
    return bool(shown.terminated.all() or shown.truncated)


def _flags(shown: TimeStep) -> str:
    return f"terminated {shown.terminated}, truncated {shown.truncated}, present {shown.present}"


def _check_flags(game: Game, before: TimeStep, after: TimeStep, t: int) -> None:
    """The step from `before` to `after`, the `t`-th of its episode."""
    gone, over, cut = ~before.present, _over(after), bool(after.truncated)
    ended, present = np.asarray(after.terminated), np.asarray(after.present)
    faults = (
        (
            "left",
            (gone & (present | ~ended)).any(),
            "a seat that had left is back, or has not terminated",
        ),
        (
            "left",
            np.asarray(after.reward)[gone].any(),
            "a seat that had left is rewarded",
        ),
        (
            "flags",
            (~present & ~ended).any(),
            "a seat that is not present has not terminated",
        ),
        (
            "flags",
            not over and (present & ended).any(),
            "a seat has terminated and is present; the game goes on",
        ),
        (
            "flags",
            cut and ended.all(),
            "the game has come to its own end and is called truncated",
        ),
        (
            "max_steps",
            cut and t != game.max_steps,
            f"truncated; max_steps = {game.max_steps}",
        ),
        (
            "max_steps",
            t >= game.max_steps and not over,
            f"not over; max_steps = {game.max_steps}",
        ),
    )
    for name, fault, words in faults:
        if fault:
            seen = f"step {t}: {words}: present was {before.present}; now {_flags(after)}, reward {after.reward}"
            raise GameError(game, name, seen)


def _check_finished(caller: _Caller, play: Play, actions: np.ndarray) -> None:
    last = play.shown[-1]
    still = dataclasses.replace(last, reward=np.zeros_like(last.reward))
    state = play.states[-1]
    for further in (1, 2):
        new, shown = caller.step(state, actions, play.keys[-1])
        wrong = differ(still, shown)
        if not wrong and not same_state(state, new):
            wrong = "the state changed"
        if wrong:
            seen = f"{further} step(s) after the end, at step {len(play.actions)}: {wrong}"
            raise GameError(caller.game, "finished", seen)
        state = new


def _check_last(caller: _Caller, plays: list[Play]) -> None:
    """A last observation that is a reset's: always one that an episode starts with, never one on the way."""
    for play in plays:
        if len(play.actions) < 2:
            return
        keys = [
            play.keys[-1],
            *jax.random.split(play.keys[-1]),
            *jax.random.split(play.keys[-1], 3),
        ]
        starts = [p.shown[0].obs for p in plays] + [
            caller.reset(key)[1].obs for key in keys
        ]
        fresh = [
            any(np.array_equal(shown.obs, start) for start in starts)
            for shown in play.shown[1:]
        ]
        if any(fresh[:-1]) or not fresh[-1]:
            return
    seen = f"{len(plays)} episodes of {len(plays)} end in an observation that a start has"
    raise GameError(caller.game, "last_observation", seen)


# -- how it is called ----------------------------------------------------------------------------------------


def _check_state(game: Game, play: Play) -> None:
    try:
        first = jax.eval_shape(game.reset, play.keys[0])[0]
        later = jax.eval_shape(
            game.step, play.states[0], play.actions[0], play.keys[1]
        )[0]
    except Exception as error:
        text = str(error).strip().split("\n")[0]
        raise GameError(
            game, "jit", f"tracing raised {type(error).__name__}: {text}"
        ) from error
    if jax.tree.structure(first) != jax.tree.structure(later):
        raise GameError(
            game,
            "state",
            f"{jax.tree.structure(first)} became {jax.tree.structure(later)}",
        )
    for (path, old), new in zip(
        jax.tree.leaves_with_path(first), jax.tree.leaves(later), strict=True
    ):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            seen = f"{old.dtype} {old.shape} became {new.dtype} {new.shape}"
            raise GameError(
                game, "state", f"state{jax.tree_util.keystr(path)}: {seen}"
            )


def _check_same(
    game: Game, play: Play, other: Play, property: str, exact: bool = True
) -> None:
    for t, (shown, again) in enumerate(
        zip(play.shown, other.shown, strict=True)
    ):
        if wrong := differ(shown, again, exact):
            raise GameError(game, property, f"step {t}: {wrong}")


def _check_vmap(game: Game, plays: list[Play]) -> None:
    steps = [
        row
        for p in plays
        for row in zip(
            p.states[:-1], p.actions, p.keys[1:], p.shown[1:], strict=True
        )
    ]
    steps = steps[:: -(-len(steps) // 32)]  # at most 32 of them
    starts = [(p.keys[0], p.shown[0]) for p in plays]
    for what, function, rows in (
        ("reset", game.reset, starts),
        ("step", game.step, steps),
    ):
        args, wanted = [row[:-1] for row in rows], [row[-1] for row in rows]
        try:
            _, got = jax.jit(jax.vmap(function))(*jax.tree.map(_stack, *args))
        except Exception as error:
            text = str(error).strip().split("\n")[0]
            raise GameError(
                game, "vmap", f"{what} raised {type(error).__name__}: {text}"
            ) from error
        for row, shown in enumerate(wanted):
            if wrong := differ(
                shown,
                jax.tree.map(lambda x, row=row: np.asarray(x[row]), got),
                exact=False,
            ):
                raise GameError(
                    game, "vmap", f"{what}, row {row} of {len(wanted)}: {wrong}"
                )


def _stack(*leaves: Any) -> Any:
    """One array of them all; in NumPy, for `jnp.stack` compiles for every number of leaves."""
    if is_key(leaves[0]):
        data = np.stack([jax.random.key_data(leaf) for leaf in leaves])
        return jax.random.wrap_key_data(
            jax.numpy.asarray(data), impl=jax.random.key_impl(leaves[0])
        )
    return np.stack(leaves)


def _samples(plays: list[Play]) -> Iterator[tuple[str, TimeStep]]:
    """Steps from all episodes, spread evenly, each with the words that say where it was."""
    steps = [
        (f"episode {e}, step {t}", shown)
        for e, p in enumerate(plays)
        for t, shown in enumerate(p.shown)
    ]
    for index in np.unique(np.linspace(0, len(steps) - 1, SAMPLES).astype(int)):
        yield steps[index]
