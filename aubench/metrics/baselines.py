"""Trivial baselines that predict one constant probability per fold and AU.

The probabilities equal those of scikit-learn's ``DummyClassifier``. Counts and histograms follow from the labels, which
the counts of a record contain.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from aubench.metrics import scores
from aubench.results import counts as counts_file
from aubench.results import histograms as histograms_file
from aubench.results.record import Record

ALWAYS = "always positive"
"""Name of the baseline that every F1 is compared with."""

Constants = Mapping[tuple[int, int], float]
"""Predicted probability by (fold, AU)."""


def always_positive(record: Record) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compute counts and histograms of predicting "present" for all frames of the clean test role."""
    return constant(record.counts, dict.fromkeys(_training_labels(record), 1.0))


def prevalence(record: Record) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compute counts and histograms of predicting the AU's share of positives in the training role."""
    labels = _training_labels(record).items()
    return constant(record.counts, {key: positives / known if known else 0.0 for key, (positives, known) in labels})


def always_positive_f1(counts: pd.DataFrame) -> float:
    """Compute the headline F1 of predicting "present" for all clean frames in ``counts``."""
    keys = zip(counts["fold"].tolist(), counts["au"].tolist(), strict=True)
    baseline, _ = constant(counts, dict.fromkeys(keys, 1.0))
    return scores.macro_mean(scores.f1(scores.sum_over_subjects(baseline).cells))


def constant(counts: pd.DataFrame, probabilities: Constants) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compute the counts and histograms of constant predictions.

    Args:
        counts: Confusion counts of any method; only the clean labels in them are used.
        probabilities: Predicted probabilities.

    Returns:
        Counts and histograms in canonical form.
    """
    table = counts[counts["condition"] == counts_file.CLEAN].copy()
    present, absent = table["tp"] + table["fn"], table["fp"] + table["tn"]
    probs = np.array([probabilities[key] for key in zip(table["fold"].tolist(), table["au"].tolist(), strict=True)])
    positive = (probs > 0.5).astype(np.int64)
    table["tp"], table["fn"] = present * positive, present * (1 - positive)
    table["fp"], table["tn"] = absent * positive, absent * (1 - positive)
    table = counts_file.canonical(table)
    return table, _histograms(scores.sum_over_subjects(table), probabilities)


def _histograms(totals: scores.ConfusionCounts, probabilities: Constants) -> pd.DataFrame:
    keys = [(fold, au) for fold in totals.folds for au in totals.aus]
    tp, fp, fn, tn = np.moveaxis(totals.cells.reshape(-1, 4), 1, 0)
    bins = np.zeros((len(keys), 2, histograms_file.BINS), np.int64)
    indices = histograms_file.bins_of([probabilities[key] for key in keys])
    bins[np.arange(len(keys)), :, indices] = np.stack([fp + tn, tp + fn], axis=1)
    index = pd.DataFrame(
        [(counts_file.CLEAN, *key, label) for key in keys for label in (0, 1)], columns=histograms_file.KEY
    )
    cells = pd.DataFrame(bins.reshape(-1, histograms_file.BINS), columns=histograms_file.CELLS)
    return pd.concat([index, cells], axis=1)


def _training_labels(record: Record) -> dict[tuple[int, int], tuple[int, int]]:
    """Return the number of positive and of known training labels by (fold, AU)."""
    return {
        (fold.fold, int(name.removeprefix("AU"))): pair
        for fold in record.info.folds
        for name, pair in fold.train_prevalence.items()
    }
