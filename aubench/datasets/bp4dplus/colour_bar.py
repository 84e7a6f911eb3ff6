"""Inversion of the false colours of a thermal picture by the colour bar in its legend."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import find_objects, label, uniform_filter1d
from scipy.spatial import cKDTree

LEGEND = 684
"""First column of the legend in a picture of 726 columns."""

_COLOURED = 60  # difference of the largest and smallest channel of a saturated colour
_SHORTEST, _NARROWEST = 96, 3  # rows and columns of a bar
_UNIFORM = 40  # greatest difference between the columns of a row of the bar
_MISFIT = 40.0  # median distance of colours from those of the bar, from which on they are others


def read_colour_bar(picture: np.ndarray) -> np.ndarray | None:
    """Read the colours of the bar in the legend.

    The bar is the longest run of rows in which neighbouring columns of the legend have one saturated colour.

    Args:
        picture: uint8 (H, 726, 3), RGB.

    Returns:
        (N, 3) colours from below to above, or None if there is no bar.
    """
    legend = picture[:, LEGEND:].astype(np.int16)
    coloured = legend.max(axis=2) - legend.min(axis=2) > _COLOURED
    counts = coloured.sum(axis=0)
    columns = _longest_run(counts >= max(_SHORTEST, 0.8 * counts.max()))
    if columns.stop - columns.start < _NARROWEST:
        return None
    margin = int(columns.stop - columns.start > _NARROWEST + 1)  # video codecs blend colours at edges
    bar = legend[:, columns.start + margin : columns.stop - margin]
    colours = np.median(bar, axis=1)
    uniform = np.abs(bar - colours[:, None]).max(axis=2).mean(axis=1) <= _UNIFORM
    rows = _longest_run(uniform & (coloured[:, columns].mean(axis=1) > 0.5))
    if rows.stop - rows.start < _SHORTEST:
        return None
    return np.asarray(uniform_filter1d(colours[rows.start + 1 : rows.stop - 1], 3, axis=0, mode="nearest")[::-1])


def _longest_run(flags: np.ndarray) -> slice:
    runs = [run for (run,) in find_objects(label(flags)[0])]
    return max(runs, key=lambda run: run.stop - run.start, default=slice(0, 0))


def invert_colours(picture: np.ndarray, bar: np.ndarray) -> np.ndarray | None:
    """Return the position of each colour on the bar: 1 is its lower end, 255 its upper end.

    Args:
        picture: uint8 (H, W, 3), RGB, without the legend.
        bar: (N, 3) colours from below to above.

    Returns:
        uint8 (H, W), or None if most colours are not those of the bar.
    """
    colours, inverse = np.unique(picture.reshape(-1, 3) @ _PACKED, return_inverse=True)
    distances, nearest = map(np.asarray, cKDTree(bar).query(colours[:, None] // _PACKED % 256))
    if np.median(distances[inverse]) > _MISFIT:
        return None
    grey = (1 + np.rint(nearest * (254 / (len(bar) - 1)))).astype(np.uint8)
    return np.asarray(grey[inverse].reshape(picture.shape[:2]))


_PACKED = np.array([1 << 16, 1 << 8, 1])
