"""Players that are functions of NumPy batches: play, memory, draws, exact replies, faults."""

import logging
import sys

import jax
import numpy as np
import pytest

import bestreply as br
from bestreply.interactive.session import Session
from bestreply.players.callback import Call
from bestreply.players.function import FunctionPlayer, FunctionPolicy
from bestreply.players.mixture import PlayerMixture
from bestreply.players.scripted import Mixture, Noisy
from bestreply.players.zoo import players_in_file
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.utils.importing import is_foreign
from bestreply.utils.trust import from_file
from tests.own_package import write_package

GAME = br.make_game("matrix(table=prisoners_dilemma, rounds=4)")
HUNT = br.make_game(
    "stag_hunt(height=2, width=2, hunters=2, stags=1, hares=1, max_steps=3)"
)
GOOFSPIEL = br.make_game("openspiel:goofspiel(num_cards=3)")
PACKAGE = "their_functions"
SOURCE = """
import numpy as np

import bestreply as br


def defector(obs, legal):
    return np.ones(len(obs), int)


@br.player(version=2)
def cooperator(obs, legal):
    return np.zeros(len(obs), int)


def factory(game, action: int = 0) -> br.players.Player:
    return br.player(lambda obs, legal: np.full(len(obs), action))
"""


@pytest.fixture(scope="module", autouse=True)
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("functions")
    write_package(folder, PACKAGE)
    (folder / PACKAGE / "rules.py").write_text(SOURCE)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


def copies(obs, legal, others):
    """Tit for tat."""
    return (others > 0).any(1).astype(int)


def of_two_tats(obs, legal, memory, others):
    """Defects after two defections in a row; states its distribution."""
    count = np.where((others > 0).any(1), memory + 1, 0)
    return np.eye(2)[(count >= 2).astype(int)], count


def shy(obs, legal):
    """Cooperates with probability .7."""
    return np.tile([0.7, 0.3], (len(obs), 1))


def coin(obs, legal, rng):
    """A coin."""
    return rng.integers(2, size=len(obs))


def actions(game, players, episodes=6, seed=0, **settings):
    lineup = seat_players(game, players, episodes, seed)
    return play(game, lineup, seed, **settings).episodes.action


# -- play ------------------------------------------------------------------------------


def test_a_function_plays_as_the_scripted_player_of_its_rule():
    calls = []

    def recorded(obs, legal, others):
        calls.append((obs.shape, obs.dtype, legal.shape, others.shape))
        return copies(obs, legal, others)

    own = actions(GAME, [br.player(recorded), "random"])
    np.testing.assert_array_equal(own, actions(GAME, ["tit_for_tat", "random"]))
    # One call a step, with the seats of all games.
    shape = (6, *GAME.obs_shape), np.dtype(np.float32), (6, 2), (6, 1)
    assert calls == [shape] * GAME.max_steps


def test_a_function_plays_in_a_host_game():
    rule = br.player(lambda obs, legal: legal.argmax(1))
    assert rule.name == "function"
    own = actions(GOOFSPIEL, [rule, "random"], 3)
    expected = actions(GOOFSPIEL, ["first_legal(0)", "random"], 3)
    np.testing.assert_array_equal(own, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.bool_, np.float32])
def test_observations_arrive_in_the_games_own_type(dtype):
    seen = []

    def rule(obs, legal):
        seen.append(obs.dtype)
        return np.zeros(len(obs), np.int64)

    chosen = br.player(rule)
    obs = np.zeros((2, 3), dtype)
    step = chosen.step(chosen.init(), obs, np.ones(2, bool), jax.random.key(0))
    assert int(step[1]) == 0 and step[1].dtype == np.int32
    assert seen == [np.dtype(dtype)]


