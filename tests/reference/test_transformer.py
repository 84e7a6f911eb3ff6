"""Positions, patches, blocks, parameter groups and the schedule of vision transformers, against plain loops."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from aubench import Fidelity, Method, MethodCard, Modality, Progress, Recipe, Task
from aubench.evaluation import flops
from aubench.methods._modules import transformer
from aubench.methods._modules.transformer import Blocks


def line(position, width):
    half = width // 2
    angles = [position / 10000 ** (i / half) for i in range(half)]
    return [math.sin(a) for a in angles] + [math.cos(a) for a in angles]


def test_line_agrees_with_a_loop():
    expected = np.array([line(position, 12) for position in range(7)])
    np.testing.assert_allclose(transformer.sine_cosine_line(7, 12).numpy(), expected, atol=1e-6)


def test_grid_agrees_with_a_loop():
    expected = np.array([line(column, 8) + line(row, 8) for row in range(3) for column in range(5)])
    np.testing.assert_allclose(transformer.sine_cosine_grid(3, 5, 16).numpy(), expected, atol=1e-6)


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="even width"):
        transformer.sine_cosine_line(4, 5)


@pytest.mark.parametrize("channels", [1, 3])
def test_patches_agree_with_a_loop_and_go_back(channels):
    images = torch.randn(2, channels, 4 * 3, 4 * 5)
    patches = transformer.patchify(images, 4)
    assert patches.shape == (2, 15, 16 * channels)
    for n, row, column, y, x, c in np.ndindex(2, 3, 5, 4, 4, channels):
        actual = patches[n, row * 5 + column, (y * 4 + x) * channels + c]
        assert actual == images[n, c, row * 4 + y, column * 4 + x]
    assert torch.equal(transformer.unpatchify(patches, 4, rows=3), images)


def softmax(values):
    powers = np.exp(values - values.max())
    return powers / powers.sum()


def norm(values, layer):
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    return (values - values.mean(-1, keepdims=True)) / np.sqrt(values.var(-1, keepdims=True) + 1e-6) * weight + bias


def linear(values, layer):
    return values @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()


def gelu(values):
    return np.vectorize(lambda v: v * (1 + math.erf(v / math.sqrt(2))) / 2)(values)


def attention(tokens, module, heads):
    query, key, value = np.split(linear(tokens, module.qkv), 3, axis=1)
    width = tokens.shape[1] // heads
    out = np.zeros_like(tokens)
    for head in range(heads):
        own = slice(head * width, (head + 1) * width)
        for i in range(len(tokens)):
            weights = softmax(np.array([query[i, own] @ key[j, own] for j in range(len(tokens))]) / math.sqrt(width))
            out[i, own] = sum(weight * value[j, own] for j, weight in enumerate(weights))
    return linear(out, module.proj)


def test_blocks_agree_with_a_loop():
    torch.manual_seed(0)
    blocks = Blocks(8, depth=2, heads=2).eval().double()
    for parameter in blocks.parameters():
        nn.init.normal_(parameter, std=0.5)
    tokens = torch.randn(1, 5, 8, dtype=torch.float64)
    expected = tokens[0].numpy()
    for block in blocks:
        expected = expected + attention(norm(expected, block.norm1), block.attn, 2)
        hidden = gelu(linear(norm(expected, block.norm2), block.mlp.fc1))
        expected = expected + linear(hidden, block.mlp.fc2)
    np.testing.assert_allclose(blocks(tokens)[0].detach().numpy(), expected, rtol=1e-9)


def test_drop_path_grows_linearly_with_depth_and_can_be_changed():
    blocks = Blocks(8, depth=4, heads=2, drop_path=0.3)
    rates = [(block.drop_path1.drop_prob, block.drop_path2.drop_prob) for block in blocks]
    np.testing.assert_allclose(rates, [[r, r] for r in (0, 0.1, 0.2, 0.3)], atol=1e-12)
    blocks.set_drop_path(0.0)
    tokens = torch.randn(2, 3, 8)
    assert torch.equal(blocks.train()(tokens), blocks.eval()(tokens))


def test_drop_path_leaves_out_whole_branches_of_whole_frames():
    torch.manual_seed(0)
    blocks = Blocks(8, depth=2, heads=2, drop_path=0.5).train()
    blocks[1].drop_path2.drop_prob = 0.0
    tokens = torch.randn(64, 3, 8)
    before = blocks[0](tokens)
    visible = before + blocks[1].attn(blocks[1].norm1(before)) / 0.5
    actual = before + blocks[1].drop_path1(blocks[1].attn(blocks[1].norm1(before)))
    frames = [torch.allclose(f, k, atol=1e-5) for f, k in zip(actual, visible, strict=True)]
    skipped = [torch.equal(f, b) for f, b in zip(actual, before, strict=True)]
    assert all(k != s for k, s in zip(frames, skipped, strict=True))
    assert 15 < sum(frames) < 49


class Net(nn.Module):
    """A vision transformer by its names alone."""

    def __init__(self):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 8))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, 8, 4)})
        self.blocks = Blocks(8, depth=3, heads=2)
        self.norm = nn.LayerNorm(8)


def test_learning_rates_decay_from_layer_to_layer():
    method = nn.ModuleDict({"encoder": Net(), "classifier": nn.Linear(8, 2)})
    depth_of = {"encoder.cls_token": 0, "encoder.patch_embed": 0, "encoder.norm": 4, "classifier": 4}
    depth_of |= {f"encoder.blocks.{i}": i + 1 for i in range(3)}
    groups = transformer.parameter_groups(method.named_parameters(), 4e-4, 0.05, depth=3, layer_decay=0.75)
    settings = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(settings) == len(list(method.parameters()))
    for name, parameter in method.named_parameters():
        (layer,) = {layer for start, layer in depth_of.items() if name.startswith(start)}
        decay = 0.0 if parameter.ndim == 1 or name.endswith("cls_token") else 0.05
        assert settings[id(parameter)] == (pytest.approx(4e-4 * 0.75 ** (4 - layer)), decay), name
    torch.optim.AdamW(groups)


def test_without_layer_decay_there_are_two_groups():
    net = Net()
    net.norm.weight.requires_grad_(False)
    groups = transformer.parameter_groups(net.named_parameters(), 1e-3, 0.1)
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [(1e-3, 0.0), (1e-3, 0.1)]
    assert not any(parameter is net.norm.weight for group in groups for parameter in group["params"])


@pytest.mark.parametrize(("epochs", "warmup", "floor"), [(30, 5, 1e-6 / 2e-4), (5, 1, 0.0), (2, 5, 0.1), (3, 0, 0.0)])
def test_schedule_agrees_with_a_loop(epochs, warmup, floor):
    steps = 4
    for count in range(epochs * steps):
        epoch = count / steps
        expected = epoch / warmup if epoch < warmup else 1.0
        if epoch >= warmup:
            expected = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / (epochs - warmup)))
        progress = Progress(epoch=count // steps, epochs=epochs, step=count % steps, steps=steps)
        actual = transformer.warmup_cosine(progress, warmup, floor)
        assert actual == pytest.approx(expected)


class ViT(Method):
    card = MethodCard(title="ViT", paper="none", fidelity=Fidelity.EXACT)

    def __init__(self, task, recipe):
        super().__init__(task, recipe)
        self.proj = nn.Conv2d(3, 768, 16, 16)
        self.blocks = Blocks(768, depth=12, heads=12)
        self.classifier = nn.Linear(768, len(task.aus))

    def forward(self, inputs):
        tokens = self.proj(inputs[Modality.VISUAL]).flatten(2).transpose(1, 2)
        return self.classifier(self.blocks(tokens).mean(1)).sigmoid()


@pytest.mark.slow
def test_attention_is_counted():
    length, width = 196, 768
    block = 2 * length * width * width * 12 + 4 * length * length * width
    expected = 12 * block + 2 * length * width * width + 2 * width * 4
    actual = flops.count_flops(ViT, Task((Modality.VISUAL,), (1, 2, 4, 6), 224), Recipe())
    assert actual.total.flops == expected
    assert "aten.scaled_dot_product_attention" not in " ".join(actual.uncounted)
