"""The head at rest: height, colour and temperature on a grid in the face's own coordinates."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from aubench.data.synth.chance import bell
from aubench.data.synth.identity import Identity

REACH = 1.32
"""The grid covers [-REACH, REACH] in u and v."""

jit: Any = numba.njit(cache=True, nogil=True, error_model="numpy")


class Surface(NamedTuple):
    """Maps over the grid, row = v, column = u, all float64.

    Attributes:
        z: (G, G) height towards the camera in face units.
        rgb: (3, G, G) linear reflectance in [0, 1].
        heat: (G, G) degrees Celsius.
        solid: (G, G) how much of the cell is person rather than background, in [0, 1].
    """

    z: np.ndarray
    rgb: np.ndarray
    heat: np.ndarray
    solid: np.ndarray


def blank(size: int) -> Surface:
    """An empty surface fit for images of ``size`` pixels."""
    g = size * 5 // 4
    return Surface(np.zeros((g, g)), np.zeros((3, g, g)), np.zeros((g, g)), np.zeros((g, g)))


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")  # type: ignore[untyped-decorator]
def ramp(x: float) -> float:
    """0 below 0, 1 above 1, smooth between."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3.0 - 2.0 * x)


@jit
def add_blobs(field: np.ndarray, blobs: np.ndarray, levels: np.ndarray) -> None:
    """Add smooth bumps of bounded reach to a map.

    Args:
        field: (G, G), changed in place.
        blobs: Rows of (column of ``levels``, u, v, reach across, reach down, amount).
        levels: How strong each bump is, 1 for full.
    """
    g = field.shape[0]
    step = 2.0 * REACH / g
    for b in range(blobs.shape[0]):
        amount = blobs[b, 5] * levels[int(blobs[b, 0])]
        if amount == 0.0:
            continue
        u0, v0, ru, rv = blobs[b, 1], blobs[b, 2], blobs[b, 3] * 1.25, blobs[b, 4] * 1.25
        for i in range(max(0, int((v0 - rv + REACH) / step)), min(g, int((v0 + rv + REACH) / step) + 1)):
            dv = (-REACH + (i + 0.5) * step - v0) / rv
            for j in range(max(0, int((u0 - ru + REACH) / step)), min(g, int((u0 + ru + REACH) / step) + 1)):
                du = (-REACH + (j + 0.5) * step - u0) / ru
                q = 1.0 - du * du - dv * dv
                if q > 0.0:
                    field[i, j] += amount * q * q * (3.0 - 2.0 * q)


def relief(who: Identity) -> np.ndarray:
    """Bumps that make a skull of an egg: rows as :func:`add_blobs` wants them, all of column 0."""
    half = [
        (who.nose_half * 0.85, who.nose_y + 0.02, 0.10, 0.10, 0.09),
        (0.48, 0.16, 0.32, 0.26, who.cheek_out),
        (who.eye_x, who.eye_y + 0.01, 0.25, 0.17, -0.085),
        (0.15, who.eye_y - 0.02, 0.12, 0.16, -0.06),
        (0.34, who.brow_y + 0.05, 0.34, 0.12, who.ridge_out),
        (0.44, who.mouth_y - 0.02, 0.22, 0.34, -0.045),
        (0.60, -0.42, 0.20, 0.30, -0.03),
    ]
    middle = [
        (0.0, 0.02, 0.13, 0.42, 0.55 * who.nose_out),
        (0.0, who.nose_y - 0.05, 0.15, 0.20, 0.55 * who.nose_out),
        (0.0, who.nose_y, 0.21, 0.12, 0.35 * who.nose_out),
        (0.0, who.mouth_y, 0.34, 0.30, 0.075),
        (0.0, who.mouth_y - 0.17, 0.05, 0.12, -0.022),
        (0.0, who.mouth_y + 0.155, 0.26, 0.08, -0.035),
        (0.0, who.chin_y - 0.11, 0.24, 0.18, who.chin_out),
    ]
    sides = [(side * u, *rest) for u, *rest in half for side in (-1.0, 1.0)]
    return np.array([(0.0, *row) for row in (*sides, *middle)])


