"""The report over several runs: both formats and languages; complete, broken and hostile files."""

import json
import re
from datetime import UTC, datetime
from html import unescape

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from run_files import make_run, read_page, words
from week_files import make_diagnostics, make_sweep, make_unit

from bestreply import cli
from bestreply.report import write_report_over_runs
from bestreply.report.page import hash_of
from bestreply.report.run_files import MetricSeries
from bestreply.report.weekly.comparisons import compare_methods
from bestreply.report.weekly.curves import learning_curves
from bestreply.report.weekly.discovery import find_runs
from bestreply.report.weekly.document import (
    BulletList,
    Document,
    Grid,
    Link,
    Paragraph,
    Section,
    cells,
    line,
)
from bestreply.report.weekly.groups import families
from bestreply.report.weekly.markdown import escape, to_markdown
from bestreply.report.weekly.problems import seat_means
from bestreply.report.weekly.record import EpisodeReturns, read_record
from bestreply.report.weekly.returns import return_distributions
from bestreply.report.weekly.timestamps import parse_since


@pytest.fixture(autouse=True)
def _in_the_folder(tmp_path, monkeypatch):
    """Paths in suggested commands are relative to the working directory."""
    monkeypatch.chdir(tmp_path)


def report(folder, *more, **settings):
    """Return the words of the page, and the Markdown, of the report over `folder`."""
    page, text = write_report_over_runs([folder, *more], **settings)
    return words(read_page(page)), text.read_text("utf-8")


def plain(markdown):
    """Return Markdown without its marks."""
    return " ".join(
        re.sub(
            r"\\(.)",
            r"\1",
            re.sub(r"\]\(<[^>]*>\)|[`*|]|\[(?=[\d./])", "", markdown),
        ).split()
    )


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return make_sweep(tmp_path_factory.mktemp("runs") / "little")


# -- content ---------------------------------------------------------------------


def test_page_and_markdown_have_the_same_content(sweep, tmp_path):
    page, text = report(sweep, out=tmp_path)
    for expected in (
        "blue is worse than ours against all opponent sets: by 0.5",
        "blue is worse than ours against 1 nearest_stag: by 1.0",
        "uniform_others",
        "Against 1 nearest_stag, ours has the highest mean return",
        "Its largest loss is due to the planning depth (0.70)",
        "Learning curves",
        "environment steps",
        "Steps per episode",
        "not recorded",
        "Decompose the regret of blue",
        'due to the planning depth (0.70). Plan further ahead: planner.planner = "expectimax"',
        "model.opponent_types",
        "aaaaaaaaaa",
        "16 done",
        "Accuracy ± SE (moves = 2)",
        "nearest_stag (NS)",
    ):
        assert expected in page, expected
        assert expected in plain(text), expected
    html = (
        (tmp_path / "report.html").read_text("utf-8").partition("</style>")[2]
    )
    shown = unescape(
        re.sub(
            r"<[^>]+>", " ", re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL)
        )
    )
    assert set(re.findall(r"\d[\d.,]*", shown)) <= set(
        re.findall(r"\d[\d.,]*", plain(text))
    )


def test_chinese_is_complete(sweep, tmp_path):
    page, text = report(sweep, out=tmp_path, lang="zh")
    for expected in (
        "blue 不如 ours",
        "学习曲线",
        "问题与后续运行",
        "环境步数",
        "校准误差",
    ):
        assert expected in page and expected in text
    left = re.findall(r"[A-Z][a-z]+ (?:the|of|is|and|seeds|runs)\b", page)
    assert not left
    assert not re.search(
        r"[\u4e00-\u9fff][,;:!?]|[,;:!?][\u4e00-\u9fff]",
        re.sub(r"stag_hunt.*?。", "", text),
    )


