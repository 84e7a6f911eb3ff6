"""Pages and ``entries.json`` of a leaderboard, computed from its records and the files of extensions."""

from __future__ import annotations

import hashlib
import os
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from aubench._util import atomic, locks
from aubench.core import hashing, system_files
from aubench.core.errors import UsageError, suggest
from aubench.leaderboard import entries_file, learning_curves, records, tables, verified_records
from aubench.leaderboard.command_hints import add_hint, check_hint
from aubench.leaderboard.entries_file import ProtocolEntries
from aubench.leaderboard.extensions import Extensions, PageExtension
from aubench.leaderboard.outdated import outdated_note
from aubench.leaderboard.protocol_page import (
    ProtocolResults,
    is_earlier,
    page_blocks,
    provenance_blocks,
    results_by_protocol,
)
from aubench.leaderboard.record_index import PageDigests
from aubench.leaderboard.record_keys import IndexedRecord
from aubench.leaderboard.records import StoredRecord
from aubench.leaderboard.render import EMPTY, Block, Cell, Table, markdown, template
from aubench.leaderboard.site import site_page
from aubench.metrics import scores

INDEX = "README.md"
STAMP = "<!-- Made by `aubench leaderboard build` from records/ and reported/; changes by hand are lost. -->"
"""First line of every page; only files that begin with it are replaced or removed."""


def files_of(
    root: Path, runs: Sequence[StoredRecord], extensions: Sequence[PageExtension] = (), inputs: str | None = None
) -> dict[str, str]:
    """Build the pages and ``entries.json`` from verified records.

    Args:
        root: Leaderboard folder.
        runs: Verified records.
        extensions: Extensions that add pages and blocks.
        inputs: Digest of the inputs of ``entries.json``; computed from the files if None.
    """
    return _files(root, results_by_protocol(runs), extensions, inputs or entries_file.inputs_digest(root))


def _files(
    root: Path, protocols: Sequence[ProtocolResults], extensions: Sequence[PageExtension], inputs: str
) -> dict[str, str]:
    entries = _entries(protocols, extensions)
    blocks: dict[str, list[Block]] = {}
    for results in protocols:
        blocks |= _protocol_pages(results, entries[results.name].blocks)
    for extension in extensions:
        blocks |= extension.pages()
    blocks[INDEX] = _index(root, protocols, extensions)
    texts = {name: markdown([STAMP, *page]) for name, page in blocks.items()}
    return {**texts, entries_file.FILE: entries_file.to_text(inputs, entries)}


def write(root: Path, extensions: Extensions = (), *, site: bool = False) -> list[Path]:
    """Write the pages and ``entries.json`` of a leaderboard, and remove pages without records.

    Args:
        root: Leaderboard folder.
        extensions: Extensions that add pages and blocks.
        site: Whether to write the HTML page, too. Without the packages of the extra ``site`` an old one is removed.

    Returns:
        Files written.

    Raises:
        DataError: The folder does not exist.
        RecordError: A record or a file of an extension cannot be read, or its numbers are wrong; nothing is written.
        UsageError: A file of another origin is in the place of a page.
    """
    records.require_folder(root, add_hint(root))
    with locks.exclusive(root / records.LOCK):
        indexed, loaded = _load_index(root, extensions)
        protocols = results_by_protocol(verified_records.stored_records(indexed))
        inputs = inputs_of(root, indexed)
        files = _files(root, protocols, loaded, inputs)
        _check_targets(root, files)
        for name, text in files.items():
            atomic.write_text(root / name, text)
        for path in stale_pages(root, files):
            path.unlink()
        pages = [site_page.write(root, protocols, loaded)] if site else []
        key = pages_key(root, inputs, extensions)
        verified_records.open_index().add_pages(key, digests_of(files))
    return [*(root / name for name in files), *filter(None, pages)]


def stale_pages(root: Path, files: Mapping[str, str]) -> list[Path]:
    """List generated pages that are not in ``files``."""
    return [path for path in system_files.children(root, "*.md") if path.name not in files and is_generated(path)]


def _check_targets(root: Path, files: Mapping[str, str]) -> None:
    """Check that only generated files are overwritten; those without a stamp are if the folder is a leaderboard.

    Raises:
        UsageError: A file of another origin is in the place of a page.
    """
    is_leaderboard = (root / records.RECORDS).is_dir() or is_generated(root / INDEX)
    for name in (*files, site_page.FILE):
        path = root / name
        if os.path.lexists(path) and not (is_generated(path) if path.suffix == ".md" else is_leaderboard):
            hint = "move it, or give the leaderboard's folder with --root"
            raise UsageError("is not a file that `aubench leaderboard build` has written", where=path, hint=hint)


