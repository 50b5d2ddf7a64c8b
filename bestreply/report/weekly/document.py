"""The content of the report over several runs: sections of blocks, written as a page and
as Markdown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup


@dataclass(frozen=True)
class Link:
    """A link to a relative, quoted address, or to ``#anchor`` of the page."""

    kind: ClassVar[str] = "link"
    text: str
    to: str


@dataclass(frozen=True)
class Code:
    """Text to type, or to find in a file."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Anchor:
    """Text that is the target of links to ``#name``."""

    kind: ClassVar[str] = "anchor"
    text: str
    name: str


@dataclass(frozen=True)
class Plain:
    """Text without markup."""

    kind: ClassVar[str] = "plain"
    text: str


Part = Plain | Link | Code | Anchor
Line = tuple[Part, ...]


def line(*parts: str | Link | Code | Anchor) -> Line:
    """Return a line of text.

    Args:
        parts: parts in order; a string is plain text.

    Returns:
        The line.
    """
    return tuple([Plain(p) if isinstance(p, str) else p for p in parts])


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of style "lead", "note", "caveat", "sub", "figure" or none.

    "figure" is a note on charts, which is left out with them.
    """

    kind: ClassVar[str] = "text"
    line: Line
    style: str = ""


@dataclass(frozen=True)
class BulletList:
    """A list of (style, line): "better", "worse", "unclear", "open", "trouble" or none."""

    kind: ClassVar[str] = "bullets"
    lines: list[tuple[str, Line]]


@dataclass(frozen=True)
class Grid:
    """A table.

    The first `text` columns and the columns in `words` are text; the rest are
    numbers. The rows in `bold` are emphasised.
    """

    kind: ClassVar[str] = "grid"
    head: list[str]
    rows: list[list[Line]]
    text: int = 1
    bold: frozenset[int] = frozenset()
    words: frozenset[int] = frozenset()

    def is_text(self, column: int) -> bool:
        """Return whether a column is text.

        Args:
            column: index of the column.

        Returns:
            False for numbers.
        """
        return column < self.text or column in self.words


@dataclass(frozen=True)
class Picture:
    """A chart with its title and last value."""

    title: str
    figure: Markup
    last: str = ""


@dataclass(frozen=True)
class Pictures:
    """Charts side by side.

    A table that follows has their numbers, so the Markdown text leaves the charts
    out.
    """

    kind: ClassVar[str] = "pictures"
    pictures: list[Picture]
    wide: bool = False
    keys: list[tuple[str, str]] | None = None
    """Legend: (style of the style sheet, name)."""


@dataclass(frozen=True)
class Fold:
    """Blocks that the page shows on request."""

    kind: ClassVar[str] = "fold"
    title: str
    blocks: Sequence["Block"]


@dataclass(frozen=True)
class Heading:
    """A heading of level 3."""

    kind: ClassVar[str] = "heading"
    text: str
    anchor: str = ""


Block = Paragraph | BulletList | Grid | Pictures | Fold | Heading


@dataclass(frozen=True)
class Section:
    """A section with a title."""

    key: str
    title: str
    blocks: list[Block]


@dataclass(frozen=True)
class Document:
    """The whole report."""

    brand: str
    title: str
    sections: list[Section]


def cells(*values: str | Line) -> list[Line]:
    """Return a row of a table.

    Args:
        values: entries of the row; a string is plain text.

    Returns:
        The row.
    """
    return [line(v) if isinstance(v, str) else v for v in values]
