"""Damaged text: specs of games and players, configurations, sweeps, seeds, command lines."""

import contextlib
import json
import math
from random import Random
from typing import Any

from bestreply.cli.main import run_command
from bestreply.cli.options import starting_point
from bestreply.cli.registry import COMMANDS
from bestreply.config import RunConfig, from_dict, to_dict
from bestreply.games import make_game
from bestreply.players.zoo import make_player
from bestreply.simulation.lineup import fill_seats
from bestreply.sweeps.sweep import read_sweep
from bestreply.utils.seeds import checked_seed, derived_seed
from bestreply.utils.spec import Spec, parse_spec, parse_specs
from experiments.faults import mutate
from experiments.faults.inputs_data import same
from experiments.faults.registry import kind
from experiments.faults.samples import Samples, plain_config
from experiments.faults.verdicts import Trial, expect

GAMES = (
    "stag_hunt(height=4, width=4, hunters=4, stags=1, hares=4, max_steps=15)",
    "stag_hunt",
    "snowdrift(players=3)",
    "matrix(table=chicken, rounds=3)",
    "matrix(payoffs=(((3,0),(5,1)),((3,5),(0,1))), actions=('C', 'D'))",
    "matrix(table='stag_hunt', continuation=0.9, memory=2)",
    "openspiel:goofspiel(num_cards=4)",
    "openspiel:matrix_pd",
)
PLAYERS = (
    "always_c",
    "tit_for_tat",
    "random",
    "noisy(tit_for_tat, 0.1)",
    "noisy(always_c, eps=0.5)",
    "mixture(always_c, always_d, weights=(1, 2))",
    "switching(tit_for_tat, grim, step=2)",
    "switching(always_c, always_d, random=2)",
    "mixture(noisy(random, 0.1), grim)",
    "nearest_stag",
)


@kind(4)
def spec(draw: Random, samples: Samples) -> Trial:
    """A spec, or several; an accepted one is written and read back as itself."""
    text = mutate.text(draw, GAMES + PLAYERS)

    def read() -> str:
        specs = [parse_spec(text), *parse_specs(text)]
        for found in specs:
            again = parse_spec(str(found))
            expect(str(again) == str(found), f"{found} reads as {again}")
        return "other"

    return Trial(text, read)


def _settings(spec: Spec) -> dict[str, Any]:
    return {
        name: value.name if isinstance(value, Spec) else value
        for name, value in spec.settings.items()
    }


@kind(6)
def game(draw: Random, samples: Samples) -> Trial:
    """A game; an accepted one has the settings that were given."""
    text = mutate.text(draw, GAMES)

    def read() -> str:
        found = make_game(text)
        made = found.settings
        for name, value in _settings(parse_spec(text)).items():
            expect(
                same(made[name], value) or str(made[name]) == str(value),
                f"{name}={value!r} became {made[name]!r}",
            )
        again = make_game(str(Spec(found.name, (), made)))
        expect(again == found, "the recorded settings make another game")
        expect(
            hash(again) == hash(found) and found.num_players > 0, "no players"
        )
        expect(math.prod(found.obs_shape) > 0, "an empty observation")
        expect(found.num_actions > 0 and found.max_steps > 0, "nothing to do")
        return "other"

    return Trial(text, read)


@kind(3)
def game_settings(draw: Random, samples: Samples) -> Trial:
    """Settings of a game as JSON holds them, as in a stranger's manifest."""
    spec = parse_spec(draw.choice(GAMES[:6]))
    settings = mutate.tree(draw, json.loads(json.dumps(_settings(spec))))

    def read() -> str:
        if not isinstance(settings, dict):
            return "other"
        found = make_game(spec.name, **settings)
        expect(make_game(found.name, **found.settings) == found, "another game")
        return "other"

    return Trial(f"{spec.name} {settings!r:.400}", read)


@kind(5)
def player(draw: Random, samples: Samples) -> Trial:
    """A player of the zoo."""
    text = mutate.text(draw, PLAYERS)

    def read() -> str:
        found = make_player(text, samples.game)
        again = make_player(text, samples.game)
        expect(found.name == again.name and bool(found.name), "no name")
        return "other"

    return Trial(text, read)


