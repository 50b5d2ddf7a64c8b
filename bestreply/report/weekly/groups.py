"""Which runs are seeds of one method, and which methods play one game."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from bestreply.report.weekly.discovery import natural
from bestreply.report.weekly.record import (
    UNKNOWN,
    EpisodeReturns,
    GameKey,
    RunRecord,
)


@dataclass(frozen=True)
class RunGroup:
    """Runs of one configuration: one method. `repeats` have a seed that another of them has; the newest counts."""

    name: str
    folder: Path
    runs: tuple[RunRecord, ...]  # in the order of their seeds
    repeats: tuple[RunRecord, ...] = ()

    @property
    def method(self) -> str:
        """What the runs are about, as their scores name it."""
        return self.runs[0].method

    @property
    def sweep(self) -> bool:
        """Whether it is laid out as ``SWEEP/GAME/METHOD/SEED``."""
        return all(r.path.name.isdecimal() for r in self.runs)

    @cached_property
    def measured(self) -> tuple[RunRecord, ...]:
        return tuple(r for r in self.runs if r.cells)

    @cached_property
    def methods(self) -> list[str]:
        """All that was measured, the group's own method first."""
        names = dict.fromkeys(
            method for r in self.runs for method, _ in r.cells
        )
        return sorted(names, key=lambda m: m != self.method)

    def cells(self, method: str, opponents: str) -> dict[int, EpisodeReturns]:
        """By training seed."""
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

    @property
    def runs(self) -> list[RunRecord]:
        return [r for g in self.groups for r in g.runs]


NEAREST_STAG = "nearest_stag"


def bare(opponents: str) -> str:
    """``3 nearest_stag`` -> ``nearest_stag``."""
    return re.sub(r"^\d+ ", "", opponents)


def families(records: Sequence[RunRecord]) -> list[Family]:
    """Records by game, and within a game by method: where they lie, and what they are configured to be."""
    by_game: dict[
        GameKey,
        dict[tuple[Path, str, frozenset[tuple[str, str]]], list[RunRecord]],
    ] = defaultdict(dict)
    typed = {r.spec: r.game for r in records if r.spec and r.game.settings}
    for record in records:
        game = (
            record.game
            if record.game.settings
            else typed.get(record.spec, record.game)
        )
        if game.name == UNKNOWN and not record.cells:
            continue  # it failed before it wrote what it is a run of
        folder, name = _label(record)
        key = folder, name, frozenset(record.config.items())
        by_game[game].setdefault(key, []).append(record)
    found = []
    for game, groups in by_game.items():
        named = _named(
            [
                _group(name, folder, runs)
                for (folder, name, _), runs in groups.items()
            ]
        )
        specs = {r.spec for g in named for r in g.runs if r.spec}
        title = next(iter(specs)) if len(specs) == 1 else _spec(game)
        found.append(
            Family(
                game, title, tuple(sorted(named, key=lambda g: natural(g.name)))
            )
        )
    alike = Counter(f.title for f in found)
    found = [
        f
        if alike[f.title] == 1
        else replace(f, title=_spec(f.game, version=True))
        for f in found
    ]
    return sorted(found, key=lambda f: natural(f.title))


def _label(record: RunRecord) -> tuple[Path, str]:
    """The folder that a method's runs lie in, and its name: of ``METHOD/SEED`` the folder's, else the run's without its number."""
    path = record.path.absolute()
    if path.name.isdecimal():
        return path.parent, path.parent.name
    return path.parent, re.sub(
        r"[-_.]?(?:seed|s)?[-_.]?\d+$", "", path.name
    ) or path.name


def _group(name: str, folder: Path, runs: list[RunRecord]) -> RunGroup:
    by_seed: dict[int, list[RunRecord]] = defaultdict(list)
    for record in runs:
        by_seed[record.seed].append(record)
    kept, repeats = [], []
    for _, same in sorted(by_seed.items()):
        *older, newest = sorted(
            same,
            key=lambda r: (
                bool(r.cells),
                r.started.timestamp() if r.started else 0.0,
            ),
        )
        kept.append(newest)
        repeats += older
    return RunGroup(name, folder, tuple(kept), tuple(repeats))


def _named(groups: list[RunGroup]) -> list[RunGroup]:
    """Groups of one game by different names: with their sweep's where two are named alike, then with a number."""
    alike = Counter(g.name for g in groups)
    longer = [
        replace(g, name=f"{_sweep(g)}/{g.name}") if alike[g.name] > 1 else g
        for g in groups
    ]
    if len({_sweep(g) for g in groups}) == 1:  # which tells nothing apart
        longer = groups
    alike, seen, named = Counter(g.name for g in longer), Counter(), []
    for group in longer:
        seen[group.name] += 1
        number = f" ({seen[group.name]})" if alike[group.name] > 1 else ""
        named.append(replace(group, name=group.name + number))
    return named


def _sweep(group: RunGroup) -> str:
    return group.folder.parent.parent.name if group.sweep else group.folder.name


def _spec(game: GameKey, version: bool = False) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in game.settings)
    spec = f"{game.name}({settings})" if settings else game.name
    return f"{spec} v{game.version}" if version and game.version else spec
