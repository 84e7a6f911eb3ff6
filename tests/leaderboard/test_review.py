"""Changes of a leaderboard against a base revision: which a pull request may make, and the report on them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pandas as pd
import pytest
from factories.records import remade

from aubench.core import registry
from aubench.core.errors import UsageError
from aubench.core.task import Modality
from aubench.leaderboard import build, review_report, verified_records, verify
from aubench.leaderboard import review as review_module
from aubench.leaderboard.base_revision import BaseRevision
from aubench.leaderboard.check import check_against_base
from aubench.leaderboard.verified_records import CACHE_VARIABLE
from aubench.papers.leaderboard_pages import EXTENSIONS
from aubench.results import counts, histograms
from aubench.results.record import Record

GIT = (
    "git",
    "-c",
    "user.name=a",
    "-c",
    "user.email=a@b",
    "-c",
    "commit.gpgsign=false",
    "-c",
    "init.defaultBranch=main",
)


def git(folder: Path, *words: str) -> str:
    done = subprocess.run([*GIT, "-C", str(folder), *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def repository(make_record, tmp_path_factory) -> Path:
    """Commit a leaderboard with two rows, and code."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "code.py").write_text("1\n")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "Code")
    commit = git(folder, "rev-parse", "HEAD")
    root = folder / "leaderboard"
    for method in ("amf", "mtut"):
        for seed in (0, 1, 2):
            record = remade(make_record(method, seed=seed, is_stored=True), git__commit=commit)
            record.write(root / "records" / record.relative_path)
    for name in ("reported", "reproduced"):
        (root / name).mkdir()
    (root / "reproduced" / "table.md").write_text("numbers\n")
    build.write(root)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "Leaderboard")
    return folder


@pytest.fixture
def clone(repository, tmp_path) -> Path:
    """Copy the repository."""
    return Path(shutil.copytree(repository, tmp_path / "clone"))


@pytest.fixture
def submission(make_record, repository) -> Callable[..., list[Record]]:
    """Make the records of a row: late_fusion with three seeds by default."""

    def make(seeds=(0, 1, 2), **changes) -> list[Record]:
        commit = git(repository, "rev-parse", "HEAD")
        records = [
            make_record("late_fusion", seed=seed, skill=1.4, is_stored=True, pretraining_epochs=0) for seed in seeds
        ]
        return [remade(record, **{"git__commit": commit, **changes}) for record in records]

    return make


def written(clone: Path, records: list[Record]) -> list[Path]:
    folders = [clone / "leaderboard" / "records" / record.relative_path for record in records]
    for record, folder in zip(records, folders, strict=True):
        record.write(folder)
    return folders


def review(clone: Path, base: str = "HEAD") -> tuple[str, str]:
    findings, text = check_against_base(clone / "leaderboard", base)
    return "\n".join(str(finding).replace(f"{clone}/", "") for finding in findings), text


@pytest.mark.slow
def test_an_honest_submission_passes_and_its_place_is_reported(clone, submission):
    written(clone, submission())
    build.write(clone / "leaderboard")
    findings, text = review(clone)
    assert findings == ""
    assert "Records: 3 new, 0 extended, 0 changed, 0 removed. No problems." in text
    row = next(line for line in text.splitlines() if line.startswith("| late\\_fusion") or "late_fusion" in line)
    assert "| 1 of 3, rank 1" in " ".join(row.split()) and "beyond noise" in row
    assert "amf from 1 to 2" in text or "mtut from 1 to 2" in text


