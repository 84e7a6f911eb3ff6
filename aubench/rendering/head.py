"""The neutral head without eyes, brows and mouth: bone, skin, hair, neck and clothes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from aubench._util.jit import compiled, inner
from aubench.rendering.grid import REACH, Surface, add_blobs, blank, ramp
from aubench.rendering.identity import Identity
from aubench.rendering.rng import normal


def neutral_head(identity: Identity, size: int) -> Surface:
    """Return the neutral head.

    Args:
        identity: Shape and colours.
        size: Height and width of the images in pixels.
    """
    surface = blank(size)
    paint_neutral(identity, np.uint64(identity.key), surface)
    full = np.ones(1)
    add_blobs(surface.z, _relief(identity), full)
    add_blobs(surface.heat, _warmth(identity), full)
    return surface


def _relief(identity: Identity) -> np.ndarray:
    """Return the bumps of the skull on an ellipsoid, as :func:`add_blobs` expects them."""
    half = [
        (identity.nose_half * 0.85, identity.nose_y + 0.02, 0.09, 0.09, 0.09),
        (0.48, 0.16, 0.32, 0.26, identity.cheek_out),
        (identity.eye_x + 0.01, identity.eye_y + 0.005, 0.23, 0.17, -0.085),
        (0.34, identity.brow_y + 0.05, 0.34, 0.12, identity.ridge_out),
        (0.44, identity.mouth_y - 0.02, 0.22, 0.34, -0.045),
        (0.60, -0.42, 0.20, 0.30, -0.03),
    ]
    middle = [
        (0.0, 0.02, 0.14, 0.40, 0.55 * identity.nose_out),
        (0.0, identity.nose_y - 0.05, 0.15, 0.20, 0.55 * identity.nose_out),
        (0.0, identity.nose_y, 0.21, 0.12, 0.35 * identity.nose_out),
        (0.0, identity.mouth_y, 0.34, 0.30, 0.075),
        (0.0, identity.mouth_y - 0.17, 0.05, 0.12, -0.022),
        (0.0, identity.mouth_y + 0.165, 0.24, 0.07, -0.025),
        (0.0, identity.chin_y - 0.11, 0.24, 0.18, identity.chin_out),
    ]
    return _both_sides(half, middle)


def _warmth(identity: Identity) -> np.ndarray:
    """Return the bumps of a neutral face's temperature in degrees, as :func:`add_blobs` expects them."""
    half = [
        (0.13, identity.eye_y + 0.01, 0.15, 0.14, 1.1),
        (identity.eye_x, identity.eye_y, 0.32, 0.22, 0.25),
        (0.45, 0.22, 0.36, 0.34, -0.9),
        (0.86, 0.12, 0.14, 0.22, -0.6),
        (0.33, 1.15, 0.30, 0.30, 0.7),
    ]
    middle = [
        (0.0, identity.nose_y - 0.02, 0.19, 0.25, -1.2 * identity.nose_cool),
        (0.0, -0.48, 0.70, 0.34, 0.8),
        (0.0, identity.mouth_y, 0.40, 0.20, 0.35),
        (0.0, identity.chin_y - 0.1, 0.34, 0.2, -0.5),
    ]
    return _both_sides(half, middle)


def _both_sides(half: Iterable[tuple[float, ...]], middle: Iterable[tuple[float, ...]]) -> np.ndarray:
    sides = [(side * u, *others) for u, *others in half for side in (-1.0, 1.0)]
    return np.array([(0.0, *row) for row in (*sides, *middle)])


@inner
def _texture(key: np.uint64, u: float, v: float, cells: float) -> float:
    """Return smooth noise of about unit height with ``cells`` bumps per face unit."""
    x, y = (u + 4.0) * cells, (v + 4.0) * cells
    i, j = int(x), int(y)
    fx, fy = ramp(x - i), ramp(y - j)
    a, b = normal(key, np.uint64(i * 4096 + j)), normal(key, np.uint64((i + 1) * 4096 + j))
    c, d = normal(key, np.uint64(i * 4096 + j + 1)), normal(key, np.uint64((i + 1) * 4096 + j + 1))
    top, bottom = a + (b - a) * fx, c + (d - c) * fx
    return top + (bottom - top) * fy


@inner
def _oval(identity: Identity, u: float, v: float) -> float:
    """Return 1 in the middle of the face, 0 on its outline and negative values outside."""
    down = v + 0.1
    half, reach = identity.width, 1.12
    if down > 0.0:
        reach = identity.chin_y + 0.16
        t = min(down / reach, 1.0)
        half = identity.width - (identity.width - identity.jaw) * t * (0.35 + 0.65 * t)
    p = (down / reach) * (down / reach)
    return 1.0 - (u / half) * (u / half) - p * (0.3 + 0.7 * p)


