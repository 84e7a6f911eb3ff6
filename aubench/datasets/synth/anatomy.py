"""Effects of each AU on a face: moved features, and bulges, furrows and warmth of the skin.

Every entry is the effect of an AU at full intensity, and effects add up. Positions are (anchor, outward,
down) in face units from a landmark of the identity. An entry off the midline applies to both sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from aubench.datasets.synth.constants import AUS
from aubench.datasets.synth.identity import Identity

FEATURES = (
    "brow_inner_up",
    "brow_outer_up",
    "brow_in",
    "lid_upper_up",
    "lid_lower_down",
    "mouth_wide",
    "corner_up",
    "upper_lip_up",
    "lip_upper_thick",
    "lip_lower_thick",
    "mouth_up",
    "nose_up",
    "lip_red",
    "seam",
)
"""Movable features; ``lip_*_thick`` and ``seam`` are relative, all others in face units."""

MOVES: dict[int, dict[str, float]] = {
    1: {"brow_inner_up": 0.1207, "brow_outer_up": 0.0115, "lid_upper_up": 0.0138},
    2: {"brow_outer_up": 0.1207, "brow_inner_up": 0.0172, "lid_upper_up": 0.0161},
    4: {"brow_inner_up": -0.0978, "brow_outer_up": -0.0403, "brow_in": 0.0517, "lid_upper_up": -0.0138},
    6: {"lid_lower_down": -0.0276, "lid_upper_up": -0.0069, "brow_outer_up": -0.0138},
    7: {"lid_lower_down": -0.0391, "lid_upper_up": -0.046},
    10: {"upper_lip_up": 0.069, "nose_up": 0.0322, "lip_upper_thick": 0.138, "corner_up": -0.0138},
    12: {"mouth_wide": 0.0978, "corner_up": 0.1207, "lip_upper_thick": -0.207, "lip_lower_thick": -0.138},
    14: {
        "mouth_wide": 0.0345,
        "corner_up": 0.0172,
        "lip_upper_thick": -0.1725,
        "lip_lower_thick": -0.115,
        "seam": 0.4025,
    },
    15: {"corner_up": -0.1495, "mouth_wide": -0.0115, "lip_lower_thick": 0.069},
    17: {"mouth_up": 0.069, "corner_up": -0.0345, "lip_lower_thick": 0.345, "lip_upper_thick": -0.23},
    23: {"mouth_wide": -0.112, "lip_upper_thick": -0.4025, "lip_lower_thick": -0.345, "lip_red": 0.575, "seam": 0.23},
    24: {"lip_upper_thick": -0.713, "lip_lower_thick": -0.69, "lip_red": -0.5175, "seam": 0.805, "mouth_wide": 0.0092},
}
"""Change of each feature by AU."""


def moves() -> np.ndarray:
    """Return :data:`MOVES` as float64 (features, AUs)."""
    table = np.zeros((len(FEATURES), len(AUS)))
    for au, changes in MOVES.items():
        for feature, change in changes.items():
            table[FEATURES.index(feature), AUS.index(au)] = change
    return table


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
    for line in Path(__file__).with_name(name).read_text().splitlines()[1:]:
        au, anchor, *numbers = line.split(",")
        yield AUS.index(int(au)), *anchors[anchor], list(map(float, numbers))
