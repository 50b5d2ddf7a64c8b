"""The whole flow as one experiment: collect, train, evaluate, report."""

import dataclasses
from pathlib import Path
from typing import Any

from bestreply.analysis.change_detection import evaluate_changes
from bestreply.analysis.regret import with_true_types
from bestreply.analysis.trajectories import record_matches
from bestreply.collect import collect
from bestreply.config import RunConfig
from bestreply.data.store import Store, open_store
from bestreply.evaluate import evaluate_all, refer
from bestreply.games import make_game
from bestreply.games.base import Game
from bestreply.opponents.opponent_types import opponent_types
from bestreply.planning.agent import Agent
from bestreply.players.zoo import make_player
from bestreply.report import write_report
from bestreply.run import Run, load_method, load_run
from bestreply.scores.returns import Scores
from bestreply.simulation.lineup import (
    drawn_players,
    fill_seats,
    mixture_of,
    training_players,
)
from bestreply.simulation.loop import PLANNING_CHUNK
from bestreply.train import train
from bestreply.utils.console import fresh_path
from bestreply.utils.files import write_json
from bestreply.utils.spec import Spec


def resolve(config: RunConfig) -> RunConfig:
    """The configuration with every default that depends on the game or the method written out."""
    method = load_method(config.method)
    config = method.configure(config)
    players = training_players(config)
    opponents = config.evaluate.opponents or (
        *players,
        *([mixture_of(players)] if len(players) > 1 else []),
    )
    if config.improve.rounds and not method.plans:
        raise ValueError(
            f"improve.rounds={config.improve.rounds} with method={config.method}; expected: 0. Rounds of own play are for methods that plan"
        )
    return dataclasses.replace(
        config,
        collect=dataclasses.replace(config.collect, players=players),
        evaluate=dataclasses.replace(config.evaluate, opponents=opponents),
    )


def config_for_data(config: RunConfig, data: Store) -> RunConfig:
    """The configuration for learning from `data`: its game, and the players that made it where they can be made again."""
    game = data.game()
    known = tuple(
        entry["name"]
        for entry in data.roster
        if _can_be_made(entry["name"], game)
    )
    here: dict[str, Any] = {"game": str(Spec(game.name, (), game.settings))}
    if not config.collect.players and known:
        here["collect"] = dataclasses.replace(config.collect, players=known)
    return resolve(dataclasses.replace(config, **here))


def _can_be_made(name: str, game: Game) -> bool:
    try:
        make_player(name, game)
    except ValueError:
        return False
    return True


def collect_for(
    config: RunConfig, path: str | Path, command: str | None = None
) -> Store:
    """Play by `config.collect`: every seat draws one of the players for every episode."""
    game = make_game(config.game)
    agents = [
        {"name": _agent_name(number), "version": Agent.version}
        for number in range(config.improve.rounds)
    ]
    return collect(
        game,
        [drawn_players(config)] * game.num_players,
        config.collect.episodes,
        config.seed,
        path=path,
        roster=agents,
        command=command,
    )


OWN_PLAY_EPSILON = 0.1
"""Probability of a uniform action instead of the agent's, in rounds of its own play."""


def collect_round(
    run: Run, number: int, path: str | Path, command: str | None = None
) -> Store:
    """Adds play of the run's agent, in every seat in turn, among the players of `config.collect`."""
    config = run.config
    agent = run.agent(name=_agent_name(number), epsilon=OWN_PLAY_EPSILON)
    players = [agent, *[drawn_players(config)] * (run.game.num_players - 1)]
    seed = config.seed + 1_000_003 * (number + 1)  # not the first play's
    return collect(
        run.game,
        players,
        config.improve.episodes,
        seed,
        path=path,
        rotate=True,
        chunk=PLANNING_CHUNK,
        command=command,
    )


def _agent_name(number: int) -> str:
    return f"bestreply_{number + 1}"


