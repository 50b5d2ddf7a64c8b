"""Names with settings, as typed on a command line: ``stag_hunt(height=5, hunters=2)``, ``noisy(nearest_stag, 0.1)``.

Parsed with Python's own grammar and read as data: names, calls, literals. Nothing is evaluated.
"""

import ast
from dataclasses import dataclass, field
from typing import Any

SELF = "self"
"""The name by which an opponent set asks for the focal player itself."""


@dataclass(frozen=True)
class Spec:
    """A name, its arguments (literals or further specs) and its settings."""

    name: str
    args: tuple[Any, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        inside = [_show(a) for a in self.args] + [
            f"{k}={_show(v)}" for k, v in self.settings.items()
        ]
        return f"{self.name}({', '.join(inside)})" if inside else self.name


def _show(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_show, value))}{',' * (len(value) == 1)})"
    return str(value) if isinstance(value, Spec) else repr(value)


def parse_spec(text: str) -> Spec:
    """Reads ``name`` or ``name(arg, ..., key=value, ...)``; a prefix such as ``openspiel:`` stays part of the name.

    Raises ValueError that shows the text, where it breaks and what is wanted.
    """
    prefix, _, rest = (
        text.strip().partition(":")
        if ":" in text.split("(")[0]
        else ("", "", text.strip())
    )
    try:
        spec = _read(ast.parse(rest, mode="eval").body)
    except (SyntaxError, TypeError) as error:
        raise ValueError(
            f"cannot read {text!r}: {error}. Expected: name, or name(setting=value, ...), e.g. 'noisy(nearest_stag, 0.1)'"
        ) from None
    if not isinstance(spec, Spec):
        raise ValueError(
            f"cannot read {text!r}: it is a plain value. Expected: name, or name(setting=value, ...)"
        )
    return (
        Spec(f"{prefix}:{spec.name}", spec.args, spec.settings)
        if prefix
        else spec
    )


def parse_specs(text: str) -> tuple[Spec, ...]:
    """One spec, or several with commas between: ``nearest_stag, noisy(random, 0.1)``."""
    depth, start, parts = 0, 0, []
    for place, character in enumerate(text + ","):
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    return tuple(parse_spec(part) for part in parts)


def _read(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        return Spec(node.id)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if any(k.arg is None for k in node.keywords):
            raise TypeError("'**' is not allowed")
        names = [k.arg for k in node.keywords]
        if repeated := sorted(
            {str(name) for name in names if names.count(name) > 1}
        ):
            raise TypeError(f"{', '.join(repeated)} is given twice")
        settings = {k.arg: _read(k.value) for k in node.keywords if k.arg}
        return Spec(node.func.id, tuple(_read(a) for a in node.args), settings)
    if isinstance(node, ast.List | ast.Tuple):
        return tuple(_read(e) for e in node.elts)
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise TypeError(
            f"{ast.unparse(node)!r} is neither a name, a call nor a literal"
        ) from None


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
