"""Observations of grid games, drawn by hand."""

import numpy as np

from tests.shared import compiled

THINGS = {"#": "blocks", "S": "stags", "H": "hares", "D": "drifts"}


def observe(game, drawing, time=1.0):
    """[H, W, P] float32: cells separated by spaces, rows by newlines or slashes.

    0 is the own player, 1, 2, ... the others; several signs may share a cell.
    """
    planes, obs = list(game.planes), np.zeros(game.obs_shape, np.float32)
    rows = [
        row.split() for row in drawing.strip().replace("/", "\n").split("\n")
    ]
    assert (len(rows), len(rows[0])) == (game.height, game.width), drawing
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            for sign in cell.replace(".", ""):
                plane = (
                    int(sign) if sign.isdigit() else planes.index(THINGS[sign])
                )
                obs[row, column, plane] = 1
    obs[..., -1] = time
    return obs


def distribution(game, player, obs):
    """Action name -> probability, for actions of positive probability."""
    legal = compiled(game.legal_in)(obs)
    policy = compiled(type(player).policy)
    probs = np.asarray(policy(player, (), obs, legal))
    assert probs.dtype == np.float32 and probs.shape == (game.num_actions,)
    named = zip(game.action_names, probs.tolist(), strict=True)
    return {name: p for name, p in named if p > 0}
