"""Records of predictions made elsewhere."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from aubench._util import locks
from aubench.core.conditions import Condition
from aubench.core.errors import RecordError, UsageError
from aubench.core.system_files import children
from aubench.data.splits import ProtocolDataset
from aubench.evaluation import inference
from aubench.evaluation.submitted_predictions import SubmittedPredictions
from aubench.metrics.robustness_profile import condition_sort_key
from aubench.results import record as record_file
from aubench.results.field_types import Name
from aubench.results.record import Record
from aubench.results.record_info import RecordInfo
from aubench.results.run_folder import RECORD_DIR
from aubench.results.run_id import submission_id
from aubench.results.submission import SUBMITTED
from aubench.runs.record_builder import protocol_fields, store_fields
from aubench.runs.store_ref import StoreRef


def check_name(name: str) -> None:
    """Check that records can hold a name.

    Raises:
        UsageError: They cannot.
    """
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        hint = "use at most 64 letters, digits, '_' and '-', and begin with a letter or digit"
        raise UsageError(f"'{name}' is not a name", where="--name", hint=hint) from None


def write_record(predictions: SubmittedPredictions, data: ProtocolDataset, name: str, seed: int, runs: Path) -> Path:
    """Write the record of submitted predictions. Conditions that it has already remain.

    Args:
        predictions: Probabilities of all test frames.
        data: Frames of the store under the protocol.
        name: Name of the model.
        seed: Seed of its training.
        runs: Folder of all runs.

    Returns:
        Folder of the record.

    Raises:
        RecordError: A record there is damaged.
    """
    record = _build(predictions, data, name, seed)
    run_dir = runs / record.relative_path
    run_dir.mkdir(parents=True, exist_ok=True)
    with locks.exclusive(run_dir / ".record.lock"):
        _with_earlier_conditions(record, run_dir / RECORD_DIR).write(run_dir / RECORD_DIR)
    return run_dir / RECORD_DIR


def other_records(folder: Path) -> list[Path]:
    """List the records of other predictions with the same name, seed, protocol and store.

    Args:
        folder: Folder of a record, as :func:`write_record` returns it.
    """
    paths = children(folder.parents[1], f"*/{RECORD_DIR}/{record_file.FILE}")
    infos = {path.parent: _read_info(path) for path in paths}
    key = _entry_key(infos.pop(folder))
    return [other for other, info in infos.items() if _entry_key(info) == key]


def _read_info(path: Path) -> RecordInfo | None:
    with suppress(RecordError):
        return RecordInfo.parse(path.read_bytes(), where=path)
    return None


def _entry_key(info: RecordInfo | None) -> tuple[object, ...] | None:
    """Return what is the same in records that a leaderboard takes for one; None for other records."""
    if info is None or not info.is_submitted:
        return None
    return info.method.name, info.seed, info.protocol.digest, info.dataset.digest


def _build(predictions: SubmittedPredictions, data: ProtocolDataset, name: str, seed: int) -> Record:
    protocol, store, digest = data.protocol, StoreRef.from_store(data.store), predictions.digest
    conditions = sorted(predictions.probs, key=condition_sort_key)
    tables = [
        inference.score_tables(predictions.of_fold(fold, condition), data, rows, fold=fold, condition=condition)
        for condition in conditions
        for fold, rows in predictions.rows.items()
    ]
    count_tables, histogram_tables = zip(*tables, strict=True)
    fields: dict[str, Any] = {
        "run": submission_id(name=name, protocol=protocol.digest, store=store.digest, seed=seed, predictions=digest),
        "protocol": protocol_fields(protocol),
        "dataset": {**store_fields(store), **data.record_fields()},
        "method": {"name": name, "title": name, "modalities": list(protocol.modalities)},
        "seed": seed,
        "selection": SUBMITTED,
        "threshold": protocol.threshold,
        "conditions": list(map(str, conditions)),
        "predictions": digest,
        "folds": [_fold_info(data, fold, len(rows)) for fold, rows in predictions.rows.items()],
    }
    return Record.create(fields, pd.concat(count_tables), pd.concat(histogram_tables))


def _fold_info(data: ProtocolDataset, fold: int, frames: int) -> dict[str, Any]:
    train, validation, test = data.protocol.roles(fold)
    prevalence = data.prevalence(data.labelled_rows(train | validation))
    return {"fold": fold, "test": sorted(test), "frames": {"test": frames}, "train_prevalence": prevalence}


def _with_earlier_conditions(record: Record, folder: Path) -> Record:
    """Add the conditions of the present record in a folder that a new record lacks."""
    try:
        old = record_file.read(folder) if (folder / record_file.FILE).exists() else record
    except RecordError as error:
        raise RecordError(error.what, where=error.where, hint=f"delete the folder {folder} and repeat") from None
    added = [condition for condition in old.info.conditions if condition not in record.info.conditions]
    if not added:
        return record
    tables = [
        pd.concat([new, table[table["condition"].isin(added)]])
        for new, table in ((record.counts, old.counts), (record.histograms, old.histograms))
    ]
    fields = record.info.model_dump(mode="json", exclude={"schema_version", "tables"})
    conditions = sorted(map(Condition.parse, [*record.info.conditions, *added]), key=condition_sort_key)
    return Record.create(fields | {"conditions": list(map(str, conditions))}, *tables)
