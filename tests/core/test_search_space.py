"""Search ranges and the reasons why they are invalid."""

import math

import pytest

from aubench import Categorical, IntUniform, LogUniform, Uniform


@pytest.mark.parametrize(
    ("search_range", "reason"),
    [
        (Uniform(1, 0), "not below"),
        (Uniform(0.5, 0.5), "not below"),
        (Uniform(0, math.inf), "not finite"),
        (Uniform(math.nan, 1), "not finite"),
        (LogUniform(0, 1), "logarithm"),
        (LogUniform(-1, 1), "logarithm"),
        (IntUniform(3, 2), "not below"),
        (IntUniform(0, 8, log=True), "logarithm"),
        (IntUniform(0.5, 2), "whole"),
        (Categorical(), "no choice"),
        (Categorical("one"), "no choice"),
        (Categorical("one", "one"), "no choice"),
    ],
)
def test_an_invalid_range_gives_a_reason(search_range, reason):
    assert reason in search_range.validate()


@pytest.mark.parametrize(
    "search_range", [Uniform(0, 1), LogUniform(1e-5, 1e-2), IntUniform(0, 8), IntUniform(1, 8, log=True)]
)
def test_a_range_must_be_accepted_at_both_ends(search_range):
    assert search_range.validate() is None
    assert search_range.bounds() == (search_range.low, search_range.high)


def test_every_option_of_a_choice_must_be_accepted():
    search_range = Categorical("a", None, 3)
    assert search_range.validate() is None and search_range.bounds() == ("a", None, 3)
