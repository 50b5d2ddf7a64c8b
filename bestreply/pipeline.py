"""The whole flow as one experiment: collect, train, evaluate, report."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from bestreply.analysis.change_detection import evaluate_changes
from bestreply.analysis.off_policy import (
    estimate_returns,
    most_episodes,
    select_episodes,
)
from bestreply.analysis.trajectories import record_matches
from bestreply.config import RunConfig, checked_config, names_in
from bestreply.data.some_episodes import read_episodes
from bestreply.data.store import Store, open_store
from bestreply.evaluate import evaluate_all, refer
from bestreply.games import make_game
from bestreply.games.base import Game
from bestreply.games.recorded import check_playable, is_recorded
from bestreply.methods.compatibility import check_fit
from bestreply.methods.measured import (
    MEASURED,
    measured_players,
    players_with_true_types,
)
from bestreply.players.zoo import make_player, players_in_file
from bestreply.report import write_report
from bestreply.run import Run, claimed, load_method, load_run
from bestreply.run_data import (
    DATASET_FILE,
    asked_roster,
    check_play,
    dataset_of,
    parts_of,
    play_of_round,
)
from bestreply.scores.returns import Scores
from bestreply.simulation.lineup import (
    ALONE,
    distinct_sets,
    fill_seats,
    is_self,
    mixture_of,
    training_players,
)
from bestreply.simulation.opponent_sets import by_role, opponent_sets
from bestreply.train import HOLDOUT_FRACTION, held_out_episodes, train
from bestreply.utils.files import locked, write_json
from bestreply.utils.importing import is_foreign
from bestreply.utils.provenance import provenance
from bestreply.utils.seeds import derived_seed
from bestreply.utils.spec import Spec, specs_of
from bestreply.utils.trust import from_file, modules_named


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
    method = load_method(checked_config(config).method)
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


def check_before_play(config: RunConfig, data: Store | None = None) -> None:
    """Refuse a configuration that would fail after hours of play or training.

    Args:
        config: configuration of a run, with its defaults set (`resolve`).
        data: the dataset to train on; None: play is collected.

    Raises:
        ValueError: a player cannot be made (`check_names`); method, models or planner
            do not fit the game (`check_fit`); or too few episodes.
    """
    check_names(config)
    if data is not None:  # `train` checks the rest before it reads the data
        return
    if (episodes := config.collect.episodes) < 2:
        raise ValueError(
            f"collect.episodes={episodes}: expected at least 2, one of them held out"
        )
    check_fit(config, asked_roster(config))


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
        ("evaluate.opponents", text, _players_of(game, text))
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


def _players_of(game: Game, text: str) -> tuple[Spec, ...]:
    """Return the players of an opponent set, which has to fit the game."""
    return specs_of(text) if fill_seats(game, text) else ()


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
    check_playable(run.game)
    with locked(run.path, wait=False):
        return _evaluate_run(run, command)


def _evaluate_run(run: Run, command: str | None) -> Scores:
    config, agent = resolve(run.config), run.player()
    opponents, episodes = config.evaluate.opponents, config.evaluate.episodes
    seed = derived_seed(run.config.seed, 1)
    methods = measured_players(run, config, agent)
    agent = methods.get("agent", agent)
    scores = evaluate_all(run.game, methods, opponents, episodes, seed)
    if "true_types" in config.evaluate.methods:
        typed = players_with_true_types(run, opponents)
        parts = [
            evaluate_all(
                run.game,
                {"true_types": player},
                [text],
                episodes,
                seed,
                like=len(opponents) * episodes,
                among=[*typed],
            )
            for text, player in typed.items()
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
    sets = opponent_sets(run.game, opponents)
    matches = [
        match
        for of_role in by_role(sets)
        for match in record_matches(
            run.game,
            agent,
            [others.others[0] for others in of_role],
            derived_seed(run.config.seed, 2),
            run.goals,
            seat=of_role[0].seats[0],
            names=[others.name for others in of_role],
            like=len(sets) * episodes,
        )
    ]
    write_json(run.path / "matches.json", matches)
    if run.plans:
        changing = opponents if config.evaluate.changes else ()
        evaluate_changes(run, changing, episodes)
    return scores


def estimate_run(
    run: Run,
    data: Store | str | Path | None = None,
    command: str | None = None,
) -> Path:
    """Write ``off_policy.json`` into a run: what its policy would earn, from data alone.

    The method of a recorded game in place of an evaluation; other games have it too.

    Args:
        run: the trained run.
        data: the dataset that it was trained on, or its path; by default the recorded
            path.
        command: the command line, for provenance.

    Returns:
        The path (docs/files.md).

    Raises:
        FileNotFoundError, ValueError: the dataset is not there, or is another one.
        BlockingIOError: another process writes to the run.
    """
    facts = run.provenance["data"]
    if data is None:
        data = run.path / str(facts.get("path", ""))
    data = open_store(data)
    if data.fingerprint != facts["fingerprint"]:
        raise ValueError(
            f"data={data.path}: expected the dataset that {run.path} was trained on"
        )
    seed = derived_seed(run.config.seed, 4)
    held_out = held_out_episodes(
        data.manifest.episodes, HOLDOUT_FRACTION, run.config.seed
    )
    names = [str(entry["name"]) for entry in data.roster]
    chosen, alone = select_episodes(
        held_out, most_episodes(run.game, len(names))
    )
    rows = estimate_returns(
        read_episodes(data, chosen),
        names,
        {run.config.method: run.player()},
        seed,
    )
    document = {
        "episodes": int(chosen.sum()),
        "held_out": alone,
        "policies": [row.to_json() for row in rows],
        "provenance": provenance(seed, command),
    }
    path = run.path / "off_policy.json"
    with locked(run.path, wait=False):
        write_json(path, document)
    return path


def run_on(
    data: Store | str | Path,
    config: RunConfig,
    path: str | Path | None = None,
    *,
    resume: bool = False,
    command: str | None = None,
    allow_import: Sequence[str] = (),
) -> Run:
    """Train on a dataset, evaluate and report, in one run directory.

    Without rules (a recorded game) returns are estimated from the data instead.

    Args:
        data: the dataset, or its path; it determines the game.
        config: configuration of the run.
        path: the run directory; by default a new one in ``runs/``.
        resume: continue the run in `path`.
        command: the command line, for provenance.
        allow_import: modules that names in the dataset may import.

    Returns:
        The trained run.

    Raises:
        FileExistsError, BlockingIOError, ValueError: as in `run_all`.
    """
    if checked_config(config).improve.rounds:
        raise ValueError(
            f"improve.rounds={config.improve.rounds}: expected 0 with a dataset; "
            "rounds of own play are part of 'bestreply run' without --data"
        )
    data = open_store(data)
    config = config_for_data(config, data, allow_import=allow_import)
    check_before_play(config, data)
    game = make_game(config.game)
    with claimed(path, game, resume=resume) as folder:
        run = train(data, config, path=folder, resume=resume, command=command)
        if is_recorded(run.game):
            estimate_run(run, data, command)
        else:
            evaluate_run(run, command)
        write_report(folder)
    return run


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
    if parts_of(data):
        check_play(config, open_store(data))
    previous: Run | None = None
    for number in range(config.improve.rounds):
        stage = path / "rounds" / str(number)
        # Data of a later round: this round is complete.
        if resume and parts_of(data) > number + 1:
            named = modules_named(text for _, text in names_in(config))
            previous = load_run(stage, allow_import=sorted(named))
            continue
        store = play_of_round(config, previous, number, data, resume, command)
        previous = train(
            store,
            config,
            path=stage,
            start=previous,
            resume=resume,
            command=command,
        )
    store = play_of_round(
        config, previous, config.improve.rounds, data, resume, command
    )
    return train(
        store, config, path=path, start=previous, resume=resume, command=command
    )


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
        ValueError: settings that exclude each other or do not fit the game, or an
            unknown player; nothing was played.
    """
    config = resolve(config)
    check_before_play(config)
    game = make_game(config.game)
    with claimed(path, game, resume=resume) as folder:
        has_run = (folder / "config.json").exists()
        if (has_run or (folder / DATASET_FILE).exists()) and not resume:
            raise FileExistsError(
                f"{folder}: expected a path without a run. Give another path, or "
                "continue the run with --resume"
            )
        data = dataset_of(folder)
        run = learn(config, folder, data, resume=resume, command=command)
        evaluate_run(run, command)
        write_report(folder)
    return run
