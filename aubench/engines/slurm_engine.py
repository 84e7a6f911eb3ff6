"""Engine of a Slurm queue: job arrays by submitit, requeued at their time limit."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from aubench._util import interrupts
from aubench._util.progress import print_line
from aubench.core.errors import AubenchError, UsageError
from aubench.engines import slurm_commands, slurm_files, slurm_options
from aubench.engines.cluster import ClusterChoice, ClusterEngine, Outcome, portable
from aubench.engines.slurm_task import FoldTask
from aubench.results.run_folder import is_finished
from aubench.runs import fold_status, sweeps
from aubench.runs.condition_scores import missing_conditions
from aubench.runs.engine import Engine, Job
from aubench.runs.events import ConditionsEvaluated, FoldFinished
from aubench.runs.fold_process import FoldFailed, UnexpectedFailure
from aubench.runs.sweeps import QueueKey, Sweep, queue_key

MAX_REQUEUES = 100
"""Number of times that a fold starts again after its time limit."""
QUEUE_SECONDS = 20.0
"""Interval between two looks at the queue."""
_RESULT = "_0_result.pkl"
_REPEAT = "repeat the command to submit them"
_LOGS = ("_0_log.out", "_0_log.err")


@dataclass(frozen=True)
class SlurmChoice(ClusterChoice):
    """Devices of a Slurm cluster.

    Attributes:
        options: Options of the jobs, see :func:`~aubench.engines.slurm_options.parse_options`.
        nodes: Number of nodes that train each fold together.
    """

    options: Mapping[str, str] = field(default_factory=dict)
    nodes: int = 1

    @property
    def processes_per_fold(self) -> int:
        """Number of processes that train each fold together, on all machines."""
        return self.nodes * self.per_fold

    def engine(self) -> Engine:
        """Create the engine."""
        return SlurmEngine(self)


class SlurmEngine(ClusterEngine):
    """Arrays of jobs with equal settings. A job that another command has in the queue is not submitted again."""

    name = "slurm"

    def __init__(self, choice: SlurmChoice) -> None:
        super().__init__()
        self._choice, self._options, self._nodes = choice.on_node(), dict(choice.options), choice.nodes
        self._unsent: list[Future[None]] = []
        self._refused: dict[Future[None], AubenchError] = {}
        self._ids: dict[Future[None], str] = {}
        self._cancelled: list[Future[None]] = []
        self._missing: set[Future[None]] = set()
        self._looked_at_queue = self._retry_at = 0.0
        self._folder, self._known = Path(), dict[QueueKey, str]()
        self._of_others: set[str] = set()
        self._ended: list[Sweep] = []
        self._polled = False

    def submit(self, job: Job) -> Future[None]:
        """Collect jobs for the next arrays."""
        if not self._jobs:
            self._start(job.config.runs)
        future = self._add(portable(job))
        if job_id := self._known.get(queue_key(job)):
            self._ids[future] = job_id
        else:
            self._unsent.append(future)
        return future

    def _start(self, runs: Path) -> None:
        """Read which jobs earlier commands left in the queue."""
        self._folder = runs.absolute() / sweeps.FOLDER / sweeps.SLURM_JOBS
        self._folder.mkdir(parents=True, exist_ok=True)
        earlier = [sweep for sweep in sweeps.read_sweeps(runs) if sweep.queued]
        active = slurm_commands.active_jobs() if earlier else set()
        queued = {key: job_id for sweep in earlier for key, job_id in sweep.queued.items()}
        self._known = {key: job_id for key, job_id in queued.items() if active is None or job_id in active}
        self._of_others = {job_id for sweep in earlier if sweep.is_alive for job_id in sweep.queued.values()}
        self._ended = [sweep for sweep in earlier if not sweep.is_alive]

    def _remove_ended(self) -> None:
        """Remove the files of earlier commands whose jobs have all left the queue or are this command's now."""
        left = set(self._known.values()) - set(self._ids.values())
        for sweep in [sweep for sweep in self._ended if left.isdisjoint(sweep.queued.values())]:
            sweep.remove()
            self._ended.remove(sweep)

    def _poll(self, seconds: float) -> Iterator[tuple[Future[None], Outcome]]:
        if self._polled:  # by then, the file of this command has its jobs
            self._remove_ended()
        self._polled = True
        if self._unsent and time.monotonic() >= self._retry_at:
            yield from self._send()
        if not self._ids:
            refused, self._refused = self._refused, {}
            yield from refused.items()
        results = {path.name.removesuffix(_RESULT) for path in self._folder.glob(f"*{_RESULT}")}
        ended = [(future, job_id) for future, job_id in self._ids.items() if job_id in results]
        for future, job_id in ended:
            if self._ids.pop(future, None) is not None:  # otherwise cancelled since, as the run of another failure
                yield future, self._outcome(future, job_id)
        lost = [] if ended else list(self._lost())
        cancelled, self._cancelled = self._cancelled, []
        yield from lost
        yield from ((future, FoldFailed(f"{self._jobs[future].label} was cancelled")) for future in cancelled)
        if not ended and not lost and not cancelled:
            time.sleep(seconds)

    def _send(self) -> Iterator[tuple[Future[None], Outcome]]:
        """Submit the collected jobs in arrays. Beyond a limit of the site, the rest waits until jobs have ended."""
        size = slurm_commands.array_size()
        while self._unsent:
            reason = self._send_array(self._unsent[:size])
            if reason is None:
                self._unsent = self._unsent[size:]
            elif slurm_commands.is_limit(reason) and (size > 1 or self._ids):
                size //= 2
                if not size:
                    if not self._retry_at:
                        print_line(f"slurm: {len(self._unsent)} folds wait until jobs have ended ({reason})")
                    self._retry_at = time.monotonic() + QUEUE_SECONDS
                    return
            else:
                yield from self._refuse(reason)

    def _refuse(self, reason: str) -> Iterator[tuple[Future[None], Outcome]]:
        """Fail the collected jobs, but not before the jobs in the queue have ended, which their runs would cancel."""
        refused, self._unsent = self._unsent, []
        error = UsageError(f"sbatch refused the jobs ({reason})", where="--slurm")
        if not self._ids:
            yield from ((future, error) for future in refused)
            return
        print_line(f"slurm: {len(refused)} folds are not submitted, as sbatch refused them ({reason}); {_REPEAT}")
        self._refused |= dict.fromkeys(refused, error)

    def _send_array(self, futures: list[Future[None]]) -> str | None:
        """Submit jobs as one array; return the reason if Slurm refuses it."""
        from submitit.core.utils import FailedJobError

        tasks = [FoldTask(self._jobs[future], self._choice, str(Path.cwd()), self._nodes) for future in futures]
        try:
            # A signal waits, because jobs in the queue whose ids are unknown could not be cancelled.
            with slurm_files.submission(self._folder), interrupts.blocked():
                jobs = self._executor.submit_array(tasks)
                self._ids |= {future: str(job.job_id) for future, job in zip(futures, jobs, strict=True)}
        except FailedJobError as error:
            return " ".join(str(error).split())[-300:]
        print_line(f"slurm: {len(futures)} folds submitted as job {jobs[0].job_id.partition('_')[0]}")
        return None

    @cached_property
    def _executor(self) -> Any:
        from submitit import SlurmExecutor

        logging.getLogger("submitit").setLevel(logging.ERROR)
        known = SlurmExecutor._valid_parameters()
        executor = SlurmExecutor(self._folder, max_num_timeout=MAX_REQUEUES)
        kind, per_fold = self._choice.kind, self._choice.per_fold
        parameters = slurm_options.submission_parameters(self._options, kind, known, per_fold, self._nodes)
        executor.update_parameters(**parameters)
        return executor

    def _outcome(self, future: Future[None], job_id: str) -> Outcome:
        """Return the outcome of a job: that of its first node, or the error of another one that is its cause."""
        outcomes = self._read_outcomes(future, job_id)
        first = outcomes[0] if 0 in outcomes else self._without_result(future, job_id)
        return next(_known_causes(outcomes), first) if isinstance(first, UnexpectedFailure) else first

    def _read_outcomes(self, future: Future[None], job_id: str) -> dict[int, Outcome]:
        """Read the outcome of each node that has stored one, and remove its files unless it failed unexpectedly."""
        from submitit.core.utils import pickle_load

        outcomes: dict[int, Outcome] = {}
        for node in range(self._nodes):
            try:
                status, value = pickle_load(self._folder / f"{job_id}{_of_node(_RESULT, node)}")
            except FileNotFoundError:
                continue
            if status != "success":
                reason, hint = str(value).strip().splitlines()[-1], self._see_log(job_id, node)
                value = UnexpectedFailure(f"{self._jobs[future].label} broke in job {job_id} ({reason})", hint=hint)
            outcomes[node] = value
            for name in (_RESULT, "_submitted.pkl", *(_LOGS if status == "success" else ())):
                (self._folder / f"{job_id}{_of_node(name, node)}").unlink(missing_ok=True)
        return outcomes

    def _lost(self) -> Iterator[tuple[Future[None], Outcome]]:
        """Yield jobs without a result that were absent from the queue twice in a row."""
        if time.monotonic() - self._looked_at_queue < QUEUE_SECONDS or not self._ids:
            return
        self._looked_at_queue = time.monotonic()
        active = slurm_commands.active_jobs()
        if active is None:
            return
        missing = {future for future, job_id in self._ids.items() if job_id not in active}
        for future in missing & self._missing:
            yield future, self._outcome(future, self._ids.pop(future))
        self._missing = missing - self._missing

    def _without_result(self, future: Future[None], job_id: str) -> Outcome:
        """Return the outcome of a job whose result is absent, as the files of its fold show it."""
        job = self._jobs[future]
        if done := _finished(job):  # the result may become visible later than its fold, or another command has read it
            return done
        if reason := fold_status.read_failure(job.config.fold_dir(job.fold)):
            return UnexpectedFailure(reason)  # it may follow from an error of another node
        state = slurm_commands.last_state(job_id)
        hint = f"{self._see_log(job_id)}, and repeat the command to resume"
        return UnexpectedFailure(f"{job.label} left the queue without a result (job {job_id}: {state})", hint=hint)

    def _see_log(self, job_id: str, node: int = 0) -> str:
        return f"see {self._folder / f'{job_id}_{node}_log.err'}"

    def queued(self) -> dict[QueueKey, str]:
        """Return the ids of the jobs in the queue."""
        return {queue_key(self._jobs[future]): job_id for future, job_id in self._ids.items()}

    def cancel(self, future: Future[None]) -> None:
        """Remove a job from the queue, unless it is that of another command."""
        if future in self._ids:
            self._remove_from_queue([self._ids.pop(future)])
        elif future in self._unsent:
            self._unsent.remove(future)
        elif future in self._refused:
            del self._refused[future]
        else:  # it has ended, and its outcome is about to arrive
            return
        self._cancelled.append(future)

    def _remove_from_queue(self, job_ids: Iterable[str]) -> bool:
        """Remove jobs unless they are those of another command. Return whether Slurm has accepted the requests."""
        return slurm_commands.cancel_jobs([job_id for job_id in job_ids if job_id not in self._of_others])

    def close(self, *, interrupted: bool) -> None:
        """Remove all jobs from the queue, unless the user interrupted the command."""
        if interrupted and (count := len(self._unsent) + len(self._refused)):
            print_line(f"slurm: {count} folds are not submitted; {_REPEAT}")
        if interrupted and self._ids:
            print_line(f"slurm: {len(self._ids)} folds stay in the queue; see `aubench status` and `aubench cancel`")
            return
        if self._remove_from_queue(self._ids.values()):
            self._ids.clear()
        else:
            print_line(f"slurm: {len(self._ids)} folds are not cancelled, as scancel failed; repeat `aubench cancel`")


def _of_node(name: str, node: int) -> str:
    return name.replace("_0_", f"_{node}_")


def _known_causes(outcomes: Mapping[int, Outcome]) -> Iterator[AubenchError]:
    """Yield the errors of nodes that follow from no other error."""
    for outcome in outcomes.values():
        if isinstance(outcome, AubenchError) and not isinstance(outcome, UnexpectedFailure):
            yield outcome


def _finished(job: Job) -> FoldFinished | ConditionsEvaluated | None:
    """Return the last event of a job whose work another command has finished; None if it is not finished."""
    conditions = job.target.keywords.get("conditions") if isinstance(job.target, partial) else None
    if conditions is None:
        return FoldFinished(None, 0) if is_finished(job.config.fold_dir(job.fold)) else None
    return None if missing_conditions(job.config, job.fold, conditions) else ConditionsEvaluated(0)


def require_slurm() -> None:
    """Check that jobs can be submitted here.

    Raises:
        UsageError: The commands of Slurm are missing.
    """
    if missing := [name for name in ("sbatch", "srun", "squeue") if not shutil.which(name)]:
        raise UsageError(
            f"no {missing[0]} on this machine", where="--engine slurm", hint="use a login node of a cluster"
        )
