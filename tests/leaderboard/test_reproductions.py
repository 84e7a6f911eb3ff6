"""Stored repetitions of runs: their pages, and everything that is refused."""

import json
import shutil
from dataclasses import replace
from itertools import count

import pytest
from factories.records import remade

from aubench._util import locks
from aubench.core.errors import RecordError, UsageError
from aubench.leaderboard import build, entries_file, show
from aubench.leaderboard.check import check
from aubench.leaderboard.records import LOCK, StoredRecord
from aubench.leaderboard.render import plain_text
from aubench.leaderboard.reproductions import Reproductions, add_reproduction, new_folder
from aubench.leaderboard.rerun_comparison import compare, row_of
from aubench.papers.leaderboard_pages import EXTENSIONS

LATER = {"time__started": "2025-06-07T08:09:10Z", "time__seconds": 70.25}


@pytest.fixture
def repeat(tmp_path, make_record):
    """Store a row of three seeds, and a repetition of its first run by a name, with other counts for another skill."""
    root = tmp_path / "leaderboard"
    row = [remade(make_record(seed=seed, skill=0.8, is_stored=True)) for seed in (0, 1, 2)]
    for record in row:
        record.write(root / "records" / record.relative_path)
    folder = root / "records" / row[0].relative_path
    run = StoredRecord(folder, row[0])
    starts = (f"2025-06-07T{hour:02}:09:10Z" for hour in range(24))
    seconds = count(70)

    def repeated(by, skill=0.8, seed=0, **changes):
        other = make_record(seed=seed, skill=skill, is_stored=True)
        tables = {"counts": other.counts, "histograms": other.histograms}
        time = {"time__started": next(starts), "time__seconds": float(next(seconds))}
        again = remade(row[0], tables, folds=other.info.model_dump(mode="json")["folds"], **time | changes)
        result = compare(run, StoredRecord(tmp_path, again), row_of(run))
        return add_reproduction(result, by)

    repeated.root, repeated.run = root, run
    return repeated


def _page(root) -> str:
    build.write(root, EXTENSIONS)
    assert [str(finding) for finding in check(root, extensions=EXTENSIONS)] == []
    return (root / "synth_3fold.md").read_text()


@pytest.mark.slow
def test_the_page_names_who_repeated_a_run_and_the_result(repeat):
    assert "Repeated runs" not in _page(repeat.root)
    folder = repeat("Lab of Someone")
    repeat("Another Lab", skill=0.2)
    page = _page(repeat.root)
    link = folder.relative_to(repeat.root).as_posix()
    rows = [line for line in page.splitlines() if f"{link.rpartition('/')[0]}/" in line]
    assert [[word.strip() for word in row.split("|")][4:6] for row in rows] == [
        ["Another Lab", "different"],
        ["Lab of Someone", "equal"],
    ]
    assert f"[{repeat.run.info.run}]({link}/record.json)" in rows[1]
    text = "".join(plain_text(results.blocks) for results in show.load_entries(repeat.root).values())
    assert "Lab of Someone" in text


@pytest.mark.slow
def test_pages_without_a_new_repetition_are_stale(repeat):
    _page(repeat.root)
    assert entries_file.read_current(repeat.root) is not None
    repeat("Lab of Someone")
    assert entries_file.read_current(repeat.root) is None
    assert {finding.path.name for finding in check(repeat.root, extensions=EXTENSIONS)} == {
        "entries.json",
        "synth_3fold.md",
    }


@pytest.mark.slow
def test_a_repetition_does_not_change_scores(repeat):
    before = _page(repeat.root)
    repeat("Another Lab", skill=0.2)
    after = _page(repeat.root)
    assert before.split("## Provenance")[0] == after.split("## Repeated runs")[0]


def _edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes, indent=2) + "\n")


def _repeat_name(path):
    path.write_text(path.read_text().replace('"by"', '"by": "Somebody Else",\n  "by"'))


def _swap_first_counts(path):
    """Exchange false positives and true negatives of a row, which remains a table that can be read."""
    header, row, *rest = path.read_text().splitlines()
    values = dict(zip(header.split(","), row.split(","), strict=True))
    values["fp"], values["tn"] = values["tn"], values["fp"]
    path.write_text("\n".join([header, ",".join(values.values()), *rest]) + "\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (
            lambda folder: _edit(folder / "reproduction.json", by="<b>x</b>"),
            "means something else in Markdown, HTML or a spreadsheet",
        ),
        (lambda folder: _edit(folder / "reproduction.json", by="Somebody Else"), "path disagrees"),
        (lambda folder: _edit(folder / "reproduction.json", date="2025"), "date: Extra inputs are not permitted"),
        (lambda folder: (folder / "reproduction.json").write_text("["), "reproduction.json: file: Invalid JSON"),
        (lambda folder: _repeat_name(folder / "reproduction.json"), "reproduction.json: its bytes are not those"),
        (lambda folder: (folder / "reproduction.json").unlink(), "reproduction.json: is missing or not a plain file"),
        (lambda folder: (folder / "notes.txt").touch(), "notes.txt: is no file of a repetition"),
        (lambda folder: (folder / "counts.csv").write_text("x\n"), "counts.csv"),
        (lambda folder: _swap_first_counts(folder / "counts.csv"), "histograms.csv: condition clean"),
        (lambda folder: folder.parent.rename(folder.parent.with_name("f" * 16)), "repeats no run of this leaderboard"),
        (lambda folder: (folder.parent / "stray.csv").touch(), "stray.csv: does not belong here"),
    ],
    ids=[
        "markup",
        "name",
        "field",
        "no JSON",
        "two names",
        "no name",
        "file",
        "counts",
        "changed counts",
        "run",
        "stray",
    ],
)
def test_a_wrong_repetition_is_refused(repeat, damage, reason):
    folder = repeat("Lab of Someone")
    _page(repeat.root)
    damage(folder)
    (finding,) = (str(finding) for finding in check(repeat.root, extensions=EXTENSIONS))
    assert reason in finding


