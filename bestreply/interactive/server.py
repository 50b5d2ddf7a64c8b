"""The page of a session, served on this machine alone.

Only 127.0.0.1 is listened on. Every request must name this address as its host, which no page that a name was rebound for does, and carry
the token of the printed address. A change must also come from our own page (Origin) and be JSON, which no form can send.
"""

import hmac
import json
import secrets
import sys
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bestreply.interactive.session import Session
from bestreply.interactive.state import show
from bestreply.report.page import self_contained
from bestreply.report.texts import load_texts

HERE = Path(__file__).parent
ADDRESS = "127.0.0.1"
MOST_BYTES = 1000  # of a request's body
HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""With every answer. What the page itself may run and load is in its own policy, by hashes."""


class Refusal(Exception):
    """A request that is not answered: status and reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Server(ThreadingHTTPServer):
    """Serves one session; `url` is where. `serve_forever` answers until `shutdown`."""

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
        """`port` 0: any that is free. Raises OSError where `port` is taken."""
        super().__init__((ADDRESS, port), Handler)
        self.session, self.texts = session, load_texts(lang)
        self.told: dict[str, Any] = {"goals": goals, "beliefs": beliefs}
        self.page = render(session, lang)
        self.token = secrets.token_urlsafe(32)
        self.lock = threading.Lock()
        self.hosts = [
            f"{name}:{self.server_address[1]}"
            for name in (ADDRESS, "localhost")
        ]

    @property
    def url(self) -> str:
        return f"http://{self.hosts[0]}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Of a browser that went away in the middle, nothing is said."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def state(self) -> dict[str, Any]:
        return show(self.session, self.texts, **self.told)

    def change(self, what: str, asked: dict[str, Any]) -> dict[str, Any]:
        """The state after an action or a new game. `asked` says which game and step it is meant for, so that nothing is done twice.

        Raises `Refusal` where the game has gone on since, ValueError for an illegal action.
        """
        with self.lock:
            session = self.session
            if (asked.get("game"), asked.get("step")) != (
                session.number,
                session.step,
            ):
                raise Refusal(409, "the game has gone on since")
            if what == "new":
                dropped = bool(session.step) and not session.over
                session.begin()
                note = {"note": self.texts("play_dropped")} if dropped else {}
                return self.state() | note
            action = asked.get("action")
            if type(action) is not int:
                raise ValueError(
                    "`action` is no whole number; expected: the index of an action"
                )
            session.act(action)
            return self.state()


def render(session: Session, lang: str) -> str:
    """The page; the game's state comes later, by the script."""
    texts, names = load_texts(lang), session.game.action_names
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
                True  # an unread body would be taken for a next request
            )
            self._send(refused.status, "text/plain", str(refused))
        except (ValueError, RecursionError) as error:
            self._send(400, "text/plain", str(error))

    def _place(self) -> str:
        """What is asked for under the token. Raises `Refusal`."""
        if (
            len(self.headers.get_all("Host", [])) != 1
            or self.headers["Host"] not in self.server.hosts
        ):
            raise Refusal(
                403,
                "wrong host; expected: the address that `bestreply play` printed",
            )
        _, _, rest = self.path.partition("/")
        token, _, place = rest.partition("/")
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            raise Refusal(
                403,
                "no valid token; expected: the whole address that `bestreply play` printed",
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
            raise Refusal(415, "expected: application/json")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            raise Refusal(
                413,
                f"expected: a body of at most {MOST_BYTES} bytes, its length told",
            )
        if place not in ("act", "new"):
            raise Refusal(404, "there is no such page")
        asked = json.loads(self.rfile.read(int(length)))
        if not isinstance(asked, dict):
            raise ValueError(
                "the body is no object; expected: game, step and action"
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
        """Silent: a log of requests would hold the token."""
