"""Meet partners of unknown type in CooperativeReaching: rules, exact replies and the agent.

    python -m experiments reaching rules             # each rule beside each; exact best replies: rules.json
    python -m experiments reaching train             # collect and train for each seed: agent.json
    python -m experiments reaching evaluate          # play beside each partner; added to agent.json
    python -m experiments reaching table             # README.md from both files

Without a word all four. The game is CooperativeReaching of POSGGym (Rahman et al.,
TMLR 2023): 5x5 cells, two players, and four corners that pay both players 1, .75, 1, .75
where both stand on the same one. That ends the game, else 50 steps. Both cells are
observed; the time is not, as published. Returns are undiscounted.

The partners are rules. H1 goes to the closest corner, H2 to the furthest; H3 and H4 to
the closest and the furthest that pays 1, H5 and H6 to those that pay .75; H7 to any. These
choose at their first observation and keep the corner. H8 goes to the corner closest to
the other player, H9 and H10 to the closest that pays 1 or .75, chosen anew at each step;
H11 goes to the other player's cell. P0 is H1 to H5, P1 is H6 to H11. The agent learns
from play among P0 alone: **partners of P1 are of no type that it has met.**
"""

import dataclasses
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

import bestreply as br
from benchmarks.timing import over_seeds, table
from bestreply.config import RunConfig
from bestreply.evaluate import evaluate_all
from bestreply.simulation.lineup import mixture_of
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from experiments._page import details, join_page, make_parser, write_page
from experiments.reaching.game import Reaching
from experiments.reaching.players import NUMBERS, Rule

OUT, RUNS = Path("results") / "reaching", Path("runs") / "reaching"
PLAYERS = "experiments.reaching.players"
P0, P1 = range(1, 6), range(6, 12)
NOISE = 0.6
"""Probability of a random action of the noisy versions of P0 in the data."""
RULE_GAMES, GAMES, SEED = 500, 200, 50_000
AGENT: dict[str, Any] = {"epsilon": 0.1}
"""Settings of the agent (`Run.agent`): the probability of a random action, which ends
swaps: two players that follow each other can change places until the end."""
METHODS = {
    "agent": "agent",
    "kept": "agent, values not revised in play (kept)",
    "planned": "agent without random actions (planned)",
    "uniform_others": "agent, partner predicted as uniform (uniform_others)",
    "random": "random",
}
PUBLISHED = {
    "RL best response": (0.900, 0.798),
    "POTMMCP, 10 s a move": (0.906, 0.844),
    "best rule for each partner": (0.903, 0.899),
}
"""Published mean returns, learned on P0 and met P0, P1."""
SETTINGS: dict[str, Any] = {
    "collect.episodes": 10_000,
    "model.opponent_types": "goal",
    "model.value_heads": "action",
    "train.target": "improved",
    "train.gamma": 0.9,
    "train.updates": 2500,
    "train.batch": 512,
    "train.weights.reward": 10.0,
    "train.value_updates": 5000,
    "train.imagined_games": 256,
    "train.value_batch": 512,
    "train.target_tau": 0.02,
    "train.at_limit": "bootstrap",
    "train.anchor_updates": 0,
    "train.trial_episodes": 0,
}
"""What differs from the preset `demo`."""


def rule(number: int) -> str:
    """Return the name of a rule as a player.

    Args:
        number: 1 to 11.
    """
    return f"{PLAYERS}:Rule({number})"


def changed(config: Any, path: str, value: object) -> Any:
    """Return a configuration with one field changed, named like ``model.encoder``."""
    section, dot, rest = path.partition(".")
    if dot:
        value = changed(getattr(config, section), rest, value)
    return dataclasses.replace(config, **{section: value})


def configuration(seed: int, quick: bool = False) -> RunConfig:
    """Return the settings of a run.

    Args:
        seed: seed of the run.
        quick: the smallest budget, to check that everything runs.
    """
    config = br.preset("debug" if quick else "demo")
    known = tuple(map(rule, P0))
    noisy = tuple(f"noisy({name}, {NOISE})" for name in known)
    common = {
        "game": Reaching(),
        "seed": seed,
        "collect.players": (*known, *noisy),
    }
    for path, value in (common | ({} if quick else SETTINGS)).items():
        config = changed(config, path, value)
    return config


# -- the rules -----------------------------------------------------------------


def measure_rules() -> None:
    """Play each rule beside each, solve the best reply to each, and write rules.json."""
    names = {f"H{number}": rule(number) for number in NUMBERS}
    scores = evaluate_all(
        Reaching(), names, tuple(names.values()), RULE_GAMES, SEED
    )
    rows = [
        {
            "rule": f"H{own}",
            "partner": f"H{partner}",
            "mean": scores.mean(f"H{own}", set_of(partner)),
            "stderr": scores.stderr(f"H{own}", set_of(partner)),
        }
        for own in NUMBERS
        for partner in NUMBERS
    ]
    write_json(
        OUT / "rules.json",
        {
            "games": RULE_GAMES,
            "rows": rows,
            "best_reply": {f"H{k}": best_reply(k) for k in NUMBERS},
            "provenance": provenance(SEED),
        },
    )


