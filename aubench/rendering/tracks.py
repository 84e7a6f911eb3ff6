"""Temporal dynamics: AU intensity, labels, head pose and lighting per frame.

A sequence is a recorded task. Each task elicits one expression (several AUs together) more often than
others, and single AUs occur in addition. Every event rises, holds and falls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aubench.rendering.camera import View
from aubench.rendering.constants import AUS, TASKS
from aubench.rendering.identity import make_identity
from aubench.rendering.rng import CounterRNG

Floats = NDArray[np.float64]

FPS = 25
THRESHOLD = 0.30
"""Intensity from which an AU counts as present; weaker AUs still move the face."""

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
"""Probability that an AU takes part, by expression and AU."""

_ELICITED = ("joy", "sadness", "surprise", "embarrassment", "fear", "pain", "anger", "disgust")
"""Elicited expression of each task, in the order of :data:`TASKS`."""

_ELICITED_RATE, _SMILE_RATE, _OTHER_RATE = 0.60, 0.55, 0.06
"""Events per second of the elicited expression, of smiles in any task, and of each other expression."""

_RATES = (0.01, 0.03, 0.01, 0.13, 0.25, 0.42, 0.36, 0.37, 0.07, 0.24, 0.13, 0.09)
_SINGLE_AU_RATE = dict(zip(AUS, _RATES, strict=True))
"""Events per second of a single AU, set so that the data set has about the base rates of BP4D."""

_LEAD_IN = 2.0  # seconds before the first frame in which events may start
_SLOT = 0.4  # seconds


@dataclass(frozen=True)
class Track:
    """Course of a sequence of F frames."""

    level: Floats  # (F, 12) intensity of each AU in [0, 1]
    flow: Floats  # (F, 12) blood flow, which lags behind the intensity
    labels: NDArray[np.int8]  # (F, 12) int8: 1 present, 0 absent, -1 not coded
    labelled: NDArray[np.bool_]  # (F,) whether the frame is coded
    states: Floats  # (F, 4) columns of :class:`aubench.rendering.expression.AppearanceState`
    views: tuple[View, ...]  # f views

    def only(self, frames: list[int]) -> Track:
        """Return the track of some of the frames."""
        level, flow, labels = self.level[frames], self.flow[frames], self.labels[frames]
        views = tuple(self.views[i] for i in frames)
        return Track(level, flow, labels, self.labelled[frames], self.states[frames], views)


def make_track(seed: int, subject: str, sequence: str, frames: int) -> Track:
    """Draw the track of a sequence.

    Args:
        seed: Seed of the data set.
        subject: Name of the subject, which also decides habits of expression.
        sequence: One of :data:`TASKS`.
        frames: Number of frames.
    """
    habits = CounterRNG(seed, "habits", subject)
    strength = habits.uniform(0.8, 1.15)
    preference = {kind: habits.uniform(0.55, 1.45) for kind in (*EXPRESSIONS, *(f"AU{au}" for au in AUS))}
    level = _levels((seed, subject, sequence), frames, strength, preference)
    labels, labelled = _labels(CounterRNG(seed, "codes", subject, sequence), level)
    return Track(
        level=level,
        flow=_lag(level, 0.18),
        labels=labels,
        labelled=labelled,
        states=_states(CounterRNG(seed, "looks", subject, sequence), frames),
        views=_views(CounterRNG(seed, "views", subject, sequence), frames, make_identity(seed, subject).melanin),
    )


def _smooth(x: Floats) -> Floats:
    x = np.clip(x, 0.0, 1.0)
    return np.asarray(x * x * (3.0 - 2.0 * x))


def _levels(name: tuple[int, str, str], frames: int, strength: float, preference: dict[str, float]) -> Floats:
    rest = np.ones((frames, len(AUS)))
    time = np.arange(frames) / FPS
    elicited = _ELICITED[TASKS.index(name[2])]
    rates = dict.fromkeys(EXPRESSIONS, _OTHER_RATE) | {"joy": _SMILE_RATE} | {elicited: _ELICITED_RATE}
    events = [(expression, rate, EXPRESSIONS[expression]) for expression, rate in rates.items()]
    events += [(f"AU{au}", rate, {au: 1.0}) for au, rate in _SINGLE_AU_RATE.items()]
    for kind, rate, takes_part in events:
        rng = CounterRNG("events", *name, kind)
        for slot in range(int((_LEAD_IN + frames / FPS) / _SLOT) + 1):
            if rng.bernoulli(rate * preference[kind] * _SLOT):
                start = slot * _SLOT - _LEAD_IN + rng.uniform(0.0, _SLOT)
                for au, probability in takes_part.items():
                    if rng.bernoulli(probability):
                        rest[:, AUS.index(au)] *= 1.0 - _event(rng, time, start + rng.uniform(0.0, 0.12), strength)
    rng = CounterRNG("unrest", *name)
    for column in range(len(AUS)):
        rest[:, column] *= 1.0 - rng.uniform(0.0, 0.12) * _wander(rng, frames)
    return 1.0 - rest


def _event(rng: CounterRNG, time: Floats, start: float, strength: float) -> Floats:
    rise, hold, fall = rng.uniform(0.12, 0.36), rng.uniform(0.10, 0.90), rng.uniform(0.16, 0.50)
    peak = min(strength * rng.uniform(0.3, 1.1), 1.0)
    return peak * _smooth((time - start) / rise) * _smooth((start + rise + hold + fall - time) / fall)


def _wander(rng: CounterRNG, frames: int, period: int = 12) -> Floats:
    """Draw a smooth walk in [0, 1] through one random value per ``period`` frames."""
    stops = np.array([rng.uniform() for _ in range(frames // period + 2)])
    at = np.arange(frames)
    part = _smooth((at % period) / period)
    return stops[at // period] * (1.0 - part) + stops[at // period + 1] * part


def _lag(level: Floats, rate: float) -> Floats:
    flow = np.empty_like(level)
    current = level[0]
    for i, target in enumerate(level):
        current = current + rate * (target - current)
        flow[i] = current
    return flow


def _labels(rng: CounterRNG, level: Floats) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """Return labels by threshold, with random stretches of one AU or of all AUs not coded."""
    frames = len(level)
    labels = (level >= THRESHOLD).astype(np.int8)
    for column in range(len(AUS)):
        if rng.bernoulli(0.03):
            first = int(rng.uniform(0.0, frames))
            labels[first : first + 3 + int(rng.uniform(0.0, 10.0)), column] = -1
    labelled = np.ones(frames, bool)
    if rng.bernoulli(0.06):
        labelled[: min(4 + int(rng.uniform(0.0, 6.0)), frames - 1)] = False
        labels[~labelled] = -1
    return labels, labelled


def _states(rng: CounterRNG, frames: int) -> Floats:
    time = np.arange(frames) / FPS
    states = np.zeros((frames, 4))
    states[:, 0] = 0.07 * (_wander(rng, frames, 16) - 0.5)
    states[:, 1] = 0.03 * (_wander(rng, frames, 16) - 0.5)
    for slot in range(int(frames / FPS / 2.0) + 1):
        if rng.bernoulli(0.5):
            start = slot * 2.0 + rng.uniform(0.0, 2.0)
            states[:, 2] = np.maximum(
                states[:, 2], _smooth((time - start) / 0.08) * _smooth((start + 0.24 - time) / 0.12)
            )
    states[:, 3] = 0.9 * (_wander(rng, frames, 20) - 0.5)
    return states


def _views(rng: CounterRNG, frames: int, melanin: float) -> tuple[View, ...]:
    def sway(spread: float, move: float) -> Floats:
        return rng.normal(0.0, spread) + move * (_wander(rng, frames, 14) - 0.5)

    yaw, pitch, roll = sway(0.04, 0.05), sway(0.02, 0.03), sway(0.014, 0.02)
    shift_u, shift_v = sway(0.014, 0.02), sway(0.014, 0.02)
    exposure = rng.uniform(0.85, 1.15) * (0.8 + 0.9 * melanin)  # compensates most of the skin's tone
    fixed = {
        "zoom": rng.uniform(0.96, 1.04),
        "light_u": rng.uniform(-0.9, 0.9),
        "light_v": rng.uniform(-0.9, 0.1),
        "lamp": rng.uniform(0.5, 0.9) * exposure,
        "ambient": rng.uniform(0.2, 0.4) * exposure,
        "tint": rng.uniform(-0.12, 0.16),
        "backdrop": rng.uniform(0.02, 0.6),
        "distance": rng.uniform(-0.08, 0.08),
        "drift": rng.uniform(-0.6, 0.6),
        "noise_visual": rng.uniform(2.0, 5.0),
        "noise_depth": rng.uniform(0.8, 2.2),
        "noise_thermal": rng.uniform(1.5, 4.0),
    }
    return tuple(
        View(yaw=float(a), pitch=float(b), roll=float(c), shift_u=float(d), shift_v=float(e), **fixed)
        for a, b, c, d, e in zip(yaw, pitch, roll, shift_u, shift_v, strict=True)
    )
