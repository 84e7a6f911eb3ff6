"""Start of worker processes, independent of the caller's script, working directory and launcher."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import util
from types import ModuleType

_LAUNCHER = re.compile(r"LT_\w+|(\w+_)?RANK|WORLD_SIZE|MASTER_ADDR|MASTER_PORT|STANDALONE_PORT|SLURM_PROCID")
"""Variables by which ``torchrun``, ``fabric run`` and Slurm describe a process of a distributed training."""
_MAX_TEMP_DIR = 70
"""Bytes of a temporary folder whose sockets have a valid path, which is limited to 104 bytes on macOS."""


@contextmanager
def without_launcher() -> Iterator[None]:
    """Hide the environment variables of launchers of distributed training during the block."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if _LAUNCHER.fullmatch(name)}
    try:
        yield
    finally:
        os.environ.update(hidden)


@contextmanager
def isolated_start() -> Iterator[None]:
    """Start the processes of the block without the caller's script, working directory and launcher.

    ``multiprocessing`` would import ``__main__`` again in every worker process, so that a script without a guard would
    run again. It would also import a ``random.py`` of the working directory in place of the standard module.
    """
    main, safe_path = sys.modules["__main__"], os.environ.get("PYTHONSAFEPATH")
    sys.modules["__main__"] = ModuleType("__main__")
    os.environ["PYTHONSAFEPATH"] = "1"
    _shorten_socket_paths()
    try:
        with without_launcher():
            yield
    finally:
        sys.modules["__main__"] = main
        os.environ.pop("PYTHONSAFEPATH")
        if safe_path is not None:
            os.environ["PYTHONSAFEPATH"] = safe_path


def _shorten_socket_paths() -> None:
    """Let ``multiprocessing`` create its sockets in ``/tmp`` if the path of the temporary folder is too long."""
    with suppress(OSError):
        if len(os.fsencode(tempfile.gettempdir())) > _MAX_TEMP_DIR:
            previous, tempfile.tempdir = tempfile.tempdir, "/tmp"
            try:
                util.get_temp_dir()  # is remembered
            finally:
                tempfile.tempdir = previous