def test_the_page_is_safe_and_self_contained(sweep, tmp_path):
    page = read_page(write_report_over_runs([sweep], out=tmp_path)[0])
    (policy,) = [a["content"] for a in page.of("meta") if a.get("http-equiv")]
    assert "default-src 'none'" in policy and "script" not in policy
    assert f"style-src '{hash_of(page.raw['style'][0])}'" in policy
    assert not page.of("script") and not [
        a for _, a in page.elements if "style" in a
    ]
    addresses = [a["href"] for a in page.of("a")]
    assert all(a.startswith(("./", "#", "../")) for a in addresses) or all(
        a.startswith((".", "#")) for a in addresses
    )
    anchors = {a["id"] for _, a in page.elements if "id" in a}
    assert {a[1:] for a in addresses if a.startswith("#")} <= anchors


def test_numbers_link_to_their_runs(sweep):
    page, text = write_report_over_runs([sweep])
    assert (
        page == text.with_suffix(".html")
        and page.parent.resolve() == sweep.resolve()
    )
    links = [
        a["href"] for a in read_page(page).of("a") if a["href"].startswith("./")
    ]
    assert "./hunt/ours/3/" in links and all(
        (sweep / link).exists() for link in links
    )
    assert "(<./hunt/ours/3/>)" in text.read_text("utf-8")
    page.unlink()
    text.unlink()


def test_sentences_are_those_of_compare(sweep, tmp_path, monkeypatch, capsys):
    line = [
        "bestreply",
        "compare",
        f"ours={sweep}/hunt/ours",
        f"blue={sweep}/hunt/blue",
    ]
    monkeypatch.setattr("sys.argv", line)
    cli.main()
    sentences = [
        one
        for one in capsys.readouterr().out.splitlines()
        if one.startswith("ours is better")
    ]
    page, _ = report(sweep, out=tmp_path, baseline="blue")
    ours = re.findall(r"ours is better than blue against .*?8 seeds\.", page)
    assert len(sentences) == 2
    assert {re.sub(r"\[.*?\]", "", s) for s in sentences} == {
        re.sub(r"\[.*?\]", "", s) for s in ours
    }


# -- discovery and groups --------------------------------------------------------


def test_runs_are_found_at_any_depth_and_once(sweep):
    result = find_runs([sweep, sweep / "hunt", sweep / "hunt" / "ours" / "1"])
    assert len(result.runs) == 16
    assert [p.name for p in find_runs([sweep / "hunt" / "ours"]).runs] == [
        str(k) for k in range(8)
    ]
    with pytest.raises(
        FileNotFoundError, match="nowhere: expected run directories"
    ):
        find_runs([sweep / "nowhere"])


def test_runs_of_one_configuration_are_one_method(tmp_path):
    for k in range(3):
        make_unit(tmp_path / f"plain-{k:04d}", k, (1, 1))
    make_unit(
        tmp_path / "plain-0003", 1, (1, 1), started="2026-11-25T00:00:00+00:00"
    )
    make_unit(
        tmp_path / "plain-0004", 0, (1, 1), config={"train": {"updates": 7}}
    )
    (family,) = families([read_record(p) for p in find_runs([tmp_path]).runs])
    assert {g.name: [r.seed for r in g.runs] for g in family.groups} == {
        "plain (1)": [0, 1, 2],
        "plain (2)": [0],
    }
    first = family.groups[0]
    assert first.runs[1].path.name == "plain-0003" and [
        r.path.name for r in first.repeats
    ] == ["plain-0001"]


