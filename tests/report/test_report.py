"""The page of a run, from files as in docs/files.md."""

import hashlib
import json
import math
import re
import shutil
from base64 import b64encode

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from read_charts import axis_of, lines_of
from run_files import (
    Page,
    make_changes,
    make_match,
    make_metrics,
    make_references,
    make_regret,
    make_run,
    read_page,
    words,
)

from bestreply.report import write_report
from bestreply.report.curves import curves_section
from bestreply.report.run_files import FileProblem, read_run
from bestreply.report.safe_svg import UnsafePicture, safe_svg
from bestreply.report.texts import load_texts


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "small"
    return make_run(path, steps=1, episodes=3)


# -- the page --------------------------------------------------------------------------------------


def test_a_complete_run_gives_one_self_contained_page(tmp_path):
    path = write_report(make_run(tmp_path / "demo", steps=2))
    assert path == tmp_path / "demo" / "report.html"
    html, page = path.read_text(encoding="utf-8"), read_page(path)
    addresses = [
        v
        for _, a in page.elements
        for k, v in a.items()
        if k in ("src", "href", "srcset", "action", "data")
    ]
    assert addresses and all(v.startswith(("./", "#")) for v in addresses)
    assert not re.search(
        r"https?://|@import|url\(",
        html.replace('"http://www.w3.org/2000/svg"', ""),
    )
    assert len(html) < 500_000
    assert not [p for p in path.parent.iterdir() if p.name.startswith(".")], (
        "no partial file is left"
    )
    text = words(page)
    for expected in (
        "240,000 environment steps",
        "8,000 training updates",
        "4 min 12 s",
        "stag_hunt (version 1)",
        "d8afdc1",
        "bestreply run --preset demo",
        "train.weights.obs",
        "One training seed: the error does not include training variance",
        "Open-loop",
        "hunter_3",
        "Log-loss",
        "the agent's planner with uniform opponent models",
        "Uniform over all 7 actions has a log-loss of 1.95 nats",
    ):
        assert expected.lower() in text.lower(), expected
    assert "is missing" not in text and "cannot be used" not in text


def test_the_page_in_chinese(tmp_path):
    text = words(
        read_page(write_report(make_run(tmp_path / "r", steps=2), lang="zh"))
    )
    assert "平均回报" in text and "Mean return" not in text
    with pytest.raises(ValueError, match="lang='fr': expected one of en, zh"):
        write_report(tmp_path / "r", lang="fr")


@pytest.mark.parametrize(
    "file",
    ["config", "provenance", "metrics", "diagnostics", "scores", "matches"],
)
@pytest.mark.parametrize("broken", [False, True])
def test_a_missing_or_broken_file_is_named_beside_the_rest(
    tmp_path, small_run, file, broken
):
    run = shutil.copytree(small_run, tmp_path / "r")
    (path,) = run.glob(f"{file}.*")
    path.unlink()
    if broken:
        path.write_text('{"half": [')
    text = words(read_page(write_report(run)))
    maker = (
        "bestreply evaluate"
        if file in ("scores", "matches")
        else "bestreply train"
    )
    reason = (
        f"{path.name} cannot be used: "
        if broken
        else f"{path.name} is missing. "
    )
    assert reason in text and maker in text
    assert str(tmp_path) not in text
    others = {
        "scores": "95% confidence interval",
        "matches": "Score = expected reward",
        "metrics": "environment steps of logged play",
        "diagnostics": "Log-loss, nats",
    }
    for other, expected in others.items():
        assert (expected in text) == (other != file), other


def test_an_empty_directory_gives_a_page_and_a_missing_one_an_error(tmp_path):
    (tmp_path / "r").mkdir()
    assert (
        words(read_page(write_report(tmp_path / "r"))).count("is missing") >= 6
    )
    with pytest.raises(FileNotFoundError, match="expected a directory"):
        write_report(tmp_path / "nothing")


