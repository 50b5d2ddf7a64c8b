"""Synthetic run directories as in docs/files.md, and a reader of their pages."""

import json
import math
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bestreply.games import make_game

SETS = (
    "3 nearest_stag",
    "3 nearest_hare",
    "3 random",
    "mixture(nearest_stag, nearest_hare, random)",
)
MEANS = {
    "agent": (2.71, 0.97, 1.74, 1.62),
    "uniform_others": (2.18, 0.93, 1.58, 1.37),
    "nearest_stag": (2.69, 0.21, 0.62, 1.09),
    "nearest_hare": (0.98, 0.92, 0.99, 0.97),
    "random": (0.71, 0.42, 0.66, 0.58),
}


# -- a run directory -------------------------------------------------------------------------------


def make_scores(path, seeds=(0,), episodes=50, means=MEANS, sets=SETS):
    rng = np.random.default_rng(0)
    rows = [
        {
            "method": m,
            "opponents": o,
            "seed": s,
            "episode": e,
            "seat": e % 4,
            "length": 12,
            "return": float(mean + rng.normal(0, 0.8) + 0.05 * s),
        }
        for m, row in means.items()
        for o, mean in zip(sets, row, strict=False)
        for s in seeds
        for e in range(episodes)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path / "scores.parquet")


def make_metrics(
    path, updates=8000, every=50, env_steps=lambda update: 240_000
):
    rng = np.random.default_rng(1)
    falls = {
        "world/obs": 0.6,
        "world/reward": 0.05,
        "world/value": 1.8,
        "world/consistency": 0.2,
        "world/legal": 0.4,
        "opponent/log_loss": 1.9,
        "opponent/accuracy": None,
        "value/target_mean": None,
        "heldout/obs": 0.62,
        "heldout/reward": 0.055,
        "heldout/log_loss": 1.9,
        "learning_rate": 1e-3,
    }
    rows = []
    for name, start in falls.items():
        for u in range(
            0, updates + 1, every * (10 if name.startswith("heldout") else 1)
        ):
            x = u / updates
            value = (
                0.3 + 0.5 * (1 - math.exp(-6 * x))
                if start is None
                else start * (0.02 + math.exp(-5 * x))
            )
            value *= (
                1
                + 0.05 * rng.normal()
                + (0.4 * x if name.startswith("heldout") else 0)
            )
            rows.append(
                {
                    "env_steps": env_steps(u),
                    "update": u,
                    "name": name,
                    "value": value,
                }
            )
    pq.write_table(pa.Table.from_pylist(rows), path / "metrics.parquet")


def make_diagnostics(path):
    losses = (
        ("obs", 0.0123),
        ("reward", 0.0021),
        ("value", 0.41),
        ("consistency", 0.008),
        ("legal", 0.02),
    )
    open_loop = [
        {
            "steps": steps,
            "entity": entity,
            "accuracy": 1 - 0.002 * steps - 0.001 * k,
            "recall": 0.99 - (0.004 + 0.006 * k) * steps,
            "count": 5000 - 200 * steps,
        }
        for steps in (1, 3, 5, 10)
        for k, entity in enumerate(
            ("self", "hunter_1", "hunter_2", "hunter_3", "stags", "hares")
        )
    ]
    columns = (
        "player",
        "top1",
        "log_loss",
        "rmse",
        "bias",
        "correlation",
        "count",
    )
    rows = [
        ("nearest_stag", 0.81, 0.48, 0.81, -0.021, 0.91, 9000),
        ("nearest_hare", 0.77, 0.55, 0.33, 0.01, 0.62, 9000),
        ("random", 0.28, 1.53, 0.92, 0.06, 0.55, 9000),
    ]
    entries = [dict(zip(columns, row, strict=True)) for row in rows]
    diagnostics = {
        "heldout": dict(losses),
        "open_loop": open_loop,
        "opponent": [
            {k: e[k] for k in ("player", "top1", "log_loss", "count")}
            for e in entries
        ],
        "value": [
            {
                k: e[k]
                for k in ("player", "rmse", "bias", "correlation", "count")
            }
            for e in entries
        ],
        "belief": {
            "moves": [
                {
                    "moves": k,
                    "accuracy": 1 - 0.5 / (k + 1),
                    "share": 0.5,
                    "bits": 0.9,
                    "entropy": 1.58,
                    "count": 900,
                }
                for k in (0, 1, 2, 3, 5)
            ],
            "informative": [
                {
                    "moves": k,
                    "accuracy": 1 - 0.4 / (2 * k + 1),
                    "share": 0.5,
                    "bits": 0.9,
                    "entropy": 1.5,
                    "count": 90,
                }
                for k in (0, 1, 2)
            ],
            "ece": 0.0234,
            "reliability": [
                {"confidence": 0.55, "accuracy": 0.5, "count": 70},
                {"confidence": 0.95, "accuracy": 0.96, "count": 800},
            ],
        },
    }
    (path / "diagnostics.json").write_text(json.dumps(diagnostics))


