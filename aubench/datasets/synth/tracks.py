"""When: how strong each AU is over time, how the face is coded, and how the head and the light move.

A sequence is a recorded task. Each task calls for some expressions (several AUs together) more than for
others; single AUs come and go on top. Every event rises, holds and falls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aubench.datasets.synth import identity
from aubench.datasets.synth.anatomy import AUS
from aubench.datasets.synth.camera import View
from aubench.datasets.synth.rng import CounterRNG

Floats = NDArray[np.float64]

FPS = 25
THRESHOLD = 0.30
"""An AU counts as present from this intensity on; weaker, it still moves the face."""

TASKS = ("T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8")

EXPRESSIONS: dict[str, dict[int, float]] = {
    "joy": {6: 0.80, 12: 0.95, 7: 0.65, 10: 0.75, 14: 0.45},
    "sadness": {1: 0.72, 4: 0.35, 15: 0.70, 17: 0.70, 14: 0.30},
    "surprise": {1: 0.85, 2: 0.95},
    "embarrassment": {12: 0.70, 14: 0.75, 6: 0.50, 17: 0.40, 24: 0.45, 10: 0.45},
    "fear": {1: 0.65, 2: 0.55, 4: 0.25, 7: 0.60, 10: 0.30},
    "pain": {4: 0.45, 6: 0.75, 7: 0.90, 10: 0.80, 12: 0.35},
    "anger": {4: 0.60, 7: 0.70, 23: 0.75, 24: 0.60, 17: 0.50},
    "disgust": {10: 0.90, 4: 0.35, 7: 0.60, 6: 0.55, 17: 0.50, 15: 0.35},
    "doubt": {14: 0.80, 15: 0.45, 17: 0.65, 2: 0.35, 23: 0.30},
}
"""Expression -> AU -> how likely the AU takes part."""

_CALLED_FOR = ("joy", "sadness", "surprise", "embarrassment", "fear", "pain", "anger", "disgust")
"""The expression that each task calls for, in the order of :data:`TASKS`."""

_CALLED, _SMILE, _OTHER = 0.60, 0.55, 0.06
"""Events a second of the expression that a task calls for, of smiles in any task, and of each other expression."""

_ALONE = {
    1: 0.01,
    2: 0.03,
    4: 0.01,
    6: 0.13,
    7: 0.25,
    10: 0.42,
    12: 0.36,
    14: 0.37,
    15: 0.07,
    17: 0.24,
    23: 0.13,
    24: 0.09,
}
"""Events a second of an AU by itself; set so that the whole data set has about BP4D's base rates."""

_BEFORE = 2.0
_SLOT = 0.4


@dataclass(frozen=True)
class Track:
    """One sequence before it is drawn; F frames.

    Attributes:
        level: (F, 12) intensity of each AU in [0, 1].
        flow: (F, 12) blood flow, which follows the intensity.
        labels: (F, 12) int8: 1 present, 0 absent, -1 not coded.
        labelled: (F,) whether the frame is coded at all.
        looks: (F, 4) gaze, blink and breath (see :meth:`aubench.datasets.synth.expression.Face.make`).
        views: F views.
    """

    level: Floats
    flow: Floats
    labels: NDArray[np.int8]
    labelled: NDArray[np.bool_]
    looks: Floats
    views: tuple[View, ...]

    def only(self, frames: list[int]) -> Track:
        """The same track with some of its frames."""
        level, flow, labels = self.level[frames], self.flow[frames], self.labels[frames]
        views = tuple(self.views[i] for i in frames)
        return Track(level, flow, labels, self.labelled[frames], self.looks[frames], views)


def make_track(seed: int, subject: str, sequence: str, frames: int) -> Track:
    """The track of one sequence.

    Args:
        seed: The data set's seed.
        subject: The person; habits of expression are the person's own.
        sequence: The task, one of :data:`TASKS`.
        frames: How many frames.
    """
    habits = CounterRNG(seed, "habits", subject)
    vigour = habits.uniform(0.8, 1.15)
    leaning = {kind: habits.uniform(0.55, 1.45) for kind in (*EXPRESSIONS, *(f"AU{au}" for au in AUS))}
    level = _levels((seed, subject, sequence), frames, vigour, leaning)
    labels, labelled = _labels(CounterRNG(seed, "codes", subject, sequence), level)
    return Track(
        level=level,
        flow=_lag(level, 0.18),
        labels=labels,
        labelled=labelled,
        looks=_looks(CounterRNG(seed, "looks", subject, sequence), frames),
        views=_views(
            CounterRNG(seed, "views", subject, sequence), frames, identity.make_identity(seed, subject).melanin
        ),
    )


def _smooth(x: Floats) -> Floats:
    x = np.clip(x, 0.0, 1.0)
    return np.asarray(x * x * (3.0 - 2.0 * x))


