"""What a fold may do in a process of its own."""

import os
import signal
import time

import torch

from aubench.core.errors import Diverged
from aubench.runs import runner
from aubench.runs.events import EpochFinished, FoldFinished


def works(plan, fold, kind, index, report):
    report(FoldFinished(None, 1))


def diverges(plan, fold, kind, index, report):
    raise Diverged("loss term 'total' is not finite", where=plan.entry.name)


def breaks(plan, fold, kind, index, report):
    raise KeyError("a bug\nof two lines")


def runs_out_of_memory(plan, fold, kind, index, report):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def is_killed(plan, fold, kind, index, report):
    os.kill(os.getpid(), signal.SIGKILL)


def _count_attempt(plan, fold):
    """Count the attempts in the fold's folder; returns whether this is the first."""
    path = plan.fold_dir(fold) / "attempts"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.open("a").write("x")
    return path.read_text() == "x"


def diverges_once(plan, fold, kind, index, report):
    if _count_attempt(plan, fold):
        diverges(plan, fold, kind, index, report)


def is_killed_once(plan, fold, kind, index, report):
    if _count_attempt(plan, fold):
        is_killed(plan, fold, kind, index, report)
    report(FoldFinished(None, 0))


def ends(plan, fold, kind, index, report):
    report(FoldFinished(None, 0))


def waits_for_a_file(plan, fold, kind, index, report):
    while not (plan.fold_dir(1) / "go").exists():
        time.sleep(0.1)
    ends(plan, fold, kind, index, report)


def trains_in_two_allocations(plan, fold, kind, index, report):
    """Train a fold, whose first allocation ends after an epoch."""
    is_first = _count_attempt(plan, fold)

    def interrupt(event):
        report(event)
        if is_first and isinstance(event, EpochFinished):
            os.kill(os.getpid(), signal.SIGUSR2)

    runner._finish_fold(plan, fold, kind, index, interrupt)


def exits(plan, fold, kind, index, report):
    raise SystemExit(-1)
