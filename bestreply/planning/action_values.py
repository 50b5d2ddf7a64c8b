"""Planning without a model of the next observation: own actions by their values, Q(o, b, a).

`one_step` values the mean of what can be observed next. Where chance decides what that
is, such as a card, the value of the mean is not the mean of the values, and the predicted
reward of a joint action does not depend on the belief. The values of own actions (value_heads "action")
were learned from what was observed, given the belief, and have neither error.

    planner.planner = "action_values"
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from bestreply.opponents.base import possible
from bestreply.planning.base import DecisionPoint, Models
from bestreply.types import Plan


def action_values(models: Models, at: DecisionPoint, key: PRNGKeyArray) -> Plan:
    """Score every own action by its value head at the observation and the belief.

    Args:
        models: the models, with a value head for each own action.
        at: the decision point.
        key: not used.

    Returns:
        The plan; its reward part is 0, because the values include the rewards.

    Raises:
        ValueError: value heads of another kind.
    """
    world: Any = models.world
    heads = world.config.value_heads
    if heads != "action":
        raise ValueError(
            f"model.value_heads={heads!r}: expected 'action', which this planner needs"
        )
    opponents = models.opponents
    probs = opponents.predict(at.belief, at.obs, at.legal)
    probs = possible(opponents.game, at.obs, probs)
    z, posterior = models.latent(at), opponents.posterior(at.belief)
    value = world.value(z, at.obs, posterior)
    scores = jnp.where(at.legal, value, -jnp.inf)
    return Plan(
        scores=scores,
        reward=jnp.zeros_like(value),
        value=value,
        action=jnp.argmax(scores).astype(jnp.int32),
        others=jnp.where(at.present[1:, None], probs, 0.0),
        belief=at.belief,
    )
