"""Names with settings, as typed: ``stag_hunt(height=5)``, ``noisy(nearest_stag, 0.1)``.

Text is parsed with Python's grammar and read as data: names, calls, literals.
Nothing is evaluated. A name can hold a colon: ``openspiel:goofspiel`` names a game of
an adapter, ``mypkg.games:Chess`` an attribute of a module (`bestreply.utils.names`).
"""

import ast
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from keyword import iskeyword
from typing import Any

SELF = "self"
"""In an opponent set: the measured player itself."""
MAX_LENGTH = 10_000
"""Characters of a text of specs; longer text is refused before it is parsed."""
MAX_DEPTH = 20
"""Levels of calls and lists inside each other."""
CONSTANTS = ("True", "False", "None")
"""Words of Python that are values in a spec."""
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


_STRING = r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\""""
_COLON_NAME = r"[^\W\d]\w*(?:\.\w+)*:\w(?:[\w./:-]*\w)?"
_MARK = "\u01c3"  # a letter, so that Python reads what begins with it as a name
_TOKENS = re.compile(f"(?P<string>{_STRING})|(?P<name>{_COLON_NAME})")


def parse_spec(text: str) -> Spec:
    """Read ``name`` or ``name(argument, ..., setting=value, ...)``.

    Args:
        text: the spec. A name with a colon, such as ``openspiel:goofspiel`` or
            ``mypkg.players:Chaser``, is one name, at every depth.

    Returns:
        The name with its arguments and settings.

    Raises:
        ValueError: the text is no spec; the error shows it and an example.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"spec of {len(text)} characters: {EXAMPLE}")
    names: list[str] = []
    try:
        tree = ast.parse(_with_marks(text.strip(), names), mode="eval")
        spec = _read(tree.body, names)
    except (SyntaxError, TypeError, ValueError) as error:
        reason = re.sub(r" \(<unknown>, line \d+\)$", "", str(error))
        if isinstance(error, SyntaxError):
            reason += _keyword_hint(text)
        raise ValueError(f"{text!r:.200}: {EXAMPLE}; {reason}") from None
    except (RecursionError, MemoryError):
        raise ValueError(
            f"{text[:80]!r}...: nested too deeply; {EXAMPLE}"
        ) from None
    if not isinstance(spec, Spec):
        raise ValueError(f"{text!r:.200} is a plain value: {EXAMPLE}")
    return spec


def _keyword_hint(text: str) -> str:
    """Return a hint on the words of a text that Python keeps for itself."""
    plain = re.sub(_STRING, "''", text)
    for setting in re.finditer(r"([^\W\d]\w*)\s*=", plain):
        if iskeyword(name := setting[1]):
            return (
                f". {name!r} is a word of Python: no setting can have this name"
            )
    for word in re.findall(r"[^\W\d]\w*", plain):
        if iskeyword(word) and word not in CONSTANTS:
            return f". {word!r} is a word of Python: put it in quotes, '{word}'"
    return ""


def parse_specs(text: str) -> tuple[Spec, ...]:
    """Read one spec, or several with commas between.

    Args:
        text: such as ``nearest_stag, noisy(random, 0.1)``.

    Returns:
        The specs in order.

    Raises:
        ValueError: a part is no spec.
    """
    return tuple(map(parse_spec, _split(text)))


def parse_roles(text: str) -> dict[str, Spec]:
    """Read a spec for each role: ``adversary=chaser, agent=noisy(lazy, 0.1)``.

    Args:
        text: roles with their specs; a role is any text of which `is_role` holds.

    Returns:
        The specs by role; empty if the text does not begin with a role.

    Raises:
        ValueError: a role is given twice, or a part is not ``role=spec``.
    """
    if _role(text) is None:
        return {}
    roles: dict[str, Spec] = {}
    for part in _split(text):
        role = _role(part)
        if role is None or role in roles:
            raise ValueError(
                f"{text!r:.200}: expected each role once, as in "
                "'adversary=random, agent=noisy(random, 0.1)'"
            )
        roles[role] = parse_spec(part.partition("=")[2])
    return roles


