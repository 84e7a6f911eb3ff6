"""AMF's baselines against a ResNet written as loops: unimodal, early fusion, and late fusion in both its forms."""

import itertools

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from aubench import Modality, Task
from aubench.core import registry
from aubench.methods._modules.backbones import IMAGENET_MEAN, IMAGENET_STD

AUS = (1, 2, 4)
FRAMES, SIDE = 2, 18
V, D, T = Modality


def build(name, modalities, **changes):
    """A small method in evaluation whose batch norms, too, are drawn by chance."""
    method = registry.find_method(name).method_class
    recipe = method.Recipe.from_preset("tiny", {"crop": SIDE, "image_size": SIDE, **changes})
    torch.manual_seed(0)
    result = method(Task(modalities, AUS, SIDE), recipe).eval()
    for module in result.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for values in (module.weight, module.running_var):
                torch.nn.init.uniform_(values, 0.5, 1.5)
            for values in (module.bias, module.running_mean):
                torch.nn.init.normal_(values, std=0.3)
    return result


def images_of(modalities):
    generator = torch.Generator().manual_seed(1)
    return {m: torch.rand(FRAMES, m.channels, SIDE, SIDE, generator=generator) * 2 - 1 for m in modalities}


def values(tensor):
    return tensor.detach().double().numpy()


def convolved(maps, kernel, stride, padding):
    """Maps (C, H, W) under a kernel (O, C, k, k): a sum over each place of the kernel."""
    k = kernel.shape[-1]
    padded = np.pad(maps, ((0, 0), (padding, padding), (padding, padding)))
    rows, columns = ((side + 2 * padding - k) // stride + 1 for side in maps.shape[1:])
    actual = np.zeros((len(kernel), rows, columns))
    for r, c, i, j in itertools.product(range(rows), range(columns), range(k), range(k)):
        actual[:, r, c] += kernel[:, :, i, j] @ padded[:, r * stride + i, c * stride + j]
    return actual


def normed(maps, state, name):
    mean, variance, weight, bias = (
        state[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (maps - mean) / np.sqrt(variance + 1e-5) * weight + bias


def pooled(maps):
    """The greatest of each 3 x 3, every second one."""
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    rows, columns = ((side - 1) // 2 + 1 for side in maps.shape[1:])
    actual = [padded[:, 2 * r : 2 * r + 3, 2 * c : 2 * c + 3].max((1, 2)) for r in range(rows) for c in range(columns)]
    return np.stack(actual, 1).reshape(-1, rows, columns)


def features(encoder, image):
    """Averages over the last maps of the narrow ResNet: a stem of three convolutions, four blocks."""
    state = {name: values(x) for name, x in encoder.network.state_dict().items()}
    maps = convolved(image, state["conv1.0.weight"], 2, 1)
    maps = convolved(np.maximum(normed(maps, state, "conv1.1"), 0), state["conv1.3.weight"], 1, 1)
    maps = convolved(np.maximum(normed(maps, state, "conv1.4"), 0), state["conv1.6.weight"], 1, 1)
    maps = pooled(np.maximum(normed(maps, state, "bn1"), 0))
    for block, stride in (("layer1.0", 1), ("layer2.0", 2), ("layer3.0", 2), ("layer4.0", 2)):
        inner = convolved(maps, state[f"{block}.conv1.weight"], stride, 1)
        inner = np.maximum(normed(inner, state, f"{block}.bn1"), 0)
        inner = normed(convolved(inner, state[f"{block}.conv2.weight"], 1, 1), state, f"{block}.bn2")
        if f"{block}.downsample.0.weight" in state:
            maps = convolved(maps, state[f"{block}.downsample.0.weight"], stride, 0)
            maps = normed(maps, state, f"{block}.downsample.1")
        maps = np.maximum(maps + inner, 0)
    return maps.mean((1, 2))


def chances(layer, vector):
    return 1 / (1 + np.exp(-(values(layer.weight) @ vector + values(layer.bias))))


@pytest.mark.parametrize("modality", Modality)
def test_unimodal_agrees_with_loops(modality):
    method, images = build(f"resnet_{modality}", (modality,)), images_of((modality,))
    actual = values(method(images))
    for n in range(FRAMES):
        expected = chances(method.classifier, features(method.encoder, values(images[modality][n])))
        np.testing.assert_allclose(actual[n], expected, atol=1e-5)


SETS = [(V, D), (D, T), (V, D, T)]


@pytest.mark.parametrize("modalities", SETS)
def test_early_fusion_agrees_with_loops(modalities):
    method, images = build("early_fusion", modalities), images_of(modalities)
    actual = values(method(images))
    for n in range(FRAMES):
        stack = [channel for m in modalities for channel in values(images[m][n])]
        expected = chances(method.classifier, features(method.encoder, np.stack(stack)))
        np.testing.assert_allclose(actual[n], expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("cut_switch", [0.0, 0.5])
@pytest.mark.parametrize("modalities", SETS)
def test_late_fusion_agrees_with_loops(modalities, cut_switch):
    method, images = build("late_fusion", modalities, cut_switch=cut_switch), images_of(modalities)
    encoded = {m: method.encode(m, images[m]) for m in modalities}
    actual, fused = values(method(images)), values(method.fuse(encoded))
    for n in range(FRAMES):
        joined = []
        for m in modalities:
            image = values(images[m][n])
            if cut_switch and len(image) == 1:
                image = np.concatenate([image] * 3)
            own = features(method.encoders[m.value], image)
            np.testing.assert_allclose(values(encoded[m][n]), own, atol=1e-5)
            joined += own.tolist()
        expected = chances(method.classifier, np.array(joined))
        np.testing.assert_allclose(actual[n], expected, atol=1e-5)
        np.testing.assert_allclose(fused[n], expected, atol=1e-5)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """First-layer weights for RGB, drawn by chance, and a file that has them."""
    torch.manual_seed(2)
    network = timm.create_model("resnet18")
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(network.state_dict(), path)
    return values(network.conv1.weight), path


@pytest.mark.slow
@pytest.mark.parametrize("modalities", SETS)
def test_each_channel_of_the_stack_meets_its_own_widened_weight(modalities, weights):
    rgb, path = weights
    method = build("early_fusion", modalities, backbone="resnet18", weights=str(path))
    images, seen = images_of(modalities), []
    method.encoder.network.conv1.register_forward_hook(lambda module, args, output: seen.append(output))
    method(images)
    names = [(m, c) for m in modalities for c in range(m.channels)]
    stack, kernel = [], []
    for i, (m, c) in enumerate(names):
        coloured = len(names) >= 3 and i < 3
        mean, std = ((x[i] if coloured else np.mean(x)) for x in (IMAGENET_MEAN, IMAGENET_STD))
        stack.append(((values(images[m][0, c]) + 1) / 2 - mean) / std)
        kernel.append((rgb[:, i] if coloured else rgb.mean(1)) * 3 / len(names))
    expected = convolved(np.stack(stack), np.stack(kernel, 1), 2, 3)
    np.testing.assert_allclose(values(seen[0][0]), expected, atol=1e-4)
