"""Tracking beside the work: a thread that sends runs while they go on."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from aubench.tracking.mlflow_client import default_uri
from aubench.tracking.run_export import HEADER
from aubench.tracking.sync import send_all

_PATIENCE_SECONDS = 30


class BackgroundSync:
    """A thread that sends runs while they go on; leaving it sends once more, then stops waiting.

    Args:
        run_dirs: The runs' folders; those that do not exist yet are passed over.
        uri: MLflow's tracking URI.
        interval: Seconds between passes.
        say: Told the first trouble, and only that.
    """

    def __init__(self, run_dirs: Sequence[Path], uri: str | None, interval: float, say: Callable[[str], None]) -> None:
        self._run_dirs, self._uri, self._interval, self._say = list(run_dirs), uri or default_uri(), interval, say
        self._said = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="aubench-tracking", daemon=True)

    def __enter__(self) -> BackgroundSync:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(_PATIENCE_SECONDS)
        if self._thread.is_alive():
            self._trouble(f"sending takes more than {_PATIENCE_SECONDS} s")

    def _work(self) -> None:
        while not self._over.is_set():
            self._pass()
            self._over.wait(self._interval)
        self._pass()

    def _pass(self) -> None:
        begun = [run_dir for run_dir in self._run_dirs if (run_dir / HEADER).is_file()]
        for _, result in send_all(begun, self._uri):
            if not result.ok:
                self._trouble(result.detail)

    def _trouble(self, detail: str) -> None:
        if not self._said:
            self._said = True
            self._say(f"tracking: {detail}; nothing is lost, 'aubench track sync' sends it later")


def background(
    run_dirs: Sequence[Path],
    uri: str | None = None,
    *,
    interval: float = 20,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
) -> BackgroundSync:
    """Send ``run_dirs`` every ``interval`` seconds for as long as the block lasts, and once at its end."""
    return BackgroundSync(run_dirs, uri, interval, say)
