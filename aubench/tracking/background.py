"""Background thread that sends runs to MLflow during training."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from aubench.results.run_folder import RUN_FILE
from aubench.tracking.mlflow_client import default_uri
from aubench.tracking.sync import send_all

_JOIN_SECONDS = 30


class BackgroundSync:
    """Context manager that sends runs in a background thread, and once more at the end of the block.

    Args:
        run_dirs: Folders of the runs. A folder without ``run.json`` is skipped until the run starts.
        uri: MLflow's tracking URI, by default :func:`aubench.tracking.mlflow_client.default_uri`.
        interval: Seconds between synchronisations.
        say: Function that receives the first error message.
    """

    def __init__(self, run_dirs: Sequence[Path], uri: str | None, interval: float, say: Callable[[str], None]) -> None:
        self._run_dirs, self._uri, self._interval, self._say = list(run_dirs), uri or default_uri(), interval, say
        self._reported = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="aubench-tracking", daemon=True)

    def __enter__(self) -> BackgroundSync:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(_JOIN_SECONDS)
        if self._thread.is_alive():
            self._report(f"sending takes more than {_JOIN_SECONDS} s")

    def _loop(self) -> None:
        while not self._stopped.is_set():
            self._send()
            self._stopped.wait(self._interval)
        self._send()

    def _send(self) -> None:
        started = [run_dir for run_dir in self._run_dirs if (run_dir / RUN_FILE).is_file()]
        for _, result in send_all(started, self._uri):
            if not result.ok:
                self._report(result.detail)

    def _report(self, detail: str) -> None:
        if not self._reported:
            self._reported = True
            self._say(f"tracking: {detail}; nothing is lost, 'aubench track sync' sends it later")


def background(
    run_dirs: Sequence[Path],
    uri: str | None = None,
    *,
    interval: float = 20,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
) -> BackgroundSync:
    """Send ``run_dirs`` every ``interval`` seconds during the block and once at its end."""
    return BackgroundSync(run_dirs, uri, interval, say)
