"""Seeds of random draws: whole numbers in 0 <= seed < 2^32.

A larger seed would play as another one: JAX's generator has 32 bits.
"""

from typing import Any

from bestreply.utils.checks import whole_number

SEEDS = 2**32
"""Number of seeds."""


def checked_seed(seed: Any, name: str = "seed") -> int:
    """Return a seed as a plain int.

    Args:
        seed: a whole number, Python's or NumPy's.
        name: name of the argument, for the error.

    Returns:
        The seed.

    Raises:
        ValueError: no whole number, or one outside 0 <= seed < 2^32.
    """
    return whole_number(name, seed, 0, SEEDS - 1)


def derived_seed(seed: int, offset: int) -> int:
    """Return the seed of another stream of draws; beyond the last, it continues at 0.

    Args:
        seed: the seed that a person gave.
        offset: number of the stream; different seeds stay different.

    Returns:
        The seed.
    """
    return (checked_seed(seed) + offset) % SEEDS
