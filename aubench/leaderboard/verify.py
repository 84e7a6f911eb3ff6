"""What must hold in a record: within itself, against its protocol, and beside the other records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from aubench.core import hashing
from aubench.core.errors import AubenchError
from aubench.core.protocol import Protocol
from aubench.leaderboard.records import Finding, StoredRecord
from aubench.metrics import scores
from aubench.results import counts as counts_file
from aubench.results import histograms as histograms_file
from aubench.results import record

ProtocolLookup = Callable[[str], Protocol]
"""Finds the installed protocol of a name."""

_PER_LABEL = ["present", "absent"]


def check_record(kept: StoredRecord) -> list[Finding]:
    """Prove a record from its own content: completeness of its tables, and every number.

    Numbers are recomputed only where the tables are complete.
    """
    findings = [*_fields(kept), *_grid(kept)]
    return findings or [*_labels(kept), *_histograms(kept), *_summary(kept)]


def check_path(kept: StoredRecord) -> list[Finding]:
    """Prove that a record lies where its content says: protocol, method, run."""
    if kept.folder.parts[-3:] == kept.record.relative_path.parts:
        return []
    place = kept.record.relative_path.as_posix()
    return [Finding(kept.folder, f"path disagrees with its {record.FILE}, which belongs in {place}")]


def check_protocol(kept: StoredRecord, known: ProtocolLookup) -> list[Finding]:
    """Prove that a record followed the installed protocol that it names."""
    stated = kept.record.info.protocol
    try:
        whole = known(stated.name)
        protocol = whole.narrowed(stated.modalities)
    except AubenchError as error:
        return [kept.finding(record.FILE, f"protocol: {error.what}")]
    findings = [
        kept.finding(
            record.FILE, f"protocol.{field}: says {_short(ours)}, the protocol {stated.name} has {_short(theirs)}"
        )
        for field, ours, theirs in (
            ("version", stated.version, protocol.version),
            ("modalities", stated.modalities, protocol.modalities),
            ("aus", stated.aus, protocol.aus),
            ("fold_count", stated.fold_count, len(protocol.folds)),
            ("digest", stated.digest, protocol.digest),
        )
        if ours != theirs
    ]
    if kept.record.info.dataset.name != protocol.dataset:
        findings.append(kept.finding(record.FILE, f"dataset.name: the protocol is on {protocol.dataset}"))
    return findings or list(_roles(kept, protocol))


def check_duplicates(all_kept: Sequence[StoredRecord]) -> list[Finding]:
    """Prove that no run stands twice and that equal stores gave equal labels."""
    findings: list[Finding] = []
    runs: dict[str, StoredRecord] = {}
    labels: dict[tuple[str, ...], tuple[StoredRecord, str]] = {}
    for kept in all_kept:
        info = kept.record.info
        first = runs.setdefault(run_key(kept), kept)
        if first is not kept:
            findings.append(
                kept.finding(
                    record.FILE,
                    f"run: is a duplicate of {first.folder} (same method, recipe, protocol, precision and seed)",
                )
            )
        if len(info.folds) == info.protocol.fold_count:
            ours = label_digest(kept.record.counts)
            other, theirs = labels.setdefault((info.protocol.digest, info.dataset.digest), (kept, ours))
            if ours != theirs:
                findings.append(
                    kept.finding(
                        counts_file.FILE, f"labels differ from those of {other.folder}, which read the same store"
                    )
                )
    return findings


def run_key(kept: StoredRecord) -> str:
    """What two runs must not have in common."""
    info = kept.record.info
    return hashing.hash_json([row_key(kept), info.selection, info.seed])


def row_key(kept: StoredRecord) -> str:
    """What the seeds of one row have in common."""
    info = kept.record.info
    method = info.method.model_dump(mode="json", exclude={"title"})
    told = [method, info.preset, info.recipe, info.protocol.digest, info.dataset.digest, info.threshold]
    parts = [*told, info.device.precision]
    return hashing.hash_json([*parts, info.search.model_dump(mode="json")] if info.search.tuned else parts)


def label_digest(counts: pd.DataFrame) -> str:
    """Digest of the labels that counts were taken on."""
    clean = _with_labels(counts[counts["condition"] == counts_file.CLEAN])
    return hashing.hash_json(clean[["fold", "subject", "au", *_PER_LABEL]].to_numpy().tolist())


def _with_labels(counts: pd.DataFrame) -> pd.DataFrame:
    return counts.assign(present=counts["tp"] + counts["fn"], absent=counts["fp"] + counts["tn"])


def _fields(kept: StoredRecord) -> Iterator[Finding]:
    info = kept.record.info
    names = {f"AU{au}" for au in info.protocol.aus}
    if len(info.folds) > info.protocol.fold_count:
        yield kept.finding(record.FILE, f"folds: {len(info.folds)} folds of {info.protocol.fold_count}")
    for i, fold in enumerate(info.folds):
        if not fold.train or not fold.test or (info.selection == "inner_val" and not fold.val):
            yield kept.finding(record.FILE, f"folds.{i}: a role is empty")
        if set(fold.train_prevalence) != names:
            yield kept.finding(record.FILE, f"folds.{i}.train_prevalence: must name each AU of the protocol")
        if any(known > fold.frames.train for _, known in fold.train_prevalence.values()):
            yield kept.finding(record.FILE, f"folds.{i}.train_prevalence: more known labels than frames in training")


def _grid(kept: StoredRecord) -> Iterator[Finding]:
    info, tables = kept.record.info, kept.record
    people = [(fold.fold, subject) for fold in info.folds for subject in fold.test]
    wanted = {(c, f, s, a) for c, (f, s), a in product(info.conditions, people, info.protocol.aus)}
    yield from _difference(kept, counts_file.FILE, counts_file.KEY, tables.counts, wanted)
    wanted_bins = set(product(info.conditions, (fold.fold for fold in info.folds), info.protocol.aus, (0, 1)))
    yield from _difference(kept, histograms_file.FILE, histograms_file.KEY, tables.histograms, wanted_bins)


def _difference(
    kept: StoredRecord, file: str, key: list[str], table: pd.DataFrame, wanted: set[Any]
) -> Iterator[Finding]:
    present = set(zip(*(table[name].tolist() for name in key), strict=True))
    for verb, rows in (("is missing", wanted - present), (f"is not in {record.FILE}", present - wanted)):
        if rows:
            yield kept.finding(file, f"{_named(key, rows, wanted if verb == 'is missing' else present)} {verb}")


def _named(key: list[str], rows: set[Any], universe: set[Any]) -> str:
    """Name what is lost as widely as it is lost: a whole condition, fold, subject or AU, or the first row."""
    for column in range(3):
        for value in sorted({row[column] for row in rows}):
            if {row for row in universe if row[column] == value} <= rows:
                return f"{key[column]} {value}"
    more = f" (and {len(rows) - 1:,} more)" if len(rows) > 1 else ""
    return ", ".join(f"{name} {value}" for name, value in zip(key, min(rows), strict=True)) + more


def _labels(kept: StoredRecord) -> Iterator[Finding]:
    counts = _with_labels(kept.record.counts)
    unlike = counts.groupby(["fold", "subject", "au"])[_PER_LABEL].nunique().max(axis=1) > 1
    if unlike.any():
        fold, subject, au = unlike[unlike].index[0]
        yield kept.finding(
            counts_file.FILE, f"fold {fold}, subject {subject}, AU{au}: labels differ between conditions"
        )
    clean = counts[counts["condition"] == counts_file.CLEAN]
    frames = (
        clean.assign(known=clean["present"] + clean["absent"])
        .groupby(["fold", "subject"])["known"]
        .max()
        .groupby("fold")
        .sum()
    )
    for fold in kept.record.info.folds:
        if frames[fold.fold] > fold.frames.test:
            yield kept.finding(
                counts_file.FILE,
                f"fold {fold.fold}: counts need {frames[fold.fold]:,} frames, the test role has {fold.frames.test:,}",
            )


def _histograms(kept: StoredRecord) -> Iterator[Finding]:
    half = histograms_file.BINS // 2
    cells = kept.record.histograms[histograms_file.CELLS].to_numpy(np.int64).reshape(-1, 2, histograms_file.BINS)
    below, above = cells[:, :, :half].sum(axis=2), cells[:, :, half:].sum(axis=2)
    binned = np.stack([above[:, 1], above[:, 0], below[:, 1], below[:, 0]], axis=1)
    total = kept.record.counts.groupby(["condition", "fold", "au"])[counts_file.CELLS].sum()
    wrong = binned != total.to_numpy(np.int64)
    if wrong.any():
        row, cell = np.argwhere(wrong)[0]
        condition, fold, au = total.index[row]
        yield kept.finding(
            histograms_file.FILE,
            f"condition {condition}, fold {fold}, AU{au}: bins yield {counts_file.CELLS[cell]} "
            f"{binned[row, cell]:,}, {counts_file.FILE} says {total.iloc[row, cell]:,}",
        )


def _summary(kept: StoredRecord) -> Iterator[Finding]:
    stated = _leaves(kept.record.info.summary.model_dump(mode="json"))
    yielded = _leaves(scores.summarize(kept.record.counts, kept.record.histograms).model_dump(mode="json"))
    for field in [*yielded, *sorted(stated.keys() - yielded.keys())]:
        ours, theirs = stated.get(field, "nothing"), yielded.get(field, "nothing")
        if ours != theirs:
            yield kept.finding(record.FILE, f"summary.{field}: says {ours}, counts yield {theirs}")


def _leaves(content: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for field, value in content.items():
        inner: Iterable[tuple[Any, Any]] = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        flat |= {f"{field}.{key}": part for key, part in inner}
        if not isinstance(value, dict | list):
            flat[field] = value
    return flat


def _roles(kept: StoredRecord, protocol: Protocol) -> Iterator[Finding]:
    for i, fold in enumerate(kept.record.info.folds):
        field = f"folds.{i}"
        if fold.fold > len(protocol.folds):
            yield kept.finding(record.FILE, f"{field}.fold: the protocol has no fold {fold.fold}")
            continue
        if odd := set(fold.test) ^ protocol.test_subjects(fold.fold):
            yield kept.finding(
                record.FILE,
                f"{field}.test: {min(odd)} is missing or does not belong to the test role of fold {fold.fold}",
            )
        if odd := {*fold.train, *fold.val} - protocol.train_subjects(fold.fold):
            yield kept.finding(
                record.FILE, f"{field}.train: {min(odd)} does not belong to the training parts of fold {fold.fold}"
            )


def _short(value: object) -> str:
    return str(list(map(str, value)) if isinstance(value, tuple) else value)[:80]
