"""Training stops at numbers that are not finite, says why, and keeps finite checkpoints."""

import dataclasses

import jax
import numpy as np
import pyarrow.parquet as pq
import pytest

from bestreply import RunConfig, load_run, train
from bestreply.config import ModelConfig, TrainConfig
from bestreply.data.store import create_store
from bestreply.games import make_game
from bestreply.train import open_training, train_together
from bestreply.training import phases
from bestreply.training.divergence import (
    Diverged,
    check_finite,
    check_measures,
)
from bestreply.utils.checkpoint import (
    DamagedCheckpoint,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from tests.shared import played

CHICKEN = "matrix(table=chicken, rounds=4)"
PLAYERS = ("always_c", "always_d")
ROSTER = [{"name": name, "version": 1} for name in PLAYERS]
CONFIG = RunConfig(
    game=CHICKEN,
    method="behaviour_cloning",
    model=ModelConfig(latent=8, width=8, depth=1),
    train=TrainConfig(updates=6, batch=8, log_every=2, checkpoint_every=2),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "chicken"
    store = create_store(path, make_game(CHICKEN), ROSTER)
    store.append(played(CHICKEN, PLAYERS, 8), seed=0)
    return store


@pytest.fixture
def poisoned(monkeypatch):
    """Parameters become infinite in the block that ends at update 4, of the last seed of a batch."""
    run_updates = phases.run_updates

    def spoiled(config, step, data, train_state, seed, first, updates):
        done, metrics = run_updates(
            config, step, data, train_state, seed, first, updates
        )
        if int(first) + updates == 4:
            leaves, structure = jax.tree.flatten(done)
            weights = np.array(leaves[0])
            weights[..., -1] = np.inf
            if seed.ndim:
                weights[:-1] = np.array(leaves[0])[:-1]
            done = jax.tree.unflatten(structure, [weights, *leaves[1:]])
        return done, metrics

    monkeypatch.setattr(phases, "program_of", lambda *_: spoiled)
    return monkeypatch


def test_a_metric_that_is_not_finite_is_named():
    message = (
        r"phase world, updates 3 to 4: world/obs=inf: expected finite numbers\. "
        r"Lower it"
    )
    metrics = {"world/reward": 1.0, "world/obs": np.inf}
    with pytest.raises(Diverged, match=message):
        check_finite("world", 3, 4, metrics, {}, "Lower it")
    check_finite("world", 3, 4, {"world/obs": 1.0}, {"step": np.int32(3)}, "")


def test_a_parameter_that_is_not_finite_is_named_with_its_seed():
    state = {"net": np.zeros((3, 2), np.float32), "made": np.zeros(3, np.int32)}
    state["net"][1, 0] = np.nan
    with pytest.raises(
        Diverged, match=r"seed 8: phase world, update 4: .*\['net'\] not finite"
    ):
        check_finite("world", 4, 4, {"a": [1.0] * 3}, state, "", [7, 8, 9])


def test_measures_hold_null_but_no_nan():
    check_measures({"value": [{"correlation": None, "rmse": 1.0}]}, "")
    with pytest.raises(Diverged, match=r"value\.rmse=nan on held-out play"):
        check_measures({"value": [{"rmse": float("nan")}]}, "")


def test_a_diverging_run_keeps_its_finite_checkpoint(
    data, poisoned, tmp_path, capsys
):
    path = tmp_path / "run"
    message = (
        r"run: training diverged\. phase policy, updates 3 to 4: parameters .* "
        r"Lower train\.learning_rate=0\.01; rewards here are up to 4\. "
        r"The checkpoint of 2 updates is finite and is kept"
    )
    for resume in (False, True):
        with pytest.raises(Diverged, match=message):
            train(data, CONFIG, path=path, resume=resume)
        assert list_checkpoints(path / "checkpoints") == [2]
        assert not (path / "diagnostics.json").exists()
        rows = pq.read_table(path / "metrics.parquet").to_pylist()
        assert [row["update"] for row in rows] == [2, 4]
    assert "its training is not complete" in warned(path, capsys)
    poisoned.undo()
    train(data, CONFIG, path=path, resume=True)
    assert "not complete" not in warned(path, capsys)


def warned(path, capsys):
    capsys.readouterr()
    load_run(path)
    return " ".join(capsys.readouterr().err.split())


def test_a_batch_names_the_seed_and_keeps_the_checkpoints_of_all(
    data, poisoned, tmp_path
):
    trainings = [
        open_training(
            data,
            dataclasses.replace(CONFIG, seed=seed),
            path=tmp_path / str(seed),
        )
        for seed in (5, 6)
    ]
    with pytest.raises(Diverged, match=r"^seed 6: phase policy"):
        train_together(trainings)
    for seed in "56":
        assert list_checkpoints(tmp_path / seed / "checkpoints") == [2]


def test_a_checkpoint_that_is_not_finite_is_skipped(tmp_path):
    for step, value in ((1, 0.5), (2, np.nan)):
        save_checkpoint(tmp_path, step, {"a": np.float32(value)})
    like = {"a": np.float32(0)}
    assert load_checkpoint(tmp_path, like, finite=True)[0] == 1
    assert load_checkpoint(tmp_path, like)[0] == 2
    with pytest.raises(DamagedCheckpoint, match="not finite: training diverg"):
        load_checkpoint(tmp_path, like, 2, finite=True)


@pytest.mark.parametrize("value", [1e30, np.nan, np.inf])
def test_rewards_that_float32_cannot_square_are_refused(
    tmp_path, value, monkeypatch
):
    store = create_store(tmp_path / "data", make_game(CHICKEN), ROSTER)
    episodes = played(CHICKEN, PLAYERS, 8)
    reward = np.array(episodes.reward)
    reward[0, 0, 0] = value
    monkeypatch.setattr("bestreply.data.writing._refuse_problems", lambda *_: 0)
    store.append(dataclasses.replace(episodes, reward=reward), seed=0)
    with pytest.raises(ValueError, match=r"rewards? .*expected|reward=.*"):
        train(store, CONFIG, path=tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()
