"""Addition of records to a leaderboard: verified, all or none."""

import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

import pandas as pd
import pytest
from factories.records import remade

import aubench.leaderboard.add as add_module
from aubench.core.errors import DataError, RecordError
from aubench.leaderboard import build, records, verified_records
from aubench.leaderboard.add import add
from aubench.leaderboard.check import check
from aubench.leaderboard.comparison_set import load_comparison_set
from aubench.leaderboard.finished_records import find_finished_records
from aubench.results import counts, histograms
from aubench.results import record as record_file
from aubench.results.record import Record
from aubench.results.record_info import RecordInfo


@pytest.fixture
def run(tmp_path, make_record):
    """The folder of a finished run."""
    folder = tmp_path / "runs" / "one"
    make_record().write(folder / "record")
    return folder


def _files(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


@pytest.mark.slow
def test_an_added_record_is_checked_and_has_the_right_path(run, tmp_path, make_record):
    root = tmp_path / "leaderboard"
    (target,) = add([run], root).paths
    assert target == root / "records" / make_record().relative_path
    build.write(root)
    assert check(root) == []
    before = _files(root)
    assert add([run / "record"], root).paths == (target,)
    assert _files(root) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("tables.counts", "0" * 64, "tables.counts: says 000000000000, counts.csv has "),
        ("protocol.digest", "0" * 64, "protocol.digest"),
        ("extra", 1, "extra"),
    ],
)
def test_a_wrong_record_leaves_no_files(run, tmp_path, edit, field, value, says):
    edit(run / "record" / "record.json", field, value)
    with pytest.raises(RecordError, match=says):
        add([run], tmp_path / "leaderboard")
    assert not (tmp_path / "leaderboard").exists()


@pytest.mark.slow
def test_another_record_of_a_run_is_rejected(run, tmp_path, edit):
    root = tmp_path / "leaderboard"
    add([run], root)
    before = _files(root)
    edit(run / "record" / "record.json", "time.seconds", 1.0)
    with pytest.raises(RecordError, match="another record of this run"):
        add([run], root)
    edit(run / "record" / "record.json", "run", "renamed")
    with pytest.raises(RecordError, match="run: says renamed, the id of its content is"):
        add([run], root)
    assert _files(root) == before


@pytest.fixture
def under(make_record):
    """The same run after it was put under a condition."""
    clean, worse = make_record(), make_record(skill=0.3)
    pairs = (clean.counts, worse.counts), (clean.histograms, worse.histograms)
    both = [pd.concat([ours, theirs.assign(condition="noise:all:0.5")]) for ours, theirs in pairs]
    fields = clean.info.model_dump(mode="json") | {"conditions": ["clean", "noise:all:0.5"]}
    return Record(RecordInfo.from_fields(fields), counts.canonical(both[0]), histograms.canonical(both[1]))


@pytest.mark.slow
def test_a_record_with_more_conditions_replaces_the_one_with_fewer(run, tmp_path, under):
    root = tmp_path / "leaderboard"
    add([run], root)
    before = _files(root)
    under.write(run / "record")
    (target,) = add([run], root).paths
    assert record_file.read(target).info.conditions == ("clean", "noise:all:0.5")
    assert _files(root) == before
    build.write(root)
    assert check(root) == []


@pytest.mark.slow
def test_of_copies_of_a_run_the_one_with_most_conditions_is_added(tmp_path, under, make_record):
    for name, record in (("early", make_record()), ("late", under)):
        record.write(tmp_path / "runs" / name / record.relative_path / "record")
    added = add([tmp_path / "runs"], tmp_path / "leaderboard")
    (target,) = added.paths
    assert record_file.read(target).info.conditions == ("clean", "noise:all:0.5")
    (finding,) = added.skipped_runs
    assert (finding.path.relative_to(tmp_path / "runs").parts[0], finding.what[:12]) == ("early", "is a copy of")


