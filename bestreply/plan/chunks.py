"""Large batches a few at a time, so that what is computed in between stays in a processor's cache."""

from collections.abc import Callable
from typing import Any

import jax
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
            out = in_chunks(jax.vmap(flat, in_axes=along, axis_size=count), max(size // count, 1))(*leaves)
        else:

            def one(rows: list[Any]) -> Any:
                given = iter(rows)
                return flat(*(next(given) if m else leaf for m, leaf in zip(mapped, leaves, strict=True)))

            out = jax.lax.map(one, [x for m, x in zip(mapped, leaves, strict=True) if m], batch_size=size)
        return out, jax.tree.map(lambda _: True, out)

    return chunked