# -- safe to open ----------------------------------------------------------------------------------

ATTACK = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"' onload='alert(1)"


def poisoned(value):
    """Append the attack to every string and key of `value`."""
    if isinstance(value, str):
        return value + ATTACK
    if isinstance(value, list):
        return [poisoned(v) for v in value]
    if isinstance(value, dict):
        return {k: poisoned(v) for k, v in value.items()} | {
            "x" + ATTACK: ATTACK
        }
    return value


def test_a_foreign_run_directory_is_safe_to_open(tmp_path):
    run = make_run(tmp_path / "r", steps=3, episodes=3)
    make_regret(run)
    make_references(run)
    clean = read_page(write_report(run))
    for file in run.glob("*.json"):
        file.write_text(json.dumps(poisoned(json.loads(file.read_text()))))
    for file in run.glob("*.parquet"):
        rows = pq.read_table(file).to_pylist()
        pq.write_table(
            pa.Table.from_pylist(
                [{k: poisoned(v) for k, v in row.items()} for row in rows]
            ),
            file,
        )
    (run / "<img src=x onerror=alert(1)>").touch()
    page = read_page(write_report(run))
    assert "<script>alert(1)" in page.text, (
        "the attack reaches the page as text"
    )
    assert (
        len(page.of("script")) == 1
        and page.raw["script"] == clean.raw["script"]
    )
    assert not {t for t, _ in page.elements} & {
        "img",
        "iframe",
        "object",
        "embed",
        "link",
        "base",
        "form",
        "foreignObject",
    }
    assert not [
        k
        for _, a in page.elements
        for k in a
        if k.startswith("on") or k == "style"
    ]
    (policy,) = [
        a["content"]
        for a in page.of("meta")
        if a.get("http-equiv") == "Content-Security-Policy"
    ]
    digest = b64encode(
        hashlib.sha256("".join(page.raw["script"]).encode()).digest()
    ).decode()
    assert (
        "default-src 'none'" in policy
        and f"script-src 'sha256-{digest}'" in policy
        and "unsafe" not in policy
    )
    digest = b64encode(
        hashlib.sha256("".join(page.raw["style"]).encode()).digest()
    ).decode()
    assert f"style-src 'sha256-{digest}'" in policy


SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"{}>{}</svg>'


UNSAFE = [
    SVG.format(' onload="alert(1)"', ""),
    SVG.format("", "<script>alert(1)</script>"),
    SVG.format("", '<rect onclick="alert(1)" width="1"/>'),
    SVG.format("", '<a href="javascript:alert(1)"><rect/></a>'),
    SVG.format("", '<image href="http://example.org/x.png"/>'),
    SVG.format("", "<foreignObject><p>x</p></foreignObject>"),
    SVG.format("", '<rect style="fill:red"/>'),
    SVG.format("", '<rect style="x"/>'),
    SVG.format("", '<rect class="lead"/>'),
    SVG.format("", '<rect fill="a:b"/>'),
    SVG.format("", '<rect fill="url(#x)"/>'),
    SVG.format("", '<rect fill="u\\72l(x)"/>'),
    SVG.format("", '<animate attributeName="x" to="1"/>'),
    SVG.format("", '<use href="#x"/>'),
    SVG.format("", "<style>* {display: none}</style>"),
    SVG.format("", SVG.format("", "")),
    SVG.format(
        "",
        '<h:script xmlns:h="http://www.w3.org/1999/xhtml">alert(1)</h:script>',
    ),
    SVG.format("", "<g>" * 500 + "</g>" * 500),
    SVG.format("", "<rect/>" * 20_000),
    SVG.format("", "<!-- --><rect/>"),
    '<!DOCTYPE svg [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    + SVG.format("", "<text>&b;</text>"),
    '<?xml-stylesheet href="x.css"?>' + SVG.format("", ""),
    SVG.replace("0 0 10 10", "0 0 nan 10").format("", ""),
    "<p>hello</p>",
    "<svg",
]


