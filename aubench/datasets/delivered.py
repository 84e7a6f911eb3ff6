"""Base class of data sets whose sequences are read from delivered files by worker processes."""

from __future__ import annotations

import shutil
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import Field

from aubench.core.errors import UsageError
from aubench.core.task import Modality
from aubench.datasets.base import Dataset, DatasetOptions, Progress

if TYPE_CHECKING:
    from aubench.data.inputs import Inputs
    from aubench.data.store import Store
    from aubench.data.store_format import LabelKind
    from aubench.datasets.sequence_pool import Key, Reader


_LARGE = 1 << 30
"""Bytes from which on a command tells the space that a store needs."""


class DeliveredOptions(DatasetOptions):
    """Preparation options of delivered data sets."""

    size: int = Field(256, ge=32, le=1024, description="Side of every image in pixels.")
    workers: int | None = Field(None, ge=1, description="Processes [default: one per core].")


class Job(NamedTuple):
    """Work for one sequence."""

    read: Reader  # function that reads it
    frames: int  # approximate number of its frames
    inputs: Inputs  # state of its files


@dataclass(frozen=True)
class Jobs:
    """Work for a delivery.

    Attributes:
        jobs: Work by names of subject and sequence.
        crop: Description of the face crop.
        skipped: Missing and unused files: subject, sequence, -1 and reason.
        landmarks: Number of landmarks of each frame, 49 or None.
        modalities: Meaning of the channels of the modalities that the delivery has; those of the data set if None.
        labels: Kind of the labels; that of the data set if None.
        finished: Called with the finished store.
    """

    jobs: Mapping[Key, Job]
    crop: str
    skipped: list[tuple[str, str, int, str]] = field(default_factory=list)
    landmarks: int | None = None
    modalities: Mapping[Modality, str] | None = None
    labels: LabelKind | None = None
    finished: Callable[[Store], None] = lambda store: None


class DeliveredDataset(Dataset):
    """A data set in the files of its owners. A subclass implements :meth:`find`."""

    Options: ClassVar[type[DatasetOptions]] = DeliveredOptions
    unplanned = frozenset({"workers"})

    @abstractmethod
    def find(self, source: Path, options: Any) -> Jobs:
        """Search the delivery, and read all label files.

        Args:
            source: Folder of the delivery.
            options: Instance of ``Options``.

        Raises:
            DataError: The layout is unknown, or a file is damaged.
        """

    def prepare(self, source: Path | None, store_path: Path, options: Any, progress: Progress) -> None:
        """Write the store with one process per core. A repeated call resumes an interrupted one.

        Args:
            source: Folder of the delivery.
            store_path: Folder of the new store.
            options: Instance of ``Options``.
            progress: Called with the numbers of finished and of all frames.

        Raises:
            UsageError: There is no source.
            DataError: A store exists already, a partial one has other options, or a file is damaged. Finished
                sequences remain for the next attempt.
        """
        from aubench._util import system
        from aubench._util.progress import print_line
        from aubench.data.store_writer import StoreWriter
        from aubench.datasets.sequence_pool import write_sequences

        if source is None:
            hint = f"name them with {self.source_option[0]}"
            raise UsageError("needs the delivered files", where=self.name, hint=hint)
        work = self.find(source, options)
        with StoreWriter(store_path, self._plan(source, options)) as writer:
            for line in writer.discard_changed({key: job.inputs for key, job in work.jobs.items()}):
                print_line(f"aubench: {line}")
            pending = sum(job.frames for key, job in work.jobs.items() if not writer.has(*key))
            if line := _space(pending, work.modalities or self.modalities, options.size, writer.partial):
                print_line(f"aubench: {line}")
            readers = {key: (job.read, job.frames) for key, job in work.jobs.items()}
            write_sequences(writer, readers, options.workers or system.available_cores(), progress)
            store = writer.finish(
                dataset=self.store_name(options),
                version=self.version,
                size=options.size,
                modalities=work.modalities or self.modalities,
                crop=work.crop,
                landmarks=work.landmarks,
                skipped=work.skipped,
                labels=work.labels or self.labels,
            )
        work.finished(store)

    def summarize(self, store: Store) -> list[str]:
        """Return a table of counts."""
        from aubench.datasets.store_summary import summary_lines

        return summary_lines(store)


def _space(frames: int, modalities: Iterable[Modality], size: int, folder: Path) -> str:
    """Return the space that frames need and the free space; empty if that is little and there is more."""
    needed = frames * sum(modality.channels for modality in modalities) * size**2
    free = shutil.disk_usage(folder).free
    if needed < min(_LARGE, free):
        return ""
    return f"{frames} frames to prepare need up to {needed / 2**30:.2f} GiB, and {free / 2**30:.2f} GiB are free"
