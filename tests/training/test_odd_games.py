"""Games with roles, pixels and hidden state, from play to returns."""

import dataclasses

import numpy as np
import pytest

import bestreply as br
from bestreply.config import (
    CollectConfig,
    ModelConfig,
    PlannerConfig,
    RunConfig,
    TrainConfig,
)
from tests.models.odd_games import Corridor, Pixels, Roles

pytestmark = pytest.mark.slow

MODEL = ModelConfig(latent=16, width=32, depth=1)
TRAIN = TrainConfig(
    opponent_updates=30,
    opponent_batch=64,
    updates=300,
    history_updates=10,
    anchor_updates=10,
    trial_episodes=0,
    batch=64,
    value_batch=64,
    value_updates=100,
    imagined_games=32,
    target_tau=0.05,
    log_every=100,
    checkpoint_every=1000,
)


def trained(game, path, episodes=300, method="agent", train=None, **model):
    """A run of `game` on random play."""
    players = ["random"] * game.num_players
    data = br.collect(
        game, players=players, episodes=episodes, seed=0, path=path / "data"
    )
    config = RunConfig(
        game=game,
        method=method,
        model=dataclasses.replace(MODEL, **model),
        train=dataclasses.replace(TRAIN, **(train or {})),
        planner=PlannerConfig(samples=4),
        collect=CollectConfig(players=("random",), episodes=episodes),
    )
    return br.train(data, config, path=path / "run")


def mean_return(player, game, seats=(0,), episodes=300):
    """Its mean return among random players, in some seats."""
    others = ["random"] * (game.num_players - 1)
    table = br.evaluate(
        game, players=[player, *others], episodes=episodes, seed=1
    ).table
    chosen = np.isin(np.asarray(table["seat"]), seats)
    return float(np.asarray(table["return"])[chosen].mean())


@pytest.mark.parametrize(
    ("method", "model", "train"),
    [
        ("agent", {}, {}),
        (
            "agent",
            {"value_heads": "action", "opponent_types": "code"},
            {"target": "improved"},
        ),
        ("iql", {}, {}),
        ("ppo_recurrent", {}, {}),
    ],
)
def test_roles_and_numbers_of_any_size(tmp_path, method, model, train):
    game = Roles()
    run = trained(game, tmp_path, method=method, train=train, **model)
    if method == "ppo_recurrent":  # too few steps to learn from
        assert mean_return(run.player(), game) > 600
        return
    # random: 1 of 3; the number that pays is in ten thousands and is seen
    assert mean_return(run.player(), game, seats=(1, 2)) > 2.5
    if method == "agent":
        (row,) = [
            row
            for row in run.method.diagnose(run, _held_out(game))["open_loop"]
            if row["steps"] == 1
        ]
        assert row["accuracy"] == 1  # the marks


def _held_out(game):
    from tests.shared import played

    return played(game, ("random",) * game.num_players, 20, 5)


def test_a_game_with_an_empty_seat(tmp_path):
    game = Roles(empty=True)
    run = trained(game, tmp_path)
    assert mean_return(run.player(), game, seats=(1,)) > 2.5


def test_pixels(tmp_path):
    game = Pixels(side=40, channels=1)
    train = {"updates": 120, "batch": 32, "learning_rate": 3e-3}
    model = {"encoder": "cnn", "opponents": "recurrent"}
    run = trained(game, tmp_path, episodes=64, train=train, **model)
    assert mean_return(run.player(), game, episodes=60) > 140  # of 150


@pytest.mark.parametrize("memory", ["gru", "none"])
def test_hidden_state_needs_a_memory(tmp_path, memory):
    """The side that pays is shown at the first of six steps alone."""
    game = Corridor()
    train = {"opponent_updates": 1, "updates": 400}
    run = trained(game, tmp_path, 1000, memory=memory, context=6, train=train)
    found = mean_return(run.player(), game, episodes=400)
    if memory == "gru":
        assert found > 0.95
    else:
        assert found == pytest.approx(0.5, abs=0.1)
