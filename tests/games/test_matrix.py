"""Repeated matrix games: beside a reference, textbook payoffs, lengths, views."""

import itertools

import jax
import numpy as np
import pytest

from bestreply.games import check_game, make_game
from bestreply.games.matrix import TABLES, MatrixGame
from bestreply.types import ABSENT, ego_order
from tests.shared import compiled

KEY = jax.random.key(0)


def play(game, rounds):
    """Random play of 16 games: actions [T, E, N], time steps [T + 1, E, ...]."""
    rng = np.random.default_rng(0)
    keys = jax.random.split(KEY, (rounds + 1, 16))
    state, shown = compiled(game.reset, over=0)(keys[-1])
    step = compiled(game.step, over=0)
    shape = (rounds, 16, game.num_players)
    actions = rng.integers(game.num_actions, size=shape).astype(np.int32)
    history = [jax.tree.map(np.asarray, shown)]
    for t in range(rounds):
        state, shown = step(state, actions[t], keys[t])
        history.append(jax.tree.map(np.asarray, shown))
    return actions, history


def reset(game):
    return compiled(game.reset)(KEY)


def step(game, state, actions):
    state, shown = compiled(game.step)(state, np.array(actions, np.int32), KEY)
    return state, jax.tree.map(np.asarray, shown)


def reference_observation(game, past, ahead, seat):
    """One observation, entry by entry.

    Joint actions, newest first, ego-first; the seat if it matters; what is ahead.
    """
    n, entries = game.num_players, []
    for back in range(1, game.memory + 1):
        for player in [seat] + [j for j in range(n) if j != seat]:
            acted = past[-back][player] if back <= len(past) else None
            entries += [float(acted == a) for a in range(game.num_actions)]
    if not game.symmetric:
        entries += [float(j == seat) for j in range(n)]
    return [*entries, ahead]


THREE = np.random.default_rng(1).normal(size=(3, 2, 2, 2))
SETTINGS = [
    {"table": "stag_hunt", "rounds": 3, "memory": 3},
    {"table": "rock_paper_scissors", "rounds": 4, "memory": 0},
    {"table": "chicken", "rounds": 6, "max_steps": 4},
    {"payoffs": THREE, "rounds": 4, "memory": 2},
]


@pytest.mark.parametrize(
    "settings", SETTINGS, ids=lambda s: str(s.get("table", "payoffs" in s))
)
def test_play_matches_the_reference(settings):
    game = make_game("matrix", **settings)
    table = np.asarray(settings.get("payoffs", game.payoff_array))
    actions, history = play(game, game.max_steps + 2)
    for e in range(16):
        past = []
        for t, shown in enumerate(history):
            over = t >= game.rounds
            for seat in range(game.num_players):
                ahead = (game.rounds - len(past)) / game.rounds
                np.testing.assert_allclose(
                    shown.obs[e, seat],
                    reference_observation(game, past, ahead, seat),
                    rtol=1e-6,
                )
                paid = (
                    table[(seat, *actions[t - 1, e])]
                    if 0 < t <= game.max_steps
                    else 0.0
                )
                assert shown.reward[e, seat] == pytest.approx(paid, rel=1e-6)
            assert (
                shown.terminated[e].tolist()
                == [over and game.max_steps == game.rounds] * game.num_players
            )
            assert shown.truncated[e] == (t >= game.max_steps < game.rounds)
            assert shown.legal[e].all() and shown.present[e].all()
            if t < game.max_steps:
                past.append(actions[t, e].tolist())


# -- payoffs ------------------------------------------------------------


