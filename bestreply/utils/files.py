"""Files that get their name when they are whole, checksums, and locks of folders."""

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bestreply.utils.untrusted import decode, read_bytes

try:
    import fcntl
except ImportError:  # Windows: no lock, see `locked`
    fcntl = None

LEFTOVER = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
"""Names of the temporary files of `replacing`."""
_held = threading.local()
"""`folders`: device and inode of each folder that this thread has locked."""


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary file to write; it takes the place of `path` at the end.

    The content is on the disk (fsync) before the file gets its name, and the
    name is on the disk afterwards. So neither a crash nor a power cut leaves
    half a file.

    Args:
        path: the file to write or replace.

    Returns:
        A context manager that gives a temporary path in the same folder. Where
        the block raises, `path` is unchanged and the temporary file is removed.

    Raises:
        OSError: the file cannot be written; the error names `path`.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with naming(path, beside):
        try:
            yield beside
            _sync(beside)
            os.replace(beside, path)
            sync_folder(path.parent)
        finally:
            beside.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: Path, *aliases: Path) -> Iterator[None]:
    """Give an OSError of the block the name of the file that was written.

    Libraries raise errors without a file, or with their own words for a full disk.

    Args:
        path: the file that the block writes.
        aliases: temporary names of the file.

    Returns:
        A context manager.

    Raises:
        OSError: as in the block; the error names `path`, or another file that is no
            alias.
    """
    try:
        yield
    except OSError as error:
        named = [None, *map(str, aliases)]
        if error.filename not in named:
            raise
        if error.errno is None:
            raise OSError(f"{path}: {error}") from error
        reason = os.strerror(error.errno)
        raise type(error)(error.errno, reason, str(path)) from error


def make_folder(path: str | os.PathLike) -> Path:
    """Make a folder and the missing ones around it, and bring their names to the disk.

    Args:
        path: the folder; it may exist.

    Returns:
        The folder.

    Raises:
        FileExistsError: there is a file of this name.
    """
    path = Path(path)
    if not path.is_dir():
        if path.parent != path:
            make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)
    return path


def remove_leftovers(folder: str | os.PathLike) -> None:
    """Remove the temporary files that killed processes left in a folder.

    Args:
        folder: a folder that no other process writes to; it may be missing.
    """
    for path in Path(folder).glob(".*.tmp"):
        if LEFTOVER.fullmatch(path.name):
            path.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Write a whole file atomically.

    Args:
        path: the file to write or replace.
        data: its content.
    """
    with replacing(path) as beside:
        beside.write_bytes(data)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a whole UTF-8 text file atomically, line ends as given.

    Args:
        path: the file to write or replace.
        text: its content.
    """
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write plain data as JSON, atomically. A number that is not finite becomes null.

    Args:
        path: the file to write or replace.
        value: dicts, lists, strings, numbers, booleans and None.

    Raises:
        TypeError: `value` holds something that JSON cannot express.
    """
    text = json.dumps(
        _finite(value), indent=2, ensure_ascii=False, allow_nan=False
    )
    write_text(path, text + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value


def read_text(path: str | os.PathLike) -> str:
    """Return a text file that a person saved with any editor.

    UTF-8 with or without a byte order mark, and UTF-16 with one.

    Args:
        path: the file.

    Returns:
        Its text, line ends as they are.

    Raises:
        ValueError: the file is neither, or no regular file; the error names the line.
        OSError: the file cannot be read.
    """
    data = read_bytes(path)
    try:
        return decode(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def remove(path: str | os.PathLike) -> None:
    """Remove a file or a folder with all that it holds, and sync the folder around it.

    Args:
        path: the file or folder; it may be missing.
    """
    path = Path(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    sync_folder(path.parent)


def sha256(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file's bytes, 64 hexadecimal digits.

    Args:
        path: the file.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def locked(folder: str | os.PathLike, *, wait: bool = True) -> Iterator[None]:
    """Hold a folder's lock. The lock ends with the process, so a crash leaves none.

    A thread that holds the lock may take it again. On systems without `flock`
    (Windows) nothing is locked.

    Args:
        folder: an existing folder.
        wait: wait for a process or thread that holds the lock.

    Returns:
        A context manager that holds the lock.

    Raises:
        BlockingIOError: another process or thread holds the lock, and `wait` is
            not set.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        facts = os.fstat(handle)
        key = facts.st_dev, facts.st_ino
        held: set[tuple[int, int]] = _held.__dict__.setdefault("folders", set())
        if key in held:
            yield
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise BlockingIOError(
                f"{folder}: another process is using this folder; wait for it, "
                "or give another path"
            ) from None
        held.add(key)
        try:
            yield
        finally:
            held.discard(key)
    finally:
        os.close(handle)


def sync_folder(folder: str | os.PathLike) -> None:
    """Bring the names in a folder to the disk (POSIX only).

    Args:
        folder: the folder.
    """
    if os.name == "posix":
        _sync(Path(folder))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
