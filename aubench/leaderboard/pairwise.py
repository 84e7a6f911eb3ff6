"""Scores per method and pairwise differences with p-values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from aubench.leaderboard.comparison_set import ComparisonSet
from aubench.leaderboard.outdated import outdated_note
from aubench.leaderboard.render import Block
from aubench.leaderboard.tables import modality_code, recipe_label
from aubench.metrics import intervals, significance
from aubench.metrics import scores as metrics
from aubench.metrics.intervals import ConfidenceInterval
from aubench.metrics.resampling import Floats, SubjectContributions, subject_contributions

MEAN = "mean"


@dataclass(frozen=True)
class PairwiseResult:
    """F1 of a method, or the difference of two methods, for one AU or the mean over AUs.

    Attributes:
        method: Name of the method.
        reference: Method whose F1 is subtracted; None for the F1 itself.
        au: ``AU1`` … or ``mean``.
        interval: Estimate and 95 % interval over subjects.
        p: P-value of the paired test of a difference.
        p_corrected: P-value after Holm's correction: over all pairs for the mean, over all pairs and AUs for an AU.
        seed_error: Standard error over seeds of the difference in the mean; None if a method has a single seed.
    """

    method: str
    reference: str | None
    au: str
    interval: ConfidenceInterval
    p: float | None = None
    p_corrected: float | None = None
    seed_error: float | None = None


@dataclass(frozen=True)
class RankedMethod:
    """Method with its rank.

    Attributes:
        result: Mean F1.
        by_seed: Mean F1 of each run, by seed.
        rank: One more than the number of significantly better methods.
        modalities: Letters of the modalities that the method uses.
        preset: Preset and the values that differ from it.
    """

    result: PairwiseResult
    by_seed: tuple[float, ...]
    rank: int
    modalities: str
    preset: str

    @property
    def deviation(self) -> float | None:
        """Standard deviation over seeds; None for a single one."""
        return metrics.std(self.by_seed)


@dataclass(frozen=True)
class Comparison:
    """Comparison under one condition.

    Attributes:
        description: Protocol, data, selection rule, condition and subjects, in one sentence.
        standings: Methods by F1, best first.
        scores: F1 of each method and AU.
        means: Difference of each pair in the mean over AUs, better minus worse.
        differences: Difference of each pair in each AU.
        outdated: Note on records of earlier versions of their methods; empty if all are current.
    """

    description: str
    standings: tuple[RankedMethod, ...]
    scores: tuple[PairwiseResult, ...]
    means: tuple[PairwiseResult, ...]
    differences: tuple[PairwiseResult, ...]
    outdated: tuple[Block, ...] = ()


def compare(compared: ComparisonSet, condition: str) -> Comparison:
    """Score the methods and test each pair.

    Args:
        compared: Entries to compare.
        condition: Test condition of all of them, ``clean`` for unmodified inputs.
    """
    counts = [[run.record.counts for run in entry.runs] for entry in compared.entries]
    rated = [
        (subject_contributions(tables, condition), name, entry)
        for tables, name, entry in zip(counts, compared.names, compared.entries, strict=True)
    ]
    rated.sort(key=lambda item: (-item[0].estimate[-1], item[1]))
    contributions, names = [item[0] for item in rated], [item[1] for item in rated]
    pairs = significance.differences(contributions)
    p_means, p_aus = significance.p_values_mean(pairs), significance.p_values_per_au(pairs)
    ranks = significance.ranks(len(rated), pairs, significance.holm(p_means))
    results = [_results(name, None, item) for name, item in zip(names, contributions, strict=True)]
    standings = [
        RankedMethod(
            by_au[-1],
            tuple(run.condition_f1[condition] for run in entry.runs),
            rank,
            modality_code(entry.info.method.modalities),
            recipe_label(entry, compared.entries),
        )
        for by_au, (_, _, entry), rank in zip(results, rated, ranks, strict=True)
    ]
    return Comparison(
        _description(compared, contributions[0], condition),
        tuple(standings),
        tuple(result for by_au in results for result in by_au[:-1]),
        tuple(
            replace(result, seed_error=_seed_error(standings[i], standings[j]))
            for (i, j), result in zip(pairs, _differences(names, pairs, p_means[:, None], slice(-1, None)), strict=True)
        ),
        tuple(_differences(names, pairs, p_aus, slice(None, -1))),
        tuple(outdated_note(run for entry in compared.entries for run in entry.runs)),
    )


def _results(method: str, reference: str | None, contributions: SubjectContributions) -> list[PairwiseResult]:
    """List the results of each AU, and last of their mean."""
    labels = [*(f"AU{au}" for au in contributions.aus), MEAN]
    bounds = intervals.confidence_intervals(contributions)
    return [PairwiseResult(method, reference, au, interval) for au, interval in zip(labels, bounds, strict=True)]


def _differences(names: Sequence[str], pairs: significance.Pairs, p: Floats, columns: slice) -> list[PairwiseResult]:
    results = []
    for (i, j), raw, corrected in zip(pairs, p.tolist(), significance.holm(p).tolist(), strict=True):
        by_au = _results(names[i], names[j], pairs[i, j])[columns]
        results += [
            PairwiseResult(result.method, result.reference, result.au, result.interval, *p_values)
            for result, *p_values in zip(by_au, raw, corrected, strict=True)
        ]
    return results


def _seed_error(first: RankedMethod, second: RankedMethod) -> float | None:
    """Return the standard error of a difference of two means over independent seeds; None for a single seed."""
    variances = [each.deviation**2 / len(each.by_seed) for each in (first, second) if each.deviation is not None]
    return math.sqrt(sum(variances)) if len(variances) == 2 else None


def _description(compared: ComparisonSet, contributions: SubjectContributions, condition: str) -> str:
    info = compared.entries[0].info
    selections = " and ".join(dict.fromkeys(entry.info.selection for entry in compared.entries))
    submitted = [n for n, entry in zip(compared.names, compared.entries, strict=True) if entry.info.is_submitted]
    note = f" Predictions submitted, training not seen: {', '.join(submitted)}." if submitted else ""
    subject_count = sum(len(subjects) for _, subjects in contributions.subjects)
    return (
        f"Protocol {info.protocol.name} version {info.protocol.version}, "
        f"data {info.dataset.name} version {info.dataset.version}, selection {selections}, "
        f"condition {condition}: {subject_count} test subjects in {len(contributions.subjects)} folds.{note}"
    )