@pytest.mark.parametrize(
    "table, first, paid",
    [
        (
            "prisoners_dilemma",
            "COOPERATE",
            {(0, 0): (3, 3), (0, 1): (0, 5), (1, 0): (5, 0), (1, 1): (1, 1)},
        ),
        (
            "stag_hunt",
            "STAG",
            {(0, 0): (2, 2), (0, 1): (0, 1), (1, 0): (1, 0), (1, 1): (1, 1)},
        ),
        (
            "chicken",
            "SWERVE",
            {(0, 0): (3, 3), (0, 1): (1, 4), (1, 0): (4, 1), (1, 1): (0, 0)},
        ),
        (
            "matching_pennies",
            "HEADS",
            {
                (0, 0): (1, -1),
                (0, 1): (-1, 1),
                (1, 0): (-1, 1),
                (1, 1): (1, -1),
            },
        ),
        (
            "rock_paper_scissors",
            "ROCK",
            {(0, 0): (0, 0), (0, 1): (-1, 1), (0, 2): (1, -1), (1, 2): (-1, 1)},
        ),
    ],
)
def test_textbook_payoffs(table, first, paid):
    game = make_game(f"matrix(table={table})")
    assert game.action_names[0] == first
    for joint, rewards in paid.items():
        assert tuple(game.payoff_array[:, *joint].tolist()) == rewards


@pytest.mark.parametrize(
    "table, theirs",
    [
        ("stag_hunt", "sh"),
        ("matching_pennies", "mp"),
        ("rock_paper_scissors", "rps"),
        ("chicken", "cd"),
    ],
)
def test_payoffs_equal_those_of_openspiel(table, theirs):
    pyspiel = pytest.importorskip("pyspiel")
    other = pyspiel.load_matrix_game(f"matrix_{theirs}")
    count = other.num_rows()
    order = range(count)
    if table == "chicken":  # OpenSpiel's first action is to dare
        order = order[::-1]
    payoffs = make_game("matrix", table=table).payoff_array
    for a, b in itertools.product(range(count), repeat=2):
        joint = order[a], order[b]
        expected = other.row_utility(*joint), other.col_utility(*joint)
        assert tuple(payoffs[:, a, b]) == expected


def test_the_dilemmas_are_dilemmas():
    def rpst(table):
        (r, s), (t, p) = TABLES[table].rows
        return r, p, s, t

    r, p, s, t = rpst("prisoners_dilemma")
    assert t > r > p > s and 2 * r > t + s
    r, p, s, t = rpst("chicken")
    assert t > r > s > p
    r, p, s, t = rpst("stag_hunt")
    assert r > t >= p > s


def test_payoffs_of_a_seat_have_its_own_action_first():
    game = make_game("matrix", payoffs=THREE)
    for seat, own, a, b in itertools.product(range(3), *[range(2)] * 3):
        joint = [a, b]
        joint.insert(seat, own)
        payoff = np.float32(THREE[(seat, *joint)])
        assert game.payoffs_of(seat)[own][a][b] == payoff


def test_symmetry_is_a_property_of_the_payoffs():
    # Volunteer's dilemma: all get 2 if a player acts; a player that acts pays 1.
    volunteers = np.zeros((3, 2, 2, 2))
    for joint in itertools.product(range(2), repeat=3):
        for seat in range(3):
            volunteers[(seat, *joint)] = 2 * (0 in joint) - (joint[seat] == 0)
    assert make_game("matrix", payoffs=volunteers).symmetric
    volunteers[2, 0, 0, 0] += 1
    assert not make_game("matrix", payoffs=volunteers).symmetric
    games = {name: make_game("matrix", table=name) for name in TABLES}
    asymmetric = [name for name, game in games.items() if not game.symmetric]
    assert asymmetric == ["matching_pennies"]


# -- lengths ------------------------------------------------------------


