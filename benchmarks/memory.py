"""Peak memory of collection and training, relative to the rows of the dataset.

A row is one step of one seat. Its size counts each column in its own type, and
observations once: the next observation of a row is that of the row after it. Every step
is a process of its own; its peak (the kernel's `VmHWM`) includes Python, JAX and the
compiler. `anonymous` leaves out pages of files, which the kernel takes back when memory
is short.
"""

import contextlib
import dataclasses
import io
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from benchmarks import timing
from bestreply.config import RunConfig, preset
from bestreply.data.manifest import Manifest
from bestreply.data.store import open_store
from bestreply.data.validate import validate
from bestreply.games.base import Game
from bestreply.replay import loading
from bestreply.run_data import collect_for
from bestreply.train import check_data, train
from bestreply.types import TimeStep

MEGABYTE = 1_000_000
UPDATES, QUICK_UPDATES = 100, 8
"""Gradient steps of each phase."""
SIDE = 84


# -- a game of images ------------------------------------------------------------------


class Spots(eqx.Module):
    """State: the place of each player, and the steps made."""

    place: Array  # [N, 2] int32
    time: Array  # [] int32


@dataclasses.dataclass(frozen=True)
class Pixels(Game):
    """Two players move a spot on an image; together they earn 1."""

    name = "pixels"
    version = 1
    summary = "two spots on an image of bytes"

    max_steps: int = 40

    @property
    def num_players(self) -> int:
        return 2

    @property
    def action_names(self) -> tuple[str, ...]:
        return ("UP", "DOWN", "LEFT", "RIGHT")

    @property
    def obs_shape(self) -> tuple[int, ...]:
        return (SIDE, SIDE, 1)

    @property
    def obs_dtype(self) -> np.dtype:
        return np.dtype(np.uint8)

    def start(self, key: PRNGKeyArray) -> Spots:
        place = jax.random.randint(key, (2, 2), 0, SIDE)
        return Spots(place, jnp.int32(0))

    def advance(
        self, state: Spots, actions: Int[Array, " N"], key: PRNGKeyArray
    ) -> tuple[Spots, Float[Array, " N"]]:
        moves = jnp.array([(-4, 0), (4, 0), (0, -4), (0, 4)])[actions]
        place = (state.place + moves) % SIDE
        near = jnp.abs(place[0] - place[1]).max() < 8
        reward = jnp.where(near, jnp.ones(2), jnp.zeros(2))
        return Spots(place, state.time + 1), reward

    def finished(self, state: Spots) -> Array:
        return state.time >= self.max_steps

    def look(self, state: Spots, reward: Float[Array, " N"]) -> TimeStep:
        axis = jnp.arange(SIDE)
        near = jnp.abs(axis - state.place[..., None]) < 3  # [N, 2, SIDE]
        spots = near[:, 0, :, None] & near[:, 1, None]
        own = jnp.array([[255, 100], [100, 255]])
        obs = (own[..., None, None] * spots).max(1)[..., None]
        return TimeStep(
            obs=obs.astype(jnp.uint8),
            legal=jnp.ones((2, 4), bool),
            reward=reward.astype(jnp.float32),
            terminated=jnp.zeros(2, bool),
            truncated=self.finished(state),
            present=jnp.ones(2, bool),
        )


# -- what runs in a process of its own -------------------------------------------------


def config(name: str, episodes: int, updates: int) -> RunConfig:
    """Return the configuration of a case: the preset demo with few updates."""
    demo = preset("demo")
    few = dataclasses.replace(
        demo.train,
        opponent_updates=updates,
        updates=updates,
        log_every=updates // 4,
        checkpoint_every=updates,
    )
    collect = dataclasses.replace(demo.collect, episodes=episodes)
    result = dataclasses.replace(demo, collect=collect, train=few)
    if name != "pixels":
        return result
    return dataclasses.replace(
        result,
        game="benchmarks.memory:Pixels()",
        collect=dataclasses.replace(collect, players=("random", "always(0)")),
        model=dataclasses.replace(
            demo.model, encoder="mlp", latent=16, width=32, depth=1
        ),
        train=dataclasses.replace(
            few, batch=32, opponent_batch=32, value_batch=32
        ),
    )


