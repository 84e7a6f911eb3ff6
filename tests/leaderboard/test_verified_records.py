"""Verification of records: in parallel, once per content and code version, and never from the leaderboard's tree."""

import errno
import json
import pickle
import sqlite3
from contextlib import closing
from importlib import metadata

import pytest

from aubench.core.plugins import PLUGINS_VARIABLE
from aubench.leaderboard import build, record_index, verified_records, verify
from aubench.leaderboard.check import check
from aubench.leaderboard.record_facts import FACTS
from aubench.leaderboard.record_index import RecordIndex
from aubench.leaderboard.record_keys import RecordKeys
from aubench.leaderboard.records import StoredRecord
from aubench.leaderboard.verified_records import CACHE_VARIABLE
from aubench.metrics.resampling import average
from aubench.results import record as record_file
from tests.factories import boards

from .test_review import git


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Empty cache folder."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def verifications(monkeypatch):
    """Folders of the records that are verified from now on, in this process."""
    folders, check_record = [], verify.check_record
    monkeypatch.setattr(verified_records, "available_cores", lambda: 1)
    monkeypatch.setattr(verify, "check_record", lambda run: folders.append(run.folder) or check_record(run))
    return folders


def test_a_record_is_verified_once_and_the_results_are_the_same(small_board, cache, verifications):
    first, _ = boards.load_verified(small_board)
    files = build.files_of(small_board, first)
    assert len(verifications) == 2
    second, findings = boards.load_verified(small_board)
    assert len(verifications) == 2 and findings == []
    assert build.files_of(small_board, second) == files
    for stored, computed in zip(second, first, strict=True):
        assert stored.record.counts.equals(computed.record.counts)
        assert stored.record.histograms.equals(computed.record.histograms)


def test_a_changed_record_is_verified_again_and_its_findings_stay(small_board, cache, verifications, edit):
    boards.load_verified(small_board)
    path = next(small_board.glob("records/*/late_fusion/*/record.json"))
    edit(path, "summary.auc", 0.123)
    verifications.clear()
    for _ in range(2):
        assert next(str(finding) for finding in check(small_board)).startswith(f"{path}: summary.auc: says 0.123")
    assert verifications == [path.parent] * 2


@pytest.mark.parametrize("name", ["counts.csv", "histograms.csv", "record.json"])
def test_a_file_that_is_a_link_is_never_taken_from_the_cache(small_board, cache, verifications, name):
    boards.load_verified(small_board)
    path = next(small_board.glob(f"records/*/amf/*/{name}"))
    path.rename(small_board / name)
    path.symlink_to(small_board / name)
    assert f"{path}: is missing or not a plain file" in [str(finding) for finding in check(small_board)]


@pytest.mark.slow
def test_other_code_and_a_disabled_cache_verify_all_records(small_board, cache, verifications, monkeypatch):
    boards.load_verified(small_board)
    check(small_board, use_cache=False)
    assert len(verifications) == 4
    monkeypatch.setattr(verified_records, "code_version", lambda: "another version of the code")
    boards.load_verified(small_board)
    assert len(verifications) == 6
    assert [path.name for path in cache.iterdir()] == ["verified-another version .sqlite"]


@pytest.mark.parametrize("name", ["numpy", "pandas", "pydantic", "scipy", "tabulate"])
def test_another_version_of_a_library_has_another_cache(monkeypatch, name):
    before, version = verified_records.code_version.__wrapped__(), metadata.version
    monkeypatch.setattr(metadata, "version", lambda package: "0" if package == name else version(package))
    assert verified_records.code_version.__wrapped__() != before


def _query(path, statement, *values):
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, values).fetchall()


@pytest.mark.parametrize("content", ["", "{", "SQLite format 3\0" * 100])
def test_a_damaged_cache_is_ignored(small_board, cache, verifications, content):
    boards.load_verified(small_board)
    (path,) = cache.iterdir()
    path.write_text(content)
    boards.load_verified(small_board)
    assert len(verifications) == 4 and _query(path, "SELECT count(*) FROM facts") == [(2,)]


@pytest.mark.slow
def test_a_damaged_entry_of_the_cache_is_verified_again(small_board, cache, verifications):
    first, _ = boards.load_verified(small_board)
    (path,) = cache.iterdir()
    facts = json.loads(_query(path, "SELECT facts FROM facts")[0][0])
    for damaged in ({}, [], {**facts, "resampled": ["?"]}):
        _query(path, "UPDATE facts SET facts = ?", json.dumps(damaged))
        verifications.clear()
        again, findings = boards.load_verified(small_board)
        assert len(verifications) == 2 and findings == []
        assert [run.summary for run in again] == [run.summary for run in first]


