"""Identity parameters of a synthetic subject.

Lengths are in face units: the face is about 1.5 wide and 1.8 high. ``u`` points to the right of the image,
``v`` down and ``z`` towards the camera. The origin is between and slightly below the eyes.
"""

from __future__ import annotations

from typing import NamedTuple

from aubench.datasets.synth.rng import CounterRNG


class Identity(NamedTuple):
    """Shape and colours of a subject, constant over all frames. The defaults are the mean of all identities."""

    key: int = 1
    width: float = 0.80
    jaw: float = 0.53
    chin_y: float = 0.98
    chin_out: float = 0.11
    cheek_out: float = 0.06
    eye_x: float = 0.345
    eye_y: float = -0.10
    eye_half: float = 0.165
    lid_upper: float = 0.092
    lid_lower: float = 0.055
    eye_slant: float = -0.012
    iris: float = 0.072
    brow_y: float = -0.335
    brow_arch: float = 0.05
    brow_thick: float = 0.040
    brow_inner: float = 0.13
    brow_outer: float = 0.60
    brow_dark: float = 0.75
    ridge_out: float = 0.05
    nose_y: float = 0.27
    nose_half: float = 0.125
    nose_out: float = 0.24
    mouth_y: float = 0.585
    mouth_half: float = 0.285
    mouth_bend: float = 0.0
    lip_upper: float = 0.066
    lip_lower: float = 0.078
    lip_red: float = 0.5
    melanin: float = 0.25
    ruddy: float = 0.5
    hair_dark: float = 0.75
    hair_red: float = 0.3
    hairline: float = -0.76
    fringe: float = 0.0
    hair_length: float = -0.2
    hair_wide: float = 0.06
    stubble: float = 0.0
    mottle: float = 0.5
    crease: float = 0.1
    lopsided: float = 0.0
    nose_cool: float = 1.6
    warm: float = 0.0
    iris_blue: float = 0.3
    iris_light: float = 0.4
    cloth_r: float = 0.25
    cloth_g: float = 0.3
    cloth_b: float = 0.4


AVERAGE = Identity()
_SPREAD = {
    "width": 0.030,
    "jaw": 0.035,
    "chin_y": 0.0165,
    "chin_out": 0.0188,
    "cheek_out": 0.0135,
    "eye_x": 0.012,
    "eye_y": 0.0105,
    "eye_half": 0.0083,
    "lid_upper": 0.0083,
    "lid_lower": 0.006,
    "eye_slant": 0.0075,
    "iris": 0.0023,
    "brow_y": 0.018,
    "brow_arch": 0.0135,
    "brow_thick": 0.006,
    "brow_inner": 0.0135,
    "brow_outer": 0.0165,
    "ridge_out": 0.0105,
    "nose_y": 0.0165,
    "nose_half": 0.0112,
    "nose_out": 0.0225,
    "mouth_y": 0.0135,
    "mouth_half": 0.018,
    "mouth_bend": 0.0135,
    "lip_upper": 0.0097,
    "lip_lower": 0.0105,
    "hairline": 0.045,
    "nose_cool": 0.5,
    "warm": 0.25,
}
"""Standard deviations of normally distributed traits."""

_RANGE = {
    "lip_red": (0.25, 0.85),
    "ruddy": (0.1, 0.9),
    "hair_red": (0.0, 0.9),
    "mottle": (0.2, 1.0),
    "fringe": (-0.16, 0.16),
    "crease": (0.0, 0.2),
    "lopsided": (-0.12, 0.12),
    "iris_blue": (0.0, 1.0),
    "cloth_r": (0.05, 0.7),
    "cloth_g": (0.05, 0.6),
    "cloth_b": (0.05, 0.7),
}
"""Bounds of uniformly distributed traits."""


def make_identity(seed: int, name: str) -> Identity:
    """Draw the identity of a subject.

    Args:
        seed: Seed of the data set.
        name: Name of the subject; names with M tend to heavier brows, jaws and stubble.
    """
    rng = CounterRNG(seed, "identity", name)
    traits = {trait: rng.normal(getattr(AVERAGE, trait), spread) for trait, spread in _SPREAD.items()}
    traits |= {trait: rng.uniform(*bounds) for trait, bounds in _RANGE.items()}
    tone, shade = rng.uniform(), rng.uniform()
    traits["melanin"] = tone * tone * 0.85 + 0.05
    traits["hair_dark"] = max(0.35 + 0.6 * shade, 0.3 + traits["melanin"])
    traits["brow_dark"] = 0.5 + 0.4 * traits["hair_dark"]
    traits["iris_light"] = rng.uniform(0.1, 1.0) * (1.0 - traits["melanin"])
    if name.startswith("M"):
        traits["hair_length"], traits["hair_wide"] = rng.uniform(-0.35, -0.1), rng.uniform(0.03, 0.07)
        traits["stubble"] = rng.uniform(0.0, 0.45) if rng.bernoulli(0.7) else 0.0
        changes = {"jaw": 0.05, "brow_thick": 0.008, "brow_y": 0.015, "ridge_out": 0.02, "lip_upper": -0.008}
    else:
        traits["hair_length"], traits["hair_wide"] = rng.uniform(-0.1, 1.4), rng.uniform(0.06, 0.15)
        changes = {"jaw": -0.02, "brow_thick": -0.006, "brow_y": -0.01, "lip_lower": 0.004}
    for trait, change in changes.items():
        traits[trait] += change
    return AVERAGE._replace(key=rng.key >> 2, **traits)
