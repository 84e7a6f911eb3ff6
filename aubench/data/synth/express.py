"""The head in action: what the AUs of one instant move, fold, swell and warm on the resting surface."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from aubench.data.synth import anatomy
from aubench.data.synth.identity import Identity
from aubench.data.synth.surface import REACH, Surface, add_blobs, blank, jit, ramp


class Tables(NamedTuple):
    """A person's anatomy (see :mod:`aubench.data.synth.anatomy`)."""

    moves: np.ndarray
    bulges: np.ndarray
    furrows: np.ndarray
    warmths: np.ndarray


def tables(who: Identity) -> Tables:
    """The anatomy of a person."""
    return Tables(anatomy.moves(), anatomy.bulges(who), anatomy.furrows(who), anatomy.warmths(who))


@jit
def _blend(rgb: np.ndarray, i: int, j: int, part: float, r: float, g: float, b: float) -> None:
    rgb[0, i, j] += (r - rgb[0, i, j]) * part
    rgb[1, i, j] += (g - rgb[1, i, j]) * part
    rgb[2, i, j] += (b - rgb[2, i, j]) * part


@jit
def _shade(rgb: np.ndarray, i: int, j: int, keep: float) -> None:
    rgb[0, i, j] *= keep
    rgb[1, i, j] *= keep
    rgb[2, i, j] *= keep


@jit
def _first(low: float, step: float) -> int:
    return max(0, int((low + REACH) / step))


@jit
def _after(high: float, step: float, g: int) -> int:
    return min(g, int((high + REACH) / step) + 1)


@jit
def _fold(z: np.ndarray, rgb: np.ndarray, furrows: np.ndarray, levels: np.ndarray, crease: float) -> None:
    """Press furrows into the skin; lines of age are there at rest."""
    g = z.shape[0]
    step = 2.0 * REACH / g
    for f in range(furrows.shape[0]):
        level = levels[int(furrows[f, 0])]
        level = crease + (1.0 - crease) * level
        u0, v0, u1, v1 = furrows[f, 1], furrows[f, 2], furrows[f, 3], furrows[f, 4]
        half = max(furrows[f, 5], 1.1 * step)
        thin = furrows[f, 5] / half
        depth, dark = furrows[f, 6] * level * thin, furrows[f, 7] * level * thin
        lu, lv = u1 - u0, v1 - v0
        length = lu * lu + lv * lv
        for i in range(_first(min(v0, v1) - half, step), _after(max(v0, v1) + half, step, g)):
            v = -REACH + (i + 0.5) * step
            for j in range(_first(min(u0, u1) - half, step), _after(max(u0, u1) + half, step, g)):
                u = -REACH + (j + 0.5) * step
                t = ((u - u0) * lu + (v - v0) * lv) / length
                t = min(max(t, 0.0), 1.0)
                du, dv = u - u0 - t * lu, v - v0 - t * lv
                q = 1.0 - (du * du + dv * dv) / (half * half)
                if q > 0.0:
                    part = q * q * (0.4 + 2.4 * t * (1.0 - t))
                    z[i, j] -= depth * part
                    _shade(rgb, i, j, 1.0 - dark * part)


