"""Names with settings, as typed: ``stag_hunt(height=5)``, ``noisy(nearest_stag, 0.1)``.

Text is parsed with Python's grammar and read as data: names, calls, literals.
Nothing is evaluated.
"""

import ast
from dataclasses import dataclass, field
from typing import Any

SELF = "self"
"""In an opponent set: the measured player itself."""
MAX_LENGTH = 10_000
"""Characters of a spec; longer text is refused before it is parsed."""
EXAMPLE = "expected name, or name(setting=value, ...), e.g. 'noisy(nearest_stag, 0.1)'"


@dataclass(frozen=True)
class Spec:
    """A name, its arguments (literals or further specs) and its settings."""

    name: str
    args: tuple[Any, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        arguments = [_show(value) for value in self.args]
        settings = [f"{name}={_show(v)}" for name, v in self.settings.items()]
        inside = ", ".join(arguments + settings)
        return f"{self.name}({inside})" if inside else self.name


def _show(value: Any) -> str:
    if isinstance(value, tuple | list):
        comma = "," if len(value) == 1 else ""
        return f"({', '.join(map(_show, value))}{comma})"
    return str(value) if isinstance(value, Spec) else repr(value)


def parse_spec(text: str) -> Spec:
    """Read ``name`` or ``name(argument, ..., setting=value, ...)``.

    Args:
        text: the spec; a prefix such as ``openspiel:`` stays part of the name.

    Returns:
        The name with its arguments and settings.

    Raises:
        ValueError: the text is no spec; the error shows it and an example.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"spec of {len(text)} characters: {EXAMPLE}")
    head = text.strip().partition("(")[0]
    prefix = head.partition(":")[0] if ":" in head else ""
    rest = text.strip().removeprefix(f"{prefix}:") if prefix else text.strip()
    try:
        spec = _read(ast.parse(rest, mode="eval").body)
    except (SyntaxError, TypeError, ValueError) as error:
        raise ValueError(f"{text!r}: {EXAMPLE}; {error}") from None
    except (RecursionError, MemoryError):
        raise ValueError(
            f"{text[:80]!r}...: nested too deeply; {EXAMPLE}"
        ) from None
    if not isinstance(spec, Spec):
        raise ValueError(f"{text!r} is a plain value: {EXAMPLE}")
    if not prefix:
        return spec
    return Spec(f"{prefix}:{spec.name}", spec.args, spec.settings)


def parse_specs(text: str) -> tuple[Spec, ...]:
    """Read one spec, or several with commas between.

    Args:
        text: such as ``nearest_stag, noisy(random, 0.1)``.

    Returns:
        The specs in order.

    Raises:
        ValueError: a part is no spec.
    """
    depth, start, parts = 0, 0, []
    for place, character in enumerate(text + ","):
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    return tuple(map(parse_spec, parts))


def _read(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        return Spec(node.id)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        arguments = tuple(map(_read, node.args))
        return Spec(node.func.id, arguments, _settings(node.keywords))
    if isinstance(node, ast.List | ast.Tuple):
        return tuple(map(_read, node.elts))
    try:
        return ast.literal_eval(node)
    except ValueError:
        shown = ast.unparse(node)
        raise TypeError(
            f"{shown!r} is neither a name, a call nor a literal"
        ) from None


def _settings(keywords: list[ast.keyword]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for keyword in keywords:
        if keyword.arg is None:
            raise TypeError("'**' is not allowed")
        if keyword.arg in settings:
            raise TypeError(f"{keyword.arg} is given twice")
        settings[keyword.arg] = _read(keyword.value)
    return settings


def tuples(value: Any) -> Any:
    """Return a setting with its lists as tuples, which are hashable.

    Args:
        value: a setting, perhaps read from JSON, where tuples are lists.

    Returns:
        The same value; lists become tuples at every depth.
    """
    if isinstance(value, dict):
        return {key: tuples(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return tuple(map(tuples, value))
    return value