def evaluate_run(run: Run, command: str | None = None) -> Scores:
    """Plays the run's methods against its opponent sets; writes ``scores.parquet``, ``references.json`` and ``matches.json`` into the
    run, and ``changes.json`` where some of the sets change their mind (`evaluate.changes`)."""
    config, agent = resolve(run.config), run.player()
    methods: dict[str, Any] = {}
    for method in config.evaluate.methods:
        if method == "agent":
            methods["agent"] = agent
        elif method == "data_players":
            methods |= {name: name for name in config.collect.players}
        elif method == "uniform_others":
            methods |= (
                {method: run.agent(opponents="uniform")} if run.plans else {}
            )
        elif method != "true_types":
            methods[method] = method
    episodes, seed = config.evaluate.episodes, run.config.seed + 1
    scores = evaluate_all(
        run.game, methods, config.evaluate.opponents, episodes, seed
    )
    if "true_types" in config.evaluate.methods:
        told = _told(run, config.evaluate.opponents)
        parts = [
            evaluate_all(run.game, {"true_types": a}, [s], episodes, seed)
            for s, a in told.items()
        ]
        scores = Scores.concat([scores, *parts])
    scores.provenance.update(
        run=run.path.name,
        config=run.provenance,
        command=command or scores.provenance["command"],
    )
    scores = refer(
        run.game,
        scores,
        config.evaluate.opponents,
        config.evaluate.reference_layouts,
    )
    scores.save(run.path / "scores.parquet")
    sets = [
        fill_seats(run.game, opponents)
        for opponents in config.evaluate.opponents
    ]
    matches = record_matches(
        run.game, agent, sets, run.config.seed + 2, run.goals
    )
    write_json(run.path / "matches.json", matches)
    if run.plans:
        changing = config.evaluate.opponents if config.evaluate.changes else ()
        evaluate_changes(run, changing, config.evaluate.episodes)
    return scores


def _told(run: Run, opponents: tuple[str, ...]) -> dict[str, Agent]:
    """For each opponent set that the run's model knows player by player, the agent that is told who they are."""
    known = {entry["name"] for entry in run.roster}
    if not run.plans or not opponent_types(run.config.model).players:
        return {}
    seats = {
        text: [str(spec) for spec in fill_seats(run.game, text)]
        for text in opponents
    }
    return {
        text: with_true_types(run.agent(), run, names)
        for text, names in seats.items()
        if set(names) <= known
    }


def learn(
    config: RunConfig,
    path: Path,
    data: Path,
    *,
    resume: bool = False,
    command: str | None = None,
) -> Run:
    """The run at `path`, trained on play at `data`, which is made as far as it is missing.

    With rounds of improvement, the runs in between lie in ``rounds/`` inside it, and all play is one dataset.
    """
    run: Run | None = None
    for number in range(config.improve.rounds + 1):
        last = number == config.improve.rounds
        stage = path if last else path / "rounds" / str(number)
        there = (
            len(open_store(data).manifest.parts)
            if resume and (data / "manifest.json").exists()
            else 0
        )
        if there > number:
            store = open_store(data)
        elif run is None:
            store = collect_for(config, data, command)
        else:
            store = collect_round(run, number - 1, data, command)
        if (
            not last and there > number + 1
        ):  # this round was over: its data has been added to since
            run = load_run(stage)
        else:
            run = train(
                store,
                config,
                path=stage,
                start=run,
                resume=resume,
                command=command,
            )
    assert run is not None
    return run


def run_all(
    config: RunConfig,
    path: str | Path | None = None,
    *,
    resume: bool = False,
    command: str | None = None,
) -> Run:
    """Everything from play to report, in one run directory; with `resume`, what is there already is not done again."""
    config = resolve(config)
    path = (
        fresh_path("runs", make_game(config.game).name.replace(":", "-"))
        if path is None
        else Path(path)
    )
    if (path / "config.json").exists() and not resume:
        raise FileExistsError(
            f"{path} holds a run already. Give another path, or go on with it (--resume)"
        )
    data = (
        path.parent.parent / "datasets" / path.name
        if path.parent.name == "runs"
        else path / "data"
    )
    run = learn(config, path, data, resume=resume, command=command)
    evaluate_run(run, command)
    write_report(path)
    return run
