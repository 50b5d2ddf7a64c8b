"""The match viewer in a browser: keys, links, cursors of strips, labels, content policy."""

import json

import pytest
from run_files import make_match, make_run

from bestreply.report import write_report
from bestreply.report.view_page import render_view

FACTS = {"game": "stag_hunt", "planner": "one_step", "seed": 0, "gamma": 0.98}


def costly(opponents, lost):
    """Return a match with the given loss of exact Q at each step, `lost` [T]."""
    match = make_match(opponents, len(lost)) | {"gamma": 1.0, "kind": "exact"}
    for step, cost in zip(match["steps"], lost, strict=True):
        step |= {
            "legal": [True] * 7,
            "action": 0,
            "exact": [2.0 - cost, 2.0, *[0.0] * 5],
        }
        step |= {"who": ["nearest_hare"] * 3, "truth": [1, 1, 1]}
    return match


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    matches = [
        costly("3 nearest_stag", [0, 1, 0, 0.5]),
        costly("3 random", [0, 0, 2]),
    ]
    path = tmp_path_factory.mktemp("view") / "view.html"
    path.write_text(
        render_view("a run", matches, FACTS, "en"), encoding="utf-8"
    )
    return path.as_uri()


def shown(page):
    """Return (match, step) of the only visible step, from 0."""
    found = page.evaluate(
        """() => [...document.querySelectorAll(".match")].map((m) =>
            [...m.querySelectorAll(".step")].map((s) => s.checkVisibility()))"""
    )
    places = [
        (m, t)
        for m, steps in enumerate(found)
        for t, there in enumerate(steps)
        if there
    ]
    assert len(places) == 1
    return places[0]


def test_keys_step_jump_and_change_the_match(visit, address):
    page = visit(address)
    assert shown(page) == (0, 0)
    for key, expected in (
        ("ArrowRight", (0, 1)), ("ArrowRight", (0, 2)), ("ArrowLeft", (0, 1)), ("End", (0, 3)), ("ArrowRight", (0, 3)),
        ("Home", (0, 0)), ("ArrowLeft", (0, 0)),
        ("c", (1, 2)), ("c", (0, 1)), ("c", (0, 3)), ("c", (1, 2)), ("Shift+C", (0, 3)), ("m", (1, 0)), ("m", (0, 0)),
    ):  # fmt: skip
        page.keyboard.press(key)
        assert shown(page) == expected, key
    page.get_by_role("slider").focus()
    page.keyboard.press("End")
    assert shown(page) == (0, 3), "the slider handles End"
    page.keyboard.press("c")
    assert shown(page) == (1, 2), "the slider ignores letters"


def test_the_costliest_decisions_are_buttons(visit, address):
    page = visit(address)
    group = page.get_by_role("group", name="Costliest decisions")
    buttons = group.get_by_role("button")
    assert buttons.all_inner_texts() == [
        "match 2, step 3: −2.00", "match 1, step 2: −1.00", "match 1, step 4: −0.50"
    ]  # fmt: skip
    buttons.nth(1).click()
    assert (
        shown(page) == (0, 1)
        and buttons.nth(1).get_attribute("aria-current") == "true"
    )
    table = (
        page.get_by_role("table")
        .filter(has_text="Exact Q")
        .locator("visible=true")
    )
    rows = [
        " ".join(row.split())
        for row in table.get_by_role("row").all_inner_texts()[1:3]
    ]
    assert (
        rows[0].endswith("1.00 −1.00")
        and rows[1].endswith("2.00 0.00")
        and "best" in rows[1]
    )


def test_strips_are_below_the_board_with_a_cursor_at_the_step(visit, address):
    page = visit(address)
    strips = page.locator(".strip").locator("visible=true")
    for step in range(4):
        assert strips.count() == 3
        board = page.locator(".board").locator("visible=true").bounding_box()
        for k in range(3):
            box = strips.nth(k).bounding_box()
            cursor = strips.nth(k).locator(".cursor").bounding_box()
            assert (
                box["y"] > board["y"] + board["height"]
                and abs(box["x"] - board["x"]) < 2
            )
            middle = (
                (cursor["x"] + cursor["width"] / 2 - box["x"])
                / box["width"]
                * 300
            )
            assert middle == pytest.approx(58 + (step + 0.5) * 242 / 4, abs=1.5)
        page.keyboard.press("ArrowRight")
    box = strips.nth(0).bounding_box()
    page.mouse.click(
        box["x"] + box["width"] * (58 + 1.5 * 242 / 4) / 300, box["y"] + 30
    )
    assert shown(page) == (0, 1), "a click on a strip selects its step"
    assert (
        "True type: nearest_hare."
        in page.locator(".sentence").locator("visible=true").nth(0).inner_text()
    )


