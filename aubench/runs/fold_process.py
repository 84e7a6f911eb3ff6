"""Process of one fold: its start, its errors, and the cause of its death.

The module imports no large package, so that a fold process reports an import that fails.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import re
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from aubench._util import atomic, interrupts, system
from aubench._util.child_processes import isolated_start
from aubench.core.errors import AubenchError, is_out_of_memory

FINISHED = "finished"
"""Last message of a fold process."""

_VARIABLES = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**28)}
"""Variables of fold processes unless they are set: one thread, and settings of glibc. Returning freed memory to the
system between training steps costs up to a sixth of the time."""
_RESUME = "repeat the command to resume"
_LESS_MEMORY = "with a lower batch size (--set) or fewer folds at a time (--fold)"
_SIGNALS = {
    "SIGKILL": ("probably because the memory ran out", f"{_RESUME}, {_LESS_MEMORY}"),
    "SIGBUS": ("probably because the disk or /dev/shm is full", f"free some space and {_RESUME}"),
    "SIGXCPU": ("because of the limit of CPU time", f"raise `ulimit -t` and {_RESUME}"),
    **dict.fromkeys(("SIGTERM", "SIGHUP", "SIGINT"), ("sent by another program or the job scheduler", _RESUME)),
    **dict.fromkeys(
        ("SIGSEGV", "SIGILL", "SIGABRT", "SIGFPE"),
        ("a crash in a compiled library", "check the installation with `python -c 'import torch, timm'`"),
    ),
}
"""Likely cause and remedy by signal."""
_START_HINTS = {
    errno.EAGAIN: "raise `ulimit -u`, the limit of processes and threads",
    **atomic.MANY_FILES,
    errno.ENOMEM: "free some memory",
    errno.ENOSPC: "free some space, or set TMPDIR to a folder with space",
}


class FoldFailed(AubenchError):
    """A fold's process ended for a reason outside the user's control."""

    exit_code = 1


class UnexpectedFailure(FoldFailed):
    """An error of which aubench does not know the cause. It may follow from the end of another process."""


def preload_workers(engine: str = "local") -> None:
    """Start to import the packages of fold processes in the background, if this machine runs them.

    Args:
        engine: Name of the engine of the folds.
    """
    if engine != "local":
        return
    multiprocessing.set_forkserver_preload(["aubench.runs.preload"])
    with suppress(OSError), _worker_environment():  # without a fork server, `start` spawns
        forkserver.ensure_running()


@contextmanager
def _worker_environment() -> Iterator[None]:
    """Start the processes of the block as fold processes, with variables that this process does not keep."""
    added = _VARIABLES.keys() - os.environ.keys()
    os.environ.update({name: _VARIABLES[name] for name in added})
    try:
        with isolated_start():
            yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def start(
    work: Callable[[Callable[[Any], None]], None], label: str, traceback_path: Path
) -> tuple[Connection, BaseProcess]:
    """Start work on a fold in a new process, from the fork server or, if it cannot run, by spawning.

    Args:
        work: Function of a callback for events.
        label: Fold and method, for error messages.
        traceback_path: File for the traceback of an unexpected error.

    Returns:
        Receiver of the events and errors of the process, the last of which is :data:`FINISHED`, and the process.

    Raises:
        FoldFailed: The system allows no further process.
    """
    if multiprocessing.current_process().daemon:
        raise FoldFailed(f"{label} cannot start in a daemonic process", hint="call aubench from the main process")
    payload = bytes(ForkingPickler.dumps(work))
    for method in ("forkserver", "spawn"):
        context: Any = multiprocessing.get_context(method)
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_run, args=(sender, payload, label, traceback_path), daemon=True)
        try:
            with _worker_environment():
                process.start()
        except (OSError, EOFError) as error:
            receiver.close()
            failure = error
            continue
        finally:
            sender.close()
        return receiver, process
    hint = _START_HINTS.get(getattr(failure, "errno", None) or 0, _RESUME)
    raise FoldFailed(f"{label} could not start ({_describe(failure)})", hint=hint)


def death_of(label: str, code: int | None) -> FoldFailed:
    """Create the error of a process that ended before its work did.

    Args:
        label: Fold and method.
        code: Exit code, negative for a signal; 255 or None if it is unknown.
    """
    if code is None or code == 255:
        return FoldFailed(f"{label} ended without an exit code, {_SIGNALS['SIGKILL'][0]}", hint=_SIGNALS["SIGKILL"][1])
    if code >= 0:
        return FoldFailed(f"{label} ended early with exit code {code}", hint=_RESUME)
    name = next((known.name for known in signal.Signals if known == -code), "unknown")
    cause, hint = _SIGNALS.get(name, ("", _RESUME))
    return FoldFailed(f"{label} was ended by signal {-code} ({name}){cause and f', {cause}'}", hint=hint)


def _run(sender: Connection, payload: bytes, label: str, traceback_path: Path) -> None:
    try:
        interrupts.install()
        exit_with_parent()
        system.raise_file_limit()
        traceback_path.unlink(missing_ok=True)
        pickle.loads(payload)(sender.send)
        sender.send(FINISHED)
    except AubenchError as error:
        sender.send(error)
    except (BrokenPipeError, KeyboardInterrupt):  # the parent process was killed, or is ending
        os._exit(1)
    except BaseException as error:
        sender.send(unexpected_error(error, label, traceback_path))


def unexpected_error(error: BaseException, label: str, traceback_path: Path) -> AubenchError:
    """Convert an unexpected error. Its traceback goes to a file."""
    if isinstance(error, OSError) and error.errno in {*atomic.DISK_FULL, errno.EROFS}:
        return atomic.write_error(error, Path(error.filename or traceback_path.parent))
    if is_out_of_memory(error) and re.search("CUDA|MPS|ALLOC_FAILED", str(error)):
        hint = (
            "lower the batch size with --set, use --precision bf16-mixed, or, where the recipe has it, "
            "--set activation_checkpointing=true"
        )
        return FoldFailed(f"{label} needs more memory than the GPU has", hint=hint)
    if is_out_of_memory(error):
        return FoldFailed(f"{label} needs more memory than this process may use", hint=f"{_RESUME}, {_LESS_MEMORY}")
    if "can't start new thread" in str(error):
        return FoldFailed(f"{label} can start no further thread", hint=_START_HINTS[errno.EAGAIN])
    what = f"{label} broke ({_describe(error)})"
    try:
        atomic.write_text(traceback_path, "".join(traceback.format_exception(error)))
    except (OSError, AubenchError):
        return UnexpectedFailure(what)
    return UnexpectedFailure(what, hint=f"see {traceback_path}")


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def exit_with_parent() -> None:
    """End this process soon after the command or its fork server, so that a killed command leaves no processes.

    The fork server is no sufficient sign of the command, because it lives as long as one of its processes does.
    """
    fork_server, command = os.getppid(), multiprocessing.parent_process()

    def watch() -> None:
        while os.getppid() == fork_server and (command is None or command.is_alive()):
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="orphan-watch").start()
