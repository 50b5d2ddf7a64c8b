"""What holds for the whole repository, whatever the code does."""

import ast
import importlib.metadata
import inspect
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

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
    return [
        f for f in files if f.is_file() and b"\0" not in f.read_bytes()[:8192]
    ]


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
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


# -- nothing of the machine ----------------------------------------------------------------------------------------------------

PLACES = re.compile(
    r"/(?:home|Users|root|work|mnt|scratch)/\w|[A-Z]:\\\\?Users|site-packages/"
)
INDEX = re.compile(
    r"(?:--(?:extra-)?index-url|--find-links|index[-_]url\s*[=:]|(?:pypi|mirrors?)\.[\w.-]+/|/simple/?\b)",
    re.I,
)


@pytest.mark.parametrize(
    "line",
    [
        "open('/home/someone/x')",
        "--index-url https://a.b/simple",
        "https://pypi.org/simple",
        "C:\\Users\\x",
    ],
)
def test_places_and_indices_are_recognised(line):
    assert PLACES.search(line) or INDEX.search(line)


def test_no_tracked_file_names_a_place_on_a_machine_or_a_package_index():
    found = []
    for file in tracked():
        if file == Path(__file__):
            continue
        for number, line in enumerate(
            file.read_text("utf-8", errors="replace").splitlines(), 1
        ):
            if PLACES.search(line) or INDEX.search(line):
                found.append(
                    f"{file.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
                )
    assert not found


SET_UP = ("openspiel", "pettingzoo", "gymnasium", "jumanji", "dev", "docs")
ADAPTERS = (*SET_UP, "jaxmarl", "pgx", "minari", "vault", "frames", "onnx")


@pytest.mark.parametrize(
    "lock, groups",
    [
        ("requirements.lock", SET_UP),
        ("requirements-adapters.lock", ADAPTERS),
    ],
)
def test_the_lock_pins_every_dependency_and_holds_no_address(lock, groups):
    lines = (ROOT / lock).read_text("utf-8").splitlines()
    assert all(
        re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; .+)?", line) for line in lines
    )
    locked = {line.split("==")[0] for line in lines}
    extras = PROJECT["optional-dependencies"]
    wanted = [
        *PROJECT["dependencies"],
        *(name for group in groups for name in extras[group]),
    ]
    names = {
        re.split(r"[\[<>=!~]", dependency)[0].lower().replace("_", "-")
        for dependency in wanted
    }
    assert names <= locked


def test_both_locks_agree():
    both = [
        set((ROOT / name).read_text("utf-8").splitlines())
        for name in ("requirements.lock", "requirements-adapters.lock")
    ]
    assert both[0] <= both[1]


# -- dependencies and imports --------------------------------------------------------------------------------------------------


def test_what_the_library_imports_is_declared():
    declared = {
        re.split(r"[\[<>=!~]", d)[0].lower() for d in PROJECT["dependencies"]
    }
    names = {
        "jinja2": "jinja2",
        "tensorboardX": "tensorboardx",
        "pyspiel": "open_spiel",
        "PIL": "pillow",
        "stable_baselines3": "stable-baselines3",
        "torch": "stable-baselines3",
    }
    outside = PROJECT["optional-dependencies"].items()
    optional = {
        re.split(r"[\[<>=!~]", d)[0].lower()
        for group, wanted in outside
        for d in wanted
        if group not in ("dev", "docs", "bench")
    }
    found = (
        set().union(*map(imports, CODE))
        - set(sys.stdlib_module_names)
        - {"bestreply"}
    )
    assert not {names.get(name, name) for name in found} - declared - optional
    used = {names.get(name, name) for name in found}
    # And nothing is declared that nothing imports; `jax.export` imports flatbuffers.
    assert declared - {"jaxlib", "flatbuffers"} <= used


def test_the_version_is_one():
    assert importlib.metadata.version("bestreply") == PROJECT["version"]


HEAVY = "{'jax', 'jaxlib', 'equinox', 'numpy', 'pyarrow', 'scipy'}"


def test_importing_the_package_and_its_help_do_not_import_jax():
    seen = run(
        "-c",
        f"import sys, bestreply; print(sorted({HEAVY} & set(sys.modules)))",
    )
    assert seen.stdout.strip() == "[]", seen.stdout + seen.stderr
    program = (
        "import sys; sys.argv = ['bestreply', *sys.argv[1:]]\n"
        "from bestreply.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"print(sorted({HEAVY} & set(sys.modules)), file=sys.stderr)"
    )
    for arguments in (
        ["--help"],
        [],
        ["run", "--help"],
        ["data", "validate", "--help"],
    ):
        seen = run("-c", program, *arguments)
        assert seen.stdout.strip() and seen.stderr.strip() == "[]", (
            arguments,
            seen.stderr,
        )


