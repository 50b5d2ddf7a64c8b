"""Play of several seeds as one compiled batch.

Evaluations that take turns (`bestreply.utils.turns`) call the same compiled programs
with other arrays. Here these calls become one, mapped over the seeds.
"""

from collections.abc import Callable, Hashable, Sequence
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int32, PyTree

from bestreply.players.callback import player_errors
from bestreply.utils.console import warn
from bestreply.utils.quick import QuickProgram, quickly
from bestreply.utils.turns import job_count, meet

PoolSeats = tuple[Int32[np.ndarray, "M _"], ...]
"""For each pool player its seats in every match, as `Lineup.seats` returns them."""

Leaves = tuple[Any, ...]


def matches_at_once(chunk: int) -> int:
    """Return the number of matches of one seed to play side by side.

    Args:
        chunk: the number that one seed alone plays side by side. On a CPU the seeds of
            a batch share it, since more matches do not fit its cache.
    """
    if jax.default_backend() != "cpu":
        return chunk
    return max(chunk // job_count(), 1)


def pad_seats(seats: PoolSeats, players: int) -> PoolSeats:
    """Return seats in arrays of one width for all seeds of the batch.

    Args:
        seats: seats of the pool players.
        players: number of seats of the game, which is the padding.
    """
    return meet(_pad_all, (seats, players)) if job_count() > 1 else seats


def _pad_all(calls: Sequence[tuple[PoolSeats, int]]) -> list[PoolSeats]:
    if len({len(seats) for seats, _ in calls}) > 1:
        return [seats for seats, _ in calls]
    of_player = zip(*(seats for seats, _ in calls), strict=True)
    widths = [max(one.shape[1] for one in each) for each in of_player]
    return [
        tuple(
            np.pad(
                own, ((0, 0), (0, n - own.shape[1])), constant_values=players
            )
            for own, n in zip(seats, widths, strict=True)
        )
        for seats, players in calls
    ]


def call_for_all(function: Callable[..., PyTree], *args: Any) -> PyTree:
    """Return `function(*args)`, computed in one call for all seeds of the batch.

    Args:
        function: a compiled function.
        args: its arguments. Arrays are mapped over; all else has to be equal.

    Returns:
        Its result. Where one call cannot serve all seeds, each makes its own.
    """
    if job_count() == 1:
        return function(*args)
    result = meet(_meeting(function), args)
    return function(*args) if result is None else result


@cache  # one object for each function, at which its callers meet
def _meeting(
    function: Callable[..., PyTree],
) -> Callable[[Sequence[Leaves]], list[PyTree]]:
    return partial(_call_all, function)


def _call_all(
    function: Callable[..., PyTree], calls: Sequence[Leaves]
) -> list[PyTree]:
    """Return the result of each call, or None for each that has to be made alone."""
    if len(calls) == 1:
        return [None]
    parts = [_parts(args) for args in calls]
    if len({fixed for _, fixed in parts}) > 1:
        _warn_once("their players or matches differ in more than numbers")
        return [None] * len(calls)
    try:
        with player_errors():
            arrays = tuple(arrays for arrays, _ in parts)
            out = jax.device_get(_mapped(function, parts[0][1], arrays))
    except Exception as error:
        _warn_once(
            str(error).strip().partition("\n")[0] or type(error).__name__
        )
        return [None] * len(calls)
    return [
        jax.tree.map(lambda x, row=row: x[row], out)
        for row in range(len(calls))
    ]


def _parts(args: Leaves) -> tuple[Leaves, Hashable]:
    """Return the arrays of a call, and all else with the shapes of the arrays."""
    leaves, tree = jax.tree.flatten(args)
    arrays = tuple(x for x in leaves if _is_array(x))
    shapes = tuple((x.shape, x.dtype) for x in arrays)
    others = tuple(None if _is_array(x) else x for x in leaves)
    return arrays, (tree, others, shapes)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray)


def _mapped(
    function: Callable[..., PyTree], fixed: Any, arrays: tuple[Leaves, ...]
) -> PyTree:
    if isinstance(function, QuickProgram):
        return _mapped_program(function.plain, fixed, arrays)
    return _mapped_program.plain(function, fixed, arrays)


@quickly(static_argnames=("function", "fixed"))
def _mapped_program(
    function: Callable[..., PyTree], fixed: Any, arrays: tuple[Leaves, ...]
) -> PyTree:
    """Return the results [S, ...] of S calls."""
    tree, others, _ = fixed

    def one(arrays: Leaves) -> PyTree:
        rest = iter(arrays)
        leaves = [next(rest) if x is None else x for x in others]
        return function(*jax.tree.unflatten(tree, leaves))

    return jax.vmap(one)(jax.tree.map(lambda *x: jnp.stack(x), *arrays))


def say_alone(reason: str) -> None:
    """Say why the seeds of a batch are played one by one; each reason once.

    Args:
        reason: the reason.
    """
    if job_count() > 1:
        _warn_once(reason)


@cache
def _warn_once(reason: str) -> None:
    warn(f"the seeds of a batch are played one by one: {reason}")