@pytest.mark.parametrize("seed", [0, 1])
def test_a_repetition_of_a_row_with_a_damaged_record_is_one_line(repeat, seed):
    repeat("Lab of Someone")
    (folder,) = (path.parent for path in repeat.root.rglob("record.json") if _is_of(path, seed))
    table = folder / "counts.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    (finding,) = Reproductions(repeat.root).findings
    assert "repeats a row whose record is invalid: " in finding.what


def _is_of(path, seed):
    return "records" in path.parts and json.loads(path.read_text())["seed"] == seed


def test_a_record_that_cannot_be_read_is_found_once(repeat):
    repeat("Lab of Someone")
    path = repeat.run.folder / "record.json"
    path.write_text("[")
    assert [finding.path for finding in check(repeat.root, extensions=EXTENSIONS)] == [path]


def test_a_copy_of_the_record_is_no_repetition(repeat):
    folder = repeat("Lab of Someone")
    for file in repeat.run.folder.iterdir():
        shutil.copy(file, folder / file.name)
    (finding,) = Reproductions(repeat.root).findings
    assert "this is a copy of its record" in finding.what


@pytest.mark.parametrize("changes", [{"time__started": "2025-03-04T05:06:07Z"}, {"time__seconds": 61.5}])
def test_copies_of_the_run_or_a_repetition_under_another_name_are_refused(repeat, changes):
    first = repeat("Lab of Someone", time__started="2025-03-04T05:06:07Z", time__seconds=99.5)
    with pytest.raises(RecordError, match="time: is that of "):
        repeat("Another Lab", **changes)
    second = repeat("Another Lab")
    for file in first.glob("*.*"):
        if file.name != "reproduction.json":
            shutil.copy(file, second / file.name)
    (finding,) = Reproductions(repeat.root).findings
    assert finding.what == f"time: is that of {second}, so one of the two is a copy"
    assert finding.path.parent == first


def test_a_repetition_waits_for_the_lock_of_the_leaderboard(repeat, monkeypatch):
    paths, exclusive = [], locks.exclusive
    monkeypatch.setattr(locks, "exclusive", lambda path: (paths.append(path), exclusive(path))[1])
    assert repeat("Lab of Someone").is_dir()
    assert paths == [repeat.root / LOCK]


def test_a_repetition_that_appears_while_another_waits_is_kept(repeat, monkeypatch):
    exclusive, first = locks.exclusive, []

    def wait(path):
        monkeypatch.setattr(locks, "exclusive", exclusive)
        first.append(repeat("Lab of Someone"))
        return exclusive(path)

    monkeypatch.setattr(locks, "exclusive", wait)
    with pytest.raises(UsageError, match="has repeated this run already"):
        repeat("Lab of Someone")
    assert first[0].is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"git__dirty": True}, {"git__commit": "beef" * 10}])
def test_other_code_is_no_repetition(repeat, changes):
    folder = repeat("Lab of Someone")
    remade(repeat.run.record, **LATER, **changes).write(folder)
    (finding,) = Reproductions(repeat.root).findings
    assert "git: the code is not that of the commit of the run" in finding.what


def test_a_record_of_another_run_is_no_repetition(repeat, make_record):
    folder = repeat("Lab of Someone")
    other = remade(make_record(seed=1, skill=0.8, is_stored=True), **LATER)
    other.write(folder)
    (finding,) = Reproductions(repeat.root).findings
    assert f"run: is {other.info.run}, the run that it repeats is {repeat.run.info.run}" in finding.what


def test_a_run_that_cannot_be_repeated_has_no_repetitions(repeat, make_record):
    folder = repeat("Lab of Someone")
    external = make_record("mine", is_stored=True)
    external.write(repeat.root / "records" / external.relative_path)
    target = repeat.root / "reproductions" / external.relative_path / folder.name
    target.parent.mkdir(parents=True)
    folder.rename(target)
    (finding,) = Reproductions(repeat.root).findings
    assert finding.what == "repeats a run that is of a method from outside this repository"


def test_names_are_checked_before_the_run(repeat):
    repeat("Lab of Someone")
    for name, reason in (
        ("Lab of SOMEONE", "has repeated this run already"),
        ("a\u200bb", "hidden"),
        ("@lab", "means something else"),
        ("x" * 61, "2 to 60 characters"),
        ("λλ", "a letter from a to z"),
        ("Aux.", "'aux' is the name of a device on Windows"),
    ):
        with pytest.raises(UsageError, match=reason):
            new_folder(repeat.run, name)
    assert not [path for path in repeat.root.iterdir() if path.name.startswith(".adding")]


def test_a_repetition_that_would_have_another_id_is_refused_before_the_run(repeat):
    search = {"trials": 1, "study": "s", "sampler": "tpe", "pruner": "none", "seconds": 1.0, "frames": 1}
    tuned = StoredRecord(repeat.run.folder, remade(repeat.run.record, search=search))
    with pytest.raises(UsageError, match="is of a tuned recipe"):
        new_folder(tuned, "Some Lab")


def test_a_wrong_record_is_not_stored(repeat):
    result = compare(repeat.run, repeat.run, [repeat.run])
    with pytest.raises(Exception, match="copy of its record"):
        add_reproduction(replace(result), "A Lab")
    assert not (repeat.root / "reproductions").exists()
