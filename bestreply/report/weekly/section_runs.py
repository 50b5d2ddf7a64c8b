"""The runs: facts, a table of methods with links to all runs, and differences of
configurations.
"""

from collections import Counter

from bestreply.report.texts import Texts, duration, moment
from bestreply.report.weekly.document import (
    Anchor,
    Block,
    Fold,
    Grid,
    Heading,
    Line,
    Paragraph,
    Section,
    cells,
    line,
)
from bestreply.report.weekly.groups import Family, RunGroup
from bestreply.report.weekly.record import RunRecord
from bestreply.report.weekly.week import Week, join_lines, list_names, mean_of

MAX_LINKS = 40  # to runs of one method
MAX_FIELDS = 40


def facts(week: Week, texts: Texts) -> list[tuple[str, str]]:
    """Return numbers of runs, methods, games, opponent sets and seeds, times and
    revisions.

    Args:
        week: runs and comparisons.
        texts: language.

    Returns:
        (label, value) of every known fact.
    """
    states = Counter(r.state for r in week.records)
    runs = texts("list_gap").join(
        texts(f"weekly_state_{state}", count=f"{states[state]:,}")
        for state in ("done", "unmeasured", "unfinished", "failed")
        if states[state]
    )
    times = sorted(r.started for r in week.records if r.started)
    steps = [r.env_steps for r in week.records if r.env_steps]
    opponents = dict.fromkeys(o for f in week.families for o in f.opponents)
    values = {
        "runs": runs,
        "methods": f"{sum(len(f.groups) for f in week.families):,}",
        "games": list_names(
            list(dict.fromkeys(f.game.name for f in week.families)), texts, 6
        ),
        "opponents": f"{len(opponents):,}" if opponents else None,
        "seeds": f"{len({r.seed for r in week.records}):,}",
        "steps": texts.count(min(steps), max(steps)) if steps else None,
        "made": texts("range", low=moment(times[0]), high=moment(times[-1]))
        if times
        else None,
        "revision": list_names(revisions(week.records), texts, 3) or None,
    }
    return [
        (texts(f"weekly_fact_{key}"), value)
        for key, value in values.items()
        if value
    ]


def revisions(records: list[RunRecord]) -> list[str]:
    """Return the distinct code revisions of runs.

    Args:
        records: runs.

    Returns:
        Shortened revisions.
    """
    return list(
        dict.fromkeys(short_revision(r.revision) for r in records if r.revision)
    )


def short_revision(revision: str) -> str:
    """Return the first ten digits of a revision, and whether files had changed.

    Args:
        revision: Git revision, with ``+changes`` for uncommitted changes.

    Returns:
        The shortened revision.
    """
    number, plus, rest = revision.partition("+")
    return number[:10] + plus + rest


def section_runs(week: Week, texts: Texts) -> Section:
    """Return the list of runs by game and method.

    Args:
        week: runs and comparisons.
        texts: language.

    Returns:
        The section.
    """
    blocks: list[Block] = [Paragraph(line(texts("weekly_note_runs")), "note")]
    for family in week.families:
        blocks.append(Heading(family.title))
        head = [
            "method",
            "seeds",
            "episodes",
            "steps",
            "opponents",
            "evaluated",
            "revision",
            "made",
            "took",
        ]
        rows = [_row(week, family, group, texts) for group in family.groups]
        blocks.append(
            Grid(
                [texts(f"weekly_column_{name}") for name in head],
                rows,
                text=2,
                words=frozenset({6, 7}),
            )
        )
        blocks += _settings(family, texts)
        blocks += _differences(family, texts)
    return Section("runs", texts("weekly_title_runs"), blocks)


def _row(
    week: Week, family: Family, group: RunGroup, texts: Texts
) -> list[Line]:
    runs = sorted((*group.runs, *group.repeats), key=lambda r: r.seed)
    links = [week.link_to_run(r, str(r.seed)) for r in runs[:MAX_LINKS]]
    more = (
        texts("weekly_more", count=f"{len(runs) - MAX_LINKS:,}")
        if len(runs) > MAX_LINKS
        else ""
    )
    episodes = [r.episodes for r in runs if r.episodes is not None]
    steps = [r.env_steps for r in runs if r.env_steps]
    measured = [len(c.returns) for r in runs for c in r.cells.values()]
    times = sorted(r.started for r in runs if r.started)
    return cells(
        line(Anchor(group.name, week.anchor(family, group))),
        (*join_lines(links, " "), *line(more)),
        texts.count(min(episodes), max(episodes)) if episodes else "–",
        texts.count(min(steps), max(steps)) if steps else "–",
        f"{len({o for r in runs for o in r.opponents})}",
        texts.count(min(measured), max(measured)) if measured else "–",
        list_names(revisions(runs), texts, 2) or "–",
        moment(times[0].isoformat()) or "–" if times else "–",
        duration(
            mean_of([r.seconds for r in runs if r.seconds is not None]), texts
        )
        or "–",
    )


def _settings(family: Family, texts: Texts) -> list[Block]:
    """Return version and settings of a game, and its opponents."""
    settings = texts("list_gap").join(
        f"{name} = {value}" for name, value in family.game.settings
    )
    version = (
        texts("version", version=family.game.version)
        if family.game.version
        else ""
    )
    listed = texts("list_gap").join(
        part for part in (family.game.name, version, settings) if part
    )
    note = texts("weekly_game", game=listed)
    if family.opponents:
        note += texts("sentence_gap") + texts(
            "weekly_against",
            opponents=texts("weekly_list_gap").join(family.opponents),
        )
    return [Paragraph(line(note), "note")]


def _differences(family: Family, texts: Texts) -> list[Block]:
    """Return the fields in which the configurations of methods differ."""
    known = [g for g in family.groups if g.runs[0].config]
    configs = [g.runs[0].config for g in known]
    fields = [
        name
        for name in dict.fromkeys(name for c in configs for name in c)
        if len({c.get(name) for c in configs}) > 1
    ]
    if len(known) < 2:
        return []
    if not fields:
        return [Paragraph(line(texts("weekly_same_config")), "note")]
    rows = [
        cells(name, *(c.get(name, "–") for c in configs))
        for name in fields[:MAX_FIELDS]
    ]
    head = [texts("weekly_column_field"), *(g.name for g in known)]
    table = Grid(head, rows, text=len(head))
    title = texts("weekly_config_differs", count=f"{len(fields):,}")
    return (
        [Fold(title, [table])]
        if len(known) > 4
        else [Paragraph(line(title), "note"), table]
    )
