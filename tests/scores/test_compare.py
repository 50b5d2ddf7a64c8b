"""Comparisons of runs: reading, checks and sentences."""

import json
import shutil
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bestreply import cli
from bestreply.report.verdict_text import sentence
from bestreply.scores.compare import check_groups, compare, read_group
from bestreply.scores.returns import SCHEMA, Scores
from bestreply.scores.statistics import Verdict
from bestreply.utils.files import write_json

SETS = ("3 nearest_stag", "3 random")


def write_run(
    folder,
    seed,
    means,
    *,
    episodes=4,
    env_steps=1000,
    version=1,
    methods=("agent",),
    sets=SETS,
):
    """Write a run's scores: episodes vary around the mean of each set."""
    rows = []
    for method in methods:
        for name, mean in zip(sets, means, strict=True):
            for episode in range(episodes):
                value = (
                    mean + (-1) ** episode - (5 if method == "random" else 0)
                )
                rows.append(
                    (
                        method,
                        name,
                        seed + 1,
                        episode,
                        episode % 2,
                        7,
                        float(value),
                    )
                )
    table = pa.table(
        dict(zip(SCHEMA.names, zip(*rows, strict=True), strict=True)), SCHEMA
    )
    game = {
        "name": "stag_hunt",
        "version": version,
        "settings": {"height": 4, "payoffs": [[3, 0.5], ["C"]]},
    }
    run = {"seed": seed, "env_steps": env_steps, "game": game}
    folder.mkdir(parents=True)
    Scores(table, {"seed": seed + 1, "config": run}).save(
        folder / "scores.parquet"
    )


@pytest.fixture
def runs(tmp_path):
    """Eight seeds of two methods: `ours` is 1 better against the first set only."""
    for seed in range(8):
        base = np.array([2.0, 1.0]) + np.sin(seed)
        wiggle = np.array([0.1 * np.cos(seed), 0.001 * np.cos(3 * seed)])
        write_run(
            tmp_path / "ours" / str(seed),
            seed,
            base + np.array([1, 0]) + wiggle,
            methods=("agent", "random"),
        )
        write_run(tmp_path / "blue" / str(seed), seed, base)
    return tmp_path


def test_groups_are_read_from_directories_patterns_and_methods(runs):
    ours = read_group(f"{runs}/ours")
    assert ours.name == f"{runs}/ours" and [s.seed for s in ours.seeds] == list(
        range(8)
    )
    assert ours.seeds[3].mean["3 nearest_stag"] == pytest.approx(
        3 + np.sin(3) + 0.1 * np.cos(3)
    )
    named = read_group(f"us={runs}/ours/[0-3]")
    assert named.name == "us" and len(named.seeds) == 4
    assert read_group(f"{runs}/ours/5/scores.parquet").seeds[0].seed == 5
    worse = read_group(f"r={runs}/ours:random")
    assert worse.seeds[0].mean["3 random"] == pytest.approx(
        ours.seeds[0].mean["3 random"] - 5
    )


def test_verdicts_from_runs(runs):
    groups = [
        read_group(f"ours={runs}/ours"),
        read_group(f"blue={runs}/blue"),
        read_group(f"dice={runs}/ours:random"),
    ]
    groups_of_table = {
        (v.b, v.opponents): v for v in compare(groups, margin=0.1)
    }
    assert set(groups_of_table) == {
        (b, o) for b in ("blue", "dice") for o in (*SETS, "all")
    }
    assert {
        k: v.verdict for k, v in groups_of_table.items() if k[0] == "blue"
    } == {
        ("blue", SETS[0]): "better",
        ("blue", SETS[1]): "no_larger",
        ("blue", "all"): "better",
    }
    assert groups_of_table["dice", "all"].difference == pytest.approx(5)
    assert compare(groups, seed=3) == compare(groups, seed=3)


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"version": 2}, ["version of the game: 1 (", "and 2 ("]),
        ({"env_steps": 2000}, ["environment steps: 1,000 (", "and 2,000 ("]),
        ({"episodes": 6}, ["episodes against 3 random: 4 (", "and 6 ("]),
        (
            {"sets": (SETS[0], "3 always(STAY)")},
            ["episodes against 3 always(STAY): None ("],
        ),
        ({"seed": 9}, ["ours has no seed 9", "new has no seed 0"]),
    ],
)
def test_mismatches_are_refused(runs, changes, expected):
    seed = changes.get("seed", 0)
    write_run(
        runs / "new" / "a",
        seed,
        (1, 1),
        **{k: v for k, v in changes.items() if k != "seed"},
    )
    with pytest.raises(ValueError, match="these cannot be compared") as error:
        check_groups(
            [read_group(f"ours={runs}/ours/0"), read_group(f"new={runs}/new")]
        )
    assert all(part in str(error.value) for part in expected)


