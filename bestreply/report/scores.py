"""Mean returns with their errors, and comparisons of two methods against the same
opponents.

Seeds are the unit of replication. With two or more seeds, the mean of a cell is the
mean over seeds of each seed's mean, and its standard error is over seeds. With one
seed the error is over episodes: it measures the precision for this trained agent,
without training variance.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bestreply.report.run_files import (
    FileProblem,
    ScoreColumns,
    read_references,
    read_scores,
)
from bestreply.report.texts import (
    Texts,
    decimals_of,
    facing,
    load_texts,
    ties,
    with_error,
)
from bestreply.scores.references import Reference

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

ROLE = " | "
"""Between the role of the measured player and its opponents, in names of games whose
roles differ."""
OWN_METHODS = ("agent", "bestreply")


@dataclass(frozen=True)
class ScoreCell:
    """Returns of one method against one opponent set."""

    mean: float
    error: float | None  # standard error over `unit`; None for a single unit
    unit: str  # "seeds" or "episodes"
    seeds: int
    episodes: int
    values: dict[tuple[int, ...], float]
    """Return of each unit by (seed,) or (seed, episode, seat, number of repetition)."""

    def interval(self) -> tuple[float, float] | None:
        """Return the 95 % confidence interval of the mean by Student's t.

        Returns:
            Low and high end; None for a single unit.
        """
        if self.error is None:
            return None
        half = _t95(len(self.values) - 1) * self.error
        return self.mean - half, self.mean + half


@dataclass(frozen=True)
class Difference:
    """Mean return of one method minus that of another, with its 95 % interval."""

    mean: float
    low: float | None
    high: float | None
    paired: bool
    equal: bool = False
    """The units of both are the same, and so are all their returns."""

    @property
    def verdict(self) -> str:
        """ "better", "worse", "unclear" (the interval contains 0), "tie" (no difference
        anywhere) or "unknown"."""
        if self.equal:
            return "tie"
        if self.low is None or self.high is None:
            return "unknown"
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "unclear"


@dataclass(frozen=True)
class ScoreTable:
    """Methods x opponent sets; a pair without episodes has no cell."""

    own: str  # method of the run
    methods: list[str]  # `own` first, then as in the file
    opponents: list[str]
    cells: dict[tuple[str, str], ScoreCell]
    references: Mapping[str, Reference] = field(default_factory=dict)
    """By opponent set."""

    @cached_property
    def decimals(self) -> int:
        """Decimal places of all returns of the table."""
        solved = [self.references[o].best for o in self.solved]
        return decimals_of(*(c.mean for c in self.cells.values()), *solved)

    @property
    def solved(self) -> list[str]:
        """Opponent sets with a best reply."""
        return [
            o
            for o in self.opponents
            if o in self.references and not self.references[o].missing
        ]

    def ratio(
        self, name: str, method: str, opponents: str
    ) -> tuple[float, float | None] | None:
        """Return a ratio of a cell to the best reply.

        Args:
            name: "share" or "normalised".
            method: method of the cell.
            opponents: opponent set of the cell.

        Returns:
            The ratio and its standard error; None without the cell or its
            reference.
        """
        cell = self.cells.get((method, opponents))
        reference = self.references.get(opponents)
        if cell is None or reference is None:
            return None
        return getattr(reference, name)(cell.mean, cell.error)

    def best(self, opponents: str) -> set[str]:
        """Return the methods with the highest mean against an opponent set.

        Args:
            opponents: opponent set.

        Returns:
            One method, or several whose means are equal as written: a tie.
        """
        return set(self._leaders(opponents, self.methods))

    def best_others(self, opponents: str) -> list[str]:
        """Return the best methods other than the run's own.

        Args:
            opponents: opponent set.

        Returns:
            The method with the highest mean, and those whose mean is equal as written;
            none without another method.
        """
        others = [m for m in self.methods if m != self.own]
        return self._leaders(opponents, others)

    def _leaders(self, opponents: str, methods: list[str]) -> list[str]:
        means = {
            m: self.cells[m, opponents].mean
            for m in methods
            if (m, opponents) in self.cells
        }
        ranked = sorted(means, key=lambda m: -means[m])
        return [
            m for m in ranked if ties(means[m], means[ranked[0]], self.decimals)
        ]

    @property
    def has_ties(self) -> bool:
        """Whether several methods share the highest mean against an opponent set."""
        return any(len(self.best(o)) > 1 for o in self.opponents)

    @property
    def units(self) -> set[str]:
        """Units of the errors in the table: "seeds", "episodes" or both."""
        return {cell.unit for cell in self.cells.values()}


def score_table(
    scores: ScoreColumns,
    own: str | None = None,
    references: Mapping[str, Reference] | None = None,
) -> ScoreTable:
    """Compute the cells of all methods and opponent sets.

    Args:
        scores: one entry per episode.
        own: the run's method; by default one of OWN_METHODS, or the first row's.
        references: references by opponent set.

    Returns:
        The table.
    """
    methods = list(dict.fromkeys(scores.method.tolist()))
    method_of_run = next(
        (m for m in (own, *OWN_METHODS) if m is not None and m in methods),
        methods[0],
    )
    methods.sort(key=lambda m: m != method_of_run)
    opponents = list(dict.fromkeys(scores.opponents.tolist()))
    cells = {}
    for method in methods:
        for against in opponents:
            rows = np.flatnonzero(
                (scores.method == method) & (scores.opponents == against)
            )
            if len(rows):
                cells[method, against] = _cell(scores, rows)
    return ScoreTable(
        method_of_run, methods, opponents, cells, references or {}
    )


def compare_cells(a: ScoreCell, b: ScoreCell) -> Difference:
    """Compare the means of two cells.

    Paired by seed (or episode) if both cells have the same units, otherwise by
    Welch's t-test.

    Args:
        a: first cell.
        b: second cell.

    Returns:
        Mean of `a` minus mean of `b`.
    """
    mean = a.mean - b.mean
    if a.values == b.values:
        return Difference(0.0, 0.0, 0.0, True, equal=True)
    if a.values.keys() == b.values.keys() and len(a.values) > 1:
        differences = np.array([a.values[k] - b.values[k] for k in a.values])
        count = len(differences)
        error = float(differences.std(ddof=1)) / math.sqrt(count)
        half = _t95(count - 1) * error
        return Difference(mean, mean - half, mean + half, True)
    if a.error is None or b.error is None:
        return Difference(mean, None, None, False)
    variances = [a.error**2, b.error**2]
    degrees = [len(a.values) - 1, len(b.values) - 1]
    spread = sum(v**2 / d for v, d in zip(variances, degrees, strict=True))
    total = sum(variances)
    half = _t95(total**2 / spread) * math.sqrt(total) if spread else 0.0
    return Difference(mean, mean - half, mean + half, False)


def _cell(scores: ScoreColumns, rows: np.ndarray) -> ScoreCell:
    seeds = np.unique(scores.seed[rows])
    if len(seeds) > 1:
        unit = "seeds"
        values = {
            (int(s),): float(scores.value[rows][scores.seed[rows] == s].mean())
            for s in seeds
        }
    else:
        unit, values = "episodes", _by_episode(scores, rows)
    array = np.array(list(values.values()))
    mean, error = float(array.mean()), None
    if len(array) > 1:
        error = float(array.std(ddof=1)) / math.sqrt(len(array))
    return ScoreCell(mean, error, unit, len(seeds), len(rows), values)


def _by_episode(
    scores: ScoreColumns, rows: np.ndarray
) -> dict[tuple[int, ...], float]:
    repetitions: Counter[tuple[int, ...]] = Counter()
    values = {}
    for row in rows:
        columns = (scores.seed, scores.episode, scores.seat)
        key = tuple(int(column[row]) for column in columns)
        repetitions[key] += 1
        values[*key, repetitions[key]] = float(scores.value[row])
    return values


def _t95(degrees: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))


# -- text and terminal -----------------------------------------------------------


def cell_text(
    cell: ScoreCell | None, decimals: int = 2, mixed: bool = False
) -> str:
    """Write ``2.71 ± 0.03``.

    Args:
        cell: the cell, if there is one.
        decimals: decimal places.
        mixed: mark errors over episodes with a star, since other cells have
            errors over seeds.

    Returns:
        A dash without a cell.
    """
    if cell is None:
        return "–"
    star = "*" if mixed and cell.unit == "episodes" else ""
    return with_error(cell.mean, cell.error, decimals) + star


def table_note(table: ScoreTable, texts: Texts) -> str:
    """Describe the numbers and errors of the table.

    Args:
        table: the table.
        texts: language.

    Returns:
        One paragraph.
    """
    cells = list(table.cells.values())
    episodes = texts.count(
        min(c.episodes for c in cells), max(c.episodes for c in cells)
    )
    several = [c.seeds for c in cells if c.unit == "seeds"]
    seeds = texts.count(min(several), max(several)) if several else ""
    if not several:
        return texts("note_episodes", episodes=episodes)
    key = "note_mixed" if len(table.units) > 1 else "note_seeds"
    return texts(key, seeds=seeds, episodes=episodes)


RATIOS = ("normalised", "share")


def ratio_text(
    table: ScoreTable, name: str, method: str, opponents: str
) -> str:
    """Write a ratio such as ``0.84 ± 0.02``.

    Args:
        table: the table.
        name: "share" or "normalised".
        method: method of the cell.
        opponents: opponent set of the cell.

    Returns:
        A dash if the ratio does not exist.
    """
    ratio = table.ratio(name, method, opponents)
    if ratio is None:
        return "–"
    return with_error(*ratio)


def best_reply_row(
    table: ScoreTable, texts: Texts, value: str | None = None
) -> list[str]:
    """Return the best reply's row.

    Args:
        table: the table.
        texts: language.
        value: shown in place of the return, in tables of ratios.

    Returns:
        One entry per opponent set: return, error and kind.
    """
    row = []
    for against in table.opponents:
        reference = table.references.get(against)
        if reference is None or reference.missing:
            row.append("–")
            continue
        kind = texts(f"kind_{reference.kind.replace(' ', '_')}")
        error = reference.best_stderr or None
        text = value or with_error(reference.best, error, table.decimals)
        row.append(text + texts("reason", reason=kind))
    return row


def reference_notes(table: ScoreTable, texts: Texts) -> list[str]:
    """Describe the best reply and the ratios, and explain each missing best reply.

    Args:
        table: the table.
        texts: language.

    Returns:
        Paragraphs.
    """
    notes = []
    known = [table.references[against] for against in table.solved]
    if known:
        notes.append(texts("note_ratios"))
    for kind in ("upper_bound", "information_relaxation"):
        if any(reference.kind.replace(" ", "_") == kind for reference in known):
            notes.append(texts(f"note_{kind}"))
    if any(reference.random_from == "measured" for reference in known):
        notes.append(texts("note_measured"))
    missing: dict[tuple[str, str], list[str]] = {}
    for against in table.opponents:
        reference = table.references.get(against)
        if reference is not None and reference.missing:
            key = reference.missing, reference.reason
            missing.setdefault(key, []).append(against)
    for (why, details), sets in missing.items():
        reason = texts("reason", reason=details) if details else ""
        listed = texts("list_gap").join(sets)
        notes.append(texts(f"missing_{why}", opponents=listed, reason=reason))
    return notes


def role_note(table: ScoreTable, texts: Texts) -> str:
    """Explain names of opponent sets such as ``adversary | 3 lazy``.

    Args:
        table: the table.
        texts: language.

    Returns:
        A sentence; empty without such names.
    """
    named = [name for name in table.opponents if ROLE in name]
    if len(named) < len(table.opponents):
        return ""
    role, _, others = named[0].partition(ROLE)
    return texts("note_roles", name=named[0], role=role, opponents=others)


def method_notes(methods: Iterable[str], texts: Texts) -> list[str]:
    """Describe the methods whose names do not explain themselves.

    Args:
        methods: methods of the scores.
        texts: language.

    Returns:
        A sentence for each known method.
    """
    notes = [texts.get(f"note_method_{method}", "") for method in methods]
    return [note for note in notes if note]


def terminal_table(run_dir: Path, lang: str = "en") -> "Group":
    """Return the score tables of a run for the terminal; see
    `bestreply.report.summary_table`.

    Args:
        run_dir: run directory.
        lang: "en" or "zh".

    Returns:
        Tables and notes.

    Raises:
        FileNotFoundError: ``scores.parquet`` is missing.
        ValueError: ``scores.parquet`` cannot be used.
    """
    from rich.console import Group
    from rich.text import Text

    texts = load_texts(lang)
    scores = read_scores(run_dir)
    if isinstance(scores, FileProblem):
        where = run_dir / scores.file
        if not scores.reason:
            raise FileNotFoundError(
                f"{where}: expected a file; create it with `bestreply {scores.maker} {run_dir}`"
            )
        raise ValueError(
            f"{where}: {scores.reason}; create it again with `bestreply {scores.maker} {run_dir}`"
        )
    references = read_references(run_dir)
    broken = isinstance(references, FileProblem)
    table = score_table(scores, references={} if broken else references)
    parts: list[Any] = [_terminal_returns(table, run_dir.name, texts)]
    if table.solved:
        parts += [_terminal_ratios(table, what, texts) for what in RATIOS]
    ties_note = texts("note_ties") if table.has_ties else ""
    notes = [ties_note, role_note(table, texts)]
    notes += method_notes(table.methods, texts) + reference_notes(table, texts)
    parts += [Text(note) for note in notes if note]
    if broken and references.reason:
        parts.append(
            Text(
                texts("broken", file=references.file, reason=references.reason)
            )
        )
    return Group(*parts)


def _terminal_returns(table: ScoreTable, name: str, texts: Texts) -> "Table":
    from rich.text import Text

    mixed = len(table.units) > 1
    title = f"{name}: {texts('mean_return')}"
    grid = _terminal_frame(table, title, "method", texts)
    grid.caption = Text(table_note(table, texts))
    for method in table.methods:
        row = [Text(method, style="bold" if method == table.own else "")]
        for against in table.opponents:
            cell = table.cells.get((method, against))
            text = cell_text(cell, table.decimals, mixed)
            is_best = method in table.best(against)
            row.append(Text(text, style="bold" if is_best else ""))
        grid.add_row(*row)
    if table.solved:
        grid.add_section()
        row = (texts("best_reply"), *best_reply_row(table, texts))
        grid.add_row(*map(Text, row))
    return grid


def _terminal_ratios(table: ScoreTable, name: str, texts: Texts) -> "Table":
    from rich.text import Text

    grid = _terminal_frame(
        table, texts(f"title_{name}"), f"corner_{name}", texts
    )
    for method in table.methods:
        row = [Text(method, style="bold" if method == table.own else "")]
        for against in table.opponents:
            row.append(Text(ratio_text(table, name, method, against)))
        grid.add_row(*row)
    grid.add_section()
    row = (texts("best_reply"), *best_reply_row(table, texts, value="1"))
    grid.add_row(*map(Text, row))
    return grid


def _terminal_frame(
    table: ScoreTable, title: str, corner: str, texts: Texts
) -> "Table":
    from rich.table import Table
    from rich.text import Text

    grid = Table(
        title=Text(title), title_justify="left", caption_justify="left"
    )
    grid.add_column(Text(texts(corner)))
    for against in table.opponents:
        heading = facing(against, texts)
        grid.add_column(Text(heading), justify="right")
    return grid
