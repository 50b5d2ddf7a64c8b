"""Import of ``module:attr``, and the errors that arise in modules of others."""

import difflib
import importlib
import os
import sys
from types import ModuleType
from typing import Any

from bestreply.utils.trust import MODULE

_foreign: set[str] = set()
"""Packages of others whose objects are in use."""


def import_attribute(kind: str, name: str) -> Any:
    """Import the module of ``module:attr`` and return the attribute.

    Args:
        kind: kind of the name, for errors.
        name: the name, of any number of dots on both sides.

    Returns:
        The attribute.

    Raises:
        ValueError: there is no such module or attribute. An exception inside the
            module is not caught.
    """
    path, _, attribute = name.partition(":")
    if not MODULE.fullmatch(path) or not MODULE.fullmatch(attribute):
        raise ValueError(
            f"{kind}={name!r:.200}: expected module:attr, such as "
            "my_package.my_module:MyClass"
        )
    value: Any = _import(kind, name, path)
    for part in attribute.split("."):
        if not hasattr(value, part):
            known = [n for n in dir(value) if not n.startswith("_")]
            close = difflib.get_close_matches(part, known, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"{kind}={name!r:.200}: expected {part!r} in "
                f"{getattr(value, '__name__', value)}{hint}"
            )
        value = getattr(value, part)
    return value


def _import(kind: str, name: str, module: str) -> ModuleType:
    note_foreign(module)
    for attempt in ("as it is", "with the current folder"):
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as error:
            if not f"{module}.".startswith(f"{error.name}."):
                raise  # a module that the named one needs
            missing = error.name
        if attempt == "as it is" and not _add_current_folder():
            break
    raise ValueError(
        f"{kind}={name!r:.200}: expected a module that can be imported; there is no "
        f"{missing!r} among the installed packages, in PYTHONPATH and in the current "
        "folder"
    )


def _add_current_folder() -> bool:
    """Let Python find modules of the current folder, last of all; False: it did already."""
    folder = os.getcwd()
    if folder in sys.path or "" in sys.path:
        return False
    sys.path.append(folder)
    importlib.invalidate_caches()
    return True


def note_foreign(module: str) -> None:
    """Count the package of a module among those whose exceptions are the user's own.

    Args:
        module: full name of the module.
    """
    package = module.partition(".")[0]
    if package not in ("bestreply", "builtins"):
        _foreign.add(package)


def is_foreign(error: BaseException) -> bool:
    """Return whether an exception, or what caused it, arose in code of others.

    Args:
        error: the exception, caught.
    """
    return foreign_error(error) is not None


def foreign_error(error: BaseException) -> BaseException | None:
    """Return the exception of others' code behind an exception; None: there is none.

    Such an exception keeps its traceback.

    Args:
        error: the exception, caught.

    Returns:
        The first in the chain of causes whose last frame, of those of this library
        and of modules that names have imported, is one of the latter.
    """
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        if _last_package(cause) != "bestreply":
            return cause
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__
    return None


def _last_package(error: BaseException) -> str:
    last, trace = "bestreply", error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        package = module.partition(".")[0]
        if package == "bestreply" or package in _foreign:
            last = package
        trace = trace.tb_next
    return last
