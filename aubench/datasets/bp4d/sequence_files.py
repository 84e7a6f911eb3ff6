"""Files of a sequence of BP4D in its folders and archives, by their numbers."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from aubench._util.zip_files import DeliveredFile, ZipEntry
from aubench.core.errors import DataError
from aubench.datasets.bp4d.layout import Key, Recording
from aubench.datasets.file_search import entries_of, printable

_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
_KINDS = {".jpg": "photo", ".jpeg": "photo", ".obj": "mesh", ".mtl": "material"}
_OTHER_IMAGES = {".png", ".bmp", ".tif", ".tiff", ".webp", ".heic", ".jp2", ".gif"}
_NOT_JPEG = "only .jpg and .jpeg are read, not "


@dataclass(frozen=True)
class ZipFolder:
    """A folder in an archive."""

    archive: Path  # path of the archive
    name: str  # archive and folder
    files: list[ZipEntry]  # files in it

    def __str__(self) -> str:
        return self.name


def is_image(name: str) -> bool:
    """Return whether a file name is that of an image or a mesh."""
    suffix = PurePath(name).suffix.lower()
    return suffix in _OTHER_IMAGES or _KINDS.get(suffix, "material") != "material"


def has_images(folder: Path) -> bool:
    """Return whether an image or a mesh is in a folder."""
    return any(is_image(entry.name) for entry in entries_of(folder))


def collect_recording(key: Key, folders: list[Path | ZipFolder], label_file: Path | None) -> Recording:
    """Collect the files of a sequence; photos and meshes may be in folders of their own."""
    files: dict[str, dict[int, DeliveredFile]] = {"photo": {}, "mesh": {}, "material": {}}
    unnumbered: list[str] = []
    remarks: list[str] = []
    for folder in folders:
        numbered, others = _numbered_files(folder)
        for kind, paths in numbered.items():
            if paths and files[kind] and kind != "material":
                other = next(iter(files[kind].values())).parent
                raise DataError(f"{key[0]} T{key[1]} is also in {other}", where=folder, hint="keep one of the two")
            files[kind] |= paths
        unnumbered += others.pop("", [])
        remarks += [f"{len(names)} files like {names[0]}: {reason}" for reason, names in others.items()]
    _check_numbers(files["photo"], files["mesh"], folders)
    other_images = [remark for remark in remarks if _NOT_JPEG in remark]
    if not files["photo"]:
        if other_images:
            hint = "convert the photos to JPEG, or move the folder elsewhere"
            raise DataError(f"no photo in it: {other_images[0]}", where=folders[0], hint=hint)
        remarks.append("no photo")
    elif len(folders) > 1:
        remarks = [remark for remark in remarks if remark not in other_images]  # of another sensor
    if label_file is None:
        remarks.append("no label file, so its frames are without labels")
    return Recording(
        key[0],
        f"T{key[1]}",
        files["photo"],
        files["mesh"],
        label_file,
        tuple(unnumbered),
        frozenset(files["material"]),
        tuple(remarks),
    )


def _numbered_files(folder: Path | ZipFolder) -> tuple[dict[str, dict[int, DeliveredFile]], dict[str, list[str]]]:
    """Return the files of each kind by number, and the names of others by reason, empty for a name without number."""
    numbered: dict[str, dict[int, DeliveredFile]] = defaultdict(dict)
    others: dict[str, list[str]] = defaultdict(list)
    for file, is_file in _files_in(folder):
        path, name = PurePath(file.name), printable(file.name)
        suffix = path.suffix.lower()
        if suffix in _OTHER_IMAGES:
            others[_NOT_JPEG + suffix].append(name)
        kind = _KINDS.get(suffix)
        is_numbered = _NUMBER.fullmatch(path.stem)
        if kind is None or (kind == "material" and not is_numbered):
            continue
        if not is_numbered:
            is_long = path.stem.isascii() and path.stem.isdecimal()
            others["the number has more than 9 digits" if is_long else ""].append(name)
        elif not is_file:
            others["a broken link or a folder"].append(name)
        elif int(path.stem) in numbered[kind] and kind != "material":
            other = numbered[kind][int(path.stem)].name
            raise DataError(f"has the same number as {other}", where=file, hint="keep one of the two")
        else:
            numbered[kind][int(path.stem)] = file
    return numbered, others


def _files_in(folder: Path | ZipFolder) -> Iterator[tuple[DeliveredFile, bool]]:
    """Iterate over the entries of a folder, and whether each is a file."""
    if isinstance(folder, ZipFolder):
        yield from ((file, True) for file in folder.files)
        return
    for entry in entries_of(folder):
        path = Path(entry.path)
        yield path, entry.is_file(follow_symlinks=False) or path.is_file()


def _check_numbers(
    photos: dict[int, DeliveredFile], meshes: dict[int, DeliveredFile], folders: list[Path | ZipFolder]
) -> None:
    """Refuse photos that are numbered from 0 with meshes that are numbered from 1, or the reverse."""
    if len(photos) > 1 and len(meshes) > 1:
        first, last = min(meshes) - min(photos), max(meshes) - max(photos)
        if first == last and abs(first) == 1:
            what = f"photos are numbered {min(photos)} to {max(photos)}, meshes {min(meshes)} to {max(meshes)}"
            raise DataError(what, where=folders[-1], hint="give a photo and its mesh the same number")
