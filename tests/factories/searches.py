"""Searches that take seconds, and one in a process of its own, to be killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna import Study

SMALL = ("image_size=32", "crop=28", "frames_per_epoch=64", "epochs=2")


def search_words(store: Path, trials: int, *more: str) -> list[str]:
    """Return the words of the command that searches recipes of late fusion in the study ``two``."""
    words = ["tune", "--no-track", "--device", "cpu", "--method", "late_fusion", "--protocol", "synth_3fold"]
    words += ["--trials", str(trials), "--study", "two", "--pruner", "none", "--store", str(store)]
    return [*words, *(word for change in SMALL for word in ("--set", change)), *more]


class SearchProcess:
    """Search in a process of its own.

    Args:
        folder: Working directory.
        words: Words of the command.
        fold: Fold whose epochs are waited for.
    """

    def __init__(self, folder: Path, words: Sequence[str], fold: int) -> None:
        self._folder, self._pattern = folder, f"runs/studies/two/trials/*/fold{fold}/epochs.jsonl"
        command = [sys.executable, "-m", "aubench.cli", *words]
        self._process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def wait_for(self, trials: int) -> None:
        """Wait until the fold of so many trials has an epoch."""
        end = time.monotonic() + 300
        while len(list(self._folder.glob(self._pattern))) < trials:
            assert time.monotonic() < end and self._process.poll() is None, "nothing came"
            time.sleep(0.02)

    def kill_at(self, trials: int) -> int:
        """Kill the search as soon as the fold of so many trials has an epoch; return its exit code."""
        try:
            self.wait_for(trials)
        finally:
            self._process.kill()
        return self._process.wait()


def kill_one_of_two(call: Callable[..., Any], folder: Path, words: Sequence[str]) -> None:
    """Search with two workers, kill the first in its second trial, and check that the other one ends well."""
    first = SearchProcess(folder, words, fold=1)
    first.wait_for(trials=1)
    with ThreadPoolExecutor(1) as pool:
        killed = pool.submit(first.kill_at, trials=2)
        other = call(*words)
    assert (killed.result(), other.code) == (-signal.SIGKILL, 0), other.err


def check_trials(study: Study, trials: int) -> None:
    """Check that the number of trials is exact, recipes differ, and no trial is running or waiting."""
    from aubench.tuning.worker import finished_trials

    done = finished_trials(study)
    assert len(done) == trials
    assert len({json.dumps(trial.params, sort_keys=True) for trial in done}) == trials
    assert not {trial.state.name for trial in study.get_trials(deepcopy=False)} & {"RUNNING", "WAITING"}
