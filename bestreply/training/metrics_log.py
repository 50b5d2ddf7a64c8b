"""Metrics of a run: TensorBoard while it lasts, Parquet to keep, and Weights & Biases where it is asked for.

The x-axis is environment steps: training uses its data at a fixed ratio of updates to environment steps, so update u of U of a phase
stands for ``u / U`` of the data's environment steps; a method that plays itself counts its own. The update is kept beside it.
"""

import secrets
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bestreply.utils.files import replacing, write_text

SCHEMA = pa.schema(
    [
        ("env_steps", pa.int64()),
        ("update", pa.int64()),
        ("name", pa.string()),
        ("value", pa.float64()),
    ]
)


class MetricsLog:
    """Collects metrics and writes them; `flush` makes what was written so far safe.

    A run that begins with another run's networks goes on with its metrics: environment steps and updates count on.
    """

    def __init__(
        self,
        folder: Path,
        env_steps: int,
        updates: dict[str, int],
        before: Path | None = None,
        *,
        wandb: str = "",
        config: dict[str, Any] | None = None,
    ) -> None:
        """`env_steps`: those of all the data; `updates` of each phase; `before`: the directory of the run begun from; `wandb`: a project
        of Weights & Biases, which is told `config`.

        Raises ValueError where that package is asked for and not installed.
        """
        self.path = folder / "metrics.parquet"
        earlier = (
            pq.read_table(before / "metrics.parquet").to_pylist()
            if before
            else []
        )
        self._folder, self._updates = folder / "tensorboard", updates
        self._first_step, self._last_step = (
            max((r["env_steps"] for r in earlier), default=0),
            env_steps,
        )
        self._first = {
            phase: self._last_update(earlier, phase) for phase in self._updates
        }
        self._rows = (
            pq.read_table(self.path).to_pylist()
            if self.path.exists()
            else earlier
        )
        self._writer = None
        self._wandb = (
            begin_wandb(wandb, folder, config or {}) if wandb else None
        )

    @staticmethod
    def _phase(name: str) -> str:
        kind = name.partition("/")[0]
        return "opponents" if kind == "opponent" else kind

    def _last_update(self, rows: list[dict[str, Any]], phase: str) -> int:
        return max(
            (r["update"] for r in rows if self._phase(r["name"]) == phase),
            default=0,
        )

    def rewind(self, done: dict[str, int]) -> None:
        """Forgets what was logged after the checkpoint that training goes on from: so many updates of each phase were `done`."""
        self._rows = [
            r
            for r in self._rows
            if r["update"] <= self._first[p := self._phase(r["name"])] + done[p]
        ]

    def write(
        self,
        phase: str,
        update: int,
        values: dict[str, float],
        env_steps: int | None = None,
    ) -> None:
        """What `values` were after so many updates of `phase`; `env_steps` where training plays itself and knows better."""
        share = update / max(self._updates[phase], 1)
        steps = round(
            self._first_step + share * (self._last_step - self._first_step)
        )
        steps = steps if env_steps is None else env_steps
        number = self._first[phase] + update
        self._rows += [
            {"env_steps": steps, "update": number, "name": n, "value": v}
            for n, v in values.items()
        ]
        if self._writer is None:
            from tensorboardX import SummaryWriter

            self._writer = SummaryWriter(str(self._folder))
        for name, value in values.items():
            self._writer.add_scalar(name, value, steps)
        if self._wandb is not None:
            self._wandb.log(values | {"env_steps": steps})

    def flush(self) -> None:
        with replacing(self.path) as beside:
            pq.write_table(pa.Table.from_pylist(self._rows, SCHEMA), beside)

    def close(self) -> None:
        self.flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._wandb is not None:
            self._wandb.finish()
            self._wandb = None


def begin_wandb(project: str, folder: Path, config: dict[str, Any]) -> Any:
    """A run of Weights & Biases, the same one whenever the run in `folder` goes on; every metric against environment steps."""
    try:
        import wandb as _wandb  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError(
            f'train.wandb={project!r} needs the package wandb: pip install "bestreply[wandb]"; or leave train.wandb empty'
        ) from error
    wandb: Any = _wandb
    known = folder / "wandb_id"
    name = known.read_text().strip() if known.exists() else secrets.token_hex(8)
    write_text(known, name + "\n")
    run = wandb.init(
        project=project,
        dir=str(folder),
        name=folder.name,
        id=name,
        resume="allow",
        config=config,
    )
    run.define_metric("*", step_metric="env_steps")
    return run
