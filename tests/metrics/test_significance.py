"""Paired test, Holm's correction and ranks, compared with plain loops."""

import numpy as np
import pytest

from aubench.metrics import scores, significance
from aubench.metrics.resampling import SubjectContributions, subject_contributions


def test_flips_equal_a_plain_loop(monkeypatch):
    monkeypatch.setattr(significance, "MIN_PERMUTATIONS", 200)
    monkeypatch.setattr(significance, "BLOCK", 50)
    monkeypatch.setattr(significance, "MIN_EXTREME", 1)
    parts = np.random.default_rng(0).normal(0.2, 1, size=(9, 3))
    p, generator = significance.sign_flip_test(parts), np.random.RandomState(significance.SEED)
    signs = [1 if positive else -1 for positive in generator.randint(0, 2, size=200 * 9, dtype=np.int64)]
    for column in range(3):
        column_parts = parts[:, column].tolist()
        sums = [
            sum(s * x for s, x in zip(signs[i : i + 9], column_parts, strict=True)) for i in range(0, len(signs), 9)
        ]
        as_far = sum(abs(total) >= abs(sum(column_parts)) - 1e-9 for total in sums)
        assert p[column] == (1 + as_far) / 201


@pytest.mark.slow
def test_of_many_methods_the_better_ones_still_rank_first():
    """With 50,000 permutations no p-value of 72 methods is significant after correction."""
    people = ((1, tuple(f"S{i:02}" for i in range(20))),)
    even = np.random.default_rng(0).normal(0, 0.001, size=(72, 20, 2))
    methods = []
    for i, parts in enumerate(even):
        shifted = parts + (0.02 if i < 2 else 0.01)
        methods.append(SubjectContributions((1,), people, shifted.sum(axis=0), shifted, np.zeros(2), np.ones((1, 2))))
    assert [first for first, _ in significance.rank_ranges(methods)] == [1, 1, *([3] * 70)]


def test_only_tests_with_few_extreme_permutations_take_more(monkeypatch):
    parts = np.random.default_rng(0).normal(0, 1, size=(30, 200))
    parts[:, 0] += 3
    p = significance.sign_flip_test(parts)
    monkeypatch.setattr(significance, "permutations_for", lambda tests: significance.MIN_PERMUTATIONS)
    limited = significance.sign_flip_test(parts)
    same = limited >= (significance.MIN_EXTREME + 1) / (significance.MIN_PERMUTATIONS + 1)
    assert (p[same] == limited[same]).all() and same.sum() > 150
    assert p[0] == pytest.approx(0.05 / 200 / 20, rel=0.01)


def test_few_tests_need_no_more_permutations():
    assert [significance.permutations_for(tests) for tests in (1, 45, 125, 126, 2556)] == [50_000] * 3 + [
        55_000,
        1_025_000,
    ]


def test_the_error_rate_does_not_depend_on_the_number_of_permutations(monkeypatch):
    monkeypatch.setattr(significance, "MIN_PERMUTATIONS", 1000)
    monkeypatch.setattr(significance, "BLOCK", 500)
    parts = np.random.default_rng(1).normal(size=(24, 4000))
    monkeypatch.setattr(significance, "permutations_for", lambda tests: 20_000)
    p = significance.sign_flip_test(parts)
    for level in (0.002, 0.01, 0.05):
        assert np.mean(p <= level) <= level + 3 * (level / 4000) ** 0.5


