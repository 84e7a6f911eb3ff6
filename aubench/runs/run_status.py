"""State of every fold in a folder of runs, read from its files alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aubench.core.errors import DataError
from aubench.results.run_folder import EPOCHS, RESULT, STATE, fold_count, fold_dir, read_json, run_files
from aubench.runs import fold_status, sweeps
from aubench.runs.sweeps import Sweep

STATES = ("done", "running", "waiting", "failed", "stopped", "not started")
"""States of folds. A stopped fold was begun, no process works on it, and no command has it in its list."""
CANCEL_SECONDS = 30.0
"""Longest time to wait for all commands that are cancelled together."""


@dataclass(frozen=True)
class FoldState:
    """State of a fold.

    Attributes:
        run_dir: Folder of the run.
        protocol: Name of the protocol.
        method: Name of the method.
        seed: Seed of the run.
        fold: Number of the fold.
        state: One of :data:`STATES`.
        host: Machine that works on the fold.
        device: Name of the device.
        stage: Current stage of training.
        epoch: Finished epochs of the stage.
        epochs: Maximum number of epochs of the stage.
        frames_per_s: Speed of the last epoch.
        seconds_left: Estimated rest of the training, at most.
        reason: Reason of a failure.
    """

    run_dir: Path
    protocol: str
    method: str
    seed: int
    fold: int
    state: str
    host: str | None = None
    device: str | None = None
    stage: str | None = None
    epoch: int | None = None
    epochs: int | None = None
    frames_per_s: float | None = None
    seconds_left: float | None = None
    reason: str | None = None


def read_states(runs: Path, skip: Callable[[DataError], None], active: Set[str] | None = None) -> list[FoldState]:
    """Read the state of every fold of every run.

    Args:
        runs: Folder of all runs.
        skip: Function that receives the error of each run whose file is damaged.
        active: Ids of the jobs in the queue of a cluster, None if they are unknown.
    """
    waiting = [each for sweep in sweeps.read_sweeps(runs) for each in sweep.waiting(active)]
    listed = {(runs / run, fold) for run, fold in waiting}
    return [state for path in run_files(runs) for state in _run_states(path, listed, skip)]


def _run_states(path: Path, listed: set[tuple[Path, int]], skip: Callable[[DataError], None]) -> Iterator[FoldState]:
    """Yield the states of the folds of a run; none if its file is damaged or has just been removed."""
    run_dir = path.parent
    try:
        content = read_json(path)
        fields = (run_dir, content["protocol"]["name"], content["method"]["name"], content["seed"])
        count = fold_count(content)
    except DataError as error:
        if path.exists():
            skip(error)
        return
    except (KeyError, TypeError):
        skip(DataError("lacks fields of a run", where=path))
        return
    for fold in range(1, count + 1):
        yield FoldState(*fields, fold, **_fold_fields(fold_dir(run_dir, fold), (run_dir, fold) in listed))


def _fold_fields(folder: Path, is_listed: bool) -> Mapping[str, Any]:
    if (folder / RESULT).exists():
        return {"state": "done"}
    if running := fold_status.read_running(folder):
        return {"state": "running", **_progress(running)}
    if reason := fold_status.read_failure(folder):
        return {"state": "failed", "reason": reason}
    if is_listed:
        return {"state": "waiting"}
    is_begun = any((folder / name).exists() for name in (STATE, EPOCHS))
    return {"state": "stopped" if is_begun else "not started"}


def _progress(running: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {"host": running["host"], "device": running.get("device")}
    if epoch := running.get("epoch"):
        left = running["seconds_left"] - (time.time() - running["updated"])
        fields |= {key: epoch[key] for key in ("stage", "epoch", "epochs", "frames_per_s")}
        fields["seconds_left"] = round(max(left, 0.0), 1)
    return fields


def stop_sweeps(commands: Iterable[Sweep]) -> list[Sweep]:
    """Cancel commands, and wait until they have ended.

    Returns:
        The commands that have not ended.
    """
    running = list(commands)
    for sweep in running:
        sweep.request_cancel()
    end = time.monotonic() + CANCEL_SECONDS
    while True:
        running = [sweep for sweep in running if (present := Sweep.read(sweep.path)) and present.is_alive]
        if not running or time.monotonic() > end:
            return running
        time.sleep(0.2)
