"""AU events and labels of the synthetic data set."""

import numpy as np
import pytest

from aubench.core.task import Modality
from aubench.rendering import frames as rendering
from aubench.rendering import identity, tracks
from aubench.rendering.anatomy import moves
from aubench.rendering.camera import View, rotation
from aubench.rendering.constants import AUS, SUBJECTS, TASKS
from aubench.rendering.rng import CounterRNG

BP4D_RATES = (21.1, 17.1, 20.3, 46.1, 54.9, 59.4, 56.2, 46.6, 16.9, 34.4, 16.5, 15.2)


@pytest.fixture(scope="module")
def everything():
    return [tracks.make_track(0, subject, task, 32) for subject in SUBJECTS for task in TASKS]


@pytest.mark.slow
def test_base_rates_are_near_those_of_bp4d(everything):
    labels = np.concatenate([track.labels for track in everything])
    rates = [100 * np.mean(column[column >= 0] == 1) for column in labels.T]
    assert rates == pytest.approx(BP4D_RATES, abs=3.0)


@pytest.mark.slow
def test_aus_of_an_expression_come_together(everything):
    labels = np.concatenate([track.level for track in everything]) >= tracks.THRESHOLD
    together = np.corrcoef(labels.T.astype(float))
    at = {au: i for i, au in enumerate(AUS)}
    for one, other in [(1, 2), (6, 12), (10, 12), (15, 17), (4, 7)]:
        assert together[at[one], at[other]] > 0.1, (one, other)
    assert together[at[6], at[12]] > together[at[12], at[23]] + 0.2


@pytest.mark.slow
def test_labels_are_intensities_over_the_threshold_or_unknown(everything):
    unknown = 0
    for track in everything:
        coded = track.labels >= 0
        assert np.array_equal(track.labels[coded] == 1, (track.level >= tracks.THRESHOLD)[coded])
        assert not coded[~track.labelled].any()
        unknown += np.sum(~coded[track.labelled])
    assert 0 < unknown < 0.02 * len(everything) * 32 * len(AUS)
    assert 0.9 < np.mean([track.labelled.mean() for track in everything]) < 1.0


@pytest.mark.slow
def test_intensities_rise_and_fall_smoothly(everything):
    levels = np.stack([track.level for track in everything])
    assert levels.min() >= 0.0
    assert 0.9 < levels.max() <= 1.0
    assert np.abs(np.diff(levels, axis=1)).max() < 0.7
    assert np.mean((levels > 0.05) & (levels < 0.9)) > 0.3


@pytest.mark.slow
def test_blood_flow_follows_the_intensity(everything):
    track = max(everything, key=lambda one: np.ptp(one.level[:, 6]))
    level, flow = track.level[:, 6], track.flow[:, 6]
    assert flow.max() < level.max()
    assert np.argmax(flow) >= np.argmax(level)


def test_dice_are_even_and_named():
    dice = CounterRNG("even")
    drawn = np.array([dice.uniform() for _ in range(4000)])
    assert drawn.mean() == pytest.approx(0.5, abs=0.02)
    assert drawn.var() == pytest.approx(1 / 12, abs=0.005)
    assert CounterRNG("a").uniform() != CounterRNG("b").uniform()
    assert CounterRNG("a", 1).uniform() == CounterRNG("a", 1).uniform()


def test_the_head_only_turns():
    turn = rotation(View(yaw=0.1, pitch=-0.07, roll=0.05))
    assert turn @ turn.T == pytest.approx(np.eye(3), abs=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1.0)


@pytest.mark.parametrize("au", AUS)
def test_every_au_shows_in_every_modality_and_more_the_stronger(au):
    assert moves()[:, AUS.index(au)].any()
    neutral, half, full = (rendering.single(identity.AVERAGE, {au: x}, 64) for x in (0.0, 0.5, 1.0))
    for modality in Modality:
        weak, strong = (np.abs(one[modality].astype(int) - neutral[modality]).sum() for one in (half, full))
        assert 0 < weak < strong


@pytest.mark.parametrize(
    ("au", "where"), [(1, "upper"), (2, "upper"), (4, "upper"), (12, "lower"), (17, "lower"), (24, "lower")]
)
def test_an_au_stays_in_its_part_of_the_face(au, where):
    neutral, full = (rendering.single(identity.AVERAGE, {au: x}, 64)[Modality.VISUAL].astype(int) for x in (0.0, 1.0))
    changed = np.abs(full - neutral).sum(axis=(1, 2))
    upper, lower = changed[:32].sum(), changed[32:].sum()
    assert (upper > 20 * lower) if where == "upper" else (lower > 20 * upper)
