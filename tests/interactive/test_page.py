"""The page for a person in a real browser: played by keys, told in words, and shut to everybody else."""

import threading

import pytest

from bestreply import make_game, open_store, validate
from bestreply.interactive.server import Server
from bestreply.interactive.session import Session

HUNT = make_game(
    "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=4, leave=False)"
)
BACK = {"UP": "DOWN", "DOWN": "UP", "LEFT": "RIGHT", "RIGHT": "LEFT"}


@pytest.fixture
def server(tmp_path):
    with Server(
        Session(HUNT, ["always(STAY)"], 0, 0, tmp_path / "d")
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def said(page, text):
    """Waits until the page says `text`, and gives all that it says."""
    status = page.get_by_role("status")
    page.wait_for_function(
        "text => document.getElementById('said').textContent.includes(text)",
        arg=text,
    )
    return status.inner_text()


def move(server):
    """A legal move and its key."""
    name = next(
        n
        for n, ok in zip(HUNT.action_names, server.session.legal, strict=True)
        if ok and n in BACK
    )
    return name, f"Arrow{name.title()}"


def test_a_game_is_played_by_keys_alone_and_kept(visit, server, tmp_path):
    page = visit(server.url)
    assert said(page, "choose an action.").startswith(
        "You are player 1 of 2; other players: Player 2 (always(STAY)). Step 1 of at most 4"
    )
    name, key = move(server)
    page.keyboard.press(key)
    assert (
        f"You chose {name}. Player 2 (always(STAY)) chose STAY. Reward 0.00"
        in said(page, "Step 2 of at most 4")
    )
    page.keyboard.press(f"Arrow{BACK[name].title()}")
    said(page, "Step 3 of at most 4")
    page.keyboard.press(str(HUNT.action_names.index("STAY") + 1))
    said(page, "Step 4 of at most 4")
    page.keyboard.press("5")
    assert "The game ended after 4 steps." in said(page, "game ended")
    assert "1 so far" in page.locator("#kept").inner_text()
    assert all(
        button.is_disabled()
        for button in page.get_by_role("group").get_by_role("button").all()
    )
    played = open_store(tmp_path / "d").episodes()
    names = [HUNT.action_names[a] for a in played.action[0, :, 0]]
    assert (
        names == [name, BACK[name], "STAY", "STAY"]
        and validate(tmp_path / "d") == []
    )
    page.keyboard.press("n")
    said(page, "You are player 1")
    assert server.session.number == 1


def test_what_is_not_legal_cannot_be_pressed_and_says_so_by_key(visit, server):
    page = visit(server.url)
    said(page, "choose an action.")
    legal = server.session.legal
    for name, ok in zip(HUNT.action_names, legal, strict=True):
        button = page.get_by_role("group", name="Your actions").get_by_role(
            "button", name=name, exact=True
        )
        assert button.is_enabled() == ok
    wrong = legal.index(False)
    page.keyboard.press(str(wrong + 1))
    assert (
        page.get_by_role("alert").inner_text() == "This action is illegal here."
        and server.session.step == 0
    )
    page.get_by_role("button", name="STAY", exact=True).click()
    said(page, "You chose STAY.")
    assert page.get_by_role("alert").count() == 0


def test_board_and_controls_are_there_for_who_cannot_see(visit, server):
    page = visit(server.url)
    said(page, "choose an action.")
    status = page.get_by_role("status")
    assert (
        status.get_attribute("aria-live") == "polite"
        and status.get_attribute("aria-atomic") == "true"
    )
    board = page.get_by_role("region", name="Board")
    assert board.locator("pre").inner_text() == HUNT.text(server.session.obs, 0)
    assert (
        board.locator("svg").get_attribute("aria-hidden") == "true"
        and board.locator("svg").is_visible()
    )
    up = page.get_by_role("button", name="UP", exact=True)
    assert up.get_attribute("aria-keyshortcuts") == "1 ArrowUp"
    stay = page.get_by_role("button", name="STAY", exact=True)
    stay.focus()
    page.keyboard.press("Enter")
    said(page, "You chose STAY.")
    assert page.evaluate("document.activeElement.textContent").startswith(
        "STAY"
    ), "the focus stays"
    assert page.get_by_role("button", name="New game").is_enabled()


def test_who_leaves_a_game_loses_it_and_is_told(visit, server, tmp_path):
    page = visit(server.url)
    said(page, "choose an action.")
    page.keyboard.press("5")
    said(page, "Step 2")
    page.keyboard.press("n")
    page.reload()
    said(page, "Step 2")
    page.get_by_role("button", name="New game").click()
    assert said(page, "You are player 1").startswith(
        "The unfinished game was not saved."
    )
    assert not (tmp_path / "d").exists()


def test_two_pages_of_one_game_do_not_act_twice(visit, server):
    one, two = visit(server.url), visit(server.url)
    for page in (one, two):
        said(page, "Step 1 of")
    one.keyboard.press("5")
    said(one, "Step 2 of")
    two.keyboard.press("5")
    said(two, "Step 2 of")
    assert server.session.step == 1, (
        "the second press was meant for a step that is over"
    )
    two.said.clear()  # the browser notes the refusal, 409


def test_wrong_addresses_show_nothing(visit, server):
    page = visit(server.url.replace(server.token, "x" * 43))
    assert (
        "wrong token" in page.inner_text("body")
        and page.get_by_role("button").count() == 0
    )
    page.said.clear()


def test_another_page_cannot_act(visit, server):
    """A form's request from elsewhere, even with the token, which it cannot know."""
    page = visit("about:blank")
    send = """async ([to, kind]) => {
        const body = JSON.stringify({ game: 0, step: 0, action: 4 });
        await fetch(to, { method: "POST", mode: "no-cors", headers: { "Content-Type": kind }, body }).catch(() => 0);
    }"""
    for kind in ("text/plain", "application/json"):
        page.evaluate(send, [f"{server.url}act", kind])
    assert server.session.step == 0
    page.said.clear()


def test_nothing_but_the_pages_own_script_runs_and_only_the_server_is_asked(
    visit, server
):
    page = visit(server.url)
    said(page, "choose an action.")
    page.evaluate(
        """async () => {
            document.body.append(Object.assign(document.createElement("script"), { textContent: "window.hit = 1" }));
            document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.hit = 2'>");
            window.asked = await fetch("http://127.0.0.1:9/").then(() => "answered", (error) => String(error));
        }"""
    )
    assert page.evaluate("window.hit") is None and "TypeError" in page.evaluate(
        "window.asked"
    )
    assert len(page.said) >= 3 and all(
        "Content Security Policy" in text for text in page.said
    )
    page.said.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_runs_over_the_edge(visit, server, width, scheme):
    page = visit(server.url, width=width, scheme=scheme)
    said(page, "choose an action.")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_server_that_is_gone_is_noticed(visit, server):
    page = visit(server.url)
    said(page, "choose an action.")
    page.route("**/act", lambda route: route.abort())
    page.keyboard.press("5")
    page.get_by_role("alert").wait_for()
    assert "No answer" in page.get_by_role("alert").inner_text()
    page.said.clear()
