"""Robustness curves, areas and contributions compared with loops over random counts."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest

from aubench.core.conditions import CLEAN, Condition, missing, subsets
from aubench.core.errors import RecordError
from aubench.core.task import Modality
from aubench.metrics import intervals, robustness_profile, scores
from aubench.metrics.resampling import subject_contributions
from aubench.metrics.robustness_profile import build_profile
from aubench.results import counts

V, D, T = Modality
AUS, PEOPLE = (1, 6, 12), {1: ("F001", "F002", "M001"), 2: ("F003", "M002", "M003", "M004")}
NOISE = ("noise:visual:0.1", "noise:visual:0.5", "noise:all:0.2", "noise:all:0.8")


def random_counts(conditions, seed: int = 0) -> pd.DataFrame:
    """Draw counts of 20 frames per subject and AU; labels depend on the subject."""
    labels, predictions = np.random.RandomState(99), np.random.RandomState(seed)
    rows = []
    for (fold, people), au in product(PEOPLE.items(), AUS):
        for subject in people:
            present = labels.randint(2, 18)
            for condition in conditions:
                tp, fp = predictions.randint(0, present + 1), predictions.randint(0, 21 - present)
                cells = {"tp": tp, "fp": fp, "fn": present - tp, "tn": 20 - present - fp}
                rows.append({"condition": str(condition), "fold": fold, "subject": subject, "au": au, **cells})
    return counts.canonical(pd.DataFrame(rows))


def naive_f1(table: pd.DataFrame, condition: str) -> np.ndarray:
    """F1 of partial AU, mean over folds, and their mean; by loops."""
    by_au = []
    for au in AUS:
        folds = []
        for fold in PEOPLE:
            tp = fp = fn = 0
            for row in table.itertuples():
                if (row.condition, row.fold, row.au) == (condition, fold, au):
                    tp, fp, fn = tp + row.tp, fp + row.fp, fn + row.fn
            folds.append(2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0)
        by_au.append(sum(folds) / len(folds))
    return np.array([*by_au, sum(by_au) / len(by_au)])


@pytest.fixture(scope="module")
def noisy() -> list[pd.DataFrame]:
    return [random_counts(["clean", *NOISE], seed) for seed in (0, 1)]


@pytest.mark.slow
def test_f1_and_change_of_each_condition_are_means_over_seeds(noisy):
    profile = build_profile("late_fusion", (V, D), noisy)
    for text in NOISE:
        condition = Condition.parse(text)
        f1, clean = (np.mean([naive_f1(run, c) for run in noisy], 0) for c in (text, "clean"))
        assert [interval.estimate for interval in profile.f1(condition)] == pytest.approx(f1.tolist())
        assert [interval.estimate for interval in profile.change(condition)] == pytest.approx((f1 - clean).tolist())
        assert profile.f1(condition)[-1] == intervals.f1_interval(noisy, text)


def test_change_has_the_paired_interval(noisy):
    condition = Condition.parse("noise:all:0.8")
    change = build_profile("late_fusion", (V, D), noisy).change(condition)[-1]
    renamed = [run[run["condition"] == str(condition)].assign(condition="clean") for run in noisy]
    assert change == intervals.f1_difference(renamed, noisy)


def test_curves_begin_at_clean_inputs_and_ascend(noisy):
    profile = build_profile("late_fusion", (V, D), noisy)
    assert profile.modality_sets("noise") == [(V,), ()]
    assert profile.modality_sets("mask") == []
    levels, points = zip(*profile.curve("noise", (V,)), strict=True)
    assert levels == (0.0, 0.1, 0.5)
    assert points[0].estimate[-1] == pytest.approx(np.mean([naive_f1(run, "clean")[-1] for run in noisy]))


@pytest.mark.slow
def test_area_is_the_mean_height_of_the_curve(noisy):
    profile = build_profile("late_fusion", (V, D), noisy)
    for modalities, texts, levels in (((V,), NOISE[:2], (0, 0.1, 0.5)), ((), NOISE[2:], (0, 0.2, 0.8))):
        heights = [np.mean([naive_f1(run, c) for run in noisy], 0) for c in ("clean", *texts)]
        naive = np.zeros(len(AUS) + 1)
        for i in range(len(levels) - 1):
            naive += (levels[i + 1] - levels[i]) * (heights[i] + heights[i + 1]) / 2
        assert profile.area("noise", modalities).estimate == pytest.approx(naive / levels[-1])


def test_area_of_a_flat_curve_is_its_height_with_its_interval(make_record):
    table = make_record().counts
    flat = counts.canonical(pd.concat([table, *(table.assign(condition=f"noise:all:{s}") for s in ("0.3", "0.4"))]))
    interval = intervals.mean_interval(build_profile("one", (V, D), [flat]).area("noise", ()))
    expected = intervals.f1_interval([table])
    assert [interval.estimate, interval.low, interval.high] == pytest.approx(
        [expected.estimate, expected.low, expected.high]
    )


def test_area_is_computed_subject_by_subject(noisy):
    """Leaving a person out, or drawing people, of the area is the area of what is left or random_counts."""
    points = [subject_contributions(noisy, c) for c in ("clean", "noise:all:0.2", "noise:all:0.8")]
    weights = [0.1 / 0.8, 0.4 / 0.8, 0.3 / 0.8]
    area = build_profile("one", (V, D), noisy).area("noise", ())
    assert area.contributions == pytest.approx(sum(w * p.contributions for w, p in zip(weights, points, strict=True)))
    assert area.bias == pytest.approx(sum(w * p.bias for w, p in zip(weights, points, strict=True)))
    assert area.contributions.sum(axis=0) == pytest.approx(area.estimate)
    assert area.lower_bound == 0


@pytest.mark.slow
@pytest.mark.parametrize("modalities", [(V,), (V, D), (V, D, T)])
@pytest.mark.parametrize("fill", ["zero", "mean"])
def test_shapley_is_the_average_over_all_orders_of_arrival(modalities, fill):
    runs = [random_counts([CLEAN, *subsets(modalities, fill)], seed) for seed in (3, 4)]

    def value_of(present) -> np.ndarray:
        absent = tuple(m for m in modalities if m not in present)
        condition = str(missing(absent, fill)) if absent else "clean"
        return np.mean([naive_f1(run, condition) for run in runs], 0)

    orders = list(permutations(modalities))
    naive = {m: np.zeros(len(AUS) + 1) for m in modalities}
    for order in orders:
        for position, m in enumerate(order):
            naive[m] += (value_of(order[: position + 1]) - value_of(order[:position])) / len(orders)
    profile = build_profile("one", modalities, runs)
    values = profile.shapley(fill)
    assert set(values) == set(modalities)
    for m in modalities:
        assert values[m].estimate == pytest.approx(naive[m])
        assert values[m].lower_bound == -1
    total = value_of(modalities) - value_of(())
    assert sum(value.estimate for value in values.values()) == pytest.approx(total)
    assert profile.shapley("black") == {}


def test_leave_one_out_is_clean_minus_missing():
    runs = [random_counts([CLEAN, *subsets((V, D, T))])]
    losses = build_profile("one", (V, D, T), runs).leave_one_out()
    for m in (V, D, T):
        expected = naive_f1(runs[0], "clean") - naive_f1(runs[0], f"missing:{m}")
        assert losses[m].estimate == pytest.approx(expected)


def test_contributions_without_their_conditions_are_empty(noisy):
    profile = build_profile("one", (V, D), noisy)
    assert profile.leave_one_out() == profile.shapley() == {}
    partial = build_profile("one", (V, D), [random_counts(["clean", "missing:visual", "missing:depth"])])
    assert set(partial.leave_one_out()) == {V, D}
    assert partial.shapley() == {}


def test_only_conditions_that_all_seeds_have_are_included(noisy):
    fewer = noisy[1][noisy[1]["condition"] != NOISE[0]]
    profile = build_profile("one", (V, D), [noisy[0], fewer])
    assert [str(c) for c in profile.by_condition] == ["clean", NOISE[1], *NOISE[2:]]
    conditions = [Condition.parse(NOISE[3]), Condition.parse("missing:depth"), Condition.parse(NOISE[0])]
    assert [str(c) for c in build_profile("one", (V, D), [noisy[0]], conditions).by_condition] == [
        "clean",
        NOISE[3],
        NOISE[0],
    ]


def test_conditions_sort_in_the_order_of_a_suite():
    texts = ["missing:visual", "missing:depth", "missing:visual+depth", "missing:visual:mean", "noise:visual:0.2"]
    texts += ["noise:visual:0.8", "noise:depth:0.1", "noise:all:0.1"]
    conditions = [Condition.parse(text) for text in texts]
    assert sorted(conditions[1::2] + conditions[::2], key=robustness_profile.condition_sort_key) == conditions


@pytest.mark.slow
def test_terms_over_different_subjects_are_not_added(noisy, make_record):
    with pytest.raises(RecordError, match="differ"):
        robustness_profile.weighted_sum(
            [subject_contributions(noisy), subject_contributions([make_record().counts])], [1, 1]
        )
    with pytest.raises(RecordError, match="no counts of clean"):
        build_profile("one", (V,), [noisy[0][noisy[0]["condition"] != "clean"]])


def test_headline_of_clean_is_that_of_the_record(make_record):
    record = make_record()
    assert build_profile("one", (V, D), [record.counts]).f1(CLEAN)[-1].estimate == pytest.approx(
        scores.macro_mean(scores.f1(scores.sum_over_subjects(record.counts).cells))
    )
