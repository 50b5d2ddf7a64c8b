"""Seeds as one batch: each as it would be alone, whatever becomes of the others."""

import dataclasses
import json
import shutil
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pyarrow.parquet as pq
import pytest

from bestreply import load_run, open_store, train
from bestreply.config import to_dict
from bestreply.pipeline import evaluate_run
from bestreply.simulation import seed_batch
from bestreply.sweeps import batch
from bestreply.sweeps.batch import (
    bytes_per_seed,
    group_by_setting,
    seeds_that_fit,
    train_batch,
)
from bestreply.sweeps.run_sweep import _collect, _remove_changed, run_sweep
from bestreply.sweeps.sweep import read_sweep
from bestreply.train import open_training, train_together
from bestreply.training.divergence import Diverged
from bestreply.utils.checkpoint import list_checkpoints, load_checkpoint

TRAIN = sys.modules["bestreply.train"]  # `bestreply.train` is the function

TINY = """
preset = "debug"
seeds = [0, 3, 5]
game = "matrix(table=chicken, rounds=3)"

[config]
collect = {episodes = 60, players = ["random", "always_c"]}
model = {latent = 4, width = 8}
evaluate = {episodes = 8, methods = ["agent"], reference_layouts = 0}
[config.train]
optimiser = "adamw"
opponent_updates = 4
opponent_batch = 8
updates = 4
batch = 8
value_batch = 8
log_every = 2
checkpoint_every = 2

[methods.plain]
"""
QUICK = TINY + 'method = "behaviour_cloning"\n'


def sweep_of(folder, text=TINY):
    (folder / "tiny.toml").write_text(text)
    return read_sweep(folder / "tiny.toml", folder / "out")


@pytest.fixture
def sweep(tmp_path):
    """Three seeds whose play is there, of a method that compiles soon."""
    found = sweep_of(tmp_path, QUICK)
    for path, config in found.data.items():
        _collect(path, config, None)
    return found


def metrics(path):
    return pq.read_table(path / "metrics.parquet").to_pylist()


def leaves(path, unit):
    """Of the newest checkpoint in `path`."""
    like = open_training(
        open_store(unit.data), unit.config, path=path, resume=True
    ).train_state
    return jax.tree.leaves(load_checkpoint(path / "checkpoints", like)[1])


def check_as_alone(unit, folder):
    """What was trained in a batch against the same seed trained alone."""
    train(open_store(unit.data), unit.config, path=folder / "alone")
    mine, alone = metrics(unit.path), metrics(folder / "alone")
    for name in ("env_steps", "update", "name"):
        assert [row[name] for row in mine] == [row[name] for row in alone]
    np.testing.assert_allclose(
        [r["value"] for r in mine],
        [r["value"] for r in alone],
        rtol=1e-3,
        atol=1e-5,
    )
    assert list_checkpoints(unit.path / "checkpoints") == list_checkpoints(
        folder / "alone" / "checkpoints"
    )
    for a, b in zip(
        leaves(unit.path, unit), leaves(folder / "alone", unit), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-3)


MORE = {
    "agent": "",
    "cloning": 'method = "behaviour_cloning"\n',
    "codes": '[methods.plain.model]\nopponent_types = "code"\n',
    "subgoals": '[methods.plain.model]\nopponent_types = "code"\ncode_horizon = 2\n',
    "improved": '[methods.plain.model]\nvalue_heads = "action"\n'
    '[methods.plain.train]\ntarget = "improved"\nvalue_updates = 4\nimagined_games = 4\n',
}


@pytest.mark.parametrize(
    "method",
    [
        "cloning",
        *(
            pytest.param(m, marks=pytest.mark.slow)
            for m in ("agent", "codes", "subgoals", "improved")
        ),
    ],
)
def test_a_seed_of_a_batch_is_as_it_is_alone(method, tmp_path):
    found = sweep_of(
        tmp_path, TINY.replace("[0, 3, 5]", "[0, 3]") + MORE[method]
    )
    for path, config in found.data.items():
        _collect(path, config, None)
    assert train_batch(found.units, None, None) == 2
    check_as_alone(found.units[1], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["agent", "cloning"])
def test_a_seed_is_evaluated_in_a_batch_as_alone(method, tmp_path, monkeypatch):
    """Scores are equal; each seed has its matches and its report."""
    text = TINY.replace("[0, 3, 5]", "[0, 3]") + MORE[method]
    found = sweep_of(tmp_path, text)
    sizes, mapped = [], seed_batch._mapped

    def noted(function, fixed, arrays):
        sizes.append(len(arrays))
        return mapped(function, fixed, arrays)

    monkeypatch.setattr(seed_batch, "_mapped", noted)
    assert run_sweep(found, batch=2) == [] and set(sizes) == {2}
    for unit in found.units:
        assert (unit.path / "report.html").exists() and unit.is_complete
        together = pq.read_table(unit.path / "scores.parquet")
        played = json.loads((unit.path / "matches.json").read_text())
        evaluate_run(load_run(unit.path))
        assert pq.read_table(unit.path / "scores.parquet").equals(together)
        alone = json.loads((unit.path / "matches.json").read_text())
        assert [m["return"] for m in played] == [m["return"] for m in alone]


@pytest.fixture
def lots(monkeypatch):
    """The seeds of each batch that is trained."""
    seeds = []

    def noted(lot):
        seeds.append([training.run.config.seed for training in lot])
        train_together(lot)

    monkeypatch.setattr(TRAIN, "train_together", noted)
    return seeds


