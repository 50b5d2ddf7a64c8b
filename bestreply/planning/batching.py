"""Large batches in parts that fit the processor's cache, and only the rows needed."""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Bool, Int, PyTree

from bestreply.opponents.joint_actions import joint_count
from bestreply.planning.base import DecisionPoint, Models
from bestreply.types import Plan

OUTCOME_BATCH = 1024
"""Outcomes (an own action with a joint opponent action) that planners evaluate at a
time."""


def outcome_count(models: Models, at: DecisionPoint) -> int:
    """Return how many outcomes a one-step plan at `at` evaluates.

    Args:
        models: the models; their settings say how many joint actions there are.
        at: the decision point.

    Returns:
        The number of own actions times that of joint opponent actions.
    """
    actions = models.world.num_actions
    return actions * joint_count(actions, len(at.present) - 1, models.config)


def plan_in_batches(
    plan: Callable[..., Plan], outcomes: int, models: Models, *arguments: PyTree
) -> Plan:
    """Return `plan(models, *arguments)`; its `vmap` is split by `OUTCOME_BATCH`.

    Args:
        plan: a planner for one example.
        outcomes: number of outcomes that one call evaluates at a time.
        models: the models.
        arguments: arrays, the planner's further arguments.

    Returns:
        The plan.
    """
    arrays, fixed = eqx.partition(models, eqx.is_array)

    def plan_arrays(arrays: PyTree, *arguments: PyTree) -> Plan:
        return plan(eqx.combine(arrays, fixed), *arguments)

    size = max(OUTCOME_BATCH // outcomes, 1)
    return in_batches(plan_arrays, size)(arrays, *arguments)


ALONE_ROWS = 80
"""Rows that are evaluated at a time for the rows of a single example."""
_undivided: ContextVar[bool] = ContextVar("undivided", default=False)
_most_rows: ContextVar[int | None] = ContextVar("most_rows", default=None)
"""Limit of the rows at a time, while the rows of a single example are traced."""


@contextlib.contextmanager
def undivided() -> Iterator[None]:
    """Trace programs whose batch is planned as a whole, and may be of any size."""
    token = _undivided.set(True)
    try:
        yield
    finally:
        _undivided.reset(token)


def _divides() -> bool:
    return jax.default_backend() == "cpu" and not _undivided.get()


def in_batches(f: Callable[..., PyTree], size: int) -> Callable[..., PyTree]:
    """Return `f` with a `vmap` that evaluates at most `size` examples at a time.

    Args:
        f: function of arrays alone.
        size: examples at a time.

    Returns:
        A function with the results of `f`, also under nested `vmap`. On devices other
        than a CPU it is `f` itself: there, large batches are fastest.
    """
    if not _divides():
        return f
    split = custom_vmap(f)

    @split.def_vmap
    def batched(
        count: int, has_batch: Any, *arguments: PyTree
    ) -> tuple[PyTree, PyTree]:
        leaves, tree = jax.tree.flatten(arguments)
        mapped = jax.tree.leaves(has_batch)

        def flat(*leaves: Array) -> PyTree:
            return f(*jax.tree.unflatten(tree, leaves))

        if count <= size:  # a further vmap around this one is split too
            axes = tuple(0 if m else None for m in mapped)
            whole = jax.vmap(flat, in_axes=axes, axis_size=count)
            out = in_batches(whole, max(size // count, 1))(*leaves)
        else:
            out = _map(flat, leaves, mapped, size)
        return out, jax.tree.map(lambda _: True, out)

    return split


def _map(
    f: Callable[..., PyTree], leaves: list[Any], mapped: list[bool], size: int
) -> PyTree:
    """Return `f(*leaves)` over the axis 0 of the mapped leaves, `size` at a time."""
    # `lax.map` cannot split arrays without entries, such as beliefs about no
    # opponents. Their rows are all equal.
    count = next(len(x) for m, x in zip(mapped, leaves, strict=True) if m)
    empty = [m and not x.size for m, x in zip(mapped, leaves, strict=True)]
    leaves = [x[0] if e else x for e, x in zip(empty, leaves, strict=True)]
    mapped = [m and not e for m, e in zip(mapped, empty, strict=True)]

    def one(rows: list[Array]) -> PyTree:
        row = iter(rows)
        pairs = zip(mapped, leaves, strict=True)
        return f(*(next(row) if m else leaf for m, leaf in pairs))

    rows = [x for m, x in zip(mapped, leaves, strict=True) if m]
    shapes, tree = jax.tree.flatten(jax.eval_shape(one, [x[0] for x in rows]))

    def entries(rows: list[Array]) -> list[Array]:
        out = zip(jax.tree.leaves(one(rows)), shapes, strict=True)
        return [x for x, shape in out if shape.size]

    out = iter(jax.lax.map(entries, rows, batch_size=_part(count, size)))
    return jax.tree.unflatten(
        tree,
        [
            next(out) if s.size else jnp.zeros((count, *s.shape), s.dtype)
            for s in shapes
        ],
    )


def _part(count: int, size: int) -> int:
    """Return how many of `count` examples to evaluate at a time, at most `size`.

    Parts of one size are compiled once.
    """
    even = [n for n in range(size // 2 + 1, size + 1) if count % n == 0]
    return max(even, default=size)


def where_needed(
    f: Callable[[Any, Any, Array], PyTree],
    size: int,
    alone: int | None = None,
) -> Callable[[Any, Any, Any], PyTree]:
    """Return a function that evaluates `f(models, shared, row)` for the needed rows.

    Under `vmap` on a CPU, the needed rows of all examples are gathered and evaluated
    about `size` at a time, and the other rows are not computed. (Not where the models
    differ between examples, and not on other devices.)

    Args:
        f: function of arrays alone; `row` is an index [].
        size: rows at a time.
        alone: rows at a time of a single example; None: all its rows are computed.

    Returns:
        Function of the models, the shared arrays and `needed` [R] bool. It returns the
        results [R, ...]; zeros for rows that are not needed.
    """

    def every_row(models: PyTree, shared: PyTree, needed: Array) -> PyTree:
        rows = jnp.arange(len(needed))
        out = jax.vmap(lambda row: f(models, shared, row))(rows)
        return jax.tree.map(partial(_zero_unless, needed), out)

    if not _divides():
        return every_row

    def gathered(models: PyTree, shared: PyTree, needed: Array) -> PyTree:
        def one(i: Array, row: Array) -> PyTree:
            return f(models, jax.tree.map(lambda x: x[i], shared), row)

        return _gathered(one, needed, size)

    def of_one(models: PyTree, shared: PyTree, needed: Array) -> PyTree:
        if alone is None:
            return every_row(models, shared, needed)
        token = _most_rows.set(ALONE_ROWS)
        try:
            out = _gathered(
                lambda i, row: f(models, shared, row), needed[None], alone
            )
        finally:
            _most_rows.reset(token)
        return jax.tree.map(lambda x: x[0], out)

    by_example, by_batch = custom_vmap(of_one), custom_vmap(gathered)

    @by_example.def_vmap
    def batched(
        count: int, has_batch: Any, *arguments: PyTree
    ) -> tuple[PyTree, PyTree]:
        out = _with_one_model(by_batch, every_row, count, has_batch, *arguments)
        return out, jax.tree.map(lambda _: True, out)

    @by_batch.def_vmap
    def batched_again(
        count: int, has_batch: Any, *arguments: PyTree
    ) -> tuple[PyTree, PyTree]:
        def joined(models: PyTree, *rows: PyTree) -> PyTree:
            flat = jax.tree.map(
                lambda x: x.reshape(count * x.shape[1], *x.shape[2:]), rows
            )
            out = by_batch(models, *flat)
            return jax.tree.map(
                lambda x: x.reshape(count, len(x) // count, *x.shape[1:]), out
            )

        out = _with_one_model(joined, gathered, count, has_batch, *arguments)
        return out, jax.tree.map(lambda _: True, out)

    return by_example


def _with_one_model(
    together: Callable[..., PyTree],
    separately: Callable[..., PyTree],
    count: int,
    has_batch: Any,
    *arguments: PyTree,
) -> PyTree:
    """Return `together(models, shared, needed)`, all but the models with a batch axis.

    Where the models have a batch axis too, it is `separately` for each example.
    """
    models, shared, needed = jax.tree.map(jnp.asarray, arguments)
    if any(jax.tree.leaves(has_batch[0])):
        axes = jax.tree.map(lambda m: 0 if m else None, tuple(has_batch))
        each = jax.vmap(separately, in_axes=axes, axis_size=count)
        return each(models, shared, needed)
    rows = jax.tree.map(
        lambda x, m: x if m else jnp.broadcast_to(x, (count, *x.shape)),
        (shared, needed),
        tuple(has_batch[1:]),
    )
    return together(models, *rows)


def _zero_unless(needed: Bool[Array, " R"], x: Array) -> Array:
    """Return `x` [R, ...] with zeros in the rows that are not needed."""
    mask = needed.reshape(-1, *(1,) * (x.ndim - 1))
    return jnp.where(mask, x, jnp.zeros((), x.dtype))


def _gathered(
    f: Callable[[Array, Array], PyTree], needed: Bool[Array, "B R"], size: int
) -> PyTree:
    """Return `f(example, row)` [B, R, ...], `size` needed rows at a time; else zeros."""
    count, rows = needed.shape
    total, flat = count * rows, needed.reshape(-1)
    size = min(size, total, _most_rows.get() or size)
    order = jnp.argsort(~flat, stable=True)  # needed rows first
    order = jnp.pad(order, (0, -len(order) % size), mode="edge")
    shapes = jax.eval_shape(f, 0, 0)
    out = jax.tree.map(lambda x: jnp.zeros((total, *x.shape), x.dtype), shapes)

    def next_rows(
        carry: tuple[Int[Array, ""], PyTree],
    ) -> tuple[Int[Array, ""], PyTree]:
        done, out = carry
        at = jax.lax.dynamic_slice(order, (done,), (size,))
        new = jax.vmap(f)(at // rows, at % rows)
        out = jax.tree.map(
            lambda x, y: x.at[at].set(_zero_unless(flat[at], y)), out, new
        )
        return done + size, out

    _, out = jax.lax.while_loop(
        lambda carry: carry[0] < flat.sum(), next_rows, (jnp.int32(0), out)
    )
    return jax.tree.map(lambda x: x.reshape(count, rows, *x.shape[1:]), out)
