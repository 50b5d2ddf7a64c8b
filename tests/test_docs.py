"""What the documents say of the code is so: places that they name are there, and nothing that there is goes unsaid."""

import ast
import dataclasses
import re
from pathlib import Path

import pytest

from bestreply.config import PRESETS, LossWeights
from bestreply.data.manifest import Manifest, Part
from bestreply.games import GAMES
from bestreply.players.zoo import ZOO

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("*.md")])
PLACE = re.compile(
    r"`((?:bestreply|examples|docs|tests)/[\w/.-]+?)(?::([A-Za-z_][\w.]*))?`"
)


def names_in(path: Path) -> set[str]:
    """Functions, classes, constants, and methods and fields as Class.name."""

    def names(body: list[ast.stmt], prefix: str = "") -> set[str]:
        found = set()
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                found |= names(node.body, f"{prefix}{node.name}.")
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = (
                    node.targets
                    if isinstance(node, ast.Assign)
                    else [node.target]
                )
                found |= {
                    prefix + target.id
                    for target in targets
                    if isinstance(target, ast.Name)
                }
        return found

    return names(ast.parse(path.read_text("utf-8")).body)


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def test_the_names_of_a_file_are_found(tmp_path):
    file = tmp_path / "a.py"
    file.write_text(
        "X = 1\ndef f(): pass\nclass C:\n    y: int = 2\n    def g(self): h = 3\n"
    )
    assert names_in(file) == {"X", "f", "C", "C.y", "C.g"}


@pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(ROOT))
)
def test_every_place_in_the_code_that_a_page_names_is_there(page):
    gone = []
    for path, name in PLACE.findall(page.read_text("utf-8")):
        if not (ROOT / path).exists() or (
            name and name not in names_in(ROOT / path)
        ):
            gone.append(f"{path}:{name}")
    assert not gone


def test_places_are_named_at_all():
    assert (
        len(PLACE.findall(read("docs/one_datum.md"))) > 25
        and len(PLACE.findall(read("docs/planning.md"))) > 20
    )


def broken_tables(text: str) -> list[str]:
    """First lines of blocks of table rows without a header, which is what an empty line inside a table makes of the rest."""
    blocks = re.findall(
        r"(?:^\|.*\n?)+",
        re.sub(r"```.*?```", "", text, flags=re.DOTALL),
        re.MULTILINE,
    )
    return [
        block.splitlines()[0]
        for block in blocks
        if not re.match(r"\|.*\n\|[-:| ]+\|\n", block)
    ]


def test_a_table_that_an_empty_line_breaks_is_recognised():
    assert broken_tables("| a | b |\n|---|--:|\n| 1 | 2 |\n") == []
    assert broken_tables("| a | b |\n|---|---|\n| 1 | 2 |\n\n| 3 | 4 |\n") == [
        "| 3 | 4 |"
    ]


@pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(ROOT))
)
def test_tables_are_whole(page):
    assert broken_tables(page.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(ROOT))
)
def test_links_between_files_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)\)", page.read_text("utf-8"))
    assert not [
        link
        for link in links
        if "://" not in link and not (page.parent / link).exists()
    ]


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
    wanted = {
        f.name for kind in (Manifest, Part) for f in dataclasses.fields(kind)
    } | {"totals"}
    assert not [name for name in wanted if f'"{name}":' not in page]


def test_both_readmes_say_the_same_things():
    english, chinese = read("README.md"), read("README.zh-CN.md")
    for text in (english, chinese):
        assert "    make demo" in text and "    make test" in text
        assert (
            "<!-- demo numbers -->" in text
            and "<!-- end of demo numbers -->" in text
        )
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
