"""Metrics of a run: TensorBoard while it lasts, Parquet to keep.

The x-axis is environment steps: training uses its data at a fixed ratio of updates to environment steps, so update u of U of a phase
stands for ``u / U`` of the data's environment steps. The update is kept beside it.
"""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema([("env_steps", pa.int64()), ("update", pa.int64()), ("name", pa.string()), ("value", pa.float64())])


class MetricsLog:
    """Collects metrics and writes them; `flush` makes what was written so far safe."""

    def __init__(self, folder: Path, env_steps: int, updates: dict[str, int]) -> None:
        """`env_steps`: those of the data; `updates`: of each phase, by its name."""
        self.path = folder / "metrics.parquet"
        self._folder, self._env_steps, self._updates = folder / "tensorboard", env_steps, updates
        self._rows = pq.read_table(self.path).to_pylist() if self.path.exists() else []
        self._writer = None

    def rewind(self, done: dict[str, int]) -> None:
        """Forgets what was logged after the checkpoint that training goes on from."""
        phase = {"opponent": "opponents", "world": "world"}
        self._rows = [r for r in self._rows if r["update"] <= done.get(phase[r["name"].split("/")[0]], 0)]

    def write(self, phase: str, update: int, values: dict[str, float]) -> None:
        steps = round(self._env_steps * update / max(self._updates[phase], 1))
        self._rows += [{"env_steps": steps, "update": update, "name": n, "value": v} for n, v in values.items()]
        if self._writer is None:
            from tensorboardX import SummaryWriter

            self._writer = SummaryWriter(str(self._folder))
        for name, value in values.items():
            self._writer.add_scalar(name, value, steps)

    def flush(self) -> None:
        beside = self.path.with_suffix(".writing")
        pq.write_table(pa.Table.from_pylist(self._rows, SCHEMA), beside)
        os.replace(beside, self.path)

    def close(self) -> None:
        self.flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
