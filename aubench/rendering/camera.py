"""Projection of a surface to aligned images of three cameras, with light, pose and sensor noise."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from aubench._util.jit import compiled, inner
from aubench.rendering.grid import REACH, Surface, ramp
from aubench.rendering.rng import normal

VIEW = 1.10
"""Half of the image's width in face units."""


class View(NamedTuple):
    """Head pose, light and sensor noise of one frame; lengths are in face units."""

    yaw: float = 0.0  # tangent of half the angle to the image's right
    pitch: float = 0.0  # tangent of half the angle downwards
    roll: float = 0.0  # tangent of half the angle clockwise
    shift_u: float = 0.0  # horizontal position of the head in face units
    shift_v: float = 0.0  # vertical position of the head in face units
    zoom: float = 1.0  # relative size of the head
    light_u: float = -0.45  # horizontal component of the direction to the lamp; the component towards the camera is 1
    light_v: float = -0.55  # vertical component of that direction
    lamp: float = 0.75  # strength of the lamp
    ambient: float = 0.30  # strength of the ambient light
    tint: float = 0.0  # warmth of the light's colour; 0 is white
    backdrop: float = 0.25  # brightness behind the head
    distance: float = 0.0  # offset of the depth camera in face units
    drift: float = 0.0  # offset of the thermal camera in degrees
    noise_visual: float = 0.0  # standard deviation in grey levels
    noise_depth: float = 0.0  # standard deviation in grey levels
    noise_thermal: float = 0.0  # standard deviation in grey levels


def rotation(view: View) -> np.ndarray:
    """Return the rotation of the head, (3, 3): roll after pitch after yaw, from half-angle tangents."""
    (cy, sy), (cp, sp), (cr, sr) = ((_cos(t), _sin(t)) for t in (view.yaw, view.pitch, view.roll))
    # rows: image right, image down, towards the camera
    return np.array(
        [
            [cr * cy - sr * sp * sy, -sr * cp, cr * sy + sr * sp * cy],
            [sr * cy + cr * sp * sy, cr * cp, sr * sy - cr * sp * cy],
            [-cp * sy, sp, cp * cy],
        ]
    )


def _cos(t: float) -> float:
    return (1.0 - t * t) / (1.0 + t * t)


def _sin(t: float) -> float:
    return 2.0 * t / (1.0 + t * t)


@compiled
def _light(view: View, turn: np.ndarray, z: np.ndarray, rgb: np.ndarray) -> None:
    """Convert reflectance to the light that leaves the surface, in place."""
    g = z.shape[0]
    twice = 4.0 * REACH / g
    length = math.sqrt(view.light_u * view.light_u + view.light_v * view.light_v + 1.0)
    lu, lv, lz = view.light_u / length, view.light_v / length, 1.0 / length
    hu, hv, hz = lu, lv, lz + 1.0
    length = math.sqrt(hu * hu + hv * hv + hz * hz)
    hu, hv, hz = hu / length, hv / length, hz / length
    red, blue = 1.0 + view.tint, 1.0 - view.tint
    for i in range(g):
        up, down = max(i - 1, 0), min(i + 1, g - 1)
        for j in range(g):
            left, right = max(j - 1, 0), min(j + 1, g - 1)
            a, b = -(z[i, right] - z[i, left]) / twice, -(z[down, j] - z[up, j]) / twice
            length = math.sqrt(a * a + b * b + 1.0)
            a, b, c = a / length, b / length, 1.0 / length
            nu = turn[0, 0] * a + turn[0, 1] * b + turn[0, 2] * c
            nv = turn[1, 0] * a + turn[1, 1] * b + turn[1, 2] * c
            nz = turn[2, 0] * a + turn[2, 1] * b + turn[2, 2] * c
            facing = (nu * lu + nv * lv + nz * lz + 0.15) / 1.15
            half = max(nu * hu + nv * hv + nz * hz, 0.0)
            half = half * half
            half = half * half
            half = half * half
            shine = 0.045 * half * half * max(facing, 0.0) * view.lamp
            dome = view.ambient * (0.75 - 0.25 * nv)
            total = view.lamp * max(facing, 0.0) + dome
            rgb[0, i, j] = red * (rgb[0, i, j] * total + shine)
            rgb[1, i, j] = rgb[1, i, j] * total + shine
            rgb[2, i, j] = blue * (rgb[2, i, j] * total + shine)


