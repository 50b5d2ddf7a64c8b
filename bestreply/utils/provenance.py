"""Where a result comes from: versions, seed, git revision, command, time."""

import datetime
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
    "orbax-checkpoint",
    "numpy",
    "pyarrow",
    "open_spiel",
)


def provenance(seed: int, command: str | None = None) -> dict[str, Any]:
    """Plain JSON data; `command` is what was typed, by default this process's own command line without its folder."""
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
        if command is None
        else command,
        "seed": seed,
        "started": datetime.datetime.now(datetime.UTC).isoformat(
            timespec="seconds"
        ),
        "git_revision": git_revision(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_revision() -> str:
    """The revision of the checkout this library runs from, "+changes" where files differ from it; "unknown" outside one."""
    here = Path(__file__).parent

    def git(*args: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *args],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()

    try:
        if (
            Path(git("rev-parse", "--show-toplevel")).resolve()
            != here.parent.resolve()
        ):
            return "unknown"
        return git("rev-parse", "HEAD") + (
            "+changes" if git("status", "--porcelain", "-uno") else ""
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
