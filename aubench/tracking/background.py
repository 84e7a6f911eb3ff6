"""Background thread that sends runs to MLflow during training."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aubench.results.run_folder import RUN_FILE
from aubench.tracking.mlflow_client import default_uri, is_installed
from aubench.tracking.sync import send_all

_JOIN_SECONDS = 30.0
"""Longest time that sending delays the end of a command."""
_INTERRUPTED_JOIN_SECONDS = 2.0
"""The same after Ctrl-C or SIGTERM, when folds have had their time to save their states."""


@contextmanager
def background(
    run_dirs: Sequence[Path],
    uri: str | None = None,
    *,
    interval: float = 20,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
) -> Iterator[None]:
    """Send runs in a thread during the block, and once more at its end.

    Args:
        run_dirs: Folders of the runs. A folder without ``run.json`` is skipped until the run starts.
        uri: MLflow's tracking URI, by default :func:`aubench.tracking.mlflow_client.default_uri`.
        interval: Seconds between synchronisations.
        say: Function that receives the first error message.
    """
    target = uri or (default_uri() if is_installed() else None)
    reported, stopped = threading.Event(), threading.Event()

    def report(detail: str) -> None:
        if not reported.is_set():
            reported.set()
            say(f"tracking: {detail}; nothing is lost, 'aubench track sync' sends it later")

    def send() -> None:
        started = [run_dir for run_dir in run_dirs if (run_dir / RUN_FILE).is_file()]
        for _, result in send_all(started, target):
            if not result.ok:
                report(result.detail)

    def loop() -> None:
        while not stopped.is_set():
            send()
            stopped.wait(interval)
        send()

    thread = threading.Thread(target=loop, name="aubench-tracking", daemon=True)
    thread.start()
    seconds = _JOIN_SECONDS
    try:
        yield
    except KeyboardInterrupt:
        seconds = _INTERRUPTED_JOIN_SECONDS
        raise
    finally:
        stopped.set()
        thread.join(seconds)
        if thread.is_alive():
            report(f"sending takes more than {seconds:g} s")
