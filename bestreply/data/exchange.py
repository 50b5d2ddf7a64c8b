"""Files for other programs: .npz and Parquet, with the names that make a dataset of them again."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bestreply.data.arrays import (
    ARRAYS,
    logged_arrays,
    store_from_arrays,
    write_store,
)
from bestreply.data.columns import is_text
from bestreply.data.frame_rows import OPTIONAL, REQUIRED, read_rows
from bestreply.data.frames import store_from_table
from bestreply.data.manifest import is_named, plain
from bestreply.data.npz import read_npz, write_npz
from bestreply.data.rows import cut_off
from bestreply.data.store import Store, open_store
from bestreply.types import GOAL_SOURCES
from bestreply.utils.checks import shown
from bestreply.utils.files import replacing
from bestreply.utils.parquet import (
    COPIES,
    decoded_size,
    open_parquet,
    reason,
)
from bestreply.utils.trust import from_file
from bestreply.utils.untrusted import check_memory, parse_json

if TYPE_CHECKING:
    from bestreply.games.base import Game

FACTS = "bestreply"
"""Name of the JSON text with game and roster: an array of an .npz file, or metadata of
Parquet."""
FORMAT = 1
"""Version of that text."""
NAMES = ("players", "action_names", "goal_names", "roles", "seat_actions")
"""Further arrays that an .npz file can hold, as the arguments of `store_from_arrays`."""
EXPORTED = (
    "episode",
    "step",
    "seat",
    "obs",
    "legal",
    "action",
    "prob",
    "reward",
    "next_obs",
    "next_legal",
    "terminated",
    "truncated",
    "goal",
    "goal_source",
)
"""Columns of an exported Parquet file that are those of a dataset; `player` follows."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """What an exported file says about its dataset."""

    game: "Game"
    roster: list[dict[str, Any]]

    @property
    def labels(self) -> list[str]:
        """A name for each player of the roster, all different."""
        return labels_of(self.roster)


def labels_of(roster: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a name for each player, all different: its own, else with its version.

    Args:
        roster: name and version of each player.
    """
    names = [entry["name"] for entry in roster]
    if len(set(names)) == len(names):
        return names
    return [f"{e['name']} v{e['version']} #{k}" for k, e in enumerate(roster)]


def export_store(
    store: Store | str | os.PathLike, path: str | os.PathLike
) -> Path:
    """Write a dataset as one file for other programs.

    Args:
        store: the dataset, or its path.
        path: the file; its ending decides: .npz (arrays of `store_from_arrays`,
            padded to the longest episode) or .parquet (a row for each episode, step and
            seat). An existing file is replaced.

    Returns:
        The path.

    Raises:
        ValueError: another ending; a dataset without episodes or with errors.
    """
    path, store = Path(path), open_store(store)
    if not store.manifest.parts:
        raise ValueError(f"{store.path}: expected a dataset with episodes")
    if path.suffix == ".npz":
        _export_npz(store, path)
    elif path.suffix == ".parquet":
        _export_parquet(store, path)
    else:
        raise ValueError(
            f"path={path}: expected a name that ends in .npz or .parquet"
        )
    return path


def _facts(store: Store) -> str:
    facts = {
        "format": FORMAT,
        "game": store.manifest.game,
        "roster": list(store.roster),
    }
    return json.dumps(plain(facts))


def _export_npz(store: Store, path: Path) -> None:
    episodes, manifest = store.episodes(), store.manifest
    longest = int(np.asarray(episodes.length).max())
    e = {
        field.name: np.asarray(getattr(episodes, field.name))
        for field in dataclasses.fields(episodes)
    }
    steps = slice(longest)
    arrays = {
        "observations": e["obs"][:, : longest + 1],
        "actions": e["action"][:, steps],
        "rewards": e["reward"][:, steps],
        "terminals": e["terminated"][:, steps],
        "timeouts": (e["truncated"][..., None] | cut_off(e))[:, steps],
        "legal": e["legal"][:, : longest + 1],
        "probs": e["prob"][:, steps],
        "goals": e["goal"][:, steps],
        "goal_sources": e["goal_source"][:, steps],
        "players": np.array(labels_of(store.roster))[e["player"]],
        "action_names": np.array(manifest.actions),
        "goal_names": np.array(manifest.goals),
        FACTS: np.array(_facts(store)),
    }
    write_npz(path, arrays)


