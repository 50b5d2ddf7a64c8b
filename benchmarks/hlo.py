"""A compiled program read from its text: its matrix products, and where operations come from."""

import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

CONTAINERS = ("while", "call", "conditional")
"""Operations whose time is that of the operations inside them."""
TABLES = ("FileNames", "FunctionNames", "FileLocations", "StackFrames")

_HEAD = re.compile(r"^(ENTRY )?%?([\w.-]+) \((.*)\) -> .*\{$")
_PARAMETER = re.compile(r"([\w.-]+): \w+\[([\d,]*)\]")
_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?([\w.-]+) = (?:\w+\[([\d,]*)\])?")
_CALLED = re.compile(
    r"(?:calls|body|to_apply|true_computation|false_computation)=%?([\w.-]+)"
)
_TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')
_FRAME = re.compile(r"stack_frame_id=(\d+)")
_NUMBERS = re.compile(r"=(\d+)")
_DOT = re.compile(r" dot\(%?([\w.-]+), %?([\w.-]+)\)")
_AXES = "lhs_contracting_dims", "rhs_contracting_dims"
_SHARED = "lhs_batch_dims", "rhs_batch_dims"


class Product(NamedTuple):
    """One matrix product, as `jax.lax.dot_general` takes it."""

    left: tuple[int, ...]
    right: tuple[int, ...]
    dimensions: Any
    """Contracting and batch dimensions."""

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        (_, contracted), (_, shared) = self.dimensions
        inside = (*contracted, *shared)
        free = [n for axis, n in enumerate(self.right) if axis not in inside]
        return 2 * int(np.prod([*self.left, *free], dtype=np.int64))

    def squeezed(self) -> "Product":
        """Return it without batch axes of length 1, as XLA computes it."""
        left, right = self.dimensions[1]
        if not left or any(self.left[axis] != 1 for axis in left):
            return self

        def without(shape: tuple[int, ...], axes: Any) -> tuple[int, ...]:
            return tuple(n for k, n in enumerate(shape) if k not in axes)

        contracting = tuple(
            tuple(axis - sum(b < axis for b in shared) for axis in own)
            for own, shared in zip(
                self.dimensions[0], (left, right), strict=True
            )
        )
        return Product(
            without(self.left, left),
            without(self.right, right),
            (contracting, ((), ())),
        )


Products = Counter[Product]


def flops(products: Products) -> int:
    """Return the multiplications and additions of matrix products."""
    return sum(times * product.flops for product, times in products.items())


class _Operation(NamedTuple):
    place: str  # the computation that it is in
    frame: int | None
    product: Product | None


class Program:
    """Operations of a compiled program by name."""

    def __init__(self, text: str) -> None:
        """Read the text of a compiled program, with its tables of stack frames."""
        self._tables: dict[str, dict[int, str]] = {}
        self._operations: dict[str, _Operation] = {}
        self._in: dict[str, list[str]] = defaultdict(list)  # by computation
        self._calls: dict[str, list[tuple[str, str, int]]] = defaultdict(list)
        self._bodies: dict[str, list[str]] = defaultdict(list)
        self._entry, self._shapes = "", {}
        table, place = None, ""
        for line in text.splitlines():
            if line in TABLES:
                table = self._tables.setdefault(line, {})
            elif head := _HEAD.match(line):
                table, place = None, head[2]
                self._entry = place if head[1] else self._entry
                self._shapes |= dict(_PARAMETER.findall(head[3]))
            elif table is not None and (row := re.match(r"^(\d+) (.*)$", line)):
                table[int(row[1])] = row[2]
            elif found := _INSTRUCTION.match(line):
                self._add(found, place, line)

    def _add(self, found: re.Match[str], place: str, line: str) -> None:
        name = found[1]
        self._shapes[name] = found[2]
        frame = _FRAME.search(line)
        product = self._product(line) if " dot(" in line else None
        self._operations[name] = _Operation(
            place, int(frame[1]) if frame else None, product
        )
        self._in[place].append(name)
        trips = _TRIPS.search(line)
        for body in _CALLED.findall(line):
            times = int(trips[1]) if trips else 1
            self._calls[body].append((name, place, times))
            self._bodies[name].append(body)

    def _product(self, line: str) -> Product:
        dot = _DOT.search(line)
        assert dot is not None
        left, right = (
            tuple(map(int, self._shapes[name].split(",")))
            for name in dot.groups()
        )
        dimensions = tuple(
            tuple(
                tuple(map(int, found[1].split(",")))
                if (found := re.search(name + r"=\{([\d,]+)\}", line))
                else ()
                for name in pair
            )
            for pair in (_AXES, _SHARED)
        )
        return Product(left, right, dimensions)

    def _times(self, place: str) -> int:
        """Return how often a computation runs in one run of the program."""
        if place == self._entry:
            return 1
        return sum(
            times * self._times(caller)
            for _, caller, times in self._calls[place]
        )

    def products(self) -> Products:
        """Return the matrix products of one run, with their numbers."""
        counted: Products = Counter()
        for operation in self._operations.values():
            if operation.product is not None:
                counted[operation.product] += self._times(operation.place)
        return counted

    def products_in(self, name: str) -> Products:
        """Return the matrix products of an operation: itself, or those that it fuses."""
        found = [self._operations[each].product for each in self._family(name)]
        return Counter(product for product in found if product is not None)

    def _family(self, name: str) -> list[str]:
        inside = [each for b in self._bodies[name] for each in self._in[b]]
        return [name, *inside]

    def functions(self, name: str) -> list[str]:
        """Return ``file:function`` of each frame of an operation, the innermost first."""
        number = self._frame(name) or 0
        frames, found = self._tables.get("StackFrames", {}), []
        while number in frames and len(found) < 100:
            location, parent = map(int, _NUMBERS.findall(frames[number]))
            place = self._tables["FileLocations"][location]
            file, function = map(int, _NUMBERS.findall(place)[:2])
            path = self._tables["FileNames"][file]
            of = self._tables["FunctionNames"][function]
            found.append(f"{path}:{of}".replace('"', ""))
            number = parent - 1  # printed with 1 added
        return found

    def _frame(self, name: str) -> int | None:
        """Return the frame of an operation, of what it fuses, or of what fuses it."""
        place = self._operations[name].place
        callers = [caller for caller, _, _ in self._calls[place]]
        for each in (*self._family(name), *callers):
            if (frame := self._operations[each].frame) is not None:
                return frame
        return None

    def seconds(self, job: Callable[[], Any]) -> dict[str, float]:
        """Return the seconds of each operation, those inside loops summed.

        Args:
            job: runs the program once, and waits for it.

        Returns:
            Seconds by name of the operation. Loops and calls, whose time is that of
            what they hold, are left out.
        """
        seconds: dict[str, float] = defaultdict(float)
        with tempfile.TemporaryDirectory() as folder:
            with jax.profiler.trace(folder):
                job()
            [path] = Path(folder).rglob("*.xplane.pb")
            data = jax.profiler.ProfileData.from_file(str(path))
            for event in _events(data):
                known = event.name in self._operations
                if known and not event.name.startswith(CONTAINERS):
                    seconds[event.name] += event.duration_ns / 1e9
        return dict(seconds)


def _events(data: Any) -> Iterator[Any]:
    for plane in data.planes:
        for line in plane.lines:
            yield from line.events
