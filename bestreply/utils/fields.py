"""Values of settings, checked by the annotation of their field."""

import dataclasses
import difflib
import math
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from bestreply.utils.checks import shown
from bestreply.utils.names import is_registered, spec_of
from bestreply.utils.spec import parse_spec


class Open(str):
    """The kind of a field that takes names of others beside its own choices."""


@cache
def hints_of(kind: type) -> dict[str, Any]:
    """Return the annotation of each field of a dataclass, by name.

    Args:
        kind: the dataclass.
    """
    hints = get_type_hints(kind, include_extras=True)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind)}


def checked(name: str, value: Any, hint: Any) -> Any:
    """Return a field's value as its annotation says. Nothing is imported.

    Args:
        name: the field's name in errors.
        value: the value, of any type.
        hint: the annotation.

    Returns:
        The value, converted.

    Raises:
        ValueError: the annotation does not allow it; the error says what it does.
    """
    if dataclasses.is_dataclass(hint):
        if isinstance(value, hint):  # type: ignore[arg-type]
            return value
        raise ValueError(f"{name}={shown(value)}: expected a table of settings")
    if kind := _open_kind(hint):
        return _checked_name(name, value, hint, kind)
    if type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name}={shown(value)}: expected a finite number")
    try:
        return msgspec.convert(value, hint)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        expected = _expectation(value, hint, str(error))
        raise ValueError(
            f"{name}={shown(value)}: expected {expected}"
        ) from None


def _open_kind(hint: Any) -> str | None:
    """Return the kind of names that a field takes; None: it takes none of others."""
    parts = (hint, *get_args(hint))
    kinds = [k for p in parts for k in get_args(p) if isinstance(k, Open)]
    return kinds[0] if kinds else None


def _checked_name(name: str, value: Any, hint: Any, kind: str) -> str:
    if kind == "game" and hasattr(value, "settings"):
        return _text_of(value)
    choices = [c for p in get_args(hint) for c in get_args(p) if c is not str]
    choices = [c for c in choices if not isinstance(c, Open)]
    if not isinstance(value, str):
        words = "text, or a game" if kind == "game" else "text"
        raise ValueError(f"{name}={shown(value)}: expected {words}")
    if kind == "game" or value in choices or is_registered(kind, value):
        return value
    if ":" in value:
        try:
            parse_spec(value)
        except ValueError as error:
            raise ValueError(f"{name}={error}") from None
        return value
    one_of = _one_of(value, tuple(choices))
    raise ValueError(
        f"{name}={shown(value)}: expected {one_of}, or module:attr of your own"
    )


def _text_of(game: Any) -> str:
    spec = spec_of("game", game)
    try:
        same = parse_spec(str(spec)).name == spec.name
    except ValueError:
        same = False
    if not same:
        raise ValueError(
            f"game={game!r:.200}: expected settings that can be written as text: "
            "numbers, text, true or false, and lists of them"
        )
    return str(spec)


def _one_of(value: Any, choices: tuple[Any, ...]) -> str:
    close = difflib.get_close_matches(str(value), choices, 1)
    hint_at = f" (did you mean {close[0]!r}?)" if close else ""
    return f"one of {', '.join(map(repr, choices))}{hint_at}"


def _expectation(value: Any, hint: Any, message: str) -> str:
    """Return what a field accepts, in words."""
    if get_origin(hint) is Literal:
        return _one_of(value, get_args(hint))
    if get_origin(hint) is tuple:
        return 'a list of strings, such as ["a", "b"]'
    types = {
        "str": "text",
        "bool": "true or false",
        "int": "a whole number",
        "float": "a number",
    }
    words = message.replace("`", "").partition(", got")[0]
    kind, _, bound = words.removeprefix("Expected ").partition(" ")
    bounds = [
        f"{sign} {limit}"
        for meta in get_args(hint)[1:]
        for sign, limit in (
            (">=", meta.ge),
            (">", meta.gt),
            ("<=", meta.le),
            ("<", meta.lt),
        )
        if limit is not None
    ]
    return " ".join(
        [types.get(kind, kind), " and ".join(bounds) or bound]
    ).strip()