def test_a_long_match_steps_through_the_steps_that_are_shown(visit, tmp_path):
    match = make_match("3 random", 9)
    for t, step in enumerate(match["steps"]):
        if t % 4:
            del step["text"], step["picture"]
    match["observed"] = [[0.1 * t, 1.0 - t] for t in range(9)]
    path = tmp_path / "long.html"
    path.write_text(render_view("r", [match], FACTS, "en"), encoding="utf-8")
    page = visit(path.as_uri())
    assert page.locator(".step").count() == 3
    page.keyboard.press("End")
    assert shown(page) == (0, 2)
    assert page.inner_text(".live").startswith("Step 9 of 9.")
    strip = page.locator(".strip:visible").last
    left, step = (
        float(strip.get_attribute(f"data-{name}")) for name in ("left", "step")
    )
    cursor = strip.locator(".cursor").get_attribute("x")
    assert float(cursor) == pytest.approx(left + 8 * step, abs=0.1)
    box = strip.bounding_box()
    x = (left + 3.2 * step) * box["width"] / 300
    strip.click(position={"x": x, "y": box["height"] / 2})
    assert shown(page) == (0, 1), "step 5 is the nearest that is shown"


def test_changes_are_announced_and_controls_have_names(visit, address):
    page = visit(address)
    live = page.locator("[aria-live=polite]")
    assert live.inner_text().startswith("Step 1 of 4.")
    page.get_by_role("button", name="Next step").click()
    assert live.inner_text().startswith("Step 2 of 4.")
    assert (
        page.get_by_role("slider", name="Step").get_attribute("aria-valuetext")
        == "2 / 4"
    )
    assert page.get_by_role("combobox", name="Match").count() == 1
    assert page.get_by_role("button", name="Previous step").is_enabled()
    for role in ("button", "slider", "combobox"):
        for element in page.get_by_role(role).all():
            assert element.aria_snapshot().split('"')[1:2] not in ([], [""]), (
                element.aria_snapshot()
            )


def test_only_the_pages_own_script_and_style_take_effect(visit, address):
    page = visit(address)
    page.evaluate(
        """() => {
            const add = (tag, text) => document.body.append(Object.assign(document.createElement(tag), { textContent: text }));
            add("script", "window.hit = 1");
            add("style", "body { opacity: 0.5 }");
            document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.hit = 2'>");
        }"""
    )
    page.wait_for_timeout(100)
    assert page.evaluate("window.hit") is None
    assert page.evaluate("getComputedStyle(document.body).opacity") == "1"
    assert len(page.said) >= 3 and all(
        "Content Security Policy" in text for text in page.said
    )
    page.said.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_its_window_and_text_is_readable(
    visit, address, width, scheme
):
    page = visit(address, width=width, scheme=scheme)
    page.keyboard.press("c")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    clipped = page.evaluate(
        """() => [...document.querySelectorAll(".plan, .sentence, .strip text, .jump")].filter((e) => e.checkVisibility())
            .filter((e) => e.getBoundingClientRect().right > document.documentElement.clientWidth).map((e) => e.outerHTML)"""
    )
    assert clipped == []
    ink, paper = page.evaluate(
        "() => ['color', 'backgroundColor'].map((what) => getComputedStyle(document.body)[what])"
    )
    assert contrast(ink, paper) > 7


def contrast(one, other):
    """Return the WCAG 2 contrast of two CSS colours, rgb(r, g, b)."""

    def luminance(text):
        parts = [float(v) / 255 for v in text[4:-1].split(",")]
        r, g, b = (
            v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
            for v in parts
        )
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_in_a_report_only_the_viewer_uses_keys(visit, tmp_path):
    run = make_run(tmp_path / "r", episodes=3, steps=4)
    (run / "matches.json").write_text(
        json.dumps([costly("3 random", [0, 1, 0, 0.5])])
    )
    page = visit(write_report(run).as_uri())
    page.keyboard.press("ArrowRight")
    assert shown(page) == (0, 1)
    page.keyboard.press("End")
    page.keyboard.press("c")
    assert shown(page) == (0, 1)
    page.get_by_role("button", name="Next step").focus()
    page.keyboard.press("End")
    assert shown(page) == (0, 3)
    page.keyboard.press("c")
    assert shown(page) == (0, 1)
    assert page.locator(".strip").locator("visible=true").count() == 3
