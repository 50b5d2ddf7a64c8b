"""Tables of text, and the entries of files that fill them."""

import json
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bestreply.report.run_files import FileProblem


@dataclass(frozen=True)
class TextTable:
    """A table of text. `bold` marks the best cells, `own` the row of the run's method."""

    head: list[str]
    rows: list[list[str]]
    bold: frozenset[tuple[int, int]] = frozenset()
    own: int | None = None
    shares: dict[tuple[int, int], Markup] | None = None
    """Bars beside numbers, by (row, column)."""


def entries_of(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the objects in the list under a key.

    Args:
        document: JSON object.
        key: name of the entry.

    Returns:
        The objects; empty if the entry is not a list.
    """
    entries = document.get(key)
    if not isinstance(entries, list):
        return []
    return [entry for entry in entries if isinstance(entry, dict)]


def flat(
    document: dict[str, Any] | FileProblem, prefix: str = ""
) -> list[tuple[str, str]]:
    """Flatten a document: ``train.learning_rate``, ``0.001`` for every leaf.

    Args:
        document: JSON object; a file that cannot be used gives no rows.
        prefix: written before every name.

    Returns:
        (name, value) of every leaf.
    """
    if isinstance(document, FileProblem):
        return []
    rows = []
    for key, value in document.items():
        if isinstance(value, dict) and value:
            rows += flat(value, f"{prefix}{key}.")
        else:
            if not isinstance(value, str):
                value = json.dumps(value, ensure_ascii=False)
            rows.append((f"{prefix}{key}", value))
    return rows