def glow(who: Identity) -> np.ndarray:
    """Bumps of a resting face's temperature, in degrees; rows as of :func:`relief`."""
    half = [
        (0.145, who.eye_y + 0.02, 0.13, 0.12, 1.3),
        (who.eye_x, who.eye_y, 0.30, 0.20, 0.35),
        (0.45, 0.20, 0.34, 0.32, -0.8),
        (0.86, 0.12, 0.14, 0.22, -0.6),
        (0.33, 1.15, 0.30, 0.30, 0.7),
    ]
    middle = [
        (0.0, who.nose_y - 0.01, 0.24, 0.26, -who.nose_cool),
        (0.0, -0.50, 0.75, 0.36, 0.75),
        (0.0, who.mouth_y, 0.40, 0.20, 0.35),
        (0.0, who.chin_y - 0.1, 0.34, 0.2, -0.45),
    ]
    sides = [(side * u, *rest) for u, *rest in half for side in (-1.0, 1.0)]
    return np.array([(0.0, *row) for row in (*sides, *middle)])


@jit
def _texture(key: np.uint64, u: float, v: float, cells: float) -> float:
    """Smooth noise of about unit height with ``cells`` bumps per face unit."""
    x, y = (u + 2.0) * cells, (v + 2.0) * cells
    i, j = int(x), int(y)
    fx, fy = ramp(x - i), ramp(y - j)
    a = bell(key, np.uint64(i * 4096 + j))
    b = bell(key, np.uint64((i + 1) * 4096 + j))
    c = bell(key, np.uint64(i * 4096 + j + 1))
    d = bell(key, np.uint64((i + 1) * 4096 + j + 1))
    top, bottom = a + (b - a) * fx, c + (d - c) * fx
    return top + (bottom - top) * fy


@jit
def _oval(who: Identity, u: float, v: float) -> float:
    """1 in the middle of the face, 0 on its outline, negative outside."""
    down = v + 0.1
    half = who.width
    reach = 1.12
    if down > 0.0:
        reach = who.chin_y + 0.16
        t = min(down / reach, 1.0)
        half = who.width - (who.width - who.jaw) * t * t
    p = (down / reach) * (down / reach)
    return 1.0 - (u / half) * (u / half) - p * (0.3 + 0.7 * p)


