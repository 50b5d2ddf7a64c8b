"""Reference values of returns: expected return of the best reply and of the random
player.

With mean return R of a method, best reply B and random player U against the same
opponents, all undiscounted and from the same first states:

    share = R / B                     normalised = (R - U) / (B - U)

Standard errors use the delta method: the errors of R, B and U times the derivatives
of the ratio. R is independent of B and U. B and U are means over the same first
layouts, so their errors are added before they are squared, which never underestimates
the total. The module does not import JAX, so that reports load quickly.
"""

import dataclasses
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bestreply.utils.files import write_json
from bestreply.utils.untrusted import read_json

FILE = "references.json"
KINDS = ("exact", "upper bound", "information relaxation")
"""Kinds of `Reference.best`.

- exact: the value of the best reply
- upper bound: that of a reply that is given the types drawn from a mixture and the times of
  switches
- information relaxation: in games that are too large to solve, that of a reply that is given all
  draws (`bestreply.exact.bounds.information_relaxation_bound`)
"""
MISSING = ("too_large", "no_distribution", "not_solved", "off")
"""Reasons for a missing reference: too much to compute; a player without an exact distribution; a
case that the solver does not support; references are switched off."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """Reference values against one opponent set.

    Without values, `missing` is one of `MISSING` and `reason` gives details.
    """

    opponents: str  # as in the scores
    best: float = math.nan  # expected return of the best reply
    best_stderr: float = 0.0  # over layouts; 0 if all were solved
    kind: str = ""  # one of `KINDS`
    layouts: int = 0
    """First layouts of a grid game that were solved, or sampled futures; 0 in other games."""
    random: float | None = (
        None  # expected return of the random player, if known
    )
    random_stderr: float = 0.0
    random_from: str = ""  # "exact" or "measured"
    missing: str = ""
    reason: str = ""

    @property
    def bounds(self) -> bool:
        """Whether `best` is an upper bound, so that true ratios are at least those
        shown.
        """
        return not self.missing and self.kind != "exact"

    def share(
        self, mean: float, stderr: float | None
    ) -> tuple[float, float | None] | None:
        """Return mean return / best reply, and its standard error.

        Args:
            mean: mean return.
            stderr: its standard error; None if unknown.

        Returns:
            The share and its standard error. None without a best reply, or if its
            return is not positive.
        """
        if self.missing or not self.best > 0:
            return None
        share = mean / self.best
        if stderr is None:
            return share, None
        return share, math.hypot(stderr, share * self.best_stderr) / self.best

    def normalised(
        self, mean: float, stderr: float | None
    ) -> tuple[float, float | None] | None:
        """Return (mean return - random) / (best reply - random), and its standard error.

        Args:
            mean: mean return.
            stderr: its standard error; None if unknown.

        Returns:
            The ratio and its standard error. None without both references, or if
            the best reply is not better than random.
        """
        if self.missing or self.random is None or not self.best > self.random:
            return None
        gap = self.best - self.random
        ratio = (mean - self.random) / gap
        if stderr is None:
            return ratio, None
        of_best = abs(ratio) * self.best_stderr
        of_random = abs(ratio - 1) * self.random_stderr
        if self.random_from == "exact":  # from the same layouts
            combined = of_best + of_random
        else:
            combined = math.hypot(of_best, of_random)
        return ratio, math.hypot(stderr, combined) / gap


def save_references(
    path: str | Path,
    references: Iterable[Reference],
    provenance: dict[str, object],
) -> Path:
    """Write ``references.json`` (docs/files.md) atomically.

    Args:
        path: file to write.
        references: one for each opponent set.
        provenance: written with the values.

    Returns:
        `path`.
    """
    against = [_plain(reference) for reference in references]
    write_json(
        Path(path), {"gamma": 1.0, "against": against, "provenance": provenance}
    )
    return Path(path)


def load_references(path: str | Path) -> dict[str, Reference]:
    """Read ``references.json``.

    Args:
        path: file to read.

    Returns:
        References by opponent set.

    Raises:
        ValueError: an entry does not fit docs/files.md.
        OSError: the file cannot be read.
    """
    return references_in(read_json(path))


def references_in(document: object) -> dict[str, Reference]:
    """Read references from the content of ``references.json``.

    Args:
        document: the content, of any type.

    Returns:
        References by opponent set.

    Raises:
        ValueError: an entry does not fit docs/files.md.
    """
    entries = document.get("against") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError(
            f"against={str(entries)[:60]}: expected a list with an entry for each opponent set"
        )
    references = [_reference(entry) for entry in entries]
    return {reference.opponents: reference for reference in references}


def _plain(reference: Reference) -> dict[str, Any]:
    """Return the entry of one opponent set: the values, or why they are missing."""
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
            f"entry of against={str(entry)[:60]}: expected an object with `opponents`"
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
            f"kind of {name!r}={entry.get('kind')!r}: expected one of {', '.join(KINDS)}"
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
            f"{name} of {entry['opponents']!r}={str(value)[:40]}: expected a finite number"
        )
    return float(value)
