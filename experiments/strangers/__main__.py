"""Meet generated players of families that are not in the data, relative to exact best replies.

    python -m experiments strangers                  # all: references, then each kind of run for each seed
    python -m experiments strangers references       # rows without training
    python -m experiments strangers runs --kinds families --seeds 0 1
    python -m experiments strangers few_shot         # ten episodes beside the same player; after runs
    python -m experiments strangers --table          # README.md from the JSON alone

The game is the stag hunt 5x5 with two hunters, one stag and two hares, 20 steps, in which
hunters stay after a catch. The opponents are generated players in ten families
(`experiments/strangers/players.py`): half of the families are in the data, half are held
out. All of them have a finite memory, so each has an exact best reply
(`experiments/strangers/replies.py`).

The fraction is 1 - E[sum_t gamma^t (V*(s_t) - Q*(s_t, a_t))] / E[V*(s_0)], relative to the
best reply that knows the opponent, gamma = .98. It is the mean over players. Four kinds of
runs, all with the preset `demo` unless stated:

- families: data of the players of the families kept, opponent types by player.
- no_types: the same data, no opponent types.
- improved: as families, but values are learned in imagined games (`train.target=improved`).
- standard: data of nearest_stag, nearest_hare and random, opponent types by player.

Rows *unknown types* and *two steps ahead* are runs of families played with
`planner.unknown_type_prior=.05` and with `planner.planner=expectimax`, depth 2. *Relative to
Bayes* is the fraction divided by that of `Bayes, library: the families held out`.

Finished rows are not measured again.
"""

import dataclasses
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy.special import stdtrit

import bestreply as br
from benchmarks.timing import table
from bestreply.config import RunConfig
from bestreply.data.store import open_store
from bestreply.exact.grid_players import draw_layouts
from bestreply.games import make_game
from bestreply.players.zoo import make_player
from bestreply.simulation.lineup import mixture_of
from bestreply.utils.console import meter
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from experiments._page import details, join_page, make_parser, write_page
from experiments.strangers.players import (
    FAMILIES,
    HELD_OUT,
    KEPT,
    Automaton,
    drawn,
    join,
    noisy,
    players_of,
    short,
)
from experiments.strangers.replies import (
    Bayes,
    Focal,
    Knows,
    Plays,
    layout_tables,
    play,
    solve,
)

OUT, RUNS = Path("results") / "strangers", Path("runs") / "strangers"
FILE = OUT / "strangers.json"
GAME = "stag_hunt(height=5, width=5, hunters=2, stags=1, hares=2, max_steps=20, leave=False)"
GAMMA = 0.98
LAYOUTS, STARTS, SEED = 16, 4, 60_000
"""Layouts, first positions in each, and the seed of the measured games."""
DRAWN = 64
"""Random automata of the largest library."""
MARGIN = 0.05
"""Fraction of the best reply by which an agent may fall behind."""
BAYES = "Bayes, library: all players"
BAYES_HELD_OUT = "Bayes, library: the families held out"
SHOWN = (
    BAYES,
    "nearest_stag",
    "nearest_hare",
    "agent, types inferred",
    "agent, value learned in imagined games",
    "agent, no types",
)
"""Rows that the table by player shows."""
STANDARD = ("nearest_stag", "nearest_hare", "random")
KINDS: dict[str, dict[str, Any]] = {
    "families": {"collect.players": players_of(KEPT)},
    "no_types": {
        "collect.players": players_of(KEPT),
        "model.opponent_types": "none",
    },
    "improved": {
        "collect.players": players_of(KEPT),
        "model.value_heads": "action",
        "train.target": "improved",
        "train.updates": 2500,
        "train.value_updates": 4000,
        "train.value_batch": 512,
        "train.imagined_games": 256,
        "train.target_tau": 0.02,
        "train.anchor_updates": 0,
        "train.trial_episodes": 0,
    },
    "standard": {"collect.players": STANDARD},
}
"""What each kind of run differs in from the preset `demo`."""
AGENTS: dict[str, dict[str, dict[str, Any]]] = {
    "families": {
        "agent, types inferred": {},
        "agent, types inferred, unknown types": {"unknown_type_prior": 0.05},
        "agent, types inferred, learns in play": {"learn_in_play": 3.0},
        "agent, types inferred, two steps ahead": {
            "planner": "expectimax",
            "depth": 2,
        },
    },
    "no_types": {"agent, no types": {}},
    "improved": {"agent, value learned in imagined games": {}},
    "standard": {
        "agent, standard data": {},
        "agent, standard data, unknown types": {"unknown_type_prior": 0.05},
    },
}
"""Settings of the agents of each kind of run (`Run.agent`), by the name of their row."""
FEW_SHOT: dict[str, dict[str, dict[str, Any]]] = {
    "families": {
        "agent, types inferred": {},
        "agent, types inferred, memory": {"memory": 0.9},
        "agent, types inferred, unknown types, memory": {
            "memory": 0.9,
            "unknown_type_prior": 0.05,
        },
        "agent, types inferred, memory, learns in play": {
            "memory": 0.9,
            "learn_in_play": 10.0,
        },
    },
}
"""As `AGENTS`, of the series of episodes."""
EPISODES, SERIES_LAYOUTS = (1, 2, 3, 5, 10), 3
SERIES, SERIES_FILE = 10, OUT / "few_shot.json"


