"""Effects of each AU on a face: moved features, and bulges, furrows and warmth of the skin.

Every entry is the effect of an AU at full intensity, and effects add up. Positions are (anchor, outward,
down) in face units from a landmark of the identity. An entry off the midline applies to both sides.
"""

from __future__ import annotations

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

_FACE, _BROW, _EYE, _NOSE, _MOUTH, _CORNER, _CHIN = range(7)

_BULGES = (
    # AU, anchor, outward, down, reach across, reach down, height
    (1, _BROW, -0.16, -0.10, 0.20, 0.14, 0.0384),
    (2, _BROW, 0.16, -0.10, 0.22, 0.14, 0.0384),
    (4, _FACE, 0.10, -0.30, 0.13, 0.16, 0.048),
    (4, _FACE, 0.00, -0.30, 0.07, 0.18, -0.036),
    (6, _EYE, 0.08, 0.27, 0.30, 0.20, 0.060),
    (6, _EYE, 0.02, 0.11, 0.22, 0.07, 0.024),
    (7, _EYE, 0.00, 0.10, 0.20, 0.07, 0.0408),
    (10, _NOSE, 0.20, 0.10, 0.14, 0.20, 0.06),
    (10, _MOUTH, 0.00, -0.14, 0.22, 0.12, 0.036),
    (12, _CORNER, 0.12, -0.20, 0.24, 0.22, 0.054),
    (12, _CORNER, 0.03, 0.05, 0.14, 0.16, -0.042),
    (14, _CORNER, 0.08, 0.00, 0.10, 0.12, -0.084),
    (14, _CORNER, 0.21, 0.00, 0.13, 0.20, 0.06),
    (15, _CORNER, 0.02, 0.15, 0.14, 0.15, 0.072),
    (15, _CORNER, 0.05, 0.04, 0.10, 0.08, -0.036),
    (17, _CHIN, 0.00, -0.15, 0.24, 0.17, 0.114),
    (17, _MOUTH, 0.00, 0.15, 0.24, 0.07, -0.048),
    (23, _MOUTH, 0.00, 0.00, 0.26, 0.16, 0.06),
    (23, _CORNER, 0.05, 0.00, 0.14, 0.16, -0.042),
    (24, _MOUTH, 0.00, 0.00, 0.34, 0.08, -0.06),
    (24, _MOUTH, 0.00, -0.14, 0.34, 0.10, 0.042),
    (24, _MOUTH, 0.00, 0.14, 0.34, 0.10, 0.042),
)

_FURROWS = (
    # AU, anchor, from (outward, down), to (outward, down), half width, depth, darkness
    (1, _FACE, 0.00, -0.53, 0.22, -0.545, 0.035, 0.014, 0.16),
    (1, _FACE, 0.00, -0.62, 0.24, -0.635, 0.035, 0.014, 0.14),
    (2, _FACE, 0.30, -0.53, 0.60, -0.50, 0.035, 0.014, 0.16),
    (2, _FACE, 0.30, -0.62, 0.58, -0.58, 0.035, 0.014, 0.14),
    (4, _FACE, 0.055, -0.42, 0.045, -0.23, 0.036, 0.024, 0.34),
    (4, _FACE, 0.00, -0.20, 0.07, -0.19, 0.035, 0.014, 0.20),
    (6, _EYE, 0.21, -0.03, 0.34, -0.09, 0.026, 0.012, 0.20),
    (6, _EYE, 0.22, 0.01, 0.36, 0.01, 0.026, 0.012, 0.20),
    (6, _EYE, 0.21, 0.05, 0.33, 0.11, 0.026, 0.012, 0.20),
    (6, _EYE, -0.14, 0.12, 0.12, 0.15, 0.034, 0.014, 0.22),
    (7, _EYE, -0.10, 0.075, 0.14, 0.075, 0.028, 0.010, 0.16),
    (10, _NOSE, 0.15, -0.02, 0.25, 0.14, 0.036, 0.022, 0.30),
    (12, _CORNER, -0.06, -0.23, 0.10, -0.02, 0.040, 0.024, 0.30),
    (14, _CORNER, 0.07, -0.06, 0.08, 0.07, 0.042, 0.026, 0.55),
    (15, _CORNER, 0.03, 0.08, 0.07, 0.23, 0.040, 0.020, 0.36),
    (17, _CHIN, 0.00, -0.24, 0.12, -0.20, 0.038, 0.020, 0.34),
    (17, _CHIN, 0.04, -0.11, 0.10, -0.13, 0.034, 0.014, 0.22),
    (23, _MOUTH, 0.06, -0.13, 0.05, -0.05, 0.030, 0.012, 0.26),
    (23, _MOUTH, 0.19, -0.11, 0.14, -0.03, 0.030, 0.012, 0.26),
    (24, _MOUTH, 0.00, 0.10, 0.20, 0.09, 0.034, 0.014, 0.18),
)

