"""Which program makes the updates of a phase follows from its settings."""

from bestreply.config import preset
from bestreply.training.phases import program_of, run_updates


def test_a_short_phase_alone_is_compiled_quickly():
    debug, demo = preset("debug"), preset("demo")
    assert program_of(debug, debug.train.updates) is not run_updates
    assert program_of(debug, 10**6) is run_updates
    assert program_of(demo, demo.train.opponent_updates) is run_updates
    assert program_of(demo, 1) is not run_updates