@pytest.mark.parametrize("picture", UNSAFE)
def test_unsafe_pictures_are_refused(picture):
    with pytest.raises(UnsafePicture):
        safe_svg(picture)


def test_the_text_replaces_an_unsafe_picture(tmp_path):
    match = make_match(steps=1)
    steps = [
        match["steps"][0] | {"picture": picture, "text": "A B\nC D"}
        for picture in UNSAFE
    ]
    matches = json.dumps([match | {"steps": steps}])
    (tmp_path / "matches.json").write_text(matches)
    page = read_page(write_report(tmp_path))
    assert not page.of("svg", "board")
    assert page.text.count("The picture is not shown") == len(UNSAFE)
    assert (
        len(page.of("pre", "text"))
        == page.text.count("A B\nC D")
        == len(UNSAFE)
    )


def test_boards_of_games_are_shown_completely():
    picture = make_match(steps=1)["steps"][0]["picture"]
    shown = safe_svg(picture)
    for tag in ("rect", "circle", "text"):
        assert shown.count(f"<{tag} ") == picture.count(f"<{tag} ") > 0
    assert 'viewBox="0 0 176 176"' in shown and "<title" not in shown
    assert safe_svg(SVG.format("", "<text>a &lt;b&gt; &amp;</text>")).endswith(
        "<text>a &lt;b&gt; &amp;</text></svg>"
    )


# -- curves and figures ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env_steps", "expected"),
    [
        (lambda u: 64 * u, "Horizontal axis: environment steps."),
        (
            lambda u: 5000,
            "Horizontal axis: training updates. All use the same 5,000 environment steps",
        ),
        (
            lambda u: 1000 * (1 + u // 500),
            "Environment steps grew in stages (1,000 from update 0, 2,000 from update 500",
        ),
    ],
)
def test_axis_of_curves(tmp_path, env_steps, expected):
    make_metrics(tmp_path, updates=1000, every=10, env_steps=env_steps)
    section = curves_section(read_run(tmp_path).metrics, load_texts("en"))
    assert expected in section["axis"]
    groups = {
        title: [p.title for p in panels] for title, panels in section["groups"]
    }
    assert groups["World model"] == [
        "obs",
        "reward",
        "value",
        "consistency",
        "legal",
    ]
    assert "Held-out" not in groups, (
        "each held-out loss is drawn with its training loss"
    )
    (obs,) = [
        p.figure
        for _, panels in section["groups"]
        for p in panels
        if p.title == "obs"
    ]
    assert lines_of(obs).keys() == {"training", "held-out"}
    start, _ = lines_of(obs)["training"][0]
    assert start == pytest.approx(axis_of(obs, "x")[0], abs=0.05), (
        "the first value is at the left end of the axis"
    )


def test_curves_survive_gaps_and_extremes(tmp_path):
    values = {
        "nan": [math.nan] * 3,
        "inf": [1.0, math.inf, 2.0],
        "huge": [1e300, -1e300, 1.0],
        "one": [5.0],
        "flat": [0.0, 0.0],
        "tiny": [1e-12, 2e-12],
        "wide": [1e-9, 1e9],
    }
    rows = [
        {"env_steps": u, "update": u, "name": n, "value": v}
        for n, vs in values.items()
        for u, v in enumerate(vs)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "metrics.parquet")
    page = read_page(write_report(tmp_path))
    points = [a["points"] for a in page.of("polyline", "line")]
    assert len(points) == 6 and not re.search("nan|inf", " ".join(points))


# -- regret by cause -------------------------------------------------------------


