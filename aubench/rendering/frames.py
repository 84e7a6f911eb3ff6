"""Rendering of sequences and single faces to aligned images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from aubench.core.task import Modality
from aubench.rendering import tracks
from aubench.rendering.camera import Shot, View, shoot
from aubench.rendering.constants import AUS
from aubench.rendering.expression import AppearanceState, Face
from aubench.rendering.identity import Identity, make_identity
from aubench.rendering.rng import CounterRNG

Images = dict[Modality, np.ndarray]


def sequence(seed: int, subject: str, name: str, track: tracks.Track, size: int) -> Images:
    """Render all frames of a track.

    Args:
        seed: Seed of the data set.
        subject: Name of the subject.
        name: Name of the task.
        track: AU intensities, appearance state and views.
        size: Height and width in pixels.

    Returns:
        uint8 (F, H, W, C) by modality.
    """
    images = _blank(len(track.views), size)
    face = Face(make_identity(seed, subject), size)
    for i, view in enumerate(track.views):
        surface = face.make(track.level[i], track.flow[i], track.states[i])
        shoot(view, CounterRNG(seed, "noise", subject, name, i).key, surface, Shot(*(images[m][i] for m in Modality)))
    return images


def single(identity: Identity, aus: Mapping[int, float], size: int, view: View | None = None) -> Images:
    """Render a face with given AUs, by default from the front and without noise.

    Args:
        identity: Shape and colours.
        aus: Intensity in [0, 1] by AU; others are 0.
        size: Height and width in pixels.
        view: Pose, light and sensors.

    Returns:
        uint8 (H, W, C) by modality.
    """
    level = np.array([float(aus.get(au, 0.0)) for au in AUS])
    images = _blank(1, size)
    surface = Face(identity, size).make(level, level, np.array(AppearanceState()))
    shoot(view or View(), identity.key, surface, Shot(*(images[m][0] for m in Modality)))
    return {m: frames[0] for m, frames in images.items()}


def _blank(frames: int, size: int) -> Images:
    return {m: np.zeros((frames, size, size, m.channels), np.uint8) for m in Modality}
