"""Settings: JSON and back, unknown fields refused by name, presets."""

import dataclasses
import json

import pytest

from bestreply import RunConfig, preset
from bestreply.config import PRESETS, from_dict, to_dict
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


@pytest.mark.parametrize(
    "data, told",
    [
        (
            {"sead": 1},
            "RunConfig has no field sead; it has: game, seed, method, collect",
        ),
        (
            {"train": {"updtes": 1}},
            "train has no field updtes; it has: opponent_updates, updates",
        ),
        (
            {"train": {"weights": {"lambda": 1}}},
            "train.weights has no field lambda; it has: obs, reward",
        ),
    ],
)
def test_an_unknown_field_is_refused(data, told):
    with pytest.raises(ValueError, match=told):
        from_dict(RunConfig, data)


def test_an_unknown_preset_is_refused():
    with pytest.raises(
        ValueError,
        match="there is no preset 'fast'; there are: debug, demo, full",
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
        len(found) == len(set(found)) <= 60
        and [name for name, said in found.items() if len(said) < 8] == []
    )


@pytest.mark.parametrize("name", PRESETS)
def test_presets_name_games_players_and_losses_that_there_are(name):
    config = preset(name)
    game = make_game(config.game)
    for player in (*config.collect.players, *config.evaluate.opponents):
        make_player(player, game)
    names = (*to_dict(config.train.weights), "continuation", "legal")
    total_loss(dict.fromkeys(names, 0.0), config.train.weights)
