"""Best replies by recursion over whole histories, with players written in plain Python.

A player is a list of variants ``(probability, policy, label)``, one of which it is for the whole
episode; a hidden switch is one variant for every step at which it may occur.
``policy(own, others)`` gives the action probabilities after the player's own actions and the
other players' (one tuple a round). ``label(t)`` is what a reply that observes modes sees at
round t.
"""

import itertools
import math

import numpy as np


def one_hot(action, count):
    return [float(a == action) for a in range(count)]


def uniform(actions, count):
    return [(a in actions) / len(actions) for a in range(count)]


def always(action, count=2):
    return lambda own, others: one_hot(action, count)


def random(count=2):
    return lambda own, others: uniform(range(count), count)


def tit_for_tat(own, others):
    return one_hot(int(bool(others) and any(others[-1])), 2)


def grim(own, others):
    return one_hot(int(any(any(joint) for joint in others)), 2)


def win_stay_lose_shift(payoffs):
    """payoffs [A]...[A], its own action first."""
    payoffs = np.asarray(payoffs, float)
    count = len(payoffs)

    def policy(own, others):
        if not own:
            return one_hot(0, count)
        if payoffs[(own[-1], *others[-1])] >= payoffs.mean():
            return one_hot(own[-1], count)
        return one_hot((own[-1] + 1) % count, count)

    return policy


def fictitious_play(payoffs):
    """Against one opponent."""
    payoffs = np.asarray(payoffs, float)
    actions = range(len(payoffs))

    def policy(own, others):
        counts = [1 + sum(joint[0] == a for joint in others) for a in actions]
        values = payoffs @ counts / sum(counts)
        best = [a for a in actions if values[a] >= values.max() - 1e-6]
        return uniform(best, len(values))

    return policy


def noisy(policy, eps):
    def noisy_policy(own, others):
        probs = policy(own, others)
        return [(1 - eps) * p + eps / len(probs) for p in probs]

    return noisy_policy


def plain(policy, name="plain"):
    return [(1.0, policy, lambda t: name)]


def mixture(*parts):
    """parts: (weight, variants)."""
    total = sum(weight for weight, _ in parts)
    return [
        (weight / total * prob, policy, lambda t, i=i, of=label: (i, of(t)))
        for i, (weight, variants) in enumerate(parts)
        for prob, policy, label in variants
    ]


def switching(first, second, times):
    """times: the probability of a switch before round 0, 1, ...; the rest: no switch."""
    variants = []
    for at, prob in enumerate([*times, 1 - sum(times)]):
        at = at if at < len(times) else math.inf

        def policy(own, others, at=at):
            return (first if len(own) < at else second)(own, others)

        variants.append((prob, policy, lambda t, at=at: t >= at))
    return variants


def hazard_times(hazard, rounds):
    return [hazard * (1 - hazard) ** t for t in range(rounds)]


def best_reply_value(
    payoffs, rounds, others, *, sees_modes, gamma=1.0, continuation=1.0
):
    """The value of the best reply of seat 0 to `others`, a player for each other seat.

    payoffs [A]...[A] are its own. After each round but the last of `rounds` the game continues
    with probability `continuation`.
    """
    payoffs = np.asarray(payoffs, float)
    count, variants = len(payoffs), list(itertools.product(*others))
    joints = list(itertools.product(range(count), repeat=len(others)))

    def best(history, weights):
        """The expected return from here, times the probability `weights` of this history."""
        t = len(history)
        if t == rounds:
            return 0.0
        groups = {}
        for k, weight in enumerate(weights):
            if weight > 0:
                labels = tuple(label(t) for _, _, label in variants[k])
                groups.setdefault(labels if sees_modes else None, []).append(k)
        return sum(
            max(gain(history, weights, group, a) for a in range(count))
            for group in groups.values()
        )

    def gain(history, weights, group, action):
        total = 0.0
        each = {k: likelihoods(variants[k], history) for k in group}
        for j, joint in enumerate(joints):
            after = [0.0] * len(weights)
            for k in group:
                after[k] = weights[k] * each[k][j]
            if sum(after) > 0:
                later = best((*history, (action, *joint)), after)
                reward = payoffs[(action, *joint)]
                total += sum(after) * reward + gamma * continuation * later
        return total

    def likelihoods(variant, history):
        """The probability of each of `joints`."""
        probs = np.ones(1)
        for j, (_, policy, _) in enumerate(variant):
            own = [played[j + 1] for played in history]
            rest = [(*p[: j + 1], *p[j + 2 :]) for p in history]
            probs = np.kron(probs, policy(own, rest))
        return probs

    prior = [math.prod(p for p, _, _ in variant) for variant in variants]
    return best((), prior)
