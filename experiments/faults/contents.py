"""Content of the files that a command wrote, without times and commands, to compare two runs."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from safetensors import safe_open

from bestreply.data.validate import validate

TIMES = frozenset(
    [
        "started",
        "created",
        "seconds",
        "command",
        "resumed",
        "sha256",
        "provenance",
        "time",
        "fingerprint",
    ]
)
"""Names whose values differ between equal runs: times, and digests of files with times."""
HIDDEN = ("tensorboard", ".tmp", ".lock", "report.html", "report.md")
STAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\+00:00|Z)?")


def contents(root: Path) -> dict[str, str]:
    """Return a digest of each file below a folder, by its path.

    Args:
        root: the folder.
    """
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {
        str(path.relative_to(root)): _digest(path)
        for path in files
        if not any(hidden in str(path.relative_to(root)) for hidden in HIDDEN)
    }


def _digest(path: Path) -> str:
    if path.suffix == ".json":
        value = _timeless(json.loads(path.read_text("utf-8")))
        data = json.dumps(value, sort_keys=True).encode()
    elif path.suffix == ".parquet":
        rows = pq.read_table(path).replace_schema_metadata(None)
        data = json.dumps(rows.to_pydict(), default=str).encode()
    else:
        data = path.read_bytes()
    return hashlib.sha256(data).hexdigest()[:16]


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _timeless(entry)
            for name, entry in value.items()
            if name not in TIMES
        }
    if isinstance(value, list):
        return [_timeless(entry) for entry in value]
    return value


def halves(root: Path) -> list[str]:
    """Return the files below a folder that are not whole.

    Args:
        root: the folder; temporary files in it are left out.
    """
    found = []
    for path in sorted(root.rglob("*")):
        if not path.is_file() or path.name.endswith(".tmp"):
            continue
        try:
            _check_whole(path)
        except Exception as error:
            found.append(f"{path.relative_to(root)}: {error}")
    return found


def _check_whole(path: Path) -> None:
    if path.name == "manifest.json" and (problems := validate(path.parent)):
        raise ValueError(str(problems[0]))
    if path.suffix == ".json":
        json.loads(path.read_text("utf-8"))
    elif path.suffix == ".parquet":
        pq.read_table(path)
    elif path.suffix == ".safetensors":
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 (the file is no dict)
                file.get_tensor(name)
    elif path.suffix == ".html" and "</html>" not in path.read_text("utf-8"):
        raise ValueError("the page ends early")
