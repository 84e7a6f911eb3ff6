"""Missing images (all zero or all black), and their effect in MCM."""

import itertools

import numpy as np
import pytest
import torch

from aubench import Batch, Modality, Progress, Task
from aubench.methods._modules import masked_autoencoder as mae
from aubench.methods._modules.missing_modality import is_present
from aubench.methods._modules.transformer import patchify
from aubench.methods.mcm import MCM

V, D, T = Modality
SIDE, PATCH, FRAMES = 32, 8, 4
CELLS = (SIDE // PATCH) ** 2


@pytest.mark.parametrize("channels", [1, 3])
def test_only_images_of_one_of_two_values_are_missing(channels):
    images = torch.rand(7, channels, 3, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    images[1], images[2], images[3], images[4] = 0, -1, 1, -1
    images[4, 0, 2, 3] = -0.99  # one pixel that is not black
    images[5] = 0
    images[5, -1, 0, 0] = -1
    expected = []
    for image in images.tolist():
        values = list(itertools.chain(*itertools.chain(*image)))
        expected.append(not (all(v == 0 for v in values) or all(v == -1 for v in values)))
    assert is_present(images).tolist() == expected == [True, False, False, True, True, True, True]


def build(**changes):
    small = {"patch": PATCH, "width": 16, "heads": 2, "depth": 1, "decoder_width": 16, "decoder_heads": 2}
    torch.manual_seed(0)
    recipe = MCM.Recipe.from_preset("tiny", {**small, "image_size": SIDE, "crop": SIDE, **changes})
    return MCM(Task((V, D, T), (1, 2, 4), SIDE), recipe)


def images():
    generator = torch.Generator().manual_seed(1)
    return {m: torch.rand(FRAMES, m.channels, SIDE, SIDE, generator=generator) * 2 - 1 for m in Modality}


@pytest.mark.parametrize("judged", ["masked", "all"])
@pytest.mark.parametrize("value", [-1.0, 0.0])
def test_mcm_reconstructs_no_image_where_there_is_none(value, judged):
    method, inputs = build(pretrain_inputs="conv", loss_on=judged), images()
    inputs[D][[1, 3]] = value
    stage = method.stages()[0]
    torch.manual_seed(2)
    actual = method.loss(Batch(inputs, torch.full((FRAMES, 3), -1)), stage, Progress(0, 1, 0, 1))
    torch.manual_seed(2)
    visible = mae.sample_visible_patches(FRAMES, CELLS, method.recipe.mask, torch.device("cpu"))
    tokens = method.encoder(method.fuse(torch.cat([inputs[m] for m in Modality], 1)), visible)
    counted = mae.masked_patches(visible, CELLS) | (judged == "all")
    for m, frames in ((V, range(FRAMES)), (D, (0, 2)), (T, range(FRAMES))):
        errors = (method.decoders[m.value](tokens, visible) - patchify(inputs[m], PATCH)).square()
        terms = [errors[n, i].mean().item() for n in frames for i in range(CELLS) if counted[n, i]]
        assert actual[m.value].item() == pytest.approx(np.mean(terms), rel=1e-5)


def test_mcm_learns_nothing_where_no_frame_has_an_image():
    method, inputs = build(), images()
    inputs[D] = torch.full_like(inputs[D], -1)
    terms = method.loss(Batch(inputs, torch.full((FRAMES, 3), -1)), method.stages()[0], Progress(0, 1, 0, 1))
    assert terms["depth"].item() == 0
    assert terms["visual"].item() > 0


def test_mcm_predicts_of_black_frames_as_of_zeroed_ones():
    method = build().eval()
    asis, black, zeroed = images(), images(), images()
    black[D][1], zeroed[D][1] = -1, 0
    with torch.no_grad():
        before, actual, expected = method(asis), method(black), method(zeroed)
    assert torch.equal(actual, expected)
    assert torch.equal(actual[[0, 2, 3]], before[[0, 2, 3]])
    assert not torch.equal(actual[1], before[1])
