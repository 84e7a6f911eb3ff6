"""Table of the provenance of a leaderboard's rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aubench.leaderboard.entries import Entry, by_name
from aubench.leaderboard.records import RECORDS
from aubench.leaderboard.render import EMPTY, Cell, Table
from aubench.leaderboard.tables import modality_code, recipe_label
from aubench.results.record_info import RecordInfo
from aubench.results.run_costs import Git
from aubench.results.schema import Pretraining, Search

_MAX_CELL = 240
"""Characters of a cell with text of a record, which has no other bound."""
_PROVENANCE = {
    **dict.fromkeys(("Method", "Preset", "Selection", "Offered", "Records by seed", "Pre-training data"), "left"),
    **dict.fromkeys(("Trials", "Frames/s train", "Frames/s test"), "right"),
    **dict.fromkeys(("Device", "Commit", "Store"), "left"),
}
"""Alignment of each column."""


def provenance_table(entries: Sequence[Entry]) -> Table:
    """Build the table of records, pre-training, search, speed and environments; distinct values of seeds are listed."""
    groups = by_name(entries)
    rows = tuple(_provenance_row(entry, groups[entry.name]) for entry in entries)
    return Table(tuple(_PROVENANCE), tuple(_PROVENANCE.values()), rows)


def _provenance_row(entry: Entry, entries: Sequence[Entry]) -> tuple[Cell, ...]:
    info, infos = entry.info, [run.info for run in entry.runs]
    links = tuple(
        (str(run.info.seed), f"{RECORDS}/{run.record.relative_path.as_posix()}/record.json") for run in entry.runs
    )
    environments = [environment for info in infos for environment in info.environments]
    devices = [environment.device for environment in environments]
    pretraining = _distinct_marked(_pretraining(item, info) for info in infos for item in info.pretraining) or "none"
    texts = (
        "not seen" if info.is_submitted else pretraining,
        EMPTY if info.is_submitted else _search_cost(info.search),
        _range(info.speed.train_frames_per_s for info in infos),
        _range(info.speed.inference_frames_per_s for info in infos),
        _distinct(f"{device.label}, {device.precision}, threads: {device.threads}" for device in devices) or EMPTY,
        _distinct_marked(_commit(environment.git) for environment in environments) or EMPTY,
        f"{info.dataset.version} {info.dataset.digest[:8]}",
    )
    first = (entry.name, recipe_label(entry, entries), info.selection, modality_code(info.protocol.modalities))
    return (*map(Cell, first), Cell("", links=links), *(Cell(text[:_MAX_CELL]) for text in texts))


def _search_cost(search: Search) -> str:
    if not search.tuned:
        return str(search.trials)
    cost = () if search.seconds is None else (f"{search.seconds:,.0f} s", f"{search.frames or 0:,} frames")
    return "; ".join([f"{search.trials} by {search.sampler}", *cost])


def _distinct(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))


def _distinct_marked(marked_texts: Iterable[tuple[str, str]]) -> str:
    """Join texts with their marks. Those with a mark are first, so that a cell that is cut has them."""
    pairs = sorted(marked_texts, key=lambda pair: not pair[1])
    return _distinct(text + mark for text, mark in pairs)


def _pretraining(item: Pretraining, info: RecordInfo) -> tuple[str, str]:
    """Return the source of weights, and a mark if test subjects are among their data."""
    test_subjects = {subject for fold in info.folds if item.fold in (None, fold.fold) for subject in fold.test}
    mark = " (test subjects among them)" if test_subjects & set(item.subjects) else ""
    run = f" (run {item.run[:8]})" if item.run else ""
    return (", ".join(item.datasets) or item.source)[: _MAX_CELL // 2] + run, mark


def _commit(git: Git) -> tuple[str, str]:
    """Return the first characters of a commit, and a mark if the code differed from it."""
    return (EMPTY, "") if git.commit is None else (git.commit[:8], " + changes" if git.dirty else "")


def _range(speeds: Iterable[float | None]) -> str:
    """Format the lowest and the highest measured speed."""
    measured = [speed for speed in speeds if speed is not None]
    return " to ".join(dict.fromkeys(f"{bound(measured):,.0f}" for bound in (min, max))) if measured else EMPTY