@kind(3)
def opponents(draw: Random, samples: Samples) -> Trial:
    """An opponent set; accepted ones fill every other seat."""
    text = mutate.text(draw, (*PLAYERS, "self", "random, always_c"))

    def read() -> str:
        specs = fill_seats(samples.game, text)
        expect(len(specs) == samples.game.num_players - 1, "seats stay empty")
        for found in specs:
            if str(found) != "self":
                make_player(found, samples.game)
        return "other"

    return Trial(text, read)


@kind(2)
def seed(draw: Random, samples: Samples) -> Trial:
    """A seed; an accepted one is itself, and so is every seed derived from it."""
    value = mutate.nasty(draw)

    def read() -> str:
        found = checked_seed(value)
        expect(same(found, value) and 0 <= found < 2**32, f"seed {found}")
        expect(0 <= derived_seed(found, 10**9) < 2**32, "a derived seed")
        return "other"

    return Trial(repr(value)[:400], read)


# -- configurations --------------------------------------------------------------


def merged(base: Any, changes: Any) -> Any:
    """Return nested settings with changes.

    Args:
        base: all settings.
        changes: some of them.
    """
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    return base | {k: merged(base.get(k), v) for k, v in changes.items()}


@kind(6)
def config(draw: Random, samples: Samples) -> Trial:
    """A configuration as JSON; an accepted one has the values that were given."""
    given = mutate.tree(draw, plain_config())

    def read() -> str:
        found = to_dict(from_dict(RunConfig, given))
        expected = merged(to_dict(RunConfig()), given)
        expect(same(found, expected), "a setting has another value")
        return "other"

    return Trial(repr(given)[:800], read)


@kind(3)
def config_file(draw: Random, samples: Samples) -> Trial:
    """The file of --config."""
    given = mutate.tree(draw, plain_config())
    data = mutate.json_bytes(draw, given)

    def read() -> str:
        folder = samples.lay("c", {"config.json": data})
        found, rest = starting_point(["--config", str(folder / "config.json")])
        expect(rest == [], "words are left over")
        return "equal" if same(to_dict(found), plain_config()) else "other"

    return Trial(repr(data[:800]), read)


SWEEP = {
    "preset": "debug",
    "seeds": 2,
    "game": GAMES[3],
    "games": {"chicken": GAMES[3]},
    "config": {"train": {"updates": 8, "learning_rate": 0.01}},
    "methods": {
        "ours": {},
        "bc": {"method": "behaviour_cloning"},
        "plain": {"model": {"opponent_types": "none"}},
    },
}


