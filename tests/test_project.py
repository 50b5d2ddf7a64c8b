"""What holds for the whole repository, whatever the code does."""

import ast
import importlib.metadata
import inspect
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import bestreply

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
CODE = sorted(ROOT.glob("bestreply/**/*.py"))


def tracked() -> list[Path]:
    """Text files that git tracks, or would (a copy without git has every file but the ignored folders)."""
    asked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if asked.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in asked.stdout.splitlines()]
    return [f for f in files if f.is_file() and b"\0" not in f.read_bytes()[:8192]]


def imports(path: Path) -> set[str]:
    """Top-level packages imported anywhere in a file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)


# -- nothing of the machine ----------------------------------------------------------------------------------------------------

PLACES = re.compile(r"/(?:home|Users|root|work|mnt|scratch)/\w|[A-Z]:\\\\?Users|site-packages/")
INDEX = re.compile(
    r"(?:--(?:extra-)?index-url|--find-links|index[-_]url\s*[=:]|(?:pypi|mirrors?)\.[\w.-]+/|/simple/?\b)",
    re.I,
)


@pytest.mark.parametrize(
    "line",
    ["open('/home/someone/x')", "--index-url https://a.b/simple", "https://pypi.org/simple", "C:\\Users\\x"],
)
def test_places_and_indices_are_recognised(line):
    assert PLACES.search(line) or INDEX.search(line)


def test_no_tracked_file_names_a_place_on_a_machine_or_a_package_index():
    found = []
    for file in tracked():
        if file == Path(__file__):
            continue
        for number, line in enumerate(file.read_text("utf-8", errors="replace").splitlines(), 1):
            if PLACES.search(line) or INDEX.search(line):
                found.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert not found


def test_the_lock_pins_every_dependency_and_holds_no_address():
    lines = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; .+)?", line) for line in lines)
    locked = {line.split("==")[0] for line in lines}
    extras = PROJECT["optional-dependencies"]
    wanted = PROJECT["dependencies"] + extras["dev"] + extras["docs"] + extras["openspiel"]
    names = {re.split(r"[\[<>=!~]", dependency)[0].lower().replace("_", "-") for dependency in wanted}
    assert names <= locked


# -- dependencies and imports --------------------------------------------------------------------------------------------------


def test_what_the_library_imports_is_declared():
    declared = {re.split(r"[\[<>=!~]", d)[0].lower() for d in PROJECT["dependencies"]}
    names = {
        "jinja2": "jinja2",
        "tensorboardX": "tensorboardx",
        "orbax": "orbax-checkpoint",
        "pyspiel": "open_spiel",
    }
    optional = {"open_spiel", "ray", "wandb"}
    found = set().union(*map(imports, CODE)) - set(sys.stdlib_module_names) - {"bestreply"}
    assert not {names.get(name, name) for name in found} - declared - optional
    used = {names.get(name, name) for name in found}
    assert declared - {"jaxlib"} <= used  # and nothing is declared that nothing imports


def test_the_version_is_one():
    assert importlib.metadata.version("bestreply") == PROJECT["version"]


HEAVY = "{'jax', 'jaxlib', 'equinox', 'numpy', 'pyarrow', 'scipy'}"


def test_importing_the_package_and_its_help_do_not_import_jax():
    seen = run("-c", f"import sys, bestreply; print(sorted({HEAVY} & set(sys.modules)))")
    assert seen.stdout.strip() == "[]", seen.stdout + seen.stderr
    program = (
        "import sys; sys.argv = ['bestreply', *sys.argv[1:]]\n"
        "from bestreply.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"print(sorted({HEAVY} & set(sys.modules)), file=sys.stderr)"
    )
    for arguments in (["--help"], [], ["run", "--help"], ["data", "validate", "--help"]):
        seen = run("-c", program, *arguments)
        assert seen.stdout.strip() and seen.stderr.strip() == "[]", (arguments, seen.stderr)


# -- code ----------------------------------------------------------------------------------------------------------------------


def test_every_public_name_is_there_and_says_what_it_is():
    assert bestreply.__all__
    for name in bestreply.__all__:
        thing = getattr(bestreply, name)
        assert inspect.isfunction(thing) or inspect.isclass(thing) or inspect.ismodule(thing), name
        # a dataclass without a docstring of its own gets its signature as one
        assert thing.__doc__ and not thing.__doc__.startswith(f"{name}("), name


def forbidden(source: str) -> list[str]:
    """What a library whose files are safe to open does not do."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [a.name for a in node.names] + [getattr(node, "module", None) or ""]
            found += [
                m
                for m in modules
                if m.split(".")[0] in ("pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve")
            ]
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            found += (
                [name]
                if name in ("eval", "exec", "compile", "__import__", "os.system", "jax.random.PRNGKey")
                else []
            )
            keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
            found += [k for k in ("allow_pickle", "shell") if keywords.get(k, "False") != "False"]
    return found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "eval('1')",
        "exec(x)",
        "np.load(f, allow_pickle=True)",
        "jax.random.PRNGKey(0)",
    ],
)
def test_what_is_forbidden_is_recognised(source):
    assert forbidden(source)


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_pickle_and_no_eval(path):
    assert not forbidden(path.read_text("utf-8"))


# -- what runs it --------------------------------------------------------------------------------------------------------------


def test_ci_run_is_a_program_that_runs_the_tests():
    script = ROOT / ".ci" / "run"
    text = script.read_text("utf-8")
    assert os.access(script, os.X_OK) and text.startswith("#!/usr/bin/env bash")
    assert "set -euo pipefail" in text and "make test" in text
