"""The examples run, and README and tutorials show them as they are."""

import json
import re
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as parquet
import pytest

from bestreply import make_game
from bestreply.cli.main import main as command_line
from bestreply.data.arrays import store_from_arrays
from bestreply.data.store import open_store
from bestreply.data.validate import validate
from tests.shared import compiled, played

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
TUTORIALS = ROOT / "docs" / "tutorials"


def load(name: str) -> dict:
    """Return the names that an example defines, without running its `main`."""
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def mean_returns(out: str) -> dict[str, float]:
    """Return the mean returns that an example printed, by the first words of the line."""
    lines = re.findall(r"^(.+?) +mean return (-?[\d.]+)$", out, re.MULTILINE)
    return {name: float(value) for name, value in lines}


@pytest.mark.slow
def test_the_quickstart_learns_to_hunt_the_stag_with_a_stag_hunter(
    tmp_path, capsys
):
    load("quickstart")["main"](tmp_path)
    out = capsys.readouterr().out
    returns = re.findall(
        r"^(\w+) beside nearest_stag: mean return (\S+)$", out, re.MULTILINE
    )
    agent, rand = (float(value) for _, value in returns)
    # Two stag hunters always catch the stag, 5 each; a hare is 1.
    assert agent > 3 > 1.5 > rand
    assert (tmp_path / "data" / "manifest.json").exists()
    assert (tmp_path / "run" / "diagnostics.json").exists()

    rows = re.findall(
        r"^([A-Z_]+) +(-?[\d.]+|-inf) +(-?[\d.]+) +(-?[\d.]+) +([\d.]+)$",
        out,
        re.MULTILINE,
    )
    scores = {name: float(score) for name, score, *_ in rows}
    moves = ["UP", "DOWN", "LEFT", "RIGHT", "STAY"]
    assert [*scores] == [*moves, "HUNT_STAG", "HUNT_HARE"]
    legal = {name for name in scores if scores[name] > float("-inf")}
    assert legal == {"DOWN", "LEFT", "STAY"}  # a corner without prey
    for name, score, reward, value, _ in rows:
        parts = float(reward) + float(value)
        assert name not in legal or float(score) == pytest.approx(
            parts, abs=0.02
        )
    assert sum(float(row[4]) for row in rows) == pytest.approx(1, abs=0.04)
    best = re.findall("best reply: (.*)", out)[0]
    assert scores[best] == max(scores.values())


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_readme_shows_the_quickstart_as_it_is(name):
    shown = re.findall(
        r"```python\n(.*?)```", (ROOT / name).read_text("utf-8"), re.DOTALL
    )
    assert (EXAMPLES / "quickstart.py").read_text("utf-8") in shown


def test_every_example_of_a_tutorial_is_included_by_its_page():
    for example in EXAMPLES.glob("own_*.py"):
        page = (TUTORIALS / f"{example.stem}.md").read_text("utf-8")
        assert f"{{literalinclude}} ../../examples/{example.name}" in page


def test_an_own_environment_is_checked_and_played(tmp_path, capsys):
    load("own_environment")["main"](tmp_path)
    out = capsys.readouterr().out
    assert "Ferry: 20 properties kept" in out
    returns = mean_returns(out)
    assert set(returns) == {"always(AHEAD)", "random"}
    assert all(2 < value < 4 for value in returns.values())  # 6 depths of 1/2


def test_a_game_of_ones_own_is_checked_collected_and_evaluated(
    tmp_path, capsys
):
    load("own_game")["main"](tmp_path)
    out = capsys.readouterr().out
    assert "public_goods" in out
    assert open_store(tmp_path).manifest.episodes == 200
    returns = mean_returns(out)
    # A coin kept is worth 1, a coin given 2/3; five rounds.
    difference = returns["always(KEEP)"] - returns["always(GIVE)"]
    assert difference == pytest.approx(5 / 3, abs=0.3)


def test_a_player_of_ones_own_is_checked_and_its_best_reply_is_known(capsys):
    load("own_player")["main"]()
    returns = mean_returns(capsys.readouterr().out)
    assert returns["tit_for_tat"] == pytest.approx(30)
    # Alternate defection and cooperation, 5 + 3, and defect twice at the end.
    assert returns["best reply"] == pytest.approx(42)
    assert returns["best reply"] == max(returns.values())


@pytest.mark.slow
def test_logs_without_a_simulator_become_a_run_with_estimates(tmp_path, capsys):
    load("own_data")["main"](tmp_path)
    out = capsys.readouterr().out
    assert "problems: []" in out and "after the first round:" in out
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "ann (cloned)" in page and "Estimated returns" in page


def test_logs_become_a_dataset_by_one_call(tmp_path):
    observations, moves, rewards, over = load("own_data")["logs"]()
    store = store_from_arrays(
        observations, moves, rewards, over, path=tmp_path / "data"
    )
    assert validate(store.path) == []
    episodes = store.episodes()
    np.testing.assert_array_equal(episodes.action, moves)
    np.testing.assert_array_equal(episodes.reward, rewards)
    # Observations are those of the game that can be played.
    game = make_game("matrix(table=prisoners_dilemma, rounds=5)")
    recalled = np.asarray(game.recall(episodes.obs[0, 2, 1]))
    np.testing.assert_array_equal(recalled, [moves[0, 1, ::-1]])