@pytest.mark.slow
def test_a_committed_submission_passes_from_its_base(clone, submission):
    git(clone, "checkout", "-qb", "submission")
    written(clone, submission())
    build.write(clone / "leaderboard")
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "Add late_fusion")
    git(clone, "checkout", "-q", "main")
    (clone / "leaderboard" / "notes.md").write_text("later on main\n")
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "More")
    git(clone, "checkout", "-q", "submission")
    assert review(clone, "main")[0] == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": (0, 1)}, "seed: the row has the seeds 0, 1, it needs 0, 1, 2"),
        ({"seeds": (0, 1, 7)}, "seed: the row has the seeds 0, 1, 7, it needs 0, 1, 2"),
        ({"seeds": (0, 1, 2, 9)}, "seed: the row has the seeds 0, 1, 2, 9, it needs all from 0 to 3"),
        ({"git__dirty": True}, "git: the code has no commit, or differs from it"),
        ({"git__commit": "beef" * 10}, "git.commit: beefbeefbeef is not in the history of the base"),
        ({"git__commit": None, "git__dirty": None}, "git: the code has no commit"),
        ({"recipe__learning_rate": 0.01, "overrides": ["learning_rate"]}, "belong into the leaderboard of variants"),
        (
            {
                **{"recipe__frames_per_epoch": 4001, "overrides": ["frames_per_epoch"]},
                "search": {"trials": 1, "study": "s", "sampler": "tpe", "pruner": "none", "seconds": 1.0, "frames": 1},
            },
            "overrides: frames_per_epoch is no result of a search, so the run belongs into the leaderboard of variants",
        ),
        ({"protocol__version": 2}, "protocol.version: says 2, the protocol synth_3fold has 1"),
    ],
)
def test_a_submission_against_the_rules_is_refused(clone, submission, changes, message):
    folders = written(clone, submission(**changes))
    findings, text = review(clone)
    assert f"{message}" in findings and "problem" in text
    assert all(any(folder.name in line for folder in folders) for line in findings.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("branch", ["submission", "other"])
def test_a_commit_that_the_base_does_not_have_is_refused(clone, submission, branch):
    git(clone, "branch", "base")
    git(clone, "checkout", "-qb", branch)
    (clone / "code.py").write_text("more F1\n")
    git(clone, "commit", "-qam", "Change")
    commit = git(clone, "rev-parse", "HEAD")
    if branch == "submission":
        git(clone, "revert", "--no-edit", "HEAD")
    else:
        git(clone, "checkout", "-q", "main")
    written(clone, submission(git__commit=commit))
    assert f"git.commit: {commit[:12]} is not in the history of the base revision" in review(clone, "base")[0]


@pytest.mark.slow
def test_commits_are_not_passed_over_in_a_shallow_clone(clone, submission, tmp_path):
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{clone}", str(shallow))
    assert review(shallow)[0] == ""
    written(shallow, submission(git__commit="beef" * 10))
    build.write(shallow / "leaderboard")
    assert (
        "leaderboard: the commits of new records are unknown in a shallow clone; run `git fetch --un"
        in review(shallow)[0]
    )


@pytest.mark.slow
def test_new_records_state_their_training(clone, submission, make_record):
    honest = submission()
    written(clone, [remade(record, {"epochs": None}) for record in honest])
    assert review(clone)[0].count("tables.epochs: the record has no epochs.csv") == len(honest)
    record = make_record("mcm", is_stored=True, pretraining_epochs=8)
    items = [{**item.model_dump(mode="json"), "seconds": None} for item in record.info.pretraining]
    written(clone, [remade(record, pretraining=items)])
    assert "pretraining.0: frames and seconds of the stage pretrain are missing" in review(clone)[0]


@pytest.mark.slow
def test_labels_of_another_store_are_refused(clone, make_record):
    records = [make_record("late_fusion", seed=seed) for seed in (0, 1, 2)]
    written(clone, records)
    shutil.rmtree(clone / "leaderboard" / "records" / "synth_3fold" / "amf")
    assert "dataset.digest: says 555555555555, the store of synth" in review(clone)[0]


def _one(clone: Path, method: str = "amf") -> Path:
    return sorted((clone / "leaderboard" / "records" / "synth_3fold" / method).iterdir())[0]


@pytest.mark.slow
def test_removed_records_are_refused(clone):
    folder = _one(clone)
    shutil.rmtree(folder)
    shutil.rmtree(clone / "leaderboard" / "records" / "synth_3fold" / "mtut")
    findings, text = review(clone)
    assert f"{folder.relative_to(clone)}: was removed; a submission keeps all records" in findings
    assert findings.count("was removed") == 4 and "4 removed" in text


@pytest.mark.slow
@pytest.mark.parametrize("field", ["time__seconds", "compute__uncounted"])
def test_a_changed_record_is_refused(clone, field):
    from aubench.results import record as record_file

    folder = _one(clone)
    remade(record_file.read(folder), **{field: 5.0 if "time" in field else []}).write(folder)
    findings, _ = review(clone)
    assert f"{folder.relative_to(clone)}: was changed; another result is another run" in findings


@pytest.mark.slow
def test_numbers_changed_under_the_same_id_are_refused(clone, make_record):
    folder = _one(clone)
    other = make_record("amf", skill=3.0, is_stored=True)
    from aubench.results import record as record_file

    old = record_file.read(folder)
    remade(old, {"counts": other.counts, "histograms": other.histograms}).write(folder)
    assert "was changed; another result is another run with another id" in review(clone)[0]


def _extend(folder: Path, make_record) -> None:
    from aubench.results import record as record_file

    old = record_file.read(folder)
    worse = make_record("amf", skill=0.2, is_stored=True)
    tables = {
        "counts": counts.canonical(pd.concat([old.counts, worse.counts.assign(condition="missing:depth")])),
        "histograms": histograms.canonical(
            pd.concat([old.histograms, worse.histograms.assign(condition="missing:depth")])
        ),
    }
    remade(old, tables, conditions=["clean", "missing:depth"]).write(folder)


@pytest.mark.slow
def test_more_conditions_are_an_extension(clone, make_record):
    _extend(_one(clone), make_record)
    build.write(clone / "leaderboard")
    findings, text = review(clone)
    assert findings == "" and "1 extended" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("reported/amf_table_1.csv", "was added; a submission changes no file in reported"),
        ("reproduced/table.md", "was changed; a submission changes no file in reproduced"),
        ("records/synth_3fold/.hidden.html", "was added, but is no file of a record and no page"),
        ("records/synth_3fold/amf/.evil/record.json", "was added, but is no file of a record and no page"),
        ("records/synth_3fold/.amf/0123456789abcdef/counts.csv", "was added, but is no file of a record and no page"),
        ("reproductions/.x/payload.bin", "was added, but is no file of a record and no page"),
        ("reproductions/notes~", "was added, but is no file of a record and no page"),
        ("notes.txt", "was added, but is no file of a record and no page"),
        ("notes.md", "was added, but is no file of a record and no page"),
        ("notes.json", "was added, but is no file of a record and no page"),
    ],
)
def test_other_files_of_the_leaderboard_are_refused(clone, path, message):
    (clone / "leaderboard" / path).parent.mkdir(parents=True, exist_ok=True)
    (clone / "leaderboard" / path).write_text("x\n")
    findings, text = review(clone)
    assert f"leaderboard/{path}: {message}" in findings and "1 new" not in text


