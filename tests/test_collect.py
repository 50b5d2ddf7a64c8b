"""Play: what is logged is what happened, to whom, in whose order, whatever the chunk, from the seed alone."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bestreply import collect, make_game, make_player, open_store
from bestreply.players.base import Player
from bestreply.simulation.lineup import Lineup, seat_players
from bestreply.simulation.loop import play
from bestreply.types import ABSENT, ActorOutput, ego_order

HUNT = make_game(
    "stag_hunt(height=3, width=3, hunters=3, stags=1, hares=2, max_steps=6)"
)
PLAYERS = ["random", "nearest_hare", "nearest_stag"]
PD = make_game("matrix(table=prisoners_dilemma, rounds=4)")


class Echo(Player):
    """Plays what the other at ego-first index `j` played before; at first `first`."""

    j: int = eqx.field(static=True)
    first: int = eqx.field(static=True)
    name: str = eqx.field(static=True, default="echo")
    version: int = eqx.field(static=True, default=1)

    def start(self) -> Any:
        return ()

    def step(self, carry, obs, legal, key, *, others=None, present=None):
        action = jnp.where(others[self.j] == ABSENT, self.first, others[self.j])
        return carry, action.astype(jnp.int32), ActorOutput()


class Stubborn(Player):
    """Hunts stags wherever it is, from step `at` on."""

    at: int = eqx.field(static=True)
    name: str = eqx.field(static=True, default="stubborn")
    version: int = eqx.field(static=True, default=1)

    def start(self) -> Any:
        return jnp.int32(0)

    def step(self, carry, obs, legal, key, *, others=None, present=None):
        action = jnp.where(
            carry >= self.at, legal.shape[0] - 1, jnp.argmax(legal)
        )
        return carry + 1, action.astype(jnp.int32), ActorOutput()


def same(one, other):
    return all(
        np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in zip(*map(jax.tree.leaves, (one, other)), strict=True)
    )


# -- beside the game stepped by hand ---------------------------------------------------------------------------


MOVE = jax.jit(lambda game, *given: game.step(*given), static_argnums=0)
STEP = jax.jit(
    lambda player, *given: player.step(
        *given[:4], others=given[4], present=given[5]
    )
)


def by_hand(game, lineup, seed, match):
    """One match, a step at a time: a list of (shown, action, prob, after), seats as the game counts them."""
    n, order = game.num_players, ego_order(game.num_players)
    reset_key, rest = jax.random.split(
        jax.random.split(jax.random.fold_in(jax.random.key(seed), match), 1)[0]
    )
    state, shown = game.reset(reset_key)
    carries = [lineup.pool[index].init() for index in lineup.seating[match]]
    last, steps = np.full(n, ABSENT), []
    for step_key in jax.random.split(rest, game.max_steps):
        act_key, move_key = jax.random.split(step_key)
        action, prob = np.zeros(n, np.int32), np.full(n, np.nan, np.float32)
        for seat, index in enumerate(lineup.seating[match]):
            key = jax.random.fold_in(jax.random.fold_in(act_key, index), seat)
            others, present = last[order[seat, 1:]], shown.present[order[seat]]
            given = shown.obs[seat], shown.legal[seat], key
            answer = STEP(
                lineup.pool[index], carries[seat], *given, others, present
            )
            carries[seat], chosen, actor_output = answer
            action[seat], prob[seat] = int(chosen), actor_output.probs[chosen]
        state, after = MOVE(game, state, action, move_key)
        steps.append((shown, action, prob, after))
        if after.terminated.all() or after.truncated:
            break
        last = np.where(shown.present & ~shown.terminated, action, ABSENT)
        shown = after
    return steps


def test_compiled_play_is_the_game_stepped_by_hand():
    lineup = seat_players(HUNT, PLAYERS, 6, seed=5)
    found = play(HUNT, lineup, seed=7).episodes
    left = 0
    for match in range(6):
        steps = by_hand(HUNT, lineup, 7, match)
        assert found.length[match] == len(steps)
        assert (found.action[match, len(steps) :] == ABSENT).all()
        for t, (shown, action, prob, after) in enumerate(steps):
            acts = np.asarray(shown.present)
            left += (~acts).sum()
            assert np.array_equal(found.obs[match, t], shown.obs)
            assert np.array_equal(found.obs[match, t + 1], after.obs)
            assert np.array_equal(found.legal[match, t], shown.legal)
            assert np.array_equal(found.present[match, t], shown.present)
            assert np.array_equal(
                found.action[match, t], np.where(acts, action, ABSENT)
            )
            np.testing.assert_allclose(
                found.prob[match, t], np.where(acts, prob, np.nan), rtol=1e-6
            )
            assert np.array_equal(
                found.reward[match, t], np.where(acts, after.reward, 0)
            )
            assert np.array_equal(
                found.terminated[match, t], after.terminated & acts
            )
            assert found.truncated[match, t] == bool(after.truncated)
    assert left > 0  # a hunter had left before the others


def test_results_do_not_depend_on_the_chunk():
    lineup = seat_players(HUNT, PLAYERS, 6, seed=0)
    whole = play(HUNT, lineup, seed=1).episodes
    assert same(play(HUNT, lineup, seed=1, chunk=4).episodes, whole)
    again = play(HUNT, lineup, seed=2, chunk=4).episodes
    assert not np.array_equal(again.obs[:, 0], whole.obs[:, 0])


def test_lean_play_is_the_same_play():
    lineup = seat_players(HUNT, PLAYERS, 6, seed=0)
    whole, lean = (
        play(HUNT, lineup, seed=1, lean=lean).episodes for lean in (False, True)
    )
    for name in (
        "action",
        "prob",
        "reward",
        "terminated",
        "truncated",
        "length",
        "player",
        "present",
    ):
        assert np.array_equal(
            getattr(whole, name), getattr(lean, name), equal_nan=name == "prob"
        ), name
    assert lean.obs.size == lean.legal.size == 0


def test_equal_numbers_give_equal_first_states():
    lineup = seat_players(HUNT, PLAYERS, 6, seed=0)
    found = play(HUNT, lineup, seed=1, numbers=np.array([5, 6, 7] * 2)).episodes
    assert np.array_equal(
        found.obs[:3, 0], found.obs[3:, 0]
    ) and not np.array_equal(found.obs[0], found.obs[1])


# -- who sat where ---------------------------------------------------------------------------------------------


def test_players_see_the_others_ego_first():
    """Seat 1's others are seats 0 and 2: the second of them always plays 2."""
    game = make_game(
        "matrix", payoffs=np.zeros((3, 3, 3, 3)).tolist(), rounds=3
    )
    players = [
        Echo(0, first=1, name="first"),
        Echo(1, first=0, name="second"),
        make_player("always(2)", game),
    ]
    found = play(game, seat_players(game, players, 2, seed=0), seed=0).episodes
    assert (
        found.action[0].tolist()
        == found.action[1].tolist()
        == [[1, 0, 2], [0, 2, 2], [2, 2, 2]]
    )


