"""Brows, eyes, nostrils and mouth, drawn in every frame at the positions that the AUs yield."""

from __future__ import annotations

import math

import numpy as np

from aubench._util.jit import inner
from aubench.rendering.grid import REACH, Surface, after, first, ramp, shade, tint
from aubench.rendering.identity import Identity


@inner
def _brow_line(identity: Identity, moved: np.ndarray, s: float, side: float) -> float:
    """Return the height of the brow at ``s`` in [0, 1] from its inner to its outer end."""
    lift = moved[0] * (1.0 - s) * (1.0 - s) * (1.0 + s) + moved[1] * s * s * (2.2 - 1.4 * s)
    arch = identity.brow_arch * 4.0 * s * (1.0 - s) * (0.55 + 0.75 * s)
    return float(identity.brow_y - arch + 0.02 * s - lift * (1.0 + side * identity.lopsided))


@inner
def brows(identity: Identity, moved: np.ndarray, out: Surface) -> None:
    """Draw the brows; hair also lowers the apparent temperature."""
    g = out.z.shape[0]
    step = 2.0 * REACH / g
    soft = max(0.022, 0.9 * step)
    inner, outer = identity.brow_inner - moved[2], identity.brow_outer
    dark = 0.30 * (1.0 - identity.brow_dark) * (1.0 - identity.brow_dark) + 0.01
    colour = (dark * (1.2 + 0.4 * identity.hair_red), dark, dark * 0.8)
    for i in range(first(identity.brow_y - 0.3, g), after(identity.brow_y + 0.25, g)):
        v = -REACH + (i + 0.5) * step
        for j in range(first(-outer - 0.05, g), after(outer + 0.05, g)):
            u = -REACH + (j + 0.5) * step
            t = (abs(u) - inner) / (outer - inner)
            if t < -0.15 or t > 1.15:
                continue
            s = min(max(t, 0.0), 1.0)
            away = abs(v - _brow_line(identity, moved, s, 1.0 if u > 0.0 else -1.0))
            thick = identity.brow_thick * (1.15 - 0.65 * s)
            part = ramp((thick + 0.5 * soft - away) / soft) * ramp((t + 0.08) / 0.1) * ramp((1.08 - t) / 0.2)
            if part > 0.0:
                tint(out.rgb, i, j, part * (0.55 + 0.45 * identity.brow_dark), colour)
                out.z[i, j] += 0.012 * part
            wide = ramp((thick + 0.05 - away) / 0.06) * ramp((t + 0.15) / 0.2) * ramp((1.15 - t) / 0.25)
            out.heat[i, j] -= 0.75 * wide


@inner
def eyes(identity: Identity, moved: np.ndarray, state: np.ndarray, out: Surface) -> None:
    """Draw both eyes and their lids."""
    g = out.z.shape[0]
    step = 2.0 * REACH / g
    rim = max(0.020, 0.8 * step)
    half, blink = identity.eye_half, state[2]
    up = max((identity.lid_upper + moved[3]) * (1.0 - blink), -0.6 * identity.lid_lower)
    down = max(identity.lid_lower + moved[4], 0.012) * (1.0 - 0.3 * blink)
    for side in (-1.0, 1.0):
        centre = side * identity.eye_x
        for i in range(first(identity.eye_y - 0.2, g), after(identity.eye_y + 0.15, g)):
            v = -REACH + (i + 0.5) * step
            for j in range(first(centre - 1.3 * half, g), after(centre + 1.3 * half, g)):
                u = -REACH + (j + 0.5) * step
                s = (u - centre) * side / half  # outwards
                bow = max(1.0 - s * s, 0.0)
                middle = identity.eye_y + identity.eye_slant * s
                upper = middle - up * bow * (1.0 - 0.12 * s)
                lower = middle + down * bow * (1.0 + 0.15 * s)
                fold = 1.0 - abs(v - upper + 0.045 + 0.03 * bow) / 0.035
                if fold > 0.0:
                    shade(out.rgb, i, j, 1.0 - 0.28 * fold * ramp((1.25 - abs(s)) / 0.5))
                inside = ramp((1.05 - abs(s)) / 0.15)
                if inside > 0.0:
                    _eyeball(
                        identity,
                        (u - centre - state[0], v - middle + 0.012 - state[1]),
                        (upper, lower, inside),
                        (i, j),
                        out,
                    )
                    top = ramp((rim - abs(v - upper + 0.004)) / rim) * inside
                    tint(out.rgb, i, j, 0.85 * top, (0.02, 0.015, 0.012))
                    bottom = ramp((rim - abs(v - lower - 0.004)) / rim) * inside
                    shade(out.rgb, i, j, 1.0 - 0.38 * bottom)


