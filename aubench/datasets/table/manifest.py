"""Manifest: a table with one row for each frame, or for each video with a label file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aubench.core.errors import DataError
from aubench.core.protocol_rules import SUBJECT_CHARACTERS
from aubench.core.task import Modality
from aubench.datasets.label_text import shorten
from aubench.datasets.person_names import comparable
from aubench.datasets.sequence_checks import is_name
from aubench.datasets.table.manifest_rows import ManifestRow, read_rows
from aubench.datasets.table.table_columns import TableColumns, parse_frame, parse_label
from aubench.datasets.table.table_files import read_table
from aubench.datasets.table.table_paths import IMAGES, Picture, TablePaths

STILLS = "stills"
"""Sequence of the images of a subject in a manifest without a column of sequences."""

_FARTHEST = 1e6  # pixels: coordinates beyond are not those of an image


class ManifestFrame(NamedTuple):
    """A frame of the manifest."""

    number: int
    line: str  # of the manifest, or of the label file, which it names
    pictures: Mapping[Modality, Picture]  # missing modalities are left out
    labels: tuple[int, ...]  # in the order of the manifest's AUs; -1 is unknown
    box: tuple[float, ...] | None  # left, top, right, bottom in pixels
    points: np.ndarray | None  # (49, 2) in pixels

    @property
    def has_place(self) -> bool:
        """Whether the manifest says where the face is."""
        return self.box is not None or self.points is not None


@dataclass(frozen=True)
class Manifest:
    """Frames of a manifest.

    Attributes:
        path: File.
        sequences: Frames in order of their numbers, by subject and sequence.
        modalities: Modalities with a column.
        aus: AUs with a label column, ascending.
        parts: Part of each subject; empty without such a column.
        has_points: Whether frames have landmarks.
        first_frame: Number of the first frame of videos; None without videos.
        label_columns: Names of the columns with labels.
        unused: Names of the columns that are not read.
    """

    path: Path
    sequences: Mapping[tuple[str, str], list[ManifestFrame]]
    modalities: tuple[Modality, ...]
    aus: tuple[int, ...]
    parts: Mapping[str, str]
    has_points: bool
    first_frame: int | None
    label_columns: list[str]
    unused: list[str]

    @property
    def subjects(self) -> list[str]:
        """Subjects in order of their first row."""
        return list(dict.fromkeys(subject for subject, _ in self.sequences))


def read_manifest(path: Path, paths: TablePaths, intensity: str | None, first_frame: int | None) -> Manifest:
    """Read and check a manifest and its label files.

    Args:
        path: CSV, JSON Lines or Parquet file.
        paths: Files that it may name.
        intensity: As for :func:`parse_label`.
        first_frame: Number of the first frame of videos; None for 0 if a row has it, or else 1.

    Raises:
        DataError: A table is damaged, a cell is wrong, a frame or a file occurs twice, or a file is missing.
    """
    columns = TableColumns.of(read_table(path), intensity)
    _require(columns)
    collector = _Collector(columns, columns.modalities, paths, intensity)
    tables = {("", *columns.table.columns): columns}  # one of those with the same columns
    last = columns
    for row in read_rows(columns, paths, intensity):
        if row.own is not last:
            last = row.own
            tables.setdefault(tuple(last.table.columns), last)
        collector.add(row)
    paths.check()
    return collector.finish([*tables.values()], first_frame)


def _require(columns: TableColumns) -> None:
    listed = ", ".join(map(shorten, columns.table.columns[:12]))
    if "subject" not in columns.roles:
        hint = "name the person of each row, because training and test share no person"
        raise DataError(f"has no column subject (columns: {listed})", where=columns.table.path, hint=hint)
    if not columns.modalities:
        hint = "name the images in columns visual, depth, thermal, or others with their channels as flow-2"
        raise DataError(f"has no column of images (columns: {listed})", where=columns.table.path, hint=hint)
    for first, second in pairwise(columns.modalities):
        if first.letter == second.letter:
            what = f"columns {first} and {second} differ in their channels only"
            raise DataError(what, where=columns.table.path, hint="rename one of them")


@dataclass
class _Collector:
    """Frames collected from rows, with the checks between rows."""

    columns: TableColumns
    modalities: tuple[Modality, ...]
    paths: TablePaths
    intensity: str | None
    frames: dict[tuple[str, str], dict[int, tuple[ManifestFrame, dict[int, int]]]] = field(default_factory=dict)
    first_lines: dict[tuple[str, int | None], str] = field(default_factory=dict)  # of each file or frame of a video
    spellings: dict[str, str] = field(default_factory=dict)
    parts: dict[str, tuple[str, str]] = field(default_factory=dict)
    videos: dict[tuple[str, str], Path] = field(default_factory=dict)  # by subject and name without a folder
    first_numbers: dict[Path, int] = field(default_factory=dict)  # smallest frame number of each video

    def add(self, row: ManifestRow) -> None:
        subject, sequence = self._names(row)
        self._note_part(subject, row)
        of_sequence = self.frames.setdefault((subject, sequence), {})
        number = self._number(row, len(of_sequence) + 1)
        if number in of_sequence:
            before = of_sequence[number][0].line
            what = f"frame {number} of {subject} {sequence} occurs in {before} too"
            raise DataError(
                what, where=row.where, hint="two people need two subject names, two recordings two sequences"
            )
        pictures = self._pictures(row, number)
        is_lost = not row.is_tracked
        labels = {} if is_lost else self._labels(row)
        points = None if is_lost else row.points
        boxes = (
            columns.read_box(cells, line)
            for columns, cells, line in reversed(row.sources)
            if not (is_lost and "success" in columns.roles)
        )
        box = next((box for box in boxes if box is not None), None)
        if any(np.abs(x).max() > _FARTHEST for x in (box, points) if x is not None):
            hint = "write boxes and landmarks in pixels of the visual image"
            raise DataError("box or landmarks are not in pixels", where=row.where, hint=hint)
        frame = ManifestFrame(number, row.line_name, pictures, (), box, points)
        of_sequence[number] = frame, labels

    def _names(self, row: ManifestRow) -> tuple[str, str]:
        subject, sequence = row.text("subject"), row.text("sequence")
        if not subject:
            raise DataError("subject is empty", where=row.where, hint="name the person")
        if "sequence" not in row.columns.roles:
            sequence = self._name_of_video(subject, row)
        for role, name in (("subject", subject), ("sequence", sequence)):
            if not is_name(name):
                hint = f"use {SUBJECT_CHARACTERS}"
                raise DataError(f"'{shorten(name)}' cannot name a {role}", where=row.where, hint=hint)
        if (other := self.spellings.setdefault(comparable(subject), subject)) != subject:
            what = f"subject {subject} is also spelt {other}"
            raise DataError(what, where=row.where, hint="write a person's name alike, and other names for other people")
        return subject, sequence

    def _name_of_video(self, subject: str, row: ManifestRow) -> str:
        """Return the sequence of a row in a manifest without such a column: its video, or stills."""
        files = (self.paths.find(cell, row.where) for m in self.modalities if (cell := row.text(m)))
        video = next((path for path in files if Picture(path).is_video), None)
        if video is None:
            return STILLS
        if (other := self.videos.setdefault((subject, video.stem), video)) != video:
            what = f"{video} of {subject} has the same name as {other}"
            raise DataError(what, where=row.where, hint="add a column sequence")
        return video.stem

    def _note_part(self, subject: str, row: ManifestRow) -> None:
        if "part" not in row.columns.roles:
            return
        part = row.text("part")
        before, line = self.parts.setdefault(subject, (part, row.where))
        if before != part:
            what = f"subject {subject} is in part '{shorten(part)}', and in '{shorten(before)}' at {line}"
            raise DataError(what, where=row.where, hint="a person is in one part; two people need two names")

    def _number(self, row: ManifestRow, following: int) -> int:
        if "frame" not in row.own.roles:
            if any(Picture(Path(row.text(m))).is_video for m in self.modalities):
                hint = "add a column frame, or a column labels with the label file of the video"
                raise DataError("names a video without a frame", where=row.where, hint=hint)
            return following
        try:
            return parse_frame(row.text("frame"))
        except ValueError as error:
            raise DataError(f"frame is '{shorten(row.text('frame'))}'", where=row.where, hint=str(error)) from None

    def _pictures(self, row: ManifestRow, number: int) -> dict[Modality, Picture]:
        pictures = {}
        for modality in self.modalities:
            if not (cell := row.text(modality)):
                continue
            path = self.paths.find(cell, row.where)
            picture = Picture(path)
            if picture.is_video:
                picture = Picture(path, number)
                self.first_numbers[path] = min(number, self.first_numbers.get(path, number))
            elif picture.extension not in IMAGES:
                hint = f"images are {' '.join(sorted(IMAGES))}"
                raise DataError(f"{shorten(cell)} is neither an image nor a video", where=row.where, hint=hint)
            key = self.paths.real(path), picture.frame_index
            if key in self.first_lines:
                what = f"names {shorten(cell)} as {self.first_lines[key]} does"
                raise DataError(what, where=row.where, hint="name each image once, and each frame of a video once")
            self.first_lines[key] = row.line_name
            pictures[modality] = picture
        if not pictures:
            raise DataError("names no image", where=row.where, hint="remove the row")
        return pictures

    def _labels(self, row: ManifestRow) -> dict[int, int]:
        """Return the labels of a frame; those of the label file precede those of the manifest."""
        labels = {}
        for columns, cells, line in row.sources:
            for au, (column, is_occurrence) in columns.labels.items():
                try:
                    labels[au] = parse_label(cells[column], self.intensity, is_occurrence)
                except ValueError as error:
                    what = f"{columns.table.name(column)} is '{shorten(cells[column])}'"
                    raise DataError(what, where=columns.table.where(line), hint=str(error)) from None
        return labels

    def finish(self, tables: list[TableColumns], first_frame: int | None) -> Manifest:
        _check_files(self.frames, self.columns.table.path)
        first_frame = self._first_frame(first_frame)
        aus = tuple(sorted({au for columns in tables for au in columns.labels}))
        sequences = {
            key: [_finished(*of_sequence[number], aus, first_frame) for number in sorted(of_sequence)]
            for key, of_sequence in self.frames.items()
        }
        chosen = (columns.table.columns[i] for columns in tables for i, _ in columns.labels.values())
        return Manifest(
            path=self.columns.table.path,
            sequences=sequences,
            modalities=self.modalities,
            aus=aus,
            parts={subject: part for subject, (part, _) in self.parts.items()},
            has_points=any(columns.points for columns in tables),
            first_frame=first_frame if self.first_numbers else None,
            label_columns=list(dict.fromkeys(chosen)),
            unused=list(dict.fromkeys(name for columns in tables for name in columns.unused)),
        )

    def _first_frame(self, stated: int | None) -> int:
        """Return the number of the first frame of videos: the stated one, or 0 if a video begins with it, or else 1.

        Raises:
            DataError: The stated number is 1 and a frame has the number 0, or some videos begin with 0 and some with 1.
        """
        where = self.columns.table.path
        examples = {number: path.name for path, number in reversed(self.first_numbers.items())}
        if stated is None and {0, 1} <= examples.keys():
            what = f"the frames of {shorten(examples[0])} begin with 0, and those of {shorten(examples[1])} with 1"
            hint = "number all videos alike, or give --first-frame 0 if first frames are left out"
            raise DataError(what, where=where, hint=hint)
        if stated == 1 and 0 in examples:
            raise DataError("a frame of a video has the number 0", where=where, hint="leave --first-frame out")
        if stated is not None:
            return stated
        return 0 if 0 in examples else 1


def _finished(frame: ManifestFrame, labels: Mapping[int, int], aus: tuple[int, ...], first_frame: int) -> ManifestFrame:
    pictures = {
        m: picture if picture.frame_index is None else picture._replace(frame_index=picture.frame_index - first_frame)
        for m, picture in frame.pictures.items()
    }
    return frame._replace(pictures=pictures, labels=tuple(labels.get(au, -1) for au in aus))


def _check_files(keys: Mapping[tuple[str, str], object], where: Path) -> None:
    """Refuse sequences of a subject that differ in case only, which some disks take for one file."""
    names: dict[tuple[str, str], str] = {}
    for subject, sequence in keys:
        if (before := names.setdefault((subject, sequence.casefold()), sequence)) != sequence:
            what = f"sequence {sequence} of {subject} is also spelt {before}"
            raise DataError(what, where=where, hint="write a sequence's name alike, and other names for others")