def test_budgets_within_a_tenth_are_the_same(runs):
    write_run(runs / "near" / "a", 0, (1, 1), env_steps=1050)
    check_groups(
        [read_group(f"ours={runs}/ours/0"), read_group(f"near={runs}/near")]
    )


def test_bad_groups_are_refused(runs):
    with pytest.raises(
        ValueError,
        match=r"group='x=nowhere': expected \[NAME=\]PATH\[:METHOD\]",
    ):
        read_group("x=nowhere")
    with pytest.raises(
        ValueError, match=r"method='clone': expected one of .*: agent, random"
    ):
        read_group(f"{runs}/ours:clone")
    write_run(runs / "ours" / "again", 3, (1, 1))
    with pytest.raises(ValueError, match="both have seed 3"):
        read_group(f"{runs}/ours")
    with pytest.raises(ValueError, match="x is given twice"):
        check_groups([read_group(f"x={runs}/blue")] * 2)


def test_the_command(runs, monkeypatch, capsys, tmp_path):
    out = tmp_path / "verdicts.json"
    line = [
        "bestreply",
        "compare",
        f"ours={runs}/ours",
        f"blue={runs}/blue",
        "--margin",
        "0.1",
        "--out",
        str(out),
    ]
    monkeypatch.setattr("sys.argv", line)
    cli.main()
    expected = capsys.readouterr().out
    assert "ours is better than blue against 3 nearest_stag: by 1.0" in expected
    assert (
        "ours and blue against 3 random: no difference larger than 0.00"
        in expected
    )
    document = json.loads(out.read_text())
    assert [v["verdict"] for v in document["verdicts"]] == [
        "better",
        "no_larger",
        "better",
    ]
    assert document["verdicts"][0]["said"] in expected.replace("\n", " ")
    monkeypatch.setattr("sys.argv", [*line[:4], "--lang", "zh"])
    cli.main()
    assert "ours 优于 blue" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", line[:3])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert "expected at least two groups of runs" in capsys.readouterr().err


def verdict_of(**changes):
    facts: dict[str, Any] = dict.fromkeys(
        ("mean_a", "mean_b", "iqm_a", "iqm_b", "improvement", "hedges_g"), 0.5
    )
    facts |= {
        "a": "A",
        "b": "B",
        "opponents": "NS",
        "seeds": 8,
        "difference": -0.3,
        "low": -0.5,
        "high": -0.1,
    }
    facts |= {
        "p": 0.01,
        "p_holm": 0.02,
        "bound": 0.5,
        "target_difference": 0.3,
        "seeds_required": 20,
        "verdict": "worse",
    }
    return Verdict(**(facts | changes))


