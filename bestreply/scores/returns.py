"""Returns of evaluation: one row per episode."""

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
    """Returns of a focal seat, one row per episode. The unit of replication is the seed."""

    table: pa.Table  # columns of `SCHEMA`
    provenance: dict[str, Any]
    references: Mapping[str, Reference] = dataclasses.field(
        default_factory=dict
    )
    """By opponent set."""

    def mean(
        self, method: str | None = None, opponents: str | None = None
    ) -> float:
        """Return the mean return.

        Args:
            method: rows of this method; by default of all.
            opponents: rows against this opponent set; by default of all.

        Returns:
            The mean over rows.

        Raises:
            ValueError: there are no such rows.
        """
        return float(
            self.table["return"]
            .to_numpy()[self._rows(method, opponents)]
            .mean()
        )

    def stderr(
        self, method: str | None = None, opponents: str | None = None
    ) -> float:
        """Return the standard error of `mean`, over means of seeds, or over episodes of
        a single seed.

        Args:
            method: rows of this method; by default of all.
            opponents: rows against this opponent set; by default of all.

        Returns:
            The error; NaN for a single episode.

        Raises:
            ValueError: there are no such rows.
        """
        rows = self._rows(method, opponents)
        values = self.table["return"].to_numpy()[rows]
        seeds = self.table["seed"].to_numpy()[rows]
        distinct = np.unique(seeds)
        if len(distinct) > 1:
            means = [values[seeds == seed].mean() for seed in distinct]
            values = np.array(means)
        if len(values) < 2:
            return float("nan")
        return float(values.std(ddof=1) / np.sqrt(len(values)))

    def share(self, method: str, opponents: str) -> tuple[float, float]:
        """Return mean return / best reply, and its standard error
        (`bestreply.scores.references`).

        If the reference is an upper bound (`Reference.bounds`), the true share is at
        least this.

        Args:
            method: method in the scores.
            opponents: opponent set in the scores.

        Returns:
            The share and its standard error.

        Raises:
            ValueError: there is no reference, or there are no such rows.
        """
        return self._ratio("share", method, opponents)

    def normalised(self, method: str, opponents: str) -> tuple[float, float]:
        """Return (mean return - random) / (best reply - random), and its standard error.

        The random player has 0 and the best reply 1.

        Args:
            method: method in the scores.
            opponents: opponent set in the scores.

        Returns:
            The ratio and its standard error.

        Raises:
            ValueError: there is no reference, or there are no such rows.
        """
        return self._ratio("normalised", method, opponents)

    def _ratio(
        self, name: str, method: str, opponents: str
    ) -> tuple[float, float]:
        mean = self.mean(method, opponents)
        stderr = self.stderr(method, opponents)
        reference = self.references.get(opponents)
        ratio = getattr(reference, name)(mean, stderr) if reference else None
        if ratio is None:
            reason = ""
            if reference:
                reason = (
                    f" ({reference.missing} {reference.reason}".rstrip() + ")"
                )
            known_sets = [
                n for n, r in self.references.items() if not r.missing
            ]
            raise ValueError(
                f"{name} against {opponents!r}{reason}: expected a reference; there are references for {known_sets}"
            )
        return ratio

    def _rows(self, method: str | None, opponents: str | None) -> np.ndarray:
        keep = np.ones(len(self.table), bool)
        for name, expected in (("method", method), ("opponents", opponents)):
            if expected is not None:
                keep &= np.array(self.table[name].to_pylist()) == expected
        if not keep.any():
            known = {
                name: sorted(set(self.table[name].to_pylist()))
                for name in ("method", "opponents")
            }
            raise ValueError(
                f"method={method!r}, opponents={opponents!r}: expected one of {known}"
            )
        return keep

    def save(self, path: str | Path) -> Path:
        """Write Parquet with the provenance in its metadata, and the references beside
        it, atomically.

        Args:
            path: file to write.

        Returns:
            `path`.
        """
        with replacing(Path(path)) as temporary:
            pq.write_table(
                self.table.replace_schema_metadata(
                    {"provenance": json.dumps(self.provenance)}
                ),
                temporary,
            )
        if self.references:
            facts = provenance(self.provenance.get("seed", 0))
            save_references(
                Path(path).with_name(FILE), self.references.values(), facts
            )
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> "Scores":
        """Read what `save` wrote.

        Args:
            path: Parquet file.

        Returns:
            Scores with their references, if there are any.

        Raises:
            ValueError: `references.json` does not fit docs/files.md.
        """
        table = pq.read_table(path)
        facts = (table.schema.metadata or {}).get(b"provenance", b"{}")
        references_file = Path(path).with_name(FILE)
        references = (
            load_references(references_file) if references_file.exists() else {}
        )
        return cls(
            table.replace_schema_metadata(None), json.loads(facts), references
        )

    @classmethod
    def concat(cls, parts: Sequence["Scores"]) -> "Scores":
        """Join the rows of several scores.

        Args:
            parts: at least one; the provenance is that of the first.

        Returns:
            All rows and all references.
        """
        references = {
            name: known for p in parts for name, known in p.references.items()
        }
        return cls(
            pa.concat_tables([p.table for p in parts]),
            parts[0].provenance,
            references,
        )
