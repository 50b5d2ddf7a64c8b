"""Names of others' games, players and models: what they make, and what is refused."""

import dataclasses
import importlib.metadata
import subprocess
import sys

import equinox as eqx
import jax
import numpy as np
import pytest

import bestreply as br
from bestreply.config import ModelConfig
from bestreply.games.registry import game_in_file, spec_of_game
from bestreply.models.world_model import WorldModel
from bestreply.players.base import Player
from bestreply.players.zoo import players_in_file
from bestreply.utils import names
from bestreply.utils.importing import foreign_error, is_foreign
from bestreply.utils.trust import (
    ADAPTERS,
    ALLOW_VARIABLE,
    TYPED,
    from_file,
    module_of,
    modules_named,
)
from tests.own_package import write_package

PACKAGE = "their_names"


@pytest.fixture(scope="module", autouse=True)
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("path")
    write_package(folder, PACKAGE)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture
def game():
    return br.make_game(f"{PACKAGE}.games:MyGame(size=3)")


def test_a_game_of_a_module_is_made_and_named_so(game):
    assert (type(game).__module__, game.size) == (f"{PACKAGE}.games", 3)
    assert br.make_game(game) is game
    spec = spec_of_game(game)
    assert spec.name == f"{PACKAGE}.games:MyGame"
    assert br.make_game(str(spec)) == game
    assert br.make_game(spec.name, **game.settings) == game
    made = br.make_game(f"{PACKAGE}.games:small(size=4)")
    assert made.size == 4 and spec_of_game(made).name == spec.name
    assert br.RunConfig(game=game).game == str(spec)
    with pytest.raises(ValueError, match="expected none with a game object"):
        br.make_game(game, size=4)


def test_the_librarys_games_keep_their_names():
    game = br.make_game("matrix", rounds=3)
    assert spec_of_game(game).name == "matrix"
    assert br.make_game(br.RunConfig(game=game).game) == game


def test_players_of_a_module_have_the_spec_as_their_name(game):
    for text in (
        f"{PACKAGE}.players:Last",
        f"{PACKAGE}.players:Chaser",
        f"{PACKAGE}.players:Chaser(2)",
        f"{PACKAGE}.players:Chaser(number=2)",
        f"noisy({PACKAGE}.players:Chaser(2), 0.1)",
        f"mixture({PACKAGE}.players:Last, random)",
        f"{PACKAGE}.players:first_of(always(1), {PACKAGE}.players:Last, word=any)",
    ):
        player = br.make_player(text, game)
        assert player.name == text
        assert br.make_player(player, game) is player
    assert br.make_player(f"{PACKAGE}.players:Chaser(2)", game).number == 2
    last = br.make_player(f"{PACKAGE}.players:Last", game)
    assert type(last) is type(br.make_player(last.name, game))


REFUSED = {
    "misspelled": ("players:Lost", "expected 'Lost' in .*did you mean 'Last'"),
    "no such module": ("plyers:Last", "there is no '{0}.plyers' among"),
    "a setting": ("players:Chaser(numbr=1)", "expected settings of .*: number"),
    "a module": ("players:jax", "expected a subclass of Player .* type module"),
    "another class": ("games:MyGame", "expected a subclass of Player .*MyGame"),
    "another result": ("players:number", "it returns an object of type int"),
    "no attribute": ("players:Last.more", "expected 'more' in Last"),
}