# -- code ----------------------------------------------------------------------------------------------------------------------


def test_every_public_name_is_there_and_says_what_it_is():
    assert bestreply.__all__
    for name in bestreply.__all__:
        thing = getattr(bestreply, name)
        assert (
            inspect.isfunction(thing)
            or inspect.isclass(thing)
            or inspect.ismodule(thing)
        ), name
        # a dataclass without a docstring of its own gets its signature as one
        assert thing.__doc__ and not thing.__doc__.startswith(f"{name}("), name


def forbidden(source: str) -> list[str]:
    """What a library whose files are safe to open does not do."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [a.name for a in node.names] + [
                getattr(node, "module", None) or ""
            ]
            found += [
                m
                for m in modules
                if m.split(".")[0]
                in (
                    "pickle",
                    "cloudpickle",
                    "dill",
                    "joblib",
                    "marshal",
                    "shelve",
                )
            ]
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            found += (
                [name]
                if name
                in (
                    "eval",
                    "exec",
                    "compile",
                    "__import__",
                    "os.system",
                    "jax.random.PRNGKey",
                )
                else []
            )
            keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
            found += [
                k
                for k in ("allow_pickle", "shell")
                if keywords.get(k, "False") != "False"
            ]
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


@pytest.mark.parametrize(
    "path", CODE, ids=lambda path: str(path.relative_to(ROOT))
)
def test_no_pickle_and_no_eval(path):
    assert not forbidden(path.read_text("utf-8"))


# -- what runs it --------------------------------------------------------------------------------------------------------------


def test_ci_run_is_a_program_that_runs_the_tests():
    script = ROOT / ".ci" / "run"
    text = script.read_text("utf-8")
    assert os.access(script, os.X_OK) and text.startswith("#!/usr/bin/env bash")
    assert "set -euo pipefail" in text
    assert all(
        f"make {target}" in text
        for target in ("test", "lint", "docs", "test-slow")
    )


FAKE_MAKE = """#!/bin/sh
case $1 in
  test) echo "3 passed in 0.01s" ;;
  test-slow) sleep "${SLOW:-0}" ;;
