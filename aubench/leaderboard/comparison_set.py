"""Who is compared: rows of runs that differ in nothing but their seed, on the same test labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from aubench.core.errors import RecordError, UsageError, suggest
from aubench.leaderboard import entries, records, tables, verify
from aubench.leaderboard.entries import Entry
from aubench.leaderboard.records import RECORDS, Finding, StoredRecord
from aubench.metrics import scores

_FORM = "give runs' folders, or METHOD@PROTOCOL of the leaderboard"


@dataclass(frozen=True)
class ComparisonSet:
    """Rows that may be compared.

    Attributes:
        rows: Two or more, by method and recipe.
        unfinished: Runs in the given folders that were passed over, and why.
    """

    entries: tuple[Entry, ...]
    skipped_runs: tuple[Finding, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The method of each row, with what tells it from other rows of the same method."""
        methods = [row.name for row in self.entries]
        told = [f"{row.name} ({tables.recipe_label(row, self.entries)})" for row in self.entries]
        offered = [
            f"{name} {tables.modality_code(row.info.protocol.modalities)}"
            for name, row in zip(told, self.entries, strict=True)
        ]
        return tuple(
            method if methods.count(method) == 1 else name if told.count(name) == 1 else longest
            for method, name, longest in zip(methods, told, offered, strict=True)
        )


def load_comparison_set(words: Sequence[str], root: Path) -> ComparisonSet:
    """Find and prove what is to be compared.

    Args:
        words: Folders of runs, of records or of several such; or ``METHOD@PROTOCOL``, all its runs on the leaderboard.
            A run that is named twice counts once.
        root: The leaderboard's folder.

    Raises:
        UsageError: A name or folder leads nowhere, a run that is named itself lacks folds, there is only one row, or
            protocol, store, selection rule or labels are not the same everywhere.
        DataError: A folder holds no finished run.
        RecordError: A record does not hold what it claims, or two different ones are of the same run.
    """
    found: list[StoredRecord] = []
    unfinished: list[Finding] = []
    for word in words:
        finished, passed_over = _resolve(word, root)
        found += finished
        unfinished += passed_over
    for kept in found:
        _check_comparable(kept)
    runs = _once(found)
    _alike(runs)
    grouped = groupby(sorted(runs, key=_order), key=verify.row_key)
    contestants = [tuple(group) for _, group in grouped]
    if len(contestants) < 2:
        raise UsageError(f"only {contestants[0][0].record.info.method.name} to compare", hint=f"name two; {_FORM}")
    return ComparisonSet(tuple(map(_row, contestants)), tuple(unfinished))


def with_condition(found: ComparisonSet, condition: str) -> ComparisonSet:
    """The runs of a contest that were tested under a condition; the others join those that were passed over.

    Args:
        found: Who is compared.
        condition: What was done to the test inputs; ``clean`` for nothing.

    Raises:
        UsageError: Fewer than two rows are left.
    """
    tested = [tuple(run for run in row.runs if condition in run.record.info.conditions) for row in found.entries]
    left = tuple(_row(runs) for runs in tested if runs)
    every = [run for row in found.entries for run in row.runs]
    if len(left) < 2:
        known = {name for run in every for name in run.record.info.conditions}
        hint = "put the others under it with `aubench robustness`" if left else suggest(condition, known)
        raise UsageError(
            f"{len(left) or 'no'} of {len(found.entries)} to compare has the condition '{condition}'", hint=hint
        )
    lacking = [run for run in every if condition not in run.record.info.conditions]
    told = tuple(Finding(run.folder, f"does not have the condition '{condition}'") for run in lacking)
    return ComparisonSet(left, (*found.skipped_runs, *told))


def _row(runs: tuple[StoredRecord, ...]) -> Entry:
    summaries = tuple(scores.summary_of(kept.record) for kept in runs)
    return Entry(runs[0].record.info.method.name, summaries, None, runs)


def _resolve(word: str, root: Path) -> tuple[list[StoredRecord], list[Finding]]:
    method, at, protocol = word.rpartition("@")
    if Path(word).exists() or not at:
        if not Path(word).is_dir():
            raise UsageError("no such folder", where=word, hint=_FORM)
        return records.find_finished_records(Path(word))
    folder = root / RECORDS / protocol
    for part, parent in ((protocol, folder.parent), (method, folder)):
        names = [path.name for path in parent.iterdir()] if parent.is_dir() else []
        if part not in names:
            raise UsageError(f"no record of '{part}'", where=parent, hint=suggest(part, names))
    return records.find_finished_records(folder / method)


def _check_comparable(kept: StoredRecord) -> None:
    if not entries.complete(kept):
        info = kept.record.info
        raise UsageError(
            f"has {len(info.folds)} of {info.protocol.fold_count} folds", where=kept.folder, hint="finish it"
        )
    for finding in verify.check_record(kept):
        raise RecordError(finding.what, where=finding.path)


def _once(found: Iterable[StoredRecord]) -> list[StoredRecord]:
    runs: dict[str, StoredRecord] = {}
    for kept in found:
        first = runs.setdefault(verify.run_key(kept), kept)
        if first.record.info != kept.record.info or not first.record.counts.equals(kept.record.counts):
            raise RecordError(f"is another record of the run in {first.folder}", where=kept.folder)
    return list(runs.values())


def _alike(runs: Sequence[StoredRecord]) -> None:
    """Refuse what would not be a fair comparison. Rows that were offered other modalities may be compared."""
    first = runs[0].record
    digests = {first.info.protocol.modalities: first.info.protocol.digest}
    for kept in runs[1:]:
        info, protocol = kept.record.info, kept.record.info.protocol
        own = digests.setdefault(protocol.modalities, protocol.digest)
        for what, ours, theirs in (
            (
                "protocol",
                f"{first.info.protocol.name} {first.info.protocol.version}",
                f"{protocol.name} {protocol.version}",
            ),
            ("digest of the protocol", own[:12], protocol.digest[:12]),
            ("selection rule", first.info.selection, info.selection),
            ("store", first.info.dataset.digest[:12], info.dataset.digest[:12]),
            ("test labels", verify.label_digest(first.counts)[:12], verify.label_digest(kept.record.counts)[:12]),
        ):
            if ours != theirs:
                told = f"{what}: {theirs} cannot be compared with {ours}"
                raise UsageError(told, where=kept.folder, hint=f"the latter is that of {runs[0].folder}")


def _order(kept: StoredRecord) -> tuple[str, str, int]:
    return kept.record.info.method.name, verify.row_key(kept), kept.record.info.seed
