"""Results of runs as DataFrames: records, comparisons, robustness. Imports no torch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aubench.api.dataframe_view import DataFrameView
from aubench.api.formats import check_form, frame_text
from aubench.api.planning import AnyPath, AnyPaths
from aubench.core.user_paths import user_path, user_paths

if TYPE_CHECKING:
    import pandas as pd

    from aubench.leaderboard.pairwise import Comparison
    from aubench.leaderboard.records import Finding, StoredRecord
    from aubench.metrics.robustness_profile import RobustnessProfile
    from aubench.results.record import Record


@dataclass(frozen=True, repr=False)
class Results(DataFrameView):
    """Records of runs.

    Attributes:
        stored_records: Records with their folders, in the order of the runs.
        skipped_runs: Runs without a complete record and copies of runs, with the reason.
    """

    stored_records: tuple[StoredRecord, ...]
    skipped_runs: tuple[Finding, ...] = ()

    @property
    def records(self) -> tuple[Record, ...]:
        """Records: provenance (``info``), ``counts`` and ``histograms``."""
        return tuple(stored.record for stored in self.stored_records)

    def _row_count(self) -> int:
        return len(self.stored_records)

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per run.

        Metrics are fractions under clean inputs.

        Returns:
            Columns ``run`` (id), ``protocol``, ``method``, ``modalities`` (letters of those that the method uses),
            ``preset``, ``tuned``, ``seed``, ``selection``, ``folds`` (finished), ``fold_count``, one column per metric
            (``f1``, ``f1_pooled``, ``acc``, ``auc``, ``ap`` and those of plug-ins), ``f1_over_always_positive`` with
            its 95 % interval ``f1_over_low`` and ``f1_over_high``, ``gflops``, ``parameters``, ``folder``, and of the
            method ``title``, ``paper`` (of a built-in method) and ``citation`` (BibTeX of the run).
        """
        import pandas as pd

        from aubench.metrics.scores import METRICS

        columns = [
            *("run", "protocol", "method", "modalities", "preset", "tuned", "seed", "selection", "folds", "fold_count"),
            *METRICS.names(),
            *("f1_over_always_positive", "f1_over_low", "f1_over_high", "gflops", "parameters", "folder"),
            *("title", "paper", "citation"),
        ]
        return pd.DataFrame([_run_row(stored) for stored in self.stored_records], columns=columns)

    def summary(self) -> str:
        """Return the table that ``aubench run`` prints; empty without records."""
        from tabulate import tabulate

        from aubench.leaderboard.tables import percent
        from aubench.metrics.scores import column_metrics

        metrics = [metric for metric in column_metrics() if not metric.pooled and metric.name != "f1"]
        headers = ("method", "seed", "folds", "F1", "over always-positive [95 %]", *(m.title for m in metrics))
        rows = [
            (
                row["method"],
                row["seed"],
                f"{row['folds']}/{row['fold_count']}",
                percent(row["f1"]),
                "{} [{}, {}]".format(
                    *(percent(row[name], "+") for name in ("f1_over_always_positive", "f1_over_low", "f1_over_high"))
                ),
                *(percent(row[metric.name]) for metric in metrics),
                "–" if row["gflops"] is None else f"{row['gflops']:.3g}",
                row["folder"].removesuffix("/record"),
            )
            for row in map(_run_row, self.stored_records)
        ]
        return tabulate(rows, (*headers, "GFLOPs", "run"), "github", disable_numparse=True) if rows else ""


@dataclass(frozen=True, repr=False)
class ComparisonResults(DataFrameView):
    """Comparison of methods under one condition.

    Attributes:
        comparison: Ranks, scores and pairwise differences.
        skipped_runs: Runs that are not part of the comparison, with the reason.
    """

    comparison: Comparison
    skipped_runs: tuple[Finding, ...]

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per method and AU, then one row per pair of methods and AU.

        Returns:
            Columns ``method``, ``minus`` (the second method of a pair, missing for a single method), ``au`` (``AU1`` …
            or ``mean``), ``f1`` (a fraction; the difference for a pair) with its 95 % interval ``low`` and ``high``,
            ``p`` and ``p_holm`` of a pair, for the mean of a single method ``seeds``, ``seed_deviation`` and ``rank``,
            and for that of a pair ``seed_error``.
        """
        from aubench.leaderboard import pairwise_tables

        return pairwise_tables.to_dataframe(self.comparison)

    def render(self, form: str) -> str:
        """Return the comparison as text.

        Args:
            form: ``markdown`` (``md``), ``latex``, ``csv`` or ``json``.

        Raises:
            UsageError: The format is not known.
        """
        from aubench.leaderboard import pairwise_tables

        form = check_form(form)
        if form == "json":
            return frame_text(self.to_dataframe(), form)
        return pairwise_tables.render(self.comparison, form)


@dataclass(frozen=True, repr=False)
class RobustnessResults(DataFrameView):
    """Scores of methods under test conditions.

    Attributes:
        profiles: Methods with their scores, by protocol.
        text: Tables as ``aubench robustness`` prints them; the DataFrame as ``csv`` or ``json`` if that was the format.
        paths: Files of tables and figures.
    """

    profiles: Mapping[str, Sequence[RobustnessProfile]]
    text: str = ""
    paths: tuple[Path, ...] = ()

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per method, condition and AU.

        Returns:
            Columns ``protocol``, ``method``, ``condition`` (``clean`` first), ``au`` (``AU1`` … or ``mean``), ``f1`` (a
            fraction, mean over seeds) with its 95 % interval ``f1_low`` and ``f1_high``, and ``change``,
            ``change_low`` and ``change_high``: F1 minus that of clean inputs, paired by subject.
        """
        import pandas as pd

        rows = (row for name, profiles in self.profiles.items() for profile in profiles for row in _rows(name, profile))
        columns = ["protocol", "method", "condition", "au", "f1", "f1_low", "f1_high"]
        return pd.DataFrame(rows, columns=[*columns, "change", "change_low", "change_high"])


