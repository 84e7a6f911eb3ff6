"""What can be said of contestants and of the difference of each two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aubench.leaderboard.comparison_set import ComparisonSet
from aubench.leaderboard.tables import modality_code
from aubench.metrics import intervals, significance
from aubench.metrics import scores as metrics
from aubench.metrics.intervals import ConfidenceInterval
from aubench.metrics.resampling import Floats, SubjectContributions, subject_contributions

MEAN = "mean"


@dataclass(frozen=True)
class PairwiseResult:
    """F1 of a contestant, or the difference of two, in one AU or in the mean over AUs.

    Attributes:
        method: The contestant.
        minus: The one that is taken off; None for a contestant by itself.
        au: ``AU1`` … or ``mean``.
        interval: Estimate and 95 % interval over subjects.
        p: P-value of the paired test of a difference.
        corrected: The same after Holm's correction: over all pairs for the mean, over all pairs and AUs for an AU.
    """

    method: str
    reference: str | None
    au: str
    interval: ConfidenceInterval
    p: float | None = None
    p_corrected: float | None = None


@dataclass(frozen=True)
class RankedMethod:
    """A contestant's place.

    Attributes:
        line: Its mean F1.
        by_seed: The same of each run, by seed.
        rank: One more than the number of contestants that are significantly better.
        modalities: What it uses, as letters.
    """

    result: PairwiseResult
    by_seed: tuple[float, ...]
    rank: int
    modalities: str

    @property
    def deviation(self) -> float | None:
        """Standard deviation over seeds; None for a single one."""
        return metrics.std(self.by_seed) if len(self.by_seed) > 1 else None


@dataclass(frozen=True)
class Comparison:
    """All that is said of a contest under one condition.

    Attributes:
        about: Protocol, data, selection rule, condition and people, in one sentence.
        standings: Contestants by F1, the best first.
        scores: F1 of each contestant and AU.
        means: Difference of each pair in the mean over AUs, the better minus the worse.
        differences: Difference of each pair in each AU.
    """

    description: str
    standings: tuple[RankedMethod, ...]
    scores: tuple[PairwiseResult, ...]
    means: tuple[PairwiseResult, ...]
    differences: tuple[PairwiseResult, ...]


def compare(contest: ComparisonSet, condition: str) -> Comparison:
    """Score the contestants and test each pair.

    Args:
        contest: Who is compared.
        condition: What was done to the test inputs of all of them; ``clean`` for nothing.
    """
    counts = [[kept.record.counts for kept in row.runs] for row in contest.entries]
    entries = list(
        zip(
            contest.names,
            contest.entries,
            [subject_contributions(one, condition) for one in counts],
            counts,
            strict=True,
        )
    )
    entries.sort(key=lambda entry: (-entry[2].estimate[-1], entry[0]))
    names, found = [name for name, *_ in entries], [own for _, _, own, _ in entries]
    pairs = significance.differences(found)
    p_means, p_aus = significance.p_values_mean(pairs), significance.p_values_per_au(pairs)
    means, aus = _tested(names, pairs, p_means[:, None], slice(-1, None)), _tested(names, pairs, p_aus, slice(None, -1))
    ranks = significance.ranks(len(found), pairs, significance.holm(p_means))
    standings = [
        RankedMethod(
            _lines(name, None, own)[-1],
            tuple(
                metrics.macro_mean(metrics.f1(metrics.sum_over_subjects(table, condition).cells)) for table in tables
            ),
            rank,
            modality_code(row.info.method.modalities),
        )
        for (name, row, own, tables), rank in zip(entries, ranks, strict=True)
    ]
    scores = [line for name, own in zip(names, found, strict=True) for line in _lines(name, None, own)[:-1]]
    return Comparison(_about(contest, found[0], condition), tuple(standings), tuple(scores), tuple(means), tuple(aus))


def _lines(method: str, minus: str | None, found: SubjectContributions) -> list[PairwiseResult]:
    labels = [*(f"AU{au}" for au in found.aus), MEAN]
    return [
        PairwiseResult(method, minus, au, one)
        for au, one in zip(labels, intervals.confidence_intervals(found), strict=True)
    ]


def _tested(names: Sequence[str], pairs: significance.Pairs, p: Floats, columns: slice) -> list[PairwiseResult]:
    made = []
    for (i, j), own, corrected in zip(pairs, p.tolist(), significance.holm(p).tolist(), strict=True):
        lines = _lines(names[i], names[j], pairs[i, j])[columns]
        made += [
            PairwiseResult(line.method, line.reference, line.au, line.interval, *both)
            for line, *both in zip(lines, own, corrected, strict=True)
        ]
    return made


def _about(contest: ComparisonSet, found: SubjectContributions, condition: str) -> str:
    info = contest.entries[0].info
    people = sum(len(subjects) for _, subjects in found.subjects)
    return (
        f"Protocol {info.protocol.name} version {info.protocol.version}, "
        f"data {info.dataset.name} version {info.dataset.version}, "
        f"selection {info.selection}, condition {condition}: {people} test subjects in {len(found.subjects)} folds."
    )
