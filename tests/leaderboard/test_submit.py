"""Submission of runs on a branch, and the scripts of the workflow of pull requests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from factories.records import remade

import aubench.leaderboard.submit as submit_module
from aubench.core.errors import AubenchError, UsageError
from aubench.leaderboard import build
from aubench.leaderboard.check import check_against_base
from aubench.leaderboard.submit import submit

from .test_review import git


@pytest.fixture
def clone(make_record, tmp_path, monkeypatch) -> Path:
    """Clone a repository with a leaderboard of one row."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "a")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@b")
    origin = tmp_path / "origin"
    origin.mkdir()
    git(origin, "init", "-q")
    (origin / "code.py").write_text("1\n")
    git(origin, "add", "-A")
    git(origin, "commit", "-qm", "Code")
    root = origin / "leaderboard"
    for seed in (0, 1, 2):
        record = remade(make_record("amf", seed=seed, is_stored=True), git__commit=git(origin, "rev-parse", "HEAD"))
        record.write(root / "records" / record.relative_path)
    build.write(root)
    git(origin, "add", "-A")
    git(origin, "commit", "-qm", "Leaderboard")
    git(tmp_path, "clone", "-q", str(origin), "clone")
    return tmp_path / "clone"


@pytest.fixture
def runs(make_record, clone, tmp_path) -> Path:
    """Write a folder of finished runs: three seeds of late_fusion."""
    commit = git(clone, "rev-parse", "HEAD")
    for seed in (0, 1, 2):
        record = remade(
            make_record("late_fusion", seed=seed, skill=1.4, is_stored=True, pretraining_epochs=0), git__commit=commit
        )
        record.write(tmp_path / "runs" / str(seed) / "record")
    return tmp_path / "runs"


def state(clone: Path) -> tuple[str, ...]:
    return tuple(git(clone, *words.split()) for words in ("status --porcelain", "branch --list", "worktree list"))


@pytest.mark.slow
def test_runs_become_a_commit_on_a_branch_and_the_working_tree_stays(clone, runs):
    (clone / "code.py").write_text("my change\n")
    before = git(clone, "status", "--porcelain"), git(clone, "rev-parse", "HEAD")
    submitted = submit([runs], clone / "leaderboard", "origin/main")
    assert (git(clone, "status", "--porcelain"), git(clone, "rev-parse", "HEAD")) == before
    assert len(submitted.paths) == 3 and "Records: 3 new" in submitted.report
    changed = git(clone, "diff", "--name-only", "origin/main", submitted.branch).splitlines()
    assert len([path for path in changed if path.endswith("record.json")]) == 3
    assert all(path.startswith("leaderboard/") for path in changed)
    git(clone, "stash", "-q")
    git(clone, "switch", "-q", submitted.branch)
    assert check_against_base(clone / "leaderboard", "origin/main")[0] == []


@pytest.mark.slow
def test_files_that_the_user_ignores_everywhere_are_committed(clone, runs, tmp_path, monkeypatch):
    (tmp_path / "ignored").write_text("*.csv\n")
    for name, value in {"COUNT": "1", "KEY_0": "core.excludesFile", "VALUE_0": str(tmp_path / "ignored")}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    submitted = submit([runs], clone / "leaderboard", "origin/main")
    changed = git(clone, "diff", "--name-only", "origin/main", submitted.branch).splitlines()
    assert sum(path.endswith("counts.csv") for path in changed) == 3


@pytest.mark.slow
@pytest.mark.parametrize("branch", ["-x", "--foo", "a..b", "a b"])
def test_an_impossible_name_of_a_branch_is_one_line(clone, runs, call, branch):
    before = state(clone)
    done = call("leaderboard", "submit", runs, "--root", clone / "leaderboard", f"--branch={branch}")
    assert (done.code, done.err.count("\n")) == (2, 1) and branch in done.err
    assert state(clone) == before


@pytest.mark.slow
def test_a_refused_run_leaves_nothing(clone, runs):
    shutil.rmtree(runs / "2")
    before = state(clone)
    with pytest.raises(AubenchError, match="it needs 0, 1, 2"):
        submit([runs], clone / "leaderboard", "origin/main")
    assert state(clone) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "file", ["aubench/leaderboard/submit.py", "methods/changes.toml", "protocols/synth_3fold.toml"]
)
def test_the_installed_code_must_be_that_of_the_base(clone, runs, tmp_path, file):
    origin, installed = tmp_path / "origin", Path(__file__).parents[2] / file
    for text, is_refused in ((installed.read_text(), False), (installed.read_text() + "# later\n", True)):
        (origin / file).parent.mkdir(parents=True, exist_ok=True)
        (origin / file).write_text(text)
        git(origin, "add", "-A")
        git(origin, "commit", "-qm", "Code")
        git(clone, "fetch", "-q")
        if is_refused:
            with pytest.raises(UsageError, match="installed code is not that of origin/main"):
                submit([runs], clone / "leaderboard", "origin/main", "again")
        else:
            submit([runs], clone / "leaderboard", "origin/main", "mine")
    assert "again" not in git(clone, "branch", "--list")


@pytest.mark.slow
def test_an_interrupted_commit_leaves_no_branch(clone, runs, monkeypatch):
    before, call_git = state(clone), submit_module._git

    def interrupt(folder, *words):
        if words[0] == "commit":
            raise KeyboardInterrupt
        call_git(folder, *words)

    monkeypatch.setattr(submit_module, "_git", interrupt)
    with pytest.raises(KeyboardInterrupt):
        submit([runs], clone / "leaderboard", "origin/main")
    assert state(clone) == before


@pytest.mark.slow
def test_a_second_submission_of_the_same_runs_is_refused(clone, runs):
    submit([runs], clone / "leaderboard", "origin/main", "mine")
    before = state(clone)
    with pytest.raises(UsageError, match=r"^mine: is a branch already; give another name with --branch$"):
        submit([runs], clone / "leaderboard", "origin/main", "mine")
    with pytest.raises(UsageError, match="has these runs already"):
        submit([runs], clone / "leaderboard", "mine", "again")
    assert state(clone) == before
    name = submit([runs], clone / "leaderboard", "origin/main").branch
    with pytest.raises(UsageError, match=rf"^{name}: is a branch .*; delete it with `git branch -D {name}`$"):
        submit([runs], clone / "leaderboard", "origin/main")


@pytest.mark.slow
def test_the_command_says_what_to_do_next(clone, runs, call):
    done = call("leaderboard", "submit", runs, "--root", clone / "leaderboard", "--branch", "mine")
    assert done.code == 0, done.err
    assert "git push --set-upstream origin mine" in done.out and "pull request" in done.out
    missing = call("leaderboard", "submit", runs, "--root", clone / "nowhere")
    assert missing.code == 2 and "no leaderboard here" in missing.err
