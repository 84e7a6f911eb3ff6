"""What vision transformers are made of: positions, patches, blocks, and how they are trained."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from aubench import Progress

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

LONGEST_WAVE = 10_000.0
"""Of the fixed positions, over 2π."""


def sine_cosine(positions: Float[Tensor, " length"], width: int) -> Float[Tensor, "length width"]:
    """Fixed embeddings of places on a line: all sines, then all cosines, of falling frequency.

    Args:
        positions: Coordinates.
        width: Of an embedding; even.

    Raises:
        ValueError: The width is odd.
    """
    if width % 2:
        raise ValueError(f"positions need an even width, not {width}")
    share = torch.arange(width // 2, dtype=torch.float64, device=positions.device) / (width // 2)
    angles = positions.double()[:, None] * LONGEST_WAVE**-share
    return torch.cat([angles.sin(), angles.cos()], 1).float()


def sine_cosine_line(length: int, width: int) -> Float[Tensor, "length width"]:
    """Fixed embeddings of the places 0 to length - 1."""
    return sine_cosine(torch.arange(length), width)


def sine_cosine_grid(rows: int, columns: int, width: int) -> Float[Tensor, "cells width"]:
    """Fixed embeddings of a grid's cells, row by row: the first half tells the column, the second the row.

    Args:
        rows: Of the grid.
        columns: Of the grid.
        width: Of an embedding; a multiple of four.
    """
    across = sine_cosine_line(columns, width // 2).repeat(rows, 1)
    down = sine_cosine_line(rows, width // 2).repeat_interleave(columns, 0)
    return torch.cat([across, down], 1)


def patchify(images: Float[Tensor, "n c h w"], patch: int) -> Float[Tensor, "n cells values"]:
    """Images as rows of patches; within a patch, pixels row by row, each with its channels side by side.

    Args:
        images: Height and width are multiples of ``patch``.
        patch: Side of a patch in pixels.
    """
    n, c, height, width = images.shape
    rows, columns = height // patch, width // patch
    cut = images.reshape(n, c, rows, patch, columns, patch)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(n, rows * columns, patch * patch * c)


def unpatchify(patches: Float[Tensor, "n cells values"], patch: int, rows: int) -> Float[Tensor, "n c h w"]:
    """The images that :func:`patchify` cut.

    Args:
        patches: Of a grid.
        patch: Side of a patch in pixels.
        rows: Of the grid.
    """
    n, cells, values = patches.shape
    columns, c = cells // rows, values // patch**2
    grid = patches.reshape(n, rows, columns, patch, patch, c)
    return grid.permute(0, 5, 1, 3, 2, 4).reshape(n, c, rows * patch, columns * patch)


def init_weights(module: nn.Module) -> None:
    """Draw a linear layer's weights as masked autoencoders do; for ``Module.apply``."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class Blocks(nn.Sequential):
    """Pre-norm transformer blocks on tokens (N, L, width), named and shaped as timm's.

    Args:
        width: Of a token.
        depth: Number of blocks.
        heads: Of the attention; divides ``width``.
        drop_path: As in :meth:`set_drop_path`.
    """

    def __init__(self, width: int, depth: int, heads: int, drop_path: float = 0.0) -> None:
        from timm.layers.drop import DropPath
        from timm.models.vision_transformer import Block

        blocks: list[Any] = [Block(width, heads, qkv_bias=True) for _ in range(depth)]  # MCM eqs. (1) and (2)
        for block in blocks:
            block.drop_path1, block.drop_path2 = DropPath(), DropPath()
        super().__init__(*blocks)
        self.apply(init_weights)
        self.set_drop_path(drop_path)

    def set_drop_path(self, rate: float) -> None:
        """Let training skip each branch of a frame with a chance that grows linearly from 0 to ``rate`` with depth."""
        block: Any
        for index, block in enumerate(self):
            block.drop_path1.drop_prob = block.drop_path2.drop_prob = rate * index / max(len(self) - 1, 1)


def layer_of(name: str, depth: int) -> int:
    """How deep a parameter lies: 0 for embeddings, i + 1 in block i, depth + 1 for whatever follows the blocks."""
    if block := re.search(r"\bblocks\.(\d+)\.", name):
        return int(block[1]) + 1
    return 0 if re.search(r"\b(patch_embed|cls_token|pos_embed)\b", name) else depth + 1


def parameter_groups(
    parameters: Iterable[tuple[str, nn.Parameter]],
    learning_rate: float,
    weight_decay: float,
    depth: int = 0,
    layer_decay: float = 1.0,
) -> list[dict[str, Any]]:
    """Groups for an optimiser: learning rates fall towards the input; vectors and lone tokens have no weight decay.

    Args:
        parameters: With their names, in timm's words; those without gradient are left out.
        learning_rate: Of the last layer.
        weight_decay: Of matrices and kernels.
        depth: Number of blocks.
        layer_decay: What each layer's learning rate is multiplied by to give that of the one before it.
    """
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in parameters:
        if not parameter.requires_grad:
            continue
        layer = depth + 1 if layer_decay == 1 else layer_of(name, depth)
        decays = parameter.ndim > 1 and not name.endswith("token")
        group = {
            "params": [],
            "lr": learning_rate * layer_decay ** (depth + 1 - layer),
            "weight_decay": weight_decay if decays else 0.0,
        }
        groups.setdefault((layer, decays), group)["params"].append(parameter)
    return [groups[key] for key in sorted(groups)]


def warmup_cosine(progress: Progress, warmup_epochs: float, floor: float) -> float:
    """A learning rate that rises linearly from 0 to 1, then falls along half a cosine to a floor.

    Args:
        progress: Where training is.
        warmup_epochs: Length of the rise.
        floor: What is left at the end.
    """
    epoch = progress.fraction * progress.epochs
    if epoch < warmup_epochs:
        return epoch / warmup_epochs
    done = (epoch - warmup_epochs) / (progress.epochs - warmup_epochs)
    return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2