@pytest.mark.slow
def test_of_copies_of_a_run_the_one_with_most_conditions_is_compared(tmp_path, under, make_record):
    other = make_record("amf")
    for name, record in (("early", make_record()), ("late", under), ("other", other)):
        record.write(tmp_path / name / record.relative_path / "record")
    for words in (("early", "late", "other"), ("late", "early", "other")):
        entries = load_comparison_set([str(tmp_path / word) for word in words], tmp_path).entries
        compared = {run.info.run: run.info.conditions for entry in entries for run in entry.runs}
        assert compared == {under.info.run: ("clean", "noise:all:0.5"), other.info.run: ("clean",)}


@pytest.mark.slow
def test_a_record_with_more_conditions_replaces_one_of_schema_1(run, tmp_path, under, make_record):
    root = tmp_path / "leaderboard"
    make_record(schema=1).write(run / "record")
    (target,) = add([run], root).paths
    assert record_file.read(target).info.schema_version == 1
    under.write(run / "record")
    assert add([run], root).paths == (target,)
    assert record_file.read(target).info.schema_version == 2
    build.write(root)
    assert check(root) == []


@pytest.mark.slow
def test_a_record_with_fewer_conditions_or_other_changes_replaces_none(run, tmp_path, under, make_record, edit):
    root = tmp_path / "leaderboard"
    under.write(run / "record")
    (target,) = add([run], root).paths
    make_record().write(run / "record")
    with pytest.raises(RecordError, match="another record of this run"):
        add([run], root)
    make_record().write(target)
    under.write(run / "record")
    edit(run / "record" / "record.json", "time.seconds", 1.0)
    with pytest.raises(RecordError, match="another record of this run"):
        add([run], root)
    assert record_file.read(target).info.conditions == ("clean",)


@pytest.mark.slow
def test_a_record_with_other_code_of_a_corruption_replaces_none(run, tmp_path, make_record):
    root, record, worse = tmp_path / "leaderboard", make_record(), make_record(skill=0.3)

    def under_conditions(names, code):
        pairs = (record.counts, worse.counts), (record.histograms, worse.histograms)
        tables = [pd.concat([ours, *(theirs.assign(condition=name) for name in names)]) for ours, theirs in pairs]
        both = {"counts": counts.canonical(tables[0]), "histograms": histograms.canonical(tables[1])}
        return remade(record, both, conditions=["clean", *names], corruptions={"blur": code * 64})

    under_conditions(["blur:all:1"], "d").write(run / "record")
    (target,) = add([run], root).paths
    under_conditions(["blur:all:1", "noise:all:0.5"], "e").write(run / "record")
    with pytest.raises(RecordError, match="another record of this run"):
        add([run], root)
    under_conditions(["blur:all:1", "noise:all:0.5"], "d").write(run / "record")
    add([run], root)
    assert len(record_file.read(target).info.conditions) == 3