def test_draws_follow_the_seed_and_nothing_else():
    players = [br.player(coin), "random"]
    whole = actions(GAME, players)
    np.testing.assert_array_equal(whole, actions(GAME, players, chunk=3))
    np.testing.assert_array_equal(whole[:3], actions(GAME, players, 3))
    assert (whole[:, :, 0] != actions(GAME, players, seed=1)[:, :, 0]).any()
    assert len(np.unique(whole[:, :, 0], axis=0)) > 1


def test_memory_is_a_carry_that_starts_anew_in_each_episode():
    @br.player(memory={"steps": 0, "own": np.full(2, 0.5)})
    def counts(obs, legal, memory, own, present):
        memory["steps"] += 1  # in place
        assert present.all()
        assert ((own == -1) == (memory["steps"] == 1)).all()
        return memory["steps"] % 2, memory

    assert counts.memory["steps"].dtype == np.int32
    assert counts.memory["own"].dtype == np.float32
    lineup = seat_players(GAME, [counts, "random"], 2, 0)
    played = play(GAME, lineup, 0, series=2).episodes.action
    np.testing.assert_array_equal(played[..., 0], [[1, 0, 1, 0]] * 4)


def test_the_contract_of_a_player_holds():
    for player in (
        br.player(copies),
        br.player(of_two_tats, memory=0, distribution=True),
    ):
        assert "vmap" in br.check_player(player, GAME, episodes=2).kept


def test_a_mixture_of_functions_makes_data():
    spec = f"mixture({PACKAGE}.rules:defector, {PACKAGE}.rules:cooperator)"
    mixture = br.make_player(spec, GAME)
    assert isinstance(mixture, PlayerMixture)
    lineup = seat_players(GAME, [spec, "always_d"], 40, 0)
    drawn = [lineup.pool[k].name for k in lineup.seating[:, 0]]
    played = play(GAME, lineup, 0).episodes.action[:, 0, 0]
    defects = [name == f"{PACKAGE}.rules:defector" for name in drawn]
    assert 0 < sum(defects) < 40
    np.testing.assert_array_equal(played, defects)
    key = jax.random.key(0)
    step = mixture.step(mixture.start(), np.zeros(5), np.ones(2, bool), key)
    assert int(step[0][0]) in (0, 1)


# -- distributions ---------------------------------------------------------------------


def test_probabilities_are_logged_and_drawn_from():
    shy_player = br.player(shy, distribution=True)
    lineup = seat_players(GAME, [shy_player, "always_d"], 200, 0)
    played = play(GAME, lineup, 0).episodes
    own = played.action[:, :, 0]
    assert own.mean() == pytest.approx(0.3, abs=0.07)
    np.testing.assert_allclose(
        played.prob[:, :, 0], np.where(own, 0.3, 0.7), rtol=1e-6
    )


def best(game, other, **settings):
    return br.exact.best_reply(game, 0, [other], **settings).value


def test_exact_replies_to_a_function_are_those_to_its_rule():
    memoryless = br.player(shy, distribution=True)
    # Defection always: .7 * 5 + .3 * 1 a round.
    assert best(GAME, memoryless) == pytest.approx(4 * 3.8)
    with_others = br.player(
        lambda obs, legal, others: np.eye(2)[copies(obs, legal, others)],
        distribution=True,
    )
    assert best(GAME, with_others) == pytest.approx(best(GAME, "tit_for_tat"))
    two_tats = br.player(of_two_tats, memory=0, distribution=True)
    # Cooperation and defection in turn, and defection twice at the end.
    assert best(GAME, two_tats) == pytest.approx(5 + 3 + 5 + 5)


def test_a_function_that_states_its_distribution_combines_as_scripted_players():
    two_tats = br.player(of_two_tats, memory=0, distribution=True)
    noise = Noisy(player=two_tats, eps=0.2, name="noisy")
    parts = (two_tats, br.make_player("always_d", GAME))
    mixture = Mixture(players=parts, weights=(1.0, 0.0), name="mixture")
    assert best(GAME, mixture) == pytest.approx(best(GAME, two_tats))
    assert best(GAME, noise) == pytest.approx(16.6, abs=0.5)
    played = actions(GAME, [mixture.players[0], "always_d"], 1)
    np.testing.assert_array_equal(played[0, :, 0], [0, 0, 1, 1])


