"""ResNet encoders of any number of input channels, with ImageNet weights or without."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from aubench import AubenchError, Recipe, Seen

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

Backbone = Literal["resnet18", "resnet34", "resnet50", "narrow"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_FILE = "model.safetensors"


class BackboneRecipe(Recipe):
    """What methods with ResNet encoders share."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"tiny": {"backbone": "narrow", "weights": "none"}}

    backbone: Backbone = Field("resnet18", description="'narrow' is ours: four blocks of 16 to 128 channels.")
    weights: str = Field("imagenet", description="First weights: 'imagenet', 'none' or a .safetensors file.")

    def seen(self) -> tuple[Seen, ...]:
        """ImageNet, or nobody knows what, unless the weights are random."""
        if self.weights == "none":
            return ()
        if self.weights == "imagenet":
            return (Seen(f"timm/{self.backbone}.tv_in1k", ("ImageNet-1k",)),)
        return (Seen(Path(self.weights).name, ("unknown",)),)


class Encoder(nn.Module):
    """A ResNet up to its global average pooling.

    With pre-trained weights, images are brought from [-1, 1] to the statistics of ImageNet first;
    channels beyond RGB get the mean of the three channels' statistics.

    Args:
        backbone: Which ResNet.
        channels: Input channels; the first three are RGB if there are three or more.
        weights: As in :class:`BackboneRecipe`.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, backbone: Backbone, channels: int, weights: str) -> None:
        super().__init__()
        self.network = _network(backbone, channels)
        self.features: int = self.network.num_features
        mean, std = (_over_channels(values, channels) for values in (IMAGENET_MEAN, IMAGENET_STD))
        pretrained = weights != "none"
        self.register_buffer("scale", 0.5 / std if pretrained else torch.ones_like(std))
        self.register_buffer("shift", (0.5 - mean) / std if pretrained else torch.zeros_like(mean))
        if pretrained and not self.scale.is_meta:
            self.network.load_state_dict(adapted(_pretrained(backbone, weights), channels))

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Features of images in [-1, 1]."""
        features: Tensor = self.network(images * self.scale + self.shift)
        return features


def widened(conv1: Float[Tensor, "o 3 h w"], channels: int) -> Float[Tensor, "o c h w"]:
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


def adapted(state: Mapping[str, Tensor], channels: int) -> dict[str, Tensor]:
    """Weights of a ResNet for RGB as those of an encoder: no classifier, another number of channels."""
    kept = {name: value for name, value in state.items() if not name.startswith("fc.")}
    return {**kept, "conv1.weight": widened(kept["conv1.weight"], channels)}


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


def _pretrained(backbone: Backbone, weights: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = _imagenet_file(backbone) if weights == "imagenet" else Path(weights)
    try:
        state = load_file(path)
    except FileNotFoundError:
        raise AubenchError(
            "no such file", where=weights, hint="give 'imagenet', 'none' or a .safetensors file"
        ) from None
    except (SafetensorError, OSError) as error:
        raise AubenchError(
            f"is not a safetensors file ({type(error).__name__})",
            where=path,
            hint="pickled weights (.pt, .pth, .bin) can run code and are not read; convert them first",
        ) from None
    _check_fits(state, backbone, path)
    return state


def _check_fits(state: Mapping[str, Tensor], backbone: Backbone, path: Path) -> None:
    with torch.device("meta"):
        wanted = _network(backbone, 3).state_dict()
    for name, value in wanted.items():
        found = tuple(state[name].shape) if name in state else "nothing"
        if found != tuple(value.shape):
            raise AubenchError(
                f"has {found} for '{name}' instead of {tuple(value.shape)}",
                where=path,
                hint=f"give weights of timm's {backbone} for RGB images",
            )


def _imagenet_file(backbone: Backbone) -> Path:
    import huggingface_hub as hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    if backbone == "narrow":
        raise AubenchError(
            "there are no ImageNet weights for 'narrow'", where="recipe key 'weights'", hint="set weights=none"
        )
    repository = f"timm/{backbone}.tv_in1k"
    try:
        return Path(hub.hf_hub_download(repository, _FILE, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    try:
        hub.get_hf_file_metadata(hub.hf_hub_url(repository, _FILE))  # fails at once where a download would try for long
        return Path(hub.hf_hub_download(repository, _FILE))
    except Exception as error:  # the network fails in many ways
        raise AubenchError(
            f"cannot be fetched ({type(error).__name__})",
            where=f"ImageNet weights of {backbone}",
            hint=f"set weights=PATH to {_FILE} of {repository}, or weights=none",
        ) from error
