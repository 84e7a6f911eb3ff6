"""VideoMAE's published weights, in our names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from aubench import PretrainingSource
from aubench.methods._modules import pretrained_weights
from aubench.methods._modules.backbones import IMAGENET_MEAN, IMAGENET_STD, widen_conv1

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

HUB = "MCG-NJU/videomae-base"
"""Pre-trained for 1600 epochs on Kinetics-400, without its labels."""

_PLAIN = {
    "videomae.layernorm": "decoder.encoder_norm",
    "encoder_to_decoder": "decoder.embed",
    "decoder.norm": "decoder.norm",
    "decoder.head": "decoder.head",
}
_IN_BLOCK = {
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "attention.output.dense": "attn.proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}
_BLOCK = re.compile(r"(videomae\.encoder\.layer|decoder\.decoder_layers)\.(\d+)\.(.+)\.(weight|bias)")
_STACKS = {"videomae.encoder.layer": "encoder.blocks", "decoder.decoder_layers": "decoder.blocks"}


def pretraining_sources(source: str) -> tuple[PretrainingSource, ...]:
    """What first weights had seen.

    Args:
        source: 'none', 'videomae' or a file.
    """
    if source == "none":
        return ()
    if source == "videomae":
        return (PretrainingSource(HUB, ("Kinetics-400",)),)
    return (PretrainingSource(Path(source).name, ("unknown",)),)


def load_into(module: nn.Module, source: str, channels: int) -> None:
    """Give a module's ``encoder`` its first weights, and its ``decoder`` if it sees RGB and the file has one.

    Does nothing on the meta device.

    Args:
        module: Has an ``encoder`` of VideoMAE's shape, and perhaps a ``decoder``.
        source: 'none', 'videomae' or a file with weights of that kind.
        channels: That the encoder sees; the first three are RGB if there are three or more.

    Raises:
        AubenchError: The weights cannot be fetched or read, or are of another shape.
    """
    wanted = module.state_dict()
    if source == "none" or any(value.is_meta for value in wanted.values()):
        return
    path = pretrained_weights.fetch(HUB, "weights of VideoMAE") if source == "videomae" else Path(source)
    found = translate_state(pretrained_weights.load(path, "'videomae', 'none'"), channels)
    encoder = {name: value for name, value in wanted.items() if name.startswith("encoder.")}
    pretrained_weights.check_fits(found, encoder, path, f"{HUB}, or one of its shape")
    decoder = {name: value for name, value in wanted.items() if name.startswith("decoder.")}
    if channels == 3 and any(name.startswith("decoder.blocks.") for name in found):
        pretrained_weights.check_fits(found, decoder, path, f"{HUB}, or one of its shape")
        encoder |= decoder
    module.load_state_dict({**wanted, **{name: found[name] for name in encoder}})


def translate_state(state: Mapping[str, Tensor], channels: int) -> dict[str, Tensor]:
    """Published tensors under our names, for images in [-1, 1] of any number of channels.

    Args:
        state: As on the hub.
        channels: That the encoder will see.
    """
    found = {}
    for name, value in state.items():
        stem, _, kind = name.rpartition(".")
        if stem in _PLAIN:
            found[f"{_PLAIN[stem]}.{kind}"] = value
        elif (block := _BLOCK.fullmatch(name)) and block[3] in _IN_BLOCK:
            found[f"{_STACKS[block[1]]}.{block[2]}.{_IN_BLOCK[block[3]]}.{block[4]}"] = value
        elif block and block[3] == "attention.attention.query":
            own, attention = f"{_STACKS[block[1]]}.{block[2]}.attn.qkv", name.removesuffix("query.weight")
            q, v = state[f"{attention}q_bias"], state[f"{attention}v_bias"]
            found[f"{own}.weight"] = torch.cat(
                [state[f"{attention}{part}.weight"] for part in ("query", "key", "value")]
            )
            found[f"{own}.bias"] = torch.cat([q, torch.zeros_like(q), v])
    if "mask_token" in state:
        found["decoder.mask_token"] = state["mask_token"].flatten()
    projection = "videomae.embeddings.patch_embeddings.projection"
    if f"{projection}.weight" in state:
        weight, bias = embedding(state[f"{projection}.weight"], state[f"{projection}.bias"], channels)
        found |= {"encoder.patch_embed.weight": weight, "encoder.patch_embed.bias": bias}
    return found


def embedding(
    kernel: Float[Tensor, "width 3 t h w"], bias: Float[Tensor, " width"], channels: int
) -> tuple[Float[Tensor, "width values"], Float[Tensor, " width"]]:
    """A convolution on ImageNet's statistics as a linear layer on tubelets in [-1, 1].

    Other channels than RGB get the mean of its weights, and all are scaled as in ResNets, so that a grey image in one
    channel meets what it would meet in three.
    """
    mean, deviation = (torch.tensor(x).reshape(1, 3, 1, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))
    shift = (kernel * (0.5 - mean) / deviation).flatten(1).sum(1)
    wide = widen_conv1((kernel * 0.5 / deviation).flatten(3), channels)
    return wide.permute(0, 2, 3, 1).flatten(1), bias + shift
