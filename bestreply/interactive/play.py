"""From what a person asks for to a session that is served."""

import contextlib
import secrets
import sys
import tempfile
import webbrowser
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from bestreply.games import make_game
from bestreply.games.base import Game
from bestreply.interactive.server import Server
from bestreply.interactive.session import NAME, Session
from bestreply.players.base import Player
from bestreply.run import Run, load_run
from bestreply.utils.console import fresh_path
from bestreply.utils.spec import Spec, parse_specs

AGENT = "bestreply"
"""What the run's agent is called among `others`."""


def open_session(
    game: str | None,
    against: str | Path | None = None,
    others: Sequence[str] = (),
    seat: int = 1,
    *,
    planner: str | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
) -> tuple[Session, tuple[str, ...]]:
    """A session at player `seat`, counted from 1, and what its agents' beliefs are about.

    Args:
        game: a game's name with settings; may be None where `against` is given.
        against: the run whose agent plays. others: who sits in the other seats, one name for all or one each in seat order,
            "bestreply" for the run's agent; by default that in every one.
        out: the dataset; by default a new one in ``datasets/``.

    Raises ValueError that says what is wanted where these do not fit together.
    """
    run = load_run(against) if against is not None else None
    played = _game(game, run)
    names = [spec for text in others for spec in parse_specs(text)] or [
        Spec(AGENT)
    ]
    around: list[Spec | Player] = [
        _player(spec, run, planner) for spec in names
    ]
    if len(around) not in (1, played.num_players - 1):
        raise ValueError(
            f"{len(around)} others; {played.name} wants 1 (for all other seats) or {played.num_players - 1}"
        )
    if len(around) == 1:
        around *= played.num_players - 1
    if out is None:
        out = fresh_path("datasets", f"{played.name.replace(':', '-')}-{NAME}")
    seed = secrets.randbelow(2**31) if seed is None else seed
    return Session(
        played, around, seat - 1, seed, Path(out)
    ), run.goals if run else ()


def _game(text: str | None, run: Run | None) -> Game:
    if text is None:
        if run is None:
            raise ValueError(
                "neither a game nor a run to play against; expected: GAME, or --against RUN"
            )
        return run.game
    game = make_game(text)
    if run is not None and game != run.game:
        raise ValueError(
            f"{game} was asked for, the run knows {run.game}; expected: the run's game (leave GAME out)"
        )
    return game


def _player(spec: Spec, run: Run | None, planner: str | None) -> Spec | Player:
    if str(spec) != AGENT:
        return spec
    if run is None:
        raise ValueError(
            "no run and no opponents: expected --against RUN, or --opponents and the names of players"
        )
    return run.agent(planner) if planner else run.player()


def serve(
    session: Session,
    *,
    port: int = 0,
    browser: bool = True,
    **told: Any,
) -> None:
    """Serves the page until the person stops it by Ctrl-C; `told` as for `Server`."""
    with (
        Server(session, port=port, **told) as server,
        contextlib.ExitStack() as stack,
    ):
        sys.stdout.write(f"Play at {server.url}\nCtrl-C ends it.\n")
        sys.stdout.flush()
        if browser:
            webbrowser.open(stack.enter_context(_signpost(server.url)).as_uri())
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


@contextlib.contextmanager
def _signpost(url: str) -> Iterator[Path]:
    """A file that only its owner can read and that leads to `url`: on a browser's command line, others could read the token."""
    with tempfile.TemporaryDirectory(prefix="bestreply-") as folder:
        page = Path(folder) / "play.html"
        page.write_text(
            f'<!doctype html><meta http-equiv="refresh" content="0; url={escape(url)}"><title>bestreply</title>',
            "utf-8",
        )
        yield page
