"""Face tracks of sequences with meshes."""

from __future__ import annotations

import numpy as np

from aubench.faces.depth import LocatedMesh
from aubench.faces.face_detection import detect_squares
from aubench.faces.images import Photo
from aubench.faces.mesh_faces import SIDE, HeightMap, Pose

_CHECK = 25  # frames after which the detector is asked again whether the mesh is followed at the right position
_REST = 25  # frames with a detection whose complete mesh is not searched, after one that has no face's shape
_SMALLEST, _LARGEST = 0.7, 1.4  # of an adult's face: size of a detection that fits the mesh


class FaceTracker:
    """Locates the face in one frame after another.

    The mesh decides where it has the shape of a face. It is searched near the last position. The detector names the
    first position, corrects it once a second, and decides where the mesh does not.
    """

    def __init__(self) -> None:
        self._pose: Pose | None = None
        self._square: np.ndarray | None = None
        self._unchecked = self._rest = 0

    def locate(self, photo: Photo, mesh: LocatedMesh | None) -> tuple[np.ndarray, str]:
        """Locate the face of the next frame.

        Returns:
            (4,) square, NaN without a face, and its source: ``mesh``, ``detector`` or an empty string.

        Raises:
            DataError: The photo cannot be decoded.
        """
        heights = HeightMap.of(mesh) if mesh else None
        self._unchecked += 1
        pose = heights.search(self._pose) if heights and self._pose and self._unchecked < _CHECK else None
        box = None
        if pose is None or not pose.is_face:
            box = self._detect(photo, heights)
            pose = self._search(heights, box) if heights else None
            self._unchecked = 0
        self._pose = pose
        if pose is None and box is None:
            return np.full(4, np.nan), ""
        self._square = box if pose is None else pose.square
        return np.asarray(self._square), "detector" if pose is None else "mesh"

    def _search(self, heights: HeightMap, box: np.ndarray | None) -> Pose | None:
        """Search for the face near a detection, near the last position, and finally everywhere."""
        self._rest = max(self._rest - 1, 0)
        for near in (box, self._pose):
            pose = heights.search(near) if near is not None else None
            if pose and pose.is_face:
                return pose
        pose = heights.search() if box is None or not self._rest else None
        if pose and pose.is_face:
            return pose
        if box is not None and not self._rest:
            self._rest = _REST
        return None

    def _detect(self, photo: Photo, heights: HeightMap | None) -> np.ndarray | None:
        """Return the square of the detection that fits the mesh and is nearest to the last one, else the largest."""
        squares = detect_squares(photo)
        if heights:
            sizes = squares[:, 2] / (SIDE * heights.scale)
            on_mesh = [heights.has_surface(column, row) for column, row in squares[:, :2]]
            squares = squares[(sizes > _SMALLEST) & (sizes < _LARGEST) & np.array(on_mesh, bool)]
        if not len(squares):
            return None
        if self._square is None:
            return np.asarray(squares[squares[:, 2].argmax()])
        return np.asarray(squares[np.linalg.norm(squares[:, :2] - self._square[:2], axis=1).argmin()])