@pytest.mark.slow
def test_an_exact_reply_in_a_grid_game_to_a_function_without_memory():
    @br.player(distribution=True)
    def anything(obs, legal):
        assert obs.shape[1:] == HUNT.obs_shape
        return legal / legal.sum(1, keepdims=True)

    own = best(HUNT, anything, layouts=2)
    assert own == pytest.approx(best(HUNT, "random", layouts=2), abs=1e-5)
    remembers = br.player(
        lambda obs, legal, memory: (legal / legal.sum(1)[:, None], memory),
        memory=0,
        distribution=True,
    )
    with pytest.raises(ValueError, match="has a memory: expected"):
        best(HUNT, remembers, layouts=2)


# -- names -----------------------------------------------------------------------------


def test_functions_by_name(tmp_path):
    names = [
        f"{PACKAGE}.rules:defector",
        f"{PACKAGE}.rules:cooperator",
        f"{PACKAGE}.rules:factory(1)",
    ]
    players = [br.make_player(name, GAME) for name in names]
    assert [player.name for player in players] == names
    assert all(isinstance(p, FunctionPlayer) for p in players)
    assert [p.version for p in players] == [1, 2, 1]
    again = br.make_player(names[0], GAME)
    assert again.rule is players[0].rule  # the same compiled program
    trusted = from_file(tmp_path, (PACKAGE,))
    assert [*players_in_file(names, GAME, trusted)] == names
    assert not players_in_file(names, GAME, from_file(tmp_path))
    with pytest.raises(ValueError, match="expected a subclass of Player"):
        br.make_player(f"{PACKAGE}.rules:cooperator(3)", GAME)
    with pytest.raises(ValueError, match="states its distribution"):
        br.make_player(f"noisy({names[0]}, 0.1)", GAME)


# -- faults ----------------------------------------------------------------------------


def answer(fn, **settings):
    """Return the checked answer of a function to three rows; the third has no choice."""
    player = br.player(fn, name="mine", **settings)
    legal = np.array([[True, True], [True, True], [False, True]])
    memory = jax.tree.map(lambda x: np.stack([x] * 3), player.memory)
    taken = {"memory": memory} if settings.get("memory") is not None else {}
    return Call(player.rule, player.name, 1)(np.zeros((3, 5)), legal, taken)


ANSWERS = {
    "shape": (lambda o, a: np.zeros(2, int), r"shape \(2,\) .*of shape \(3,\)"),
    "a float": (lambda o, a: np.zeros(3), r"type float64: expected whole"),
    "a bool": (lambda o, a: o[:, 0] > 0, r"type bool: expected whole"),
    "probabilities": (lambda o, a: a / 2, "give distribution=True"),
    "negative": (
        lambda o, a: np.full(3, -1),
        r"action -1: .*0 to 1; .*\[0, 1\]",
    ),
    "too large": (
        lambda o, a: [0, 0, 2],
        r"action 2: .*legal in this row: \[1\]",
    ),
    "none": (lambda o, a: None, "answer=None: expected an array of actions"),
    "text": (lambda o, a: ["C"] * 3, "expected an array of actions"),
    "ragged": (lambda o, a: [[0], [0, 1], [1]], "expected an array of actions"),
    "a memory": (lambda o, a: (np.zeros(3, int), o), "expected an array"),
}


@pytest.mark.parametrize(("fn", "message"), ANSWERS.values(), ids=ANSWERS)
def test_a_wrong_answer_is_a_sentence(fn, message):
    with pytest.raises(
        ValueError, match=f"player='mine': .*{message}"
    ) as error:
        answer(fn)
    assert not is_foreign(error.value)


