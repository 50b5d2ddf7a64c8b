"""The report as Markdown (CommonMark with tables). What comes from files is escaped, so that it can be nothing but text."""

import re
from functools import lru_cache

from bestreply.report.weekly.document import (
    Block,
    BulletList,
    Code,
    Document,
    Grid,
    Line,
    Link,
    Part,
)

_SPECIAL = re.compile(r"([\\`*\[\]<>|#!~&])|(?<![^\W_])(_)|(_)(?![^\W_])")
_BREAKS = re.compile(r"[\s\x00-\x1f\u2028\u2029]+")


def to_markdown(document: Document) -> str:
    parts = [f"# {escape(document.title)}", escape(document.brand)]
    for section in document.sections:
        parts.append(f"## {escape(section.title)}")
        parts += [text for block in section.blocks for text in _block(block, 3)]
    return "\n\n".join(part for part in parts if part) + "\n"


@lru_cache(10_000)
def escape(text: str) -> str:
    """`text` on one line, with nothing in it that Markdown or HTML would take for more than text."""
    found = _SPECIAL.sub(
        lambda m: "\\" + m[0],
        _BREAKS.sub(" ", text).strip(" ") if text.strip() else text,
    )
    found = re.sub(
        r"^(\s*)([-+=])(?=[-+=\s]|$)", r"\1\\\2", found
    )  # a list, a ruler
    return re.sub(r"^(\s*\d+)([.)])(?=\s|$)", r"\1\\\2", found)


def _block(block: Block, level: int) -> list[str]:
    match block.kind:
        case "heading":
            return [f"{'#' * level} {escape(block.text)}"]  # type: ignore[union-attr]
        case "text" if block.style == "figure":  # type: ignore[union-attr]
            return []
        case "text":
            text = _line(block.line)  # type: ignore[union-attr]
            return [f"> {text}" if block.style == "caveat" else text]  # type: ignore[union-attr]
        case "points":
            return [_points(block)] if block.lines else []  # type: ignore[arg-type, union-attr]
        case "grid":
            return [_grid(block)]  # type: ignore[arg-type]
        case "fold":
            inside = [
                text for b in block.blocks for text in _block(b, level + 1)
            ]  # type: ignore[union-attr]
            return [f"**{escape(block.title)}**", *inside]  # type: ignore[union-attr]
    return []


def _points(block: BulletList) -> str:
    return "\n".join(f"- {_line(parts)}" for _, parts in block.lines)


def _grid(block: Grid) -> str:
    ruler = [
        "---" if block.is_text(k) else "---:" for k in range(len(block.head))
    ]
    lines = [[escape(name) for name in block.head], ruler]
    for number, row in enumerate(block.rows):
        said = [_line(cell) for cell in row]
        lines.append(
            [f"**{said[0]}**", *said[1:]]
            if number in block.bold and said[0]
            else said
        )
    return "\n".join(
        "| " + " | ".join(cell or " " for cell in row) + " |" for row in lines
    )


def _line(parts: Line) -> str:
    return "".join(_part(part) for part in parts)


def _part(part: Part) -> str:
    if isinstance(part, Code):
        return _code(part.text)
    if isinstance(part, Link) and not part.to.startswith("#"):
        return f"[{escape(part.text)}](<{part.to}>)"
    lead, tail = (
        (" " if part.text[:1] == " " else ""),
        (" " if part.text[-1:] == " " else ""),
    )
    return lead + escape(part.text) + tail if part.text.strip() else part.text


def _code(text: str) -> str:
    """Between one backtick more than it has in a row; a bar would end a table's cell."""
    text = _BREAKS.sub(" ", text).replace("|", "\\|")
    fence = "`" * (
        max((len(run) for run in re.findall("`+", text)), default=0) + 1
    )
    gap = " " if "`" in text else ""
    return f"{fence}{gap}{text}{gap}{fence}"