esac
[ "$1" != "$FAILS" ]
"""


@pytest.mark.parametrize("fails", ["", "test", "lint", "docs", "test-slow"])
def test_ci_run_runs_every_check_and_fails_if_one_does(tmp_path, fails):
    done = ci_run(tmp_path, FAILS=fails)
    lines = done.stdout.splitlines()
    assert (
        done.returncode == (1 if fails else 0)
        and lines[-1] == "3 passed in 0.01s"
    )
    ended = {
        line.split(":")[0]: "FAILED" not in line
        for line in lines
        if line.startswith("make ")
    }
    assert ended == {
        f"make {name}": name != fails
        for name in ("test", "lint", "docs", "test-slow")
    }


def test_ci_run_fails_where_the_slow_tests_do_not_end_in_time(tmp_path):
    done = ci_run(tmp_path, SLOW="30", CI_MINUTES="0")
    assert (
        done.returncode == 1
        and "make test-slow: FAILED, stopped" in done.stdout
    )
    assert done.stdout.splitlines()[-1] == "3 passed in 0.01s"


def ci_run(folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """`.ci/run` with a `make` that does nothing but fail where it is asked to."""
    make = folder / "make"
    make.write_text(FAKE_MAKE)
    make.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    settings = (
        os.environ
        | {"PATH": path, "FAILS": "", "CI_MINUTES": "1"}
        | environment
    )
    return subprocess.run(
        [ROOT / ".ci" / "run"],
        env=settings,
        capture_output=True,
        text=True,
        timeout=60,
    )


WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
FORMS = [
    path
    for path in sorted(ROOT.glob(".github/ISSUE_TEMPLATE/*.yml"))
    if path.stem != "config"
]


def document(path: Path) -> dict:
    return yaml.safe_load(path.read_text("utf-8"))


def test_workflows_run_the_checks_and_publish_a_tag():
    assert [path.stem for path in WORKFLOWS] == ["ci", "release"]
    ci, release = map(document, WORKFLOWS)
    assert ".ci/run" in [
        step.get("run") for step in ci["jobs"]["check"]["steps"]
    ]
    assert "make docs" in [
        step.get("run") for step in ci["jobs"]["docs"]["steps"]
    ]
    tested = {
        c.split(" :: ")[-1]
        for c in PROJECT["classifiers"]
        if re.search(r":: 3\.\d+$", c)
    }
    assert set(ci["jobs"]["check"]["strategy"]["matrix"]["python"]) == tested
    assert release[True] == {
        "push": {"tags": ["v*"]}
    }  # YAML 1.1 reads the key `on` as true
    assert release["jobs"]["publish"]["permissions"] == {"id-token": "write"}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_issue_forms_have_what_a_form_needs(path):
    form = document(path)
    assert form["name"] and form["description"] and form["body"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)


def test_pre_commit_needs_nothing_from_elsewhere():
    repositories = document(ROOT / ".pre-commit-config.yaml")["repos"]
    assert {repository["repo"] for repository in repositories} == {"local"}
    hooks = [
        hook for repository in repositories for hook in repository["hooks"]
    ]
    assert all(
        hook["language"] == "system"
        and hook["entry"].startswith(".venv/bin/ruff")
        for hook in hooks
    )


def test_the_citation_is_of_this_version():
    citation = document(ROOT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0" and citation["message"]
    assert str(citation["version"]) == PROJECT["version"]
    assert (
        citation["title"] == PROJECT["name"]
        and citation["license"] == PROJECT["license"]
    )
    assert citation["authors"] == PROJECT["authors"]


def test_pyright_covers_every_folder_of_code():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))[
        "tool"
    ]["pyright"]
    folders = {
        path.relative_to(ROOT).parts[0]
        for path in tracked()
        if path.suffix == ".py"
    } - {"docs"}
    assert set(settings["include"]) == folders


# -- what is installed ---------------------------------------------------------------------------------------------------------


def uv(*arguments: object) -> None:
    """uv beside this Python; from its cache where that has all, otherwise over the network."""
    command = [
        Path(sys.executable).with_name("uv"),
        "--quiet",
        "--no-progress",
        *arguments,
    ]
    tries = [
        subprocess.run(
            [*command, *offline],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=600,
        )
        for offline in (["--offline"], [])
    ]
    assert any(done.returncode == 0 for done in tries), tries[-1].stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    uv("build", "--wheel", "--out-dir", folder)
    return next(folder.glob("bestreply-*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {
            name for name in archive.namelist() if ".dist-info/" not in name
        }
    package = {
        str(path.relative_to(ROOT))
        for path in tracked()
        if path.is_relative_to(ROOT / "bestreply")
    }
    assert names == package
    kinds = (
        "bestreply/py.typed",
        "/strings/en.json",
        "/strings/zh.json",
        "/templates/report.html",
    )
    assert all(any(name.endswith(kind) for name in names) for kind in kinds)


@pytest.mark.slow
def test_an_installed_wheel_runs_in_a_folder_with_spaces_and_chinese_characters(
    wheel, tmp_path
):
    """In an environment of its own, with the versions that the lock names."""
    environment = tmp_path / "fresh"
    uv("venv", "--python", sys.executable, environment)
    bin_folder = environment / ("Scripts" if os.name == "nt" else "bin")
    uv(
        "pip",
        "install",
        "--python",
        bin_folder / "python",
        wheel,
        "--constraints",
        "requirements.lock",
    )
    folder = tmp_path / "a folder 文件夹"
    folder.mkdir()
    settings = {
        key: value
        for key, value in os.environ.items()
        if key not in ("PYTHONPATH", "VIRTUAL_ENV")
    }

    def call(*arguments: str) -> str:
        done = subprocess.run(
            [bin_folder / "bestreply", *arguments],
            cwd=folder, env=settings, capture_output=True, text=True, encoding="utf-8", timeout=1800,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    call("run", "--preset", "debug", "--out", "runs/第一次 run")
    page = folder / "runs" / "第一次 run" / "report.html"
    assert page.exists() and "</html>" in page.read_text("utf-8")
    assert "bestreply" in call("--help")


def locked(name: str) -> set[str]:
    """Packages of a lock file."""
    lines = (ROOT / name).read_text("utf-8").splitlines()
    return {re.split(r"[=; ]", line)[0].lower() for line in lines if line}


def test_lint_needs_no_library_that_set_up_does_not_install():
    """Files that import libraries of `make setup-adapters` alone say so to pyright."""
    only = locked("requirements-adapters.lock") - locked("requirements.lock")
    assert {"jaxmarl", "pgx"} <= only
    folders = "bestreply", "tests", "benchmarks", "examples", "experiments"
    silent = [
        path
        for folder in folders
        for path in ROOT.glob(f"{folder}/**/*.py")
        if imports(path) & only
        and "reportMissingImports" not in path.read_text("utf-8")
    ]
    assert not silent