def configuration(kind: str, seed: int, quick: bool = False) -> RunConfig:
    """Return the settings of a run.

    Args:
        kind: one of `KINDS`.
        seed: seed of the run.
        quick: the smallest budget, to check that everything runs.
    """
    config = br.preset("debug" if quick else "demo")
    config = dataclasses.replace(config, game=GAME, seed=seed)
    for path, value in KINDS[kind].items():
        section, _, name = path.partition(".")
        part = dataclasses.replace(getattr(config, section), **{name: value})
        config = dataclasses.replace(config, **{section: part})
    return config


# -- measured --------------------------------------------------------------------


def references() -> dict[str, Focal]:
    """Return the players of the rows without training, by name."""
    game = make_game(GAME)
    known, every = players_of(KEPT), players_of([*FAMILIES])
    _, begins = everyone(drawn_too=True)
    unseen = begins[len(known) : len(every)]
    own = begins[: len(known)]
    chance, more = begins[len(every)], begins[len(every) + 1 :]
    scripted = {name: Plays(make_player(name, game)) for name in STANDARD}
    return {
        "best reply, knows the player": Knows(),
        BAYES: bayes(begins[: len(every)]),
        BAYES_HELD_OUT: bayes(unseen),
        "Bayes, library: the families kept": bayes(own, slip=0.05),
        f"Bayes, library: the families kept and {DRAWN} drawn": bayes(
            np.append(own, more), slip=0.05
        ),
        f"Bayes, library: {DRAWN} drawn": bayes(more, slip=0.05),
        "Bayes, library: the families kept and random play": bayes(
            np.append(own, chance), slip=0.05
        ),
        "Bayes, library: the families kept, prior mixed in": bayes(
            own, slip=0.05, mixing=0.05
        ),
        "Bayes, library: the families kept, more slips": bayes(own, slip=0.2),
        **scripted,
    }


def bayes(begins: np.ndarray, slip: float = 1e-3, mixing: float = 0.0) -> Bayes:
    """Return a Bayes player with a uniform prior over a library.

    Args:
        begins: the first modes of its players.
        slip: probability of an action of any kind, in the posterior.
        mixing: fraction of the prior that is mixed into the posterior at each step.
    """
    prior = np.full(len(begins), 1 / len(begins), np.float32)
    return Bayes(np.asarray(begins, np.int32), prior, slip, mixing)


def everyone(drawn_too: bool) -> tuple[Automaton, np.ndarray]:
    """Return all players and random play as one automaton, and the first mode of each.

    Args:
        drawn_too: also `DRAWN` random automata, behind the players and random play.
    """
    game = make_game(GAME)
    players: list[Any] = [
        make_player(name, game) for name in players_of([*FAMILIES])
    ]
    players.append(noisy(game, "stag", 1.0))
    if drawn_too:
        players += [drawn(game, seed) for seed in range(DRAWN)]
    return join(players)


