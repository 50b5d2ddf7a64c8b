"""Checks of methods of others: sentences in place of errors far from their cause."""

from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree


def check_updates(name: str, updates: object) -> None:
    """Refuse what `Method.updates` returned, if it is no table of updates by phase.

    Args:
        name: name of the method.
        updates: what it returned.

    Raises:
        ValueError: it is no dict from names to pairs of whole numbers.
    """

    def fits(phase: Any, pair: Any) -> bool:
        return (
            isinstance(phase, str)
            and isinstance(pair, tuple)
            and len(pair) == 2
            and all(isinstance(x, int | np.integer) for x in pair)
        )

    if not isinstance(updates, dict) or not all(
        map(fits, updates, updates.values())
    ):
        raise ValueError(
            f"method={name!r}: updates={updates!r:.100}: expected a dict from each phase "
            "to (updates made, updates to make), such as {'policy': (0, 100)}"
        )


def check_state(name: str, where: str, state: PyTree, like: PyTree) -> None:
    """Refuse a train state that a checkpoint of the run could not be read as.

    Args:
        name: name of the method.
        where: the function that returned it.
        state: the state.
        like: a state of `Method.start`, or its shapes.

    Raises:
        ValueError: another structure, or an array of another shape or type.
    """
    before, after = jax.tree.structure(like), jax.tree.structure(state)
    if before != after:
        raise ValueError(
            f"method={name!r}: {where} returns {after!s:.200}: expected a train state as "
            f"that of start, {before!s:.200}"
        )
    pairs = zip(jax.tree.leaves(state), jax.tree.leaves(like), strict=True)
    for new, old in pairs:
        shapes = [np.shape(x) for x in (new, old)]
        types = [str(getattr(x, "dtype", type(x).__name__)) for x in (new, old)]
        if shapes[0] != shapes[1] or types[0] != types[1]:
            raise ValueError(
                f"method={name!r}: {where} returns an array of shape {shapes[0]} and type "
                f"{types[0]}: expected shape {shapes[1]} and type {types[1]}, as start"
            )