def rows(*row):
    return lambda obs, legal: np.array([*row, [0.0, 1.0]][-3:])


PROBS = {
    "NaN": (rows([np.nan, 1], [0, 1]), "probabilities .*nan.*: expected"),
    "negative": (rows([-0.5, 1.5], [0, 1]), "0 or more"),
    "sum": (rows([0.5, 0.4], [0, 1]), "sum to 1"),
    "shape": (lambda o, a: np.ones(3), r"shape \(3,\): .*shape \(3, 2\)"),
    "actions": (lambda o, a: [0, 1, 1], r"expected probabilities of shape"),
}


@pytest.mark.parametrize(("fn", "message"), PROBS.values(), ids=PROBS)
def test_wrong_probabilities_are_a_sentence(fn, message):
    with pytest.raises(ValueError, match=f"player='mine': .*{message}"):
        answer(fn, distribution=True)


def test_the_only_legal_action_has_probability_1():
    probs, _ = answer(
        lambda o, a: np.tile([0.5, 0.5], (3, 1)), distribution=True
    )
    np.testing.assert_array_equal(probs, [[0.5, 0.5], [0.5, 0.5], [0, 1]])


MEMORIES = {
    "none": (lambda a, m: a, r"type ndarray: expected \(actions, memory\)"),
    "shape": (lambda a, m: (a, m[:2]), r"memory of shape \(2, 4\)"),
    "type": (lambda a, m: (a, m > 0), None),
    "a wider type": (lambda a, m: (a, m.astype(np.float64)), None),
    "complex": (lambda a, m: (a, m * 1j), "type complex64: expected"),
    "structure": (lambda a, m: (a, {"m": m}), "memory of structure"),
}


@pytest.mark.parametrize(("result", "message"), MEMORIES.values(), ids=MEMORIES)
def test_a_memory_keeps_its_form(result, message):
    def fn(obs, legal, memory):
        return result(np.ones(3, int), memory)

    if message is None:
        memory = answer(fn, memory=np.zeros(4))[1]
        assert memory.dtype == np.float32
        return
    with pytest.raises(ValueError, match=f"player='mine': .*{message}"):
        answer(fn, memory=np.zeros(4))


WIDE = {
    "int64": (0, lambda m: m.astype(np.int64) + 2**31, r"=2147483648: .*int32"),
    "uint64": (
        np.uint32(0),
        lambda m: m + np.uint64(2**40),
        r"=1099511627776: .*uint32",
    ),
    "negative": (np.uint32(0), lambda m: m.astype(int) - 1, None),
    "into a float": (
        0.5,
        lambda m: np.full(3, 2**24 + 1),
        "=16777217: .*float32",
    ),
    "infinite": (0.5, lambda m: np.full(3, 1e39), r"=1e\+39: .*float32"),
}


@pytest.mark.parametrize(("first", "after", "message"), WIDE.values(), ids=WIDE)
def test_a_number_that_the_memory_does_not_hold_is_refused(
    first, after, message
):
    def fn(obs, legal, memory):
        return np.ones(3, int), {"n": (after(memory["n"][0]),)}

    message = message and rf"player='mine': memory\['n'\]\[0\]{message} holds"
    with pytest.raises(ValueError, match=message):
        answer(fn, memory={"n": (first,)})


@pytest.mark.parametrize(
    "memory, place",
    [
        (
            {"s": np.uint64(2**40 + 5)},
            r"\['s'\]=1099511627781: .* uint32 holds",
        ),
        (2**31, "=2147483648: .* int32 holds"),
        ([0, np.array([1, -(2**40)])], r"\[1\]=-1099511627776: "),
        (1e39, r"=1e\+39: .* float32 holds"),
    ],
)
def test_a_first_memory_beyond_32_bits_is_refused(memory, place):
    with pytest.raises(ValueError, match=f"player='mine': memory{place}"):
        br.player(lambda o, a, memory: o, memory=memory, name="mine")


