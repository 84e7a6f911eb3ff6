"""The Markdown of a leaderboard: a function of its ``records`` and ``reported``, and of which folders lie beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from aubench._util import atomic
from aubench.core import registry
from aubench.core.errors import DataError, RecordError, UsageError, suggest
from aubench.leaderboard import entries, records, robustness_tables, tables, verify
from aubench.leaderboard.entries import RankedTable
from aubench.leaderboard.records import StoredRecord
from aubench.leaderboard.render import Block, Cell, Table, escaped, markdown, plain_text
from aubench.papers import measured, reported, reported_page
from aubench.papers.reported import ReportedTable

INDEX = "README.md"
STAMP = "<!-- Made by `aubench leaderboard build` from records/ and reported/; changes by hand are lost. -->"
"""The first line of every page; only files that begin so are ever replaced or removed."""

_HEADINGS = {
    "inner_val": "Epoch chosen on validation subjects",
    "last": "Last epoch",
    "oracle_test": "Epoch chosen on the test subjects (leaks)",
}
_LEAK = (
    "These numbers are **not** what a method would score on new people: the epoch was chosen by looking at the test\n"
    "role. They are shown to be compared with published numbers that were made this way, and with nothing else."
)
_BEST = "Best F1 is that of the first honest selection rule with a complete run; leaking selection never counts here."
_VARIANTS = f"""\
Recipes that tables of papers change, a setting or the modalities offered. They are ranked among
themselves only; methods as they come, and tuned ones, are ranked on the [leaderboard](../{INDEX})."""
_BESIDE = {
    records.VARIANTS: f"Recipes that papers' tables change are ranked apart: [variants]({records.VARIANTS}/{INDEX}).",
    records.REPRODUCED: f"Papers' tables and figures beside what was measured: [reproduced]({records.REPRODUCED}).",
}
"""Said of folders beside the pages, where they exist."""
_READING = """\
## How to read the tables

- **F1** (in %): per AU over the frames of a fold's test role at threshold 0.5, mean over AUs, then folds, then seeds.
  Undefined F1 counts 0, unknown labels count nowhere. After ±: the standard deviation over all folds and seeds.
- **Rank**: one more than the number of rows that are significantly better: by a paired test over the test subjects, at
  5 % after Holm's correction over all pairs of the table. Rank 1 is everything that nothing is shown to beat.
- **Above always positive**: F1 minus that of saying "present" to every frame, with its paired 95 % interval over the
  test subjects. Only an interval wholly above 0 shows an F1 better than always answering "present"; below 0, F1 is
  worse, though the method may order frames well (see AUC).
- **F1 pooled**: the folds' counts added up first. **ACC**: share of known labels predicted right. **AUC**: area under
  the ROC curve, from histograms of 200 bins. ACC and AUC are means over AUs, folds and seeds.
- **#**: place by F1. The trivial baselines (always positive; prevalence, which answers with the AU's share of positives
  in training) stand in every table without a place. The best ranked value of a column is bold.
- **Fidelity**: *exact*, as the paper has it; *resolved*, what the paper leaves open was decided and is stated;
  *approximate*, too little is published.
- **Preset**: where the recipe began, and its values that are not the preset's; *tuned*: found by a search, whose trials
  are told at the end of the page.
- **Modalities**: V visual, D depth, T thermal: what the method uses. **GFLOPs** per frame, two operations a
  multiply-accumulate. **Params**: weights, in millions. **Seeds**: runs that differ in their seed alone.
- A run that lacks a fold is listed below the tables and not ranked.

