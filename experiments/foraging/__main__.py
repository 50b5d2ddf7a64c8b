"""Forage beside eight partners that are rules, two of them of unknown type.

    python -m experiments foraging                   # all seeds; an interrupted run continues
    python -m experiments foraging --seeds 0         # fewer, to look
    python -m experiments foraging --exact           # only the exact replies: exact.json
    python -m experiments foraging --table           # only the page, from the JSON files

One sweep, results/foraging/foraging.toml, which `bestreply sweep` runs as well; then
discounted returns and exact best replies. The game is Jumanji's LevelBasedForaging (Bonnet
et al., 2024; after Albrecht and Ramamoorthy, 2013) with the settings of jax-aht (LARG):
7x7 cells, three foods, two agents that see everything. Both must load at once to eat a
food (`force_coop`). All food together pays each agent .5. A game ends when all food is
eaten, or after 100 steps.

The partners are the eight rules of jax-aht's evaluation. Six go to the food in a fixed
order: row by row, column by column, both also reversed, by distance from their first cell,
nearest or furthest first. `NearestToTeammate` goes to the food nearest to its teammate.
`Entitled` waits until its teammate stands on one of two secret sides of a food. The agent
learns from play of five of the orders and of `NearestToTeammate`, of their noisy versions
and of the random player. **The columns in reverse order and `Entitled` are held out.**

Target: at least .98 of the food is eaten with each partner, in at most 5 % more steps than
the exact best reply needs.
"""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

import bestreply as br
from benchmarks.timing import over_seeds, table
from bestreply.games.base import Game
from bestreply.players.base import Player
from bestreply.scores.returns import Scores
from bestreply.scores.run_table import save_results, sweep_results
from bestreply.simulation.lineup import join
from bestreply.simulation.loop import PLANNING_CHUNK, play
from bestreply.simulation.opponent_sets import opponent_sets, seat_opponents
from bestreply.sweeps.run_sweep import run_sweep
from bestreply.sweeps.sweep import read_sweep
from bestreply.utils.files import write_json, write_text
from bestreply.utils.provenance import provenance
from bestreply.utils.seeds import derived_seed
from experiments._page import details, join_page, make_parser, write_page
from experiments.foraging.exact import Start, best_reply, first_key, replay
from experiments.foraging.players import LEARNED, PLAYERS, UNSEEN, things_in

NAME = "foraging"
OUT, RUNS = Path("results") / NAME, Path("runs") / NAME
LIMIT, GAMMA, PAID = 100, 0.99, 0.5
"""Step limit; discount of the reported returns; return of all food."""
GAME = (
    "jumanji:LevelBasedForaging-v0(grid_size=7, fov=7, num_agents=2, num_food=3, "
    f"max_agent_level=2, force_coop=True, time_limit={LIMIT}, common_reward=True, one_hot=True)"
)
NOISE = 0.5
"""Probability of a random action of the noisy versions of the partners in the data."""
PARTNERS = (*LEARNED, *UNSEEN)
STARTS = 64
"""First states, of each training seed; the agent's seat changes in turn."""
SEEDS = (0, 1, 2)
METHODS = {
    "agent": "agent",
    "true_types": "agent, partner's type given (true_types)",
    "uniform_others": "agent, partner predicted as uniform (uniform_others)",
    "behaviour_cloning": "behaviour cloning",
    "ppo": "PPO, as many steps",
    "random": "random",
}
DISCOUNTED = ("agent", "behaviour_cloning", "ppo", "random")
AGENT = """model.encoder = "experiments.foraging.networks:Relative"
model.value_of = "o"
model.value_heads = "action"
train.target = "improved"
train.gamma = 0.85
train.opponent_updates = 3000
train.updates = 3000
train.batch = 256
train.weights.reward = 10.0
train.value_updates = 8000
train.value_batch = 512
train.imagined_games = 256
train.target_tau = 0.02
train.trial_episodes = 48"""
"""What differs from the preset `demo` for the agent."""


