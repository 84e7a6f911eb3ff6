"""Tables of a protocol's page: scores, F1 per AU, incomplete runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from aubench.core.recipe_text import recipe_text, value_texts
from aubench.core.task import Modality
from aubench.leaderboard.entries import Entry, RankedTable
from aubench.leaderboard.preset_differences import preset_differences
from aubench.leaderboard.records import StoredRecord
from aubench.leaderboard.render import EMPTY, Cell, Table, text_table
from aubench.metrics import scores
from aubench.metrics.intervals import ConfidenceInterval
from aubench.results.record_info import BUDGET_FIELDS, IMAGE_FIELDS, RecordInfo
from aubench.results.run_costs import Cost

DEMO = "demo"
"""Mark of a row that is a demonstration."""
FIDELITY = {"exact": "exact", "paper-with-resolutions": "resolved", "approximate": "approximate"}
"""Short labels of the degree of agreement with the paper."""


@dataclass(frozen=True)
class Column:
    """Column of a table of entries.

    Attributes:
        header: Column name.
        show: Function that formats the cell of an entry.
        value: Function that returns the fraction of an entry by which the best method is printed bold.
        align: ``left`` or ``right``.
        higher_is_better: Whether the largest value is the best.
    """

    header: str
    show: Callable[[Entry], str]
    value: Callable[[Entry], float | None] | None = None
    align: str = "right"
    higher_is_better: bool = True


def score_table(table: RankedTable) -> Table:
    """Build the table of ranks, scores and cost."""
    return _table(table, [*_identity(table), *_scores(), *_cost()])


def au_table(table: RankedTable) -> Table:
    """Build the table of F1 per AU."""
    aus = [_percent_column(f"AU{au}", partial(Entry.f1_of, au=au)) for au in table.aus]
    return _table(table, [*_identity(table, brief=True), *aus, _percent_column("Mean", lambda entry: entry.f1)])


def seed_counts(entries: Sequence[Entry]) -> str:
    """Format the number of seeds of the entries, as a range if they differ."""
    counts = sorted({len(entry.runs) for entry in entries})
    return f"seeds: {counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "")


def incomplete_table(runs: Sequence[StoredRecord]) -> Table:
    """Build the table of runs that lack folds."""
    headers = ("Method", "Modalities", "Preset", "Selection", "Seed", "Missing")
    rows = [
        (i.method.name, modality_code(i.method.modalities), i.preset, i.selection, str(i.seed), _missing_folds(i))
        for i in (run.info for run in runs)
    ]
    return text_table(headers, "llllrl", rows)


def modality_code(modalities: Sequence[Modality]) -> str:
    """Format modalities for tables: ``V+D``."""
    return "+".join(modality.letter for modality in modalities)


def recipe_label(entry: Entry, entries: Sequence[Entry]) -> str:
    """Format the preset and the recipe values that differ from it, as it is now, or between entries of the method.

    A searched recipe is called tuned. The study is named if there are several recipes, and the number of trials if one
    study has several. The precision, the digests of the method's file and of the files that the recipe names, the
    version of the method, and the runs and stores that the weights are from are added where entries of the same method
    differ in them.
    """
    info, differences = entry.info, preset_differences(entry.info)
    infos = [peer.info for peer in entries if peer.name == entry.name]
    peers = [peer for peer in infos if (peer.preset, peer.search.tuned) == (info.preset, info.search.tuned)]
    precisions = {peer.device.precision for peer in peers if peer.device}
    extra: list[str] = [info.device.precision] if info.device and len(precisions) > 1 else []
    extra += [f"file {(info.method.file or '')[:8]}"] if len({peer.method.file for peer in peers}) > 1 else []
    extra += [f"version {info.method.version or 1}"] if len({peer.method.version for peer in peers}) > 1 else []
    extra += [
        f"{name} {digest[:8]}"
        for name, digest in info.files.items()
        if any(peer.files.get(name) != digest for peer in peers)
    ]
    extra += [origin for origin in info.origins if any(origin not in peer.origins for peer in peers)]
    if info.search.tuned:
        searches = {peer.search for peer in peers if peer.search.study == info.search.study}
        trials = f", {info.search.trials} trials" if len(searches) > 1 else ""
        study = f" ({info.search.study}{trials})" if len(peers) > 1 else ""
        fixed = value_texts((BUDGET_FIELDS | IMAGE_FIELDS) & differences.intersection(info.overrides), info.recipe)
        return ", ".join([info.preset, f"tuned{study}", *fixed, *extra])
    absent = object()
    changed = {
        name
        for name, value in info.recipe.items()
        if name in differences or any(peer.recipe.get(name, absent) != value for peer in peers)
    }
    return ", ".join([recipe_text(info.preset, changed, info.recipe), *extra])


def display_name(entry: Entry, entries: Sequence[Entry]) -> str:
    """Format the method's name with the part of the recipe label that distinguishes its entries."""
    if not entry.runs:
        return entry.name
    label, presets = recipe_label(entry, entries), {peer.info.preset for peer in entries if peer.name == entry.name}
    return entry.name + (label.removeprefix(entry.info.preset) if len(presets) == 1 else f", {label}")


