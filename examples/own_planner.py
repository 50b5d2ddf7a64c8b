"""Plan with a planner of your own: python examples/own_planner.py RUN"""

import sys
from pathlib import Path

import jax.numpy as jnp

import bestreply as br
from bestreply.planning.expansion import expand, make_plan
from bestreply.types import Plan


def cautious(models, at, key) -> Plan:
    """Weigh each joint action of the opponents by its probability and by its harm."""
    z = models.world.encode(at.obs)
    step = expand(models, at, z, key, all_actions=True)
    returns = step.reward + step.discount * step.next_value  # [A, M]
    mean = returns @ step.weights
    spread = jnp.sqrt(((returns - mean[:, None]) ** 2) @ step.weights)
    plan = make_plan(step, at)
    scores = plan.scores - 0.5 * spread  # -inf stays -inf
    return Plan(
        scores=scores,
        reward=plan.reward,
        value=plan.value - 0.5 * spread,
        action=jnp.argmax(scores).astype(jnp.int32),
        others=plan.others,
        belief=plan.belief,
    )


def main(folder: Path) -> None:
    br.register("planner", "cautious", cautious)
    run = br.load_run(folder)
    others = ["random"] * (run.game.num_players - 1)
    for planner in ("one_step", "cautious"):
        agent = run.agent(planner)
        scores = br.evaluate(run.game, [agent, *others], 100, seed=0)
        print(f"{planner:11} mean return {scores.mean():.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
