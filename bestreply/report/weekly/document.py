"""What the report says, apart from how it is written: sections of blocks, which the page and the Markdown text are both made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup


@dataclass(frozen=True)
class Link:
    """`to` is a relative address, quoted, or ``#anchor`` of the page."""

    kind: ClassVar[str] = "link"
    text: str
    to: str


@dataclass(frozen=True)
class Code:
    """Something to be typed, or to be found in a file."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Anchor:
    """Text that links lead to as ``#name``."""

    kind: ClassVar[str] = "anchor"
    text: str
    name: str


@dataclass(frozen=True)
class Plain:
    kind: ClassVar[str] = "plain"
    text: str


Part = Plain | Link | Code | Anchor
Line = tuple[Part, ...]


def line(*parts: str | Link | Code | Anchor) -> Line:
    return tuple([Plain(p) if isinstance(p, str) else p for p in parts])


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; `style` is "lead", "note", "caveat", "sub", "figure" (a note on figures, with which it comes and goes) or
    nothing."""

    kind: ClassVar[str] = "text"
    line: Line
    style: str = ""


@dataclass(frozen=True)
class BulletList:
    """A list; each entry with a style: "better", "worse", "unclear", "trouble" or nothing."""

    kind: ClassVar[str] = "points"
    lines: list[tuple[str, Line]]


@dataclass(frozen=True)
class Grid:
    """A table. `text` says how many columns from the left are words, `words` which others are; the rest are numbers. `bold` are rows to
    be read first."""

    kind: ClassVar[str] = "grid"
    head: list[str]
    rows: list[list[Line]]
    text: int = 1
    bold: frozenset[int] = frozenset()
    words: frozenset[int] = frozenset()

    def is_text(self, column: int) -> bool:
        return column < self.text or column in self.words


@dataclass(frozen=True)
class Picture:
    title: str
    figure: Markup
    last: str = ""


@dataclass(frozen=True)
class Pictures:
    """Figures side by side. Their numbers are in a table that follows: the Markdown text leaves the figures out."""

    kind: ClassVar[str] = "pictures"
    pictures: list[Picture]
    wide: bool = False
    keys: list[tuple[str, str]] | None = (
        None  # (style of the style sheet, name) of what is drawn
    )


@dataclass(frozen=True)
class Fold:
    """Blocks that the page shows when they are asked for."""

    kind: ClassVar[str] = "fold"
    title: str
    blocks: Sequence["Block"]


@dataclass(frozen=True)
class Heading:
    kind: ClassVar[str] = "heading"
    text: str
    anchor: str = ""


Block = Paragraph | BulletList | Grid | Pictures | Fold | Heading


@dataclass(frozen=True)
class Section:
    key: str
    title: str
    blocks: list[Block]


@dataclass(frozen=True)
class Document:
    brand: str
    title: str
    sections: list[Section]


def cells(*values: str | Line) -> list[Line]:
    """A row of a table."""
    return [line(v) if isinstance(v, str) else v for v in values]
