"""State of folds that can be read without the command that trains them, and its cancellation."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import tempfile
import threading
import time
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from aubench._util import locks
from aubench.api import cancel, status
from aubench.core.errors import Diverged, UsageError
from aubench.results.run_folder import FAILED, RUNNING
from aubench.runs import fold_status, run_status, scheduler, sweeps
from aubench.runs.engine import Engine, Job
from aubench.runs.events import EpochFinished, FoldFinished, TrainingStarted

EPOCH = EpochFinished("train", 2, 5, {"total": 0.5}, {"f1": 0.5, "acc": 0.5}, 123.4)


def config(runs, seed=0):
    """Stand for a run, of which the scheduler needs only names and folders."""
    run_dir = runs / "synth_3fold" / "amf" / f"{seed:016x}"
    entry = SimpleNamespace(name="amf")
    return SimpleNamespace(
        runs=runs, run_dir=run_dir, run_id=run_dir.name, entry=entry, fold_dir=lambda fold: run_dir / f"fold{fold}"
    )


def start(runs, seed=0, folds=3):
    """Write the file of a run; returns the folder of a fold."""
    planned = config(runs, seed)
    planned.run_dir.mkdir(parents=True)
    content = {"protocol": {"name": "synth_3fold"}, "method": {"name": "amf"}, "seed": seed}
    content["asked"] = {"protocol": {"folds": [[]] * folds}}
    (planned.run_dir / "run.json").write_text(json.dumps(content))
    for fold in range(1, folds + 1):
        planned.fold_dir(fold).mkdir()
    return planned


class Queue(Engine):
    """Engine whose jobs never start."""

    name = "queue"

    def __init__(self):
        self.closed = []

    def submit(self, job):
        return Future()

    def wait(self, seconds):
        time.sleep(0.05)
        yield from ()

    def cancel(self, future):
        raise AssertionError

    def close(self, *, interrupted):
        self.closed.append(interrupted)


class Fails(Queue):
    """Engine whose first job fails."""

    def submit(self, job):
        future = Future()
        future.set_exception(Diverged("loss is not finite", where="amf"))
        self.futures = [future]
        return future

    def wait(self, seconds):
        yield self.futures.pop(), None


def test_the_state_of_a_running_fold_has_its_epoch_and_the_time_left(tmp_path):
    passed = []
    with fold_status.track(tmp_path, "a GPU", passed.append) as report:
        assert json.loads((tmp_path / RUNNING).read_text())["device"] == "a GPU"
        report(TrainingStarted({"pretrain": 3, "train": 5, "calibrate": 4}))
        time.sleep(0.02)
        report(EPOCH)
        running = json.loads((tmp_path / RUNNING).read_text())
        assert fold_status.last_epoch(running) == EPOCH
        assert 0.1 <= running["seconds_left"] <= 1, "3 epochs of this stage and 4 of the next"
    assert passed == [EPOCH], "others need not know of the start"
    assert list(tmp_path.iterdir()) == []


def test_a_fold_that_breaks_leaves_no_state(tmp_path):
    with pytest.raises(ZeroDivisionError), fold_status.track(tmp_path, "a GPU", print):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_process_elsewhere_is_alive_while_its_file_is_renewed(tmp_path, monkeypatch):
    monkeypatch.setattr(fold_status, "BEAT_SECONDS", 0.01)
    path = tmp_path / RUNNING
    with fold_status.track(tmp_path, "a GPU", print):
        path.write_text(json.dumps({"host": "elsewhere", "device": "a GPU"}))
        os.utime(path, (0, 0))
        time.sleep(0.1)
        assert fold_status.read_running(tmp_path)
    path.write_text(json.dumps({"host": "elsewhere"}))
    os.utime(path, (time.time() - 2 * fold_status.STALE_SECONDS,) * 2)
    assert fold_status.read_running(tmp_path) is None


def test_a_killed_process_of_this_machine_is_known_at_once(tmp_path):
    (tmp_path / RUNNING).write_text(json.dumps({"host": socket.gethostname()}))
    assert fold_status.read_running(tmp_path) is None
    with locks.exclusive(tmp_path / ".lock"):
        assert fold_status.read_running(tmp_path)


def test_a_process_is_known_on_a_disk_without_locks(tmp_path, monkeypatch):
    real, runs, temporary = fcntl.flock, tmp_path / "runs", tmp_path / "tmp"

    def flock(descriptor, operation):
        if any(os.path.samestat(os.fstat(descriptor), file.stat()) for file in runs.iterdir()):
            raise OSError(errno.ENOLCK, "no locks available")
        real(descriptor, operation)

    runs.mkdir()
    temporary.mkdir()
    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    (runs / RUNNING).write_text(json.dumps({"host": socket.gethostname()}))
    with locks.exclusive(runs / ".lock"):
        assert not (runs / ".lock").exists() and fold_status.read_running(runs)
    assert fold_status.read_running(runs) is None


def test_every_fold_has_one_state(tmp_path, call):
    runs = tmp_path / "runs"
    first, other = start(runs), start(runs, 1)
    (first.fold_dir(1) / "result.json").write_text("{}")
    (first.fold_dir(3) / FAILED).write_text(json.dumps({"reason": "loss is not finite"}))
    (other.fold_dir(1) / "epochs.jsonl").write_text("")
    damaged = {"cut": '{"seed": 1', "empty": "", "foreign": "{}"}
    for name, content in damaged.items():
        (runs / "synth_3fold" / "amf" / name).mkdir()
        (runs / "synth_3fold" / "amf" / name / "run.json").write_text(content)
    (runs / "synth_3fold" / "amf" / "0-link").symlink_to(first.run_dir)
    jobs = [Job(other, 3, print)]
    with (
        fold_status.track(first.fold_dir(2), "a GPU", lambda event: None) as report,
        locks.exclusive(first.fold_dir(2) / ".lock"),
        sweeps.SweepFile("local", jobs),
    ):
        report(EPOCH)
        states = status(runs).to_dataframe()
        answer = call("status", runs)
        machine = json.loads(call("status", runs, "--format", "json").out)
    assert states["state"].tolist() == ["done", "running", "failed", "stopped", "not started", "waiting"]
    last = answer.out.splitlines()[-1]
    assert last == "6 folds: 1 done, 1 running, 1 waiting, 1 failed, 1 stopped, 1 not started"
    assert "loss is not finite" in answer.out and "train 2 of 5" in answer.out and socket.gethostname() in answer.out
    assert [fold["state"] for fold in machine] == states["state"].tolist() and machine[1]["frames_per_s"] == 123.4
    reasons = {"cut": "is not JSON, or is cut off", "empty": "is empty", "foreign": "lacks fields of a run"}
    folder = runs / "synth_3fold" / "amf"
    assert answer.err.splitlines() == [f"skipped {folder / name}/run.json: {reasons[name]}" for name in damaged]


def test_a_folder_that_is_absent_or_empty_is_one_line(tmp_path, call):
    answer = call("status", "nothing")
    assert answer.code == 2 and answer.err == "aubench: nothing: does not exist; give the folder of runs\n"
    assert call("cancel", "nothing").code == 2
    (tmp_path / "runs").mkdir()
    assert call("status").out == "no runs\n" and "no command works" in call("cancel").out
    with pytest.raises(UsageError):
        status(tmp_path / "nothing")


def test_cancel_ends_the_command_and_its_list_of_jobs(tmp_path, monkeypatch):
    monkeypatch.setattr(scheduler, "POLL_SECONDS", 0.01)
    planned, engine, errors = start(tmp_path), Queue(), []
    jobs = [Job(planned, fold, print) for fold in (1, 2)]

    def command():
        try:
            scheduler.FoldScheduler(jobs, engine, print).run()
        except sweeps.Cancelled as error:
            errors.append(error)

    thread = threading.Thread(target=command)
    thread.start()
    while not sweeps.read_sweeps(tmp_path):
        time.sleep(0.01)
    lines = cancel(tmp_path)
    thread.join()
    assert lines == [f"cancelled queue on {socket.gethostname()}, process {os.getpid()}: 2 folds"]
    assert errors[0].exit_code == 130 and engine.closed == [False]
    assert not (tmp_path / sweeps.FOLDER).exists()


def test_cancel_ends_all_commands_but_those_that_do_not_answer(tmp_path, monkeypatch, call):
    monkeypatch.setattr(run_status, "CANCEL_SECONDS", -1.0)
    folder = tmp_path / "runs" / sweeps.FOLDER
    folder.mkdir(parents=True)
    for number, host in enumerate(("elsewhere", socket.gethostname(), "elsewhere"), 1):
        content = {"engine": "local", "host": host, "pid": number, "folds": {"p/m/r": [1]}, "queued": []}
        (folder / f"{number}.json").write_text(json.dumps(content))
    answer = call("cancel")
    assert answer.code == 1 and answer.out == f"had ended already: local on {socket.gethostname()}, process 2: 1 fold\n"
    lines = [
        f"runs/sweeps/{number}.json: local on elsewhere has not ended; end process {number} there" for number in "31"
    ]
    assert answer.err.splitlines() == [f"aubench: {line}" for line in lines]
    assert sorted(path.name for path in folder.iterdir()) == ["1.cancel", "1.json", "3.cancel", "3.json"]


def test_cancel_removes_the_list_of_a_command_that_was_killed(tmp_path):
    with sweeps.SweepFile("local", [Job(start(tmp_path), 1, print)]):
        path = next((tmp_path / sweeps.FOLDER).glob("*.json"))
        content = path.read_text()
    path.parent.mkdir()
    path.write_text(content)
    assert not sweeps.read_sweeps(tmp_path)[0].is_alive
    assert [state.state for state in run_status.read_states(tmp_path, pytest.fail)] == ["not started"] * 3
    assert len(cancel(tmp_path)) == 1 and not path.exists()


def test_a_closed_pipe_leaves_jobs_in_the_queue(tmp_path):
    class Submits(Fails):
        def queued(self):
            return {sweeps.queue_key(job): "7_0"}

        def wait(self, seconds):
            yield self.futures[0], EPOCH

        def close(self, *, interrupted):
            super().close(interrupted=interrupted)
            raise BrokenPipeError("its line on the jobs")

    def report(job, event):
        raise BrokenPipeError("the line on the epoch")

    job, engine = Job(start(tmp_path), 1, print), Submits()
    with pytest.raises(BrokenPipeError, match="epoch"):
        scheduler.FoldScheduler([job], engine, report).run()
    assert engine.closed == [True]
    assert [list(sweep.queued.values()) for sweep in sweeps.read_sweeps(tmp_path)] == [["7_0"]]


def test_the_reason_of_a_failure_stays_until_the_next_attempt(tmp_path):
    job = Job(start(tmp_path), 1, print)
    with pytest.raises(Diverged):
        scheduler.FoldScheduler([job], Fails(), print).run()
    assert fold_status.read_failure(job.config.fold_dir(1)) == "amf: loss is not finite"

    class Works(Fails):
        def wait(self, seconds):
            future = self.futures.pop()
            yield future, FoldFinished(None, 0)
            yield future, None

        def submit(self, job):
            future = Future()
            future.set_result(None)
            self.futures = [future]
            return future

    scheduler.FoldScheduler([job], Works(), lambda job, event: None).run()
    assert fold_status.read_failure(job.config.fold_dir(1)) is None
    assert not (tmp_path / sweeps.FOLDER).exists()
