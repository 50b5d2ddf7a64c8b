"""What a dataset says of itself: `manifest.json`, read as data that anybody may have written."""

import dataclasses
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bestreply.data.problem import Problem
from bestreply.utils.spec import tuples

FORMAT = 1
"""Version of the dataset format that this library writes, and the newest that it reads."""

FILE = "manifest.json"
PART_NAME = re.compile(r"part-[0-9]{5,9}\.parquet")


def part_name(index: int) -> str:
    return f"part-{index:05d}.parquet"


@dataclass(frozen=True)
class Part:
    """A file of whole episodes."""

    file: str
    rows: int
    steps: int  # joint steps, what is called environment steps
    episodes: int
    first_episode: int
    sha256: str
    seed: int | None
    command: str | None
    created: str  # UTC, ISO 8601
    seconds: float | None = (
        None  # that play took; None where nobody took the time
    )
    labelled: int | None = (
        None  # rows whose goal an event shows; None in older parts
    )


@dataclass(frozen=True)
class Manifest:
    """A dataset's identity and its parts."""

    format: int
    bestreply: str  # the version of the library that wrote it
    game: dict[str, Any]  # {"name": str, "version": int, "settings": {...}}
    num_players: int
    max_steps: int
    obs_shape: tuple[int, ...]
    actions: tuple[str, ...]
    goals: tuple[str, ...]
    roster: tuple[
        dict[str, Any], ...
    ]  # {"name": str, "version": int, ...} each
    parts: tuple[Part, ...] = ()

    @property
    def num_actions(self) -> int:
        return len(self.actions)

    @property
    def obs_size(self) -> int:
        return math.prod(self.obs_shape)

    @property
    def episodes(self) -> int:
        return sum(part.episodes for part in self.parts)

    @property
    def steps(self) -> int:
        return sum(part.steps for part in self.parts)

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def rate(self) -> float | None:
        """Environment steps a second of the parts whose play was timed; None where none was."""
        timed = [part for part in self.parts if part.seconds]
        return (
            sum(part.steps for part in timed)
            / sum(part.seconds or 0 for part in timed)
            if timed
            else None
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What two datasets must share for one to be a continuation of the other."""
        names = (
            "game",
            "num_players",
            "max_steps",
            "obs_shape",
            "actions",
            "goals",
            "roster",
        )
        return {name: plain(getattr(self, name)) for name in names}

    def to_json(self) -> dict[str, Any]:
        fields = {
            f.name: getattr(self, f.name)
            for f in dataclasses.fields(self)
            if f.name != "parts"
        }
        totals = {
            "parts": len(self.parts),
            "episodes": self.episodes,
            "steps": self.steps,
            "rows": self.rows,
        }
        return plain(fields) | {
            "totals": totals,
            "parts": [dataclasses.asdict(part) for part in self.parts],
        }


def plain(value: Any) -> Any:
    """`value` as JSON holds it: tuples as lists, NumPy numbers as plain ones. Raises TypeError for others."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if (
        value is None
        or isinstance(value, str | bool | int)
        or (isinstance(value, float) and math.isfinite(value))
    ):
        return value
    kind = type(value).__name__
    raise TypeError(
        f"a manifest cannot hold {value!r} ({kind}); expected: text, numbers, lists, dicts of them"
    )


def read_manifest(folder: Path) -> tuple[Manifest | None, list[Problem]]:
    """The manifest in `folder` and what is wrong with it; None where it cannot be used. Never raises."""
    where, path = FILE, folder / FILE
    if not path.is_file():
        mend = "Give the folder that `collect` printed; a folder without a manifest holds no dataset"
        return None, [
            Problem(
                "no_manifest", str(folder), f"there is no {FILE} here", mend
            )
        ]
    try:
        raw = json.loads(
            path.read_text("utf-8"), parse_constant=_refuse_constant
        )
    except (OSError, ValueError, RecursionError) as error:
        mend = "Restore it from a copy, or collect the data again"
        return None, [
            Problem(
                "bad_manifest",
                where,
                f"it cannot be read as JSON ({error})",
                mend,
            )
        ]
    problems = list(_check(raw))
    if problems:
        return None, problems
    parts = tuple(
        Part(**{f.name: part.get(f.name) for f in dataclasses.fields(Part)})
        for part in raw["parts"]
    )
    known = {
        f.name: tuples(raw[f.name])
        for f in dataclasses.fields(Manifest)
        if f.name not in ("parts", "game", "roster")
    }
    manifest = Manifest(
        **known, game=raw["game"], roster=tuple(raw["roster"]), parts=parts
    )
    return manifest, list(_check_counts(manifest, raw["totals"]))


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _is_count(value: Any, least: int = 0) -> bool:
    return (
        isinstance(value, int)
        and not isinstance(value, bool)
        and least <= value < 2**63
    )


def _is_span(value: Any) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and 0 <= value < 1e12
    )


