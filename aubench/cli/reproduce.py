"""``aubench reproduce``: the papers' tables and figures, made from runs here and set beside what is printed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aubench.cli.options import RUNS, Device, Preset, Runs, Store, TableFormat

if TYPE_CHECKING:
    from aubench.papers.paper_figures import PaperFigure
    from aubench.papers.reported import ReportedTable
    from aubench.papers.reproduced_tables import MeasuredResult
    from aubench.papers.row_specs import ReproductionConfig, ResolvedRow, RowSpec
    from aubench.runs.config import StoreRef

_ROOT = Path("leaderboard")


def reproduce(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Tables and figures; lists all of them if none.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    protocol: Annotated[str, typer.Option("--protocol", help="Name of a protocol, or a .toml file.")] = "synth_3fold",
    seed: Annotated[str, typer.Option("--seed", help="One seed, or several separated by commas.")] = "0",
    preset: Preset = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a recipe value of every run.")
    ] = None,
    form: TableFormat = "markdown",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where to write [default: reproduced/<protocol>].")
    ] = None,
    runs: Runs = RUNS,
    root: Annotated[
        Path, typer.Option("--root", metavar="DIR", help="The leaderboard's folder, with what papers report.")
    ] = _ROOT,
    store: Store = None,
    device: Device = "auto",
    track: Annotated[bool, typer.Option("--track/--no-track", help="Send what is new to MLflow.")] = True,
) -> None:
    """Make the papers' tables and figures.

    Runs what they lack, then writes ours beside theirs.
    """
    from aubench.cli.run import parse_changes, parse_seeds
    from aubench.core import registry
    from aubench.core.errors import UsageError, suggest
    from aubench.leaderboard.records import RECORDS, VARIANTS
    from aubench.leaderboard.robustness_tables import FORMATS
    from aubench.papers import reproduction
    from aubench.papers.row_specs import ReproductionConfig

    if form not in FORMATS:
        raise UsageError(f"no format '{form}'", where="--format", hint=suggest(form, FORMATS))
    known, asked = _exhibits(root), registry.find_protocol(protocol)
    for name in names or []:
        if name not in known:
            raise UsageError(f"no table or figure '{name}'", where="reproduce", hint=suggest(name, known))
    listing = not names and not every
    facts, frames = _store(asked.dataset, store, make=not listing)
    terms = ReproductionConfig(
        protocol=asked,
        preset=preset or asked.preset,
        changes=parse_changes(changes or []),
        seeds=tuple(parse_seeds(seed)),
        store=facts,
        runs=runs,
        records=tuple(board / RECORDS for board in (root, root / VARIANTS)),
    )
    chosen = {name: exhibit for name, exhibit in known.items() if listing or every or name in (names or [])}
    found = {name: exhibit.needed(terms) for name, exhibit in chosen.items()}
    if listing:
        typer.echo(reproduction.list_exhibits({name: known[name].title for name in found}, found))
        return
    ahead = reproduction.PendingRuns(found, asked.name, device, track, [runs, root], frames)
    ahead.print_summary()
    folder = out or Path("reproduced", asked.name)
    for name, exhibit in chosen.items():
        ahead.run(name)
        for path in exhibit.write(name, found[name], terms, folder, form):
            typer.echo(f"wrote {path}")


@dataclass(frozen=True)
class Exhibit:
    """A table or figure of a paper: what is reported of it, how it is drawn, or both."""

    title: str
    table: ReportedTable | None = None
    figure: PaperFigure | None = None

    def needed(self, terms: ReproductionConfig) -> list[ResolvedRow]:
        """What each row takes; of a table with a figure, the table's rows first."""
        from aubench.papers.row_specs import resolve_row

        rows = [] if self.table is None else [_wanted(row) for row in self.table.rows]
        rows += [] if self.figure is None else self.figure.rows(terms)
        return [resolve_row(row, terms) for row in rows]

    def write(
        self, name: str, found: list[ResolvedRow], terms: ReproductionConfig, folder: Path, form: str
    ) -> list[Path]:
        """Write the table or numbers, and the figure as PNG and SVG."""
        from aubench._util import atomic
        from aubench.leaderboard.robustness_tables import FORMATS

        drawn = self._drawn(name, found, terms, folder)
        text = self._text(found, terms, form, f"{name}.png" if drawn else "")
        path = folder / f"{name}.{FORMATS[form]}"
        if text:
            atomic.write_text(path, text)
        return [*([path] if text else []), *drawn]

    def _text(self, found: list[ResolvedRow], terms: ReproductionConfig, form: str, picture: str) -> str:
        from aubench.papers import reproduced_tables

        if self.table is not None:
            rows = found[: len(self.table.rows)]
            return reproduced_tables.render(self.table, [_ours(one, terms) for one in rows], form, picture)
        assert self.figure is not None
        if not self.figure.tabled:
            return ""
        points = [
            reproduced_tables.FigurePoint(one.spec.label, condition, one.records())
            for one in found
            if one.runs
            for condition in ("clean", *map(str, one.spec.conditions))
        ]
        return reproduced_tables.points(self.title, points, form, picture) if points else ""

    def _drawn(self, name: str, found: list[ResolvedRow], terms: ReproductionConfig, folder: Path) -> list[Path]:
        from aubench.cli.progress import print_line
        from aubench.plots import style

        if self.figure is None:
            return []
        own = found[len(self.table.rows) if self.table else 0 :]
        count = len(terms.seeds)
        protocols = {plan.protocol.name: None for one in own for plan in one.configs}
        words = (*protocols, f"preset {terms.preset}", f"{count} seed{'s' if count > 1 else ''}")
        figure = self.figure.draw(own, words)
        if figure is None:
            print_line(f"{name}: not drawn: {own[0].reason}")
            return []
        return [style.save(figure, folder / f"{name}{suffix}") for suffix in style.SUFFIXES]