@inner
def _eyeball(
    identity: Identity,
    offset: tuple[float, float],
    slit: tuple[float, float, float],
    cell: tuple[int, int],
    out: Surface,
) -> None:
    """Draw the visible part of the eyeball in one cell, at ``offset`` from the pupil, between the lids of ``slit``."""
    (du, dv), (upper, lower, inside), (i, j) = offset, slit, cell
    step = 2.0 * REACH / out.z.shape[0]
    soft = max(0.016, 0.9 * step)
    v = -REACH + (i + 0.5) * step
    visible = ramp((v - upper) / soft + 0.5) * ramp((lower - v) / soft + 0.5) * inside
    if visible == 0.0:
        return
    d = math.sqrt(du * du + dv * dv)
    under = 0.62 + 0.38 * ramp((v - upper) / 0.06)
    white = 0.62 * under
    tint(out.rgb, i, j, visible, (white, white * 0.95, white * 0.92))
    light = identity.iris_light
    tone = under * (0.55 + 0.45 * ramp((identity.iris - d) / 0.03))
    iris = (
        (0.06 + 0.12 * light) * tone,
        (0.04 + 0.16 * light) * tone,
        (0.03 + light * (0.08 + 0.25 * identity.iris_blue)) * tone,
    )
    tint(out.rgb, i, j, visible * ramp((identity.iris - d) / soft + 0.5), iris)
    tint(out.rgb, i, j, visible * ramp((0.45 * identity.iris - d) / soft + 0.5), (0.008, 0.008, 0.008))
    gu, gv = du + 0.022, dv + 0.024
    glint = ramp((0.016 - math.sqrt(gu * gu + gv * gv)) / soft + 0.5)
    tint(out.rgb, i, j, 0.9 * visible * glint, (1.0, 1.0, 1.0))
    out.z[i, j] += 0.02 * visible
    out.heat[i, j] -= 0.55 * visible


@inner
def nostrils(identity: Identity, up: float, breath: float, out: Surface) -> None:
    """Draw nostrils and wings of the nose, raised by ``up``; the breath changes their temperature."""
    g = out.z.shape[0]
    step = 2.0 * REACH / g
    base, wide = identity.nose_y + 0.095 - up, identity.nose_half
    for i in range(first(base - 0.16, g), after(base + 0.09, g)):
        v = -REACH + (i + 0.5) * step
        for j in range(first(-wide - 0.1, g), after(wide + 0.1, g)):
            u = abs(-REACH + (j + 0.5) * step)
            du, dv = (u - 0.52 * wide) / 0.052, (v - base + 0.01) / 0.030
            light = 1.0 - 0.72 * ramp(1.5 * (1.0 - du * du - dv * dv))
            du, dv = (u - wide) / 0.07, (v - base + 0.055) / 0.075
            ring = du * du + dv * dv
            out.z[i, j] += 0.07 * ramp(1.0 - ring)
            if u > wide * 0.95:
                light *= 1.0 - 0.26 * max(1.0 - abs(ring - 1.0) * 1.6, 0.0)
            light *= 1.0 - 0.25 * ramp(1.0 - abs(v - base - 0.025) / 0.05) * ramp((wide - u) / 0.05)
            shade(out.rgb, i, j, light)
            du, dv = u / (wide + 0.06), (v - base + 0.01) / 0.09
            out.heat[i, j] += breath * max(1.0 - du * du - dv * dv, 0.0)