@pytest.mark.slow
def test_executable_records_are_kept_as_others_are(clone):
    folder = _one(clone)
    for path in folder.iterdir():
        path.chmod(0o755)
    git(clone, "commit", "-qam", "Executable records")
    edited = json.loads((folder / "record.json").read_text())
    edited["device"]["name"] = "another"
    (folder / "record.json").write_text(json.dumps(edited))
    assert "was changed; another result is another run with another id" in review(clone)[0]
    shutil.rmtree(folder)
    assert "was removed; a submission keeps all records" in review(clone)[0]


@pytest.mark.slow
def test_variants_have_no_variants(clone):
    git(clone, "mv", "leaderboard", "variants")
    git(clone, "commit", "-qm", "Variants")
    (clone / "variants" / "variants").mkdir()
    (clone / "variants" / "variants" / "README.md").write_text("# 99.9 %\n")
    build.write(clone / "variants")
    (finding,) = check_against_base(clone / "variants", "HEAD")[0]
    assert finding.what == "was added, but is no file of a record and no page"


@pytest.mark.slow
@pytest.mark.parametrize("target", ["README.md", "nowhere.md"])
def test_links_are_no_pages(clone, target):
    (clone / "leaderboard" / "notes.md").symlink_to(target)
    assert "leaderboard/notes.md: was added, but is no file of a record and no page" in review(clone)[0]


@pytest.mark.slow
def test_code_beside_new_records_is_refused(clone, submission):
    written(clone, submission())
    (clone / "code.py").write_text("2\n")
    (clone / ".github").mkdir()
    (clone / ".github" / "ci.yml").write_text("on: push\n")
    findings, _ = review(clone)
    for name in ("code.py", ".github/ci.yml"):
        assert f"{name}: is outside of the leaderboard; change it in a pull request of its own" in findings


@pytest.mark.slow
def test_a_copy_accuses_the_new_record_and_not_the_old_one(clone, make_record, repository):
    commit = git(repository, "rev-parse", "HEAD")
    rival, mine = (make_record(method, seed=0, is_stored=True) for method in ("amf", "aaa"))
    tables = {"counts": rival.counts, "histograms": rival.histograms}
    early = remade(mine, tables, git__commit=commit, time__started="2025-01-01T00:00:00Z")
    written(clone, [early])
    findings, _ = review(clone)
    assert "predictions are identical to those of" in findings and "may be the copy" not in findings
    assert all("/aaa/" in line.partition(": ")[0] for line in findings.splitlines())


