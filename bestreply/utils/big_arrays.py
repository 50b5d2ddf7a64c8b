"""Arrays for data of any size: in memory, or in a file that is mapped into memory.

JAX on a CPU reads both in place, as their first byte is aligned to `ALIGNMENT`.
"""

import contextlib
import math
import mmap
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ALIGNMENT = 64
"""Bytes that the address of an array is a multiple of."""


def new_array(
    shape: tuple[int, ...], dtype: np.dtype, folder: Path | None = None
) -> np.ndarray:
    """Return an array of zeros.

    Args:
        shape: its shape.
        dtype: type of its entries.
        folder: a folder on the disk that the array lies on; None: in memory. Its file
            has no name, and ends with the array.

    Returns:
        The array.

    Raises:
        OSError: the disk is full.
    """
    size = math.prod(shape) * dtype.itemsize
    if not size:
        return np.zeros(shape, dtype)
    if folder is not None:
        return np.frombuffer(_mapped(size, folder), dtype).reshape(shape)
    memory = np.zeros(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def _mapped(size: int, folder: Path) -> mmap.mmap:
    with tempfile.TemporaryFile(dir=folder) as file:
        # Without room on the disk a later write to the array would end the process.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
        pages = mmap.mmap(file.fileno(), size)
    with contextlib.suppress(AttributeError, OSError):  # not on every system
        pages.madvise(mmap.MADV_RANDOM)  # rows are drawn at random
    return pages


def free_disk(folder: Path) -> int:
    """Return the free bytes of the disk that a folder lies on.

    Args:
        folder: the folder.
    """
    return shutil.disk_usage(folder).free


def free_device_memory() -> int | None:
    """Return the free bytes of the device that programs run on; None if it is the CPU."""
    import jax

    device: Any = jax.local_devices()[0]
    if device.platform == "cpu" or not (stats := device.memory_stats()):
        return None
    return stats["bytes_limit"] - stats["bytes_in_use"]
