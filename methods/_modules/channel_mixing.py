"""Channel-mixing: each patch keeps three of the channels of all modalities, in random order (MCM §III-A)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

KEPT = 3
"""Channels of a mixed image."""


def sample_channel_picks(keys: Float[Tensor, "n cells c"]) -> Int[Tensor, "n cells 3"]:
    """Which channel each channel of a patch is taken from.

    Args:
        keys: Independent noise of each patch and channel; the least three keys win, in their order, so that all
            ordered choices of three channels are equally likely.
    """
    return keys.argsort(-1)[..., :KEPT]


def sample_picks_of_present(keys: Float[Tensor, "m cells c"], present: Bool[Tensor, "n c"]) -> Int[Tensor, "n cells 3"]:
    """The same, passing over channels that are missing; fewer than three present ones take turns.

    Args:
        keys: Noise in [0, 1] as in :func:`picks`, of each frame or of all alike (m = 1).
        present: Which channels a frame has; where it has none, any may be taken.
    """
    order = (keys + 2 * ~present[:, None]).argsort(-1)
    turns = torch.arange(KEPT, device=order.device) % present.sum(1, keepdim=True).clamp(1, KEPT)
    return order.gather(-1, turns[:, None].expand(-1, order.shape[1], -1))


def mix_channels(
    images: Float[Tensor, "n c h w"], taken: Int[Tensor, "m cells 3"], patch: int
) -> Float[Tensor, "n 3 h w"]:
    """Images whose patches are put together from the channels taken.

    Args:
        images: All modalities, one after the other.
        taken: From :func:`picks`, of each frame or of all alike (m = 1).
        patch: Side of a patch in pixels.
    """
    n, c, height, width = images.shape
    rows, columns = height // patch, width // patch
    cut = images.reshape(n, c, rows, patch, columns, patch)
    index = taken.reshape(-1, rows, columns, KEPT).permute(0, 3, 1, 2)[:, :, :, None, :, None]
    return cut.gather(1, index.expand(n, -1, -1, patch, -1, patch)).reshape(n, KEPT, height, width)