def sweep_file(seeds: tuple[int, ...]) -> str:
    """Return the sweep as TOML.

    Args:
        seeds: training seeds.
    """
    data = [*LEARNED, *(f"noisy({name}, {NOISE})" for name in LEARNED)]
    return f"""# Level-based foraging beside partners that are rules (python -m experiments foraging).
#     bestreply sweep results/foraging/foraging.toml
preset = "demo"
seeds = {json.dumps(list(seeds))}

[games]
{NAME} = "{GAME}"

[config.collect]
players = {json.dumps([*data, "random"])}
episodes = 8000

[config.train]
at_limit = "bootstrap"                   # observations do not show the time

[config.evaluate]
methods = ["agent"]
opponents = {json.dumps(list(PARTNERS))}
episodes = {STARTS}
reference_layouts = 0
changes = false

[methods.agent]
{AGENT}
evaluate.methods = ["agent", "true_types", "uniform_others", "random"]

[methods.behaviour_cloning]
method = "behaviour_cloning"

[methods.ppo]
method = "ppo"
"""


def run(seeds: tuple[int, ...]) -> None:
    """Train and evaluate, and write foraging.csv.

    Args:
        seeds: training seeds.
    """
    file = OUT / f"{NAME}.toml"
    write_text(file, sweep_file(seeds))
    if failed := run_sweep(
        read_sweep(file, RUNS), command=f"python -m experiments {NAME}"
    ):
        print(f"{NAME}: {len(failed)} units failed", flush=True)
    save_results(sweep_results([RUNS]), OUT / f"{NAME}.csv")


# -- steps, discounted returns, exact replies ----------------------------------


def measure(seed: int) -> dict[str, Any]:
    """Return the measures of a seed: share eaten, steps and discounted return.

    Args:
        seed: training seed, whose runs are complete.
    """
    folders = {
        m: RUNS / NAME / m / str(seed)
        for m in ("agent", "behaviour_cloning", "ppo")
    }
    measures: dict[str, Any] = {"share": {}, "steps": {}, "discounted": {}}
    for own, folder in folders.items():
        scores = Scores.load(folder / "scores.parquet").table
        names, sets, lengths, returns = (
            np.asarray(scores[k])
            for k in ("method", "opponents", "length", "return")
        )
        for method in dict.fromkeys(names.tolist()):
            rows = {p: (names == method) & (sets == f"1 {p}") for p in PARTNERS}
            rows = {p: at for p, at in rows.items() if at.any()}
            # "agent" is what the run trained.
            name = own if method == "agent" else method
            measures["steps"][name] = {
                p: lengths[at].mean() for p, at in rows.items()
            }
            measures["share"][name] = {
                p: returns[at].mean() / PAID for p, at in rows.items()
            }
    runs = {
        m: br.load_run(f, allow_import=["experiments"])
        for m, f in folders.items()
    }
    game, first = runs["agent"].game, derived_seed(seed, 1)
    players: dict[str, Any] = {m: run.player() for m, run in runs.items()} | {
        "random": "random"
    }
    for method in DISCOUNTED:
        measures["discounted"][method] = discounted(
            game, players[method], first
        )
    return measures


def discounted(game: Game, player: Player | str, seed: int) -> dict[str, float]:
    """Return the mean discounted return of a player beside each partner.

    Args:
        game: the game.
        player: the player.
        seed: seed of play, that of the evaluation.
    """
    sets = opponent_sets(game, PARTNERS)
    lineup = join(
        [seat_opponents(game, player, others, STARTS, seed) for others in sets]
    )
    numbers = np.tile(np.arange(STARTS), len(sets))
    played = play(
        game, lineup, seed, numbers=numbers, lean=True, chunk=PLANNING_CHUNK
    )
    seats = np.tile(np.arange(STARTS) % game.num_players, len(sets))
    rewards = np.asarray(played.episodes.reward)[
        np.arange(len(seats)), :, seats
    ]
    each = rewards @ GAMMA ** np.arange(rewards.shape[1])
    return dict(
        zip(PARTNERS, each.reshape(len(sets), -1).mean(1).tolist(), strict=True)
    )


