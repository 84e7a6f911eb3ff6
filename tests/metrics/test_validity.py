"""Coverage of the intervals and error rate of the paired test in simulations with a known F1.

Subjects differ in the prevalence of AUs and in the difficulty of detection. Two methods with two seeds each make errors
on the same subjects. The true F1 is that of a very large number of subjects in each fold.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from aubench.metrics import intervals, resampling, significance

RATES = np.array([0.21, 0.17, 0.20, 0.46, 0.55, 0.59, 0.56, 0.47, 0.17, 0.34, 0.17, 0.15])
"""Approximate prevalence of the 12 AUs of BP4D."""
AUS = tuple(range(1, 13))
SUBJECTS = tuple((fold, tuple(f"S{i:02}" for i in range(count))) for fold, count in ((1, 13), (2, 14), (3, 14)))
TRIALS, SEEDS, CROWD = 1000, 2, 200_000


@dataclass(frozen=True)
class Simulation:
    """Parameters of the simulation on the logit scale.

    ``hits`` and ``alarms`` shift the probability of a positive prediction for positive and negative frames.
    """

    prevalence: float
    skill: float
    hits: tuple[float, float] = (0.0, 0.0)
    alarms: tuple[float, float] = (0.0, 0.0)

    def subjects(self, rng, size):
        """Draw frames (S, 1), prevalence (S, A), true and false positive rates (2 methods, seeds, S, A)."""
        frames = rng.integers(150, 350, (size, 1))
        preference, activity = rng.normal(size=(size, 12)), rng.normal(size=(size, 1))
        present = _sigmoid(_logit(RATES) + self.prevalence * (0.9 * preference + 0.4 * activity))
        person, method = rng.normal(size=(2, 1, 1, size, 12)), rng.normal(size=(2, 2, 1, size, 12))
        seed = rng.normal(size=(2, 2, SEEDS, size, 12))
        hits, alarms = self.skill * (np.sqrt(0.6) * person + np.sqrt(0.3) * method + np.sqrt(0.1) * seed)
        shifts = (np.reshape(shift, (2, 1, 1, 1)) for shift in (self.hits, self.alarms))
        middle = _logit(0.2 + RATES), _logit(0.05 + 0.3 * RATES)
        return frames, present, *(_sigmoid(m + s + e) for m, s, e in zip(middle, shifts, (hits, alarms), strict=True))

    def counts(self, rng, size):
        """Draw counts of both methods (2 methods, seeds, S, A, 4), without true negatives, which F1 ignores."""
        frames, present, hits, alarms = self.subjects(rng, size)
        positives = rng.binomial(np.broadcast_to(frames, present.shape), present)
        tp, fp = rng.binomial(positives, hits), rng.binomial(frames - positives, alarms)
        return np.stack([tp, fp, positives - tp, np.zeros_like(tp)], axis=-1)

    def truth(self):
        """Compute the F1 of both methods, averaged over AUs."""
        rng, numerator, denominator = np.random.default_rng(99), 0, 0
        for _ in range(CROWD // 10_000):
            frames, present, hits, alarms = self.subjects(rng, 10_000)
            tp = (frames * present * hits).sum(axis=(1, 2))
            numerator = numerator + 2 * tp
            answers = (frames * (1 - present) * alarms).sum(axis=(1, 2)) + tp
            denominator = denominator + answers + SEEDS * (frames * present).sum(axis=0)
        return (numerator / denominator).mean(axis=1)


def contributions(folds):
    """Compute the contributions of a method's subjects from its counts (seeds, S, A, 4) of each fold."""
    seeds = zip(*folds, strict=True)
    return resampling.average([resampling.resample_cells(SUBJECTS, AUS, seed) for seed in seeds])


def _logit(p):
    return np.log(p / (1 - p))


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


SIMULATIONS = {
    "equal": Simulation(1.0, 0.8),
    "better": Simulation(1.0, 0.8, hits=(0.4, 0.0)),
    "eager and shy": Simulation(1.0, 0.8, hits=(0.8, -0.3), alarms=(1.0, -1.3)),
}
"""In the third, one method predicts "present" much more often and both have nearly the same F1."""


@pytest.fixture(scope="module", params=SIMULATIONS)
def trials(request):
    """Name, contributions in each trial, and true F1 of method one, method two and their difference."""
    simulation, rng = SIMULATIONS[request.param], np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampling, "DRAWS", 1000)
        resampling.draw_weights.cache_clear()
        results = []
        for _ in range(TRIALS):
            folds = [simulation.counts(rng, len(subjects)) for _, subjects in SUBJECTS]
            first, second = (contributions(method) for method in zip(*folds, strict=True))
            results.append((first, second, first - second))
    resampling.draw_weights.cache_clear()
    first, second = simulation.truth()
    return request.param, results, (first, second, first - second)


@pytest.mark.slow
def test_95_percent_intervals_cover_the_truth_in_93_to_97_percent(trials):
    simulation, results, truths = trials
    for index, truth in enumerate(truths):
        trial_intervals = [intervals.mean_interval(trial[index]) for trial in results]
        held = [interval.low <= truth <= interval.high for interval in trial_intervals]
        print(simulation, index, np.mean(held))
        assert 0.93 <= np.mean(held) <= 0.97


@pytest.mark.slow
def test_false_alarms_of_the_paired_test_stay_under_6_percent(trials):
    simulation, results, truths = trials
    difference = [trial[2].contributions[:, -1] - truths[2] / len(trial[2].contributions) for trial in results]
    p = significance.sign_flip_test(np.stack(difference, axis=1))
    print(simulation, truths, "false alarms", np.mean(p < 0.05), np.mean(p < 0.01))
    assert np.mean(p < 0.05) < 0.06