def test_tables_are_read_on_demand_and_facts_equal_those_of_the_tables(small_board, cache):
    for _ in range(2):
        runs, _ = boards.load_verified(small_board)
        for run in runs:
            assert not {"counts", "histograms", "epochs"} & set(vars(run.record))
            computed = StoredRecord(run.folder, record_file.read(run.folder))
            for name in FACTS:
                stored, expected = getattr(run, name), getattr(computed, name)
                if name == "resampled":
                    stored, expected = (pickle.dumps(vars(average([value]))) for value in (stored, expected))
                assert stored == expected, name


def test_a_cache_folder_that_cannot_be_written_is_no_error(small_board, cache):
    cache.write_text("a file")
    assert check(small_board) == []


def test_plugin_metrics_are_not_cached(small_board, cache, verifications, tmp_path, monkeypatch):
    plugin = tmp_path / "zero.py"
    plugin.write_text(
        "from aubench.metrics.scores import Metric\n"
        "metric = Metric('zero', 'Zero', 'Always 0', 'counts', lambda cells: 0 * cells[..., 0])\n"
    )
    monkeypatch.setenv(PLUGINS_VARIABLE, str(plugin))
    for _ in range(2):
        runs, _ = boards.load_verified(small_board)
        assert runs[0].summary.value("zero") == 0
    assert len(verifications) == 4 and not cache.exists()


@pytest.mark.slow
def test_several_processes_give_the_results_of_one(board, cache, monkeypatch):
    results = []
    for cores in (1, 4):
        monkeypatch.setattr(verified_records, "available_cores", lambda cores=cores: cores)
        runs, findings = boards.load_verified(board, use_cache=False)
        results.append((build.files_of(board, runs), [run.folder for run in runs], findings))
    assert results[0] == results[1] and len(results[0][1]) == 8


def test_container_without_semaphores_verifies_in_one_process(small_board, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(verified_records, "ProcessPoolExecutor", refuse)
    monkeypatch.setattr(verified_records, "available_cores", lambda: 2)
    monkeypatch.setattr(verified_records, "_MIN_PER_PROCESS", 1)
    runs, findings = boards.load_verified(small_board, use_cache=False)
    assert (len(runs), findings) == (2, [])


@pytest.mark.slow
@pytest.mark.parametrize("damaged", ["{", "[1]", "null", '{"protocol": 1}'])
def test_damaged_keys_are_computed_again(small_board, cache, verifications, damaged):
    check(small_board)
    (path,) = cache.iterdir()
    _query(path, "UPDATE records SET keys = ?", damaged)
    _query(path, "UPDATE pages SET files = ?", damaged)
    assert check(small_board) == [] and len(verifications) == 4


def test_a_second_check_reads_no_tables_and_builds_no_pages(small_board, cache, monkeypatch):
    assert check(small_board) == []
    monkeypatch.setattr(record_file, "read", lambda folder: pytest.fail(f"read {folder}"))
    monkeypatch.setattr(build, "files_of", lambda *_: pytest.fail("built"))
    assert check(small_board) == []
    page = small_board / "synth_3fold.md"
    page.write_bytes(page.read_bytes().replace(b"amf", b"AMF"))
    stale = f"{page}: is stale; run `aubench leaderboard build --root {small_board}`"
    assert [str(finding) for finding in check(small_board)] == [stale]
    page.write_bytes(page.read_bytes().replace(b"AMF", b"amf").replace(b"\n", b"\r\n"))
    assert "has CRLF line endings" in str(check(small_board)[0])


def test_pages_of_a_build_are_not_built_again_by_a_check(small_board, cache, monkeypatch):
    build.write(small_board)
    monkeypatch.setattr(build, "files_of", lambda *_: pytest.fail("built"))
    assert check(small_board) == []


def test_git_has_the_digest_of_a_folder(small_board):
    folder = next(small_board.glob("records/*/amf/*"))
    git(small_board, "init", "-q")
    git(small_board, "add", "-A")
    git(small_board, "commit", "-qm", "Records")
    tree = git(small_board, "rev-parse", f"HEAD:{folder.relative_to(small_board).as_posix()}")
    assert verified_records._Files.read(folder).tree == tree


def test_the_index_forgets_the_oldest_records(tmp_path, monkeypatch):
    monkeypatch.setattr(record_index, "_LIMIT", 2)
    index = RecordIndex(tmp_path / "verified-1.sqlite")
    (tmp_path / "verified-0.sqlite").touch()
    store = "a", "1", "b"
    keys = RecordKeys(*"prtotsx", "32-true", 0, False, True, 1, "d", store, "w", "y", "r", "l", None, 0.5, (), ())
    index.add_records((f"d{i}", f"t{i}", keys, {"i": i}) for i in range(4))
    assert [index.facts(f"d{i}") for i in range(4)] == [None, None, {"i": 2}, {"i": 3}]
    assert index.keys_by_tree() == {"t2": keys, "t3": keys} and index.keys("d3") == keys
    assert [path.name for path in tmp_path.iterdir()] == ["verified-1.sqlite"]
