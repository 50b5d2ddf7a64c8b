"""Open a session for a person and serve its page."""

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
from bestreply.simulation.lineup import players_by_role
from bestreply.utils.output_folders import output_folder
from bestreply.utils.spec import Spec, parse_roles, parse_specs

AGENT = "bestreply"
"""Name of the run's agent in `opponents`."""


def open_session(
    game: str | None,
    against: str | Path | None = None,
    others: Sequence[str] = (),
    seat: int = 1,
    *,
    planner: str | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    allow_import: Sequence[str] = (),
    append: bool = False,
) -> tuple[Session, tuple[str, ...]]:
    """Open a session for a person.

    Args:
        game: a game's name with settings; None: the game of `against`.
        against: the run whose agent plays.
        others: players of the other seats: one for all, or one each in seat
            order; "bestreply" is the run's agent. None given: the agent.
        seat: the person's seat, counted from 1.
        planner: the agent's planner; None: the run's own.
        seed: seed of play; None: a random one.
        out: the dataset of the games; None: a new one in ``datasets/``.
        append: add to the dataset `out`, if there is one.
        allow_import: modules that names in the run may import.

    Returns:
        The session, and the names of the types that the agent's beliefs are about.

    Raises:
        FileExistsError: `out` holds episodes, and `append` is not set.
        ValueError: the arguments do not fit together, or a name is unknown.
    """
    run = None
    if against is not None:
        run = load_run(against, allow_import=allow_import)
    played = _game(game, run)
    specs = _others(played, others, seat - 1)
    made = {str(spec): _player(spec, run, planner) for spec in specs}
    around = [made[str(spec)] for spec in specs]
    out = output_folder(
        out,
        "datasets",
        f"{played.name}-{NAME}",
        continues="append" if append else "",
    )
    seed = secrets.randbelow(2**31) if seed is None else seed
    session = Session(played, around, seat - 1, seed, out, append=append)
    return session, run.goals if run else ()


def _others(game: Game, texts: Sequence[str], seat: int) -> list[Spec]:
    """Return the player of each seat but the person's, in seat order."""
    if len(texts) == 1 and (roles := parse_roles(texts[0])):
        seated = players_by_role(game, roles)
        return [*seated[:seat], *seated[seat + 1 :]]
    names = [spec for text in texts for spec in parse_specs(text)]
    if not names and game.num_players > 1:
        names = [Spec(AGENT)]
    if len(names) not in (1, game.num_players - 1):
        raise ValueError(
            f"opponents: {len(names)} names; expected 1 (for all other seats) "
            f"or {game.num_players - 1} in {game.name}"
        )
    return names if len(names) > 1 else names * (game.num_players - 1)


def _game(text: str | None, run: Run | None) -> Game:
    if text is None:
        if run is None:
            raise ValueError(
                "game: expected GAME, or a run to play against (--against RUN)"
            )
        return run.game
    game = make_game(text)
    if run is not None and game != run.game:
        raise ValueError(
            f"game={game}: expected the run's game, {run.game}; leave GAME out"
        )
    return game


def _player(spec: Spec, run: Run | None, planner: str | None) -> Spec | Player:
    if str(spec) != AGENT:
        return spec
    if run is None:
        raise ValueError(
            "opponents: expected --against RUN, or --opponents and names of players"
        )
    return run.agent(planner) if planner else run.player()


def serve(
    session: Session,
    *,
    port: int = 0,
    browser: bool = True,
    **settings: Any,
) -> None:
    """Serve the page until Ctrl-C.

    Args:
        session: the session.
        port: port on this machine; 0: any free one.
        browser: open the page in a browser.
        settings: further arguments of `Server`.

    Raises:
        OSError: the port is taken.
    """
    with (
        Server(session, port=port, **settings) as server,
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
    """Give a file that leads to `url` and that only its owner can read.

    A browser's command line would show the token to other users.
    """
    with tempfile.TemporaryDirectory(prefix="bestreply-") as folder:
        page = Path(folder) / "play.html"
        page.write_text(
            f'<!doctype html><meta http-equiv="refresh" content="0; url={escape(url)}"><title>bestreply</title>',
            "utf-8",
        )
        yield page
