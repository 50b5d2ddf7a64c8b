"""Options of a command: the fields of its dataclass, and of the configurations in it."""

import dataclasses
import inspect
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from bestreply.cli.registry import COMMANDS, UsageError, did_you_mean, one_of
from bestreply.config import (
    PRESETS,
    PlannerConfig,
    RunConfig,
    from_dict,
    preset,
)
from bestreply.utils.untrusted import read_json

if TYPE_CHECKING:
    Planner = str
else:
    Planner = typing.get_type_hints(PlannerConfig)["planner"]

Language = Literal["en", "zh"]
Options = TypeVar("Options")
DEFAULT_PRESET = "demo"
TRUTH = ("true", "false")
RANGES = {"seed": (0, 2**32 - 1), "port": (0, 65535)}
"""Least and largest value by name of a field, in every command."""


class Option(NamedTuple):
    """One option or positional argument."""

    name: str
    """"--train.updates"; without dashes for a positional argument."""
    choices: tuple[str, ...] = ()
    """All values, where there are few; empty otherwise."""
    is_path: bool = False
    is_flag: bool = False

    @property
    def positional(self) -> bool:
        """Whether it is given by position."""
        return not self.name.startswith("-")

    @property
    def flags(self) -> tuple[str, ...]:
        """All spellings; a flag has a negative one, such as "--train.no-augment"."""
        if not self.is_flag:
            return (self.name,)
        *group, last = self.name.removeprefix("--").split(".")
        return (self.name, "--" + ".".join([*group, f"no-{last}"]))


def options_of(kind: type, prefix: str = "") -> Iterator[Option]:
    """Yield the options of a command's dataclass, in the order of its fields.

    Args:
        kind: the dataclass.
        prefix: names of the fields that contain it, such as "train.".

    Returns:
        The options.
    """
    types = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        path, hint = f"{prefix}{field.name}", types[field.name]
        if dataclasses.is_dataclass(hint):
            yield from options_of(typing.cast(type, hint), f"{path}.")
            continue
        name, parts = path.replace("_", "-"), list(_type_parts(hint))
        choices = tuple(part for part in parts if isinstance(part, str))
        required = (
            field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        )
        yield Option(
            name if required else f"--{name}",
            choices,
            Path in parts,
            bool in parts,
        )


def read(name: str, kind: type[Options], arguments: Sequence[str]) -> Options:
    """Read the arguments of a command into its dataclass.

    Args:
        name: name of the command.
        kind: its dataclass.
        arguments: the words after the name.

    Returns:
        An instance of `kind`.

    Raises:
        UsageError: for an unknown option or a value out of range.
        SystemExit: with status 0 after `--help`, and with status 2 for a missing or
            unreadable value.
    """
    import tyro

    check_names(name, kind, arguments)
    check_paths(kind, arguments)
    arguments = plain_flags(kind, arguments)
    rest, settings = arguments, {}
    if issubclass(kind, RunConfig):
        start, rest = starting_point(arguments)
        values = _run_fields(start)
        required = {
            field.name: tyro.MISSING
            for field in dataclasses.fields(kind)
            if field.kw_only
        }
        settings["default"] = kind(**values, **required)
    options = tyro.cli(
        kind,
        args=rest,
        prog=f"bestreply {name}",
        description=f"{COMMANDS[name].summary}.\n\n{inspect.getdoc(kind)}",
        config=(tyro.conf.PositionalRequiredArgs,),
        **settings,
    )
    check_ranges(options)
    return options


def check_names(name: str, kind: type, arguments: Sequence[str]) -> None:
    """Refuse options that the command does not have.

    Args:
        name: name of the command.
        kind: its dataclass.
        arguments: the words after the name.

    Raises:
        UsageError: for the first unknown option, with the most similar ones.
    """
    flags = [flag for option in options_of(kind) for flag in option.flags]
    known = ["--help", *(flag for flag in flags if flag[0] == "-")]
    for word in arguments:
        flag = word.partition("=")[0]
        if flag.startswith("--") and flag.replace("_", "-") not in known:
            raise UsageError(
                f"unknown option {flag!r}.{did_you_mean(flag, known)} All options: bestreply {name} --help"
            )


