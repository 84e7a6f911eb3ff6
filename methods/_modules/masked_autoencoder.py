# Installed as aubench.methods._modules.masked_autoencoder.
"""Masked autoencoder of images: a vision transformer on visible patches and decoders of masked patches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from aubench.methods._modules import pretrained_weights
from aubench.methods._modules.backbones import IMAGENET_MEAN, IMAGENET_STD
from aubench.methods._modules.transformer import Blocks, init_weights, sine_cosine_grid

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

REPOSITORIES = {"mae": "timm/vit_base_patch16_224.mae", "imagenet": "timm/deit_base_patch16_224.fb_in1k"}
"""Hub repositories of ViT-B/16 weights by name in a recipe. All were trained on ImageNet-1k."""


def count_masked(cells: int, share: float) -> int:
    """Return the number of masked patches, so that at least one is visible."""
    return min(round(cells * share), cells - 1)


def sample_visible_patches(frames: int, cells: int, share: float, device: torch.device) -> Int[Tensor, "frames k"]:
    """Sample the visible patches of each frame uniformly without replacement.

    Args:
        frames: Number of frames.
        cells: Number of patches of a frame.
        share: Share of masked patches in [0, 1). At least one patch is visible.
        device: Device of the random numbers.
    """
    visible = cells - count_masked(cells, share)
    return torch.rand(frames, cells, device=device).argsort(1)[:, :visible]


def masked_patches(visible: Int[Tensor, "n k"], cells: int) -> Bool[Tensor, "n cells"]:
    """Return the mask of patches that are not visible."""
    return torch.ones(len(visible), cells, dtype=torch.bool, device=visible.device).scatter(1, visible, False)


def mean_squared_error(
    predicted: Float[Tensor, "n cells values"],
    target: Float[Tensor, "n cells values"],
    scored: Bool[Tensor, "n cells"],
) -> Float[Tensor, ""]:
    """Return the mean over a patch's values and over ``scored`` patches, or 0 if there are none."""
    errors: Tensor = (predicted.float() - target.float()).square().mean(-1)
    return (errors * scored).sum() / scored.sum().clamp(min=1)


def normalize_patches(patches: Float[Tensor, "n cells values"]) -> Float[Tensor, "n cells values"]:
    """Normalise each patch to mean 0 and variance 1."""
    return (patches - patches.mean(-1, keepdim=True)) / (patches.var(-1, keepdim=True) + 1e-6).sqrt()


class ViT(nn.Module):
    """Vision transformer on three-channel images, optionally on visible patches only.

    Parameters have timm's names, so that its weights fit. Positions are sine-cosine.

    Args:
        image_size: Side of an image in pixels.
        patch: Side of a patch in pixels.
        width: Width of a token.
        depth: Number of blocks.
        heads: Number of attention heads.
        source: 'none', a key of :data:`REPOSITORIES` or the path of a .safetensors file. Unless it is 'none', images
            in [-1, 1] are converted to the mean and standard deviation averaged over ImageNet's channels.
    """

    positions: Tensor

    def __init__(self, image_size: int, patch: int, width: int, depth: int, heads: int, source: str = "none") -> None:
        super().__init__()
        side = image_size // patch
        self.depth = depth
        projection = nn.Conv2d(3, width, patch, patch)
        self.patch_embed = nn.ModuleDict({"proj": projection})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = Blocks(width, depth, heads)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.register_buffer("positions", sine_cosine_grid(side, side, width), persistent=False)
        nn.init.xavier_uniform_(projection.weight.detach().view(width, -1))
        nn.init.normal_(self.cls_token, std=0.02)
        mean, deviation = (sum(rgb) / 3 for rgb in (IMAGENET_MEAN, IMAGENET_STD))
        self.scale, self.shift = (1.0, 0.0) if source == "none" else (0.5 / deviation, (0.5 - mean) / deviation)
        if source != "none" and not self.cls_token.is_meta:
            self._load(source)

    def forward(
        self, images: Float[Tensor, "n 3 h w"], visible: Int[Tensor, "n k"] | None = None, *, norm: bool = True
    ) -> Float[Tensor, "n tokens d"]:
        """Return the class token and one token per visible patch, all patches by default.

        Args:
            images: Images in [-1, 1].
            visible: Visible patches from :func:`sample_visible_patches`.
            norm: Whether to apply the encoder's last norm.
        """
        tokens: Tensor = self.patch_embed["proj"](images * self.scale + self.shift).flatten(2).transpose(1, 2)
        tokens = tokens + self.positions
        if visible is not None:
            tokens = tokens.gather(1, visible[:, :, None].expand(-1, -1, tokens.shape[-1]))
        cls_token = self.cls_token.expand(len(tokens), -1, -1).to(tokens.dtype)
        encoded: Tensor = self.blocks(torch.cat([cls_token, tokens], 1))
        return self.norm(encoded) if norm else encoded

    def _load(self, source: str) -> None:
        path = source
        if source in REPOSITORIES:
            path = str(pretrained_weights.fetch(REPOSITORIES[source], f"weights '{source}' of ViT-B/16"))
        state = pretrained_weights.load(path, "'mae', 'imagenet', 'none'")
        target = self.state_dict()
        pretrained_weights.check_fits(state, target, path, "a ViT of this width, depth and patch size in timm's names")
        self.load_state_dict({name: state[name] for name in target})


class Decoder(nn.Module):
    """Small transformer from tokens of visible patches to the pixels of all patches.

    Args:
        side: Patches along a side of the image.
        encoded: Width of the encoder's tokens.
        width: Width of the decoder's tokens.
        depth: Number of blocks.
        heads: Number of attention heads.
        values: Number of values of a patch, in the order of :func:`~aubench.methods._modules.transformer.patchify`.
    """

    positions: Tensor

    def __init__(self, side: int, encoded: int, width: int, depth: int, heads: int, values: int) -> None:
        super().__init__()
        self.embed = nn.Linear(encoded, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = Blocks(width, depth, heads)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pixels = nn.Linear(width, values)
        self.register_buffer("positions", sine_cosine_grid(side, side, width), persistent=False)
        self.apply(init_weights)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(
        self, tokens: Float[Tensor, "n tokens d"], visible: Int[Tensor, "n k"]
    ) -> Float[Tensor, "n cells values"]:
        """Return the pixels of all patches.

        Args:
            tokens: Tokens of the encoder, the class token first.
            visible: Patches of the other tokens.
        """
        tokens = self.embed(tokens)
        cells = self.mask_token.expand(len(tokens), len(self.positions), -1).to(tokens.dtype)
        cells = cells.scatter(1, visible[:, :, None].expand(-1, -1, tokens.shape[-1]), tokens[:, 1:])
        decoded = self.blocks(torch.cat([tokens[:, :1], cells + self.positions], 1))
        pixels: Tensor = self.pixels(self.norm(decoded[:, 1:]))
        return pixels
