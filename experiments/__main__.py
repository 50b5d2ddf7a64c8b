"""Run a study: `python -m experiments NAME [ARGUMENTS]`; without a name, list the studies."""

import ast
import pkgutil
import runpy
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
NAMES = sorted(
    module.name
    for module in pkgutil.iter_modules([str(FOLDER)])
    if not module.name.startswith("_")
)


def first_line(name: str) -> str:
    """Return the first line of a study's docstring, without importing it."""
    file = FOLDER / f"{name}.py"
    file = file if file.exists() else FOLDER / name / "__init__.py"
    text = ast.get_docstring(ast.parse(file.read_text())) or ""
    return text.partition("\n")[0]


def main() -> None:
    """Run the study that the command line names."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in NAMES:
        lines = [f"  {known:<12} {first_line(known)}" for known in NAMES]
        text = "\n".join(["usage: python -m experiments NAME [--help]", *lines])
        sys.exit(
            text
            if name in ("", "-h", "--help")
            else f"{name!r}: expected one of\n{text}"
        )
    del sys.argv[1]
    runpy.run_module(f"experiments.{name}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
