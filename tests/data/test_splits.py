from __future__ import annotations

import time

import numpy as np
import pytest
from factories.stores import write_store
from sklearn.model_selection import GroupShuffleSplit

from aubench.core.errors import DataError, UsageError
from aubench.core.protocol import Protocol
from aubench.core.protocol_rules import FoldRule, ValidationRule
from aubench.core.registry import find_protocol
from aubench.core.task import Modality
from aubench.data import loader
from aubench.data.random_store import RandomStore
from aubench.data.splits import ProtocolDataset
from aubench.data.store import Store


@pytest.fixture(scope="module")
def data(small_store):
    return ProtocolDataset(Store(small_store), find_protocol("synth_3fold"))


@pytest.mark.parametrize("fold", [1, 2, 3])
def test_roles_share_no_subject_and_leave_no_labelled_frame_out(data, fold):
    roles = data.split(fold, validation=True)
    subjects = [set(data.subjects[rows]) for rows in (roles.train, roles.val, roles.test)]
    assert not subjects[0] & subjects[1] and not subjects[0] & subjects[2] and not subjects[1] & subjects[2]
    assert subjects[2] == data.protocol.test_subjects(fold)
    assert len(roles.train) + len(roles.val) + len(roles.test) == data.count
    assert 0.1 < len(subjects[1]) / len(subjects[0] | subjects[1]) < 0.3


def test_validation_subjects_are_the_same_for_all_runs(data, small_store):
    again = ProtocolDataset(Store(small_store), find_protocol("synth_3fold"))
    assert np.array_equal(again.split(1, validation=True).val, data.split(1, validation=True).val)


def test_runs_on_fewer_modalities_train_and_validate_on_the_same_subjects(data, small_store):
    narrow = ProtocolDataset(Store(small_store), find_protocol("synth_3fold", ["depth"]))
    for fold in (1, 2, 3):
        narrowed, full = (each.split(fold, validation=True) for each in (narrow, data))
        assert np.array_equal(narrowed.val, full.val) and np.array_equal(narrowed.train, full.train)


def test_one_training_subject_leaves_none_for_validation(small_store):
    protocol = find_protocol("synth_3fold")
    first, *rest = sorted(protocol.subjects)
    few = protocol.model_copy(
        update={
            "parts": {"one": (first,), "others": tuple(rest)},
            "folds": (FoldRule(train=("one",), test=("others",)), FoldRule(train=("others",), test=("one",))),
        }
    )
    alone = ProtocolDataset(Store(small_store), few)
    with pytest.raises(UsageError, match="fold 1 has one training subject"):
        alone.split(1, validation=True)
    assert len(alone.split(1, validation=False).train)


@pytest.mark.parametrize("fold", [1, 2, 3])
def test_validation_subjects_equal_the_best_draw_of_scikit_learn(data, fold):
    rule, training = data.protocol.validation, sorted(data.protocol.train_subjects(fold))
    seed = int(data.protocol.seed[:7], 16) + fold
    draws = GroupShuffleSplit(rule.candidates, test_size=rule.fraction, random_state=seed).split(
        training, groups=training
    )

    def rates(subjects):
        labels = data.labels[data.labelled_rows(set(subjects))]
        return (labels == 1).sum(0) / (labels >= 0).sum(0)

    candidates = [[training[i] for i in test] for _, test in draws]
    best = min(candidates, key=lambda subjects: np.abs(rates(subjects) - rates(training)).sum())
    assert {*data.subjects[data.split(fold, validation=True).val]} == {*best}


def test_validation_labels_are_nearer_to_the_training_rates_than_a_usual_draw(data):
    roles = data.split(1, validation=True)
    training = np.concatenate([roles.train, roles.val])

    def rates(rows):
        return (data.labels[rows] == 1).sum(0) / (data.labels[rows] >= 0).sum(0)

    def distance(rows):
        return np.abs(rates(rows) - rates(training)).sum()

    rng = np.random.default_rng(0)
    names = sorted(set(data.subjects[training]))
    draws = [distance(data.labelled_rows(set(rng.choice(names, 6, replace=False)))) for _ in range(50)]
    assert distance(roles.val) < np.median(draws)


def test_without_validation_everybody_trains(data):
    roles = data.split(2, validation=False)
    assert not len(roles.val)
    assert set(data.subjects[roles.train]) == data.protocol.train_subjects(2)


def test_prevalence_counts_known_labels_alone(data):
    rows = data.split(1, validation=True).train
    for i, au in enumerate(data.protocol.aus):
        column = data.labels[rows, i]
        assert data.prevalence(rows)[f"AU{au}"] == ((column == 1).sum(), (column != -1).sum())


def test_store_that_does_not_fit_the_protocol_is_refused(small_store):
    store = Store(small_store)
    with pytest.raises(DataError, match="holds synth, but bp4d_3fold is on bp4d"):
        ProtocolDataset(store, find_protocol("bp4d_3fold"))
    lacking = Store(small_store)
    lacking.frames = lacking.frames[lacking.frames["subject"] != "M018"]
    with pytest.raises(DataError, match=r"lacks 1 of the 41 subjects .*M018"):
        ProtocolDataset(lacking, find_protocol("synth_3fold"))
    blind = Store(small_store)
    modalities = {m: text for m, text in blind.info.modalities.items() if m is not Modality.DEPTH}
    blind.info = blind.info.model_copy(update={"modalities": modalities})
    with pytest.raises(DataError, match="has no depth images"):
        ProtocolDataset(blind, find_protocol("synth_3fold"))