def test_since(sweep, tmp_path):
    now = datetime(2026, 11, 26, 12, tzinfo=UTC)
    assert parse_since("7d", now) == datetime(2026, 11, 19, 12, tzinfo=UTC)
    assert parse_since("24h", now) == datetime(2026, 11, 25, 12, tzinfo=UTC)
    assert parse_since("2026-11-01") == datetime(2026, 11, 1, tzinfo=UTC)
    with pytest.raises(
        ValueError,
        match=r"since='soon': expected a span such as 7d, 24h or 2w",
    ):
        parse_since("soon")
    make_unit(
        tmp_path / "old-1", 0, (1, 1), started="2026-10-01T00:00:00+00:00"
    )
    make_unit(tmp_path / "new-1", 0, (1, 1))
    undated = make_unit(tmp_path / "undated-1", 0, (1, 1), started=None)
    page, text = report(tmp_path, since="2026-11-01")
    assert (
        "Report over one run" in page
        and "2 runs are left out" in page
        and "2 runs are left out" in text
    )
    assert "Report over 3 runs" in report(tmp_path)[0] and undated.exists()
    with pytest.raises(
        ValueError, match="expected an earlier time; none of the 3 runs"
    ):
        report(tmp_path, since="2027-01-01")


# -- comparisons -----------------------------------------------------------------


def test_mismatches_are_listed(tmp_path):
    for k in range(2):
        make_unit(tmp_path / "hunt" / "ours" / str(k), k, (1, 1))
        make_unit(
            tmp_path / "hunt" / "much" / str(k),
            k,
            (1, 1),
            env_steps=20_000,
            config={"collect": {"episodes": 2}},
        )
        make_unit(
            tmp_path / "hunt" / "more" / str(k),
            k,
            (1, 1),
            episodes=30,
            config={"evaluate": {}},
        )
        make_unit(
            tmp_path / "hunt" / "later" / str(k + 5),
            k + 5,
            (1, 1),
            config={"train": {}},
        )
    page, text = report(tmp_path)
    for expected in (
        "much and ours cannot be compared: environment steps 20,000 and 10,000.",
        "more and ours cannot be compared: episodes against 1 nearest_stag 30 and 20;",
        "later and ours cannot be compared: they have no training seed in common.",
        "much and ours: train both on the same amount of play: --collect.episodes",
    ):
        assert expected in page and expected in plain(text), expected


def test_methods_of_different_games_are_not_compared(tmp_path):
    make_unit(tmp_path / "a-1", 0, (1, 1))
    make_unit(tmp_path / "b-1", 0, (1, 1), height=5)
    page, _ = report(tmp_path)
    assert (
        "There are no two methods to compare" in page
        and "stag_hunt(height=5, width=4)" in page
    )


def test_seeds_of_one_method_alone_are_left_out(tmp_path):
    make_sweep(tmp_path, seeds=8)
    for k in (6, 7):
        for file in (tmp_path / "hunt" / "blue" / str(k)).iterdir():
            file.unlink()
    page, _ = report(tmp_path)
    assert "blue has no training seed 6, 7" in page and "(6 so far" in page
    assert "blue has no run with seed 6, 7" in page


def test_all_methods_are_compared_with_the_baseline(sweep, tmp_path):
    groups = families([read_record(p) for p in find_runs([sweep]).runs])[0]
    assert [(c.a, c.b) for c in compare_methods(groups, "ours").between] == [
        ("blue", "ours")
    ]
    assert [(c.a, c.b) for c in compare_methods(groups).between] == [
        ("blue", "ours")
    ]
    assert {c.b for c in compare_methods(groups, "random").within["ours"]} == {
        "random"
    }
    with pytest.raises(
        ValueError,
        match="baseline='red': expected one of agent, blue, ours, random",
    ):
        report(sweep, baseline="red", out=tmp_path)


# -- next runs -------------------------------------------------------------------


def test_the_plan_names_seeds_and_how_to_run_them(tmp_path):
    make_sweep(tmp_path, seeds=3)
    page, text = report(tmp_path)
    assert re.search(
        r"More seeds would decide: .*blue and ours \(\d+ in all\)", page
    )
    expected = int(
        re.search(
            r"seeds = (\d+) in little.toml, then run bestreply sweep little.toml",
            page,
        )[1]
    )
    (family,) = families([read_record(p) for p in find_runs([tmp_path]).runs])
    comparisons = compare_methods(family)
    open_ = [
        *comparisons.between,
        *(
            c
            for result in comparisons.within.values()
            for c in result
            if c.b == "uniform_others"
        ),
    ]
    assert expected == max(c.overall.seeds_required for c in open_) > 6
    assert (
        f"({2 * (expected - 3)} more runs; about {2 * (expected - 3)} min"
        in page
    )
    assert f"`seeds = {expected}`" in text