def test_an_unfinished_run_is_an_error(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(DataError, match="no record of a finished run here"):
        add([tmp_path / "run"], tmp_path / "leaderboard")


def test_a_failed_write_leaves_no_files(run, tmp_path, monkeypatch):
    root = tmp_path / "leaderboard"

    def full(*_):
        raise DataError("the disk is full")

    monkeypatch.setattr("aubench._util.atomic.write_json", full)
    with pytest.raises(DataError, match="disk is full"):
        add([run], root)
    assert not [path for path in root.rglob("*") if path.is_file()]
    assert [str(finding) for finding in check(root)] == [
        f"{root / name}: is missing; run `aubench leaderboard build --root {root}`"
        for name in ("README.md", "entries.json")
    ]


@pytest.fixture
def many(tmp_path, make_record):
    """Folders of two finished runs, a run with missing folds, and a run without a record."""
    runs = tmp_path / "runs"
    all_records = [make_record(seed=0), make_record("amf", seed=1, schema=1), make_record("amf", seed=2, folds=(1,))]
    for record in all_records:
        record.write(runs / record.relative_path / "record")
    (runs / "synth_3fold" / "amf" / "begun").mkdir()
    (runs / "synth_3fold" / "amf" / "begun" / "run.json").write_text("{}")
    return runs, all_records


@pytest.mark.slow
def test_finished_runs_of_a_folder_are_added_and_the_others_are_named(many, tmp_path):
    runs, (first, second, third) = many
    root = tmp_path / "leaderboard"
    added = add([runs], root)
    assert set(added.paths) == {root / "records" / record.relative_path for record in (first, second)}
    assert {finding.path for finding in added.skipped_runs} == {
        runs / third.relative_path / "record",
        runs / "synth_3fold/amf/begun",
    }
    assert any("has 1 of 3 folds" in finding.what for finding in added.skipped_runs)
    build.write(root)
    assert check(root) == []
    before = _files(root)
    assert add([runs / "synth_3fold" / "late_fusion"], root).paths == (root / "records" / first.relative_path,)
    assert _files(root) == before
    assert add([runs / third.relative_path], root).paths == (root / "records" / third.relative_path,)


def test_runs_of_an_own_protocol_are_skipped_with_the_remedy(many, tmp_path, make_record):
    runs, (first, *_) = many
    mine = runs / "mine" / "record"
    remade(make_record("cam"), protocol__name="mine").write(mine)
    added = add([runs], tmp_path / "leaderboard")
    assert len(added.paths) == 2
    (what,) = (finding.what for finding in added.skipped_runs if finding.path == mine)
    assert what.startswith("is of the protocol 'mine', which is not installed; copy its file into protocols/")
    for folder in (mine.parent, mine):
        with pytest.raises(RecordError, match="'mine', which is not installed") as error:
            add([runs / first.relative_path, folder], tmp_path / "leaderboard")
        assert "copy its file into protocols/" in error.value.hint


@pytest.mark.slow
def test_one_wrong_record_of_a_folder_rejects_all(many, tmp_path, edit):
    runs, (_, second, _) = many
    edit(runs / second.relative_path / "record" / "record.json", "summary.f1_mean", 0.9)
    with pytest.raises(RecordError, match=r"summary\.f1_mean: says 0\.9, counts yield") as error:
        add([runs], tmp_path / "leaderboard")
    assert error.value.where == runs / second.relative_path / "record" / "record.json"
    assert not (tmp_path / "leaderboard").exists()


@pytest.mark.parametrize("parts", [(), ("record",), ("record/counts.csv",)], ids=["none", "empty", "tables"])
def test_a_run_without_its_record_is_named(run, parts):
    """A process that is killed may leave a folder of a record without ``record.json``, which is written last."""
    begun = run.with_name("begun")
    begun.mkdir()
    (begun / "run.json").write_text("{}")
    for part in parts:
        target = begun / part
        target.parent.mkdir(exist_ok=True)
        target.write_text("") if target.suffix else target.mkdir()
    (record,), (skipped,) = find_finished_records(run.parent)
    assert (record.folder, skipped.path, skipped.what) == (run / "record", begun, "has no record yet")


@pytest.mark.slow
def test_runs_named_twice_are_added_once(many, tmp_path):
    runs, (first, second, third) = many
    root = tmp_path / "leaderboard"
    added = add([runs / third.relative_path, runs, runs / first.relative_path], root)
    assert set(added.paths) == {root / "records" / record.relative_path for record in (first, second, third)}
    assert [finding.path.name for finding in added.skipped_runs] == ["begun"]


def test_records_that_are_there_already_are_named(many, tmp_path, call):
    runs, (first, second, _) = many
    root = tmp_path / "leaderboard"
    words = ("leaderboard", "add", "--root", str(root))
    assert call(*words, str(runs / first.relative_path)).out.startswith("added ")
    both = call(*words, str(runs / first.relative_path), str(runs / second.relative_path)).out.splitlines()
    folders = [root / "records" / record.relative_path for record in (first, second)]
    build_command = f"run `aubench leaderboard build --root {root}` to update its pages"
    assert both == [f"already in {folders[0]}", f"added {folders[1]}", build_command]
    again = call(*words, str(runs / first.relative_path))
    assert (again.code, again.out) == (0, f"already in {folders[0]}\n")


def test_one_wrong_record_of_several_folders_rejects_all(many, tmp_path, edit):
    runs, (first, second, _) = many
    edit(runs / second.relative_path / "record" / "record.json", "summary.f1_mean", 0.9)
    with pytest.raises(RecordError, match="summary"):
        add([runs / first.relative_path, runs / second.relative_path], tmp_path / "leaderboard")
    assert not (tmp_path / "leaderboard").exists()


def test_the_leaderboard_is_read_once_however_many_runs_are_added(many, tmp_path, monkeypatch):
    runs, (first, second, _) = many
    scans = []
    monkeypatch.setattr(
        verified_records, "record_folders", lambda root, read=records.record_folders: scans.append(root) or read(root)
    )
    add([runs / first.relative_path, runs / second.relative_path], tmp_path / "leaderboard")
    assert len(scans) == 1


def test_the_memory_holds_few_records_however_many_runs_are_added(many, tmp_path, monkeypatch):
    runs, all_records = many
    live, most, read = weakref.WeakSet(), [], record_file.read

    def count(folder):
        record = read(folder)
        live.add(record)
        most.append(len(live))
        return record

    monkeypatch.setattr(record_file, "read", count)
    folders = [runs / record.relative_path for record in all_records]
    assert len(add(folders, tmp_path / "leaderboard").paths) == 3
    assert len(most) == 6 and max(most) <= 2, "each record leaves the memory when the next is read"


def test_a_record_that_changes_during_an_addition_is_refused(many, tmp_path, monkeypatch, make_record):
    runs, (first, *_) = many
    folder = runs / first.relative_path / "record"

    def change(*args):
        make_record("cam").write(folder)
        return []

    monkeypatch.setattr(add_module, "check_together", change)
    with pytest.raises(RecordError, match="changed while it was added") as error:
        add([folder], tmp_path / "leaderboard")
    assert error.value.where == folder and not (tmp_path / "leaderboard").exists()


def test_a_run_that_was_trained_twice_in_a_folder_is_rejected(run, tmp_path, make_record):
    first = make_record()
    other = remade(first, run=first.info.run, folds__0__checkpoint="0" * 64)
    other.write(tmp_path / "runs" / "other" / "record")
    with pytest.raises(RecordError, match="duplicate"):
        add([tmp_path / "runs"], tmp_path / "leaderboard")
    assert not (tmp_path / "leaderboard").exists()


def test_a_folder_without_a_finished_run_is_an_error(many, tmp_path):
    runs, all_records = many
    for name in ("late_fusion", f"amf/{all_records[1].info.run}"):
        (runs / "synth_3fold" / name).rename(tmp_path / name.replace("/", "_"))
    with pytest.raises(DataError, match="no record of a finished run here, 2 unfinished"):
        add([runs], tmp_path / "leaderboard")
    with pytest.raises(DataError, match="no such folder"):
        add([tmp_path / "nowhere"], tmp_path / "leaderboard")


def _at_once(*functions):
    with ThreadPoolExecutor(len(functions)) as pool:
        return [future.result() for future in [pool.submit(function) for function in functions]]


def _slowly(function):
    def slow(*arguments):
        answer = function(*arguments)
        time.sleep(0.2)
        return answer

    return slow


@pytest.mark.slow
def test_two_additions_of_the_same_record_at_once_both_succeed(run, tmp_path, monkeypatch):
    monkeypatch.setattr(add_module, "_is_new", _slowly(add_module._is_new))
    root = tmp_path / "leaderboard"
    first, second = _at_once(lambda: add([run], root), lambda: add([run], root))
    assert first.paths == second.paths and [path.name for path in root.iterdir()] == ["records"]


@pytest.mark.slow
def test_a_build_during_an_addition_shows_its_record(run, tmp_path, monkeypatch):
    root = tmp_path / "leaderboard"
    root.mkdir()
    started, move = Event(), add_module._copy

    def copy(*arguments):
        started.set()
        time.sleep(0.3)
        return move(*arguments)

    monkeypatch.setattr(add_module, "_copy", copy)
    _at_once(lambda: add([run], root), lambda: started.wait(5) and build.write(root))
    assert (root / "synth_3fold.md").is_file()


@pytest.mark.slow
def test_a_refused_addition_leaves_no_folder(tmp_path, make_record):
    for name, method in (("one", "amf"), ("two", "amf")):
        make_record(method).write(tmp_path / name / "record")
    record = make_record("amf")
    replace(record, info=record.info.model_copy(update={"run": "another"})).write(tmp_path / "two" / "record")
    with pytest.raises(RecordError):
        add([tmp_path / "one", tmp_path / "two"], tmp_path / "new" / "leaderboard")
    assert not (tmp_path / "new" / "leaderboard").exists()


@pytest.fixture
def extension(tmp_path, make_record):
    """A leaderboard with one record, and two runs: one with more conditions than that record, and a new one."""
    record = make_record()
    worse = make_record(skill=0.2)
    root, runs = tmp_path / "leaderboard", [tmp_path / "runs" / name for name in ("more", "new")]
    record.write(root / "records" / record.relative_path)
    tables = {
        name: module.canonical(pd.concat([table, other.assign(condition="missing:depth")]))
        for name, module, table, other in (
            ("counts", counts, record.counts, worse.counts),
            ("histograms", histograms, record.histograms, worse.histograms),
        )
    }
    remade(record, tables, conditions=["clean", "missing:depth"]).write(runs[0] / "record")
    make_record(seed=1).write(runs[1] / "record")
    return root, runs


def _contents(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_addition_adds_nothing_and_loses_nothing(extension, monkeypatch, error):
    root, runs = extension
    before, rename = _contents(root), Path.rename
    for last in range(1, 10):
        calls = iter(range(1, last + 1))
        with monkeypatch.context() as patch:

            def fail(path, target, calls=calls, last=last):
                if next(calls, 0) == last:
                    raise error
                return rename(path, target)

            patch.setattr(Path, "rename", fail)
            try:
                add(runs, root)
            except error:
                assert _contents(root) == before
            else:
                break
    assert last == 4 and len(_contents(root)) > len(before)


@pytest.mark.slow
def test_a_record_that_a_killed_addition_was_replacing_returns(extension):
    root, runs = extension
    before = _contents(root)
    (target,) = (root / path.parent for path in before if path.name == "record.json")
    (root / ".adding.abc").mkdir()
    target.rename(root / ".adding.abc" / "replaced0")
    add(runs[1:], root)
    assert before.items() <= _contents(root).items()
    assert not list(root.glob(".adding.*"))


@pytest.mark.slow
def test_a_record_that_returns_takes_part_in_the_checks(tmp_path, make_record):
    root, first = tmp_path / "leaderboard", make_record()
    weights = {"folds__0__checkpoint": first.info.folds[0].checkpoint}
    first.write(root / ".adding.abc" / "replaced0")
    remade(make_record(seed=1), **weights).write(tmp_path / "run" / "record")
    with pytest.raises(RecordError, match=r"folds\.0\.checkpoint: is that of"):
        add([tmp_path / "run"], root)
    assert [path.name for path in root.glob("records/*/*/*")] == [first.info.run]


def test_what_a_killed_addition_left_is_removed(run, tmp_path):
    root = tmp_path / "leaderboard"
    (root / ".adding.abc" / "0").mkdir(parents=True)
    add([run], root)
    assert [path.name for path in root.iterdir()] == ["records"]


def test_links_and_files_named_like_temporary_folders_are_left_alone(run, tmp_path):
    root, elsewhere = tmp_path / "leaderboard", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    (root / ".adding.link").symlink_to(elsewhere)
    (root / ".adding.file").touch()
    assert len(add([run], root).paths) == 1
    assert elsewhere.is_dir() and (root / ".adding.file").is_file()