def test_a_mixture_is_logged_as_the_player_drawn():
    lineup = seat_players(
        PD,
        ["mixture(always_c, always_d, weights=(1, 3))", "tit_for_tat"],
        400,
        seed=0,
    )
    assert [p["name"] for p in lineup.roster] == [
        "always_c",
        "always_d",
        "tit_for_tat",
    ]
    found = play(PD, lineup, seed=0).episodes
    assert (found.player[:, 1] == 2).all()
    assert (
        found.action[..., 0] == found.player[:, :1]
    ).all()  # player 0 cooperates, player 1 defects
    defects = (found.player[:, 0] == 1).mean()
    assert abs(defects - 0.75) < 5 * (0.75 * 0.25 / 400) ** 0.5


def test_one_player_in_several_seats_is_one_player():
    lineup = seat_players(HUNT, ["random", "nearest_stag", "random"], 2, seed=0)
    assert [p["name"] for p in lineup.roster] == ["random", "nearest_stag"]
    assert lineup.seating.tolist() == [[0, 1, 0]] * 2
    held = lineup.seats()
    assert held[0].tolist() == [[0, 2]] * 2 and held[1].tolist() == [[1]] * 2


def test_seats_are_padded_to_the_most_a_player_holds():
    lineup = Lineup(
        tuple(make_player(p, HUNT) for p in ("random", "nearest_stag")),
        np.array([[0, 0, 1], [1, 0, 1]], np.int32),
    )
    assert [x.tolist() for x in lineup.seats()] == [
        [[0, 1], [1, 3]],
        [[2, 3], [0, 2]],
    ]


def test_rotation_seats_everybody_everywhere():
    players = PLAYERS
    lineup = seat_players(HUNT, players, 7, seed=0, rotate=True)
    for match, row in enumerate(lineup.seating):
        names = [lineup.pool[index].name for index in row]
        assert names == [players[(seat - match) % 3] for seat in range(3)]


def test_payoffs_follow_the_seat_a_player_is_turned_to():
    game = make_game("matrix(table=matching_pennies, rounds=1)")
    lineup = seat_players(
        game, ["fictitious_play", "random"], 2, seed=0, rotate=True
    )
    seat0, seat1 = (lineup.pool[lineup.seating[m, m]] for m in range(2))
    assert seat0.payoffs == game.payoffs_of(
        0
    ) and seat1.payoffs == game.payoffs_of(1) != game.payoffs_of(0)


# -- several episodes against the same others ------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec", ["matrix(table=prisoners_dilemma, rounds=3)", "openspiel:matrix_pd"]
)
def test_players_carry_over_what_they_keep(spec):
    game = make_game(spec)
    players = [
        "switching(always(0), always(1), episode=2)",
        "switching(always(1), always(0), step=1)",
    ]
    found = play(
        game, seat_players(game, players, 2, seed=0), seed=0, series=3
    ).episodes
    steps = int(found.length[0])
    assert (
        found.action[..., 0].tolist()
        == [[0] * steps, [0] * steps, [1] * steps] * 2
    )
    assert (
        found.action[..., 1].tolist() == [[1, 0, 0][:steps]] * 6
    )  # begins anew