def test_one_seed_gives_no_verdict(tmp_path):
    make_unit(tmp_path / "a-1", 0, (1, 1), others=(("random", (0, 0)),))
    make_unit(tmp_path / "b-1", 0, (2, 2), config={"train": {"updates": 3}})
    page, text = report(tmp_path)
    assert "one seed each, so training variance is unknown" in page
    assert (
        "a and b (6 in all)" in page
        and "--seed 1" in page
        and "--seed 1" in text
    )
    assert (
        "One training seed, compared with random" in page and "± 0.23*" in page
    )


# -- problems --------------------------------------------------------------------


def test_failed_and_unfinished_runs_are_listed(tmp_path):
    make_sweep(tmp_path, seeds=2)
    (tmp_path / "hunt" / "ours" / "2").mkdir()
    (tmp_path / "hunt" / "ours" / "2" / "error.txt").write_text(
        "Traceback ...\n  File x\nValueError: no <b>stag</b>\n"
    )
    half = tmp_path / "hunt" / "blue" / "2"
    half.mkdir()
    same = json.loads(
        (tmp_path / "hunt" / "blue" / "0" / "config.json").read_text()
    )
    (half / "config.json").write_text(json.dumps(same | {"seed": 2}))
    trained = make_unit(
        tmp_path / "hunt" / "blue" / "3",
        3,
        (1, 1),
        config={"model": {"opponent_types": "none"}},
    )
    (trained / "scores.parquet").unlink()
    page, text = report(tmp_path)
    assert "hunt/ours/2 failed: ValueError: no <b>stag</b>" in page
    assert (
        "hunt/blue/2 is unfinished" in page
        and "hunt/blue/3 is trained but not evaluated" in page
    )
    assert "4 done, 1 not evaluated, 1 unfinished, 1 failed" in page
    assert "Continue the unfinished sweep" in page and "blue and ours" in page
    assert "<b>" not in text and r"no \<b\>stag\</b\>" in text


FILES = {
    "ours": ("config", "provenance", "regret", "references"),
    "blue": ("metrics", "diagnostics", "scores", "unit"),
}


@pytest.mark.parametrize(
    "junk",
    [
        '{"half": [',
        "[" * 100_000,
        '[1, "a", null]',
        '{"against": 3, "belief": [], "game": 7, "seed": []}',
    ],
)
def test_broken_files_are_listed_beside_the_rest(tmp_path, junk):
    """One broken file in each run."""
    make_sweep(tmp_path, seeds=4)
    paths = []
    for method, files in FILES.items():
        for seed, file in enumerate(files):
            (path,) = (tmp_path / "hunt" / method / str(seed)).glob(f"{file}.*")
            path.write_text(junk)
            paths.append(path)
    page, text = report(tmp_path)
    assert "Report over 8 runs" in page and "blue" in page
    if junk.startswith(('{"half', "[[")):
        for path in paths:
            problem = f"{path.name} cannot be used"
            is_listed = path.name != "unit.json"
            assert (problem in page) == is_listed == (problem in plain(text))
    assert str(tmp_path) not in page + text


