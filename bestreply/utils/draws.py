"""Random draws of a function, made side by side: as many loops as draws follow on each other.

JAX draws every array by a loop of its own, and XLA takes 75 ms to compile each. Networks
are drawn from dozens of keys, which are split in a few generations.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

DIGIT_BITS = 8
"""Arrays of draws share a loop if their sizes have as many digits to base 256."""

Depth = tuple[float, float]
"""Arrays of draws, and then generations of keys, that follow on each other."""


class _Op(NamedTuple):
    """One operation of a function; values are numbered."""

    primitive: Any
    params: dict[str, Any]
    inputs: list[Any]
    """Numbers of values, or `Literal`s."""
    outputs: list[int]
    depth: Depth
    """When it is computed."""
    group: tuple[Any, ...] | None
    """Draws of one depth and one group are made side by side; None: no draw of one key."""


def with_shared_draws(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of the same results to the bit, that compiles faster.

    Args:
        function: a function of arrays and keys, for use under `jax.jit`.

    Returns:
        The function.
    """

    @wraps(function)
    def shared(*args: Any) -> Any:
        if not jax.config.values.get("jax_threefry_partitionable"):
            return function(*args)  # bits then depend on the size of the array
        closed, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
        results = _run(closed, jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(shapes), results)

    return shared


class _Recorder:
    """The operations of a function, those of functions inside it among them."""

    def __init__(self, inputs: Sequence[Any]) -> None:
        self.values: list[Any] = list(inputs)
        """Values by number; None before they are computed."""
        self.depths: list[Depth] = [(0, 0)] * len(self.values)
        self.kinds: list[Any] = [jax.typeof(x) for x in inputs]
        self.ops: list[_Op] = []

    def new(self, value: Any, kind: Any, depth: Depth) -> int:
        self.values.append(value)
        self.kinds.append(kind)
        self.depths.append(depth)
        return len(self.values) - 1

    def record(
        self, jaxpr: Jaxpr, consts: Sequence[Any], inputs: Sequence[Any]
    ) -> list[Any]:
        """Record the operations; return the numbers of the results."""
        names: dict[Any, Any] = dict(zip(jaxpr.invars, inputs, strict=True))
        for var, const in zip(jaxpr.constvars, consts, strict=True):
            names[var] = self.new(const, var.aval, (0, 0))

        def read(var: Any) -> Any:
            return var if isinstance(var, Literal) else names[var]

        for eqn in jaxpr.eqns:
            given = [read(var) for var in eqn.invars]
            inner = eqn.params.get("jaxpr")
            if eqn.primitive.name in ("jit", "pjit") and isinstance(
                inner, ClosedJaxpr
            ):
                made = self.record(inner.jaxpr, inner.consts, given)
            else:
                made = self._add(eqn, given)
            names |= dict(zip(eqn.outvars, made, strict=True))
        return [read(var) for var in jaxpr.outvars]

    def _add(self, eqn: Any, given: list[Any]) -> list[Any]:
        numbers = [x for x in given if not isinstance(x, Literal)]
        depth = max((self.depths[x] for x in numbers), default=(0, 0))
        of_one_key = bool(numbers) and self.kinds[numbers[0]].shape == ()
        group = _group(eqn) if of_one_key else None
        after = depth
        if group is not None and group[0] == "random_split":
            after = depth[0], depth[1] + 1
        elif group is not None:  # arrays wait for all keys
            depth, after = (depth[0], math.inf), (depth[0] + 1, 0)
        made = [self.new(None, var.aval, after) for var in eqn.outvars]
        self.ops.append(
            _Op(eqn.primitive, eqn.params, given, made, depth, group)
        )
        return made


def _group(eqn: Any) -> tuple[Any, ...] | None:
    """Return what draws have in common that one loop makes; None for no draw."""
    name, params = eqn.primitive.name, eqn.params
    if name == "random_split" and len(params["shape"]) == 1:
        return (name,)
    if name == "random_bits":
        size = max(math.prod(params["shape"]), 1)
        digits = (size - 1).bit_length() // DIGIT_BITS
        return name, params["bit_width"], digits
    return None


def _run(closed: ClosedJaxpr, inputs: list[Any]) -> list[Any]:
    """Return the results of a function, its draws made side by side."""
    recorder = _Recorder(inputs)
    results = recorder.record(
        closed.jaxpr, closed.consts, list(range(len(inputs)))
    )
    values = recorder.values

    def read(x: Any) -> Any:
        return x.val if isinstance(x, Literal) else values[x]

    by_depth: dict[Depth, list[_Op]] = defaultdict(list)
    for op in recorder.ops:
        by_depth[op.depth].append(op)
    for depth in sorted(by_depth):
        draws: dict[Any, list[_Op]] = defaultdict(list)
        for op in by_depth[depth]:
            if op.group is not None:
                draws[op.group].append(op)
                continue
            made = _bound(op, [read(x) for x in op.inputs])
            for number, value in zip(op.outputs, made, strict=True):
                values[number] = value
        for ops in draws.values():
            _draw(ops, values)
    return [read(x) for x in results]


def _bound(op: _Op, inputs: list[Any]) -> Sequence[Any]:
    """Return the results of an operation that is no draw."""
    bound = op.primitive.get_bind_params(op.params)
    functions, params = bound if isinstance(bound, tuple) else ((), bound)
    made = op.primitive.bind(*functions, *inputs, **params)
    return made if op.primitive.multiple_results else [made]


def _draw(ops: list[_Op], values: list[Any]) -> None:
    """Make draws of one group: the first ones of a longer array are the same."""
    keys = jnp.stack([values[op.inputs[0]] for op in ops])
    shapes = [op.params["shape"] for op in ops]
    sizes = [math.prod(shape) for shape in shapes]
    most = max(sizes)
    if ops[0].primitive.name == "random_split":
        made = jax.vmap(lambda key: jax.random.split(key, most))(keys)
    else:
        kind = jnp.dtype(f"uint{ops[0].params['bit_width']}")
        made = jax.vmap(lambda key: jax.random.bits(key, (most,), kind))(keys)
    for row, (op, size, shape) in enumerate(
        zip(ops, sizes, shapes, strict=True)
    ):
        values[op.outputs[0]] = made[row, :size].reshape(shape)
