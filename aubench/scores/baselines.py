"""Trivial baselines: what somebody would score who never looked at an image.

Both answer every frame of an AU with one probability, which scikit-learn's dummy classifier gives;
their counts and histograms follow from the labels that a record's counts hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
import pandas as pd

from aubench.scores import counts as counts_file
from aubench.scores import histograms as histograms_file
from aubench.scores import metrics
from aubench.scores.record import FoldPart, Record

Constants = Mapping[tuple[int, int], float]
"""A probability for each (fold, AU)."""


def always_positive(record: Record) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Counts and histograms of saying "present" to every frame of the record's clean test role."""
    return constant(record.counts, _learnt(record.info.folds, "constant"))


def prevalence(record: Record) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Counts and histograms of answering every frame with the AU's share of positives in the training role."""
    return constant(record.counts, _learnt(record.info.folds, "prior"))


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
    tidy = counts_file.tidy(made)
    return tidy, _histograms(metrics.tally(tidy), probabilities)


def _histograms(totals: metrics.Tally, probabilities: Constants) -> pd.DataFrame:
    rows = []
    for fold, per_au in zip(totals.folds, totals.cells.tolist(), strict=True):
        for au, (tp, fp, fn, tn) in zip(totals.aus, per_au, strict=True):
            bin_name = histograms_file.CELLS[int(histograms_file.bins_of(probabilities[fold, au]))]
            for label, frames in ((0, fp + tn), (1, tp + fn)):
                cells = dict.fromkeys(histograms_file.CELLS, 0) | {bin_name: frames}
                rows.append({"condition": counts_file.CLEAN, "fold": fold, "au": au, "label": label, **cells})
    return histograms_file.tidy(pd.DataFrame(rows))


def _learnt(folds: Iterable[FoldPart], strategy: Literal["constant", "prior"]) -> Constants:
    return {
        (fold.fold, int(name.removeprefix("AU"))): _probability(strategy, positives, known)
        for fold in folds
        for name, (positives, known) in fold.train_prevalence.items()
    }


def _probability(strategy: Literal["constant", "prior"], positives: int, known: int) -> float:
    from sklearn.dummy import DummyClassifier

    if strategy == "prior" and not known:
        return 0.0
    dummy = DummyClassifier(strategy=strategy, constant=1 if strategy == "constant" else None)
    dummy.fit([[0], [0]], [0, 1], sample_weight=[known - positives, positives] if known else None)
    return float(dummy.predict_proba([[0]])[0, 1])
