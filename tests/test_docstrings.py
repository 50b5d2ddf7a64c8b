"""Public functions say what they take, give and raise; their parameters have shapes and types.

`python -m tests.test_docstrings [PATH ...]` lists the functions that do not.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
MIN_DOCUMENTED = 0.8
MAX_UNTYPED = 0.1
VAGUE = re.compile(r"(?<![\w\[])(Any|Array)(?![\w\[])")
"""`Any` and an `Array` without a shape; `Float[Array, "B A"]` is none."""


class Function(NamedTuple):
    """A public function or method, and the names of its parameters with their annotations."""

    where: str
    node: ast.FunctionDef
    overrides: bool
    """A method of a class with bases that has no docstring: documented where it is declared."""

    @property
    def parameters(self) -> list[ast.arg]:
        arguments = self.node.args
        listed = [
            *arguments.posonlyargs,
            *arguments.args,
            *arguments.kwonlyargs,
        ]
        return [a for a in listed if a.arg not in ("self", "cls")]

    @property
    def is_documented(self) -> bool:
        """A docstring with Args (if there are parameters), Returns (if it returns) and Raises (if it raises)."""
        text = ast.get_docstring(self.node) or ""
        returns = (
            self.node.returns is not None
            and ast.unparse(self.node.returns) != "None"
        )
        simple = is_property(self.node) or len(self.node.body) <= 2
        needs = {
            "Args:": bool(self.parameters),
            "Returns:": returns and not simple,
            "Raises:": any(
                isinstance(n, ast.Raise) and n.exc for n in ast.walk(self.node)
            ),
        }
        return bool(text) and all(
            heading in text for heading, needed in needs.items() if needed
        )

    @property
    def vague(self) -> list[str]:
        """Parameters of type Any, or of an array without a shape."""
        return [
            a.arg
            for a in self.parameters
            if a.annotation is not None
            and VAGUE.search(without_shapes(ast.unparse(a.annotation)))
        ]


def without_shapes(annotation: str) -> str:
    return re.sub(
        r"\w+\[(?:[\w.]+\.)?(?:Array|ndarray), ['\"][^'\"]*['\"]\]",
        "Shaped",
        annotation,
    )


def is_property(node: ast.FunctionDef) -> bool:
    return any("property" in ast.unparse(d) for d in node.decorator_list)


def public_functions(path: Path) -> Iterator[Function]:
    """Yield functions and methods without a leading underscore, and `__call__`-like ones not."""
    where = path.relative_to(ROOT)

    def walk(
        body: list[ast.stmt], prefix: str, in_subclass: bool
    ) -> Iterator[Function]:
        for node in body:
            name = getattr(node, "name", "_")
            if name.startswith("_"):
                continue
            if isinstance(node, ast.FunctionDef):
                overrides = in_subclass and ast.get_docstring(node) is None
                yield Function(
                    f"{where}:{node.lineno} {prefix}{name}", node, overrides
                )
            elif isinstance(node, ast.ClassDef):
                yield from walk(node.body, f"{name}.", bool(node.bases))

    yield from walk(ast.parse(path.read_text()).body, "", False)


def surface(paths: list[Path]) -> list[Function]:
    """Return the public functions of files and folders that have to be documented here."""
    files = [
        f
        for p in paths
        for f in ([p] if p.is_file() else sorted(p.rglob("*.py")))
    ]
    functions = [f for path in files for f in public_functions(path)]
    return [
        f
        for f in functions
        if not f.overrides
        and not (is_property(f.node) and ast.get_docstring(f.node))
    ]


def test_public_functions_have_args_returns_and_raises():
    functions = surface([ROOT / "bestreply"])
    missing = [f.where for f in functions if not f.is_documented]
    assert len(missing) <= (1 - MIN_DOCUMENTED) * len(functions), "\n".join(
        missing
    )


def test_public_parameters_have_types_with_shapes():
    parameters = sum(len(f.parameters) for f in surface([ROOT / "bestreply"]))
    vague = [
        f"{f.where}: {', '.join(f.vague)}"
        for f in surface([ROOT / "bestreply"])
        if f.vague
    ]
    count = sum(len(f.vague) for f in surface([ROOT / "bestreply"]))
    assert count <= MAX_UNTYPED * parameters, "\n".join(vague)


def main(arguments: list[str]) -> None:
    """Print the functions that lack sections, the parameters that lack types, and both shares."""
    functions = surface(
        [(ROOT / a).resolve() for a in arguments or ["bestreply"]]
    )
    documented = [f for f in functions if f.is_documented]
    for f in functions:
        if not f.is_documented or f.vague:
            lacks = "" if f.is_documented else " lacks sections"
            print(
                f"{f.where}{lacks} {'vague: ' + ', '.join(f.vague) if f.vague else ''}"
            )
    parameters = max(sum(len(f.parameters) for f in functions), 1)
    vague = sum(len(f.vague) for f in functions)
    print(
        f"documented {len(documented)}/{len(functions)}, vague parameters {vague}/{parameters}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
