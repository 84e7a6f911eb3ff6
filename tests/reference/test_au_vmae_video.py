"""Tubelets, tube masks, positions and frames of VideoMAE and AU-vMAE against loops."""

import math

import numpy as np
import pytest
import torch

from aubench.methods._modules import video

DEPTH, PATCH, ROWS, COLUMNS = 2, 3, 2, 4


def clips(n=2, frames=4, channels=3):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, frames, channels, ROWS * PATCH, COLUMNS * PATCH, generator=generator, dtype=torch.float64)


def naive_tubelet(clip, step, place):
    """Its pixels, frame by frame and row by row, each with its channels."""
    row, column = divmod(place, COLUMNS)
    return [
        clip[step * DEPTH + t, c, row * PATCH + y, column * PATCH + x].item()
        for t in range(DEPTH)
        for y in range(PATCH)
        for x in range(PATCH)
        for c in range(clip.shape[1])
    ]


def test_tubelets_agree_with_loops():
    x = clips()
    actual = video.tubelets(x, DEPTH, PATCH)
    assert actual.shape == (2, 2, 8, 54)
    for n, step, place in np.ndindex(2, 2, 8):
        assert actual[n, step, place].tolist() == naive_tubelet(x[n], step, place)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_untubelets_gives_the_clips_back(channels):
    x = clips(channels=channels)
    assert torch.equal(video.untubelets(video.tubelets(x, DEPTH, PATCH), DEPTH, PATCH, ROWS), x)


def test_the_target_of_a_tubelet_has_mean_0_and_deviation_1_in_each_channel():
    cut = video.tubelets(clips(), DEPTH, PATCH)
    actual = video.normalize_tubelets(cut, 3)
    for n, step, place, channel in np.ndindex(2, 2, 8, 3):
        pixels = cut[n, step, place].tolist()[channel::3]
        mean = sum(pixels) / len(pixels)
        deviation = math.sqrt(sum((x - mean) ** 2 for x in pixels) / (len(pixels) - 1)) + 1e-6
        expected = [(x - mean) / deviation for x in pixels]
        np.testing.assert_allclose(actual[n, step, place][channel::3], expected)


def test_the_target_of_a_flat_tubelet_is_finite():
    assert not video.normalize_tubelets(torch.full((1, 1, 1, 54), 0.3), 3).any()


def test_tubes_split_the_places_and_hide_their_share():
    visible, masked = video.tube_masks(torch.rand(50, 196), 0.9)
    assert visible.shape == (50, 20)
    assert masked.shape == (50, 176)
    assert (torch.cat([visible, masked], 1).sort(1).values == torch.arange(196)).all()
    assert video.tube_masks(torch.rand(2, 4), 0.0)[0].tolist() == [[0, 1, 2, 3]] * 2
    assert video.tube_masks(torch.rand(2, 4), 0.99)[0].shape == (2, 1)


def test_every_place_is_hidden_equally_often():
    _, masked = video.tube_masks(torch.rand(4000, 10, generator=torch.Generator().manual_seed(1)), 0.3)
    assert np.bincount(masked.flatten(), minlength=10) == pytest.approx(np.full(10, 1200), abs=120)


def test_a_tube_mask_is_the_same_at_every_step():
    tokens = torch.arange(3 * 5 * 8).reshape(3, 5, 8, 1).expand(-1, -1, -1, 2).double()
    visible, masked = video.tube_masks(torch.rand(3, 8), 0.5)
    for places in (visible, masked):
        actual = video.gather_cells(tokens, places)
        for n, step, k, d in np.ndindex(3, 5, 4, 2):
            assert actual[n, step, k, d] == tokens[n, step, places[n, k], d]


def test_filling_writes_at_the_places_alone():
    tokens, others = torch.rand(3, 5, 8, 2), torch.rand(3, 5, 4, 2)
    visible, masked = video.tube_masks(torch.rand(3, 8), 0.5)
    actual = video.fill_masked(tokens, masked, others)
    assert torch.equal(video.gather_cells(actual, masked), others)
    assert torch.equal(video.gather_cells(actual, visible), video.gather_cells(tokens, visible))


def test_positions_on_a_line_agree_with_loops():
    """Token number p of a clip: sin(p / 10000^(2k/d)) at 2k, the cosine at 2k + 1."""
    actual = video.position_embeddings("line", 3, 2, 8)
    assert actual.shape == (1, 3, 4, 8)
    for step, place, k in np.ndindex(3, 4, 4):
        angle = (step * 4 + place) / 10000 ** (2 * k / 8)
        assert actual[0, step, place, 2 * k].item() == pytest.approx(math.sin(angle), abs=1e-6)
        assert actual[0, step, place, 2 * k + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_positions_on_a_grid_tell_step_column_and_row_apart():
    actual = video.position_embeddings("grid", 3, 2, 16)
    assert actual.shape == (1, 3, 4, 16)
    for step, place in np.ndindex(3, 4):
        row, column = divmod(place, 2)
        angles = [step / 10000 ** (k / 4) for k in range(4)]
        expected = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
        for at in (column, row):
            expected += [math.sin(at), math.sin(at / 100), math.cos(at), math.cos(at / 100)]
        assert actual[0, step, place].tolist() == pytest.approx(expected, abs=1e-6)


def naive_over_frames(steps, frames):
    """A frame's middle lies somewhere between the middles of two steps; outside them, the nearest one counts."""
    actual = []
    for t in range(frames):
        at = (t + 0.5) * len(steps) / frames - 0.5
        at = min(max(at, 0), len(steps) - 1)
        low = min(int(at), len(steps) - 2) if len(steps) > 1 else 0
        high = min(low + 1, len(steps) - 1)
        actual.append((1 - (at - low)) * steps[low] + (at - low) * steps[high])
    return np.array(actual)


@pytest.mark.parametrize(("steps", "frames"), [(8, 16), (16, 128), (1, 4), (5, 7)])
def test_features_of_every_frame_agree_with_loops(steps, frames):
    features = torch.rand(2, steps, 3, dtype=torch.float64)
    actual = video.interpolate_to_frames(features, frames)
    for n in range(2):
        np.testing.assert_allclose(actual[n], naive_over_frames(features[n].numpy(), frames), atol=1e-12)


def test_two_steps_over_eight_frames_by_hand():
    actual = video.interpolate_to_frames(torch.tensor([[[0.0], [1.0]]]), 8)
    assert actual[0, :, 0].tolist() == pytest.approx([0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1])
