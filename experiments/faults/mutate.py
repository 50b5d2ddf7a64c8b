"""Mutations of inputs: JSON values, text, bytes, tables. Every draw comes from one `Random`."""

import json
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import pyarrow as pa

MARKUP = "<img src=x onerror=alert(1)>"
"""Text that would run a script where a page does not escape it."""
ESCAPE = "\x1b[31m"
"""Text that would colour a terminal that receives it as it is."""
NUMBERS: tuple[Any, ...] = (
    0,
    -1,
    1,
    2,
    0.5,
    -0.0,
    2**15,
    2**31 - 1,
    2**31,
    2**32,
    2**53 + 1,
    2**63 - 1,
    2**63,
    -(2**63),
    10**400,
    1e-320,
    1e30,
    1e308,
    float("nan"),
    float("inf"),
    -float("inf"),
)
TEXTS = (
    "",
    " ",
    "a",
    "none",
    "NaN",
    "1",
    "-1",
    "1e999",
    "true",
    "None",
    "..",
    "../../x",
    "/etc/passwd",
    "C:\\x",
    "[/]",
    "[red]x",
    "x,y",
    "a=b:c",
    "a\nb",
    "a\x00b",
    "\N{RIGHT-TO-LEFT OVERRIDE}x",
    "\ufeff",
    "\ud800",
    "x" * 5000,
    "{0}",
    "%s%n",
    "__class__",
    "数据",
    MARKUP,
    ESCAPE,
)


def nasty(draw: Random) -> Any:
    """Return a JSON value that a careless reader does not expect."""
    kind = draw.randrange(10)
    if kind < 4:
        return draw.choice(NUMBERS)
    if kind < 7:
        return draw.choice(TEXTS)
    plain = (None, True, False, [], {}, [[]], [None], {"name": 5}, {"": {}})
    return draw.choice((*plain, _nested(60), _nested(400), list(range(300))))


def _nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


# -- JSON values -----------------------------------------------------------------


def tree(draw: Random, value: Any, times: int | None = None) -> Any:
    """Return a copy of a JSON value with one to three changes.

    Args:
        draw: source of the draws.
        value: the value; it is not changed.
        times: number of changes; None: drawn.
    """
    holder = [_copied(value)]
    for _ in range(times or 1 + draw.randrange(3)):
        all_of = list(places(holder))
        parent, key = draw.choice(all_of[1:] or all_of)
        draw.choice(CHANGES)(draw, parent, key, holder)
    return holder[0] if holder else nasty(draw)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(entry) for key, entry in value.items()}
    return [*map(_copied, value)] if isinstance(value, list | tuple) else value


