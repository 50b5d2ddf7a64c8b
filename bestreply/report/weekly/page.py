"""Write the report over several runs as a page, and as Markdown with the same content."""

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from markupsafe import Markup, escape

from bestreply.report.page import PAGE, self_contained
from bestreply.report.texts import Texts, load_texts
from bestreply.report.weekly.discovery import holds_run
from bestreply.report.weekly.document import (
    Anchor,
    Block,
    BulletList,
    Document,
    Grid,
    Heading,
    Line,
    Link,
    Paragraph,
    Part,
    Plain,
    Section,
    cells,
    line,
)
from bestreply.report.weekly.markdown import to_markdown
from bestreply.report.weekly.plan import plan
from bestreply.report.weekly.problems import problems
from bestreply.report.weekly.section_curves import (
    section_curves,
    section_returns,
)
from bestreply.report.weekly.section_data import section_data
from bestreply.report.weekly.section_models import section_models
from bestreply.report.weekly.section_opponents import section_opponents
from bestreply.report.weekly.section_runs import facts, section_runs
from bestreply.report.weekly.section_verdicts import section_verdicts
from bestreply.report.weekly.summary import findings, lead
from bestreply.report.weekly.week import Week, read_week
from bestreply.utils.files import write_text

TEXT = "report.md"


def write_pages(
    folders: Sequence[Path],
    lang: str,
    out: Path | None,
    since: datetime | None,
    baseline: str | None,
) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.md``; see
    `bestreply.report.write_report_over_runs`.

    Args:
        folders: run directories, or folders of runs or sweeps.
        lang: "en" or "zh".
        out: output folder; by default the common parent of `folders`.
        since: only runs that started since then.
        baseline: method to compare all other methods with; by default every pair.

    Returns:
        Paths of the page and of the Markdown file.

    Raises:
        FileNotFoundError: a folder does not exist.
        ValueError: `out` is a run directory, there are no runs, or `lang` or
            `baseline` is unknown.
    """
    texts = load_texts(lang)
    out = _out(folders) if out is None else out
    if holds_run(out):
        raise ValueError(
            f"out={out}: expected a folder that is not a run directory, whose report would be overwritten"
        )
    page, text = out / PAGE, out / TEXT
    with _no_garbage_collection():
        week = read_week(folders, out, since, baseline)
        document = compose(week, texts)
        known_facts = facts(week, texts)
        html = to_html(document, known_facts, texts)
        markdown = to_markdown(_with_facts(document, known_facts, texts))
    out.mkdir(parents=True, exist_ok=True)
    write_text(page, html)
    write_text(text, markdown)
    return page, text


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Switch off the search for reference cycles.

    A report has a million small objects without cycles; the search takes a sixth of
    the time.
    """
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()


def _out(folders: Sequence[Path]) -> Path:
    """Return the common parent of the folders that is not a run directory."""
    out = Path(
        os.path.relpath(os.path.commonpath([f.absolute() for f in folders]))
    )
    while holds_run(out):
        out = out.absolute().parent
    return out


def compose(week: Week, texts: Texts) -> Document:
    """Compose the report from the runs' files.

    Args:
        week: runs and comparisons.
        texts: language.

    Returns:
        All sections.
    """
    found_problems, next_runs = problems(week, texts), plan(week, texts)
    summary: list[Block] = [
        Paragraph(line(lead(week, texts)), "lead"),
        BulletList(findings(week, texts, len(found_problems))),
    ]
    last: list[Block] = [
        Heading(texts("weekly_title_problems")),
        _bullets(found_problems, "trouble", texts("weekly_no_problems")),
        Heading(texts("weekly_title_next")),
        Paragraph(line(texts("weekly_note_next")), "note"),
        _bullets(next_runs, "", texts("weekly_nothing_next")),
    ]
    sections = [
        Section("summary", texts("nav_summary"), summary),
        section_verdicts(week, texts),
        section_opponents(week, texts),
        section_curves(week, texts),
        section_returns(week, texts),
        section_models(week, texts),
        section_data(week, texts),
        Section("plan", texts("weekly_title_plan"), last),
        section_runs(week, texts),
    ]
    count = len(week.records)
    title = texts("weekly_title_one")
    if count > 1:
        title = texts("weekly_title", count=f"{count:,}")
    return Document(texts("weekly_brand"), title, sections)


def _bullets(lines: list[Line], style: str, otherwise: str) -> Block:
    if not lines:
        return Paragraph(line(otherwise))
    return BulletList([(style, entry) for entry in lines])


def _with_facts(
    document: Document, known_facts: list[tuple[str, str]], texts: Texts
) -> Document:
    """Add the facts as a table to the summary; the page shows them separately."""
    table = Grid(
        [texts("weekly_fact"), texts("weekly_value")],
        [cells(*pair) for pair in known_facts],
        text=2,
    )
    first, *rest = document.sections
    summary = Section(first.key, first.title, [*first.blocks, table])
    return Document(document.brand, document.title, [summary, *rest])


def to_html(
    document: Document, known_facts: list[tuple[str, str]], texts: Texts
) -> str:
    """Write the report as a page; the template escapes all text except charts.

    Args:
        document: the report.
        known: (label, value) of the facts.
        texts: language.

    Returns:
        HTML.
    """
    return self_contained(
        "weekly.html",
        texts.lang,
        styles=("style.css", "weekly.css"),
        script=None,
        name=document.title,
        document=document,
        facts=known_facts,
        to_markup=to_markup,
        table_rows=table_rows,
    )


def to_markup(parts: Line) -> Markup:
    """Write a line as HTML, escaped; faster than a macro of the template.

    Args:
        parts: the line.

    Returns:
        HTML.
    """
    return Markup("".join(map(_part, parts)))


def table_rows(grid: Grid) -> Markup:
    """Write the rows of a table as HTML, escaped; faster than a macro of the template.

    Args:
        grid: the table.

    Returns:
        HTML.
    """
    ends = ["</td>"] * len(grid.head)
    starts = [
        '<td class="words">' if grid.is_text(k) else "<td>"
        for k in range(len(grid.head))
    ]
    starts[:1], ends[:1] = ['<th scope="row">'], ["</th>"]
    rows = []
    for number, row in enumerate(grid.rows):
        content = "".join(
            f"{start}{''.join(map(_part, cell))}{end}"
            for start, cell, end in zip(starts, row, ends, strict=True)
        )
        style = ' class="first"' if number in grid.bold else ""
        rows.append(f"<tr{style}>{content}</tr>\n")
    return Markup("".join(rows))


def _part(part: Part) -> str:
    text = escape(part.text)
    if isinstance(part, Plain):
        return text
    if isinstance(part, Link):
        return f'<a href="{escape(part.to)}">{text}</a>'
    if isinstance(part, Anchor):
        return f'<span id="{escape(part.name)}">{text}</span>'
    return f"<code>{text}</code>"
