"""Options of a command: the fields of its dataclass, and of the configurations in it."""

import dataclasses
import inspect
import json
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bestreply.cli.registry import COMMANDS, UsageError, did_you_mean, one_of
from bestreply.config import (
    PRESETS,
    PlannerConfig,
    RunConfig,
    from_dict,
    preset,
)

if TYPE_CHECKING:
    Planner = str
else:
    Planner = typing.get_type_hints(PlannerConfig)["planner"]

Language = Literal["en", "zh"]
DEFAULT_PRESET = "demo"
RANGES = {"seed": (0, 2**32 - 1), "port": (0, 65535)}
"""Field name, in every command -> least and largest value."""
_NAMES = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


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
        return not self.name.startswith("-")

    @property
    def flags(self) -> tuple[str, ...]:
        """Every spelling: a flag has a negative one, "--train.no-augment"."""
        if not self.is_flag:
            return (self.name,)
        *group, last = self.name.removeprefix("--").split(".")
        return (self.name, "--" + ".".join([*group, f"no-{last}"]))


def options_of(kind: type, prefix: str = "") -> Iterator[Option]:
    """Yield the options of a command's dataclass, in the order of its fields.

    Args:
        kind: the dataclass.
        prefix: names of the fields that lead to it, "train.".
    """
    types = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        name, parts = (
            f"{prefix}{field.name}".replace("_", "-"),
            list(_type_parts(types[field.name])),
        )
        if dataclasses.is_dataclass(types[field.name]):
            yield from options_of(types[field.name], f"{prefix}{field.name}.")
            continue
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


def read(name: str, kind: Any, arguments: Sequence[str]) -> Any:
    """Read the arguments of a command into its dataclass.

    Args:
        name: of the command.
        kind: its dataclass.
        arguments: what was typed after the name.

    Returns:
        An instance of `kind`.

    Raises:
        UsageError: for an unknown option or a value out of range.
        SystemExit: with status 0 after `--help`, and with status 2 for a missing or unreadable value.
    """
    import tyro

    check_names(name, kind, arguments)
    rest, settings = list(arguments), {}
    if issubclass(kind, RunConfig):
        start, rest = starting_point(arguments)
        values = {
            field.name: getattr(start, field.name)
            for field in dataclasses.fields(RunConfig)
        }
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
    """Raise UsageError for the first option that the command does not have, with the options most similar to it."""
    known = [
        "--help",
        *(
            flag
            for option in options_of(kind)
            for flag in option.flags
            if flag[0] == "-"
        ),
    ]
    for word in arguments:
        flag = word.partition("=")[0]
        if flag.startswith("--") and flag.replace("_", "-") not in known:
            raise UsageError(
                f"unknown option {flag!r}.{did_you_mean(flag, known)} All options: bestreply {name} --help"
            )


def check_ranges(options: Any) -> None:
    """Raise UsageError for the first number outside `RANGES`."""
    for name, (least, largest) in RANGES.items():
        value = getattr(options, name, None)
        if value is not None and not least <= value <= largest:
            raise UsageError(
                f"--{name}={value}: expected a whole number from {least} to {largest}"
            )


def starting_point(arguments: Sequence[str]) -> tuple[RunConfig, list[str]]:
    """Return the configuration that `--preset` or `--config` names, the last one given, and the other arguments.

    Raises:
        UsageError: for a missing value, an unknown preset or a file that is not a JSON object.
        OSError: for a file that cannot be read.
        ValueError: for a file with unknown fields.
    """
    config, rest, queue = preset(DEFAULT_PRESET), [], list(arguments)
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
        if flag == "--config":
            config = _config_from(Path(value))
        elif value in PRESETS:
            config = preset(value)
        else:
            raise UsageError(f"{flag}={value}: expected {expected}")
    return config, rest


def config_of(options: RunConfig) -> RunConfig:
    """Return the configuration alone, without the options that a command adds to it."""
    return RunConfig(
        **{
            field.name: getattr(options, field.name)
            for field in dataclasses.fields(RunConfig)
        }
    )


def _config_from(path: Path) -> RunConfig:
    try:
        data = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise UsageError(
            f"--config={path}: expected a JSON file: {error}"
        ) from None
    if not isinstance(data, dict):
        raise UsageError(
            f"--config={path}: expected a JSON object, as in a run's config.json"
        )
    _check_types(RunConfig, data, f"--config={path}: ")
    return from_dict(RunConfig, data)


def _check_types(kind: type, data: dict[str, Any], where: str) -> None:
    """Raise UsageError for the first value that does not fit the type of its field; unknown names are left to `from_dict`."""
    for name, hint in typing.get_type_hints(kind).items():
        if name not in data:
            continue
        value = data[name]
        if dataclasses.is_dataclass(hint):
            if not isinstance(value, dict):
                raise UsageError(
                    f"{where}{name}={value!r}: expected a JSON object"
                )
            _check_types(typing.cast(type, hint), value, f"{where}{name}.")
        elif not _fits(value, hint):
            expected = _expected(hint)
            raise UsageError(f"{where}{name}={value!r}: expected {expected}")


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a JSON value fits a type of a configuration's field."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        return isinstance(value, list) and all(
            _fits(item, arguments[0]) for item in value
        )
    if arguments:
        return any(_fits(value, argument) for argument in arguments)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is hint


def _expected(hint: Any) -> str:
    """Return the words for a type in an error message: "a whole number or null"."""
    if typing.get_origin(hint) is tuple:
        return "a list"
    return one_of(
        dict.fromkeys(
            _NAMES.get(part, repr(part)) for part in _type_parts(hint)
        )
    )


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
