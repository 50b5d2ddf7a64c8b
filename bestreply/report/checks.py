"""Checks of entries of a file, which may come from a stranger.

Each raises ValueError with the entry's name, its value and the expected condition.
"""

from typing import Any

from markupsafe import Markup

from bestreply.report.run_files import number
from bestreply.report.safe_svg import UnsafePicture, safe_svg

ABSENT = -1
"""Action of a player that has left the game."""


def expect(condition: object, name: str, value: object, expected: str) -> None:
    """Check a condition on an entry.

    Args:
        condition: whether the entry fits.
        name: name of the entry.
        value: its value.
        expected: the condition in words.

    Raises:
        ValueError: the condition is false.
    """
    if not condition:
        raise ValueError(f"{name}={str(value)[:60]}: expected {expected}")


def strings(
    document: dict[str, Any], key: str, empty: bool = False
) -> list[str]:
    """Return the list of strings under a key.

    Args:
        document: JSON object.
        key: name of the entry.
        empty: accept an empty list or no entry.

    Returns:
        The strings.

    Raises:
        ValueError: the entry is not such a list.
    """
    value = document.get(key, [] if empty else None)
    expect(isinstance(value, list), key, value, "a list of strings")
    assert isinstance(value, list)
    are_strings = all(isinstance(v, str) for v in value)
    expect(are_strings and (empty or value), key, value, "a list of strings")
    return value


def row_of(step: dict[str, Any], key: str, size: int) -> list[float | None]:
    """Return the list of numbers under a key.

    Args:
        step: JSON object.
        key: name of the entry.
        size: length of the list.

    Returns:
        [size] numbers, None in place of anything else; all None without an entry.

    Raises:
        ValueError: the entry is not a list of this length.
    """
    value = step.get(key)
    if value is None:
        return [None] * size
    fits = isinstance(value, list) and len(value) == size
    expect(fits, key, value, f"{size} entries")
    return [number(v) for v in value]


def rows_of(
    step: dict[str, Any], key: str, count: int, size: int
) -> list[list[float | None]]:
    """Return the list of lists of numbers under a key.

    Args:
        step: JSON object.
        key: name of the entry.
        count: number of rows.
        size: length of a row.

    Returns:
        [count][size] numbers, as `row_of`.

    Raises:
        ValueError: the entry does not have this shape.
    """
    value = step.get(key)
    if value is None or value == []:
        return [[None] * size] * count
    fits = isinstance(value, list) and len(value) == count
    expect(fits, key, value, f"{count} rows")
    return [row_of({key: row}, key, size) for row in value]


def index_of(value: object, size: int, name: str, low: int = 0) -> int:
    """Return a value that must be an index.

    Args:
        value: any JSON value.
        size: number of entries that it may point to.
        name: name of the entry.
        low: least valid index.

    Returns:
        The index, from `low` to ``size - 1``.

    Raises:
        ValueError: the value is not such an index.
    """
    fits = type(value) is int and low <= value < size
    expect(fits, name, value, f"an integer from {low} to {size - 1}")
    assert isinstance(value, int)
    return value


def board(entry: dict[str, Any]) -> tuple[Markup | None, str, str]:
    """Return the picture and the text of an observation.

    Args:
        entry: JSON object with `text` and `picture`, an SVG.

    Returns:
        The picture if it is safe to show, the text, and the reason why a picture is not
        shown (empty without a picture).
    """
    text = entry.get("text", "")
    text = text if isinstance(text, str) else ""
    if not isinstance(entry.get("picture"), str) or not entry["picture"]:
        return None, text, ""
    try:
        return Markup(safe_svg(entry["picture"])), text, ""
    except UnsafePicture as error:
        return None, text, str(error)
