"""Leaderboard entries (runs that differ only in their seed), trivial baselines, and ranked tables of them."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby

from aubench.core import hashing
from aubench.core.conditions import kind_of
from aubench.leaderboard.known_labels import known_stores
from aubench.leaderboard.records import StoredRecord
from aubench.leaderboard.verify import row_key
from aubench.metrics import baselines, intervals, scores, significance
from aubench.metrics.intervals import ConfidenceInterval
from aubench.metrics.resampling import SubjectContributions, average, subject_contributions
from aubench.results.record_info import SELECTIONS, RecordInfo
from aubench.results.submission import SUBMITTED


@dataclass(frozen=True)
class Entry:
    """Row of a table.

    Attributes:
        name: Method or baseline.
        runs: Records by seed; none for a baseline.
        baseline_summaries: Scores of a baseline; none for a method.
        delta_always_positive: F1 minus that of always-positive; None for always-positive itself.
        position: Position by F1, from 1; None for a baseline or a demo.
        rank: One more than the number of significantly better entries; None for a baseline or a demo.
        last_rank: Number of entries that are not significantly worse; None for a baseline or a demo.
        f1_interval: F1 with its interval over subjects; None for a baseline.
    """

    name: str
    runs: tuple[StoredRecord, ...] = ()
    baseline_summaries: tuple[scores.Summary, ...] = ()
    delta_always_positive: ConfidenceInterval | None = None
    position: int | None = None
    rank: int | None = None
    last_rank: int | None = None
    f1_interval: ConfidenceInterval | None = None

    @staticmethod
    def from_runs(runs: Iterable[StoredRecord]) -> Entry:
        """Create the entry of runs that differ only in their seed."""
        stored = tuple(runs)
        return Entry(stored[0].info.method.name, stored)

    @property
    def info(self) -> RecordInfo:
        """Content of ``record.json`` of the first run; a baseline has none."""
        return self.runs[0].info

    @property
    def summaries(self) -> tuple[scores.Summary, ...]:
        """Scores of each seed."""
        return self.baseline_summaries or tuple(run.summary for run in self.runs)

    @property
    def f1(self) -> float:
        """Headline F1, mean over seeds."""
        return scores.mean(summary.f1_mean for summary in self.summaries)

    @property
    def f1_std(self) -> float | None:
        """Standard deviation of F1 over folds and seeds; None for one fold of one seed."""
        return scores.std([value for summary in self.summaries for value in summary.f1_by_fold])

    @property
    def frames(self) -> int | None:
        """Supervised training frames per fold, mean over seeds; None without learning curves."""
        return _rounded_mean([run.frames for run in self.runs])

    @property
    def pretraining_frames(self) -> int | None:
        """Frames of the run's own pre-training per fold, mean over seeds; None if they are unknown."""
        return _rounded_mean([run.pretraining_frames for run in self.runs])

    @property
    def conditions(self) -> set[str]:
        """Test conditions that all runs have, with the same code of the corruption."""
        common = set.intersection(*(set(run.info.conditions) for run in self.runs))
        codes = {name: {run.info.corruptions.get(name) for run in self.runs} for name in map(kind_of, common)}
        return {condition for condition in common if len(codes[kind_of(condition)]) == 1}

    def condition_f1(self, condition: str) -> float:
        """F1 under one of :attr:`conditions`, mean over seeds."""
        return scores.mean(run.condition_f1[condition] for run in self.runs)

    def mean(self, metric: str) -> float | None:
        """Mean of a metric over seeds; None where undefined."""
        values = [summary.value(metric) for summary in self.summaries]
        return None if None in values else scores.mean(value for value in values if value is not None)

    def f1_of(self, au: int) -> float:
        """F1 of an AU, mean over seeds."""
        return scores.mean(summary.f1_by_au[f"AU{au}"] for summary in self.summaries)


@dataclass(frozen=True)
class RankedTable:
    """Comparable entries: one protocol version, one store, one selection rule, the same test labels.

    Runs of demo presets are in a table of their own, whose entries have no position and no rank. Submitted predictions
    are in a table of their own, too, and so are methods from outside this repository.

    Attributes:
        is_demo: Whether the runs are demonstrations.
        selection: Rule that chose the scored epoch.
        version: Version of the protocol.
        store: Digest of the store.
        dataset: Name, version and labelled frames of the data set.
        aus: AUs, ascending.
        entries: Methods by F1, then the baselines.
    """

    is_demo: bool
    selection: str
    version: int
    store: str
    dataset: str
    aus: tuple[int, ...]
    entries: tuple[Entry, ...]

    @property
    def is_submitted(self) -> bool:
        """Whether the entries are submitted predictions."""
        return self.selection == SUBMITTED

    @property
    def is_external(self) -> bool:
        """Whether the entries are of methods from outside this repository."""
        return any(entry.info.is_external for entry in self.methods)

    @cached_property
    def methods(self) -> tuple[Entry, ...]:
        """Entries without the baselines."""
        return tuple(entry for entry in self.entries if entry.runs)

    @cached_property
    def methods_by_name(self) -> dict[str, list[Entry]]:
        """Entries without the baselines, by name."""
        return by_name(self.methods)


