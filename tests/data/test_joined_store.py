"""Stores of several data sets behind one interface, and protocols on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from factories.stores import write_store

from aubench.core.errors import DataError
from aubench.core.protocol import Protocol
from aubench.core.task import Modality
from aubench.data import clips
from aubench.data.joined_store import JoinedStore, joined
from aubench.data.random_store import random_store
from aubench.data.splits import ProtocolDataset
from aubench.data.store import Store

VISUAL = Modality.VISUAL


def across(**changes) -> Protocol:
    fields = {
        **{"name": "any", "version": 1, "title": "any", "modalities": ("visual",), "aus": (12, 6)},
        **{"train_on": ("one",), "test_on": ("other",), "threshold": "fixed:0.5", "preset": "tiny"},
        "labels": {"one": "occurrence", "other": "intensity >= 2"},
        "validation": {"fraction": 0.4, "candidates": 5},
        "parts": {"a": ("one:F001", "one:F002", "one:F003"), "b": ("other:F001", "other:F002")},
    }
    return Protocol.model_validate({**fields, **changes})


@pytest.fixture
def one(tmp_path: Path) -> Store:
    return write_store(
        tmp_path / "one", "one", ["F001", "F002", "F003"], aus=(6, 12, 1), modalities=("visual", "depth")
    )


@pytest.fixture
def other(tmp_path: Path) -> Store:
    return write_store(tmp_path / "other", "other", ["F001", "F002"], aus=(12, 6), labels="intensity", seed=1)


def test_a_joined_store_has_the_frames_of_all_and_qualified_subjects(one: Store, other: Store) -> None:
    store = joined([one, other])
    assert len(store.frames) == len(one.frames) + len(other.frames) and store.aus == (6, 12)
    assert store.frames["subject"].unique().tolist() == ["one:F001", "one:F002", "one:F003", "other:F001", "other:F002"]
    assert store.info.dataset == "one-other" and set(store.info.modalities) == {VISUAL}
    rows = np.array([30, 3, len(one.frames) + 5, 0])
    expected = [*one.read(VISUAL, rows[:2]), *other.read(VISUAL, [5]), *one.read(VISUAL, [0])]
    assert np.array_equal(store.read(VISUAL, rows), np.stack(expected))
    files = {*one.array_files([VISUAL], [3, 0]), *other.array_files([VISUAL], [5])}
    assert set(store.array_files([VISUAL], rows[1:])) == files and all(file.exists() for file in files)
    view = store.without_labels([2])
    with pytest.raises(DataError, match="test frames cannot be read"):
        view.read(VISUAL, [2])
    assert joined([one]) is one


def test_the_digest_of_a_joined_store_follows_its_members(one: Store, other: Store, tmp_path: Path) -> None:
    again = write_store(tmp_path / "again", "other", ["F001", "F002"], aus=(12, 6), labels="intensity", seed=2)
    assert joined([one, other]).info.digest == JoinedStore([Store(one.path), Store(other.path)]).info.digest
    assert joined([one, other]).info.digest != joined([one, again]).info.digest


def test_each_data_set_has_its_own_label_rule_and_people(one: Store, other: Store) -> None:
    data = ProtocolDataset(joined([one, other]), across())
    assert np.array_equal(data.labels[: len(one.frames)], one.frames[["AU12", "AU6"]])
    assert np.array_equal(data.labels[len(one.frames) :], other.frames[["AU12", "AU6"]] >= 2)
    split = data.split(1, validation=True)
    subjects = [set(data.subjects[rows]) for rows in (split.train, split.val, split.test)]
    assert subjects[0] | subjects[1] == {"one:F001", "one:F002", "one:F003"} and len(subjects[1]) == 2
    assert subjects[2] == {"other:F001", "other:F002"}
    assert data.count == len(data.store.frames)
    assert len(clips.sequences(data, np.arange(len(data.subjects)))) == 5
    assert data.names(split.test[:1]) == [("other:F001", "T1", 0)]


def test_each_data_set_has_its_own_usual_step(one: Store, other: Store, tmp_path: Path) -> None:
    still = write_store(tmp_path / "still", "still", ["F001"], frames=1)
    other.frames["frame"] *= 40  # such as times in milliseconds
    data = ProtocolDataset.unlabelled(joined([one, still, other]), across())
    assert data.usual_steps.tolist() == [1] * len(one.frames) + [1] + [40] * len(other.frames)
    assert len(clips.sequences(data, np.arange(len(data.subjects)))) == 6


def test_declared_people_of_the_test_do_not_train(one: Store, other: Store) -> None:
    protocol = across(same_people=(("one:F002", "other:F002"),))
    data = ProtocolDataset(joined([one, other]), protocol)
    split = data.split(1, validation=False)
    assert set(data.subjects[split.train]) == {"one:F001", "one:F003"}
    assert set(data.subjects[split.test]) == {"other:F001", "other:F002"}
    assert data.count == len(data.store.frames) - 12


def test_what_a_store_lacks_is_one_line_that_names_it(one: Store, other: Store, tmp_path: Path) -> None:
    def refused(store: Store, message: str, where: Path | str, **changes) -> None:
        with pytest.raises(DataError) as caught:
            ProtocolDataset(joined([one, store]), across(**changes))
        assert message in str(caught.value) and str(where) in str(caught.value)

    large = write_store(tmp_path / "large", "other", ["F001", "F002"], labels="intensity", size=64)
    refused(large, f"has images of 64 pixels, and {one.path} has 32; prepare both with the same --size", large.path)
    few = write_store(tmp_path / "few", "other", ["F001"], labels="intensity")
    refused(few, "lacks 1 of the 2 subjects of any (F002)", few.path)
    refused(other, "has no labels of AU1; the stores share AUs 6, 12", other.path, aus=(1, 6))
    refused(other, "has no depth images", other.path, modalities=("visual", "depth"))
    refused(other, "holds labels of intensity, but any uses 'occurrence'", other.path, labels="occurrence")
    unknown = {6: [-1] * 12, 12: [1] * 12}
    blank = write_store(tmp_path / "blank", "other", ["F001", "F002"], aus=unknown, labels="intensity")
    refused(blank, "has no labels of AU6", blank.path)
    with pytest.raises(DataError, match="holds other and one, but any is on one and other"):
        ProtocolDataset(joined([other, one]), across())
    with pytest.raises(DataError, match="holds one, but any is on one and other"):
        ProtocolDataset(one, across())


def test_random_images_stand_in_for_several_data_sets() -> None:
    protocol = across()
    data = ProtocolDataset(random_store(protocol, 8, 4), protocol)
    assert data.count == 20 and set(np.unique(data.labels)) == {0, 1}
    assert data.store.read(VISUAL, [0, 19]).shape == (2, 8, 8, 3)