def _levels(name: tuple[int, str, str], frames: int, vigour: float, leaning: dict[str, float]) -> Floats:
    still = np.ones((frames, len(AUS)))
    time = np.arange(frames) / FPS
    called = _CALLED_FOR[TASKS.index(name[2])]
    usual = dict.fromkeys(EXPRESSIONS, _OTHER) | {"joy": _SMILE} | {called: _CALLED}
    events = [(expression, rate, EXPRESSIONS[expression]) for expression, rate in usual.items()]
    events += [(f"AU{au}", rate, {au: 1.0}) for au, rate in _ALONE.items()]
    for kind, rate, takes_part in events:
        dice = CounterRNG("events", *name, kind)
        for slot in range(int((_BEFORE + frames / FPS) / _SLOT) + 1):
            if dice.bernoulli(rate * leaning[kind] * _SLOT):
                start = slot * _SLOT - _BEFORE + dice.uniform(0.0, _SLOT)
                for au, chance in takes_part.items():
                    if dice.bernoulli(chance):
                        still[:, AUS.index(au)] *= 1.0 - _event(dice, time, start + dice.uniform(0.0, 0.12), vigour)
    dice = CounterRNG("unrest", *name)
    for column in range(len(AUS)):
        still[:, column] *= 1.0 - dice.uniform(0.0, 0.12) * _wander(dice, frames)
    return 1.0 - still


def _event(dice: CounterRNG, time: Floats, start: float, vigour: float) -> Floats:
    rise, hold, fall = dice.uniform(0.12, 0.36), dice.uniform(0.10, 0.90), dice.uniform(0.16, 0.50)
    peak = min(vigour * dice.uniform(0.3, 1.1), 1.0)
    return peak * _smooth((time - start) / rise) * _smooth((start + rise + hold + fall - time) / fall)


def _wander(dice: CounterRNG, frames: int, every: int = 12) -> Floats:
    """A slow smooth walk in [0, 1] through a new random value every so many frames."""
    stops = np.array([dice.uniform() for _ in range(frames // every + 2)])
    at = np.arange(frames)
    part = _smooth((at % every) / every)
    return stops[at // every] * (1.0 - part) + stops[at // every + 1] * part


def _lag(level: Floats, share: float) -> Floats:
    flow = np.empty_like(level)
    now = level[0]
    for i, wanted in enumerate(level):
        now = now + share * (wanted - now)
        flow[i] = now
    return flow


def _labels(dice: CounterRNG, level: Floats) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """Labels by threshold; here and there a stretch of an AU, or of all, that nobody coded."""
    frames = len(level)
    labels = (level >= THRESHOLD).astype(np.int8)
    for column in range(len(AUS)):
        if dice.bernoulli(0.03):
            first = int(dice.uniform(0.0, frames))
            labels[first : first + 3 + int(dice.uniform(0.0, 10.0)), column] = -1
    labelled = np.ones(frames, bool)
    if dice.bernoulli(0.06):
        labelled[: min(4 + int(dice.uniform(0.0, 6.0)), frames - 1)] = False
        labels[~labelled] = -1
    return labels, labelled


def _looks(dice: CounterRNG, frames: int) -> Floats:
    time = np.arange(frames) / FPS
    looks = np.zeros((frames, 4))
    looks[:, 0] = 0.07 * (_wander(dice, frames, 16) - 0.5)
    looks[:, 1] = 0.03 * (_wander(dice, frames, 16) - 0.5)
    for slot in range(int(frames / FPS / 2.0) + 1):
        if dice.bernoulli(0.5):
            start = slot * 2.0 + dice.uniform(0.0, 2.0)
            looks[:, 2] = np.maximum(
                looks[:, 2], _smooth((time - start) / 0.08) * _smooth((start + 0.24 - time) / 0.12)
            )
    looks[:, 3] = 0.9 * (_wander(dice, frames, 20) - 0.5)
    return looks


def _views(dice: CounterRNG, frames: int, melanin: float) -> tuple[View, ...]:
    def sway(spread: float, move: float) -> Floats:
        return dice.normal(0.0, spread) + move * (_wander(dice, frames, 14) - 0.5)

    yaw, pitch, roll = sway(0.04, 0.05), sway(0.02, 0.03), sway(0.014, 0.02)
    shift_u, shift_v = sway(0.014, 0.02), sway(0.014, 0.02)
    exposure = dice.uniform(0.85, 1.15) * (0.8 + 0.9 * melanin)  # the camera evens out most of the skin's tone
    fixed = {
        "zoom": dice.uniform(0.96, 1.04),
        "light_u": dice.uniform(-0.9, 0.9),
        "light_v": dice.uniform(-0.9, 0.1),
        "lamp": dice.uniform(0.5, 0.9) * exposure,
        "ambient": dice.uniform(0.2, 0.4) * exposure,
        "tint": dice.uniform(-0.12, 0.16),
        "backdrop": dice.uniform(0.02, 0.6),
        "distance": dice.uniform(-0.08, 0.08),
        "drift": dice.uniform(-0.6, 0.6),
        "noise_visual": dice.uniform(2.0, 5.0),
        "noise_depth": dice.uniform(0.8, 2.2),
        "noise_thermal": dice.uniform(1.5, 4.0),
    }
    return tuple(
        View(yaw=float(a), pitch=float(b), roll=float(c), shift_u=float(d), shift_v=float(e), **fixed)
        for a, b, c, d, e in zip(yaw, pitch, roll, shift_u, shift_v, strict=True)
    )
