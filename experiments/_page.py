"""Pages of results/, and the command lines of studies."""

import argparse
from collections.abc import Iterable
from pathlib import Path


def details(doc: str | None) -> str:
    """Return a module's docstring without its first line, which is the help text."""
    return (doc or "").partition("\n\n")[2].strip("\n")


def make_parser(name: str, doc: str | None) -> argparse.ArgumentParser:
    """Return the parser of a study, described by the first line of its docstring.

    Args:
        name: name of the study.
        doc: docstring of its module.
    """
    return argparse.ArgumentParser(
        prog=f"python -m experiments {name}",
        description=(doc or "").partition("\n")[0],
    )


def join_page(parts: Iterable[str], folder: Path) -> str:
    """Return a page from its paragraphs and the folder's notes.md, if there is one.

    Args:
        parts: headings, paragraphs and tables.
        folder: folder of the page.
    """
    notes = folder / "notes.md"
    end = [notes.read_text("utf-8")] if notes.exists() else []
    return "\n\n".join([*parts, *end]).rstrip() + "\n"


def write_page(text: str, folder: Path) -> None:
    """Write README.md of a folder and print its path.

    Args:
        text: the page.
        folder: folder of the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(text, "utf-8")
    print(folder / "README.md")