@jit
def _brows(who: Identity, moved: np.ndarray, rgb: np.ndarray, z: np.ndarray, heat: np.ndarray) -> None:
    g = z.shape[0]
    step = 2.0 * REACH / g
    inner_up, outer_up, inward = moved[0], moved[1], moved[2]
    inner, outer = who.brow_inner - inward, who.brow_outer
    colour = 0.30 * (1.0 - who.brow_dark) * (1.0 - who.brow_dark) + 0.01
    for i in range(_first(who.brow_y - 0.3, step), _after(who.brow_y + 0.25, step, g)):
        v = -REACH + (i + 0.5) * step
        for j in range(_first(-outer - 0.05, step), _after(outer + 0.05, step, g)):
            u = -REACH + (j + 0.5) * step
            side = 1.0 if u > 0.0 else -1.0
            t = (abs(u) - inner) / (outer - inner)
            if t < -0.15 or t > 1.15:
                continue
            s = min(max(t, 0.0), 1.0)
            lift = (inner_up * (1.0 - s) * (1.0 - s) * (1.0 + s) + outer_up * s * s * (2.2 - 1.4 * s) / 1.02) * (
                1.0 + side * who.lopsided
            )
            line = who.brow_y - who.brow_arch * 4.0 * s * (1.0 - s) * (0.55 + 0.75 * s) + 0.02 * s - lift
            thick = who.brow_thick * (1.15 - 0.65 * s)
            soft = max(0.022, 0.9 * step)
            part = ramp((thick + 0.5 * soft - abs(v - line)) / soft) * ramp((t + 0.08) / 0.1) * ramp((1.08 - t) / 0.2)
            if part > 0.0:
                hairy = part * (0.55 + 0.45 * who.brow_dark)
                _blend(rgb, i, j, hairy, colour * (1.2 + 0.4 * who.hair_red), colour, colour * 0.8)
                z[i, j] += 0.012 * part
            wide = ramp((thick + 0.05 - abs(v - line)) / 0.06) * ramp((t + 0.15) / 0.2) * ramp((1.15 - t) / 0.25)
            heat[i, j] -= 0.75 * wide


@jit
def _eyes(
    who: Identity,
    moved: np.ndarray,
    gaze_u: float,
    gaze_v: float,
    blink: float,
    rgb: np.ndarray,
    z: np.ndarray,
    heat: np.ndarray,
) -> None:
    g = z.shape[0]
    step = 2.0 * REACH / g
    soft = max(0.016, 0.9 * step)
    half = who.eye_half
    upper_open = max((who.lid_upper + moved[3]) * (1.0 - blink), -0.6 * who.lid_lower)
    lower_open = max(who.lid_lower + moved[4], 0.012) * (1.0 - 0.3 * blink)
    iris = who.iris
    light = who.iris_light
    iris_r, iris_g, iris_b = 0.06 + 0.12 * light, 0.04 + 0.16 * light, 0.03 + light * (0.08 + 0.25 * who.iris_blue)
    for side in (-1.0, 1.0):
        cu = side * who.eye_x
        for i in range(_first(who.eye_y - 0.2, step), _after(who.eye_y + 0.15, step, g)):
            v = -REACH + (i + 0.5) * step
            for j in range(_first(cu - half - 0.06, step), _after(cu + half + 0.06, step, g)):
                u = -REACH + (j + 0.5) * step
                s = (u - cu) * side / half  # outward
                if s < -1.3 or s > 1.3:
                    continue
                bow = max(1.0 - s * s, 0.0)
                middle = who.eye_y + who.eye_slant * s
                upper = middle - upper_open * bow * (1.0 - 0.12 * s)
                lower = middle + lower_open * bow * (1.0 + 0.15 * s)
                within = ramp((1.05 - abs(s)) / 0.15)
                seen = ramp((v - upper) / soft + 0.5) * ramp((lower - v) / soft + 0.5) * within
                # lid above the eye: a crease, and skin that darkens towards it
                crease = upper - 0.045 - 0.03 * bow
                q = 1.0 - abs(v - crease) / 0.035
                if q > 0.0:
                    _shade(rgb, i, j, 1.0 - 0.28 * q * ramp((1.25 - abs(s)) / 0.5))
                if seen > 0.0:
                    du, dv = u - cu - gaze_u, v - middle + 0.012 - gaze_v
                    d = math.sqrt(du * du + dv * dv)
                    under = 0.62 + 0.38 * ramp((v - upper) / 0.06)
                    white = under * (0.66 - 0.10 * abs(s))
                    _blend(rgb, i, j, seen, white, white * 0.95, white * 0.92)
                    part = seen * ramp((iris - d) / soft + 0.5)
                    ring = 0.55 + 0.45 * ramp((iris - d) / 0.03)
                    _blend(rgb, i, j, part, iris_r * ring * under, iris_g * ring * under, iris_b * ring * under)
                    _blend(rgb, i, j, seen * ramp((0.45 * iris - d) / soft + 0.5), 0.008, 0.008, 0.008)
                    gu, gv = du + 0.022, dv + 0.024
                    glint = ramp((0.016 - math.sqrt(gu * gu + gv * gv)) / soft + 0.5)
                    _blend(rgb, i, j, seen * glint * 0.9, 1.0, 1.0, 1.0)
                    z[i, j] += 0.02 * seen * bow
                    heat[i, j] -= 0.55 * seen
                # lashes and lid rims
                rim = max(0.020, 0.8 * step)
                top = ramp((rim - abs(v - upper + 0.004)) / rim) * within
                if top > 0.0:
                    _blend(rgb, i, j, 0.85 * top, 0.02, 0.015, 0.012)
                bottom = ramp((rim - abs(v - lower - 0.004)) / rim) * within
                if bottom > 0.0:
                    _shade(rgb, i, j, 1.0 - 0.38 * bottom)