@pytest.mark.parametrize(("name", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_player_is_refused_in_a_sentence(game, name, message):
    with pytest.raises(ValueError, match=message.format(PACKAGE)) as error:
        br.make_player(f"{PACKAGE}.{name}", game)
    assert not is_foreign(error.value)


def test_an_exception_in_others_code_is_their_own(game):
    with pytest.raises(ModuleNotFoundError) as error:
        br.make_game(f"{PACKAGE}.broken:Game")
    assert is_foreign(error.value)
    with pytest.raises(ValueError, match="my own check of the size") as error:
        br.make_game(f"{PACKAGE}.games:MyGame(size=0)")
    assert is_foreign(error.value)
    for text in (f"{PACKAGE}.players:broken", "noisy({}, 0.1)"):
        text = text.format(f"{PACKAGE}.players:broken")
        with pytest.raises(ValueError, match="in my own code") as error:
            br.make_player(text, game)
        assert foreign_error(error.value) is error.value
    with pytest.raises(ValueError) as error:
        br.make_game("chess")
    assert not is_foreign(error.value)


def test_prefixes_of_adapters_never_name_modules(tmp_path, monkeypatch):
    for prefix in ADAPTERS:
        (tmp_path / f"{prefix}.py").write_text("raise AssertionError\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for prefix in ADAPTERS:
        with pytest.raises(ValueError, match=r"player='.*expected one of"):
            br.make_player(f"{prefix}:Last", br.make_game("matrix"))
    monkeypatch.undo()  # the packages of these names may be imported
    for prefix in set(ADAPTERS) - {"openspiel"}:
        with pytest.raises((ValueError, ImportError), match=prefix):
            br.make_game(f"{prefix}:no_such_game_there")


def test_planners_methods_and_opponent_models_of_a_module():
    from bestreply.opponents.base import UniformOpponents, named_opponents
    from bestreply.planning.agent import load_planner
    from bestreply.run import load_method

    game = br.make_game("matrix")
    assert callable(load_planner(f"{PACKAGE}.models:planner"))
    assert vars(load_planner(f"{PACKAGE}.models:Planner(depth=2)")) == {
        "depth": 2
    }
    method = load_method(f"{PACKAGE}.models:Cloning")
    assert method is load_method(f"{PACKAGE}.models:Cloning")
    learned = UniformOpponents(game, 4)
    model = named_opponents(f"{PACKAGE}.models:Uniform", game, 4, learned)
    assert (model.game, model.goals) == (game, 4)
    name = f"{PACKAGE}.players:Last"
    with pytest.raises(ValueError, match="expected a subclass of Method"):
        load_method(name)
    with pytest.raises(ValueError, match="expected a subclass of OpponentM"):
        named_opponents(name, game, 4, learned)
    with pytest.raises(ValueError, match="expected a function that returns"):
        load_planner(f"{PACKAGE}.models:jnp.pi")


def test_an_encoder_of_a_module():
    game = br.make_game("stag_hunt(height=4, width=4, hunters=2, max_steps=5)")
    name = f"{PACKAGE}.models:Conv(channels=3)"
    config = ModelConfig(latent=8, width=8, depth=1, encoder=name)
    obs = np.ones(game.obs_shape, np.float32)

    def latent(config):
        world = WorldModel(
            game, config, goals=1, heads=1, key=jax.random.key(0)
        )
        return world.encode(obs)

    assert eqx.filter_eval_shape(latent, config).shape == (8,)
    config = dataclasses.replace(config, encoder=f"{PACKAGE}.models:wrong")
    with pytest.raises(ValueError, match=r"expected an output of shape \(8,\)"):
        eqx.filter_eval_shape(latent, config)


def test_registered_names(monkeypatch, game):
    for kind in ("game", "player"):
        monkeypatch.setitem(names._registered, kind, {})
    br.register("game", "mine", type(game))
    assert br.make_game("mine(size=3)") == game
    assert spec_of_game(game).name == "mine"
    assert br.list_games()["mine"] == "equal numbers pay"
    assert game_in_file("mine", {"size": 3}, from_file("data")) == game
    for kind, name in (("game", "matrix"), ("game", "a:b"), ("toy", "mine")):
        with pytest.raises(ValueError, match="expected"):
            br.register(kind, name, type(game))


@pytest.mark.parametrize(
    ("name", "thing", "message"),
    [
        ("zz", 3, "player='zz': expected a class, .*; it is 3"),
        ("zz", None, "it is None"),
        ("zz", [len], "it is "),
        (3, len, "player=3: expected an identifier"),
        ("class", len, "player='class': expected an identifier"),
    ],
)
@pytest.mark.usefixtures("as_installed")
def test_what_cannot_be_made_is_not_registered(name, thing, message):
    with pytest.raises(ValueError, match=message):
        br.register("player", name, thing)
    assert name not in names._registered["player"]


def test_an_object_without_a_name_to_import_is_known_in_this_process(
    monkeypatch, game
):
    monkeypatch.setitem(names._registered, "game", {})

    class Local(type(game)):
        name = "local"

    local = Local(size=5)
    config = br.RunConfig(game=local)
    assert config.game.startswith("local(size=5")
    assert br.make_game(config.game) is local
    with pytest.raises(ValueError, match="game='local': expected one of"):
        br.make_game("local(size=6)")


def point(name, value):
    """Return an entry point as an installed package declares it."""
    return importlib.metadata.EntryPoint(name, value, "bestreply")


def test_entry_points_of_installed_packages(monkeypatch, game, capfd):
    points = {
        "bestreply.games": [
            point("theirs", f"{PACKAGE}.games:MyGame"),
            point("broken", f"{PACKAGE}.broken:Game"),
            point("matrix", "os:system"),
        ],
        "bestreply.players": [point("last", f"{PACKAGE}.players:Last")],
    }
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: points.get(group, [])
    )
    names.entry_points.cache_clear()
    try:
        listed = br.list_games()
        assert listed["theirs"] == "equal numbers pay"
        assert "broken" not in listed and "payoff" in listed["matrix"]
        assert "warning: game broken" in capfd.readouterr().err
        assert br.list_players()["last"] == "Always the last action."
        assert br.make_game("theirs(size=3)") == game
        assert spec_of_game(game).name == "theirs"
        assert br.make_player("noisy(last, 0.1)", game).name
        assert br.RunConfig(game="theirs").game == "theirs"
        trust = from_file("data")
        assert game_in_file("theirs", {"size": 3}, trust) == game
        with pytest.raises(ModuleNotFoundError) as error:
            br.make_game("broken")
        assert is_foreign(error.value)
    finally:
        names.entry_points.cache_clear()
        for loaded in names._loaded.values():
            loaded.clear()


# -- names in files --------------------------------------------------------------


def test_trust_is_by_module_and_its_submodules(monkeypatch):
    trust = from_file("runs/a", ["pkg.games", "other"])
    allowed = ("pkg.games", "pkg.games.deep", "other", "other.x")
    assert all(map(trust.allows, allowed))
    assert not any(map(trust.allows, ("pkg", "pkg.gamesx", "others", "os", "")))
    assert TYPED.allows("anything")
    assert not from_file("", ()).typed
    assert from_file("a", "pkg").allows("pkg.x")
    monkeypatch.setenv(ALLOW_VARIABLE, " mine , yours.games")
    assert from_file("a").allows("mine.x") and not from_file("a").allows("your")
    with pytest.raises(ValueError, match="allow_import='a-b': expected"):
        from_file("a", ["a-b"])


def test_the_module_of_a_name():
    assert module_of("pkg.games:A") == "pkg.games"
    assert module_of("random") is module_of("openspiel:kuhn") is None
    assert module_of("pettingzoo:mpe2.tag:parallel_env") == "mpe2.tag"
    assert module_of("gymnasium:evil:Env-v0") == "evil"
    texts = ["noisy(a.b:C, 0.1), mixture(d:E, (f:G(h:I),))", "not (", "random"]
    assert modules_named(texts) == {"a.b", "d", "f", "h"}


HOSTILE = (
    "os:system('true')",
    "builtins:eval('1')",
    "subprocess:run(('true',))",
    "bestreply.utils.files:remove('x')",
    "pettingzoo:os:system",
    "gymnasium:os:Env-v0",
    "noisy(os:system, 0.1)",
    "random # , os:system(",
    "mixture(random, (os:abort,))",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_names_in_files_call_nothing(text, monkeypatch, game):
    import os

    def called(*args):
        raise AssertionError(args)

    for name in ("system", "abort"):
        monkeypatch.setattr(os, name, called)
    trust = from_file("runs/theirs")
    assert players_in_file([text], game, trust) == {}
    tables = {"player": br.players.zoo.NAMES}
    try:
        names.vet_all(tables, [("player", text)], trust)
    except ValueError as error:
        assert "expected a name that needs no import" in str(error)
    else:
        with pytest.raises(ValueError, match="expected name"):
            br.make_player(text, game)
    name, _, _ = text.partition("(")
    with pytest.raises(ValueError):
        game_in_file(name, {}, trust)


def test_an_allowed_module_gives_objects_of_the_kind_alone(game):
    trust = from_file("runs/theirs", [PACKAGE])

    def read(name):
        return game_in_file(f"{PACKAGE}.{name}", {}, trust)

    assert read("games:MyGame") == type(game)()
    assert read("games:small").size == 3
    for name, message in (
        ("games:careless", "must be annotated '-> Game or HostEnv'"),
        (
            "games:dataclasses.dataclass",
            "expected a subclass of Game or HostEnv",
        ),
        ("games:Game", "it is defined in 'bestreply.games.base'"),
        ("players:Last", "it is the .*Last"),
        ("players:br", "of type _Package"),
    ):
        with pytest.raises(ValueError, match=message):
            read(name)
    texts = [f"noisy({PACKAGE}.players:Last, 0.1)", "nobody", "random"]
    assert list(players_in_file(texts, game, trust)) == [texts[0], "random"]
    assert list(players_in_file(texts, game, from_file("a"))) == ["random"]


def test_a_function_that_files_cannot_name_is_said_once(
    game, caplog, monkeypatch
):
    module = sys.modules[f"{PACKAGE}.players"]

    def first():
        return br.make_player("random", game)

    def second() -> Player:
        return first()

    for function in (first, second):
        function.__module__ = module.__name__
        monkeypatch.setattr(module, function.__name__, function, raising=False)
        for _ in range(2):
            br.make_player(f"{PACKAGE}.players:{function.__name__}", game)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1 and f"{PACKAGE}.players:first" in said[0]
    assert "is not annotated '-> Player'" in said[0]


def test_a_module_of_the_current_folder_is_found_on_the_command_line(tmp_path):
    write_package(tmp_path, "here")
    code = (
        "import sys; from bestreply.cli import main; "
        "sys.path = [p for p in sys.path if p]; main()"
    )
    command = [sys.executable, "-I", "-c", code, "check-player"]
    done = subprocess.run(
        [*command, "here.players:Lost", "--game", "matrix"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert "expected 'Lost' in here.players" in done.stderr
