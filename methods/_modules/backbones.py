"""ResNet encoders of any number of input channels, with ImageNet weights or without."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from aubench import AubenchError, PretrainingSource, Recipe
from aubench.methods._modules import pretrained_weights

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

Backbone = Literal["resnet18", "resnet34", "resnet50", "narrow"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class BackboneRecipe(Recipe):
    """What methods with ResNet encoders share."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"tiny": {"backbone": "narrow", "weights": "none"}}

    backbone: Backbone = Field("resnet18", description="'narrow' is ours: four blocks of 16 to 128 channels.")
    weights: str = Field("imagenet", description="First weights: 'imagenet', 'none' or a .safetensors file.")

    def pretraining_sources(self) -> tuple[PretrainingSource, ...]:
        """ImageNet, or nobody knows what, unless the weights are random."""
        if self.weights == "none":
            return ()
        if self.weights == "imagenet":
            return (PretrainingSource(f"timm/{self.backbone}.tv_in1k", ("ImageNet-1k",)),)
        return (PretrainingSource(Path(self.weights).name, ("unknown",)),)


class Encoder(nn.Module):
    """A ResNet up to its global average pooling, or to the maps before it.

    With pre-trained weights, images are brought from [-1, 1] to the statistics of ImageNet first;
    channels beyond RGB get the mean of the three channels' statistics.

    Args:
        backbone: Which ResNet.
        channels: Input channels; the first three are RGB if there are three or more.
        source: The ``weights`` of :class:`BackboneRecipe`.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, backbone: Backbone, channels: int, source: str) -> None:
        super().__init__()
        self.network = _network(backbone, channels)
        self.features: int = self.network.num_features
        mean, std = (_over_channels(values, channels) for values in (IMAGENET_MEAN, IMAGENET_STD))
        pretrained = source != "none"
        self.register_buffer("scale", 0.5 / std if pretrained else torch.ones_like(std))
        self.register_buffer("shift", (0.5 - mean) / std if pretrained else torch.zeros_like(mean))
        if pretrained and not self.scale.is_meta:
            self.network.load_state_dict(adapt_state(_pretrained(backbone, source), channels))

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Features of images in [-1, 1]."""
        features: Tensor = self.network.forward_head(self.maps(images))
        return features

    def maps(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d height width"]:
        """What the last block makes of images in [-1, 1], before its global average pooling."""
        maps: Tensor = self.network.forward_features(images * self.scale + self.shift)
        return maps


def widen_conv1(conv1: Float[Tensor, "o 3 h w"], channels: int) -> Float[Tensor, "o c h w"]:
    """First-layer weights for another number of channels.

    RGB keeps its weights if it is there, every other channel gets their mean, and all are scaled by
    3 / channels, so that the layer's response keeps its size.
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
    """Weights of a ResNet for RGB as those of an encoder: no classifier, another number of channels."""
    kept = {name: value for name, value in state.items() if not name.startswith("fc.")}
    return {**kept, "conv1.weight": widen_conv1(kept["conv1.weight"], channels)}


def _over_channels(rgb: tuple[float, float, float], channels: int) -> Tensor:
    values = torch.tensor(rgb)
    rest = values.mean().expand(channels)
    return torch.cat([values, rest[3:]] if channels >= 3 else [rest])[:, None, None]


def _network(backbone: Backbone, channels: int) -> Any:
    import timm
    from timm.models.resnet import BasicBlock, ResNet

    if backbone == "narrow":
        return ResNet(
            BasicBlock,  # type: ignore[arg-type]  # timm says instance and means class
            (1, 1, 1, 1),
            num_classes=0,
            in_chans=channels,
            channels=(16, 32, 64, 128),
            stem_type="deep",
            stem_width=8,
        )
    return timm.create_model(backbone, num_classes=0, in_chans=channels)


def _pretrained(backbone: Backbone, source: str) -> dict[str, Tensor]:
    path = _imagenet_file(backbone) if source == "imagenet" else source
    state = pretrained_weights.load(path)
    with torch.device("meta"):
        wanted = _network(backbone, 3).state_dict()
    pretrained_weights.check_fits(state, wanted, path, f"timm's {backbone} for RGB images")
    return state


def _imagenet_file(backbone: Backbone) -> Path:
    if backbone == "narrow":
        raise AubenchError(
            "there are no ImageNet weights for 'narrow'", where="recipe key 'weights'", hint="set weights=none"
        )
    return pretrained_weights.fetch(f"timm/{backbone}.tv_in1k", f"ImageNet weights of {backbone}")