def _is_list(value: Any, check: Any, least: int = 0) -> bool:
    return (
        isinstance(value, list)
        and len(value) >= least
        and all(check(entry) for entry in value)
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_named(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and _is_text(value.get("name"))
        and _is_count(value.get("version"))
    )


MOST_ENTRIES = 2**31  # of a list in Parquet

WANTED = {
    "bestreply": (_is_text, "the library's version as text"),
    "game": (
        lambda v: _is_named(v) and isinstance(v.get("settings"), dict),
        "{name: text, version: int, settings: {...}}",
    ),
    "num_players": (
        lambda v: _is_count(v, 1) and v < MOST_ENTRIES,
        "an int, at least 1",
    ),
    "max_steps": (lambda v: _is_count(v, 1), "an int, at least 1"),
    "obs_shape": (
        lambda v: (
            _is_list(v, lambda n: _is_count(n, 1))
            and math.prod(v) < MOST_ENTRIES
        ),
        "a list of ints, each at least 1, of less than 2^31 entries in all",
    ),
    "actions": (
        lambda v: _is_list(v, _is_text, 1),
        "a list of at least one name",
    ),
    "goals": (lambda v: _is_list(v, _is_text), "a list of names"),
    "roster": (
        lambda v: _is_list(v, _is_named, 1),
        "a list of at least one {name: text, version: int}",
    ),
    "totals": (
        lambda v: isinstance(v, dict),
        "{parts: int, episodes: int, steps: int, rows: int}",
    ),
    "parts": (
        lambda v: _is_list(v, lambda p: isinstance(p, dict)),
        "a list of parts",
    ),
}
PART_WANTED = {
    "file": (_is_text, "a file's name"),
    "rows": (lambda v: _is_count(v, 1), "an int, at least 1"),
    "steps": (lambda v: _is_count(v, 1), "an int, at least 1"),
    "episodes": (lambda v: _is_count(v, 1), "an int, at least 1"),
    "first_episode": (_is_count, "an int, at least 0"),
    "sha256": (
        lambda v: _is_text(v) and re.fullmatch("[0-9a-f]{64}", v),
        "64 hexadecimal digits",
    ),
    "seed": (lambda v: v is None or isinstance(v, int), "an int or null"),
    "command": (lambda v: v is None or _is_text(v), "text or null"),
    "created": (_is_text, "a time as text"),
}
PART_MAY_HOLD = {
    "seconds": (
        lambda v: v is None or _is_span(v),
        "a number, at least 0, or null",
    ),
    "labelled": (
        lambda v: v is None or _is_count(v),
        "an int, at least 0, or null",
    ),
}
"""Added since: older datasets have none."""


def _check(raw: Any) -> Any:
    """Yields what keeps the manifest from being used."""
    mend = "Restore the manifest from a copy, or collect the data again"
    if not isinstance(raw, dict):
        yield Problem(
            "bad_manifest",
            FILE,
            f"it holds a {type(raw).__name__}; expected: an object",
            mend,
        )
        return
    version = raw.get("format")
    if _is_count(version, FORMAT + 1):
        newer = (
            "Read it with a newer bestreply: pip install --upgrade bestreply"
        )
        yield Problem(
            "format",
            FILE,
            f"it is of format {version}, this bestreply reads up to format {FORMAT}",
            newer,
        )
        return
    if version != FORMAT or isinstance(version, bool):
        yield Problem(
            "bad_manifest",
            f"{FILE}: format",
            f"{version!r:.80}; expected: {FORMAT}",
            mend,
        )
    yield from _check_fields(raw, WANTED, FILE, mend)
    parts = raw.get("parts")
    if not isinstance(parts, list):
        return
    for index, part in enumerate(parts):
        if not isinstance(part, dict):
            continue  # named above
        where = f"{FILE}: parts[{index}]"
        yield from _check_fields(part, PART_WANTED, where, mend)
        yield from _check_fields(
            {name: part.get(name) for name in PART_MAY_HOLD},
            PART_MAY_HOLD,
            where,
            mend,
        )
        name = part.get("file")
        if isinstance(name, str) and not PART_NAME.fullmatch(name):
            what = f"file {name!r:.120}; expected: a name such as {part_name(0)} in the dataset's own folder"
            yield Problem(
                "part_name",
                where,
                what,
                "No other file is ever opened. Do not trust this manifest; mend its name if it is yours",
            )


def _check_fields(
    raw: dict[str, Any], expected: dict[str, Any], where: str, mend: str
) -> Any:
    for name, (check, form) in expected.items():
        if name not in raw:
            yield Problem(
                "bad_manifest",
                where,
                f"{name!r} is missing; expected: {form}",
                mend,
            )
        elif not check(raw[name]):
            yield Problem(
                "bad_manifest",
                f"{where}: {name}",
                f"{raw[name]!r:.80}; expected: {form}",
                mend,
            )


def _check_counts(manifest: Manifest, totals: dict[str, Any]) -> Any:
    """Yields where the manifest disagrees with itself."""
    mend = "Restore the manifest from a copy; if a part was removed by hand, put it back"
    found = {
        "parts": len(manifest.parts),
        "episodes": manifest.episodes,
        "steps": manifest.steps,
        "rows": manifest.rows,
    }
    for name, count in found.items():
        if totals.get(name) != count:
            yield Problem(
                "counts",
                f"{FILE}: totals",
                f"{name} = {totals.get(name)!r:.40}, but its parts sum to {count}",
                mend,
            )
    following, seen = 0, set()
    for index, part in enumerate(manifest.parts):
        if part.file in seen:
            yield Problem(
                "counts",
                f"{FILE}: parts[{index}]",
                f"{part.file} is named twice",
                mend,
            )
        if part.first_episode != following:
            what = f"first_episode = {part.first_episode}, but the parts before it hold {following} episodes"
            yield Problem("counts", f"{FILE}: parts[{index}]", what, mend)
        following += part.episodes
        seen.add(part.file)
