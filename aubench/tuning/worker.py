"""One process that works on a study, beside any number of others.

Nobody leads. A worker counts what is finished and what is under way before it asks for a trial, and gives back one
that turns out to be too many; numbers of trials, which storages hand out in order, decide which one that is. Trials
of workers that have died are failed and queued again with the same values, so they go on from their folder.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

DONE = ("COMPLETE", "PRUNED")
"""States of trials that count."""
OWNER, BEAT, COST = "worker", "beat", "cost"
"""What a trial is marked with: who works on it, a number that changes while somebody does, and what it cost."""

BEAT_EVERY = 10.0
"""Seconds between changes of that number."""
GRACE = 60.0
"""Seconds without a change after which a worker whose lock cannot be seen from here counts as dead."""
LOOK_EVERY = 2.0
"""Seconds between looks at what others do, where nothing else is to be done."""


class Worker:
    """A process that works on a study.

    Args:
        folder: The study's; workers that share it see at once who has died.
    """

    def __init__(self, folder: Path) -> None:
        self.id = uuid.uuid4().hex
        self.slot = 0
        self._folder = folder / "workers"
        self._held = ExitStack()
        self._seen: dict[int, tuple[object, float]] = {}

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._held.callback(self._lock(self.id).unlink, missing_ok=True)
        self._held.enter_context(FileLock(self._lock(self.id)))
        while not self._took(f"slot{self.slot}"):
            self.slot += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def is_stale(self, trial: FrozenTrial) -> bool:
        """Whether nobody works any more on a trial that is said to be under way."""
        owner = trial.user_attrs.get(OWNER)
        if owner == self.id:
            return False
        if owner and self._lock(owner).exists():
            return self._free(self._lock(owner))
        now, sign = time.monotonic(), (owner, trial.user_attrs.get(BEAT))
        if self._seen.get(trial.number, (None, now))[0] != sign:
            self._seen[trial.number] = (sign, now)
        return now - self._seen[trial.number][1] > GRACE

    def _lock(self, name: str) -> Path:
        return self._folder / f"{name}.lock"

    def _took(self, name: str) -> bool:
        try:
            self._held.enter_context(FileLock(self._lock(name)).acquire(timeout=0))
        except Timeout:
            return False
        return True

    @staticmethod
    def _free(path: Path) -> bool:
        try:
            with FileLock(path).acquire(timeout=0):
                return True
        except Timeout:
            return False


@contextmanager
def heartbeat(mark: Callable[[str, Any], None]) -> Iterator[None]:
    """Change a trial's beat for as long as the block lasts.

    Args:
        mark: Sets an attribute of the trial.
    """
    from optuna.exceptions import UpdateFinishedTrialError

    over = threading.Event()

    def beat() -> None:
        number = 0
        while not over.wait(BEAT_EVERY):
            number += 1
            try:
                mark(BEAT, number)
            except UpdateFinishedTrialError:
                return
            except Exception:  # the storage is away: it may come back
                continue

    thread = threading.Thread(target=beat, name="aubench-beat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def active(trials: list[FrozenTrial], before: int | None = None) -> int:
    """How many trials are finished or under way.

    Args:
        trials: Of a study.
        before: Only those with a lower number than this.
    """
    kept = [t for t in trials if before is None or t.number < before]
    return sum(t.state.name in (*DONE, "RUNNING") for t in kept)


def finished_trials(study: Study) -> list[FrozenTrial]:
    """Trials that count."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.name in DONE]


def requeue(study: Study, trial: FrozenTrial) -> bool:
    """Fail a trial that nobody works on, and queue its values again; False where somebody else did so."""
    if not fail_trial(study, trial.number):
        return False
    if trial.params:
        study.enqueue_trial(trial.params, user_attrs={"retry_of": trial.number})
    return True


def fail_trial(study: Study, number: int) -> bool:
    """Fail a trial; False where it is finished already."""
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    try:
        study.tell(number, state=TrialState.FAIL)
    except (ValueError, UpdateFinishedTrialError):
        return False
    return True


def work(
    study: Study,
    worker: Worker,
    count: int,
    attempt: Callable[[Trial], None],
    before_asking: Callable[[int], None],
    say: Callable[[str], None],
) -> None:
    """Bring a study to its number of trials, with whoever else works on it.

    Args:
        study: The study.
        worker: This process.
        count: How many trials shall be finished or pruned.
        attempt: Makes one trial, and tells the study what came of it.
        before_asking: Called with the number of trials known before a new one is asked for.
        say: Told in one line what a person may want to know.
    """
    waiting = False
    while True:
        known = study.get_trials(deepcopy=False)
        for trial in known:
            if trial.state.name == "RUNNING" and worker.is_stale(trial) and requeue(study, trial):
                say(f"{study.study_name}: trial {trial.number} was left behind and is taken up again")
        known = study.get_trials(deepcopy=False)
        if sum(trial.state.name in DONE for trial in known) >= count:
            return
        if active(known) >= count:
            if not waiting:
                say(f"{study.study_name}: other workers are at the last trials")
            waiting = True
            time.sleep(LOOK_EVERY)
            continue
        before_asking(len(known))
        own = study.ask()
        own.set_user_attr(OWNER, worker.id)
        if active(study.get_trials(deepcopy=False), own.number) >= count:
            fail_trial(study, own.number)
            continue
        attempt(own)