def _exhibits(root: Path) -> dict[str, Exhibit]:
    """Everything that papers show, by name: their tables as reported, and the figures."""
    from aubench.core.errors import UsageError
    from aubench.papers import reproduced_tables
    from aubench.papers.paper_figures import FIGURES
    from aubench.papers.reported import FOLDER, read_all

    tables = {reproduced_tables.name_of(table): table for table in read_all(root)}
    if not tables:
        raise UsageError("no reported table", where=root / FOLDER, hint="name the leaderboard's folder with --root")
    found = {
        name: Exhibit(reproduced_tables.title_of(table), table, FIGURES.get(name)) for name, table in tables.items()
    }
    found |= {name: Exhibit(figure.title, None, figure) for name, figure in FIGURES.items() if name not in tables}
    return dict(sorted(found.items()))


def _wanted(row: object) -> RowSpec:
    from aubench.core.conditions import CLEAN, Condition
    from aubench.papers.reported import ReportedRow
    from aubench.papers.row_specs import RowSpec

    assert isinstance(row, ReportedRow)
    condition = Condition.parse(row.condition)
    return RowSpec(
        method=row.method_here,
        settings=row.settings,
        modalities=row.needed,
        dataset=row.dataset,
        trained_on=row.trained_on,
        conditions=() if condition == CLEAN else (condition,),
        scored=row.metric != "gflops",
    )


def _ours(one: ResolvedRow, terms: ReproductionConfig) -> MeasuredResult:
    from aubench.papers.reproduced_tables import MeasuredResult
    from aubench.papers.row_specs import cost

    if one.reason:
        return MeasuredResult(reason=one.reason)
    if not one.spec.scored:
        return MeasuredResult(cost=cost(one.spec, terms).total)
    return MeasuredResult(one.records())


def _store(dataset: str, path: Path | None, *, make: bool) -> tuple[StoreRef, int]:
    """The store and its number of frames; to list what there is, none is made, and none has no runs."""
    from aubench.cli.progress import count_progress
    from aubench.data.store import default_root
    from aubench.datasets.catalog import open_store
    from aubench.runs.config import StoreRef

    place = path or default_root() / dataset
    if not make and not (place / "store.json").exists():
        return StoreRef(place, dataset, "", ""), 0
    with count_progress(f"{dataset}: sequences made") as progress:
        opened = open_store(dataset, path, progress)
    return StoreRef.from_store(opened), len(opened.frames)
