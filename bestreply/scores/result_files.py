"""Read tables of results that `save_results` wrote and anyone may have edited since.

CSV may come back from a spreadsheet or from pandas. What has one meaning is read; the
rest is refused with file, row and column. No row counts twice.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from bestreply.scores.returns import MAX_RETURN
from bestreply.scores.run_table import REQUIRED_COLUMNS, SCHEMA, Row
from bestreply.utils.checks import shown
from bestreply.utils.files import read_text
from bestreply.utils.parquet import open_parquet, read_table

EMPTY = ("", "nan", "n/a", "na", "null", "none", "-", "–", "#n/a")
"""What stands for no value, in small letters."""
MAX_INT = 2**63 - 1
EXPECTED = "expected a table of `bestreply results --out`"


def load_results(path: str | Path) -> list[Row]:
    """Read the rows that `save_results` wrote.

    Args:
        path: CSV file, with commas, semicolons or tabs, or Parquet file.

    Returns:
        The rows.

    Raises:
        ValueError: a required column is missing, a value does not fit `SCHEMA`, or a
            row occurs twice; the error names file, row and column.
        OSError: the file cannot be read.
    """
    path = Path(path)
    read = _csv_rows if path.suffix == ".csv" else _parquet_rows
    rows: list[Row] = []
    places: dict[tuple[Any, ...], str] = {}
    for where, values in read(path):
        row = {name: _value(where, name, v) for name, v in values.items()}
        names = ("folder", "run", "method", "opponents", "seed")
        key = tuple(row.get(name) for name in names)
        if key in places:
            listed = ", ".join(
                f"{n}={shown(v)}" for n, v in zip(names, key, strict=True)
            )
            raise ValueError(
                f"{where}: {listed}: expected each run, method and opponent set "
                f"once; it is also in {places[key]}"
            )
        places[key] = where.removeprefix(f"{path}, ")
        rows.append(row)
    return rows


def _parquet_rows(path: Path) -> Iterator[tuple[str, Row]]:
    with open_parquet(path) as file:
        names = _known(path, file.schema_arrow.names)
    fields = [SCHEMA.field(name) for name in names]
    table = read_table(path, pa.schema(fields))
    for number, row in enumerate(table.to_pylist()):
        yield f"{path}, row {number}", row


def _csv_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Yield the rows that hold anything, each with its line."""
    text = read_text(path)
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    lines = csv.reader(text.splitlines(keepends=True), delimiter=separator)
    try:
        header = [name.strip() for name in next(lines, [])]
        names = _known(path, header)
        for cells in lines:
            where = f"{path}, line {lines.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise ValueError(
                    f"{where}: {len(cells)} cells: expected {len(header)}, as in the "
                    "first line"
                )
            by_name = dict(zip(header, cells, strict=True))
            yield where, {name: by_name[name] for name in names}
    except csv.Error as error:
        raise ValueError(f"{path}: {EXPECTED}; {error}") from None


def _known(path: Path, names: Sequence[str]) -> list[str]:
    """Return the columns of `SCHEMA` that a table has; others are left out."""
    missing = [name for name in REQUIRED_COLUMNS if name not in names]
    if missing:
        raise ValueError(
            f"{path} lacks columns {', '.join(missing)}: {EXPECTED}"
        )
    known = [name for name in SCHEMA.names if name in names]
    for name in known:
        if names.count(name) > 1:
            raise ValueError(f"{path}: expected the column {name!r} once")
    return known


def _value(where: str, name: str, value: Any) -> Any:
    """Return a cell with the type of its column; None for none, where it may be missing."""
    kind = SCHEMA.field(name).type
    is_text = isinstance(value, str)
    if (
        pa.types.is_string(kind)
        and is_text
        and (value or name not in REQUIRED_COLUMNS)
    ):
        return value
    is_empty = value is None or (is_text and value.strip().lower() in EMPTY)
    is_empty = is_empty or value != value
    if is_empty and name not in REQUIRED_COLUMNS:
        return None
    number = (
        math.nan
        if is_empty or not (is_text or isinstance(value, int | float))
        else _number(value)
    )
    least = 0 if pa.types.is_integer(kind) else -MAX_RETURN
    most = MAX_INT if pa.types.is_integer(kind) else MAX_RETURN
    if pa.types.is_string(kind) or not least <= number <= most:
        raise ValueError(_refusal(where, name, value, kind))
    if not pa.types.is_integer(kind):
        return float(number)
    if number != int(number):
        raise ValueError(_refusal(where, name, value, kind))
    return int(number)


def _number(value: str | float) -> float:
    """Return a number; whole ones are exact, and NaN stands for what is none."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if len(text) > 400 or "_" in text or not text.isascii():
        return math.nan
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return math.nan


def _refusal(where: str, name: str, value: Any, kind: pa.DataType) -> str:
    words = "a finite number with a decimal point"
    if pa.types.is_integer(kind):
        words = "a whole number, at least 0"
    elif pa.types.is_string(kind):
        words = "text"
    hint = ""
    if isinstance(value, str) and "," in value:
        hint = ". Save the table with decimal points, not commas"
    return f"{where}: {name}={shown(value)}: expected {words}{hint}"
