"""`diagnose` in games that are no grid games: decomposed where they can be solved and show their state, else ValueError in words."""

import dataclasses
import importlib.util
import pathlib
import sys
import tempfile

import bestreply as br
from bestreply.analysis.regret import diagnose_run
from bestreply.config import preset
from bestreply.pipeline import config_for_data

GAMES = {"matrix(table=prisoners_dilemma, rounds=2)": "tit_for_tat"}
if importlib.util.find_spec("pyspiel"):
    GAMES["openspiel:matrix_pd"] = "random"


def outcome(spec, player, folder):
    game = br.make_game(spec)
    data = br.collect(game, [player, "random"], 16, 0, path=folder / "data")
    config = preset("debug")
    train = dataclasses.replace(
        config.train, opponent_updates=1, updates=1, log_every=1
    )
    config = config_for_data(dataclasses.replace(config, train=train), data)
    run = br.train(data, config, path=folder / "run")
    try:
        return diagnose_run(run, [player], 4).name
    except ValueError as error:
        return f"told: {error}"


wanted = {"matrix": "regret.json", "openspiel": "told: "}
for spec, player in GAMES.items():
    with tempfile.TemporaryDirectory() as folder:
        answer = outcome(spec, player, pathlib.Path(folder))
    print(spec, answer)
    kind = spec.split("(")[0].split(":")[0]
    if not answer.startswith(wanted[kind]):
        sys.exit(1)
