"""Signals during preparation and building, read-only folders, a clock that runs backwards, and several disks."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest
from factories.brightness import BRIGHTNESS

from aubench._util import atomic
from aubench.core.errors import DataError
from aubench.data import partial_store
from aubench.data.store import Store
from aubench.data.store_writer import StoreWriter
from aubench.leaderboard import add, build, check
from aubench.results.run_folder import EPOCHS, RESULT
from aubench.runs.fold import run_fold

SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


def temporary_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith((".tmp", ".lock"))]


@pytest.mark.slow
@SIGNALS
@pytest.mark.usefixtures("one_worker")
def test_signal_during_preparation_keeps_finished_sequences(call, tree, tmp_path, monkeypatch, number):
    words = ("data", "prepare", "table", "--manifest", tree.write(*tree.people()), "--name", "mylab", "--no-crop")
    words = (*words, "--store", "out", "--size", "32")
    original = StoreWriter.add

    def add_and_signal(self, item):
        original(self, item)
        os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "add", add_and_signal)
        answer = call(*words)
    assert answer.code == 130 and "Traceback" not in answer.err
    assert not Path("out").exists() and not temporary_files(tmp_path)
    assert list(Path("out.partial").rglob("*.parquet")), "the sequence that was finished"
    assert call(*words).code == 0
    assert len(Store(Path("out")).frames) > 0 and not Path("out.partial").exists()


@pytest.mark.slow
@SIGNALS
def test_signal_during_a_build_leaves_each_page_old_or_new(call, small_board, script_stubs, monkeypatch, number):
    assert call("leaderboard", "build", "--root", small_board).code == 0
    new = {path: path.read_text() for path in small_board.rglob("*") if path.suffix in {".md", ".json"}}
    pages = [path for path in new if path.parent == small_board]
    for path in pages:
        path.write_text(f"{build.STAMP}\nold\n")
    count, original = 0, os.fsync

    def signal_in_the_second(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count == 2:
            os.kill(os.getpid(), number)
        original(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", signal_in_the_second)
        answer = call("leaderboard", "build", "--root", small_board)
    assert answer.code == 130 and "Traceback" not in answer.err
    texts = [path.read_text() for path in pages]
    is_old = [text.endswith("\nold\n") for text in texts]
    assert sum(is_old) == len(pages) - 1
    assert all(old or text == new[path] for path, text, old in zip(pages, texts, is_old, strict=True))
    assert not temporary_files(small_board)
    assert call("leaderboard", "build", "--root", small_board).code == 0
    assert {path: path.read_text() for path in new} == new


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_folder_of_runs_that_cannot_be_written_is_one_line(call, small_store, tmp_path, monkeypatch, number):
    (tmp_path / "mine.py").write_text(BRIGHTNESS)
    original = os.mkdir

    def refuse(path, *arguments, **options):
        if "runs" in Path(path).parts:
            raise OSError(number, os.strerror(number), str(path))
        original(path, *arguments, **options)

    monkeypatch.setattr(os, "mkdir", refuse)
    words = ("run", "--method", "mine.py", "--protocol", "synth_3fold", "--store", small_store, "--no-track")
    answer = call(*words, "--device", "cpu", "--runs", tmp_path / "runs")
    *_, last = answer.err.splitlines()
    assert answer.code == 2 and "Traceback" not in answer.err
    assert last.startswith(f"aubench: {tmp_path / 'runs'}") and os.strerror(number) in last


@pytest.mark.slow
def test_clock_that_runs_backwards_changes_no_time(decide, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(BRIGHTNESS)
    changes = {"image_size": 32, "crop": 28, "frames_per_epoch": 40, "epochs": 2, "validation_stride": 9}
    config = decide(tmp_path / "runs", str(tmp_path / "mine.py"), **changes)
    clock = iter(range(2**30, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    run_fold(config, 1, "cpu", 0, lambda event: None)
    result = json.loads((config.fold_dir(1) / RESULT).read_text())
    assert 0 <= result["train_seconds"] <= result["seconds"] < 600
    epochs = [json.loads(line) for line in (config.fold_dir(1) / EPOCHS).read_text().splitlines()]
    assert len(epochs) == 2 and all(0 <= epoch["seconds"] < 600 for epoch in epochs)


@pytest.fixture
def other_disk(tmp_path, monkeypatch):
    """The system's temporary folder on another disk than the test's folder."""
    folders = [folder for folder in map(Path, ("/dev/shm", "/var/tmp")) if folder.is_dir()]
    others = [folder for folder in folders if folder.stat().st_dev != tmp_path.stat().st_dev]
    if not others:
        pytest.skip("needs two disks")
    with tempfile.TemporaryDirectory(dir=others[0]) as name:
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield Path(name)


@pytest.mark.slow
def test_temporary_folder_on_another_disk_is_no_hindrance(other_disk, small_board, make_record, tmp_path):
    make_record("amf", seed=8).write(tmp_path / "record")
    atomic.write_text(tmp_path / "x.json", "{}")
    assert len(add.add([tmp_path / "record"], small_board).paths) == 1
    build.write(small_board)
    assert check.check(small_board) == [] and not list(other_disk.iterdir())


@pytest.mark.slow
def test_leaderboard_on_another_disk_than_its_record(other_disk, small_board, make_record, tmp_path):
    root = other_disk / "board"
    shutil.copytree(small_board, root)
    make_record("amf", seed=8).write(tmp_path / "record")
    assert len(add.add([tmp_path / "record"], root).paths) == 1
    build.write(root)
    assert check.check(root) == []


def test_store_that_would_replace_a_link_is_refused_before_the_work(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "disk")
    with pytest.raises(DataError, match="store: is a symbolic link; name the folder that it points to"):
        StoreWriter(tmp_path / "store", {"size": 8})
    partial_store.check_target(tmp_path / "disk")
