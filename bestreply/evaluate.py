"""Measuring play: any player in any seat, fixed seeds, all seats in turn."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bestreply.collect import PLANNING_CHUNK, Lineup, find_player, play, seat_players
from bestreply.console import meter
from bestreply.files import replacing
from bestreply.games.base import Game
from bestreply.players.base import Player, ScriptedPlayer
from bestreply.players.zoo import make_player
from bestreply.provenance import provenance
from bestreply.references import FILE, Reference, load_references, save_references
from bestreply.spec import SELF, Spec, parse_specs

SCHEMA = pa.schema(
    [
        ("method", pa.string()),
        ("opponents", pa.string()),
        ("seed", pa.int64()),
        ("episode", pa.int64()),
        ("seat", pa.int64()),
        ("length", pa.int64()),
        ("return", pa.float64()),
    ]
)


@dataclasses.dataclass(frozen=True)
class Scores:
    """Returns of a focal seat, one row an episode. Seeds are the unit of replication; episodes are not."""

    table: pa.Table  # columns of `SCHEMA`
    provenance: dict[str, Any]
    references: Mapping[str, Reference] = dataclasses.field(default_factory=dict)  # by opponent set

    def mean(self, method: str | None = None, opponents: str | None = None) -> float:
        """Mean return over the rows of `method` against `opponents`; by default over all rows."""
        return float(self.table["return"].to_numpy()[self._rows(method, opponents)].mean())

    def stderr(self, method: str | None = None, opponents: str | None = None) -> float:
        """Standard error of `mean`: over the means of seeds where there are several, otherwise over episodes. NaN for one episode."""
        rows = self._rows(method, opponents)
        values, seeds = self.table["return"].to_numpy()[rows], self.table["seed"].to_numpy()[rows]
        if len(each := np.unique(seeds)) > 1:
            values = np.array([values[seeds == seed].mean() for seed in each])
        return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")

    def share(self, method: str, opponents: str) -> tuple[float, float]:
        """Mean return / the best reply's, and its standard error (delta method, see `bestreply.references`).

        Where the reference is an upper bound (`Reference.bounds`), the true share is at least this. Raises ValueError where there is
        no reference.
        """
        return self._held_against("share", method, opponents)

    def normalised(self, method: str, opponents: str) -> tuple[float, float]:
        """(Mean return - random) / (best reply - random), and its standard error, as `share`: 0 is the random player, 1 the best reply."""
        return self._held_against("normalised", method, opponents)

    def _held_against(self, what: str, method: str, opponents: str) -> tuple[float, float]:
        mean, stderr = self.mean(method, opponents), self.stderr(method, opponents)
        reference = self.references.get(opponents)
        found = getattr(reference, what)(mean, stderr) if reference else None
        if found is None:
            why = f": {reference.missing} {reference.reason}".rstrip() if reference else ""
            there = [name for name, known in self.references.items() if not known.missing]
            raise ValueError(
                f"{what} against {opponents!r} has no reference{why}; wanted: one of {there}, or scores that `refer` was given"
            )
        return found

    def _rows(self, method: str | None, opponents: str | None) -> np.ndarray:
        keep = np.ones(len(self.table), bool)
        for name, wanted in (("method", method), ("opponents", opponents)):
            if wanted is not None:
                keep &= np.array(self.table[name].to_pylist()) == wanted
        if not keep.any():
            there = {name: sorted(set(self.table[name].to_pylist())) for name in ("method", "opponents")}
            raise ValueError(
                f"no scores of method={method!r} against opponents={opponents!r}; there are {there}"
            )
        return keep

    def save(self, path: str | Path) -> Path:
        """Writes Parquet with the provenance in the file's metadata, and the references beside it; atomic."""
        with replacing(Path(path)) as beside:
            pq.write_table(
                self.table.replace_schema_metadata({"provenance": json.dumps(self.provenance)}), beside
            )
        if self.references:
            facts = provenance(self.provenance.get("seed", 0))
            save_references(Path(path).with_name(FILE), self.references.values(), facts)
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> "Scores":
        table = pq.read_table(path)
        facts = (table.schema.metadata or {}).get(b"provenance", b"{}")
        beside = Path(path).with_name(FILE)
        references = load_references(beside) if beside.exists() else {}
        return cls(table.replace_schema_metadata(None), json.loads(facts), references)

    @classmethod
    def concat(cls, parts: Sequence["Scores"]) -> "Scores":
        references = {name: known for p in parts for name, known in p.references.items()}
        return cls(pa.concat_tables([p.table for p in parts]), parts[0].provenance, references)


def evaluate(
    game: Game,
    players: Sequence[str | Spec | Player],
    episodes: int,
    seed: int,
    *,
    method: str | None = None,
    opponents: str | None = None,
    chunk: int = PLANNING_CHUNK,
) -> Scores:
    """Plays `episodes` episodes with the first of `players` as focal player, in every seat in turn, the rest in order after it.

    Args:
        players: one for each seat; a `mixture(...)` is drawn anew for every episode.
        seed: of play; the same seed and episode give the same first state whoever plays.
        method, opponents: names for the table; by default the players' own.

    Raises ValueError for a wrong number of players, or an illegal action (who, where, when).
    """
    lineup = seat_players(game, players, episodes, seed, rotate=True)
    method = method or _name(players[0])
    opponents = opponents or name_opponents(players[1:])
    with meter(f"evaluate: {method}", episodes * game.max_steps, "steps") as progress:
        return _scores(game, lineup, seed, [(method, opponents)], chunk, progress)