def set_of(number: int) -> str:
    """Return the name of the opponent set of a rule."""
    return f"1 {rule(number)}"


def best_reply(number: int) -> float:
    """Return the exact value of the best reply to a rule that infers its target.

    Args:
        number: the rule. Tied corners are drawn by a mixture of orders.
    """
    others = rule(number)
    if Rule(number).keeps:  # pyright: ignore[reportCallIssue]
        orders = [f"{PLAYERS}:Rule({number}, {ties})" for ties in range(4)]
        others = f"mixture({', '.join(orders)})"
    return br.exact.best_reply(Reaching(), 0, [others], know="belief").value


# -- the agent -----------------------------------------------------------------


def train(seed: int, quick: bool) -> None:
    """Collect and train; write the seed's row of agent.json.

    Args:
        seed: seed of the run.
        quick: the smallest budget.
    """
    folder, begin = RUNS / str(seed), time.perf_counter()
    shutil.rmtree(folder, ignore_errors=True)
    config = configuration(seed, quick)
    players = config.collect.players
    data = br.collect(
        Reaching(),
        [mixture_of(players)] * 2,
        config.collect.episodes,
        seed,
        path=folder / "data",
    )
    br.train(data, config, path=folder / "run")
    minutes = (time.perf_counter() - begin) / 60
    steps = data.manifest.steps
    _keep({"seed": seed, "quick": quick, "minutes": minutes, "steps": steps})


def evaluate(seed: int) -> None:
    """Play a trained agent beside each partner; add returns and lengths to its row.

    Args:
        seed: seed of the run.
    """
    run = br.load_run(RUNS / str(seed) / "run", allow_import=["experiments"])
    row = next(row for row in _rows() if row["seed"] == seed)
    methods: dict[str, Any] = {
        "agent": run.agent(**AGENT),
        "kept": run.agent(revise_values=False, **AGENT),
        "planned": run.agent(),
        "uniform_others": run.agent(opponents="uniform", **AGENT),
        "random": "random",
    }
    games = 2 if row["quick"] else GAMES
    partners = tuple(map(rule, NUMBERS))
    scores = evaluate_all(run.game, methods, partners, games, SEED + seed)
    names, sets, lengths = (
        np.asarray(scores.table[column])
        for column in ("method", "opponents", "length")
    )
    found: dict[str, Any] = {"returns": {}, "lengths": {}}
    for method in methods:
        found["returns"][method] = {
            f"H{k}": scores.mean(method, set_of(k)) for k in NUMBERS
        }
        found["lengths"][method] = {
            f"H{k}": float(
                lengths[(names == method) & (sets == set_of(k))].mean()
            )
            for k in NUMBERS
        }
    _keep(row | {"games": games} | found)


def _rows() -> list[dict[str, Any]]:
    path = OUT / "agent.json"
    return json.loads(path.read_text())["rows"] if path.exists() else []


def _keep(row: dict[str, Any]) -> None:
    """Write a seed's row to agent.json, in place of its last one."""
    seed, quick = row["seed"], row["quick"]
    rows = [r for r in _rows() if r["seed"] != seed and r["quick"] == quick]
    rows = sorted([*rows, row], key=lambda r: r["seed"])
    write_json(
        OUT / "agent.json", {"rows": rows, "provenance": provenance(seed)}
    )


# -- the page ------------------------------------------------------------------


