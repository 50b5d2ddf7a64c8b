"""Play 20 hands of Kuhn or Leduc poker against one opponent of unknown style, learned from logs.

    python -m experiments poker                      # all seeds; an interrupted run continues
    python -m experiments poker --seeds 0 --kinds kuhn   # fewer, to look
    python -m experiments poker --exact              # only the exact players: exact.json
    python -m experiments poker --table              # only the page, from the JSON files
    python -m experiments poker --one-hand           # the games of one hand

An episode is 20 hands against one opponent; the two seats take turns at moving first. The
opponent's style is drawn anew for each episode: tight, loose, bluffing, calling, random or an equilibrium. The agent
is trained on logs of play among the six. It sees its own card, the public card, the betting
of the hand, and the opponent's card after a showdown; it is not given the style. Tight,
loose, bluffing and calling are rules that take a random action with probability .1. The
equilibrium of Kuhn poker is exact; that of Leduc poker loses .001 chips a hand to best replies.

The reference is the exact best reply that infers the style: it begins with a uniform belief
over the six, updates it by Bayes' rule after each hand, cards shown included, and plays
the best reply of one hand to its belief. The best reply that knows the style is an upper
bound. A share is the mean of expected chips a hand over the six styles, relative to that of
the reference. Target: .95, and no less than the equilibrium earns against any style.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

import bestreply as br
from benchmarks.timing import over_seeds, table
from bestreply.analysis.regret import with_true_types
from bestreply.scores.run_table import save_results, sweep_results
from bestreply.sweeps.run_sweep import run_sweep
from bestreply.sweeps.sweep import read_sweep
from bestreply.utils.files import write_json, write_text
from bestreply.utils.provenance import provenance
from experiments._page import details, join_page, make_parser, write_page
from experiments.poker import one_hand
from experiments.poker.betting import RULES
from experiments.poker.game import RepeatedPoker
from experiments.poker.measure import measured, references
from experiments.poker.players import STYLES, player_of

OUT, RUNS = Path("results") / "poker", Path("runs") / "poker"
KINDS = tuple(RULES)
HANDS, EPISODES, EXACT_EPISODES = 20, 200, 300
"""Hands of an episode; measured episodes against each style, of a seed and of the exact
reply that infers it."""
SEED = 50_000
"""Seed of the measured episodes is this one plus the training seed."""
SEEDS = {"kuhn": (0, 1, 2, 3, 4), "leduc": (0, 1, 2, 3, 4)}
METHODS = {
    "agent": "agent",
    "true_types": "agent, style given (true_types)",
    "uniform_others": "agent without opponent model (uniform_others)",
    "behaviour_cloning": "behaviour cloning",
}
REFERENCES = {
    "equilibrium": "equilibrium",
    "inferring": "exact best reply, style inferred (reference)",
    "known": "exact best reply, style known",
}
AGENT = """planner.planner = "bestreply.planning.action_values:action_values"
model.value_heads = "action"
train.target = "improved"
train.gamma = {gamma}
train.opponent_updates = {opponent_updates}
train.opponent_batch = 512
train.updates = 300
train.batch = 256
train.value_updates = {value_updates}
train.value_batch = {value_batch}
train.imagined_games = 1
train.anchor_updates = 0
train.trial_episodes = 0
train.target_tau = 0.02"""
"""What differs from the preset `demo` for the agent."""
SIZES = {
    "kuhn": {
        "gamma": 0.9,
        "opponent_updates": 2000,
        "value_updates": 4000,
        "value_batch": 1024,
    },
    "leduc": {
        "gamma": 0.95,
        "opponent_updates": 2500,
        "value_updates": 8000,
        "value_batch": 2048,
    },
}
"""Settings that depend on the kind."""
LOGS = {"kuhn": 3_000, "leduc": 4_000}
"""Episodes of the data."""


def sweep_file(kind: str, seeds: tuple[int, ...]) -> str:
    """Return the sweep of a kind of poker as TOML.

    Args:
        kind: "kuhn" or "leduc".
        seeds: training seeds.
    """
    players = json.dumps([player_of(style) for style in STYLES])
    return f"""# Hands of {kind} poker against one opponent (python -m experiments poker).
