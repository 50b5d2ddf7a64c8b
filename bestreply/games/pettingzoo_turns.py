"""Environments of PettingZoo in which one agent acts at a time (AEC)."""

from typing import Any


class TurnEnv:
    """An AEC environment with the interface of `ParallelEnv`: a step is one turn.

    A reward is paid in the turn in which it arises: the increment of what `last()`
    reports to the agent at its own next turn.
    """

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
        self.turn: Any = None
        """The agent that is to move."""

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

    def step(self, actions: dict[Any, Any]) -> tuple[dict[Any, Any], ...]:
        """Make the turn of one agent.

        Args:
            actions: by agent; only that of `turn` is read.

        Returns:
            Observations, rewards, terminations, truncations and infos by agent.
        """
        env, before = self.env, list(self.env.agents)
        paid = dict(env._cumulative_rewards)
        paid[self.turn] = 0
        env.step(actions[self.turn])
        total = dict(env._cumulative_rewards)
        rewards = {a: total.get(a, 0) - paid.get(a, 0) for a in before}
        ended, cut = dict(env.terminations), dict(env.truncations)
        infos, obs = dict(env.infos), self._observed()
        self._remove_dead()
        return obs, rewards, ended, cut, infos

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
        dead = [
            a for a in env.agents if env.terminations[a] or env.truncations[a]
        ]
        self.agents = [a for a in env.agents if a not in dead]
        self.turn = env.agent_selection if self.agents else None
