"""What can be said of contestants and of the difference of each two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aubench.leaderboard.comparison_set import Contest
from aubench.leaderboard.tables import letters
from aubench.metrics import intervals, significance
from aubench.metrics import scores as metrics
from aubench.metrics.intervals import Interval
from aubench.metrics.resampling import Floats, Shares, shares

MEAN = "mean"


@dataclass(frozen=True)
class Line:
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
    minus: str | None
    au: str
    interval: Interval
    p: float | None = None
    corrected: float | None = None


@dataclass(frozen=True)
class Standing:
    """A contestant's place.

    Attributes:
        line: Its mean F1.
        by_seed: The same of each run, by seed.
        rank: One more than the number of contestants that are significantly better.
        modalities: What it uses, as letters.
    """

    line: Line
    by_seed: tuple[float, ...]
    rank: int
    modalities: str

    @property
    def deviation(self) -> float | None:
        """Standard deviation over seeds; None for a single one."""
        return metrics.deviation(self.by_seed) if len(self.by_seed) > 1 else None


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

    about: str
    standings: tuple[Standing, ...]
    scores: tuple[Line, ...]
    means: tuple[Line, ...]
    differences: tuple[Line, ...]


def compare(contest: Contest, condition: str) -> Comparison:
    """Score the contestants and test each pair.

    Args:
        contest: Who is compared.
        condition: What was done to the test inputs of all of them; ``clean`` for nothing.
    """
    counts = [[kept.record.counts for kept in row.runs] for row in contest.rows]
    entries = list(zip(contest.names, contest.rows, [shares(one, condition) for one in counts], counts, strict=True))
    entries.sort(key=lambda entry: (-entry[2].estimate[-1], entry[0]))
    names, found = [name for name, *_ in entries], [own for _, _, own, _ in entries]
    pairs = significance.differences(found)
    p_means, p_aus = significance.mean_p(pairs), significance.au_p(pairs)
    means, aus = _tested(names, pairs, p_means[:, None], slice(-1, None)), _tested(names, pairs, p_aus, slice(None, -1))
    ranks = significance.ranks(len(found), pairs, significance.holm(p_means))
    standings = [
        Standing(
            _lines(name, None, own)[-1],
            tuple(metrics.headline(metrics.f1(metrics.tally(table, condition).cells)) for table in tables),
            rank,
            letters(row.info.method.modalities),
        )
        for (name, row, own, tables), rank in zip(entries, ranks, strict=True)
    ]
    scores = [line for name, own in zip(names, found, strict=True) for line in _lines(name, None, own)[:-1]]
    return Comparison(_about(contest, found[0], condition), tuple(standings), tuple(scores), tuple(means), tuple(aus))


def _lines(method: str, minus: str | None, found: Shares) -> list[Line]:
    labels = [*(f"AU{au}" for au in found.aus), MEAN]
    return [Line(method, minus, au, one) for au, one in zip(labels, intervals.every(found), strict=True)]


def _tested(names: Sequence[str], pairs: significance.Pairs, p: Floats, columns: slice) -> list[Line]:
    made = []
    for (i, j), own, corrected in zip(pairs, p.tolist(), significance.holm(p).tolist(), strict=True):
        lines = _lines(names[i], names[j], pairs[i, j])[columns]
        made += [
            Line(line.method, line.minus, line.au, line.interval, *both)
            for line, *both in zip(lines, own, corrected, strict=True)
        ]
    return made


def _about(contest: Contest, found: Shares, condition: str) -> str:
    info = contest.rows[0].info
    people = sum(len(subjects) for _, subjects in found.people)
    return (
        f"Protocol {info.protocol.name} version {info.protocol.version}, "
        f"data {info.dataset.name} version {info.dataset.version}, "
        f"selection {info.selection}, condition {condition}: {people} test subjects in {len(found.people)} folds."
    )
