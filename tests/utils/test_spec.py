import pytest

from bestreply.utils.spec import (
    MAX_DEPTH,
    Spec,
    nested,
    parse_roles,
    parse_spec,
    parse_specs,
    specs_of,
)


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("stag_hunt", Spec("stag_hunt")),
        ("  stag_hunt ( ) ", Spec("stag_hunt")),
        (
            "stag_hunt(height=5, leave=False)",
            Spec("stag_hunt", (), {"height": 5, "leave": False}),
        ),
        (
            "noisy(nearest_stag, 0.1)",
            Spec("noisy", (Spec("nearest_stag"), 0.1)),
        ),
        (
            "matrix(table=chicken, x=-1.5)",
            Spec("matrix", (), {"table": Spec("chicken"), "x": -1.5}),
        ),
        (
            "switching(noisy(a, 0.1), b, schedule='hazard', rate=1e-2)",
            Spec(
                "switching",
                (Spec("noisy", (Spec("a"), 0.1)), Spec("b")),
                {"schedule": "hazard", "rate": 0.01},
            ),
        ),
        (
            "m(p=(((3,0),(5,1)),[[3,5],[0,1]]))",
            Spec("m", (), {"p": (((3, 0), (5, 1)), ((3, 5), (0, 1)))}),
        ),
        (
            "mixture([a, b], None)",
            Spec("mixture", ((Spec("a"), Spec("b")), None)),
        ),
        (
            "openspiel:goofspiel(num_cards=4)",
            Spec("openspiel:goofspiel", (), {"num_cards": 4}),
        ),
        ("openspiel:oshi_zumo", Spec("openspiel:oshi_zumo")),
        ("run('a: b')", Spec("run", ("a: b",))),
        ("openspiel:x(a='b:c')", Spec("openspiel:x", (), {"a": "b:c"})),
        (
            "noisy(pkg.players:Chaser(speed=2), 0.1)",
            Spec("noisy", (Spec("pkg.players:Chaser", (), {"speed": 2}), 0.1)),
        ),
        ("pkg:Outer.Inner", Spec("pkg:Outer.Inner")),
        (
            "m((p.q:A, b), x=[c:d], y={'k:1': 'v:2'})",
            Spec(
                "m",
                ((Spec("p.q:A"), Spec("b")),),
                {"x": (Spec("c:d"),), "y": {"k:1": "v:2"}},
            ),
        ),
        (
            "pettingzoo:mpe2.simple_tag_v3:parallel_env(max_cycles=25)",
            Spec(
                "pettingzoo:mpe2.simple_tag_v3:parallel_env",
                (),
                {"max_cycles": 25},
            ),
        ),
        ("gymnasium:ALE/Pong-v5", Spec("gymnasium:ALE/Pong-v5")),
        ("pgx:2048", Spec("pgx:2048")),
    ],
)
def test_reads_names_calls_and_literals(text, wanted):
    assert parse_spec(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a(b, 1, x=2.5)",
        "a(b(c(d)), 'e f', y=True, z=None)",
        "openspiel:goofspiel(num_cards=4)",
        "a(x=(1, (2,)))",
        "mixture((a, b(1)), weights=(0.5, 0.5))",
        "switching((noisy(a, 0.1),), x=((b,), ()))",
        "openspiel:x(a='b:c')",
        "noisy(pkg.players:Chaser(speed=2), 0.1)",
        "mixture(a.b:C, (pettingzoo:sisl/pursuit-v4(x=-1),), weights=(1, 2))",
        "a(x={'b:c': (1, 'd:e(')})",
    ],
)
def test_what_is_shown_reads_back(text):
    assert str(parse_spec(text)) == text
    assert parse_spec(str(parse_spec(text))) == parse_spec(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a(",
        "a b",
        "3",
        "'a'",
        "a + b",
        "a(b + 1)",
        "a(x=b.c)",
        "a.b()",
        "a(**b)",
        "a(*b)",
        "a(lambda: 1)",
        "a([b for b in c])",
        "__import__('os').system('true')",
        "a(x=1)(2)",
        "openspiel:",
        "a:b:",
        "a: b",
        "a:b(c)(d)",
        "a(x={b:c})",
        "a(b:c.d - e:f)",
        "a(\u01c30)",
        "a(x=1e999)",
        "a.b",
        "noisy(a, eps=0.1, eps=0.2)",
        "a(b(x=1, x=1))",
    ],
)
def test_everything_else_is_refused_and_shown(text):
    with pytest.raises(ValueError, match="expected name") as error:
        parse_spec(text)
    assert repr(text) in str(error.value)


def test_nothing_is_run(tmp_path):
    witness = tmp_path / "witness"
    text = f"open({str(witness)!r}, 'w')"
    assert parse_spec(text) == Spec("open", (str(witness), "w"))
    assert not witness.exists()


def test_depth_and_length_are_limited():
    deepest = "a(" * MAX_DEPTH + "b" + ")" * MAX_DEPTH
    assert str(parse_spec(deepest)) == deepest
    for text in (
        f"a({deepest})",
        "a(" * 3000,
        "a(" * 90 + ")" * 90,
        "[" * 5000 + "]" * 5000,
        "a(x=" + "-" * 5000 + "1)",
        "a(x=" + "9" * 9000 + ")",
        "a" * 10_001,
    ):
        for read in (parse_spec, parse_specs):
            with pytest.raises(ValueError, match="expected name") as error:
                read(text)
            assert len(str(error.value)) < 600


def test_several_specs_are_split_outside_calls_and_strings():
    texts = ["a(b, (c, d))", "e('f, g(', {'h': 1, 'i': 2})", "j.k:L(1, 2)"]
    assert list(map(str, parse_specs(", ".join(texts)))) == texts


def test_nested_specs_are_found_at_every_depth():
    spec = parse_spec("a(b(c:d), [e:f, (g,)], x=h(y=i:j))")
    assert sorted(s.name for s in nested(spec)) == [
        "a", "b", "c:d", "e:f", "g", "h", "i:j",
    ]  # fmt: skip


def test_specs_by_role():
    text = "adversary = noisy(a, eps=0.1),agent=m:k, team one=b"
    assert {role: str(spec) for role, spec in parse_roles(text).items()} == {
        "adversary": "noisy(a, eps=0.1)",
        "agent": "m:k",
        "team one": "b",
    }
    assert [str(spec) for spec in specs_of(text)][1] == "m:k"
    for other in ("a", "a, b", "noisy(a, eps=0.1)", "a('x=y')"):
        assert parse_roles(other) == {}
        assert specs_of(other) == parse_specs(other)
    for wrong in ("a=b, a=c", "a=b, c", "a=", "a=b, =c"):
        with pytest.raises(ValueError, match="expected"):
            specs_of(wrong)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("matrix(mode=raise)", "'raise' is a word of Python: put it in quotes"),
        ("pass", "'pass' is a word of Python: put it in quotes"),
        ("matrix('if', class=3)", "'class' .*: no setting can have this name"),
    ],
)
def test_words_of_python_are_named(text, hint):
    with pytest.raises(ValueError, match=hint):
        parse_spec(text)


def test_other_mistakes_have_no_hint_on_words():
    for text in ("matrix(a=True, b=", "matrix('raise', b=)"):
        with pytest.raises(ValueError) as caught:
            parse_spec(text)
        assert "word of Python" not in str(caught.value)