def test_a_memory_of_64_bits_that_32_bits_hold_is_kept():
    kept = br.player(
        lambda o, a, memory: o,
        memory=[np.uint64(2**32 - 1), -(2**31), 0.1, np.inf],
    ).memory
    assert [x.dtype for x in kept] == ["uint32", "int32", "float32", "float32"]
    assert kept[0] == 2**32 - 1 and kept[1] == -(2**31)


FUNCTIONS = {
    "no function": (3, {}, "fn=3: expected a function of obs"),
    "one parameter": (lambda obs: obs, {}, "expected a function of obs, legal"),
    "an unknown one": (lambda o, a, temperature: o, {}, "memory, rng, others"),
    "no memory": (
        lambda o, a, memory: o,
        {},
        "memory=None: expected the memory",
    ),
    "an unused one": (
        lambda o, a: o,
        {"memory": 0},
        "with a parameter `memory`",
    ),
    "a text": (
        lambda o, a, memory: o,
        {"memory": "x"},
        "expected arrays of num",
    ),
    "two draws": (lambda o, a, rng: o, {"distribution": True}, "without rng"),
    "no name": (lambda o, a: o, {"name": ""}, "name='': expected a text"),
}


@pytest.mark.parametrize(
    ("fn", "settings", "message"), FUNCTIONS.values(), ids=FUNCTIONS
)
def test_what_is_no_player_is_refused_when_it_is_made(fn, settings, message):
    with pytest.raises(ValueError, match=message):
        br.player(fn, **settings)


def test_a_default_of_a_functions_own_is_kept():
    def rule(obs, legal, *, action=1, **rest):
        return np.full(len(obs), action)

    np.testing.assert_array_equal(answer(rule)[0], [1, 1, 1])
    with pytest.raises(ValueError, match="fn=Function"):
        br.player(br.player(rule))
    assert isinstance(br.player(shy, distribution=True), FunctionPolicy)


def test_an_illegal_action_is_refused_with_the_players_name():
    first = br.player(lambda o, a: np.zeros(len(o), int), name="lowest card")
    message = (
        r"action=Bid: 1: expected a legal action from lowest card at step 1"
    )
    with pytest.raises(ValueError, match=message):
        actions(GOOFSPIEL, [first, "random"], 3)


def test_different_functions_of_one_name_make_no_data(tmp_path):
    two = [br.player(lambda o, a, k=k: a[:, k] * 0) for k in (0, 1)]
    with pytest.raises(
        ValueError, match="two different functions are named 'fun"
    ):
        br.collect(GAME, two, 2, 0, path=tmp_path / "data")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_end_of_the_program_inside_a_function_is_raised_as_it_is(
    kind, caplog, capfd
):
    def ends(obs, legal):
        raise kind

    with (
        caplog.at_level(logging.DEBUG, "jax._src.callback"),
        pytest.raises(kind),
    ):
        br.evaluate(GAME, [br.player(ends), "random"], 2, 0)
    assert "pure_callback" not in caplog.text + capfd.readouterr().err


def test_an_exception_of_a_function_is_raised_as_it_is(caplog, capfd, tmp_path):
    class Own(Exception):
        pass

    def fails(obs, legal):
        raise Own("mine")

    with (
        caplog.at_level(logging.DEBUG, "jax._src.callback"),
        pytest.raises(Own, match="mine") as error,
    ):
        br.evaluate(GAME, [br.player(fails), "random"], 2, 0)
    assert is_foreign(error.value)
    assert "pure_callback" not in caplog.text + capfd.readouterr().err
    with pytest.raises(AssertionError, match=r"step(.|\n)*Own: mine"):
        br.check_player(br.player(fails), GAME)
    with pytest.raises(Own):
        Session(GAME, [br.player(fails)], 0, 0, tmp_path / "played")
    fails_in_exact = br.player(fails, distribution=True)
    with pytest.raises(Own):
        best(GAME, fails_in_exact)