def places(value: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    """Yield (container, key) of every value in a tree, down to 40 levels.

    Args:
        value: a dict or a list.
        depth: levels above it.
    """
    keys = value if isinstance(value, dict) else range(len(value))
    for key in list(keys):
        yield value, key
        if isinstance(value[key], dict | list) and depth < 40:
            yield from places(value[key], depth + 1)


def _replace(draw: Random, parent: Any, key: Any, holder: list) -> None:
    parent[key] = nasty(draw)


def _remove(draw: Random, parent: Any, key: Any, holder: list) -> None:
    if parent is not holder:
        del parent[key]


def _exchange(draw: Random, parent: Any, key: Any, holder: list) -> None:
    other, place = draw.choice(list(places(holder)))
    parent[key] = _copied(other[place])


def _retype(draw: Random, parent: Any, key: Any, holder: list) -> None:
    value = parent[key]
    changed = [[value], {"value": value}, str(value)[:2000], bool(value)]
    if isinstance(value, int | float):
        changed += [
            value + 1,
            -value,
            float(value) if abs(value) < 1e300 else 0,
        ]
    if isinstance(value, str):
        changed += [value[:-1], value + " ", value * 2, value.swapcase()]
    parent[key] = draw.choice(changed)


def _extend(draw: Random, parent: Any, key: Any, holder: list) -> None:
    if isinstance(parent, dict):
        name = key[:-1] if isinstance(key, str) and draw.random() < 0.5 else "x"
        parent[draw.choice((name, *TEXTS))] = _copied(parent[key])
    else:
        parent.insert(key, _copied(parent[key]))


CHANGES: tuple[Callable[[Random, Any, Any, list], None], ...] = (
    _replace,
    _replace,
    _remove,
    _exchange,
    _retype,
    _retype,
    _extend,
)


def json_bytes(draw: Random, value: Any) -> bytes:
    """Return a JSON value as the bytes of a file, one in eight of them damaged."""
    text = json.dumps(value)
    how = draw.randrange(40)
    if how == 0:
        return b"\xef\xbb\xbf" + text.encode()
    if how == 1:
        return text.encode("utf-16")
    if how == 2:
        return b"[" * 100_000
    if how == 3:
        return text.replace("{", '{"format": 1, "format": 2, ', 1).encode()
    return damaged(draw, text.encode()) if how < 8 else text.encode()


# -- text ------------------------------------------------------------------------


def text(draw: Random, samples: Sequence[str]) -> str:
    """Return one of several texts with up to three changes.

    Args:
        draw: source of the draws.
        samples: texts that are accepted, or nearly.
    """
    value = draw.choice(samples)
    for _ in range(draw.randrange(4)):
        start = draw.randrange(len(value) + 1)
        end = min(len(value), start + 1 + draw.randrange(8))
        piece = draw.choice((*TEXTS, *map(str, NUMBERS[:12]), *"()[],.=:'\"*"))
        other = draw.choice(samples)
        value = draw.choice(
            (
                value[:start] + piece + value[end:],
                value[:start] + value[end:],
                value[:start] + value[start:end] * 3 + value[end:],
                value[:start] + other[:end] + value[start:],
                "(" * 5 + value + ")" * 5,
                value.replace("(", "(" * draw.choice((1, 300)), 1),
                value.replace("=", "=" + piece, 1),
            )
        )
    return value


# -- bytes -----------------------------------------------------------------------


def damaged(draw: Random, data: bytes) -> bytes:
    """Return bytes with a flipped bit, a hole, a missing end, or foreign bytes."""
    if not data:
        return b"\x00"
    start = draw.randrange(len(data))
    size = min(draw.choice((1, 4, 8, 64, 4096)), len(data) - start)
    end = start + size
    how = draw.randrange(9)
    if how < 3:
        flipped = data[start] ^ (1 << draw.randrange(8))
        return data[:start] + bytes([flipped]) + data[start + 1 :]
    return (
        data[:start],
        data[:start] + bytes(size) + data[end:],
        data[:start] + b"\xff" * size + data[end:],
        data[:start] + data[end:],
        data + data[start:end],
        data[end:] + data[:end],
    )[how - 3]


# -- tables ----------------------------------------------------------------------


def table(draw: Random, rows: pa.Table) -> pa.Table:
    """Return a table with one or two changed columns or rows.

    Args:
        draw: source of the draws.
        rows: a table with at least one row.
    """
    for _ in range(1 + draw.randrange(2)):
        names = rows.column_names
        if not names:
            return rows
        place = draw.randrange(len(names))
        rows = draw.choice(TABLE_CHANGES)(draw, rows, place)
    return rows


def _without_column(draw: Random, rows: pa.Table, place: int) -> pa.Table:
    return rows.remove_column(place)


def _renamed(draw: Random, rows: pa.Table, place: int) -> pa.Table:
    names = rows.column_names
    names[place] = draw.choice((*names, "x", "", MARKUP))
    return rows.rename_columns(names)


def _recast(draw: Random, rows: pa.Table, place: int) -> pa.Table:
    kinds = (
        pa.string(),
        pa.int64(),
        pa.float64(),
        pa.bool_(),
        pa.int8(),
        pa.uint32(),
        pa.large_string(),
        pa.binary(),
        pa.float32(),
        pa.list_(pa.float64()),
    )
    name, column = rows.column_names[place], rows.column(place)
    try:
        column = column.cast(draw.choice(kinds))
    except (pa.ArrowException, ValueError):
        try:
            column = column.dictionary_encode()
        except (pa.ArrowException, ValueError):
            column = pa.nulls(len(rows))
    return rows.set_column(place, name, column)


def _changed_entry(draw: Random, rows: pa.Table, place: int) -> pa.Table:
    """Replace one entry, or one entry of a list in it."""
    name, column = rows.column_names[place], rows.column(place)
    entries = column.to_pylist()
    if not entries:
        return rows
    row = draw.randrange(len(entries))
    new = draw.choice((None, *NUMBERS[:12], *NUMBERS[-5:], *TEXTS))
    if isinstance(entries[row], list) and entries[row]:
        inner = list(entries[row])
        inner[draw.randrange(len(inner))] = new
        new = inner
    entries[row] = new
    for kind in (column.type, None):
        try:
            return rows.set_column(place, name, pa.array(entries, kind))
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            continue
    return rows.set_column(place, name, pa.nulls(len(rows)))


def _rows_moved(draw: Random, rows: pa.Table, place: int) -> pa.Table:
    order = list(range(len(rows)))
    how = draw.randrange(4)
    if how == 0:
        draw.shuffle(order)
    if how == 1:
        order = order + order[:3]
    if how == 2:
        order = order[1:]
    kept = pa.array(order, pa.int64())
    return rows.take(kept) if how < 3 else rows.slice(0, 0)


TABLE_CHANGES: tuple[Callable[[Random, pa.Table, int], pa.Table], ...] = (
    _without_column,
    _renamed,
    _recast,
    _changed_entry,
    _changed_entry,
    _changed_entry,
    _rows_moved,
)
