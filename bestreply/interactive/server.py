"""Serve the page of a session, on this machine alone.

The server listens on 127.0.0.1. Every request must name this address as its host
(against DNS rebinding) and carry the token of the printed address. A change must
also come from our own page (Origin) and be JSON, which no form can send.
"""

import hmac
import json
import secrets
import sys
import threading
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bestreply.interactive.session import Session
from bestreply.interactive.state import show
from bestreply.report.page import self_contained
from bestreply.report.texts import load_texts

HERE = Path(__file__).parent
ADDRESS = "127.0.0.1"
MAX_BODY_BYTES = 1000
"""Largest body of a request."""
HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Headers of every response. The page has its own content policy, by hashes."""


class Refusal(Exception):
    """A refused request: status and reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Server(ThreadingHTTPServer):
    """A server of one session at `url`; `serve_forever` runs until `shutdown`."""

    daemon_threads = True

    def __init__(
        self,
        session: Session,
        *,
        port: int = 0,
        lang: str = "en",
        goals: Sequence[str] = (),
        beliefs: bool = False,
    ) -> None:
        """Bind to a port.

        Args:
            session: the session.
            port: port on this machine; 0: any free one.
            lang: language of the page.
            goals: names of the types that beliefs are about.
            beliefs: show the agents' beliefs.

        Raises:
            OSError: the port is taken.
        """
        super().__init__((ADDRESS, port), Handler)
        self.session, self.texts = session, load_texts(lang)
        self.shown: dict[str, Any] = {"goals": goals, "beliefs": beliefs}
        self.page = render(session, lang)
        self.token = secrets.token_urlsafe(32)
        self.lock = threading.Lock()
        self.hosts = [
            f"{name}:{self.server_address[1]}"
            for name in (ADDRESS, "localhost")
        ]

    @property
    def url(self) -> str:
        """Address of the page, with its token."""
        return f"http://{self.hosts[0]}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a browser that closed its connection."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def state(self) -> dict[str, Any]:
        """Return the state of the game for the page."""
        return show(self.session, self.texts, **self.shown)

    def change(self, what: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Apply an action, or start a new game.

        Args:
            what: "act" or "new".
            asked: game and step that the request is for, so that nothing is done
                twice; with "act" the action.

        Returns:
            The state afterwards.

        Raises:
            Refusal: the game is at another step.
            ValueError: the action is not legal.
        """
        with self.lock:
            session = self.session
            if (asked.get("game"), asked.get("step")) != (
                session.number,
                session.step,
            ):
                raise Refusal(409, "the game is at another step")
            if what == "new":
                dropped = bool(session.step) and not session.over
                session.begin()
                note = {"note": self.texts("play_dropped")} if dropped else {}
                return self.state() | note
            action = asked.get("action")
            if type(action) is not int:
                raise ValueError(
                    f"action={action!r}: expected the index of an action"
                )
            session.act(action)
            return self.state()


def render(session: Session, lang: str) -> str:
    """Return the page; its script fetches the state.

    Args:
        session: the session.
        lang: language of the page.

    Returns:
        A self-contained HTML page.
    """
    texts, game = load_texts(lang), session.game
    names = game.action_names[: game.seat_actions[session.seat]]
    moves = {
        "UP": "ArrowUp",
        "DOWN": "ArrowDown",
        "LEFT": "ArrowLeft",
        "RIGHT": "ArrowRight",
    }
    actions = [
        {
            "name": name,
            "number": index + 1 if index < 9 else "",
            "arrow": moves.get(name, ""),
            "shown": {
                "ArrowUp": "↑",
                "ArrowDown": "↓",
                "ArrowLeft": "←",
                "ArrowRight": "→",
            }.get(moves.get(name, ""), ""),
        }
        for index, name in enumerate(names)
    ]
    keys = [texts("play_keys_moves")] * any(a["arrow"] for a in actions)
    keys += [texts("play_keys_numbers"), texts("play_keys_new")]
    return self_contained(
        "play.html",
        lang,
        templates=[HERE / "templates"],
        script="play.js",
        connects=True,
        name=session.game.name,
        actions=actions,
        keys=texts("play_keys", keys=texts("list_gap").join(keys)),
    )


class Handler(BaseHTTPRequestHandler):
    """GET TOKEN/ and TOKEN/state, POST TOKEN/act and TOKEN/new."""

    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "bestreply", ""
    timeout = 60

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, how: Any) -> None:
        try:
            kind, body = how(self._place())
            self._send(200, kind, body)
        except Refusal as refused:
            self.close_connection = (
                True  # an unread body would be read as the next request
            )
            self._send(refused.status, "text/plain", str(refused))
        except (ValueError, RecursionError) as error:
            self._send(400, "text/plain", str(error))

    def send_error(
        self, code: int, message: str | None = None, explain: str | None = None
    ) -> None:
        """Refuse a request that is no HTTP, with the headers of every response."""
        self.close_connection = True
        self.request_version = self.protocol_version  # HTTP/0.9 has no headers
        self._send(code, "text/plain", HTTPStatus(code).phrase)

    def _place(self) -> str:
        """Return the path below the token. Raise `Refusal` for a wrong host or token."""
        if self.request_version == "HTTP/0.9":
            self.request_version = self.protocol_version
            raise Refusal(505, "expected HTTP/1.0 or later")
        if (
            len(self.headers.get_all("Host", [])) != 1
            or self.headers["Host"] not in self.server.hosts
        ):
            raise Refusal(
                403,
                "wrong host: expected the address that `bestreply play` printed",
            )
        _, _, rest = self.path.partition("/")
        token, _, place = rest.partition("/")
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            raise Refusal(
                403,
                "wrong token: expected the whole address that `bestreply play` printed",
            )
        return place

    def _get(self, place: str) -> tuple[str, str]:
        if place == "":
            return "text/html", self.server.page
        if place == "state":
            with self.server.lock:
                return "application/json", json.dumps(self.server.state())
        raise Refusal(404, "there is no such page")

    def _post(self, place: str) -> tuple[str, str]:
        if self.headers.get("Origin") not in [
            f"http://{host}" for host in self.server.hosts
        ]:
            raise Refusal(403, "not from our own page")
        if self.headers.get_content_type() != "application/json":
            raise Refusal(415, "expected application/json")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            raise Refusal(
                413,
                f"expected a body of at most {MAX_BODY_BYTES} bytes, with its length",
            )
        if place not in ("act", "new"):
            raise Refusal(404, "there is no such page")
        asked = json.loads(self.rfile.read(int(length)))
        if not isinstance(asked, dict):
            raise ValueError(
                "body: expected an object with game, step and action"
            )
        return "application/json", json.dumps(self.server.change(place, asked))

    def _send(self, status: int, kind: str, body: str) -> None:
        data = body.encode()
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: a log of requests would hold the token."""
