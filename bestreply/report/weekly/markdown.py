"""The report as Markdown (CommonMark with tables).

All text from files is escaped, so that it cannot contain markup.
"""

import re
from functools import lru_cache

from bestreply.report.weekly.document import (
    Block,
    BulletList,
    Code,
    Document,
    Fold,
    Grid,
    Heading,
    Line,
    Link,
    Paragraph,
    Part,
)

_SPECIAL = re.compile(r"([\\`*\[\]<>|#!~&])|(?<![^\W_])(_)|(_)(?![^\W_])")
_BREAKS = re.compile(r"[\s\x00-\x1f\u2028\u2029]+")


def to_markdown(document: Document) -> str:
    """Write the report as Markdown.

    Args:
        document: the report.

    Returns:
        The text; charts are left out.
    """
    parts = [f"# {escape(document.title)}", escape(document.brand)]
    for section in document.sections:
        parts.append(f"## {escape(section.title)}")
        parts += [text for block in section.blocks for text in _block(block, 3)]
    return "\n\n".join(part for part in parts if part) + "\n"


@lru_cache(10_000)
def escape(text: str) -> str:
    """Escape a text for Markdown and HTML, on one line.

    Args:
        text: any text.

    Returns:
        The text without markup.
    """
    if text.strip():
        text = _BREAKS.sub(" ", text).strip(" ")
    text = _SPECIAL.sub(r"\\\g<0>", text)
    text = re.sub(
        r"^(\s*)([-+=])(?=[-+=\s]|$)", r"\1\\\2", text
    )  # lists, rulers
    return re.sub(r"^(\s*\d+)([.)])(?=\s|$)", r"\1\\\2", text)


def _block(block: Block, level: int) -> list[str]:
    """Return the paragraphs of a block; charts are left out."""
    match block:
        case Heading(text):
            return [f"{'#' * level} {escape(text)}"]
        case Paragraph(style="figure"):
            return []
        case Paragraph(content, "caveat"):
            return [f"> {_line(content)}"]
        case Paragraph(content):
            return [_line(content)]
        case BulletList(lines):
            bullets = [f"- {_line(parts)}" for _, parts in lines]
            return ["\n".join(bullets)] if lines else []
        case Grid():
            return [_grid(block)]
        case Fold(title, blocks):
            content = [text for b in blocks for text in _block(b, level + 1)]
            return [f"**{escape(title)}**", *content]
    return []


def _grid(grid: Grid) -> str:
    columns = range(len(grid.head))
    ruler = ["---" if grid.is_text(k) else "---:" for k in columns]
    rows = [[escape(name) for name in grid.head], ruler]
    for number, row in enumerate(grid.rows):
        texts = [_line(cell) for cell in row]
        if number in grid.bold and texts[0]:
            texts[0] = f"**{texts[0]}**"
        rows.append(texts)
    return "\n".join(
        "| " + " | ".join(cell or " " for cell in row) + " |" for row in rows
    )


def _line(parts: Line) -> str:
    return "".join(_part(part) for part in parts)


def _part(part: Part) -> str:
    if isinstance(part, Code):
        return _code(part.text)
    if isinstance(part, Link) and not part.to.startswith("#"):
        return f"[{escape(part.text)}](<{part.to}>)"
    if not part.text.strip():
        return part.text
    lead = " " if part.text[:1] == " " else ""
    tail = " " if part.text[-1:] == " " else ""
    return lead + escape(part.text) + tail


def _code(text: str) -> str:
    """Write code between one backtick more than its longest run of them, with escaped
    bars.
    """
    text = _BREAKS.sub(" ", text).replace("|", "\\|")
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    gap = " " if "`" in text else ""
    return f"{fence}{gap}{text}{gap}{fence}"
