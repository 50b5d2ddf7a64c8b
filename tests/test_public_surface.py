"""The names a user types, and that they come one by one."""

import subprocess
import sys

import pytest

import bestreply as br

NAMES = [
    "make_game",
    "make_player",
    "list_games",
    "list_players",
    "collect",
    "open_store",
    "train",
    "load_run",
    "evaluate",
    "exact",
    "check_game",
    "check_player",
    "Scores",
    "validate",
    "write_report",
    "preset",
    "RunConfig",
]


def test_the_names_of_the_design_are_there():
    assert set(NAMES) <= set(br.__all__) == set(dir(br))
    for name in br.__all__:
        assert getattr(br, name).__doc__, name


def test_functions_are_not_hidden_by_the_modules_of_their_name():
    import bestreply.collect
    import bestreply.evaluate
    import bestreply.train

    assert callable(br.collect) and callable(br.train) and callable(br.evaluate)
    assert (
        br.collect is bestreply.collect
        and br.evaluate is sys.modules["bestreply.evaluate"].evaluate
    )


def test_an_unknown_name_shows_those_there_are():
    with pytest.raises(
        AttributeError,
        match=r"module 'bestreply' has no attribute 'learn'; it has: .*train",
    ):
        br.learn  # noqa: B018


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, bestreply; print([m for m in ('jax', 'numpy', 'equinox', 'pyarrow', 'tyro') if m in sys.modules])"
    assert (
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        == "[]\n"
    )


def test_games_and_players_have_a_line_each():
    assert {"stag_hunt", "snowdrift", "matrix"} <= set(br.list_games())
    assert {"nearest_stag", "tit_for_tat", "mixture"} <= set(br.list_players())
    for line in [*br.list_games().values(), *br.list_players().values()]:
        assert "\n" not in line and len(line) > 10
