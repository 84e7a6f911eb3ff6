"""BP4D+ as an entry of the registry of data sets."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from aubench.core.task import Modality
from aubench.datasets.bp4d.bp4d_dataset import BP4D, Bp4dOptions
from aubench.datasets.bp4d.labels import AUS
from aubench.datasets.delivered import DeliveredDataset, Jobs


class Bp4dPlusOptions(Bp4dOptions):
    """Preparation options of BP4D+."""

    landmarks: Path | None = Field(
        None, description="Folder of the delivered 49-point files [default: 2DFeatures in the delivery]."
    )
    thermal_colour: bool = Field(False, description="Keep the false colours too, as arrays that no method reads.")


class Bp4dPlusDataset(DeliveredDataset):
    """BP4D+ in the folder layout of its owners."""

    name, version, title = "bp4dplus", "2", "BP4D+ as delivered by its owners"
    aus = AUS
    Options = Bp4dPlusOptions
    unplanned = BP4D.unplanned

    @property
    def modalities(self) -> Mapping[Modality, str]:
        """Meaning of the channels; a delivery without meshes or thermal videos yields fewer modalities."""
        from aubench.datasets.bp4dplus.thermal import MEANING as THERMAL
        from aubench.faces.depth import MEANING as DEPTH

        return {Modality.VISUAL: "RGB of the 2D photo", Modality.DEPTH: DEPTH, Modality.THERMAL: THERMAL}

    def find(self, source: Path, options: Any) -> Jobs:
        """Search the delivery, and read all label files.

        Raises:
            DataError: The layout is unknown, or a file is damaged.
            UsageError: A frame offset is requested for a sequence that does not exist.
        """
        from aubench.datasets.bp4d.prepare import find_jobs
        from aubench.datasets.bp4dplus.bp4dplus_files import scan_bp4dplus
        from aubench.datasets.bp4dplus.thermal import thermal_images

        found = scan_bp4dplus(source, options.landmarks)
        thermal = {
            name: (
                partial(thermal_images, files, options.size, options.thermal_colour),
                [path for path in files if path],
            )
            for name, files in found.thermal.items()
        }
        return find_jobs(
            found.delivery, options, found.landmarks, self.modalities, thermal=thermal or None, detects_others=True
        )


BP4DPLUS = Bp4dPlusDataset()
