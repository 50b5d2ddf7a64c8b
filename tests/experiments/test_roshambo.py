"""Rock-paper-scissors against OpenSpiel's programs: predictors, their mixture, matches and the learned agent."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pyspiel = pytest.importorskip("pyspiel")
if not hasattr(pyspiel, "roshambo_bot_names"):
    pytest.skip(
        "open_spiel was built without its roshambo programs",
        allow_module_level=True,
    )

from bestreply.config import PlannerConfig  # noqa: E402
from bestreply.models.true_model import TrueModel  # noqa: E402
from bestreply.planning.agent import Agent  # noqa: E402
from experiments.roshambo import experts, measure  # noqa: E402
from experiments.roshambo.learning import Logs, Settings, Trainer  # noqa: E402
from experiments.roshambo.model import FULL, Net, Programs  # noqa: E402
from experiments.roshambo.players import (  # noqa: E402
    Counts,
    Mixture,
    Uniform,
    best_reply,
    play,
)
from experiments.roshambo.programs import Matches, held_out, names, payoff  # noqa: E402

update = jax.jit(experts.update)


def banks(history: np.ndarray) -> list[experts.Bank]:
    """Return the banks before each throw and after the last."""
    result = [experts.start(len(history))]
    for own, theirs in history:
        result.append(update(result[-1], own, theirs))
    return result


def some_history(throws: int, seed: int = 0) -> np.ndarray:
    """Return random own throws, and throws of a program that often beats its last throw."""
    rng = np.random.default_rng(seed)
    own = rng.integers(0, 3, throws)
    copy = (
        np.where(
            rng.random(throws) < 0.7,
            np.roll(own, 1) + 1,
            rng.integers(0, 3, throws),
        )
        % 3
    )
    return np.stack([own, copy], 1)


# -- predictors compared with a slow reference ---------------------------------


def slow_counts(
    history: np.ndarray, now: int, context, since, decay: float, who: int
) -> np.ndarray:
    """Return counts [3] of the throws of `who`, relative to `since`, after the context of throw `now`."""
    counts = np.zeros(3)
    for t in range(now):
        if context(history, t) == context(history, now):
            counts *= decay
            counts[(history[t, who] - since(history, t)) % 3] += 1
    return np.roll(counts, since(history, now))


def thrown(history: np.ndarray, t: int, lag: int, who: int) -> int:
    return int(history[t - lag, who]) if t >= lag else 0


def windows(column, length: int):
    return lambda h, t: tuple(column(h, t, lag) for lag in range(1, length + 1))


def slow_contexts():
    """Yield each context and its reference throw, in the order of the tables."""
    none, absolute = (lambda h, t: ()), (lambda h, t: 0)
    last = lambda h, t: thrown(h, t, 1, 1)  # noqa: E731
    both = lambda h, t, lag: (thrown(h, t, lag, 0), thrown(h, t, lag, 1))  # noqa: E731

    def turned(h, t, lag):
        return tuple((x - last(h, t)) % 3 for x in both(h, t, lag))

    yield none, absolute
    for who, longest in ((0, experts.OWN), (1, experts.THEIRS)):
        for k in range(1, longest + 1):
            yield (
                windows(lambda h, t, lag, who=who: thrown(h, t, lag, who), k),
                absolute,
            )
    for k in range(1, experts.JOINT + 1):
        yield windows(both, k), absolute
    for k in range(experts.TURNED + 1):
        yield windows(turned, k), last
    for lag, who in [
        (lag, who) for lag in range(1, experts.LAGS + 1) for who in (0, 1)
    ]:
        if (lag, who) != (1, 1):
            yield none, lambda h, t, lag=lag, who=who: thrown(h, t, lag, who)


def test_counts_equal_those_of_a_slow_reference():
    history = some_history(40)
    bank = banks(history)[-1]
    now = len(history)
    padded = np.concatenate([history, [[0, 0]]])
    counted = np.asarray(bank.predicted)[: experts.PLAIN].reshape(
        experts.CONTEXTS, len(experts.DECAYS), 2, 3
    )
    contexts = list(slow_contexts())
    assert len(contexts) == experts.CONTEXTS
    for c, (context, since) in enumerate(contexts):
        for d, decay in enumerate(experts.DECAYS):
            for who in (0, 1):
                counts = (
                    slow_counts(padded, now, context, since, decay, who)
                    + experts.PRIOR
                )
                np.testing.assert_allclose(
                    counted[c, d, who],
                    counts / counts.sum(),
                    atol=1e-5,
                    err_msg=f"context {c}, decay {decay}",
                )


def test_longest_matches_equal_those_of_a_slow_reference():
    history = some_history(60, seed=3)
    for now, bank in list(enumerate(banks(history)))[2::7]:
        matched = np.asarray(bank.predicted)[-3:]
        for kind, columns in enumerate(([0], [1], [0, 1])):
            column = history[:now, columns].tolist()
            best, after = 0, None
            for end in range(now - 1):  # of equals the latest
                length = 0
                while (
                    length <= end
                    and column[end - length] == column[now - 1 - length]
                ):
                    length += 1
                if length >= max(best, 1):
                    best, after = length, end + 1
            assert int(bank.longest[kind]) == best
            for who in (0, 1):
                sure = np.full(3, 1 / 3)
                if after is not None:
                    sure = np.full(3, (1 - experts.STRENGTH) / 3)
                    sure[history[after, who]] += experts.STRENGTH
                np.testing.assert_allclose(matched[kind, who], sure, atol=1e-6)


def test_offsets_are_discounted_differences_of_throws_and_predictions():
    bank = banks(some_history(30))[-1]
    after = update(bank, 2, 1)
    sharp = np.asarray(bank.predicted)[experts.PLAIN :]
    kept = experts.SCORE_DECAY
    for who, came in enumerate((2, 1)):
        for far in range(3):
            likely = sharp[..., (came - far) % 3]  # P(prediction = came - far)
            expected = (
                kept * np.asarray(bank.offsets)[who, ..., far]
                + (1 - kept) * likely
            )
            np.testing.assert_allclose(
                np.asarray(after.offsets)[who, ..., far], expected, atol=1e-6
            )


def test_fixed_share_by_hand():
    # weights 1/2, 1/4, 1/4 and likelihoods 0.8, 0.4, 0.2: products 0.4, 0.1, 0.05; shares of 0.55; then 0.9 of it + 0.1 / 3
    after = experts.fixed_share(
        jnp.array([0.5, 0.25, 0.25]), jnp.array([0.8, 0.4, 0.2]), 0.1
    )
    np.testing.assert_allclose(
        after, [0.6878788, 0.1969697, 0.1151515], atol=1e-6
    )


def test_features_of_rotated_throws_differ_only_in_the_last_throw():
    history = some_history(50)
    one, two = (experts.features(banks((history + k) % 3)[-1]) for k in (0, 1))
    which = experts.FEATURES - 7 + np.arange(3)
    # contexts before the first throw hold rock, which is not rotated
    same = np.isclose(one, two, atol=0.35)
    assert not same[which].all()
    assert same.mean() > 0.97
    assert one.shape == (experts.FEATURES,)


# -- matches -------------------------------------------------------------------


def thrown_by(programs, own, **settings):
    matches = Matches(programs, **settings)
    got = []
    for throws in own:
        theirs = matches.throw()
        got.append(theirs)
        matches.advance(np.full(len(programs), throws), theirs)
    return np.array(got)


OWN = np.random.default_rng(0).integers(0, 3, 80)


def test_parallel_matches_are_independent():
    together = thrown_by([*names(), *names()], OWN, split="develop", seed=1)
    for m in (0, 14, 17, 43, 50, 85):
        alone = thrown_by(
            [(names() * 2)[m]], OWN, split="develop", seed=1, first=m
        )
        np.testing.assert_array_equal(
            alone[:, 0], together[:, m], err_msg=(names() * 2)[m]
        )


def test_draws_differ_between_splits_seeds_and_matches_and_repeat():
    draws = {
        (split, seed, first): tuple(
            thrown_by(["randbot"], OWN, split=split, seed=seed, first=first)[
                :, 0
            ]
        )
        for split in ("train", "develop", "test")
        for seed in (0, 1)
        for first in (0, 1)
    }
    assert len(set(draws.values())) == len(draws)
    again = thrown_by(["randbot"], OWN, split="train", seed=0, first=0)[:, 0]
    assert tuple(again) == draws["train", 0, 0]


def test_a_program_throws_once_for_each_throw():
    matches = Matches(["rockbot"], split="develop", seed=0)
    matches.throw()
    with pytest.raises(RuntimeError, match="advance"):
        matches.throw()


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="rockbot"):
        Matches(["rokbot"], split="develop", seed=0)
    with pytest.raises(ValueError, match="train, develop, test"):
        Matches(["rockbot"], split="exam", seed=0)


def test_thirteen_are_held_out():
    assert len(names()) == 43
    assert len(set(held_out())) == 13


class Spy(Uniform):
    """Counts the observed throws before each of its own."""

    def start(self, matches, seed):
        super().start(matches, seed)
        self.seen, self.seen_before = 0, []

    def throw(self):
        self.seen_before.append(self.seen)
        return super().throw()

    def see(self, own, theirs):
        self.seen += 1


def test_a_player_throws_before_it_sees_the_throw_of_the_program():
    spy = Spy()
    play(spy, ["rockbot"], split="develop", seed=0)
    assert spy.seen_before == list(range(1000))


def test_inputs_before_a_throw_do_not_depend_on_it():
    history = some_history(20)
    other = history.copy()
    other[-1] = (other[-1] + 1) % 3
    np.testing.assert_array_equal(
        *(experts.features(banks(h)[-2]) for h in (history, other))
    )


# -- players -------------------------------------------------------------------


def test_best_reply_and_payoff():
    rng = np.random.default_rng(0)
    probs = np.eye(3)
    assert best_reply(probs, rng).tolist() == [1, 2, 0]
    assert payoff(best_reply(probs, rng), np.arange(3)).tolist() == [1, 1, 1]
    drawn = [
        best_reply(np.array([[0.4, 0.3, 0.3]]), rng, min_gain=0.5)[0]
        for _ in range(40)
    ]
    assert set(drawn) == {0, 1, 2}


def test_the_mixture_beats_cycles_and_counts_do_not():
    mixture = play(
        Mixture(), ["rotatebot", "copybot", "rockbot"], split="develop", seed=0
    )
    assert (mixture.returns > 970).all()
    counts = play(Counts(), ["rotatebot"], split="develop", seed=0)
    assert abs(counts.returns[0]) < 500


def untrained(throws: int, programs: int = 3) -> Programs:
    net = Net(programs, width=8, hidden=6, key=jax.random.key(1))
    tables = np.random.default_rng(0).dirichlet(np.ones(3), (throws, programs))
    return Programs.create(net, tables)


class OnlyThePayoff(TrueModel):
    """The rules of the game, with value 0 after the throw."""

    def values_of(self, z, belief):
        return jnp.zeros(1)


@jax.jit
def updated(model, belief, own, theirs):
    return model.update(
        belief, jnp.zeros(0), jnp.stack([own, theirs]), jnp.zeros(0)
    )


@pytest.mark.slow
def test_the_agent_of_the_library_throws_the_same():
    """`Agent` with `one_step` and gamma 0 over the learned model, compared with the best reply of the fast path."""
    throws = 25
    model = untrained(throws)
    game = model.game
    agent = Agent(
        OnlyThePayoff(None, game),
        model,
        game,
        PlannerConfig(planner="one_step"),
        gamma=0.0,
    )
    step = jax.jit(
        lambda agent, carry, shown, others: agent.step(
            carry,
            shown.obs[0],
            shown.legal[0],
            jax.random.key(0),
            others=others,
        )
    )
    state, shown = game.reset(jax.random.key(0))
    carry, belief = agent.start(), model.init()
    theirs = jnp.int32(0)  # not used before the first throw
    for throw in some_history(throws, seed=5)[:, 1]:
        carry, action, actor_output = step(agent, carry, shown, theirs[None])
        probs = np.asarray(belief.weights @ belief.each)
        np.testing.assert_allclose(
            actor_output.plan.others[0], probs, atol=1e-5
        )
        assert (
            int(action) == best_reply(probs[None], np.random.default_rng(0))[0]
        )
        theirs = jnp.int32(throw)
        belief = updated(model, belief, action, theirs)
        state, shown = game.step(
            state, jnp.stack([action, theirs]), jax.random.key(0)
        )


def test_the_belief_finds_the_program_whose_table_is_right():
    throws = 40
    tables = np.full((throws, 2, 3), 1 / 3)
    sequence = np.random.default_rng(1).integers(0, 3, throws)
    tables[np.arange(throws), 1] = 0.01 + 0.97 * np.eye(3)[sequence]
    model = Programs.create(
        Net(2, width=8, hidden=6, key=jax.random.key(0)), tables, FULL
    )
    belief = model.init()
    np.testing.assert_allclose(
        model.posterior(belief)[0], [0.5, 0.5], atol=1e-5
    )
    for throw in sequence[:20]:
        belief = updated(model, belief, jnp.int32(0), jnp.int32(throw))
    assert model.posterior(belief)[0, 1] > 0.9
    assert (
        int(jnp.argmax(model.predict(belief, jnp.zeros(0), jnp.zeros(0))[0]))
        == sequence[20]
    )


def test_single_steps_equal_the_unrolled_network():
    model = untrained(30)
    features = jnp.stack([experts.features(b) for b in banks(some_history(12))])
    many = jax.jit(type(model.net).unroll)(model.net, features)
    h, step = model.net.start(), jax.jit(type(model.net).step)
    for x, expected in zip(features, many, strict=True):
        h, logs = step(model.net, h, x)
        np.testing.assert_allclose(logs, expected, atol=1e-5)


@pytest.mark.slow
def test_segments_stay_in_their_match_and_training_lowers_the_loss():
    logs = Logs(4, 2)
    for program, known in (("rockbot", 0), ("rotatebot", 1)):
        logs.add(Mixture(), [program, program], np.full(2, known), seed=0)
    settings = Settings(width=16, hidden=8, batch=8, length=20, rate=0.02)
    segments, throws, known, counts = logs.sample(
        np.random.default_rng(0), settings
    )
    assert segments.shape == (8, 20, experts.FEATURES)
    later = counts[:, 0] == 0
    assert (throws[known == 0] == 0).all()  # always its last throw
    assert (throws[(known == 1) & later] == 1).all() or (
        throws[(known == 1) & later] == 2
    ).all()
    tables = logs.tables()
    assert tables[500, 0].argmax() == 0
    np.testing.assert_allclose(tables.sum(-1), 1)
    net = Net(2, width=16, hidden=8, key=jax.random.key(0))
    trainer = Trainer(net, settings, 30)
    first, last = (
        trainer.train(logs, 15, np.random.default_rng(1)) for _ in range(2)
    )
    assert last[0] < first[0] < math.log(3)


# -- statistics ----------------------------------------------------------------


def test_significance_by_hand():
    result = measure.against([-10, 0, 10, 20])
    # mean 5, deviation 12.909944, error 6.454972, t = 0.774597 with 3 degrees of freedom
    assert result["mean"] == 5
    assert result["half"] == pytest.approx(3.182446 * 6.454972, rel=1e-5)
    assert result["p_loses"] == pytest.approx(0.752526, abs=1e-4)
    assert measure.against([-3, -3])["p_loses"] == 0.0


def test_groups_have_the_sizes_in_their_names():
    sizes = [len(g) for g in measure.groups().values()]
    assert sizes == [43, 40, 13, 30]
