"""BP4D as an entry of the registry of data sets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from aubench.core.errors import UsageError
from aubench.core.task import Modality
from aubench.datasets.base import Dataset, DatasetOptions, Progress
from aubench.datasets.bp4d.frame_offsets import OffsetRequest
from aubench.datasets.bp4d.labels import AUS
from aubench.datasets.bp4d.layout import SCORED

if TYPE_CHECKING:
    from aubench.data.store import Store


def _check_offset(text: str) -> str:
    OffsetRequest.parse(text)
    return text


class Bp4dOptions(DatasetOptions):
    """Preparation options of BP4D."""

    size: int = Field(256, ge=32, le=1024, description="Side of every image in pixels.")
    frame_offset: Annotated[str, AfterValidator(_check_offset)] = Field(
        "auto", description="Photo number minus label frame number: auto, 0, -1 or 1; for one sequence F007/T2=0."
    )
    allow_gaps: bool = Field(False, description="Accept label files that leave out frames.")
    landmarks: Path | None = Field(
        None, description="Folder of the delivered 49-point files; align by them and store their points."
    )
    workers: int | None = Field(None, ge=1, description="Processes [default: one per core].")


class Bp4dDataset(Dataset):
    """BP4D in the folder layout of its owners."""

    name, version, title = "bp4d", "3", "BP4D as delivered by its owners"
    aus = AUS
    Options = Bp4dOptions

    @property
    def modalities(self) -> Mapping[Modality, str]:
        """Meaning of the channels; a delivery without meshes yields no depth."""
        from aubench.faces.depth import MEANING

        return {Modality.VISUAL: "RGB of the 2D photo", Modality.DEPTH: MEANING}

    def prepare(self, source: Path | None, store_path: Path, options: Bp4dOptions, progress: Progress) -> None:
        """Write the store with one process per core; see :func:`aubench.datasets.bp4d.prepare.prepare_bp4d`."""
        from aubench.datasets.bp4d.prepare import prepare_bp4d

        if source is None:
            raise UsageError("needs the delivered files", where="bp4d", hint="name their folder with --source")
        prepare_bp4d(
            source,
            store_path,
            size=options.size,
            frame_offset=options.frame_offset,
            allow_gaps=options.allow_gaps,
            landmarks=options.landmarks,
            workers=options.workers,
            progress=progress,
        )

    def summarize(self, store: Store) -> list[str]:
        """Return a table of counts."""
        from aubench.datasets.bp4d.summary import PrepareSummary

        return PrepareSummary.from_store(store, SCORED).lines()


BP4D = Bp4dDataset()
