"""The command line: `bestreply COMMAND ...`. A command imports what it uses, so that help is there at once."""

import sys

from bestreply.cli import flow, runs, games, data  # isort: skip
from bestreply.cli.registry import COMMANDS


def main() -> None:
    """Entry point. Exit status 0 if all is well, 1 if a check found something or an error was shown, 2 for wrong usage."""
    arguments = sys.argv[1:]
    name = next((n for n in COMMANDS if arguments[: len(n.split())] == n.split()), None)
    if name is None:
        _overview(arguments)
        return
    try:
        COMMANDS[name][0](arguments[len(name.split()) :])
    except (ValueError, OSError) as error:
        sys.exit(f"bestreply {name}: {error}")
    except KeyboardInterrupt:
        sys.exit(
            f"\nbestreply {name}: stopped. What was written is whole; --resume goes on where a command offers it."
        )


def _overview(arguments: list[str]) -> None:
    wrong = bool(arguments) and arguments[0] not in ("-h", "--help")
    lines = [f"  {name:<19} {summary}" for name, (_, summary) in COMMANDS.items()]
    text = "\n".join(
        [
            "bestreply: agents that answer with the best reply to what they believe the others will do",
            "",
            "usage: bestreply COMMAND [--help] ...",
            "",
            *lines,
            "",
            "First steps: bestreply run --preset debug",
        ]
    )
    if wrong:
        sys.stderr.write(f"bestreply: there is no command {' '.join(arguments[:2])!r}\n\n{text}\n")
        sys.exit(2)
    sys.stdout.write(text + "\n")
