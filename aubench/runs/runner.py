"""Execution of runs: training of unfinished folds, evaluation under test conditions, and writing of records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from aubench._util import ranks
from aubench.core import method_hooks
from aubench.core.conditions import Condition
from aubench.core.errors import AubenchError
from aubench.results.method_fields import require_recordable
from aubench.results.record import Record
from aubench.runs import condition_scores, environment, run_file
from aubench.runs.condition_evaluation import evaluate_fold
from aubench.runs.config import RunConfig
from aubench.runs.devices import DeviceChoice
from aubench.runs.events import ConditionsEvaluated, Event, FoldFinished
from aubench.runs.fold import run_fold
from aubench.runs.fold_result import FoldResult
from aubench.runs.record_builder import finished_folds, record_is_current, write_record
from aubench.runs.scheduler import Job, run_jobs
from aubench.training.split_modules import require_splittable

Report = Callable[[Job, Event], None]
RecordCallback = Callable[[RunConfig, Record], object]


def run_folds(
    configs: Sequence[RunConfig],
    folds: Sequence[int],
    choice: DeviceChoice,
    report: Report,
    on_record: RecordCallback = lambda config, record: None,
) -> None:
    """Finish folds of runs. Finished folds are skipped.

    Args:
        configs: Runs.
        folds: Numbers of the folds.
        choice: Devices.
        report: Callback for the events of each job.
        on_record: Callback after a record was written.

    Raises:
        AubenchError: A fold failed. Results of other folds are stored.
        UsageError: The devices do not compute in the precision of a run.
    """
    captured = environment.capture_environment()
    _start(configs, choice, captured)
    target = _finish_fold if choice.remote else partial(run_fold, captured=captured)
    finished = {config.run_id: set(finished_folds(config)) for config in configs}
    jobs = [Job(config, fold, target) for config in configs for fold in folds if fold not in finished[config.run_id]]
    results: dict[str, dict[int, FoldResult]] = defaultdict(dict)
    recorded = set()

    def record(config: RunConfig) -> None:
        recorded.add(config.run_id)
        if written := write_record(config, results.pop(config.run_id, {})):
            on_record(config, written)

    def handle(job: Job, event: Event) -> None:
        report(job, event)
        if isinstance(event, FoldFinished):
            finished[job.config.run_id].add(job.fold)
            if event.result is not None:
                results[job.config.run_id][job.fold] = event.result
            if job.config.run_id not in recorded and finished[job.config.run_id].issuperset(folds):
                record(job.config)

    with _defer_error(partial(run_jobs, jobs, choice, handle)):
        for config in configs:
            if config.run_id not in recorded and (config.run_id in results or not record_is_current(config)):
                record(config)


def _finish_fold(config: RunConfig, fold: int, kind: str, index: int, report: Callable[[Event], None]) -> None:
    """Finish a fold on a node of a cluster, and write the record, because the command may have ended."""
    run_fold(config, fold, kind, index, report)
    if ranks.is_first():
        write_record(config)


@contextmanager
def _defer_error(work: Callable[[], None]) -> Iterator[None]:
    """Call ``work``, execute the block, then raise the error of ``work``, so that the block stores partial results."""
    failure: AubenchError | None = None
    try:
        work()
    except AubenchError as error:
        failure = error
    yield
    if failure is not None:
        raise failure


def _start(configs: Sequence[RunConfig], choice: DeviceChoice, captured: dict[str, Any]) -> None:
    """Check all runs, then write their ``run.json``."""
    for config in configs:
        choice.require(config.precision)
        _check(config)
        if choice.processes_per_fold > 1:
            require_splittable(config.build_initial_method(1), config.entry.name)
    started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for config in configs:
        run_file.write(config, {"started": started, "device": {"kind": choice.kind, "name": choice.name}, **captured})


def _check(config: RunConfig) -> None:
    """Detect before training whatever would prevent the record.

    Raises:
        UsageError: The method's name, title or source of initial weights does not fit into a record.
        MethodError: The method's operations cannot be counted.
    """
    sources = method_hooks.pretraining_sources(config.recipe_model)
    require_recordable(run_file.to_dict(config)["method"], sources, config.method)
    if config.entry.source != "builtin":
        config.count_flops()


def evaluate_conditions(
    configs: Sequence[RunConfig],
    conditions: Callable[[RunConfig], Sequence[Condition]],
    choice: DeviceChoice,
    report: Report,
) -> None:
    """Evaluate finished folds under test conditions. Stored scores are reused.

    Args:
        configs: Runs.
        conditions: Function that returns the conditions of a run.
        choice: Devices.
        report: Callback for the events of each job.

    Raises:
        AubenchError: A fold failed. Scores of other folds are stored.
        UsageError: The devices do not compute in the precision of a run.
    """
    for config in configs:
        choice.require(config.precision)
    requested = {config.run_id: conditions(config) for config in configs}
    jobs = [
        Job(config, fold, partial(evaluate_fold, conditions=requested[config.run_id]))
        for config in configs
        for fold in finished_folds(config)
        if condition_scores.missing_conditions(config, fold, requested[config.run_id])
    ]
    evaluated = set[str]()

    def handle(job: Job, event: Event) -> None:
        report(job, event)
        if isinstance(event, ConditionsEvaluated):
            evaluated.add(job.config.run_id)

    with _defer_error(partial(run_jobs, jobs, choice, handle)):
        for config in configs:
            if config.run_id in evaluated or not record_is_current(config, requested[config.run_id]):
                write_record(config)
