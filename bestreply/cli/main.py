"""The command line, `bestreply COMMAND ...`.

Help and completion do not import JAX.
"""

import gc
import io
import os
import sys
from typing import NoReturn

from bestreply.cli.errors import needs_traceback, traceback_text
from bestreply.cli.output import describe_error
from bestreply.cli.registry import (
    COMMANDS,
    FAMILIES,
    GROUPS,
    HELP_FLAGS,
    Command,
    UsageError,
    did_you_mean,
)
from bestreply.utils.compilation import reset_flags
from bestreply.utils.interrupts import STATUS as INTERRUPTED_STATUS
from bestreply.utils.interrupts import (
    end_if_interrupted,
    end_on_second_interrupt,
)
from bestreply.utils.profile import VARIABLE as PROFILE
from bestreply.utils.profile import start_if_asked

GARBAGE = (100_000, 20, 100)
"""Thresholds of Python's collector: tracing a program makes objects by the million, and
searching them for garbage takes a tenth of the time of a short run."""
INTERRUPTED = "interrupted. All files on disk are complete."


def main() -> None:
    """Run the command that `sys.argv` names.

    Raises:
        SystemExit: with status 1 if a command failed or a check found errors, 2 for
            wrong usage, 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that it cannot write
            stream.reconfigure(errors="backslashreplace")
    gc.set_threshold(*GARBAGE)
    try:
        end_on_second_interrupt()
        run_command(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        _fail("\nbestreply", INTERRUPTED, INTERRUPTED_STATUS)
    except BrokenPipeError:  # the reader, such as `head`, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def run_command(words: list[str]) -> None:
    """Run a command, or print help or the version.

    Args:
        words: the arguments of the command line.

    Raises:
        SystemExit: as `main`.
    """
    if words[:1] == ["--profile"]:
        os.environ[PROFILE] = "1"
        start_if_asked()
        words = words[1:]
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    if not words or words[0] in HELP_FLAGS:
        sys.stdout.write(overview())
    elif words[0] == "--version":
        sys.stdout.write(f"bestreply {version()}\n")
    elif words[0] in FAMILIES and (len(words) == 1 or words[1] in HELP_FLAGS):
        sys.stdout.write(family_overview(words[0]))
    else:
        name = command_name(words)
        _run_named(name, words[len(name.split()) :])


def command_name(words: list[str]) -> str:
    """Return the name of the command that the words begin with.

    Args:
        words: the arguments of the command line, at least one.

    Returns:
        One or two words of `COMMANDS`.

    Raises:
        SystemExit: with status 2, and a message with the most similar commands, if
            there is no such command.
    """
    for name in COMMANDS:
        if words[: len(name.split())] == name.split():
            return name
    typed = " ".join(words[:2] if words[0] in FAMILIES else words[:1])
    kind, names = "command", [*COMMANDS, *FAMILIES, "help"]
    if typed.startswith("-"):
        kind, names = "option", ["--help", "--version", "--profile"]
    _fail(
        "bestreply",
        f"unknown {kind} {typed[:80]!r}.{did_you_mean(typed[:80], names)} All commands: bestreply --help",
        2,
    )


def overview() -> str:
    """Return the help of `bestreply`: every command in its group, one line each.

    Returns:
        The text with a line end.
    """
    lines = [
        "bestreply: agents that infer opponents' types from play and answer with the best reply",
        "",
        "usage: bestreply COMMAND [OPTIONS]",
    ]
    for heading, commands in GROUPS.items():
        lines += ["", f"{heading}:", *_summaries(commands)]
    lines += [
        _line(
            "help COMMAND",
            "Show the options of a command, as COMMAND --help does",
        ),
        _line("--version", "Print the version"),
        _line(
            "--profile CMD",
            "Run a command, then print what was compiled and how long it took",
        ),
        "",
        "First run: bestreply run --preset debug",
    ]
    return "\n".join(lines) + "\n"


def family_overview(family: str) -> str:
    """Return the help of a family of commands, such as `bestreply data`.

    Args:
        family: the first word of the commands.

    Returns:
        The text with a line end.
    """
    commands = {
        name: c for name, c in COMMANDS.items() if name.split()[0] == family
    }
    lines = [
        f"usage: bestreply {family} COMMAND [OPTIONS]",
        "",
        *_summaries(commands),
        "",
        f"Options of a command: bestreply {next(iter(commands))} --help",
    ]
    return "\n".join(lines) + "\n"


def version() -> str:
    """Return the version of the installed package."""
    import importlib.metadata

    return importlib.metadata.version("bestreply")


def _run_named(name: str, arguments: list[str]) -> None:
    from bestreply.cli.options import read

    for line in reset_flags():
        sys.stderr.write(f"warning: {line}\n")
    try:
        read(name, COMMANDS[name].load(), arguments).run()
    except UsageError as error:
        _fail(f"bestreply {name}", describe_error(error), 2)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        message = INTERRUPTED + how_to_continue(name)
        _fail(f"\nbestreply {name}", message, INTERRUPTED_STATUS)
    except Exception as error:
        if needs_traceback(error):
            sys.stderr.write(traceback_text(error))
            sys.exit(1)
        _fail(f"bestreply {name}", describe_error(error), 1)


def how_to_continue(name: str) -> str:
    """Return what to type after Ctrl-C, as the end of its message.

    Args:
        name: name of the command.

    Returns:
        A sentence after a space; nothing for a command that begins anew.
    """
    if name == "sweep":
        return " The same command continues from here."
    if hasattr(COMMANDS[name].load(), "resume"):
        return (
            " The same command with --resume and --out RUN continues from here."
        )
    return ""


def _fail(program: str, message: str, status: int) -> NoReturn:
    text = f"{program}: {message}"
    if status == 1:
        sys.exit(text)  # Python writes the text to standard error
    sys.stderr.write(text + "\n")
    if status == INTERRUPTED_STATUS:
        end_if_interrupted()
    sys.exit(status)


def _summaries(commands: dict[str, Command]) -> list[str]:
    return [_line(name, command.summary) for name, command in commands.items()]


def _line(name: str, summary: str) -> str:
    return f"  {name:<15} {summary}"
