# Installed as aubench.methods._modules.video_autoencoder.
"""Encoder of visible tubelets and decoder of masked tubelets, as in VideoMAE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field
from torch import nn

from aubench import PretrainingSource
from aubench.methods._modules import pretrained_weights, video_weights
from aubench.methods._modules.activation_memory import ActivationMemoryRecipe
from aubench.methods._modules.transformer import Blocks, init_weights
from aubench.methods._modules.video import Positions, gather_cells

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor


class VideoAutoencoderRecipe(ActivationMemoryRecipe):
    """Hyper-parameters of a video masked autoencoder: architecture, clips and pre-training."""

    clip_frames: int = Field(128, ge=2, description="Frames of a clip.")
    segment: int = Field(16, ge=2, description="Frames per input of the encoder.")
    patch: int = Field(16, ge=1, description="Side of a patch in pixels.")
    tubelet: int = Field(2, ge=1, description="Frames of a token.")
    width: int = Field(768, ge=4, description="Width of the encoder's tokens.")
    depth: int = Field(12, ge=1, description="Number of the encoder's blocks.")
    heads: int = Field(12, ge=1, description="Number of the encoder's attention heads.")
    positions: Positions = Field(
        "line", description="Position embedding: 'line' of a token's index in the clip, 'grid' of step, column and row."
    )
    decoder_width: int = Field(384, ge=4)
    decoder_depth: int = Field(4, ge=1)
    decoder_heads: int = Field(6, ge=1)
    weights: str = Field(
        "none", description="Initial weights: 'none', 'videomae' or a .safetensors file in VideoMAE's format."
    )

    pretrain_epochs: int = Field(500, ge=0, description="Epochs of pre-training (0 disables it).")
    pretrain_batch_size: int = Field(8, ge=1)
    pretrain_frames_per_epoch: int | None = Field(None, ge=1, description="Frames sampled per epoch of pre-training.")
    pretrain_learning_rate: float = Field(3.75e-5, gt=0)
    pretrain_warmup_epochs: float = Field(40, ge=0)
    pretrain_weight_decay: float = Field(0.0, ge=0)
    pretrain_scope: Literal["train", "all"] = Field(
        "train", description="Subjects used for pre-training. 'all' includes test subjects."
    )
    mask: float = Field(0.9, gt=0, lt=1, description="Share of cells masked in pre-training.")

    @property
    def clip_length(self) -> int:
        """Frames of a clip."""
        return self.clip_frames

    def pretraining_sources(self) -> tuple[PretrainingSource, ...]:
        """Return the sources of the initial weights, none for random weights."""
        return pretrained_weights.sources(self.weights, {"videomae": (video_weights.HUB, "Kinetics-400")})


class VideoEncoder(nn.Module):
    """Transformer blocks on visible tubelets.

    Args:
        positions: Fixed embeddings of the longest clip's tubelets, (1, steps, cells, width).
        values: Number of values of a tubelet.
        depth: Number of blocks.
        heads: Number of attention heads.
    """

    positions: Tensor

    def __init__(self, positions: Tensor, values: int, depth: int, heads: int) -> None:
        super().__init__()
        width = positions.shape[-1]
        self.patch_embed = nn.Linear(values, width)
        init_weights(self.patch_embed)
        self.register_buffer("positions", positions, persistent=False)
        self.blocks = Blocks(width, depth, heads)

    def forward(
        self, tubelets: Float[Tensor, "n steps cells values"], visible: Int[Tensor, "n k"] | None = None
    ) -> Float[Tensor, "n steps k width"]:
        """Return the tokens of ``visible`` cells, of all cells by default."""
        positions = self.positions[:, : tubelets.shape[1]]
        if visible is not None:
            tubelets, positions = gather_cells(tubelets, visible), gather_cells(positions, visible)
        tokens = self.patch_embed(tubelets) + positions
        encoded: Tensor = self.blocks(tokens.flatten(1, 2))
        return encoded.reshape(tokens.shape)


class VideoDecoder(nn.Module):
    """Transformer blocks that predict the pixels of masked cells from the tokens of visible cells.

    Args:
        positions: Embeddings as in the encoder, with the decoder's width.
        values: Number of values of a tubelet.
        encoded: Width of the encoder's tokens.
        depth: Number of blocks.
        heads: Number of attention heads.
    """

    positions: Tensor

    def __init__(self, positions: Tensor, values: int, encoded: int, depth: int, heads: int) -> None:
        super().__init__()
        width = positions.shape[-1]
        self.encoder_norm = nn.LayerNorm(encoded)
        self.embed = nn.Linear(encoded, width, bias=False)
        self.mask_token = nn.Parameter(torch.empty(width))
        self.register_buffer("positions", positions, persistent=False)
        self.blocks = Blocks(width, depth, heads)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, values)
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        init_weights(self.embed)
        init_weights(self.head)

    def forward(
        self, tokens: Float[Tensor, "n steps k encoded"], visible: Int[Tensor, "n k"], masked: Int[Tensor, "n m"]
    ) -> Float[Tensor, "n steps m values"]:
        """Return the normalised pixels of masked cells."""
        positions = self.positions[:, : tokens.shape[1]]
        visible_tokens = self.embed(self.encoder_norm(tokens)) + gather_cells(positions, visible)
        mask_tokens = self.mask_token + gather_cells(positions, masked)
        all_tokens = torch.cat([visible_tokens, mask_tokens], 2)
        decoded = self.blocks(all_tokens.flatten(1, 2)).reshape(all_tokens.shape)
        pixels: Tensor = self.head(self.norm(decoded[:, :, visible_tokens.shape[2] :]))
        return pixels
