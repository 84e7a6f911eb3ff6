"""The bootstrap against a plain loop."""

import time

import numpy as np
import pandas as pd
import pytest

from aubench.errors import RecordError
from aubench.scores import baselines, counts, intervals, metrics
from aubench.scores.intervals import RESAMPLES, f1_difference, f1_interval


def _slow_resamples(ours: list[pd.DataFrame], theirs: list[pd.DataFrame], resamples: int) -> list[float]:
    """Draw subjects, put their rows together, score: once per resample, side and seed."""
    generator = np.random.RandomState(intervals._SEED)
    draws = {}
    for fold, rows in ours[0].groupby("fold"):
        people = sorted(set(rows["subject"]))
        drawn = generator.randint(0, len(people), size=(RESAMPLES, len(people)), dtype=np.int64)
        draws[fold] = [[people[i] for i in line] for line in drawn]

    def headline(table: pd.DataFrame, at: int) -> float:
        per_fold = []
        for fold in sorted(draws):
            rows = table[table["fold"] == fold].set_index("subject")
            chosen = pd.concat([rows.loc[[person]] for person in draws[fold][at]])
            total = chosen.groupby("au")[counts.CELLS].sum()
            below = 2 * total["tp"] + total["fp"] + total["fn"]
            per_fold.append(np.mean([2 * tp / b if b else 0.0 for tp, b in zip(total["tp"], below, strict=True)]))
        return float(np.mean(per_fold))

    return [
        np.mean([headline(t, i) for t in ours]) - np.mean([headline(t, i) for t in theirs]) for i in range(resamples)
    ]


def test_resamples_equal_a_plain_loop(make_record, monkeypatch):
    ours = [make_record(seed=seed).counts for seed in (0, 1)]
    theirs = [baselines.always_positive(make_record())[0]]
    seen = []
    monkeypatch.setattr(intervals, "_interval", lambda estimate, resampled: seen.append((estimate, resampled)))
    f1_difference(ours, theirs)
    ((estimate, resampled),) = seen
    assert resampled.shape == (RESAMPLES,)
    assert resampled[:12] == pytest.approx(_slow_resamples(ours, theirs, 12), abs=1e-12)
    expected = np.mean([metrics.headline(metrics.f1(metrics.tally(t).cells)) for t in ours])
    assert estimate == pytest.approx(expected - metrics.headline(metrics.f1(metrics.tally(theirs[0]).cells)), abs=1e-12)


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


def test_the_interval_is_the_same_everywhere_whatever_the_order_of_rows(make_record):
    table = make_record().counts
    shuffled = table.sample(frac=1, random_state=0)
    assert f1_interval([table]) == f1_interval([shuffled])


def test_about_19_of_20_intervals_hold_the_truth():
    """People whose hits and misses come from one law: the interval of F1 covers that law's F1."""
    generator, held, trials = np.random.default_rng(0), 0, 120
    truth = None
    for _ in range(trials):
        rows = []
        for fold in (1, 2, 3):
            for person in range(14):
                hit, miss, alarm = (
                    generator.poisson(10 * generator.gamma(4, 0.25)),
                    generator.poisson(5),
                    generator.poisson(5),
                )
                rows.append(
                    {
                        "condition": "clean",
                        "fold": fold,
                        "subject": f"S{person}",
                        "au": 1,
                        "tp": hit,
                        "fp": alarm,
                        "fn": miss,
                        "tn": 9,
                    }
                )
        truth = 2 * 10 / (2 * 10 + 5 + 5)
        found = f1_interval([counts.tidy(pd.DataFrame(rows))])
        held += found.low <= truth <= found.high
    assert 0.85 < held / trials <= 1


def test_runs_over_other_subjects_are_not_compared(make_record):
    table = make_record().counts
    fewer = table[table["subject"] != table["subject"].iloc[0]]
    with pytest.raises(RecordError, match="differ in folds, subjects or AUs"):
        f1_difference([table], [fewer])
    with pytest.raises(RecordError, match="lacks the counts of an AU"):
        f1_interval([table.iloc[1:]])


def test_two_thousand_resamples_take_a_fraction_of_a_second(make_record):
    tables = [make_record(seed=seed).counts for seed in range(3)]
    started = time.process_time()
    f1_difference(tables, tables[:1])
    assert time.process_time() - started < 1
