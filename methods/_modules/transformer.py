# Installed as aubench.methods._modules.transformer.
"""Components of vision transformers: positions, patches, blocks, parameter groups and schedule."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from aubench import Progress

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

MAX_WAVELENGTH = 10_000.0
"""Maximum wavelength of the fixed positions over 2π."""


def sine_cosine(positions: Float[Tensor, " length"], width: int) -> Float[Tensor, "length width"]:
    """Return fixed embeddings of coordinates: all sines, then all cosines, with falling frequency.

    Args:
        positions: Coordinates.
        width: Width of an embedding, even.

    Raises:
        ValueError: The width is odd.
    """
    if width % 2:
        raise ValueError(f"positions need an even width, got {width}")
    exponents = torch.arange(width // 2, dtype=torch.float64, device=positions.device) / (width // 2)
    angles = positions.double()[:, None] * MAX_WAVELENGTH**-exponents
    return torch.cat([angles.sin(), angles.cos()], 1).float()


def sine_cosine_line(length: int, width: int) -> Float[Tensor, "length width"]:
    """Return fixed embeddings of the positions 0 to length - 1."""
    return sine_cosine(torch.arange(length), width)


def sine_cosine_grid(rows: int, columns: int, width: int) -> Float[Tensor, "cells width"]:
    """Return fixed embeddings of a grid's cells, row by row. The first half encodes the column, the second the row.

    Args:
        rows: Number of rows.
        columns: Number of columns.
        width: Width of an embedding, a multiple of four.
    """
    across = sine_cosine_line(columns, width // 2).repeat(rows, 1)
    down = sine_cosine_line(rows, width // 2).repeat_interleave(columns, 0)
    return torch.cat([across, down], 1)


def patchify(images: Float[Tensor, "n c h w"], patch: int) -> Float[Tensor, "n cells values"]:
    """Cut images into patches. Within a patch, pixels row by row, each with its channels side by side.

    Args:
        images: Images whose height and width are multiples of ``patch``.
        patch: Side of a patch in pixels.
    """
    n, c, height, width = images.shape
    rows, columns = height // patch, width // patch
    cut = images.reshape(n, c, rows, patch, columns, patch)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(n, rows * columns, patch * patch * c)


def unpatchify(patches: Float[Tensor, "n cells values"], patch: int, rows: int) -> Float[Tensor, "n c h w"]:
    """Reassemble the images that :func:`patchify` cut.

    Args:
        patches: Patches of a grid.
        patch: Side of a patch in pixels.
        rows: Rows of the grid.
    """
    n, cells, values = patches.shape
    columns, c = cells // rows, values // patch**2
    grid = patches.reshape(n, rows, columns, patch, patch, c)
    return grid.permute(0, 5, 1, 3, 2, 4).reshape(n, c, rows * patch, columns * patch)


def init_weights(module: nn.Module) -> None:
    """Initialise a linear layer as in masked autoencoders, for ``Module.apply``."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class DropPath(nn.Module):
    """Skipping of a residual branch of random samples in training, scaled to keep the mean.

    Attributes:
        drop_prob: Probability of skipping.
        factors: Factor of each sample, sampled for each call if None.
    """

    def __init__(self) -> None:
        super().__init__()
        self.drop_prob = 0.0
        self.factors: Tensor | None = None

    def sample(self, tokens: Float[Tensor, "n length width"]) -> Float[Tensor, "n 1 1"] | None:
        """Sample the factor of each sample; None if no branch is skipped."""
        if not self.training or self.drop_prob == 0:
            return None
        keep_prob = 1 - self.drop_prob
        return tokens.new_empty(len(tokens), 1, 1).bernoulli_(keep_prob).div_(keep_prob)

    def forward(self, branch: Float[Tensor, "n length width"]) -> Float[Tensor, "n length width"]:
        """Return the branch, times the factors in training."""
        factors = self.sample(branch) if self.factors is None else self.factors
        return branch if factors is None else branch * factors.to(branch.dtype)


class Blocks(nn.Sequential):
    """Pre-norm transformer blocks on tokens (N, L, width), named and shaped as timm's.

    Args:
        width: Width of a token.
        depth: Number of blocks.
        heads: Number of attention heads, a divisor of ``width``.
        drop_path: Rate of :meth:`set_drop_path`.

    Attributes:
        parts: Number of parts of a batch of which one at a time has its activations in memory.
        recompute: Whether the backward pass computes the activations of each block again.
    """

    def __init__(self, width: int, depth: int, heads: int, drop_path: float = 0.0) -> None:
        from timm.models.vision_transformer import Block

        blocks: list[Any] = [Block(width, heads, qkv_bias=True) for _ in range(depth)]  # MCM eqs. (1) and (2)
        for block in blocks:
            block.drop_path1, block.drop_path2 = DropPath(), DropPath()
        super().__init__(*blocks)
        self.parts, self.recompute = 1, False
        self.apply(init_weights)
        self.set_drop_path(drop_path)

    def forward(self, tokens: Float[Tensor, "n length width"]) -> Float[Tensor, "n length width"]:
        """Return the tokens after all blocks."""
        saves_memory = self.recompute or self.parts > 1
        if not (saves_memory and self.training and torch.is_grad_enabled()):
            encoded: Tensor = super().forward(tokens)  # type: ignore[no-untyped-call]
            return encoded
        blocks: list[Any] = list(self)
        steps = [(block, block.drop_path1.sample(tokens), block.drop_path2.sample(tokens)) for block in blocks]
        units = [[step] for step in steps] if self.recompute else [steps]
        size = -(-len(tokens) // self.parts)
        outputs = []
        for start in range(0, len(tokens), size):
            rows = slice(start, start + size)
            part = tokens[rows]
            for unit in units:
                part = checkpoint(_run, unit, rows, part, use_reentrant=False, preserve_rng_state=False)
            outputs.append(part)
        return torch.cat(outputs)

    def set_drop_path(self, rate: float) -> None:
        """Set the probability of skipping a branch in training, linear in depth from 0 to ``rate``."""
        block: Any
        for index, block in enumerate(self):
            block.drop_path1.drop_prob = block.drop_path2.drop_prob = rate * index / max(len(self) - 1, 1)


def _run(blocks: list[Any], rows: slice, tokens: Tensor) -> Tensor:
    """Run blocks on some rows of a batch, with the factors of their branches sampled for the whole batch."""
    for block, *factors in blocks:
        for path, sampled in zip((block.drop_path1, block.drop_path2), factors, strict=True):
            path.factors = None if sampled is None else sampled[rows]
        tokens = block(tokens)
        block.drop_path1.factors = block.drop_path2.factors = None
    return tokens


def layer_of(name: str, depth: int) -> int:
    """Return the layer of a parameter: 0 for embeddings, i + 1 in block i, depth + 1 after the blocks."""
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
    """Return parameter groups with learning rates that decay towards the input.

    Vectors and tokens have no weight decay.

    Args:
        parameters: Parameters with timm's names. Parameters without gradient are excluded.
        learning_rate: Learning rate of the last layer.
        weight_decay: Weight decay of matrices and kernels.
        depth: Number of blocks.
        layer_decay: Factor of the learning rate from each layer to the preceding one.
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
    """Return a factor that rises linearly from 0 to 1 and falls along half a cosine to ``floor``.

    Args:
        progress: Progress of training.
        warmup_epochs: Duration of the rise.
        floor: Final factor.
    """
    epoch = progress.fraction * progress.epochs
    if epoch < warmup_epochs:
        return epoch / warmup_epochs
    done = (epoch - warmup_epochs) / (progress.epochs - warmup_epochs)
    return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2