def test_regret_is_shown_by_cause_and_decision(tmp_path):
    make_regret(tmp_path, types="true")
    html = write_report(tmp_path).read_text(encoding="utf-8")
    page = Page(html)
    text = words(page)
    assert (
        "Regret by cause" in text
        and "The agent was given the opponents' types." in text
    )
    # the first set: from 4.10 to 3.40 by four parts, one of them a gain
    labels = [a["aria-label"] for a in page.of("svg", "figure")]
    assert labels[0] == (
        "Against nearest_stag: best reply 4.10; opponent model −0.42, dynamics, reward −0.11, "
        "planning depth +0.07, value function −0.24; agent 3.40"
    )
    assert (
        len(labels) == 3
        and len(page.of("rect", "loss")) == 9
        and len(page.of("rect", "gain")) == 3
    )
    row = "nearest_stag 4.10 −0.42 ± 0.05 −0.11 ± 0.05 +0.07 ± 0.05 −0.24 ± 0.05 −0.70 ± 0.06 3.40 0.83 ± 0.02"
    assert row in " ".join(re.sub(r"<[^>]+>", " ", html).split())
    assert len(page.of("article", "card")) == 12 and page.of("svg", "board")
    text = " ".join(re.sub(r"<[^>]+>", " ", html).split())
    assert "Episode 3, step 4: cost 1.80" in text
    assert (
        "UP chosen 3.10 1.25 −1.80" in text
        and "LEFT best 2.50 3.05 0.00" in text
    )
    assert "遗憾分解" in words(read_page(write_report(tmp_path, "zh")))


def test_an_invalid_opponent_set_is_left_out_with_the_reason(
    tmp_path,
):
    make_regret(tmp_path)
    document = json.loads((tmp_path / "regret.json").read_text())
    document["against"][1]["parts"]["depth"] = "much"
    document["against"][2]["costliest"][0]["best"] = 99
    (tmp_path / "regret.json").write_text(json.dumps(document))
    text = words(read_page(write_report(tmp_path)))
    assert (
        "Opponent set 2 of regret.json is left out: depth=much: expected a number."
        in text
    )
    assert (
        "Opponent set 3 of regret.json is left out: best=99: expected an integer from 0 to 6."
        in text
    )
    (tmp_path / "regret.json").write_text("{")
    text = words(read_page(write_report(tmp_path)))
    assert "regret.json cannot be used" in text and "bestreply diagnose" in text
    (tmp_path / "regret.json").unlink()
    page = read_page(write_report(tmp_path))
    assert "regret.json" not in words(page) and not [
        a for a in page.of("a") if a["href"] == "#losses"
    ]


# -- matches ---------------------------------------------------------------------------------------


def test_a_step_shows_choice_legality_parts_predictions_and_belief(tmp_path):
    match = make_match(steps=1)
    match["steps"][0] |= {
        "legal": [True, True, False, True, True, True, False],
        "scores": [1.5, -1.0, None, 0.0, 0.5, 3.0, None],
        "reward": [0.5, 1.0, None, 0.0, 0.0, 4.0, None],
        "value": [1.0, -2.0, None, 0.0, 0.5, -1.0, None],
        "action": 5,
        "predicted": [[0.25, 0.75, 0, 0, 0, 0, 0], [1 / 7] * 7, [0] * 7],
        "actual": [1, 4, -1],
        "belief": [[0.9, 0.08, 0.02], [1 / 3] * 3, [0, 0, 1]],
    }
    (tmp_path / "matches.json").write_text(json.dumps([match]))
    html = write_report(tmp_path).read_text(encoding="utf-8")
    page, text = Page(html), words(Page(html))
    assert (
        len(page.of("tr", "chosen")) == 1
        and len(page.of("tr", "illegal")) == 2
        and len(page.of("tr", "did")) == 2
    )
    assert "HUNT_STAG (chosen) 3.00 4.00 −1.00 0.00" in re.sub(
        r"\s+", " ", re.sub(r"<[^>]+>", " ", html)
    )
    row = re.search(
        r'<th scope="row">DOWN</th><td class="wide">(.*?)</td>', html
    ).group(1)
    rects = {
        c: (float(x), float(w))
        for c, x, w in re.findall(
            r'class="(\w+)" x="([\d.]+)%" width="([\d.]+)%"', row
        )
    }
    # The scale runs from -2 (DOWN's value) to 4 (HUNT_STAG's reward): zero at 1/3, a unit is 1/6.
    assert rects["reward"] == pytest.approx((33.3, 16.7), abs=0.1) and rects[
        "value"
    ] == pytest.approx((0, 33.3), abs=0.1)
    assert (
        "Player 1 (nearest_stag) chose DOWN (predicted 0.75)." in text
        and "Player 4 (nearest_stag) has left." in text
    )
    assert (
        "agent chose HUNT_STAG, score 3.00." in text
        and text.count("Has left the game.") == 1
    )
    assert len(page.of("div", "seat")) == 3