def _export_parquet(store: Store, path: Path) -> None:
    table = store.table([*EXPORTED, "players"])
    own = np.asarray(
        pc.call_function("list_element", [table["players"], pa.scalar(0)])
    )
    labels = pa.array(labels_of(store.roster))
    player = pa.DictionaryArray.from_arrays(pa.array(own), labels)
    table = table.drop_columns("players").append_column("player", player)
    metadata = {FACTS: _facts(store)}
    with replacing(path) as beside:
        pq.write_table(
            table.replace_schema_metadata(metadata), beside, compression="zstd"
        )


# -- reading -------------------------------------------------------------------


def import_npz(
    path: str | os.PathLike,
    *,
    game: "Game | None" = None,
    out: str | os.PathLike | None = None,
    allow_import: Sequence[str] = (),
) -> Store:
    """Make a dataset of an .npz file with the arrays of `store_from_arrays` by name.

    Args:
        path: the file. It may also have `players`, `action_names`, `goal_names`,
            `roles` and `seat_actions`.
        game: the game; by default that which the file names, else a recorded game.
        out: folder of the dataset; by default a new one in ``datasets/``.
        allow_import: modules that names in the file may import.

    Returns:
        The dataset.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such file, or an array does not fit; names it.
    """
    names = (*ARRAYS, *NAMES, "goal_sources", FACTS)
    arrays = read_npz(path, names)
    for name in ("observations", "actions", "rewards", "terminals"):
        if name not in arrays:
            raise ValueError(
                f"{path}: expected an array {name!r}; it has "
                f"{shown(sorted(arrays))} of the names that are read"
            )
    try:
        facts = _facts_in(path, arrays.pop(FACTS, None), game, allow_import)
        if facts is None:
            arrays.pop("goal_sources", None)
            given: dict[str, Any] = dict(arrays)
            for name in ("action_names", "goal_names", "roles", "seat_actions"):
                if name in given:
                    given[name] = arrays[name].reshape(-1).tolist()
            return store_from_arrays(**given, game=game, path=out)
        return _import_again(facts, arrays, out)
    except ValueError as error:
        raise _named(path, error) from None


def _named(path: str | os.PathLike, error: ValueError) -> ValueError:
    text = str(error)
    return (
        error if text.startswith(str(path)) else ValueError(f"{path}: {text}")
    )


def _facts_in(
    path: str | os.PathLike,
    text: Any,
    game: "Game | None",
    allow_import: Sequence[str],
) -> Facts | None:
    """Return game and roster of an exported file; None for one of other programs."""
    from bestreply.games.registry import game_in_file

    if text is None:
        return None
    if isinstance(text, np.ndarray):
        text = str(text.reshape(-1)[0]) if text.size else ""
    value = str(text)
    facts = parse_json(value)
    facts = facts if isinstance(facts, dict) else {}
    recorded: Any = facts.get("game")
    roster: Any = facts.get("roster")
    fits = (
        facts.get("format") == FORMAT
        and is_named(recorded)
        and isinstance(recorded.get("settings"), dict)
        and isinstance(roster, list)
        and roster
        and all(map(is_named, roster))
    )
    if not fits:
        raise ValueError(
            f"{FACTS}={shown(value)}: expected format {FORMAT}, game and roster, as "
            "'bestreply data export' writes them"
        )
    if game is None:
        trust = from_file(path, allow_import)
        game = game_in_file(recorded["name"], recorded["settings"], trust)
    return Facts(game, roster)


