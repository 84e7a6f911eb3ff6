"""Detection of changed leaderboards: each finding names file and field."""

import json
import shutil

import pandas as pd
import pytest
from factories.records import remade

from aubench.core import registry
from aubench.core.errors import DataError
from aubench.leaderboard import verified_records
from aubench.leaderboard.build import write as build
from aubench.leaderboard.check import check
from aubench.results import counts, histograms


def _run(small_board, method="late_fusion"):
    return sorted(small_board.glob(f"records/*/{method}/*"))[0]


def _messages(small_board) -> str:
    return "\n".join(str(finding) for finding in check(small_board))


def test_a_sound_leaderboard_has_no_findings(board):
    assert check(board) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("summary.f1_mean", 0.9, "summary.f1_mean: says 0.9, counts yield 0."),
        ("summary.f1_pooled", 0.9, "summary.f1_pooled"),
        ("summary.acc", 0.9, "summary.acc:"),
        ("summary.auc", 0.9, "summary.auc:"),
        ("summary.ap", None, "summary.ap: says None"),
        ("summary.f1_by_au.AU12", 0.1, "summary.f1_by_au.AU12: says 0.1"),
        ("summary.f1_by_au.AU13", 0.1, "summary.f1_by_au.AU13: says 0.1, counts yield nothing"),
        ("summary.f1_by_fold.2", 0.1, "summary.f1_by_fold.2"),
        ("protocol.digest", "0" * 64, "protocol.digest: says 0000"),
        ("protocol.version", 99, "protocol.version: says 99"),
        ("protocol.fold_count", 4, "protocol.fold_count: says 4"),
        ("protocol.aus", [1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23], "is not in record.json"),
        ("dataset.name", "bp4d", "dataset.name: the protocol is on synth"),
        ("surprise", 1, "surprise: Extra inputs"),
        ("folds.0.surprise", 1, "folds.0.surprise: Extra inputs"),
        ("method.name", "amf", "path disagrees with its record.json"),
        ("run", "another", "path disagrees with its record.json"),
        ("protocol.name", "synth_4fold", "protocol: no protocol 'synth_4fold'"),
        ("recipe", {"long": "x" * 300_000}, "larger than 262,144 bytes"),
        ("folds.0.frames.test", 10, "counts.csv: fold 1: counts need"),
        ("folds.0.frames.train", 10, "folds.0.train_prevalence: more known labels than frames"),
        ("folds.0.val", [], "folds.0: a role is empty"),
    ],
)
def test_a_changed_field_is_found(small_board, edit, field, value, says):
    path = _run(small_board) / "record.json"
    edit(path, field, value)
    messages = _messages(small_board)
    assert says in messages
    assert str(path.parent) in messages
    assert all(str(path.parent) in line for line in messages.splitlines())


def test_every_single_count_matters(small_board):
    path = _run(small_board) / counts.FILE
    table = counts.read(path.parent)
    for cell in counts.CELLS:
        changed = table.copy()
        changed.loc[17, cell] += 1
        counts.write(changed, path.parent)
        messages = _messages(small_board)
        assert f"bins yield {cell}" in messages or "counts need" in messages
        counts.write(table, path.parent)
    assert check(small_board) == []


def test_moving_a_frame_between_bins_is_found(small_board):
    folder = _run(small_board)
    table = histograms.read(folder)
    row = table[table["label"] == 1].index[0]
    full = next(name for name in histograms.CELLS[100:] if table.loc[row, name])
    table.loc[row, full] -= 1
    table.loc[row, "b199" if full != "b199" else "b198"] += 1
    histograms.write(table, folder)
    assert "summary.a" in _messages(small_board)
    table.loc[row, "b000"] += 1
    histograms.write(table, folder)
    assert "histograms.csv: condition clean, fold 1, AU1: bins yield fn" in _messages(small_board)


def test_a_missing_fold_is_found(small_board):
    folder = _run(small_board)
    counts.write(counts.read(folder).query("fold != 2"), folder)
    assert f"{folder / counts.FILE}: fold 2 is missing" in _messages(small_board)
    histograms.write(histograms.read(folder).query("fold != 3"), folder)
    assert f"{folder / histograms.FILE}: fold 3 is missing" in _messages(small_board)


def test_a_missing_row_is_found(small_board):
    folder = _run(small_board)
    table = counts.read(folder)
    counts.write(table.drop(index=20), folder)
    lost = table.loc[20]
    assert f"condition clean, fold {lost['fold']}, subject {lost['subject']}, au {lost['au']} is missing" in _messages(
        small_board
    )


def test_a_condition_that_the_record_does_not_state_is_found(small_board):
    folder = _run(small_board)
    table = counts.read(folder)
    counts.write(pd.concat([table, table.assign(condition="missing:depth")]), folder)
    assert "condition missing:depth is not in record.json" in _messages(small_board)


