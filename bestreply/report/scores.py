"""Mean returns with their errors, and how one method compares with another against the same opponents.

Seeds are the unit of replication: with two or more the mean of a cell is the mean over seeds of each seed's
mean, and its standard error is theirs. With one seed the error is over episodes, which tells how well this
one trained agent was measured and nothing about what another training would give.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bestreply.report.run_files import (
    FileProblem,
    ScoreColumns,
    read_references,
    read_scores,
)
from bestreply.report.texts import Texts, fixed, load_texts
from bestreply.scores.references import Reference

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

OWN_METHODS = ("agent", "bestreply")


@dataclass(frozen=True)
class ScoreCell:
    """One method against one opponent set."""

    mean: float
    error: float | None  # standard error over `unit`; None for a single one
    unit: str  # "seeds" or "episodes"
    seeds: int
    episodes: int
    values: dict[
        tuple[int, ...], float
    ]  # the return of each unit, under (seed,) or (seed, episode, seat, nth such row)

    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean by Student's t."""
        if self.error is None:
            return None
        half = _t95(len(self.values) - 1) * self.error
        return self.mean - half, self.mean + half


@dataclass(frozen=True)
class Difference:
    """Mean return of one method less another's, with its 95 % interval where there is one."""

    mean: float
    low: float | None
    high: float | None
    paired: bool

    @property
    def verdict(self) -> str:
        """ "better", "worse", "unclear" (the interval holds 0) or "unknown"."""
        if self.low is None or self.high is None:
            return "unknown"
        return (
            "better"
            if self.low > 0
            else "worse"
            if self.high < 0
            else "unclear"
        )


@dataclass(frozen=True)
class ScoreTable:
    """Methods x opponent sets; a pair that was not played has no cell."""

    own: str  # the method that the run is about
    methods: list[str]  # `own` first, then as in the file
    opponents: list[str]
    cells: dict[tuple[str, str], ScoreCell]
    references: Mapping[str, Reference] = field(
        default_factory=dict
    )  # by opponent set

    @property
    def held_against(self) -> list[str]:
        """The opponent sets that have a best reply to hold returns against."""
        return [
            o
            for o in self.opponents
            if o in self.references and not self.references[o].missing
        ]

    def ratio(
        self, what: str, method: str, opponents: str
    ) -> tuple[float, float | None] | None:
        """ "share" or "normalised" of a cell with its standard error; None where either does not exist."""
        cell, reference = (
            self.cells.get((method, opponents)),
            self.references.get(opponents),
        )
        return (
            getattr(reference, what)(cell.mean, cell.error)
            if cell and reference
            else None
        )

    def best(self, opponents: str) -> set[str]:
        """The method with the highest mean, or several that tie exactly."""
        means = {
            m: self.cells[m, opponents].mean
            for m in self.methods
            if (m, opponents) in self.cells
        }
        return {m for m, mean in means.items() if mean == max(means.values())}

    def best_other(self, opponents: str) -> str | None:
        others = [
            m
            for m in self.methods
            if m != self.own and (m, opponents) in self.cells
        ]
        return max(
            others, key=lambda m: self.cells[m, opponents].mean, default=None
        )

    @property
    def units(self) -> set[str]:
        return {cell.unit for cell in self.cells.values()}


def score_table(
    scores: ScoreColumns,
    own: str | None = None,
    references: Mapping[str, Reference] | None = None,
) -> ScoreTable:
    """The table of all rows. The run's method is `own` if it is there, else of OWN_METHODS, else row 0's."""
    methods = list(dict.fromkeys(scores.method.tolist()))
    focal = next(
        (m for m in (own, *OWN_METHODS) if m is not None and m in methods),
        methods[0],
    )
    methods.sort(key=lambda m: m != focal)
    opponents = list(dict.fromkeys(scores.opponents.tolist()))
    cells = {}
    for method in methods:
        for against in opponents:
            rows = np.flatnonzero(
                (scores.method == method) & (scores.opponents == against)
            )
            if len(rows):
                cells[method, against] = _cell(scores, rows)
    return ScoreTable(focal, methods, opponents, cells, references or {})


def compare_cells(a: ScoreCell, b: ScoreCell) -> Difference:
    """Paired where both were measured on the same seeds (or the same episodes), otherwise by Welch's t."""
    mean = a.mean - b.mean
    if a.values.keys() == b.values.keys() and len(a.values) > 1:
        differences = np.array([a.values[k] - b.values[k] for k in a.values])
        half = (
            _t95(len(differences) - 1)
            * float(differences.std(ddof=1))
            / math.sqrt(len(differences))
        )
        return Difference(mean, mean - half, mean + half, True)
    if a.error is None or b.error is None:
        return Difference(mean, None, None, False)
    parts = [(c.error or 0.0) ** 2 for c in (a, b)]
    spread = sum(
        p**2 / (len(c.values) - 1) for p, c in zip(parts, (a, b), strict=True)
    )
    half = (
        _t95(sum(parts) ** 2 / spread) * math.sqrt(sum(parts))
        if spread
        else 0.0
    )
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
        unit = "episodes"
        seen: dict[tuple[int, ...], int] = {}
        values = {}
        for row in rows:
            key = (
                int(scores.seed[row]),
                int(scores.episode[row]),
                int(scores.seat[row]),
            )
            seen[key] = seen.get(key, 0) + 1
            values[*key, seen[key]] = float(scores.value[row])
    array = np.array(list(values.values()))
    error = (
        float(array.std(ddof=1)) / math.sqrt(len(array))
        if len(array) > 1
        else None
    )
    return ScoreCell(
        float(array.mean()), error, unit, len(seeds), len(rows), values
    )


