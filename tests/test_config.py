"""Settings: JSON and back, unknown fields refused by name, presets."""

import dataclasses
import json
import re

import jax.numpy as jnp
import pytest

from bestreply import RunConfig, preset
from bestreply.config import PRESETS, TrainConfig, from_dict, to_dict
from bestreply.games import make_game
from bestreply.players import make_player
from bestreply.training.losses import total_loss


@pytest.mark.parametrize("name", PRESETS)
def test_through_json_and_back(name):
    config = preset(name)
    assert (
        from_dict(RunConfig, json.loads(json.dumps(to_dict(config)))) == config
    )
    assert hash(config) == hash(preset(name))  # a static argument of jit


def test_what_is_not_given_keeps_its_default():
    config = from_dict(
        RunConfig, {"seed": 3, "train": {"weights": {"obs": 2.0}}}
    )
    default = RunConfig()
    weights = dataclasses.replace(default.train.weights, obs=2.0)
    assert config == dataclasses.replace(
        default,
        seed=3,
        train=dataclasses.replace(default.train, weights=weights),
    )


REFUSED = {
    "optimiser": ({"train": {"optimiser": "adam"}}, "train.optimiser='adam': expected one of 'muon', 'adamw' (did you mean 'adamw'?)"),
    "choice": ({"planner": {"planner": "lookahead"}}, "planner.planner='lookahead': expected one of 'one_step'"),
    "method": ({"method": "IQL"}, "method='IQL': expected one of"),
    "text for a number": ({"train": {"updates": "100"}}, "train.updates='100': expected a whole number >= 0"),
    "float for a count": ({"train": {"updates": 2e3}}, "train.updates=2000.0: expected a whole number >= 0"),
    "true for a count": ({"seed": True}, "seed=True: expected a whole number >= 0"),
    "text for a switch": ({"train": {"augment": "false"}}, "train.augment='false': expected true or false"),
    "text for a list": ({"evaluate": {"methods": "agent"}}, "evaluate.methods='agent': expected a list of strings"),
    "number for text": ({"train": {"wandb": 5}}, "train.wandb=5: expected text"),
    "nan": ({"train": {"gamma": float("nan")}}, "train.gamma=nan: expected a finite number"),
    "infinity": ({"train": {"learning_rate": float("inf")}}, "train.learning_rate=inf: expected a finite number"),
    "interval of 0": ({"train": {"log_every": 0}}, "train.log_every=0: expected a whole number >= 1"),
    "batch of 0": ({"train": {"batch": 0}}, "train.batch=0: expected a whole number >= 1"),
    "gamma": ({"train": {"gamma": 1.5}}, "train.gamma=1.5: expected a number >= 0 and <= 1"),
    "weight": ({"train": {"weights": {"obs": -1}}}, "train.weights.obs=-1: expected a number >= 0"),
    "negative episodes": ({"evaluate": {"episodes": -5}}, "evaluate.episodes=-5: expected a whole number >= 1"),
    "seed": ({"seed": 2**32}, "seed=4294967296: expected a whole number >= 0 and < 4294967296"),
    "list": ([], "the configuration=[]: expected a table of settings"),
    "null": (None, "the configuration=None: expected a table of settings"),
    "text for a table": ({"train": "x"}, "train='x': expected a table of settings"),
    "unknown": ({"sead": 1}, "sead: expected another name; did you mean 'seed'? there are: game, seed"),
    "unknown inside": ({"train": {"updtes": 1}}, "train.updtes: expected another name; did you mean 'updates'?"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_value_is_refused_by_name(data, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        from_dict(RunConfig, data)


def test_a_wrong_value_is_refused_in_python_too():
    with pytest.raises(ValueError, match=r"train\.batch=0: expected"):
        TrainConfig(batch=0)
    with pytest.raises(ValueError, match=r"seed=-1: expected"):
        dataclasses.replace(RunConfig(), seed=-1)


def test_an_unknown_preset_is_refused():
    with pytest.raises(
        ValueError, match="preset='fast': expected one of debug"
    ):
        preset("fast")


def documented(kind):
    """(field, its text) of a configuration and those inside it, as the source has them."""
    import ast
    import inspect

    inner = {
        f.name: f.type
        for f in dataclasses.fields(kind)
        if dataclasses.is_dataclass(f.type)
    }
    body = ast.parse(inspect.getsource(kind)).body[0].body
    for field, text in zip(body, [*body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and field.target.id not in inner:
            said = (
                text.value.value
                if isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
                else ""
            )
            yield f"{kind.__name__}.{field.target.id}", said
    for part in inner.values():
        yield from documented(part)


def test_every_field_says_what_it_is():
    found = dict(documented(RunConfig))
    assert (
        len(found) == len(set(found)) <= 70
        and [name for name, said in found.items() if len(said) < 8] == []
    )


@pytest.mark.parametrize("name", PRESETS)
def test_presets_name_games_players_and_losses_that_there_are(name):
    config = preset(name)
    game = make_game(config.game)
    for player in (*config.collect.players, *config.evaluate.opponents):
        make_player(player, game)
    names = (*to_dict(config.train.weights), "continuation", "legal")
    total_loss(dict.fromkeys(names, jnp.float32(0)), config.train.weights)
