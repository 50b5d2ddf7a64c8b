"""The prisoner's dilemma of 245 strategies: matches of the package, exact values, the agent."""

import csv
from pathlib import Path

import numpy as np
import pytest

from experiments.axelrod.game import TOURNAMENTS, TURNS, Log

STANDARD, _, RANDOM_ENDS = TOURNAMENTS.values()


def test_weights_of_turns_are_those_of_the_score():
    for rules in TOURNAMENTS.values():
        assert rules.weights.sum() == pytest.approx(1, abs=1e-3)
    length = RANDOM_ENDS.lengths(200_000, np.random.default_rng(1))
    first_turn = (1 / length).mean()
    assert RANDOM_ENDS.weights[0] == pytest.approx(first_turn, rel=0.01)


def test_exact_best_replies_to_strategies_of_the_package():
    """Defect at the last turn only; always; always; one that draws has no table."""
    pytest.importorskip("axelrod")
    from experiments.axelrod.exact import exact_scores
    from experiments.axelrod.pool import pool

    names = ["Tit For Tat", "Defector", "Cooperator", "GTFT: 0.33"]
    found = exact_scores({name: pool()[name] for name in names})
    expected = dict(zip(names[:3], [(199 * 3 + 5) / 200, 1, 5], strict=True))
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_pool_and_the_matches_are_those_of_the_package():
    axelrod = pytest.importorskip("axelrod")
    from experiments.axelrod.matches import play
    from experiments.axelrod.pool import pool, published_name

    named = pool()
    file = Path("results") / "axelrod" / "published.csv"
    with file.open(encoding="utf-8") as rows:
        published = {row["strategy"] for row in csv.DictReader(rows)}
    assert len(published) == 245 and len(named) == 227
    assert {*map(published_name, named)} <= published

    class AlwaysDefects:
        def begin(self, matches, rules, seed):
            self.matches = matches

        def act(self):
            return np.ones(self.matches, int)

        def observe(self, mine, theirs):
            pass

    names = ["Tit For Tat", "Grudger", "Evolved FSM 16", "Win-Stay Lose-Shift"]
    log = play(AlwaysDefects(), [named[n] for n in names], STANDARD, 0)
    for name, mine, theirs in zip(
        names, log.scores, log.opponents, strict=True
    ):
        match = axelrod.Match((axelrod.Defector(), named[name]()), turns=200)
        match.play()
        assert (mine, theirs) == pytest.approx(match.final_score_per_turn())


# -- players of the library ------------------------------------------------------


def test_automata_act_as_the_strategies_of_the_package():
    """Each on random actions of the other player; one that draws, by frequencies."""
    pytest.importorskip("axelrod")
    from experiments.axelrod.strategies import (
        STRATEGIES,
        automaton,
        next_action,
    )

    rng, drawn = np.random.default_rng(0), []
    for name in STRATEGIES:
        machine, state, past = automaton(name), 0, []
        for theirs in rng.integers(2, size=8):
            defects = machine.defects[state]
            played = np.reshape(past, (len(past), 2)).astype(int)
            draws = 1 if defects in (0, 1) else 40
            found = [next_action(name, played, rng) for _ in range(draws)]
            assert np.mean(found) == pytest.approx(defects, abs=0.3)
            if draws > 1:
                drawn.append(name)
            past.append((found[-1], theirs))
            state = machine.next[state, found[-1], theirs]
    assert {*drawn} == {"Random", "GTFT", "FirstByJoss"}
    tats = automaton("TitFor2Tats")
    assert tats.defects.tolist() == [0, 0, 1]  # by defections in a row
    assert tats.next[:, 0].tolist() == [[0, 1], [0, 2], [0, 2]]
    forgives = automaton("GTFT").defects
    assert forgives == pytest.approx([0, 0, 2 / 3, 0, 2 / 3])


