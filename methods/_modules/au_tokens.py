# Installed as aubench.methods._modules.au_tokens.
"""AU tokens, transformers over them, fusion attention between modalities, and a linear head per AU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

Tokens = Literal["attention", "linear"]


class AttendedTokens(nn.Module):
    """One token per AU by an attention map per AU and one projection for all AUs.

    Args:
        channels: Channels of the feature maps.
        aus: Number of AUs.
        width: Width of a token.
    """

    def __init__(self, channels: int, aus: int, width: int) -> None:
        super().__init__()
        self.attention = nn.Conv2d(channels, aus, 1, bias=False)
        self.projection = nn.Linear(channels, width)

    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n au d"]:
        """Return the tokens of all AUs."""
        weights = self.attention(maps).flatten(2).softmax(2)
        tokens: Tensor = self.projection(weights @ maps.flatten(2).mT)
        return tokens


class ProjectedTokens(nn.Module):
    """One token per AU by a projection per AU of the average over positions.

    Args:
        channels: Channels of the feature maps.
        aus: Number of AUs.
        width: Width of a token.
    """

    def __init__(self, channels: int, aus: int, width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(channels, aus * width)
        self.shape = (aus, width)

    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n au d"]:
        """Return the tokens of all AUs."""
        tokens: Tensor = self.projection(maps.mean((2, 3)))
        return tokens.reshape(-1, *self.shape)


class AUEncoding(nn.Module):
    """Transformer encoder of AU tokens with a learned embedding per AU.

    Args:
        tokens: Kind of tokens.
        channels: Channels of the feature maps.
        aus: Number of AUs.
        width: Width of a token.
        layers: Number of transformer layers.
        heads: Number of attention heads.
        dropout: Dropout rate in MLPs and after attention.
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
        """Return the AU encodings."""
        encodings: Tensor = self.transformer(self.tokens(maps) + self.embedding)
        return encodings


class FusionAttention(nn.Module):
    """Attention of query tokens to the tokens of all modalities and an MLP, each with residual and norm.

    Args:
        width: Width of a token.
        heads: Number of attention heads.
        dropout: Dropout rate after attention and MLP.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)
        self.after_attention, self.after_mlp = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, query: Float[Tensor, "n au d"], memory: Float[Tensor, "n t d"]) -> Float[Tensor, "n au d"]:
        """Return the updated query tokens."""
        attended, _ = self.attention(query, memory, memory, need_weights=False)
        mixed = self.after_attention(query + self.dropout(attended))
        fused: Tensor = self.after_mlp(mixed + self.dropout(self.mlp(mixed)))
        return fused


class AUHeads(nn.Linear):
    """Linear layer per AU from its token to its logit.

    Args:
        width: Width of a token.
        aus: Number of AUs.
    """

    def __init__(self, width: int, aus: int) -> None:
        super().__init__(width, aus)

    def forward(self, tokens: Float[Tensor, "n au d"]) -> Float[Tensor, "n au"]:
        """Return the logits."""
        return torch.einsum("nad,ad->na", tokens, self.weight) + self.bias
