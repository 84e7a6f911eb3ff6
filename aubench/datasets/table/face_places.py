"""Checks of the boxes and landmarks of a manifest, before any image is read."""

from __future__ import annotations

import numpy as np

from aubench.core.errors import DataError
from aubench.datasets.bp4d.landmark_files import are_faces
from aubench.datasets.table.manifest import Manifest

_SMALLEST = 4  # pixels: the side of a face


def check_places(manifest: Manifest) -> None:
    """Check that boxes and landmarks are those of faces in pixels.

    Raises:
        DataError: A box is smaller than a face, or most faces of a sequence have eyes or mouth at impossible positions.
    """
    for (subject, sequence), frames in manifest.sequences.items():
        for frame in frames:
            if frame.box is not None:
                left, top, right, bottom = frame.box
                if max(right - left, bottom - top) < _SMALLEST:
                    what = f"the box of {subject} {sequence}, frame {frame.number}, is smaller than {_SMALLEST} pixels"
                    raise DataError(what, where=manifest.path, hint="write boxes in pixels of the visual image")
        points = [frame.points for frame in frames if frame.points is not None]
        if points and not are_faces(np.stack(points)):
            what = f"the landmarks of {subject} {sequence} are not those of faces in pixels"
            hint = "write points in the order of iBUG, in pixels of the visual image"
            raise DataError(what, where=manifest.path, hint=hint)