DRAWN = {
    "bp4d_3fold": ("F005 F008 F013 F016 M007 M008", "F001 F002 F006 F012 M003 M007", "F014 F015 F022 M002 M015 M016"),
    "synth_3fold": ("F005 M001 M007 M013 M014 M016", "F010 F015 M003 M008 M014 M015", "F003 F017 F019 F020 M006 M017"),
    "synth_vdt_3fold": (
        "F003 F011 F023 M007 M012 M014",
        "F001 F008 F019 F023 M008 M015",
        "F006 F007 F015 F021 M009 M011",
    ),
}


@pytest.mark.parametrize("name", DRAWN)
def test_validation_subjects_of_builtin_protocols_are_those_of_committed_records(name):
    protocol = find_protocol(name)
    drawn = ProtocolDataset(RandomStore(protocol, 2, 20), protocol)
    for fold, expected in enumerate(DRAWN[name], 1):
        rows = drawn.split(fold, validation=True).val
        assert sorted(set(drawn.subjects[rows].tolist())) == expected.split()


def one_au(labels, values, tmp_path, kind):
    store = write_store(tmp_path / "store", "one", ["F001", "F002"], aus={6: values}, labels=kind, frames=len(values))
    return ProtocolDataset(store, fixed_split(labels=labels, aus=(6,), train=("F001",), test=("F002",)))


def fixed_split(**changes):
    roles = {role: changes.pop(role) for role in ("train", "validation", "test") if role in changes}
    fields = {
        **{"name": "any", "version": 1, "title": "any", "dataset": "one", "modalities": ("visual",), "aus": (6, 12)},
        **{"labels": "occurrence", "threshold": "fixed:0.5", "preset": "tiny", "split": roles},
        "validation": {"fraction": 0.4, "candidates": 5},
    }
    return Protocol.model_validate({**fields, **changes})


@pytest.mark.parametrize(("lowest", "expected"), [(1, [-1, 0, 1, 1, 1, 1, 1]), (2, [-1, 0, 0, 1, 1, 1, 1])])
def test_intensities_from_the_threshold_on_are_present(tmp_path, lowest, expected):
    values = [-1, 0, 1, 2, 3, 4, 5]
    data = one_au(f"intensity >= {lowest}", values, tmp_path, "intensity")
    assert data.labels[:, 0].tolist() == expected * 2 and data.labels.dtype == np.int8
    assert data.prevalence(np.arange(7))["AU6"] == (expected.count(1), 6)


@pytest.mark.parametrize(("rule", "kind"), [("occurrence", "intensity"), ("intensity >= 2", "occurrence")])
def test_a_label_rule_of_the_other_kind_is_refused(tmp_path, rule, kind):
    with pytest.raises(DataError, match=f"holds labels of {kind}, but any uses '{rule}'"):
        one_au(rule, [0, 1], tmp_path, kind)


def test_a_fixed_split_validates_on_its_own_subjects(tmp_path):
    store = write_store(tmp_path / "store", "one", ["F001", "F002", "F003", "F004"])
    protocol = fixed_split(train=("F001", "F002"), validation=("F004",), test=("F003",))
    data = ProtocolDataset(store, protocol)
    roles = data.split(1, validation=True)
    assert [set(data.subjects[rows]) for rows in (roles.train, roles.val, roles.test)] == [
        {"F001", "F002"},
        {"F004"},
        {"F003"},
    ]
    last = data.split(1, validation=False)
    assert not len(last.val) and set(data.subjects[last.train]) == {"F001", "F002"}


def test_two_names_of_a_person_are_drawn_together(tmp_path):
    names = [f"F{i:03}" for i in range(1, 8)]
    store = write_store(tmp_path / "store", "one", names)
    pairs = (("F001", "F004"), ("F002", "F005"), ("F003", "F006"))
    for candidates in range(1, 9):
        rule = ValidationRule(fraction=0.4, candidates=candidates)
        protocol = fixed_split(train=names[:6], test=names[6:], same_people=pairs)
        data = ProtocolDataset(store, protocol.model_copy(update={"validation": rule}))
        val = set(data.subjects[data.split(1, validation=True).val])
        assert len(val) == 4 and all(len(val & {*pair}) != 1 for pair in pairs)


def test_frames_that_a_variant_leaves_out_have_no_label(tmp_path):
    store = write_store(tmp_path / "store", "one", ["F001", "F002", "F003"])
    few = {"few": {"count": 29, "without": {"F001/T1": "0-2, 11", "F002": "3-5", "F003/T9": "0-11"}}, "all": 36}
    roles = {"train": ("F001", "F002"), "test": ("F003",)}
    full = ProtocolDataset(store, fixed_split(**roles, variants=few))
    data = ProtocolDataset(store, fixed_split(**roles, variants=few, variant="few"))
    assert (full.count, full.variant, data.count, data.variant) == (36, "all", 29, "few")
    assert data.split(1, validation=False).train.tolist() == [*range(3, 11), *range(12, 15), *range(18, 24)]
    assert (data.labels[[0, 11, 15]] == -1).all() and np.array_equal(data.labels[3:11], full.labels[3:11])
    assert len(data.all_rows({"F001"})) == 12 and (store.frames[["AU6", "AU12"]].to_numpy() >= 0).all()


@pytest.mark.slow
def test_protocols_of_full_size_are_ordered_in_seconds():
    protocol = find_protocol("bp4dplus_bigsmall3")
    store = RandomStore(protocol, 1, 1413)
    assert len(store.frames) > 197_756
    start = time.process_time()
    data = ProtocolDataset(store, find_protocol("bp4dplus_bigsmall3"))
    split = data.split(1, validation=True)
    assert time.process_time() - start < 2
    start = time.process_time()
    assert len(loader.shuffled_epoch(split.train, 100_000, 0)) == 100_000
    assert time.process_time() - start < 1
