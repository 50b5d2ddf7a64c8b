"""Who is answered: this machine, by the address that was printed, with its token; changes only from the page itself."""

import http.client
import json
import socket
import threading

import pytest

from bestreply import make_game
from bestreply.interactive.server import HEADERS, MAX_BODY_BYTES, Server
from bestreply.interactive.session import Session

PD = make_game("matrix(table=prisoners_dilemma, rounds=3)")


@pytest.fixture
def server(tmp_path):
    with Server(Session(PD, ["tit_for_tat"], 0, 0, tmp_path / "d")) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server, method, path, body=None, host=None, **headers):
    """(status, headers, text). `headers` with ``_`` for ``-``; None leaves one out."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", server.server_address[1], timeout=20
    )
    address = server.hosts[0]
    given = {"Host": host or address}
    if body is not None:
        given |= {
            "Origin": f"http://{address}",
            "Content-Type": "application/json",
        }
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    data = body if isinstance(body, str) or body is None else json.dumps(body)
    kept = {name: value for name, value in given.items() if value is not None}
    connection.request(method, path, data, kept)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read().decode()
    connection.close()
    return found


def act(server, action=0, game=0, step=0, place="act", **headers):
    asked = {"game": game, "step": step, "action": action}
    return ask(server, "POST", f"/{server.token}/{place}", asked, **headers)


def test_it_listens_on_this_machine_alone(server):
    assert (
        server.server_address[0] == "127.0.0.1" and server.server_address[1] > 0
    )
    assert (
        server.url
        == f"http://127.0.0.1:{server.server_address[1]}/{server.token}/"
        and len(server.token) >= 40
    )


@pytest.mark.parametrize("place", ["", "state", "act"])
def test_without_the_token_nothing_is_told_or_done(server, place):
    for path in (
        "/",
        f"/{place}",
        f"/{server.token[:-1]}/{place}",
        f"/{server.token}x/{place}",
        "/%00/",
        "/é/",
    ):
        status, _, text = ask(
            server,
            "GET",
            path.encode("latin-1", "replace").decode("latin-1")
            if path.isascii()
            else "/%e9/",
        )
        assert status == 403 and server.token not in text
    assert act(server)[0] == 200, "with it, it is"
    status, *_ = ask(
        server, "POST", "/nonsense/act", {"game": 0, "step": 1, "action": 0}
    )
    assert status == 403 and server.session.step == 1


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1",
        "127.0.0.1:1",
        "evil.example:80",
        "localhost.evil.example",
    ],
)
def test_a_page_under_another_name_is_refused(server, host):
    """As after DNS rebinding: the name leads here, but the host says what was asked for."""
    assert ask(server, "GET", f"/{server.token}/", host=host)[0] == 403
    assert act(server, host=host)[0] == 403 and server.session.step == 0


def test_localhost_is_this_machine_too(server):
    port = server.server_address[1]
    assert (
        act(
            server, host=f"localhost:{port}", Origin=f"http://localhost:{port}"
        )[0]
        == 200
    )


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": None}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_a_change_from_elsewhere_is_refused(server, headers, status):
    assert act(server, **headers)[0] == status and server.session.step == 0


def test_what_is_asked_twice_or_late_is_done_once(server):
    assert act(server, 1)[0] == 200 and act(server, 0)[0] == 409
    assert act(server, game=1, step=1)[0] == 409 and server.session.step == 1
    assert (
        act(server, step=0, place="new")[0] == 409
        and server.session.number == 0
    )


def test_odd_requests_are_refused_and_the_next_is_answered(server):
    path = f"/{server.token}/act"
    for body in (
        "",
        "{",
        "[]",
        "7",
        "[" * 900,
        '{"game": 0, "step": 0, "action": true}',
        '{"game": 0, "step": 0, "action": 2}',
    ):
        assert ask(server, "POST", path, body)[0] in (400, 409), body
    assert ask(server, "POST", path, " " * (MAX_BODY_BYTES + 1))[0] == 413
    assert ask(server, "POST", path, "", Content_Length="-5")[0] == 413
    assert ask(server, "POST", f"/{server.token}/other", {})[0] == 404
    assert ask(server, "GET", f"/{server.token}/other")[0] == 404
    assert ask(server, "PUT", path)[0] == 501 and server.session.step == 0
    assert "expected a legal action: COOPERATE, DEFECT" in act(server, 99)[2]
    assert act(server)[0] == 200


def test_every_answer_forbids_framing_sniffing_and_keeping(server):
    for path in (f"/{server.token}/", f"/{server.token}/state", "/"):
        _, headers, _ = ask(server, "GET", path)
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert (
            headers["X-Content-Type-Options"] == "nosniff"
            and headers["Referrer-Policy"] == "no-referrer"
        )
        assert (
            headers["Cache-Control"] == "no-store"
            and headers["Cross-Origin-Resource-Policy"] == "same-origin"
        )
        assert (
            "Access-Control-Allow-Origin" not in headers
            and "python" not in headers["Server"].lower()
        )


def test_a_game_by_requests_is_told_step_by_step_and_kept(server):
    state = json.loads(ask(server, "GET", f"/{server.token}/state")[2])
    assert state["said"].startswith(
        "You are player 1 of 2; other players: Player 2 (tit_for_tat). Step 1 of at most 3"
    )
    for step in range(3):
        state = json.loads(act(server, 1, step=step)[2])
    assert (
        "You chose DEFECT. Player 2 (tit_for_tat) chose DEFECT. Reward 1.00, total 7.00."
        in state["said"]
    )
    assert (
        state["over"]
        and state["legal"] == [False, False]
        and "1 so far" in state["kept"]
    )
    state = json.loads(act(server, game=0, step=3, place="new")[2])
    assert state["game"] == 1 and state["step"] == 0 and "note" not in state
    state = json.loads(act(server, game=1, step=0)[2])
    state = json.loads(act(server, game=1, step=1, place="new")[2])
    assert (
        state["note"] == "The unfinished game was not saved."
        and server.session.kept == 1
    )


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET / HTTP/9.9 x", 400),
        (b"GET / HTTP/2.0", 505),
        (b"GET /", 505),
        (b"FETCH / HTTP/1.1", 501),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1", 414),
    ],
)
def test_what_is_no_request_has_the_headers_of_every_response_too(
    server, line, status
):
    with socket.create_connection(server.server_address, timeout=20) as client:
        client.sendall(line + b"\r\nHost: " + server.hosts[0].encode())
        client.sendall(b"\r\n\r\n")
        text = b"".join(iter(lambda: client.recv(4096), b"")).decode()
    assert text.startswith(f"HTTP/1.1 {status} ") and "x" * 100 not in text
    assert all(f"{name}: {value}" in text for name, value in HEADERS.items())