def _swapped(ours, theirs, flips):
    """Swap the runs subject by subject and score both again."""
    generator, observed, as_far = np.random.default_rng(1), None, 0
    subjects = sorted(set(zip(ours["fold"], ours["subject"], strict=True)))
    at = {subject: i for i, subject in enumerate(subjects)}
    rows = np.array([at[subject] for subject in zip(ours["fold"], ours["subject"], strict=True)])
    cells = ["tp", "fp", "fn", "tn"]
    a, b = ours[cells].to_numpy(), theirs[cells].to_numpy()
    for flip in range(flips + 1):
        swap = (generator.random(len(subjects)) < 0.5)[rows][:, None] & (flip > 0)
        sides = (ours.assign(**dict(zip(cells, np.where(swap, x, y).T, strict=True))) for x, y in ((b, a), (a, b)))
        first, second = (scores.macro_mean(scores.f1(scores.sum_over_subjects(side).cells)) for side in sides)
        observed = first - second if observed is None else observed
        as_far += abs(first - second) >= abs(observed)
    return as_far / (flips + 1)


@pytest.mark.slow
@pytest.mark.parametrize("skill", [0.5, 0.56, 0.62])
def test_it_agrees_with_swapping_runs_and_scoring_again(make_record, skill):
    ours, theirs = make_record(skill=0.5, seed=1).counts, make_record(skill=skill, seed=2).counts
    flipped = significance.p_values_mean(
        significance.differences([subject_contributions([ours]), subject_contributions([theirs])])
    )
    swapped = _swapped(ours, theirs, 400)
    assert flipped[0] == pytest.approx(swapped, abs=0.06)


@pytest.mark.slow
def test_equal_runs_have_p_1_and_unequal_ones_the_smallest_p(make_record):
    same = subject_contributions([make_record().counts])
    pairs = significance.differences([same, same, subject_contributions([make_record(skill=0.2).counts])])
    equal, *unequal = significance.p_values_mean(pairs).tolist()
    assert equal == 1
    assert unequal[0] == unequal[1] == pytest.approx(1 / (significance.MIN_PERMUTATIONS + 1), rel=2)
    assert significance.p_values_per_au(pairs).shape == (3, 12)
    assert set(significance.p_values_per_au(pairs)[0]) == {1}


def test_p_values_do_not_depend_on_the_order_of_sums():
    parts = np.random.default_rng(3).normal(0.1, 1, size=(41, 1))
    assert significance.sign_flip_test(parts) == significance.sign_flip_test(np.repeat(parts, 40, axis=1))[7]


def test_holm_by_hand():
    assert significance.holm(np.array([0.01, 0.04, 0.03, 0.005])).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert significance.holm(np.array([[0.5, 0.5], [0.001, 0.9]])).tolist() == [[1, 1], [0.004, 1]]


def test_holm_equals_a_plain_loop():
    generator = np.random.default_rng(0)
    for _ in range(50):
        p = generator.random(9) ** 4
        rejected = np.zeros(9, bool)
        for step, at in enumerate(np.argsort(p)):
            if p[at] * (9 - step) >= 0.05:
                break
            rejected[at] = True
        assert ((significance.holm(p) < 0.05) == rejected).all()


@pytest.mark.slow
def test_ranks_count_those_that_are_significantly_better(make_record):
    skills = (1.0, 1.005, 0.3, 2.0)
    methods = [subject_contributions([make_record(skill=skill).counts]) for skill in skills]
    assert [first for first, _ in significance.rank_ranges(methods)] == [2, 2, 4, 1]
    assert [first for first, _ in significance.rank_ranges(methods[::-1])] == [1, 4, 2, 2]
    assert [first for first, _ in significance.rank_ranges(methods[:1])] == [1]
    assert significance.rank_ranges(methods) == [(2, 3), (2, 3), (4, 4), (1, 1)]


@pytest.mark.slow
def test_equals_stay_equal():
    """Five equally good methods get different ranks in at most 6 % of trials."""
    places = [(i, j) for i in range(5) for j in range(i)]
    parts = np.random.default_rng(0).normal(size=(41, 200, 5))
    p = significance.sign_flip_test(
        np.stack([parts[:, :, i] - parts[:, :, j] for i, j in places], axis=-1).reshape(41, -1)
    )
    wrong = [(significance.holm(line) < significance.ALPHA).any() for line in p.reshape(200, len(places))]
    assert np.mean(wrong) <= 0.06
