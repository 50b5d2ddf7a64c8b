"""Large batches a few at a time, so that what is computed in between stays in a processor's cache; and only what is needed of them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap


def in_chunks(f: Callable[..., Any], size: int) -> Callable[..., Any]:
    """`f`, of arrays alone, whose `vmap` over more than `size` examples goes through them `size` at a time.

    The same numbers as `f` under a plain `vmap`, nested ones too. Elsewhere than on a CPU it is `f`: there, large batches are
    what is fast.
    """
    if jax.default_backend() != "cpu":
        return f
    chunked = custom_vmap(f)

    @chunked.def_vmap
    def batched(count: int, has_batch: Any, *arguments: Any) -> tuple[Any, Any]:
        leaves, tree = jax.tree.flatten(arguments)
        mapped = jax.tree.leaves(has_batch)
        along = tuple(0 if m else None for m in mapped)

        def flat(*leaves: Any) -> Any:
            return f(*jax.tree.unflatten(tree, leaves))

        if count <= size:  # a further vmap around this one goes on chunking
            out = in_chunks(
                jax.vmap(flat, in_axes=along, axis_size=count),
                max(size // count, 1),
            )(*leaves)
        else:

            def one(rows: list[Any]) -> Any:
                given = iter(rows)
                return flat(
                    *(
                        next(given) if m else leaf
                        for m, leaf in zip(mapped, leaves, strict=True)
                    )
                )

            out = jax.lax.map(
                one,
                [x for m, x in zip(mapped, leaves, strict=True) if m],
                batch_size=size,
            )
        return out, jax.tree.map(lambda _: True, out)

    return chunked


def where_needed(f: Callable[..., Any], size: int) -> Callable[..., Any]:
    """`f(models, shared, row)`, of arrays alone, for each row that is needed: called with models, shared and `needed` [R] bool.

    Rows that are not needed are zeros. Under `vmap` on a CPU they aren't computed either: the needed rows of all examples go through
    `f` together, about `size` at a time. (Not where the models differ from example to example; nor elsewhere than on a CPU.)
    """

    def plain(models: Any, shared: Any, needed: Any) -> Any:
        out = jax.vmap(lambda row: f(models, shared, row))(
            jnp.arange(len(needed))
        )
        return jax.tree.map(partial(_only, needed), out)

    if jax.default_backend() != "cpu":
        return plain
    skipping = custom_vmap(plain)

    def gathered(models: Any, shared: Any, needed: Any) -> Any:
        """Of examples [B]."""
        return _gathered(
            lambda i, row: f(models, jax.tree.map(lambda x: x[i], shared), row),
            needed,
            size,
        )

    many = custom_vmap(gathered)

    @skipping.def_vmap
    def batched(
        count: int, has_batch: Any, models: Any, shared: Any, needed: Any
    ) -> tuple[Any, Any]:
        out = _apart_or(many, plain, count, has_batch, models, shared, needed)
        return out, jax.tree.map(lambda _: True, out)

    @many.def_vmap
    def batched_again(
        count: int, has_batch: Any, models: Any, shared: Any, needed: Any
    ) -> tuple[Any, Any]:
        def flat(models: Any, *rows: Any) -> Any:
            joined = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), rows)
            out = many(models, *joined)
            return jax.tree.map(
                lambda x: x.reshape(count, -1, *x.shape[1:]), out
            )

        out = _apart_or(
            flat, gathered, count, has_batch, models, shared, needed
        )
        return out, jax.tree.map(lambda _: True, out)

    return skipping


def _apart_or(
    together: Callable[..., Any],
    apart: Callable[..., Any],
    count: int,
    has_batch: Any,
    models: Any,
    shared: Any,
    needed: Any,
) -> Any:
    """`together(models, shared, needed)` with a batch axis on all but the models; where they have one too, each example `apart`."""
    models, shared, needed = jax.tree.map(jnp.asarray, (models, shared, needed))
    if any(jax.tree.leaves(has_batch[0])):
        axes = jax.tree.map(lambda m: 0 if m else None, tuple(has_batch))
        return jax.vmap(apart, in_axes=axes, axis_size=count)(
            models, shared, needed
        )
    rows = jax.tree.map(
        lambda x, m: x if m else jnp.broadcast_to(x, (count, *x.shape)),
        (shared, needed),
        tuple(has_batch[1:]),
    )
    return together(models, *rows)


def _only(needed: Any, x: Any) -> Any:
    return jnp.where(
        needed.reshape(-1, *(1,) * (x.ndim - 1)), x, jnp.zeros((), x.dtype)
    )


def _gathered(one: Callable[..., Any], needed: Any, size: int) -> Any:
    """[B, R, ...]: `one(example, row)` for those of `needed` [B, R], gathered from all examples, `size` at a time; else zeros."""
    count, rows = needed.shape
    size, flat = min(size, count * rows), needed.reshape(-1)
    order = jnp.argsort(~flat, stable=True)  # the needed ones first
    order = jnp.pad(order, (0, -len(order) % size), mode="edge")
    zero = jax.eval_shape(one, 0, 0)
    out = jax.tree.map(
        lambda x: jnp.zeros((count * rows, *x.shape), x.dtype), zero
    )

    def some(carry: Any) -> Any:
        done, out = carry
        at = jax.lax.dynamic_slice(order, (done,), (size,))
        found = jax.vmap(one)(at // rows, at % rows)
        return done + size, jax.tree.map(
            lambda x, y: x.at[at].set(_only(flat[at], y)), out, found
        )

    out = jax.lax.while_loop(
        lambda carry: carry[0] < flat.sum(), some, (0, out)
    )[1]
    return jax.tree.map(lambda x: x.reshape(count, rows, *x.shape[1:]), out)