def test_invalid_matches_are_left_out_with_the_reason(tmp_path):
    good = make_match(steps=2)
    bad = [
        dict(good, seat=9),
        dict(good, actions=[]),
        dict(good, steps=[dict(good["steps"][0], scores=[1.0])]),
        7,
    ]
    bad.append(dict(good, steps=[dict(good["steps"][0], actual=[7, 0, 0])]))
    (tmp_path / "matches.json").write_text(json.dumps([good, *bad]))
    page = read_page(write_report(tmp_path))
    assert len(page.of("div", "match")) == 1
    for expected in (
        "Match 2 of matches.json is left out: seat=9: expected an integer from 0 to 3",
        "Match 3",
        "Match 5",
        "step 0: scores=[1.0]: expected 7 entries",
        "step 0: actual=7: expected an integer from -1 to 6",
    ):
        assert expected in words(page)


def test_a_player_without_scores_in_a_game_for_two(tmp_path):
    step = {"text": "round 1", "action": 1, "reward_got": 2.0, "actual": [0]}
    match = {
        "opponents": "tit_for_tat",
        "players": ["grim", "tit_for_tat"],
        "seat": 0,
        "return": 2.0,
        "actions": ["C", "D"],
        "steps": [step],
    }
    (tmp_path / "matches.json").write_text(json.dumps([match]))
    text = words(read_page(write_report(tmp_path)))
    assert (
        "this player gives no scores" in text
        and "grim chose D. Player 2 (tit_for_tat) chose C." in text
    )


def test_control_characters_are_removed(tmp_path):
    run = tmp_path
    row = {
        "method": "a\x1b[2Jb\u202e",
        "opponents": "x",
        "seed": 0,
        "episode": 0,
        "seat": 0,
        "return": 1.0,
    }
    pq.write_table(pa.Table.from_pylist([row]), run / "scores.parquet")
    (run / "config.json").write_text('{"game": "a\\u001b[2Jb\\ud800"}')
    files = read_run(run)
    assert files.scores.method[0] == "a[2Jb" and files.config == {
        "game": "a[2Jb"
    }
    assert isinstance(files.matches, FileProblem)
    write_report(run)
    for plain in ("a\x7fb", "a\u202eb", "é\x9bb"):  # not escaped
        (run / "config.json").write_text(f'{{"game": "{plain}"}}', "utf-8")
        config = read_run(run).config
        assert isinstance(config, dict) and not set(config["game"]) - set("abé")


def test_changing_opponents(tmp_path):
    """The alarm shown detects most changes among those with few false alarms."""
    make_changes(tmp_path)
    page = read_page(write_report(tmp_path))
    assert (
        "switching(nearest_stag, nearest_hare, random=10)0.34 ± 0.040.31 ± 0.040.472.2"
        in words(page)
    )
    assert [a for a in page.of("a") if a["href"] == "#changes"]
    document = json.loads((tmp_path / "changes.json").read_text())
    document["against"] += [{"opponents": "x"}, 7]
    (tmp_path / "changes.json").write_text(json.dumps(document))
    text = words(read_page(write_report(tmp_path)))
    assert (
        "Opponent set 2 of changes.json is left out: belief_since=None: expected an object."
        in text
    )
    assert (
        "Opponent set 3 of changes.json is left out: opponent set=7: expected an object."
        in text
    )
    (tmp_path / "changes.json").unlink()
    assert not [
        a
        for a in read_page(write_report(tmp_path)).of("a")
        if a["href"] == "#changes"
    ]