@jit
def _nostrils(who: Identity, up: float, breath: float, rgb: np.ndarray, z: np.ndarray, heat: np.ndarray) -> None:
    g = z.shape[0]
    step = 2.0 * REACH / g
    base = who.nose_y + 0.095 - up
    wide = who.nose_half
    for i in range(_first(base - 0.16, step), _after(base + 0.09, step, g)):
        v = -REACH + (i + 0.5) * step
        for j in range(_first(-wide - 0.1, step), _after(wide + 0.1, step, g)):
            u = abs(-REACH + (j + 0.5) * step)
            du, dv = (u - 0.52 * wide) / 0.052, (v - base + 0.01) / 0.030
            q = 1.0 - du * du - dv * dv
            if q > 0.0:
                _shade(rgb, i, j, 1.0 - 0.72 * ramp(q * 1.5))
            wing_u, wing_v = (u - wide) / 0.07, (v - base + 0.055) / 0.075
            ring = wing_u * wing_u + wing_v * wing_v
            bump = 1.0 - ring
            if bump > 0.0:
                z[i, j] += 0.07 * ramp(bump)
            q = 1.0 - abs(ring - 1.0) * 1.6
            if q > 0.0 and u > wide * 0.95:
                _shade(rgb, i, j, 1.0 - 0.26 * q)
            shadow = ramp(1.0 - abs(v - base - 0.025) / 0.05) * ramp((wide - u) / 0.05)
            _shade(rgb, i, j, 1.0 - 0.25 * shadow)
            du, dv = u / (wide + 0.06), (v - base + 0.01) / 0.09
            q = 1.0 - du * du - dv * dv
            if q > 0.0:
                heat[i, j] += breath * q


