"""The whole flow as one experiment: collect, train, evaluate, report."""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path

from bestreply.analysis.change_detection import evaluate_changes
from bestreply.analysis.regret import distinguishes_players, with_true_types
from bestreply.analysis.trajectories import record_matches
from bestreply.collect import collect
from bestreply.config import RunConfig, names_in
from bestreply.data.store import Store, open_store
from bestreply.evaluate import evaluate_all, refer
from bestreply.games import make_game
from bestreply.planning.agent import Agent
from bestreply.players.base import Player
from bestreply.players.zoo import make_player, players_in_file
from bestreply.report import write_report
from bestreply.run import Run, claimed, load_method, load_run
from bestreply.scores.returns import Scores
from bestreply.simulation.lineup import (
    ALONE,
    distinct_players,
    distinct_sets,
    drawn_players,
    fill_seats,
    is_self,
    mixture_of,
    seat_players,
    training_players,
)
from bestreply.simulation.loop import PLANNING_CHUNK
from bestreply.train import train
from bestreply.utils.console import free_path
from bestreply.utils.files import locked, read_text, write_json
from bestreply.utils.importing import is_foreign
from bestreply.utils.seeds import derived_seed
from bestreply.utils.trust import from_file, modules_named

OWN_PLAY_EPSILON = 0.1
"""Probability of a uniform action instead of the agent's, in rounds of its own play."""
ROUND_SEED_STRIDE = 1_000_003
"""Difference between the seeds of two rounds of play."""
DATASET_FILE = "dataset.json"
"""File of a run directory with the path of the dataset that the run collects."""
MEASURED = ("agent", "data_players", "uniform_others", "true_types")
"""Names in `evaluate.methods` that stand for no player."""


def resolve(config: RunConfig) -> RunConfig:
    """Return the configuration with the defaults that depend on game and method set.

    Args:
        config: configuration of a run.

    Returns:
        The configuration with players, distinct opponent sets and settings of the
        method.

    Raises:
        ValueError: settings that exclude each other, or an unknown opponent.
    """
    method = load_method(config.method)
    config = method.configure(config)
    if config.improve.rounds and not method.plans:
        raise ValueError(
            f"improve.rounds={config.improve.rounds}, method={config.method}: expected "
            "0 rounds of own play, or a method that plans"
        )
    players = training_players(config)
    opponents = config.evaluate.opponents
    if not opponents:
        mixture = (mixture_of(players),) if len(players) > 1 else ()
        opponents = (*players, *mixture)
    game = make_game(config.game)
    opponents = tuple(distinct_sets(game, opponents))
    if game.num_players == 1:
        opponents = (ALONE,)
    return dataclasses.replace(
        config,
        collect=dataclasses.replace(config.collect, players=players),
        evaluate=dataclasses.replace(config.evaluate, opponents=opponents),
    )


def check_names(config: RunConfig) -> None:
    """Refuse a configuration that names a player that cannot be made.

    Args:
        config: configuration of a run.

    Raises:
        ValueError: a player of `collect` or `evaluate` is unknown, or has settings
            that it refuses; or an opponent set is of another number of players.
    """
    game = make_game(config.game)
    named = [
        ("collect.players", text, [text]) for text in config.collect.players
    ]
    named += [
        ("evaluate.methods", text, [text])
        for text in config.evaluate.methods
        if text not in MEASURED
    ]
    named += [
        ("evaluate.opponents", text, fill_seats(game, text))
        for text in config.evaluate.opponents
    ]
    for field, text, players in named:
        for player in players:
            if is_self(player) and field == "evaluate.opponents":
                continue
            try:
                make_player(player, game)
            except ValueError as error:
                if is_foreign(error):
                    raise
                raise ValueError(f"{field}={text}: {error}") from None