_WARMTHS = (
    # AU, anchor, outward, down, reach across, reach down, degrees
    (1, _FACE, 0.12, -0.58, 0.26, 0.22, 0.42),
    (2, _FACE, 0.46, -0.56, 0.26, 0.22, 0.42),
    (4, _FACE, 0.08, -0.32, 0.20, 0.20, 0.50),
    (6, _EYE, 0.12, 0.20, 0.36, 0.26, 0.40),
    (7, _EYE, 0.00, 0.00, 0.34, 0.20, 0.42),
    (10, _NOSE, 0.20, 0.05, 0.20, 0.24, 0.45),
    (12, _CORNER, 0.16, -0.16, 0.30, 0.30, 0.40),
    (14, _CORNER, 0.14, 0.02, 0.20, 0.20, 0.45),
    (15, _CORNER, 0.04, 0.16, 0.20, 0.22, 0.50),
    (17, _CHIN, 0.00, -0.14, 0.30, 0.24, 0.55),
    (23, _MOUTH, 0.00, 0.00, 0.42, 0.22, 0.65),
    (24, _MOUTH, 0.00, 0.00, 0.46, 0.22, -0.55),
)


def moves() -> np.ndarray:
    """Return :data:`MOVES` as float64 (features, AUs)."""
    table = np.zeros((len(FEATURES), len(AUS)))
    for au, changes in MOVES.items():
        for feature, change in changes.items():
            table[FEATURES.index(feature), AUS.index(au)] = change
    return table


def bulges(identity: Identity) -> np.ndarray:
    """Return the bulges of the skin: rows of (AU column, u, v, reach across, reach down, height)."""
    return _blobs(_BULGES, identity)


def warmths(identity: Identity) -> np.ndarray:
    """Return the changes of skin temperature: rows as in :func:`bulges`, with degrees for height."""
    return _blobs(_WARMTHS, identity)


def furrows(identity: Identity) -> np.ndarray:
    """Return the furrows: rows of (AU column, u0, v0, u1, v1, half width, depth, darkness)."""
    rows = []
    for au, anchor, out0, down0, out1, down1, half, depth, dark in _FURROWS:
        u, v = _anchor(identity, anchor)
        for side in (-1.0, 1.0):
            gain = 1.0 + side * identity.lopsided
            start, end = (side * (u + out0), v + down0), (side * (u + out1), v + down1)
            rows.append((AUS.index(au), *start, *end, half, depth * gain, dark * gain))
    return np.array(rows)


def _blobs(table: tuple[tuple[int, int, float, float, float, float, float], ...], identity: Identity) -> np.ndarray:
    rows = []
    for au, anchor, out, down, across, along, amount in table:
        u, v = _anchor(identity, anchor)
        for side in (-1.0, 1.0) if u + out else (0.0,):
            gain = 1.0 + side * identity.lopsided
            rows.append((AUS.index(au), side * (u + out), v + down, across, along, amount * gain))
    return np.array(rows)


def _anchor(identity: Identity, anchor: int) -> tuple[float, float]:
    return {
        _FACE: (0.0, 0.0),
        _BROW: (0.5 * (identity.brow_inner + identity.brow_outer), identity.brow_y),
        _EYE: (identity.eye_x, identity.eye_y),
        _NOSE: (0.0, identity.nose_y),
        _MOUTH: (0.0, identity.mouth_y),
        _CORNER: (identity.mouth_half, identity.mouth_y),
        _CHIN: (0.0, identity.chin_y),
    }[anchor]
