"""Files that appear under their name only when they are whole, and checksums of them."""

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows: no lock, see `locked`
    fcntl = None


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Gives a temporary path beside `path` to write to; when the block ends well, that file takes the place
    of `path`.

    The file is on the disk (fsync) before it gets its name, so neither a crash nor a power cut leaves half a
    file under the name. Where the block raises, `path` is as it was and the temporary file is gone.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield beside
        _sync(beside)
        os.replace(beside, path)
        if os.name == "posix":
            _sync(path.parent)  # the rename itself
    finally:
        beside.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Writes a whole file atomically."""
    with replacing(path) as beside:
        beside.write_bytes(data)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a whole UTF-8 text file atomically, line ends as given."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes `value` as JSON, atomically. Raises TypeError or ValueError for what JSON cannot hold (NaN)."""
    write_text(
        path,
        json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
    )


def sha256(path: str | os.PathLike) -> str:
    """The SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def locked(folder: str | os.PathLike) -> Iterator[None]:
    """Holds the folder's lock: other processes that ask for it wait. Ends with the process, so a crash leaves
    no lock behind.

    On systems without `flock` (Windows) nothing is locked: one writer at a time is then up to the user.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
