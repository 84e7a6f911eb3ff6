"""AMF eqs. 4 to 6 against loops written from the paper, and against what its text promises."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from aubench.methods._modules import gumbel_selection

SCORES = {2: (0.9, 0.3), 3: (0.6, 0.05, 0.35)}


def gumbel(u):
    return -math.log(-math.log(u))  # eq. (5)


def one_hot_of_argmax(scores, noise):
    """eq. (4) for one feature."""
    values = [math.log(score) + e for score, e in zip(scores, noise, strict=True)]
    return [float(k == int(np.argmax(values))) for k in range(len(values))]


def softmax(scores, noise, temperature):
    """eq. (6) for one feature."""
    powers = [math.exp((math.log(score) + e) / temperature) for score, e in zip(scores, noise, strict=True)]
    return [power / sum(powers) for power in powers]


def edges_of(scores, noise):
    """Arrays (M, N, D) and (M, N, K, D) as the log odds that the code works with."""
    noise = torch.tensor(noise)
    return gumbel_selection.log_odds(torch.tensor(scores)) + noise[:-1] - noise[-1]


def noise_of(modalities, frames, draws, width, seed):
    generator = torch.Generator().manual_seed(seed)
    return gumbel_selection.Noise.sample(modalities, frames, draws, width, generator=generator).differences()


def picks(modalities, frames, draws, width, seed):
    """What is selected for features that all have the same scores, as (frames, draws, width)."""
    scores = torch.tensor(SCORES[modalities]).reshape(-1, 1, 1).expand(-1, frames, width)
    edges = gumbel_selection.log_odds(scores) + noise_of(modalities, frames, draws, width, seed)
    return in_full(gumbel_selection.hard_selection(edges)).argmax(0)


def in_full(planes):
    """Planes of all modalities from those of all but the last."""
    return np.concatenate([planes.numpy(), 1 - planes.sum(0, keepdim=True).numpy()])


@pytest.fixture(params=[2, 3])
def samples(request):
    """Scores and noise of a few frames, draws and features."""
    random = np.random.default_rng(request.param)
    scores = random.uniform(0.01, 0.99, (request.param, 4, 5))
    uniforms = random.uniform(1e-6, 1 - 1e-6, (request.param, 4, 6, 5))
    return scores, np.vectorize(gumbel)(uniforms)


def test_eq_4_is_the_one_hot_of_the_argmax(samples):
    scores, noise = samples
    actual = in_full(gumbel_selection.hard_selection(edges_of(scores, noise)))
    for n, k, d in np.ndindex(noise.shape[1:]):
        assert actual[:, n, k, d].tolist() == one_hot_of_argmax(scores[:, n, d], noise[:, n, k, d])


@pytest.mark.parametrize("temperature", [1.0, 0.7, 0.5])
def test_eq_6_is_the_softmax_over_modalities(samples, temperature):
    scores, noise = samples
    actual = in_full(gumbel_selection.relaxed_selection(edges_of(scores, noise), temperature))
    for n, k, d in np.ndindex(noise.shape[1:]):
        expected = softmax(scores[:, n, d], noise[:, n, k, d], temperature)
        np.testing.assert_allclose(actual[:, n, k, d], expected, rtol=1e-9, atol=1e-12)


def test_low_temperature_gives_one_hot_and_high_temperature_uniform(samples):
    edges = edges_of(*samples)
    torch.testing.assert_close(gumbel_selection.relaxed_selection(edges, 1e-7), gumbel_selection.hard_selection(edges))
    uniform = torch.full_like(edges, 1 / (len(edges) + 1))
    torch.testing.assert_close(gumbel_selection.relaxed_selection(edges, 1e6), uniform, atol=1e-4, rtol=0)


@pytest.mark.parametrize("draws", [7, 100])
@pytest.mark.parametrize("modalities", [2, 3])
def test_selection_frequencies_of_each_draw_follow_the_scores(modalities, draws):
    selected = picks(modalities, 200, draws, 50, seed=1)
    expected = np.array(SCORES[modalities]) / sum(SCORES[modalities])
    for k in range(draws):
        counts = np.bincount(selected[:, k].ravel(), minlength=modalities)
        assert stats.chisquare(counts, expected * counts.sum()).pvalue > 0.01 / draws


@pytest.mark.parametrize("modalities", [2, 3])
def test_selection_frequencies_of_each_frame_follow_the_scores(modalities):
    """Of one in ``modalities`` draws, since those with the same noise depend on each other."""
    selected = picks(modalities, 50, 400, 50, seed=2)[:, : 400 // modalities]
    expected = np.array(SCORES[modalities]) / sum(SCORES[modalities])
    for frame in selected:
        counts = np.bincount(frame.ravel(), minlength=modalities)
        assert stats.chisquare(counts, expected * counts.sum()).pvalue > 0.01 / 50


def test_frequencies_of_other_scores_would_be_noticed():
    scores = torch.tensor([0.32, 0.3]).reshape(2, 1, 1).expand(-1, 2000, 50)
    counts = in_full(
        gumbel_selection.hard_selection(gumbel_selection.log_odds(scores) + noise_of(2, 2000, 1, 50, seed=1))
    ).sum((1, 2, 3))
    assert stats.chisquare(counts).pvalue < 1e-4


def dependence(modalities, first, second):
    """p-value of the independence of two sets of choices."""
    table = np.zeros((modalities, modalities))
    np.add.at(table, (first.ravel(), second.ravel()), 1)
    return stats.chi2_contingency(table).pvalue


@pytest.mark.parametrize("modalities", [2, 3])
def test_choices_are_independent_over_frames_features_and_groups_of_draws(modalities):
    selected = picks(modalities, 2, 2 * modalities, 30_000, seed=3)
    assert dependence(modalities, selected[:, 0, ::2], selected[:, 0, 1::2]) > 0.01
    for one, other in [((0, 0), (0, 1)), ((0, 0), (1, 0)), ((0, 0), (1, 1)), ((0, 0), (1, modalities))]:
        assert dependence(modalities, selected[one], selected[other]) > 0.01
    assert dependence(modalities, selected[0, 0], selected[0, 2]) < 1e-9  # with the same noise


@pytest.mark.parametrize("modalities", [2, 3])
def test_draws_with_the_same_noise_work_against_each_other(modalities):
    noise = noise_of(modalities, 500, modalities, 40, seed=4).numpy()
    full = np.concatenate([noise, np.zeros_like(noise[:1])])
    full -= full.mean(0)
    np.testing.assert_allclose(full.sum(2), 0, atol=1e-3)  # each modality has had each noise once
    assert np.corrcoef(noise[0, :, 0].ravel(), noise[0, :, 1].ravel())[0, 1] < -0.4


def test_the_difference_of_two_gumbels_is_what_eq_5_gives():
    actual = noise_of(2, 400, 3, 50, seed=5)[0].numpy()
    u = np.random.default_rng(2).uniform(size=(2, 20_000))
    first, second = -np.log(-np.log(u))
    for k in range(3):
        assert stats.ks_2samp(actual[:, k].ravel(), first - second).pvalue > 0.01


def test_three_gumbels_less_the_last_have_the_joint_distribution_of_eq_5():
    planes = noise_of(3, 400, 4, 50, seed=6).numpy()
    u = np.random.default_rng(3).uniform(size=(3, 20_000))
    e = -np.log(-np.log(u))
    expected = e[:2] - e[2]
    for k in range(4):
        actual = planes[:, :, k].reshape(2, -1)
        for projection in ((1, 0), (0, 1), (1, -1), (1, 1), (2, -1)):
            assert stats.ks_2samp(projection @ actual, projection @ expected).pvalue > 0.001
        assert np.corrcoef(actual)[0, 1] == pytest.approx(0.5, abs=0.03)  # they share the last one's noise


def test_some_frames_noise_is_that_of_all_frames():
    noise = gumbel_selection.Noise.sample(3, 6, 5, 4)
    torch.testing.assert_close(noise.differences(slice(2, 5)), noise.differences()[:, 2:5])


@pytest.mark.slow
@given(
    scores=st.lists(st.floats(0, 1), min_size=2, max_size=3),
    noise=st.lists(st.floats(-18, 18), min_size=3, max_size=3),
    temperature=st.floats(0.05, 100),
)
@settings(max_examples=150)
def test_exactly_one_modality_is_chosen_whatever_comes(scores, noise, temperature):
    odds = gumbel_selection.log_odds(torch.tensor(scores).reshape(-1, 1, 1))
    edges = odds + torch.tensor(noise[: len(scores) - 1]).reshape(-1, 1, 1, 1)
    hard = in_full(gumbel_selection.hard_selection(edges))
    assert sorted(set(hard.ravel().tolist())) == [0, 1]
    assert hard.sum() == 1
    soft = in_full(gumbel_selection.relaxed_selection(edges, temperature))
    assert np.isfinite(soft).all()
    assert soft.min() >= -1e-6


@pytest.mark.parametrize(
    ("scores", "best"), [((1, 1, 0.5), 0), ((0.5, 1, 1), 2), ((1, 1, 1), 2), ((0.2, 0.9, 0.9, 0.1), 1), ((0.9, 0.8), 0)]
)
def test_without_noise_equal_scores_never_select_a_lower_one(scores, best):
    odds = gumbel_selection.log_odds(torch.tensor(scores).reshape(-1, 1, 1))
    assert in_full(gumbel_selection.best_modality(odds)).ravel().tolist() == [i == best for i in range(len(scores))]


def test_a_tie_goes_to_one_modality():
    assert in_full(gumbel_selection.hard_selection(torch.zeros(2, 1, 1, 1))).sum() == 1
    assert in_full(gumbel_selection.hard_selection(torch.ones(2, 1, 1, 1))).sum() == 1


def test_selected_features_are_the_sum_over_modalities(samples):
    scores, noise = samples
    features = np.random.default_rng(0).normal(size=scores.shape)
    weights = gumbel_selection.hard_selection(edges_of(scores, noise))
    actual = gumbel_selection.weighted_features(weights, torch.tensor(features)).numpy()
    for n, k, d in np.ndindex(noise.shape[1:]):
        picks = one_hot_of_argmax(scores[:, n, d], noise[:, n, k, d])
        assert actual[n, k, d] == pytest.approx(sum(p * a for p, a in zip(picks, features[:, n, d], strict=True)))
