"""The public names of the package, imported on use."""

import subprocess
import sys

import numpy as np
import pytest

import bestreply as br
from bestreply.data.exchange import export_store
from bestreply.pipeline import run_all, run_on

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


GAME = "matrix(table=prisoners_dilemma, rounds=3)"
ARRAYS = {
    "observations": np.zeros((2, 4, 2, 5)),
    "actions": np.zeros((2, 3, 2), int),
    "rewards": np.zeros((2, 3, 2)),
    "terminals": np.arange(3) == np.full((2, 1), 2),
}
FRAME = {
    **{"episode": [0, 0], "step": [0, 0], "seat": [0, 1], "action": [0, 1]},
    **{"obs": [[0.0] * 5] * 2, "reward": [1.0, 1.0], "terminated": [True] * 2},
}


def first_legal(obs, legal):
    return legal.argmax(1)


def random_too(obs, legal):
    return legal.argmax(1) + (obs.reshape(len(obs), -1).sum(1) > 1)


class Rule:
    """A function with settings of its own."""

    def __call__(self, obs, legal):
        return legal.argmax(1)


the_rule = Rule()


def test_the_name_of_a_game_stands_for_it_wherever_a_game_does(tmp_path):
    game, players = br.make_game(GAME), ["always_d", "tit_for_tat"]
    by_name = br.evaluate(GAME, players, 4, seed=0)
    assert by_name.table == br.evaluate(game, players, 4, seed=0).table
    store = br.collect(GAME, players, 2, seed=0, path=tmp_path / "a")
    assert store.game() == game == store.game(GAME)
    best = br.exact.best_reply(GAME, seat=0, others=["tit_for_tat"])
    assert best.value == br.exact.best_reply(game, 0, "tit_for_tat").value
    store = br.store_from_arrays(**ARRAYS, game=GAME, path=tmp_path / "b")
    assert store.game() == game
    store = br.store_from_frame(FRAME, game=GAME, path=tmp_path / "c")
    assert store.game() == game
    assert br.check_game(GAME, episodes=1).game == "matrix"
    checked = br.check_player("grim", GAME, episodes=1)
    assert checked.game == "grim in matrix"
    assert br.make_player("grim", GAME).name == "grim"


@pytest.mark.parametrize("given", [None, 3, ["matrix"], {}])
@pytest.mark.parametrize(
    "call",
    [
        lambda game: br.evaluate(game, ["random"] * 2, 4, seed=0),
        lambda game: br.collect(game, ["random"] * 2, 4, seed=0),
        lambda game: br.exact.best_reply(game, 0, ["random"]),
        lambda game: br.check_player("random", game),
        lambda game: br.store_from_arrays(**ARRAYS, game=game or 0),
        lambda game: br.store_from_frame(FRAME, game=game or 0),
        lambda game: br.load_run("runs/first", game=game or 0),
        lambda game: br.make_player("random", game),
        br.make_game,
    ],
)
@pytest.mark.usefixtures("as_installed")
def test_what_is_no_game_is_refused(call, given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"game=.*expected a Game, the name"):
        call(given)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "function", [first_legal, the_rule, "tests.test_public_surface:the_rule"]
)
def test_a_function_takes_a_seat_wherever_a_player_does(function, tmp_path):
    expected = br.evaluate(GAME, ["always_c", "tit_for_tat"], 4, seed=0).mean()
    scores = br.evaluate(GAME, [function, "tit_for_tat"], 4, seed=0)
    assert scores.mean() == expected
    store = br.collect(GAME, [function] * 2, 2, seed=0, path=tmp_path / "a")
    assert not store.episodes().action.any() and len(store.roster) == 1
    checked = br.check_player(function, GAME, episodes=1)
    assert "legal" in checked.kept


def test_a_function_is_named_in_scores_and_datasets(tmp_path):
    scores = br.evaluate(GAME, [first_legal, random_too], 2, seed=0)
    assert set(scores.table["method"].to_pylist()) == {"first_legal"}
    assert set(scores.table["opponents"].to_pylist()) == {"1 random_too"}
    with pytest.raises(ValueError, match="first_legal: no exact action"):
        br.exact.best_reply(GAME, 0, [first_legal])


