"""The metrics of a run: TensorBoard while it trains, Parquet to keep, and optionally Weights & Biases.

The x-axis is environment steps. Training uses its data at a fixed ratio of updates to
environment steps, so update u of U of a phase stands for ``u / U`` of the data's
environment steps; a method that plays itself counts its own. The update is kept beside it.
"""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bestreply.training.event_file import EventFile, rewrite
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
    """Collects metrics and writes them.

    A run that starts with another run's networks continues that run's metrics:
    environment steps and updates are counted on.
    """

    def __init__(
        self,
        folder: Path,
        env_steps: int,
        updates: dict[str, int],
        previous: Path | None = None,
        *,
        wandb: str = "",
        config: dict[str, Any] | None = None,
    ) -> None:
        """Open the log of a run.

        Args:
            folder: the run directory.
            env_steps: environment steps of all the data.
            updates: number of updates of each phase.
            previous: directory of the run whose networks this one started with.
            wandb: project of Weights & Biases; empty: none.
            config: the configuration that is sent there.

        Raises:
            ValueError: the package wandb is asked for and not installed, or a file of
                metrics is damaged.
        """
        self.path = folder / "metrics.parquet"
        earlier = []
        if previous is not None:
            earlier = _read(previous / "metrics.parquet")
        self._folder, self._updates = folder / "tensorboard", updates
        self._first_step = max((r["env_steps"] for r in earlier), default=0)
        self._last_step = env_steps
        self._first_update = {
            phase: _last_update(earlier, phase) for phase in updates
        }
        self._rows = earlier
        if self.path.exists():
            self._rows = _read(self.path)
        self._blocks = _count_blocks(self._rows)
        self._events: EventFile | None = None
        self._wandb = (
            start_wandb(wandb, folder, config or {}) if wandb else None
        )

    def rewind(self, made: Mapping[str, int]) -> None:
        """Drop the metrics that were logged after the checkpoint training continues from.

        The event files of TensorBoard are written anew, so that they hold the same rows.

        Args:
            made: updates of each phase at the checkpoint.
        """
        last = {
            phase: self._first_update[phase] + made[phase]
            for phase in self._updates
        }
        self._rows = [
            row
            for row in self._rows
            if row["update"] <= last.get(_phase_of(row["name"]), 0)
        ]
        self._blocks = _count_blocks(self._rows)
        if self._rows or self._folder.exists():
            rewrite(self._folder, self._rows)

    def write(
        self,
        phase: str,
        update: int,
        values: Mapping[str, float],
        env_steps: int | None = None,
    ) -> None:
        """Log metrics.

        Args:
            phase: name of the phase.
            update: updates of the phase made so far.
            values: scalars by name.
            env_steps: environment steps, of a method that plays itself; None: by the
                updates.
        """
        if env_steps is None:
            share = update / max(self._updates[phase], 1)
            span = self._last_step - self._first_step
            env_steps = round(self._first_step + share * span)
        number = self._first_update[phase] + update
        self._rows += [
            {
                "env_steps": env_steps,
                "update": number,
                "name": name,
                "value": value,
            }
            for name, value in values.items()
        ]
        if self._events is None:
            self._events = EventFile(self._folder)
        self._events.write(values, env_steps)
        if self._wandb is not None:
            # A resumed run logs some blocks again: wandb drops a step that it has.
            block = {**values, "env_steps": env_steps}
            self._wandb.log(block, step=self._blocks)
        self._blocks += 1

    def flush(self) -> None:
        """Write the metrics logged so far to the Parquet file."""
        with replacing(self.path) as beside:
            pq.write_table(pa.Table.from_pylist(self._rows, SCHEMA), beside)

    def close(self) -> None:
        """Write the metrics and close all writers."""
        self.flush()
        self.release()
        if self._wandb is not None:
            self._wandb.finish()
            self._wandb = None

    def release(self) -> None:
        """Close the event file; nothing else is written."""
        if self._events is not None:
            events, self._events = self._events, None
            events.close()


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        return pq.read_table(path).cast(SCHEMA).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{path}: expected the metrics of a run: {reason}. Remove the file to "
            "continue without earlier metrics"
        ) from error


def _phase_of(name: str) -> str:
    """Return the phase of a metric: metrics of `opponents` are named opponent/..."""
    prefix = name.partition("/")[0]
    return "opponents" if prefix == "opponent" else prefix


def _count_blocks(rows: list[dict[str, Any]]) -> int:
    return len({(row["update"], _phase_of(row["name"])) for row in rows})


def _last_update(rows: list[dict[str, Any]], phase: str) -> int:
    updates = (r["update"] for r in rows if _phase_of(r["name"]) == phase)
    return max(updates, default=0)


def start_wandb(project: str, folder: Path, config: dict[str, Any]) -> Any:
    """Return a run of Weights & Biases, the same one whenever a run directory is resumed.

    Args:
        project: its project.
        folder: the run directory; its file ``wandb_id`` holds the id.
        config: the configuration that is sent.

    Returns:
        The run, an object of the package wandb.

    Raises:
        ValueError: the package wandb is not installed.
    """
    try:
        import wandb as _wandb  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError(
            f"train.wandb={project}: expected the package wandb: "
            'pip install "bestreply[wandb]"; or leave train.wandb empty'
        ) from error
    wandb: Any = _wandb
    file = folder / "wandb_id"
    identifier = secrets.token_hex(8)
    if file.exists():
        identifier = file.read_text().strip()
    write_text(file, identifier + "\n")
    run = wandb.init(
        project=project,
        dir=str(folder),
        name=folder.name,
        id=identifier,
        resume="allow",
        config=config,
    )
    run.define_metric("*", step_metric="env_steps")
    return run
