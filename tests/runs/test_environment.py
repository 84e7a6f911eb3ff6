"""Commit in records: that of this source, or none."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from aubench.runs import environment

IDENTITY = ("-c", "user.name=Someone", "-c", "user.email=someone@example.org")


@pytest.fixture(autouse=True)
def _without_repository(monkeypatch):
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True, text=True).stdout.strip()


def make_repository(folder: Path, ignored: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "notes.txt").write_text("thesis")
    (folder / ".gitignore").write_text(ignored + "__pycache__/\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, *IDENTITY, "commit", "-qm", "first")
    return folder


def install(folder: Path, monkeypatch) -> Path:
    """Pretend that aubench lies in a folder."""
    package = folder / "aubench"
    source = Path(environment.__file__).parents[1]
    for name in ("__init__.py", "runs/__init__.py", "runs/environment.py"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, package / name)
    monkeypatch.setattr(environment, "__file__", str(package / "runs/environment.py"))
    return package


NONE = {"commit": None, "dirty": None}


def test_the_commit_of_the_project_around_an_environment_is_not_recorded(tmp_path, monkeypatch, capsys):
    project = make_repository(tmp_path / "project", ignored=".venv/\n")
    package = install(project / ".venv/lib/python3.11/site-packages", monkeypatch)
    assert environment.git() == NONE
    line = capsys.readouterr().err
    assert line == f"no commit of aubench is recorded: it runs from {package}, not from the source in {project}\n"
    assert environment.git() == NONE and not capsys.readouterr().err


def test_nor_is_it_where_the_project_tracks_its_environment_or_a_copy(tmp_path, monkeypatch):
    project = make_repository(tmp_path / "project")
    for place in (".venv/lib/site-packages", "vendored"):
        install(project / place, monkeypatch)
        git(project, "add", ".")
        git(project, *IDENTITY, "commit", "-qm", "everything")
        assert environment.git() == NONE


def test_a_copy_at_the_top_of_a_project_that_git_does_not_track_is_not_trusted(tmp_path, monkeypatch):
    install(make_repository(tmp_path / "project", ignored="aubench/\n"), monkeypatch)
    assert environment.git() == NONE


def test_a_clone_is_trusted_and_dirty_when_its_code_differs(tmp_path, monkeypatch, capsys):
    clone = tmp_path / "clone"
    package = install(clone, monkeypatch)
    make_repository(clone)
    assert environment.git() == {"commit": git(clone, "rev-parse", "HEAD"), "dirty": False}
    (clone / "scratch.txt").write_text("no code")
    assert environment.git()["dirty"] is False
    (clone / "methods").mkdir()
    (clone / "methods" / "new.py").write_text("x = 1")
    assert environment.git()["dirty"] is True
    shutil.rmtree(clone / "methods")
    (package / "__init__.py").write_text("edited")
    assert environment.git()["dirty"] is True
    assert not capsys.readouterr().err


def test_a_repository_named_in_the_environment_is_not_asked(tmp_path, monkeypatch):
    clone = tmp_path / "clone"
    install(clone, monkeypatch)
    make_repository(clone)
    other = make_repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(clone))
    commit = environment.git()["commit"]
    monkeypatch.delenv("GIT_DIR")
    assert commit == git(clone, "rev-parse", "HEAD")


def test_without_a_repository_nothing_is_said(tmp_path, monkeypatch, capsys):
    install(tmp_path / "site-packages", monkeypatch)
    assert environment.git() == NONE and not capsys.readouterr().err


def test_a_clone_without_git_says_why_its_commit_is_missing(tmp_path, monkeypatch, capsys):
    clone = tmp_path / "clone"
    install(clone, monkeypatch)
    make_repository(clone)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.git() == NONE and "git" in capsys.readouterr().err
