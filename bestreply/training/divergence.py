"""Numbers that are not finite: training stops there, and says why."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree


class Diverged(ValueError):
    """A loss, a parameter or a measure of a trained network is not finite."""


def check_finite(
    phase: str,
    first: int,
    last: int,
    metrics: Mapping[str, Any],
    train_state: PyTree,
    advice: str,
    seeds: Sequence[int] | None = None,
) -> None:
    """Refuse a block of updates after which a number is not finite.

    Args:
        phase: name of the phase, for the error.
        first: first update of the block, counted from 1.
        last: last update of the block.
        metrics: numbers by name; with `seeds` a list of S numbers for each name.
        train_state: the state after the block; stacked [S, ...] with `seeds`.
        advice: the setting to change, as a sentence.
        seeds: seeds of S runs that are trained as one batch; None: one run.

    Raises:
        Diverged: a metric or a parameter is NaN or infinite; the error names it, the
            phase, the updates and the seeds.
    """
    values = {name: np.atleast_1d(value) for name, value in metrics.items()}
    bad = [
        (f"{name}={value[~np.isfinite(value)][0]}", ~np.isfinite(value))
        for name, value in values.items()
        if not np.isfinite(value).all()
    ]
    bad += [
        (f"parameters {name} not finite", flags)
        for name, flags in _not_finite(train_state, len(seeds or [0]))
    ]
    if not bad:
        return
    updates = (
        f"update {last}" if first == last else f"updates {first} to {last}"
    )
    of_seeds = ""
    if seeds is not None:
        flags = np.any([rows for _, rows in bad], axis=0)
        named = [str(s) for s, row in zip(seeds, flags, strict=True) if row]
        of_seeds = f"seed {', '.join(named)}: "
    raise Diverged(
        f"{of_seeds}phase {phase}, {updates}: {bad[0][0]}: expected finite "
        f"numbers. {advice}"
    )


def _not_finite(tree: PyTree, runs: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name of each leaf that is not finite, and in which runs it is not."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            continue
        array = np.asarray(leaf)
        if not np.isfinite(array).all():
            name = jax.tree_util.keystr(path).lstrip(".")
            flags = np.isfinite(array).reshape(runs, -1).all(1)
            yield name, np.logical_not(flags)


def is_finite(tree: PyTree) -> bool:
    """Return whether all floating-point leaves of a tree are finite.

    Args:
        tree: PyTree of arrays.
    """
    return not any(True for _ in _not_finite(tree, 1))


def check_measures(measures: Any, advice: str, name: str = "") -> None:
    """Refuse measures of trained networks that are not finite.

    Args:
        measures: plain data, the content of diagnostics.json; None is an undefined
            measure.
        advice: the setting to change, as a sentence.
        name: name of `measures` in the error.

    Raises:
        Diverged: a number is NaN or infinite.
    """
    if isinstance(measures, dict):
        for key, value in measures.items():
            check_measures(value, advice, f"{name}.{key}" if name else key)
    elif isinstance(measures, list | tuple):
        for value in measures:
            check_measures(value, advice, name)
    elif isinstance(measures, float) and not np.isfinite(measures):
        raise Diverged(
            f"{name}={measures} on held-out play: expected a finite number. "
            f"{advice}"
        )
