"""Trials of DISFA+: a folder of images, and a folder of label files with the same name."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.data.inputs import Inputs, fingerprint
from aubench.data.store_writer import Allocate, Sequence, frame_table
from aubench.datasets.disfa.intensities import AUS, PLUS_SUBJECTS, SUBJECT_NAME, image_number, read_image_intensities
from aubench.datasets.file_search import files_below, printable
from aubench.faces import face_detection
from aubench.faces.images import Photo, check_same_size
from aubench.faces.visual_crops import crop_pictures

LAYOUT = "expected Images/SN001/<trial>/000.jpg and Labels/SN001/<trial>/AU1.txt in it"
_LABEL = re.compile(r"AU0*(\d{1,3})\.txt", re.IGNORECASE | re.ASCII)
_TRIAL = re.compile(r"[\w.+-]{1,80}", re.ASCII)
_IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}


@dataclass(frozen=True)
class Trial:
    """Images and label files of a trial."""

    subject: str
    name: str
    images: dict[int, Path] = field(default_factory=dict)  # image by the number in its name
    labels: dict[int, Path] = field(default_factory=dict)  # label file by AU

    def remarks(self) -> list[str]:
        """Describe what is missing."""
        if not self.images:
            return ["no image"]
        if not self.labels:
            return ["no label file, so its frames are without labels"]
        return [f"no label file of AU{au}, so that AU is unknown" for au in AUS if au not in self.labels]

    def inputs(self) -> Inputs:
        """Return the state of its files."""
        kinds = {"images": self.images.values(), "label files": self.labels.values()}
        return {kind: fingerprint((path.name, path) for path in paths) for kind, paths in kinds.items()}


def find_disfaplus(source: Path) -> tuple[list[Trial], list[str]]:
    """Find the images and label files of every trial in the folder of a delivery.

    Returns:
        Trials in order of subject and name, and names and reasons of unused files.

    Raises:
        DataError: The folder does not exist or cannot be read, there is no image or no label file, two files have the
            same number, a subject is unknown, or the name of a trial cannot be that of a file.
    """
    if not source.is_dir():
        raise DataError("no such folder", where=source, hint=LAYOUT)
    trials: dict[tuple[str, str], Trial] = {}
    unused: dict[str, list[str]] = defaultdict(list)
    for path in files_below(source):
        suffix = path.suffix.lower()
        label, image = _LABEL.fullmatch(path.name), image_number(path.name)
        is_file_of_trial = suffix == ".txt" or suffix in _IMAGE_SUFFIXES
        if not is_file_of_trial or SUBJECT_NAME.fullmatch(path.parent.parent.name) is None:
            continue
        if label and int(label[1]) in AUS:
            _add(_trial(path, trials).labels, int(label[1]), path)
        elif image is not None:
            _add(_trial(path, trials, names_it=True).images, image, path)
        else:
            unused[f"{printable(path.parent.name)}/*{suffix}"].append(printable(path.name))
    if not any(trial.labels for trial in trials.values()):
        raise DataError("no label file in it", where=source, hint=LAYOUT)
    if not any(trial.images for trial in trials.values()):
        raise DataError("no image in it", where=source, hint=LAYOUT)
    reason = "the name is neither a number with .jpg nor AU and one of the 12 AUs with .txt"
    listed = [f"{len(names)} files like {names[0]}: {reason}" for names in unused.values()]
    return [trials[key] for key in sorted(trials)], listed


def _trial(path: Path, trials: dict[tuple[str, str], Trial], *, names_it: bool = False) -> Trial:
    """Return the trial of a file, whose folder has its name in any case; that of its images is the trial's name."""
    subject, name = path.parent.parent.name.upper(), path.parent.name
    if subject not in PLUS_SUBJECTS:
        hint = f"its nine subjects are {', '.join(PLUS_SUBJECTS)}; move the folder elsewhere"
        raise DataError(f"{subject} is not a subject of DISFA+", where=path.parent.parent, hint=hint)
    if _TRIAL.fullmatch(name) is None:
        hint = "name it as delivered"
        raise DataError(
            "the name of the trial has other than letters, digits and . + _ -", where=path.parent, hint=hint
        )
    key = subject, name.casefold()
    trial = trials.setdefault(key, Trial(subject, name))
    if names_it and trial.name != name:
        if trial.images:
            what = f"the trial {name} of {subject} is also spelt {trial.name}"
            raise DataError(what, where=path.parent, hint="keep one of the two folders, or rename one")
        trial = trials[key] = replace(trial, name=name)
    return trial


