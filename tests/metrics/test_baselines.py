"""Trivial baselines compared with scikit-learn's dummies, frame by frame."""

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier

from aubench.leaderboard import records, verify
from aubench.metrics import baselines, scores
from aubench.results import counts, histograms


def _frames(record, fold: int, au: int) -> np.ndarray:
    """Return the labels of the test frames, from the counts."""
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
            predicted = learner.predict(np.zeros((len(truth), 1)))
            total = table[(table["fold"] == part.fold) & (table["au"] == au)][counts.CELLS].sum().tolist()
            assert total == [((predicted == s) & (truth == t)).sum() for s, t in ((1, 1), (1, 0), (0, 1), (0, 0))]
            p = learner.predict_proba([[0]])[0, 1]
            row = bins[(bins["fold"] == part.fold) & (bins["au"] == au) & (bins["label"] == 1)]
            assert row[histograms.CELLS[int(histograms.bins_of(p))]].item() == truth.sum()


def test_baselines_agree_with_their_histograms_and_have_an_auc_of_one_half(make_record):
    record = make_record()
    for tables in (baselines.always_positive(record), baselines.prevalence(record)):
        run = records.StoredRecord(None, type(record)(record.info, *tables))
        assert not list(verify.check_histograms(run))
        assert scores.summarize(*tables).value("auc") == 0.5


def test_labels_stay_and_other_conditions_go(make_record):
    record = make_record()
    noisy = counts.canonical(pd.concat([record.counts, record.counts.assign(condition="missing:depth")]))
    tables = baselines.constant(noisy, {(fold, au): 0.2 for fold in (1, 2, 3) for au in record.info.protocol.aus})
    table, _ = tables
    constant, original = (records.StoredRecord(None, item) for item in (type(record)(record.info, *tables), record))
    assert constant.labels == original.labels
    assert set(table["condition"]) == {"clean"}
    assert table["tp"].sum() == table["fp"].sum() == 0


def test_exactly_half_is_not_present(make_record):
    record = make_record()
    table, _ = baselines.constant(
        record.counts, {(fold, au): 0.5 for fold in (1, 2, 3) for au in record.info.protocol.aus}
    )
    assert table["tp"].sum() == 0


def test_without_known_training_labels_all_predictions_are_negative(make_record):
    record = make_record()
    fold = record.info.folds[0].model_copy(update={"train_prevalence": {"AU1": (0, 0)}})
    info = record.info.model_copy(update={"folds": (fold,)})
    counted = record.counts[(record.counts["fold"] == 1) & (record.counts["au"] == 1)]
    table, bins = baselines.prevalence(type(record)(info, counted, record.histograms))
    assert table["tp"].sum() == table["fp"].sum() == 0 and len(table)
    assert bins["b000"].sum() == bins[histograms.CELLS].to_numpy().sum() > 0
