"""What commands print: lines and tables on standard output."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType


def say(*lines: str | Path) -> None:
    """Print each line to standard output."""
    for line in lines:
        sys.stdout.write(f"{line}\n")


def show(table: "RenderableType") -> None:
    """Print a table to standard output, as wide as the terminal."""
    from rich.console import Console

    Console().print(table)


def describe_error(error: BaseException) -> str:
    """Return one line for an error; for a file the path and the reason, without the error's number."""
    if (
        isinstance(error, OSError)
        and error.filename is not None
        and error.strerror
    ):
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__