def starts(game: Game, seed: int, episodes: int) -> list[Start]:
    """Return the first states of an evaluation, each from the seat of the measured player.

    Args:
        game: the game.
        seed: seed of play.
        episodes: number of first states.
    """

    @jax.vmap
    def first(number: Any) -> Any:
        return game.reset(first_key(seed, number))[1].obs

    views = np.asarray(first(np.arange(episodes, dtype=np.uint32)))
    size = dict(game.settings)["grid_size"]
    result = []
    for episode, obs in enumerate(views):
        at = jax.tree.map(
            np.asarray, things_in(obs[episode % game.num_players])
        )
        cells = [
            int(row * size + column)
            for row, column in (at.own, at.other, *at.food)
        ]
        result.append(Start(cells[0], cells[1], tuple(cells[2:])))
    return result


def exact(game: Game, seed: int) -> dict[str, dict[str, float]]:
    """Return the mean steps and discounted return of the exact reply to each partner.

    Args:
        game: the game.
        seed: seed of play, that of the evaluation.
    """
    first = starts(game, seed, STARTS)
    measures = ("steps", "discounted", "replayed")
    found: dict[str, dict[str, float]] = {measure: {} for measure in measures}
    for name in PARTNERS:
        partner: Any = br.make_player(name, game)
        replies = [
            best_reply(partner, start, limit=LIMIT, gamma=GAMMA, paid=PAID)
            for start in first
        ]
        found["steps"][name] = float(np.mean([r.steps for r in replies]))
        found["discounted"][name] = float(
            np.mean([r.discounted for r in replies])
        )
        played = [
            replay(game, partner, r, seed, k, k) for k, r in enumerate(replies)
        ]
        found["replayed"][name] = float(np.mean(played))
    return found


def keep(seed: int) -> None:
    """Add a seed to exact.json and foraging.json, unless it is there.

    Args:
        seed: training seed, whose runs are complete.
    """
    keep_exact(seed)
    rows = rows_of(NAME)
    if all(row["seed"] != seed for row in rows):
        _write(NAME, [*rows, {"seed": seed, **measure(seed)}])


def keep_exact(seed: int) -> None:
    """Add the exact replies from a seed's first states to exact.json, unless they are there.

    Args:
        seed: training seed; no run is needed.
    """
    rows = rows_of("exact")
    if all(row["seed"] != seed for row in rows):
        found = exact(br.make_game(GAME), derived_seed(seed, 1))
        _write("exact", [*rows, {"seed": seed, **found}])


def rows_of(name: str) -> list[dict[str, Any]]:
    """Return the rows of a file of results/foraging/, one for each seed.

    Args:
        name: name of the file, without .json.
    """
    file = OUT / f"{name}.json"
    return json.loads(file.read_text())["rows"] if file.exists() else []


def _write(name: str, rows: list[dict[str, Any]]) -> None:
    rows = sorted(rows, key=lambda row: row["seed"])
    about = provenance(rows[0]["seed"])
    write_json(OUT / f"{name}.json", {"rows": rows, "provenance": about})


# -- the page ------------------------------------------------------------------


REPLAYED = (
    "Column replayed: the exact best reply, played once from each first state in the "
    "game itself."
)
OF_DISCOUNT = (
    f"Discount of a step: {GAMMA}. The best reply is that of the largest expected "
    "discounted return."
)


def summary() -> str:
    """Return the page of results/foraging/, from foraging.json and exact.json."""
    rows = joined()
    seeds = ", ".join(str(row["seed"]) for row in rows)
    trained = [row["seed"] for row in rows if row.get("share")]
    if not trained:
        return _without_training(rows)
    return join_page(
        [
            "# Level-based foraging beside partners that are rules",
            details(__doc__),
            "## Share of food eaten, and steps",
            f"Training seeds: {seeds}. {STARTS} games with each partner and seed, the "
            "agent in both seats in turn; ± is half of the 95 % interval over training seeds. "
            "Share eaten is the return as a fraction of "
            f"{PAID:g}. Steps are those until the end of a game, at most {LIMIT}. The "
            "exact reply has the least expected steps from the same first states; it "
            "knows the partner's rule, and infers the sides that `Entitled` drew. jax-aht "
            "gives for each partner a best response that eats all food, return .5; beside "
            "`Entitled` its PPO eats about .98 after 6e7 steps. Beside `Entitled` the exact "
            "reply observes the partner's action distribution in each step, so that its "
            "steps are a lower bound.",
            _main_table(rows),
            "## Share of food eaten, per partner",
            _partner_table(rows, "share", 3),
            "## Steps per partner",
            _partner_table(rows, "steps", 1),
            REPLAYED,
            "## Discounted return per partner",
            OF_DISCOUNT,
            _partner_table(rows, "discounted", 3),
            "## Settings",
            "The preset `demo`, but for what results/foraging/foraging.toml states.",
        ],
        OUT,
    )


