"""Collected data and durations of runs, as far as they are recorded."""

import json
from pathlib import Path
from typing import Any

from bestreply.report.run_files import (
    FileProblem,
    clean,
    number,
    read_with,
)
from bestreply.report.tables import entries_of
from bestreply.report.texts import Texts, duration, fixed
from bestreply.report.weekly.discovery import MANIFEST
from bestreply.report.weekly.document import (
    Block,
    Fold,
    Grid,
    Line,
    Paragraph,
    Section,
    cells,
    line,
)
from bestreply.report.weekly.groups import Family, RunGroup
from bestreply.report.weekly.week import Week, mean_of

MAX_DATASETS = 30
MAX_PLAYERS, MAX_NAME = 8, 40  # of a dataset: names, and characters of each
MAX_MANIFEST_BYTES = 20_000_000
DATASET_COLUMNS = (
    "dataset",
    "players",
    "episodes",
    "steps",
    "rate",
    "rows",
    "rows_each",
    "labelled",
    "parts",
)


def section_data(week: Week, texts: Texts) -> Section:
    """Return data and time by method, and the datasets beside the runs.

    Args:
        week: runs and comparisons.
        texts: language.

    Returns:
        The section.
    """
    names = ("game", "method", "episodes", "steps", "steps_each", "seconds")
    head = [texts(f"weekly_data_{name}") for name in names]
    rows = [_method_row(week, f, group, texts) for f, group in week.groups]
    blocks: list[Block] = [
        Paragraph(line(texts("weekly_note_data")), "note"),
        Grid(head, rows, text=2),
        *_datasets(week, texts),
    ]
    return Section("data", texts("weekly_title_data"), blocks)


def _method_row(
    week: Week, family: Family, group: RunGroup, texts: Texts
) -> list[Line]:
    steps = [float(r.env_steps) for r in group.runs if r.env_steps]
    episodes = [float(r.episodes) for r in group.runs if r.episodes]
    seconds = [r.seconds for r in group.runs if r.seconds is not None]
    lengths = [
        r.env_steps / r.episodes
        for r in group.runs
        if r.episodes and r.env_steps
    ]
    time = duration(mean_of(seconds), texts)
    return cells(
        family.title if group is family.groups[0] else "",
        line(week.link_to_group(family, group)),
        fixed(mean_of(episodes), 0),
        fixed(mean_of(steps), 0),
        fixed(mean_of(lengths), 1),
        time or texts("weekly_not_recorded"),
    )


def _datasets(week: Week, texts: Texts) -> list[Block]:
    manifests = {}
    for path in week.datasets[:MAX_DATASETS]:
        manifest = read_with(path, MANIFEST, _read_manifest)
        if not isinstance(manifest, FileProblem):
            manifests[path] = manifest
    note = _rate_note(list(manifests.values()), texts)
    if not manifests:
        return [note]
    head = [texts(f"weekly_data_{name}") for name in DATASET_COLUMNS]
    rows = [_dataset(week, *pair, texts) for pair in manifests.items()]
    goal = DATASET_COLUMNS.index("labelled")
    if all(row[goal] in (line("–"), line("0%")) for row in rows):
        for row in (head, *rows):
            del row[goal]
    blocks: list[Block] = [Grid(head, rows, text=2)]
    left = len(week.datasets) - MAX_DATASETS
    if left > 0:
        more = texts("weekly_datasets_more", count=f"{left:,}")
        blocks.append(Paragraph(line(more), "note"))
    title = texts("weekly_datasets", count=f"{len(week.datasets):,}")
    return [note, Fold(title, blocks)]


def _rate_note(manifests: list[dict[str, Any]], texts: Texts) -> Paragraph:
    """Describe how fast the datasets were collected."""
    rates = [_rate(manifest) for manifest in manifests]
    known = [round(rate) for rate in rates if rate is not None]
    if not known:
        return Paragraph(line(texts("weekly_no_rate")), "caveat")
    rate = texts.count(min(known), max(known))
    text = texts(
        "weekly_rate", rate=rate, count=len(known), datasets=len(manifests)
    )
    return Paragraph(line(text))


def _dataset(
    week: Week, path: Path, manifest: dict[str, Any], texts: Texts
) -> list[Line]:
    totals = manifest.get("totals")
    totals = totals if isinstance(totals, dict) else {}
    episodes, steps, rows, parts = (
        number(totals.get(k)) for k in ("episodes", "steps", "rows", "parts")
    )
    players = [
        str(entry.get("name", "?"))[:MAX_NAME]
        for entry in entries_of(manifest, "roster")
    ]
    return cells(
        line(week.link(path, str(path.name))),
        texts("list_gap").join(players[:MAX_PLAYERS]) or "–",
        fixed(episodes, 0),
        fixed(steps, 0),
        fixed(_rate(manifest), 0),
        fixed(rows, 0),
        fixed(rows / steps if rows is not None and steps else None),
        _labelled(manifest, rows),
        fixed(parts, 0),
    )


def _rate(manifest: dict[str, Any]) -> float | None:
    """Return the environment steps per second of the timed parts."""
    total_steps, total_seconds = 0.0, 0.0
    for part in entries_of(manifest, "parts"):
        steps, seconds = number(part.get("steps")), number(part.get("seconds"))
        if steps and seconds and seconds > 0:
            total_steps += steps
            total_seconds += seconds
    return total_steps / total_seconds if total_seconds else None


def _labelled(manifest: dict[str, Any], rows: float | None) -> str:
    """Return the share of rows with a goal, if all parts state it."""
    parts = entries_of(manifest, "parts")
    counts = [number(part.get("labelled")) for part in parts]
    known = [count for count in counts if count is not None]
    if not rows or not known or len(known) < len(counts):
        return "–"
    return f"{100 * sum(known) / rows:.0f}%"


def _read_manifest(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    if size > MAX_MANIFEST_BYTES:
        raise ValueError(
            f"size={size:,} bytes: expected at most {MAX_MANIFEST_BYTES:,}"
        )
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise ValueError(f"root={type(document).__name__}: expected dict")
    return clean(document)