def config_for_data(
    config: RunConfig, data: Store, *, allow_import: Sequence[str] = ()
) -> RunConfig:
    """Return the configuration for training on a dataset: its game and its players.

    Args:
        config: configuration of a run; its `collect.players` are kept if there are any.
        data: the dataset. Players that cannot be made are left out.
        allow_import: modules that names in the dataset may import.

    Returns:
        The configuration with its defaults set.

    Raises:
        ValueError: settings that exclude each other, or the game needs a module that
            is not allowed.
    """
    game = data.game(allow_import=allow_import)
    names = [entry["name"] for entry in data.roster]
    trust = from_file(data.path, allow_import)
    known = tuple(players_in_file(names, game, trust))
    collect = config.collect
    if not collect.players and known:
        collect = dataclasses.replace(collect, players=known)
    return resolve(dataclasses.replace(config, game=game, collect=collect))


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


def _agent_name(number: int) -> str:
    return f"bestreply_{number + 1}"


def evaluate_run(run: Run, command: str | None = None) -> Scores:
    """Evaluate the methods of `config.evaluate` against its opponent sets.

    Writes ``scores.parquet``, ``references.json`` and ``matches.json`` into the run, and
    ``changes.json`` where opponents of some sets change type (`evaluate.changes`).

    Args:
        run: the trained run.
        command: the command line, for provenance.

    Returns:
        The scores that were written.

    Raises:
        BlockingIOError: another process writes to the run.
        ValueError: an unknown player.
    """
    with locked(run.path, wait=False):
        return _evaluate_run(run, command)


def _evaluate_run(run: Run, command: str | None) -> Scores:
    config, agent = resolve(run.config), run.player()
    opponents, episodes = config.evaluate.opponents, config.evaluate.episodes
    seed = derived_seed(run.config.seed, 1)
    methods = _methods(run, config, agent)
    scores = evaluate_all(run.game, methods, opponents, episodes, seed)
    if "true_types" in config.evaluate.methods:
        parts = [
            evaluate_all(
                run.game, {"true_types": player}, [text], episodes, seed
            )
            for text, player in _with_true_types(run, opponents).items()
        ]
        scores = Scores.concat([scores, *parts])
    scores.provenance.update(
        run=run.path.name,
        config=run.provenance,
        command=command or scores.provenance["command"],
    )
    layouts = config.evaluate.reference_layouts
    scores = refer(run.game, scores, opponents, layouts)
    scores.save(run.path / "scores.parquet")
    sets = [fill_seats(run.game, text) for text in opponents]
    matches = record_matches(
        run.game, agent, sets, derived_seed(run.config.seed, 2), run.goals
    )
    write_json(run.path / "matches.json", matches)
    if run.plans:
        changing = opponents if config.evaluate.changes else ()
        evaluate_changes(run, changing, episodes)
    return scores


def _methods(
    run: Run, config: RunConfig, agent: Player
) -> dict[str, Player | str]:
    """Return the players that `evaluate.methods` names, but for `true_types`.

    Players that are equal but for their spelling are one method, at its first place.
    """
    methods: dict[str, Player | str] = {}
    names: list[str] = []
    for method in map(str.strip, config.evaluate.methods):
        if method == "agent":
            methods["agent"] = agent
        elif method == "uniform_others":
            if run.plans:
                methods[method] = run.agent(opponents="uniform")
        elif method != "true_types":
            data_players = method == "data_players"
            names += config.collect.players if data_players else (method,)
            methods |= {n: n for n in distinct_players(run.game, names)}
    return methods


def _with_true_types(run: Run, opponents: tuple[str, ...]) -> dict[str, Agent]:
    """Return the agent with true types, for each opponent set of players of the data."""
    if not run.plans or not distinguishes_players(run.agent(), run):
        return {}
    roster = {entry["name"] for entry in run.roster}
    seats = {
        text: [str(spec) for spec in fill_seats(run.game, text)]
        for text in opponents
    }
    return {
        text: with_true_types(run.agent(), run, names)
        for text, names in seats.items()
        if set(names) <= roster
    }


