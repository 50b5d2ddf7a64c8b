"""A value that is none of those allowed, or of the wrong type, in a sweep's TOML or a --config JSON: refused, naming the field."""

import pathlib
import sys
import tempfile

from bestreply.sweeps.sweep import read_sweep

GAME = 'game = "stag_hunt(height=3, width=3, hunters=2, stags=1, hares=2, max_steps=6)"\npreset = "debug"\n'
TRIES = {
    "optimiser typo": ("train", 'optimiser = "adam"'),
    "likelihood typo": ("model", 'likelihood = "mse"'),
    "opponent_types typo": ("model", 'opponent_types = "players"'),
    "value_heads typo": ("model", 'value_heads = "players"'),
    "opponents typo": ("model", 'opponents = "recurent"'),
    "target typo": ("train", 'target = "improve"'),
    "labels typo": ("train", 'labels = "events"'),
    "at_limit typo": ("train", 'at_limit = "bootstrapped"'),
    "planner typo": ("planner", 'planner = "lookahead"'),
    "world typo": ("planner", 'world = "real"'),
    "text for a number": ("train", 'updates = "100"'),
    "float for a count": ("train", "updates = 2e3"),
    "text for a bool": ("train", 'augment = "false"'),
    "one text for a list": ("evaluate", 'methods = "agent"'),
    "number for a text": ("train", "wandb = 5"),
    "nan": ("train", "gamma = nan"),
    "log_every 0": ("train", "log_every = 0"),
    "checkpoint_every 0": ("train", "checkpoint_every = 0"),
    "batch 0": ("train", "batch = 0"),
    "gamma 1.5": ("train", "gamma = 1.5"),
    "negative episodes": ("evaluate", "episodes = -5"),
    "negative updates": ("train", "updates = -5"),
    "depth 0 of a plan": ("planner", "depth = 0"),
}
bad = []
with tempfile.TemporaryDirectory() as t:
    for name, (table, line) in TRIES.items():
        f = pathlib.Path(t) / "s.toml"
        f.write_text(GAME + f"[methods.m.{table}]\n{line}\n")
        try:
            unit = read_sweep(f).units[0]
            field = line.split()[0]
            print(
                f"ACCEPTED {name:22} -> {getattr(getattr(unit.config, table), field)!r}"
            )
            bad.append(name)
        except ValueError as e:
            print(f"refused  {name:22} {str(e)[:140]}")
        except Exception as e:
            print(f"{type(e).__name__} {name:22} {str(e)[:140]}")
            bad.append(name)
    f = pathlib.Path(t) / "m.toml"
    f.write_text(GAME + '[methods.m]\nmethod = "pppo"\n')
    try:
        print("ACCEPTED method =", read_sweep(f).units[0].config.method)
        bad.append("method")
    except ValueError as e:
        print("refused method", e)
print(len(bad), "accepted")
sys.exit(bool(bad))
