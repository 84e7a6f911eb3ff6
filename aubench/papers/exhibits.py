"""Exhibits of papers: tables as reported, figures, and their reproduction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aubench._util import atomic
from aubench.core.conditions import CLEAN, Condition
from aubench.core.errors import UsageError, suggest
from aubench.core.recipe_text import recipe_text
from aubench.leaderboard.render import FORMATS
from aubench.papers import measured_numbers, reproduced_tables
from aubench.papers.measured_numbers import ExhibitRow, FigurePoint, MeasuredResult
from aubench.papers.paper_figures import FIGURES, PaperFigure
from aubench.papers.reported import COSTS, FOLDER, ReportedRow, ReportedTable, read_all
from aubench.papers.row_specs import ReproductionConfig, ResolvedRow, RowSpec, cost, resolve_row


@dataclass(frozen=True)
class Exhibit:
    """Table, figure, or table with a figure of a paper.

    Attributes:
        name: Name on the command line, e.g. ``amf-table-1``.
        title: Source and content.
        table: Table as reported; None for a figure without one.
        figure: Figure; None for a table without one.
    """

    name: str
    title: str
    table: ReportedTable | None = None
    figure: PaperFigure | None = None

    @property
    def reason(self) -> str:
        """Reason why the exhibit cannot be made; empty if it can."""
        return self.figure.reason if self.figure else ""

    def resolve(self, config: ReproductionConfig) -> list[ResolvedRow]:
        """Return the rows with their runs: those of the table first, then those of the figure.

        An exhibit that cannot be made has one row without a method.
        """
        if self.reason:
            return [ResolvedRow(RowSpec("", label=self.name), reason=self.reason)]
        specs = [] if self.table is None else [_row_spec(row, self.table.aus) for row in self.table.rows]
        specs += [] if self.figure is None else self.figure.rows(config)
        return [resolve_row(spec, config) for spec in specs]

    def write(
        self,
        rows: Sequence[ResolvedRow],
        config: ReproductionConfig,
        folder: Path,
        form: str,
        say: Callable[[str], None],
    ) -> list[Path]:
        """Write the table, and the figure as PNG and SVG.

        Args:
            rows: Rows as :meth:`resolve` returned them, with finished runs.
            config: Protocol, preset and seeds.
            folder: Folder of the files.
            form: ``markdown``, ``latex`` or ``csv``.
            say: Function that receives the reason why the figure is missing.
        """
        figures = self._draw(rows, config, folder, say)
        text = self._render(rows, config, form, f"{self.name}.png" if figures else "")
        path = folder / f"{self.name}.{FORMATS[form]}"
        if text:
            atomic.write_text(path, text)
        return [*([path] if text else []), *figures]

    def numbers(self, rows: Sequence[ResolvedRow], config: ReproductionConfig) -> list[ExhibitRow]:
        """Return reported and measured means, or why the exhibit cannot be made."""
        if self.reason:
            return [ExhibitRow(self.name, reason=self.reason)]
        if self.table is not None:
            return measured_numbers.mean_rows(self.name, self.table, self._measured(rows, config))
        return measured_numbers.point_rows(self.name, self._points(rows))

    def _render(self, rows: Sequence[ResolvedRow], config: ReproductionConfig, form: str, image: str) -> str:
        if self.table is not None:
            return reproduced_tables.render(self.table, self._measured(rows, config), form, image)
        points = self._points(rows)
        return reproduced_tables.render_points(self.title, points, form, image) if points else ""

    def _measured(self, rows: Sequence[ResolvedRow], config: ReproductionConfig) -> list[MeasuredResult]:
        results = []
        for row in rows[: len(self.table.rows) if self.table else 0]:
            if row.reason:
                results.append(MeasuredResult(reason=row.reason))
            elif row.spec.scored:
                results.append(MeasuredResult(row.records))
            else:
                results.append(MeasuredResult(cost=cost(row.spec, config).total))
        return results

    def _points(self, rows: Sequence[ResolvedRow]) -> list[FigurePoint]:
        """Return the F1 of rows that need no weights, which are those of figures with numbers."""
        return [
            FigurePoint(row.spec.label, condition, row.records)
            for row in rows
            if row.runs and not row.spec.weights
            for condition in ("clean", *map(str, row.spec.conditions))
        ]

    def _draw(
        self, rows: Sequence[ResolvedRow], config: ReproductionConfig, folder: Path, say: Callable[[str], None]
    ) -> list[Path]:
        from aubench.plots import style

        if self.figure is None or self.reason:
            return []
        rows = rows[len(self.table.rows) if self.table else 0 :]
        protocols = dict.fromkeys(run_config.protocol.name for row in rows for run_config in row.configs)
        seeds = f"{len(config.seeds)} seed{'s' * (len(config.seeds) > 1)}"
        figure = self.figure.draw(rows, (*protocols, f"preset {_recipe(rows, config)}", seeds))
        paths = [folder / f"{self.name}{suffix}" for suffix in style.SUFFIXES]
        if figure is None:
            older = "".join(f"; {path} is of an earlier call" for path in paths if path.exists())
            say(f"{self.name}: not drawn: {rows[0].reason}{older}")
            return []
        return [style.save(figure, path) for path in paths]


def _recipe(rows: Sequence[ResolvedRow], config: ReproductionConfig) -> str:
    """Return the preset of a figure, and the values of the command that differ from it."""
    run = next((run for row in rows for run in row.configs), None)
    if run is None:
        return config.preset
    return recipe_text(config.preset, set(run.overrides) & set(config.options.overrides), run.recipe)


def find_exhibits(root: Path, names: Sequence[str] | None = None) -> dict[str, Exhibit]:
    """Return exhibits by name.

    Args:
        root: Folder of the leaderboard, with the reported tables.
        names: Names of exhibits; all if None.

    Raises:
        UsageError: There is no reported table or no exhibit of a name, or no name is given.
        RecordError: A reported table is invalid.
    """
    tables = {reproduced_tables.name_of(table): table for table in read_all(root)}
    if not tables:
        raise UsageError("no reported table", where=root / FOLDER, hint="give the leaderboard's folder with --root")
    exhibits = {name: Exhibit(name, reproduced_tables.title_of(tables[name]), tables[name]) for name in tables}
    for name, figure in FIGURES.items():
        title = f"{figure.title}; cannot be made: {figure.reason}" if figure.reason else figure.title
        exhibits[name] = replace(exhibits.get(name, Exhibit(name, title)), figure=figure)
    if names is not None and not names:
        raise UsageError("names no table or figure", where="reproduce", hint="give one or more, or all")
    for name in names or ():
        if name not in exhibits:
            raise UsageError(f"no table or figure '{name}'", where="reproduce", hint=suggest(name, exhibits))
    return {name: exhibits[name] for name in sorted(exhibits) if names is None or name in names}


def resolve_all(exhibits: Mapping[str, Exhibit], config: ReproductionConfig) -> dict[str, list[ResolvedRow]]:
    """Return the resolved rows of each exhibit."""
    return {name: exhibit.resolve(config) for name, exhibit in exhibits.items()}


def _row_spec(row: ReportedRow, aus: Sequence[int]) -> RowSpec:
    condition = Condition.parse(row.condition)
    return RowSpec(
        method=row.method_here,
        settings=row.settings,
        modalities=row.needed,
        dataset=row.dataset,
        trained_on=row.trained_on,
        conditions=() if condition == CLEAN else (condition,),
        scored=row.metric not in COSTS,
        aus=tuple(aus),
    )
