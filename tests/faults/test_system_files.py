"""Folders after a look with Finder, Explorer, an editor or a synchronisation tool: nothing changes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aubench.core import registry, suites, system_files
from aubench.core.code_files import code_digest
from aubench.core.task import Modality
from aubench.data.store_writer import Sequence, StoreWriter
from aubench.datasets.file_search import files_below
from aubench.leaderboard import add, build, check, comparison_set, entries_file, finished_records
from aubench.papers import reported
from aubench.papers.leaderboard_pages import EXTENSIONS
from aubench.tuning import study_files

FILES = (".DS_Store", "Thumbs.db", "Desktop.ini", "Icon\r", ".x.csv.swp", "x.csv~", "#x#", "~$x.csv", ".nfs0000001")
FILES += (".fuse_hidden1", ".~lock.x#", ".record.json.0.tmp", ".gitkeep")
FOLDERS = ("@eaDir", ".ipynb_checkpoints", "__pycache__", "__MACOSX", ".Trash-1000", "#recycle", "lost+found")
BINARY = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        \xff"


def litter(root: Path) -> None:
    """Leave system files in every folder, with the names of the files that are there."""
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        names = [path.name for path in folder.iterdir() if path.is_file()]
        for name in (*FILES, *(f"._{name}" for name in names)):
            (folder / name).write_bytes(BINARY)
        for name in FOLDERS:
            (folder / name).mkdir()
            for inner in names:
                (folder / name / inner).write_bytes(BINARY)
        if names:
            (folder / "@eaDir" / f"{names[0]}@SynoResource").mkdir()


@pytest.mark.parametrize("name", [*FILES, *FOLDERS, "._amf.py", "THUMBS.DB"])
def test_name_of_a_system_file(name):
    assert system_files.is_system_file(name)


@pytest.mark.parametrize("name", ["record.json", "counts.csv", "amf.py", "F001", "a~b", "notes.txt"])
def test_name_of_another_file(name):
    assert not system_files.is_system_file(name)


@pytest.mark.slow
def test_leaderboard_is_checked_built_and_shown_as_before(small_board, capsys):
    (small_board / "reported").mkdir()
    build.write(small_board, EXTENSIONS)
    digest = entries_file.inputs_digest(small_board)
    litter(small_board)
    assert check.check(small_board, extensions=EXTENSIONS) == []
    build.write(small_board, EXTENSIONS)
    assert check.check(small_board, extensions=EXTENSIONS) == []
    assert entries_file.inputs_digest(small_board) == digest
    assert entries_file.read_current(small_board) is not None
    assert reported.read_all(small_board) == []


def test_stray_file_that_no_system_writes_is_still_named(small_board):
    (small_board / "records" / "notes.txt").write_text("x", encoding="utf-8")
    (finding,) = check.check(small_board)
    assert finding.path.name == "notes.txt"


def test_runs_are_added_and_compared_as_before(small_board, tmp_path):
    litter(small_board / "records")
    finished, skipped = finished_records.find_finished_records(small_board / "records")
    assert (len(finished), skipped) == (2, [])
    assert len(add.add([small_board / "records"], tmp_path / "new").paths) == 2
    protocol = finished[0].info.protocol.name
    words = [f"late_fusion@{protocol}", f"amf@{protocol}"]
    assert len(comparison_set.load_comparison_set(words, small_board).entries) == 2


def test_study_is_read_as_before(tmp_path):
    trials = tmp_path / study_files.STUDIES / "mine" / study_files.TRIALS_FILE
    trials.mkdir(parents=True)
    trial = {"trial": 0, "state": "complete", "f1": 0.5, "values": {}, "epochs": 1, "cost": {}}
    (trials / "0000.json").write_text(json.dumps(trial), encoding="utf-8")
    before = study_files.read_trial_files(tmp_path / study_files.STUDIES / "mine")
    litter(tmp_path)
    assert study_files.read_trial_files(tmp_path / study_files.STUDIES / "mine") == before


def test_protocols_suites_and_code_are_those_before(tmp_path, monkeypatch):
    (tmp_path / "suites").mkdir()
    for name in ("mine", "suites/noise"):
        (tmp_path / f"{name}.toml").write_text("x = 1\n", encoding="utf-8")
    package = tmp_path / "helpers"
    package.mkdir()
    (package / "__init__.py").write_text("x = 1\n", encoding="utf-8")
    (tmp_path / "own.py").write_text("import helpers\n", encoding="utf-8")
    digest = code_digest(tmp_path / "own.py")
    litter(tmp_path)
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path)
    assert list(registry.builtin_protocols()) == ["mine"]
    assert suites.builtin_suites() == ["noise"]
    assert code_digest(tmp_path / "own.py") == digest


def test_store_is_written_resumed_and_opened_as_before(tmp_path):
    def add(writer, subject):
        table = pd.DataFrame({"frame": [0], "source": "x", "labelled": True, "missing": "", "AU1": np.int8(1)})
        writer.add(Sequence(subject, "T1", {Modality.DEPTH: np.full((1, 8, 8, 1), 7, np.uint8)}, table))

    path = tmp_path / "store"
    for folder in (path, tmp_path / "store.partial"):
        folder.mkdir()
        litter(folder)
    plan = {"dataset": "any", "source": "/a", "size": 8}
    with StoreWriter(path, plan) as writer:
        add(writer, "F001")
    for folder in [tmp_path / "store.partial" / name for name in ("arrays", "parts")]:
        litter(folder)
    with StoreWriter(path, plan) as writer:
        add(writer, "F002")
        store = writer.finish(dataset="any", version="1", size=8, modalities={Modality.DEPTH: "d"}, crop="")
    litter(path / "arrays" / "F002")
    store.verify(full=True)
    assert store.frames["subject"].tolist() == ["F001", "F002"]
    assert (path / ".DS_Store").exists(), "files of the user are left alone"


def test_links_that_cannot_be_followed_hide_no_files(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").write_text("{}", encoding="utf-8")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "b")
    (tmp_path / "a" / "itself").symlink_to("itself")
    (tmp_path / "a" / "lost").symlink_to("missing")
    (tmp_path / "a" / "long").symlink_to("x" * 300)
    names = [f"{name}/record.json" for name in ("a", "b")]
    paths = system_files.files_named(tmp_path, "record.json")
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == names
    links = [tmp_path / "a" / name for name in ("itself", "long", "lost")]
    assert sorted(files_below(tmp_path)) == sorted([*paths, *links])
    assert system_files.files_named(tmp_path / "missing", "record.json") == []