def is_generated(path: Path) -> bool:
    """Return whether a path is a generated page, and no link to one."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(STAMP)) == STAMP.encode()


def compute_entries(root: Path, extensions: Extensions = ()) -> dict[str, ProtocolEntries]:
    """Compute the content of ``entries.json`` by protocol.

    Raises:
        DataError, RecordError: As of :func:`write`.
    """
    runs, loaded = _load(root, extensions)
    return _entries(results_by_protocol(runs), loaded)


def load_protocol(root: Path, protocol: str) -> ProtocolResults:
    """Load the verified results of one protocol.

    Raises:
        UsageError: There is no record of the protocol.
        DataError, RecordError: As of :func:`write`.
    """
    runs, _ = _load(root, ())
    protocols = {run.info.protocol.name for run in runs}
    if protocol not in protocols:
        raise UsageError(f"no record of protocol '{protocol}'", where=root, hint=suggest(protocol, protocols))
    (results,) = results_by_protocol([run for run in runs if run.info.protocol.name == protocol])
    return results


def load_results(root: Path) -> list[ProtocolResults]:
    """Load the verified results by protocol.

    Raises:
        DataError, RecordError: As of :func:`write`.
    """
    runs, _ = _load(root, ())
    return results_by_protocol(runs)


def _load(root: Path, extensions: Extensions) -> tuple[list[StoredRecord], list[PageExtension]]:
    indexed, loaded = _load_index(root, extensions)
    return verified_records.stored_records(indexed), loaded


def _load_index(root: Path, extensions: Extensions) -> tuple[list[IndexedRecord], list[PageExtension]]:
    """Load records with their content, and the files of extensions."""
    records.require_folder(root, add_hint(root))
    runs, findings = verified_records.load_index(root, content=True)
    loaded = [read(root) for read in extensions]
    findings += [finding for extension in loaded for finding in extension.findings]
    records.raise_first(findings, check_hint(root))
    return runs, loaded


def _entries(protocols: Sequence[ProtocolResults], extensions: Sequence[PageExtension]) -> dict[str, ProtocolEntries]:
    return {
        results.name: ProtocolEntries(
            page_blocks(results, extensions), [row for table in results.tables for row in tables.entry_rows(table)]
        )
        for results in protocols
    }


def _protocol_pages(results: ProtocolResults, blocks: Sequence[Block]) -> dict[str, list[Block]]:
    """Build the page of a protocol and, if there are learning curves, the page of these."""
    name, curves = f"{results.name}_curves.md", learning_curves.page(results)
    link = f"Validation F1 by the number of training frames: [learning curves]({name})."
    page = [*blocks, *([link] if curves else ()), *provenance_blocks(results)]
    return {f"{results.name}.md": page, **({name: curves} if curves else {})}


def _index(root: Path, protocols: Sequence[ProtocolResults], extensions: Sequence[PageExtension]) -> list[Block]:
    texts, is_variants = template("index"), root.resolve().name == records.VARIANTS
    blocks: list[Block] = [texts["title_variants"], texts["variants"]] if is_variants else [texts["title"]]
    if protocols:
        if outdated := [f"[{results.name}]({results.name}.md)" for results in protocols if outdated_note(results.runs)]:
            blocks.append(textwrap.fill(texts["outdated"].replace("$protocols", " and ".join(outdated)), 120))
        blocks += [_index_table(protocols), texts["best_f1"]]
    else:
        blocks.append("No records yet.")
    for extension in extensions:
        blocks += extension.index_blocks()
    folders = [folder for folder in (records.VARIANTS, records.REPRODUCED) if (root / folder).is_dir()]
    metrics = "\n".join(
        textwrap.fill(f"- **{metric.title}**: {metric.description}.", 120, subsequent_indent="  ")
        for metric in scores.column_metrics()
        if metric.name != "f1"
    )
    how_to_read = texts["how_to_read"].replace("$metrics", metrics)
    return [*blocks, *(texts[f"link_{folder}"] for folder in folders), how_to_read]


def _index_table(protocols: Sequence[ProtocolResults]) -> Table:
    """Build the table of protocols, with a column of submitted predictions if there are any."""
    has_submitted = any(results.submitted for results in protocols)
    headers = ("Protocol", "Rows", *(["Submitted"] * has_submitted), "Demos", "Runs", "Best F1", "By")
    align = ("left", *["right"] * (len(headers) - 2), "left")
    return Table(headers, align, tuple(_index_row(results, has_submitted) for results in protocols))


def _index_row(results: ProtocolResults, has_submitted: bool) -> tuple[Cell, ...]:
    honest = (
        table.methods[0]
        for table in results.ranked
        if table.selection != "oracle_test" and not table.is_external and not is_earlier(table)
    )
    best = next(honest, None)
    kinds = (results.ranked, *([results.submitted] * has_submitted), results.demos)
    return (
        Cell("", links=((results.name, f"{results.name}.md"),)),
        *(Cell(str(sum(len(table.methods) for table in kind))) for kind in kinds),
        Cell(str(sum(not run.info.is_submitted for run in results.runs))),
        Cell(tables.percent(best.f1) if best else EMPTY),
        Cell(best.name if best else EMPTY),
    )


def inputs_of(root: Path, runs: Iterable[IndexedRecord]) -> str:
    """Compute the digest of the inputs of ``entries.json`` from the bytes of the records that were verified."""
    digests = {
        f"{folder}/{name}": digest
        for run in runs
        for folder in ["/".join((records.RECORDS, *run.keys.path))]
        for name, digest in run.keys.files
    }
    return entries_file.inputs_digest(root, digests)


def pages_key(root: Path, inputs: str, extensions: Extensions) -> str:
    """Compute a digest of all that the pages depend on besides the code."""
    folders = [folder for folder in (records.VARIANTS, records.REPRODUCED) if (root / folder).is_dir()]
    names = [getattr(extension, "__qualname__", repr(extension)) for extension in extensions]
    return hashing.hash_json([inputs, root.resolve().name == records.VARIANTS, folders, names])


def digests_of(files: Mapping[str, str]) -> PageDigests:
    """Compute the SHA-256 of the texts of pages."""
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
