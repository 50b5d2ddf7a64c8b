"""Writes the report over runs: one page, and Markdown of the same content."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from markupsafe import Markup, escape

from bestreply.files import write_text
from bestreply.report.page import PAGE, self_contained
from bestreply.report.texts import Texts, load_texts
from bestreply.report.weekly.document import (
    Anchor,
    Block,
    Code,
    Document,
    Grid,
    Heading,
    Line,
    Link,
    Part,
    Points,
    Section,
    Text,
    cells,
    line,
)
from bestreply.report.weekly.find import holds_run
from bestreply.report.weekly.markdown import to_markdown
from bestreply.report.weekly.plan import plan
from bestreply.report.weekly.problems import problems
from bestreply.report.weekly.section_curves import section_curves, section_returns
from bestreply.report.weekly.section_data import section_data
from bestreply.report.weekly.section_models import section_models
from bestreply.report.weekly.section_opponents import section_opponents
from bestreply.report.weekly.section_runs import facts, section_runs
from bestreply.report.weekly.section_verdicts import section_verdicts
from bestreply.report.weekly.summary import findings, lead
from bestreply.report.weekly.week import Week, read_week

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
            f"{out} is a run's folder, whose own report would be overwritten; wanted: another --out"
        )
    week = read_week(folders, out, since, baseline)
    document = compose(week, texts)
    out.mkdir(parents=True, exist_ok=True)
    page, text = out / PAGE, out / TEXT
    write_text(page, to_html(document, facts(week, texts), texts))
    write_text(text, to_markdown(_with_facts(document, facts(week, texts), texts)))
    return page, text


def _out(folders: Sequence[Path]) -> Path:
    """The folder that holds all that was asked for, and is no run itself."""
    import os

    out = Path(os.path.relpath(os.path.commonpath([f.absolute() for f in folders])))
    while holds_run(out):
        out = out.absolute().parent
    return out


def compose(week: Week, texts: Texts) -> Document:
    """All that the report says; each section from the runs' files alone."""
    wrong, next_ = problems(week, texts), plan(week, texts)
    summary: list[Block] = [
        Text(line(lead(week, texts)), "lead"),
        Points(findings(week, texts, len(wrong))),
    ]
    last: list[Block] = [Heading(texts("weekly_title_problems"))]
    last.append(Points([("trouble", p) for p in wrong]) if wrong else Text(line(texts("weekly_no_problems"))))
    last += [Heading(texts("weekly_title_next")), Text(line(texts("weekly_note_next")), "note")]
    last.append(Points([("", p) for p in next_]) if next_ else Text(line(texts("weekly_nothing_next"))))
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
    title = texts("weekly_title", count=f"{count:,}") if count > 1 else texts("weekly_title_one")
    return Document(texts("weekly_brand"), title, sections)


def _with_facts(document: Document, known: list[tuple[str, str]], texts: Texts) -> Document:
    """With the facts as a table of the summary: the page has them beside it."""
    table = Grid([texts("weekly_fact"), texts("weekly_value")], [cells(*pair) for pair in known], text=2)
    first, *rest = document.sections
    summary = Section(first.key, first.title, [*first.blocks, table])
    return Document(document.brand, document.title, [summary, *rest])


def to_html(document: Document, known: list[tuple[str, str]], texts: Texts) -> str:
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
    )


def said(parts: Line) -> Markup:
    """A line as HTML, everything in it escaped. Not a macro of the template: a report has tens of thousands."""
    return Markup("").join(_part(part) for part in parts)


def _part(part: Part) -> Markup:
    text = escape(part.text)
    if isinstance(part, Link):
        return Markup('<a href="%s">%s</a>') % (part.to, text)
    if isinstance(part, Anchor):
        return Markup('<span id="%s">%s</span>') % (part.name, text)
    return Markup("<code>%s</code>") % text if isinstance(part, Code) else text