class Shot(NamedTuple):
    """The three images of one frame, uint8."""

    visual: np.ndarray  # (H, W, 3)
    depth: np.ndarray  # (H, W, 1): 130 grey levels per face unit, nearer is brighter, 0 is background
    thermal: np.ndarray  # (H, W, 1): 15 grey levels per degree Celsius, 0 at 20


def shoot(view: View, key: int, surface: Surface, shot: Shot) -> None:
    """Render the three images of one frame.

    Args:
        view: Pose, light and sensors.
        key: Stream of the noise.
        surface: Surface of the head; its colours are overwritten.
        shot: Output.
    """
    turn = rotation(view)
    _light(view, turn, surface.z, surface.rgb)
    _project(view, turn, np.uint64(key), surface, shot)


@inner
def _grey(value: float) -> int:
    return int(min(max(value + 0.5, 0.0), 255.0))


@inner
def _mean(field: np.ndarray, i: int, j: int, weight: tuple[float, float, float, float]) -> float:
    above = weight[0] * field[i, j] + weight[1] * field[i, j + 1]
    return float(above + weight[2] * field[i + 1, j] + weight[3] * field[i + 1, j + 1])


@inner
def _intersect(
    z: np.ndarray, turn: np.ndarray, px: float, py: float
) -> tuple[int, int, tuple[float, float, float, float], float]:
    """Intersect the ray of a pixel with the head: cell, bilinear weights, and nearness to the camera.

    The surface is single-valued and the head turns little, so a few fixed-point iterations converge.
    """
    g = z.shape[0]
    per, top = g / (2.0 * REACH), g - 1.000001
    det = turn[0, 0] * turn[1, 1] - turn[0, 1] * turn[1, 0]
    height, near = 0.45, 0.0
    i, j = 0, 0
    weight = (0.0, 0.0, 0.0, 0.0)
    for _ in range(4):
        a, b = px - turn[0, 2] * (height - 0.3), py - turn[1, 2] * (height - 0.3)
        u, v = (turn[1, 1] * a - turn[0, 1] * b) / det, (turn[0, 0] * b - turn[1, 0] * a) / det
        column = min(max((u + REACH) * per - 0.5, 0.0), top)
        row = min(max((v + REACH) * per - 0.5, 0.0), top)
        i, j = int(row), int(column)
        fu, fv = column - j, row - i
        weight = ((1.0 - fu) * (1.0 - fv), fu * (1.0 - fv), (1.0 - fu) * fv, fu * fv)
        height = _mean(z, i, j, weight)
        near = turn[2, 0] * u + turn[2, 1] * v + turn[2, 2] * (height - 0.3)
    return i, j, weight, near


@compiled
def _project(view: View, turn: np.ndarray, key: np.uint64, surface: Surface, shot: Shot) -> None:
    n = shot.visual.shape[0]
    coarse = max(n // 32, 1)
    for y in range(n):
        for x in range(n):
            px, py = ((x + 0.5) / n * 2.0 - 1.0) * VIEW, ((y + 0.5) / n * 2.0 - 1.0) * VIEW
            i, j, weight, near = _intersect(
                surface.z, turn, (px - view.shift_u) / view.zoom, (py - view.shift_v) / view.zoom
            )
            cover = _mean(surface.solid, i, j, weight)
            pixel = np.uint64((y * n + x) * 8)
            backdrop = view.backdrop * (0.9 + 0.18 * py)
            for c in range(3):
                light = backdrop + (_mean(surface.rgb[c], i, j, weight) - backdrop) * cover
                noise = view.noise_visual * normal(key, pixel + np.uint64(c))
                shot.visual[y, x, c] = _grey(255.0 * math.sqrt(max(light, 0.0)) + noise)
            patch = np.uint64(((y // coarse) * n + x // coarse) * 8 + 4)
            noise = view.noise_depth * (0.6 * normal(key, pixel + np.uint64(3)) + 0.8 * normal(key, patch))
            shot.depth[y, x, 0] = _grey(150.0 + 130.0 * (near + view.distance) + noise) if cover > 0.5 else 0
            warm = 22.5 + (_mean(surface.heat, i, j, weight) - 22.5) * ramp(cover)
            noise = view.noise_thermal * normal(key, pixel + np.uint64(5))
            shot.thermal[y, x, 0] = _grey((warm + view.drift - 20.0) * 15.0 + noise)
