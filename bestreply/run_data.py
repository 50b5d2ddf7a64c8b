"""The dataset that a run collects: where it is, its first play, and rounds of own play."""

import json
import os
from pathlib import Path

from bestreply.collect import collect
from bestreply.config import RunConfig
from bestreply.data.store import Store, open_store
from bestreply.games import make_game
from bestreply.planning.agent import Agent
from bestreply.run import Run
from bestreply.simulation.lineup import drawn_players, seat_players
from bestreply.simulation.loop import PLANNING_CHUNK
from bestreply.utils.console import free_path
from bestreply.utils.files import read_text, write_json
from bestreply.utils.seeds import derived_seed

OWN_PLAY_EPSILON = 0.1
"""Probability of a uniform action instead of the agent's, in rounds of its own play."""
ROUND_SEED_STRIDE = 1_000_003
"""Difference between the seeds of two rounds of play."""
DATASET_FILE = "dataset.json"
"""File of a run directory with the path of the dataset that the run collects."""


def dataset_of(folder: Path) -> Path:
    """Return the dataset of a run directory; a free path for a new run.

    The dataset of a run in ``runs/`` is in ``datasets/`` beside it; that of a run
    elsewhere is inside it.
    """
    around, name = folder, "data"
    if folder.absolute().parent.name == "runs":
        around, name = folder.absolute().parent.parent / "datasets", folder.name
    file = folder / DATASET_FILE
    data = around / name
    if file.exists():
        recorded = _recorded_dataset(file, around)
        was_renamed = not parts_of(recorded) and parts_of(data)
        return data if was_renamed else recorded

    def record(chosen: Path) -> None:
        write_json(file, {"path": os.path.relpath(chosen, folder)})

    if not (folder / "config.json").exists():
        return free_path(around, name, record)
    if not parts_of(data):  # runs of older versions have no such file
        raise ValueError(
            f"{folder}: expected a run of 'bestreply run'. Continue one of 'bestreply "
            f"train' with: bestreply train DATASET --resume --out {folder}"
        )
    record(data)
    return data


def _recorded_dataset(file: Path, around: Path) -> Path:
    """Return the dataset that a file names; it is a folder in `around`."""
    try:
        path = file.parent / json.loads(read_text(file))["path"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(
            f'{file}: expected {{"path": folder of the dataset}}; {error}'
        ) from None
    if path.resolve().parent != around.resolve():
        raise ValueError(
            f"{file}: path={path}: expected a folder in {around}. Remove the run, or "
            "train on the dataset: bestreply train"
        )
    return path


def parts_of(data: Path) -> int:
    """Return the number of parts of a dataset, one for each round; 0 without one."""
    if not (data / "manifest.json").exists():
        return 0
    return len(open_store(data).manifest.parts)


def collect_for(
    config: RunConfig, path: str | Path, command: str | None = None
) -> Store:
    """Collect the play that `config.collect` describes into a new dataset.

    Args:
        config: configuration of a run; every seat draws one of its players for every
            episode.
        path: the dataset.
        command: the command line, for provenance.

    Returns:
        The dataset.
    """
    game = make_game(config.game)
    return collect(
        game,
        [drawn_players(config)] * game.num_players,
        config.collect.episodes,
        config.seed,
        path=path,
        roster=_agents(config),
        command=command,
    )


def collect_round(
    run: Run, number: int, path: str | Path, command: str | None = None
) -> Store:
    """Append play of the run's agent, in every seat in turn, to a dataset.

    Args:
        run: the run; the opponents are the players of its `config.collect`.
        number: number of the round, from 0.
        path: the dataset.
        command: the command line, for provenance.

    Returns:
        The dataset.
    """
    config = run.config
    agent = run.agent(name=_agent_name(number), epsilon=OWN_PLAY_EPSILON)
    players = [agent, *[drawn_players(config)] * (run.game.num_players - 1)]
    return collect(
        run.game,
        players,
        config.improve.episodes,
        _round_seed(config, number + 1),
        path=path,
        append=True,
        rotate=True,
        chunk=PLANNING_CHUNK,
        command=command,
    )


def play_of_round(
    config: RunConfig,
    previous: Run | None,
    number: int,
    data: Path,
    resume: bool,
    command: str | None,
) -> Store:
    """Return the dataset with the play of a round, which is collected if missing."""
    if resume and parts_of(data) > number:
        return open_store(data)
    if previous is None:
        return collect_for(config, data, command)
    return collect_round(previous, number - 1, data, command)


def asked_roster(config: RunConfig) -> list[dict[str, str | int]]:
    """Return the roster of the play that a configuration asks for.

    Args:
        config: configuration of a run.

    Returns:
        Name and version of each player, those of later rounds included.
    """
    game = make_game(config.game)
    seats = [drawn_players(config)] * game.num_players
    lineup = seat_players(game, seats, 1, config.seed)
    return lineup.roster + _agents(config)


def check_play(config: RunConfig, data: Store) -> None:
    """Refuse a dataset that is not the play that a configuration asks for.

    Args:
        config: configuration of a run.
        data: the dataset, with the play of the first rounds at least.

    Raises:
        ValueError: its roster, or the seed or number of episodes of a part differs.
    """
    roster = asked_roster(config)
    asked: dict[str, object] = {"players": [entry["name"] for entry in roster]}
    has: dict[str, object] = {"players": [e["name"] for e in data.roster]}
    for number, part in enumerate(data.manifest.parts):
        settings = config.improve if number else config.collect
        asked[f"part {number}"] = (
            _round_seed(config, number),
            settings.episodes,
        )
        has[f"part {number}"] = (part.seed, part.episodes)
        if number > config.improve.rounds:
            asked[f"part {number}"] = None
    lines = [
        f"{name}: the dataset has {has[name]}, the configuration asks for {asked[name]}"
        for name in asked
        if asked[name] != has[name]
    ]
    if lines:
        raise ValueError(
            f"{data.path}: expected the play of this configuration (of a part: seed, "
            f"episodes). {'; '.join(lines)}. Give the settings that the run was "
            "started with, or another path"
        )


def _round_seed(config: RunConfig, number: int) -> int:
    """Return the seed of play of a round; round 0 is that of `collect`."""
    return derived_seed(config.seed, ROUND_SEED_STRIDE * number)


def _agents(config: RunConfig) -> list[dict[str, str | int]]:
    """Return the roster's entries of the agents of rounds of own play."""
    return [
        {"name": _agent_name(number), "version": Agent.version}
        for number in range(config.improve.rounds)
    ]


def _agent_name(number: int) -> str:
    return f"bestreply_{number + 1}"
