"""Identity parameters of a synthetic subject.

Lengths are in face units: the face is about 1.5 wide and 1.8 high. ``u`` points to the right of the image,
``v`` down and ``z`` towards the camera. The origin is between and slightly below the eyes.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

from aubench.rendering.rng import CounterRNG


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


@cache
def _trait_table() -> list[list[str]]:
    """Read name, standard deviation or bounds of each random trait; the order is that of the draws."""
    text = Path(__file__).with_name("traits.csv").read_text(encoding="utf-8")
    return [line.split(",") for line in text.splitlines()[1:]]


def make_identity(seed: int, name: str) -> Identity:
    """Draw the identity of a subject.

    Args:
        seed: Seed of the data set.
        name: Name of the subject; names with M tend to heavier brows, jaws and stubble.
    """
    rng = CounterRNG(seed, "identity", name)
    traits = {
        trait: rng.normal(getattr(AVERAGE, trait), float(std)) if std else rng.uniform(float(low), float(high))
        for trait, std, low, high in _trait_table()
    }
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
