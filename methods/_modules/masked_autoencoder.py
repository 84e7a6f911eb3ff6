"""A masked autoencoder of images: a vision transformer that sees some patches, and decoders that tell the others."""

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
"""Where the hub has weights of ViT-B/16, by what a recipe calls them; all saw ImageNet-1k alone."""


def kept_patches(frames: int, cells: int, share: float, device: torch.device) -> Int[Tensor, "frames kept"]:
    """Draw the patches of each frame that are not masked, uniformly and without return.

    Args:
        frames: How many draws.
        cells: Patches of a frame.
        share: Of patches that are masked, in [0, 1); at least one is kept.
        device: Where to draw.
    """
    kept = max(cells - round(cells * share), 1)
    return torch.rand(frames, cells, device=device).argsort(1)[:, :kept]


def masked_patches(kept: Int[Tensor, "n kept"], cells: int) -> Bool[Tensor, "n cells"]:
    """Which patches are not kept."""
    return torch.ones(len(kept), cells, dtype=torch.bool, device=kept.device).scatter(1, kept, False)


def mean_squared_error(
    predicted: Float[Tensor, "n cells values"],
    target: Float[Tensor, "n cells values"],
    judged: Bool[Tensor, "n cells"],
) -> Float[Tensor, ""]:
    """Mean over a patch's values, then over the patches that are judged; 0 where none is."""
    errors: Tensor = (predicted.float() - target.float()).square().mean(-1)
    return (errors * judged).sum() / judged.sum().clamp(min=1)


def normalize_patches(patches: Float[Tensor, "n cells values"]) -> Float[Tensor, "n cells values"]:
    """Patches with mean 0 and variance 1 each."""
    return (patches - patches.mean(-1, keepdim=True)) / (patches.var(-1, keepdim=True) + 1e-6).sqrt()


class ViT(nn.Module):
    """A vision transformer on images of three channels, that can leave out patches.

    Parameters are named as timm's, so that its weights fit; positions are sine-cosine.

    Args:
        image_size: Side of an image in pixels.
        patch: Side of a patch in pixels.
        width: Of a token.
        depth: Number of blocks.
        heads: Of the attention.
        source: 'none', a key of :data:`REPOSITORIES` or the path of a .safetensors file. Where it is not 'none',
            images in [-1, 1] are brought to the mean and standard deviation of all of ImageNet's channels.
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
        self, images: Float[Tensor, "n 3 h w"], kept: Int[Tensor, "n kept"] | None = None
    ) -> Float[Tensor, "n tokens d"]:
        """The class token, then one token for each patch that is kept; all by default.

        Args:
            images: In [-1, 1].
            kept: From :func:`kept_patches`.
        """
        tokens: Tensor = self.patch_embed["proj"](images * self.scale + self.shift).flatten(2).transpose(1, 2)
        tokens = tokens + self.positions
        if kept is not None:
            tokens = tokens.gather(1, kept[:, :, None].expand(-1, -1, tokens.shape[-1]))
        first = self.cls_token.expand(len(tokens), -1, -1).to(tokens.dtype)
        found: Tensor = self.norm(self.blocks(torch.cat([first, tokens], 1)))
        return found

    def _load(self, source: str) -> None:
        path = source
        if source in REPOSITORIES:
            path = str(pretrained_weights.fetch(REPOSITORIES[source], f"weights '{source}' of ViT-B/16"))
        state = pretrained_weights.load(path, "'mae', 'imagenet', 'none'")
        own = self.state_dict()
        pretrained_weights.check_fits(state, own, path, "a ViT of this width, depth and patch size in timm's names")
        self.load_state_dict({name: state[name] for name in own})


class Decoder(nn.Module):
    """A small transformer from tokens of kept patches to the pixels of all.

    Args:
        side: Patches along a side of the image.
        encoded: Width of the encoder's tokens.
        width: Of its own tokens.
        depth: Number of blocks.
        heads: Of the attention.
        values: Of a patch, as :func:`~aubench.methods._modules.transformer.patchify` orders them.
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
        self, tokens: Float[Tensor, "n tokens d"], kept: Int[Tensor, "n kept"]
    ) -> Float[Tensor, "n cells values"]:
        """Pixels of all patches.

        Args:
            tokens: Of the encoder, the class token first.
            kept: The patches that the others belong to.
        """
        tokens = self.embed(tokens)
        cells = self.mask_token.expand(len(tokens), len(self.positions), -1).to(tokens.dtype)
        cells = cells.scatter(1, kept[:, :, None].expand(-1, -1, tokens.shape[-1]), tokens[:, 1:])
        every = self.blocks(torch.cat([tokens[:, :1], cells + self.positions], 1))
        found: Tensor = self.pixels(self.norm(every[:, 1:]))
        return found
