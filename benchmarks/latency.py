"""Time of one decision, in milliseconds: `agent.plan`, a session's step, look-ahead, an exported
agent and batches, beside the same plan in PyTorch.

Each call takes NumPy arrays and ends when the action is a Python integer (an array for a batch).
Observations are the first of logged play of the preset `demo`, in turn. PyTorch has the same
weights and arithmetic (`benchmarks.planning`, whose agreement is asserted), first layers in parts
as ours and plain, eager and compiled; it draws its random numbers in each call, ours are drawn
beforehand. Contenders take turns in one process. `products` are the plan's matrix products alone,
one after another in NumPy.
"""

import dataclasses
import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import planning, setting, timing
from bestreply.planning.agent import Agent
from bestreply.planning.export import export_agent
from bestreply.planning.exported import ExportedAgent, load_export

BATCHES = (1, 64, 1024)
SEEN = 16
"""Observations that calls take in turn."""
PRODUCTS = "its matrix products alone, NumPy"

Call = Callable[[int], Any]
"""A decision; its argument counts the calls."""


def observations(count: int) -> tuple[np.ndarray, np.ndarray]:
    obs, legal = setting.observations(count)
    return np.array(obs, np.float32), np.array(legal)


@cache
def agent(planner: str = "one_step") -> Agent:
    made = setting.agent()
    return dataclasses.replace(
        made, config=dataclasses.replace(made.config, planner=planner)
    )


@cache
def exported() -> ExportedAgent:
    with tempfile.TemporaryDirectory() as folder:
        return load_export(export_agent(agent(), Path(folder) / "agent", {}))


def plan_call(planner: str) -> Call:
    obs, legal = observations(SEEN)
    planning_agent = agent(planner)

    def call(k: int) -> int:
        return int(planning_agent.plan(obs[k % SEEN], legal[k % SEEN]).action)

    return call


def session_call() -> Call:
    obs, legal = observations(SEEN)
    session = agent().session()
    others = np.zeros((SEEN, agent().game.num_players - 1), np.int32)
    others += np.arange(SEEN)[:, None] % agent().game.num_actions

    def call(k: int) -> int:
        action = session.act(obs[k % SEEN], legal[k % SEEN])
        session.observe(others[k % SEEN])
        return int(action)

    return call


def exported_call() -> Call:
    obs, legal = observations(SEEN)
    plan = exported().plan

    def call(k: int) -> int:
        return int(plan(obs[k % SEEN], legal[k % SEEN]).action)

    return call


def batch_call(count: int) -> Call:
    obs, legal = observations(count)
    made = agent()

    def call(k: int) -> np.ndarray:
        return np.asarray(planning.plan_many(made, obs, legal).action)

    return call


def torch_call(count: int, in_parts: bool, compiled: bool) -> Call:
    import torch  # pyright: ignore[reportMissingImports]

    model = planning.planner(in_parts, compiled)
    obs, legal = observations(max(count, SEEN))

    def call(k: int) -> Any:
        at = slice(k % SEEN, k % SEEN + 1) if count == 1 else slice(count)
        with torch.inference_mode():
            given = torch.from_numpy(obs[at]), torch.from_numpy(legal[at])
            action = model(*given)[3]
            return int(action) if count == 1 else action.numpy()

    return call


def products_call() -> Call:
    """Return the products of a one-step plan: every row of every network."""
    made: Any = agent()
    game, world = made.game, made.world
    rows = game.num_actions * made.config.samples
    weights = [(1, x) for x in _weights(world.encoder)]
    weights += [(game.num_players - 1, x) for x in _weights(made.opponents.net)]
    for net in (world.dynamics, world.reward_net, world.continuation):
        weights += [(1, net.of_latent.weight), (rows, net.of_actions.weight)]
        weights += [(rows, x) for x in _weights(net.rest)]
    nets = world.decoder, world.value_net
    weights += [(rows, x) for net in nets for x in _weights(net)]
    pairs = [
        (np.ones((count, x.shape[1]), np.float32), np.asarray(x).T.copy())
        for count, x in weights
    ]

    def call(k: int) -> None:
        for left, right in pairs:
            np.matmul(left, right)

    return call


def _weights(net: Any) -> list[Any]:
    return [layer.weight for layer in net.layers]


def contenders(quick: bool) -> dict[str, Call]:
    """Return the calls by name; those of PyTorch only where it is installed."""
    calls = {
        "agent.plan": plan_call("one_step"),
        "session.act, observe": session_call(),
        "exported plan": exported_call(),
        PRODUCTS: products_call(),
    }
    batches = BATCHES[:2] if quick else BATCHES
    for count in batches:
        calls[f"jit(vmap(agent.plan)), {count}"] = batch_call(count)
    if importlib.util.find_spec("torch"):
        planning.agreement()
        for count in batches:
            calls |= dict(_torch_calls(count))
    return calls | {"agent.plan, expectimax": plan_call("expectimax")}


def _torch_calls(count: int) -> Iterator[tuple[str, Call]]:
    for in_parts in (True, False):
        for compiled in (False, True):
            how = "torch.compile" if compiled else "eager"
            layers = "in parts" if in_parts else "plain"
            name = f"PyTorch, {how}, first layers {layers}, {count}"
            yield name, torch_call(count, in_parts, compiled)


def measure(quick: bool) -> dict[str, Any]:
    """Return milliseconds of each call."""
    calls = contenders(quick)
    numbers = dict.fromkeys(calls, 0)

    def job(name: str) -> timing.Job:
        def run() -> float:
            calls[name](numbers[name])
            numbers[name] += 1
            return 1

        return run

    rates = timing.take_turns(
        {name: job(name) for name in calls},
        rounds=3 if quick else 9,
        seconds=0.05 if quick else 0.5,
    )
    rows = {
        name: {
            "milliseconds": 1000 / rate["per_second"],
            "least": 1000 / rate["greatest"],
            "greatest": 1000 / rate["least"],
        }
        for name, rate in rates.items()
    }
    return {"unit": "milliseconds", "rows": rows, "ratios": ratios(rows)}


def ratios(rows: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return what `agent.plan` takes relative to other rows, and a session relative to it."""
    plan = rows["agent.plan"]["milliseconds"]
    compiled = [
        row["milliseconds"]
        for name, row in rows.items()
        if "torch.compile" in name and name.endswith(", 1")
    ]
    found = {
        "session.act to agent.plan": rows["session.act, observe"][
            "milliseconds"
        ]
        / plan,
        "agent.plan to its products": plan / rows[PRODUCTS]["milliseconds"],
    }
    if compiled:
        found["agent.plan to the faster torch.compile"] = plan / min(compiled)
    return found


def table(found: dict[str, Any]) -> str:
    """Return the rows as Markdown."""
    rows = [
        [
            name,
            *(
                timing.short(row[k])
                for k in ("milliseconds", "least", "greatest")
            ),
        ]
        for name, row in found["rows"].items()
    ]
    lines = [f"- {name}: {x:.2f}" for name, x in found["ratios"].items()]
    head = (
        "Milliseconds of a call, NumPy arrays in, the action out; 7 candidates x 16 "
        "samples of the opponents' joint action. The last number of a row is the batch."
    )
    columns = ["", "median", "lowest", "highest"]
    return "\n".join([head, "", timing.table(columns, rows), "", *lines])
