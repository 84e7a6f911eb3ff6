"""Channel attention against loops written from the equations of CBAM and of squeeze-and-excitation."""

import itertools
import math

import numpy as np
import pytest
import torch

from aubench import AubenchError, Modality, Task
from aubench.methods._modules.channel_attention import ChannelAttention
from aubench.methods.cam import CAM

AUS = (1, 2, 4)
FRAMES, HEIGHT, WIDTH = 3, 2, 4
V, D, T = Modality


def times(matrix, vector):
    return [sum(w * x for w, x in zip(row, vector, strict=True)) for row in matrix]


def gated(maps, first, second, kinds):
    """M = sigmoid of the sum over kinds of pooling of W2 relu(W1 pooled), F' = M * F; maps are (C, H, W)."""
    answers = []
    for kind in kinds:
        pooled = []
        for channel in maps:
            values = [value for row in channel for value in row]
            pooled.append(sum(values) / len(values) if kind == "average" else max(values))
        answers.append(times(second, [max(x, 0.0) for x in times(first, pooled)]))
    gates = [1 / (1 + math.exp(-sum(parts))) for parts in zip(*answers, strict=True)]
    return [[[gate * value for value in row] for row in channel] for gate, channel in zip(gates, maps, strict=True)]


def weights(attention):
    return [attention.mlp[i].weight.detach().double().tolist() for i in (0, 2)]


KINDS = {"cbam": ("average", "maximum"), "se": ("average",)}


@pytest.mark.parametrize("gate", KINDS)
def test_the_gate_agrees_with_loops(gate):
    torch.manual_seed(0)
    attention = ChannelAttention(12, 4, gate)
    maps = torch.randn(FRAMES, 12, HEIGHT, WIDTH)
    actual = attention(maps).detach().numpy()
    for n in range(FRAMES):
        expected = gated(maps[n].double().tolist(), *weights(attention), KINDS[gate])
        np.testing.assert_allclose(actual[n], expected, atol=1e-6)


@pytest.mark.parametrize(("channels", "reduction", "hidden"), [(1024, 16, 64), (256, 16, 16), (128, 4, 32), (8, 16, 1)])
def test_the_bottleneck_has_channels_over_r_units_and_no_biases(channels, reduction, hidden):
    attention = ChannelAttention(channels, reduction, "cbam")
    shapes = {name: tuple(p.shape) for name, p in attention.named_parameters()}
    assert shapes == {"mlp.0.weight": (hidden, channels), "mlp.2.weight": (channels, hidden)}


def build(modalities, **changes):
    torch.manual_seed(1)
    return CAM(
        Task(modalities, AUS, 16), CAM.Recipe.from_preset("tiny", {"crop": 16, "image_size": 16, **changes})
    ).eval()


@pytest.mark.slow
@pytest.mark.parametrize("gate", KINDS)
@pytest.mark.parametrize("per_stream", [False, True])
@pytest.mark.parametrize("modalities", [(V, D), (V, D, T)])
def test_predictions_agree_with_loops(modalities, per_stream, gate):
    cam = build(modalities, per_stream=per_stream, gate=gate)
    maps = {m: torch.randn(FRAMES, 128, HEIGHT, WIDTH) for m in modalities}
    actual = cam.fuse(maps).detach().numpy()
    matrix, bias = cam.classifier.weight.detach().double().tolist(), cam.classifier.bias.tolist()
    for n in range(FRAMES):
        streams = [maps[m][n].double().tolist() for m in modalities]
        groups = streams if per_stream else [list(itertools.chain(*streams))]
        features = []
        for attention, group in zip(cam.attention, groups, strict=True):
            for channel in gated(group, *weights(attention), KINDS[gate]):
                features.append(sum(map(sum, channel)) / (HEIGHT * WIDTH))
        expected = [1 / (1 + math.exp(-x - b)) for x, b in zip(times(matrix, features), bias, strict=True)]
        np.testing.assert_allclose(actual[n], expected, atol=1e-5)


def test_one_gate_sees_all_modalities_and_a_gate_for_each_does_not():
    for per_stream, depends in ((False, True), (True, False)):
        cam = build((V, D), per_stream=per_stream)
        with torch.no_grad():
            cam.classifier.weight[:, 128:] = 0  # what is left of depth is its say in the gates of visual
        maps = {m: torch.randn(FRAMES, 128, HEIGHT, WIDTH) for m in (V, D)}
        before = cam.fuse(maps)
        assert torch.equal(before, cam.fuse({**maps, D: 3 * maps[D]})) != depends


def test_with_gates_half_open_it_is_late_fusion_of_halved_features():
    cam = build((V, D))
    with torch.no_grad():
        cam.attention[0].mlp[2].weight.zero_()
        images = {m: torch.rand(FRAMES, m.channels, 32, 32) for m in (V, D)}
        pooled = torch.cat([cam.encoders[m.value](images[m]) for m in (V, D)], 1)
        torch.testing.assert_close(cam(images), cam.classifier(pooled / 2).sigmoid())


def test_a_single_modality_is_refused():
    for modality in Modality:
        assert "got one" in CAM.unsupported_reason(Task((modality,), AUS, 224), CAM.Recipe())


@pytest.mark.parametrize("changes", [{"gate": "none"}, {"reduction": 0}, {"per_stream": "maybe"}])
def test_the_recipe_refuses_other_gates(changes):
    with pytest.raises(AubenchError, match=next(iter(changes))):
        CAM.Recipe.from_preset("paper", changes)
