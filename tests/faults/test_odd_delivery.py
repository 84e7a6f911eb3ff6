"""Deliveries with missing, renamed or foreign files: each is named, and none shifts or hides labels silently."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from aubench.datasets import sequence_pool

SEQUENCES = "Sequences(2D+3D)"


@pytest.fixture
def tree(delivery):
    """A delivery of two subjects with two tasks each, without meshes."""
    shutil.rmtree(delivery.root / SEQUENCES / "M009")
    for file in [*delivery.root.rglob("*.obj"), *delivery.root.rglob("M009*.csv")]:
        file.unlink()
    return delivery


@pytest.fixture
def prepare(call, tree, tmp_path, monkeypatch) -> Callable:
    """``aubench data prepare bp4d`` on the delivery, in this process."""

    @contextmanager
    def pool(workers: int):
        with ThreadPoolExecutor(1) as executor:
            yield executor

    monkeypatch.setattr(sequence_pool, "worker_pool", pool)
    words = ("data", "prepare", "bp4d", "--store", tmp_path / "store", "--size", 32, "--workers", 1)
    return lambda *more, source=tree.root: call(*words, "--source", source, *more)


def refused(answer, *texts: str) -> str:
    """Check that a command ended with one line, and return it."""
    assert answer.code == 2, answer
    assert "Traceback" not in answer.err
    (line,) = [line for line in answer.err.splitlines() if line.startswith("aubench: ")]
    assert all(text in line for text in texts), line
    return line


def offsets(store: Path) -> dict[str, set[int]]:
    """Return photo number minus frame number by sequence."""
    frames = pd.read_parquet(store / "frames.parquet")
    number = frames["source"].str.extract(r"(\d+)\.jpg$", expand=False).astype(int)
    names = frames["subject"] + "/" + frames["sequence"]
    return {name: set(group) for name, group in (number - frames["frame"]).groupby(names)}


def skipped(store: Path) -> list[list[str]]:
    """Return the rows of ``skipped.csv``."""
    with (store / "skipped.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


def count_from_1(folder: Path) -> None:
    """Number the photos of a sequence from 1."""
    for photo in sorted(folder.glob("*.jpg"), reverse=True):
        photo.rename(photo.with_stem(f"{int(photo.stem) + 1:04}"))


@pytest.mark.slow
def test_a_lost_first_photo_does_not_shift_the_labels(prepare, tree, tmp_path):
    (tree.task("F002", "T2") / "0000.jpg").unlink()
    with tree.codes("F002", "T2").open("a") as file:
        file.write("5," + ",".join(["0"] * 99) + "\n")  # coded up to the last photo, number 4
    answer = prepare()
    assert answer.code == 0, answer.err
    assert offsets(tmp_path / "store") == {f"F00{n}/T{task}": {-1} for n in (1, 2) for task in (1, 2)}
    assert "- as in 3 sequences with a file numbered 0 1" in " ".join(answer.out.split())
    assert skipped(tmp_path / "store") == [["F002", "T2", "1", "coded, but without a photo"]]


@pytest.mark.slow
@pytest.mark.parametrize("odd", [lambda folder: (folder / "0000.jpg").unlink(), count_from_1])
def test_a_sequence_that_may_count_from_1_is_refused_until_somebody_decides(prepare, tree, tmp_path, odd):
    odd(tree.task("F002", "T2"))
    line = refused(prepare(), "from 0 in 3 sequences (F001/T1, F001/T2, F002/T1)", "from 1 in 1 sequence (F002/T2)")
    assert "--frame-offset -1 if these lost their first files, else with --frame-offset -1,F002/T2=0" in line
    assert not list(tmp_path.glob("store*"))
    answer = prepare("--frame-offset", "F002/T2=0")
    assert answer.code == 0, answer.err
    assert offsets(tmp_path / "store") == {"F001/T1": {-1}, "F001/T2": {-1}, "F002/T1": {-1}, "F002/T2": {0}}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("2", "cannot be '2'; give 'auto', '0' or '-1'"),
        ("F002/T2", "cannot be 'F002/T2'"),
        ("F002/T2=auto", "cannot be 'F002/T2=auto'"),
        ("0,-1", "cannot be '0,-1'; give one value for all"),
        ("F002/T2=0,f002/t02=-1", "F002/T2 has two values"),
        ("F002/T7=0", "there is no sequence F002/T7"),
        ("1", "gives F001/T1 a frame below 0"),
    ],
)
def test_a_wrong_frame_offset_is_named(prepare, value, says):
    refused(prepare("--frame-offset", value), "--frame-offset: ", says)


@pytest.mark.slow
def test_label_files_that_are_lost_or_have_another_name_are_named(prepare, tree, tmp_path):
    tree.codes("F001", "T2").unlink()
    tree.codes("F002", "T1").rename(tree.codes("F002", "T1").with_name("F002T1.csv"))
    answer = prepare()
    assert answer.code == 0, answer.err
    for line in (
        "- AU_OCC/F002T1.csv: its name is not like F001_T1.csv",
        "- F001 T2 no label file, so its frames are without labels",
        "- F002 T1 no label file, so its frames are without labels",
    ):
        assert line in answer.out.splitlines()
    assert [row[:2] for row in skipped(tmp_path / "store")] == [["", ""], ["F001", "T2"], ["F002", "T1"]]


@pytest.mark.slow
def test_a_lost_row_of_a_label_file_is_refused_unless_gaps_are_allowed(prepare, tree, tmp_path):
    lines = tree.codes("F001", "T1").read_text().splitlines(keepends=True)
    tree.codes("F001", "T1").write_text("".join([*lines[:2], *lines[3:]]))
    refused(prepare(), "F001_T1.csv: has no row for frame 2", "--allow-gaps")
    answer = prepare("--allow-gaps")
    assert answer.code == 0, answer.err
    assert "- F001 T1 the label file has no frame 2" in answer.out.splitlines()
    assert skipped(tmp_path / "store") == [["F001", "T1", "-1", "the label file has no frame 2"]]


@pytest.mark.slow
def test_names_that_are_not_utf_8_are_listed(prepare, tree, tmp_path):
    root = os.fsencode(tree.root) + b"/" + SEQUENCES.encode()
    shutil.copy(root + b"/F001/T1/0001.jpg", root + b"/F001/T1/0001 f\xfcr mich.jpg")
    shutil.copytree(root + b"/F001/T1", root + b"/F001/T1 f\xfcr mich")
    labels = os.fsencode(tree.codes("F001", "T1").parent)
    shutil.copy(labels + b"/F001_T1.csv", labels + b"/F001_T1 f\xfcr mich.csv")
    (tmp_path / os.fsdecode(b"\xfc")).mkdir()
    source = tree.root.rename(tmp_path / os.fsdecode(b"\xfc/BP4D"))
    answer = prepare(source=source)
    assert answer.code == 0, answer.err
    assert skipped(tmp_path / "store") == [
        ["", "", "-1", r"AU_OCC/F001_T1 f\xfcr mich.csv: its name is not like F001_T1.csv"],
        ["", "", "-1", r"F001/T1 f\xfcr mich: its name is not like F001/T1"],
        ["F001", "T1", "-1", r"0001 f\xfcr mich.jpg: its name is not a number"],
    ]


def test_a_delivery_of_png_files_is_told_so(prepare, tree):
    for photo in tree.root.rglob("*.jpg"):
        photo.rename(photo.with_suffix(".png"))
    refused(prepare(), "F001/T1: no photo in it: 5 files like 0000.png: only .jpg and .jpeg are read, not .png")


@pytest.mark.slow
def test_meshes_in_a_tree_of_their_own_belong_to_the_photos(delivery, prepare, master, tmp_path):
    for mesh in (master.root / SEQUENCES).rglob("F00*/T*/*.obj"):
        path = delivery.root / "3D" / mesh.relative_to(master.root / SEQUENCES)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(mesh, path)
    answer = prepare()
    assert answer.code == 0, answer.err
    assert skipped(tmp_path / "store") == []
    assert (pd.read_parquet(tmp_path / "store" / "frames.parquet")["missing"] == "").all()


@pytest.mark.slow
def test_a_subject_in_a_higher_folder_hides_no_other(prepare, tree, tmp_path):
    (tree.root / SEQUENCES / "F002").rename(tree.root / "F002")
    assert prepare().code == 0
    assert set(offsets(tmp_path / "store")) == {"F001/T1", "F001/T2", "F002/T1", "F002/T2"}


@pytest.mark.slow
def test_files_that_systems_and_archives_leave_change_nothing(prepare, tree, tmp_path):
    folder, labels = tree.task("F001", "T1"), tree.codes("F001", "T1").parent
    for name in ("._0001.jpg", "Thumbs.db", "desktop.ini", ".DS_Store", "0001.jpg:Zone.Identifier"):
        (folder / name).write_bytes(b"\0")
    for name in ("._F001_T1.csv", ".DS_Store", "Thumbs.db", "~$F001_T1.csv"):
        (labels / name).write_bytes(b"\0")
    (folder / "@eaDir/0001.jpg").mkdir(parents=True)
    (labels / "@eaDir/F001_T1.csv").mkdir(parents=True)
    for path in (folder / "0001.jpg", tree.codes("F001", "T1")):
        copy = tree.root / "__MACOSX" / path.relative_to(tree.root)
        copy.parent.mkdir(parents=True)
        copy.with_name(f"._{copy.name}").write_bytes(b"\0")
    (tree.root / "again").symlink_to(tree.root)
    answer = prepare()
    assert answer.code == 0, answer.err
    assert skipped(tmp_path / "store") == []
    assert len(pd.read_parquet(tmp_path / "store" / "frames.parquet")) == 20
