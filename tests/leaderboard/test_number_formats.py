"""Numbers in the tables of the leaderboard."""

import pytest

from aubench.leaderboard import tables


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0196, "0.020"), (12.5, "12.500"), (0.0005, "0.001"), (0.00045, "0.0004"), (0.0000123, "1e-05"), (0.0, "0.000")],
)
def test_costs_have_three_decimals_and_are_never_rounded_to_zero(value, text):
    assert tables.decimals(value) == text
