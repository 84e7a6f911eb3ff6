"""Progress of folds on a terminal, and errors of their figures."""

from __future__ import annotations

import errno
import io
import os
import pty
import sys
from types import SimpleNamespace

import pytest

from aubench._util import progress
from aubench.api import execution, run_display
from aubench.plots import run_figures
from aubench.runs import runner
from aubench.runs.devices import DeviceChoice
from aubench.runs.events import EpochFinished, FoldFinished, RunFailed
from aubench.runs.fold_process import FoldFailed

EPOCH = EpochFinished("train", 1, 2, {"total": 0.5}, {"f1": 0.4, "acc": 0.5}, 9.0)


def jobs_of_two_folds():
    config = SimpleNamespace(run_id="a", seed=0, entry=SimpleNamespace(name="amf"))
    return [SimpleNamespace(config=config, fold=fold) for fold in (1, 2)]


def test_a_finished_fold_leaves_its_space_to_others(monkeypatch, capfd):
    for module in (progress, run_display):
        monkeypatch.setattr(module, "is_terminal", lambda: True)
    jobs = jobs_of_two_folds()
    with run_display.RunDisplay() as display:
        for job in jobs:
            display.show(job, EPOCH)
        display.show(jobs[0], FoldFinished(object(), 2))
        assert len(display._bar.tasks) == 1 and "fold 2" in display._bar.tasks[0].description
    assert capfd.readouterr().err.count("amf, seed 0, fold 1: done") == 1


@pytest.mark.parametrize("moment", ["before", "during"])
def test_a_closed_terminal_ends_no_run(monkeypatch, moment):
    reader, terminal = pty.openpty()
    stream = os.fdopen(terminal, "w")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", stream)
    if moment == "before":
        os.close(reader)
    first, second = jobs_of_two_folds()
    with run_display.RunDisplay() as display:
        display.show(first, EPOCH)
        if moment == "during":
            os.close(reader)
        display.show(first, FoldFinished(object(), 2))
        display.show(second, EPOCH)
        display.show(second, RunFailed("loss is not finite"))
    with pytest.raises(OSError, match="Input/output error"):
        stream.close()


def test_a_line_on_a_full_disk_is_dropped_and_one_to_a_closed_pipe_is_an_error(monkeypatch):
    class Full(io.StringIO):
        def flush(self):
            raise OSError(number, "cannot write")

    monkeypatch.setattr(sys, "stderr", Full())
    number = errno.ENOSPC
    progress.print_line("epoch 1")
    number = errno.EPIPE
    with pytest.raises(BrokenPipeError):
        progress.print_line("epoch 1")


def test_a_bug_of_a_figure_is_an_error_of_its_run(monkeypatch, tmp_path):
    def break_down(*_):
        raise ValueError("no such font")

    def finish(configs, folds, choice, report, on_record):
        on_record(configs[0], None)

    config = SimpleNamespace(run_dir=tmp_path, seed=0, entry=SimpleNamespace(name="amf"))
    monkeypatch.setattr(run_figures, "plot", break_down)
    monkeypatch.setattr(runner, "run_folds", finish)
    path = tmp_path / "traceback.txt"
    with pytest.raises(FoldFailed) as raised:
        execution.train([config], [1], DeviceChoice("cpu", 1, "a test"), track=False)
    line = f"drawing the figures of amf, seed 0, broke (ValueError: no such font); see {path}"
    assert str(raised.value) == line and "in break_down" in path.read_text()
