"""Readers of foreign input, with the damaged inputs of `python -m experiments faults`.

Hypothesis draws what the campaign draws at random, and reduces an input that fails. An
input is refused in a sentence, or accepted as what it says.
"""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from experiments.faults.kinds import KINDS, trial_of
from experiments.faults.samples import Samples
from experiments.faults.verdicts import BAD, judge

EXAMPLES = 8
TYPE_CHECKS = ("Beartype", "TypeCheck")
"""Errors of the type checks that only tests install: a wrong type is refused, too."""


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> Samples:
    return Samples(tmp_path_factory.mktemp("faults"), device="/dev/null")


@pytest.mark.parametrize("name", KINDS)
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
@given(draw=st.randoms(use_true_random=False))
def test_a_damaged_input_is_refused_in_a_sentence_or_read_as_it_says(
    name, samples, draw
):
    trial = KINDS[name].make(draw, samples)
    found = judge(trial)
    if found.detail.startswith(TYPE_CHECKS):
        return
    assert found.verdict not in BAD, f"{found}\n{trial.shown}"


def test_a_number_and_a_seed_give_the_same_input_again(samples):
    for number in range(30):
        one, two = (trial_of(number, 5, samples) for _ in range(2))
        assert (one[0], one[1].shown) == (two[0], two[1].shown)
    shown = {trial_of(number, 5, samples)[1].shown for number in range(30)}
    assert len(shown) > 20
