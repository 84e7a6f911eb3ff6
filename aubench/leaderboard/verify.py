"""Checks of a record against its own tables, its protocol and the other records."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from aubench.core import hashing
from aubench.core.conditions import Condition, kind_of
from aubench.core.corruption_registry import MASK, NOISE
from aubench.core.errors import AubenchError, UsageError
from aubench.core.protocol import Protocol
from aubench.core.protocol_versions import earlier_protocol
from aubench.leaderboard.curve_checks import check_curves
from aubench.leaderboard.label_checks import check_labels
from aubench.leaderboard.method_checks import check_method
from aubench.leaderboard.records import Finding, StoredRecord
from aubench.leaderboard.run_checks import check_facts, check_predictions
from aubench.leaderboard.text_checks import check_texts
from aubench.results import counts as counts_file
from aubench.results import histograms as histograms_file
from aubench.results import record
from aubench.results.record_info import RecordInfo
from aubench.results.schema import INITIALISATION

ProtocolLookup = Callable[[str], Protocol]
"""Function that returns the installed protocol of a name."""
_MOST_ROWS = {counts_file.FILE: counts_file.MOST_ROWS, histograms_file.FILE: histograms_file.MOST_ROWS}
"""Most rows of a table that can be read."""


def check_record(run: StoredRecord) -> list[Finding]:
    """Check the completeness of a record's tables and all numbers.

    Numbers are recomputed only if the tables are complete.
    """
    findings = [*_fields(run), *_completeness(run)]
    checks = (_labels, check_histograms, check_predictions, check_curves, _digests, _stored_summary)
    findings = findings or [finding for check in checks for finding in check(run)]
    return [*findings, *check_texts(run), *check_facts(run)]


def check_path(folder: Path, path: tuple[str, ...]) -> list[Finding]:
    """Check that the folder of a record is that of its protocol, method and run."""
    what = f"path disagrees with its {record.FILE}, which belongs in {'/'.join(path)}"
    return [] if folder.parts[-3:] == path else [Finding(folder, what)]


def check_protocol(run: StoredRecord, find_protocol: ProtocolLookup, *, is_sound: bool = True) -> list[Finding]:
    """Check a record against the installed protocol that it names, the labels of its store, and its method.

    Args:
        run: Record.
        find_protocol: Function that returns the installed protocol of a name.
        is_sound: Whether :func:`check_record` has no findings. Otherwise labels and method are not checked.
    """
    stated = run.info.protocol
    try:
        protocol = find_protocol(stated.name)
        if protocol.version != stated.version:
            protocol = earlier_protocol(stated.name, stated.version) or protocol
        protocol = protocol.narrowed(stated.modalities)
    except AubenchError as error:
        return [run.finding(record.FILE, f"protocol: {error.what}")]
    findings = [
        run.finding(
            record.FILE, f"protocol.{field}: says {_short(actual)}, the protocol {stated.name} has {_short(expected)}"
        )
        for field, actual, expected in (
            ("version", stated.version, protocol.version),
            ("modalities", stated.modalities, protocol.modalities),
            ("aus", stated.aus, protocol.aus),
            ("labels", stated.labels, protocol.converted_labels),
            ("fold_count", stated.fold_count, protocol.fold_count),
            ("digest", stated.digest, protocol.digest),
        )
        if actual != expected
    ]
    if run.info.dataset.name != protocol.data_name:
        findings.append(run.finding(record.FILE, f"dataset.name: the protocol is on {protocol.data_name}"))
    if (members := run.info.dataset.members) and (len(members) == 1 or {*members} != {*protocol.datasets}):
        message = "names the stores of several data sets, the protocol is on"
        findings.append(run.finding(record.FILE, f"dataset.members: {message} {protocol.data_name}"))
    findings = findings or [*_roles(run, protocol), *_start(run, protocol)]
    if findings or not is_sound:
        return findings
    return [*check_labels(run, protocol), *check_method(run, protocol)]


def run_key(run: StoredRecord) -> str:
    """Compute the key that identifies duplicate runs."""
    return hashing.hash_json([row_key(run), run.info.selection, run.info.seed])


def row_key(run: StoredRecord) -> str:
    """Compute the key that the seeds of one entry share."""
    info = run.info
    method = info.method.model_dump(mode="json", exclude={"title"})
    recipe = {**info.recipe, **info.files}
    parts = [method, info.preset, recipe, info.protocol.digest, info.dataset.digest, info.threshold]
    parts.append(info.device.precision if info.device else "")
    if origins := info.origins:
        parts.append(list(origins))
    return hashing.hash_json([*parts, info.search.model_dump(mode="json")] if info.search.tuned else parts)


def _fields(run: StoredRecord) -> Iterator[Finding]:
    info = run.info
    names = {f"AU{au}" for au in info.protocol.aus}
    if len(info.folds) > info.protocol.fold_count:
        yield run.finding(record.FILE, f"folds: {len(info.folds)} folds of {info.protocol.fold_count}")
    for i, text in enumerate(info.conditions):
        if problem := _condition_problem(text, info):
            yield run.finding(record.FILE, f"conditions.{i}: {text[:80]} {problem}")
    for name in sorted(info.corruptions.keys() - set(map(kind_of, info.conditions))):
        yield run.finding(record.FILE, f"corruptions.{name}: is the corruption of no condition")
    for i, fold in enumerate(info.folds):
        is_seen = info.is_submitted or (fold.train and (fold.val or info.selection != "inner_val"))
        if not is_seen or not fold.test:
            yield run.finding(record.FILE, f"folds.{i}: a role is empty")
        if set(fold.train_prevalence) != names:
            yield run.finding(record.FILE, f"folds.{i}.train_prevalence: must name each AU of the protocol")
        known_labels = [known for _, known in fold.train_prevalence.values()]
        if not info.is_submitted and any(known > fold.frames.train for known in known_labels):
            yield run.finding(record.FILE, f"folds.{i}.train_prevalence: more known labels than frames in training")


def _condition_problem(text: str, info: RecordInfo) -> str | None:
    """Return why a text is no condition of a record. Levels of plug-ins, which may be absent, are not checked."""
    if (kind := kind_of(text)) not in ("clean", "missing", NOISE.name, MASK.name):
        is_known = info.is_submitted or kind in info.corruptions
        return None if is_known else "is of no built-in corruption, and corruptions has no digest of its code"
    try:
        condition = Condition.parse(text)
    except UsageError:
        return "is no condition"
    if str(condition) != text:
        return f"is written as {condition}"
    if odd := [modality for modality in condition.modalities if modality not in info.method.modalities]:
        return f"names {odd[0]}, which the method does not use"
    return None


def _completeness(run: StoredRecord) -> Iterator[Finding]:
    info, tables = run.info, run.record
    subjects = [(fold.fold, subject) for fold in info.folds for subject in fold.test]
    grids = (
        (counts_file.FILE, counts_file.KEY, tables.count_table, (info.conditions, subjects, info.protocol.aus)),
        (
            histograms_file.FILE,
            histograms_file.KEY,
            tables.histogram_table,
            (info.conditions, [(fold.fold,) for fold in info.folds], info.protocol.aus, (0, 1)),
        ),
    )
    for file, key, table, values in grids:
        rows = math.prod(map(len, values))
        if rows > _MOST_ROWS[file]:
            yield run.finding(file, f"has {len(table.cells):,} rows, conditions, subjects and AUs need {rows:,}")
        else:
            expected = {(c, *part, *rest) for c, part, *rest in product(*values)}
            yield from _difference(run, file, key, set(table.rows(key)), expected)


def _difference(
    run: StoredRecord, file: str, key: list[str], actual: set[Any], expected: set[Any]
) -> Iterator[Finding]:
    if missing := expected - actual:
        yield run.finding(file, f"{_describe_rows(key, missing, expected)} is missing")
    if unknown := actual - expected:
        yield run.finding(file, f"{_describe_rows(key, unknown, actual)} is not in {record.FILE}")


def _describe_rows(key: list[str], rows: set[Any], all_rows: set[Any]) -> str:
    """Name the condition, fold, subject, AU or label of which all rows are concerned, else the first row."""
    for column, name in enumerate(key):
        concerned, present = (Counter(row[column] for row in group) for group in (rows, all_rows))
        if complete := [value for value, count in concerned.items() if count == present[value]]:
            return f"{name} {min(complete)}"
    more = f" (and {len(rows) - 1:,} more)" if len(rows) > 1 else ""
    return ", ".join(f"{name} {value}" for name, value in zip(key, min(rows), strict=True)) + more


def _labels(run: StoredRecord) -> Iterator[Finding]:
    cells = np.stack(list(run.cells.values()))
    labels = np.stack([cells[..., 0] + cells[..., 2], cells[..., 1] + cells[..., 3]], axis=-1)
    differs = (labels != labels[0]).any(axis=(0, 3))
    if differs.any():
        _, fold, subject, au = run.record.count_table.rows(counts_file.KEY)[int(np.argmax(differs))]
        message = f"fold {fold}, subject {subject}, AU{au}: labels differ between conditions"
        yield run.finding(counts_file.FILE, message)
    clean = labels[sorted(run.info.conditions).index(counts_file.CLEAN)]
    for fold_info, known in zip(run.info.folds, run.by_fold(clean.sum(axis=2).max(axis=1)), strict=True):
        needed = int(known.sum())
        if needed > fold_info.frames.test:
            message = f"counts need {needed:,} frames, the test role has {fold_info.frames.test:,}"
            yield run.finding(counts_file.FILE, f"fold {fold_info.fold}: {message}")


def check_histograms(run: StoredRecord) -> Iterator[Finding]:
    """Check that the histograms of each condition, fold and AU imply the counts."""
    info, half, aus = run.info, histograms_file.BINS // 2, sorted(run.info.protocol.aus)
    cells = np.stack(list(run.bins.values())).reshape(-1, 2, histograms_file.BINS)
    below, above = cells[:, :, :half].sum(axis=2), cells[:, :, half:].sum(axis=2)
    binned = np.stack([above[:, 1], above[:, 0], below[:, 1], below[:, 0]], axis=1)
    total = np.stack([part.sum(axis=0) for cells in run.cells.values() for part in run.by_fold(cells)]).reshape(-1, 4)
    differs = binned != total
    if differs.any():
        row, cell = np.argwhere(differs)[0]
        keys = list(product(sorted(info.conditions), (fold.fold for fold in info.folds), aus))
        condition, fold, au = keys[row]
        yield run.finding(
            histograms_file.FILE,
            f"condition {condition}, fold {fold}, AU{au}: bins yield {counts_file.CELLS[cell]} "
            f"{binned[row, cell]:,}, {counts_file.FILE} says {total[row, cell]:,}",
        )


def _digests(run: StoredRecord) -> Iterator[Finding]:
    stated = run.info.tables
    if stated is None:
        return
    computed = run.record.table_digests()
    for field, file in record.TABLE_FILES.items():
        expected, actual = getattr(stated, field) or "nothing", getattr(computed, field) or "nothing"
        if expected != actual:
            yield run.finding(record.FILE, f"tables.{field}: says {expected[:12]}, {file} has {actual[:12]}")


def _stored_summary(run: StoredRecord) -> Iterator[Finding]:
    if run.info.stored_summary is None:
        return
    stated = _flatten(run.info.stored_summary.model_dump(mode="json"))
    computed = _flatten(run.summary.to_stored().model_dump(mode="json"))
    for field in [*computed, *sorted(stated.keys() - computed.keys())]:
        actual, expected = stated.get(field, "nothing"), computed.get(field, "nothing")
        if actual != expected:
            yield run.finding(record.FILE, f"summary.{field}: says {actual}, counts yield {expected}")


def _flatten(content: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for field, value in content.items():
        if isinstance(value, dict | list):
            items: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else enumerate(value)
            flat |= {f"{field}.{key}": item for key, item in items}
        else:
            flat[field] = value
    return flat


def _roles(run: StoredRecord, protocol: Protocol) -> Iterator[Finding]:
    for i, fold in enumerate(run.info.folds):
        if fold.fold > protocol.fold_count:
            yield run.finding(record.FILE, f"folds.{i}.fold: the protocol has no fold {fold.fold}")
            continue
        if odd := set(fold.test) ^ protocol.test_subjects(fold.fold):
            message = f"{min(odd)} is missing or does not belong to the test role of fold {fold.fold}"
            yield run.finding(record.FILE, f"folds.{i}.test: {message}")
        roles = protocol.roles(fold.fold)
        if odd := {*fold.train} - roles.train or {*fold.val} - (roles.validation or roles.train):
            message = f"{min(odd)} does not belong to the training parts of fold {fold.fold}"
            yield run.finding(record.FILE, f"folds.{i}.train: {message}")
        people = {protocol.person(subject) for subject in fold.train}
        if twice := [subject for subject in fold.val if protocol.person(subject) in people]:
            yield run.finding(record.FILE, f"folds.{i}.val: {twice[0]} is a person of the training role")


def _start(run: StoredRecord, protocol: Protocol) -> Iterator[Finding]:
    """Check that each fold starts from a run on the data sets of the protocol, which has not seen the test role."""
    if run.info.is_submitted:
        return
    for fold in run.info.folds:
        items = [item for item in run.info.pretraining if item.run and item.fold == fold.fold]
        if [set(item.datasets) for item in items] != [set(protocol.starts_from)] * bool(protocol.starts_from):
            expected = f"a run on {' and '.join(protocol.starts_from)}" if protocol.starts_from else "no other run"
            yield run.finding(record.FILE, f"pretraining: the protocol starts fold {fold.fold} from {expected}")
        initial = (item for item in run.info.pretraining if item.fold == fold.fold and item.stage == INITIALISATION)
        names = {name for item in initial if not item.run for name in item.datasets} - {*protocol.starts_from}
        for name in sorted(filter(protocol.shares_people, names)):
            yield run.finding(record.FILE, f"pretraining: fold {fold.fold} starts from weights of people of {name}")
        tested = {protocol.qualified_person(subject) for subject in fold.test}
        for subject in (subject for item in items for subject in item.subjects):
            if protocol.qualified_person(subject) in tested:
                yield run.finding(record.FILE, f"pretraining: fold {fold.fold} tests {subject}, whom its weights saw")


def _short(value: object) -> str:
    return str(list(map(str, value)) if isinstance(value, tuple) else value)[:80]
