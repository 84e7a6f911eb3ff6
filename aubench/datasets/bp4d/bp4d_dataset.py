"""BP4D as an entry of the registry of data sets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.datasets.bp4d.frame_offsets import OffsetRequest
from aubench.datasets.bp4d.labels import AUS
from aubench.datasets.bp4d.layout import SCORED, SUBJECTS
from aubench.datasets.delivered import DeliveredDataset, DeliveredOptions, Jobs

if TYPE_CHECKING:
    from aubench.data.store import Store


def _check_offset(text: str) -> str:
    OffsetRequest.parse(text)
    return text


class Bp4dOptions(DeliveredOptions):
    """Preparation options of BP4D."""

    frame_offset: Annotated[str, AfterValidator(_check_offset)] = Field(
        "auto", description="Photo number minus label frame number: auto, 0, -1 or 1. F007/T2=0 is for one sequence."
    )
    allow_gaps: bool = Field(False, description="Accept label files that leave out frames.")
    landmarks: Path | None = Field(
        None, description="Folder of the delivered 49-point files; align by them and store their points."
    )


class Bp4dDataset(DeliveredDataset):
    """BP4D in the folder layout of its owners."""

    name, version, title = "bp4d", "4", "BP4D as delivered by its owners"
    aus = AUS
    Options = Bp4dOptions
    unplanned = frozenset({"workers", "allow_gaps"})

    @property
    def modalities(self) -> Mapping[Modality, str]:
        """Meaning of the channels; a delivery without meshes yields no depth."""
        from aubench.faces.depth import MEANING

        return {Modality.VISUAL: "RGB of the 2D photo", Modality.DEPTH: MEANING}

    def find(self, source: Path, options: Bp4dOptions) -> Jobs:
        """Search the delivery, and read all label files before the first photo; see :meth:`DeliveredDataset.find`.

        Raises:
            DataError: Also if there are other subjects than those of BP4D, as in BP4D+.
        """
        from aubench.datasets.bp4d.delivery import scan_delivery
        from aubench.datasets.bp4d.prepare import find_jobs, require_landmarks

        delivery = scan_delivery(source)
        if others := sorted({recording.subject for recording in delivery.recordings} - SUBJECTS):
            names = ", ".join(others[:3]) + ", …" * (len(others) > 3)
            what = f"has {len(others)} subjects that are not of BP4D: {names}"
            hint = "move them elsewhere, or read BP4D+ with `aubench data prepare bp4dplus`"
            raise DataError(what, where=source, hint=hint)
        if options.landmarks:
            require_landmarks(delivery.recordings, options.landmarks)
        return find_jobs(delivery, options, options.landmarks, self.modalities)

    def summarize(self, store: Store) -> list[str]:
        """Return a table of counts."""
        from aubench.datasets.store_summary import summary_lines, unknown_lines

        return summary_lines(store, unknown_lines(store, SCORED))


BP4D = Bp4dDataset()