def _import_again(
    facts: Facts, arrays: Mapping[str, np.ndarray], out: Any
) -> Store:
    """Make a dataset of exported arrays, with their roster and goal sources."""
    log = logged_arrays(arrays, facts.game)
    labels = facts.labels
    players = arrays.get("players", np.array(labels[0]))
    players = np.broadcast_to(players, (len(log.length), log.num_players))
    codes = {label: place for place, label in enumerate(labels)}
    unknown = [n for n in np.unique(players).tolist() if n not in codes]
    if unknown:
        raise ValueError(
            f"players={shown(unknown[0])}: expected one of {shown(labels)}"
        )
    player = np.vectorize(codes.__getitem__, otypes=[np.int32])(players)
    sources = arrays.get("goal_sources")
    if sources is not None and log.goal is not None:
        if (
            sources.size != log.goal.size
            or not np.isin(sources, np.arange(len(GOAL_SOURCES))).all()
        ):
            raise ValueError(
                f"goal_sources: expected 0 to {len(GOAL_SOURCES) - 1} for each goal"
            )
        sources = sources.reshape(log.goal.shape).astype(np.int8)
        log = dataclasses.replace(log, goal_source=sources)
    log = dataclasses.replace(log, player=player)
    return write_store(log, facts.game, facts.roster, out)


def import_parquet(
    path: str | os.PathLike,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    *,
    game: "Game | None" = None,
    out: str | os.PathLike | None = None,
    allow_import: Sequence[str] = (),
) -> Store:
    """Make a dataset of a Parquet file with a row for each episode, step and seat.

    Args:
        path: the file, written by any program.
        columns: the column of each quantity, as in `store_from_frame`.
        game: the game; by default that which the file names, else a recorded game.
        out: folder of the dataset; by default a new one in ``datasets/``.
        allow_import: modules that names in the file may import.

    Returns:
        The dataset.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such file, or a column does not fit; names it and the row.
    """
    try:
        table = read_parquet(path, columns or {})
    except ValueError as error:
        raise _named(path, error) from None
    text = (table.schema.metadata or {}).get(FACTS.encode())
    try:
        if text is not None:
            text = text.decode("utf-8", "replace")
        facts = _facts_in(path, text, game, allow_import)
        if facts is None:
            return store_from_table(table, columns, game=game, path=out)
        rows = read_rows(table, columns, facts.game, facts.labels)
        if len(rows.roster) > len(facts.roster):
            raise ValueError(
                f"player={shown(rows.roster[len(facts.roster)])}: expected one of "
                f"{shown(facts.labels)}"
            )
        return write_store(rows.log, facts.game, facts.roster, out)
    except ValueError as error:
        raise _named(path, error) from None


def read_parquet(
    path: str | os.PathLike, columns: Mapping[str, str | Sequence[str]]
) -> pa.Table:
    """Return the columns of a Parquet file that a dataset is made of.

    Args:
        path: the file, written by any program.
        columns: the column of each quantity, as in `store_from_frame`.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no Parquet file, damaged, or does not fit into memory.
    """
    with open_parquet(path) as file:
        names = _used(file.schema_arrow.names, columns)
        texts = [n for n in names if is_text(file.schema_arrow.field(n).type)]
    with open_parquet(path, texts) as file:
        size = COPIES * decoded_size(file, names)
        check_memory(size, f"{path} with {file.metadata.num_rows:,} rows")
        try:
            return file.read(columns=names, use_threads=False)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise ValueError(
                f"{path}: expected a whole Parquet file; {reason(error)}"
            ) from None


def _used(
    names: Sequence[str], columns: Mapping[str, str | Sequence[str]]
) -> list[str]:
    """Return the columns of a file that can be read as quantities."""
    known = (*REQUIRED, *OPTIONAL)
    given = [
        name
        for value in columns.values()
        for name in ([value] if isinstance(value, str) else value)
    ]
    used = []
    for name in names:
        stem, _, number = name.rpartition("_")
        numbered = number.isdigit() and stem in known
        if name in known or numbered or name in given:
            used.append(name)
    for name in used:
        if used.count(name) > 1:
            raise ValueError(f"column {name!r}: expected it once")
    return used
