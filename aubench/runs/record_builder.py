"""Record of a run, built from the results of its folds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from aubench._util import locks
from aubench.core import method_hooks
from aubench.core.conditions import Condition, kind_of
from aubench.core.errors import DataError, RecordError
from aubench.core.protocol import Protocol
from aubench.data.splits import ProtocolDataset
from aubench.metrics import scores
from aubench.results import counts
from aubench.results import record as record_file
from aubench.results.method_fields import source_fields
from aubench.results.record import Record
from aubench.results.run_folder import RECORD_DIR, RESULT
from aubench.runs import condition_scores, run_file
from aubench.runs.condition_scores import ConditionScores
from aubench.runs.config import RunConfig
from aubench.runs.fold_result import FoldResult, read_summary
from aubench.runs.store_ref import StoreRef


def finished_folds(config: RunConfig) -> list[int]:
    """List the numbers of the folds that have a result.

    Raises:
        DataError: A ``result.json`` is damaged.
    """
    numbers = range(1, config.protocol.fold_count + 1)
    folds = [fold for fold in numbers if (config.fold_dir(fold) / RESULT).exists()]
    for fold in folds:
        read_summary(config.fold_dir(fold))
    return folds


def record_is_current(config: RunConfig, conditions: Sequence[Condition] = ()) -> bool:
    """Return whether the run's record is undamaged and has all finished folds and all of ``conditions``.

    Raises:
        DataError: A folder has the name of a file of the record.
    """
    folder = config.run_dir / RECORD_DIR
    for path in (folder / name for name in record_file.ALL_FILES):
        if path.is_dir():
            raise DataError("is a folder, not a file", where=path, hint="delete it and repeat the command")
    try:
        record = record_file.read(folder)
    except RecordError:
        return False
    info = record.info
    if info.tables not in (None, record.table_digests()):
        return False
    has_folds = [fold.fold for fold in info.folds] == finished_folds(config)
    return has_folds and set(map(str, conditions)) <= set(info.conditions)


def write_record(
    config: RunConfig,
    results: Mapping[int, FoldResult] | None = None,
) -> Record | None:
    """Write the record of a run's finished folds; None if no fold is finished.

    Processes that finish folds of the same run take turns, so that the last record has all folds.

    Args:
        config: The run.
        results: Results of folds that this process already holds; those of other folds are read from their files.
            Scores under test conditions always are, because those of a suite would fill the memory.
    """
    results = results or {}
    with locks.exclusive(config.run_dir / ".record.lock"):
        folds = finished_folds(config)
        if not folds:
            return None
        fold_results = [results.get(fold) or FoldResult.load(config.fold_dir(fold)) for fold in folds]
        scored = [condition_scores.read(config, fold) for fold in folds]
        record = _build(config, fold_results, scored)
        record.write(config.run_dir / RECORD_DIR)
        return record


def _build(config: RunConfig, results: Sequence[FoldResult], evaluated: Sequence[ConditionScores | None]) -> Record:
    conditions = _common_conditions(evaluated)
    count_tables = [result.counts for result in results]
    histogram_tables = [result.histograms for result in results]
    for scored in evaluated:
        if scored is not None:
            count_tables.append(scored.counts[scored.counts["condition"].isin(conditions)])
            histogram_tables.append(scored.histograms[scored.histograms["condition"].isin(conditions)])
    fields = _record_fields(config, [result.summary for result in results])
    fields["conditions"] = [counts.CLEAN, *conditions]
    fields["corruptions"] = _corruptions(evaluated[0], conditions)
    curves = [result.epochs for result in results if result.epochs is not None]
    all_curves = pd.concat(curves) if len(curves) == len(results) else None
    return Record.create(fields, pd.concat(count_tables), pd.concat(histogram_tables), all_curves)


def _common_conditions(evaluated: Sequence[ConditionScores | None]) -> tuple[str, ...]:
    """Return the conditions of every fold with the same code of the corruption, in the order of the first fold."""
    first, *others = evaluated
    if first is None:
        return ()
    return tuple(
        c
        for c in first.conditions
        if all(other and c in other.conditions and other.code_of(c) == first.code_of(c) for other in others)
    )


def _corruptions(scored: ConditionScores | None, conditions: Iterable[str]) -> dict[str, str]:
    """Return the digests of the code of plug-in corruptions among some conditions."""
    names = set(map(kind_of, conditions))
    return {name: code for name, code in scored.corruptions.items() if name in names} if scored else {}


def _record_fields(config: RunConfig, summaries: list[dict[str, Any]]) -> dict[str, Any]:
    run = run_file.read(config, "method", "started")
    environment, *other_environments = _unique(_fold_environment(summary, run, config) for summary in summaries)
    return {
        "run": config.run_id,
        "protocol": protocol_fields(config.protocol),
        "dataset": {
            **store_fields(config.store),
            **(summaries[0].get("data") or ProtocolDataset(config.open_store(), config.protocol).record_fields()),
        },
        "method": run["method"],
        "preset": config.preset,
        "recipe": config.recipe,
        "files": dict(config.content.files),
        "overrides": config.overrides,
        "seed": config.seed,
        "selection": config.selection,
        "threshold": config.protocol.threshold,
        "pretraining": [
            *source_fields(method_hooks.pretraining_sources(config.recipe_model)),
            *(source for summary in summaries for source in summary["pretraining"]),
        ],
        "search": config.search or {"trials": 0},
        "compute": summaries[0].get("compute") or config.count_flops().model_dump(mode="json"),
        "speed": {
            name: scores.mean([summary[name] for summary in summaries])
            for name in ("train_frames_per_s", "inference_frames_per_s")
        },
        "time": {"started": run["started"], "seconds": sum(summary["seconds"] for summary in summaries)},
        **environment,
        "other_environments": other_environments,
        "folds": [_fold_info(summary) | node for summary, node in zip(summaries, _nodes(summaries), strict=True)],
    }


def protocol_fields(protocol: Protocol) -> dict[str, Any]:
    """Return the description of a protocol in a record."""
    return {
        "name": protocol.name,
        "version": protocol.version,
        "digest": protocol.digest,
        "modalities": list(protocol.modalities),
        "aus": list(protocol.aus),
        "labels": protocol.converted_labels,
        "fold_count": protocol.fold_count,
    }


def store_fields(store: StoreRef) -> dict[str, Any]:
    """Return the description of a store in a record, without :meth:`.ProtocolDataset.record_fields`."""
    members = {member.dataset: member.digest for member in store.members}
    return {"name": store.dataset, "version": store.version, "digest": store.digest, "members": members}


def _fold_environment(summary: dict[str, Any], run: dict[str, Any], config: RunConfig) -> dict[str, Any]:
    """Return the environment in which the fold finished.

    Results of earlier versions have none; the environment in ``run.json`` stands in.
    """
    if "made" in summary:
        return dict(summary["made"])
    device = run["device"] | {"threads": summary["threads"], "precision": config.precision}
    return {"device": device, "packages": run["packages"], "git": run["git"]}


def _unique(environments: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({json.dumps(environment, sort_keys=True): environment for environment in environments}.values())


def _nodes(summaries: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the machine of each fold, if they differ."""
    hosts = [summary.get("host") for summary in summaries]
    return [{"node": host} if host and len(set(hosts)) > 1 else {} for host in hosts]


def _fold_info(summary: dict[str, Any]) -> dict[str, Any]:
    copied = ("fold", "frames", "epochs", "best_epoch", "checkpoint", "train_prevalence")
    return {**{key: summary[key] for key in copied}, **summary["subjects"]}
