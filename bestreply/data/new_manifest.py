"""The manifest of a dataset that is made, and what it must share with the one there."""

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bestreply.data.manifest import FORMAT, OBS_DTYPES, Manifest, plain
from bestreply.utils.names import spec_of

if TYPE_CHECKING:
    from bestreply.games.base import Game


def new_manifest(
    game: "Game",
    roster: Sequence[Mapping[str, object]],
    known: Manifest | None = None,
) -> Manifest:
    """Return the manifest of a dataset without parts.

    Args:
        game: the game.
        roster: the players.
        known: manifest of an older dataset to append to: where it has the game's plain
            name, this one does; observations keep its type.

    Returns:
        The manifest.

    Raises:
        ValueError: a manifest cannot hold the roster, or the game's observations.
    """
    name = spec_of("game", game).name
    if known is not None and known.game["name"] == game.name:
        name = game.name
    named = [
        isinstance(player.get("name"), str)
        and isinstance(player.get("version"), int)
        for player in roster
    ]
    if not named or not all(named):
        raise ValueError(
            f"roster={list(roster)!r:.400}: expected at least one player, "
            "{'name': text, 'version': int} each"
        )
    if not all(game.obs_shape):
        raise ValueError(
            f"{game.name}: obs_shape={game.obs_shape}: expected no axis of length 0"
        )
    dtype = np.dtype(game.obs_dtype).name if known is None else known.obs_dtype
    if dtype not in OBS_DTYPES:
        raise ValueError(
            f"{game.name}: obs_dtype={dtype}: expected one of "
            f"{', '.join(OBS_DTYPES)}. Cast the observations in the game"
        )
    return Manifest(
        format=FORMAT,
        bestreply=library_version(),
        game={
            "name": name,
            "version": plain(game.version),
            "settings": plain(game.settings),
        },
        num_players=int(game.num_players),
        max_steps=int(game.max_steps),
        obs_shape=tuple(int(n) for n in game.obs_shape),
        actions=tuple(game.action_names),
        goals=tuple(game.goals),
        roster=tuple(plain(dict(player)) for player in roster),
        obs_dtype=dtype,
    )


def library_version() -> str:
    """Return the version of this library; "unknown" where it is not installed."""
    try:
        return importlib.metadata.version("bestreply")
    except importlib.metadata.PackageNotFoundError:  # not installed
        return "unknown"


def refuse_difference(
    recorded: dict[str, Any],
    given: dict[str, Any],
    path: Path,
    source: str = "given is",
) -> None:
    """Refuse another game or roster than that of the dataset there.

    Args:
        recorded: identity in the manifest of the dataset.
        given: identity to write.
        path: the dataset's folder.
        source: what gave the second identity, with its verb.

    Raises:
        ValueError: they differ; it names each fact in which they do.
    """
    old, new = _facts(recorded), _facts(given)
    lines = [
        f"{name}: the dataset has {old.get(name)!r}, {source} {new.get(name)!r}"
        for name in old | new
        if old.get(name) != new.get(name)
    ]
    if lines:
        raise ValueError(
            f"path={path}: expected a dataset of the same game and roster:\n"
            + "\n".join([*lines, "Give another path"])
        )


def _facts(identity: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of an identity by name, game and settings one by one."""
    facts = dict(identity)
    game = facts.pop("game")
    facts |= {f"game {name}": game.get(name) for name in ("name", "version")}
    settings = game["settings"]
    return facts | {f"game setting {name}": settings[name] for name in settings}
