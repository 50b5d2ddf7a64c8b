"""Metrics sent to Weights & Biases, only where the configuration asks for it."""

import sys
import types

import pytest

from bestreply.training.metrics_log import MetricsLog


@pytest.fixture
def wandb(monkeypatch):
    """A stand-in for the package, which records what it receives."""

    class Run(list):
        define_metric = finish = lambda self, *_, **__: None

        def log(self, values, step):
            self.append(values | {"step": step})

    module = types.ModuleType("wandb")
    module.runs = []

    def init(**settings):
        module.runs.append((settings, Run()))
        return module.runs[-1][1]

    module.init = init
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def test_a_resumed_run_continues_its_run_of_wandb(wandb, tmp_path):
    settings = {"wandb": "project", "config": {"seed": 3}}
    for update in (1, 2):
        log = MetricsLog(tmp_path, 100, {"world": 2}, **settings)
        log.write("world", update, {"world/obs": 0.5})
        log.close()
    (first, rows), (second, later_rows) = wandb.runs
    assert rows == [{"world/obs": 0.5, "env_steps": 50, "step": 0}]
    assert later_rows == [{"world/obs": 0.5, "env_steps": 100, "step": 1}]
    assert first["project"] == "project" and first["config"] == {"seed": 3}
    assert first["dir"] == str(tmp_path)
    assert first["id"] == second["id"] and first["resume"] == "allow"


def test_nothing_is_sent_by_default(wandb, tmp_path):
    log = MetricsLog(tmp_path, 100, {"world": 2})
    log.write("world", 1, {"world/obs": 0.5})
    log.close()
    assert wandb.runs == []


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    message = r"train.wandb=project: expected the package wandb: pip install"
    with pytest.raises(ValueError, match=message):
        MetricsLog(tmp_path, 100, {"world": 2}, wandb="project")