@jit
def _mouth(who: Identity, moved: np.ndarray, rgb: np.ndarray, z: np.ndarray, heat: np.ndarray) -> None:
    g = z.shape[0]
    step = 2.0 * REACH / g
    half = who.mouth_half + moved[5]
    corner_up = moved[6] - who.mouth_bend
    gap_up = max(moved[7], 0.0)
    upper_thick = who.lip_upper * max(1.0 + moved[8], 0.18)
    lower_thick = who.lip_lower * max(1.0 + moved[9], 0.18)
    centre = who.mouth_y - moved[10]
    red = min(max(who.lip_red + moved[12], -0.3), 1.3)
    seam_dark = min(0.62 + 0.25 * moved[13], 0.9)
    m = who.melanin
    lip_r, lip_g, lip_b = 0.60 - 0.42 * m, 0.33 - 0.27 * m - 0.10 * red, 0.28 - 0.22 * m - 0.06 * red
    soft = max(0.018, 0.9 * step)
    for i in range(_first(centre - 0.3, step), _after(centre + 0.3, step, g)):
        v = -REACH + (i + 0.5) * step
        for j in range(_first(-half - 0.08, step), _after(half + 0.08, step, g)):
            u = -REACH + (j + 0.5) * step
            s = u / half
            if s < -1.25 or s > 1.25:
                continue
            bow = max(1.0 - s * s, 0.0)
            tilt = corner_up * (1.0 + who.lopsided * s)
            seam = centre - tilt * s * s - 0.010 * bow * (1.0 - 2.2 * abs(s))
            open_up = gap_up * bow
            dent = ramp(1.0 - abs(u) / 0.07)
            top = seam - open_up - upper_thick * bow * (1.12 - 0.22 * dent)
            bottom = seam + lower_thick * bow * (1.0 - 0.12 * s * s) * 1.1
            within = ramp((1.04 - abs(s)) / 0.12)
            lip = ramp((v - top) / soft + 0.5) * ramp((bottom - v) / soft + 0.5) * within * ramp(bow * 6.0)
            if lip > 0.0:
                is_upper = ramp((seam - v) / soft + 0.5)
                tone = 1.0 - 0.22 * is_upper
                _blend(rgb, i, j, 0.85 * lip, lip_r * tone, lip_g * tone, lip_b * tone)
                thick = lower_thick if v > seam else upper_thick
                x = (
                    (v - seam) / max(bottom - seam, 0.01)
                    if v > seam
                    else (seam - open_up - v) / max(seam - open_up - top, 0.01)
                )
                x = min(max(x, 0.0), 1.0)
                z[i, j] += lip * thick * 1.1 * bow * 4.0 * (0.25 + 0.75 * x) * (1.0 - x)
                heat[i, j] += 0.3 * lip
            gap = ramp((v - seam + open_up) / soft + 0.5) * ramp((seam - v) / soft + 0.5) * within * ramp(gap_up / 0.03)
            if gap > 0.0:
                teeth = ramp((gap_up - 0.02) / 0.02) * ramp((0.75 - abs(s)) / 0.2)
                tone = 0.05 + 0.50 * teeth
                _blend(rgb, i, j, gap, tone, tone * 0.92, tone * 0.86)
                z[i, j] -= 0.05 * gap
                heat[i, j] += 0.9 * gap
            line = max(0.020, 0.75 * step)
            closed = ramp((line - abs(v - seam)) / line) * ramp((1.10 - abs(s)) / 0.14)
            if closed > 0.0:
                _shade(rgb, i, j, 1.0 - seam_dark * closed)
                z[i, j] -= 0.02 * closed
            below = ramp(1.0 - abs(v - bottom - 0.035) / 0.045) * bow
            _shade(rgb, i, j, 1.0 - 0.16 * below)


@jit
def _paint(
    who: Identity, at: Tables, level: np.ndarray, flow: np.ndarray, looks: np.ndarray, rested: Surface, out: Surface
) -> None:
    out.z[:] = rested.z
    out.rgb[:] = rested.rgb
    out.heat[:] = rested.heat
    moved = np.zeros(at.moves.shape[0])
    for f in range(at.moves.shape[0]):
        for a in range(level.shape[0]):
            moved[f] += at.moves[f, a] * level[a]
    add_blobs(out.z, at.bulges, level)
    add_blobs(out.heat, at.warmths, flow)
    _fold(out.z, out.rgb, at.furrows, level, who.crease)
    _nostrils(who, moved[11], looks[3], out.rgb, out.z, out.heat)
    _mouth(who, moved, out.rgb, out.z, out.heat)
    _eyes(who, moved, looks[0], looks[1], looks[2], out.rgb, out.z, out.heat)
    _brows(who, moved, out.rgb, out.z, out.heat)


class Face:
    """A person's face, ready to make expressions.

    Args:
        who: The person.
        size: Height and width in pixels of the images to come.
    """

    def __init__(self, who: Identity, size: int) -> None:
        from aubench.data.synth.surface import rest

        self.who, self._tables, self._rest = who, tables(who), rest(who, size)
        self._out = blank(size)._replace(solid=self._rest.solid)

    def make(self, level: np.ndarray, flow: np.ndarray, looks: np.ndarray) -> Surface:
        """Put on an expression.

        Args:
            level: (12,) intensity of each AU in [0, 1].
            flow: (12,) blood flow that follows each AU, in [0, 1].
            looks: (4,) gaze to the right and down in face units, closing of the lids in a blink in [0, 1],
                warmth of the breath in degrees.

        Returns:
            The surface; the next call overwrites it.
        """
        _paint(self.who, self._tables, level, flow, looks, self._rest, self._out)
        return self._out
