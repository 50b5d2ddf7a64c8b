"""Calls of functions of NumPy batches out of compiled programs (`jax.pure_callback`)."""

import contextlib
import dataclasses
import logging
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int32, PyTree, UInt32

from bestreply.types import Array
from bestreply.utils.casts import cast

EXTRAS = ("memory", "rng", "others", "own", "present")
"""Further parameters that a player's function can have, by name."""
TOLERANCE = 1e-3
"""Largest distance of a sum of probabilities from 1."""

PlayerFunction = Callable[..., Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Rule:
    """A function of NumPy batches, and the form of its answers."""

    fn: PlayerFunction
    extras: tuple[str, ...]
    """Those of `EXTRAS` that it takes."""
    distribution: bool
    """It answers with probabilities [B, A] in place of actions [B]."""


def call_rule(
    rule: Rule,
    name: str,
    obs: Array,
    legal: Array,
    taken: dict[str, PyTree],
) -> tuple[Array, PyTree]:
    """Return a function's answer and its memory, for one example.

    `jax.vmap` makes one call of many examples.

    Args:
        rule: the function.
        name: name of the player, for errors.
        obs: [*obs_shape] the observation.
        legal: [A] bool, the legal actions.
        taken: what it takes beside them, by the names of `EXTRAS`; "rng" is the data
            of a random key.

    Returns:
        The action [] int32 or the probabilities [A] float32, and the memory.
    """
    answer = jax.ShapeDtypeStruct((), np.dtype(np.int32))
    if rule.distribution:
        answer = jax.ShapeDtypeStruct(legal.shape, np.dtype(np.float32))
    memory = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype),
        taken.get("memory", ()),
    )
    return jax.pure_callback(
        Call(rule, name, obs.ndim),
        (answer, memory),
        obs,
        legal,
        taken,
        vmap_method="broadcast_all",
    )


@dataclasses.dataclass(frozen=True)
class Call:
    """The call of a rule; equal ones share a compiled program."""

    rule: Rule
    name: str
    axes: int  # of one observation

    def __call__(
        self, obs: Any, legal: Any, taken: dict[str, Any]
    ) -> tuple[np.ndarray, PyTree]:
        try:
            obs = np.asarray(obs)
            lead = obs.shape[: obs.ndim - self.axes]
            size = math.prod(lead)

            def flat(x: Any) -> np.ndarray:
                x = np.asarray(x)
                return x.reshape((size, *x.shape[len(lead) :]))

            obs, legal, taken = jax.tree.map(flat, (obs, legal, taken))
            # JAX's arrays are read-only; some libraries warn of such masks.
            answer, memory = self._answers(obs, np.array(legal), taken)
            return jax.tree.map(
                lambda x: x.reshape((*lead, *x.shape[1:])), (answer, memory)
            )
        except BaseException as error:  # KeyboardInterrupt is no Exception
            _failures.append(error)
            raise

    def _answers(
        self, obs: np.ndarray, legal: np.ndarray, taken: dict[str, Any]
    ) -> tuple[np.ndarray, PyTree]:
        """Return the answers and the memory of B rows."""
        if "rng" not in taken:
            return self._answer(obs, legal, taken)
        keys = taken.pop("rng")
        leaves, structure = jax.tree.flatten(taken)
        each = []
        for row, rng in enumerate(_generators(keys)):
            rows = slice(row, row + 1)
            one = jax.tree.unflatten(structure, [x[rows] for x in leaves])
            given = one | {"rng": rng}
            each.append(self._answer(obs[rows], legal[rows], given))
        return jax.tree.map(lambda *x: np.concatenate(x), *each)

    def _answer(
        self, obs: np.ndarray, legal: np.ndarray, taken: dict[str, Any]
    ) -> tuple[np.ndarray, PyTree]:
        before = taken.get("memory", ())
        if "memory" in taken:  # a function may change it in place
            taken = taken | {"memory": jax.tree.map(np.copy, before)}
        result, memory = self.rule.fn(obs, legal, **taken), ()
        if "memory" in taken:
            if not isinstance(result, tuple) or len(result) != 2:
                kind = "probabilities" if self.rule.distribution else "actions"
                raise self.refusal(
                    f"answer of type {type(result).__name__}",
                    f"({kind}, memory), since it has a memory",
                )
            result, memory = result
            memory = _checked_memory(self, memory, before)
        if self.rule.distribution:
            return _checked_probs(self, result, legal), memory
        return _checked_actions(self, result, legal), memory

    def refusal(self, seen: str, expected: str) -> ValueError:
        """Return the error about an answer.

        Args:
            seen: what the answer is.
            expected: what it should be.
        """
        return ValueError(f"player={self.name!r}: {seen}: expected {expected}")


def _generators(
    keys: UInt32[np.ndarray, "B words"],
) -> Iterator[np.random.Generator]:
    """Yield a generator for each random key, the same object anew."""
    bits = np.random.Philox(key=0)
    state, generator = bits.state, np.random.Generator(bits)
    words = np.ascontiguousarray(keys).view(np.uint64)
    for row in words:
        state["state"]["key"][: len(row)] = row
        bits.state = state
        yield generator


