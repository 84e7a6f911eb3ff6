"""VideoMAE's two halves: an encoder of the places that are shown, a decoder that fills in the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field
from torch import nn

from aubench import PretrainingSource, Recipe
from aubench.methods._modules import video_weights
from aubench.methods._modules.transformer import Blocks, init_weights
from aubench.methods._modules.video import Positions, at_places

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor


class VideoAutoencoderRecipe(Recipe):
    """What methods with a video masked autoencoder share: its shape, its clips, its pre-training."""

    clip_frames: int = Field(128, ge=2, description="Frames of a clip.")
    segment: int = Field(16, ge=2, description="Frames that go through the encoder together.")
    patch: int = Field(16, ge=1, description="Side of a patch in pixels.")
    tubelet: int = Field(2, ge=1, description="Frames of a token.")
    width: int = Field(768, ge=4, description="Of the encoder's tokens.")
    depth: int = Field(12, ge=1, description="Blocks of the encoder.")
    heads: int = Field(12, ge=1, description="Of the encoder's attention.")
    positions: Positions = Field("line", description="'line' numbers a clip's tokens, 'grid' tells time and place.")
    decoder_width: int = Field(384, ge=4)
    decoder_depth: int = Field(4, ge=1)
    decoder_heads: int = Field(6, ge=1)
    weights: str = Field("none", description="First weights: 'none', 'videomae' or a .safetensors file of that kind.")

    pretrain_epochs: int = Field(500, ge=0, description="0 leaves pre-training out.")
    pretrain_batch_size: int = Field(8, ge=1)
    pretrain_frames_per_epoch: int | None = Field(None, ge=1, description="Frames drawn for such an epoch.")
    pretrain_learning_rate: float = Field(3.75e-5, gt=0)
    pretrain_warmup_epochs: float = Field(40, ge=0)
    pretrain_weight_decay: float = Field(0.0, ge=0)
    pretrain_scope: Literal["train", "all"] = Field("train", description="Whose frames; 'all' includes test subjects.")
    mask: float = Field(0.9, gt=0, lt=1, description="Share of places hidden in pre-training.")

    @property
    def clip_length(self) -> int:
        """Frames of a clip."""
        return self.clip_frames

    def pretraining_sources(self) -> tuple[PretrainingSource, ...]:
        """VideoMAE's data, or nobody knows what, unless the weights are random."""
        return video_weights.pretraining_sources(self.weights)


class VideoEncoder(nn.Module):
    """Transformer blocks on the tubelets that are shown.

    Args:
        place: Fixed embeddings of the longest clip's tubelets, (1, steps, places, width).
        values: Of a tubelet.
        depth: Number of blocks.
        heads: Of the attention.
    """

    place: Tensor

    def __init__(self, place: Tensor, values: int, depth: int, heads: int) -> None:
        super().__init__()
        width = place.shape[-1]
        self.patch_embed = nn.Linear(values, width)
        init_weights(self.patch_embed)
        self.register_buffer("place", place, persistent=False)
        self.blocks = Blocks(width, depth, heads)

    def forward(
        self, tubelets: Float[Tensor, "n steps places values"], shown: Int[Tensor, "n k"] | None = None
    ) -> Float[Tensor, "n steps k width"]:
        """Tokens of the places that are shown; of all when None."""
        place = self.place[:, : tubelets.shape[1]]
        if shown is not None:
            tubelets, place = at_places(tubelets, shown), at_places(place, shown)
        tokens = self.patch_embed(tubelets) + place
        encoded: Tensor = self.blocks(tokens.flatten(1, 2))
        return encoded.reshape(tokens.shape)


class VideoDecoder(nn.Module):
    """From tokens of shown places to the pixels of hidden ones.

    Args:
        place: As the encoder's, of the decoder's own width.
        values: Of a tubelet.
        encoded: Width of the encoder's tokens.
        depth: Number of blocks.
        heads: Of the attention.
    """

    place: Tensor

    def __init__(self, place: Tensor, values: int, encoded: int, depth: int, heads: int) -> None:
        super().__init__()
        width = place.shape[-1]
        self.encoder_norm = nn.LayerNorm(encoded)
        self.embed = nn.Linear(encoded, width, bias=False)
        self.mask_token = nn.Parameter(torch.empty(width))
        self.register_buffer("place", place, persistent=False)
        self.blocks = Blocks(width, depth, heads)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, values)
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        init_weights(self.embed)
        init_weights(self.head)

    def forward(
        self, tokens: Float[Tensor, "n steps k encoded"], shown: Int[Tensor, "n k"], hidden: Int[Tensor, "n m"]
    ) -> Float[Tensor, "n steps m values"]:
        """Pixels of hidden places, as normalised as those that it learnt from."""
        place = self.place[:, : tokens.shape[1]]
        known = self.embed(self.encoder_norm(tokens)) + at_places(place, shown)
        asked = self.mask_token + at_places(place, hidden)
        together = torch.cat([known, asked], 2)
        decoded = self.blocks(together.flatten(1, 2)).reshape(together.shape)
        pixels: Tensor = self.head(self.norm(decoded[:, :, known.shape[2] :]))
        return pixels