@pytest.mark.slow
def test_labels_that_differ_between_conditions_are_found(small_board, edit):
    folder = _run(small_board)
    edit(folder / "record.json", "conditions", ["clean", "missing:depth"])
    table, bins = counts.read(folder), histograms.read(folder)
    noisy = table.assign(condition="missing:depth")
    histograms.write(pd.concat([bins, bins.assign(condition="missing:depth")]), folder)
    counts.write(pd.concat([table, noisy]), folder)
    build(small_board)
    assert check(small_board) == []
    noisy.loc[5, "tn"] += 1
    counts.write(pd.concat([table, noisy]), folder)
    assert "labels differ between conditions" in _messages(small_board)


def test_a_subject_outside_its_role_is_found(small_board, edit):
    folder = _run(small_board)
    fold = json.loads((folder / "record.json").read_text())["folds"][0]
    edit(folder / "record.json", "folds.0.test", fold["test"][1:])
    assert f"subject {fold['test'][0]} is not in record.json" in _messages(small_board)
    edit(folder / "record.json", "folds.0.test", fold["test"])
    edit(folder / "record.json", "folds.0.train", [*fold["train"], "Z999"])
    assert "folds.0.train: Z999 does not belong to the training parts of fold 1" in _messages(small_board)


def test_test_subjects_left_out_on_both_sides_are_found(small_board, edit):
    folder = _run(small_board)
    fold = json.loads((folder / "record.json").read_text())["folds"][0]
    gone = fold["test"][0]
    edit(folder / "record.json", "folds.0.test", fold["test"][1:])
    counts.write(counts.read(folder).query("subject != @gone"), folder)
    assert f"folds.0.test: {gone} is missing or does not belong" in _messages(small_board)


def test_a_duplicate_is_found(small_board, edit):
    folder = _run(small_board)
    twin = folder.with_name("twin")
    shutil.copytree(folder, twin)
    edit(twin / "record.json", "run", "twin")
    assert f"run: says twin, the id of its content is {folder.name}" in _messages(small_board)


@pytest.mark.slow
def test_labels_that_differ_between_runs_on_one_store_are_found(small_board, make_record):
    record = make_record("mine", seed=9)
    table, bins = record.counts.copy(), record.histograms.copy()
    fold, subject = record.info.folds[0], table["subject"][0]
    table.loc[0, "tn"] += 1
    bins.loc[0, "b000"] += 1
    changes = {"dataset__labelled": record.info.dataset.labelled + 1, "folds__0__frames__test": fold.frames.test + 1}
    for i, other in enumerate(record.info.folds[1:], 1):
        role = "train" if subject in other.train else "val"
        changes[f"folds__{i}__frames__{role}"] = getattr(other.frames, role) + 1
        positive, known = other.train_prevalence["AU1"]
        changes[f"folds__{i}__train_prevalence__AU1"] = [positive, known + (role == "train")]
    changed = remade(record, {"counts": table, "histograms": bins}, **changes)
    changed.write(small_board / "records" / changed.relative_path)
    assert "labels differ from those of" in _messages(small_board)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", "synth_3fold.md"])
def test_a_stale_page_is_found(small_board, name):
    text = (small_board / name).read_text()
    (small_board / name).write_text(text + "\n")
    remedy = f"run `aubench leaderboard build --root {small_board}`"
    assert _messages(small_board) == f"{small_board / name}: is stale; {remedy}"
    (small_board / name).unlink()
    assert f"is missing; {remedy}" in _messages(small_board)
    build(small_board)
    assert check(small_board) == []
    (small_board / "old_3fold.md").write_text(text)
    assert "no record belongs to it" in _messages(small_board)


@pytest.mark.parametrize("name", ["records/notes.txt", "records/synth_3fold/notes.txt"])
def test_a_stray_file_is_found(small_board, name):
    (small_board / name).write_text("x")
    assert f"{small_board / name}: does not belong here" in _messages(small_board)


def test_a_stray_file_or_a_link_in_a_record_is_found(small_board):
    folder = _run(small_board)
    (folder / "weights.pt").write_text("x")
    assert "weights.pt: is no file of a record" in _messages(small_board)
    (folder / "weights.pt").unlink()
    (folder / "counts.csv").rename(small_board / "away.csv")
    (folder / "counts.csv").symlink_to(small_board / "away.csv")
    assert "counts.csv: is missing or not a plain file" in _messages(small_board)


def test_oversized_counts_are_found(small_board):
    folder = _run(small_board)
    with (folder / counts.FILE).open("ab") as file:
        file.write(b"clean,1,F001,1,0,0,0,0\n" * 800_000)
    assert "counts.csv: is larger than 16,777,216 bytes" in _messages(small_board)


def test_a_protocol_that_changed_since_is_found(small_board, monkeypatch):
    def changed(name):
        protocol = registry.find_protocol(name)
        return protocol.model_copy(update={"version": protocol.version + 1})

    monkeypatch.setattr(verified_records, "_find_protocol", changed)
    findings = check(small_board, use_cache=False)
    assert len([f for f in findings if "protocol.version" in f.what]) == 2


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no leaderboard here"):
        check(tmp_path / "nowhere")
