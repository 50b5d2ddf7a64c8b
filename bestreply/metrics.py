"""Metrics of a run: TensorBoard while it lasts, Parquet to keep.

The x-axis is environment steps: training uses its data at a fixed ratio of updates to environment steps, so update u of U of a phase
stands for ``u / U`` of the data's environment steps. The update is kept beside it.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bestreply.files import replacing

SCHEMA = pa.schema(
    [("env_steps", pa.int64()), ("update", pa.int64()), ("name", pa.string()), ("value", pa.float64())]
)


class MetricsLog:
    """Collects metrics and writes them; `flush` makes what was written so far safe.

    A run that begins with another run's networks goes on with its metrics: environment steps and updates count on.
    """

    def __init__(
        self, folder: Path, env_steps: int, updates: dict[str, int], before: Path | None = None
    ) -> None:
        """`env_steps`: those of all the data; `updates` of each phase; `before`: the directory of the run begun from."""
        self.path = folder / "metrics.parquet"
        earlier = pq.read_table(before / "metrics.parquet").to_pylist() if before else []
        self._folder, self._updates = folder / "tensorboard", updates
        self._first_step, self._last_step = max((r["env_steps"] for r in earlier), default=0), env_steps
        self._first = {phase: self._last_update(earlier, phase) for phase in self._updates}
        self._rows = pq.read_table(self.path).to_pylist() if self.path.exists() else earlier
        self._writer = None

    @staticmethod
    def _phase(name: str) -> str:
        kind = name.partition("/")[0]
        return "opponents" if kind == "opponent" else kind

    def _last_update(self, rows: list[dict[str, Any]], phase: str) -> int:
        return max((r["update"] for r in rows if self._phase(r["name"]) == phase), default=0)

    def rewind(self, done: dict[str, int]) -> None:
        """Forgets what was logged after the checkpoint that training goes on from: so many updates of each phase were `done`."""
        self._rows = [
            r for r in self._rows if r["update"] <= self._first[p := self._phase(r["name"])] + done[p]
        ]

    def write(self, phase: str, update: int, values: dict[str, float]) -> None:
        share = update / max(self._updates[phase], 1)
        steps = round(self._first_step + share * (self._last_step - self._first_step))
        number = self._first[phase] + update
        self._rows += [
            {"env_steps": steps, "update": number, "name": n, "value": v} for n, v in values.items()
        ]
        if self._writer is None:
            from tensorboardX import SummaryWriter

            self._writer = SummaryWriter(str(self._folder))
        for name, value in values.items():
            self._writer.add_scalar(name, value, steps)

    def flush(self) -> None:
        with replacing(self.path) as beside:
            pq.write_table(pa.Table.from_pylist(self._rows, SCHEMA), beside)

    def close(self) -> None:
        self.flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