def measure(
    methods: Mapping[str, Focal],
    drawn_too: bool = False,
    count: int = LAYOUTS,
    series: int = 1,
) -> list[dict[str, Any]]:
    """Play each method against all players, in the same games.

    Args:
        methods: players of seat 0, by name.
        drawn_too: whether a library holds the random automata.
        count: number of layouts.
        series: consecutive episodes of a game, against the same opponent.

    Returns:
        A row for each method: `method`, `share` and `best` (the value of the best reply) by
        player; `lost`, for each family the mean lost share in each layout; and `curve`, the
        mean share over the players held out in each episode of a series.
    """
    game: Any = make_game(GAME)
    automata, begins = everyone(drawn_too)
    names = players_of([*FAMILIES])
    layouts, _ = draw_layouts(game, count, SEED)
    rng = np.random.default_rng(SEED)
    modes = np.repeat(begins[: len(names)], STARTS)
    of_player = (len(names), STARTS, series)
    lost = np.zeros((len(methods), count, len(names), series))
    best = np.zeros((count, len(names), series))
    with meter("layouts", count, "layouts") as progress:
        for number, layout in enumerate(layouts):
            starts = rng.integers(game.cells**2, size=(STARTS, series))
            starts = np.tile(starts, (len(names), 1))
            tables = layout_tables(automata, layout, GAMMA)
            q = solve(automata, tables)
            key = jax.random.key(SEED + number)
            for index, focal in enumerate(methods.values()):
                played = play(focal, automata, tables, q, modes, starts, key)
                lost[index, number], best[number] = (
                    np.asarray(x).reshape(of_player).mean(1)
                    for x in (played.lost, played.value)
                )
            progress.advance(1)
    value = best.mean((0, 2))
    unseen = [name in players_of(HELD_OUT) for name in names]
    curves = 1 - lost.mean(1) / best.mean(0)  # [methods, players, series]
    return [
        {
            "method": method,
            "share": _named(names, 1 - lost[index].mean((0, 2)) / value),
            "best": _named(names, value),
            "lost": _by_family(lost[index].mean(2) / value),
            "curve": np.round(curves[index, unseen].mean(0), 5).tolist(),
        }
        for index, method in enumerate(methods)
    ]


def _named(names: Sequence[str], values: np.ndarray) -> dict[str, float]:
    return {
        short(name): round(float(value), 5)
        for name, value in zip(names, values, strict=True)
    }


def _by_family(lost: np.ndarray) -> dict[str, list[float]]:
    """Return the mean lost share [L] over each family's players, from [L, players]."""
    families, begin = {}, 0
    for family, players in FAMILIES.items():
        own = lost[:, begin : begin + len(players)].mean(1)
        families[family] = [round(float(x), 5) for x in own]
        begin += len(players)
    return families


def train(kind: str, seed: int, quick: bool = False) -> Path:
    """Collect and train, unless done; return the run's folder.

    Args:
        kind: one of `KINDS`.
        seed: seed of the run.
        quick: the smallest budget.
    """
    folder = RUNS / str(seed) / kind
    if (folder / "minutes.json").exists():
        return folder / "run"
    config, begin = configuration(kind, seed, quick), time.perf_counter()
    players = config.collect.players
    data = (
        RUNS / str(seed) / ("data_standard" if kind == "standard" else "data")
    )
    if (data / "manifest.json").exists():
        store = open_store(data)
    else:
        store = br.collect(
            make_game(GAME),
            [mixture_of(players)] * 2,
            config.collect.episodes,
            seed,
            path=data,
        )
    collected = time.perf_counter()
    shutil.rmtree(folder, ignore_errors=True)
    br.train(store, config, path=folder / "run")
    write_json(
        folder / "minutes.json",
        {
            "collect": (collected - begin) / 60,
            "train": (time.perf_counter() - collected) / 60,
            "steps": store.manifest.steps,
        },
    )
    return folder / "run"


def measure_runs(kind: str, seed: int) -> None:
    """Train a run and measure its agents, unless done.

    Args:
        kind: one of `KINDS`.
        seed: seed of the run.
    """
    missing = {
        name: settings
        for name, settings in AGENTS[kind].items()
        if (name, seed) not in _done()
    }
    if not missing:
        return
    folder = train(kind, seed)
    run = br.load_run(folder, allow_import=["experiments"])
    agents = {
        name: Plays(run.agent(**settings)) for name, settings in missing.items()
    }
    cost = json.loads((folder.parent / "minutes.json").read_text())
    _keep([row | {"seed": seed, "cost": cost} for row in measure(agents)])


