"""Work for processes of folds, in a module that imports nothing large."""

from __future__ import annotations

import importlib
import os
import resource
import signal
import sys
import time

from aubench._util import interrupts


def report_surface(report):
    """Report what the process was started with."""
    import random

    main = sys.modules["__main__"]
    report({"random": random.__file__, "rank": os.environ.get("LOCAL_RANK"), "script": getattr(main, "__file__", None)})


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