#     bestreply sweep results/poker/{kind}.toml
preset = "demo"
seeds = {json.dumps(list(seeds))}

[games]
{kind} = "experiments.poker.game:RepeatedPoker(kind={kind}, hands={HANDS})"

[config.collect]
players = {players}
episodes = {LOGS[kind]}

[config.evaluate]
methods = ["agent"]
opponents = ["random"]
episodes = 20
reference_layouts = 0
changes = false

[methods.agent]
{AGENT.format(**SIZES[kind])}

[methods.behaviour_cloning]
method = "behaviour_cloning"
"""


def run(kind: str, seeds: tuple[int, ...]) -> None:
    """Collect and train, and write KIND.csv.

    Args:
        kind: "kuhn" or "leduc".
        seeds: training seeds.
    """
    file, folder = OUT / f"{kind}.toml", RUNS / kind
    write_text(file, sweep_file(kind, seeds))
    if failed := run_sweep(
        read_sweep(file, folder), command="python -m experiments poker"
    ):
        print(f"{kind}: {len(failed)} units failed", flush=True)
    save_results(sweep_results([folder]), OUT / f"{kind}.csv")


# -- measures ------------------------------------------------------------------


def measure(kind: str, seed: int) -> dict[str, Any]:
    """Return chips a hand of every method against each style.

    Args:
        kind: "kuhn" or "leduc".
        seed: training seed, whose runs are complete.
    """
    runs = {
        method: br.load_run(
            RUNS / kind / kind / method / str(seed),
            allow_import=["experiments", "bestreply"],
        )
        for method in ("agent", "behaviour_cloning")
    }
    trained, game = runs["agent"], RepeatedPoker(kind, HANDS)
    agent, styles = trained.agent(), len(STYLES)
    players: dict[str, Any] = {
        "agent": [agent] * styles,
        "true_types": [
            with_true_types(agent, trained, [player_of(style)])
            for style in STYLES
        ],
        "uniform_others": [trained.agent(opponents="uniform")] * styles,
        "behaviour_cloning": [runs["behaviour_cloning"].player()] * styles,
    }
    return {
        method: measured(game, of_style, EPISODES, SEED + seed)
        for method, of_style in players.items()
    }


def keep(kind: str, seed: int) -> None:
    """Add a seed to KIND.json, unless it is there.

    Args:
        kind: "kuhn" or "leduc".
        seed: training seed, whose runs are complete.
    """
    rows = rows_of(kind)
    if all(row["seed"] != seed for row in rows):
        rows = [*rows, {"seed": seed, "methods": measure(kind, seed)}]
        write_json(
            OUT / f"{kind}.json",
            {
                "hands": HANDS,
                "episodes": EPISODES,
                "rows": sorted(rows, key=lambda row: row["seed"]),
                "provenance": provenance(seed),
            },
        )


def rows_of(kind: str) -> list[dict[str, Any]]:
    """Return the rows of KIND.json, one for each training seed.

    Args:
        kind: "kuhn" or "leduc".
    """
    file = OUT / f"{kind}.json"
    return json.loads(file.read_text())["rows"] if file.exists() else []


def keep_exact() -> None:
    """Write exact.json: chips a hand of the exact players, unless it is there."""
    file = OUT / "exact.json"
    if not file.exists():
        found = {
            kind: references(kind, HANDS, EXACT_EPISODES, SEED)
            for kind in KINDS
        }
        write_json(
            file,
            {
                "hands": HANDS,
                "episodes": EXACT_EPISODES,
                "kinds": found,
                "provenance": provenance(SEED),
            },
        )


# -- the page ------------------------------------------------------------------


def summary() -> str:
    """Return the page of results/poker/, from its JSON files."""
    exact = json.loads((OUT / "exact.json").read_text())["kinds"]
    rows = {kind: rows_of(kind) for kind in KINDS}
    seeds = "; ".join(
        f"{kind.title()} {', '.join(str(r['seed']) for r in rows[kind]) or 'none'}"
        for kind in KINDS
    )
    missing = [kind.title() for kind in KINDS if not rows[kind]]
    warning = [
        f"**Preliminary: {' and '.join(missing)} poker has no trained agent of a reported "
        "seed yet.** The seed on which settings were chosen is below, under what was tried."
    ] * bool(missing)
    return join_page(
        [
            "# Hidden information: Kuhn and Leduc poker",
            details(__doc__),
            *warning,
            "## Share of the best reply that infers the style",
            f"Training seeds: {seeds}. ± is half of the 95 % interval over training seeds; "
            f"{EPISODES} episodes of {HANDS} hands against each style and seed, the seats "
            "in turn. Chips are expected ones: those of the best reply that knows the "
            "style, less what each decision loses relative to it, in expectation over the "
            "cards that are hidden. First hand and last hand: mean over the six styles.",
            *(_main_table(kind, rows[kind], exact[kind]) for kind in KINDS),
            "## Chips a hand against each style",
            *(_style_table(kind, rows[kind], exact[kind]) for kind in KINDS),
            "## Settings",
            "The preset `demo`, except for what results/poker/kuhn.toml and leduc.toml set.",
            "## One hand",
            details(one_hand.__doc__),
            one_hand.summary(),
        ],
        OUT,
    )


def _mean(by_style: dict[str, float]) -> float:
    return float(np.mean([by_style[style] for style in STYLES]))


def _main_table(
    kind: str, rows: list[dict[str, Any]], exact: dict[str, Any]
) -> str:
    reference = _mean(exact["inferring"])
    lines = []
    for method, label in METHODS.items():
        found = [row["methods"][method] for row in rows]
        means = [_mean(x["chips"]) for x in found]
        by_hand = np.array([x["by_hand"] for x in found]).reshape(-1, HANDS)
        lines.append(
            [
                label,
                over_seeds(np.array(means) / reference),
                over_seeds(means),
                over_seeds(by_hand[:, 0]),
                over_seeds(by_hand[:, -1]),
            ]
        )
    for name, label in REFERENCES.items():
        mean = _mean(exact[name])
        ends = [f"{mean:.3f}"] * 2
        if name == "inferring":
            ends = [f"{exact['by_hand'][k]:.3f}" for k in (0, -1)]
        lines.append([label, f"{mean / reference:.3f}", f"{mean:.3f}", *ends])
    head = [kind.title(), "share", "chips a hand", "first hand", "last hand"]
    return table(head, lines)


def _style_table(
    kind: str, rows: list[dict[str, Any]], exact: dict[str, Any]
) -> str:
    lines = [
        [
            style,
            *(
                over_seeds([row["methods"][m]["chips"][style] for row in rows])
                for m in METHODS
            ),
            *(f"{exact[name][style]:.3f}" for name in REFERENCES),
        ]
        for style in STYLES
    ]
    head = [f"{kind.title()}, opponent", *METHODS]
    head += ["equilibrium", "style inferred", "style known"]
    return table(head, lines)


def main() -> None:
    """Run what the command line asks for."""
    parser = make_parser("poker", __doc__)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--table", action="store_true", help="only the page")
    parser.add_argument(
        "--exact", action="store_true", help="only the exact players"
    )
    parser.add_argument(
        "--one-hand", action="store_true", help="only the games of one hand"
    )
    given = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    only = given.table or given.exact or given.one_hand
    if not given.table and not given.one_hand:
        keep_exact()
    for kind in () if only else given.kinds:
        seeds = tuple(given.seeds or SEEDS[kind])
        run(kind, seeds)
        for seed in seeds:
            keep(kind, seed)
    if given.one_hand or not only:
        one_hand.measure_all()
    write_page(summary(), OUT)


if __name__ == "__main__":
    main()