def summary() -> str:
    """Return the page of results/reaching/, from its files."""
    rules = json.loads((OUT / "rules.json").read_text())
    rows = _rows()
    matrix = _matrix(rules)
    warning = [
        "**Quick runs, to check that everything runs: do not quote them.**"
    ] * any(row["quick"] for row in rows)
    seeds = ", ".join(str(row["seed"]) for row in rows)
    steps = [row["steps"] for row in rows]
    noise, epsilon = (f"{x:g}".lstrip("0") for x in (NOISE, AGENT["epsilon"]))
    return join_page(
        [
            "# Partners of unknown type: CooperativeReaching",
            details(__doc__),
            *warning,
            "## Mean return",
            f"Training seeds: {seeds}. Learned from {min(steps):,} to "
            f"{max(steps):,} logged steps: each seat draws for each episode one of "
            f"H1 to H5 or of their noisy versions, which make a random action with "
            f"probability {noise}. Opponent types are corners, labelled in hindsight. "
            "The agent plans one step ahead in its learned world model, and makes a "
            f"random action with probability {epsilon}. "
            f"{rows[0]['games']} games for each partner and seed, all seats in turn; "
            "mean over partners. Steps are those until the end of a game. ± is the "
            "standard error over training seeds. Collecting and training take at most "
            f"{max(row['minutes'] for row in rows):.1f} minutes a seed, on two cores "
            "with other work.",
            _main_table(rules, rows, matrix),
            "## By partner",
            "The best reply is exact; it infers the target from play "
            '(`br.exact.best_reply`, `know="belief"`).',
            _partner_table(rules, rows, matrix),
            "## Rules beside rules",
            f"Mean return of a rule (row) beside a partner (column), "
            f"{rules['games']} games a cell. The largest standard error is "
            f"{max(row['stderr'] for row in rules['rows']):.3f}.",
            _rule_table(matrix),
            "## Settings",
            "The preset `demo`, but for: "
            + ", ".join(f"`{k} = {json.dumps(v)}`" for k, v in SETTINGS.items())
            + ".",
        ],
        OUT,
    )


def _matrix(rules: dict[str, Any]) -> np.ndarray:
    """Return the mean returns [11, 11] of rules beside partners."""
    means = {
        (row["rule"], row["partner"]): row["mean"] for row in rules["rows"]
    }
    return np.array(
        [[means[f"H{a}", f"H{b}"] for b in NUMBERS] for a in NUMBERS]
    )


def _at(numbers: range) -> list[int]:
    return [number - 1 for number in numbers]


def _over_partners(
    rows: list[dict[str, Any]],
    measure: str,
    method: str,
    partners: range,
    digits: int,
) -> str:
    """Return mean ± standard error over seeds of a mean over partners."""
    each = np.array(
        [
            np.mean([row[measure][method][f"H{k}"] for k in partners])
            for row in rows
        ]
    )
    mean = f"{each.mean():.{digits}f}"
    if len(each) == 1:
        return f"{mean}, one seed"
    return f"{mean} ± {each.std(ddof=1) / len(each) ** 0.5:.{digits}f}"


def _main_table(
    rules: dict[str, Any], rows: list[dict[str, Any]], matrix: np.ndarray
) -> str:
    groups = (P0, P1)
    lines = [
        [
            label,
            *(
                _over_partners(rows, measure, method, group, digits)
                for measure, digits in (("returns", 3), ("lengths", 1))
                for group in groups
            ),
        ]
        for method, label in METHODS.items()
    ]
    data = matrix[_at(P0)]
    exact = np.array([rules["best_reply"][f"H{k}"] for k in NUMBERS])
    ours = {
        "best rule of the data (H1 to H5)": [
            data[:, _at(group)].mean(1).max() for group in groups
        ],
        "best rule for each partner": [
            matrix[:, _at(group)].max(0).mean() for group in groups
        ],
        "exact best reply to each partner": [
            exact[_at(group)].mean() for group in groups
        ],
    }
    lines += [
        [label, *(f"{v:.3f}" for v in values), "-", "-"]
        for label, values in ours.items()
    ]
    lines += [
        [f"published: {label}", *(f"{v:.3f}" for v in values), "-", "-"]
        for label, values in PUBLISHED.items()
    ]
    head = ["met P0", "met P1", "steps, P0", "steps, P1"]
    return table(["learned on P0", *head], lines)


def _partner_table(
    rules: dict[str, Any], rows: list[dict[str, Any]], matrix: np.ndarray
) -> str:
    lines = [
        [
            f"H{k}",
            *(
                over_seeds([row["returns"][method][f"H{k}"] for row in rows])
                for method in METHODS
            ),
            f"H{matrix[:, k - 1].argmax() + 1}, {matrix[:, k - 1].max():.3f}",
            f"{rules['best_reply'][f'H{k}']:.3f}",
        ]
        for k in NUMBERS
    ]
    head = ["partner", *METHODS, "best rule", "best reply"]
    return table(head, lines)


def _rule_table(matrix: np.ndarray) -> str:
    lines = [
        [f"H{k}", *(f"{mean:.2f}" for mean in matrix[k - 1])] for k in NUMBERS
    ]
    return table(["", *(f"H{k}" for k in NUMBERS)], lines)


def main() -> None:
    parser = make_parser("reaching", __doc__)
    parser.add_argument(
        "do", nargs="?", choices=["rules", "train", "evaluate", "table"]
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    if arguments.do in (None, "rules"):
        measure_rules()
    for seed in arguments.seeds:
        if arguments.do in (None, "train"):
            train(seed, arguments.quick)
        if arguments.do in (None, "evaluate"):
            evaluate(seed)
    if arguments.do in (None, "table"):
        write_page(summary(), OUT)


if __name__ == "__main__":
    main()
