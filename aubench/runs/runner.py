"""Runs: open, finish every fold, assemble the record."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pandas as pd
from filelock import FileLock
from pydantic import ValidationError

from aubench.core.conditions import Condition
from aubench.core.errors import AubenchError, UsageError
from aubench.data.splits import ProtocolDataset
from aubench.data.store import Store
from aubench.evaluation import flops
from aubench.metrics import scores
from aubench.plots import run_figures
from aubench.results import counts, histograms
from aubench.results import record as record_file
from aubench.results.record import Record, RecordInfo
from aubench.results.run_folder import RECORD_DIR, RESULT, RUN_FILE
from aubench.results.schema import MethodInfo
from aubench.runs import condition_scores, environment
from aubench.runs.condition_scores import ConditionScores
from aubench.runs.config import RunConfig
from aubench.runs.devices import DeviceChoice
from aubench.runs.fold import run_fold
from aubench.runs.scheduler import Job, run_jobs


def run_folds(
    plans: Sequence[RunConfig],
    folds: Sequence[int],
    choice: DeviceChoice,
    report: Callable[[Job, dict[str, Any]], None],
) -> None:
    """Finish some folds of some runs; those that are finished already cost nothing.

    Args:
        plans: The runs.
        folds: Numbers of the folds.
        choice: Where to compute.
        report: Told of every epoch and finished fold.

    Raises:
        AubenchError: A fold could not be finished; what was done is kept.
    """
    for plan in plans:
        _check(plan)
    surroundings = environment.capture_environment()
    begun = {
        "started": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "device": {"kind": choice.kind, "name": choice.name},
    }
    for plan in plans:
        plan.init_run_dir(begun | surroundings)
    work = partial(run_fold, surroundings=surroundings)
    todo = [Job(plan, fold, work) for plan in plans for fold in folds if not (plan.fold_dir(fold) / RESULT).exists()]
    touched = {job.plan.run_id for job in todo}
    recorded = set()

    def told(job: Job, event: dict[str, Any]) -> None:
        report(job, event)
        if event["kind"] == "fold" and set(folds) <= set(finished_folds(job.plan)):
            recorded.add(job.plan.run_id)
            _record(job.plan)

    with _defer_error(partial(run_jobs, todo, choice, told)):
        for plan in plans:
            if plan.run_id not in recorded and (plan.run_id in touched or not record_is_current(plan)):
                _record(plan)


@contextmanager
def _defer_error(work: Callable[[], None]) -> Iterator[None]:
    """Some work, then the block; what stopped the work is raised after it, so that the block sees what was done."""
    failed: AubenchError | None = None
    try:
        work()
    except AubenchError as error:
        failed = error
    yield
    if failed is not None:
        raise failed


def _check(plan: RunConfig) -> None:
    """Find before the work what would leave a finished run without its record.

    Raises:
        UsageError: No record can hold what the method is called.
        MethodError: Its operations cannot be counted.
    """
    try:
        MethodInfo.model_validate_json(json.dumps(plan.to_dict()["method"]))
    except ValidationError as error:
        raise UsageError(
            f"has a {error.errors()[0]['loc'][0]} that no record can hold",
            where=plan.method,
            hint="names have letters, digits, '_' and '-', titles one line of 300 characters at most",
        ) from None
    if plan.entry.source != "builtin":
        flops.count_flops(plan.entry.method_class, plan.task, plan.recipe_model)


def _record(plan: RunConfig) -> None:
    if write_record(plan):
        run_figures.plot(plan.run_dir)


def evaluate_conditions(
    plans: Sequence[RunConfig],
    conditions: Callable[[RunConfig], Sequence[Condition]],
    choice: DeviceChoice,
    report: Callable[[Job, dict[str, Any]], None],
) -> None:
    """Evaluate the finished folds of some runs under further conditions; what was done already costs nothing.

    Args:
        plans: The runs.
        conditions: What each run is put under.
        choice: Where to compute.
        report: Told of every fold that is done.

    Raises:
        AubenchError: A fold could not be evaluated; what was done is kept.
    """
    wanted = {plan.run_id: conditions(plan) for plan in plans}
    todo = [
        Job(plan, fold, partial(condition_scores.evaluate, conditions=wanted[plan.run_id]))
        for plan in plans
        for fold in finished_folds(plan)
        if condition_scores.missing_conditions(plan, fold, wanted[plan.run_id])
    ]
    touched = {job.plan.run_id for job in todo}
    with _defer_error(partial(run_jobs, todo, choice, report)):
        for plan in plans:
            if plan.run_id in touched or not record_is_current(plan, wanted[plan.run_id]):
                write_record(plan)


def record_is_current(plan: RunConfig, conditions: Sequence[Condition] = ()) -> bool:
    """Whether the run's record has all finished folds and these conditions."""
    path = plan.run_dir / RECORD_DIR / record_file.FILE
    if not path.exists():
        return False
    info = RecordInfo.parse(path.read_bytes(), where=path)
    return [fold.fold for fold in info.folds] == finished_folds(plan) and set(map(str, conditions)) <= set(
        info.conditions
    )


