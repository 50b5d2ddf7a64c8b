"""Tables of scores as text, for the page and for the terminal, and their notes."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bestreply.report import below
from bestreply.report.run_files import (
    FileProblem,
    read_json,
    read_metrics,
    read_references,
    read_scores,
)
from bestreply.report.scores import ScoreCell, ScoreTable, score_table
from bestreply.report.tables import TextTable
from bestreply.report.texts import Texts, facing, load_texts, with_error

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

ROLE = " | "
"""Between the role of the measured player and its opponents, in names of games whose
roles differ."""
RATIOS = ("normalised", "share")


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


def _headings(table: ScoreTable, corner: str, texts: Texts) -> list[str]:
    sets = [facing(o, texts) for o in table.opponents]
    return [texts(corner), *sets]


def returns_table(table: ScoreTable, texts: Texts) -> TextTable:
    """Return mean returns with their errors, a row for each method.

    Args:
        table: the table.
        texts: language.
    """
    mixed = len(table.units) > 1
    rows, bold = [], set()
    for r, method in enumerate(table.methods):
        row = [method]
        for c, against in enumerate(table.opponents):
            cell = table.cells.get((method, against))
            row.append(cell_text(cell, table.decimals, mixed))
            if method in table.best(against):
                bold.add((r, c + 1))
        rows.append(row)
    if table.solved:
        rows.append([texts("best_reply"), *best_reply_row(table, texts)])
    head = _headings(table, "scores_corner", texts)
    return TextTable(head, rows, frozenset(bold), own=0)


def ratio_tables(
    table: ScoreTable, texts: Texts
) -> list[tuple[str, TextTable]]:
    """Return a table of normalised returns and one of shares, with their titles.

    Args:
        table: the table.
        texts: language.

    Returns:
        The tables; none without a best reply.
    """
    if not table.solved:
        return []
    tables = []
    for name in RATIOS:
        rows = [
            [m, *(ratio_text(table, name, m, o) for o in table.opponents)]
            for m in table.methods
        ]
        best = best_reply_row(table, texts, value="1")
        rows.append([texts("best_reply"), *best])
        head = _headings(table, f"corner_{name}", texts)
        tables.append((texts(f"title_{name}"), TextTable(head, rows, own=0)))
    return tables


def score_notes(table: ScoreTable, texts: Texts) -> list[str]:
    """Explain names of opponent sets and of methods.

    Args:
        table: the table.
        texts: language.

    Returns:
        Sentences.
    """
    roles = role_note(table, texts)
    return [roles] * bool(roles) + method_notes(table.methods, texts)


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
    title = f"{run_dir.name}: {texts('mean_return')}"
    grid = _grid(title, returns_table(table, texts), table)
    grid.caption = Text(table_note(table, texts))
    parts: list[Any] = [grid]
    parts += [_grid(*titled, table) for titled in ratio_tables(table, texts)]
    parts += [Text(line, "yellow") for line in _warnings(run_dir, table, texts)]
    notes = [texts("note_ties")] if table.has_ties else []
    notes += score_notes(table, texts) + reference_notes(table, texts)
    parts += map(Text, notes)
    if broken and references.reason:
        parts.append(
            Text(
                texts("broken", file=references.file, reason=references.reason)
            )
        )
    return Group(*parts)


def _warnings(run_dir: Path, table: ScoreTable, texts: Texts) -> list[str]:
    """Return where the agent is below a player of its data, and why."""
    config, diagnostics = (
        read_json(run_dir, f"{name}.json") for name in ("config", "diagnostics")
    )
    metrics = read_metrics(run_dir)
    return below.warnings(table, config, metrics, diagnostics, texts)


def _grid(title: str, text: TextTable, table: ScoreTable) -> "Table":
    """Lay out a table for the terminal, the best reply in a section of its own."""
    from rich.table import Table
    from rich.text import Text

    grid = Table(
        title=Text(title), title_justify="left", caption_justify="left"
    )
    for k, name in enumerate(text.head):
        grid.add_column(Text(name), justify="right" if k else "left")
    for r, row in enumerate(text.rows):
        if r == len(table.methods):
            grid.add_section()
        bold = {c for (r_, c) in text.bold if r_ == r}
        bold |= {0} if r == text.own else set()
        grid.add_row(
            *(
                Text(cell, style="bold" if c in bold else "")
                for c, cell in enumerate(row)
            )
        )
    return grid
