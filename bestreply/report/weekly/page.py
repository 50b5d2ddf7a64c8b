"""Writes the report over runs: one page, and Markdown of the same content."""

import gc
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
    texts = load_texts(lang)
    out = _out(folders) if out is None else out
    if holds_run(out):
        raise ValueError(
            f"{out} is a run's folder, whose own report would be overwritten; expected: another --out"
        )
    page, text = out / PAGE, out / TEXT
    with _no_search_for_cycles():
        week = read_week(folders, out, since, baseline)
        document = compose(week, texts)
        known = facts(week, texts)
        html, markdown = (
            to_html(document, known, texts),
            to_markdown(_with_facts(document, known, texts)),
        )
    out.mkdir(parents=True, exist_ok=True)
    write_text(page, html)
    write_text(text, markdown)
    return page, text


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """A report is a million small objects and no cycles, which Python would look for over and over: a sixth of the time."""
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()


def _out(folders: Sequence[Path]) -> Path:
    """The folder that holds all that was asked for, and is no run itself."""
    import os

    out = Path(
        os.path.relpath(os.path.commonpath([f.absolute() for f in folders]))
    )
    while holds_run(out):
        out = out.absolute().parent
    return out


def compose(week: Week, texts: Texts) -> Document:
    """All that the report says; each section from the runs' files alone."""
    wrong, next_ = problems(week, texts), plan(week, texts)
    summary: list[Block] = [
        Paragraph(line(lead(week, texts)), "lead"),
        BulletList(findings(week, texts, len(wrong))),
    ]
    last: list[Block] = [Heading(texts("weekly_title_problems"))]
    last.append(
        BulletList([("trouble", p) for p in wrong])
        if wrong
        else Paragraph(line(texts("weekly_no_problems")))
    )
    last += [
        Heading(texts("weekly_title_next")),
        Paragraph(line(texts("weekly_note_next")), "note"),
    ]
    last.append(
        BulletList([("", p) for p in next_])
        if next_
        else Paragraph(line(texts("weekly_nothing_next")))
    )
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
    title = (
        texts("weekly_title", count=f"{count:,}")
        if count > 1
        else texts("weekly_title_one")
    )
    return Document(texts("weekly_brand"), title, sections)


def _with_facts(
    document: Document, known: list[tuple[str, str]], texts: Texts
) -> Document:
    """With the facts as a table of the summary: the page has them beside it."""
    table = Grid(
        [texts("weekly_fact"), texts("weekly_value")],
        [cells(*pair) for pair in known],
        text=2,
    )
    first, *rest = document.sections
    summary = Section(first.key, first.title, [*first.blocks, table])
    return Document(document.brand, document.title, [summary, *rest])


def to_html(
    document: Document, known: list[tuple[str, str]], texts: Texts
) -> str:
    """The page. The template escapes every value but figures, which are made of escaped parts."""
    return self_contained(
        "weekly.html",
        texts.lang,
        styles=("style.css", "weekly.css"),
        script=None,
        name=document.title,
        document=document,
        facts=known,
        said=said,
        rows_of=rows_of,
    )


def said(parts: Line) -> Markup:
    """A line as HTML, everything in it escaped. Not a macro of the template: a report has tens of thousands."""
    return Markup("".join(map(_part, parts)))


def rows_of(grid: Grid) -> Markup:
    """The rows of a table as HTML, for the same reason."""
    ends = ["</td>"] * len(grid.head)
    starts = [
        '<td class="words">' if grid.is_text(k) else "<td>"
        for k in range(len(grid.head))
    ]
    starts[:1], ends[:1] = ['<th scope="row">'], ["</th>"]
    rows = []
    for number, row in enumerate(grid.rows):
        inside = "".join(
            f"{start}{''.join(map(_part, cell))}{end}"
            for start, cell, end in zip(starts, row, ends, strict=True)
        )
        rows.append(
            f'<tr class="first">{inside}</tr>\n'
            if number in grid.bold
            else f"<tr>{inside}</tr>\n"
        )
    return Markup("".join(rows))


def _part(part: Part) -> str:
    text = escape(part.text)
    if isinstance(part, Plain):
        return text
    if isinstance(part, Link):
        return f'<a href="{escape(part.to)}">{text}</a>'
    return (
        f'<span id="{escape(part.name)}">{text}</span>'
        if isinstance(part, Anchor)
        else f"<code>{text}</code>"
    )