@inner
def _hair(identity: Identity, u: float, v: float, edge: float) -> tuple[float, float]:
    """Return the share of hair in a cell, and the height of the hair."""
    side = abs(u)
    wide = identity.width + identity.hair_wide
    across = (u / wide) * (u / wide)
    over = (v + 0.12) / 1.17 if v < -0.12 else 0.0
    shell = 1.0 - across - over * over
    line = identity.hairline + 0.30 * u * u + 0.70 * ramp((side - 0.46) / 0.46) + identity.fringe * (u + 0.5 * side)
    front = ramp((line - v) / (2.0 * edge) + 0.5)
    strand = identity.hair_length - 0.5 * (side - 0.75)
    curtain = ramp((strand - v) / 0.25) * ramp((side - 0.70 + 0.10 * v) / (3.0 * edge))
    q = max(shell, 0.0)
    return max(front, curtain) * ramp(shell / (1.5 * edge)), 0.62 * q * (1.6 - 0.6 * q)


@inner
def _height(identity: Identity, u: float, v: float, edge: float) -> tuple[float, float, float, float]:
    """Return the height without hair, and the shares of face, neck and clothes."""
    side = abs(u)
    oval = _oval(identity, u, v)
    q = max(oval, 0.0)
    height = 0.74 * q * (1.75 - 0.75 * q)
    eu, ev = (side - identity.width - 0.015) / 0.085, (v - 0.06 - 0.12 * (side - identity.width)) / 0.2
    ear = ramp((1.0 - eu * eu - ev * ev) / 0.5)
    neck = ramp((0.47 + 0.1 * ramp((v - 1.0) * 3.0) - side) / edge) * ramp((v - 0.6) / 0.1)
    cloth = ramp((v - 1.13 - 0.22 * side * side) / edge)
    if neck > 0.0 or cloth > 0.0:
        height = max(height, (-0.22 - 0.35 * side * side) * max(neck, cloth))
    face = max(ramp(oval / (3.0 * edge) + 0.5), ear)
    return max(height, 0.14 * ear), face, neck, cloth


@inner
def _skin(identity: Identity, key: np.uint64, u: float, v: float) -> tuple[float, float, float, float]:
    """Return the red, green and blue reflectance of the skin, and the share of beard."""
    m = identity.melanin
    r, g, b = 0.74 - 0.58 * m + 0.04 * identity.ruddy, 0.50 - 0.44 * m, 0.39 - 0.37 * m
    mottle = 1.0 + 0.05 * identity.mottle * (_texture(key, u, v, 5.0) + _texture(key, u, v, 16.0))
    side = abs(u) - 0.46
    cheek = ramp(1.0 - (side * side + (v - 0.22) * (v - 0.22)) * 9.0)
    nose = ramp(1.0 - (u * u + (v - identity.nose_y) * (v - identity.nose_y)) * 26.0)
    flush = 1.0 - (0.10 * cheek + 0.07 * nose) * identity.ruddy
    beard = identity.stubble * ramp((v - 0.36 - 0.10 * ramp(1.0 - abs(u) * 4.0)) / 0.2)
    light_share = mottle * (1.0 - 0.55 * beard)
    return r * light_share, g * light_share * flush, b * (light_share + 0.06 * beard) * flush, beard


@compiled
def paint_neutral(identity: Identity, key: np.uint64, out: Surface) -> None:
    """Fill a surface, except for the relief and warmth of the face."""
    g = out.z.shape[0]
    step = 2.0 * REACH / g
    edge = 1.6 * step
    light = 0.42 * (1.0 - identity.hair_dark) * (1.0 - identity.hair_dark) + 0.012
    hair_colour = (light * (1.25 + 0.5 * identity.hair_red), light, light * (0.75 - 0.35 * identity.hair_red))
    cloth_colour = (identity.cloth_r, identity.cloth_g, identity.cloth_b)
    for i in range(g):
        v = -REACH + (i + 0.5) * step
        for j in range(g):
            u = -REACH + (j + 0.5) * step
            height, face, neck, cloth = _height(identity, u, v, edge)
            hair, shell = _hair(identity, u, v, edge)
            strands = _texture(key + np.uint64(7), u * 2.2, v * 0.4 + 0.5 * u * u, 9.0)
            out.z[i, j] = height + hair * (max(shell - height, 0.0) + 0.025 + 0.008 * strands)
            out.solid[i, j] = max(face, neck, cloth, hair)
            r, gr, b, beard = _skin(identity, key, u, v)
            skin = (r, gr, b)
            dressed = cloth * (1.0 - face)
            shadow = 1.0 - 0.35 * max(neck, cloth) * (1.0 - face)
            streak = max(1.0 + 0.30 * strands, 0.2)
            for c in range(3):
                colour = skin[c] * shadow
                colour += (cloth_colour[c] - colour) * dressed
                out.rgb[c, i, j] = colour + (hair_colour[c] * streak - colour) * hair
            warm = 33.6 + identity.warm + 0.12 * _texture(key + np.uint64(3), u, v, 4.0)
            warm -= 1.2 * (1.0 - ramp(_oval(identity, u, v) * 1.6)) + 0.9 * beard * face
            warm += (28.0 - warm) * dressed
            out.heat[i, j] = warm + (27.5 - warm) * 0.9 * hair
