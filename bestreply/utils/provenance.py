"""Where a result comes from: versions, flags, seed, git revision, command, time."""

import datetime
import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "bestreply",
    "jax",
    "jaxlib",
    "equinox",
    "optax",
    "safetensors",
    "numpy",
    "pyarrow",
    "open_spiel",
)


def provenance(seed: int, command: str | None = None) -> dict[str, Any]:
    """Return where a result comes from, as plain JSON data.

    Args:
        seed: seed of the result.
        command: what was typed; None: this process's own command line, without
            the folder of the program.

    Returns:
        Command, seed, time, git revision, Python, system, versions and flags.
    """
    if command is None:
        command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    now = datetime.datetime.now(datetime.UTC)
    return {
        "command": command,
        "seed": seed,
        "started": now.isoformat(timespec="seconds"),
        "git_revision": git_revision(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions(),
        "flags": flags(),
    }


def versions() -> dict[str, str]:
    """Read the versions of the packages that numbers can depend on.

    Returns:
        Version by name of each package that is installed.
    """
    installed = {}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


def flags() -> dict[str, str]:
    """Read the environment variables that change what JAX and XLA compute.

    Returns:
        Value by name, sorted; variables that hold paths are left out.
    """
    paths = ("_DIR", "_PATH", "_FILE")
    return {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith(("JAX_", "XLA_")) and not name.endswith(paths)
    }


def git_revision() -> str:
    """Return the revision of the checkout that this library runs from.

    Returns:
        The commit, with "+changes" where files differ from it; "unknown"
        outside a checkout.
    """
    package = Path(__file__).parents[1]
    try:
        top = Path(_git(package, "rev-parse", "--show-toplevel"))
        if top.resolve() != package.parent.resolve():
            return "unknown"
        revision = _git(package, "rev-parse", "HEAD")
        has_changes = _git(package, "status", "--porcelain", "-uno")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return f"{revision}+changes" if has_changes else revision


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    return done.stdout.strip()
