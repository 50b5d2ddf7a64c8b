"""The public names of the package, imported on use."""

import subprocess
import sys

import pytest

import bestreply as br

NAMES = [
    "make_game",
    "make_player",
    "list_games",
    "list_players",
    "list_methods",
    "register",
    "collect",
    "open_store",
    "train",
    "load_run",
    "load_export",
    "evaluate",
    "exact",
    "check_game",
    "check_player",
    "Scores",
    "validate",
    "write_report",
    "preset",
    "RunConfig",
    "player",
    "from_sb3",
    "from_torch",
    "from_onnx",
    "from_openspiel",
]


def test_the_public_names_have_docstrings():
    assert set(NAMES) <= set(br.__all__) == set(dir(br))
    for name in br.__all__:
        assert getattr(br, name).__doc__, name


def test_functions_and_modules_of_one_name_are_both_importable():
    import bestreply.collect
    import bestreply.evaluate
    import bestreply.train

    assert callable(br.collect) and callable(br.train) and callable(br.evaluate)
    assert (
        br.collect is bestreply.collect
        and br.evaluate is sys.modules["bestreply.evaluate"].evaluate
    )


def test_the_error_of_an_unknown_name_lists_the_known_ones():
    with pytest.raises(
        AttributeError,
        match=r"module 'bestreply' has no attribute 'learn'; it has: .*train",
    ):
        br.learn  # noqa: B018


def test_the_package_imports_without_its_dependencies():
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
