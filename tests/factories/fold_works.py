"""What a fold may do in a process of its own."""

import os
import resource
import signal

import torch

from aubench.core.errors import Diverged
from aubench.runs.events import FoldFinished


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


def counts_open_files(plan, fold, kind, index, report):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    report((soft, hard))
