"""Output of commands: lines and tables on standard output, errors in one line."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType


def say(*lines: str | Path) -> None:
    """Print lines to standard output, without control characters.

    Args:
        lines: texts, which can come from foreign files, and paths.
    """
    from bestreply.utils.console import printable

    for line in lines:
        sys.stdout.write(f"{printable(line)}\n")


def show(table: "RenderableType") -> None:
    """Print a table to standard output, as wide as the terminal.

    Args:
        table: the table. Text in it has no markup, whatever it holds, and loses its
            control characters; styles that the program gave stay.
    """
    from rich.console import Console
    from rich.segment import Segment, Segments

    from bestreply.utils.console import printable

    console = Console(markup=False, emoji=False, highlight=False)
    segments = [
        segment
        if segment.control
        else Segment(printable(segment.text), segment.style)
        for segment in console.render(table)
    ]
    console.print(Segments(segments), end="")


def describe_error(error: BaseException) -> str:
    """Return an error's message without control characters.

    Args:
        error: the error.

    Returns:
        For an error of a file its path and the reason, else the message, or the name
        of the error if it has none.
    """
    from bestreply.cli.errors import is_out_of_memory
    from bestreply.utils.console import printable

    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.filename and error.strerror:
        text = f"{error.filename}: {error.strerror}"
    elif is_out_of_memory(error):
        text = f"out of memory: expected smaller sizes, or more memory ({text})"
    return printable(text)
