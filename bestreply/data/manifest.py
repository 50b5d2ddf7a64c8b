"""The manifest of a dataset, `manifest.json`, read as untrusted data."""

import dataclasses
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bestreply.data.problem import Problem
from bestreply.utils.checks import shown
from bestreply.utils.spec import tuples
from bestreply.utils.untrusted import read_json

FORMAT = 1
"""Version of the dataset format that this library writes, and the newest that it reads."""

FILE = "manifest.json"
PART_NAME = re.compile(r"part-[0-9]{5,9}\.parquet")
MAX_LIST_SIZE = 2**31  # entries of a list in Parquet
MAX_AXES = 32  # of an observation; episode, step and seat come before them
MAX_STEPS = 2**31 - 1  # column step is int32
MAX_SEATS = 2**15 - 1  # column seat is int16
MAX_PLACES = 2**62  # episodes x steps x seats, numbers of int64
MAX_NAME = 10_000  # characters, as in `bestreply.utils.spec`
MIN_SECONDS, MAX_SECONDS = 1e-9, 1e12
OBS_DTYPES = (
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "float32",
)
"""Types of an observation's entries that a dataset can hold."""
DEFAULT_OBS_DTYPE = "float32"
"""The type in a manifest that names none, as older ones do."""
MEND = "Restore the manifest from a copy, or collect the data again"


def part_name(index: int) -> str:
    """Return the file name of a part.

    Args:
        index: the part's number, counted from 0.
    """
    return f"part-{index:05d}.parquet"


@dataclass(frozen=True)
class Part:
    """A file of whole episodes."""

    file: str
    rows: int
    steps: int  # joint steps, also called environment steps
    episodes: int
    first_episode: int
    sha256: str
    seed: int | None
    command: str | None
    created: str  # UTC, ISO 8601
    seconds: float | None = None  # duration of play; None: not measured
    labelled: int | None = None
    """Rows with a goal that an event shows; None in older parts."""
    seed_episode: int | None = None
    """Number of its first episode among those played from `seed`; None: 0."""


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
    roster: tuple[dict[str, Any], ...]  # {"name": str, "version": int, ...}
    parts: tuple[Part, ...] = ()
    obs_dtype: str = DEFAULT_OBS_DTYPE
    """Type of an observation's entries, one of `OBS_DTYPES`."""

    @property
    def num_actions(self) -> int:
        """Number of actions."""
        return len(self.actions)

    @property
    def obs_size(self) -> int:
        """Number of entries of an observation."""
        return math.prod(self.obs_shape)

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return sum(part.episodes for part in self.parts)

    @property
    def steps(self) -> int:
        """Number of joint steps."""
        return sum(part.steps for part in self.parts)

    @property
    def rows(self) -> int:
        """Number of rows, one for each step of each seat."""
        return sum(part.rows for part in self.parts)

    @property
    def totals(self) -> dict[str, int]:
        """Numbers of parts, episodes, joint steps and rows."""
        return {
            "parts": len(self.parts),
            "episodes": self.episodes,
            "steps": self.steps,
            "rows": self.rows,
        }

    @property
    def rate(self) -> float | None:
        """Environment steps per second over the timed parts; None if no part is timed."""
        timed = [part for part in self.parts if part.seconds]
        if not timed:
            return None
        seconds = sum(part.seconds or 0 for part in timed)
        return sum(part.steps for part in timed) / seconds

    @property
    def identity(self) -> dict[str, Any]:
        """The fields that two datasets share if one can continue the other."""
        fields = self.to_json()
        for name in ("format", "bestreply", "totals", "parts"):
            del fields[name]
        return fields

    def to_json(self) -> dict[str, Any]:
        """Return the content of `manifest.json` as plain data.

        Returns:
            The fields, the totals, and the parts in order.
        """
        fields = dataclasses.asdict(self)
        parts, dtype = fields.pop("parts"), fields["obs_dtype"]
        if dtype == DEFAULT_OBS_DTYPE:  # as before there were other types
            del fields["obs_dtype"]
        return plain(fields | {"totals": self.totals, "parts": parts})