def unique_names(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Name each entry by its method, and by recipe, modalities, selection rule and run where these are needed."""
    candidates = []
    for entry in entries:
        recipe = f"{entry.name} ({recipe_label(entry, entries)})"
        offered = f"{recipe} {modality_code(entry.info.protocol.modalities)}"
        rule = f"{offered} {entry.info.selection}"
        candidates.append((entry.name, recipe, offered, rule, f"{rule} {entry.info.run}"))
    counts = Counter(name for names in candidates for name in names)
    return tuple(next((name for name in names if counts[name] == 1), names[-1]) for names in candidates)


def entry_rows(table: RankedTable) -> list[dict[str, Any]]:
    """List the entries of a table as flat dictionaries; shares are fractions rounded to six decimals."""
    rows = [_entry_row(entry, table) for entry in table.entries]
    return [{k: round(v, scores.DIGITS) if isinstance(v, float) else v for k, v in row.items()} for row in rows]


def _entry_row(entry: Entry, table: RankedTable) -> dict[str, Any]:
    info, delta = entry.info if entry.runs else None, entry.delta_always_positive
    cost = info and info.compute and info.compute.total
    return {
        "demo": table.is_demo,
        "selection": table.selection,
        "protocol_version": table.version,
        "store": table.store,
        "position": entry.position,
        "method": entry.name,
        "fidelity": info and info.method.fidelity and FIDELITY[info.method.fidelity],
        "modalities": info and modality_code(info.method.modalities),
        "recipe": info and recipe_label(entry, table.methods_by_name[entry.name]),
        "seeds": len(entry.runs) or None,
        "f1_std": entry.f1_std,
        "rank": entry.rank,
        "delta_always_positive": delta and delta.estimate,
        "delta_always_positive_low": delta and delta.low,
        "delta_always_positive_high": delta and delta.high,
        **{name: entry.mean(name) for name in entry.summaries[0].metrics},
        **{f"f1_au{au}": entry.f1_of(au) for au in table.aus},
        "flops": cost and cost.flops,
        "parameters": cost and cost.parameters,
        "frames": entry.frames,
        "pretraining_frames": entry.pretraining_frames,
    }


def _identity(table: RankedTable, *, brief: bool = False) -> list[Column]:
    def of_entry(show: Callable[[Entry], str]) -> Callable[[Entry], str]:
        return lambda entry: show(entry) if entry.runs else EMPTY

    def of_run(show: Callable[[RecordInfo], str]) -> Callable[[Entry], str]:
        return of_entry(lambda entry: show(entry.info))

    def fidelity(info: RecordInfo) -> str:
        return FIDELITY[info.method.fidelity] if info.method.fidelity else EMPTY

    columns = [
        Column("#", lambda entry: DEMO if table.is_demo and entry.runs else integer(entry.position)),
        Column("Method", lambda entry: entry.name, align="left"),
        Column("Fidelity", of_run(fidelity), align="left"),
        Column("Modalities", of_run(lambda info: modality_code(info.method.modalities)), align="left"),
        Column("Preset", of_entry(lambda entry: recipe_label(entry, table.methods_by_name[entry.name])), align="left"),
    ]
    return [column for column in columns if not (brief and column.header == "Fidelity")]


def _scores() -> list[Column]:
    """List F1 with its spread, rank and difference to always-positive, and a column for each other metric."""
    return [
        Column("F1", f1_with_std, lambda entry: entry.f1),
        Column("Rank", lambda entry: integer(entry.rank)),
        Column("Above always positive", lambda entry: difference(entry.delta_always_positive)),
        *(
            _percent_column(metric.title, partial(Entry.mean, metric=metric.name), metric.higher_is_better)
            for metric in scores.column_metrics()
            if metric.name != "f1"
        ),
    ]


def _cost() -> list[Column]:
    return [
        Column("GFLOPs", _of_cost(lambda cost: decimals(cost.flops / 1e9))),
        Column("Params (M)", _of_cost(lambda cost: f"{cost.parameters / 1e6:.2f}")),
        Column("Frames", lambda entry: integer(entry.frames)),
        Column("Pre-training frames", lambda entry: integer(entry.pretraining_frames)),
        Column("Seeds", lambda entry: integer(len(entry.runs) or None)),
    ]


def _of_cost(show: Callable[[Cost], str]) -> Callable[[Entry], str]:
    """Return a function that formats the cost of an entry, if it is known."""

    def cell(entry: Entry) -> str:
        compute = entry.info.compute if entry.runs else None
        return show(compute.total) if compute else EMPTY

    return cell


def _percent_column(header: str, value: Callable[[Entry], float | None], higher_is_better: bool = True) -> Column:
    return Column(header, lambda entry: percent(value(entry)), value, higher_is_better=higher_is_better)


def _table(table: RankedTable, columns: Sequence[Column]) -> Table:
    best = {column.header: _best(column, table.methods) for column in columns}

    def cell(column: Column, entry: Entry) -> Cell:
        is_best = column.value and entry.position is not None and percent(column.value(entry)) == best[column.header]
        return Cell(column.show(entry), bool(is_best))

    rows = tuple(tuple(cell(column, entry) for column in columns) for entry in table.entries)
    return Table(tuple(column.header for column in columns), tuple(column.align for column in columns), rows)


def _best(column: Column, entries: Sequence[Entry]) -> str | None:
    """Return the best value of a column as printed; None if the column has no values."""
    values = [value for entry in entries if column.value and (value := column.value(entry)) is not None]
    return percent((max if column.higher_is_better else min)(values)) if values else None


def f1_with_std(entry: Entry) -> str:
    """Format F1 in percent, with its standard deviation if it has one."""
    return percent(entry.f1) + ("" if entry.f1_std is None else f" ± {percent(entry.f1_std)}")


def percent(value: float | None, sign: str = "") -> str:
    """Format a fraction in percent with one decimal; the sign ``+`` puts a plus before values that are not negative."""
    return EMPTY if value is None else f"{100 * value:{sign}z.1f}"


def decimals(value: float) -> str:
    """Format a number with three decimals, or one significant digit if it would be 0."""
    return f"{value:.3f}" if value >= 0.0005 or not value else f"{value:.1g}"


def integer(value: int | None) -> str:
    """Format an integer with separators of thousands."""
    return EMPTY if value is None else f"{value:,}"


def difference(interval: ConfidenceInterval | None) -> str:
    """Format a difference in percent with its interval."""
    if interval is None:
        return EMPTY
    low, estimate, high = (percent(value, "+") for value in (interval.low, interval.estimate, interval.high))
    return f"{estimate} ({low} to {high})"


def _missing_folds(info: RecordInfo) -> str:
    folds = sorted(set(range(1, info.protocol.fold_count + 1)) - {fold.fold for fold in info.folds})
    return f"fold{'s' if len(folds) > 1 else ''} {', '.join(map(str, folds))} of {info.protocol.fold_count}"
