"""How a command ends with an error: a sentence, or a traceback.

A sentence is for what a person typed or a file held, and for a machine that is short of
disk or memory. A traceback is for errors of this library and for exceptions inside a
user's own module.
"""

import dis
import importlib.metadata
import traceback
from types import TracebackType

from bestreply.utils.importing import foreign_error, is_foreign

REFUSALS = (ValueError, ImportError, OverflowError)
"""Errors that this library raises with a sentence about arguments and files."""
RAISE = dis.opmap["RAISE_VARARGS"]
OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"
"""Beginning of XLA's error when a device has no memory left."""


def needs_traceback(error: BaseException) -> bool:
    """Return whether an error is one of the library's own, or of a user's module.

    Args:
        error: the error, with its traceback.
    """
    if is_foreign(error):
        return True
    if is_out_of_memory(error) or isinstance(error, OSError):
        return False
    return not (isinstance(error, REFUSALS) and _is_refusal(error))


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the machine or the device has no memory left.

    Args:
        error: the error.
    """
    return isinstance(error, MemoryError) or str(error).startswith(
        OUT_OF_MEMORY
    )


def _is_refusal(error: BaseException) -> bool:
    """Return whether a `raise` of this library is where the error arose.

    An error that arises in a call, such as `int(text)`, was not expected there.
    """
    last: TracebackType | None = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None:
        return True
    module = str(last.tb_frame.f_globals.get("__name__", ""))
    code = last.tb_frame.f_code.co_code
    return module.startswith("bestreply.") and code[last.tb_lasti] == RAISE


def traceback_text(error: BaseException) -> str:
    """Return the traceback of an error, and where to report one of the library's own.

    Args:
        error: the error.

    Returns:
        Lines, without control characters that the error may hold.
    """
    from bestreply.utils.console import printable

    own = foreign_error(error)
    text = "".join(traceback.format_exception(own or error))
    if own is None:
        text += (
            "This is an error of bestreply, not of what was typed. Report it with the "
            f"lines above: {issues_page()}\n"
        )
    return printable(text)


def issues_page() -> str:
    """Return the page for reports, as the package names it."""
    try:
        package = importlib.metadata.metadata("bestreply")
    except importlib.metadata.PackageNotFoundError:
        return "see CONTRIBUTING.md"
    for entry in package.get_all("Project-URL") or ():
        name, _, url = entry.partition(", ")
        if name == "Issues":
            return url
    return "see CONTRIBUTING.md"