def test_sentences():
    assert (
        sentence(verdict_of())
        == "A is worse than B against NS: by 0.30 [0.10, 0.50], p = 0.020, 8 seeds."
    )
    short = sentence(verdict_of(verdict="not_enough", p_holm=0.3))
    assert short == (
        "A and B against NS: not enough seeds. 12 more seeds detect a difference of 0.30 "
        "with 80% power (8 so far, p = 0.300)."
    )
    assert "more than 10,000 seeds" in sentence(
        verdict_of(verdict="not_enough", seeds_required=None)
    )
    assert "one seed each" in sentence(
        verdict_of(verdict="not_enough", seeds_required=None, seeds=1)
    )
    assert "p < 0.001" in sentence(verdict_of(p_holm=1e-5))


def test_a_table_of_results_equals_its_runs(runs, tmp_path):
    """As CSV or Parquet; a method is the folder of its runs, or a method of the scores."""
    from bestreply.scores.run_table import save_results, sweep_results

    rows = sweep_results([runs])
    from_runs = [
        read_group(t)
        for t in (f"a={runs}/ours", f"b={runs}/blue", f"c={runs}/ours:random")
    ]
    for name in ("all.csv", "all.parquet"):
        table = save_results(rows, tmp_path / name)
        groups_of_table = [
            read_group(f"a={table}:ours"),
            read_group(f"b={table}:blue"),
            read_group(f"c={table}:random"),
        ]
        for one, other in zip(groups_of_table, from_runs, strict=True):
            assert [s.seed for s in one.seeds] == [s.seed for s in other.seeds]
            assert [s.mean for s in one.seeds] == [
                pytest.approx(s.mean) for s in other.seeds
            ]
        assert [v.verdict for v in compare(groups_of_table)] == [
            v.verdict for v in compare(from_runs)
        ]
        assert (
            read_group(f"{table}:{runs.name}/ours").seeds[0].env_steps == 1000
        )
        with pytest.raises(
            ValueError, match=r"method='clone': expected one of .*ours"
        ):
            read_group(f"{table}:clone")
        with pytest.raises(
            ValueError, match="both have seed 0"
        ):  # two methods, none of them "agent"
            read_group(str(table))


def test_runs_are_compared_with_a_table(runs, tmp_path):
    """Settings that differ are listed one by one."""
    from bestreply.scores.run_table import save_results, sweep_results

    table = save_results(sweep_results([runs / "blue"]), tmp_path / "blue.csv")
    mixed = compare(
        [read_group(f"a={runs}/ours"), read_group(f"b={table}:blue")]
    )
    assert mixed == compare(
        [read_group(f"a={runs}/ours"), read_group(f"b={runs}/blue")]
    )
    table.write_text(table.read_text().replace("height=4", "height=5"))
    with pytest.raises(ValueError, match=r"game\.height: 4 .*and 5 "):
        check_groups(
            [read_group(f"a={runs}/ours"), read_group(f"b={table}:blue")]
        )


def test_a_table_has_the_time_of_uninterrupted_units(runs):
    from bestreply.scores.run_table import sweep_results

    for seed, again in ((0, False), (1, True)):
        write_json(
            runs / "ours" / str(seed) / "unit.json",
            {"seconds": 7.5, "resumed": again},
        )
    took = {
        row["seed"]: row["seconds"] for row in sweep_results([runs / "ours"])
    }
    assert took == {0: 7.5} | dict.fromkeys(range(1, 8))


def shown_rows(rows):
    """Return folder, method, number of seeds and mean of each row of the table."""
    from bestreply.scores.run_table import results_table

    columns = results_table(rows).columns
    cells = [list(map(str, column.cells)) for column in columns]
    return list(zip(cells[0], cells[1], cells[3], cells[4], strict=True))


def test_a_copy_of_a_run_counts_once(tmp_path, capsys):
    from bestreply.scores.run_table import sweep_results

    write_run(tmp_path / "a", 0, (2,), sets=("random",))
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    rows = sweep_results([tmp_path / "a", tmp_path / "copy", tmp_path])
    assert [row["run"] for row in rows] == ["a"]
    text = " ".join(capsys.readouterr().err.split())
    assert "copy: the scores are those of" in text and "counted once" in text
    assert [row[2:] for row in shown_rows(rows)] == [("1", "2.000")]


