"""Process that works on a study, alone or in parallel with others.

Workers are decentralised. Each one counts the finished and running trials before it asks for a trial. It fails its own
trial if the budget is exceeded; the trials with the lowest numbers remain. A trial whose worker died is failed and
queued again with the same values, so that its training resumes from its folder.
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from filelock import FileLock, Timeout

from aubench._util.heartbeat import repeating

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

DONE = ("COMPLETE", "PRUNED")
"""States of trials that count."""
OWNER, BEAT, COST, ERROR = "worker", "beat", "cost", "error"
"""Attributes of a trial: id of its worker, a number that changes while the worker is alive, its cost, and the error
that ended it."""

BEAT_SECONDS = 10.0
"""Interval between changes of the beat."""
STALE_SECONDS = 60.0
"""Time without a change of the beat after which a worker on another machine counts as dead."""
POLL_SECONDS = 2.0
"""Interval between checks of the study while this worker waits for others."""


class Worker:
    """Identity and locks of a worker process.

    Args:
        folder: Folder of the study. Workers that share it detect each other's death at once.
    """

    def __init__(self, folder: Path) -> None:
        self.id = uuid.uuid4().hex
        self.slot = 0
        self._folder = folder / "workers"
        self._locks = ExitStack()
        self._beats: dict[int, tuple[object, float]] = {}

    def __enter__(self) -> Self:
        """Lock a file with the worker's id and the first free slot."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._locks.callback(self._lock_path(self.id).unlink, missing_ok=True)
        self._locks.enter_context(FileLock(self._lock_path(self.id)))
        while not self._acquire(f"slot{self.slot}"):
            self.slot += 1
        return self

    def __exit__(self, *_: object) -> None:
        """Release the locks."""
        self._locks.close()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Exclude the other workers of the folder from such blocks, and wait for them :data:`STALE_SECONDS` at most.

        Two workers could otherwise get the same queued trial of an SQLite database.
        """
        with ExitStack() as stack:
            with suppress(Timeout):  # another worker is suspended
                stack.enter_context(FileLock(self._lock_path("claim")).acquire(timeout=STALE_SECONDS))
            yield

    def is_stale(self, trial: FrozenTrial) -> bool:
        """Return whether the worker of a running trial has died."""
        owner = trial.user_attrs.get(OWNER)
        if owner == self.id:
            return False
        if owner and self._lock_path(owner).exists():
            return self._is_free(self._lock_path(owner))
        now, beat = time.monotonic(), (owner, trial.user_attrs.get(BEAT))
        if self._beats.get(trial.number, (None, now))[0] != beat:
            self._beats[trial.number] = (beat, now)
        return now - self._beats[trial.number][1] > STALE_SECONDS

    def _lock_path(self, name: str) -> Path:
        return self._folder / f"{name}.lock"

    def _acquire(self, name: str) -> bool:
        try:
            self._locks.enter_context(FileLock(self._lock_path(name)).acquire(timeout=0))
        except Timeout:
            return False
        return True

    @staticmethod
    def _is_free(path: Path) -> bool:
        try:
            with FileLock(path).acquire(timeout=0):
                return True
        except Timeout:
            return False


@contextmanager
def heartbeat(set_attribute: Callable[[str, Any], None]) -> Iterator[None]:
    """Change the beat of a trial regularly during the block.

    Args:
        set_attribute: Function that sets an attribute of the trial.
    """
    from optuna.exceptions import UpdateFinishedTrialError

    numbers = itertools.count(1)

    def beat() -> bool:
        try:
            set_attribute(BEAT, next(numbers))
        except UpdateFinishedTrialError:
            return False
        except Exception:  # the storage may be unavailable for a moment
            return True
        return True

    with repeating(beat, BEAT_SECONDS, "aubench-beat"):
        yield


def finished_trials(study: Study) -> list[FrozenTrial]:
    """List the finished and pruned trials."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.name in DONE]


def requeue(study: Study, trial: FrozenTrial) -> bool:
    """Fail a trial without a worker and queue its values again; return False if another worker already did."""
    if not fail_trial(study, trial.number):
        return False
    values = {**trial.system_attrs.get("fixed_params", {}), **trial.params}  # queued ones may not have been drawn yet
    if values:
        study.enqueue_trial(values, user_attrs={"retry_of": trial.number})
    return True


def fail_trial(study: Study, number: int) -> bool:
    """Fail a trial; return False if it has already ended."""
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    try:
        study.tell(number, state=TrialState.FAIL)
    except (ValueError, UpdateFinishedTrialError):
        return False
    return True


def claim_trials(
    study: Study, worker: Worker, count: int, sampler_for: Callable[[int], BaseSampler], say: Callable[[str], None]
) -> Iterator[Trial]:
    """Yield trials to run until the study has the requested number, together with other workers.

    Args:
        study: The study.
        worker: This process.
        count: Number of finished or pruned trials to reach.
        sampler_for: Function that returns the sampler for the number of existing trials, without those that an
            interruption has failed. A trial that failed by an error counts, so that the next one differs from it.
        say: Callback for one-line messages.
    """
    waiting = False
    while True:
        for trial in study.get_trials(deepcopy=False):
            if trial.state.name == "RUNNING" and worker.is_stale(trial) and requeue(study, trial):
                say(f"{study.study_name}: trial {trial.number} lost its worker and is queued again")
        trials = study.get_trials(deepcopy=False)
        if sum(trial.state.name in DONE for trial in trials) >= count:
            return
        if _count_active(trials) >= count:
            if not waiting:
                say(f"{study.study_name}: waiting for the last trials of other workers")
            waiting = True
            time.sleep(POLL_SECONDS)
            continue
        with worker.alone():
            trials = study.get_trials(deepcopy=False)
            existing = sum(trial.state.name != "FAIL" or ERROR in trial.user_attrs for trial in trials)
            study.sampler = sampler_for(existing)
            new_trial = study.ask()
            new_trial.set_user_attr(OWNER, worker.id)
        lower = [trial for trial in study.get_trials(deepcopy=False) if trial.number < new_trial.number]
        if _count_active(lower) >= count:
            fail_trial(study, new_trial.number)
        else:
            yield new_trial


def _count_active(trials: Iterable[FrozenTrial]) -> int:
    """Count the finished and running trials."""
    return sum(trial.state.name in (*DONE, "RUNNING") for trial in trials)
