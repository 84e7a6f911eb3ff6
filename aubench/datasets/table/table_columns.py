"""Meaning of the columns of a table: frames, images, AU labels, boxes and landmarks."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from aubench.core import landmarks
from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.datasets.label_text import shorten
from aubench.datasets.table.table_files import TableFile

KEEP = "keep"
"""Argument of ``intensity`` that keeps intensities 0 to 5."""

_WORDS: Mapping[str, tuple[str, ...]] = {
    "subject": ("subject", "subject_id", "participant", "participant_id", "person", "person_id"),
    "sequence": ("sequence", "sequence_id", "task", "session", "trial", "clip"),
    "frame": ("frame", "frame_number", "frame_idx", "frame_index", "frame_id"),
    "part": ("part", "fold", "split", "partition", "data_split"),
    "labels": ("labels", "label_file", "labels_path", "au_file"),
    "success": ("success",),
    "visual": ("file_name", "image", "image_path", "img_path", "rgb", "rgb_path", "video", "video_path", "path"),
}
_WORDS_OF_MODALITIES = {m.value: (m.value, *(f"{m}_{end}" for end in ("path", "file", "file_name"))) for m in Modality}
_ROLES = {word: role for words in (_WORDS, _WORDS_OF_MODALITIES) for role, names in words.items() for word in names}
_OTHER_MODALITY = re.compile(r"[a-z][a-z0-9_]*-[1-3]")
_BOXES = (("left", "top", "right", "bottom"), ("x", "y", "width", "height"), ("x", "y", "w", "h"))
_BOX_PREFIXES = ("", "box_", "bbox_", "face_")
_AU = re.compile(r"(?:au_?)?0*([1-9][0-9]?)(?:_(c|r|l|intensity|occurrence|presence))?", re.ASCII)
_KINDS = {"c": "c", "occurrence": "c", "presence": "c", "r": "r", "l": "l", "intensity": "r", None: ""}
_JAW_AND_INNER_CORNERS = (*range(17), 60, 64)  # points of 68 that the 49 do not have
_OF_68 = [i for i in range(68) if i not in _JAW_AND_INNER_CORNERS]
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_EMPTY = {"", "nan", "na", "n/a", "none", "null", "?"}
_UNKNOWN = {*_EMPTY, "-1", "9", "999"}
_BOOLEANS = {"true": "1", "false": "0"}


@dataclass(frozen=True)
class TableColumns:
    """Columns that are read.

    Attributes:
        table: Table.
        roles: Column of each role, such as ``subject`` or ``visual``.
        labels: Column of each AU, ascending, and whether it holds occurrence by its name.
        box: Four columns and whether the last two are width and height; None without.
        points: Columns of 49 landmarks: x, then y; empty without.
        unused: Names of the other columns.
    """

    table: TableFile
    roles: Mapping[str, int]
    labels: Mapping[int, tuple[int, bool]]
    box: tuple[tuple[int, ...], bool] | None
    points: tuple[int, ...]
    unused: list[str]

    @staticmethod
    def of(table: TableFile, intensity: str | None, allowed: Collection[str] | None = None) -> TableColumns:
        """Find the meaning of a table's columns.

        Args:
            table: Table.
            intensity: As for :func:`parse_label`. Columns of intensities are read if it is not None.
            allowed: Roles that a column may have. Columns of other roles are not read. All roles if None.

        Raises:
            DataError: Two columns have the same meaning, or ``intensity`` excludes all labels.
        """
        names = [re.sub(r"[ -]+", "_", column.strip().lower()) for column in table.columns]
        roles: dict[str, int] = {}
        kinds: dict[int, dict[str, int]] = {}
        for i, name in enumerate(names):
            match, as_written = _AU.fullmatch(name), table.columns[i].strip().lower()
            if name in _ROLES:
                if allowed is None or _ROLES[name] in allowed:
                    _put(roles, _ROLES[name], i, table)
            elif match:
                _put(kinds.setdefault(int(match[1]), {}), _KINDS[match[2]], i, table)
            elif allowed is None and _OTHER_MODALITY.fullmatch(as_written):
                _put(roles, _modality(as_written, table), i, table)
        labels = _label_columns(kinds, intensity, table)
        if any(columns.keys() != {"l"} for columns in kinds.values()) and not labels:
            column = min(column for columns in kinds.values() for column in columns.values())
            kind = "intensities" if intensity is None else "occurrence"
            hint = "give --intensity 2 or --intensity keep" if intensity is None else "leave --intensity out"
            what = f"column {table.name(column)} and all other labels are {kind}"
            raise DataError(what, where=table.path, hint=hint)
        box = _box(names)
        points = _points(table.columns)
        used = {*roles.values(), *(i for i, _ in labels.values()), *points}
        used |= {*(box[0] if box else ())}
        unused = [name for i, name in enumerate(table.columns) if name and i not in used]
        return TableColumns(table, roles, labels, box, points, unused)

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Modalities with a column, in canonical order."""
        return Modality.ordered(role for role in self.roles if role in _WORDS_OF_MODALITIES or "-" in role)

    def read_box(self, cells: list[str], line: int) -> tuple[float, ...] | None:
        """Return left, top, right and bottom of a row's box in pixels, None if its cells are empty, all 0 or all -1.

        Raises:
            DataError: A cell is not a number, or the box has no area.
        """
        if self.box is None or all(cells[i].lower() in _EMPTY for i in self.box[0]):
            return None
        left, top, right, bottom = (self._number(cells, i, line) for i in self.box[0])
        if left == top == right == bottom and left in {0, -1}:  # trackers write this for a lost face
            return None
        if self.box[1]:
            right, bottom = left + right, top + bottom
        if not (right > left and bottom > top):
            raise DataError("the box has no area", where=self.table.where(line), hint="leave its cells empty")
        return left, top, right, bottom

    def read_points(self, cells: list[str], line: int) -> np.ndarray | None:
        """Return the landmarks of a row in pixels, (49, 2), None if they are empty or all at one point.

        Raises:
            DataError: A cell is not a number.
        """
        if not self.points or all(cells[i].lower() in _EMPTY for i in self.points):
            return None
        values = np.array([self._number(cells, i, line) for i in self.points]).reshape(2, landmarks.COUNT).T
        return None if (values == values[0]).all() else values  # trackers write 0 or -1 for a lost face

    def _number(self, cells: list[str], column: int, line: int) -> float:
        if not _NUMBER.fullmatch(cells[column]):
            what = f"{self.table.name(column)} is '{shorten(cells[column])}', not a number"
            hint = "write pixels, or leave all cells of a box or of the landmarks empty"
            raise DataError(what, where=self.table.where(line), hint=hint)
        return float(cells[column])


