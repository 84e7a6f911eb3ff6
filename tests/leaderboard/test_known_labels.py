"""Committed label counts: those of the renderer, and of the committed records."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from factories.stores import write_store

from aubench.api.stores import write_label_counts
from aubench.core.errors import DataError
from aubench.core.registry import find_protocol
from aubench.datasets.label_counts import label_counts
from aubench.leaderboard import label_checks
from aubench.leaderboard.known_labels import known_stores
from aubench.rendering import tracks
from aubench.rendering.constants import AUS, SUBJECTS, TASKS
from aubench.results import counts

ROOT = Path(__file__).parents[2]


@pytest.fixture
def synth():
    (store,) = [store for store in known_stores().values() if store.dataset == "synth"]
    return store


@pytest.mark.parametrize("subject", [SUBJECTS[0], SUBJECTS[-1]])
def test_they_are_those_of_the_renderer(synth, subject):
    rendered = [tracks.make_track(0, subject, task, 32) for task in TASKS]
    labels = np.concatenate([track.labels[track.labelled] for track in rendered])
    order = np.argsort(AUS)
    positive, known = synth.subjects.labels[subject]
    assert ((labels == 1).sum(0)[order] == positive).all() and ((labels >= 0).sum(0)[order] == known).all()
    assert synth.subjects.labelled[subject] == len(labels)


def test_they_are_those_of_the_committed_records(synth):
    paths = sorted((ROOT / "leaderboard" / "records" / "synth_3fold").glob("*/*/record.json"))
    infos = [json.loads(path.read_bytes()) for path in paths]
    assert {info["dataset"]["digest"] for info in infos} == {synth.digest}
    table = counts.read(paths[0].parent).query("condition == 'clean'")
    for (subject, au), row in table.set_index(["subject", "au"])[counts.CELLS].iterrows():
        positive, known = synth.subjects.labels[subject][:, synth.aus.index(au)]
        assert (row["tp"] + row["fn"], row.sum()) == (positive, known)


def test_they_are_written_from_a_store(small_store, tmp_path):
    write_label_counts(str(small_store), tmp_path / "labels.json")
    content = json.loads((tmp_path / "labels.json").read_text())
    assert content["dataset"] == "synth" and list(content["subjects"]) == sorted(SUBJECTS)
    frames, labelled, positive, known = content["subjects"][SUBJECTS[0]]
    assert (
        frames == 32 and max(known) <= labelled <= frames and all(p <= k for p, k in zip(positive, known, strict=True))
    )
    from aubench.data.store import Store

    assert json.loads(json.dumps(label_counts(Store(small_store)))) == content


def test_intensities_have_no_label_counts(tmp_path):
    store = write_store(tmp_path / "disfa", "disfa", ["SN001"], labels="intensity")
    with pytest.raises(DataError, match="holds intensities, and label counts are of occurrence; prepare a store of"):
        label_counts(store)


def test_only_some_draws_are_remembered(synth, monkeypatch):
    """The digests of anybody's records would otherwise fill the memory."""
    monkeypatch.setattr(label_checks, "_MAX_DRAWS", 2)
    monkeypatch.setattr(label_checks, "_draws", {})
    protocol = find_protocol("synth_3fold")
    drawn = []
    for fold in (1, 2, 3, 1):
        drawn.append(label_checks._drawn(protocol, fold, synth.subjects))
        assert 0 < len(label_checks._draws) <= 2
    assert drawn[0] == drawn[3] and len(set(drawn)) == 3
