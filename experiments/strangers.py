"""`python -m experiments.strangers RUN [RUN ...]`: do agents say "none of these" of players that nobody showed them, and of no others?

For runs that `python -m experiments.shares stay train` has made, with `planner.unknown_type_prior` at .05: against players that they
know, look-alikes and strangers. Writes results/beliefs/strangers.json and prints a table.
"""

import argparse
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

OUT = Path("results") / "beliefs"
NOVELTY, GAMES, SEED, STEPS = 0.05, 128, 3, (3, 6, 10, 19)
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


def of_run(path: Path, other: str) -> dict[str, Any]:
    """P(none of these) and what is believed of the likeliest type, by steps of the other that were seen."""
    run = load_run(path)
    agent = run.agent(
        "one_step", unknown_type_prior=NOVELTY, symmetry_averages=1
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
        jax.jit(jax.vmap(jax.vmap(model.strange)))(beliefs)
    ).mean((0, 2))
    known = joint[..., : model.model.goals].max(-1).mean((0, 2))
    return {
        "other": other,
        "seed": run.config.seed,
        "strange": strange.tolist(),
        "known": known.tolist(),
    }


def summary(rows: list[dict[str, Any]]) -> str:
    lines = []
    for other in dict.fromkeys(row["other"] for row in rows):
        mine = [row for row in rows if row["other"] == other]
        strange, known = (
            np.array([row[name] for row in mine])
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
        "other",
        *(f"P(none) after {k}" for k in STEPS),
        f"likeliest type after {STEPS[-1]}",
    ]
    return table(head, lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.strangers",
        description=(__doc__ or "").partition("\n")[0],
    )
    parser.add_argument("runs", nargs="+", type=Path)
    runs = parser.parse_args().runs
    rows = [of_run(path, other) for other in OTHERS for path in runs]
    write_json(
        OUT / "strangers.json",
        {
            "unknown_type_prior": NOVELTY,
            "games": GAMES,
            "rows": rows,
            "provenance": provenance(SEED),
        },
    )
    print(summary(rows))


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    main()