def _label_columns(
    kinds: Mapping[int, Mapping[str, int]], intensity: str | None, table: TableFile
) -> dict[int, tuple[int, bool]]:
    """Choose the column of each AU among those of occurrence ``c``, of intensity ``r`` and without a kind.

    Beside a column of the left side ``l``, one that ends in ``r`` is that of the right side. If some AU has a column of
    intensity, columns without a kind hold occurrence.
    """
    occurrence = {"c", ""} if any("r" in columns and "l" not in columns for columns in kinds.values()) else {"c"}
    intensities = [kind for kind in ("r", "") if kind not in occurrence]
    order = ["", "c"] if intensity is None else intensities if intensity == KEEP else [*intensities, *occurrence]
    chosen: dict[int, tuple[int, bool]] = {}
    for au, columns in sorted(kinds.items()):
        if "" in columns and "c" in columns:
            names = " and ".join(table.name(columns[kind]) for kind in ("", "c"))
            raise DataError(f"columns {names} both code AU{au}", where=table.path, hint="remove one of them")
        if columns.keys() == {"l", "r"}:
            names = " and ".join(table.name(columns[kind]) for kind in ("l", "r"))
            what = f"columns {names} code AU{au} of the sides of a face"
            raise DataError(what, where=table.path, hint=f"write one column AU{au}, or remove them")
        kind = next((kind for kind in order if kind in columns and (kind != "r" or "l" not in columns)), None)
        if kind is not None:
            chosen[au] = columns[kind], kind in occurrence
    return chosen


def _modality(name: str, table: TableFile) -> str:
    """Return the name of another modality.

    Raises:
        DataError: No modality can have this name.
    """
    try:
        return Modality(name).value
    except ValueError as error:
        raise DataError(f"column {shorten(name)}: {error}", where=table.path, hint="rename it") from None


def _put(columns: dict[str, int], key: str, column: int, table: TableFile) -> None:
    if key in columns:
        what = f"columns {table.name(columns[key])} and {table.name(column)} mean the same"
        raise DataError(what, where=table.path, hint="remove or rename one of them")
    columns[key] = column


def _box(names: list[str]) -> tuple[tuple[int, ...], bool] | None:
    for prefix in _BOX_PREFIXES:
        for corners in _BOXES:
            if all(prefix + corner in names for corner in corners):
                return tuple(names.index(prefix + corner) for corner in corners), corners[0] == "x"
    return None


def _points(names: Iterable[str]) -> tuple[int, ...]:
    """Return the columns x_0, … and y_0, … of 49 or 68 points; X_0, … of OpenFace are positions in space."""
    at = {name.strip(): i for i, name in enumerate(names)}
    for count, chosen in ((68, _OF_68), (landmarks.COUNT, list(range(landmarks.COUNT)))):
        if f"x_{count}" not in at and all(f"{axis}_{i}" in at for axis in "xy" for i in range(count)):
            return tuple(at[f"{axis}_{i}"] for axis in "xy" for i in chosen)
    return ()


@lru_cache(maxsize=1 << 16)
def parse_label(text: str, intensity: str | None, is_occurrence: bool) -> int:
    """Convert a cell to a label: 0 and 1, 0 to 5 if intensities are kept, or -1 for unknown.

    Args:
        text: Cell.
        intensity: None for occurrence, the smallest intensity that counts as present, or :data:`KEEP`.
        is_occurrence: Whether the column holds occurrence also if intensities are binarised.

    Raises:
        ValueError: It is no label; the text states the labels that are allowed.
    """
    text = _BOOLEANS.get(text.lower(), text)
    if text.lower() in _UNKNOWN or (_NUMBER.fullmatch(text) and float(text) in {-1.0, 9.0, 999.0}):
        return -1
    value = float(text) if _NUMBER.fullmatch(text) else -2.0
    if intensity is None or is_occurrence:
        if value not in {0.0, 1.0}:
            raise ValueError("labels are 0, 1, or -1, 9, 999 or empty for unknown; --intensity reads 0 to 5")
        return int(value)
    if not 0 <= value <= 5:
        raise ValueError("intensities are 0 to 5, or -1, 9, 999 or empty for unknown")
    if intensity != KEEP:
        return int(value >= int(intensity))
    if not value.is_integer():
        raise ValueError("a store holds whole intensities; --intensity 2 makes 1 from 2 on")
    return int(value)


def parse_frame(text: str) -> int:
    """Convert a cell to a frame number.

    Raises:
        ValueError: It is not a whole number from 0 to 2³¹ - 1.
    """
    if not _NUMBER.fullmatch(text) or not float(text).is_integer() or not 0 <= float(text) < 2**31:
        raise ValueError("a frame is a whole number from 0 on")
    return int(float(text))