def measure_few_shot(seed: int) -> None:
    """Measure series of episodes beside the same player, unless done.

    Args:
        seed: seed of the runs, which are trained.
    """
    rows = (
        json.loads(SERIES_FILE.read_text())["rows"]
        if SERIES_FILE.exists()
        else []
    )
    if any(row["seed"] == seed for row in rows):
        return
    methods: dict[str, Focal] = {}
    for kind, agents in FEW_SHOT.items():
        folder = RUNS / str(seed) / kind / "run"
        run = br.load_run(folder, allow_import=["experiments"])
        for name, settings in agents.items():
            methods[name] = Plays(run.agent(**settings))
    _, begins = everyone(drawn_too=False)
    own = begins[: len(players_of(KEPT))]
    for keeps in (False, True):
        exact = dataclasses.replace(bayes(own, slip=0.05), keeps=keeps)
        name = "Bayes, library: the families kept"
        methods[f"{name}, memory" if keeps else name] = exact
    measured = [
        row | {"seed": seed}
        for row in measure(methods, count=SERIES_LAYOUTS, series=SERIES)
    ]
    rows += [
        {k: row[k] for k in ("method", "seed", "curve")} for row in measured
    ]
    write_json(SERIES_FILE, {"rows": rows, "provenance": provenance(SEED)})


def measure_references() -> None:
    """Measure the missing rows without training."""
    missing = {
        name: focal
        for name, focal in references().items()
        if (name, None) not in _done()
    }
    if missing:
        _keep(
            [
                row | {"seed": None}
                for row in measure(
                    missing, drawn_too=any("drawn" in name for name in missing)
                )
            ]
        )


def _rows() -> list[dict[str, Any]]:
    return json.loads(FILE.read_text())["rows"] if FILE.exists() else []


def _done() -> list[tuple[str, int | None]]:
    return [(row["method"], row["seed"]) for row in _rows()]


def _keep(rows: list[dict[str, Any]]) -> None:
    write_json(FILE, {"rows": _rows() + rows, "provenance": provenance(SEED)})


# -- the page --------------------------------------------------------------------


def summary() -> str:
    """Return the page of results/strangers/, from its file."""
    rows = _rows()
    agents = [name for group in AGENTS.values() for name in group]
    by_method: dict[str, list[dict[str, Any]]] = {
        name: []
        for name in [*agents, *(row["method"] for row in rows)]
        if any(row["method"] == name for row in rows)
    }
    for row in rows:
        by_method[row["method"]].append(row)
    costs = [row["cost"] for row in rows if "cost" in row]
    cost = ""
    if costs:
        cost = (
            f"At most {max(c['steps'] for c in costs):,} logged steps a run; collecting and "
            f"training take at most {max(c['collect'] + c['train'] for c in costs):.1f} "
            "minutes, on two cores with other work."
        )
    counts = {
        "held out": sum(len(FAMILIES[family]) for family in HELD_OUT),
        "kept": sum(len(FAMILIES[family]) for family in KEPT),
    }
    return join_page(
        [
            "# Players of unknown families",
            details(__doc__),
            "## Fraction of the best reply that knows the player",
            f"{LAYOUTS} layouts, {STARTS} first positions in each, the same for all rows; the "
            f"focal player in seat 0. Means over players: {counts['held out']} held out, "
            f"{counts['kept']} kept. ± is half of the 95 % interval over layouts; training "
            f"seeds are in brackets. {cost}",
            _share_table(by_method),
            "`Bayes` is given the exact policy of each player of its library, a uniform prior "
            "and the exact values, but not the player that it meets. The best reply that must infer a "
            "player of the families held out has at least the return of `Bayes, library: the "
            "families held out`, and at most that of the best reply that knows the player. So "
            "the agent's fraction of that best reply lies about between the columns `held out` and "
            "`relative to Bayes`.",
            "## Agent less nearest_stag, by family",
            "Difference of the fractions in the same games, and half of the 95 % interval over "
            "layouts. *Not established*: the interval reaches below -.05, the margin of non-inferiority.",
            _difference_table(by_method),
            *_few_shot_section(),
            "## By player",
            "`best` is the discounted return of the best reply that knows the player.",
            _player_table(by_method),
        ],
        OUT,
    )


def _lost(rows: list[dict[str, Any]], families: Sequence[str]) -> np.ndarray:
    """Return the lost share in each layout, the mean over seeds and players."""
    sizes = [len(FAMILIES[family]) for family in families]
    each = [[row["lost"][family] for family in families] for row in rows]
    return np.average(np.mean(each, axis=0), axis=0, weights=sizes)


