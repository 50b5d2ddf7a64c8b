"""The whole flow as one experiment: collect, train, evaluate, report."""

from pathlib import Path
from typing import Any

from bestreply.collect import collect
from bestreply.config import RunConfig
from bestreply.console import fresh_path
from bestreply.data.store import Store, open_store
from bestreply.evaluate import Scores, evaluate_all, fill_seats, record_match
from bestreply.files import write_json
from bestreply.games import make_game
from bestreply.report import write_report
from bestreply.run import Run, load_run
from bestreply.train import train


def collect_for(config: RunConfig, path: str | Path, command: str | None = None) -> Store:
    """Play by `config.collect`: every seat draws one of the players for every episode."""
    game = make_game(config.game)
    names = config.collect.players
    seat = names[0] if len(names) == 1 else f"mixture({', '.join(names)})"
    return collect(game, [seat] * game.num_players, config.collect.episodes, config.seed, path=path, command=command)


def evaluate_run(run: Run, command: str | None = None) -> Scores:
    """Plays the run's methods against its opponent sets; writes ``scores.parquet`` and ``matches.json`` into the run."""
    config, agent = run.config.evaluate, run.agent()
    methods: dict[str, Any] = {}
    for method in config.methods:
        if method == "data_players":
            methods |= {entry["name"]: entry["name"] for entry in run.roster}
        else:
            methods[method] = {"agent": agent, "uniform_others": None}.get(method, method)
    if "uniform_others" in methods:
        methods["uniform_others"] = run.agent(opponents="uniform")
    scores = evaluate_all(run.game, methods, config.opponents, config.episodes, run.config.seed + 1)
    scores.provenance.update(run=run.path.name, config=run.provenance, command=command or scores.provenance["command"])
    scores.save(run.path / "scores.parquet")
    matches = [
        record_match(run.game, agent, fill_seats(run.game, opponents), run.config.seed + 2, run.goals) for opponents in config.opponents
    ]
    write_json(run.path / "matches.json", matches)
    return scores


def run_all(config: RunConfig, path: str | Path | None = None, *, resume: bool = False, command: str | None = None) -> Run:
    """Everything from play to report, in one run directory; with `resume`, what is there already is not done again."""
    path = fresh_path("runs", make_game(config.game).name.replace(":", "-")) if path is None else Path(path)
    data = path.parent.parent / "datasets" / path.name if path.parent.name == "runs" else path / "data"
    whole = resume and (data / "manifest.json").exists() and open_store(data).manifest.episodes > 0
    store = open_store(data) if whole else collect_for(config, data, command)
    train(store, config, path=path, resume=resume, command=command)
    run = load_run(path)
    evaluate_run(run, command)
    write_report(path)
    return run
