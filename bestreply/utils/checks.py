"""Checks of single values that a person typed or a file held, and how errors show them."""

import difflib
import inspect
import math
import operator
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

NEARLY = 0.85
"""Least similarity of a name that is taken for a misspelling."""
MAX_SHOWN = 80
"""Characters of a value in an error."""


def shown(value: Any) -> str:
    """Return a value as an error shows it: on one line, not longer than `MAX_SHOWN`.

    Args:
        value: any value.

    Returns:
        Its `repr`, shortened; its type where that cannot be printed.
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError, MemoryError):
        # An int of many digits, or deeply nested.
        return f"<{type(value).__name__} too long to print>"
    text = text.replace("\n", " ")
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def whole_number(
    name: str, value: Any, least: int, most: int, where: str = ""
) -> int:
    """Return a value as an int within bounds.

    Args:
        name: name of the value, for the error.
        value: a whole number, Python's or NumPy's; no bool, text or float.
        least: the least that is accepted.
        most: the largest that is accepted.
        where: what has the value, for the error, such as " in stag_hunt".

    Returns:
        The number.

    Raises:
        ValueError: the value is another.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or not least <= number <= most:
        raise ValueError(
            f"{name}={shown(value)}: expected a whole number, {least} to "
            f"{most}{where}"
        )
    return number


def nearly_named(
    found: Iterable[str], known: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Yield names that are not read, and are nearly that of a quantity which is missing.

    Args:
        found: names that there are, of arrays or columns.
        known: names that are read.

    Returns:
        Pairs of such a name and the one that may be meant.
    """
    found, known = list(found), list(known)
    missing = [name for name in known if name not in found]
    for name in found:
        if name not in known:
            close = difflib.get_close_matches(name, missing, 1, NEARLY)
            yield from ((name, meant) for meant in close)


def checked_path(name: str, value: Any, what: str) -> Path:
    """Return a path as a `Path`.

    Args:
        name: name of the value, for the error.
        value: text or a path.
        what: what is expected, with an example, for the error.

    Returns:
        The path.

    Raises:
        ValueError: the value is another.
    """
    if not isinstance(value, str | os.PathLike):
        raise ValueError(f"{name}={shown(value)}: expected {what}")
    return Path(value)


def finite_number(
    name: str, value: Any, least: float, most: float, where: str = ""
) -> float:
    """Return a value as a float within bounds.

    Args:
        name: name of the value, for the error.
        value: a number, Python's or NumPy's; no bool or text.
        least: the least that is accepted.
        most: the largest that is accepted.
        where: what has the value, for the error, such as " in stag_hunt".

    Returns:
        The number.

    Raises:
        ValueError: the value is another.
    """
    if not is_number(value) or not least <= value <= most:
        raise ValueError(
            f"{name}={shown(value)}: expected a number, {least:g} to "
            f"{most:g}{where}"
        )
    return float(value)


def is_number(value: Any) -> bool:
    """Return whether a value is a finite real number; a bool is none.

    Args:
        value: any value.
    """
    import numpy as np

    if isinstance(value, bool) or not isinstance(
        value, int | float | np.integer | np.floating
    ):
        return False
    return isinstance(value, int) or math.isfinite(value)


def check_arguments(
    field: str,
    name: str,
    function: Any,
    arguments: tuple[str, ...],
    named: tuple[str, ...] = (),
) -> None:
    """Refuse a function of others that cannot be called as it will be.

    Args:
        field: the setting that names it, for the error.
        name: its name.
        function: the function, or an object that is called.
        arguments: names of what it is given by place.
        named: names of what it is given by name.

    Raises:
        ValueError: it takes other arguments.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # code without a signature
        return
    try:
        signature.bind(*arguments, **dict.fromkeys(named))
    except TypeError as error:
        expected = ", ".join((*arguments, *named))
        raise ValueError(
            f"{field}={name!r:.200}: expected a function of ({expected}); it takes "
            f"{signature}: {error}"
        ) from None
