"""Checks of records against protocols with a fixed split or several data sets."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from aubench.core.protocol import Protocol
from aubench.core.task import Modality
from aubench.leaderboard import verify
from aubench.leaderboard.entries import ranked_tables
from aubench.leaderboard.records import StoredRecord
from aubench.results import counts, histograms
from aubench.results import record as record_file

NAMES = [f"one:F{i:03}" for i in range(1, 11)]
FIELDS = {
    **{"name": "across", "version": 1, "title": "any", "modalities": ("visual",), "aus": (12, 6)},
    **{"train_on": ("one",), "test_on": ("other",), "threshold": "fixed:0.5", "preset": "tiny"},
    "labels": {"one": "occurrence", "other": "intensity >= 2"},
    "validation": {"fraction": 0.4, "candidates": 5},
    "parts": {"a": NAMES, "b": ("other:F001", "other:F002", "other:S3")},
    "same_people": (("one:F001", "one:F002"), ("one:F010", "other:S3")),
}
SPLIT = {
    **{name: value for name, value in FIELDS.items() if name not in {"train_on", "test_on", "same_people", "parts"}},
    **{"name": "split", "dataset": "one", "labels": "occurrence"},
    "split": {"train": ("F001", "F002"), "validation": ("F003",), "test": ("F004", "F005")},
}


@pytest.fixture
def check(make_record, tmp_path: Path):
    """Write a record with changed roles of its fold, read it and return its findings as text."""

    def findings(fields, **roles) -> str:
        protocol = Protocol.model_validate(fields)
        made = make_record("mine", protocol=protocol, folds=(1,), modalities=(Modality.VISUAL,))
        fold = made.info.folds[0].model_copy(update=roles)
        replace(made, info=made.info.model_copy(update={"folds": (fold,)})).write(tmp_path)
        run = StoredRecord(tmp_path, record_file.read(tmp_path))
        found = [*verify.check_record(run), *verify.check_protocol(run, lambda name: protocol)]
        if not roles:
            (table,) = ranked_tables([run])
            assert len(table.methods) == 1
            found += ["" if fields["labels"] == "occurrence" else table.dataset.partition("frames, ")[2]]
        return "; ".join(map(str, found))

    return findings


def test_a_record_across_data_sets_is_sound_and_its_page_names_the_label_rules(check) -> None:
    assert check(FIELDS) == "labels of one: occurrence, labels of other: intensity >= 2"


@pytest.mark.parametrize("unknown", [6, 9])
def test_aus_without_known_labels_are_not_constant(make_record, tmp_path: Path, unknown) -> None:
    record = make_record()
    aus = record.info.protocol.aus[:unknown]
    table = record.histograms.copy()
    table.loc[(table["fold"] == 1) & table["au"].isin(aus), histograms.CELLS] = 0
    run = StoredRecord(tmp_path, replace(record, histograms=table))
    assert list(verify.check_predictions(run)) == []


def test_a_record_of_a_fixed_split_is_sound(check) -> None:
    assert check(SPLIT) == ""


@pytest.mark.parametrize(
    ("fields", "roles", "message"),
    [
        (FIELDS, {"train": ("one:F010",), "val": ("one:F002",)}, "one:F010 does not belong to the training parts"),
        (FIELDS, {"train": ("F002",), "val": ("one:F003",)}, "F002 does not belong to the training parts"),
        (FIELDS, {"train": ("one:F001",), "val": ("one:F002",)}, "one:F002 is a person of the training role"),
        (SPLIT, {"train": ("F001", "F003"), "val": ("F002",)}, "F003 does not belong to the training parts"),
        (SPLIT, {"train": ("F001",), "val": ("F002",)}, "F002 does not belong to the training parts"),
    ],
)
def test_a_role_clash_is_found(check, fields, roles, message) -> None:
    assert message in check(fields, **roles)


def test_another_label_rule_than_that_of_the_protocol_is_found(make_record, tmp_path: Path) -> None:
    protocol = Protocol.model_validate(FIELDS)
    made = make_record("mine", protocol=protocol, folds=(1,), modalities=(Modality.VISUAL,))
    made.write(tmp_path)
    path = tmp_path / "record.json"
    path.write_text(path.read_text().replace("intensity >= 2", "intensity >= 1"))
    run = StoredRecord(tmp_path, record_file.read(tmp_path))
    (finding,) = verify.check_protocol(run, lambda name: protocol)
    assert "protocol.labels: says" in str(finding)


@pytest.mark.slow
def test_rows_of_many_subjects_are_named_in_seconds() -> None:
    rows = set(product(["clean"], [1], [f"S{i}" for i in range(1900)], range(1, 101)))
    start = time.process_time()
    missing = {row for row in rows if row[3] == 7}
    assert verify._describe_rows(counts.KEY, missing, rows) == "au 7"
    few = missing - {("clean", 1, "S0", 7)}
    assert verify._describe_rows(counts.KEY, few, rows).endswith("subject S1, au 7 (and 1,898 more)")
    assert verify._describe_rows(counts.KEY, missing | {row for row in rows if row[2] == "S5"}, rows) == "subject S5"
    assert time.process_time() - start < 10
