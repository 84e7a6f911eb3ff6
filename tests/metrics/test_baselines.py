"""Trivial baselines against scikit-learn's dummies, frame by frame."""

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier

from aubench.leaderboard import records, verify
from aubench.metrics import baselines, scores
from aubench.results import counts, histograms


def _frames(record, fold: int, au: int) -> np.ndarray:
    """Labels of the test frames, as the counts imply them."""
    rows = record.counts[(record.counts["fold"] == fold) & (record.counts["au"] == au)]
    present, absent = int((rows["tp"] + rows["fn"]).sum()), int((rows["fp"] + rows["tn"]).sum())
    return np.repeat([1, 0], [present, absent])


@pytest.mark.parametrize(
    ("name", "dummy"),
    [("always_positive", {"strategy": "constant", "constant": 1}), ("prevalence", {"strategy": "prior"})],
)
def test_counts_are_those_of_a_dummy_trained_on_every_frame(make_record, name, dummy):
    record = make_record()
    table, bins = getattr(baselines, name)(record)
    for part in record.info.folds:
        for au_name, (positives, known) in part.train_prevalence.items():
            au = int(au_name[2:])
            learner = DummyClassifier(**dummy).fit(
                np.zeros((known, 1)), np.repeat([1, 0], [positives, known - positives])
            )
            truth = _frames(record, part.fold, au)
            said = learner.predict(np.zeros((len(truth), 1)))
            total = table[(table["fold"] == part.fold) & (table["au"] == au)][counts.CELLS].sum().tolist()
            assert total == [((said == s) & (truth == t)).sum() for s, t in ((1, 1), (1, 0), (0, 1), (0, 0))]
            p = learner.predict_proba([[0]])[0, 1]
            row = bins[(bins["fold"] == part.fold) & (bins["au"] == au) & (bins["label"] == 1)]
            assert row[histograms.CELLS[int(histograms.bins_of(p))]].item() == truth.sum()


def test_baselines_agree_with_their_own_histograms_and_have_no_order(make_record):
    record = make_record()
    for tables in (baselines.always_positive(record), baselines.prevalence(record)):
        kept = records.StoredRecord(None, type(record)(record.info, *tables))
        assert not list(verify._histograms(kept))
        assert scores.summarize(*tables).value("auc") == 0.5


def test_labels_stay_and_other_conditions_go(make_record):
    record = make_record()
    noisy = counts.canonical(pd.concat([record.counts, record.counts.assign(condition="missing:depth")]))
    made, _ = baselines.constant(noisy, {(fold, au): 0.2 for fold in (1, 2, 3) for au in record.info.protocol.aus})
    assert verify.label_digest(made) == verify.label_digest(record.counts)
    assert set(made["condition"]) == {"clean"}
    assert made["tp"].sum() == made["fp"].sum() == 0


def test_exactly_half_is_not_present(make_record):
    record = make_record()
    made, _ = baselines.constant(
        record.counts, {(fold, au): 0.5 for fold in (1, 2, 3) for au in record.info.protocol.aus}
    )
    assert made["tp"].sum() == 0


def test_nothing_known_in_training_answers_no():
    assert baselines.probability("prior", 0, 0) == 0.0
