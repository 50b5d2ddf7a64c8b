"""Fitted Q evaluation of policies on logged play, with bootstrapped intervals.

Le, Voloshin and Yue, "Batch policy learning under constraints", 2019. Q is linear in
random features of action and step (Rahimi and Recht, "Random features for large-scale
kernel machines", 2007), so that each of its iterations is a ridge regression, and every
resample of the episodes has a Q of its own (Hao et al., "Bootstrapping fitted
Q-evaluation for off-policy inference", 2021).
"""

import numpy as np
from jaxtyping import Float, Float32, Int
from scipy import linalg

from bestreply.analysis.importance_sampling import Estimate
from bestreply.analysis.logged_steps import Trajectories

FEATURES = 256
MAX_LINEAR = 256
"""Largest number of facts that are features themselves too."""
RIDGE = 1e-4
"""Ridge penalty, as a share of the mean square of a feature."""
REPLICAS = 15
"""Resamples of the episodes, each with a Q of its own; one more is of all episodes."""
STUDENT = 2.145
"""Quantile .975 of Student's t with `REPLICAS` - 1 degrees of freedom."""


class FittedQ:
    """Q functions over logged steps: one of all episodes, one for each resample.

    The regressions share their matrices over all policies.
    """

    def __init__(
        self,
        play: Trajectories,
        x: Float32[np.ndarray, "rows F"],
        counts: Float[np.ndarray, "R E"],
        seed: int,
    ) -> None:
        """Compute features and the matrices of the regressions.

        Args:
            play: logged play.
            x: the facts of each step (`bestreply.analysis.logged_steps.inputs`).
            counts: resamples of the episodes, at least `REPLICAS`.
            seed: seed of the random features.
        """
        self.play = play
        mean, spread = x.mean(0), x.std(0)
        varies = spread > 1e-6
        self.x = (x[:, varies] - mean[varies]) / spread[varies]
        rng = np.random.default_rng(seed)
        size, actions = self.x.shape[1], play.legal.shape[2]
        self.of_x = _normal(rng, max(size, 1), size, FEATURES)
        self.of_action = _normal(rng, 1, actions, FEATURES)
        self.offset = rng.uniform(-1, 1, FEATURES).astype(np.float32)
        self.hidden = self.x @ self.of_x + self.offset
        m, t = np.nonzero(play.acted)
        self.first = np.flatnonzero(t == 0)
        following = np.append(np.diff(m) == 0, False)
        self.goes_on = following
        action = play.joint[m, t, 0]
        self.chosen = self._features(np.arange(len(m)), action)
        self.reward = play.reward[m, t].astype(np.float64)
        weights = np.ones((1, counts.shape[1]))
        weights = np.concatenate([weights, counts[:REPLICAS]])
        self.weights = weights[:, play.episode]
        self.row_weights = self.weights[:, m].astype(np.float32)
        self.solvers = [self._solver(weight) for weight in self.row_weights]
        self.bounds = self._bounds(m)

    def _features(
        self, rows: Int[np.ndarray, " K"], action: Int[np.ndarray, " K"]
    ) -> Float32[np.ndarray, "K D"]:
        """Return the features of steps and actions."""
        hidden = np.maximum(self.hidden[rows] + self.of_action[action], 0)
        actions = np.eye(len(self.of_action), dtype=np.float32)[action]
        linear = self.x[rows][:, :MAX_LINEAR]
        return np.concatenate([hidden, actions, linear], 1)

    def _solver(self, weight: Float32[np.ndarray, " rows"]) -> tuple:
        weighted = self.chosen * weight[:, None]
        gram = (weighted.T @ self.chosen).astype(np.float64)
        ridge = RIDGE * max(gram.trace() / len(gram), 1e-12)
        gram[np.diag_indices(len(gram))] += ridge
        return linalg.cho_factor(gram)

    def _bounds(self, m: Int[np.ndarray, " rows"]) -> tuple[float, float]:
        """Return the least and the largest logged return from a step on."""
        reward = self.play.reward.astype(np.float64)
        to_go = reward[:, ::-1].cumsum(1)[:, ::-1][self.play.acted]
        return float(to_go.min()), float(to_go.max())

    def _expected(
        self, policy: Float[np.ndarray, "rows A"]
    ) -> Float32[np.ndarray, "rows D"]:
        """Return the mean features over the actions of a policy."""
        every = np.arange(len(policy))
        total = np.zeros_like(self.chosen)
        for action in range(policy.shape[1]):
            share = policy[:, action].astype(np.float32)
            if share.any():
                actions = np.full(len(policy), action)
                total += share[:, None] * self._features(every, actions)
        return total

    def estimate(self, policy: Float[np.ndarray, "rows A"]) -> Estimate:
        """Return the mean return of a policy, from the first steps on.

        Args:
            policy: its probabilities at each logged step.

        Returns:
            The mean by the Q of all episodes, and 95 % by the spread over resamples.
        """
        expected = self._expected(policy)
        horizon = self.play.acted.shape[1]
        values = np.array(
            [
                self._value(expected, k, horizon)
                for k in range(len(self.solvers))
            ]
        )
        margin = STUDENT * float(values[1:].std(ddof=1))
        return Estimate(values[0], values[0] - margin, values[0] + margin)

    def _value(
        self, expected: Float32[np.ndarray, "rows D"], k: int, horizon: int
    ) -> float:
        weighted = self.chosen * self.row_weights[k][:, None]
        value = np.zeros(len(expected))
        for _ in range(horizon):
            after = np.append(value[1:], 0.0) * self.goes_on
            target = weighted.T @ (self.reward + after).astype(np.float32)
            solved = linalg.cho_solve(
                self.solvers[k], target.astype(np.float64)
            )
            value = (expected @ solved.astype(np.float32)).astype(np.float64)
            value = np.clip(value, *self.bounds)
        return float(np.average(value[self.first], weights=self.weights[k]))


def _normal(
    rng: np.random.Generator, inside: int, *shape: int
) -> Float32[np.ndarray, "..."]:
    return (rng.normal(size=shape) / np.sqrt(inside)).astype(np.float32)
