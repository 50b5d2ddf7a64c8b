"""Every study can be imported and describes its options."""

import importlib
import sys

import pytest

from experiments.__main__ import NAMES, first_line, main
from experiments.pictures import pictures


def module_of(name: str):
    """Return the module of a study, or the command line of a package."""
    module = importlib.import_module(f"experiments.{name}")
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"experiments.{name}.__main__")
    return module


@pytest.mark.parametrize("name", NAMES)
def test_a_study_describes_its_options(name, monkeypatch, capsys):
    study = module_of(name)
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as end:
        study.main()
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: python -m experiments {name} ")
    assert 20 < len(first_line(name)) <= 110


def test_without_a_name_the_studies_are_listed(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["experiments"])
    with pytest.raises(SystemExit) as end:
        main()
    assert all(f"  {name} " in str(end.value.code) for name in NAMES)


def test_pictures_show_the_numbers_of_their_results():
    for path, text in pictures():
        assert path.read_text("utf-8") == text
        rows = text.count('class="dot')
        assert 3 < rows == text.count('class="name') / 2  # a name and a number