def _half_width(values: np.ndarray) -> float:
    """Return half of the 95 % interval of a mean over layouts."""
    error = values.std(ddof=1) / len(values) ** 0.5
    return float(stdtrit(len(values) - 1, 0.975) * error)


def _share_table(by_method: dict[str, list[dict[str, Any]]]) -> str:
    lines = []
    for method, rows in by_method.items():
        seeds = ", ".join(str(r["seed"]) for r in rows if r["seed"] is not None)
        cells = []
        for families in (HELD_OUT, KEPT):
            lost = _lost(rows, families)
            cells.append(f"{1 - lost.mean():.3f} ± {_half_width(lost):.3f}")
        cells[1:1] = [
            f"{1 - _lost(rows, [family]).mean():.3f}" for family in HELD_OUT
        ]
        relative = "-"
        if BAYES_HELD_OUT in by_method:
            shares = (
                1 - _lost(r, HELD_OUT).mean()
                for r in (rows, by_method[BAYES_HELD_OUT])
            )
            relative = f"{np.divide(*shares):.3f}"
        cells.insert(1, relative)
        lines.append([f"{method} ({seeds})" if seeds else method, *cells])
    head = ["player", "held out", "relative to Bayes", *HELD_OUT, "kept"]
    return table(head, lines)


def _difference_table(by_method: dict[str, list[dict[str, Any]]]) -> str:
    reference = by_method.get("nearest_stag", [])
    agents = {m: rows for m, rows in by_method.items() if "cost" in rows[0]}
    lines = []
    for family in FAMILIES if reference else ():
        cells = []
        for rows in agents.values():
            less = _lost(reference, [family]) - _lost(rows, [family])
            mean, half = less.mean(), _half_width(less)
            below = "" if mean - half >= -MARGIN else ", not established"
            cells.append(f"{mean:+.3f} ± {half:.3f}{below}")
        held_out = "held out" if family in HELD_OUT else "kept"
        lines.append([family, held_out, *cells])
    return table(["family", "", *agents], lines)


def _few_shot_section() -> list[str]:
    if not SERIES_FILE.exists():
        return []
    rows = json.loads(SERIES_FILE.read_text())["rows"]
    lines = [
        [
            f"{row['method']} ({row['seed']})",
            *(f"{row['curve'][k - 1]:.3f}" for k in EPISODES),
            f"{np.mean(row['curve']):.3f}",
        ]
        for row in rows
    ]
    head = ["player", *(f"episode {k}" for k in EPISODES), "all ten"]
    return [
        "## Ten episodes beside the same player",
        f"Players held out; {SERIES_LAYOUTS} layouts, {STARTS} series in each. "
        "The layout stays, first positions are drawn anew. With `memory` the "
        "agent's counts of types are kept (`planner.memory=.9`), and the posterior of "
        "`Bayes`. The networks' weights are frozen, but for `learns in play`: a last "
        "layer of the opponent model is learned from each action of the opponent, and "
        "kept (`planner.learn_in_play=10`).",
        table(head, lines),
    ]


def _player_table(by_method: dict[str, list[dict[str, Any]]]) -> str:
    shown = {m: rows for m, rows in by_method.items() if m in SHOWN}
    lines = []
    for name in map(short, players_of([*FAMILIES])):
        best = next(iter(by_method.values()))[0]["best"][name]
        cells = [
            f"{np.mean([row['share'][name] for row in rows]):.3f}"
            for rows in shown.values()
        ]
        lines.append([f"`{name}`", f"{best:.2f}", *cells])
    return table(["player", "best", *shown], lines)


def main() -> None:
    parser = make_parser("strangers", __doc__)
    parser.add_argument(
        "do", nargs="?", choices=["references", "runs", "few_shot"]
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--kinds", nargs="+", choices=[*KINDS], default=[*KINDS]
    )
    parser.add_argument(
        "--table",
        action="store_true",
        help="write the README from the JSON alone",
    )
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    if not arguments.table:
        if arguments.do in (None, "references"):
            measure_references()
        if arguments.do in (None, "runs"):
            for seed in arguments.seeds:
                for kind in arguments.kinds:
                    measure_runs(kind, seed)
                    jax.clear_caches()
        if arguments.do in (None, "few_shot"):
            measure_few_shot(arguments.seeds[0])
    write_page(summary(), OUT)


if __name__ == "__main__":
    main()
