"""Confidence intervals over subjects."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from aubench.core.errors import RecordError
from aubench.metrics import intervals
from aubench.metrics.intervals import f1_difference, f1_interval
from aubench.metrics.resampling import subject_contributions
from aubench.results import counts


def test_the_interval_is_the_textbook_t_interval_around_the_estimate_minus_its_bias(make_record):
    table = make_record().counts
    interval, contributions = f1_interval([table]), subject_contributions([table])
    variance = sum(len(fold) * np.var(fold[:, -1], ddof=1) for fold in contributions.contributions_by_fold)
    half_width = stats.t.ppf(0.975, 41 - 3) * np.sqrt(variance)
    assert interval.estimate == contributions.estimate[-1]
    assert (interval.low, interval.high) == pytest.approx(
        interval.estimate - contributions.bias[-1] + np.array([-1, 1]) * half_width
    )


def test_pairing_removes_common_variance(make_record):
    table = make_record().counts
    zero = f1_difference([table], [table])
    assert (zero.estimate, zero.low, zero.high) == (0, 0, 0)
    alone = f1_interval([table])
    assert alone.low < alone.estimate < alone.high


@pytest.mark.slow
def test_a_better_run_has_a_positive_difference(make_record):
    better, worse = make_record(skill=1.5).counts, make_record(skill=0.5).counts
    difference = f1_difference([better], [worse])
    assert difference.low > 0
    back = f1_difference([worse], [better])
    assert (back.low, back.high) == pytest.approx((-difference.high, -difference.low))


@pytest.mark.slow
def test_each_au_has_an_interval_within_bounds(make_record):
    contributions = subject_contributions([make_record(skill=3.0).counts])
    all_intervals = intervals.confidence_intervals(contributions)
    assert len(all_intervals) == 13
    assert all_intervals[-1] == intervals.mean_interval(contributions)
    assert all(0 <= interval.low <= interval.high <= 1 for interval in all_intervals)
    assert max(interval.high for interval in all_intervals) == 1


def test_folds_without_labels_of_an_au_add_no_degrees_of_freedom(make_record):
    table = make_record().counts.copy()
    cells, au = ["tp", "fp", "fn", "tn"], table["au"].iloc[0]
    table.loc[(table["fold"] == 1) & (table["au"] == au), cells] = 0
    table.loc[table["fold"] == 2, cells] = 0
    contributions = subject_contributions([table])
    sizes = [len(fold) for fold in contributions.contributions_by_fold]
    variances = sum(len(fold) * np.var(fold, axis=0, ddof=1) for fold in contributions.contributions_by_fold)
    freedom = np.full(len(variances), sizes[0] + sizes[2] - 2)
    freedom[0] = sizes[2] - 1
    centre, half = contributions.estimate - contributions.bias, stats.t.ppf(0.975, freedom) * np.sqrt(variances)
    for interval, low, high in zip(
        intervals.confidence_intervals(contributions), centre - half, centre + half, strict=True
    ):
        assert (interval.low, interval.high) == pytest.approx((max(low, 0), min(high, 1)))
    nothing = subject_contributions([table.assign(**dict.fromkeys(cells, 0))])
    assert {(each.low, each.high) for each in intervals.confidence_intervals(nothing)} == {(0, 1)}


def test_a_fold_with_one_subject_and_no_labels_does_not_widen_the_interval(make_record):
    table = make_record().counts
    first = table.groupby("fold")["subject"].transform("first")
    table = table[(table["subject"] == first) | (table["fold"] != 1)].copy()
    table.loc[table["fold"] == 1, ["tp", "fp", "fn", "tn"]] = 0
    interval = f1_interval([table])
    assert 0 < interval.low < interval.high < 1


@pytest.mark.parametrize("folds", [{1}, {1, 2, 3}])
def test_a_fold_with_one_subject_gives_the_full_range(make_record, folds):
    table = make_record().counts
    first = table.groupby("fold")["subject"].transform("first")
    interval = f1_interval([table[(table["subject"] == first) | ~table["fold"].isin(folds)]])
    assert (interval.low, interval.high) == (0, 1)


@pytest.mark.slow
def test_each_condition_has_its_own_interval(make_record):
    clean, other = make_record().counts, make_record(skill=0.2).counts.assign(condition="noise:all:0.5")
    both = counts.canonical(pd.concat([clean, other]))
    assert f1_interval([both]) == f1_interval([clean])
    assert f1_interval([both], "noise:all:0.5") == f1_interval([other.assign(condition="clean")])


def test_runs_over_other_subjects_are_not_compared(make_record):
    table = make_record().counts
    fewer = table[table["subject"] != table["subject"].iloc[0]]
    with pytest.raises(RecordError, match="differ in folds, subjects or AUs"):
        f1_difference([table], [fewer])