def make_match(opponents="3 nearest_stag", steps=9, seat=1):
    """Return a match on real boards with random scores and beliefs."""
    game = make_game("stag_hunt", height=4, width=4)
    rng = np.random.default_rng(len(opponents))
    played = []
    for t in range(steps):
        obs = np.zeros(game.obs_shape, np.float32)
        flat = obs.reshape(16, -1)
        gone = t > steps - 3
        for k, cell in enumerate(
            (max(0, 12 - 4 * (t // 2)), 3, (t * 3) % 16, 15)
        ):
            flat[cell, k] = 0.0 if k == 3 and gone else 1.0
        flat[0, 5] = 1.0
        flat[[5, 7, 10, 14][: 3 if gone else 4], 6] = 1.0
        flat[:, -1] = 1 - t / 15
        legal = [True, t % 2 == 0, t % 3 > 0, True, True, t == steps - 1, False]
        reward = np.where(np.arange(7) == 5, 5.0, 0.0)
        value = np.round(rng.normal(2.2, 0.2, 7) * (np.arange(7) != 5), 3)
        scores = np.where(legal, reward + value, -np.inf)
        pick = [
            v if ok else None
            for v, ok in zip(scores.tolist(), legal, strict=True)
        ]
        belief = rng.dirichlet([1 + 3 * t, 1, 0.5], 3)
        predicted = rng.dirichlet(np.full(7, 0.5), 3)
        actual = [*predicted[:2].argmax(1).tolist(), -1 if gone else 4]
        played.append(
            {
                "text": game.text(obs, seat),
                "picture": game.picture(obs, seat),
                "legal": legal,
                "scores": pick,
                "reward": [
                    float(r) if ok else None
                    for r, ok in zip(reward, legal, strict=True)
                ],
                "value": [
                    float(v) if ok else None
                    for v, ok in zip(value, legal, strict=True)
                ],
                "action": int(scores.argmax()),
                "reward_got": 5.0 if t == steps - 1 else 0.0,
                "predicted": predicted.round(3).tolist(),
                "actual": actual,
                "belief": belief.round(3).tolist(),
            }
        )
    players = ["nearest_stag"] * 4
    players[seat] = "agent"
    return {
        "opponents": opponents,
        "players": players,
        "seat": seat,
        "return": 5.0,
        "actions": list(game.action_names),
        "goals": ["nearest_stag", "nearest_hare", "random"],
        "steps": played,
    }


PARTS = ("others", "dynamics", "depth", "value")


def make_decision(cost=1.8):
    game = make_game("stag_hunt", height=4, width=4)
    step = make_match(steps=1)["steps"][0]
    return {
        "episode": 2,
        "step": 3,
        "cost": cost,
        "text": step["text"],
        "picture": step["picture"],
        "actions": list(game.action_names),
        "scores": [3.1, None, 2.5, 1.0, 0.5, None, None],
        "exact": [1.25, None, 3.05, 1.5, 0.75, None, None],
        "action": 0,
        "best": 2,
    }


def make_changes(path):
    def lost(mean):
        return {"mean": mean, "stderr": 0.04}

    entry = {
        "opponents": "switching(nearest_stag, nearest_hare, random=10)",
        "curve": [
            {
                "threshold": 0.5,
                "false_alarms": 0.2,
                "noticed": 0.8,
                "delay": 3.3,
            },
            {
                "threshold": 0.9,
                "false_alarms": 0.005,
                "noticed": 0.47,
                "delay": 2.24,
            },
            {
                "threshold": 0.99,
                "false_alarms": 0.0,
                "noticed": 0.37,
                "delay": 3.5,
            },
        ],
        "lost": {"expecting": lost(0.31), "not expecting": lost(0.34)},
        "belief_since": {
            "oracle": [1.0] * 15,
            "expecting": [0.1, 0.4, 0.55, 0.66, 0.72, 0.74],
            "not expecting": [0.08, 0.25, 0.36, 0.45, 0.52, 0.56],
        },
    }
    (path / "changes.json").write_text(json.dumps({"against": [entry]}))


def make_regret(path, types="inferred"):
    """Write a decomposition with one negative part."""
    against = []
    for k, name in enumerate(("nearest_stag", "nearest_hare", "random")):
        parts = dict(zip(PARTS, (0.42 + k, 0.11, -0.07, 0.24), strict=True))
        against.append(
            {
                "opponents": name,
                "episodes": 64,
                "best": 4.1 + k,
                "return": 3.6 + k / 10,
                "lost": sum(parts.values()),
                "lost_stderr": 0.06,
                "share": 1 - sum(parts.values()) / (4.1 + k),
                "share_stderr": 0.02,
                "parts": parts,
                "parts_stderr": dict.fromkeys(PARTS, 0.05),
                "costliest": [make_decision(1.8 - 0.2 * n) for n in range(4)],
            }
        )
    document = {
        "planner": "one_step",
        "gamma": 0.98,
        "types": types,
        "against": against,
        "provenance": {},
    }
    (path / "regret.json").write_text(json.dumps(document))


def make_references(path):
    """Write an exact reference, an upper bound and a missing one; the third set has no
    entry.
    """
    exact = {"best": 4.0, "best_stderr": 0.1, "kind": "exact", "layouts": 32}
    exact |= {"random": 1.0, "random_stderr": 0.05, "random_from": "exact"}
    bound = exact | {
        "best": 2.0,
        "kind": "upper bound",
        "random": 0.5,
        "random_from": "measured",
    }
    large = {
        "opponents": SETS[1],
        "missing": "too_large",
        "reason": "one layout is 2e+09 outcomes",
    }
    against = [
        exact | {"opponents": SETS[0]},
        large,
        bound | {"opponents": SETS[3]},
    ]
    document = {"gamma": 1.0, "against": against, "provenance": {}}
    (path / "references.json").write_text(json.dumps(document))


def make_run(path, seeds=(0,), episodes=50, steps=9):
    path.mkdir(exist_ok=True)
    config = {
        "game": "stag_hunt(height=4, width=4)",
        "seed": 0,
        "train": {"updates": 8000, "weights": {"obs": 1.0}},
    }
    (path / "config.json").write_text(json.dumps(config))
    provenance = {
        "versions": {"bestreply": "0.1.0", "jax": "0.10.2", "python": "3.11.9"},
        "seed": 0,
        "git": "d8afdc1",
        "seconds": 252.4,
        "command": "bestreply run --preset demo",
        "started": "2026-11-03T10:12:00+00:00",
        "env_steps": 240_000,
        "game": {
            "name": "stag_hunt",
            "version": 1,
            "settings": {
                "height": 4,
                "width": 4,
                "hunters": 4,
                "max_steps": 15,
            },
        },
    }
    (path / "provenance.json").write_text(json.dumps(provenance))
    make_scores(path, seeds, episodes)
    make_metrics(path)
    make_diagnostics(path)
    (path / "matches.json").write_text(
        json.dumps([make_match(o, steps, k % 4) for k, o in enumerate(SETS)])
    )
    return path


class Page(HTMLParser):
    """Elements and visible text of a page."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.elements, self.raw, self.text, self._in = (
            [],
            {"script": [], "style": []},
            "",
            "",
        )
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._in = tag

    def handle_endtag(self, tag):
        self._in = ""

    def handle_data(self, data):
        if self._in in self.raw:
            self.raw[self._in].append(data)
        else:
            self.text += data

    def of(self, tag, cls=None):
        return [
            a
            for t, a in self.elements
            if t == tag
            and (cls is None or cls in (a.get("class") or "").split())
        ]


def read_page(path):
    return Page(path.read_text(encoding="utf-8"))


def words(page):
    return " ".join(page.text.split())