def test_lengths_are_geometric_with_a_continuation_probability():
    game = make_game("matrix", continuation=0.8, max_steps=60)

    def length(key):
        def one(carry, key):
            state, count = carry
            state, shown = game.step(state, np.zeros(2, np.int32), key)
            return (state, count + ~shown.terminated.all()), shown.truncated

        keys = jax.random.split(key, 60)
        (_, count), cut = jax.lax.scan(one, (game.start(key), 1), keys)
        return count, cut.any()

    lengths, cut = jax.jit(jax.vmap(length))(jax.random.split(KEY, 20_000))
    lengths = np.asarray(lengths)
    assert not np.asarray(cut).any()  # 0.8 ** 60 is 1.5e-6
    error = np.sqrt(0.8) / 0.2 / np.sqrt(20_000)
    assert lengths.mean() == pytest.approx(1 / (1 - 0.8), abs=5 * error)
    for k in range(1, 5):
        frequency = (lengths == k).mean()
        assert frequency == pytest.approx(0.2 * 0.8 ** (k - 1), abs=0.015)


def test_a_drawn_end_terminates_and_the_step_limit_truncates():
    _, history = play(make_game("matrix", continuation=0.5, max_steps=3), 5)
    last = history[-1]
    assert last.truncated.any() and last.terminated.any()
    assert (last.truncated == ~last.terminated.any(1)).all()  # exactly one
    assert (last.reward == 0).all()
    assert np.array_equal(last.obs, history[3].obs)


@pytest.mark.parametrize("continuation, truncates", [(1, True), (0, False)])
def test_certain_continuation_and_certain_end(continuation, truncates):
    game = make_game("matrix", continuation=continuation, max_steps=1)
    _, shown = step(game, reset(game)[0], [0, 0])
    assert shown.truncated == truncates
    assert shown.terminated.tolist() == [not truncates] * 2


@pytest.mark.parametrize(
    "given, rounds, continuation, max_steps",
    [
        ({}, 10, None, 10),
        ({"rounds": 7}, 7, None, 7),
        ({"rounds": 7, "max_steps": 50}, 7, None, 7),
        ({"rounds": 7, "max_steps": 5}, 7, None, 5),
        ({"continuation": 0.9}, None, 0.9, 100),
        ({"continuation": 0.9, "max_steps": 30}, None, 0.9, 30),
    ],
)
def test_default_lengths_are_settings(given, rounds, continuation, max_steps):
    game = make_game("matrix", **given)
    assert (game.rounds, game.continuation, game.max_steps) == (
        rounds,
        continuation,
        max_steps,
    )
    assert make_game("matrix", **game.settings) == game


# -- observations ------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{"table": "matching_pennies"}, {"payoffs": THREE}, {"table": "chicken"}],
)
def test_perspective_equals_the_other_seats_view(settings):
    game = make_game("matrix", memory=2, **settings)
    _, history = play(game, 3)
    order = ego_order(game.num_players)
    perspective = compiled(game.perspective)
    for shown in history:
        for viewer in range(game.num_players):
            for index, seat in enumerate(order[viewer]):
                # a whole batch at once
                view = perspective(shown.obs[:, viewer], np.array(index))
                np.testing.assert_array_equal(view, shown.obs[:, seat])


def test_perspective_in_a_symmetric_game_keeps_the_own_order_of_the_others():
    game = make_game("matrix", payoffs=np.zeros((4, 3, 3, 3, 3)))
    _, shown = step(game, reset(game)[0], [0, 1, 2, 1])
    obs, recall = shown.obs[3], compiled(game.recall)
    assert recall(obs).tolist() == [[1, 0, 1, 2]]
    view = compiled(game.perspective)(obs, np.array(2))
    assert recall(view).tolist() == [[1, 1, 0, 2]]


def test_recall_decodes_the_joint_actions():
    game = make_game("matrix", table="rock_paper_scissors", memory=3)
    state, shown = reset(game)
    recall = compiled(game.recall)
    assert recall(shown.obs).tolist() == [[[ABSENT] * 2] * 3] * 2
    for joint in ([0, 1], [2, 0]):
        state, shown = step(game, state, joint)
    assert recall(shown.obs).tolist() == [
        [[2, 0], [0, 1], [ABSENT] * 2],
        [[0, 2], [1, 0], [ABSENT] * 2],
    ]


