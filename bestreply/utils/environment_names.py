"""Environments of PettingZoo and Gymnasium that files name by module."""

import re
import typing
from typing import Any

from bestreply.utils.importing import import_attribute
from bestreply.utils.trust import Trust

FACTORIES = ("parallel_env", "env", "raw_env")
"""Functions that make an environment, as modules of PettingZoo name theirs."""
ENVIRONMENT_ID = re.compile(r"[\w.]+:[\w./-]*-v\d+")
"""``module:NAME-v0``: an environment that Gymnasium knows once the module is imported."""


def wrong_environment(name: str, trust: Trust) -> str | None:
    """Return why an adapter must not call what a file names.

    It must be a class with `reset` and `step`, or a function that is called as packages
    of environments call theirs, or is annotated with such a class.

    Args:
        name: ``module:attr`` or ``module:NAME-v0`` of an allowed module.
        trust: the file, and the modules that it may import.

    Returns:
        The reason; None if it may be called.
    """
    if ENVIRONMENT_ID.fullmatch(name):
        return None  # the module registers it
    thing = import_attribute("game", name)
    attribute = name.partition(":")[2]
    made = thing if isinstance(thing, type) else result_of(thing)
    if not _is_environment(made) and attribute not in FACTORIES:
        return (
            f"it is a {type(thing).__name__}; a file may name the class of an "
            f"environment, a function {', '.join(FACTORIES)}, or one that is annotated "
            "with the class that it returns"
        )
    module = str(getattr(thing, "__module__", ""))
    known = module.startswith("pettingzoo.") or trust.allows(module)
    if "." in attribute or not known:
        return f"it is defined in {module!r}"
    return None


def result_of(function: Any) -> Any:
    """Return the type that a function is annotated to return, or None.

    Args:
        function: any object.
    """
    try:
        return typing.get_type_hints(function).get("return")
    except (TypeError, NameError, AttributeError):
        return None


def _is_environment(kind: Any) -> bool:
    return isinstance(kind, type) and all(
        callable(getattr(kind, method, None)) for method in ("reset", "step")
    )
