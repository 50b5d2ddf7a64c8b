"""A sentence for what was typed or read; a traceback for errors of the library and of a user's module."""

import json
import subprocess
import sys
import types

import numpy as np
import pytest

from bestreply import cli
from bestreply.cli import data, errors
from bestreply.cli.output import show
from bestreply.config import RunConfig, from_dict
from bestreply.utils import importing
from bestreply.utils.spec import parse_spec


def run(monkeypatch, capsys, *words):
    """Return the status and standard error of a command."""
    monkeypatch.setattr("sys.argv", ["bestreply", *words])
    try:
        cli.main()
        status = 0
    except SystemExit as error:
        status = error.code
        if isinstance(status, str):
            return 1, status + capsys.readouterr().err
    return status, capsys.readouterr().err


def planted(monkeypatch, capsys, fault, module="bestreply.planted"):
    """Run a command that fails in a module of this name."""
    code = types.ModuleType(module)
    source = f"import json\nimport numpy as np\ndef run(self):\n    {fault}\n"
    exec(compile(source, "planted.py", "exec"), code.__dict__)
    monkeypatch.setattr(data.Describe, "run", code.run)
    return run(monkeypatch, capsys, "data", "describe", "nowhere")


REFUSALS = [
    "raise ValueError('batch=0: expected 1')",
    "raise ImportError('expected the package x: pip install x')",
    "raise OverflowError('seed=1: expected less')",
    "raise OSError(28, 'No space left on device', 'file.txt')",
    "open('/nowhere/at/all')",
    "np.zeros(2**48)",
    "raise MemoryError",
    "raise RuntimeError('RESOURCE_EXHAUSTED: Out of memory allocating')",
]


@pytest.mark.parametrize("fault", REFUSALS)
def test_a_refusal_is_a_sentence(monkeypatch, capsys, fault):
    status, text = planted(monkeypatch, capsys, fault)
    assert status == 1 and "Traceback" not in text and "report" not in text
    assert text.startswith("bestreply data describe: ")
    assert ("out of memory: expected smaller sizes" in text) == (
        "Memory" in fault or "zeros" in fault or "RESOURCE" in fault
    )


OWN = [
    "{}['missing']",
    "None + 1",
    "int('x')",
    "json.loads('{')",
    "import bestreply.no_such_module",
    "[][1]",
    "1 / 0",
    "run(self)",
    "'\\ud800'.encode()",
    "np.zeros(3) + np.zeros(4)",
    "assert False",
    "raise RuntimeError('\\x1b[31m')",
]


@pytest.mark.parametrize("fault", OWN)
def test_an_error_of_the_library_has_a_traceback_and_where_to_report_it(
    monkeypatch, capsys, fault
):
    status, text = planted(monkeypatch, capsys, fault)
    assert status == 1 and text.startswith("Traceback (most recent call last)")
    assert text.endswith(f"lines above: {errors.issues_page()}\n")
    assert "\x1b" not in text


def test_the_page_for_reports_is_that_of_the_package():
    from pathlib import Path

    project = Path(__file__).parents[2] / "pyproject.toml"
    assert f'Issues = "{errors.issues_page()}"' in project.read_text()


@pytest.mark.parametrize(
    "fault",
    ["raise ValueError('mine')", "{}['missing']", "raise OSError(2, 'x')"],
)
def test_an_exception_of_a_users_module_keeps_its_traceback(
    monkeypatch, capsys, fault
):
    monkeypatch.setattr(importing, "_foreign", {"my_games"})
    status, text = planted(monkeypatch, capsys, fault, "my_games.chess")
    assert status == 1 and "planted.py" in text
    assert text.startswith("Traceback") and "Report" not in text


# -- what a person typed -----------------------------------------------------------

HOSTILE = ["[/]", "[red]", "[link=http://a]x[/link]", ":smile:", "\x1b[2J", "\x1b]8;;http://a\x07x", "\x9b31m", "a\u202eb", "a\u2066b", "\u200f", "\ud800", "\udcff", "%s{0}", "a\rb", "a\nno errors"]  # fmt: skip  # noqa: E501


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_shown_as_text(monkeypatch, capsys, tmp_path, name):
    """A command, an option, a path, a game and a player that do not exist."""
    for words in (
        [name],
        ["data", name],
        ["data", "describe", name],
        ["data", "validate", name],
        ["check-game", name],
        ["compare", f"{name}={name}:{name}", f"b={name}"],
        ["results", name],
        ["report", name],
        ["sweep", name],
        ["run", "--config", name],
        ["data", "describe", "x", f"--{name}", name],
    ):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", ["bestreply", *words])
        with pytest.raises(SystemExit) as error:
            cli.main()
        shown = capsys.readouterr()
        text = f"{error.value.code}{shown.out}{shown.err}"
        assert "Traceback" not in text
        assert not any(
            c in text for c in "\x1b\x9b\u202e\u2066\u200f\ud800\r\x07"
        )


@pytest.mark.parametrize("name", HOSTILE)
def test_a_table_shows_names_as_text(capsys, name):
    from rich.table import Table

    table = Table(title=name, caption=name)
    table.add_column(name)
    table.add_row(name)
    show(table)
    text = capsys.readouterr().out
    assert not any(c in text for c in "\x1b\x9b\u202e\u2066\u200f\ud800\r\x07")
    if name.isprintable():
        assert text.count(name) == 4


