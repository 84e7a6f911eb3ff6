# Installed as aubench.methods._modules.backbones.
"""ResNet encoders with any number of input channels and optional ImageNet weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from aubench import AubenchError, PretrainingSource, Recipe
from aubench.methods._modules import pretrained_weights

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

Backbone = Literal["resnet18", "resnet34", "resnet50", "narrow"]

STRIDE = 32
"""Pixels of an image per position of the last map."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class BackboneRecipe(Recipe):
    """Hyper-parameters of methods with ResNet encoders."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"tiny": {"backbone": "narrow", "weights": "none"}}

    backbone: Backbone = Field(
        "resnet18", description="ResNet. 'narrow' is a small variant with four blocks of 16 to 128 channels."
    )
    weights: str = Field("imagenet", description="Initial weights: 'imagenet', 'none' or a .safetensors file.")

    @model_validator(mode="after")
    def _normalises_several_values(self) -> Self:
        """Refuse steps in which batch normalisation has one value per channel."""
        frames = min(self.batch_size, self.frames_per_epoch or self.batch_size)
        if frames == 1 and self.crop <= STRIDE:
            cause = "batch_size" if self.batch_size == 1 else "frames_per_epoch"
            raise ValueError(f"a step of one frame needs a crop above {STRIDE}, or set {cause} to 2 or more")
        return self

    def pretraining_sources(self) -> tuple[PretrainingSource, ...]:
        """Return the sources of the initial weights, none for random weights."""
        return pretrained_weights.sources(self.weights, {"imagenet": (f"timm/{self.backbone}.tv_in1k", "ImageNet-1k")})


class Encoder(nn.Module):
    """ResNet up to its global average pooling or its last feature maps.

    With pre-trained weights, the encoder converts images from [-1, 1] to the statistics of ImageNet.
    Channels beyond RGB use the mean of the three channels' statistics.

    Args:
        backbone: Kind of ResNet.
        channels: Input channels. The first three are RGB if there are three or more.
        source: The ``weights`` of :class:`BackboneRecipe`.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, backbone: Backbone, channels: int, source: str) -> None:
        super().__init__()
        self.network = _network(backbone, channels)
        self.features: int = self.network.num_features
        mean, std = (_over_channels(values, channels) for values in (IMAGENET_MEAN, IMAGENET_STD))
        self.pretrained = source != "none"
        self.register_buffer("scale", 0.5 / std if self.pretrained else torch.ones_like(std))
        self.register_buffer("shift", (0.5 - mean) / std if self.pretrained else torch.zeros_like(mean))
        if self.pretrained and not self.scale.is_meta:
            self.network.load_state_dict(adapt_state(_pretrained(backbone, source), channels))

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Return the features of images in [-1, 1]."""
        features: Tensor = self.network.forward_head(self.maps(images))
        return features

    def maps(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d height width"]:
        """Return the last feature maps, before global average pooling, of images in [-1, 1]."""
        inputs = images * self.scale + self.shift if self.pretrained else images
        maps: Tensor = self.network.forward_features(inputs)
        return maps


def widen_conv1(conv1: Float[Tensor, "o 3 h w"], channels: int) -> Float[Tensor, "o c h w"]:
    """Convert first-layer weights for RGB to another number of channels.

    With three or more channels, the first three keep the RGB weights. Every other channel gets their mean. All weights
    are scaled by 3 / channels, which preserves the scale of the response.
    """
    if channels == 3:
        return conv1
    mean = conv1.mean(1, keepdim=True)
    wide = (
        torch.cat([conv1, mean.expand(-1, channels - 3, -1, -1)], 1)
        if channels > 3
        else mean.expand(-1, channels, -1, -1)
    )
    return wide * (3 / channels)


def adapt_state(state: Mapping[str, Tensor], channels: int) -> dict[str, Tensor]:
    """Convert the state of a ResNet for RGB to an encoder's: without classifier, with another number of channels."""
    encoder = {name: value for name, value in state.items() if not name.startswith("fc.")}
    return {**encoder, "conv1.weight": widen_conv1(encoder["conv1.weight"], channels)}


def _over_channels(rgb: tuple[float, float, float], channels: int) -> Tensor:
    values = torch.tensor(rgb)
    rest = values.mean().expand(channels)
    return torch.cat([values, rest[3:]] if channels >= 3 else [rest])[:, None, None]


def _network(backbone: Backbone, channels: int) -> Any:
    """Return a ResNet with random weights. Unlike timm's default, no residual branch begins at zero.

    A branch that begins at zero passes no gradient to its convolutions at first, which short trainings do not recover.
    """
    import timm
    from timm.models.resnet import BasicBlock, ResNet

    if backbone == "narrow":
        return ResNet(
            BasicBlock,  # type: ignore[arg-type]  # timm annotates an instance but expects a class
            (1, 1, 1, 1),
            num_classes=0,
            in_chans=channels,
            channels=(16, 32, 64, 128),
            stem_type="deep",
            stem_width=8,
            zero_init_last=False,
        )
    return timm.create_model(backbone, num_classes=0, in_chans=channels, zero_init_last=False)


def _pretrained(backbone: Backbone, source: str) -> dict[str, Tensor]:
    path = _imagenet_file(backbone) if source == "imagenet" else source
    state = pretrained_weights.load(path)
    with torch.device("meta"):
        expected = _network(backbone, 3).state_dict()
    pretrained_weights.check_fits(state, expected, path, f"timm's {backbone} for RGB images")
    return state


def _imagenet_file(backbone: Backbone) -> Path:
    if backbone == "narrow":
        raise AubenchError(
            "there are no ImageNet weights for 'narrow'", where="recipe key 'weights'", hint="set weights=none"
        )
    return pretrained_weights.fetch(f"timm/{backbone}.tv_in1k", f"ImageNet weights of {backbone}")
