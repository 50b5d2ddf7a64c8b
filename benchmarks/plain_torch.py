"""The same networks, losses and planner in plain PyTorch, on batches of tensors."""

import dataclasses
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional as F  # pyright: ignore[reportMissingImports]

from bestreply.config import LossWeights
from bestreply.training.losses import CONTINUATION_WEIGHT, LEGAL_WEIGHT
from bestreply.training.state import MAX_GRADIENT_NORM, WEIGHT_DECAY


class Net(nn.Module):
    """Linear layers with layer norm and SiLU between them, on the concatenation of latent and actions."""

    def __init__(
        self, inputs: int, hidden: tuple[int, ...], outputs: int
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in zip((inputs, *hidden[:-1]), hidden, strict=True):
            layers += [nn.Linear(a, b), nn.LayerNorm(b), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden[-1], outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)

    def in_parts(self, z: Tensor, actions: Tensor) -> Tensor:
        """Return the first layer as the sum of a part for z [B, 1, Z], computed once, and one for actions [..., N * A]."""
        first: Any = self.layers[0]
        latent = z.shape[-1]
        x = F.linear(z, first.weight[:, :latent], first.bias) + F.linear(
            actions, first.weight[:, latent:]
        )
        return self.layers[1:](x)


class World(nn.Module):
    """The world model with V(o), several value heads and beliefs."""

    encoder: Net
    dynamics: Net
    decoder: Net
    reward_net: Net
    continuation: Net
    legal_net: Net
    value_net: Net
    value_mean: Tensor
    value_scale: Tensor
    binary: Tensor

    def __init__(self, ours: Any) -> None:
        super().__init__()
        nets = (
            "encoder",
            "dynamics",
            "decoder",
            "reward_net",
            "continuation",
            "legal_net",
            "value_net",
        )
        for name in nets:
            setattr(self, name, copied(getattr(ours, name)))
        heads = ours.value_net.layers[-1].weight.shape[0]
        self.register_buffer(
            "value_mean", torch.tensor(np.asarray(ours.value_mean))[:heads]
        )
        self.register_buffer(
            "value_scale", torch.tensor(np.asarray(ours.value_scale))[:heads]
        )
        self.register_buffer("binary", torch.tensor(np.asarray(ours.binary)))
        self.actions = ours.num_actions

    def value(self, obs: Tensor, belief: Tensor) -> Tensor:
        return self.value_mean + self.value_scale * self.value_net(
            torch.cat([obs, belief], -1)
        )

    def decode(self, z: Tensor) -> Tensor:
        raw = self.decoder(z)
        return torch.where(self.binary, torch.sigmoid(raw), raw)


def copied(ours: Any) -> Net:
    """Return a network with the weights of one of ours."""
    if hasattr(ours, "of_latent"):
        first = (
            np.concatenate([ours.of_latent.weight, ours.of_actions.weight], 1),
            np.asarray(ours.of_latent.bias),
        )
        linear = [
            first,
            *(
                (np.asarray(x.weight), np.asarray(x.bias))
                for x in ours.rest.layers
            ),
        ]
        norms = [ours.norm, *ours.rest.norms]
    else:
        linear = [
            (np.asarray(x.weight), np.asarray(x.bias)) for x in ours.layers
        ]
        norms = list(ours.norms)
    net = Net(
        linear[0][0].shape[1],
        tuple(w.shape[0] for w, _ in linear[:-1]),
        linear[-1][0].shape[0],
    )
    with torch.no_grad():
        for k, (weight, bias) in enumerate(linear):
            layer: Any = net.layers[3 * k]
            layer.weight.copy_(torch.tensor(weight))
            layer.bias.copy_(torch.tensor(bias))
        for k, norm in enumerate(norms):
            layer = net.layers[3 * k + 1]
            layer.weight.copy_(torch.tensor(np.asarray(norm.weight)))
            layer.bias.copy_(torch.tensor(np.asarray(norm.bias)))
    return net


def one_hot(actions: Tensor, size: int) -> Tensor:
    """Return actions one-hot [..., N * A]; zeros for an absent seat (-1)."""
    return (actions[..., None] == torch.arange(size)).flatten(-2).float()


# -- training ------------------------------------------------------------------------------------------------


def bernoulli(logit: Tensor, truth: Tensor) -> Tensor:
    return F.softplus(logit) - truth * logit


def losses(
    world: World, batch: dict[str, Tensor], y: Tensor, weights: LossWeights
) -> Tensor:
    """Return the weighted sum of all losses, for windows of one step."""
    z, actions = (
        world.encoder(batch["obs"]),
        one_hot(batch["joint"], world.actions),
    )
    both = torch.cat([z, actions], -1)
    after = z + world.dynamics(both)
    with torch.no_grad():
        encoded = world.encoder(batch["next_obs"])
    raw, truth = world.decoder(after), batch["next_obs"]
    each = {
        "obs": torch.where(
            world.binary, bernoulli(raw, truth), (raw - truth) ** 2
        ).mean(-1),
        "reward": (world.reward_net(both)[:, 0] - batch["reward"]) ** 2,
        "consistency": ((after - encoded) ** 2).mean(-1),
        "continuation": bernoulli(
            world.continuation(both)[:, 0], batch["goes_on"]
        ),
        "legal": 0.5
        * (
            bernoulli(world.legal_net(z), batch["legal"])
            + bernoulli(world.legal_net(after), batch["next_legal"])
        ).mean(-1),
    }
    value = (
        (world.value(batch["value_obs"], batch["belief"]) - y)
        / world.value_scale
    ) ** 2
    weighted = dataclasses.asdict(weights) | {
        "continuation": CONTINUATION_WEIGHT,
        "legal": LEGAL_WEIGHT,
    }
    total = weights.value * (batch["weight"] * value).sum(1).mean()
    for name, loss in each.items():
        total = total + weighted[name] * loss.mean()
    return total


def targets(slow: World, batch: dict[str, Tensor]) -> Tensor:
    """Return targets [B, K]: n-step for the head of the acting player, one-step for the rest."""

    def at(n: str) -> Tensor:
        value = slow.value(batch[f"end_obs_{n}"], batch[f"end_belief_{n}"])
        return (
            batch[f"reward_{n}"][:, None]
            + batch[f"discount_{n}"][:, None] * value
        )

    return torch.where(batch["own"], at("n"), at("1"))


class Trainer:
    """AdamW (fused) with clipping and a schedule, and a target network."""

    def __init__(
        self, ours: Any, config: Any, rates: np.ndarray, compiled: bool
    ) -> None:
        self.world, self.slow = World(ours), World(ours)
        self.config, self.rates, self.step = config, rates, 0
        self.optimiser = torch.optim.AdamW(
            self.world.parameters(),
            lr=1e-3,
            weight_decay=WEIGHT_DECAY,
            fused=True,
        )
        self.loss = torch.compile(losses) if compiled else losses
        self.targets = torch.compile(targets) if compiled else targets

    def update(self, batch: dict[str, Tensor]) -> Tensor:
        self.optimiser.param_groups[0]["lr"] = float(self.rates[self.step])
        self.step += 1
        with torch.no_grad():
            y = self.targets(self.slow, batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.loss(self.world, batch, y, self.config.weights)
        loss.backward()
        nn.utils.clip_grad_norm_(
            self.world.parameters(), MAX_GRADIENT_NORM, foreach=True
        )
        self.optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(  # pyright: ignore[reportPrivateImportUsage]
                list(self.slow.parameters()),
                list(self.world.parameters()),
                self.config.target_tau,
            )
        return loss.detach()


# -- planning ------------------------------------------------------------------------------------------------


class Planner(nn.Module):
    """One-step planning for observations [B, H, W, P] of a grid game without blocks."""

    world: World
    net: Net
    prior: Tensor
    views: Tensor

    def __init__(self, agent: Any, in_parts: bool) -> None:
        super().__init__()
        game = agent.game
        self.world, self.net = World(agent.world), copied(agent.opponents.net)
        self.n, self.A, self.goals = (
            game.num_players,
            game.num_actions,
            agent.opponents.goals,
        )
        self.height, self.width = game.height, game.width
        self.gamma, self.config, self.in_parts = (
            agent.gamma,
            agent.config,
            in_parts,
        )
        self.register_buffer(
            "prior", torch.tensor(np.asarray(agent.opponents.prior))
        )
        self.prior_mixing = agent.opponents.prior_mixing
        order = [
            [j, *[k for k in range(self.n) if k != j]] for j in range(1, self.n)
        ]
        planes = [[*o, *range(self.n, len(game.planes))] for o in order]
        self.register_buffer("views", torch.tensor(planes))

    def legal_of(self, view: Tensor) -> Tensor:
        """Return legal actions [..., A] from observations [..., H, W, P]."""
        me = view[..., 0] > 0.5
        inside = [
            me[..., 1:, :],
            me[..., :-1, :],
            me[..., :, 1:],
            me[..., :, :-1],
        ]
        moves = [x.flatten(-2).any(-1) for x in inside]
        things = (view[..., self.n + 1 : -1] > 0.5) & me[..., None]
        takes = things.flatten(-3, -2).any(-2)
        return torch.cat(
            [torch.stack([*moves, torch.ones_like(moves[0])], -1), takes], -1
        )

    def draw(self, probs: Tensor) -> Tensor:
        """Return stratified samples [B, M, N-1] from [B, N-1, A]."""
        M = self.config.samples
        points = (torch.arange(M) + torch.rand(*probs.shape[:-1], M)) / M
        edges = probs.cumsum(-1) / probs.sum(-1, keepdim=True).clamp_min(1e-9)
        drawn = torch.searchsorted(edges, points, right=True).clamp_max(
            self.A - 1
        )
        order = torch.rand(drawn.shape).argsort(-1)
        return drawn.gather(-1, order).transpose(1, 2)

    def forward(
        self, obs: Tensor, legal: Tensor, joint: Any = None
    ) -> tuple[Tensor, ...]:
        """Return scores [B, A], their reward and value parts, the best action [B], predicted probabilities [B, N-1, A]."""
        B = obs.shape[0]
        present = obs[..., : self.n].amax((1, 2)) > 0.5
        views = obs[..., self.views].permute(0, 3, 1, 2, 4)  # [B, N-1, H, W, P]
        raw = self.net(views.flatten(2)).view(B, self.n - 1, self.goals, self.A)
        logits = torch.where(
            self.legal_of(views)[:, :, None], raw, -1e9
        ).log_softmax(-1)
        probs = (self.prior[:, None] * logits.exp()).sum(2)
        if joint is None:
            joint = torch.where(present[:, None, 1:], self.draw(probs), -1)
        seen = joint >= 0
        taken = (
            logits[:, None]
            .expand(-1, joint.shape[1], -1, -1, -1)
            .gather(
                4,
                joint.clamp_min(0)[..., None, None].expand(
                    -1, -1, -1, self.goals, 1
                ),
            )[..., 0]
        )
        after = (
            self.prior.clamp_min(1e-12).log() + taken.clamp_min(-20.0)
        ).softmax(-1)
        after = (1 - self.prior_mixing) * after + self.prior_mixing * self.prior
        belief = torch.where(seen[..., None], after, self.prior).flatten(
            2
        )  # [B, M, (N-1) * G]
        reward, value = self.outcomes(obs.flatten(1), joint, belief)
        scores = torch.where(legal, reward + value, -torch.inf)
        return (
            scores,
            reward,
            value,
            scores.argmax(-1),
            torch.where(present[:, 1:, None], probs, 0.0),
        )

    def outcomes(
        self, obs: Tensor, joint: Tensor, belief: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return E[r] and E[gamma * continuation * V] [B, A], with equal weights of samples."""
        world, (B, M, _), A = self.world, joint.shape, self.A
        z = world.encoder(obs)[:, None]  # [B, 1, Z]
        own = torch.arange(A).view(1, A, 1, 1).expand(B, A, M, 1)
        actions = one_hot(
            torch.cat([own, joint[:, None].expand(B, A, M, -1)], -1), A
        ).flatten(1, 2)  # [B, A * M, N * A]

        def asked(net: Net) -> Tensor:
            if self.in_parts:
                return net.in_parts(z, actions)
            return net(
                torch.cat([z.expand(-1, actions.shape[1], -1), actions], -1)
            )

        reward = asked(world.reward_net)[..., 0]
        continues = torch.sigmoid(asked(world.continuation)[..., 0])
        decoded = world.decode(z + asked(world.dynamics))
        value = world.value(
            decoded, belief[:, None].expand(B, A, M, -1).flatten(1, 2)
        ).amax(-1)
        parts = reward, self.gamma * continues * value
        return parts[0].view(B, A, M).mean(2), parts[1].view(B, A, M).mean(2)