def evaluate_all(
    game: Game,
    methods: Mapping[str, Player | str],
    opponents: Sequence[str],
    episodes: int,
    seed: int,
    *,
    chunk: int = PLANNING_CHUNK,
) -> Scores:
    """Every method against every opponent set (see `fill_seats`), `episodes` each, from the same first states.

    An opponent named "self" is the method itself. "self" alone is self-play, whose returns are means over the seats: the same
    expectation, with less spread.

    Scripted methods are played together, by one compiled program; each planner by one of its own.
    """
    sets = [fill_seats(game, text) for text in opponents]
    players = {name: make_player(player, game) for name, player in methods.items()}
    scripted = [name for name, player in players.items() if isinstance(player, ScriptedPlayer)]
    groups = [[name] for name in players if name not in scripted] + ([scripted] if scripted else [])
    parts = []
    for names in groups:
        matches = [(name, others) for name in names for others in sets]
        lineup = join(
            [
                seat_players(game, [methods[n], *seat_self(others, methods[n])], episodes, seed, rotate=True)
                for n, others in matches
            ]
        )
        labels = [(name, name_opponents(others)) for name, others in matches]
        with meter(
            f"evaluate: {', '.join(names)}", len(lineup.seating) * game.max_steps, "steps"
        ) as progress:
            parts.append(_scores(game, lineup, seed, labels, chunk if len(names) == 1 else 1024, progress))
    return Scores.concat(parts)


def refer(game: Game, scores: Scores, opponents: Sequence[str], layouts: int = 32) -> Scores:
    """`scores` with what the returns against each opponent set are held against, solved exactly where that can be.

    Args:
        opponents: the sets as `evaluate_all` was given them.
        layouts: the most first layouts of a grid game to solve for a set; 0: none, no reference.

    The random player's return is solved too in grid games, and otherwise what "random" has in `scores`, if it played.
    """
    from bestreply.exact.against import find_reference

    found = {}
    for text in opponents:
        others = fill_seats(game, text)
        reference = find_reference(game, name_opponents(others), others, layouts)
        if not reference.missing and reference.random is None:
            reference = _with_measured_random(reference, scores)
        found[reference.opponents] = reference
    return dataclasses.replace(scores, references=found)


def _with_measured_random(reference: Reference, scores: Scores) -> Reference:
    try:
        mean = scores.mean("random", reference.opponents)
    except ValueError:  # it did not play
        return reference
    spread = np.nan_to_num(scores.stderr("random", reference.opponents))
    return dataclasses.replace(reference, random=mean, random_stderr=float(spread), random_from="measured")


def _scores(
    game: Game, lineup: Lineup, seed: int, labels: list[tuple[str, str]], chunk: int, progress: Any
) -> Scores:
    """Plays equal shares of the line-up for each of `labels` (method, opponents)."""
    total, n = len(lineup.seating), game.num_players
    each = total // len(labels)
    episodes = np.tile(np.arange(each), len(labels))
    played = play(game, lineup, seed, numbers=episodes, lean=True, chunk=chunk, progress=progress).episodes
    seat = episodes % n
    returns = played.reward.astype(np.float64).sum(1)  # [E, N]
    alone = np.repeat([others == name_opponents([SELF] * (n - 1)) for _, others in labels], each)
    columns = {
        "method": np.repeat([m for m, _ in labels], each),
        "opponents": np.repeat([o for _, o in labels], each),
        "seed": np.full(total, seed),
        "episode": episodes,
        "seat": seat,
        "length": played.length,
        "return": np.where(alone, returns.mean(1), returns[np.arange(total), seat]),
    }
    return Scores(pa.table(columns, SCHEMA), provenance(seed))


def fill_seats(game: Game, opponents: str) -> list[Spec]:
    """The other seats' players from one name for all of them, or N-1 names with commas between."""
    specs = list(parse_specs(opponents))
    others = game.num_players - 1
    if len(specs) not in (1, others):
        raise ValueError(
            f"{opponents!r} names {len(specs)} opponents; {game.name} wants 1 (for all other seats) or {others}"
        )
    return specs * others if len(specs) == 1 else specs


def seat_self(others: Sequence[Any], focal: Any) -> list[Any]:
    """`others`, with the focal player wherever one is named `SELF`."""
    return [focal if is_self(other) else other for other in others]


def is_self(other: Any) -> bool:
    return not isinstance(other, Player) and str(other) == SELF


def name_opponents(players: Sequence[Any]) -> str:
    """ "3 nearest_stag", or the names with commas between where they differ."""
    names = [_name(p) for p in players]
    return f"{len(names)} {names[0]}" if len(set(names)) == 1 else ", ".join(names)


def _name(player: Any) -> str:
    return player.name if isinstance(player, Player) else str(player)


def join(lineups: Sequence[Lineup]) -> Lineup:
    """One line-up of all the matches, over one pool: a single compiled program plays them."""
    pool: list[Player] = []
    seatings = []
    for lineup in lineups:
        places = [find_player(pool, player) for player in lineup.pool]
        seatings.append(np.array(places, np.int32)[lineup.seating])
    return Lineup(tuple(pool), np.concatenate(seatings))
