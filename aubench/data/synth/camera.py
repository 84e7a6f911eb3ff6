"""Three cameras in one place: from a surface to aligned images, with light, pose and sensor noise."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from aubench.data.synth.chance import bell
from aubench.data.synth.surface import REACH, Surface, jit, ramp

VIEW = 1.10
"""Half of the image's width in face units."""


class View(NamedTuple):
    """Where the head is, and what falls on it and on the sensors.

    Attributes:
        yaw: Tangent of half the angle to the image's right.
        pitch: Tangent of half the angle downwards.
        roll: Tangent of half the angle clockwise.
        shift_u: Place of the head in face units.
        shift_v: Place of the head in face units.
        zoom: Size of the head, 1 for usual.
        light_u: Direction of the lamp (towards it), with ``light_v`` and 1 towards the camera.
        light_v: See ``light_u``.
        lamp: Strength of the lamp.
        ambient: Strength of the light from everywhere.
        tint: Warmth of the light's colour, 0 for white.
        backdrop: Brightness behind the head.
        distance: Offset of the depth camera in face units.
        drift: Offset of the thermal camera in degrees.
        noise_visual: Standard deviation in grey levels.
        noise_depth: Standard deviation in grey levels.
        noise_thermal: Standard deviation in grey levels.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    shift_u: float = 0.0
    shift_v: float = 0.0
    zoom: float = 1.0
    light_u: float = -0.45
    light_v: float = -0.55
    lamp: float = 0.75
    ambient: float = 0.30
    tint: float = 0.0
    backdrop: float = 0.25
    distance: float = 0.0
    drift: float = 0.0
    noise_visual: float = 0.0
    noise_depth: float = 0.0
    noise_thermal: float = 0.0


def rotation(view: View) -> np.ndarray:
    """Rotation of the head, (3, 3): roll after pitch after yaw, from half-angle tangents."""
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


@jit
def _light(view: View, turn: np.ndarray, z: np.ndarray, rgb: np.ndarray) -> None:
    """Turn reflectance into light that leaves the surface, in place."""
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


@jit
def _level(value: float) -> np.uint8:
    return np.uint8(min(max(value + 0.5, 0.0), 255.0))


@jit
def _shoot(
    view: View,
    turn: np.ndarray,
    key: np.uint64,
    seen: Surface,
    visual: np.ndarray,
    depth: np.ndarray,
    thermal: np.ndarray,
) -> None:
    z, rgb, heat, solid = seen.z, seen.rgb, seen.heat, seen.solid
    g, n = z.shape[0], visual.shape[0]
    per = g / (2.0 * REACH)
    det = turn[0, 0] * turn[1, 1] - turn[0, 1] * turn[1, 0]
    top = g - 1.000001
    coarse = max(n // 32, 1)
    for y in range(n):
        for x in range(n):
            px = (((x + 0.5) / n * 2.0 - 1.0) * VIEW - view.shift_u) / view.zoom
            py = (((y + 0.5) / n * 2.0 - 1.0) * VIEW - view.shift_v) / view.zoom
            height = 0.45
            gu, gv = 0.0, 0.0
            i, j = 0, 0
            fu, fv = 0.0, 0.0
            u, v = 0.0, 0.0
            for _ in range(4):
                au, av = px - turn[0, 2] * (height - 0.3), py - turn[1, 2] * (height - 0.3)
                u, v = (turn[1, 1] * au - turn[0, 1] * av) / det, (turn[0, 0] * av - turn[1, 0] * au) / det
                gu = min(max((u + REACH) * per - 0.5, 0.0), top)
                gv = min(max((v + REACH) * per - 0.5, 0.0), top)
                i, j = int(gv), int(gu)
                fu, fv = gu - j, gv - i
                a = z[i, j] + (z[i, j + 1] - z[i, j]) * fu
                b = z[i + 1, j] + (z[i + 1, j + 1] - z[i + 1, j]) * fu
                height = a + (b - a) * fv
            w00, w01, w10, w11 = (1.0 - fu) * (1.0 - fv), fu * (1.0 - fv), (1.0 - fu) * fv, fu * fv
            cover = w00 * solid[i, j] + w01 * solid[i, j + 1] + w10 * solid[i + 1, j] + w11 * solid[i + 1, j + 1]
            warm = w00 * heat[i, j] + w01 * heat[i, j + 1] + w10 * heat[i + 1, j] + w11 * heat[i + 1, j + 1]
            near = turn[2, 0] * u + turn[2, 1] * v + turn[2, 2] * (height - 0.3)
            pixel = np.uint64((y * n + x) * 8)
            wall = view.backdrop * (0.8 + 0.2 * (py + VIEW))
            for c in range(3):
                m = rgb[c]
                light = w00 * m[i, j] + w01 * m[i, j + 1] + w10 * m[i + 1, j] + w11 * m[i + 1, j + 1]
                light = wall + (light - wall) * cover
                grey = 255.0 * math.sqrt(max(light, 0.0))
                visual[y, x, c] = _level(grey + view.noise_visual * bell(key, pixel + np.uint64(c)))
            spot = np.uint64(((y // coarse) * n + x // coarse) * 8)
            grain = 0.6 * bell(key, pixel + np.uint64(3)) + 0.8 * bell(key, spot + np.uint64(4))
            level = 150.0 + 130.0 * (near + view.distance) + view.noise_depth * grain
            depth[y, x, 0] = _level(level) if cover > 0.5 else np.uint8(0)
            warm = 22.5 + (warm - 22.5) * ramp(cover)
            level = (warm + view.drift - 20.0) * 15.0
            thermal[y, x, 0] = _level(level + view.noise_thermal * bell(key, pixel + np.uint64(5)))


def shoot(view: View, key: int, seen: Surface, visual: np.ndarray, depth: np.ndarray, thermal: np.ndarray) -> None:
    """Take the three images of one instant.

    Args:
        view: Pose, light and sensors.
        key: Name of the noise.
        seen: The surface; its colours are spent.
        visual: (H, W, 3) uint8, filled.
        depth: (H, W, 1) uint8, filled: 130 grey levels per face unit, nearer is brighter, 0 where nothing is.
        thermal: (H, W, 1) uint8, filled: 15 grey levels per degree Celsius, 0 at 20.
    """
    turn = rotation(view)
    _light(view, turn, seen.z, seen.rgb)
    _shoot(view, turn, np.uint64(key), seen, visual, depth, thermal)
