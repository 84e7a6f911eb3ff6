"""Records of earlier versions of a method: named on the pages, and never mixed with records of another version."""

from dataclasses import replace

import pytest

from aubench import api
from aubench.core import hashing, method_catalogue, method_versions
from aubench.leaderboard import build
from aubench.leaderboard.add import add
from aubench.leaderboard.check import check
from aubench.leaderboard.comparison_set import load_comparison_set
from aubench.results import run_id
from aubench.results.record import Record
from tests.factories import boards

NOTE = "These numbers are outdated."
INDEX_NOTE = "The numbers of [synth_3fold](synth_3fold.md) are outdated."


def of_version(record, version):
    """The same run of another version of its method."""
    method = record.info.method.model_copy(update={"version": version})
    folds = [fold.model_copy(update={"checkpoint": hashing.hash_json(fold.checkpoint)}) for fold in record.info.folds]
    info = record.info.model_copy(update={"method": method, "folds": tuple(folds)})
    return Record(info.model_copy(update={"run": run_id.id_of_record(info)}), record.counts, record.histograms)


@pytest.fixture(autouse=True)
def _known_presets(monkeypatch):
    """Let the first version have had the present presets."""
    facts = method_catalogue.builtin_facts()
    old = {name: replace(method, earlier={1: method.presets_of(method.version)}) for name, method in facts.items()}
    monkeypatch.setattr(method_catalogue, "builtin_facts", lambda: old)


def write(root, *records):
    for record in records:
        record.write(root / "records" / record.relative_path)


@pytest.mark.slow
def test_a_page_with_records_of_an_earlier_version_says_so_until_they_are_made_again(tmp_path, make_record):
    current, other = make_record("late_fusion"), make_record("mcm")
    write(tmp_path, of_version(current, None), other)
    build.write(tmp_path)
    assert not check(tmp_path)
    page = (tmp_path / "synth_3fold.md").read_text()
    assert NOTE in page and "(`late_fusion`)" in page and "begin at zero" in page
    assert INDEX_NOTE in (tmp_path / "README.md").read_text()
    write(tmp_path, current)
    pages = boards.pages(tmp_path)
    assert NOTE in pages["synth_3fold.md"] and INDEX_NOTE in pages["README.md"]
    old = tmp_path / "records" / of_version(current, None).relative_path
    for file in old.iterdir():
        file.unlink()
    old.rmdir()
    build.write(tmp_path)
    assert not any("outdated" in page for page in boards.pages(tmp_path).values())


@pytest.mark.slow
def test_seeds_of_two_versions_are_two_rows(tmp_path, make_record):
    new = make_record("late_fusion", seed=0)
    write(tmp_path, new, of_version(make_record("late_fusion", seed=1), None), of_version(new, None))
    assert not [finding for finding in check(tmp_path) if "duplicate" in finding.what]
    page = boards.pages(tmp_path)["synth_3fold.md"]
    assert f"small, version {new.info.method.version}" in page and "small, version 1" in page
    names = load_comparison_set([f"late_fusion@{new.info.protocol.name}"], tmp_path).names
    assert len(names) == len(set(names)) == 2


@pytest.mark.parametrize("form", ["markdown", "latex"])
def test_a_comparison_with_runs_of_an_earlier_version_says_so(tmp_path, make_record, form):
    def compare(*records):
        words = []
        for record in records:
            record.write(tmp_path / record.info.run / "record")
            words.append(tmp_path / record.info.run)
        return api.compare(words).render(form)

    new, other = make_record("late_fusion"), make_record("mcm")
    text = compare(of_version(new, None), other)
    assert NOTE in text and "(`late_fusion`)" in text and "`mcm`" not in text
    assert "outdated" not in compare(new, other)


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_comparison_for_programs_says_so_on_stderr(tmp_path, make_record, call, form):
    new, other = make_record("late_fusion"), make_record("mcm")
    for name, record in (("old", of_version(new, None)), ("new", new), ("other", other)):
        record.write(tmp_path / name / "record")
    for name, is_outdated in (("old", True), ("new", False)):
        done = call("compare", tmp_path / name, tmp_path / "other", "--format", form)
        assert done.code == 0 and "outdated" not in done.out
        assert ("earlier versions of their methods" in done.err) is is_outdated


@pytest.mark.slow
def test_a_new_run_is_added_beside_the_record_of_an_earlier_version(tmp_path, make_record):
    new = make_record("late_fusion")
    root, runs = tmp_path / "board", tmp_path / "runs"
    write(root, of_version(new, None))
    new.write(runs / new.relative_path / "record")
    add([runs], root)
    assert len(list((root / "records" / "synth_3fold" / "late_fusion").iterdir())) == 2


def test_stored_results_of_other_changes_are_not_shown(tmp_path, make_record, monkeypatch):
    from aubench.leaderboard import entries_file

    write(tmp_path, make_record("late_fusion"))
    build.write(tmp_path)
    assert entries_file.read_current(tmp_path) is not None
    changes = (*method_versions.changes(), ("One more.", ("late_fusion",)))
    monkeypatch.setattr(method_versions, "changes", lambda: changes)
    assert entries_file.read_current(tmp_path) is None
    assert "One more. (`late_fusion`)" in boards.pages(tmp_path)["synth_3fold.md"]
