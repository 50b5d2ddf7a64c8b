"""Requests to the play server: only the page itself, with the token, changes the game."""

import json
import re
import socket
from functools import cache
from random import Random
from typing import Any

from bestreply.games import make_game
from bestreply.interactive import server as play_server
from bestreply.interactive.server import HEADERS, Handler, Server
from bestreply.interactive.session import Session
from experiments.faults import mutate
from experiments.faults.registry import kind
from experiments.faults.samples import GAME, Samples
from experiments.faults.verdicts import Trial, expect


class StandIn(Session):
    """A session without a game in it: it counts what was asked of it."""

    def __init__(self) -> None:
        self.game = make_game(GAME)
        self.number, self.changes = 0, 0

    @property
    def step(self) -> int:
        return 0

    @property
    def over(self) -> bool:
        return False

    def begin(self) -> None:
        self.changes += 1

    def act(self, action: int) -> None:
        if not 0 <= action < self.game.num_actions:
            raise ValueError(f"action={action}: expected a legal action")
        self.changes += 1


class TriedServer(Server):
    """The server without its page and its state, which need a game."""

    def state(self) -> dict[str, Any]:
        """Return a state for the page."""
        return {"step": self.session.step}


@cache
def _server() -> TriedServer:
    made, play_server.render = play_server.render, lambda *_: "<page>"
    try:
        server = TriedServer(StandIn())
    finally:
        play_server.render = made
    server.token = "t" * 43
    return server


def _valid(server: TriedServer) -> dict[str, Any]:
    body = json.dumps({"game": 0, "step": 0, "action": 1})
    host = server.hosts[0]
    return {
        "line": f"POST /{server.token}/act HTTP/1.1",
        "headers": [
            ["Host", host],
            ["Origin", f"http://{host}"],
            ["Content-Type", "application/json"],
            ["Content-Length", str(len(body))],
        ],
        "body": body,
    }


def _bytes(request: dict[str, Any]) -> bytes:
    lines = [request["line"], *(f"{k}: {v}" for k, v in request["headers"])]
    text = "\r\n".join(lines) + "\r\n\r\n" + request["body"]
    return text.encode("utf-8", "replace")


def _changed(draw: Random, request: dict[str, Any]) -> bytes:
    """Return a request with one part changed, or damaged bytes."""
    how = draw.randrange(8)
    headers = request["headers"]
    header = draw.choice(headers)
    piece = draw.choice((*mutate.TEXTS, "evil.example", "null", "*"))
    if how == 0:
        request["line"] = mutate.text(draw, (request["line"], "GET / HTTP/1.1"))
    elif how == 1:
        header[1] = draw.choice((piece, header[1] + piece, piece + header[1]))
    elif how == 2:
        headers.remove(header)
    elif how == 3:
        headers.append([header[0], piece])
    elif how == 4:
        body = mutate.tree(draw, json.loads(request["body"]))
        request["body"] = mutate.json_bytes(draw, body).decode("latin-1")
        headers[3][1] = str(len(request["body"].encode("utf-8", "replace")))
    elif how == 5:
        headers[3][1] = str(draw.choice((*mutate.NUMBERS, piece)))
    elif how == 6:
        headers += [[f"X-{k}", "y" * 60] for k in range(draw.choice((9, 200)))]
    data = _bytes(request)
    return mutate.damaged(draw, data) if how == 7 else data


def answer(server: TriedServer, data: bytes) -> bytes:
    """Return what the server answers to the bytes of a connection.

    Args:
        server: the server.
        data: all bytes that the client sends.
    """
    near, far = socket.socketpair()
    with near, far:
        for side in (near, far):
            side.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            side.settimeout(5)
        near.sendall(data[:200_000])
        near.shutdown(socket.SHUT_WR)
        try:
            Handler(far, ("127.0.0.1", 0), server)
        except (ConnectionError, TimeoutError):
            return b""
        far.shutdown(socket.SHUT_WR)
        pieces = iter(lambda: near.recv(1 << 16), b"")
        return b"".join(pieces)


@kind(5)
def request(draw: Random, samples: Samples) -> Trial:
    """A request that differs from that of the page: it changes nothing unless it is as valid."""
    data = _changed(draw, _valid(_server()))

    def read() -> str:
        server = _server()
        session: Any = server.session
        before = session.changes
        text = answer(server, data)
        if session.changes != before:
            expect(_is_of_the_page(data, server), "a foreign request acted")
        expect(not text or text.startswith(b"HTTP/1.1 "), "no HTTP/1.1")
        for reply in text.split(b"HTTP/1.1 ")[1:2]:
            status = int(reply[:3])
            if status >= 200:  # 100 is no whole response
                for name in HEADERS:
                    expect(name.encode() in reply, f"{status} without {name}")
        expect(b"Traceback" not in text, "a traceback in the answer")
        return "other"

    return Trial(repr(data[:1500]), read)


def _is_of_the_page(data: bytes, server: TriedServer) -> bool:
    """Return whether a request has token, host, origin and type of the page."""
    head = data.partition(b"\r\n\r\n")[0].decode("latin-1").lower()
    hosts = [f"host: {host}" for host in server.hosts]
    origins = [f"origin: http://{host}" for host in server.hosts]
    lines = [line.strip() for line in head.replace("\r", "\n").split("\n")]
    lines = [re.sub(r":\s*", ": ", line, count=1) for line in lines]
    return (
        f"/{server.token}/" in head.split("\n")[0]
        and sum(line.startswith("host:") for line in lines) == 1
        and any(host in lines for host in hosts)
        and any(origin in lines for origin in origins)
        and any(
            line.startswith("content-type: application/json") for line in lines
        )
    )
