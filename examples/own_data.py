"""Write logged play as a dataset with PyArrow: python examples/own_data.py [FOLDER]"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import bestreply as br

# Two games of the prisoner's dilemma, three rounds each: 0 cooperates, 1 defects.
MOVES = np.array([[[0, 0], [0, 1], [1, 1]], [[0, 0], [0, 0], [0, 1]]])
PAYOFF = np.array([[3.0, 0.0], [5.0, 1.0]])  # own action, other action
ROUNDS = MOVES.shape[1]


def fixed(kind: pa.DataType, size: int) -> pa.DataType:
    """Return the type of a list of fixed size."""
    return pa.list_(pa.field("element", kind, nullable=False), size)


TYPES = {
    "episode": pa.int64(), "step": pa.int32(), "seat": pa.int16(),
    "obs": fixed(pa.float32(), 5), "legal": fixed(pa.bool_(), 2),
    "present": fixed(pa.bool_(), 2), "action": pa.int32(),
    "others": fixed(pa.int32(), 1), "prob": pa.float32(), "reward": pa.float32(),
    "next_obs": fixed(pa.float32(), 5), "next_legal": fixed(pa.bool_(), 2),
    "terminated": pa.bool_(), "truncated": pa.bool_(),
    "players": fixed(pa.int32(), 2), "goal": pa.int32(), "goal_source": pa.string(),
}  # fmt: skip
SCHEMA = pa.schema(
    [pa.field(n, t, nullable=n == "prob") for n, t in TYPES.items()]
)
GAME = br.make_game("matrix(table=prisoners_dilemma, rounds=3)")
MANIFEST = {
    "format": 1, "bestreply": "0.1.0", "num_players": 2, "max_steps": ROUNDS,
    "game": {"name": "matrix", "version": 1, "settings": GAME.settings},
    "obs_shape": [5], "actions": ["COOPERATE", "DEFECT"], "goals": ["none"],
    "roster": [{"name": "ann", "version": 1}, {"name": "bob", "version": 1}],
}  # fmt: skip


def see(moves: np.ndarray, t: int, seat: int) -> list[float]:
    """Return the observation [5]: both last actions one-hot, ego-first; time left."""
    last = np.zeros((2, 2))
    if t > 0:
        last[[0, 1], [moves[t - 1, seat], moves[t - 1, 1 - seat]]] = 1
    return [*last.ravel(), (ROUNDS - t) / ROUNDS]


def make_row(episode: int, t: int, seat: int) -> dict:
    """Return one step of one seat, a row of docs/files.md."""
    moves = MOVES[episode]
    own, other = int(moves[t, seat]), int(moves[t, 1 - seat])
    return {
        "episode": episode, "step": t, "seat": seat,
        "obs": see(moves, t, seat), "legal": [True, True], "present": [True, True],
        "action": own, "others": [other], "prob": None, "reward": PAYOFF[own, other],
        "next_obs": see(moves, t + 1, seat), "next_legal": [True, True],
        "terminated": t + 1 == ROUNDS, "truncated": False,
        "players": [seat, 1 - seat], "goal": -1, "goal_source": "none",
    }  # fmt: skip


def main(folder: Path) -> None:
    pairs = [(e, t) for e in range(len(MOVES)) for t in range(ROUNDS)]
    rows = [make_row(e, t, seat) for e, t in pairs for seat in (0, 1)]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "part-00000.parquet"
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), file)
    counts = {"episodes": len(MOVES), "steps": len(pairs), "rows": len(rows)}
    part = counts | {
        "file": file.name, "first_episode": 0, "seed": None, "command": None,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "created": "2026-01-31T12:00:00+00:00", "seconds": None, "labelled": 0,
    }  # fmt: skip
    manifest = MANIFEST | {"totals": {"parts": 1} | counts, "parts": [part]}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))
    print("problems:", br.validate(folder))
    print(br.open_store(folder).describe())


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "own_data"))
