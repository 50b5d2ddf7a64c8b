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
        table: the table.
    """
    from rich.console import Console

    Console().print(table)


def describe_error(error: BaseException) -> str:
    """Return an error's message without control characters.

    Args:
        error: the error.

    Returns:
        For an error of a file its path and the reason, else the message, or the name
        of the error if it has none.
    """
    from bestreply.utils.console import printable

    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.filename and error.strerror:
        text = f"{error.filename}: {error.strerror}"
    return printable(text)
