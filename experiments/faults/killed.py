"""Run a command of bestreply that ends with SIGKILL at its n-th change of a file.

    python -m experiments.faults.killed N COUNT_FILE WORDS...

With N = 0 it runs to its end and writes the number of changes to COUNT_FILE.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def watch(last: int) -> list[int]:
    """Count the changes of files below the working directory, and end at one of them.

    Args:
        last: number of the change before which the process ends; 0: none.

    Returns:
        A list whose length is the number of changes so far.
    """
    root, seen = os.getcwd(), []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & WRITING:
                return
        elif event in CHANGES:
            path = arguments[0]
        else:
            return
        if not isinstance(path, str | bytes | os.PathLike):
            return
        path = os.fsdecode(path)
        if os.path.isabs(path) and not path.startswith(root):
            return
        seen.append(1)
        if len(seen) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return seen


def main() -> None:
    """Run the command that `sys.argv` names."""
    last, count_file, *words = sys.argv[1:]
    from bestreply.cli.main import run_command

    seen = watch(int(last))
    sys.argv = ["bestreply", *words]
    run_command(words)
    if last == "0":
        Path(count_file).write_text(str(len(seen)))


if __name__ == "__main__":
    main()