@inner
def mouth(identity: Identity, moved: np.ndarray, out: Surface) -> None:
    """Draw the lips and the opening between them."""
    g = out.z.shape[0]
    step = 2.0 * REACH / g
    half, gap = identity.mouth_half + moved[5], max(moved[7], 0.0)
    thick_up, thick_down = (
        identity.lip_upper * max(1.0 + moved[8], 0.18),
        identity.lip_lower * max(1.0 + moved[9], 0.18),
    )
    centre = identity.mouth_y - moved[10]
    red, m = min(max(identity.lip_red + moved[12], -0.3), 1.3), identity.melanin
    colour = (0.60 - 0.42 * m, 0.33 - 0.27 * m - 0.10 * red, 0.28 - 0.22 * m - 0.06 * red)
    dark = min(0.60 + 0.25 * moved[13], 0.9)
    for i in range(first(centre - 0.3, g), after(centre + 0.3, g)):
        v = -REACH + (i + 0.5) * step
        for j in range(first(-1.2 * half, g), after(1.2 * half, g)):
            u = -REACH + (j + 0.5) * step
            s = u / half
            bow = max(1.0 - s * s, 0.0)
            corner = (moved[6] - identity.mouth_bend) * (1.0 + identity.lopsided * s)
            seam = centre - corner * s * s + 0.012 * bow * bow
            slit = seam - gap * bow
            top = slit - thick_up * bow * (1.12 - 0.22 * ramp(1.0 - abs(u) / 0.07)) * (1.35 - 0.35 * bow)
            bottom = seam + thick_down * bow * (1.1 - 0.12 * s * s)
            inside = ramp((1.04 - abs(s)) / 0.12)
            _lips((v, bow, inside), (top, slit, seam, bottom), colour, (i, j), out)
            _opening((v, s, inside), (slit, seam, gap), (i, j), out)
            line = max(0.018, 0.75 * step)
            closed = ramp((line - abs(v - seam)) / line) * ramp((1.10 - abs(s)) / 0.14)
            below = ramp(1.0 - abs(v - bottom - 0.035) / 0.045) * bow
            shade(out.rgb, i, j, (1.0 - dark * closed) * (1.0 - 0.16 * below))
            out.z[i, j] -= 0.02 * closed


@inner
def _lips(
    offset: tuple[float, float, float],
    edges: tuple[float, float, float, float],
    colour: tuple[float, float, float],
    cell: tuple[int, int],
    out: Surface,
) -> None:
    """Draw the part of the lips in one cell."""
    (v, bow, inside), (top, slit, seam, bottom), (i, j) = offset, edges, cell
    soft = max(0.018, 1.8 * REACH / out.z.shape[0])
    lip = ramp((v - top) / soft + 0.5) * ramp((bottom - v) / soft + 0.5) * inside * ramp(bow * 6.0)
    if lip == 0.0:
        return
    tone = 1.0 - 0.24 * ramp((seam - v) / soft + 0.5)
    tint(out.rgb, i, j, 0.85 * lip, (colour[0] * tone, colour[1] * tone, colour[2] * tone))
    thick, x = (bottom - seam, v - seam) if v > seam else (slit - top, slit - v)
    x = min(max(x / max(thick, 0.01), 0.0), 1.0)
    out.z[i, j] += lip * thick * 4.4 * bow * (0.25 + 0.75 * x) * (1.0 - x)
    out.heat[i, j] += 0.3 * lip


@inner
def _opening(
    offset: tuple[float, float, float], gap: tuple[float, float, float], cell: tuple[int, int], out: Surface
) -> None:
    """Draw teeth and darkness between parted lips."""
    (v, s, inside), (slit, seam, wide), (i, j) = offset, gap, cell
    soft = max(0.018, 1.8 * REACH / out.z.shape[0])
    part = ramp((v - slit) / soft + 0.5) * ramp((seam - v) / soft + 0.5) * inside * ramp(wide / 0.03)
    if part > 0.0:
        tone = 0.05 + 0.50 * ramp((wide - 0.02) / 0.02) * ramp((0.75 - abs(s)) / 0.2)
        tint(out.rgb, i, j, part, (tone, tone * 0.92, tone * 0.86))
        out.z[i, j] -= 0.05 * part
        out.heat[i, j] += 0.9 * part
