"""Metrics: what Weights & Biases is told, where it is asked for, and that nothing is told without."""

import sys
import types

import pytest

from bestreply.training.metrics_log import MetricsLog


@pytest.fixture
def wandb(monkeypatch):
    """Stands for the package; remembers what it is told."""

    class Run(list):
        define_metric = finish = lambda self, *_, **__: None

        def log(self, values):
            self.append(values)

    module = types.ModuleType("wandb")
    module.runs = []

    def init(**settings):
        module.runs.append((settings, Run()))
        return module.runs[-1][1]

    module.init = init
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def test_a_run_that_goes_on_is_the_same_run_there(wandb, tmp_path):
    for update in (1, 2):
        log = MetricsLog(
            tmp_path,
            100,
            {"world": 2},
            wandb="project",
            config={"seed": 3},
        )
        log.write("world", update, {"world/obs": 0.5})
        log.close()
    (first, told), (second, told_then) = wandb.runs
    assert told == [{"world/obs": 0.5, "env_steps": 50}] and told_then == [
        {"world/obs": 0.5, "env_steps": 100}
    ]
    assert (
        first["project"] == "project"
        and first["config"] == {"seed": 3}
        and first["dir"] == str(tmp_path)
    )
    assert first["id"] == second["id"] and first["resume"] == "allow"


def test_nothing_is_told_unless_asked(wandb, tmp_path):
    log = MetricsLog(tmp_path, 100, {"world": 2})
    log.write("world", 1, {"world/obs": 0.5})
    log.close()
    assert wandb.runs == []


def test_what_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(
        ValueError,
        match=r"train.wandb=project: expected the package wandb: pip install",
    ):
        MetricsLog(tmp_path, 100, {"world": 2}, wandb="project")
