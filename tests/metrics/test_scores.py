"""Metrics compared with plain loops and with scikit-learn."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score

from aubench.metrics import scores
from aubench.results import counts, histograms

AUS = (1, 6, 12)
FOLDS = (1, 2)
CENTRES = (np.arange(histograms.BINS) + 0.5) / histograms.BINS


def _predictions(seed: int) -> dict[int, tuple[list[str], np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(seed)
    predictions = {}
    for fold in FOLDS:
        subjects = [f"S{fold}{i}" for i in generator.integers(0, 4, 60)]
        labels = generator.integers(-1, 2, (60, len(AUS)))
        predictions[fold] = subjects, labels, generator.choice(CENTRES, (60, len(AUS)))
    return predictions


def _tables(predictions) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Count frame by frame."""
    rows: dict[tuple, dict[str, int]] = {}
    for fold, (subjects, labels, probabilities) in predictions.items():
        for subject in set(subjects):
            for au in AUS:
                rows["clean", fold, subject, au] = dict.fromkeys(counts.CELLS, 0)
        for subject, truth, probability in zip(subjects, labels, probabilities, strict=True):
            for au, label, p in zip(AUS, truth, probability, strict=True):
                if label != -1:
                    cell = {(1, True): "tp", (0, True): "fp", (1, False): "fn", (0, False): "tn"}[
                        int(label), bool(p > 0.5)
                    ]
                    rows["clean", fold, subject, au][cell] += 1
    table = pd.DataFrame([dict(zip(counts.KEY, key, strict=True)) | cells for key, cells in rows.items()])
    bins = [
        histograms.of_predictions(p, labels, AUS, condition="clean", fold=fold)
        for fold, (_, labels, p) in predictions.items()
    ]
    return counts.canonical(table), histograms.canonical(pd.concat(bins))


def _per_fold_and_au(predictions, score) -> list[list[float]]:
    return [
        [score(labels[labels[:, i] >= 0, i], probabilities[labels[:, i] >= 0, i]) for i in range(len(AUS))]
        for _, labels, probabilities in predictions.values()
    ]


def _mean_of_means(table: list[list[float]]) -> float:
    return sum(sum(row) / len(row) for row in table) / len(table)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_summary_equals_scikit_learn(seed):
    predictions = _predictions(seed)
    summary = scores.summarize(*_tables(predictions))
    for stated, score in (
        (summary.f1_mean, lambda y, p: f1_score(y, p > 0.5, zero_division=0)),
        (summary.value("acc"), lambda y, p: accuracy_score(y, p > 0.5)),
        (summary.value("auc"), roc_auc_score),
        (summary.value("ap"), average_precision_score),
    ):
        assert stated == pytest.approx(_mean_of_means(_per_fold_and_au(predictions, score)), abs=5.1e-7)
    f1s = np.array(_per_fold_and_au(predictions, lambda y, p: f1_score(y, p > 0.5, zero_division=0)))
    assert list(summary.f1_by_fold) == pytest.approx(f1s.mean(axis=1), abs=5.1e-7)
    assert list(summary.f1_by_au.values()) == pytest.approx(f1s.mean(axis=0), abs=5.1e-7)
    assert list(summary.f1_by_au) == ["AU1", "AU6", "AU12"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_pooled_f1_equals_scikit_learn_on_all_folds_together(seed):
    predictions = _predictions(seed)
    labels = np.concatenate([part[1] for part in predictions.values()])
    predicted = np.concatenate([part[2] for part in predictions.values()]) > 0.5
    known = labels >= 0
    expected = np.mean([f1_score(labels[known[:, i], i], predicted[known[:, i], i]) for i in range(len(AUS))])
    assert scores.summarize(*_tables(predictions)).value("f1_pooled") == pytest.approx(expected, abs=5.1e-7)


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 199), st.booleans()), min_size=2, max_size=80))
@settings(max_examples=100)
def test_auc_and_average_precision_equal_scikit_learn_to_the_last_digits(frames):
    bins, labels = np.array([b for b, _ in frames]), np.array([y for _, y in frames], int)
    absent, present = (np.bincount(bins[labels == y], minlength=200) for y in (0, 1))
    if 0 < labels.sum() < len(labels):
        assert scores.auc(absent, present) == pytest.approx(roc_auc_score(labels, CENTRES[bins]), abs=1e-14)
    else:
        assert math.isnan(scores.auc(absent, present))
    if labels.any():
        assert scores.average_precision(absent, present) == pytest.approx(
            average_precision_score(labels, CENTRES[bins]), abs=1e-14
        )
    else:
        assert math.isnan(scores.average_precision(absent, present))


def test_auc_counts_ordered_pairs_and_half_of_those_within_a_bin():
    generator = np.random.default_rng(1)
    absent, present = generator.integers(0, 4, (2, 200))
    pairs = [(a, p) for a in range(200) for _ in range(absent[a]) for p in range(200) for _ in range(present[p])]
    assert scores.auc(absent, present) == sum((p > a) + 0.5 * (p == a) for a, p in pairs) / len(pairs)


def test_undefined_f1_counts_zero_and_undefined_auc_is_left_out():
    rows = [
        {"condition": "clean", "fold": 1, "subject": "A", "au": 1, "tp": 3, "fp": 1, "fn": 0, "tn": 6},
        {"condition": "clean", "fold": 1, "subject": "A", "au": 2, "tp": 0, "fp": 0, "fn": 0, "tn": 10},
    ]
    p = np.array([[0.9, 0.1]] * 4 + [[0.2, 0.1]] * 6)
    y = np.array([[1, 0]] * 3 + [[0, 0]] * 7)
    bins = histograms.of_predictions(p, y, (1, 2), condition="clean", fold=1)
    summary = scores.summarize(counts.canonical(pd.DataFrame(rows)), bins)
    assert summary.f1_by_au == {"AU1": round(6 / 7, 6), "AU2": 0.0}
    assert summary.f1_mean == round(3 / 7, 6)
    assert summary.by_au("auc")["AU2"] is None
    assert summary.value("auc") == summary.by_au("auc")["AU1"]


def test_other_conditions_do_not_change_the_summary():
    predictions = _predictions(0)
    table, bins = _tables(predictions)
    noisy = table.assign(condition="noise:depth:0.2", tp=0)
    assert scores.summarize(counts.canonical(pd.concat([table, noisy])), bins) == scores.summarize(table, bins)


def test_order_of_rows_changes_no_digit():
    table, bins = _tables(_predictions(2))
    shuffled = table.sample(frac=1, random_state=3), bins.sample(frac=1, random_state=4)
    assert scores.summarize(*shuffled) == scores.summarize(table, bins)


def test_deviation_is_that_of_a_sample():
    assert scores.std([0.4]) is scores.std([0.4, math.nan]) is None
    assert scores.std([0.1, math.nan, 0.4]) == scores.std([0.1, 0.4])
    assert scores.std([0.1, 0.4, 0.7, 0.3]) == pytest.approx(np.std([0.1, 0.4, 0.7, 0.3], ddof=1))


@pytest.mark.parametrize("largest", [1, 3, 400, 2**22])
def test_all_histograms_together_have_the_bits_of_each(largest):
    generator = np.random.default_rng(largest)
    cells = generator.integers(0, largest, (3, 5, 2, histograms.BINS)) * generator.integers(0, 2, (3, 5, 2, 1))
    cells[0, 0] = 0
    for function in (scores.auc, scores.average_precision):
        each = np.array([[function(*pair) for pair in fold] for fold in cells])
        assert np.array_equal(scores.histogram_metric(cells, function), each, equal_nan=True)
