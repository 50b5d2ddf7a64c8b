"""Returns of evaluation: one row an episode."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bestreply.scores.references import (
    FILE,
    Reference,
    load_references,
    save_references,
)
from bestreply.utils.files import replacing
from bestreply.utils.provenance import provenance

SCHEMA = pa.schema(
    [
        ("method", pa.string()),
        ("opponents", pa.string()),
        ("seed", pa.int64()),
        ("episode", pa.int64()),
        ("seat", pa.int64()),
        ("length", pa.int64()),
        ("return", pa.float64()),
    ]
)


@dataclasses.dataclass(frozen=True)
class Scores:
    """Returns of a focal seat, one row an episode. Seeds are the unit of replication; episodes are not."""

    table: pa.Table  # columns of `SCHEMA`
    provenance: dict[str, Any]
    references: Mapping[str, Reference] = dataclasses.field(
        default_factory=dict
    )  # by opponent set

    def mean(
        self, method: str | None = None, opponents: str | None = None
    ) -> float:
        """Mean return over the rows of `method` against `opponents`; by default over all rows."""
        return float(
            self.table["return"]
            .to_numpy()[self._rows(method, opponents)]
            .mean()
        )

    def stderr(
        self, method: str | None = None, opponents: str | None = None
    ) -> float:
        """Standard error of `mean`: over the means of seeds where there are several, otherwise over episodes. NaN for one episode."""
        rows = self._rows(method, opponents)
        values, seeds = (
            self.table["return"].to_numpy()[rows],
            self.table["seed"].to_numpy()[rows],
        )
        if len(each := np.unique(seeds)) > 1:
            values = np.array([values[seeds == seed].mean() for seed in each])
        return (
            float(values.std(ddof=1) / np.sqrt(len(values)))
            if len(values) > 1
            else float("nan")
        )

    def share(self, method: str, opponents: str) -> tuple[float, float]:
        """Mean return / the best reply's, and its standard error (delta method, see `bestreply.scores.references`).

        Where the reference is an upper bound (`Reference.bounds`), the true share is at least this. Raises ValueError where there is
        no reference.
        """
        return self._held_against("share", method, opponents)

    def normalised(self, method: str, opponents: str) -> tuple[float, float]:
        """(Mean return - random) / (best reply - random), and its standard error, as `share`: 0 is the random player, 1 the best reply."""
        return self._held_against("normalised", method, opponents)

    def _held_against(
        self, what: str, method: str, opponents: str
    ) -> tuple[float, float]:
        mean, stderr = (
            self.mean(method, opponents),
            self.stderr(method, opponents),
        )
        reference = self.references.get(opponents)
        found = getattr(reference, what)(mean, stderr) if reference else None
        if found is None:
            why = (
                f": {reference.missing} {reference.reason}".rstrip()
                if reference
                else ""
            )
            there = [
                name
                for name, known in self.references.items()
                if not known.missing
            ]
            raise ValueError(
                f"{what} against {opponents!r} has no reference{why}; expected: one of {there}, or scores that `refer` was given"
            )
        return found

    def _rows(self, method: str | None, opponents: str | None) -> np.ndarray:
        keep = np.ones(len(self.table), bool)
        for name, wanted in (("method", method), ("opponents", opponents)):
            if wanted is not None:
                keep &= np.array(self.table[name].to_pylist()) == wanted
        if not keep.any():
            there = {
                name: sorted(set(self.table[name].to_pylist()))
                for name in ("method", "opponents")
            }
            raise ValueError(
                f"no scores of method={method!r} against opponents={opponents!r}; there are {there}"
            )
        return keep

    def save(self, path: str | Path) -> Path:
        """Writes Parquet with the provenance in the file's metadata, and the references beside it; atomic."""
        with replacing(Path(path)) as beside:
            pq.write_table(
                self.table.replace_schema_metadata(
                    {"provenance": json.dumps(self.provenance)}
                ),
                beside,
            )
        if self.references:
            facts = provenance(self.provenance.get("seed", 0))
            save_references(
                Path(path).with_name(FILE), self.references.values(), facts
            )
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> "Scores":
        table = pq.read_table(path)
        facts = (table.schema.metadata or {}).get(b"provenance", b"{}")
        beside = Path(path).with_name(FILE)
        references = load_references(beside) if beside.exists() else {}
        return cls(
            table.replace_schema_metadata(None), json.loads(facts), references
        )

    @classmethod
    def concat(cls, parts: Sequence["Scores"]) -> "Scores":
        references = {
            name: known for p in parts for name, known in p.references.items()
        }
        return cls(
            pa.concat_tables([p.table for p in parts]),
            parts[0].provenance,
            references,
        )