def test_invalid_entries_are_skipped(tmp_path):
    make_sweep(tmp_path, seeds=2)
    run = tmp_path / "hunt" / "ours" / "0"
    wrong = [
        3,
        None,
        {},
        {"opponents": "nearest_stag", "best": "x", "lost": 1, "parts": []},
    ]
    (run / "regret.json").write_text(json.dumps({"against": wrong}))
    belief = {
        "moves": [*wrong, {"moves": 0, "accuracy": "high"}],
        "reliability": wrong,
        "ece": "small",
    }
    (run / "diagnostics.json").write_text(
        json.dumps({"belief": belief, "opponent": wrong, "open_loop": wrong})
    )
    pq.write_table(
        pa.table(
            {
                "method": ["agent"],
                "opponents": [None],
                "seat": [0],
                "return": [1.0],
            }
        ),
        run / "scores.parquet",
    )
    page, _ = report(tmp_path)
    assert "column opponents: expected no empty entries" in page


HOSTILE = '"><script>alert(1)</script>\u202e|[x](javascript:1)`<img src=x>`'


def test_hostile_names_are_text(tmp_path):
    folder = tmp_path / "h" / "a'b&c"
    unit = make_unit(
        folder / "0", 0, (1, 1), sets=("1 nearest_stag", HOSTILE), others=((HOSTILE, (0, 0)),), config={HOSTILE: HOSTILE},
        command=f"bestreply sweep x.toml; rm -rf {HOSTILE}", revision=HOSTILE,
    )  # fmt: skip
    make_unit(tmp_path / "h" / "d" / "0", 0, (1, 1), config={HOSTILE: "<i>"})
    diagnostics = json.loads((unit / "diagnostics.json").read_text())
    diagnostics["opponent"][0]["player"] = HOSTILE
    (unit / "diagnostics.json").write_text(json.dumps(diagnostics))
    page, text = write_report_over_runs([tmp_path])
    html, markdown = page.read_text("utf-8"), text.read_text("utf-8")
    assert (
        "<script" not in html
        and "<img" not in html
        and "\u202e" not in html + markdown
    )
    assert "alert(1)" in html
    for tag in re.finditer(r"(?<!\\)<(?!\./)", markdown):
        raise AssertionError(markdown[tag.start() - 40 : tag.start() + 40])
    assert not re.search(r"(?<!\\)\]\((?!<\./)", markdown)
    wide = {
        len(re.split(r"(?<!\\)\|", row))
        for row in markdown.split("\n\n")[-1].strip().splitlines()
    }
    assert len(wide) == 1, "all rows have the same number of cells"
    assert "rm -rf" not in markdown


def test_problems_of_models_and_data_are_listed(tmp_path):
    make_sweep(tmp_path, seeds=2)
    for k in range(2):
        make_diagnostics(
            tmp_path / "hunt" / "ours" / str(k),
            ece=0.3,
            counts=(1000, 100),
            recall=0.2,
        )
    flat = {
        "method": ["agent"] * 20,
        "opponents": ["1 random"] * 20,
        "seat": [0, 1] * 10,
        "return": [0.0] * 19 + [1.0],
    }
    pq.write_table(
        pa.table(flat), tmp_path / "hunt" / "blue" / "0" / "scores.parquet"
    )
    page, text = report(tmp_path)
    for expected in (
        "The beliefs of ours are not calibrated",
        "differ by 0.30 on average",
        "10.0 times as many moves of nearest_stag as of random",
        "The world model of ours loses entities within 3 steps; recall: hunter_1 0.20.",
        "Train the world model of ours for longer",
    ):
        assert expected in page and expected in plain(text), expected


def test_the_speed_of_collection_is_shown_if_recorded(tmp_path):
    make_sweep(tmp_path / "runs", seeds=1)
    assert "The speed of collection is not recorded" in report(tmp_path)[0]
    parts = [
        {"steps": 3000, "seconds": 2.0, "labelled": 700},
        {"steps": 1000, "labelled": 100},
    ]
    for name, sentences in (
        ("new", parts),
        ("old", [{"steps": 4000}]),
        ("odd", [3, {"steps": "x", "seconds": 0}]),
    ):
        (tmp_path / "datasets" / name).mkdir(parents=True)
        manifest = {"totals": {"steps": 4000, "rows": 8000}, "parts": sentences}
        (tmp_path / "datasets" / name / "manifest.json").write_text(
            json.dumps(manifest)
        )
    for lang, expected in (
        ("en", "at 1,500 environment steps per second"),
        ("zh", "每秒 1,500 个环境步"),
    ):
        page, text = report(tmp_path, lang=lang)
        assert expected in page and expected in text
        assert "| 1,500 | 8,000 | 2.00 | 10% |" in text
        assert "| – | 8,000 | 2.00 | – |" in text


