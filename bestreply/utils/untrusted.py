"""Files that anyone may have written: regular files only, bounded sizes, plain JSON.

What is wrong with a file is one sentence in a ValueError or an OSError.
"""

import contextlib
import json
import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from bestreply.utils.checks import shown

MAX_BYTES = 1_000_000_000
"""Largest file of text or JSON that is read."""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

# -- files ---------------------------------------------------------------------


def check_regular(path: str | os.PathLike) -> int:
    """Refuse what is no regular file: reading a pipe or a device can wait forever.

    Args:
        path: the file; a symbolic link counts as what it leads to.

    Returns:
        Its size in bytes.

    Raises:
        OSError: there is no such file, or its folder cannot be read.
        ValueError: it is a pipe, a socket, a device or a folder.
    """
    try:
        status = os.stat(path)
    except ValueError:  # a zero byte, or half of a surrogate pair
        raise ValueError(
            f"path={shown(str(path))}: expected a name that a file can have"
        ) from None
    return _regular_size(status, path)


def _regular_size(status: os.stat_result, path: str | os.PathLike) -> int:
    if not stat.S_ISREG(status.st_mode):
        kinds = {
            stat.S_IFDIR: "folder",
            stat.S_IFIFO: "pipe",
            stat.S_IFSOCK: "socket",
        }
        kind = kinds.get(stat.S_IFMT(status.st_mode), "device")
        raise ValueError(f"{path}: expected a regular file, not a {kind}")
    return status.st_size


@contextlib.contextmanager
def open_regular(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """Open a regular file for reading, without waiting for anything.

    Args:
        path: the file.

    Returns:
        A context manager that gives the open file.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is no regular file.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
    check_regular(path)  # opening some devices has effects
    handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(handle, "rb") as file:
        _regular_size(os.fstat(handle), path)
        yield file


def read_bytes(path: str | os.PathLike, most: int = MAX_BYTES) -> bytes:
    """Return the content of a regular file.

    Args:
        path: the file.
        most: largest size that is read, in bytes.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no regular file, or too large.
    """
    with open_regular(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(
            f"{path}: expected at most {most:,} bytes; the file has more"
        )
    return data


def read_json(path: str | os.PathLike, most: int = MAX_BYTES) -> Any:
    """Return the content of a JSON file, in UTF-8 with or without a byte order mark, or UTF-16.

    Args:
        path: the file.
        most: largest size that is read, in bytes.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no regular file, too large, no text or no JSON; the error
            names the file.
    """
    try:
        return parse_json(decode(read_bytes(path, most)))
    except ValueError as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path}: {error}") from None


def decode(data: bytes) -> str:
    """Return bytes as text: UTF-8 with or without a byte order mark, or UTF-16 with one.

    Args:
        data: content of a file.

    Raises:
        ValueError: it is neither; the error names the line.
    """
    is_utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(
            f"expected UTF-8 text; line {line} is not. Save the file as UTF-8"
        ) from None


# -- JSON ----------------------------------------------------------------------


def parse_json(text: str) -> Any:
    """Return JSON text as plain data. Only what every JSON reader agrees on is accepted.

    Args:
        text: the text.

    Raises:
        ValueError: it is no JSON, holds a name twice in an object, a number that is not
            finite or has thousands of digits, or half of a character, or is nested too
            deeply.
    """
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_distinct,
        )
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise ValueError("expected JSON; it is nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError(
            "expected whole characters; it holds half of a surrogate pair"
        ) from None
    except json.JSONDecodeError as error:
        raise ValueError(f"expected JSON; {error}") from None
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"expected finite numbers; {name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"expected finite numbers; {digits:.40} is not")
    return number


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(
            f"expected each name once; {shown(twice)} occurs twice"
        )
    return table


# -- memory --------------------------------------------------------------------


def free_memory() -> int:
    """Return the bytes of main memory that this process may still take."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    lines = dict(line.split(":") for line in meminfo.read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    group = Path("/sys/fs/cgroup")  # a container may be allowed less
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return free
    return min(free, max(limit - used, 0))


def check_memory(needed: int, what: str) -> None:
    """Refuse to read what does not fit into the free memory, before anything is allocated.

    Args:
        needed: bytes that reading takes.
        what: the file or dataset, with the sizes that it declares.

    Raises:
        ValueError: less is free; the error says how much, and how much is needed.
    """
    free = free_memory()
    if needed > free:
        raise ValueError(
            f"{what}: expected at most the free memory, {size_text(free)}; reading it "
            f"takes {size_text(needed)}"
        )


def size_text(size: int) -> str:
    """Return a number of bytes with a unit, such as "1.2 GB".

    Args:
        size: the number of bytes.
    """
    for power, unit in ((3, "kB"), (6, "MB"), (9, "GB"), (12, "TB")):
        if size < 10 ** (power + 3):
            return f"{size / 10**power:.1f} {unit}"
    return "more than 1,000 TB"
