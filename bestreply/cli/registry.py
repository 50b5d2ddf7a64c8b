"""How a command is registered, and its options are read."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bestreply.config import PRESETS, RunConfig, from_dict, preset

COMMANDS: dict[str, tuple[Callable[[list[str]], None], str]] = {}
"""Name -> (what runs it, a line for help)."""


def command(name: str, summary: str) -> Callable[[Any], Any]:
    """Registers a dataclass with a `run` method as a command; its fields are the options."""

    def register(kind: Any) -> Any:
        COMMANDS[name] = (lambda arguments: read(name, summary, kind, arguments).run(), summary)
        return kind

    return register


def read(name: str, summary: str, kind: Any, arguments: list[str]) -> Any:
    import tyro

    settings: dict[str, Any] = {}
    if issubclass(kind, RunConfig):
        config, arguments = starting_point(arguments)
        required = {f.name: tyro.MISSING for f in dataclasses.fields(kind) if f.kw_only}
        settings["default"] = kind(
            **{f.name: getattr(config, f.name) for f in dataclasses.fields(RunConfig)}, **required
        )
        summary += (
            f"\n\nStart from --preset {'|'.join(PRESETS)} (default: demo) or from --config FILE (JSON with any of the fields below, "
            "such as a run's config.json); options change single fields of it. Defaults shown are those of the starting point."
        )
    return tyro.cli(
        kind,
        args=arguments,
        prog=f"bestreply {name}",
        description=summary,
        config=(tyro.conf.PositionalRequiredArgs,),
        **settings,
    )


def starting_point(arguments: list[str]) -> tuple[RunConfig, list[str]]:
    """The configuration that `--preset` or `--config` names, and the other arguments."""
    import json

    config, rest, queue = preset("demo"), [], list(arguments)
    while queue:
        flag, _, value = queue.pop(0).partition("=")
        if flag not in ("--preset", "--config"):
            rest.append(f"{flag}={value}" if value else flag)
            continue
        if not value and not queue:
            raise ValueError(
                f"{flag} wants a value: {', '.join(PRESETS) if flag == '--preset' else 'a JSON file'}"
            )
        value = value or queue.pop(0)
        if flag == "--preset":
            config = preset(value)
        else:
            try:
                config = from_dict(RunConfig, json.loads(Path(value).read_text()))
            except json.JSONDecodeError as error:
                raise ValueError(f"{value} is not JSON: {error}") from None
    return config, rest


def config_of(options: RunConfig) -> RunConfig:
    return RunConfig(**{f.name: getattr(options, f.name) for f in dataclasses.fields(RunConfig)})


def say(*lines: Any) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")
