"""What returns are held against: the best reply's and the random player's expected return. No JAX here, so that a report is quick.

With mean return R of a method, best reply B and random player U against the same others, all undiscounted and from the same first states:

    share      = R / B                     normalised = (R - U) / (B - U)

Standard errors are by the delta method: the errors of R, B and U times the derivatives of the ratio. R is independent of the others;
B and U are averages over the same first layouts, so that their errors are added before they are squared, which is never too small.
"""

import dataclasses
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bestreply.utils.files import write_json

FILE = "references.json"
KINDS = ("exact", "upper bound", "information relaxation")
"""What the best reply's return is: its own; that of one who is told whom a mixture drew and whether a switch has come; or, where the
game is too large to be solved, that of one who foresees every draw (`bestreply.exact.bounds.information_relaxation_bound`). The last two are upper bounds."""
MISSING = ("too_large", "no_distribution", "not_solved", "off")
"""Why there is no reference: too much to compute; a player without exact distribution; the solver refused; none was asked for."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """One opponent set's. Where there is none, `missing` is one of `MISSING` and `reason` says more; otherwise both are empty."""

    opponents: str  # as in the scores
    best: float = math.nan  # the best reply's expected return
    best_stderr: float = 0.0  # over layouts; 0 where all were solved
    kind: str = ""  # one of `KINDS`
    layouts: int = 0  # first layouts of a grid game that were solved, or futures foreseen; 0 in other games
    random: float | None = (
        None  # the random player's expected return; None where it is not known
    )
    random_stderr: float = 0.0
    random_from: str = ""  # "exact" or "measured"
    missing: str = ""
    reason: str = ""

    @property
    def bounds(self) -> bool:
        """Whether `best` is more than can be had, so that true ratios are at least those shown."""
        return not self.missing and self.kind != "exact"

    def share(
        self, mean: float, stderr: float | None
    ) -> tuple[float, float | None] | None:
        """``mean / best`` and its standard error; None where there is no best reply, or it earns nothing."""
        if self.missing or not self.best > 0:
            return None
        found = mean / self.best
        if stderr is None:
            return found, None
        return found, math.hypot(stderr, found * self.best_stderr) / self.best

    def normalised(
        self, mean: float, stderr: float | None
    ) -> tuple[float, float | None] | None:
        """``(mean - random) / (best - random)`` and its standard error; None where the best reply is no better than random."""
        if self.missing or self.random is None or not self.best > self.random:
            return None
        gap = self.best - self.random
        found = (mean - self.random) / gap
        if stderr is None:
            return found, None
        of_best, of_random = (
            abs(found) * self.best_stderr,
            abs(found - 1) * self.random_stderr,
        )
        together = (
            of_best + of_random
            if self.random_from == "exact"
            else math.hypot(of_best, of_random)
        )  # from the same layouts
        return found, math.hypot(stderr, together) / gap


def save_references(
    path: str | Path, found: Iterable[Reference], provenance: dict[str, Any]
) -> Path:
    """Writes ``references.json`` (docs/files.md); atomic."""
    against = [_plain(reference) for reference in found]
    write_json(
        Path(path), {"gamma": 1.0, "against": against, "provenance": provenance}
    )
    return Path(path)


def load_references(path: str | Path) -> dict[str, Reference]:
    """By opponent set. Raises ValueError that says what does not fit, OSError where there is no such file."""
    return references_in(json.loads(Path(path).read_text(encoding="utf-8")))


def references_in(document: Any) -> dict[str, Reference]:
    """The same of what the file holds."""
    entries = document.get("against") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError(
            "it has no list `against`; expected: one entry for each opponent set"
        )
    found = [_reference(entry) for entry in entries]
    return {reference.opponents: reference for reference in found}


def _plain(reference: Reference) -> dict[str, Any]:
    """What is said of one opponent set: the numbers, or why there are none."""
    if reference.missing:
        names = ("opponents", "missing", "reason")
    else:
        names = tuple(
            f.name
            for f in dataclasses.fields(Reference)
            if f.name not in ("missing", "reason")
        )
    return {name: getattr(reference, name) for name in names}


def _reference(entry: Any) -> Reference:
    if not isinstance(entry, dict) or not isinstance(
        entry.get("opponents"), str
    ):
        raise ValueError(
            f"an entry of `against` is {str(entry)[:60]}; expected: an object with `opponents`"
        )
    name = entry["opponents"]
    if entry.get("missing"):
        missing = (
            entry["missing"] if entry["missing"] in MISSING else "not_solved"
        )
        return Reference(
            name, missing=missing, reason=str(entry.get("reason", ""))
        )
    if entry.get("kind") not in KINDS:
        raise ValueError(
            f"kind of {name!r} is {entry.get('kind')!r}; expected: one of {', '.join(KINDS)}"
        )
    random = entry.get("random")
    return Reference(
        opponents=name,
        best=_number(entry, "best"),
        best_stderr=_number(entry, "best_stderr"),
        kind=entry["kind"],
        layouts=int(_number(entry, "layouts")),
        random=None if random is None else _number(entry, "random"),
        random_stderr=_number(entry, "random_stderr"),
        random_from="exact"
        if entry.get("random_from") == "exact"
        else "measured",
    )


def _number(entry: dict[str, Any], name: str) -> float:
    value = entry.get(name, 0)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not abs(value) < 1e100
    ):
        raise ValueError(
            f"{name} of {entry['opponents']!r} is {str(value)[:40]}; expected: a finite number"
        )
    return float(value)
