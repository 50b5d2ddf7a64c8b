"""What was gathered and how long runs took, as far as it is recorded."""

from pathlib import Path
from typing import Any

from bestreply.report.run_files import FileProblem, number, read_with
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
from bestreply.report.weekly.week import Week, mean_of

MAX_DATASETS = 30


def section_data(week: Week, texts: Texts) -> Section:
    """Datasets by their manifests, and seconds by method."""
    blocks: list[Block] = [Paragraph(line(texts("weekly_note_data")), "note")]
    rows = []
    for family in week.families:
        for group in family.groups:
            steps = [float(r.env_steps) for r in group.runs if r.env_steps]
            episodes = [float(r.episodes) for r in group.runs if r.episodes]
            seconds = [r.seconds for r in group.runs if r.seconds is not None]
            each = [
                r.env_steps / r.episodes
                for r in group.runs
                if r.episodes and r.env_steps
            ]
            rows.append(
                cells(
                    family.title if group is family.groups[0] else "",
                    line(week.to_group(family, group)),
                    fixed(mean_of(episodes), 0),
                    fixed(mean_of(steps), 0),
                    fixed(mean_of(each), 1),
                    duration(mean_of(seconds), texts)
                    or texts("weekly_not_recorded"),
                )
            )
    names = ("game", "method", "episodes", "steps", "steps_each", "seconds")
    blocks.append(
        Grid([texts(f"weekly_data_{n}") for n in names], rows, text=2)
    )
    blocks += _datasets(week, texts)
    return Section("data", texts("weekly_title_data"), blocks)


def _datasets(week: Week, texts: Texts) -> list[Block]:
    read = [
        (path, read_with(path, MANIFEST, _manifest))
        for path in week.datasets[:MAX_DATASETS]
    ]
    known = [(path, m) for path, m in read if not isinstance(m, FileProblem)]
    rates = [
        rate for _, manifest in known if (rate := _rate(manifest)) is not None
    ]
    if rates:
        shown = texts.count(round(min(rates)), round(max(rates)))
        note = Paragraph(
            line(
                texts(
                    "weekly_rate",
                    rate=shown,
                    count=len(rates),
                    datasets=len(known),
                )
            )
        )
    else:
        note = Paragraph(line(texts("weekly_no_rate")), "caveat")
    if not known:
        return [note]
    names = (
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
    table = Grid(
        [texts(f"weekly_data_{n}") for n in names],
        [_dataset(week, *one, texts) for one in known],
        text=2,
    )
    left = len(week.datasets) - MAX_DATASETS
    more = (
        [
            Paragraph(
                line(texts("weekly_datasets_more", count=f"{left:,}")), "note"
            )
        ]
        if left > 0
        else []
    )
    return [
        note,
        Fold(
            texts("weekly_datasets", count=f"{len(week.datasets):,}"),
            [table, *more],
        ),
    ]


def _dataset(
    week: Week, path: Path, manifest: dict[str, Any], texts: Texts
) -> list[Line]:
    totals = manifest.get("totals")
    totals = totals if isinstance(totals, dict) else {}
    episodes, steps, rows, parts = (
        number(totals.get(k)) for k in ("episodes", "steps", "rows", "parts")
    )
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
        fixed(_rate(manifest), 0),
        fixed(rows, 0),
        fixed(rows / steps if rows is not None and steps else None),
        _labelled(manifest, rows),
        fixed(parts, 0),
    )


def _parts(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    parts = manifest.get("parts")
    return (
        [p for p in parts if isinstance(p, dict)]
        if isinstance(parts, list)
        else []
    )


def _rate(manifest: dict[str, Any]) -> float | None:
    """Environment steps a second, of the parts whose play was timed."""
    timed = [
        (number(p.get("steps")), number(p.get("seconds")))
        for p in _parts(manifest)
    ]
    known = [
        (steps, seconds)
        for steps, seconds in timed
        if steps and seconds and seconds > 0
    ]
    return (
        sum(steps for steps, _ in known) / sum(seconds for _, seconds in known)
        if known
        else None
    )


def _labelled(manifest: dict[str, Any], rows: float | None) -> str:
    """The share of rows whose goal an event shows, where all parts tell it."""
    counts = [number(p.get("labelled")) for p in _parts(manifest)]
    known = [count for count in counts if count is not None]
    return (
        f"{100 * sum(known) / rows:.0f}%"
        if rows and known and len(known) == len(counts)
        else "–"
    )


def _manifest(path: Path) -> dict[str, Any]:
    import json

    from bestreply.report.run_files import clean

    if path.stat().st_size > 20_000_000:
        raise ValueError("it is too large")
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise ValueError("its root is no object")
    return clean(document)