VALUES = [10**400, 1 << 20_000, float("nan"), float("inf"), True, None, "", "x" * 10**6, [], {}, [[[]]], {"a": {"a": 1}}, -1, 0.5, b"x", np.float64("nan"), "\ud800"]  # fmt: skip  # noqa: E501


def deep(depth=100_000):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("section", list(RunConfig.__dataclass_fields__))
def test_no_value_of_a_setting_escapes_as_another_error(section):
    for value in [*VALUES, deep()]:
        for document in ({section: value}, {section: {"updates": value, "opponents": value, "x": value}}):  # fmt: skip
            try:
                from_dict(RunConfig, document)
            except ValueError as error:
                assert type(error) is ValueError and len(str(error)) < 2000
                assert section in str(error) and "expected" in str(error)


@pytest.mark.parametrize("document", [[], None, 3, "x", [[]], deep()])
def test_a_configuration_is_a_table(document):
    with pytest.raises(ValueError, match="expected a table of settings"):
        from_dict(RunConfig, document)


CONFIGS = {
    "list": b"[]",
    "null": b"null",
    "number": b"3",
    "text": b'"debug"',
    "wrong type": b'{"game": 5}',
    "nested text": b'{"train": {"weights": "x"}}',
    "deep": b'{"train": ' + b"[" * 100_000,
    "empty": b"",
    "latin-1": '{"game": "Jäger"}'.encode("latin-1"),
    "utf-16 without a mark": '{"seed": 3}'.encode("utf-16-le"),
    "zeros": bytes(100),
    "digits": b'{"seed": ' + b"9" * 10_000 + b"}",
    "infinite": b'{"train": {"gamma": 1e999}}',
    "NaN": b'{"train": {"gamma": NaN}}',
    "twice": b'{"seed": 1, "seed": 2}',
    "half a character": b'{"game": "\\ud800"}',
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_file_is_refused_in_a_sentence(
    monkeypatch, capsys, tmp_path, name
):
    file = tmp_path / "c.json"
    file.write_bytes(CONFIGS[name])
    status, text = run(monkeypatch, capsys, "run", "--config", str(file))
    assert status == 2 and f"--config={file}: " in text and "expected" in text
    assert "Traceback" not in text and len(text) < 1000


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "missing"])
def test_a_configuration_is_a_regular_file(monkeypatch, capsys, tmp_path, kind):
    import os

    file = tmp_path / "c.json"
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    elif kind == "device":
        file.symlink_to("/dev/zero")
    for words in (["run", "--config", str(file)], ["sweep", str(file)]):
        status, text = run(monkeypatch, capsys, *words)
        assert status in (1, 2) and "Traceback" not in text
        assert str(file) in text


SPECS = ["stag_hunt(height='a')", "stag_hunt(height=None)", "stag_hunt(height=2.5)", "stag_hunt(height=True)", "stag_hunt(height=0x" + "f" * 5000 + ")", "stag_hunt(height=1e999)", "stag_hunt(x={1: 2})", "stag_hunt(height=1j)", "stag_hunt(height=b'x')", "stag_hunt(height=...)", "stag_hunt(height={1, 2})", "a" * 20_000, "a(" * 90 + ")" * 90, "-" * 9000 + "1", "matrix(payoffs=((1, 2), (3,)))", "matrix(payoffs='x')", "matrix(table=5)", "matrix(table=(1, 2))", "stag_hunt(seed=1)", "a(\x00)", "a\ud800", "a('\\ud800')", "matrix(payoffs=(((1e39, 0), (0, 0)), ((0, 0), (0, 0))))", "stag_hunt(spec=1)", "stag_hunt(5)", "stag_hunt(height=stag_hunt(height=3))"]  # fmt: skip  # noqa: E501


def test_a_game_that_was_mistyped_is_refused_in_a_sentence():
    """Without the checks of types that the tests switch on."""
    code = (
        "import ast, sys\nfrom bestreply.games import make_game\n"
        "for text in ast.literal_eval(sys.stdin.read()):\n"
        "    try:\n        print('accepted', ascii(text)[:80], make_game(text))\n"
        "    except ValueError as error:\n"
        "        if type(error) is not ValueError or len(str(error)) > 2000:\n"
        "            raise"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=ascii(SPECS),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_a_spec_holds_can_be_written_down():
    for text in SPECS:
        try:
            spec = parse_spec(text)
        except ValueError:
            continue
        json.dumps([str(spec), [repr(v) for v in spec.settings.values()]])
        assert str(spec).encode()


def test_output_of_any_encoding(monkeypatch, tmp_path):
    """A terminal without Unicode shows a code for what it cannot show."""
    import os

    game = tmp_path / "猎鹿\udcff"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", "from bestreply.cli import main; main()", "data", "validate", os.fsencode(game)],
        capture_output=True,
        env=environment,
    )  # fmt: skip
    assert done.returncode == 1 and b"Traceback" not in done.stderr
    assert rb"\u730e\u9e7f" in done.stdout
