"""Intervals over subjects: their parts, and what must hold of any."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from aubench.core.errors import RecordError
from aubench.metrics import intervals
from aubench.metrics.intervals import f1_difference, f1_interval
from aubench.metrics.resampling import subject_contributions
from aubench.results import counts


def test_it_is_the_textbook_t_interval_around_the_estimate_without_its_bias(make_record):
    table = make_record().counts
    found, known = f1_interval([table]), subject_contributions([table])
    variance = sum(len(fold) * np.var(fold[:, -1], ddof=1) for fold in known.contributions_by_fold)
    reach = stats.t.ppf(0.975, 41 - 3) * np.sqrt(variance)
    assert found.estimate == known.estimate[-1]
    assert (found.low, found.high) == pytest.approx(found.estimate - known.bias[-1] + np.array([-1, 1]) * reach)


def test_pairing_removes_what_both_share(make_record):
    table = make_record().counts
    nothing = f1_difference([table], [table])
    assert (nothing.estimate, nothing.low, nothing.high) == (0, 0, 0)
    alone = f1_interval([table])
    assert alone.low < alone.estimate < alone.high


def test_the_better_run_is_told_apart_from_the_worse(make_record):
    better, worse = make_record(skill=1.5).counts, make_record(skill=0.5).counts
    apart = f1_difference([better], [worse])
    assert apart.low > 0
    back = f1_difference([worse], [better])
    assert (back.low, back.high) == pytest.approx((-apart.high, -apart.low))


def test_each_au_has_one_within_what_is_possible(make_record):
    known = subject_contributions([make_record(skill=3.0).counts])
    every = intervals.confidence_intervals(known)
    assert len(every) == 13
    assert every[-1] == intervals.mean_interval(known)
    assert all(0 <= one.low <= one.high <= 1 for one in every)
    assert max(one.high for one in every) == 1


def test_one_person_a_fold_says_nothing_about_others(make_record):
    table = make_record().counts
    first = table.groupby("fold")["subject"].transform("first")
    found = f1_interval([table[table["subject"] == first]])
    assert (found.low, found.high) == (0, 1)


def test_a_condition_has_an_interval_of_its_own(make_record):
    clean, other = make_record().counts, make_record(skill=0.2).counts.assign(condition="noise:all:0.5")
    both = counts.canonical(pd.concat([clean, other]))
    assert f1_interval([both]) == f1_interval([clean])
    assert f1_interval([both], "noise:all:0.5") == f1_interval([other.assign(condition="clean")])


def test_runs_over_other_subjects_are_not_compared(make_record):
    table = make_record().counts
    fewer = table[table["subject"] != table["subject"].iloc[0]]
    with pytest.raises(RecordError, match="differ in folds, subjects or AUs"):
        f1_difference([table], [fewer])
