"""The documents name code, files and commands that exist, and leave no game, player, loss or field out."""

import ast
import dataclasses
import itertools
import re
from pathlib import Path

import pytest

from bestreply.config import PRESETS, LossWeights
from bestreply.data.manifest import Manifest, Part
from bestreply.games import GAMES
from bestreply.players.zoo import ZOO

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "results/**/*.md", "*/README.md")
    for path in ROOT.glob(pattern)
    if "_build" not in path.parts
)
PAGES = list(dict.fromkeys(PAGES))
PLACE = re.compile(
    r"`((?:bestreply|examples|docs|tests|experiments|benchmarks)/[\w/.-]+?)(?::([A-Za-z_][\w.]*))?`"
)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def names_in(path: Path) -> set[str]:
    """Return functions, classes, constants, and methods and fields as Class.name."""

    def names(body: list[ast.stmt], prefix: str = "") -> set[str]:
        result = set()
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                result.add(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                result |= names(node.body, f"{prefix}{node.name}.")
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = (
                    node.targets
                    if isinstance(node, ast.Assign)
                    else [node.target]
                )
                result |= {
                    prefix + target.id
                    for target in targets
                    if isinstance(target, ast.Name)
                }
        return result

    return names(ast.parse(path.read_text("utf-8")).body)


def test_names_of_a_file(tmp_path):
    file = tmp_path / "a.py"
    file.write_text(
        "X = 1\ndef f(): pass\nclass C:\n    y: int = 2\n    def g(self): h = 3\n"
    )
    assert names_in(file) == {"X", "f", "C", "C.y", "C.g"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_that_a_page_names_exists(page):
    missing = []
    for path, name in PLACE.findall(page.read_text("utf-8")):
        if "NAME" in path:
            continue
        if not (ROOT / path).exists() or (
            name and name not in names_in(ROOT / path)
        ):
            missing.append(f"{path}:{name}")
    assert not missing


def test_the_pages_about_the_code_name_it():
    assert len(PLACE.findall(read("docs/one_datum.md"))) > 25
    assert len(PLACE.findall(read("docs/planning.md"))) > 20


def broken_tables(text: str) -> list[str]:
    """Return first lines of blocks of table rows without a header, as an empty line inside a table leaves them."""
    blocks = re.findall(
        r"(?:^ *\|.*\n?)+",
        re.sub(r"```.*?```", "", text, flags=re.DOTALL),
        re.MULTILINE,
    )
    return [
        block.strip().splitlines()[0]
        for block in blocks
        if not re.match(r" *\|.*\n *\|[-:| ]+\|\n", block)
    ]


def test_a_table_that_an_empty_line_divides_is_recognised():
    assert broken_tables("| a | b |\n|---|--:|\n| 1 | 2 |\n") == []
    assert broken_tables("| a | b |\n|---|---|\n| 1 | 2 |\n\n| 3 | 4 |\n") == [
        "| 3 | 4 |"
    ]


def uneven_rows(text: str) -> list[str]:
    """Return rows of tables with more or fewer cells than the row above them."""

    def cells(line: str) -> int:
        return re.sub(r"`[^`]*`|\\\|", "", line).count("|")

    return [
        row
        for above, row in itertools.pairwise(text.splitlines())
        if above.lstrip().startswith("|")
        and row.lstrip().startswith("|")
        and cells(above) != cells(row)
    ]


def test_a_row_of_another_table_is_recognised():
    assert uneven_rows("| a | b |\n|---|---|\n| `x|y` | 2 |\n") == []
    assert uneven_rows("| a | b |\n|---|---|\n| 1 | 2 | 3 |\n") == [
        "| 1 | 2 | 3 |"
    ]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_tables_are_whole(page):
    text = page.read_text("utf-8")
    assert broken_tables(text) == [] and uneven_rows(text) == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_between_files_lead_to_files(page):
    """Pages in docs become a site of their own, so they link to files in docs alone."""
    docs = ROOT / "docs"
    links = re.findall(r"\]\(([^)#\s]+)\)", page.read_text("utf-8"))
    files = [
        (page.parent / link).resolve() for link in links if "://" not in link
    ]
    assert not [
        str(file)
        for file in files
        if not file.exists()
        or (page.is_relative_to(docs) and not file.is_relative_to(docs))
    ]


FIGURES_OF_SPEECH = re.compile(
    r"\b(whoever|whom|nobody|somebody|anybody|everybody|is told|are told|was told"
    r"|held against|taken apart|looked into|the others|comes about|gone into)\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_prose_is_plain(page):
    """Programs are "it", opponents and players "they"; the field's words instead of figures of speech."""
    text = re.sub(r"`[^`]*`|```.*?```", "", page.read_text("utf-8"))
    assert not FIGURES_OF_SPEECH.findall(text)


def test_every_game_and_player_is_described():
    games, players = read("docs/games.md"), read("docs/players.md")
    assert not [
        name
        for name in GAMES
        if not re.search(rf"^## {name}\b", games, re.MULTILINE)
    ]
    assert not [
        name
        for name in ZOO
        if not re.search(rf"^\|.*`{name}\b.*\|", players, re.MULTILINE)
    ]


def test_every_loss_and_metric_is_explained():
    planning, metrics = read("docs/planning.md"), read("docs/metrics.md")
    for field in dataclasses.fields(LossWeights):
        assert f"`world/{field.name}`" in metrics
        assert (
            f'"{field.name}"' in planning
            or f"train.weights.{field.name}`" in planning
        )


def test_files_md_names_every_field_of_a_manifest():
    page = read("docs/files.md")
    names = {
        field.name
        for kind in (Manifest, Part)
        for field in dataclasses.fields(kind)
    }
    assert not [name for name in names | {"totals"} if f'"{name}":' not in page]


def test_both_readmes_have_the_same_commands_and_numbers():
    english, chinese = read("README.md"), read("README.zh-CN.md")
    for text in (english, chinese):
        assert "    make demo" in text and "    make test" in text
        assert "<!-- demo numbers -->" in text
        assert "<!-- end of demo numbers -->" in text
    assert all(f"`{name}`" in read("CHANGELOG.md") for name in PRESETS)
    assert english.count("\n## ") == chinese.count("\n## ")

    def commands(text: str) -> list[str]:
        lines = re.findall(r"^    (?=\S).*\bbestreply .*$", text, re.MULTILINE)
        return [
            line.split("#")[0].split(" --lang")[0].strip() for line in lines
        ]

    assert commands(english) == commands(chinese) != []

    def numbers(text: str) -> list[str]:
        return re.findall(
            r"\d[\d.,]*",
            re.search("<!-- demo numbers -->(.*)<!-- end", text, re.DOTALL)[1],
        )

    assert numbers(english) == numbers(chinese)


def test_the_readme_has_the_demo_and_headline_numbers_of_results():
    readme = read("README.md")
    demo = re.findall(
        r"^\| (?:agent|uniform_others|nearest_\w+|random|exact best reply) \|.*$",
        readme,
        re.MULTILINE,
    )
    assert len(demo) == 6
    assert all(row in read("results/demo/README.md") for row in demo)

    hunt2 = read("results/headline/README.md").partition("## hunt2")[2]
    fractions = hunt2.partition("Return as a fraction")[2]
    rows = {
        "**agent**": "agent",
        "tree search in the true game, as in HOP (ICML 2024)": "hop",
        "PPO with memory": "ppo_recurrent",
        "the agent's planner, uniform opponents": "uniform_others",
        "implicit Q-learning": "iql",
        "behaviour cloning": "behaviour_cloning",
    }
    for title, method in rows.items():
        shown = re.search(rf"^\| {re.escape(title)} \|(.*)$", readme, re.M)
        measured = re.search(rf"^\| {method} \|(.*)$", fractions, re.M)
        assert shown and measured
        numbers = [float(x) for x in re.findall(r"\.\d{3}", shown[1])]
        expected = [float(x) for x in re.findall(r"(\d\.\d{3}) ±", measured[1])]
        assert numbers == expected[:4], title