`aubench leaderboard check` recomputes every number from the `counts.csv` and `histograms.csv` beside each record."""


def pages(root: Path) -> dict[str, str]:
    """Make the pages of a leaderboard.

    Args:
        root: Its folder.

    Returns:
        Text by file name.

    Raises:
        DataError: There is no such folder.
        RecordError: A record or a reported table cannot be read or does not hold what it claims.
    """
    return pages_of(root, _read_verified(root), reported.read_all(root))


def pages_of(root: Path, kept: Sequence[StoredRecord], told: Sequence[ReportedTable]) -> dict[str, str]:
    """:func:`pages` from records and reported tables that were read and proven before."""
    protocols = _protocols(kept)
    made = {f"{one.name}.md": markdown([STAMP, *_page(one, told)]) for one in protocols}
    if told:
        made[reported_page.PAGE] = markdown([STAMP, *reported_page.page(told)])
    return {**made, INDEX: markdown([STAMP, *_index(root, protocols, told)])}


def write(root: Path) -> list[Path]:
    """Write the pages of a leaderboard and remove those that nothing stands behind any more.

    Returns:
        The pages written.

    Raises:
        DataError: There is no such folder.
        RecordError: As :func:`pages`; then nothing is written.
    """
    made = pages(root)
    for name, text in made.items():
        atomic.write_text(root / name, text)
    for path in stale_pages(root, made):
        path.unlink()
    return [root / name for name in made]


def stale_pages(root: Path, made: dict[str, str]) -> list[Path]:
    """Pages in the folder that :func:`pages` did not make this time."""
    return [path for path in sorted(root.glob("*.md")) if path.name not in made and path.read_text().startswith(STAMP)]


def render_tables(root: Path, protocol: str | None = None) -> str:
    """The tables for a terminal.

    Args:
        root: The leaderboard's folder.
        protocol: The one to show, with or without records; all that have records by default.

    Raises:
        UsageError: There is no such protocol.
        RecordError: As :func:`pages`.
    """
    protocols = _protocols(_read_verified(root))
    chosen = [one for one in protocols if protocol in (None, one.name)]
    if protocol is not None and not chosen:
        chosen = [_without_records(root, protocol, protocols)]
    told = reported.read_all(root)
    return "\n".join(plain_text(_page(one, told, origins=False)) for one in chosen) or "no records yet\n"


def ranked_tables(root: Path, protocol: str) -> tuple[RankedTable, ...]:
    """The tables of one protocol, proven; none where it has no complete run.

    Raises:
        RecordError: As :func:`pages`.
    """
    return next((one.sections for one in _protocols(_read_verified(root)) if one.name == protocol), ())


def _read_verified(root: Path) -> list[StoredRecord]:
    if not root.is_dir():
        raise DataError("no leaderboard here", where=root, hint="add a finished run with `aubench leaderboard add`")
    kept, findings = records.read_records(root)
    findings += [finding for one in kept for finding in (*verify.check_path(one), *verify.check_record(one))]
    if findings:
        raise RecordError(findings[0].what, where=findings[0].path, hint="`aubench leaderboard check` lists everything")
    return kept


@dataclass(frozen=True)
class _OnProtocol:
    """All that a page is made of."""

    name: str
    dataset: str
    fold_count: int
    runs: tuple[StoredRecord, ...] = ()
    sections: tuple[RankedTable, ...] = ()


def _protocols(kept: Sequence[StoredRecord]) -> list[_OnProtocol]:
    runs = [(name, tuple(group)) for name, group in groupby(kept, key=lambda one: one.record.info.protocol.name)]
    return [_on_protocol(name, group) for name, group in runs]


def _on_protocol(name: str, runs: tuple[StoredRecord, ...]) -> _OnProtocol:
    info = runs[0].record.info
    return _OnProtocol(name, info.dataset.name, info.protocol.fold_count, runs, tuple(entries.ranked_tables(runs)))


def _without_records(root: Path, name: str, others: Sequence[_OnProtocol]) -> _OnProtocol:
    known = registry.builtin_protocols()
    if name not in known:
        hint = suggest(name, {*known, *(one.name for one in others)})
        raise UsageError(f"no record of protocol '{name}'", where=root, hint=hint)
    protocol = registry.find_protocol(name)
    return _OnProtocol(name, protocol.dataset, len(protocol.folds))


def _page(one: _OnProtocol, told: Sequence[ReportedTable], *, origins: bool = True) -> list[Block]:
    blocks: list[Block] = [f"# {one.name}"] if one.runs else [f"# {one.name}", "No records yet."]
    for section in one.sections:
        blocks.append(f"## {_heading(section, one.sections)}")
        blocks.append(f"Data: {escaped(section.dataset)}.")
        blocks += [_LEAK] if section.selection == "oracle_test" else []
        blocks += [tables.scores(section), "F1 per AU:", tables.per_au(section)]
        if under := robustness_tables.brief(section.is_ranked):
            blocks += [robustness_tables.BRIEF, under]
    if lacking := [kept for kept in one.runs if not entries.complete(kept)]:
        blocks += ["## Incomplete runs, not ranked", tables.incomplete(lacking)]
    blocks += measured.compare_with_reported(one.dataset, one.fold_count, one.sections, told)
    if origins and one.sections:
        ranked = [row for section in one.sections for row in section.is_ranked]
        blocks += ["## Where the numbers come from", tables.provenance(ranked)]
    return blocks


def _heading(section: RankedTable, every: Sequence[RankedTable]) -> str:
    """How the epoch was chosen, and what else tells a section from the others."""
    alike = [other for other in every if other.selection == section.selection]
    told = [_HEADINGS[section.selection]]
    told += [f"protocol version {section.version}"] if len({other.version for other in alike}) > 1 else []
    told += [f"store {section.store[:8]}"] if len({other.store for other in alike}) > 1 else []
    same = [other for other in alike if (other.version, other.store) == (section.version, section.store)]
    told += [f"test labels {same.index(section) + 1}"] if len(same) > 1 else []
    return ", ".join(told)


def _index(root: Path, protocols: Sequence[_OnProtocol], told: Sequence[ReportedTable]) -> list[Block]:
    variants = root.resolve().name == records.VARIANTS
    blocks: list[Block] = ["# Variants", _VARIANTS] if variants else ["# Leaderboard"]
    if protocols:
        headers, align = ("Protocol", "Rows", "Runs", "Best F1", "By"), ("left", "right", "right", "right", "left")
        blocks += [Table(headers, align, tuple(_index_row(one) for one in protocols)), _BEST]
    else:
        blocks.append("No records yet.")
    if told:
        blocks.append(f"What papers report stands in [{reported_page.PAGE}]({reported_page.PAGE}).")
    blocks += [text for folder, text in _BESIDE.items() if (root / folder).is_dir()]
    return [*blocks, _READING]


def _index_row(one: _OnProtocol) -> tuple[Cell, ...]:
    honest = [section for section in one.sections if section.selection != "oracle_test"]
    best = honest[0].is_ranked[0] if honest else None
    shown_best = (f"{100 * best.f1:.1f}", best.name) if best else (tables.EMPTY, tables.EMPTY)
    return (
        Cell("", links=((one.name, f"{one.name}.md"),)),
        Cell(str(sum(len(section.is_ranked) for section in one.sections))),
        Cell(str(len(one.runs))),
        *map(Cell, shown_best),
    )
