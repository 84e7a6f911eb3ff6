"""Workflows of the leaderboard: least permissions, pinned actions, and their scripts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from factories.records import remade

from aubench.leaderboard import build
from aubench.papers.leaderboard_pages import EXTENSIONS

from .test_review import git

ROOT = Path(__file__).parents[2]
WORKFLOWS = [ROOT / ".github" / "workflows" / name for name in ("leaderboard.yml", "leaderboard-comment.yml")]
SCRIPTS = ROOT / ".github" / "scripts"


def _jobs():
    return {
        name: job
        for path in WORKFLOWS
        for name, job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].items()
    }


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name)
def test_actions_are_pinned_and_permissions_are_stated(path):
    text = path.read_text(encoding="utf-8")
    uses = re.findall(r"uses: (\S+)(.*)", text)
    assert uses and all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", name) for name, _ in uses)
    assert all(re.fullmatch(r" # v\d+\.\d+\.\d+", version) for _, version in uses)
    assert yaml.safe_load(text)["permissions"] in ({}, {"contents": "read"})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_permissions_are_least(path):
    text = path.read_text(encoding="utf-8")
    assert yaml.safe_load(text)["permissions"] == {}


def test_the_job_that_reads_a_pull_request_can_only_read_and_runs_the_code_of_the_base():
    jobs = _jobs()
    assert jobs["check"]["permissions"] == {"contents": "read"}
    steps = jobs["check"]["steps"]
    assert all(step["with"]["persist-credentials"] is False for step in steps if "checkout" in step.get("uses", ""))
    commands = [step["run"] for step in steps if "run" in step]
    assert all(not re.search(r"(^|\s)(\./)?submission/", command) and "${{" not in command for command in commands)
    assert jobs["comment"]["permissions"] == {"actions": "read", "contents": "read", "pull-requests": "write"}
    assert "submission" not in WORKFLOWS[1].read_text(encoding="utf-8")
    assert "pull_request_target" not in "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)


@pytest.fixture
def checkout(make_record, tmp_path) -> Path:
    """Commit a leaderboard of one row and a branch that adds another."""
    folder = tmp_path / "checkout"
    root = folder / "leaderboard"
    (root / "variants" / "records").mkdir(parents=True)
    (root / "variants" / "records" / ".gitkeep").touch()
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "Folders")
    for branch, method in (("main", "amf"), ("submission", "mtut")):
        commit = git(folder, "rev-parse", "HEAD")
        if branch != "main":
            git(folder, "switch", "-qc", branch)
        for seed in (0, 1, 2):
            record = remade(make_record(method, seed=seed, is_stored=True, pretraining_epochs=0), git__commit=commit)
            record.write(root / "records" / record.relative_path)
        for board in (root, root / "variants"):
            build.write(board, EXTENSIONS)
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", method)
    return folder


def _run(script: str, *words: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(
        [*filter(None, [variables.pop("tools", "")]), str(Path(sys.executable).parent), os.environ["PATH"]]
    )
    return subprocess.run(
        [str(SCRIPTS / script), *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PATH": paths, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.slow
def test_the_script_checks_a_checkout_and_runs_none_of_its_files(checkout, tmp_path):
    base = {"BASE_URL": str(checkout), "BASE_SHA": git(checkout, "rev-parse", "main"), "PULL_REQUEST": "7"}
    for name in ("aubench.py", "sitecustomize.py", "json.py"):
        (checkout / name).write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\n")
    git(checkout, "add", "-A")
    git(checkout, "commit", "-qm", "Code")
    done = _run("check-leaderboard", checkout, tmp_path / "report", cwd=checkout, **base)
    report = (tmp_path / "report" / "report.md").read_text()
    assert done.returncode == 1 and "is outside of the leaderboard" in report and "3 new" in report
    assert not (tmp_path / "executed").exists()
    git(checkout, "reset", "-q", "--hard", "HEAD~1")
    done = _run("check-leaderboard", checkout, tmp_path / "report", cwd=checkout, **base)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "report" / "number").read_text() == "7\n"
    assert "within noise" in (tmp_path / "report" / "report.md").read_text()


GH = """#!/usr/bin/env bash
printf '%s\\n' "$*" >> "$LOG"
case "$*" in
  *pulls/7*) echo abc ;;
  *--paginate*) printf '%s' "$EARLIER" ;;
  *body=@*) cp "$(printf '%s' "$*" | sed 's/.*body=@\\([^ ]*\\).*/\\1/')" "$LOG.body" ;;
esac
"""


@pytest.fixture
def comment(tmp_path):
    """Call the script that comments, with a command ``gh`` that writes down its calls."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "gh").write_text(GH)
    (tmp_path / "tools" / "gh").chmod(0o755)

    def call(number: str, report: bytes, earlier: str = "", sha: str = "abc") -> tuple[int, str, str]:
        folder = tmp_path / "report"
        folder.mkdir(exist_ok=True)
        (folder / "number").write_text(number)
        (folder / "report.md").write_bytes(report)
        log = tmp_path / "log"
        for path in (log, tmp_path / "log.body"):
            path.unlink(missing_ok=True)
        variables = {"LOG": str(log), "EARLIER": earlier, "HEAD_SHA": sha, "REPOSITORY": "some/where"}
        done = _run("comment-leaderboard", folder, cwd=tmp_path, tools=str(tmp_path / "tools"), **variables)
        body = tmp_path / "log.body"
        return done.returncode, log.read_text() if log.exists() else "", body.read_text() if body.exists() else ""

    return call


def test_a_report_becomes_a_comment_without_mentions_links_and_html(comment):
    hostile = (
        b"## Leaderboard\n@everyone <img src=x> [a](http://x.org) ![b](y) www.x.org \x1b[31m \xff #12\n| a | b |\n"
    )
    code, log, body = comment("7\n", hostile)
    assert code == 0 and "--method POST repos/some/where/issues/7/comments" in log
    assert body.startswith("<!-- leaderboard report -->\n## Leaderboard\n") and "| a | b |" in body
    for bad in ("@everyone", "<img", "](", "://", "www.", "\x1b", "#12"):
        assert bad not in body


def test_an_earlier_comment_is_replaced(comment):
    code, log, _ = comment("7\n", b"text\n", earlier="99\n")
    assert code == 0 and "--method PATCH repos/some/where/issues/comments/99" in log and "POST" not in log


@pytest.mark.parametrize(
    ("number", "sha"), [("7; rm -rf /\n", "abc"), ("../../x\n", "abc"), ("0\n", "abc"), ("", "abc"), ("7\n", "other")]
)
def test_a_report_for_another_pull_request_is_not_posted(comment, number, sha):
    code, log, body = comment(number, b"text\n", sha=sha)
    assert code == 1 and "POST" not in log and not body