class Peak(threading.Thread):
    """Samples the anonymous memory of this process."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.anonymous = 0.0

    def run(self) -> None:
        while True:
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    found = int(line.split()[1]) * 1024 / MEGABYTE
                    self.anonymous = max(self.anonymous, found)
            time.sleep(0.05)


def step(
    kind: str, name: str, episodes: int, updates: int, folder: Path
) -> dict[str, Any]:
    """Make one step of a case in this process; return its seconds and its memory."""
    peak, rates = Peak(), {}
    peak.start()
    began = time.perf_counter()
    last = [began]

    def callback(phase: str, update: int, values: dict[str, Any]) -> None:
        now = time.perf_counter()
        rates[phase] = updates // 4 / (now - last[0])  # the last block counts
        last[0] = now

    setting = config(name, episodes, updates)
    if kind == "collect":
        collect_for(setting, folder / "data")
    elif kind == "validate":
        assert not validate(folder / "data")
    else:
        if kind == "train, mapped":
            loading.MEMORY_FRACTION = 0.0
        data = open_store(folder / "data")
        check_data(data)
        began = time.perf_counter()  # `validate` is a step of its own
        with tempfile.TemporaryDirectory(dir=folder) as path:
            train(data, setting, path=Path(path) / "run", callback=callback)
    return {
        "seconds": time.perf_counter() - began,
        "megabytes": timing.own_peak() * 1024**2 / MEGABYTE,
        "anonymous_megabytes": peak.anonymous,
        "updates_per_second": rates,
    }


# -- the suite -------------------------------------------------------------------------


def row_bytes(manifest: Manifest) -> int:
    """Return the size of a row, each column in its own type and observations once."""
    seats = manifest.num_players
    obs = manifest.obs_size * np.dtype(manifest.obs_dtype).itemsize
    place = 8 + 4 + 2  # episode, step, seat
    lists = manifest.num_actions + seats + 4 * (seats - 1) + 4 * seats
    numbers = 4 + 4 + 4 + 1 + 1 + 4 + 1  # action to goal_source
    return obs + place + lists + numbers


def in_process(
    kind: str, name: str, episodes: int, updates: int, folder: Path
) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.memory"]
    command += [kind, name, str(episodes), str(updates), str(folder)]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    if out.returncode:
        raise RuntimeError(f"{kind} {name}: {out.stderr[-2000:]}")
    return json.loads(out.stdout.strip().splitlines()[-1])


def case(
    name: str, episodes: int, updates: int, kinds: tuple[str, ...]
) -> dict[str, Any]:
    """Measure the steps of one case, on the disk of the working folder."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        steps = {
            kind: in_process(kind, name, episodes, updates, Path(folder))
            for kind in kinds
        }
        data = open_store(Path(folder) / "data")
        size = row_bytes(data.manifest)
        disk = sum(p.stat().st_size for p in data.path.iterdir())
        return {
            "episodes": episodes,
            "rows": data.manifest.rows,
            "row_bytes": size,
            "megabytes_of_rows": data.manifest.rows * size / MEGABYTE,
            "megabytes_on_disk": disk / MEGABYTE,
            "obs_dtype": data.manifest.obs_dtype,
            "steps": steps,
        }


FITS = ("collect", "validate", "train")


def measure(quick: bool) -> dict[str, Any]:
    few, updates = (50, QUICK_UPDATES) if quick else (1, UPDATES)
    in_both = (*FITS, "train, mapped")
    return {
        "unit": "megabytes",
        "updates": updates,
        "cases": {
            "demo's stag hunt": case("demo", 200_000 // few, updates, FITS),
            "images of 84x84 bytes": case(
                "pixels", 8_000 // few, updates, FITS
            ),
            "demo's stag hunt, a million episodes": case(
                "demo", 1_000_000 // few, updates, in_both
            ),
        },
    }


def table(found: dict[str, Any]) -> str:
    """Return the tables of the suite."""
    columns = ["", "episodes", "rows", "type", "bytes of a row", "rows, MB"]
    body = [
        [
            name,
            f"{row['episodes']:,}",
            f"{row['rows']:,}",
            row["obs_dtype"],
            row["row_bytes"],
            timing.short(row["megabytes_of_rows"]),
        ]
        for name, row in found["cases"].items()
    ]
    parts = [
        timing.table(
            [*columns, "on disk, MB"],
            [
                [*cells, timing.short(row["megabytes_on_disk"])]
                for cells, row in zip(
                    body, found["cases"].values(), strict=True
                )
            ],
        )
    ]
    rows = []
    for name, row in found["cases"].items():
        for kind, one in row["steps"].items():
            rates = one["updates_per_second"].values()
            rows.append(
                [
                    name,
                    kind,
                    timing.short(one["seconds"]),
                    timing.short(one["megabytes"]),
                    f"{one['megabytes'] / row['megabytes_of_rows']:.2f}",
                    timing.short(one["anonymous_megabytes"]),
                    ", ".join(map(timing.short, rates)) or "-",
                ]
            )
    parts += [
        "",
        f"Each step in a process of its own; `train` makes {found['updates']} updates of the opponent "
        "model and of the world model (updates/s, in this order); most of its seconds are reading, "
        "beliefs and diagnostics. Mapped: arrays in files, as for data that memory does not "
        "hold. The images are nearly constant, so they take little of the disk. Peak: of the "
        "process, imports included; ratio: to the rows. Anonymous: without pages of mapped files.",
        "",
        timing.table(
            [
                "",
                "step",
                "s",
                "peak, MB",
                "ratio",
                "anonymous, MB",
                "updates/s",
            ],
            rows,
        ),
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    kind, name, episodes, updates, folder = sys.argv[1:]
    with contextlib.redirect_stderr(io.StringIO()):
        result = step(kind, name, int(episodes), int(updates), Path(folder))
    print(json.dumps(result))
