"""The head at rest, without eyes, brows and mouth: bone, skin, hair, neck and clothes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from aubench._util.jit import compiled, inner
from aubench.datasets.synth.grid import REACH, Surface, add_blobs, blank, ramp
from aubench.datasets.synth.identity import Identity
from aubench.datasets.synth.rng import normal


def rest(who: Identity, size: int) -> Surface:
    """The head of a person.

    Args:
        who: The person.
        size: Height and width in pixels of the images to come.
    """
    surface = blank(size)
    paint_rest(who, np.uint64(who.key), surface)
    full = np.ones(1)
    add_blobs(surface.z, _relief(who), full)
    add_blobs(surface.heat, _glow(who), full)
    return surface


def _relief(who: Identity) -> np.ndarray:
    """Bumps that make a skull of an egg, as :func:`add_blobs` wants them."""
    half = [
        (who.nose_half * 0.85, who.nose_y + 0.02, 0.09, 0.09, 0.09),
        (0.48, 0.16, 0.32, 0.26, who.cheek_out),
        (who.eye_x + 0.01, who.eye_y + 0.005, 0.23, 0.17, -0.085),
        (0.34, who.brow_y + 0.05, 0.34, 0.12, who.ridge_out),
        (0.44, who.mouth_y - 0.02, 0.22, 0.34, -0.045),
        (0.60, -0.42, 0.20, 0.30, -0.03),
    ]
    middle = [
        (0.0, 0.02, 0.14, 0.40, 0.55 * who.nose_out),
        (0.0, who.nose_y - 0.05, 0.15, 0.20, 0.55 * who.nose_out),
        (0.0, who.nose_y, 0.21, 0.12, 0.35 * who.nose_out),
        (0.0, who.mouth_y, 0.34, 0.30, 0.075),
        (0.0, who.mouth_y - 0.17, 0.05, 0.12, -0.022),
        (0.0, who.mouth_y + 0.165, 0.24, 0.07, -0.025),
        (0.0, who.chin_y - 0.11, 0.24, 0.18, who.chin_out),
    ]
    return _both_sides(half, middle)


def _glow(who: Identity) -> np.ndarray:
    """Bumps of a resting face's temperature in degrees, as :func:`add_blobs` wants them."""
    half = [
        (0.13, who.eye_y + 0.01, 0.15, 0.14, 1.1),
        (who.eye_x, who.eye_y, 0.32, 0.22, 0.25),
        (0.45, 0.22, 0.36, 0.34, -0.9),
        (0.86, 0.12, 0.14, 0.22, -0.6),
        (0.33, 1.15, 0.30, 0.30, 0.7),
    ]
    middle = [
        (0.0, who.nose_y - 0.02, 0.19, 0.25, -1.2 * who.nose_cool),
        (0.0, -0.48, 0.70, 0.34, 0.8),
        (0.0, who.mouth_y, 0.40, 0.20, 0.35),
        (0.0, who.chin_y - 0.1, 0.34, 0.2, -0.5),
    ]
    return _both_sides(half, middle)


def _both_sides(half: Iterable[tuple[float, ...]], middle: Iterable[tuple[float, ...]]) -> np.ndarray:
    sides = [(side * u, *others) for u, *others in half for side in (-1.0, 1.0)]
    return np.array([(0.0, *row) for row in (*sides, *middle)])


@inner
def _texture(key: np.uint64, u: float, v: float, cells: float) -> float:
    """Smooth noise of about unit height with ``cells`` bumps a face unit."""
    x, y = (u + 4.0) * cells, (v + 4.0) * cells
    i, j = int(x), int(y)
    fx, fy = ramp(x - i), ramp(y - j)
    a, b = normal(key, np.uint64(i * 4096 + j)), normal(key, np.uint64((i + 1) * 4096 + j))
    c, d = normal(key, np.uint64(i * 4096 + j + 1)), normal(key, np.uint64((i + 1) * 4096 + j + 1))
    top, bottom = a + (b - a) * fx, c + (d - c) * fx
    return top + (bottom - top) * fy


@inner
def _oval(who: Identity, u: float, v: float) -> float:
    """1 in the middle of the face, 0 on its outline, negative outside."""
    down = v + 0.1
    half, reach = who.width, 1.12
    if down > 0.0:
        reach = who.chin_y + 0.16
        t = min(down / reach, 1.0)
        half = who.width - (who.width - who.jaw) * t * (0.35 + 0.65 * t)
    p = (down / reach) * (down / reach)
    return 1.0 - (u / half) * (u / half) - p * (0.3 + 0.7 * p)


