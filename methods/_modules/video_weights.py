# Installed as aubench.methods._modules.video_weights.
"""Conversion of VideoMAE's published weights to the parameter names of this package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from aubench import AubenchError
from aubench.methods._modules import pretrained_weights
from aubench.methods._modules.backbones import IMAGENET_MEAN, IMAGENET_STD, widen_conv1

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

HUB = "MCG-NJU/videomae-base"
"""Hub repository of weights pre-trained for 1600 epochs on Kinetics-400 without labels."""

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


def load_into(module: nn.Module, source: str, channels: int) -> None:
    """Load initial weights into a module's ``encoder``, and into its ``decoder`` for RGB if the file has one.

    This does nothing on the meta device.

    Args:
        module: Module with an ``encoder`` of VideoMAE's shape and optionally a ``decoder``.
        source: 'none', 'videomae' or a file with weights in VideoMAE's format.
        channels: Input channels of the encoder. The first three are RGB if there are three or more.

    Raises:
        AubenchError: The weights cannot be downloaded or read, or have another shape.
    """
    target = module.state_dict()
    if source == "none" or any(value.is_meta for value in target.values()):
        return
    path = pretrained_weights.fetch(HUB, "weights of VideoMAE") if source == "videomae" else Path(source)
    state, model = pretrained_weights.load(path, "'videomae', 'none'"), f"{HUB} or of the same architecture"
    try:
        weights = translate_state(state, channels)
    except (KeyError, ValueError, RuntimeError) as error:
        what = f"is incomplete or has other shapes ({error})"
        raise AubenchError(what, where=path, hint=f"give weights of {model}") from None
    encoder = {name: value for name, value in target.items() if name.startswith("encoder.")}
    pretrained_weights.check_fits(weights, encoder, path, model)
    decoder = {name: value for name, value in target.items() if name.startswith("decoder.")}
    if channels == 3 and any(name.startswith("decoder.blocks.") for name in weights):
        pretrained_weights.check_fits(weights, decoder, path, model)
        encoder |= decoder
    module.load_state_dict({**target, **{name: weights[name] for name in encoder}})


def translate_state(state: Mapping[str, Tensor], channels: int) -> dict[str, Tensor]:
    """Convert published tensors to this package's names, for images in [-1, 1] of any number of channels.

    Args:
        state: State dict of the hub.
        channels: Input channels of the encoder.

    Raises:
        KeyError, ValueError, RuntimeError: A part of a layer is missing or has another shape.
    """
    translated = {}
    for name, value in state.items():
        stem, _, kind = name.rpartition(".")
        if stem in _PLAIN:
            translated[f"{_PLAIN[stem]}.{kind}"] = value
        elif (block := _BLOCK.fullmatch(name)) and block[3] in _IN_BLOCK:
            translated[f"{_STACKS[block[1]]}.{block[2]}.{_IN_BLOCK[block[3]]}.{block[4]}"] = value
        elif block and block[3] == "attention.attention.query":
            qkv, attention = f"{_STACKS[block[1]]}.{block[2]}.attn.qkv", name.removesuffix("query.weight")
            q, v = state[f"{attention}q_bias"], state[f"{attention}v_bias"]
            translated[f"{qkv}.weight"] = torch.cat(
                [state[f"{attention}{part}.weight"] for part in ("query", "key", "value")]
            )
            translated[f"{qkv}.bias"] = torch.cat([q, torch.zeros_like(q), v])
    if "mask_token" in state:
        translated["decoder.mask_token"] = state["mask_token"].flatten()
    projection = "videomae.embeddings.patch_embeddings.projection"
    if f"{projection}.weight" in state:
        weight, bias = embedding(state[f"{projection}.weight"], state[f"{projection}.bias"], channels)
        translated |= {"encoder.patch_embed.weight": weight, "encoder.patch_embed.bias": bias}
    return translated


def embedding(
    kernel: Float[Tensor, "width 3 t h w"], bias: Float[Tensor, " width"], channels: int
) -> tuple[Float[Tensor, "width values"], Float[Tensor, " width"]]:
    """Convert a convolution for ImageNet's statistics to a linear layer on tubelets in [-1, 1].

    Channels other than RGB get the mean of the weights, and all weights are scaled as in ResNets, so that a grey image
    in one channel gives the same response as in three.

    Raises:
        ValueError: The convolution is not for RGB videos.
    """
    if kernel.ndim != 5 or kernel.shape[1] != 3:  # one channel would be taken for each of RGB
        raise ValueError(f"kernel {tuple(kernel.shape)} is not for videos in RGB")
    mean, deviation = (torch.tensor(x).reshape(1, 3, 1, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))
    shift = (kernel * (0.5 - mean) / deviation).flatten(1).sum(1)
    wide = widen_conv1((kernel * 0.5 / deviation).flatten(3), channels)
    return wide.permute(0, 2, 3, 1).flatten(1), bias + shift