def _array(call: Call, answer: Any) -> np.ndarray:
    """Return an answer as an array of numbers."""
    try:
        array = np.asarray(answer)
    except (TypeError, ValueError):
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        kind = "probabilities" if call.rule.distribution else "actions"
        shown = " ".join(repr(answer).split())
        raise call.refusal(f"answer={shown:.100}", f"an array of {kind}")
    return array


def _checked_actions(
    call: Call, answer: Any, legal: Bool[np.ndarray, "B A"]
) -> Int32[np.ndarray, " B"]:
    """Return actions; whether they are legal is checked where the seat acts."""
    actions = _array(call, answer)
    if actions.shape != legal.shape[:1] or actions.dtype.kind not in "iu":
        hint = ""
        if actions.shape == legal.shape:
            hint = "; for probabilities of actions give distribution=True"
        raise call.refusal(
            f"answer of shape {actions.shape} and type {actions.dtype}",
            f"whole numbers of shape {legal.shape[:1]}, an action for each row of "
            f"obs{hint}",
        )
    for row in np.flatnonzero((actions < 0) | (actions >= legal.shape[1]))[:1]:
        allowed = np.flatnonzero(legal[row]).tolist()
        raise call.refusal(
            f"action {actions[row]}",
            f"0 to {legal.shape[1] - 1}; legal in this row: {allowed}",
        )
    return actions.astype(np.int32)


def _checked_probs(
    call: Call, answer: Any, legal: Bool[np.ndarray, "B A"]
) -> Float[np.ndarray, "B A"]:
    """Return distributions that sum to 1; the only legal action has probability 1."""
    probs = _array(call, answer)
    if probs.shape != legal.shape:
        raise call.refusal(
            f"answer of shape {probs.shape}",
            f"probabilities of shape {legal.shape}, a row for each row of obs",
        )
    probs = probs.astype(np.float64)
    forced = legal.sum(1) == 1
    probs = np.where(forced[:, None], legal, probs)
    # A comparison with NaN is False.
    total = probs.sum(1)
    valid = (probs >= 0).all(1) & (np.abs(total - 1) <= TOLERANCE)
    valid &= np.where(legal, 0.0, probs).max(1) <= 0
    for row in np.flatnonzero(~valid)[:1]:
        shown = np.array2string(probs[row], precision=4, threshold=20)
        allowed = np.flatnonzero(legal[row]).tolist()
        raise call.refusal(
            f"probabilities {shown}",
            f"numbers of 0 or more that sum to 1, and 0 for illegal actions; legal "
            f"in this row: {allowed}",
        )
    return (probs / total[:, None]).astype(np.float32)


def _checked_memory(call: Call, memory: PyTree, before: PyTree) -> PyTree:
    """Return the memory with the structure, shapes and types that it had before."""
    structure = jax.tree.structure(before)
    if jax.tree.structure(memory) != structure:
        raise call.refusal(
            f"memory of structure {jax.tree.structure(memory)}", f"{structure}"
        )
    leaves = []
    places = jax.tree_util.tree_leaves_with_path(before)
    for value, (path, old) in zip(jax.tree.leaves(memory), places, strict=True):
        new = np.asarray(value)
        if new.shape != old.shape or not np.can_cast(
            new.dtype, old.dtype, "same_kind"
        ):
            raise call.refusal(
                f"memory of shape {new.shape} and type {new.dtype}",
                f"shape {old.shape} and type {old.dtype}, as at the start",
            )
        leaf, changed = cast(new, old.dtype)
        if changed:
            refusal = unheld(path, changed, old.dtype)
            raise ValueError(f"player={call.name!r}: {refusal}")
        leaves.append(leaf)
    return jax.tree.unflatten(structure, leaves)


def unheld(path: Any, number: str, dtype: np.dtype) -> str:
    """Return the error about a number that the type of a memory does not hold.

    Args:
        path: where it is in the memory, as of `jax.tree_util`.
        number: the number.
        dtype: the type.
    """
    place = jax.tree_util.keystr(path)
    hint = "reduce it modulo 2**32 or keep it in two entries"
    if dtype.kind == "f":
        hint = "scale it, or begin with an integer"
    return (
        f"memory{place}={number}: expected numbers that {dtype} holds, since memory "
        f"has at most 32 bits; {hint}"
    )


# -- errors ------------------------------------------------------------------------------

_failures: list[BaseException] = []
"""Exceptions of calls that JAX reports as errors of its own."""


def _is_not_ours(record: logging.LogRecord) -> bool:
    return not (record.exc_info and record.exc_info[1] in _failures)


logging.getLogger("jax._src.callback").addFilter(_is_not_ours)


@contextlib.contextmanager
def player_errors() -> Iterator[None]:
    """Raise the exception of a player's function in place of JAX's error about it.

    Returns:
        A context manager, which is a decorator too.
    """
    _failures.clear()
    try:
        yield
    except jax.errors.JaxRuntimeError:
        if not _failures:
            raise
        raise _failures[-1] from None
    finally:
        _failures.clear()