def plain(value: Any) -> Any:
    """Return a value as JSON holds it: tuples as lists, NumPy numbers as Python numbers.

    Args:
        value: text, numbers, None, or lists, tuples and dicts of them.

    Returns:
        The same value in JSON's types.

    Raises:
        TypeError: for any other type, and for a number that is not finite.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise TypeError(
        f"{value!r} ({type(value).__name__}) in a manifest: expected text, "
        "finite numbers, and lists and dicts of them"
    )


def read_manifest(folder: Path) -> tuple[Manifest | None, list[Problem]]:
    """Read and check the manifest of a dataset. Errors of the file never raise.

    Args:
        folder: the dataset's folder.

    Returns:
        The manifest, or None if it is unusable, and its errors.
    """
    try:
        raw = read_json(folder / FILE)
    except (FileNotFoundError, NotADirectoryError):
        what = f"there is no {FILE} in this folder"
        mend = "Give the folder that `collect` printed"
        return None, [Problem("no_manifest", str(folder), what, mend)]
    except (OSError, ValueError) as error:
        what = f"it cannot be read as JSON ({error})"
        return None, [Problem("bad_manifest", FILE, what, MEND)]
    problems = list(_check(raw))
    if problems:
        return None, problems
    parts = tuple(
        Part(**{f.name: part.get(f.name) for f in dataclasses.fields(Part)})
        for part in raw["parts"]
    )
    raw = {"obs_dtype": DEFAULT_OBS_DTYPE} | raw
    values = {f.name: raw[f.name] for f in dataclasses.fields(Manifest)}
    for name in ("obs_shape", "actions", "goals"):
        values[name] = tuples(values[name])
    values |= {"roster": tuple(raw["roster"]), "parts": parts}
    manifest = Manifest(**values)
    return manifest, list(_check_counts(manifest, raw["totals"]))


# -- checks of fields ----------------------------------------------------------

Check = tuple[Callable[[Any], Any], str]
"""A predicate, and the condition in words."""


def _is_a(value: Any, kind: Any) -> bool:
    """Return whether a value is of a type; True and False are no numbers."""
    return isinstance(value, kind) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_a(value, int) and 0 <= value < 2**63


def _is_positive(value: Any) -> bool:
    return _is_count(value) and value > 0


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_NAME


def _are_names(value: Any) -> bool:
    return _is_list(value, _is_name) and len(set(value)) == len(value)


def _is_at_most(limit: int) -> Callable[[Any], bool]:
    return lambda value: _is_positive(value) and value <= limit


def is_named(value: Any) -> bool:
    """Return whether a value is an entry of a roster, ``{"name": str, "version": int}``.

    Args:
        value: any JSON value.
    """
    return (
        isinstance(value, dict)
        and _is_name(value.get("name"))
        and _is_count(value.get("version"))
    )


def _is_game(value: Any) -> bool:
    return is_named(value) and isinstance(value.get("settings"), dict)


def _is_seconds(value: Any) -> bool:
    return _is_a(value, int | float) and (
        value == 0 or MIN_SECONDS <= value < MAX_SECONDS
    )


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{64}", value))


def _is_list(value: Any, check: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(map(check, value))


def _is_shape(value: Any) -> bool:
    return (
        _is_list(value, _is_positive)
        and len(value) <= MAX_AXES
        and math.prod(value) < MAX_LIST_SIZE
    )


def _instance(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind)


def _or_null(check: Check) -> Check:
    return lambda v: v is None or check[0](v), f"{check[1]} or null"


_is_text = _instance(str)
_is_dict = _instance(dict)
COUNT: Check = (_is_count, "an int, at least 0")
POSITIVE: Check = (_is_positive, "an int, at least 1")
FIELDS: dict[str, Check] = {
    "bestreply": (_is_text, "the library's version as text"),
    "game": (_is_game, "{name: text, version: int, settings: {...}}"),
    "num_players": (
        _is_at_most(MAX_SEATS),
        f"an int, at least 1 and at most {MAX_SEATS}",
    ),
    "max_steps": (
        _is_at_most(MAX_STEPS),
        f"an int, at least 1 and at most {MAX_STEPS}",
    ),
    "obs_shape": (
        _is_shape,
        f"a list of ints, each at least 1, at most {MAX_AXES}, with a product below 2^31",
    ),
    "actions": (
        lambda v: v and _are_names(v),
        "a list of at least one name, all different",
    ),
    "goals": (_are_names, "a list of names, all different"),
    "roster": (
        lambda v: v and _is_list(v, is_named),
        "a list of at least one {name: text, version: int}",
    ),
    "totals": (_is_dict, "{parts: int, episodes: int, steps: int, rows: int}"),
    "parts": (lambda v: _is_list(v, _is_dict), "a list of parts"),
}
ADDED_FIELDS: dict[str, Check] = {
    "obs_dtype": (
        lambda v: v in OBS_DTYPES,
        f"one of {', '.join(OBS_DTYPES)}",
    ),
}
"""Fields that manifests of older datasets lack."""
PART_FIELDS: dict[str, Check] = {
    "file": (_is_text, "a file's name"),
    "rows": POSITIVE,
    "steps": POSITIVE,
    "episodes": POSITIVE,
    "first_episode": COUNT,
    "sha256": (_is_digest, "64 hexadecimal digits"),
    "seed": _or_null(
        (lambda v: _is_a(v, int) and abs(v) < MAX_PLACES, "an int")
    ),
    "command": _or_null((_is_text, "text")),
    "created": (_is_text, "a time as text"),
}
ADDED_PART_FIELDS: dict[str, Check] = {
    "seconds": _or_null((_is_seconds, "a number, at least 0,")),
    "labelled": _or_null(COUNT),
    "seed_episode": _or_null(COUNT),
}
"""Fields that parts of older datasets lack."""


def _check(raw: Any) -> Iterator[Problem]:
    """Yield the errors that make a manifest unusable."""
    if not isinstance(raw, dict):
        what = f"it holds a {type(raw).__name__}: expected an object"
        yield Problem("bad_manifest", FILE, what, MEND)
        return
    version = raw.get("format", 0)
    if _is_count(version) and version > FORMAT:
        what = f"format={version}: expected at most {FORMAT}"
        mend = "Update the library: pip install --upgrade bestreply"
        yield Problem("format", FILE, what, mend)
        return
    formats: Check = (lambda v: _is_a(v, int) and v == FORMAT, str(FORMAT))
    yield from _check_fields(raw, {"format": formats} | FIELDS, FILE)
    added = {name: ADDED_FIELDS[name] for name in ADDED_FIELDS if name in raw}
    yield from _check_fields(raw, added, FILE)
    parts = raw.get("parts", ())
    if _is_list(parts, _is_dict):
        for index, part in enumerate(parts):
            yield from _check_part(part, f"{FILE}: parts[{index}]")


def _check_part(part: dict[str, Any], where: str) -> Iterator[Problem]:
    added = dict.fromkeys(ADDED_PART_FIELDS) | part
    yield from _check_fields(added, PART_FIELDS | ADDED_PART_FIELDS, where)
    name = part.get("file")
    if isinstance(name, str) and not PART_NAME.fullmatch(name):
        yield Problem(
            "part_name",
            where,
            f"file={shown(name)}: expected a name such as {part_name(0)} in the dataset's own folder",
            "No other file is opened. Rename the part if the dataset is yours, else do not trust it",
        )


def _check_fields(
    raw: dict[str, Any], checks: dict[str, Check], where: str
) -> Iterator[Problem]:
    for name, (check, condition) in checks.items():
        if name in raw and check(raw[name]):
            continue
        value = shown(raw[name]) if name in raw else "(missing)"
        what = f"{name}={value}: expected {condition}"
        yield Problem("bad_manifest", where, what, MEND)


def _check_counts(
    manifest: Manifest, totals: dict[str, Any]
) -> Iterator[Problem]:
    """Yield the contradictions inside a manifest."""
    mend = "Restore the manifest, or a part that was removed, from a copy"
    for name, count in manifest.totals.items():
        if totals.get(name) != count:
            what = f"{name}={shown(totals.get(name))}: expected {count}, the sum over the parts"
            yield Problem("counts", f"{FILE}: totals", what, mend)
    episodes = 0
    files = set()
    for index, part in enumerate(manifest.parts):
        where = f"{FILE}: parts[{index}]"
        if part.file in files:
            what = f"file={part.file}: expected each file once"
            yield Problem("counts", where, what, mend)
        if part.first_episode != episodes:
            what = f"first_episode={part.first_episode}: expected {episodes}, the episodes of the parts before it"
            yield Problem("counts", where, what, mend)
        yield from _check_part_counts(manifest, part, where)
        episodes += part.episodes
        files.add(part.file)
    places = episodes * (manifest.max_steps + 2) * manifest.num_players
    if places >= MAX_PLACES:
        what = f"{places} places of rows: expected fewer than 2^62"
        yield Problem("counts", FILE, what, mend)


def _check_part_counts(
    manifest: Manifest, part: Part, where: str
) -> Iterator[Problem]:
    """Yield counts that contradict each other: every step has a row, every episode a step."""
    limits = {
        "steps": (part.episodes, part.episodes * manifest.max_steps),
        "rows": (part.steps, part.steps * manifest.num_players),
    }
    for name, (low, high) in limits.items():
        count = getattr(part, name)
        if not low <= count <= high:
            what = (
                f"{name}={count}: expected {low} to {high}, by the other counts"
            )
            mend = "Restore the manifest from a copy"
            yield Problem("counts", where, what, mend)
