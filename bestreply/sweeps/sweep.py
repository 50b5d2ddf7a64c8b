"""Read a sweep from a TOML file: methods x games x seeds, one run directory each.

Methods that ask for the same play share a dataset, so they are compared on equal
environment steps. A unit with rounds of own play has a dataset of its own.
"""

import dataclasses
import hashlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

from bestreply.config import RunConfig, from_dict, preset, to_dict
from bestreply.games import make_game
from bestreply.sweeps.unit import Unit
from bestreply.utils.checks import shown
from bestreply.utils.files import read_text
from bestreply.utils.output_folders import checked_folder

KEYS = ("preset", "seeds", "game", "games", "config", "methods")
"""Top-level keys of a sweep's file."""
FOLDER_NAME = re.compile(r"\w[\w.=+, -]{0,98}\w|\w")
"""Names of games and methods: each is the name of a folder, inside the sweep's own."""
MAX_SEEDS = 10_000
"""Largest number of seeds of a sweep."""
TOP = {
    "game": "expected it at the top of the file: game = SPEC, or a table [games]",
    "seed": "expected seeds at the top of the file: seeds = NUMBER, or a list",
}
"""Fields of a configuration that all methods share, and where a sweep's file has them."""
DATA = "data"
"""Folder of a game's datasets, beside the folders of its methods."""


@dataclasses.dataclass(frozen=True)
class Sweep:
    """All units of a sweep, seed after seed, so that a stopped sweep has complete seeds."""

    path: Path
    units: tuple[Unit, ...]

    @property
    def data(self) -> dict[Path, RunConfig]:
        """Every dataset, with a configuration that asks for it."""
        return {unit.data: unit.config for unit in reversed(self.units)}


def read_sweep(file: str | Path, out: str | Path | None = None) -> Sweep:
    """Read the sweep that a TOML file describes (docs/sweeps.md).

    Args:
        file: the TOML file.
        out: folder of the sweep; None: ``runs/NAME`` of the file's name.

    Returns:
        The units, with checked configurations. Nothing is written.

    Raises:
        ValueError: the file is not accepted; the error names the key.
        OSError: the file cannot be read.
    """
    file = Path(file)
    document = _document(file)
    path = Path("runs") / file.stem if out is None else checked_folder(out)
    methods = _methods(file, document.get("methods", {}))
    start = to_dict(_preset(file, document))
    base = _changed(start, document.get("config", {}), f"{file}: config")
    merged = {
        name: _changed(base, changes, f"{file}: methods.{name}")
        for name, changes in methods.items()
    }
    configs = {
        (game_name, method): _resolved(file, method, changes, game)
        for game_name, game in _games(file, document).items()
        for method, changes in merged.items()
    }
    units = [
        _unit(file, path / game_name, method, config, seed)
        for seed in _seeds(file, document.get("seeds", 1))
        for (game_name, method), config in configs.items()
    ]
    _check_before_play(file, units)
    return Sweep(path, tuple(units))


def _check_before_play(file: Path, units: list[Unit]) -> None:
    """Refuse what would fail after play or training; one seed of a setting is enough."""
    from bestreply.pipeline import check_before_play

    different = {
        dataclasses.replace(unit.config, seed=0): unit for unit in units
    }
    for config, unit in different.items():
        try:
            check_before_play(config)
        except ValueError as error:
            name = unit.path.parent.name
            raise ValueError(f"{file}: methods.{name}: {error}") from None


def _document(file: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(read_text(file))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"{file}: expected TOML; {error}") from None
    if unknown := sorted(set(document) - set(KEYS)):
        raise ValueError(
            f"{file}: {', '.join(unknown)}: expected keys among {', '.join(KEYS)}"
        )
    return document


def _text(file: Path, document: dict[str, Any], key: str, default: str) -> str:
    value = document.get(key, default)
    if not isinstance(value, str):
        raise ValueError(f"{file}: {key}={shown(value)}: expected text")
    return value