@pytest.mark.slow
def test_rows_that_differ_in_modalities_have_different_names(clone, make_record, repository):
    commit = git(repository, "rev-parse", "HEAD")
    narrow = registry.find_protocol("synth_3fold").narrowed([Modality.VISUAL])
    options = {"skill": 1.4, "is_stored": True, "pretraining_epochs": 0}
    records = [make_record("late_fusion", protocol=protocol, **options) for protocol in (None, narrow)]
    written(clone, [remade(record, git__commit=commit) for record in records])
    _, text = review(clone)
    names = {line.split("|")[1].strip() for line in text.splitlines() if "late" in line and line.startswith("|")}
    assert len(names) == 2, text


@pytest.fixture
def reads(monkeypatch, tmp_path) -> list[Path]:
    """Folders of the records that are read from now on, with an index of records in a folder of its own."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(verified_records, "available_cores", lambda: 1)
    folders: list[Path] = []
    load = verified_records._load_keys
    monkeypatch.setattr(verified_records, "_load_keys", lambda folder: folders.append(folder) or load(folder))
    return folders


@pytest.mark.slow
def test_a_second_check_verifies_only_new_records(clone, submission, reads):
    assert review(clone)[0] == "" and len(reads) == 6
    folders = written(clone, submission())
    reads.clear()
    assert "entries.json: and other pages are stale" in review(clone)[0]
    build.write(clone / "leaderboard")
    findings, text = review(clone)
    assert sorted(reads) == sorted(folders * 2)
    assert findings == "" and "3 new" in text and "| 1 of 3, rank 1" in " ".join(text.split())


@pytest.mark.slow
def test_an_index_does_not_hide_an_edit_a_removal_or_a_copy(clone, make_record, repository, reads):
    assert review(clone)[0] == ""
    folder = _one(clone)
    path = folder / "counts.csv"
    path.write_bytes(path.read_bytes().replace(b"0\n", b"1\n", 1))
    assert "was changed; another result is another run" in review(clone)[0] and reads[-1] == folder
    git(clone, "checkout", "-q", "--", ".")
    path.unlink()
    assert "counts.csv: is missing or not a plain file" in review(clone)[0]
    git(clone, "checkout", "-q", "--", ".")
    moved = folder.with_name("0" * 16)
    folder.rename(moved)
    assert "path disagrees with its record.json" in review(clone)[0]
    moved.rename(folder)
    copied = shutil.copytree(folder, _one(clone, "mtut").with_name(folder.name))
    assert f"{copied.relative_to(clone)}: path disagrees" in review(clone)[0]


@pytest.mark.slow
def test_an_index_inside_of_the_repository_is_not_used(clone, reads, monkeypatch):
    assert review(clone)[0] == ""
    monkeypatch.setenv(CACHE_VARIABLE, str(clone / ".cache"))
    shutil.copytree(clone.parent / "cache", clone / ".cache")
    reads.clear()
    assert review(clone)[0] == "" and len(reads) == 6


@pytest.mark.slow
def test_a_long_table_has_positions_without_ranks(clone, submission, monkeypatch):
    monkeypatch.setattr(review_report, "_MOST_RANKED", 2)
    monkeypatch.setattr(review_report, "_MOST_MOVED", 1)
    written(clone, submission())
    build.write(clone / "leaderboard")
    findings, text = review(clone)
    row = " ".join(next(line for line in text.splitlines() if "1 of 3" in line).split())
    assert findings == "" and "| 1 of 3 |" in row and "noise" in row and "rank" not in row
    assert "from 1 to 2; and 1 more." in text


@pytest.mark.slow
def test_a_record_of_an_earlier_protocol_version_is_refused(clone, submission, monkeypatch):
    present = registry.find_protocol("synth_3fold")
    later = present.model_copy(update={"version": 2})
    monkeypatch.setattr(registry, "find_protocol", lambda name: later)
    monkeypatch.setattr(verified_records, "_find_protocol", lambda name: later)
    monkeypatch.setattr(verify, "earlier_protocol", lambda name, version: present if version == 1 else None)
    folders = written(clone, submission())
    findings, _ = check_against_base(clone / "leaderboard", "HEAD")
    assert [str(finding) for finding in findings if finding.path.parent in folders] == [
        f"{folder}/record.json: protocol.version: says 1, the present version is 2; run it again"
        for folder in sorted(folders)
    ]


@pytest.mark.slow
def test_a_base_that_does_not_exist_is_an_error(clone, tmp_path):
    with pytest.raises(UsageError, match="no revision 'nowhere'"):
        review(clone, "nowhere")
    with pytest.raises(UsageError, match="is in no git repository"):
        root = tmp_path / "elsewhere"
        root.mkdir()
        check_against_base(root, "main")


@pytest.mark.slow
def test_a_repository_that_git_refuses_is_named_with_its_reason(clone):
    (clone / ".git" / "config").write_text("[core\n")
    with pytest.raises(UsageError, match=r"is in no git repository, or git is not installed: .*bad config line"):
        review(clone)


@pytest.mark.slow
def test_a_repository_without_all_objects_is_an_error(clone):
    """A clone with ``--filter=blob:none`` that cannot reach its remote lacks the bytes of files, too."""
    path = next(clone.glob("leaderboard/records/*/amf/*/record.json"))
    blob = git(clone, "rev-parse", f"HEAD:{path.relative_to(clone)}")
    (clone / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    path.write_text("{}")
    with pytest.raises(UsageError, match=r"^.*clone: git diff: .+"):
        review(clone)


@pytest.mark.slow
def test_a_damaged_folder_of_the_revision_is_an_error_and_a_missing_one_is_empty(clone):
    base, folder = BaseRevision.find(clone / "leaderboard", "HEAD"), PurePosixPath("leaderboard/records")
    assert "synth_3fold/amf" in base.trees(folder)
    assert base.files(folder / "none") == base.trees(folder / "none") == {}
    tree = git(clone, "rev-parse", f"HEAD:{folder}")
    (clone / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    for call in (base.files, base.trees):
        with pytest.raises(UsageError, match=r"^.*clone: git ls-tree: .+"):
            call(folder)


@pytest.mark.slow
def test_the_command_writes_the_report(clone, submission, call):
    written(clone, submission())
    build.write(clone / "leaderboard", EXTENSIONS)
    words = ("leaderboard", "check", "--root", clone / "leaderboard", "--base", "HEAD")
    done = call(*words)
    assert done.code == 0 and "Records: 3 new" in done.out
    assert call(*words, "--out", clone / "report.md").code == 0
    assert "Records: 3 new" in (clone / "report.md").read_text()
    assert call("leaderboard", "check", "--out", "x.md").code == 2
    assert call(*words[:-1], "").code == 2


@pytest.mark.slow
def test_repetitions_can_be_added_but_not_changed_or_removed(clone):
    names = ("reproductions", "synth_3fold", "amf", "f" * 16, "some-lab", "reproduction.json")
    file = clone.joinpath("leaderboard", *names)
    file.parent.mkdir(parents=True)
    file.write_text("1\n")
    assert "reproduction.json" not in review(clone)[0]  # its content is checked by an extension
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "Add a repetition")
    file.write_text("2\n")
    assert "reproduction.json: was changed; a submission keeps all repetitions" in review(clone)[0]
    file.unlink()
    assert "reproduction.json: was removed; a submission keeps all repetitions" in review(clone)[0]


def _repetition(clone: Path) -> Path:
    folder = clone.joinpath("leaderboard", "reproductions", "synth_3fold", "amf", "f" * 16, "some-lab")
    folder.mkdir(parents=True)
    (folder / "counts.csv").write_text("1\n" * 100)
    return folder


@pytest.mark.slow
def test_records_and_repetitions_that_are_too_large_are_refused(clone, submission, monkeypatch):
    monkeypatch.setattr(review_module, "_LARGEST_RECORD", 100)
    folders = [*written(clone, submission()), _repetition(clone)]
    findings, _ = review(clone)
    large = [line.partition(":")[0] for line in findings.splitlines() if "bytes, at most 100 are allowed" in line]
    assert large == sorted(str(folder.relative_to(clone)) for folder in folders)


@pytest.mark.slow
def test_an_extended_record_that_is_too_large_is_refused(clone, make_record, monkeypatch):
    folder = _one(clone)
    _extend(folder, make_record)
    monkeypatch.setattr(review_module, "_LARGEST_RECORD", 100)
    assert f"{folder.relative_to(clone)}: has " in review(clone)[0]


@pytest.mark.slow
def test_code_beside_a_repetition_is_refused(clone):
    _repetition(clone)
    (clone / "code.py").write_text("2\n")
    assert "code.py: is outside of the leaderboard; change it in a pull request of its own" in review(clone)[0]