def _without_training(rows: list[dict[str, Any]]) -> str:
    """Return the page of the exact best replies alone."""
    return join_page(
        [
            "# Level-based foraging beside partners that are rules",
            details(__doc__),
            "**Preliminary: no agent is trained yet with the final settings.** What was "
            "tried is below.",
            "## Steps of the exact best reply",
            f"From {STARTS} first states; seed {rows[0]['seed']} of play. It knows the "
            "partner's rule, and infers the sides that `Entitled` drew.",
            _partner_table(rows, "steps", 1),
            REPLAYED,
            "## Discounted return of the exact best reply",
            OF_DISCOUNT,
            _partner_table(rows, "discounted", 3),
        ],
        OUT,
    )


def joined() -> list[dict[str, Any]]:
    """Return for each seed what foraging.json and exact.json hold."""
    measured = {row["seed"]: row for row in rows_of(NAME)}
    exact_of = {row["seed"]: row for row in rows_of("exact")}
    return [
        {"seed": seed, "exact": exact_of.get(seed, {})} | measured.get(seed, {})
        for seed in sorted({*measured, *exact_of})
    ]


def _short(name: str) -> str:
    return name.replace(f"{PLAYERS}:", "")


GROUPS = {"learned from": LEARNED, **{_short(name): (name,) for name in UNSEEN}}
"""Partners of the columns of the first table."""


def _means(
    rows: list[dict[str, Any]],
    measure: str,
    method: str,
    partners: tuple[str, ...],
) -> list[float]:
    """Return a measure's mean over partners, of each seed; empty: not measured."""
    found = []
    for row in rows:
        by_method = row.get(measure, {}) | {
            "exact": row["exact"].get(measure, {})
        }
        of_method = by_method.get(method, {})
        values = [of_method[p] for p in partners if p in of_method]
        if len(values) == len(partners):
            found.append(float(np.mean(values)))
    return found


def _cell(values: list[float], digits: int) -> str:
    return over_seeds(values, digits) if values else "-"


def _main_table(rows: list[dict[str, Any]]) -> str:
    lines = [
        [
            label,
            *(
                _cell(_means(rows, "share", method, group), 3)
                for group in GROUPS.values()
            ),
            *(
                _cell(_means(rows, "steps", method, group), 1)
                for group in GROUPS.values()
            ),
        ]
        for method, label in METHODS.items()
    ]
    steps = [
        _cell(_means(rows, "steps", "exact", group), 1)
        for group in GROUPS.values()
    ]
    lines.append(["exact reply", *["-"] * len(GROUPS), *steps])
    head = [
        f"{measure}, {group}"
        for measure in ("share", "steps")
        for group in GROUPS
    ]
    return table(["", *head], lines)


def _partner_table(
    rows: list[dict[str, Any]], measure: str, digits: int
) -> str:
    methods = [
        m for m in METHODS if any(m in row.get(measure, {}) for row in rows)
    ]
    exact_too = ["exact reply"] if measure != "share" else []
    exact_too += ["replayed"] if measure == "steps" else []
    lines = [
        [
            _short(partner),
            *(
                _cell(_means(rows, measure, method, (partner,)), digits)
                for method in methods
            ),
            *(
                _cell(_means(rows, of_reply, "exact", (partner,)), digits)
                for of_reply in (measure, "replayed")[: len(exact_too)]
            ),
        ]
        for partner in PARTNERS
    ]
    return table(["partner", *methods, *exact_too], lines)


def main() -> None:
    """Run what the command line asks for."""
    parser = make_parser(NAME, __doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--table", action="store_true", help="only the page")
    parser.add_argument(
        "--exact",
        action="store_true",
        help="only the exact replies and the page",
    )
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    if arguments.exact:
        for seed in arguments.seeds:
            keep_exact(seed)
    elif not arguments.table:
        run(tuple(arguments.seeds))
        for seed in arguments.seeds:
            keep(seed)
    write_page(summary(), OUT)


if __name__ == "__main__":
    main()
