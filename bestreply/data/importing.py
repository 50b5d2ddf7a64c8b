"""Make datasets of files of other programs, whichever format they have."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bestreply.data.exchange import import_npz, import_parquet
from bestreply.data.minari import import_minari, is_minari
from bestreply.data.store import Store
from bestreply.data.vault import import_vault, is_vault

if TYPE_CHECKING:
    from bestreply.games.base import Game

FORMATS = "a file .npz or .parquet, a dataset folder of Minari, or a vault of flashbax"


def import_file(
    path: str | os.PathLike,
    *,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    players: Sequence[str] | None = None,
    game: "Game | str | None" = None,
    out: str | os.PathLike | None = None,
    allow_import: Sequence[str] = (),
) -> Store:
    """Make a dataset of a file or folder of another program.

    Args:
        path: an .npz file, a Parquet file, a dataset folder of Minari, or a vault of
            flashbax.
        columns: of a Parquet file, the column of each quantity.
        players: of Minari or a vault, the name of each agent's player.
        game: the game, or its name; by default that which the file names, else a
            recorded game.
        out: folder of the dataset; by default a new one in ``datasets/``.
        allow_import: modules that names in the file may import.

    Returns:
        The dataset.

    Raises:
        OSError: a file cannot be read.
        ValueError: it is of no such format, or its content does not fit.
    """
    from bestreply.games import make_game

    path, game = Path(path), None if game is None else make_game(game)
    trusted = {"game": game, "out": out, "allow_import": allow_import}
    if path.is_dir():
        _refuse("columns", columns, "a Parquet file")
        if is_vault(path):
            return import_vault(path, game=game, out=out, players=players)
        if is_minari(path):
            return import_minari(path, game=game, out=out, players=players)
        raise ValueError(f"path={path}: expected {FORMATS}{_inside(path)}")
    _refuse("players", players, "a dataset of Minari or a vault")
    if path.suffix == ".npz":
        _refuse("columns", columns, "a Parquet file")
        return import_npz(path, **trusted)
    if path.suffix in (".parquet", ".pq"):
        return import_parquet(path, columns, **trusted)
    raise ValueError(f"path={path}: expected {FORMATS}")


def _refuse(name: str, value: object, place: str) -> None:
    if value:
        raise ValueError(f"{name}={value!r:.200}: expected {place} with it")


def _inside(folder: Path) -> str:
    """Return which folders inside a folder can be read."""
    inner = sorted(p for p in folder.iterdir() if p.is_dir())[:100]
    names = [str(p) for p in inner if is_vault(p) or is_minari(p)]
    return f", such as {', '.join(names[:5])}" if names else ""
