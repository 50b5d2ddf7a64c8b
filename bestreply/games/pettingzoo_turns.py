"""Environments of PettingZoo in which one agent acts at a time (AEC)."""

from typing import Any

CHECKING = ("OrderEnforcingWrapper", "AssertOutOfBoundsWrapper")
"""Wrappers that only check how an environment is called."""


def plain(env: Any) -> Any:
    """Return an AEC environment without the wrappers that only check calls.

    Args:
        env: the environment.
    """
    while type(env).__name__ in CHECKING:
        env = env.env
    return env


class SequentialEnv:
    """An AEC environment with the interface of `ParallelEnv`."""

    def __init__(self, env: Any) -> None:
        """Wrap an environment.

        Args:
            env: an `AECEnv`.
        """
        self.env, self.metadata = env, env.metadata
        self.possible_agents = env.possible_agents
        self.observation_space = env.observation_space
        self.action_space = env.action_space
        self.agents: list[Any] = []

    @property
    def unwrapped(self) -> Any:
        """The environment."""
        return self.env.unwrapped

    def reset(
        self, seed: int | None = None, options: Any = None
    ) -> tuple[dict[Any, Any], dict[Any, Any]]:
        """Start an episode.

        Args:
            seed: its seed.
            options: of the environment.

        Returns:
            Observations and infos by agent.
        """
        self.env.reset(seed=seed, options=options)
        self._remove_dead()
        return self._observed(), dict(self.env.infos)

    def render(self) -> Any:
        """Return what the environment draws."""
        return self.env.render()

    def close(self) -> None:
        """Free what the environment holds."""
        self.env.close()

    def _observed(self) -> dict[Any, Any]:
        return {agent: self.env.observe(agent) for agent in self.env.agents}

    def _remove_dead(self) -> None:
        """Make the empty turns of agents whose game is over."""
        env = self.env
        while env.agents and (
            env.terminations[env.agent_selection]
            or env.truncations[env.agent_selection]
        ):
            env.step(None)
        self.agents = [
            a
            for a in env.agents
            if not (env.terminations[a] or env.truncations[a])
        ]


class CycleEnv(SequentialEnv):
    """All agents act in turn, and the last one moves the world: a step is a cycle.

    It equals `aec_to_parallel_wrapper`, but observes each agent once a step.
    """

    def __init__(self, env: Any) -> None:
        """Wrap an environment.

        Args:
            env: a parallelizable `AECEnv`.
        """
        super().__init__(plain(env))

    def step(self, actions: dict[Any, Any]) -> tuple[dict[Any, Any], ...]:
        """Make the turns of all agents.

        Args:
            actions: by agent.

        Returns:
            Observations, rewards, terminations, truncations and infos by agent.

        Raises:
            ValueError: the agents do not act in their order.
        """
        env, agents = self.env, self.agents
        rewards = dict.fromkeys(agents, 0)
        for agent in agents:
            if agent != env.agent_selection:
                raise ValueError(
                    f"agent_selection={env.agent_selection!r}: expected {agent!r}, since "
                    "the metadata call the environment parallelizable"
                )
            env.step(actions[agent])
            for name, reward in env.rewards.items():
                rewards[name] += reward
        ended, cut = dict(env.terminations), dict(env.truncations)
        infos, obs = dict(env.infos), self._observed()
        self._remove_dead()
        return obs, rewards, ended, cut, infos


class TurnEnv(SequentialEnv):
    """A step is the turn of one agent.

    A reward is paid in the turn in which it arises: the increment of what `last()`
    reports to the agent at its own next turn.
    """

    @property
    def turn(self) -> Any:
        """The agent that is to move; None at the end."""
        return self.env.agent_selection if self.agents else None

    def step(self, actions: dict[Any, Any]) -> tuple[dict[Any, Any], ...]:
        """Make the turn of one agent.

        Args:
            actions: by agent; only that of `turn` is read.

        Returns:
            Observations, rewards, terminations, truncations and infos by agent.
        """
        env, turn, before = self.env, self.turn, list(self.env.agents)
        paid = dict(env._cumulative_rewards)
        paid[turn] = 0
        env.step(actions[turn])
        total = dict(env._cumulative_rewards)
        rewards = {a: total.get(a, 0) - paid.get(a, 0) for a in before}
        ended, cut = dict(env.terminations), dict(env.truncations)
        infos, obs = dict(env.infos), self._observed()
        self._remove_dead()
        return obs, rewards, ended, cut, infos
