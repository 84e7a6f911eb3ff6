"""Maps of a head in face units, and operations on them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from aubench._util.jit import compiled, inner

REACH = 1.32
"""A grid covers [-REACH, REACH] in u (to the right) and v (down), in face units."""


class Surface(NamedTuple):
    """A head as maps over a grid of G × G cells, row = v, column = u, all float64."""

    z: np.ndarray  # (G, G) height towards the camera in face units
    rgb: np.ndarray  # (3, G, G) linear reflectance in [0, 1]
    heat: np.ndarray  # (G, G) degrees Celsius
    solid: np.ndarray  # (G, G) share of the cell that is head rather than background, in [0, 1]


def blank(size: int) -> Surface:
    """Return an empty surface with the resolution for images of ``size`` pixels."""
    g = size * 5 // 4
    return Surface(np.zeros((g, g)), np.zeros((3, g, g)), np.zeros((g, g)), np.zeros((g, g)))


@inner
def ramp(x: float) -> float:
    """Interpolate smoothly from 0 at 0 to 1 at 1; constant outside."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3.0 - 2.0 * x)


@inner
def first(low: float, g: int) -> int:
    """Return the first row or column of a grid of ``g`` cells that reaches ``low`` face units."""
    return max(0, int((low + REACH) * g / (2.0 * REACH)))


@inner
def after(high: float, g: int) -> int:
    """Return the row or column after the last one that reaches ``high`` face units."""
    return min(g, int((high + REACH) * g / (2.0 * REACH)) + 1)


@inner
def tint(rgb: np.ndarray, i: int, j: int, part: float, colour: tuple[float, float, float]) -> None:
    """Mix a colour into a cell."""
    for c in range(3):
        rgb[c, i, j] += (colour[c] - rgb[c, i, j]) * part


@inner
def shade(rgb: np.ndarray, i: int, j: int, scale: float) -> None:
    """Scale the light of a cell."""
    for c in range(3):
        rgb[c, i, j] *= scale


@compiled
def add_blobs(field: np.ndarray, blobs: np.ndarray, levels: np.ndarray) -> None:
    """Add smooth bumps of bounded reach to a map.

    Args:
        field: (G, G), changed in place.
        blobs: Rows of (column of ``levels``, u, v, reach across, reach down, amount).
        levels: Strength of each bump; 1 is full.
    """
    g = field.shape[0]
    step = 2.0 * REACH / g
    for b in range(blobs.shape[0]):
        amount = blobs[b, 5] * levels[int(blobs[b, 0])]
        if amount == 0.0:
            continue
        u0, v0, ru, rv = blobs[b, 1], blobs[b, 2], 1.4 * blobs[b, 3], 1.4 * blobs[b, 4]
        for i in range(first(v0 - rv, g), after(v0 + rv, g)):
            dv = (-REACH + (i + 0.5) * step - v0) / rv
            for j in range(first(u0 - ru, g), after(u0 + ru, g)):
                du = (-REACH + (j + 0.5) * step - u0) / ru
                q = 1.0 - du * du - dv * dv
                if q > 0.0:
                    field[i, j] += amount * q * q


@inner
def add_furrows(out: Surface, furrows: np.ndarray, levels: np.ndarray, crease: float) -> None:
    """Add furrows to the skin.

    Args:
        out: Surface whose height and colour are changed in place.
        furrows: Rows of (column of ``levels``, u0, v0, u1, v1, half width, depth, darkness).
        levels: Depth of each furrow; 1 is full.
        crease: Depth at level 0: lines of age.
    """
    g = out.z.shape[0]
    step = 2.0 * REACH / g
    for f in range(furrows.shape[0]):
        u0, v0, u1, v1 = furrows[f, 1], furrows[f, 2], furrows[f, 3], furrows[f, 4]
        half = max(furrows[f, 5], 1.1 * step)
        level = (crease + (1.0 - crease) * levels[int(furrows[f, 0])]) * furrows[f, 5] / half
        lu, lv = u1 - u0, v1 - v0
        length = lu * lu + lv * lv
        for i in range(first(min(v0, v1) - half, g), after(max(v0, v1) + half, g)):
            v = -REACH + (i + 0.5) * step
            for j in range(first(min(u0, u1) - half, g), after(max(u0, u1) + half, g)):
                u = -REACH + (j + 0.5) * step
                t = min(max(((u - u0) * lu + (v - v0) * lv) / length, 0.0), 1.0)
                du, dv = u - u0 - t * lu, v - v0 - t * lv
                q = 1.0 - (du * du + dv * dv) / (half * half)
                if q > 0.0:
                    part = level * q * q * (0.4 + 2.4 * t * (1.0 - t))
                    out.z[i, j] -= furrows[f, 6] * part
                    shade(out.rgb, i, j, 1.0 - furrows[f, 7] * part)


@compiled
def blur(field: np.ndarray, buffer: np.ndarray, reach: int) -> None:
    """Average a map over squares of ``2 * reach + 1`` cells, by a box along rows and one along columns.

    Args:
        field: (G, G), changed in place.
        buffer: (G, G), overwritten.
        reach: Cells to each side.
    """
    g = field.shape[0]
    share = 1.0 / (2.0 * reach + 1.0)
    for i in range(g):
        for j in range(g):
            total = 0.0
            for k in range(j - reach, j + reach + 1):
                total += field[i, min(max(k, 0), g - 1)]
            buffer[i, j] = total * share
    for i in range(g):
        for j in range(g):
            total = 0.0
            for k in range(i - reach, i + reach + 1):
                total += buffer[min(max(k, 0), g - 1), j]
            field[i, j] = total * share
