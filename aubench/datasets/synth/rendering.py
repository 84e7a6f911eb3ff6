"""One sequence, drawn: who and when become aligned images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from aubench.core.task import Modality
from aubench.datasets.synth import identity, tracks
from aubench.datasets.synth.anatomy import AUS
from aubench.datasets.synth.camera import Shot, View, shoot
from aubench.datasets.synth.expression import AppearanceState, Face
from aubench.datasets.synth.identity import Identity
from aubench.datasets.synth.rng import CounterRNG

Images = dict[Modality, np.ndarray]


def sequence(seed: int, subject: str, name: str, track: tracks.Track, size: int) -> Images:
    """Draw all frames of a track.

    Args:
        seed: The data set's seed.
        subject: The person.
        name: The task.
        track: What happens.
        size: Height and width in pixels.

    Returns:
        uint8 (F, H, W, C) by modality.
    """
    images = _blank(len(track.views), size)
    face = Face(identity.make_identity(seed, subject), size)
    for i, view in enumerate(track.views):
        seen = face.make(track.level[i], track.flow[i], track.looks[i])
        shoot(view, CounterRNG(seed, "noise", subject, name, i).key, seen, Shot(*(images[m][i] for m in Modality)))
    return images


def single(who: Identity, aus: Mapping[int, float], size: int, view: View | None = None) -> Images:
    """Draw one person with given AUs, by default seen from the front and free of noise.

    Args:
        who: The person.
        aus: Intensity in [0, 1] by AU; the others rest.
        size: Height and width in pixels.
        view: Pose, light and sensors.

    Returns:
        uint8 (H, W, C) by modality.
    """
    level = np.array([float(aus.get(au, 0.0)) for au in AUS])
    images = _blank(1, size)
    seen = Face(who, size).make(level, level, np.array(AppearanceState()))
    shoot(view or View(), who.key, seen, Shot(*(images[m][0] for m in Modality)))
    return {m: one[0] for m, one in images.items()}


def _blank(frames: int, size: int) -> Images:
    return {m: np.zeros((frames, size, size, m.channels), np.uint8) for m in Modality}
