"""Transformers over AUs: a token for each AU, attention between tokens of several modalities, an answer for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

Tokens = Literal["attention", "linear"]


class AttendedTokens(nn.Module):
    """A token per AU from where its own attention map looks, by one projection for all AUs.

    Args:
        channels: Of the feature maps.
        aus: Number of AUs.
        width: Of a token.
    """

    def __init__(self, channels: int, aus: int, width: int) -> None:
        super().__init__()
        self.attention = nn.Conv2d(channels, aus, 1, bias=False)
        self.projection = nn.Linear(channels, width)

    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n au d"]:
        """Tokens of all AUs."""
        looks = self.attention(maps).flatten(2).softmax(2)
        tokens: Tensor = self.projection(looks @ maps.flatten(2).mT)
        return tokens


class ProjectedTokens(nn.Module):
    """A token per AU from the average over positions, by a projection of its own.

    Args:
        channels: Of the feature maps.
        aus: Number of AUs.
        width: Of a token.
    """

    def __init__(self, channels: int, aus: int, width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(channels, aus * width)
        self.shape = (aus, width)

    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n au d"]:
        """Tokens of all AUs."""
        tokens: Tensor = self.projection(maps.mean((2, 3)))
        return tokens.reshape(-1, *self.shape)


class AUEncoding(nn.Module):
    """Feature maps to AU tokens with a learned embedding, through transformer layers.

    Args:
        tokens: How they come out of the maps.
        channels: Of the feature maps.
        aus: Number of AUs.
        width: Of a token.
        layers: Of the transformer.
        heads: Of its attention.
        dropout: In its MLPs and after its attention.
    """

    def __init__(
        self, tokens: Tokens, channels: int, aus: int, width: int, layers: int, heads: int, dropout: float
    ) -> None:
        from timm.models.vision_transformer import Block

        super().__init__()
        self.tokens = (AttendedTokens if tokens == "attention" else ProjectedTokens)(channels, aus, width)
        self.embedding = nn.Parameter(nn.init.trunc_normal_(torch.empty(aus, width), std=0.02))
        blocks = (Block(width, heads, qkv_bias=True, proj_drop=dropout) for _ in range(layers))
        self.transformer = nn.Sequential(*blocks, nn.LayerNorm(width))

    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n au d"]:
        """AU encodings."""
        encodings: Tensor = self.transformer(self.tokens(maps) + self.embedding)
        return encodings


class FusionAttention(nn.Module):
    """Tokens that query the tokens of all modalities, then an MLP; each with a residual and a norm.

    Args:
        width: Of a token.
        heads: Of the attention.
        dropout: After attention and MLP.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)
        self.after_attention, self.after_mlp = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, query: Float[Tensor, "n au d"], memory: Float[Tensor, "n t d"]) -> Float[Tensor, "n au d"]:
        """The queries with what they found in memory."""
        found, _ = self.attention(query, memory, memory, need_weights=False)
        mixed = self.after_attention(query + self.dropout(found))
        fused: Tensor = self.after_mlp(mixed + self.dropout(self.mlp(mixed)))
        return fused


class AUHeads(nn.Linear):
    """A logit for each AU from its own token, by weights of its own.

    Args:
        width: Of a token.
        aus: Number of AUs.
    """

    def __init__(self, width: int, aus: int) -> None:
        super().__init__(width, aus)

    def forward(self, tokens: Float[Tensor, "n au d"]) -> Float[Tensor, "n au"]:
        """Logits."""
        return torch.einsum("nad,ad->na", tokens, self.weight) + self.bias