def _preset(file: Path, document: dict[str, Any]) -> RunConfig:
    name = _text(file, document, "preset", "demo")
    try:
        return preset(name)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def _methods(file: Path, methods: Any) -> dict[str, dict[str, Any]]:
    is_table = isinstance(methods, dict) and methods
    if not is_table or not all(isinstance(m, dict) for m in methods.values()):
        raise ValueError(
            f"{file}: methods={shown(methods)}: expected a table [methods.NAME] for "
            "each method, empty or with its changes"
        )
    for name in methods:
        _check_folder_name(file, "methods", name)
    return methods


def _check_folder_name(file: Path, key: str, name: str) -> None:
    if name == DATA or not FOLDER_NAME.fullmatch(name):
        raise ValueError(
            f"{file}: {key}.{shown(name)}: expected a folder name of at most 100 "
            f"letters, digits and . = + , - _ inside, other than {DATA!r}"
        )


def _seeds(file: Path, seeds: Any) -> list[int]:
    numbers: Any = seeds
    if type(seeds) is int and seeds <= MAX_SEEDS:
        numbers = list(range(seeds))
    is_list = isinstance(numbers, list) and 0 < len(numbers) <= MAX_SEEDS
    if not is_list or not all(type(s) is int and s >= 0 for s in numbers):
        raise ValueError(
            f"{file}: seeds={shown(seeds)}: expected a number of seeds, or a "
            f"list of whole numbers >= 0; at most {MAX_SEEDS} of them"
        )
    if len(set(numbers)) < len(numbers):
        raise ValueError(
            f"{file}: seeds={shown(seeds)}: expected different seeds"
        )
    return numbers


def _games(file: Path, document: dict[str, Any]) -> dict[str, str]:
    """Return the spec of each game by the name of its folder."""
    games = document.get("games", {})
    if not isinstance(games, dict):
        raise ValueError(
            f"{file}: games={shown(games)}: expected NAME = SPEC pairs"
        )
    if "game" in document:
        spec = _text(file, document, "game", "")
        try:
            name = make_game(spec).name.replace(":", "-").replace("/", "-")
        except ValueError as error:
            raise ValueError(f"{file}: game: {error}") from error
        games = {name: spec, **games}
    if not games:
        raise ValueError(
            f"{file}: expected game = SPEC, or a table games of NAME = SPEC"
        )
    for name in games:
        _check_folder_name(file, "games", name)
        spec = _text(file, games, name, "")
        try:
            make_game(spec)
        except ValueError as error:
            raise ValueError(f"{file}: games.{name}: {error}") from error
    return games


def _changed(base: dict[str, Any], changes: Any, where: str) -> dict[str, Any]:
    """Return `_merged`; fields that all methods share are refused."""
    for name in TOP:
        if isinstance(changes, dict) and name in changes:
            raise ValueError(
                f"{where}.{name}={shown(changes[name])}: {TOP[name]}"
            )
    return _merged(base, changes, where)


def _merged(base: dict[str, Any], changes: Any, where: str) -> dict[str, Any]:
    """Return `base` with nested `changes`; unknown names are refused by `from_dict`."""
    if not isinstance(changes, dict):
        raise ValueError(f"{where}={shown(changes)}: expected a table")
    merged = dict(base)
    for name, value in changes.items():
        old = base.get(name)
        is_table = isinstance(old, dict)
        merged[name] = (
            _merged(old, value, f"{where}.{name}") if is_table else value
        )
    return merged


def _resolved(
    file: Path, method: str, merged: dict[str, Any], game: str
) -> RunConfig:
    """Return the configuration of a method in a game, for any seed."""
    from bestreply.pipeline import resolve

    try:
        return resolve(from_dict(RunConfig, merged | {"game": game, "seed": 0}))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file}: methods.{method}: {error}") from error


def _unit(
    file: Path, folder: Path, method: str, config: RunConfig, seed: int
) -> Unit:
    try:
        config = dataclasses.replace(config, seed=seed)
    except ValueError as error:
        raise ValueError(f"{file}: methods.{method}: {error}") from error
    data = folder / DATA / f"{_fingerprint(method, config)}-{seed}"
    return Unit(folder / method / str(seed), data, config)


def _fingerprint(method: str, config: RunConfig) -> str:
    """Return eight digits of what decides a dataset; with rounds of own play, all settings do."""
    play: list[Any] = [config.game, dataclasses.asdict(config.collect)]
    if config.improve.rounds:
        play = [method, to_dict(config)]
    text = json.dumps(play, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