def test_frequencies_count_the_actions_of_opponents():
    game = make_game("matrix(table=prisoners_dilemma, rounds=3)")
    model = load("own_opponent_model")["Frequencies"](game, 3)
    update, predict = (
        compiled(type(model).update),
        compiled(type(model).predict),
    )
    obs, everyone = np.zeros(game.obs_shape), np.ones(2, bool)
    belief = np.ones((1, 2))
    for other in (1, 1, 0):
        belief = update(model, belief, obs, np.array([0, other]), everyone)
    predicted = predict(model, belief, obs, np.ones(2, bool))
    np.testing.assert_allclose(predicted, [[2 / 5, 3 / 5]], rtol=1e-6)
    np.testing.assert_allclose(model.posterior(belief), np.full((1, 3), 1 / 3))


def test_the_baseline_of_the_example_regresses_returns():
    module = load("own_baseline")
    game = make_game(module["GAME"])
    method = module["LinearReturns"]()
    episodes = played(game, ("random", "always_c"), 64)
    start = method.start(None, game, [])
    assert method.updates(None, start) == {"regression": (0, 1)}
    saved, run = [], SimpleNamespace(game=game)
    buffer = SimpleNamespace(episodes=episodes)
    state = method.fit(run, buffer, start, saved.append, lambda *_: None)
    assert method.updates(None, state) == {"regression": (1, 1)}
    assert method.fit(run, buffer, state, saved.append, None) is state
    assert saved == [state]
    player = method.player(SimpleNamespace(train_state=state), "linear")
    obs = np.asarray(episodes.obs[:, 0, 0])
    legal = np.ones((len(obs), 2), bool)
    # Beside always_c, defection pays more at once, and nothing is lost later.
    assert player.rule.fn(obs, legal).mean() == 1


@pytest.mark.slow
def test_the_baseline_of_the_example_is_a_method(tmp_path, capsys):
    load("own_baseline")["main"](tmp_path)
    returns = mean_returns(capsys.readouterr().out)
    assert returns["linear"] == pytest.approx(25)  # defects in all 5 rounds
    assert returns["random"] < 24


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "metric"),
    [("own_loss", "world/size"), ("own_network", "world/obs")],
)
def test_a_run_trains_with_an_own_loss_and_an_own_network(
    tmp_path, capsys, name, metric
):
    load(name)["main"](tmp_path)
    assert 0 < mean_returns(capsys.readouterr().out)["agent"] <= 25
    logged = parquet.read_table(tmp_path / "run" / "metrics.parquet")
    assert metric in logged["name"].to_pylist()
    if name == "own_network":
        load("own_planner")["main"](tmp_path / "run")
        returns = mean_returns(capsys.readouterr().out)
        assert {*returns} == {"one_step", "cautious"}


@pytest.mark.slow
def test_the_programs_of_the_page_on_players_run(capsys):
    page = (ROOT / "docs" / "own-players.md").read_text("utf-8")
    names: dict = {}
    for program in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(program, names)  # the page's own text
    out = capsys.readouterr().out
    assert "properties kept" in out
    assert "best reply to generous: " in out
    assert "both best replies: 0.91667" in out


@pytest.mark.slow
def test_a_first_run_leaves_the_files_that_its_tutorials_name(
    tmp_path, capsys, monkeypatch
):
    """The first run, the report and the opponent model: one run of the preset debug."""
    monkeypatch.chdir(tmp_path)
    words = ["bestreply", "run", "--preset", "debug", "--out", "runs/first"]
    monkeypatch.setattr(sys, "argv", words)
    command_line()
    assert "agent" in capsys.readouterr().out
    for name in ("first_run", "reading_a_report"):
        page = (TUTORIALS / f"{name}.md").read_text("utf-8")
        files = re.findall(r"^\| `([\w./]+)` \|", page, re.MULTILINE)
        assert files or name != "first_run"
        for file in files:
            assert (tmp_path / "runs" / "first" / file).exists(), file
    load("own_opponent_model")["main"](Path("runs/first"))
    assert {*mean_returns(capsys.readouterr().out)} == {
        "learned",
        "frequencies",
    }


def headings(page: str) -> list[str]:
    """Return the first column of the table of sections in a tutorial."""
    return re.findall(r"^\| \*\*(.+?)\*\* \|", page, re.MULTILINE)


def test_the_sections_that_the_report_tutorial_explains_are_those_of_a_report():
    file = ROOT / "bestreply" / "report" / "strings" / "en.json"
    strings = json.dumps(json.loads(file.read_text("utf-8")))
    page = (TUTORIALS / "reading_a_report.md").read_text("utf-8")
    assert len(headings(page)) >= 5
    assert not [name for name in headings(page) if f'"{name}"' not in strings]
