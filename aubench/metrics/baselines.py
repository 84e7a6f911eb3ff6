"""Trivial baselines: what somebody would score who never looked at an image.

Both answer every frame of an AU with one probability, which scikit-learn's dummy classifier gives;
their counts and histograms follow from the labels that a record's counts hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

import numpy as np
import pandas as pd

from aubench.metrics import scores
from aubench.results import counts as counts_file
from aubench.results import histograms as histograms_file
from aubench.results.record import Record

Constants = Mapping[tuple[int, int], float]
"""A probability for each (fold, AU)."""


def always_positive(record: Record) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Counts and histograms of saying "present" to every frame of the record's clean test role."""
    return constant(record.counts, {key: _probability("constant", 1, 1) for key in _training(record)})


def prevalence(record: Record) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Counts and histograms of answering every frame with the AU's share of positives in the training role."""
    return constant(record.counts, {key: _probability("prior", *pair) for key, pair in _training(record).items()})


def always_positive_f1(counts: pd.DataFrame) -> float:
    """Headline F1 of saying "present" to every frame that clean counts were taken on."""
    keys = zip(counts["fold"].tolist(), counts["au"].tolist(), strict=True)
    made, _ = constant(counts, dict.fromkeys(keys, 1.0))
    return scores.macro_mean(scores.f1(scores.sum_over_subjects(made).cells))


def constant(counts: pd.DataFrame, probabilities: Constants) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What one probability per fold and AU would have scored.

    Args:
        counts: Confusion counts of anything; only the labels in them matter, and only those of the clean condition.
        probabilities: The answers.

    Returns:
        Counts and histograms in canonical form.
    """
    made = counts[counts["condition"] == counts_file.CLEAN].copy()
    present, absent = made["tp"] + made["fn"], made["fp"] + made["tn"]
    answers = np.array([probabilities[key] for key in zip(made["fold"].tolist(), made["au"].tolist(), strict=True)])
    yes = (answers > 0.5).astype(np.int64)
    made["tp"], made["fn"] = present * yes, present * (1 - yes)
    made["fp"], made["tn"] = absent * yes, absent * (1 - yes)
    tidy = counts_file.canonical(made)
    return tidy, _histograms(scores.sum_over_subjects(tidy), probabilities)


def _histograms(totals: scores.ConfusionCounts, probabilities: Constants) -> pd.DataFrame:
    keys = [(fold, au) for fold in totals.folds for au in totals.aus]
    tp, fp, fn, tn = np.moveaxis(totals.cells.reshape(-1, 4), 1, 0)
    bins = np.zeros((len(keys), 2, histograms_file.BINS), np.int64)
    at = histograms_file.bins_of([probabilities[key] for key in keys])
    bins[np.arange(len(keys)), :, at] = np.stack([fp + tn, tp + fn], axis=1)
    index = pd.DataFrame(
        [(counts_file.CLEAN, *key, label) for key in keys for label in (0, 1)], columns=histograms_file.KEY
    )
    cells = pd.DataFrame(bins.reshape(-1, histograms_file.BINS), columns=histograms_file.CELLS)
    return pd.concat([index, cells], axis=1)


def _training(record: Record) -> dict[tuple[int, int], tuple[int, int]]:
    """Positives and known labels of the training role, by (fold, AU)."""
    return {
        (fold.fold, int(name.removeprefix("AU"))): pair
        for fold in record.info.folds
        for name, pair in fold.train_prevalence.items()
    }


@lru_cache(maxsize=4096)
def _probability(strategy: Literal["constant", "prior"], positives: int, known: int) -> float:
    from sklearn.dummy import DummyClassifier

    if not known:
        return 0.0
    dummy = DummyClassifier(strategy=strategy, constant=1 if strategy == "constant" else None)
    dummy.fit([[0], [0]], [0, 1], sample_weight=[known - positives, positives])
    return float(dummy.predict_proba([[0]])[0, 1])
