"""A run's record gets in whole and proven, or not at all."""

import pytest

from aubench.board import build
from aubench.board.add import add
from aubench.board.check import check
from aubench.errors import DataError, RecordError


@pytest.fixture
def run(tmp_path, make_record):
    """The folder of a finished run."""
    folder = tmp_path / "runs" / "one"
    make_record().write(folder / "record")
    return folder


def _files(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


def test_added_record_is_checked_and_lies_in_its_place(run, tmp_path, make_record):
    root = tmp_path / "leaderboard"
    target = add(run, root)
    assert target == root / "records" / make_record().place
    build.write(root)
    assert check(root) == []
    before = _files(root)
    assert add(run / "record", root) == target
    assert _files(root) == before


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("summary.f1_mean", 0.9, "summary.f1_mean"),
        ("protocol.digest", "0" * 64, "protocol.digest"),
        ("extra", 1, "extra"),
    ],
)
def test_a_record_that_does_not_hold_leaves_nothing_behind(run, tmp_path, edit, field, value, says):
    edit(run / "record" / "record.json", field, value)
    with pytest.raises(RecordError, match=says):
        add(run, tmp_path / "leaderboard")
    assert not (tmp_path / "leaderboard").exists()


def test_the_same_run_twice_is_refused(run, tmp_path, edit):
    root = tmp_path / "leaderboard"
    add(run, root)
    before = _files(root)
    edit(run / "record" / "record.json", "time.seconds", 1.0)
    with pytest.raises(RecordError, match="another record of this run"):
        add(run, root)
    edit(run / "record" / "record.json", "run", "renamed")
    with pytest.raises(RecordError, match="duplicate"):
        add(run, root)
    assert _files(root) == before


def test_an_unfinished_run_is_told(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(DataError, match="no record here"):
        add(tmp_path / "run", tmp_path / "leaderboard")


def test_a_failed_write_leaves_nothing_behind(run, tmp_path, monkeypatch):
    root = tmp_path / "leaderboard"

    def full(*_):
        raise DataError("the disk is full")

    monkeypatch.setattr("aubench.atomic.write_json", full)
    with pytest.raises(DataError, match="disk is full"):
        add(run, root)
    assert not [path for path in root.rglob("*") if path.is_file()]
    assert check(root) == [] or all("README" in str(finding) for finding in check(root))
