"""Deformation of the neutral head by the AUs of one frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from aubench._util.jit import compiled
from aubench.rendering import anatomy
from aubench.rendering.features import brows, eyes, mouth, nostrils
from aubench.rendering.grid import Surface, add_blobs, add_furrows, blank, blur
from aubench.rendering.head import neutral_head
from aubench.rendering.identity import Identity


class AppearanceState(NamedTuple):
    """State of a face apart from its AUs, as columns of an array."""

    gaze_u: float = 0.0  # gaze to the image's right, in face units
    gaze_v: float = 0.0  # gaze downwards, in face units
    blink: float = 0.0  # closing of the lids in a blink, in [0, 1]
    breath: float = 0.0  # warmth of the breath at the nostrils, in degrees


class _Tables(NamedTuple):
    moves: np.ndarray
    bulges: np.ndarray
    furrows: np.ndarray
    warmths: np.ndarray


class Face:
    """A face that forms expressions.

    Args:
        identity: Shape and colours.
        size: Height and width of the images in pixels.
    """

    def __init__(self, identity: Identity, size: int) -> None:
        self._identity = identity
        self._tables = _Tables(
            anatomy.moves(), anatomy.bulges(identity), anatomy.furrows(identity), anatomy.warmths(identity)
        )
        self._neutral = neutral_head(identity, size)
        self._out = blank(size)._replace(solid=self._neutral.solid)
        self._buffer = np.empty_like(self._out.heat)

    def make(self, level: np.ndarray, flow: np.ndarray, state: np.ndarray) -> Surface:
        """Form an expression.

        Args:
            level: (12,) intensity of each AU in [0, 1].
            flow: (12,) blood flow of each AU, in [0, 1].
            state: (4,) as :class:`AppearanceState`.

        Returns:
            Surface, which the next call overwrites.
        """
        for source, target in zip(self._neutral[:3], self._out[:3], strict=True):
            np.copyto(target, source)
        _deform(self._identity, self._tables, np.stack([level, flow]), state, self._out)
        blur(self._out.heat, self._buffer, max(self._out.heat.shape[0] // 60, 1))
        return self._out


@compiled
def _deform(identity: Identity, tables: _Tables, levels: np.ndarray, state: np.ndarray, out: Surface) -> None:
    level, flow = levels[0], levels[1]
    moved = np.zeros(tables.moves.shape[0])
    for f in range(tables.moves.shape[0]):
        for a in range(level.shape[0]):
            moved[f] += tables.moves[f, a] * level[a]
    add_blobs(out.z, tables.bulges, level)
    add_blobs(out.heat, tables.warmths, flow)
    add_furrows(out, tables.furrows, level, identity.crease)
    nostrils(identity, moved[11], state[3], out)
    mouth(identity, moved, out)
    eyes(identity, moved, state, out)
    brows(identity, moved, out)