def test_different_runs_of_one_seed_have_a_row_each(tmp_path):
    from bestreply.scores.run_table import sweep_results

    for name, seed, mean in (("a", 0, 2), ("b", 0, 3), ("c", 1, 4)):
        write_run(tmp_path / name, seed, (mean,), sets=("random",))
    rows = shown_rows(sweep_results([tmp_path]))
    assert [(name[-1], *rest) for name, *rest in rows] == [
        ("a", "agent", "1", "2.000"),
        ("b", "agent", "1", "3.000"),
        ("c", "agent", "1", "4.000"),
    ]
    shutil.rmtree(tmp_path / "b")
    rows = shown_rows(sweep_results([tmp_path]))
    assert [row[2] for row in rows] == ["2"]


def test_mismatches_in_a_table_are_refused(runs, tmp_path):
    from bestreply.scores.run_table import save_results, sweep_results

    write_run(runs / "new" / "0", 0, (1, 1), version=2, env_steps=5000)
    table = save_results(
        sweep_results([runs / "new", runs / "ours" / "0"]), tmp_path / "all.csv"
    )
    with pytest.raises(
        ValueError, match=r"version of the game: 1 .*and 2 "
    ) as error:
        check_groups([read_group(f"{table}:ours"), read_group(f"{table}:new")])
    assert "environment steps: 1,000" in str(error.value)
    (tmp_path / "other.csv").write_text("seed,mean\n1,2\n")
    with pytest.raises(
        ValueError,
        match=r"lacks columns folder, game, .*: expected a table of `bestreply results",
    ):
        read_group(f"{tmp_path}/other.csv:agent")


NAMES = ["[1]", "a=b", "a:b", "a b", "x.csv", "[ab]*", "=", "runs=1:agent"]


@pytest.mark.parametrize("name", NAMES)
def test_groups_and_folders_have_any_names(tmp_path, monkeypatch, name):
    """Brackets, colons, equals signs, spaces; a folder may be called x.csv."""
    monkeypatch.chdir(tmp_path)
    for seed in range(2):
        write_run(
            tmp_path / name / str(seed),
            seed,
            (1, 2),
            methods=("agent", "a=b:c"),
        )
    for text, group in (
        (name, name),
        (f"ours={name}", "ours"),
        (f"ours={name}:agent", "ours"),
        (f"ours={name}:a=b:c", "ours"),
        (f"o:[r]s={name}", "o:[r]s"),
        (f"ours={name}/*", "ours"),
        (f"{name}={tmp_path / name}", name),
    ):
        read = read_group(text)
        assert [s.seed for s in read.seeds] == [0, 1], text
        assert read.name == group, text
        lost = 5 if text.endswith("c") else 0
        assert read.seeds[0].mean[SETS[0]] == 1 or lost == 0


def test_a_table_rewritten_by_pandas_counts_no_row_twice(runs, tmp_path):
    """Wide numbers, codes for text and other columns are read; equal rows are refused."""
    import pyarrow.parquet as pq

    from bestreply.scores.result_files import load_results
    from bestreply.scores.run_table import save_results, sweep_results

    path = save_results(sweep_results([runs]), tmp_path / "t.parquet")
    rows = load_results(path)
    table = pq.read_table(path)
    for name in ("seed", "episodes", "env_steps"):
        place = table.column_names.index(name)
        column = table[name].cast(pa.float64())
        table = table.set_column(place, name, column)
    place = table.column_names.index("method")
    table = table.set_column(
        place, "method", table["method"].dictionary_encode()
    )
    table = table.append_column(
        "__index_level_0__", pa.array(range(len(table)))
    )
    pq.write_table(table, path)
    assert load_results(path) == rows
    pq.write_table(pa.concat_tables([table, table.slice(3, 1)]), path)
    with pytest.raises(
        ValueError, match=r"row 48: folder=.*; it is also in row 3"
    ):
        load_results(path)
