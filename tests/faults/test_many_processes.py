"""Eight processes on one folder of runs: nothing is lost, nothing is done twice, and who waits says so in one line."""

from __future__ import annotations

import json
import os
import time

import pytest
from factories.processes import in_processes

from aubench._util import atomic, locks
from aubench.results.run_folder import RESULT, RUN_FILE
from aubench.runs import environment, fold_status, run_file, sweeps
from aubench.runs.engine import Job
from aubench.runs.events import FoldFinished
from aubench.runs.fold import run_fold


class Worked(Exception):
    """Stands for the end of a training."""


@pytest.mark.slow
def test_eight_processes_on_one_fold_train_it_once(decide, tmp_path, monkeypatch):
    config, lines = decide(tmp_path / "runs", "late_fusion"), tmp_path / "lines"

    def append(line: str) -> None:
        with lines.open("a") as file:
            file.write(f"{line}\n")

    def train() -> None:
        until = time.monotonic() + 60
        while not lines.exists() or lines.read_text().count("\n") < 7:
            assert time.monotonic() < until
            time.sleep(0.02)
        atomic.write_json(config.fold_dir(1) / RESULT, {"pid": os.getpid()})
        raise Worked

    monkeypatch.setattr(environment, "capture_environment", train)
    monkeypatch.setattr(locks, "print_line", append)
    monkeypatch.setattr(locks, "_QUIET_SECONDS", 0.05)

    def work(index: int) -> object:
        events: list[object] = []
        try:
            run_fold(config, 1, "cpu", 0, events.append)
        except Worked:
            return "worked"
        return events

    results = in_processes(8, work)
    assert results.count("worked") == 1 and results.count([FoldFinished(None, 0)]) == 7
    line = f"aubench: {config.fold_dir(1)}: another process works here; waiting until it ends"
    assert lines.read_text().splitlines() == [line] * 7


@pytest.mark.slow
def test_waiting_for_a_moment_says_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(locks, "_QUIET_SECONDS", 60)

    def work(index: int) -> None:
        with locks.exclusive(tmp_path / ".lock"):
            time.sleep(0.02)

    in_processes(8, work)
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("same", [False, True], ids=["eight runs", "one run"])
def test_eight_commands_share_a_folder_of_runs(decide, tmp_path, same):
    runs = tmp_path / "runs"
    configs = [decide(runs, "late_fusion", seed=0 if same else seed) for seed in range(8)]

    def work(index: int) -> set[int]:
        config, pids = configs[index], set[int]()
        for _ in range(10):
            run_file.write(config, {"pid": os.getpid()})
            with sweeps.SweepFile("local", [Job(config, 1, print)]):
                pids |= {sweep.pid for sweep in sweeps.read_sweeps(runs) if sweep.is_alive}
                fold_status.write_failure(config.fold_dir(1), "no reason")
                fold_status.clear_failure(config.fold_dir(1))
        return pids | {os.getpid()}

    seen = in_processes(8, work)
    assert len(set.union(*seen)) == 8, "each command is seen, and no other"
    assert not (runs / sweeps.FOLDER).exists()
    headers = [json.loads(path.read_text()) for path in runs.rglob(RUN_FILE)]
    assert {header["run_id"] for header in headers} == {config.run_id for config in configs}
    assert len(headers) == (1 if same else 8)
    assert not [path for path in runs.rglob("*") if path.suffix in {".tmp", ".lock"}]