def _add(files: dict[int, Path], key: int, path: Path) -> None:
    if key in files:
        raise DataError(f"has the same number as {files[key]}", where=path, hint="keep one of the two")
    files[key] = path


def read_labels(trial: Trial) -> Mapping[int, np.ndarray]:
    """Return the intensities of each coded image, int8 (12,) in the order of :data:`AUS`, by its number.

    Raises:
        DataError: A label file is damaged, or two of them code different images.
    """
    columns = {au: read_image_intensities(path) for au, path in sorted(trial.labels.items())}
    if not columns:
        return {}
    first = next(iter(columns))
    for au, column in columns.items():
        other = column.keys() ^ columns[first].keys()
        if other:
            what = f"image {min(other)} is coded either here or in {trial.labels[first].name}, not in both"
            raise DataError(what, where=trial.labels[au], hint="copy both files from the delivery again")
    rows = {number: np.full(len(AUS), -1, np.int8) for number in columns[first]}
    for au, column in columns.items():
        for number, intensity in column.items():
            rows[number][AUS.index(au)] = intensity
    return rows


def read_trial(trial: Trial, size: int, allocate: Allocate) -> Sequence:
    """Convert a trial into a sequence.

    Args:
        trial: Files, with at least one image.
        size: Height and width of the crops.
        allocate: Function that provides the array of the crops.

    Raises:
        DataError: A file is damaged, or images have different sizes.
    """
    labels = read_labels(trial)
    numbers = np.array(sorted(trial.images))
    paths = [trial.images[number] for number in numbers.tolist()]
    skipped = [(number, "coded, but without an image") for number in labels.keys() - trial.images.keys()]
    if labels:
        skipped += [(number, "not coded") for number in trial.images.keys() - labels.keys()]
    track, sources = face_detection.follow_face(_photos(paths))
    without_face = np.isnan(track[:, 0])
    images = {}
    if without_face.all():
        skipped += [(number, "no face in the whole trial") for number in numbers.tolist()]
        numbers, paths = numbers[:0], []
    table = _table(numbers, paths, labels)
    if len(numbers):
        images[Modality.VISUAL], _, columns = crop_pictures(
            partial(_photos, paths), track, sources, numbers, size, allocate
        )
        table = table.assign(**columns)
    notes: dict[str, int | str] = {
        "frames": len(numbers),
        "labelled": int(table["labelled"].sum()),
        "without_face": int(without_face.sum()),
    }
    return Sequence(trial.subject, trial.name, images, table, None, sorted(skipped), notes)


def _photos(paths: list[Path]) -> Iterator[Photo]:
    first = None
    for path in paths:
        photo = Photo.read(path)
        first = first or photo
        check_same_size(photo, first)
        yield photo


def _table(numbers: np.ndarray, paths: list[Path], labels: Mapping[int, np.ndarray]) -> pd.DataFrame:
    unknown = np.full(len(AUS), -1, np.int8)
    values = np.array([labels.get(number, unknown) for number in numbers.tolist()], np.int8).reshape(-1, len(AUS))
    sources = [printable("/".join(path.parts[-3:])) for path in paths]
    return frame_table(numbers, sources, [number in labels for number in numbers.tolist()], AUS, values)
