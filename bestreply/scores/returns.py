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
from bestreply.utils.checks import checked_path, shown
from bestreply.utils.files import replacing
from bestreply.utils.parquet import read_table
from bestreply.utils.provenance import provenance
from bestreply.utils.untrusted import decode, parse_json

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


_NEEDED = pa.schema([field.with_nullable(False) for field in SCHEMA])
MAX_RETURN = 1e100
"""Largest absolute return; sums and squares of larger ones could overflow."""


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """The facts of a run in the provenance of its scores; defaults where they are missing."""

    game: str | None
    game_version: int | None
    settings: dict[str, Any]
    seed: int | None
    env_steps: int
    git_revision: str


@dataclasses.dataclass(frozen=True)
class Scores:
    """Returns of a focal seat, one row per episode. The unit of replication is the seed."""

    table: pa.Table  # columns of `SCHEMA`
    provenance: dict[str, Any]
    references: Mapping[str, Reference] = dataclasses.field(
        default_factory=dict
    )
    """By opponent set."""

    @property
    def run_facts(self) -> RunFacts:
        """Return the facts of the run that was evaluated, from the provenance.

        Raises:
            ValueError: a fact has another type than docs/files.md says.
        """
        run = _entry(self.provenance, "config", dict, {})
        game = _entry(run, "game", dict, {})
        return RunFacts(
            game=_entry(game, "name", str, None),
            game_version=_entry(game, "version", int, None),
            settings=_entry(game, "settings", dict, {}),
            seed=_entry(run, "seed", int, None),
            env_steps=_entry(run, "env_steps", int, 0),
            git_revision=_entry(run, "git_revision", str, ""),
        )

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
            ValueError: the file or `references.json` does not fit docs/files.md.
            OSError: a file cannot be read.
        """
        what = "the path of a file of scores: br.Scores.load('scores.parquet')"
        path = checked_path("path", path, what)
        table = read_table(path, _NEEDED)
        facts = _provenance(path, table)
        values = table["return"].to_numpy()
        if not len(values) or not (np.abs(values) <= MAX_RETURN).all():
            raise ValueError(
                f"{path}: expected rows with finite returns; evaluate the run again: "
                "bestreply evaluate"
            )
        references_file = Path(path).with_name(FILE)
        references = (
            load_references(references_file) if references_file.exists() else {}
        )
        table = table.replace_schema_metadata(None).cast(SCHEMA)
        return cls(table, facts, references)

    @classmethod
    def concat(cls, parts: Sequence["Scores"]) -> "Scores":
        """Join the rows of several scores.

        Args:
            parts: at least one; the provenance is that of the first.

        Returns:
            All rows and all references.

        Raises:
            ValueError: there are none, or one is no `Scores`.
        """
        given: Any = parts
        if (
            not isinstance(given, list | tuple)
            or not given
            or not all(isinstance(part, cls) for part in parts)
        ):
            raise ValueError(
                f"parts={shown(parts)}: expected a list of at least one Scores, as "
                "br.evaluate returns them"
            )
        references = {
            name: known for p in parts for name, known in p.references.items()
        }
        return cls(
            pa.concat_tables([p.table for p in parts]),
            parts[0].provenance,
            references,
        )


def _provenance(path: str | Path, table: pa.Table) -> dict[str, Any]:
    """Return the provenance in the metadata of a table of scores."""
    text = (table.schema.metadata or {}).get(b"provenance", b"{}")
    try:
        facts = parse_json(decode(text))
    except ValueError as error:
        raise ValueError(f"{path}: provenance: {error}") from None
    if not isinstance(facts, dict):
        raise ValueError(
            f"{path}: provenance={shown(facts)}: expected a JSON object"
        )
    return facts


def _entry(facts: dict[str, Any], name: str, kind: type, default: Any) -> Any:
    """Return an entry of the provenance if it has a type; the default if it is missing."""
    value = facts.get(name)
    if value is None:
        return default
    fits = isinstance(value, kind) and not isinstance(value, bool)
    if not fits or (kind is int and not 0 <= value < 2**63):
        raise ValueError(
            f"provenance of the scores: {name}={shown(value)}: expected "
            f"{_WORDS[kind]}; evaluate the run again: bestreply evaluate"
        )
    return value


_WORDS = {
    int: "a whole number from 0 to 2^63 - 1",
    str: "text",
    dict: "an object",
}
