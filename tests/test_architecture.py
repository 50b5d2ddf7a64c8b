"""The imports of `bestreply` obey the order that docs/architecture.md declares, and form no circle."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAX_ROOT_MODULES = 10


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(
        ".__init__"
    )


MODULES = {
    module_name(path): path for path in (ROOT / "bestreply").rglob("*.py")
}


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(
        node.test
    )


def imports(path: Path, *, types: bool) -> set[str]:
    """Return the modules that a file imports anywhere; without `types`, not those under TYPE_CHECKING."""
    found: set[str] = set()
    queue: list[ast.AST] = [ast.parse(path.read_text())]
    while queue:
        node = queue.pop()
        if types or not is_type_checking(node):
            queue.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inside & MODULES.keys()) or {str(node.module)}
    return found & MODULES.keys()


def room(module: str) -> str:
    return module.split(".")[1]


def declared_order() -> list[str]:
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = page.split("| room | holds |")[1].split("\n\n")[0]
    return re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)


def test_no_import_circle_between_files():
    graph = {
        name: imports(path, types=True) - {name, "bestreply"}
        for name, path in MODULES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def test_no_import_runs_against_the_declared_order():
    order = declared_order()
    upward = [
        f"{name} imports {other}"
        for name, path in MODULES.items()
        if name != "bestreply"
        for other in imports(path, types=True) - {"bestreply"}
        if order.index(room(other)) > order.index(room(name))
    ]
    assert upward == []


def test_every_room_is_declared_once_and_exists():
    order = declared_order()
    assert len(order) == len(set(order))
    assert set(order) == {room(name) for name in MODULES if name != "bestreply"}


def test_few_modules_at_the_root():
    files = [
        path
        for path in (ROOT / "bestreply").glob("*.py")
        if path.name != "__init__.py"
    ]
    assert len(files) <= MAX_ROOT_MODULES


def test_the_checks_see_a_circle_and_an_upward_import(tmp_path):
    probe = tmp_path / "probe.py"
    probe.write_text(
        "def late():\n    from bestreply.report import page\n\nimport bestreply.cli.main\n"
    )
    assert imports(probe, types=False) == {
        "bestreply.report.page",
        "bestreply.cli.main",
    }
