"""A warning where an agent earns less than a player of its data, with the likely cause."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_report_scores import printed, write_rows

AGENT, PLAYER = (1.0, 2.0, 1.5, 2.5), (4.0, 5.0, 4.5, 5.0)


def scored(
    path, agent=AGENT, player=PLAYER, players=("mixture(chaser, lazy)",)
):
    """A run in which the agent and two other methods meet one opponent set."""
    methods = {"agent": agent, "chaser": player, "ppo": (9.0, 9.0, 9.0, 9.5)}
    rows = [
        (method, "prey", 0, episode, value)
        for method, values in methods.items()
        for episode, value in enumerate(values)
    ]
    write_rows(path, rows)
    config = {"collect": {"players": list(players)}}
    (path / "config.json").write_text(json.dumps(config))
    return path


def trained(path, losses):
    rows = [
        {"env_steps": k, "update": k, "name": "world/reward", "value": loss}
        for k, loss in enumerate(losses)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path / "metrics.parquet")


def test_a_player_of_the_data_that_earns_more_is_named(tmp_path):
    text = printed(scored(tmp_path / "run"))
    assert "agent earns less than players of its own data" in text
    assert "against prey, 2.88 [" in text and "less than chaser" in text
    assert "less than ppo" not in text, "not a player of its data"


@pytest.mark.parametrize("players", [("mixture(chaser2, lazy)",), ("lazy",)])
def test_other_players_give_no_warning(tmp_path, players):
    assert "earns less" not in printed(
        scored(tmp_path / "run", players=players)
    )


@pytest.mark.parametrize("agent", [PLAYER, (4.0, 5.1, 4.4, 5.0), (9.0,) * 4])
def test_no_clear_difference_gives_no_warning(tmp_path, agent):
    assert "earns less" not in printed(scored(tmp_path / "run", agent=agent))


@pytest.mark.parametrize(
    ("losses", "diagnostics", "cause"),
    [
        ((9.0, 6.0, 3.0), {}, "fell by 33% of its first value"),
        ((9.0, 3.0, 3.0), {"heldout": {"reward": 6.0}}, "2.0 times as large"),
        (
            (9.0, 3.0, 3.0),
            {"value": [{"correlation": 0.25, "count": 40}]},
            "(correlation 0.25)",
        ),
        ((9.0, 3.0, 3.0), {}, "files of the run show no cause"),
    ],
)
def test_the_likely_cause_is_read_from_the_files(
    tmp_path, losses, diagnostics, cause
):
    run = scored(tmp_path / "run")
    trained(run, losses)
    (run / "diagnostics.json").write_text(json.dumps(diagnostics))
    assert cause in printed(run)
