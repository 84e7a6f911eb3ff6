"""Anybody's data as an entry of the registry of data sets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from aubench.core.errors import DataError, ProtocolError, UsageError
from aubench.core.task import Modality
from aubench.datasets.delivered import DeliveredDataset, DeliveredOptions, Job, Jobs
from aubench.datasets.file_search import printable
from aubench.datasets.label_text import shorten
from aubench.datasets.table.table_columns import KEEP

if TYPE_CHECKING:
    from aubench.core.protocol import Protocol
    from aubench.data.inputs import Inputs
    from aubench.data.store import Store
    from aubench.datasets.base import Progress
    from aubench.datasets.table.manifest import Manifest, ManifestFrame
    from aubench.datasets.table.picture_files import ValueRanges

_LONGEST = 120  # characters of the manifest's name in the title of the protocol, which has at most 200


def _range(text: str) -> tuple[float, float]:
    low, high = map(float, text.split(","))
    if not -math.inf < low < high < math.inf:
        raise ValueError
    return low, high


class TableOptions(DeliveredOptions):
    """Preparation options of a manifest."""

    name: str = Field(
        pattern=r"^[a-z0-9_]{1,50}$",
        description="Name of the data set in stores and protocols: at most 50 letters a to z, digits and _.",
    )
    intensity: str | None = Field(
        None,
        pattern=rf"^([1-5]|{KEEP})$",
        description="Read labels as intensities 0 to 5: n for present from n on, or keep.",
    )
    crop: bool = Field(True, description="Crop the face, or take images that are crops already.")
    root: Path | None = Field(None, description="Folder of the images [default: that of the manifest].")
    follow_links: bool = Field(False, description="Read files outside of the folder of the images too.")
    first_frame: Literal["auto", "0", "1"] = Field("auto", description="Number of a video's first frame: auto, 0, 1.")
    depth_range: str | None = Field(None, description="Nearest and farthest value of depth, e.g. 500,1500.")
    thermal_range: str | None = Field(None, description="Lowest and highest value of thermal images.")
    folds: int = Field(3, ge=2, le=20, description="Folds to draw if the manifest states none.")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Seed of the folds.")
    dry_run: bool = Field(False, description="Check the manifest and print what would be read.")

    @field_validator("depth_range", "thermal_range")
    @classmethod
    def _two_numbers(cls, text: str | None) -> str | None:
        try:
            _range(text or "0,1")
        except ValueError:
            raise ValueError("give two numbers, the smaller one first, such as 500,1500") from None
        return text

    @property
    def ranges(self) -> ValueRanges:
        """Ranges of 16-bit images."""
        from aubench.datasets.table.picture_files import ValueRanges

        texts = self.depth_range, self.thermal_range
        return ValueRanges(*(None if text is None else _range(text) for text in texts))


class TableDataset(DeliveredDataset):
    """Frames that a manifest names."""

    name, version, title = "table", "3", "Anybody's data: a table (CSV, JSON Lines, Parquet) that names the frames"
    aus = ()
    modalities: ClassVar[Mapping[Modality, str]] = {modality: f"{modality} as in the manifest" for modality in Modality}
    source_option = "--manifest", "FILE", "Table of the frames."
    Options = TableOptions
    unplanned = DeliveredDataset.unplanned | {"folds", "seed", "dry_run"}

    def meanings(self, options: TableOptions) -> Mapping[Modality, str]:
        """Return the meaning of the channels of each modality."""
        meanings = {Modality.VISUAL: "RGB of the manifest's images", Modality.DEPTH: "depth as in 8-bit images"}
        if options.depth_range:
            limits = options.depth_range.replace(",", " to ")
            meanings[Modality.DEPTH] = f"depth, 255 to 1 from {limits} unless of 8 bits, 0 is unknown"
        meanings[Modality.THERMAL] = "thermal as in 8-bit images, brightness of colours"
        if options.thermal_range:
            meanings[Modality.THERMAL] = f"thermal, 0 to 255 from {options.thermal_range.replace(',', ' to ')}"
        return meanings

    def store_name(self, options: TableOptions) -> str:
        """Return the name that the user gave.

        Raises:
            UsageError: Another data set has the name.
        """
        from aubench.datasets.catalog import DATASETS

        if options.name in DATASETS.names():
            raise UsageError(f"{options.name} is another data set", where="--name", hint="choose another name")
        return options.name

    def prepare(self, source: Path | None, store_path: Path, options: Any, progress: Progress) -> None:
        """Write the store and its protocol, or the protocol alone beside a complete store that lacks it.

        Raises:
            UsageError: As the method of the base class.
            DataError: As the method of the base class.
        """
        if source is None or not self._adds_protocol(source, store_path, options):
            super().prepare(source, store_path, options, progress)

    def _adds_protocol(self, source: Path, store_path: Path, options: TableOptions) -> bool:
        """Write the protocol that a complete store of the same plan and rows lacks; return whether it lacked one."""
        from aubench._util.progress import print_line
        from aubench.data.store import Store
        from aubench.data.store_files import is_store
        from aubench.data.store_writer import origin_of
        from aubench.datasets.table.stored_rows import has_rows

        if not is_store(store_path):
            return False
        store, manifest = Store(store_path), self._read(source, options)
        if store.origins() != [origin_of(self._plan(source, options))]:
            return False
        if not has_rows(store, manifest, _root(source, options)):
            return False
        try:
            protocol, _ = plan_protocol(manifest, options, store)
        except ProtocolError:
            return False
        if (path := _protocol_path(store, protocol)).exists():
            return False
        print_line(f"aubench: {store_path} stays as it is and lacks {path.name}; delete the store to prepare it again")
        _write_protocol(manifest, options, store)
        return True

    def preview(self, source: Path | None, options: TableOptions) -> list[str]:
        """Return the description of a manifest for ``--dry-run``."""
        if not options.dry_run:
            return []
        from aubench.datasets.table.table_preview import preview_lines

        self.store_name(options)
        manifest = self._read(source, options)
        return preview_lines(manifest, options)

    def find(self, source: Path, options: TableOptions) -> Jobs:
        """Read the manifest and its label files.

        Raises:
            DataError: A table is damaged, a cell is wrong, a frame or a file occurs twice, or a file is missing.
        """
        from aubench._util.progress import print_line
        from aubench.core import landmarks
        from aubench.datasets.table.table_preview import listed
        from aubench.datasets.table.table_protocol import fold_remark
        from aubench.datasets.table.table_sequences import TableSettings, read_frames

        self.store_name(options)
        manifest = self._read(source, options)
        if manifest.unused:
            print_line(f"aubench: columns not read: {listed(manifest.unused)}")
        if remark := fold_remark(manifest, options.folds):
            print_line(f"aubench: {remark}")
        meanings = self.meanings(options)
        settings = TableSettings(
            root=_root(source, options),
            modalities=manifest.modalities,
            aus=manifest.aus,
            size=options.size,
            crop=options.crop,
            ranges=options.ranges,
            has_points=manifest.has_points,
        )
        jobs = {
            (subject, sequence): Job(
                partial(read_frames, subject, sequence, frames, settings), len(frames), _inputs(frames, manifest)
            )
            for (subject, sequence), frames in manifest.sequences.items()
        }
        return Jobs(
            jobs,
            "square around the face, smoothed over sequences" if options.crop else "as in the manifest's images",
            landmarks=landmarks.COUNT if manifest.has_points else None,
            modalities={m: meanings.get(m, f"{m.value} as in 8-bit images") for m in manifest.modalities},
            labels="intensity" if options.intensity == KEEP else "occurrence",
            finished=partial(_write_protocol, manifest, options),
        )

    def _read(self, source: Path | None, options: TableOptions) -> Manifest:
        from aubench.datasets.table.face_places import check_places
        from aubench.datasets.table.manifest import read_manifest
        from aubench.datasets.table.table_paths import TablePaths
        from aubench.datasets.table.table_protocol import check_parts

        if source is None:
            raise UsageError("needs a manifest", where=self.name, hint="name it with --manifest")
        paths = TablePaths(_root(source, options), options.follow_links)
        first_frame = None if options.first_frame == "auto" else int(options.first_frame)
        manifest = read_manifest(source, paths, options.intensity, first_frame)
        check_parts(manifest)
        if options.crop:
            check_places(manifest)
        has_place = any(frame.has_place for frames in manifest.sequences.values() for frame in frames)
        if options.crop and Modality.VISUAL not in manifest.modalities and not has_place:
            hint = "add boxes, landmarks or visual images, or give --no-crop for images that are crops already"
            raise DataError("has nothing to locate faces by", where=source, hint=hint)
        return manifest


def _root(source: Path, options: TableOptions) -> Path:
    return (options.root or source.parent).resolve()


def _inputs(frames: list[ManifestFrame], manifest: Manifest) -> Inputs:
    from aubench.core import hashing
    from aubench.data.inputs import fingerprint

    pictures = [picture for frame in frames for picture in frame.pictures.values()]
    paths = dict.fromkeys(picture.path for picture in pictures)
    rows = [
        [
            frame.number,
            [[m, printable(str(picture.path)), picture.frame_index] for m, picture in frame.pictures.items()],
            frame.labels,
            frame.box,
            None if frame.points is None else frame.points.tolist(),
        ]
        for frame in frames
    ]
    columns = [manifest.aus, [m.value for m in manifest.modalities], manifest.has_points]
    return {
        "columns": [len(manifest.aus), hashing.hash_json(columns)],
        "files": fingerprint((path.name, path) for path in paths),
        "rows": [len(rows), hashing.hash_json(rows)],
    }


def _protocol_path(store: Store, protocol: Protocol) -> Path:
    return store.path.with_name(f"{protocol.name}.toml")


def _write_protocol(manifest: Manifest, options: TableOptions, store: Store) -> None:
    """Write the protocol beside a finished store, and print its name or why there is none."""
    from aubench._util import atomic
    from aubench._util.progress import print_line
    from aubench.datasets.table.table_protocol import training_remark

    try:
        protocol, text = plan_protocol(manifest, options, store)
    except ProtocolError as error:
        print_line(f"aubench: wrote no protocol: {error.what}")
        return
    path = _protocol_path(store, protocol)
    if path.exists() and path.read_text(encoding="utf-8", errors="replace") != text:
        print_line(f"aubench: {path} exists already and stays as it is; delete it before you prepare the store again")
        return
    atomic.write_text(path, text)
    print_line(f"aubench: wrote the protocol {path}")
    if remark := training_remark(store, protocol):
        print_line(f"aubench: {remark}")


def plan_protocol(manifest: Manifest, options: TableOptions, store: Store) -> tuple[Protocol, str]:
    """Return the protocol of a store and its file.

    Raises:
        ProtocolError: No fold has people to train on and others to test.
    """
    from aubench.datasets.table.table_protocol import draw_parts, is_split, protocol_text

    labelled = set(store.frames.loc[store.frames["labelled"], "subject"].unique())
    if any(manifest.parts.values()):
        parts = dict(manifest.parts)
        stated = {part for subject, part in parts.items() if part and subject in labelled}
        name = f"{options.name}_split" if is_split(stated) else f"{options.name}_{len(stated)}fold"
        title = f"{options.name}: parts as in {shorten(printable(manifest.path.name), _LONGEST)}"
        return protocol_text(name, title, store, {s: part for s, part in parts.items() if part})
    if len(labelled) < options.folds:
        raise ProtocolError(f"fewer subjects with labels ({len(labelled)}) than folds ({options.folds})")
    title = f"{options.name}: {options.folds} folds without common people, drawn by AU rates with seed {options.seed}"
    parts = draw_parts(store, options.folds, options.seed)
    return protocol_text(f"{options.name}_{options.folds}fold", title, store, parts)


TABLE = TableDataset()
