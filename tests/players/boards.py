"""Boards drawn by hand as observations of grid games."""

import jax.numpy as jnp
import numpy as np

THINGS = {"#": "blocks", "S": "stags", "H": "hares", "D": "drifts"}


def observe(game, drawing, time=1.0):
    """[H, W, P] float32: cells with spaces between; 0 is oneself, 1, 2, ... the others; several may share a cell."""
    planes, obs = list(game.planes), np.zeros(game.obs_shape, np.float32)
    lines = [line.split() for line in drawing.strip().splitlines()]
    assert (len(lines), len(lines[0])) == (game.height, game.width), drawing
    for row, line in enumerate(lines):
        for column, cell in enumerate(line):
            for sign in cell.replace(".", ""):
                obs[
                    row,
                    column,
                    int(sign) if sign.isdigit() else planes.index(THINGS[sign]),
                ] = 1
    obs[..., -1] = time
    return jnp.asarray(obs)


def distribution(game, player, obs, carry=()):
    """Action name -> probability, for the actions that have any."""
    probs = np.asarray(player.policy(carry, obs, game.legal_in(obs)))
    assert probs.dtype == np.float32 and probs.shape == (game.num_actions,)
    return {
        name: float(p)
        for name, p in zip(game.action_names, probs, strict=True)
        if p > 0
    }
