"""Small valid files to damage: a dataset, a run with two checkpoints, a sweep, a table. No program is compiled."""

import copy
import dataclasses
import json
import os
import shutil
import socket
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bestreply.config import CollectConfig, RunConfig, preset, to_dict
from bestreply.data.store import create_store, open_store
from bestreply.games import make_game
from bestreply.pipeline import resolve
from bestreply.run import Method, load_method, open_run
from bestreply.scores.returns import SCHEMA, Scores
from bestreply.training.metrics_log import MetricsLog
from bestreply.types import Episodes
from bestreply.utils.checkpoint import save_checkpoint

GAME = "matrix(table=chicken, rounds=3)"
ROSTER = ({"name": "always_c", "version": 1}, {"name": "random", "version": 1})
OLDER, NEWER = 2, 4
"""Steps of the two checkpoints of the run."""
REPORTED = Path(__file__).parent / "reported"
"""The files that a report shows, of a run of the preset debug: matches, regret, ..."""
Files = dict[str, bytes]
"""Content by path below a folder."""


class Samples:
    """Valid files in memory, and a scratch folder to lay damaged ones down in."""

    def __init__(self, scratch: Path, device: str = "/dev/zero") -> None:
        """Make the files.

        Args:
            scratch: an empty folder.
            device: what a link in place of a file leads to; the default never ends.
        """
        self.scratch, self.device = scratch, device
        self.game = make_game(GAME)
        dataset = scratch / "dataset"
        _make_dataset(dataset)
        self.dataset: Files = read_files(dataset)
        self.part = next(n for n in self.dataset if n.endswith(".parquet"))
        self.rows = pq.read_table(dataset / self.part)
        _make_run(scratch / "run", dataset)
        self.run: Files = read_files(scratch / "run")
        self.config = json.loads(self.run["config.json"])
        self.reported: Files = read_files(REPORTED)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Content of the dataset's manifest."""
        return json.loads(self.dataset["manifest.json"])

    @cached_property
    def table(self) -> pa.Table:
        """The rows of the dataset, as a reader returns them."""
        return open_store(self.lay("table", self.dataset)).table()

    @cached_property
    def method(self) -> Method:
        """The method of the run."""
        return load_method(self.config["method"])

    @cached_property
    def shapes(self) -> Any:
        """Shapes of the run's train state."""
        config = RunConfig(**_configuration(self.config))
        return _shapes(self.method, config)

    def lay(self, name: str, files: Files) -> Path:
        """Write files to a folder of the scratch folder, and nothing else there.

        Args:
            name: name of the folder.
            files: its content.

        Returns:
            The folder.
        """
        folder = self.scratch / name
        if folder.exists():
            shutil.rmtree(folder)
        for path, data in files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return folder

    def fresh_manifest(self) -> dict[str, Any]:
        """Return a copy of the manifest that may be changed."""
        return copy.deepcopy(self.manifest)


def no_regular_file(draw: Random, path: Path, device: str = "/dev/null") -> str:
    """Put something in place of a file that is no regular file, or nothing.

    Args:
        draw: source of the draws.
        path: the file.
        device: what a link leads to.

    Returns:
        What stands there now.
    """
    if path.exists():
        path.unlink()
    what = draw.choice(
        ("nothing", "folder", "pipe", "loop", "socket", "empty", "device")
    )
    if what == "folder":
        path.mkdir(parents=True)
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "loop":
        path.symlink_to(path.name)
    elif what == "socket":
        handle = socket.socket(socket.AF_UNIX)
        here = os.getcwd()
        os.chdir(path.parent)  # the path of a socket is short
        handle.bind(path.name)
        os.chdir(here)
        handle.close()
    elif what == "empty":
        path.write_bytes(b"")
    elif what == "device":
        path.symlink_to(device)
    return what