def by_name(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Group entries by name."""
    groups = defaultdict[str, list[Entry]](list)
    for entry in entries:
        groups[entry.name].append(entry)
    return groups


def ranked_tables(protocol_runs: Iterable[StoredRecord]) -> list[RankedTable]:
    """Group the complete runs of one protocol into tables.

    Args:
        protocol_runs: Records without findings of :func:`aubench.leaderboard.verify.check_record`.

    Returns:
        Tables by origin of the methods (this repository first), protocol version (newest first), selection rule, those
        of known stores first, then those with most methods, labels and store; those of demos last.
    """
    keyed = [(_table_key(run), row_key(run), run.info.seed, run) for run in protocol_runs if run.is_complete]
    keyed.sort(key=lambda item: item[:3])
    groups = [(key, [run for *_, run in group]) for key, group in groupby(keyed, key=lambda item: item[0])]
    groups.sort(key=lambda item: (item[0][:5], -len({run.info.method.name for run in item[1]}), item[0]))
    return [_ranked_table(group) for _, group in groups]


def _table_key(run: StoredRecord) -> tuple[bool, bool, int, int, bool, str, str]:
    info = run.info
    selection = (*SELECTIONS, SUBMITTED).index(info.selection)
    is_unknown = info.dataset.digest not in known_stores()
    kind = info.is_demo, info.is_external, -info.protocol.version, selection
    return *kind, is_unknown, run.labels, info.dataset.digest


def _ranked_table(runs: list[StoredRecord]) -> RankedTable:
    info = runs[0].info
    always_tables = baselines.always_positive(runs[0].record)
    always = subject_contributions([always_tables[0]])
    rated = [_rated_entry(tuple(group), always) for _, group in groupby(runs, key=row_key)]
    rated.sort(key=lambda pair: (-pair[0].f1, pair[0].name, hashing.hash_json(pair[0].info.model_dump(mode="json"))))
    always_entry = Entry(baselines.ALWAYS, baseline_summaries=(scores.summarize(*always_tables),))
    dataset = f"{info.dataset.name} version {info.dataset.version}, {info.dataset.labelled:,} labelled frames"
    dataset += "".join(f", labels of {name}: {rule}" for name, rule in info.protocol.labels.items())
    methods = [entry for entry, _ in rated] if info.is_demo else _with_ranks(rated)
    entries = (*methods, always_entry, _prevalence_entry(runs, always))
    aus = tuple(sorted(info.protocol.aus))
    return RankedTable(info.is_demo, info.selection, info.protocol.version, info.dataset.digest, dataset, aus, entries)


def _rated_entry(runs: tuple[StoredRecord, ...], always: SubjectContributions) -> tuple[Entry, SubjectContributions]:
    contributions = average([run.resampled for run in runs])
    delta = intervals.mean_interval(contributions - always)
    f1 = intervals.mean_interval(contributions)
    return replace(Entry.from_runs(runs), delta_always_positive=delta, f1_interval=f1), contributions


def _prevalence_entry(runs: Sequence[StoredRecord], always: SubjectContributions) -> Entry:
    """Average the prevalence baseline over the distinct training roles of the runs."""
    roles = {str([fold.train_prevalence for fold in run.info.folds]): run.record for run in runs}
    tables = [baselines.prevalence(record) for record in roles.values()]
    delta = intervals.mean_interval(subject_contributions([counts for counts, _ in tables]) - always)
    return Entry("prevalence", (), tuple(scores.summarize(*pair) for pair in tables), delta)


def _with_ranks(rated: list[tuple[Entry, SubjectContributions]]) -> list[Entry]:
    ranks = significance.rank_ranges([contributions for _, contributions in rated])
    f1 = sorted(-entry.f1 for entry, _ in rated)
    positions = [1 + bisect_left(f1, -entry.f1) for entry, _ in rated]
    return [
        replace(entry, position=position, rank=first, last_rank=last)
        for (entry, _), position, (first, last) in zip(rated, positions, ranks, strict=True)
    ]


def _rounded_mean(values: Sequence[float | None]) -> int | None:
    known = [value for value in values if value is not None]
    return round(scores.mean(known)) if known and len(known) == len(values) else None
