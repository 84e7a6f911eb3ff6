"""Repetition of a committed record in a temporary checkout of its commit."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

from aubench._util import atomic
from aubench._util.git import call_git, git_text, last_line
from aubench.core import system_files
from aubench.core.errors import DataError, UsageError, suggest
from aubench.leaderboard import finished_records, records, verify
from aubench.leaderboard.command_hints import check_hint
from aubench.leaderboard.entries import Entry
from aubench.leaderboard.records import RECORDS, VARIANTS, StoredRecord
from aubench.leaderboard.rerun_comparison import Reproduction, compare, row_of
from aubench.leaderboard.site.rerun_commands import CPU_LIMITS, run_command
from aubench.results import record as record_file
from aubench.results.run_costs import Device

_LINKED = ("methods", "protocols")
"""Packages beside ``aubench``, which are linked into it in a checkout."""


def reproduce_run(root: Path, run_id: str, arguments: Sequence[str] = (), *, install: bool = False) -> Reproduction:
    """Repeat the run of a record in a temporary checkout of its commit.

    Args:
        root: Leaderboard folder in a clone of the repository.
        run_id: Id of the run, or its first characters; runs of the nested leaderboard of variants are also found.
        arguments: Further arguments of ``aubench run``, such as ``--store``.
        install: Whether to install the libraries of that commit, instead of using the installed ones.

    Raises:
        UsageError: There is no such run, or it cannot be repeated.
        DataError: The installation or the run fails.
        RecordError: A record of the row cannot be read, or its numbers are wrong.
    """
    run = find_run(root, run_id)
    if reason := why_not_repeatable(run):
        raise UsageError(reason, where=run.folder, hint="choose another run")
    row = row_of(run)
    records.raise_first(chain.from_iterable(map(verify.check_record, row)), check_hint(root))
    with (
        tempfile.TemporaryDirectory(prefix="aubench-again-") as scratch,
        _checkout(root, str(run.info.git.commit), Path(scratch, "code")) as code,
    ):
        python = _install(code) if install else sys.executable
        again = _repeat(run, python, code, Path(scratch, "runs"), arguments)
    return compare(run, again, row)


def find_run(root: Path, run_id: str) -> StoredRecord:
    """Find the record of a run by the first characters of its id.

    Of a run that is also in the nested leaderboard of variants, the record in ``root`` counts.

    Raises:
        DataError: There is no folder.
        UsageError: No run or several runs have such an id.
    """
    records.require_folder(root, "give its folder with --root")
    folders = [
        folder
        for board in (root / VARIANTS, root)
        for protocol in system_files.children(board / RECORDS)
        for method in system_files.children(protocol)
        for folder in system_files.children(method)
    ]
    matches = {folder.name: folder for folder in folders if run_id and folder.name.startswith(run_id)}
    if len(matches) != 1:
        if not matches:
            raise UsageError(f"no run '{run_id}'", where=root, hint="the pages of the leaderboard name the runs")
        what = f"{len(matches)} runs begin with '{run_id}'"
        raise UsageError(what, where=root, hint=suggest(run_id, matches))
    (folder,) = matches.values()
    return StoredRecord(folder, record_file.read(folder))


def why_not_repeatable(run: StoredRecord) -> str | None:
    """Return the reason that a run cannot be repeated from its record and the repository; None if it can."""
    info = run.info
    commits = [(environment.git.commit, environment.git.dirty) for environment in info.environments]
    reasons = {
        "has submitted predictions, whose training was not seen": info.is_submitted,
        f"has {len(info.folds)} of {info.protocol.fold_count} folds": not run.is_complete,
        "is of a method from outside this repository": info.method.source != "builtin",
        "starts from the weights of another run": any(item.run for item in info.pretraining),
        "was pre-trained on another store": any(item.store for item in info.pretraining),
        "is of code with uncommitted changes, or of an unknown commit": not all(
            commit and dirty is False for commit, dirty in commits
        ),
        "is of several commits": len(set(commits)) > 1,
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


@contextmanager
def _checkout(root: Path, commit: str, folder: Path) -> Iterator[Path]:
    """Check out a commit; the packages beside ``aubench`` are linked into it, so it needs no installation."""
    try:
        repository = Path(git_text(root, "rev-parse", "--show-toplevel"))
        call_git(repository, "worktree", "add", "--detach", str(folder), commit, seconds=300)
    except (OSError, subprocess.SubprocessError) as error:
        hint = "give the leaderboard of a clone with its history, e.g. after `git fetch --unshallow`"
        raise UsageError(f"cannot check out {commit[:12]}: {last_line(error)}", where=root, hint=hint) from None
    try:
        for name in _LINKED:
            if (folder / name).is_dir() and not (folder / "aubench" / name).exists():
                (folder / "aubench" / name).symlink_to(folder / name)
        yield folder
    finally:
        with suppress(OSError, subprocess.SubprocessError):
            call_git(repository, "worktree", "remove", "--force", str(folder), seconds=300)


def _install(code: Path) -> str:
    """Install a checkout with the libraries that its constraints name, and return the path of its interpreter."""
    python = str(code / ".venv" / "bin" / "python")
    packages = (python, "-m", "pip", "install", "-q", "-c", "constraints.txt", "-e", ".[train]")
    for command in ((sys.executable, "-m", "venv", str(code / ".venv")), packages):
        if subprocess.run(command, cwd=code, check=False).returncode:
            raise DataError(f"`{shlex.join(command)}` fails", where=code, hint="its output is above")
    return python


def _ignored_links(path: Path) -> dict[str, str]:
    """Return variables with which git ignores the links in a checkout, so that its code counts as unchanged."""
    atomic.write_text(path, "".join(f"/aubench/{name}\n" for name in _LINKED))
    count = int(os.environ.get("GIT_CONFIG_COUNT") or 0)  # settings of the user, e.g. safe.directory in a container
    values = {"COUNT": str(count + 1), f"KEY_{count}": "core.excludesFile", f"VALUE_{count}": str(path)}
    return {f"GIT_CONFIG_{name}": value for name, value in values.items()}


def _environment(device: Device | None) -> dict[str, str]:
    """Return the variables of a repetition, which limit the CPU to the instruction set of the record if it has one."""
    if device is None or device.instructions is None:
        return dict(os.environ)
    limiting = {name for limits in CPU_LIMITS.values() for name in limits}
    others = {name: value for name, value in os.environ.items() if name not in limiting}
    return others | CPU_LIMITS.get(device.instructions, {})


def _repeat(run: StoredRecord, python: str, code: Path, runs: Path, arguments: Sequence[str]) -> StoredRecord:
    _, *words = shlex.split(run_command(Entry.from_runs([run])))
    command = [python, "-m", "aubench.cli", *words, "--runs", str(runs), *arguments]
    paths = filter(None, (str(code), os.environ.get("PYTHONPATH")))
    environment = _environment(run.info.device)
    environment |= {"PYTHONPATH": os.pathsep.join(paths), **_ignored_links(runs.parent / "ignored")}
    code_of_end = subprocess.run(command, cwd=code, env=environment, stdout=subprocess.DEVNULL, check=False).returncode
    if code_of_end:
        what = f"`aubench {shlex.join(words)}` at {str(run.info.git.commit)[:12]} ends with code {code_of_end}"
        raise DataError(what, where=run.folder, hint="its output is above")
    (again,), _ = finished_records.find_finished_records(runs)
    return again
