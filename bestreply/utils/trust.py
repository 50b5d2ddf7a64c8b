"""Trust: which modules the names in a file may import.

A name that a person types, in Python, on the command line or in a file named there, is
imported. A name in the file of a run or a dataset is imported only if its module is
allowed: opening such a file runs no code of its author.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

from bestreply.utils.spec import nested, specs_of

ADAPTERS = ("openspiel", "pettingzoo", "jaxmarl", "jumanji", "pgx", "gymnasium")
"""Prefixes of the games of other libraries; none of them names a module."""
ALLOW_VARIABLE = "BESTREPLY_ALLOW_IMPORT"
"""Environment variable: modules, with commas between, that names in files may import."""
KNOWN_ENVIRONMENT = re.compile(
    r"pettingzoo:(mpe2|pettingzoo\.[a-z]+)\.[a-z_]+_v\d+:(parallel_env|env)"
    r"|pettingzoo:bestreply:parallel_env"
)
"""Environments of the packages pettingzoo, mpe2 and bestreply: files may name them."""
MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
"""The full name of a module, or of an attribute."""


@dataclass(frozen=True)
class Trust:
    """Who wrote a name, and which modules it may import."""

    file: str | None = None
    """The run or dataset that holds the name; None: a person typed it."""
    allow: tuple[str, ...] = ()
    """Modules that names in the file may import, submodules included."""

    @property
    def typed(self) -> bool:
        """Whether a person typed the name."""
        return self.file is None

    def allows(self, module: str) -> bool:
        """Return whether a name may import a module.

        Args:
            module: its full name.
        """
        if self.typed:
            return True
        listed = os.environ.get(ALLOW_VARIABLE, "").split(",")
        allowed = [m.strip() for m in (*self.allow, *listed) if m.strip()]
        return any(f"{module}.".startswith(f"{m}.") for m in allowed)

    def check(self, kind: str, name: str) -> None:
        """Refuse a name whose module must not be imported.

        Args:
            kind: kind of the name, such as game.
            name: the name.

        Raises:
            ValueError: the module is not allowed.
        """
        module = module_of(name)
        if module is None or self.allows(module):
            return
        package = module.partition(".")[0]
        raise ValueError(
            f"{self.file}: {kind}={name!r:.200}: expected a name that needs no import "
            f"of the module {module!r:.100}, or a module that you allow. If you "
            f"trust its code: --allow-import {package}, in Python "
            f"allow_import=({package!r},), or {ALLOW_VARIABLE}={package} in the "
            "environment"
        )


TYPED = Trust()
"""A person typed the name."""


def from_file(path: object, allow: Iterable[str] = ()) -> Trust:
    """Return the trust in the names of a file.

    Args:
        path: the run, the dataset or the file.
        allow: modules that its names may import.

    Raises:
        ValueError: an entry of `allow` is no module name.
    """
    modules = (allow,) if isinstance(allow, str) else tuple(allow)
    for module in modules:
        if not MODULE.fullmatch(str(module)):
            raise ValueError(
                f"allow_import={module!r}: expected the name of a module or package"
            )
    return Trust(str(path), modules)


def module_of(name: str) -> str | None:
    """Return the module that a name imports.

    Args:
        name: ``pkg.games:Chess``, or with the prefix of an adapter
            ``pettingzoo:pkg.env:parallel_env``.

    Returns:
        ``pkg.games``, ``pkg.env``; None for a name that imports no such module, or one
        of `KNOWN_ENVIRONMENT`.
    """
    if KNOWN_ENVIRONMENT.fullmatch(name):
        return None
    prefix, colon, rest = name.partition(":")
    if colon and prefix in ADAPTERS:
        prefix, colon, rest = rest.partition(":")
    return prefix if colon else None


def modules_named(texts: Iterable[str]) -> set[str]:
    """Return the modules that specs name, at every depth.

    Args:
        texts: specs, or several with commas between; other text is skipped.
    """
    modules = set()
    for text in texts:
        try:
            specs = specs_of(text)
        except ValueError:
            continue
        for spec in specs:
            modules |= {module_of(part.name) for part in nested(spec)}
    return {module for module in modules if module}