@pytest.mark.parametrize("given", [None, 3, ["random"], Rule])
@pytest.mark.parametrize(
    "call",
    [
        lambda player: br.evaluate(GAME, [player, "random"], 4, seed=0),
        lambda player: br.evaluate(GAME, ["random", player], 4, seed=0),
        lambda player: br.collect(GAME, [player, "random"], 4, seed=0),
        lambda player: br.exact.best_reply(GAME, 0, [player]),
        lambda player: br.make_player(player, br.make_game(GAME)),
    ],
)
@pytest.mark.usefixtures("as_installed")
def test_what_is_no_player_is_refused(call, given):
    with pytest.raises(ValueError, match=r"player=.*expected a name such as"):
        call(given)


@pytest.mark.parametrize("players", [None, "random", [], 3, ["random"] * 3])
@pytest.mark.parametrize("play", [br.evaluate, br.collect])
@pytest.mark.usefixtures("as_installed")
def test_players_that_are_not_one_for_each_seat_are_refused(play, players):
    with pytest.raises(ValueError, match="expected one player for each seat"):
        play(GAME, players, 4, seed=0)


@pytest.mark.usefixtures("as_installed")
def test_a_path_stands_for_a_dataset(tmp_path):
    store = br.collect(GAME, ["random"] * 2, 1, seed=0, path=tmp_path / "a")
    config = br.RunConfig(game=GAME)
    for data in (store, store.path, str(store.path)):
        assert br.validate(data) == []
        assert br.open_store(data).fingerprint == store.fingerprint
        export_store(data, tmp_path / "play.npz")
        with pytest.raises(ValueError, match="episodes=1: expected at least 2"):
            br.train(data, config, path=tmp_path / "run")
    for wrong in (None, 3, config):
        with pytest.raises(ValueError, match=r"data=.*expected a dataset, or"):
            br.train(wrong, config, path=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "given", [1.0, True, "3", None, float("nan"), 0, 10**30]
)
@pytest.mark.parametrize("play", [br.evaluate, br.collect])
@pytest.mark.usefixtures("as_installed")
def test_episodes_are_whole_numbers(play, given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"episodes=.*: expected a whole num"):
        play(GAME, ["random"] * 2, given, seed=0)
    assert not [*tmp_path.iterdir()]


@pytest.mark.usefixtures("as_installed")
def test_episodes_and_seats_may_be_of_numpy():
    assert len(br.evaluate(GAME, ["random"] * 2, np.int64(4), 0).table) == 4
    assert br.exact.best_reply(GAME, np.int32(1), ["random"]).value > 0


@pytest.mark.parametrize("seat", [5, -1, True, 1.0, None, "1"])
@pytest.mark.usefixtures("as_installed")
def test_a_seat_that_the_game_does_not_have_is_refused(seat):
    with pytest.raises(ValueError, match=r"seat=.*whole number, 0 to 1 in mat"):
        br.exact.best_reply(GAME, seat, ["random"])


@pytest.mark.parametrize("given", [None, 3, {}, ["runs/first"]])
@pytest.mark.parametrize(
    "call",
    [
        br.load_run,
        br.load_export,
        br.validate,
        br.write_report,
        br.Scores.load,
    ],
)
@pytest.mark.usefixtures("as_installed")
def test_what_is_no_path_is_refused(call, given):
    with pytest.raises(ValueError, match=r"=.*: expected .*path of .*: br\."):
        call(given)


@pytest.mark.parametrize("config", [{}, "debug", None])
@pytest.mark.usefixtures("as_installed")
def test_what_is_no_configuration_is_refused(config, tmp_path):
    store = br.collect(GAME, ["random"] * 2, 1, seed=0, path=tmp_path / "a")
    for call in (
        lambda: br.train(store, config, path=tmp_path / "run"),
        lambda: run_on(store, config, tmp_path / "run"),
        lambda: run_all(config, tmp_path / "run"),
    ):
        with pytest.raises(ValueError, match=r"config=.*expected a RunConfig"):
            call()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("parts", [[], [None], None])
@pytest.mark.usefixtures("as_installed")
def test_scores_are_joined_from_scores(parts):
    with pytest.raises(ValueError, match=r"parts=.*at least one Scores"):
        br.Scores.concat(parts)
