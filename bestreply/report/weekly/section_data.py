"""What was gathered and how long runs took, as far as it is recorded."""

from pathlib import Path
from typing import Any

from bestreply.report.read import Problem, number, read_with
from bestreply.report.texts import Texts, duration, fixed
from bestreply.report.weekly.document import Block, Fold, Grid, Line, Section, Text, cells, line
from bestreply.report.weekly.find import MANIFEST
from bestreply.report.weekly.week import Week, mean_of

MOST_DATASETS = 30


def section_data(week: Week, texts: Texts) -> Section:
    """Datasets by their manifests, and seconds by method."""
    blocks: list[Block] = [Text(line(texts("weekly_note_data")), "note")]
    rows = []
    for family in week.families:
        for group in family.groups:
            steps = [float(r.env_steps) for r in group.runs if r.env_steps]
            episodes = [float(r.episodes) for r in group.runs if r.episodes]
            seconds = [r.seconds for r in group.runs if r.seconds is not None]
            each = [r.env_steps / r.episodes for r in group.runs if r.episodes and r.env_steps]
            rows.append(
                cells(
                    family.title if group is family.groups[0] else "",
                    line(week.to_group(family, group)),
                    fixed(mean_of(episodes), 0),
                    fixed(mean_of(steps), 0),
                    fixed(mean_of(each), 1),
                    duration(mean_of(seconds), texts) or texts("weekly_not_recorded"),
                )
            )
    names = ("game", "method", "episodes", "steps", "steps_each", "seconds")
    blocks.append(Grid([texts(f"weekly_data_{n}") for n in names], rows, text=2))
    blocks += _datasets(week, texts)
    blocks.append(Text(line(texts("weekly_no_rate")), "caveat"))
    return Section("data", texts("weekly_title_data"), blocks)


def _datasets(week: Week, texts: Texts) -> list[Block]:
    read = [(path, read_with(path, MANIFEST, _manifest)) for path in week.datasets[:MOST_DATASETS]]
    known = [(path, m) for path, m in read if not isinstance(m, Problem)]
    if not known:
        return []
    names = ("dataset", "players", "episodes", "steps", "rows", "rows_each", "parts")
    table = Grid(
        [texts(f"weekly_data_{n}") for n in names], [_dataset(week, *one, texts) for one in known], text=2
    )
    left = len(week.datasets) - MOST_DATASETS
    more = [Text(line(texts("weekly_datasets_more", count=f"{left:,}")), "note")] if left > 0 else []
    return [Fold(texts("weekly_datasets", count=f"{len(week.datasets):,}"), [table, *more])]


def _dataset(week: Week, path: Path, manifest: dict[str, Any], texts: Texts) -> list[Line]:
    totals = manifest.get("totals")
    totals = totals if isinstance(totals, dict) else {}
    episodes, steps, rows, parts = (number(totals.get(k)) for k in ("episodes", "steps", "rows", "parts"))
    roster = manifest.get("roster")
    players = (
        [str(e.get("name", "?"))[:40] for e in roster if isinstance(e, dict)]
        if isinstance(roster, list)
        else []
    )
    return cells(
        line(week.to(path, str(path.name))),
        texts("list_gap").join(players[:8]) or "–",
        fixed(episodes, 0),
        fixed(steps, 0),
        fixed(rows, 0),
        fixed(rows / steps if rows is not None and steps else None),
        fixed(parts, 0),
    )


def _manifest(path: Path) -> dict[str, Any]:
    import json

    from bestreply.report.read import clean

    if path.stat().st_size > 20_000_000:
        raise ValueError("it is too large")
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise ValueError("its root is no object")
    return clean(document)
