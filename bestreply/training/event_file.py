"""TensorBoard's event file of a run, written without a thread so that an error is raised where it occurs."""

import os
import struct
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bestreply.utils.files import make_folder, naming, remove


class EventFile:
    """Scalars of one run. Each record is handed to the system as it is written."""

    def __init__(self, folder: Path) -> None:
        """Make a new event file.

        Args:
            folder: folder of event files; it is made where it is missing.

        Raises:
            OSError: the file cannot be written; the error names it.
        """
        make_folder(folder)
        self.path = (
            folder / f"events.out.tfevents.{time.time_ns()}.{os.getpid()}"
        )
        with naming(self.path):
            self._file = open(self.path, "xb", buffering=0)  # noqa: SIM115
        self._write(file_version="brain.Event:2")

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Append scalars.

        Args:
            values: scalars by name.
            step: place on the x-axis, in environment steps.

        Raises:
            OSError: the file cannot be written; the error names it.
        """
        from tensorboardX.proto import summary_pb2

        messages: Any = summary_pb2
        value = [
            messages.Summary.Value(tag=name, simple_value=number)
            for name, number in values.items()
        ]
        self._write(step=step, summary=messages.Summary(value=value))

    def _write(self, **event: Any) -> None:
        from tensorboardX.proto import event_pb2
        from tensorboardX.record_writer import masked_crc32c

        messages: Any = event_pb2
        message = messages.Event(wall_time=time.time(), **event)
        data = message.SerializeToString()
        size = struct.pack("<Q", len(data))
        checks = (struct.pack("<I", masked_crc32c(x)) for x in (size, data))
        record = b"".join([size, next(checks), data, next(checks)])
        with naming(self.path):
            while record:  # a disk that is nearly full takes a part
                record = record[self._file.write(record) :]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def rewrite(folder: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Replace all event files of a folder by one that holds the rows of a metrics log.

    Args:
        folder: folder of event files; it may be missing.
        rows: `name`, `value` and `env_steps` of each metric.

    Raises:
        OSError: the file cannot be written; the error names it.
    """
    earlier = list(folder.glob("events.out.tfevents.*"))
    events = EventFile(folder)
    try:
        for row in rows:
            events.write({row["name"]: row["value"]}, row["env_steps"])
    except OSError:
        events.path.unlink()
        raise
    finally:
        events.close()
    for path in earlier:
        remove(path)
