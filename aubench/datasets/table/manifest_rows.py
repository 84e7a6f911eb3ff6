"""Rows of a manifest and of the label files that it names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aubench.core.errors import DataError
from aubench.datasets.label_text import shorten
from aubench.datasets.table.table_columns import TableColumns
from aubench.datasets.table.table_files import read_table
from aubench.datasets.table.table_paths import TablePaths

_LABEL_FILE_ROLES = ("frame", "success")  # of columns of label files, beside labels, boxes and landmarks


class ManifestRow(NamedTuple):
    """A frame as text, from the manifest alone or with a row of its label file."""

    columns: TableColumns  # of the manifest
    cells: list[str]
    line: int
    own: TableColumns  # of the table with frame number and labels
    own_cells: list[str]
    own_line: int

    @property
    def where(self) -> str:
        """File and line, for error messages."""
        return self.own.table.where(self.own_line)

    @property
    def line_name(self) -> str:
        """Line of the manifest, or of the label file, which it names."""
        line = f"line {self.own_line}"
        return line if self.own is self.columns else f"{line} of {self.own.table.path.name}"

    def text(self, role: str) -> str:
        """Return the cell of a role, of the label file first; empty without such a column."""
        for columns, cells, _ in reversed(self.sources):
            if role in columns.roles:
                return cells[columns.roles[role]]
        return ""

    @property
    def sources(self) -> list[tuple[TableColumns, list[str], int]]:
        """Columns, cells and line of the manifest, and those of the label file, which precede them."""
        own = [(self.own, self.own_cells, self.own_line)] if self.own is not self.columns else []
        return [(self.columns, self.cells, self.line), *own]

    @property
    def is_tracked(self) -> bool:
        """Whether the row does not say that its face was lost.

        Raises:
            DataError: The cell is neither a number nor true or false.
        """
        text = self.text("success").lower()
        try:
            return text != "false" and (text in ("", "true") or float(text) != 0)
        except ValueError:
            hint = "write 1 or 0, or true or false"
            raise DataError(f"success is '{shorten(text)}'", where=self.where, hint=hint) from None

    @property
    def points(self) -> np.ndarray | None:
        """Landmarks of the frame, of the label file first; None if unknown."""
        for columns, cells, line in reversed(self.sources):
            if columns.points:
                return columns.read_points(cells, line)
        return None


def read_rows(columns: TableColumns, paths: TablePaths, intensity: str | None) -> Iterator[ManifestRow]:
    """Iterate over the rows of a manifest; a row with a label file yields the rows of that file.

    Args:
        columns: Columns of the manifest.
        paths: Files that it may name.
        intensity: As for :func:`parse_label`.

    Raises:
        DataError: A label file is missing or damaged.
    """
    for line, cells in columns.table.rows:
        row = ManifestRow(columns, cells, line, columns, cells, line)
        if not (file := row.text("labels")):
            yield row
            continue
        labels = paths.find(file, row.where)
        paths.check()
        yield from _label_rows(labels, row, intensity)


def _label_rows(path: Path, row: ManifestRow, intensity: str | None) -> Iterator[ManifestRow]:
    """Iterate over the rows of the label file of a row; only its columns stay in memory."""
    own = TableColumns.of(read_table(path), intensity, _LABEL_FILE_ROLES)
    if "frame" not in own.roles:
        raise DataError("has no column frame", where=path, hint=f"it is the label file of {row.where}")
    rows = own.table.rows
    own = replace(own, table=own.table._replace(rows=[]))
    for line, cells in rows:
        yield row._replace(own=own, own_cells=cells, own_line=line)
