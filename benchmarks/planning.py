"""One-step plans per second, for one observation and for 1,024, compared with the same
planner in PyTorch.

Both sides have the same networks and weights, all actions as candidates and the same
number of samples of the opponents' joint action, drawn separately. One PyTorch planner
concatenates latent and actions; the other, like ours, computes the latent's part of
each first layer once for all candidates. Each runs eagerly and compiled; the fastest of
the four is compared. Given the same samples, both sides must first compute the same
scores.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import setting
from benchmarks.timing import Job, take_turns
from bestreply.opponents.joint_actions import joint_actions
from bestreply.planning.agent import Agent
from bestreply.types import Plan

MANY = 1024
TOLERANCE = 1e-4


@jax.jit
def plan_many(agent: Agent, obs: jax.Array, legal: jax.Array) -> Plan:
    return jax.vmap(agent.plan)(obs, legal)


def our_job(count: int) -> Job:
    agent = setting.agent()
    obs, legal = setting.observations(MANY)
    if count == MANY:

        def job() -> float:
            jax.block_until_ready(plan_many(agent, obs, legal))
            return MANY

        return job
    each = [
        (np.asarray(o), np.asarray(m))
        for o, m in zip(obs[:16], legal[:16], strict=True)
    ]

    def one_by_one() -> float:
        for o, m in each:
            jax.block_until_ready(agent.plan(o, m))
        return len(each)

    return one_by_one


def planner(in_parts: bool, compiled: bool, dynamic: bool = False) -> Any:
    import torch  # pyright: ignore[reportMissingImports]

    from benchmarks.plain_torch import Planner

    made = Planner(setting.agent(), in_parts).eval()
    return torch.compile(made, dynamic=dynamic) if compiled else made


def their_job(count: int, in_parts: bool, compiled: bool) -> Job:
    import torch  # pyright: ignore[reportMissingImports]

    model = planner(in_parts, compiled)
    obs, legal = (
        torch.tensor(np.asarray(x)) for x in setting.observations(MANY)
    )

    def job() -> float:
        with torch.inference_mode():
            if count == MANY:
                model(obs, legal)
                return MANY
            for k in range(16):
                model(obs[k : k + 1], legal[k : k + 1])
            return 16

    return job


def agreement() -> float:
    """Return the largest difference of a legal score given the same samples; raise above `TOLERANCE`."""
    import torch  # pyright: ignore[reportMissingImports]

    agent = setting.agent()
    obs, legal = setting.observations(64)

    @jax.jit
    def ours(obs: Any, legal: Any) -> Any:
        def one(o: Any, m: Any) -> Any:
            plan = agent.plan(o, m)
            present = jnp.asarray(agent.game.present_in(o))[1:]
            return plan, joint_actions(
                agent.opponents.predict(plan.belief, o, m),
                present,
                jax.random.key(0),
                agent.config,
            )[0]

        return jax.vmap(one)(obs, legal)

    plan, joint = jax.device_get(ours(obs, legal))
    apart = 0.0
    for in_parts in (False, True):
        with torch.inference_mode():
            scores = planner(in_parts, False)(
                *(torch.tensor(np.asarray(x)) for x in (obs, legal)),
                torch.tensor(joint).long(),
            )[0].numpy()
        apart = max(
            apart,
            float(
                np.abs(
                    np.where(legal, scores, 0) - np.where(legal, plan.scores, 0)
                ).max()
            ),
        )
    if not apart <= TOLERANCE:
        raise AssertionError(
            f"scores apart by {apart:.2e}; expected: at most {TOLERANCE}"
        )
    return apart


def contenders() -> dict[str, Callable[[], Job]]:
    made: dict[str, Callable[[], Job]] = {}
    for count in (1, MANY):
        title = "one observation" if count == 1 else f"{count} observations"
        made[f"bestreply, {title}"] = partial(our_job, count)
        for in_parts in (False, True):
            for compiled in (False, True):
                how = f"{'torch.compile' if compiled else 'eager'}, first layers {'in parts' if in_parts else 'plain'}"
                made[f"PyTorch, {how}, {title}"] = partial(
                    their_job, count, in_parts, compiled
                )
    return made


def measure(quick: bool) -> dict[str, Any]:
    apart = agreement()
    jobs = {name: make() for name, make in contenders().items()}
    rates = take_turns(
        jobs, rounds=2 if quick else 5, seconds=0.2 if quick else 0.7
    )
    rows = {}
    for name, figures in rates.items():
        ours = rates["bestreply, " + name.rpartition(", ")[2]]["per_second"]
        rows[name] = {**figures, "ours_to_this": ours / figures["per_second"]}
    return {"unit": "plans a second", "scores_agree_to": apart, "rows": rows}
