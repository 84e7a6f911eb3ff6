"""Start of fold processes wherever aubench is called, and one line for each way in which they end."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import resource
import signal
import socket
import sys
import tempfile
import time
from functools import partial
from multiprocessing import forkserver, util

import pytest
from factories import process_works

from aubench._util import interrupts, locks
from aubench._util.system import MAX_OPEN_FILES
from aubench.core.errors import AubenchError
from aubench.runs import fold_process
from aubench.runs.fold_process import FoldFailed

LABEL = "fold 1 of late_fusion"


@pytest.fixture(autouse=True)
def fork_server():
    """Start the fork server anew and without packages."""
    preloaded = forkserver._forkserver._preload_modules
    forkserver._forkserver._stop()
    multiprocessing.set_forkserver_preload([])
    yield
    forkserver._forkserver._stop()
    multiprocessing.set_forkserver_preload(preloaded)


@pytest.fixture
def messages(tmp_path):
    """Run work in a process of its own and collect its messages; without the last one, the process has died."""

    def collect(work) -> list:
        receiver, process = fold_process.start(work, LABEL, tmp_path / "traceback.txt")
        received = []
        try:
            while True:
                received.append(receiver.recv())
        except EOFError:
            process.join()
        if not received or (received[-1] != fold_process.FINISHED and not isinstance(received[-1], AubenchError)):
            received.append(fold_process.death_of(LABEL, process.exitcode))
        return received

    return collect


def test_temporary_folder_with_a_path_too_long_for_a_socket(messages, tmp_path, monkeypatch):
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setitem(multiprocessing.current_process()._config, "tempdir", None)
    assert messages(process_works.report_surface)[-1] == fold_process.FINISHED
    assert len(util.get_temp_dir()) < 30 and tempfile.tempdir == str(folder)


def test_without_a_fork_server_the_process_is_spawned(messages, monkeypatch):
    def no_sockets(*_):
        raise OSError(errno.EROFS, "no socket here")

    monkeypatch.setattr(socket.socket, "bind", no_sockets)
    fold_process.preload_workers()
    assert messages(process_works.report_surface)[-1] == fold_process.FINISHED


@pytest.mark.parametrize("spawns", [False, True])
def test_variables_of_a_fold_do_not_stay_in_the_command(messages, monkeypatch, spawns):
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "7")
    before = dict(os.environ)
    if spawns:
        monkeypatch.setattr(forkserver, "ensure_running", refuse_a_socket)
    fold_process.preload_workers()
    surface, _ = messages(process_works.report_surface)
    assert surface["threads"] == "1" and os.environ == before


def refuse_a_socket(*_):
    raise OSError(errno.EROFS, "no socket here")


@pytest.mark.parametrize("engine", ["slurm", "ray"])
def test_no_fork_server_starts_for_folds_of_a_cluster(engine):
    fold_process.preload_workers(engine)
    assert forkserver._forkserver._forkserver_pid is None


def test_working_directory_with_files_named_like_modules(messages, tmp_path, monkeypatch, capfd):
    for name in ("random", "token", "numpy", "torch"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this file')\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    surface, last = messages(process_works.report_surface)
    assert (surface["random"], last) == (random.__file__, fold_process.FINISHED)
    assert "PYTHONSAFEPATH" not in os.environ
    assert capfd.readouterr().err == "", "a fork server died"


@pytest.mark.slow
def test_the_folder_of_a_command_may_be_removed_while_packages_are_imported(messages, tmp_path, monkeypatch):
    (tmp_path / "removed").mkdir()
    monkeypatch.chdir(tmp_path / "removed")
    fold_process.preload_workers()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "removed").rmdir()
    assert messages(process_works.report_preloaded)[0] == (str(tmp_path), True)


def test_rank_of_a_launcher_does_not_reach_the_process(messages, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "not a number")
    surface, _ = messages(process_works.report_surface)
    assert surface["rank"] is None and os.environ["LOCAL_RANK"] == "not a number"


def test_script_of_the_caller_does_not_run_again(messages, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(tmp_path / "script.py"), raising=False)
    (tmp_path / "script.py").write_text("raise SystemExit('ran again')\n", encoding="utf-8")
    assert messages(process_works.report_surface)[-1] == fold_process.FINISHED


def test_system_that_allows_no_further_process(messages, monkeypatch):
    def refuse(*_):
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", refuse)
    with pytest.raises(
        FoldFailed, match=r"^fold 1 of late_fusion could not start \(.*unavailable\); raise `ulimit -u`"
    ):
        messages(process_works.report_surface)


def test_daemonic_process_is_told_what_to_do(messages, monkeypatch):
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    with pytest.raises(FoldFailed, match="daemonic process; call aubench from the main process"):
        messages(process_works.report_surface)


def test_a_fold_may_open_the_files_of_a_large_store_where_the_shell_allows_few(messages):
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, old[1]))  # the fork server inherits it
    try:
        (soft, hard), _ = messages(process_works.report_open_files)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, old)
    assert soft == (MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)) > 256


@pytest.mark.slow
def test_a_signal_to_all_processes_leaves_time_to_save_the_state(tmp_path):
    fold_process.preload_workers()
    for number in interrupts.SIGNALS:
        receiver, process = fold_process.start(process_works.save_slowly, LABEL, tmp_path / "traceback.txt")
        assert receiver.recv() == "started"
        for pid in (forkserver._forkserver._forkserver_pid, process.pid):
            os.kill(pid, number)
        assert receiver.recv() == "saved", number
        process.join()
        assert process.exitcode == -number


@pytest.mark.slow
def test_a_killed_command_leaves_no_silent_process(tmp_path):
    context, path = multiprocessing.get_context("spawn"), tmp_path / ".lock"
    receiver, sender = context.Pipe(duplex=False)
    command = context.Process(target=process_works.command_with_a_silent_fold, args=(sender, path))
    command.start()
    assert receiver.recv() == "locked" and locks.is_held(path)
    command.kill()
    command.join()
    deadline = time.monotonic() + 20
    while locks.is_held(path):
        assert time.monotonic() < deadline, "the process of the fold works on"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (process_works.kill_itself, "ended by signal 9 (SIGKILL), probably because the memory ran out; repeat"),
        (partial(process_works.kill_itself, number=signal.SIGTERM), "signal 15 (SIGTERM), sent by another program"),
        (process_works.exit_quietly, "ended early with exit code 0; repeat the command"),
        (process_works.exit_as_a_script, "broke (SystemExit: bye); see "),
        (process_works.run_out_of_memory, "needs more memory than this process may use; repeat the command"),
        (process_works.start_too_many_threads, "can start no further thread; raise `ulimit -u`"),
        (process_works.Unloadable(), "broke (ModuleNotFoundError: No module named 'nothing_of_that_name'); see "),
    ],
    ids=["memory", "scheduler", "exit 0", "sys.exit", "MemoryError", "threads", "import"],
)
def test_end_of_a_process_is_one_line(messages, capfd, work, words):
    error = messages(work)[0]
    assert isinstance(error, FoldFailed) and error.exit_code == 1
    assert str(error).startswith(LABEL) and words in str(error)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-11, "signal 11 (SIGSEGV), a crash in a compiled library; check the installation"),
        (-7, "probably because the disk or /dev/shm is full; free some space"),
        (-64, "ended by signal 64"),
        (1, "ended early with exit code 1"),
        (255, "ended without an exit code, probably because the memory ran out"),
    ],
)
def test_cause_by_signal_or_exit_code(code, words):
    assert words in str(fold_process.death_of(LABEL, code))
