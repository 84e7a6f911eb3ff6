"""Rows of a leaderboard: runs that differ in nothing but their seed, and the trivial baselines beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from aubench.core import hashing
from aubench.leaderboard.records import StoredRecord
from aubench.leaderboard.verify import label_digest, row_key
from aubench.metrics import baselines, intervals, scores, significance
from aubench.metrics.intervals import ConfidenceInterval
from aubench.metrics.resampling import SubjectContributions, subject_contributions
from aubench.results.record import RecordInfo, Summary

ALWAYS = "always positive"
"""The baseline that every F1 is measured against."""
SELECTIONS = ("inner_val", "last", "oracle_test")


@dataclass(frozen=True)
class Entry:
    """One line of a table.

    Attributes:
        name: Method or baseline.
        summaries: Headline numbers of each seed.
        margin: F1 above always-positive; None for always-positive itself.
        runs: The records behind it, by seed; none for a baseline.
        place: Place by F1, from 1; None for a baseline.
        rank: One more than the number of rows that are significantly better; None for a baseline.
    """

    name: str
    summaries: tuple[Summary, ...]
    delta_always_positive: ConfidenceInterval | None
    runs: tuple[StoredRecord, ...] = ()
    position: int | None = None
    rank: int | None = None

    @property
    def info(self) -> RecordInfo:
        """What its first run says; only rows with runs have one."""
        return self.runs[0].record.info

    @property
    def f1(self) -> float:
        """Headline F1, mean over seeds."""
        return scores.mean(summary.f1_mean for summary in self.summaries)

    @property
    def spread(self) -> float:
        """Standard deviation of F1 over folds and seeds."""
        return scores.std([value for summary in self.summaries for value in summary.f1_by_fold])

    def mean(self, field: str) -> float | None:
        """Mean over seeds of a number of the summary; None where undefined."""
        values = [getattr(summary, field) for summary in self.summaries]
        return None if None in values else scores.mean(values)

    def f1_of(self, au: int) -> float:
        """F1 of an AU, mean over seeds."""
        return scores.mean(summary.f1_by_au[f"AU{au}"] for summary in self.summaries)


@dataclass(frozen=True)
class RankedTable:
    """Rows that may be compared: one protocol version, one store, one selection rule, the same test labels.

    Attributes:
        selection: How the scored epoch was chosen.
        version: The protocol's.
        store: The store's digest.
        dataset: Name, version and labelled frames of the data set.
        aus: The AUs.
        rows: Ranked rows by F1, then the baselines.
    """

    selection: str
    version: int
    store: str
    dataset: str
    aus: tuple[int, ...]
    entries: tuple[Entry, ...]

    @property
    def is_ranked(self) -> tuple[Entry, ...]:
        """The rows that are not baselines."""
        return tuple(row for row in self.entries if row.position is not None)


def complete(kept: StoredRecord) -> bool:
    """Whether all folds of the protocol were run."""
    return len(kept.record.info.folds) == kept.record.info.protocol.fold_count


def ranked_tables(protocol_runs: Iterable[StoredRecord]) -> list[RankedTable]:
    """Group the complete runs of one protocol into sections of rows.

    Args:
        protocol_runs: Its records, each proven by :func:`aubench.leaderboard.verify.within`.

    Returns:
        Sections by selection rule, then by protocol version (newest first), labels and store.
    """
    keyed = [(_section_key(kept), kept) for kept in protocol_runs if complete(kept)]
    keyed.sort(key=lambda pair: (pair[0], row_key(pair[1]), pair[1].record.info.seed))
    return [_section([kept for _, kept in group]) for _, group in groupby(keyed, key=lambda pair: pair[0])]


def _section_key(kept: StoredRecord) -> tuple[int, int, str, str]:
    info, labels = kept.record.info, label_digest(kept.record.counts)
    return SELECTIONS.index(info.selection), -info.protocol.version, labels, info.dataset.digest


def _section(runs: list[StoredRecord]) -> RankedTable:
    info = runs[0].record.info
    always_counts, always_histograms = baselines.always_positive(runs[0].record)
    always = subject_contributions([always_counts])
    found = [_row(tuple(group), always) for _, group in groupby(runs, key=row_key)]
    found.sort(key=lambda pair: (-pair[0].f1, pair[0].name, hashing.hash_json(pair[0].info.model_dump(mode="json"))))
    trivial = [
        Entry(ALWAYS, (scores.summarize(always_counts, always_histograms),), None),
        _prevalence(runs, always),
    ]
    dataset = f"{info.dataset.name} version {info.dataset.version}, {info.dataset.labelled:,} labelled frames"
    aus, ranked = tuple(sorted(info.protocol.aus)), _assign_ranks(found)
    return RankedTable(info.selection, info.protocol.version, info.dataset.digest, dataset, aus, (*ranked, *trivial))


def _row(runs: tuple[StoredRecord, ...], always: SubjectContributions) -> tuple[Entry, SubjectContributions]:
    own = subject_contributions([kept.record.counts for kept in runs])
    margin, summaries = intervals.mean_interval(own - always), tuple(kept.record.info.summary for kept in runs)
    return Entry(runs[0].record.info.method.name, summaries, margin, runs), own


def _prevalence(runs: Sequence[StoredRecord], always: SubjectContributions) -> Entry:
    """Mean over the training roles that occurred; runs need not agree in them."""
    roles = {str([fold.train_prevalence for fold in kept.record.info.folds]): kept.record for kept in runs}
    made = [baselines.prevalence(record) for record in roles.values()]
    margin = intervals.mean_interval(subject_contributions([counts for counts, _ in made]) - always)
    return Entry("prevalence", tuple(scores.summarize(*tables) for tables in made), margin)


def _assign_ranks(found: list[tuple[Entry, SubjectContributions]]) -> list[Entry]:
    rows, ranks = [row for row, _ in found], significance.ranks_by_contributions([own for _, own in found])
    places = [1 + sum(other.f1 > row.f1 for other in rows) for row in rows]
    return [replace(row, position=place, rank=rank) for row, place, rank in zip(rows, places, ranks, strict=True)]
