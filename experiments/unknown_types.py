"""Measure whether agents recognise opponents of unknown type, and no others.

For runs of `python -m experiments shares stay train`, with `planner.unknown_type_prior`
at .05, against known players, look-alikes and unknown players. Writes
results/beliefs/unknown_types.json and prints a table.
"""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.timing import table
from bestreply import load_run
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from experiments._page import make_parser

OUT = Path("results") / "beliefs"
UNKNOWN_PRIOR, GAMES, SEED, STEPS = 0.05, 128, 3, (3, 6, 10, 19)
OTHERS = (
    "nearest_stag",
    "nearest_hare",
    "random",
    "look_alike(nearest_stag, random, steps=6)",
    "always(STAY)",
    "always(UP)",
    "look_alike(nearest_stag, always(STAY), steps=6)",
    "noisy(nearest_stag, 0.5)",
)


def measure(path: Path, other: str) -> dict[str, Any]:
    """Return P(unknown type) and the probability of the most probable known type, by observed steps."""
    run = load_run(path)
    agent = run.agent(
        "one_step", unknown_type_prior=UNKNOWN_PRIOR, symmetry_averages=1
    )
    lineup = seat_players(
        run.game, [agent, *[other] * (run.game.num_players - 1)], GAMES, SEED
    )
    played = play(run.game, lineup, SEED, watch=0, chunk=GAMES)
    beliefs = jax.tree.map(
        lambda x: np.asarray(x)[:, :, 0], played.actor_outputs.plan.belief
    )
    model: Any = agent.opponents
    joint = np.asarray(
        jax.jit(jax.vmap(jax.vmap(lambda b: b.joint.sum(1))))(beliefs)
    )  # [E, T, N-1, K]
    strange = np.asarray(
        jax.jit(jax.vmap(jax.vmap(model.unknown_type_probability)))(beliefs)
    ).mean((0, 2))
    known = joint[..., : model.model.goals].max(-1).mean((0, 2))
    return {
        "other": other,
        "seed": run.config.seed,
        "strange": strange.tolist(),
        "known": known.tolist(),
    }


def summary(rows: list[dict[str, Any]]) -> str:
    """Return the table of results/beliefs/: means over seeds and games."""
    lines = []
    for other in dict.fromkeys(row["other"] for row in rows):
        of_other = [row for row in rows if row["other"] == other]
        strange, known = (
            np.array([row[name] for row in of_other])
            for name in ("strange", "known")
        )
        lines.append(
            [
                other,
                *(f"{strange[:, k].mean():.3f}" for k in STEPS),
                f"{known[:, STEPS[-1]].mean():.3f}",
            ]
        )
    head = [
        "opponent",
        *(f"P(unknown) after {k}" for k in STEPS),
        f"most probable known type after {STEPS[-1]}",
    ]
    return table(head, lines)


def main() -> None:
    parser = make_parser("unknown_types", __doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    runs = parser.parse_args().runs
    OUT.mkdir(parents=True, exist_ok=True)
    rows = [measure(path, other) for other in OTHERS for path in runs]
    write_json(
        OUT / "unknown_types.json",
        {
            "unknown_type_prior": UNKNOWN_PRIOR,
            "games": GAMES,
            "rows": rows,
            "provenance": provenance(SEED),
        },
    )
    print(summary(rows))


if __name__ == "__main__":
    main()
