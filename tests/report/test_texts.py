"""Texts in both languages, and how numbers are written."""

import ast
import re
from pathlib import Path

import pytest

from bestreply.report import texts as module
from bestreply.report.texts import (
    LANGUAGES,
    compact,
    decimals_of,
    duration,
    file_size,
    fixed,
    load_texts,
    moment,
    show,
    with_error,
)

PACKAGE = Path(module.__file__).parents[1]
FILES = [
    path
    for path in PACKAGE.rglob("*")
    if path.suffix in (".py", ".html")
    and re.search(r"\b(texts|t)\(", path.read_text())
]
ENGLISH, CHINESE = (load_texts(lang).texts for lang in LANGUAGES)


def test_both_languages_have_the_same_keys_and_placeholders():
    assert list(ENGLISH) == list(CHINESE)
    for key, text in ENGLISH.items():
        names = [set(re.findall(r"{(\w+)}", t)) for t in (text, CHINESE[key])]
        assert names[0] == names[1], key


def test_chinese_texts_have_chinese_punctuation():
    adjacent = re.compile(r"[\u4e00-\u9fff][,;:!?]|[,;:!?][\u4e00-\u9fff]")
    assert [k for k, text in CHINESE.items() if adjacent.search(text)] == []


def constant_keys(path):
    """Yield the keys in calls ``texts("key", ...)`` and ``t("key", ...)``."""
    if path.suffix == ".html":
        yield from re.findall(r"\bt\([\"'](\w+)[\"'][,)]", path.read_text())
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        key, function = node.args[0], ast.unparse(node.func)
        if isinstance(key, ast.Constant) and function.endswith("texts"):
            yield key.value


def test_texts_that_the_code_names_exist():
    used = {key: path for path in FILES for key in constant_keys(path)}
    assert len(used) > 200
    assert {key: path for key, path in used.items() if key not in ENGLISH} == {}


def test_texts_are_used():
    sources = "\n".join(path.read_text() for path in FILES)
    names = set(re.findall(r"\w+", sources))
    starts = tuple(re.findall(r"\b([a-z_]+_)[{\"]", sources))
    unused = [
        key
        for key in ENGLISH
        if key not in names
        and not (
            key.startswith(starts)
            and any(part in names for part in parts_of(key))
        )
    ]
    assert unused == []


def parts_of(key):
    """Return all ends of a key after an underscore."""
    words = key.split("_")
    return ["_".join(words[k:]) for k in range(1, len(words))]


def test_numbers_are_written_with_a_true_minus_sign():
    assert fixed(-1.005, 1) == "−1.0" and fixed(2, sign=True) == "+2.00"
    assert fixed(-0.001) == "0.00" and fixed(None) == "–" == fixed(float("nan"))
    assert with_error(2.714, 0.031) == "2.71 ± 0.03"
    assert with_error(None, None) == "–"
    assert [show(v) for v in (0, 0.5, -1234567, 1e-9)] == [
        "0", "0.5", "−1.23e6", "1.00e−9"
    ]  # fmt: skip
    assert [compact(v) for v in (1500, 2e6, -3)] == ["1.5k", "2M", "−3"]
    assert file_size(1500) == "1.5 kB"


def test_times_are_written_in_words():
    english = load_texts("en")
    assert duration(252.4, english) == "4 min 12 s"
    assert duration(7260, english) == "2 h 1 min"
    assert duration(None, english) is None
    assert moment("2026-11-03T10:12:00+00:00") == "2026-11-03 10:12 UTC"
    assert moment("soon") == "soon"


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match="lang='fr': expected one of en, zh"):
        load_texts("fr")


def test_numbers_of_one_unit_are_written_to_the_same_place():
    cases = {
        (2.71, 0.03, 0.004): ["2.71", "0.03", "0.00"],
        (2.71e-6, 3.2e-8, 4e-9): ["2.71e−6", "3e−8", "0"],
        (-5e6, 2.71e6, 3.2e4, 0.0): ["−5.00e6", "2.71e6", "3e4", "0"],
        (0.05, 0.001, None): ["0.0500", "0.0010", "–"],
        (123456.0, 1.2): ["123,456", "1"],
        (float("nan"), 1.0): ["–", "1.00"],
    }
    for values, written in cases.items():
        places = decimals_of(*values)
        assert [fixed(v, places) for v in values] == written
    assert fixed(2.71e-6, decimals_of(2.71e-6), sign=True) == "+2.71e−6"
    assert decimals_of() == decimals_of(0.0) == 2
