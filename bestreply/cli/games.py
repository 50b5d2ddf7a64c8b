"""Commands for games and players: list, check, view, play."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

from bestreply.cli.options import Language, Planner
from bestreply.cli.output import say
from bestreply.cli.registry import UsageError
from bestreply.config import RunConfig


@dataclasses.dataclass(frozen=True)
class Games:
    """One line each: name and what it is about. Settings are described in docs/games.md."""

    def run(self) -> None:
        """Print the games."""
        from bestreply.games import list_games

        games = list_games()
        say(*(f"{name:<18} {summary}" for name, summary in games.items()))


@dataclasses.dataclass(frozen=True)
class Players:
    """One line each: name, settings and behaviour. More in docs/players.md."""

    def run(self) -> None:
        """Print the players."""
        from bestreply.players import list_players

        players = list_players()
        say(*(f"{name:<20} {summary}" for name, summary in players.items()))


@dataclasses.dataclass(frozen=True)
class Methods:
    """One line each: name and what it does. More in docs/baselines.md."""

    def run(self) -> None:
        """Print the methods."""
        from bestreply.run import list_methods

        methods = list_methods()
        say(*(f"{name:<18} {summary}" for name, summary in methods.items()))


@dataclasses.dataclass(frozen=True)
class CheckGame:
    """Plays random episodes and stops at the first property that the game violates. Exit status 1 then.

    Example: bestreply check-game "openspiel:goofspiel(num_cards=4)"
    """

    game: str
    """Name of the game, with settings."""
    episodes: int = 6
    """Episodes to play; more find rarer errors."""
    seed: int = 0
    """Random seed of play."""

    def run(self) -> None:
        """Check the game and print the properties that were checked."""
        from bestreply.games import make_game
        from bestreply.games.check import check_game

        game = make_game(self.game)
        try:
            say(str(check_game(game, self.seed, self.episodes)))
        except AssertionError as error:
            sys.exit(f"bestreply check-game: {error}")


@dataclasses.dataclass(frozen=True)
class CheckPlayer:
    """Plays every seat among random players and stops at the first property that the player violates. Exit status 1 then.

    Example: bestreply check-player nearest_stag
    """

    player: str
    """Name of the player, with settings."""
    game: str = RunConfig.game
    """Name of the game, with settings."""
    episodes: int = 4
    """Episodes to play; more find rarer errors."""
    seed: int = 0
    """Random seed of play."""

    def run(self) -> None:
        """Check the player and print the properties that were checked."""
        from bestreply.games import make_game
        from bestreply.players import make_player
        from bestreply.players.check import check_player

        game = make_game(self.game)
        player = make_player(self.player, game)
        try:
            say(str(check_player(player, game, self.seed, self.episodes)))
        except AssertionError as error:
            sys.exit(f"bestreply check-player: {error}")


@dataclasses.dataclass(frozen=True)
class View:
    """Writes view.html to the run directory and prints its path.

    Example: bestreply view runs/first --opponents nearest_stag --episodes 3
    """

    run_dir: Path
    """Run directory."""
    opponents: tuple[str, ...] = ()
    """Opponent sets: a player for all other seats, N-1 players with commas, or one for each role as "adversary=a, agent=b"; by default
    those of the run's configuration."""
    episodes: int = 2
    """Episodes per opponent set."""
    seed: int | None = None
    """Random seed of play; by default that of the matches in the report."""
    seat: int | None = None
    """Seat of the agent, counted from 1; the opponents fill the other seats in order. By default 1; in a game whose seats have
    several roles, the first seat of each role."""
    planner: Planner | None = None
    """Planner of the agent; by default that of the run's configuration."""
    lang: Language = "en"
    """Language of the page."""
    gif: Path | None = None
    """Write one game against the first opponent set to this file, an animated GIF, instead of the page."""
    allow_import: tuple[str, ...] = ()
    """Modules or packages that names in the run may import. Without them a run from elsewhere runs no code."""

    def run(self) -> None:
        """Write the page, or the animation, and print its path."""
        from bestreply.interactive.view import animate_run, view_run
        from bestreply.run import load_run

        run = load_run(self.run_dir, allow_import=self.allow_import)
        settings: dict[str, Any] = {
            "seed": self.seed,
            "seat": self.seat,
            "planner": self.planner,
            "lang": self.lang,
        }
        if self.gif:
            say(animate_run(run, self.gif, self.opponents, **settings))
        else:
            say(view_run(run, self.opponents, self.episodes, **settings))


@dataclasses.dataclass(frozen=True)
class Play:
    """Opens the game in the browser. Completed games are appended to a dataset; Ctrl-C ends the program.

    Example: bestreply play --against runs/first --show-beliefs
    """

    game: tuple[str, ...] = dataclasses.field(kw_only=True)
    """Name of one game, with settings; by default the game of the run in --against."""
    against: Path | None = None
    """Run whose agent plays the other seats."""
    opponents: tuple[str, ...] = ()
    """Players of the other seats: one for all, one each in seat order, or one for each role as "adversary=a, agent=b";
    `bestreply` is the agent of the run. By default that agent plays all of them."""
    seat: int = 1
    """Your seat, counted from 1."""
    planner: Planner | None = None
    """Planner of the agent; by default that of the run's configuration."""
    show_beliefs: bool = False
    """Show each agent's belief about you, and the action that it predicts."""
    out: Path | None = None
    """Folder of the dataset; by default a new one in datasets/."""
    append: bool = False
    """Add to the dataset in --out, of the same game and players, if there is one."""
    seed: int | None = None
    """Random seed of the first states and of the opponents; by default a new one each time."""
    port: int = 0
    """Port on 127.0.0.1; 0: any free port."""
    browser: bool = True
    """Open the page in the browser."""
    lang: Language = "en"
    """Language of the page."""
    allow_import: tuple[str, ...] = ()
    """Modules or packages that names in the run may import. Without them a run from elsewhere runs no code."""

    def run(self) -> None:
        """Serve the game until Ctrl-C, and print the dataset's path if a game was completed.

        Raises:
            UsageError: for more than one game.
        """
        if len(self.game) > 1:
            raise UsageError(
                f"game={' '.join(self.game)}: expected one game, in quotes if it has settings"
            )
        from bestreply.interactive.play import open_session, serve

        game = self.game[0] if self.game else None
        session, goals = open_session(
            game,
            self.against,
            self.opponents,
            self.seat,
            planner=self.planner,
            seed=self.seed,
            out=self.out,
            allow_import=self.allow_import,
            append=self.append,
        )
        serve(
            session,
            port=self.port,
            browser=self.browser,
            goals=goals,
            beliefs=self.show_beliefs,
            lang=self.lang,
        )
        if session.kept:
            say(session.out)