def learn(
    config: RunConfig,
    path: Path,
    data: Path,
    *,
    resume: bool = False,
    command: str | None = None,
) -> Run:
    """Return the run at `path`, trained on play at `data`; missing play is collected.

    With rounds of own play, the runs of all rounds but the last are in ``rounds/`` inside
    it, and all play is one dataset.

    Args:
        config: configuration of the run, with its defaults set (`resolve`).
        path: the run directory.
        data: the dataset.
        resume: continue a run that was interrupted.
        command: the command line, for provenance.

    Returns:
        The trained run of the last round.

    Raises:
        FileExistsError, ValueError: as in `bestreply.train.train`; ValueError if the
            dataset has other play than the configuration asks for.
    """
    if _parts(data):
        check_play(config, open_store(data))
    previous: Run | None = None
    for number in range(config.improve.rounds):
        stage = path / "rounds" / str(number)
        # Data of a later round: this round is complete.
        if resume and _parts(data) > number + 1:
            named = modules_named(text for _, text in names_in(config))
            previous = load_run(stage, allow_import=sorted(named))
            continue
        store = _play_of_round(config, previous, number, data, resume, command)
        previous = train(
            store,
            config,
            path=stage,
            start=previous,
            resume=resume,
            command=command,
        )
    store = _play_of_round(
        config, previous, config.improve.rounds, data, resume, command
    )
    return train(
        store, config, path=path, start=previous, resume=resume, command=command
    )


def check_play(config: RunConfig, data: Store) -> None:
    """Refuse a dataset that is not the play that a configuration asks for.

    Args:
        config: configuration of a run.
        data: the dataset, with the play of the first rounds at least.

    Raises:
        ValueError: its roster, or the seed or number of episodes of a part differs.
    """
    game = make_game(config.game)
    seats = [drawn_players(config)] * game.num_players
    roster = seat_players(game, seats, 1, config.seed).roster + _agents(config)
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


def _play_of_round(
    config: RunConfig,
    previous: Run | None,
    number: int,
    data: Path,
    resume: bool,
    command: str | None,
) -> Store:
    """Return the dataset with the play of a round, which is collected if missing."""
    if resume and _parts(data) > number:
        return open_store(data)
    if previous is None:
        return collect_for(config, data, command)
    return collect_round(previous, number - 1, data, command)


def _parts(data: Path) -> int:
    """Return the number of parts of a dataset, one for each round; 0 without one."""
    if not (data / "manifest.json").exists():
        return 0
    return len(open_store(data).manifest.parts)


def run_all(
    config: RunConfig,
    path: str | Path | None = None,
    *,
    resume: bool = False,
    command: str | None = None,
) -> Run:
    """Collect, train, evaluate and report, in one run directory.

    Args:
        config: configuration of the run.
        path: the run directory; by default a new one in ``runs/``.
        resume: continue the run in `path`: steps that are complete are skipped.
        command: the command line, for provenance.

    Returns:
        The trained run.

    Raises:
        FileExistsError: there is a run in `path`, and `resume` is not set.
        BlockingIOError: another process writes to `path`.
        ValueError: settings that exclude each other, or an unknown player; nothing
            was played.
    """
    config = resolve(config)
    check_names(config)
    with claimed(path, make_game(config.game)) as folder:
        has_run = (folder / "config.json").exists()
        if (has_run or (folder / DATASET_FILE).exists()) and not resume:
            raise FileExistsError(
                f"{folder}: expected a path without a run. Give another path, or "
                "continue the run with --resume"
            )
        data = _dataset_of(folder)
        run = learn(config, folder, data, resume=resume, command=command)
        evaluate_run(run, command)
        write_report(folder)
    return run


def _dataset_of(folder: Path) -> Path:
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
        was_renamed = not _parts(recorded) and _parts(data)
        return data if was_renamed else recorded
    if not (folder / "config.json").exists():
        data = free_path(around, name)
    elif not _parts(data):  # runs of older versions have no such file
        raise ValueError(
            f"{folder}: expected a run of 'bestreply run'. Continue one of 'bestreply "
            f"train' with: bestreply train DATASET --resume --out {folder}"
        )
    write_json(file, {"path": os.path.relpath(data, folder)})
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
