"""Effects of each AU on a face: moved features, and bulges, furrows and warmth of the skin.

Every entry is the effect of an AU at full intensity, and effects add up. Positions are (anchor, outward,
down) in face units from a landmark of the identity. An entry off the midline applies to both sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from aubench.rendering.constants import AUS
from aubench.rendering.identity import Identity

_FOLDER = Path(__file__).parent


def moves() -> np.ndarray:
    """Return the change of each feature by AU, float64 (features, AUs).

    The features ``lip_*_thick`` and ``seam`` are relative, all others in face units.
    """
    return np.loadtxt(_FOLDER / "moves.csv", delimiter=",", skiprows=1, usecols=range(1, len(AUS) + 1))


def bulges(identity: Identity) -> np.ndarray:
    """Return the bulges of the skin: rows of (AU column, u, v, reach across, reach down, height)."""
    return _blobs("bulges.csv", identity)


def warmths(identity: Identity) -> np.ndarray:
    """Return the changes of skin temperature: rows as in :func:`bulges`, with degrees for height."""
    return _blobs("warmths.csv", identity)


def furrows(identity: Identity) -> np.ndarray:
    """Return the furrows: rows of (AU column, u0, v0, u1, v1, half width, depth, darkness)."""
    rows = []
    for column, u, v, (out0, down0, out1, down1, half, depth, dark) in _read("furrows.csv", identity):
        for side in (-1.0, 1.0):
            gain = 1.0 + side * identity.lopsided
            start, end = (side * (u + out0), v + down0), (side * (u + out1), v + down1)
            rows.append((column, *start, *end, half, depth * gain, dark * gain))
    return np.array(rows)


def _blobs(name: str, identity: Identity) -> np.ndarray:
    rows = []
    for column, u, v, (out, down, across, along, amount) in _read(name, identity):
        for side in (-1.0, 1.0) if u + out else (0.0,):
            gain = 1.0 + side * identity.lopsided
            rows.append((column, side * (u + out), v + down, across, along, amount * gain))
    return np.array(rows)


def _read(name: str, identity: Identity) -> Iterator[tuple[int, float, float, list[float]]]:
    """Read a table: AU column, position of the anchor, other numbers."""
    anchors = {
        "face": (0.0, 0.0),
        "brow": (0.5 * (identity.brow_inner + identity.brow_outer), identity.brow_y),
        "eye": (identity.eye_x, identity.eye_y),
        "nose": (0.0, identity.nose_y),
        "mouth": (0.0, identity.mouth_y),
        "corner": (identity.mouth_half, identity.mouth_y),
        "chin": (0.0, identity.chin_y),
    }
    for line in (_FOLDER / name).read_text(encoding="utf-8").splitlines()[1:]:
        au, anchor, *numbers = line.split(",")
        yield AUS.index(int(au)), *anchors[anchor], list(map(float, numbers))