def test_seat_means_equal_scipy():
    from scipy.stats import f_oneway

    rng = np.random.default_rng(0)
    seats = np.tile([0, 1, 2], 40)
    returns = rng.normal(0, 1, 120) + 0.5 * seats
    result = seat_means([EpisodeReturns(returns, seats)])
    assert result.p == pytest.approx(
        f_oneway(*(returns[seats == k] for k in range(3))).pvalue
    )
    assert result.means[2] == pytest.approx(returns[seats == 2].mean())
    assert (
        seat_means([EpisodeReturns(returns, 0 * seats)]) is None
        and seat_means([EpisodeReturns(0 * returns, seats)]) is None
    )


# -- curves and returns ----------------------------------------------------------


def test_curves_are_means_over_seeds_against_environment_steps(sweep):
    (family,) = families([read_record(p) for p in find_runs([sweep]).runs])
    curves = learning_curves(family)
    assert (
        curves.by_steps
        and curves.steps == (1000, 10_000)
        and curves.every == 6000
    )
    metric = next(m for m in curves.metrics if m.name == "world/obs")
    blue, ours = metric.means
    assert (blue.name, ours.name, ours.seeds) == ("blue", "ours", 8)
    assert ours.x.tolist() == [1000, 2000, 4000, 10_000]
    assert ours.mean == pytest.approx(np.array([2.0, 1.2, 1.04, 1.0]) + 0.035)
    from scipy import stats

    low, high = stats.t.interval(
        0.95, 7, 2.035, np.std(0.01 * np.arange(8), ddof=1) / 8**0.5
    )
    assert (ours.low[0], ours.high[0]) == pytest.approx((low, high))
    assert (
        metric.convergence["ours"].reached == [4000] * 8
    )  # from 2.00 to 1.00: 1.04 is at 96 %, 1.20 at 80 %


def test_the_axis_is_updates_for_constant_steps(tmp_path):
    make_unit(tmp_path / "a-1", 0, (1, 1), steps=(500, 500, 500, 500))
    (family,) = families([read_record(tmp_path / "a-1")])
    curves = learning_curves(family)
    assert not curves.by_steps and curves.metrics[0].means[0].x.tolist() == [
        10,
        20,
        30,
        40,
    ]
    page, _ = report(tmp_path)
    assert (
        "Horizontal axis: training updates." in page
        and "Updates to 95%" in page
    )


def test_curves_of_different_length_are_averaged_on_their_common_range(sweep):
    (family,) = families([read_record(p) for p in find_runs([sweep]).runs])
    (blue, ours) = family.groups
    at = np.array([0, 50, 100])
    blue.runs[0].metrics["x"] = MetricSeries(at, at, np.array([0.0, 1.0, 2.0]))
    blue.runs[1].metrics["x"] = MetricSeries(
        at[:2], at[:2], np.array([4.0, 4.0])
    )
    (metric,) = [m for m in learning_curves(family).metrics if m.name == "x"]
    assert metric.means[0].x[[0, -1]].tolist() == [0, 50] and metric.means[
        0
    ].mean[[0, -1]].tolist() == [
        2,
        2.5,
    ]
    assert ours.name not in metric.convergence


