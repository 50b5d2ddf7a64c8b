"""Group runs into methods (runs that differ in their seed) and methods into games."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from bestreply.report.texts import decimals_of
from bestreply.report.weekly.discovery import natural
from bestreply.report.weekly.record import (
    UNKNOWN,
    EpisodeReturns,
    GameKey,
    RunRecord,
)


@dataclass(frozen=True)
class RunGroup:
    """Runs of one configuration: one method.

    `repeats` are runs with the seed of a newer one, which counts.
    """

    name: str
    folder: Path
    runs: tuple[RunRecord, ...]  # in the order of their seeds
    repeats: tuple[RunRecord, ...] = ()

    @property
    def method(self) -> str:
        """The method of the runs, as in their scores."""
        return self.runs[0].method

    @property
    def sweep(self) -> bool:
        """Whether the layout is ``SWEEP/GAME/METHOD/SEED``."""
        return all(r.path.name.isdecimal() for r in self.runs)

    @cached_property
    def measured(self) -> tuple[RunRecord, ...]:
        """Runs with scores."""
        return tuple(r for r in self.runs if r.cells)

    @cached_property
    def methods(self) -> list[str]:
        """Methods of the scores, the group's own method first."""
        names = dict.fromkeys(
            method for r in self.runs for method, _ in r.cells
        )
        return sorted(names, key=lambda m: m != self.method)

    def cells(self, method: str, opponents: str) -> dict[int, EpisodeReturns]:
        """Return the episodes of a method against an opponent set.

        Args:
            method: method in the scores.
            opponents: opponent set in the scores.

        Returns:
            Episodes by training seed.
        """
        return {
            r.seed: r.cells[method, opponents]
            for r in self.runs
            if (method, opponents) in r.cells
        }


@dataclass(frozen=True)
class Family:
    """The methods that play one game."""

    game: GameKey
    title: str
    groups: tuple[RunGroup, ...]

    @cached_property
    def opponents(self) -> list[str]:
        """Opponent sets, nearest_stag first."""
        names = dict.fromkeys(
            a for g in self.groups for r in g.runs for a in r.opponents
        )
        return sorted(names, key=lambda name: bare(name) != NEAREST_STAG)

    @cached_property
    def decimals(self) -> int:
        """Decimal places of returns of the game."""
        cells = [c for r in self.runs for c in r.cells.values()]
        return decimals_of(*(c.mean for c in cells))

    @property
    def runs(self) -> list[RunRecord]:
        """All runs of the game."""
        return [r for g in self.groups for r in g.runs]


NEAREST_STAG = "nearest_stag"


def bare(opponents: str) -> str:
    """Remove the number of players from an opponent set: ``3 nearest_stag`` ->
    ``nearest_stag``.

    Args:
        opponents: opponent set.

    Returns:
        Name of the player.
    """
    return re.sub(r"(^|\| )\d+ ", r"\1", opponents)


GroupKey = tuple[Path, str, frozenset[tuple[str, str]]]
"""Folder, name and configuration of the runs of one method."""


def families(records: Sequence[RunRecord]) -> list[Family]:
    """Group runs by game, and within a game by folder and configuration.

    Args:
        records: runs.

    Returns:
        Games in order of their titles.
    """
    by_game: dict[GameKey, dict[GroupKey, list[RunRecord]]] = defaultdict(dict)
    by_spec = {r.spec: r.game for r in records if r.spec and r.game.settings}
    for record in records:
        game = record.game
        if not game.settings:
            game = by_spec.get(record.spec, game)
        if game.name == UNKNOWN and not record.cells:
            continue  # it failed before it wrote its configuration
        key = *_label(record), frozenset(record.config.items())
        by_game[game].setdefault(key, []).append(record)
    games = [_family(game, groups) for game, groups in by_game.items()]
    titles = Counter(f.title for f in games)
    games = [
        replace(f, title=_spec(f.game, version=True))
        if titles[f.title] > 1
        else f
        for f in games
    ]
    return sorted(games, key=lambda f: natural(f.title))


def _family(game: GameKey, by_key: dict[GroupKey, list[RunRecord]]) -> Family:
    groups = [
        _group(name, folder, runs) for (folder, name, _), runs in by_key.items()
    ]
    named = sorted(_named(groups), key=lambda g: natural(g.name))
    specs = {r.spec for g in named for r in g.runs if r.spec}
    title = next(iter(specs)) if len(specs) == 1 else _spec(game)
    return Family(game, title, tuple(named))


def _label(record: RunRecord) -> tuple[Path, str]:
    """Return the folder and the name of a run's method.

    The name is that of the folder for ``METHOD/SEED``, otherwise that of the run
    without its number.
    """
    path = record.path.absolute()
    if path.name.isdecimal():
        return path.parent, path.parent.name
    name = re.sub(r"[-_.]?(?:seed|s)?[-_.]?\d+$", "", path.name)
    return path.parent, name or path.name


def _group(name: str, folder: Path, runs: list[RunRecord]) -> RunGroup:
    by_seed: dict[int, list[RunRecord]] = defaultdict(list)
    for record in runs:
        by_seed[record.seed].append(record)
    kept, repeats = [], []
    for _, records in sorted(by_seed.items()):
        *older, newest = sorted(records, key=_age)
        kept.append(newest)
        repeats += older
    return RunGroup(name, folder, tuple(kept), tuple(repeats))


def _age(record: RunRecord) -> tuple[bool, float]:
    started = record.started.timestamp() if record.started else 0.0
    return bool(record.cells), started


def _named(groups: list[RunGroup]) -> list[RunGroup]:
    """Give the groups of one game different names.

    Groups with the same name are preceded by their sweep's name, then numbered.
    """
    counts = Counter(g.name for g in groups)
    longer = [
        replace(g, name=f"{_sweep(g)}/{g.name}") if counts[g.name] > 1 else g
        for g in groups
    ]
    if len({_sweep(g) for g in groups}) == 1:
        longer = groups
    counts, seen, named = Counter(g.name for g in longer), Counter(), []
    for group in longer:
        seen[group.name] += 1
        number = f" ({seen[group.name]})" if counts[group.name] > 1 else ""
        named.append(replace(group, name=group.name + number))
    return named


def _sweep(group: RunGroup) -> str:
    return group.folder.parent.parent.name if group.sweep else group.folder.name


def _spec(game: GameKey, version: bool = False) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in game.settings)
    spec = f"{game.name}({settings})" if settings else game.name
    return f"{spec} v{game.version}" if version and game.version else spec