# -- opponent models -------------------------------------------------------------


def html(path):
    return path.read_text("utf-8")


def with_diagnostics(path, config, document):
    (path / "config.json").write_text(json.dumps(config))
    (path / "diagnostics.json").write_text(json.dumps(document))
    return path


def make_codes(players=("nearest_stag", "nearest_hare", "random<b>"), codes=3):
    rows = [
        {
            "moves": k,
            "bits": 0.5 * k,
            "entropy": 1.585,
            "accuracy": 0.9,
            "hit": 0.625,
        }
        for k in (0, 1, 2)
    ]
    shares = [
        [1 / len(players) if c == p else 0.0 for p in range(len(players))]
        for c in range(codes)
    ]
    return {
        "players": list(players),
        "shares": shares,
        "moves": rows,
        "end": rows[2],
    }


def test_codes_are_drawn_with_their_information(tmp_path):
    with_diagnostics(
        tmp_path, {"model": {"opponent_types": "code"}}, {"codes": make_codes()}
    )
    for lang, expected in (
        ("en", "nearest_hare: code 2 100%."),
        ("zh", "nearest_hare：编码 2 占 100%"),
    ):
        page = html(write_report(tmp_path, lang=lang))
        assert (
            expected in page
            and page.count('class="heat"') == 9
            and page.count(">100</text>") == 3
        )
        assert (
            "<b>" not in page
            and "<td>1.000</td><td>1.585</td><td>0.900</td><td>0.625</td>"
            in page
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"players": "x"},
        {"shares": [[0.1], 3]},
        {"shares": []},
        {"shares": [["a", None, -1]]},
        {"players": ["p"] * 99},
        {"shares": [[0.2, 0.8, 1e999]], "moves": 3, "end": []},
    ],
)
def test_invalid_codes_leave_the_page_complete(tmp_path, wrong):
    with_diagnostics(tmp_path, {}, {"codes": make_codes() | wrong})
    assert "Opponent models" in html(write_report(tmp_path))


def test_a_method_without_opponent_models(tmp_path):
    for method, lang, expected in (
        (
            "iql",
            "en",
            "This method learns a policy and no opponent model",
        ),
        ("behaviour_cloning", "zh", "不学习对手模型"),
    ):
        page = html(
            write_report(
                with_diagnostics(
                    tmp_path, {"method": method}, {"heldout": {"log_loss": 1.0}}
                ),
                lang,
            )
        )
        assert (
            expected in page
            and "diagnostics.json has no entry" not in page
            and "没有本节所需的内容" not in page
        )
    with_diagnostics(tmp_path, {"method": "ppo"}, {})
    assert "no world model" in html(write_report(tmp_path))
    with_diagnostics(tmp_path, {"method": "agent"}, {"heldout": {"obs": 1.0}})
    assert "diagnostics.json has no entry for this section" in html(
        write_report(tmp_path)
    )


def test_accuracy_on_goals_of_the_game_is_called_hit_ratio(tmp_path, small_run):
    run = shutil.copytree(small_run, tmp_path / "r")
    assert "hit ratio" not in html(write_report(run))
    config = {"model": {"opponent_types": "goal"}}
    with_diagnostics(
        run, config, json.loads((run / "diagnostics.json").read_text())
    )
    assert "accuracy is the hit ratio" in html(write_report(run))
    assert "准确率即命中率" in html(write_report(run, lang="zh"))
