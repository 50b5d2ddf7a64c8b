"""Checks of what a file holds, which may be a stranger's. Each raises ValueError that says what is wanted and what was given."""

from typing import Any

from markupsafe import Markup

from bestreply.report.run_files import number
from bestreply.report.safe_svg import Refused, safe_svg

ABSENT = -1


def want(condition: bool, what: str, given: Any) -> None:
    if not condition:
        raise ValueError(f"{what}; given: {str(given)[:60]}")


def strings(
    document: dict[str, Any], key: str, empty: bool = False
) -> list[str]:
    value = document.get(key, [] if empty else None)
    fits = (
        isinstance(value, list)
        and all(isinstance(v, str) for v in value)
        and (empty or value)
    )
    want(bool(fits), f"{key} wants a list of strings", value)
    return value  # type: ignore[return-value]


def row_of(step: dict[str, Any], key: str, size: int) -> list[float | None]:
    """[size] numbers, None where there is none; all None where the step has no such row."""
    value = step.get(key)
    if value is None:
        return [None] * size
    want(
        isinstance(value, list) and len(value) == size,
        f"{key} wants {size} entries",
        value,
    )
    return [number(v) for v in value]


def rows_of(
    step: dict[str, Any], key: str, count: int, size: int
) -> list[list[float | None]]:
    value = step.get(key)
    if value is None or value == []:
        return [[None] * size] * count
    want(
        isinstance(value, list) and len(value) == count,
        f"{key} wants {count} rows",
        value,
    )
    return [row_of({key: row}, key, size) for row in value]


def place_of(value: Any, size: int, key: str, low: int = 0) -> int:
    want(
        type(value) is int and low <= value < size,
        f"{key} wants an integer from {low} to {size - 1}",
        value,
    )
    return value


def board(entry: dict[str, Any]) -> tuple[Markup | None, str, str]:
    """An entry's picture where it may be shown, its text, and why its picture is not shown (empty where it is, or where there is none)."""
    text = entry.get("text", "")
    text = text if isinstance(text, str) else ""
    if not isinstance(entry.get("picture"), str) or not entry["picture"]:
        return None, text, ""
    try:
        return Markup(safe_svg(entry["picture"])), text, ""
    except Refused as error:
        return None, text, str(error)