def test_distributions_of_returns(tmp_path):
    make_unit(tmp_path / "h" / "a" / "0", 0, (1, 1))
    make_unit(tmp_path / "h" / "b" / "0", 0, (3, 1), config={"train": {}})
    (family,) = families([read_record(p) for p in find_runs([tmp_path]).runs])
    stag, random = return_distributions(family)
    assert stag.bins == [
        (0, 0),
        (2, 2),
        (4, 4),
    ] and stag.distance == pytest.approx(0.5)
    assert stag.shares["a"].tolist() == [0.5, 0.5, 0] and stag.shares[
        "b"
    ].tolist() == [0, 0.5, 0.5]
    assert random.distance == 0
    page, text = report(tmp_path)
    assert (
        "two methods): 1 nearest_stag (0.50)" in page
        and "Similar distributions" in page
        and "| b | 0.0% | 50.0% | 50.0% |" in text
    )


# -- Markdown and the command ----------------------------------------------------


def test_markdown_by_hand():
    table = Grid(
        ["a_b", "n|m"],
        [cells("x", line(Link("1*", "./r/")))],
        text=1,
        bold=frozenset({0}),
    )
    blocks = [
        Paragraph(line("1. no list")),
        Paragraph(line("mind"), "caveat"),
        Paragraph(line("of a figure"), "figure"),
        table,
        BulletList([]),
    ]
    text = to_markdown(Document("b", "T", [Section("s", "S", blocks)]))
    assert text == (
        "# T\n\nb\n\n## S\n\n1\\. no list\n\n> mind\n\n| a_b | n\\|m |\n| --- | ---: |\n| **x** | [1\\*](<./r/>) |\n"
    )
    assert (
        escape("- x_y _z_ 1.25 +0.5\n# q") == "\\- x_y \\_z\\_ 1.25 +0.5 \\# q"
    )


def test_the_command(sweep, tmp_path, monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(
            "sys.argv", ["bestreply", "report", *map(str, arguments)]
        )
        cli.main()
        return capsys.readouterr().out.split()

    out = call(
        sweep,
        "--out",
        tmp_path / "o",
        "--lang",
        "zh",
        "--since",
        "2026-11-01",
        "--baseline",
        "blue",
    )
    assert out == [
        str(tmp_path / "o" / "report.html"),
        str(tmp_path / "o" / "report.md"),
    ]
    one = make_run(tmp_path / "one", steps=1)
    assert (
        call(one) == [str(one / "report.html")]
        and not (one / "report.md").exists()
    )
    monkeypatch.chdir(sweep.parent)
    sweep.rename(sweep.parent / "runs")
    assert call() == ["runs/report.html", "runs/report.md"]
    (sweep.parent / "runs").rename(sweep)
    with pytest.raises(SystemExit, match="2"):
        call(one, "--since", "7d")
    assert "expected several run directories" in capsys.readouterr().err
    for arguments, message in (
        ([sweep, "--out", one], "expected a folder that is not a run"),
        ([tmp_path / "o"], "expected run directories, or folders of runs"),
    ):
        with pytest.raises(SystemExit, match=message):
            call(*arguments)


# -- games of strangers ------------------------------------------------------------


@pytest.mark.parametrize("unit, mean", [(1.0, "2.00"), (1e-6, "2.00e−6")])
def test_equal_methods_are_tied_in_any_unit(tmp_path, unit, mean):
    sets = ("3 nearest_stag", "adversary | 3 random")
    for method in ("blue", "red"):
        for seed in range(6):
            make_unit(
                tmp_path / "hunt" / method / str(seed),
                seed,
                (2 * unit, 4 * unit),
                sets=sets,
                scale=unit,
            )
    page, text = report(tmp_path)
    assert "blue and red against all opponent sets: a tie, equal in" in page
    assert "1 tied" in page and "adversary | 3 random" in page
    best = "Against 3 nearest_stag, blue, red tie for the highest mean return: "
    assert best + mean in page
    assert f"{mean} ± 0" in plain(text)
    chinese, _ = report(tmp_path, lang="zh")
    assert "打平" in chinese