NO_ROLE = "()[]{}'\",=|"
"""Characters that no role has: opponent sets and rows of reports are split at some."""


def is_role(text: object) -> bool:
    """Return whether a role can be written in an opponent set.

    Args:
        text: name of the role.

    Returns:
        Whether it is a text of one line, without blanks around it and without
        quotes, brackets, commas, "=" and "|".
    """
    return (
        isinstance(text, str)
        and text.isprintable()
        and text == text.strip() != ""
        and not set(text) & set(NO_ROLE)
    )


def _role(part: str) -> str | None:
    """Return the role that a text begins with; None if it begins with a spec."""
    role, equals, _ = part.partition("=")
    return role.strip() if equals and is_role(role.strip()) else None


def specs_of(text: str) -> tuple[Spec, ...]:
    """Return the specs of a text of any of these forms.

    Args:
        text: one spec, several with commas between, or one for each role.

    Returns:
        The specs in order.

    Raises:
        ValueError: a part is no spec.
    """
    return tuple(parse_roles(text).values()) or parse_specs(text)


def _split(text: str) -> list[str]:
    """Return the parts of a text between the commas outside all brackets."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"specs of {len(text)} characters: {EXAMPLE}")
    depth, start, parts = 0, 0, []
    plain = re.sub(_STRING, lambda string: "_" * len(string[0]), text)
    for place, character in enumerate(plain + ","):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    if start <= len(text):  # an open bracket: refused by `parse_spec`
        parts.append(text[start:])
    return parts


def nested(spec: Spec) -> Iterator[Spec]:
    """Yield a spec and every spec in its arguments and settings, at every depth.

    Args:
        spec: the spec.
    """
    yield spec
    queue = [*spec.args, *spec.settings.values()]
    while queue:
        value = queue.pop()
        if isinstance(value, Spec):
            yield value
            queue += [*value.args, *value.settings.values()]
        elif isinstance(value, list | tuple):
            queue += value


def _with_marks(text: str, names: list[str]) -> str:
    """Return `text` with each name that has a colon as an identifier, its place in `names`."""
    plain = re.sub(_STRING, "", text)
    for character in (_MARK, "#", "\\"):
        if character in plain:
            raise TypeError(f"{character!r} is not allowed")

    def mark(token: re.Match[str]) -> str:
        if token["string"] is not None:
            return token["string"]
        names.append(token["name"])
        return f"{_MARK}{len(names) - 1}"

    return _TOKENS.sub(mark, text)


def _read(node: ast.expr, names: list[str], depth: int = 0) -> Any:
    if depth > MAX_DEPTH:
        raise TypeError(f"nested too deeply: more than {MAX_DEPTH} levels")
    if isinstance(node, ast.Name):
        return Spec(_name(node, names))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        arguments = tuple(_read(a, names, depth + 1) for a in node.args)
        settings = _settings(node.keywords, names, depth + 1)
        return Spec(_name(node.func, names), arguments, settings)
    if isinstance(node, ast.List | ast.Tuple):
        return tuple(_read(e, names, depth + 1) for e in node.elts)
    try:
        value = ast.literal_eval(node)
    except ValueError:
        shown = ast.unparse(node)
        for place in reversed(range(len(names))):
            shown = shown.replace(f"{_MARK}{place}", names[place])
        raise TypeError(
            f"{shown!r:.200} is neither a name, a call nor a literal"
        ) from None
    if isinstance(value, float) and not math.isfinite(value):
        raise TypeError(f"{value} is not finite")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise TypeError(f"a number of {value.bit_length()} bits is too large")
    return value


def _name(node: ast.Name, names: list[str]) -> str:
    if not node.id.startswith(_MARK):
        return node.id
    return names[int(node.id.removeprefix(_MARK))]


def _settings(
    keywords: list[ast.keyword], names: list[str], depth: int
) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for keyword in keywords:
        if keyword.arg is None:
            raise TypeError("'**' is not allowed")
        if keyword.arg in settings:
            raise TypeError(f"{keyword.arg} is given twice")
        settings[keyword.arg] = _read(keyword.value, names, depth)
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