def toml(value: Any) -> str:
    """Return a JSON value as the text of an inline TOML value.

    Args:
        value: the value; TOML has no null, which becomes an empty text.
    """
    if isinstance(value, dict):
        pairs = (f"{json.dumps(str(k))} = {toml(v)}" for k, v in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return json.dumps("" if value is None else value, ensure_ascii=False)


@kind(5)
def sweep(draw: Random, samples: Samples) -> Trial:
    """A sweep's file; accepted units stay inside the sweep's folder."""
    changed = mutate.tree(draw, SWEEP)
    if isinstance(changed, dict):
        lines = [f"{json.dumps(k)} = {toml(v)}" for k, v in changed.items()]
        text = "\n".join(lines)
    else:
        text = toml(changed)
    data = text.encode("utf-8", "surrogatepass")
    if draw.random() < 0.2:
        data = mutate.damaged(draw, data)

    def read() -> str:
        folder = samples.lay("s", {"sweep.toml": data})
        out = folder / "out"
        found = read_sweep(folder / "sweep.toml", out)
        paths = [unit.path for unit in found.units]
        expect(len(set(paths)) == len(paths) > 0, "two units share a folder")
        for unit in found.units:
            inside = unit.path.resolve().is_relative_to(out.resolve())
            expect(inside and "\x00" not in str(unit.path), f"{unit.path}")
            expect(unit.path.parent.name != "data", f"{unit.path}")
        expect(not out.exists(), "a folder was made")
        return "other"

    return Trial(repr(data[:800]), read)


# -- command lines ---------------------------------------------------------------

READING = (
    ["data", "describe", "D"],
    ["data", "validate", "D"],
    ["results", "R", "--method", "agent", "--out", "table.csv"],
    ["compare", "a=R", "b=R:random", "--margin", "0.1", "--seed", "1"],
    ["report", "R", "--lang", "zh"],
    ["report", "R", "R", "--since", "7d", "--out", "O"],
    ["games"],
    ["players"],
    ["help", "run"],
    ["--version"],
)
"""Commands that read only; D stands for the dataset and R for the run."""
PARSED = (
    ["run", "--preset", "debug", "--out", "x", "--seed", "3"],
    ["run", "--train.updates", "5", "--model.opponent-types", "none"],
    ["run", "--game", GAMES[3], "--evaluate.opponents", "random", "self"],
    ["collect", "--episodes", "5", "--players", "random", "--seed", "0"],
    ["train", "D", "--train.no-augment", "--resume"],
    ["evaluate", "R", "--opponents", "random", "--episodes", "3"],
    ["sweep", "sweep.toml", "--workers", "2", "--batch", "1"],
    ["diagnose", "R", "--types", "true"],
    ["play", "--against", "R", "--port", "80"],
    ["view", "R", "--seat", "1"],
    ["check-game", GAMES[3]],
)
"""Commands that would compute: their options are read, and they are not run."""
COMPUTING = {words[0] for words in PARSED} | {"check-player"}


def changed_words(draw: Random, words: list[str]) -> list[str]:
    """Return a command line with one or two words changed, dropped or repeated.

    Args:
        draw: source of the draws.
        words: the command line.
    """
    words = list(words)
    for _ in range(1 + draw.randrange(2)):
        place = draw.randrange(len(words) + 1)
        how = draw.randrange(5)
        piece = draw.choice((*mutate.TEXTS, *map(str, mutate.NUMBERS)))
        # No command line can hold NUL; an escape sequence would be the person's own.
        piece = piece.replace("\x00", "0").replace("\x1b", "0")
        if how == 0:
            words.insert(place, piece)
        elif how == 1:
            words.insert(place, f"--{piece}")
        elif how == 2 and place < len(words):
            changed = mutate.text(draw, words)
            words[place] = changed.replace("\x00", "0").replace("\x1b", "0")
        elif how == 3 and place < len(words):
            del words[place]
        elif place < len(words):
            words[place] = f"{words[place]}={piece}"
    return words


@kind(3)
def command_that_reads(draw: Random, samples: Samples) -> Trial:
    """A command line of a command that only reads, in full."""
    words = changed_words(draw, list(draw.choice(READING)))

    def read() -> str:
        root = samples.lay("cl", {f"D/{k}": v for k, v in _datasets(samples)})
        for name, data in samples.run.items():
            file = root / "R" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        if words and words[0] in COMPUTING:
            return "other"
        with contextlib.chdir(root):
            run_command(words)
        return "other"

    return Trial(repr(words)[:800], read)


def _datasets(samples: Samples) -> list[tuple[str, bytes]]:
    return list(samples.dataset.items())


@kind(4)
def command_options(draw: Random, samples: Samples) -> Trial:
    """A command line whose options are read; what the command computes is left out."""
    words = changed_words(draw, list(draw.choice(PARSED)))

    def read() -> str:
        from bestreply.cli.options import config_of
        from bestreply.cli.options import read as read_options
        from bestreply.pipeline import resolve

        name = words[0] if words else ""
        if name not in COMMANDS:
            if name in ("", "data") or not words[1:]:
                run_command(words)
            return "other"
        options = read_options(name, COMMANDS[name].load(), words[1:])
        if isinstance(options, RunConfig):
            resolve(config_of(options))
        return "other"

    return Trial(repr(words)[:800], read)
