"""Ranks of many methods, compared with the exact distribution and with a test of all pairs."""

from itertools import combinations, product

import numpy as np
import pytest

from aubench.core.errors import RecordError
from aubench.metrics import many_ranks, significance
from aubench.metrics.resampling import SubjectContributions


def _exact(difference) -> float:
    signs = np.array(list(product((-1, 1), repeat=len(difference))), np.int8)
    return float(np.mean(np.abs(signs @ difference) >= abs(difference.sum()) - 1e-12))


def _methods(contributions):
    subjects = ((1, tuple(f"S{i:02}" for i in range(contributions.shape[1]))),)
    return [
        SubjectContributions(
            (1,), subjects, shares.sum()[None].repeat(2), shares[:, None].repeat(2, 1), np.zeros(2), np.ones((1, 2))
        )
        for shares in contributions
    ]


def _draw(methods, subjects, spread, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, (methods, subjects)) + spread * rng.normal(0, 1, (methods, 1))


@pytest.mark.parametrize("subjects", [1, 2, 6, 11])
def test_the_tail_of_few_subjects_is_the_share_of_all_permutations(subjects):
    rng = np.random.default_rng(0)
    contributions = np.concatenate([rng.normal(0.5, 1, (4, subjects)), rng.integers(-2, 4, (4, subjects)) / 10])
    first, second = np.array(list(combinations(range(8), 2))).T
    expected = [_exact(contributions[i] - contributions[j]) for i, j in zip(first, second, strict=True)]
    assert many_ranks.sign_flip_tail(contributions, first, second).tolist() == expected


@pytest.mark.slow
def test_the_tail_of_many_subjects_is_near_the_share_of_all_permutations():
    rng = np.random.default_rng(0)
    ratios = []
    for shift in np.linspace(0.4, 1.2, 12):
        difference = rng.normal(shift, 1, 17)
        exact = _exact(difference)
        p = many_ranks.sign_flip_tail(np.stack([difference, np.zeros(17)]), np.array([0]), np.array([1]))[0]
        if exact < 0.1:
            ratios.append(p / exact)
    assert len(ratios) > 6 and min(ratios) > 0.6 and max(ratios) < 1.5
    assert np.median(ratios) == pytest.approx(1, abs=0.1)


def test_the_tail_is_exact_where_all_subjects_agree():
    contributions = np.stack([np.linspace(0.01, 3, 12), np.zeros(12)])
    assert many_ranks.sign_flip_tail(contributions, np.array([0]), np.array([1])) == [2 / 2**12]


@pytest.mark.parametrize(("methods", "subjects", "spread"), [(30, 41, 0.5), (40, 41, 0.1), (25, 14, 2), (20, 6, 3)])
def test_counts_equal_those_of_a_test_of_all_pairs(methods, subjects, spread):
    contributions = _draw(methods, subjects, spread, seed=1)
    pairs = np.array(list(combinations(range(methods), 2)))
    differences = contributions[pairs[:, 0]] - contributions[pairs[:, 1]]
    squared = differences.sum(axis=1) ** 2 / (differences**2).sum(axis=1)
    p = np.where(squared >= 4, many_ranks.sign_flip_tail(contributions, *pairs.T), 1)
    better, worse = np.zeros(methods, int), np.zeros(methods, int)
    for (i, j), difference, corrected in zip(pairs, differences.sum(axis=1), significance.holm(p), strict=True):
        if corrected < 0.05:
            winner, loser = (i, j) if difference > 0 else (j, i)
            better[loser] += 1
            worse[winner] += 1
    assert many_ranks.significant_differences(contributions, 0.05) == (better.tolist(), worse.tolist())


def test_ranks_hardly_differ_from_those_by_permutations(monkeypatch):
    methods = _methods(_draw(18, 41, 0.6, seed=2))
    by_tail = significance.rank_ranges(methods)
    monkeypatch.setattr(significance, "permutations_for", lambda tests: significance.MIN_PERMUTATIONS)
    by_permutations = significance.rank_ranges(methods)
    assert np.abs(np.array(by_tail) - np.array(by_permutations)).sum() <= 4
    assert len(set(by_tail)) > 5


@pytest.mark.slow
def test_ranks_do_not_depend_on_the_order_of_methods():
    methods = _methods(_draw(300, 20, 2, seed=3))
    assert significance.rank_ranges(methods[::-1]) == significance.rank_ranges(methods)[::-1]


def test_equal_methods_stay_equal():
    families = [_draw(20, 41, 0, seed) for seed in range(200)]
    wrong = [any(many_ranks.significant_differences(family, 0.05)[0]) for family in families]
    assert np.mean(wrong) <= 0.06
    copies = _methods(np.repeat(_draw(2, 41, 0, 0), 20, axis=0))
    assert set(significance.rank_ranges(copies)) == {(1, 40)}


def test_other_subjects_are_an_error():
    with pytest.raises(RecordError, match="differ in folds, subjects or AUs"):
        significance.rank_ranges([*_methods(_draw(20, 5, 0, 0)), *_methods(_draw(1, 6, 0, 0))])