def test_players_of_the_library_play_the_matches_of_the_package():
    """One pair of automata; and Joss, which after a defection always defects."""
    axelrod = pytest.importorskip("axelrod")
    from bestreply import make_game
    from bestreply.simulation.lineup import seat_players
    from bestreply.simulation.loop import play
    from experiments.axelrod.strategies import MODULE

    names = ("TwoTitsForTat", "Alternator")
    makers = [getattr(axelrod, name)() for name in names]
    match = axelrod.Match(makers, turns=12).play()
    expected = [[action.value for action in joint] for joint in match]
    game = make_game("matrix(table=prisoners_dilemma, rounds=12, memory=0)")
    specs = [f"{MODULE}:strategy({name})" for name in names]
    lineup = seat_players(game, specs, 1, 0)
    assert [entry["name"] for entry in lineup.roster] == specs
    found = play(game, lineup, 0).episodes.action[0]
    assert found.tolist() == expected
    specs = [f"{MODULE}:strategy({n})" for n in ("FirstByJoss", "Defector")]
    joss = play(game, seat_players(game, specs, 3, 0), 0).episodes.action
    assert joss[:, 1:, 0].all() and not joss[:, 0, 0].any()


def test_any_strategy_of_the_package_plays():
    """One that draws by more than the last joint action: it is made anew each time."""
    pytest.importorskip("axelrod")
    from bestreply import make_game
    from bestreply.simulation.lineup import seat_players
    from bestreply.simulation.loop import play
    from experiments.axelrod.strategies import MODULE, automaton

    assert automaton("SoftJoss") is not None and automaton("Stalker") is None
    game = make_game("matrix(table=prisoners_dilemma, rounds=4, memory=0)")
    specs = [f"{MODULE}:strategy({n})" for n in ("Stalker", "TitForTat")]
    action = play(game, seat_players(game, specs, 2, 0), 0).episodes.action
    np.testing.assert_array_equal(action[:, 1:, 1], action[:, :-1, 0])


def test_a_drawing_strategy_draws_by_the_seed_of_play():
    """Generous tit for tat forgives a defection with probability 1/3."""
    pytest.importorskip("axelrod")
    from experiments.axelrod.strategies import next_action

    past = np.array([[0, 1]])
    rng = np.random.default_rng(0)
    drawn = [next_action("GTFT", past, rng) for _ in range(300)]
    assert np.mean(drawn) == pytest.approx(2 / 3, abs=0.08)
    one, other = (
        next_action("Random", past, np.random.default_rng(5)) for _ in (0, 1)
    )
    assert one == other


def test_the_table_of_the_librarys_opponent_models():
    """Two seeds of each: means, ranges, fraction of the exact reply."""
    pytest.importorskip("axelrod")
    from experiments.axelrod import library
    from experiments.axelrod.strategies import STRATEGIES

    means = dict.fromkeys(STRATEGIES, 2.0)
    rows = [
        {"model": model, "seed": seed, "mean": means | {"Defector": paid}}
        for model in library.MODELS
        for seed, paid in enumerate((0.8, 1.0))
    ]
    exact = dict.fromkeys(STRATEGIES, 4.0) | {"Defector": 1.0}
    lines = library.strategy_table(rows, exact).splitlines()
    cells = {line.split("|")[1].strip(): line.split("|") for line in lines}
    assert cells["TitForTat"][2:4] == [" 4.00 ", " 2.00 (2.00 to 2.00) "]
    assert cells["Defector"][2:4] == [" 1.00 ", " 0.90 (0.80 to 1.00) "]
    mean, best = (11 * 2 + 0.9) / 12, (11 * 4 + 1) / 12
    assert cells["mean, as beside a mixture of all"][2] == f" {best:.2f} "
    fraction = cells["fraction of the exact best reply"][3]
    assert fraction.startswith(f" {mean / best:.3f} (")


# -- the agent -------------------------------------------------------------------