@inner
def _hair(who: Identity, u: float, v: float, edge: float) -> tuple[float, float]:
    """How much of a cell is hair, and how high the shell of hair stands there."""
    side = abs(u)
    wide = who.width + who.hair_wide
    across = (u / wide) * (u / wide)
    over = (v + 0.12) / 1.17 if v < -0.12 else 0.0
    shell = 1.0 - across - over * over
    line = who.hairline + 0.30 * u * u + 0.70 * ramp((side - 0.46) / 0.46) + who.fringe * (u + 0.5 * side)
    front = ramp((line - v) / (2.0 * edge) + 0.5)
    strand = who.hair_length - 0.5 * (side - 0.75)
    curtain = ramp((strand - v) / 0.25) * ramp((side - 0.70 + 0.10 * v) / (3.0 * edge))
    q = max(shell, 0.0)
    return max(front, curtain) * ramp(shell / (1.5 * edge)), 0.62 * q * (1.6 - 0.6 * q)


@inner
def _height(who: Identity, u: float, v: float, edge: float) -> tuple[float, float, float, float]:
    """Height of head, ears, neck and shoulders without hair; and how much is skin of the head, neck, clothes."""
    side = abs(u)
    oval = _oval(who, u, v)
    q = max(oval, 0.0)
    height = 0.74 * q * (1.75 - 0.75 * q)
    eu, ev = (side - who.width - 0.015) / 0.085, (v - 0.06 - 0.12 * (side - who.width)) / 0.2
    ear = ramp((1.0 - eu * eu - ev * ev) / 0.5)
    neck = ramp((0.47 + 0.1 * ramp((v - 1.0) * 3.0) - side) / edge) * ramp((v - 0.6) / 0.1)
    cloth = ramp((v - 1.13 - 0.22 * side * side) / edge)
    if neck > 0.0 or cloth > 0.0:
        height = max(height, (-0.22 - 0.35 * side * side) * max(neck, cloth))
    face = max(ramp(oval / (3.0 * edge) + 0.5), ear)
    return max(height, 0.14 * ear), face, neck, cloth


@inner
def _skin(who: Identity, key: np.uint64, u: float, v: float) -> tuple[float, float, float, float]:
    """Reflectance of the skin in red, green and blue, and how bearded it is."""
    m = who.melanin
    r, g, b = 0.74 - 0.58 * m + 0.04 * who.ruddy, 0.50 - 0.44 * m, 0.39 - 0.37 * m
    mottle = 1.0 + 0.05 * who.mottle * (_texture(key, u, v, 5.0) + _texture(key, u, v, 16.0))
    side = abs(u) - 0.46
    cheek = ramp(1.0 - (side * side + (v - 0.22) * (v - 0.22)) * 9.0)
    nose = ramp(1.0 - (u * u + (v - who.nose_y) * (v - who.nose_y)) * 26.0)
    flush = 1.0 - (0.10 * cheek + 0.07 * nose) * who.ruddy
    beard = who.stubble * ramp((v - 0.36 - 0.10 * ramp(1.0 - abs(u) * 4.0)) / 0.2)
    keep = mottle * (1.0 - 0.55 * beard)
    return r * keep, g * keep * flush, b * (keep + 0.06 * beard) * flush, beard


@compiled
def paint_rest(who: Identity, key: np.uint64, out: Surface) -> None:
    """Fill a surface, but for the relief and glow of the face."""
    g = out.z.shape[0]
    step = 2.0 * REACH / g
    edge = 1.6 * step
    light = 0.42 * (1.0 - who.hair_dark) * (1.0 - who.hair_dark) + 0.012
    hair_colour = (light * (1.25 + 0.5 * who.hair_red), light, light * (0.75 - 0.35 * who.hair_red))
    cloth_colour = (who.cloth_r, who.cloth_g, who.cloth_b)
    for i in range(g):
        v = -REACH + (i + 0.5) * step
        for j in range(g):
            u = -REACH + (j + 0.5) * step
            height, face, neck, cloth = _height(who, u, v, edge)
            hair, shell = _hair(who, u, v, edge)
            strands = _texture(key + np.uint64(7), u * 2.2, v * 0.4 + 0.5 * u * u, 9.0)
            out.z[i, j] = height + hair * (max(shell - height, 0.0) + 0.025 + 0.008 * strands)
            out.solid[i, j] = max(face, neck, cloth, hair)
            r, gr, b, beard = _skin(who, key, u, v)
            skin = (r, gr, b)
            dressed = cloth * (1.0 - face)
            shadow = 1.0 - 0.35 * max(neck, cloth) * (1.0 - face)
            streak = max(1.0 + 0.30 * strands, 0.2)
            for c in range(3):
                colour = skin[c] * shadow
                colour += (cloth_colour[c] - colour) * dressed
                out.rgb[c, i, j] = colour + (hair_colour[c] * streak - colour) * hair
            warm = 33.6 + who.warm + 0.12 * _texture(key + np.uint64(3), u, v, 4.0)
            warm -= 1.2 * (1.0 - ramp(_oval(who, u, v) * 1.6)) + 0.9 * beard * face
            warm += (28.0 - warm) * dressed
            out.heat[i, j] = warm + (27.5 - warm) * 0.9 * hair
