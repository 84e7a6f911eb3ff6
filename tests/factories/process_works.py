"""Work for processes of folds, in a module that imports nothing large."""

from __future__ import annotations

import importlib
import os
import resource
import signal
import sys
import time
from functools import partial
from pathlib import Path

from aubench._util import interrupts, locks
from aubench.runs import fold_process


def report_surface(report):
    """Report what the process was started with."""
    import random

    main = sys.modules["__main__"]
    variables = {"rank": os.environ.get("LOCAL_RANK"), "threads": os.environ.get("OMP_NUM_THREADS")}
    report({"random": random.__file__, "script": getattr(main, "__file__", None), **variables})


def report_preloaded(report):
    """Report the working directory, and whether the fork server has imported the packages of fold processes."""
    report((str(Path.cwd()), hasattr(sys.modules.get("lightning_fabric"), "Fabric")))


def report_open_files(report):
    """Report the soft and the hard limit of open files."""
    report(resource.getrlimit(resource.RLIMIT_NOFILE))


def kill_itself(report, number=signal.SIGKILL):
    os.kill(os.getpid(), number)


def save_slowly(report):
    """Report when the work begins, and when its state is saved after a signal."""
    with interrupts.deferred():
        report("started")
        while not interrupts.is_requested():
            time.sleep(0.01)
        time.sleep(0.5)
        report("saved")


def hold_a_lock(path, report):
    """Report when the lock is held, then nothing for a minute."""
    with locks.exclusive(path):
        report("locked")
        time.sleep(60)


def command_with_a_silent_fold(sender, path):
    """Start a process that holds a lock, as a command starts a fold, and wait."""
    receiver, process = fold_process.start(partial(hold_a_lock, path), "fold 1", path.with_name("traceback.txt"))
    sender.send(receiver.recv())
    process.join()


def exit_quietly(report):
    os._exit(0)


def exit_as_a_script(report):
    sys.exit("bye")


def run_out_of_memory(report):
    raise MemoryError


def start_too_many_threads(report):
    raise RuntimeError("can't start new thread")


class Unloadable:
    """Work that cannot be imported in another process, like a method file whose import has an error there."""

    def __reduce__(self):
        return importlib.import_module, ("nothing_of_that_name",)