def test_text_reads_from_left_to_right():
    game = make_game("matrix", memory=2)
    state, shown = reset(game)
    assert game.text(shown.obs[1], 1).splitlines()[1:] == [
        "player 1        -",
        "player 2 (you)  -",
    ]
    for joint in ([0, 0], [1, 0], [0, 1]):
        state, shown = step(game, state, joint)
    assert game.text(shown.obs[1], 1).splitlines() == [
        "7 of 10 rounds left",
        "player 1        DEFECT    COOPERATE",
        "player 2 (you)  COOPERATE DEFECT",
    ]
    game = make_game("matrix", continuation=0.9)
    text = game.text(reset(game)[1].obs[0])
    assert text.startswith("continues after each round with probability 0.9")


# -- settings ------------------------------------------------------------


def test_payoffs_on_the_command_line_are_the_named_table():
    game = make_game(
        "matrix(payoffs=(((3,0),(5,1)),((3,5),(0,1))), actions=(C, D))"
    )
    np.testing.assert_array_equal(
        game.payoff_array,
        make_game("matrix(table=prisoners_dilemma)").payoff_array,
    )
    assert game.action_names == ("C", "D")
    assert make_game("matrix", payoffs=np.array(game.payoffs)).action_names == (
        "ACTION_0",
        "ACTION_1",
    )


def test_settings_from_json_lists_make_an_equal_hashable_game():
    game = make_game(
        "matrix",
        payoffs=[[[3, 0], [5, 1]], [[3, 5], [0, 1]]],
        actions=["C", "D"],
    )
    assert game == make_game(
        "matrix(payoffs=(((3,0),(5,1)),((3,5),(0,1))), actions=('C','D'))"
    )
    assert hash(game) == hash(make_game("matrix", **game.settings))


@pytest.mark.parametrize(
    "settings, message",
    [
        (
            {"table": "poker"},
            "table='poker': expected stag_hunt, prisoners_dilemma",
        ),
        (
            {"table": "chicken", "payoffs": THREE},
            "expected no payoffs beside it",
        ),
        (
            {"payoffs": ((3, 0), (5, 1))},
            r"shape \(2, 2\) for 2 players: expected payoffs\[i\]",
        ),
        ({"payoffs": (((3, 0), (5,)), ((3, 5), (0, 1)))}, "ragged"),
        (
            {"payoffs": (((3, "x"), (5, 1)), ((3, 5), (0, 1)))},
            "ragged, or not only numbers",
        ),
        (
            {"payoffs": np.zeros((2, 2, 3))},
            "players with 2, 3 actions: expected the same number",
        ),
        ({"payoffs": np.full((2, 2, 2), np.nan)}, "finite"),
        ({"payoffs": np.zeros((1, 2))}, "1 players: expected"),
        ({"actions": ("C",)}, "expected 2 different names"),
        ({"actions": ("C", "C")}, "expected 2 different names"),
        ({"rounds": 0}, "rounds=0: expected 1 or more"),
        (
            {"rounds": 5, "continuation": 0.5},
            "rounds=5: expected no continuation",
        ),
        ({"continuation": 1.5}, "continuation=1.5: expected a probability"),
        ({"memory": -1}, "memory=-1: expected 0 or more"),
        ({"max_steps": -1}, "max_steps=-1: expected 1 or more"),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MatrixGame(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"table": "matching_pennies", "continuation": 0.7, "max_steps": 9},
        {"payoffs": THREE, "rounds": 3, "memory": 2},
        {"memory": 0, "rounds": 2},
    ],
    ids=["random end", "own payoffs", "no memory"],
)
def test_the_contract_of_a_game_is_kept(settings):
    report = check_game(make_game("matrix", **settings))
    assert set(report.skipped) == {"left", "symmetries"}