def _t95(degrees: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))


# -- in words and in the terminal ------------------------------------------------------------------


def cell_text(cell: ScoreCell | None, mixed: bool = False) -> str:
    """``2.71 ± 0.03``, with a star where this error is over episodes and others are over seeds."""
    if cell is None:
        return "–"
    star = "*" if mixed and cell.unit == "episodes" else ""
    return (
        fixed(cell.mean)
        + (f" ± {fixed(cell.error)}" if cell.error is not None else "")
        + star
    )


def table_note(table: ScoreTable, texts: Texts) -> str:
    """What the numbers of the table are, and what they do not tell."""
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
    table: ScoreTable, what: str, method: str, opponents: str
) -> str:
    """``0.84 ± 0.02``."""
    found = table.ratio(what, method, opponents)
    if found is None:
        return "–"
    return fixed(found[0]) + (
        f" ± {fixed(found[1])}" if found[1] is not None else ""
    )


def best_reply_row(
    table: ScoreTable, texts: Texts, value: str | None = None
) -> list[str]:
    """The best reply's own row, which says how it was come by: its return, or `value` in the tables of ratios."""
    row = []
    for against in table.opponents:
        reference = table.references.get(against)
        if reference is None or reference.missing:
            row.append("–")
            continue
        shown = value or fixed(reference.best)
        if value is None and reference.best_stderr:
            shown += f" ± {fixed(reference.best_stderr)}"
        row.append(
            f"{shown} ({texts('kind_' + reference.kind.replace(' ', '_'))})"
        )
    return row


def reference_notes(table: ScoreTable, texts: Texts) -> list[str]:
    """What the best reply and the ratios are, and for each opponent set without one, why."""
    notes = []
    known = [table.references[against] for against in table.held_against]
    if known:
        notes.append(texts("note_ratios"))
    for kind in ("upper_bound", "foresight"):
        if any(reference.kind.replace(" ", "_") == kind for reference in known):
            notes.append(texts(f"note_{kind}"))
    if any(reference.random_from == "measured" for reference in known):
        notes.append(texts("note_measured"))
    for against in table.opponents:
        reference = table.references.get(against)
        if reference is not None and reference.missing:
            reason = (
                texts("reason", reason=reference.reason)
                if reference.reason
                else ""
            )
            notes.append(
                texts(
                    f"missing_{reference.missing}",
                    opponents=against,
                    reason=reason,
                )
            )
    return notes


def terminal_table(run_dir: Path, lang: str = "en") -> "Group":
    from rich.console import Group
    from rich.text import Text

    texts = load_texts(lang)
    scores = read_scores(run_dir)
    if isinstance(scores, FileProblem):
        where = run_dir / scores.file
        if not scores.reason:
            raise FileNotFoundError(
                f"{where} is missing; `bestreply {scores.maker}` makes it"
            )
        raise ValueError(
            f"{where} cannot be used: {scores.reason}; `bestreply {scores.maker}` makes it anew"
        )
    references = read_references(run_dir)
    broken = isinstance(references, FileProblem)
    table = score_table(scores, references={} if broken else references)
    parts: list[Any] = [_terminal_returns(table, run_dir.name, texts)]
    if table.held_against:
        parts += [_terminal_ratios(table, what, texts) for what in RATIOS]
    parts += [Text(note) for note in reference_notes(table, texts)]
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
    shown = _terminal_frame(table, f"{name}: {texts('mean_return')}", texts)
    shown.caption = Text(table_note(table, texts))
    best = {against: table.best(against) for against in table.opponents}
    for method in table.methods:
        row = [Text(method, style="bold" if method == table.own else "")]
        for against in table.opponents:
            style = "bold" if method in best[against] else ""
            row.append(
                Text(
                    cell_text(table.cells.get((method, against)), mixed),
                    style=style,
                )
            )
        shown.add_row(*row)
    if table.held_against:
        shown.add_section()
        shown.add_row(
            *map(Text, (texts("best_reply"), *best_reply_row(table, texts)))
        )
    return shown


def _terminal_ratios(table: ScoreTable, what: str, texts: Texts) -> "Table":
    from rich.text import Text

    shown = _terminal_frame(table, texts(f"title_{what}"), texts)
    for method in table.methods:
        row = [Text(method, style="bold" if method == table.own else "")]
        shown.add_row(
            *row,
            *(
                Text(ratio_text(table, what, method, a))
                for a in table.opponents
            ),
        )
    shown.add_section()
    shown.add_row(
        *map(
            Text,
            (texts("best_reply"), *best_reply_row(table, texts, value="1")),
        )
    )
    return shown


def _terminal_frame(table: ScoreTable, title: str, texts: Texts) -> "Table":
    from rich.table import Table
    from rich.text import Text

    shown = Table(
        title=Text(title), title_justify="left", caption_justify="left"
    )
    shown.add_column(Text(texts("method")))
    for against in table.opponents:
        shown.add_column(
            Text(texts("against", opponents=against)), justify="right"
        )
    return shown