@jit
def paint_rest(
    who: Identity, key: np.uint64, z: np.ndarray, rgb: np.ndarray, heat: np.ndarray, solid: np.ndarray
) -> None:
    """Fill a surface with the person's head, hair, neck and clothes, without eyes, brows and mouth."""
    g = z.shape[0]
    step = 2.0 * REACH / g
    edge = 1.6 * step
    m, ruddy = who.melanin, 0.04 * who.ruddy
    skin_r, skin_g, skin_b = 0.74 - 0.58 * m + ruddy, 0.50 - 0.44 * m, 0.39 - 0.37 * m
    bright = 0.42 * (1.0 - who.hair_dark) * (1.0 - who.hair_dark) + 0.012
    hair_r, hair_g, hair_b = bright * (1.25 + 0.5 * who.hair_red), bright, bright * (0.75 - 0.35 * who.hair_red)
    for i in range(g):
        v = -REACH + (i + 0.5) * step
        for j in range(g):
            u = -REACH + (j + 0.5) * step
            side = abs(u)
            oval = _oval(who, u, v)
            face = ramp(oval / (3.0 * edge) + 0.5)
            q = max(oval, 0.0)
            height = 0.74 * q * (1.75 - 0.75 * q)
            # neck and shoulders
            neck = ramp((0.47 + 0.1 * ramp((v - 1.0) * 3.0) - side) / edge) * ramp((v - 0.6) / 0.1)
            slope = 1.13 + 0.22 * side * side
            cloth = ramp((v - slope) / edge)
            body = max(neck, cloth)
            back = -0.22 - 0.35 * side * side
            height = max(height, back * body) if body > 0.0 else height
            # ears
            eu, ev = (side - who.width - 0.015) / 0.085, (v - 0.06 - 0.12 * (side - who.width)) / 0.2
            ear = ramp((1.0 - eu * eu - ev * ev) / (0.5))
            height = max(height, 0.14 * ear)
            # hair: a cap down to the hairline, and curtains down to its length
            cap = (u / (who.width + 0.12)) * (u / (who.width + 0.12)) + ((v + 0.12) / 1.16) * ((v + 0.12) / 1.16)
            shell = 1.0 - cap if v < -0.12 else 1.0 - (u / (who.width + 0.12)) * (u / (who.width + 0.12))
            line = who.hairline + 0.30 * u * u + 1.1 * ramp((side - 0.56) / 0.25)
            front = ramp((line - v) / (2.0 * edge) + 0.5)
            curtain = ramp((who.hair_length - v) / 0.12) * ramp((side - 0.68 + 0.08 * v) / (2.0 * edge))
            hair = max(front, curtain) * ramp(shell / (1.5 * edge))
            strands = _texture(key + np.uint64(7), u * 2.2, v * 0.4 + 0.5 * side * side, 9.0)
            rise = max(shell, 0.0)
            height = max(height, hair * 0.62 * rise * (1.6 - 0.6 * rise)) + hair * (0.035 + 0.008 * strands)
            z[i, j] = height
            solid[i, j] = max(max(face, ear), max(body, hair))
            # colour
            mottle = 1.0 + 0.05 * who.mottle * _texture(key, u, v, 5.0) + 0.05 * who.mottle * _texture(key, u, v, 16.0)
            cheek = ramp(1.0 - ((side - 0.46) * (side - 0.46) + (v - 0.22) * (v - 0.22)) * 9.0)
            nose = ramp(1.0 - (u * u + (v - who.nose_y) * (v - who.nose_y)) * 26.0)
            flush = (0.10 * cheek + 0.07 * nose) * who.ruddy
            beard = who.stubble * ramp((v - 0.36 - 0.10 * ramp(1.0 - side * 4.0)) / 0.2) * face
            jaw = 1.0 - 0.55 * beard
            under = 1.0 - 0.35 * body * (1.0 - face)
            r = skin_r * mottle * jaw * under
            gr = skin_g * mottle * jaw * under * (1.0 - flush)
            bl = skin_b * mottle * (jaw + 0.06 * beard) * under * (1.0 - flush)
            only_cloth = cloth * (1.0 - face)
            r += (who.cloth_r - r) * only_cloth
            gr += (who.cloth_g - gr) * only_cloth
            bl += (who.cloth_b - bl) * only_cloth
            streak = max(1.0 + 0.30 * strands, 0.2)
            rgb[0, i, j] = r + (hair_r * streak - r) * hair
            rgb[1, i, j] = gr + (hair_g * streak - gr) * hair
            rgb[2, i, j] = bl + (hair_b * streak - bl) * hair
            # temperature
            warm = 33.6 + who.warm + 0.12 * _texture(key + np.uint64(3), u, v, 4.0) - 1.2 * (1.0 - ramp(oval * 1.6))
            warm += (28.0 - warm) * only_cloth
            warm -= 0.9 * beard
            heat[i, j] = warm + (27.5 - warm) * (0.9 * hair)


def rest(who: Identity, size: int) -> Surface:
    """The head of a person, without eyes, brows and mouth."""
    surface = blank(size)
    paint_rest(who, np.uint64(who.key), *surface)
    one = np.ones(1)
    add_blobs(surface.z, relief(who), one)
    add_blobs(surface.heat, glow(who), one)
    return surface
