"""Diagnostics of a value on held-out play."""

import numpy as np
import pytest

from bestreply.analysis.model_diagnostics import _value_row


def test_a_value_that_is_everywhere_the_same_has_no_correlation():
    """Seven times .1 in float32: the mean is not .1, the spread is not 0."""
    value = np.full(7, 0.1, np.float32)
    returns = np.arange(7, dtype=np.float32)
    assert value.std() > 0
    assert _value_row("tit_for_tat", value, returns)["correlation"] is None
    assert _value_row("tit_for_tat", returns, value)["correlation"] is None
    rising = _value_row("tit_for_tat", value + returns, returns)
    assert rising["correlation"] == pytest.approx(1)
    assert rising["bias"] == pytest.approx(0.1)