def check_paths(kind: type, arguments: Sequence[str]) -> None:
    """Refuse empty paths, which would stand for the current folder.

    Args:
        kind: dataclass of the command.
        arguments: the words after the command's name.

    Raises:
        UsageError: for the first empty path.
    """
    paths = [option for option in options_of(kind) if option.is_path]
    names = {option.name for option in paths if not option.positional}
    if any(option.positional for option in paths):
        names.add("")  # before the first option
    flag = ""
    for word in arguments:
        value, is_given = word, True
        if word.startswith("--"):
            flag, equals, value = word.partition("=")
            is_given = bool(equals)
        if is_given and not value and flag.replace("_", "-") in names:
            raise UsageError(
                f"{flag or 'path'}='': expected a path. A variable of the shell that "
                "is not set is empty"
            )


def plain_flags(kind: type, arguments: Sequence[str]) -> list[str]:
    """Return arguments with flags in place of flags that are given true or false.

    Args:
        kind: dataclass of the command.
        arguments: the words after the command's name, of known options.

    Returns:
        The arguments: ``--train.augment false`` and ``--train.augment=false`` become
        ``--train.no-augment``.

    Raises:
        UsageError: a flag is given another value with ``=``.
    """
    flags = {o.name: o.flags for o in options_of(kind) if o.is_flag}
    words, queue = [], list(arguments)
    while queue:
        word, equals, value = queue.pop(0).partition("=")
        pair = flags.get(word.replace("_", "-"))
        if pair is None:
            words.append(word + equals + value)
            continue
        if not equals and queue and queue[0].lower() in TRUTH:
            value = queue.pop(0)
        elif equals and value.lower() not in TRUTH:
            raise UsageError(
                f"{word}={value}: expected true or false; {pair[0]} alone is true, "
                f"{pair[1]} is false"
            )
        words.append(pair[0] if value.lower() in ("", "true") else pair[1])
    return words


def check_ranges(options: object) -> None:
    """Refuse numbers outside `RANGES`.

    Args:
        options: an instance of a command's dataclass.

    Raises:
        UsageError: for the first number out of range.
    """
    for name, (least, largest) in RANGES.items():
        value = getattr(options, name, None)
        if value is not None and not least <= value <= largest:
            raise UsageError(
                f"--{name}={value}: expected a whole number from {least} to {largest}"
            )


def starting_point(arguments: Sequence[str]) -> tuple[RunConfig, list[str]]:
    """Return the configuration that `--preset` or `--config` names, and other arguments.

    Args:
        arguments: the words after the command's name.

    Returns:
        The configuration, and the remaining words.

    Raises:
        UsageError: for a missing value, an unknown preset, several starting points, or
            a file that is no JSON object with the fields of a configuration.
        OSError: for a file that cannot be read.
    """
    rest, queue = [], list(arguments)
    named: list[tuple[str, str]] = []
    while queue:
        word = queue.pop(0)
        flag, given, value = word.partition("=")
        if flag not in ("--preset", "--config"):
            rest.append(word)
            continue
        expected = one_of(PRESETS) if flag == "--preset" else "a JSON file"
        if not given:
            if not queue:
                raise UsageError(f"{flag}: expected {expected}")
            value = queue.pop(0)
        if flag == "--preset" and value not in PRESETS:
            raise UsageError(f"{flag}={value}: expected {expected}")
        if (flag, value) not in named:
            named.append((flag, value))
    if len(named) > 1:
        typed = " ".join(f"{flag}={value}" for flag, value in named)
        raise UsageError(
            f"{typed}: expected one of them, as each names all settings to start from. "
            "Change single fields with their own options, such as --seed 1"
        )
    flag, value = (named or [("--preset", DEFAULT_PRESET)])[0]
    start = preset(value) if flag == "--preset" else _config_from(Path(value))
    return start, rest


def config_of(options: RunConfig) -> RunConfig:
    """Return the configuration without the options that a command adds to it.

    Args:
        options: an instance of a command's dataclass.

    Returns:
        The configuration, checked.
    """
    return RunConfig(**_run_fields(options))


def _run_fields(config: RunConfig) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(RunConfig)]
    return {name: getattr(config, name) for name in names}


def _config_from(path: Path) -> RunConfig:
    option = f"--config={path}"
    try:
        data = read_json(path)
    except ValueError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise UsageError(f"{option}: expected a JSON file: {reason}") from None
    if not isinstance(data, dict):
        raise UsageError(
            f"{option}: expected a JSON object, as in a run's config.json"
        )
    try:
        return from_dict(RunConfig, data)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def _type_parts(hint: Any) -> Iterator[Any]:
    """Yield the values of a Literal and the other types in a union or a tuple."""
    arguments = typing.get_args(hint)
    if not arguments:
        yield hint
    elif typing.get_origin(hint) is Literal:
        yield from arguments
    else:
        for argument in arguments:
            yield from _type_parts(argument)
