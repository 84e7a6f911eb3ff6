"""Subject contributions compared with plain loops."""

import numpy as np
import pandas as pd
import pytest

from aubench.core.errors import RecordError
from aubench.metrics import baselines, resampling, scores
from aubench.results import counts


def _f1(table: pd.DataFrame) -> np.ndarray:
    """Compute F1 of each AU and their mean, averaged over folds."""
    per_fold = []
    for _, rows in table.groupby("fold"):
        total = rows.groupby("au")[counts.CELLS].sum()
        denominator = 2 * total["tp"] + total["fp"] + total["fn"]
        per_fold.append([2 * tp / b if b else 0.0 for tp, b in zip(total["tp"], denominator, strict=True)])
    by_au = np.mean(per_fold, axis=0)
    return np.append(by_au, by_au.mean())


@pytest.fixture
def runs(make_record):
    return [make_record(seed=seed).counts for seed in (0, 1)]


def test_the_estimate_is_the_headline_f1(runs, make_record):
    result = resampling.subject_contributions(runs)
    assert result.estimate == pytest.approx(np.mean([_f1(run) for run in runs], axis=0), abs=1e-12)
    assert result.estimate[-1] == pytest.approx(
        np.mean([scores.macro_mean(scores.f1(scores.sum_over_subjects(run).cells)) for run in runs]), abs=1e-12
    )
    assert result.contributions.sum(axis=0) == pytest.approx(result.estimate, abs=1e-12)


@pytest.mark.slow
def test_parts_equal_a_loop_that_leaves_each_person_out(runs):
    result = resampling.subject_contributions(runs)
    estimate, expected = np.mean([_f1(run) for run in runs], axis=0), []
    for fold, subjects in result.subjects:
        without = []
        for subject in subjects:
            others = [run[(run["fold"] != fold) | (run["subject"] != subject)] for run in runs]
            without.append(np.mean([_f1(run) for run in others], axis=0))
        of_fold = np.mean([_f1(run[run["fold"] == fold]) for run in runs], axis=0) / len(result.subjects)
        n = len(subjects)
        expected += [of_fold / n + (n - 1) / n * (np.mean(without, axis=0) - line) for line in without]
    assert result.contributions == pytest.approx(np.array(expected), abs=1e-12)
    assert estimate == pytest.approx(result.estimate)


@pytest.mark.slow
def test_bias_equals_a_loop_over_draws(runs, monkeypatch):
    monkeypatch.setattr(resampling, "DRAWS", 6)
    monkeypatch.setattr(resampling, "BLOCKS", 2)
    resampling.draw_weights.cache_clear()
    result = resampling.subject_contributions(runs)
    weights = resampling.draw_weights(tuple(len(subjects) for _, subjects in result.subjects))
    assert [w.sum(axis=1).tolist() for w in weights] == [[len(s)] * 6 for _, s in result.subjects]
    drawn = []
    for at in range(6):
        people = [
            (fold, s)
            for (fold, subjects), w in zip(result.subjects, weights, strict=True)
            for s, times in zip(subjects, w[at], strict=True)
            for _ in range(int(times))
        ]
        tables = [run.set_index(["fold", "subject"]) for run in runs]
        resampled = [pd.concat([table.loc[[person]] for person in people]).reset_index() for table in tables]
        drawn.append(np.mean([_f1(run) for run in resampled], axis=0))
    resampling.draw_weights.cache_clear()
    assert result.bias == pytest.approx(np.mean(drawn, axis=0) - result.estimate, abs=1e-12)


def test_a_difference_is_taken_person_by_person(runs, make_record):
    ours, theirs = (
        resampling.subject_contributions(runs),
        resampling.subject_contributions([baselines.always_positive(make_record())[0]]),
    )
    apart = ours - theirs
    assert np.array_equal(apart.contributions, ours.contributions - theirs.contributions)
    assert np.array_equal(apart.estimate, -(theirs - ours).estimate)


def test_the_order_of_rows_changes_nothing(runs):
    original, shuffled = (
        resampling.subject_contributions(runs[:1]),
        resampling.subject_contributions([runs[0].sample(frac=1, random_state=0)]),
    )
    assert original.subjects == shuffled.subjects
    assert np.array_equal(original.contributions, shuffled.contributions) and np.array_equal(
        original.bias, shuffled.bias
    )


def test_runs_over_other_subjects_are_not_mixed(runs):
    fewer = runs[0][runs[0]["subject"] != runs[0]["subject"].iloc[0]]
    for mixed in (
        lambda: resampling.subject_contributions([runs[0], fewer]),
        lambda: resampling.subject_contributions(runs) - resampling.subject_contributions([fewer]),
    ):
        with pytest.raises(RecordError, match="differ in folds, subjects or AUs"):
            mixed()
    with pytest.raises(RecordError, match="lacks the counts of an AU"):
        resampling.subject_contributions([runs[0].iloc[1:]])
