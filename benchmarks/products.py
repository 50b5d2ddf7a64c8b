"""The matrix products of a function: which it contains, and how long they alone take."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.hlo import Product, Products
from benchmarks.timing import Job


def products_of(function: Callable[..., Any], *args: Any) -> Products:
    """Return the matrix products of a function before XLA simplifies it.

    Args:
        function: a traceable function.
        args: arrays or shapes.
    """
    counted: Products = Counter()
    for product, times in _products(jax.make_jaxpr(function)(*args).jaxpr, 1):
        counted[product] += times
    return counted


def _products(jaxpr: Any, times: int) -> Iterator[tuple[Product, int]]:
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "dot_general":
            left, right = (tuple(v.aval.shape) for v in eqn.invars[:2])
            one = Product(left, right, eqn.params["dimension_numbers"])
            yield one.squeezed(), times
        inner = times * eqn.params.get("length", 1)
        for value in eqn.params.values():
            for one in value if isinstance(value, tuple) else (value,):
                one = getattr(one, "jaxpr", one)
                if hasattr(one, "eqns"):
                    yield from _products(one, inner)


def job_of(products: Products, repeats: int) -> Job:
    """Return a job that computes matrix products and nothing else.

    No product waits for another. Products of one shape share operands, so that these
    stay in the processor's cache, but no two have the same pair.

    Args:
        products: the products.
        repeats: how often the compiled loop computes them.

    Returns:
        The job; its unit is all products, once.
    """
    rng = np.random.default_rng(0)

    def drawn(count: int, shape: tuple[int, ...]) -> list[jax.Array]:
        arrays = rng.normal(size=(count, *shape)).astype(np.float32)
        return [jnp.asarray(array) for array in arrays]

    sides = [math.isqrt(times - 1) + 1 for times in products.values()]
    operands = [
        (drawn(side, product.left), drawn(side, product.right))
        for product, side in zip(products, sides, strict=True)
    ]

    def once(carry: tuple[jax.Array, Any], _: None) -> tuple[Any, None]:
        # The barriers keep the products inside the loop, and whole.
        total, operands = jax.lax.optimization_barrier(carry)
        for (product, times), (left, right) in zip(
            products.items(), operands, strict=True
        ):
            pairs = itertools.product(left, right)
            for a, b in itertools.islice(pairs, times):
                out = jax.lax.dot_general(a, b, product.dimensions)
                out = jax.lax.optimization_barrier(out)
                total = total + out.reshape(-1)[0]
        return (total, operands), None

    @jax.jit
    def program(operands: Any) -> jax.Array:
        carry = jnp.float32(0), operands
        (total, _), _ = jax.lax.scan(once, carry, None, length=repeats)
        return total

    def job() -> float:
        jax.block_until_ready(program(operands))
        return repeats

    return job
