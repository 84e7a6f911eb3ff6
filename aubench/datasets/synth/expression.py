"""The head in action: what the AUs of one instant move, fold, swell and warm on the resting head."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from aubench._util.jit import compiled
from aubench.datasets.synth import anatomy
from aubench.datasets.synth.features import brows, eyes, mouth, nostrils
from aubench.datasets.synth.grid import Surface, add_blobs, add_furrows, blank, blur
from aubench.datasets.synth.head import rest
from aubench.datasets.synth.identity import Identity


class AppearanceState(NamedTuple):
    """What is to be seen of a face beside its AUs, as columns of an array.

    Attributes:
        gaze_u: Gaze to the image's right, in face units.
        gaze_v: Gaze downwards, in face units.
        blink: Closing of the lids in a blink, in [0, 1].
        breath: Warmth of the breath at the nostrils, in degrees.
    """

    gaze_u: float = 0.0
    gaze_v: float = 0.0
    blink: float = 0.0
    breath: float = 0.0


class _Anatomy(NamedTuple):
    moves: np.ndarray
    bulges: np.ndarray
    furrows: np.ndarray
    warmths: np.ndarray


class Face:
    """A person's face, ready to make expressions.

    Args:
        who: The person.
        size: Height and width in pixels of the images to come.
    """

    def __init__(self, who: Identity, size: int) -> None:
        self.who = who
        self._anatomy = _Anatomy(anatomy.moves(), anatomy.bulges(who), anatomy.furrows(who), anatomy.warmths(who))
        self._rest = rest(who, size)
        self._out = blank(size)._replace(solid=self._rest.solid)
        self._spare = np.empty_like(self._out.heat)

    def make(self, level: np.ndarray, flow: np.ndarray, looks: np.ndarray) -> Surface:
        """Put on an expression.

        Args:
            level: (12,) intensity of each AU in [0, 1].
            flow: (12,) blood flow that follows each AU, in [0, 1].
            looks: (4,) as :class:`Looks`.

        Returns:
            The surface; the next call overwrites it.
        """
        for old, new in zip(self._rest[:3], self._out[:3], strict=True):
            np.copyto(new, old)
        _act(self.who, self._anatomy, np.stack([level, flow]), looks, self._out)
        blur(self._out.heat, self._spare, max(self._out.heat.shape[0] // 60, 1))
        return self._out


@compiled
def _act(who: Identity, at: _Anatomy, state: np.ndarray, looks: np.ndarray, out: Surface) -> None:
    level, flow = state[0], state[1]
    moved = np.zeros(at.moves.shape[0])
    for f in range(at.moves.shape[0]):
        for a in range(level.shape[0]):
            moved[f] += at.moves[f, a] * level[a]
    add_blobs(out.z, at.bulges, level)
    add_blobs(out.heat, at.warmths, flow)
    add_furrows(out, at.furrows, level, who.crease)
    nostrils(who, moved[11], looks[3], out)
    mouth(who, moved, out)
    eyes(who, moved, looks, out)
    brows(who, moved, out)