def _rows(protocol: str, profile: RobustnessProfile) -> Iterator[tuple[Any, ...]]:
    labels = [*(f"AU{au}" for au in profile.aus), "mean"]
    for condition in profile.by_condition:
        intervals = zip(labels, profile.f1(condition), profile.change(condition), strict=True)
        for label, f1, change in intervals:
            bounds = (f1.estimate, f1.low, f1.high, change.estimate, change.low, change.high)
            yield (protocol, profile.name, str(condition), label, *bounds)


def load_results(path: AnyPath = "runs") -> Results:
    """Read the records of a folder without importing torch.

    The metrics are computed from the counts and histograms of each record. ``aubench leaderboard check`` verifies a
    leaderboard.

    Args:
        path: Folder of runs (searched at any depth, also behind links; of copies of a run, one counts), of one run, or
            of a leaderboard.

    Returns:
        The records, and skipped runs with the reason.

    Raises:
        DataError: The folder does not exist or has no record of a finished run.
        RecordError: A record is invalid.
    """
    from aubench.leaderboard import finished_records, records, show, verify
    from aubench.leaderboard.command_hints import check_hint

    root = user_path(path)
    is_leaderboard = (root / records.RECORDS).is_dir()
    stored, problems = records.read_records(root) if is_leaderboard else finished_records.find_finished_records(root)
    unreadable, skipped = (problems, ()) if is_leaderboard else ((), problems)
    findings = itertools.chain(unreadable, *map(verify.check_record, stored))
    records.raise_first(findings, check_hint(root) if is_leaderboard else None)
    show.require_records(stored, root)
    return Results(tuple(stored), tuple(skipped))


def compare(runs: AnyPaths, *, condition: str = "clean", root: AnyPath = "leaderboard") -> ComparisonResults:
    """Compare methods by their records.

    F1, differences with intervals, paired tests and ranks. METHOD@PROTOCOL names a method's runs on the leaderboard.

    Args:
        runs: Folders of one or more finished runs, or ``METHOD@PROTOCOL``.
        condition: Test condition, as named in the records.
        root: Folder of the leaderboard.

    Returns:
        Scores, differences, paired tests and ranks.

    Raises:
        AubenchError: A folder or name does not exist, a record is invalid, or the runs are not comparable.
    """
    from aubench.core.errors import UsageError
    from aubench.leaderboard import comparison_set, pairwise

    if not isinstance(condition, str):
        raise UsageError(f"cannot be {condition!r}", where="--condition", hint="give a text such as 'missing:visual'")
    compared = comparison_set.load_comparison_set(list(map(str, user_paths(runs))), user_path(root))
    compared = comparison_set.with_condition(compared, condition)
    return ComparisonResults(pairwise.compare(compared, condition), compared.skipped_runs)


def _run_row(stored: StoredRecord) -> dict[str, Any]:
    from aubench.leaderboard.board_rows import citations
    from aubench.leaderboard.entries import Entry
    from aubench.leaderboard.tables import modality_code
    from aubench.metrics import baselines, intervals, scores

    record, info = stored.record, stored.record.info
    always_positive, _ = baselines.always_positive(record)
    delta = intervals.f1_difference([record.counts], [always_positive])
    cost = info.compute and info.compute.total
    provenance = citations(Entry.from_runs([stored]))
    return {
        "run": info.run,
        "protocol": info.protocol.name,
        "method": info.method.name,
        "modalities": modality_code(info.method.modalities),
        "preset": info.preset,
        "tuned": None if info.is_submitted else info.search.tuned,
        "seed": info.seed,
        "selection": info.selection,
        "folds": len(info.folds),
        "fold_count": info.protocol.fold_count,
        **{name: summary.mean for name, summary in scores.summary_of(record).metrics.items()},
        "f1_over_always_positive": delta.estimate,
        "f1_over_low": delta.low,
        "f1_over_high": delta.high,
        "gflops": cost and cost.flops / 1e9,
        "parameters": cost and cost.parameters,
        "folder": stored.folder.as_posix(),
        **{name: provenance[name] for name in ("title", "paper", "citation")},
    }
