"""Find episodes that a dataset has twice, such as those of one seed collected twice."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from bestreply.data.manifest import Manifest, Part
from bestreply.data.problem import Problem
from bestreply.data.reading import TEXTS, conform, read_groups
from bestreply.data.rows import schema
from bestreply.utils.parquet import open_parquet


def equal_part_problems(folder: Path, manifest: Manifest) -> Iterator[Problem]:
    """Yield a problem for each part with the same episodes as an earlier part.

    Compared are parts with episodes of the same numbers of one seed, and parts of
    unknown seed and equal size. Different seeds can give equal play in a game
    without chance, and are not compared.

    Args:
        folder: the dataset's folder.
        manifest: its manifest; all its parts can be read.
    """
    for one, other in itertools.combinations(manifest.parts, 2):
        overlap = _overlap(one, other)
        if overlap and _are_equal(folder, manifest, (one, other), overlap):
            yield Problem(
                "equal_parts",
                other.file,
                f"it has the same {overlap[2]} episodes as {one.file}",
                "Collect the data again into a new folder, so that no episode "
                "counts twice",
            )


def _overlap(one: Part, other: Part) -> tuple[int, int, int] | None:
    """Return where equal episodes would begin in both parts, and their number."""
    if one.seed != other.seed:
        return None
    if one.seed is None:
        same = (one.rows, one.episodes) == (other.rows, other.episodes)
        return (0, 0, one.episodes) if same else None
    begins = one.seed_episode or 0, other.seed_episode or 0
    ends = begins[0] + one.episodes, begins[1] + other.episodes
    count = min(ends) - max(begins)
    if count <= 0:
        return None
    return max(begins) - begins[0], max(begins) - begins[1], count


def _are_equal(
    folder: Path,
    manifest: Manifest,
    parts: tuple[Part, Part],
    overlap: tuple[int, int, int],
) -> bool:
    *firsts, count = overlap
    one, other = (
        _episodes(folder, manifest, part, part.first_episode + first, count)
        for part, first in zip(parts, firsts, strict=True)
    )
    left = right = None
    while True:
        left = left or next(one, None)  # a table without rows is False
        right = right or next(other, None)
        if left is None or right is None:
            return left is right
        size = min(len(left), len(right))
        if not left.slice(0, size).equals(right.slice(0, size)):
            return False
        left, right = left.slice(size), right.slice(size)


def _episodes(
    folder: Path, manifest: Manifest, part: Part, first: int, count: int
) -> Iterator[pa.Table]:
    """Yield the rows of some episodes without their numbers, by row group."""
    path = folder / part.file
    with open_parquet(path, TEXTS) as file:
        groups = read_groups(file, manifest, str(path), schema(manifest).names)
        for first_row, group in groups:
            table = conform(group, manifest, first_row)
            number = table["episode"].to_numpy()
            inside = (number >= first) & (number < first + count)
            if inside.any():
                table = table.filter(pa.array(inside))
                yield table.drop_columns("episode").combine_chunks()