# -- host games ------------------------------------------------------------------------------------------------


def test_a_host_game_through_the_same_function(tmp_path):
    game = make_game("openspiel:matrix_rps")
    found = collect(
        game, ["random", "random"], 40, 3, path=tmp_path / "rps"
    ).episodes()
    one, other = found.action[:, 0].T
    wins = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])[one, other]
    assert np.array_equal(found.reward[:, 0], np.stack([wins, -wins], 1))
    assert (
        found.terminated[:, 0].all()
        and len(set(zip(one.tolist(), other.tolist(), strict=True))) == 9
    )


def test_goofspiel_is_what_open_spiel_says_of_the_logged_actions():
    pyspiel = pytest.importorskip("pyspiel")
    game = make_game(
        "openspiel:goofspiel(num_cards=3, points_order=descending, returns_type=total_points)"
    )
    lineup = seat_players(
        game, ["random", "mixture(random, always(2))"], 12, seed=0
    )
    found = play(game, lineup, seed=0).episodes
    assert same(play(game, lineup, seed=0, chunk=5).episodes, found)
    settings = {
        "num_cards": 3,
        "points_order": "descending",
        "returns_type": "total_points",
    }
    for e in range(12):
        state = pyspiel.load_game("goofspiel", settings).new_initial_state()
        for t in range(found.length[e]):
            for seat in range(2):
                assert np.flatnonzero(
                    found.legal[e, t, seat]
                ).tolist() == state.legal_actions(seat)
            state.apply_actions(found.action[e, t].tolist())
        assert (
            state.is_terminal()
            and found.terminated[e, found.length[e] - 1].all()
        )
        np.testing.assert_allclose(
            found.reward[e].sum(0), state.returns(), atol=1e-6
        )


# -- illegal actions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lean", [False, True])
def test_an_illegal_action_is_shown_with_its_player(lean):
    lineup = seat_players(HUNT, ["random", Stubborn(at=2), "random"], 6, seed=0)
    with pytest.raises(
        ValueError,
        match="stubborn chose HUNT_HARE at step 2 in seat 1 of stag_hunt, which is illegal",
    ) as told:
        play(HUNT, lineup, seed=3, lean=lean)
    assert ("; legal: " in str(told.value)) == (not lean)


def test_an_illegal_action_in_a_host_game_is_shown_with_its_player():
    game = make_game("openspiel:goofspiel(num_cards=3)")
    lineup = seat_players(game, ["random", Stubborn(at=0)], 2, seed=0)
    with pytest.raises(
        ValueError,
        match=r"stubborn chose .* at step 1 in seat 1 of openspiel:goofspiel, which is illegal; legal: ",
    ):
        play(game, lineup, seed=0)


@pytest.mark.parametrize(
    "players, episodes, told",
    [
        (
            ["random"] * 2,
            1,
            r"stag_hunt has 3 seats; got players=\['random', 'random'\]",
        ),
        ("random", 1, "one player for each seat"),
        (["random"] * 3, 0, "0 episodes; expected: at least 1"),
    ],
)
def test_a_wrong_number_is_refused(players, episodes, told):
    with pytest.raises(ValueError, match=told):
        seat_players(HUNT, players, episodes, seed=0)


# -- to disk ---------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    wanted = {"a": 4, "b": 4, "c": 5}
    stores = [
        collect(HUNT, PLAYERS, 6, seed, path=tmp_path / name)
        for name, seed in wanted.items()
    ]
    a, b, c = ((s.path / "part-00000.parquet").read_bytes() for s in stores)
    assert (
        a == b != c
        and stores[0].fingerprint
        == stores[1].fingerprint
        != stores[2].fingerprint
    )


def test_collecting_twice_adds(tmp_path):
    path = tmp_path / "data"
    collect(HUNT, PLAYERS, 6, 0, path=path, command="one")
    collect(HUNT, PLAYERS[::-1], 6, 1, path=path, command="two")
    store = open_store(path)
    assert [(p.episodes, p.seed, p.command) for p in store.manifest.parts] == [
        (6, 0, "one"),
        (6, 1, "two"),
    ]
    assert [p["name"] for p in store.roster] == PLAYERS
    assert (
        store.episodes().player.tolist() == [[0, 1, 2]] * 6 + [[2, 1, 0]] * 6
    )  # by name, not by place
    with pytest.raises(ValueError, match=r"not of .*always"):
        collect(HUNT, ["always(STAY)", *PLAYERS[1:]], 3, 0, path=path)
    with pytest.raises(ValueError, match="game setting hares"):
        collect(dataclasses.replace(HUNT, hares=1), PLAYERS, 3, 0, path=path)


def test_by_default_it_goes_to_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [collect(PD, ["always_c", "always_d"], 1, 0).path for _ in range(2)]
    assert [str(p) for p in paths] == [
        "datasets/matrix-0001",
        "datasets/matrix-0002",
    ]
