"""Channel-mixing of MCM (§III-A) against plain loops: which channels, in which order, and with some missing."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from aubench import Modality, Task
from aubench.core import registry
from aubench.methods._modules.channel_mixing import mix_channels, sample_channel_picks, sample_picks_of_present

V, D, T = Modality
AUS = (1, 2, 4)
MCM = registry.find_method("mcm").method_class


def outcomes(taken):
    return [tuple(row) for row in taken.reshape(-1, taken.shape[-1]).tolist()]


def assert_equally_likely(actual, possible):
    assert set(actual) <= set(possible)
    counts = [actual.count(outcome) for outcome in possible]
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "ways"), [(4, 24), (5, 60)])
def test_every_drop_and_order_is_equally_likely(channels, ways):
    torch.manual_seed(0)
    possible = list(itertools.permutations(range(channels), 3))
    assert len(possible) == ways
    assert_equally_likely(outcomes(sample_channel_picks(torch.rand(200, 49, channels))), possible)


def test_patches_of_a_frame_are_drawn_independently():
    torch.manual_seed(1)
    taken = outcomes(sample_channel_picks(torch.rand(5000, 2, 3)))
    pairs = [(a, b) for a, b in zip(taken[::2], taken[1::2], strict=True)]
    assert_equally_likely(pairs, list(itertools.product(itertools.permutations(range(3)), repeat=2)))


@pytest.mark.parametrize("channels", [4, 5])
def test_mixed_images_agree_with_a_loop(channels):
    torch.manual_seed(2)
    images, taken = torch.randn(2, channels, 8, 12), sample_channel_picks(torch.rand(2, 6, channels))
    expected = np.zeros((2, 3, 8, 12), dtype=np.float32)
    for n, c, y, x in np.ndindex(2, 3, 8, 12):
        expected[n, c, y, x] = images[n, taken[n, (y // 4) * 3 + x // 4, c], y, x]
    np.testing.assert_array_equal(mix_channels(images, taken, 4).numpy(), expected)
    shared = mix_channels(images, taken[:1], 4)
    assert torch.equal(shared[0], torch.from_numpy(expected[0]))
    assert torch.equal(shared[1], mix_channels(images[1:], taken[:1], 4)[0])


def test_a_mix_that_drops_nothing_can_be_undone():
    torch.manual_seed(3)
    images, taken = torch.randn(4, 3, 8, 8), sample_channel_picks(torch.rand(4, 4, 3))
    assert not torch.equal(mix_channels(images, taken, 4), images)
    assert torch.equal(mix_channels(mix_channels(images, taken, 4), taken.argsort(-1), 4), images)


def test_missing_channels_are_passed_over():
    torch.manual_seed(4)
    keys = torch.rand(1000, 9, 4)
    no_depth = torch.tensor([[True, True, True, False]]).expand(1000, -1)
    assert_equally_likely(outcomes(sample_picks_of_present(keys, no_depth)), list(itertools.permutations(range(3))))
    assert set(outcomes(sample_picks_of_present(keys, ~no_depth))) == {(3, 3, 3)}
    assert torch.equal(sample_picks_of_present(keys, torch.ones_like(no_depth)), sample_channel_picks(keys))
    assert sample_picks_of_present(keys, torch.zeros_like(no_depth)).shape == (1000, 9, 3)


def test_two_channels_take_turns():
    keys = torch.rand(500, 9, 5, generator=torch.Generator().manual_seed(5))
    present = torch.tensor([[False, False, False, True, True]]).expand(500, -1)
    assert_equally_likely(outcomes(sample_picks_of_present(keys, present)), [(3, 4, 3), (4, 3, 4)])


def test_frames_miss_their_own_channels_under_one_pattern():
    keys = torch.rand(1, 6, 4, generator=torch.Generator().manual_seed(6))
    present = torch.tensor([[True] * 4, [True, True, True, False], [False, False, False, True]])
    taken = sample_picks_of_present(keys, present)
    for frame, has in enumerate(present.tolist()):
        for cell in range(6):
            order = sorted((channel for channel in range(4) if has[channel]), key=lambda c: keys[0, cell, c])
            assert taken[frame, cell].tolist() == [order[i % min(len(order), 3)] for i in range(3)]


def seen_by_encoder(method, inputs):
    images = []
    hook = method.encoder.register_forward_pre_hook(lambda module, args: images.append(args[0]))
    with torch.no_grad():
        method.eval()(inputs)
    hook.remove()
    return images


def constant(task, **values):
    return {m: torch.full((2, m.channels, task.image_size, task.image_size), values[m]) for m in task.modalities}


@pytest.mark.parametrize(("missing", "actual"), [("skip", {1.0}), ("mix", {0.0, 1.0})])
def test_predictions_mix_in_what_is_missing_only_on_request(missing, actual):
    task = Task((V, D), AUS, 56)
    method = MCM(task, MCM.Recipe.from_preset("tiny", {"missing": missing}))
    for visual, depth in ((1.0, 0.0), (0.0, 1.0)):
        (image,) = seen_by_encoder(method, constant(task, visual=visual, depth=depth))
        assert set(image.unique().tolist()) == actual


def test_predictions_average_several_fixed_mixes():
    task = Task((V, D, T), AUS, 56)
    torch.manual_seed(7)
    method = MCM(task, MCM.Recipe.from_preset("tiny", {"patch": 8, "mixes": 3})).eval()
    inputs = {m: torch.randn(2, m.channels, 56, 56) for m in task.modalities}
    images = seen_by_encoder(method, inputs)
    assert len(images) == 3
    assert not torch.equal(images[0], images[1])
    for image, keys in zip(images, method.patterns, strict=True):
        assert torch.equal(
            image, mix_channels(torch.cat(list(inputs.values()), 1), sample_channel_picks(keys[None]), 8)
        )
    with torch.no_grad():
        expected = (
            sum(method.classifier(method.encoder(image, norm=False)[:, 1:].mean(1)).sigmoid() for image in images) / 3
        )
        torch.testing.assert_close(method(inputs), expected)


@pytest.mark.parametrize("modality", [V, D])
def test_one_modality_alone_enters_as_three_channels(modality):
    task = Task((V, D), AUS, 56)
    method = MCM(task, MCM.Recipe.from_preset("tiny", {"inputs": modality.value}))
    inputs = {m: torch.randn(2, m.channels, 56, 56) for m in task.modalities}
    (image,) = seen_by_encoder(method, inputs)
    for channel in range(3):
        assert torch.equal(image[:, channel], inputs[modality][:, channel if modality is V else 0])


def test_training_draws_a_new_mix_for_every_frame_and_step():
    task = Task((V, D), AUS, 56)
    method = MCM(task, MCM.Recipe.from_preset("tiny", {"patch": 8}))
    inputs = {
        V: torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1).expand(64, 3, 56, 56),
        D: torch.full((64, 1, 56, 56), 4.0),
    }
    first, second = (method._image(inputs, "mixed")[:, :, ::8, ::8].flatten(2).transpose(1, 2) for _ in range(2))
    assert not torch.equal(first, second)
    assert_equally_likely(outcomes(first), list(itertools.permutations((1.0, 2.0, 3.0, 4.0), 3)))