def read_files(folder: Path) -> Files:
    """Return the content of all files below a folder.

    Args:
        folder: the folder.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _make_dataset(path: Path) -> None:
    game = make_game(GAME)
    store = create_store(path, game, ROSTER)
    for seed in (0, 1):
        store.append(_episodes(store.manifest.obs_shape, seed), seed=seed)


def _episodes(
    obs_shape: tuple[int, ...], seed: int, count: int = 4
) -> Episodes:
    """Return valid episodes of random numbers: 3 rounds, 2 seats, 2 actions."""
    rng = np.random.default_rng(seed)
    steps, seats, actions = 3, 2, 2
    whole, step = (count, steps + 1, seats), (count, steps, seats)
    terminated = np.zeros(step, bool)
    terminated[:, -1] = True
    present = np.ones(whole, bool)
    present[:, -1] = False
    return Episodes(
        obs=rng.random((*whole, *obs_shape)).astype(np.float32),
        legal=np.ones((*whole, actions), bool),
        present=present,
        action=rng.integers(0, actions, step).astype(np.int32),
        prob=np.full(step, 0.5, np.float32),
        reward=rng.integers(0, 5, step).astype(np.float32),
        terminated=terminated,
        truncated=np.zeros(step[:2], bool),
        length=np.full(count, steps, np.int32),
        player=rng.integers(0, 2, (count, seats)).astype(np.int32),
        goal=np.full(step, -1, np.int32),
        goal_source=np.zeros(step, np.int8),
    )


def _make_run(path: Path, dataset: Path) -> None:
    data = open_store(dataset)
    small = dataclasses.replace(
        preset("debug").model, latent=4, width=4, depth=1
    )
    config = dataclasses.replace(preset("debug"), model=small, game=GAME)
    players = CollectConfig(players=tuple(p["name"] for p in ROSTER))
    config = resolve(dataclasses.replace(config, collect=players))
    run = open_run(path, config, data, resume=False, command="bestreply train")
    shapes = eqx.filter_eval_shape(
        run.method.start, run.config, run.game, run.roster
    )
    for step in (OLDER, NEWER):
        state = train_state(shapes, step)
        save_checkpoint(path / "checkpoints", step, state)
    _make_scores(path, run.provenance)
    log = MetricsLog(path, data.manifest.steps, {"world": 60})
    log.path.parent.mkdir(exist_ok=True)
    rows = [
        {"env_steps": 8 * k, "update": k, "name": name, "value": 1.0 / (1 + k)}
        for name in ("world/obs", "world/reward", "opponent/log_loss")
        for k in range(3)
    ]
    pq.write_table(pa.Table.from_pylist(rows), log.path)
    log.close()


def train_state(shapes: Any, seed: int) -> Any:
    """Return a train state of these shapes, filled with numbers.

    Args:
        shapes: PyTree of `jax.ShapeDtypeStruct`.
        seed: decides the numbers.
    """
    rng = np.random.default_rng(seed)

    def fill(leaf: Any) -> np.ndarray:
        return rng.integers(0, 9, leaf.shape).astype(leaf.dtype)

    return jax.tree.map(fill, eqx.filter(shapes, _is_shape))


def _is_shape(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def _make_scores(path: Path, facts: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    rows = [
        {
            "method": method,
            "opponents": opponents,
            "seed": 0,
            "episode": episode,
            "seat": episode % 2,
            "length": 3,
            "return": float(rng.integers(0, 9)),
        }
        for method in ("agent", "random")
        for opponents in ("1 always_c", "1 random")
        for episode in range(6)
    ]
    table = pa.Table.from_pylist(rows, SCHEMA)
    Scores(table, {"seed": 0, "config": facts}).save(path / "scores.parquet")


def _configuration(data: dict[str, Any]) -> dict[str, Any]:
    from bestreply.config import from_dict

    config = from_dict(RunConfig, data)
    return {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}


def _shapes(method: Method, config: RunConfig) -> Any:
    game = make_game(config.game)
    return eqx.filter_eval_shape(method.start, config, game, list(ROSTER))


def plain_config() -> dict[str, Any]:
    """Return the preset debug as plain data."""
    return to_dict(preset("debug"))
