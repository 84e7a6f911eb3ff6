"""Details of an entry: the command that makes it again, recipe, seeds, data, versions and citation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element

from aubench.leaderboard import tables
from aubench.leaderboard.entries import Entry, RankedTable
from aubench.leaderboard.preset_differences import preset_differences
from aubench.leaderboard.records import RECORDS, StoredRecord
from aubench.leaderboard.render import EMPTY, Cell, Table, text_table
from aubench.leaderboard.site import rerun_commands
from aubench.leaderboard.site.elements import element, table_element
from aubench.metrics.intervals import ConfidenceInterval
from aubench.results.schema import Pretraining


def row_id(entry: Entry) -> str:
    """Return the id of an entry in links: the run id of its first seed."""
    return entry.info.run


def details(entry: Entry, table: RankedTable, board: str) -> Element:
    """Create the article about an entry of a board that a dialog shows."""
    info, label = entry.info, tables.recipe_label(entry, table.methods_by_name[entry.name])
    link = element("a", "link to this row", href=f"#row={row_id(entry)}")
    parts = [
        element("h2", info.method.title, id="details-title"),
        element("p", f"{entry.name} · {label} · {tables.modality_code(info.method.modalities)} · ", link),
        _facts(_score_facts(entry)),
        element("h3", "Command that makes it again"),
        *_commands(entry),
        element("h3", "BibTeX"),
        _copyable(rerun_commands.bibtex(entry)),
        element("h3", "Seeds"),
        table_element(_seed_table(entry.runs), caption="Seeds"),
        element("h3", "Data and protocol"),
        _facts(_data_facts(entry)),
        element("h3", "Training data before the protocol"),
        *_ledger(entry.runs),
        element("h3", "Recipe"),
        table_element(_recipe_table(entry), caption="Recipe"),
        element("h3", "Versions"),
        table_element(_environment_table(entry.runs), caption="Versions"),
    ]
    return element("article", *parts, id=f"row-{row_id(entry)}", data_board=board)


def _facts(facts: Iterable[tuple[str, str]]) -> Element:
    pairs = [part for name, value in facts for part in (element("dt", name), element("dd", value))]
    return element("dl", *pairs)


def _copyable(text: str) -> Element:
    button = element("button", "Copy", type="button", class_="copy")
    return element("div", element("pre", element("code", text), tabindex="0"), button, class_="copyable")


def _score_facts(entry: Entry) -> list[tuple[str, str]]:
    info = entry.info
    facts = [
        ("F1", f"{tables.f1_with_std(entry)}, {interval_text(entry.f1_interval)}"),
        ("Rank", tables.DEMO + ", not ranked" if info.is_demo else tables.integer(entry.rank)),
        ("Fidelity to the paper", info.method.fidelity or "unknown"),
        ("Method", _origin(entry)),
        *(("Paper", paper) for paper in rerun_commands.papers(entry)),
    ]
    if info.search.tuned:
        search = info.search
        facts.append(
            ("Search", f"study {search.study}, {search.trials} trials by {search.sampler}, pruner {search.pruner}")
        )
    if info.compute:
        cost = info.compute.total
        facts.append(("Cost of a frame", f"{cost.flops:,} FLOPs, {cost.parameters:,} weights"))
        facts.append(("Operations not counted", ", ".join(info.compute.uncounted) or "none"))
    return facts


def _origin(entry: Entry) -> str:
    method = entry.info.method
    if entry.info.is_submitted:
        return "predictions submitted, training not seen"
    source = {"builtin": f"built in, version {method.version or 1}"}.get(method.source or "", str(method.source))
    return source + (f", code {method.file[:12]}" if method.file else "")


def interval_text(interval: ConfidenceInterval | None) -> str:
    """Format a 95 % interval in percent."""
    if interval is None:
        return EMPTY
    return f"95 % interval {100 * interval.low:.1f} to {100 * interval.high:.1f}"


def _commands(entry: Entry) -> list[Element]:
    commands = [
        rerun_commands.checkout_command(entry.info),
        rerun_commands.run_command(entry),
        *rerun_commands.robustness_commands(entry),
    ]
    texts = [_copyable("\n".join(filter(None, commands)))]
    if any(run.info.git.dirty for run in entry.runs):
        texts.insert(0, element("p", "The tree of the commit had changes, so the commit alone does not make it again."))
    if len({run.info.git.commit for run in entry.runs}) > 1:
        texts.insert(0, element("p", "The seeds come from several commits. The commands use that of the first."))
    if len({environment.device.kind for run in entry.runs for environment in run.info.environments}) > 1:
        texts.insert(0, element("p", "The runs used several kinds of devices. The commands use that of the first."))
    return texts


def _seed_table(runs: Sequence[StoredRecord]) -> Table:
    headers = ("Seed", "Record", "F1", "Epochs scored", "Hours", "Started (UTC)", "Device", "Commit")
    rows = []
    for run in runs:
        info, device = run.info, run.info.device
        address = f"{RECORDS}/{run.record.relative_path.as_posix()}/record.json"
        dirty = " + changes" if info.git.dirty else ""
        rows.append(
            (
                Cell(str(info.seed)),
                Cell("", links=((info.run, address),)),
                Cell(tables.percent(run.summary.f1_mean)),
                Cell(", ".join(f"{fold.best_epoch} of {fold.epochs}" for fold in info.folds)),
                Cell(f"{info.time.seconds / 3600:.2f}" if info.time else EMPTY),
                Cell(info.time.started if info.time else EMPTY),
                Cell(f"{device.label}, {device.precision}, threads: {device.threads}" if device else EMPTY),
                Cell((info.git.commit or EMPTY) + dirty),
            )
        )
    return Table(headers, ("right", "left", "right", "left", "right", "left", "left", "left"), tuple(rows))


def _data_facts(entry: Entry) -> list[tuple[str, str]]:
    info = entry.info
    dataset, protocol = info.dataset, info.protocol
    return [
        ("Protocol", f"{protocol.name} version {protocol.version}, digest {protocol.digest[:16]}"),
        ("Data set", f"{dataset.name} version {dataset.version}, variant {dataset.variant or 'none'}"),
        ("Store", f"{dataset.digest[:16]}, {dataset.labelled:,} of {dataset.frames:,} frames labelled"),
        ("Modalities offered", tables.modality_code(protocol.modalities)),
        ("Selection rule", info.selection),
        ("Threshold", info.threshold),
        ("Conditions", ", ".join(info.conditions)),
        *((f"Labels of {name}", rule) for name, rule in protocol.labels.items()),
        *((f"File of {name}", digest) for name, digest in info.files.items()),
    ]


def _recipe_table(entry: Entry) -> Table:
    info, differences = entry.info, preset_differences(entry.info)
    lines = (
        (name, rerun_commands.value_text(value), "changed" if name in differences else f"preset {info.preset}")
        for name, value in info.recipe.items()
    )
    return text_table(("Hyper-parameter", "Value", "Source"), "lll", lines)


def _ledger(runs: Sequence[StoredRecord]) -> list[Element]:
    if runs[0].info.is_submitted:
        return [element("p", "Not seen.")]
    lines = dict.fromkeys(_ledger_line(item) for run in runs for item in run.info.pretraining)
    if not lines:
        return [element("p", "None.")]
    headers = ("Stage", "Source", "Data", "Fold", "Subjects", "Frames", "Seconds")
    return [table_element(text_table(headers, "lllrrrr", lines), caption="Ledger")]


def _ledger_line(item: Pretraining) -> tuple[str, ...]:
    return (
        item.stage,
        item.source,
        ", ".join(item.datasets) or EMPTY,
        "all" if item.fold is None else str(item.fold),
        str(len(item.subjects)) if item.subjects else EMPTY,
        tables.integer(item.frames),
        EMPTY if item.seconds is None else f"{item.seconds:,.0f}",
    )


def _environment_table(runs: Sequence[StoredRecord]) -> Table:
    """Build the table of library versions, with the versions of all seeds."""
    versions: dict[str, dict[str, None]] = {}
    for run in runs:
        for environment in run.info.environments:
            for name, version in environment.packages.items():
                versions.setdefault(name, {})[version] = None
    return text_table(("Package", "Version"), "ll", ((name, ", ".join(values)) for name, values in versions.items()))
