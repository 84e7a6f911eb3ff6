"""Predictions made elsewhere: each test frame once, the same counts as a run, records apart from those of runs."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from factories.protocols import two_folds
from factories.stores import write_store

import aubench as package
from aubench.api.scoring import SubmissionResults
from aubench.core.errors import AubenchError, RecordError
from aubench.core.protocol_file import load
from aubench.data.splits import ProtocolDataset
from aubench.evaluation import inference, prediction_files
from aubench.leaderboard import verify
from aubench.leaderboard.comparison_set import load_comparison_set
from aubench.results import record as record_file

FRAMES = 12
KEYS = ["subject", "sequence", "frame"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> ProtocolDataset:
    """Twelve frames of each of six subjects, three of which each fold tests."""
    folder = tmp_path_factory.mktemp("lab")
    subjects = [f"S{i}" for i in range(1, 7)]
    (folder / "lab.toml").write_text(two_folds("lab", "mylab", subjects[:3], subjects[3:]))
    store = write_store(folder / "store", "mylab", subjects, modalities=("visual", "depth"), frames=FRAMES)
    return ProtocolDataset(store, load(folder / "lab.toml"))


@pytest.fixture(scope="module")
def table(data) -> pd.DataFrame:
    """Return valid predictions of both folds."""
    rng, parts = np.random.default_rng(1), []
    for fold in (1, 2):
        rows = data.split(fold, validation=False).test
        part = data.store.frames.iloc[rows][KEYS].reset_index(drop=True).assign(fold=fold)
        for i, au in enumerate(data.protocol.aus):
            part[f"p_AU{au}"] = (0.5 * rng.random(len(rows)) + 0.4 * (data.labels[rows, i] == 1)).astype(np.float32)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def score(data, tmp_path) -> Callable[..., SubmissionResults]:
    """Write a table to a file and score it."""

    def call(table: pd.DataFrame | Path, name: str = "mymodel", suffix: str = "parquet", **options):
        path = table
        if isinstance(table, pd.DataFrame):
            path = tmp_path / f"given.{suffix}"
            table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path, index=False)
        protocol = data.store.path.parent / "lab.toml"
        return package.score(path, str(protocol), name, store=data.store.path, out=tmp_path / "runs", **options)

    return call


@pytest.mark.slow
def test_counts_are_those_of_the_harness(data, table, score, tmp_path):
    result = score(table)
    (record,) = result.records
    for fold in (1, 2):
        rows = data.split(fold, validation=False).test
        probs = table.loc[table["fold"] == fold, ["p_AU6", "p_AU12"]].to_numpy(np.float32)
        expected = inference.count_table(probs, data, rows, fold=fold)
        pd.testing.assert_frame_equal(record.counts[record.counts["fold"] == fold].reset_index(drop=True), expected)
    assert verify.check_record(result.stored_records[0]) == []
    (row,) = result.to_dataframe().to_dict("records")
    assert (row["method"], row["selection"], row["preset"], row["folds"]) == ("mymodel", "submitted", "submitted", 2)
    assert row["f1_over_low"] <= row["f1_over_always_positive"] <= row["f1_over_high"]
    assert row["gflops"] is None and row["tuned"] is None and "mymodel" in result.summary()
    assert Path(row["folder"]) == tmp_path / "runs" / record.relative_path / "record"
    assert result.robustness is None


@pytest.mark.slow
def test_other_predictions_of_the_same_name_and_seed_are_named(table, score, tmp_path, capsys):
    first = score(table).stored_records[0].folder
    score(table, seed=1)
    score(table, name="other")
    assert score(table).stored_records[0].folder == first and capsys.readouterr().err == ""
    second = score(table.assign(p_AU6=0.25 + table["p_AU6"] / 2)).stored_records[0].folder
    line = f"{first} has other predictions of mymodel, seed 0; delete it before you compare or add mymodel"
    assert capsys.readouterr().err.splitlines() == [line]
    with pytest.raises(RecordError, match="is another record of the run in") as error:
        load_comparison_set([str(second.parents[1]), str(tmp_path / "runs/lab/other")], tmp_path)
    assert error.value.hint == "delete the folder of the older one"


@pytest.mark.slow
def test_the_files_of_folds_are_read_as_they_are(data, table, score, tmp_path):
    run = tmp_path / "run"
    for fold in (1, 2):
        (run / f"fold{fold}").mkdir(parents=True)
        probs = table.loc[table["fold"] == fold, ["p_AU6", "p_AU12"]].to_numpy(np.float32)
        rows = data.split(fold, validation=False).test
        inference.write_predictions(run / f"fold{fold}" / "predictions.parquet", probs, data, rows)
        (run / f"fold{fold}" / "counts.csv").write_text("not a file of predictions\n")
    expected = score(table).records[0]
    files = sorted(run.glob("fold*/*.parquet"))
    for given in (run, [run / "fold2", run / "fold1"], files):
        assert package.score(given, str(data.store.path.parent / "lab.toml"), "mymodel", store=data.store.path,
                             out=tmp_path / "runs").records[0].info == expected.info  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("change", ["csv", "shuffled", "no fold", "numbers as text", "spaces and CRLF", "float64"])
def test_the_form_of_the_file_does_not_matter(table, score, tmp_path, change):
    expected = score(table).records[0].info
    if change == "shuffled":
        given = table.sample(frac=1, random_state=0).assign(AU6=9, remark="x")
    elif change == "no fold":
        given = table.drop(columns="fold")
    elif change == "numbers as text":
        given = table.assign(fold=table["fold"].astype(str), frame=table["frame"].astype(float))
    elif change == "float64":
        given = table.astype({"p_AU6": np.float64})
    elif change == "spaces and CRLF":
        given = tmp_path / "excel.csv"
        text = table.to_csv(index=False).replace(",", ", ").replace("\n", "\r\n")
        given.write_bytes(b"\xef\xbb\xbf" + text.encode())
    else:
        given = table
    assert score(given, suffix="csv" if change == "csv" else "parquet").records[0].info == expected


FAULTS = {
    "missing": (
        lambda t: t.drop(index=[3, 4]),
        "test frames without a prediction: 2 of 72 (first: subject S4, sequence T1, frame 3, fold 1)",
    ),
    "missing fold": (lambda t: t[t["fold"] == 1], "test frames without a prediction: 36 of 72 (first: subject S1"),
    "additional": (
        lambda t: pd.concat([t, t.iloc[:1].assign(frame=99)]),
        "rows that are no labelled test frame of lab: 1 (first: row 73, subject S4, sequence T1, frame 99, fold 1)",
    ),
    "unknown subject": (lambda t: t.assign(subject="X"), "no labelled test frame of lab: 72 (first: row 1"),
    "wrong fold": (
        lambda t: t.assign(fold=1),
        "rows in the wrong fold: 36 (first: row 37, subject S1, sequence T1, frame 0, fold 1; fold 2 tests this frame)",
    ),
    "unknown fold": (lambda t: t.assign(fold=3), "column fold: lab has no fold '3'; known: 1, 2"),
    "twice": (
        lambda t: pd.concat([t, t.iloc[5:8]]),
        "predictions of a frame that has one already: 3 (first: subject S4, sequence T1, frame 5, fold 1)",
    ),
    "not a number": (
        lambda t: t.assign(p_AU12=[0.5, 0.5, np.nan, *t["p_AU12"][3:]]),
        "values that are not numbers: 1 (first: p_AU12 is",
    ),
    "text": (
        lambda t: t.assign(p_AU6=["0.5", "high", *t["p_AU6"][2:].map(str)]),
        "not numbers: 1 (first: p_AU6 is high",
    ),
    "logits": (
        lambda t: t.assign(p_AU6=[1.5, -2.0, np.inf, *t["p_AU6"][3:]]),
        "values outside 0 to 1: 3 (first: p_AU6 is 1.5 in row 1, subject S4, sequence T1, frame 0, fold 1)",
    ),
    "no AU": (lambda t: t.drop(columns=["p_AU6", "p_AU12"]), "has no column p_AU6 (and 1 more)"),
    "no subject": (lambda t: t.rename(columns={"subject": "who"}), "has no column subject; its columns are who, "),
    "half a frame": (lambda t: t.assign(frame=t["frame"] + 0.5), "frames that are not whole numbers: 72 (first: 0.5"),
    "empty subject": (
        lambda t: t.assign(subject=[*t["subject"][:71], None]),
        "rows without subject: 1 (first: row 72)",
    ),
    "no rows": (lambda t: t[:0], "has no rows"),
    "no clean": (lambda t: t.assign(condition="noise:all:0.2"), "has no predictions of clean inputs"),
    "no condition": (lambda t: t.assign(condition="blur"), "column condition: no condition 'blur'"),
    "other modality": (lambda t: t.assign(condition="missing:thermal"), "thermal, the predictions use visual, depth"),
    "incomplete condition": (
        lambda t: pd.concat([t.assign(condition="clean"), t[:-1].assign(condition="missing:depth")]),
        "1 of 72 (first: subject S3, sequence T1, frame 11, fold 2, condition missing:depth)",
    ),
}


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_with_count_and_first_example(table, score, tmp_path, fault, suffix):
    change, message = FAULTS[fault]
    with pytest.raises(AubenchError, match=re.escape(message)) as raised:
        score(change(table), suffix=suffix)
    assert raised.value.exit_code == 2 and f"given.{suffix}" in str(raised.value)
    assert not (tmp_path / "runs").exists()


def test_a_frame_in_two_files_is_one_line(table, score, tmp_path, data):
    for name in ("a", "b"):
        table.to_parquet(tmp_path / f"{name}.parquet", index=False)
    with pytest.raises(
        AubenchError, match=r"b\.parquet: predictions of a frame that has one already: 72 \(first: subj"
    ):
        package.score([tmp_path / "a.parquet", tmp_path / "b.parquet"], str(data.store.path.parent / "lab.toml"), "x",
                      store=data.store.path, out=tmp_path / "runs")  # fmt: skip


@pytest.mark.slow
def test_columns_that_are_not_read_may_have_any_name(table, score, tmp_path):
    expected = score(table).records[0]
    path = tmp_path / "sheet.csv"
    lines = table.to_csv(index=False).splitlines()
    path.write_text("\n".join(["", lines[0] + ",note,note,,", *(f"{line},a,b,," for line in lines[1:])]) + "\n")
    assert score(path).records[0].counts.equals(expected.counts)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.pkl", b"\x80\x04\x95\x10", "is neither Parquet nor text in UTF-8; give Parquet or CSV files"),
        ("cut.parquet", b"PAR1\x00\x00", "cannot be read as Parquet"),
        ("empty.csv", b"", "empty.csv: is empty; write a header and one row for each test frame"),
        ("semicolons.csv", b"subject;sequence;frame\nS1;T1;1\n", "its columns are subject;sequence;frame"),
        ("tabs.csv", b"subject\tsequence\nS1\tT1\n", "sequence; separate cells by commas, and write decimal points"),
        ("comma.csv", b"subject,sequence,frame,fold,p_AU6,p_AU12\nS1,T1,0,2,0,5,0,5\n", "cannot be read as CSV"),
        ("longer.csv", b"subject,sequence,frame,p_AU6,p_AU12\nS1,T1,0,0,5\nS1,T1,0,0,5,1\n", "line 3, saw 6"),
        ("shorter.csv", b"subject,sequence,frame,p_AU6,p_AU12\nS1,T1,0,1\n", "values that are not numbers: 1"),
        ("ragged.csv", b"subject,sequence,frame,fold,p_AU6,p_AU12\nS1,T1,0,2,0.5,0.5,0.5\n", "cannot be read as CSV"),
        ("twice.csv", b"subject,sequence,frame,p_AU6,p_AU12,p_AU6\nS1,T1,0,0.5,0.5,1\n", "has 2 columns p_AU6"),
    ],
)
def test_a_file_of_another_form_is_one_line(score, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AubenchError, match=re.escape(message)) as raised:
        score(tmp_path / name)
    assert name in str(raised.value) and not (tmp_path / "runs").exists()


def test_a_file_that_is_given_twice_or_cannot_be_read_is_one_line(table, score, tmp_path, data, monkeypatch):
    path, protocol, opened = tmp_path / "given.csv", str(data.store.path.parent / "lab.toml"), io.open
    table.to_csv(path, index=False)
    with pytest.raises(AubenchError, match=r"given\.csv: predictions of a frame that has one already: 72 "):
        package.score([path, path], protocol, "x", store=data.store.path, out=tmp_path / "runs")
    path.write_bytes(path.read_bytes().decode().encode("utf-16"))
    with pytest.raises(AubenchError, match=r"given\.csv: is neither Parquet nor text in UTF-8"):
        score(path)

    def refuse(file, *more, **named):
        if file == path:
            raise PermissionError(13, "Permission denied")
        return opened(file, *more, **named)

    monkeypatch.setattr("io.open", refuse)
    with pytest.raises(AubenchError, match=r"given\.csv: cannot be read \(Permission denied\)$"):
        score(path)
    assert not (tmp_path / "runs").exists()


def test_no_file_and_too_large_files_are_one_line(table, score, tmp_path, monkeypatch):
    with pytest.raises(AubenchError, match="no such file or folder"):
        score(tmp_path / "nothing.csv")
    (tmp_path / "folder").mkdir()
    with pytest.raises(AubenchError, match="has no Parquet or CSV files"):
        score(tmp_path / "folder")
    monkeypatch.setattr(prediction_files, "_MAX_CELLS", 70 * 6)
    with pytest.raises(AubenchError, match="has 72 rows, more than 70; split it"):
        score(table)
    monkeypatch.setattr(prediction_files, "_MAX_BYTES", 100)
    with pytest.raises(AubenchError, match=r"bytes, more than 100; split it into several files"):
        score(table, suffix="csv")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "my model"}, "--name: 'my model' is not a name"),
        ({"name": "CON"}, "--name: 'CON' is the name of a device on Windows; choose another name"),
        ({"name": "always-positive"}, "--name: 'always-positive' reads like the name of a baseline; choose another"),
        ({"name": "late-fusi0n"}, "--name: 'late-fusi0n' reads like the built-in method late_fusion; choose another"),
        ({"seed": -1}, "'-1' is not a seed"),
        ({"modalities": "thermal"}, "lab has no thermal"),
    ],
)
def test_a_bad_option_is_one_line(table, score, options, message):
    with pytest.raises(AubenchError, match=re.escape(message)):
        score(table, **options)


@pytest.mark.slow
def test_conditions_give_robustness_and_remain(table, score):
    conditions = [table.assign(condition="clean"), table.assign(condition="noise:all:0.20", p_AU6=0.6)]
    both = score(pd.concat(conditions))
    assert both.records[0].info.conditions == ("clean", "noise:all:0.2")
    frame = both.robustness.to_dataframe()
    assert set(frame["condition"]) == {"clean", "noise:all:0.2"} and "noise:all:0.2" in both.robustness.text
    further = table.assign(condition="missing:depth", p_AU12=0.3)
    later = score(pd.concat([table.assign(condition="clean"), further]))
    assert later.records[0].info.conditions == ("clean", "missing:depth", "noise:all:0.2")
    assert later.records[0].info.run == both.records[0].info.run == score(table).records[0].info.run
    assert score(table).records[0].info == later.records[0].info
    assert verify.check_record(later.stored_records[0]) == []


@pytest.mark.slow
def test_other_predictions_of_a_name_are_another_record(table, score):
    first, second = score(table), score(table.assign(p_AU6=0.25))
    third = score(table, seed=1)
    assert len({results.records[0].info.run for results in (first, second, third)}) == 3
    assert all((results.stored_records[0].folder / "record.json").exists() for results in (first, second, third))
    with pytest.raises(AubenchError, match="is another record of the run in"):
        package.compare(
            [first.stored_records[0].folder, second.stored_records[0].folder, third.stored_records[0].folder]
        )


def test_the_command_prints_the_scores(table, data, call, tmp_path):
    table.to_csv(tmp_path / "predictions.csv", index=False)
    protocol = data.store.path.parent / "lab.toml"
    words = ("score", "predictions.csv", "--protocol", protocol, "--name", "mymodel", "--store", data.store.path)
    done = call(*words, "--modalities", "visual")
    assert done.code == 0, done.err
    assert "| mymodel  | 0" in done.out and "predictions submitted, training not seen" in done.out
    (path,) = (tmp_path / "runs/lab/mymodel").glob("*/record/record.json")
    assert record_file.read(path.parent).info.method.modalities == ("visual",)
    assert call(*words[:-2]).code == 2


@pytest.mark.slow
def test_the_subjects_of_several_data_sets_are_qualified(tmp_path):
    aus = {au: np.arange(FRAMES) % 2 for au in (6, 12)}
    for name in ("one", "two"):
        write_store(tmp_path / name, name, ["S1", "S2", "S3"], aus=aus, frames=FRAMES)
    text = two_folds("both", "one", ["one:S1", "one:S2", "one:S3"], ["two:S1", "two:S2", "two:S3"], ["visual"])
    text = text.replace('dataset = "one"', 'train_on = ["one"]\ntest_on = ["two"]').partition("[[folds]]")[0]
    (tmp_path / "both.toml").write_text(text)
    subjects = ("two:S1", "two:S2", "two:S3")
    rows = [(subject, "T1", frame, 0.9 * (frame % 2)) for subject in subjects for frame in range(FRAMES)]
    table = pd.DataFrame(rows, columns=["subject", "sequence", "frame", "p_AU6"]).assign(p_AU12=lambda t: t["p_AU6"])
    table.to_parquet(tmp_path / "predictions.parquet")
    stores = [tmp_path / "one", tmp_path / "two"]
    results = package.score(
        tmp_path / "predictions.parquet", str(tmp_path / "both.toml"), "mymodel", store=stores, out=tmp_path / "runs"
    )
    assert results.to_dataframe()["f1"].tolist() == [1.0]
    assert set(results.records[0].counts["subject"]) == set(subjects)