def test_matches_become_a_dataset(tmp_path):
    """Rewards, names and ends; of a match longer than the game's the rest is left out."""
    pytest.importorskip("axelrod")
    from experiments.axelrod.entry import OWN, store_of

    rng = np.random.default_rng(0)
    length = np.array([3, TURNS + 4, 1])
    actions = rng.integers(2, size=(3, TURNS + 4, 2)).astype(np.int8)
    actions[np.arange(TURNS + 4) >= length[:, None]] = -1
    log = Log(actions, length)
    kind, names = np.array([1, 0, 1]), ["A", "B"]
    store = store_of([(log, kind)], names, RANDOM_ENDS, tmp_path / "data")
    episodes = store.episodes()
    assert episodes.length.tolist() == [3, TURNS, 1]
    assert episodes.terminated[[0, 2], [2, 0]].all()
    assert np.asarray(episodes.truncated).sum(1).tolist() == [0, 1, 0]
    roster = [entry["name"] for entry in store.manifest.roster]
    seated = [[roster[p] for p in row] for row in episodes.player]
    assert seated == [[OWN, "B"], [OWN, "A"], [OWN, "B"]]
    rewards = np.asarray(episodes.reward)[0, :3]
    np.testing.assert_allclose(rewards[:, 0], log.rewards[0, :3])


@pytest.mark.slow
def test_the_agent_finds_out_whom_it_plays(tmp_path):
    """After a few turns it has the exact best reply: 5, 1 and 3 a turn."""
    pytest.importorskip("axelrod")
    from experiments.axelrod import entry
    from experiments.axelrod.agent import Learned, Variant
    from experiments.axelrod.matches import play
    from experiments.axelrod.pool import pool

    names = ["Cooperator", "Defector", "Tit For Tat"]
    makers = {name: pool()[name] for name in names}
    run = entry.train(makers, STANDARD, 0, 0, tmp_path)
    log = play(Learned(run, names), [*makers.values()], STANDARD, 1)
    exact = np.array([5, 1, (199 * 3 + 5) / 200])
    assert (log.scores > exact - 0.1).all() and (log.scores <= exact).all()
    given = Learned(run, names, Variant(given=True))
    log = play(given, [*makers.values()] * 2, STANDARD, 1)
    np.testing.assert_allclose(log.scores, [*exact, *exact], rtol=1e-6)


def test_bounds_of_what_finding_out_can_earn():
    """Against all policies gone through one by one: histories to actions, five turns."""
    pytest.importorskip("axelrod")
    import bestreply as br
    from bestreply.opponents.tables import sequences_after
    from experiments.axelrod.bounds import Tables, bounds
    from experiments.axelrod.game import PAYOFF

    game = br.make_game("matrix(table=prisoners_dilemma, rounds=5, memory=0)")
    after = sequences_after(game, 1)
    cooperates = np.full((3, len(after)), 0.95)
    cooperates[1] = 0.05
    cooperates[2, after[0, 1]] = 0.05  # after a defection of the agent
    probs = np.stack([cooperates, 1 - cooperates], -1)
    weights = np.full(5, 0.2)

    def best(row, belief, turn):
        if turn == len(weights):
            return 0.0
        return max(
            sum(
                sum(belief * probs[:, row, other])
                * weights[turn]
                * PAYOFF[own, other]
                + best(
                    after[row, own, other],
                    belief * probs[:, row, other],
                    turn + 1,
                )
                for other in (0, 1)
            )
            for own in (0, 1)
        )

    exact = best(0, np.full(3, 1 / 3), 0)
    tables = Tables(probs, after, weights)
    assert bounds(tables, 5) == pytest.approx((exact, exact))
    found = [bounds(tables, depth) for depth in range(5)]
    lower, upper = np.transpose(found)
    assert np.all(np.diff(lower) >= -1e-9) and np.all(np.diff(upper) <= 1e-9)
    assert lower[0] < exact - 0.01 and upper[0] > exact + 0.01
