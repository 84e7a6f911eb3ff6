"""Search ranges: each says itself why it is none."""

import math

import pytest

from aubench import Categorical, IntUniform, LogUniform, Uniform


@pytest.mark.parametrize(
    ("where", "told"),
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
def test_a_range_that_makes_no_sense_says_why(where, told):
    assert told in where.validate()


@pytest.mark.parametrize("where", [Uniform(0, 1), LogUniform(1e-5, 1e-2), IntUniform(0, 8), IntUniform(1, 8, log=True)])
def test_a_range_must_be_accepted_at_both_ends(where):
    assert where.validate() is None
    assert where.bounds() == (where.low, where.high)


def test_of_a_choice_every_option_must_be_accepted():
    where = Categorical("a", None, 3)
    assert where.validate() is None and where.bounds() == ("a", None, 3)