def test_a_sweep_in_batches(sweep, lots, tmp_path, monkeypatch):
    """One seed's play is lost: the others are trained together all the same, and what is done is not done again."""
    monkeypatch.setattr(
        "bestreply.pipeline.evaluate_run", lambda run, command: None
    )
    monkeypatch.setattr("bestreply.report.write_report", lambda path: None)
    monkeypatch.setattr(
        "bestreply.sweeps.run_sweep._collect",
        lambda path, config, command: None,
    )
    first, _, lost = sweep.units
    shutil.move(lost.data, tmp_path / "kept")
    assert (
        run_sweep(sweep, batch=8) == [lost]
        and lots == [[0, 3]]
        and lost.error.exists()
    )
    told = json.loads((first.path / "unit.json").read_text())
    assert told["seconds"] > 0 and not told["resumed"]
    assert json.loads((first.path / "provenance.json").read_text())["seed"] == 0
    assert (first.path / "diagnostics.json").exists()
    before = metrics(first.path)
    shutil.move(tmp_path / "kept", lost.data)
    assert (
        run_sweep(sweep, batch=8) == []
        and lots == [[0, 3]]
        and metrics(first.path) == before
    )


def test_units_that_were_stopped_at_different_places(sweep, lots):
    """Those that are as far as one another go on together; who is alone waits for its own turn."""
    for unit in sweep.units[:2]:
        training = open_training(
            open_store(unit.data), unit.config, path=unit.path
        )
        counted = eqx.tree_at(
            lambda s: s.updates, training.train_state, jnp.int32(2)
        )
        training.save(counted)
    assert train_batch(sweep.units, None, None) == 3 and lots == [[0, 3]]
    done = [list_checkpoints(unit.path / "checkpoints") for unit in sweep.units]
    assert done == [[2, 4], [2, 4], []]
    assert train_batch(sweep.units, None, None) == 3 and lots == [[0, 3]]


def test_a_seed_that_is_lost_leaves_the_others_alone(sweep):
    """Numbers that are not finite stay with the seed that has them."""
    lot = [
        open_training(open_store(unit.data), unit.config, path=unit.path)
        for unit in sweep.units[:2]
    ]
    lost = jax.tree.map(
        lambda x: x * jnp.nan if eqx.is_inexact_array(x) else x,
        lot[0].train_state,
    )
    seed = sweep.units[0].config.seed
    with pytest.raises(Diverged, match=f"^seed {seed}: phase policy"):
        train_together([dataclasses.replace(lot[0], train_state=lost), lot[1]])
    finite = [
        np.isfinite([row["value"] for row in metrics(unit.path)])
        for unit in sweep.units[:2]
    ]
    assert not finite[0].any() and finite[1].all()


def test_a_batch_that_fails_leaves_its_units_to_themselves(
    sweep, monkeypatch, capsys
):
    def fails(lot):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(TRAIN, "train_together", fails)
    assert train_batch(sweep.units, None, 2) == 2
    assert (
        "the batch failed, its seeds are trained one by one: out of memory"
        in capsys.readouterr().err
    )


def test_who_can_be_trained_together(tmp_path):
    methods = "[methods.ppo]\nmethod = 'ppo'\n[methods.told.train]\nwandb = 'project'\n[methods.wide.model]\nwidth = 16\n"
    groups = [
        [(unit.path.parent.name, unit.config.seed) for unit in group]
        for group in group_by_setting(sweep_of(tmp_path, TINY + methods).units)
    ]
    assert [("plain", 0), ("plain", 3), ("plain", 5)] in groups and [
        ("wide", 0),
        ("wide", 3),
        ("wide", 5),
    ] in groups
    assert {
        len(group) for group in groups if group[0][0] in ("ppo", "told")
    } == {1} and len(groups) == 8


def test_as_many_at_once_as_memory_allows(sweep, monkeypatch):
    unit = sweep.units[0]
    training = open_training(open_store(unit.data), unit.config, path=unit.path)
    each = bytes_per_seed(training)
    assert each > 3 * training.buffer.episodes.obs.nbytes
    for seeds, free in ((1, 0), (1, 3 * each), (2, 5 * each), (10, 20 * each)):
        monkeypatch.setattr(batch, "free_memory", lambda free=free: free)
        assert seeds_that_fit(training) == seeds
    monkeypatch.setattr(TRAIN, "train_together", lambda lot: None)
    assert train_batch(sweep.units, None, 8) == 3
    monkeypatch.setattr(batch, "free_memory", lambda: 4 * each)
    assert train_batch(sweep.units, None, 8) == 2
    monkeypatch.undo()
    assert batch.free_memory() > 0


def test_what_was_begun_before_the_file_was_changed(sweep, tmp_path):
    unit = sweep.units[0]
    open_training(open_store(unit.data), unit.config, path=unit.path)
    changed = sweep_of(tmp_path, QUICK.replace("width = 8", "width = 16")).units
    with pytest.raises(
        ValueError,
        match=r"\(then and now: model.width: 8 and 16\).*in a sweep: bestreply sweep FILE --restart-changed",
    ):
        open_training(
            open_store(unit.data),
            changed[0].config,
            path=unit.path,
            resume=True,
        )
    _remove_changed(sweep.units)
    assert unit.is_started
    _remove_changed(changed)
    assert not unit.path.exists() and unit.data.exists()
    open_training(open_store(unit.data), unit.config, path=unit.path)
    older = to_dict(unit.config) | {
        "baseline": {}
    }  # a field of another version
    (unit.path / "config.json").write_text(json.dumps(older))
    _remove_changed(sweep.units)
    assert not unit.path.exists()