def finished_folds(plan: RunConfig) -> list[int]:
    """Numbers of the folds that have their result."""
    numbers = range(1, len(plan.protocol.folds) + 1)
    return [fold for fold in numbers if (plan.fold_dir(fold) / RESULT).exists()]


def write_record(plan: RunConfig) -> Record | None:
    """Put the finished folds together into the run's record; None where no fold is finished.

    Processes that work on folds of the same run take turns, so the last one's record has them all.
    """
    with FileLock(plan.run_dir / ".record.lock"):
        return _assemble_record(plan) if finished_folds(plan) else None


def _assemble_record(plan: RunConfig) -> Record:
    done = finished_folds(plan)
    folders = [plan.fold_dir(fold) for fold in done]
    results = [json.loads((folder / RESULT).read_text()) for folder in folders]
    run = json.loads((plan.run_dir / RUN_FILE).read_text())
    evaluated = [condition_scores.read(plan, fold) for fold in done]
    known = _common_conditions(evaluated)
    counted, drawn = ([reader(folder) for folder in folders] for reader in (counts.read, histograms.read))
    for part in (part for part in evaluated if part is not None):
        counted.append(part.counts[part.counts["condition"].isin(known)])
        drawn.append(part.histograms[part.histograms["condition"].isin(known)])
    fields = _record_fields(plan, run, results) | {"conditions": [counts.CLEAN, *known]}
    record = Record.create(fields, pd.concat(counted), pd.concat(drawn))
    record.write(plan.run_dir / RECORD_DIR)
    return record


def _common_conditions(evaluated: Sequence[ConditionScores | None]) -> tuple[str, ...]:
    """The conditions that every fold was evaluated under, in the order of the first."""
    first, *others = evaluated
    if first is None:
        return ()
    return tuple(c for c in first.conditions if all(other is not None and c in other.conditions for other in others))


def _record_fields(plan: RunConfig, run: dict[str, Any], results: list[dict[str, Any]]) -> dict[str, Any]:
    store = Store(plan.store.path)
    data = ProtocolDataset(store, plan.protocol)
    first, *others = _unique(_fold_environment(result, run, plan) for result in results)
    return {
        "run": plan.run_id,
        "protocol": {
            "name": plan.protocol.name,
            "version": plan.protocol.version,
            "digest": plan.protocol.digest,
            "modalities": list(plan.protocol.modalities),
            "aus": list(plan.protocol.aus),
            "fold_count": len(plan.protocol.folds),
        },
        "dataset": {
            "name": store.info.dataset,
            "version": store.info.version,
            "digest": store.info.digest,
            "frames": len(store.frames),
            "labelled": data.count,
            "variant": data.variant,
        },
        "method": run["method"],
        "preset": plan.preset,
        "recipe": plan.recipe,
        "overrides": plan.overrides,
        "seed": plan.seed,
        "selection": plan.selection,
        "threshold": plan.protocol.threshold,
        "pretraining": [
            *(
                {"stage": "initialisation", "source": seen.source, "datasets": list(seen.datasets)}
                for seen in plan.recipe_model.pretraining_sources()
            ),
            *(entry for result in results for entry in result["pretraining"]),
        ],
        "search": plan.search or {"trials": 0},
        "compute": flops.count_flops(plan.entry.method_class, plan.task, plan.recipe_model).model_dump(mode="json"),
        "speed": {
            "train_frames_per_s": scores.mean([result["train_frames_per_s"] for result in results]),
            "inference_frames_per_s": scores.mean([result["inference_frames_per_s"] for result in results]),
        },
        "time": {"started": run["started"], "seconds": sum(result["seconds"] for result in results)},
        **first,
        "other_environments": others,
        "folds": [_fold_info(result) for result in results],
    }


def _fold_environment(result: dict[str, Any], run: dict[str, Any], plan: RunConfig) -> dict[str, Any]:
    """What finished a fold; of one that an earlier version left, what its run began with."""
    if "made" in result:
        return dict(result["made"])
    device = run["device"] | {"threads": result["threads"], "precision": plan.precision}
    return {"device": device, "packages": run["packages"], "git": run["git"]}


def _unique(made: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What finished the folds, each once."""
    return list({json.dumps(one, sort_keys=True): one for one in made}.values())


def _fold_info(result: dict[str, Any]) -> dict[str, Any]:
    same = ("fold", "frames", "epochs", "best_epoch", "checkpoint", "train_prevalence")
    return {**{key: result[key] for key in same}, **result["subjects"]}
