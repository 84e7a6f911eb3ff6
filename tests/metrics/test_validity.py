"""Intervals hold what they promise, and so does the paired test: on people whose true F1 is known.

People differ in how much they show of an AU and in how well it is seen; two methods, of two seeds each, err on
the same people. The truth is the F1 of endlessly many people of the same kind in every fold.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from aubench.metrics import intervals, resampling, significance

RATES = np.array([0.21, 0.17, 0.20, 0.46, 0.55, 0.59, 0.56, 0.47, 0.17, 0.34, 0.17, 0.15])
"""How often the 12 AUs of BP4D are present, about."""
AUS = tuple(range(1, 13))
PEOPLE = tuple((fold, tuple(f"S{i:02}" for i in range(count))) for fold, count in ((1, 13), (2, 14), (3, 14)))
TRIALS, SEEDS, CROWD = 1000, 2, 200_000


@dataclass(frozen=True)
class World:
    """How people and methods are, on the logit scale.

    ``hits`` and ``alarms`` shift both methods' chances to answer "present" to what is and what is not.
    """

    prevalence: float
    skill: float
    hits: tuple[float, float] = (0.0, 0.0)
    alarms: tuple[float, float] = (0.0, 0.0)

    def met(self, rng, people):
        """Frames (S, 1), share of positives (S, A), chances of hits and alarms (2 methods, seeds, S, A)."""
        frames = rng.integers(150, 350, (people, 1))
        own, lively = rng.normal(size=(people, 12)), rng.normal(size=(people, 1))
        present = _chance(_logit(RATES) + self.prevalence * (0.9 * own + 0.4 * lively))
        person, method = rng.normal(size=(2, 1, 1, people, 12)), rng.normal(size=(2, 2, 1, people, 12))
        seed = rng.normal(size=(2, 2, SEEDS, people, 12))
        hits, alarms = self.skill * (np.sqrt(0.6) * person + np.sqrt(0.3) * method + np.sqrt(0.1) * seed)
        shifts = (np.reshape(shift, (2, 1, 1, 1)) for shift in (self.hits, self.alarms))
        middle = _logit(0.2 + RATES), _logit(0.05 + 0.3 * RATES)
        return frames, present, *(_chance(m + s + e) for m, s, e in zip(middle, shifts, (hits, alarms), strict=True))

    def tested(self, rng, people):
        """Counts of both methods (2 methods, 2, seeds, S, A)."""
        frames, present, hits, alarms = self.met(rng, people)
        positives = rng.binomial(np.broadcast_to(frames, present.shape), present)
        tp, fp = rng.binomial(positives, hits), rng.binomial(frames - positives, alarms)
        return np.stack([2 * tp, tp + fp + positives], axis=1).astype(float)

    def truth(self):
        """F1 of both methods, mean over AUs."""
        rng, numerator, denominator = np.random.default_rng(99), 0, 0
        for _ in range(CROWD // 10_000):
            frames, present, hits, alarms = self.met(rng, 10_000)
            tp = (frames * present * hits).sum(axis=(1, 2))
            numerator = numerator + 2 * tp
            answers = (frames * (1 - present) * alarms).sum(axis=(1, 2)) + tp
            denominator = denominator + answers + SEEDS * (frames * present).sum(axis=0)
        return (numerator / denominator).mean(axis=1)


def _logit(p):
    return np.log(p / (1 - p))


def _chance(x):
    return 1 / (1 + np.exp(-x))


WORLDS = {
    "equal": World(1.0, 0.8),
    "better": World(1.0, 0.8, hits=(0.4, 0.0)),
    "eager and shy": World(1.0, 0.8, hits=(0.8, -0.3), alarms=(1.0, -1.3)),
}
"""The third: one method says "present" much more readily, and both score nearly the same."""


@pytest.fixture(scope="module", params=WORLDS)
def trials(request):
    """A world, what was found in each trial, and the truth of method one, method two and their difference."""
    world, rng = WORLDS[request.param], np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampling, "DRAWS", 1000)
        resampling.draw_weights.cache_clear()
        found = []
        for _ in range(TRIALS):
            folds = [world.tested(rng, len(subjects)) for _, subjects in PEOPLE]
            one, two = (resampling.contributions_from_cells(PEOPLE, AUS, [fold[i] for fold in folds]) for i in (0, 1))
            found.append((one, two, one - two))
    resampling.draw_weights.cache_clear()
    one, two = world.truth()
    return request.param, found, (one, two, one - two)


def test_95_percent_intervals_hold_the_truth_in_93_to_97_percent(trials):
    world, found, truths = trials
    for at, truth in enumerate(truths):
        held = [found.low <= truth <= found.high for found in (intervals.mean_interval(trial[at]) for trial in found)]
        print(world, at, np.mean(held))
        assert 0.93 <= np.mean(held) <= 0.97


def test_false_alarms_of_the_paired_test_stay_under_6_percent(trials):
    world, found, truths = trials
    difference = [trial[2].contributions[:, -1] - truths[2] / len(trial[2].contributions) for trial in found]
    p = significance.sign_flip_test(np.stack(difference, axis=1))
    print(world, truths, "false alarms", np.mean(p < 0.05), np.mean(p < 0.01))
    assert np.mean(p < 0.05) < 0.06
