# Installed as aubench.methods._modules.channel_mixing.
"""Channel-mixing: three random channels of all modalities per patch, in random order (MCM §III-A)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

MIXED_CHANNELS = 3
"""Number of channels of a mixed image."""


def sample_channel_picks(keys: Float[Tensor, "n cells c"]) -> Int[Tensor, "n cells 3"]:
    """Return the source channel of each channel of a patch.

    Args:
        keys: Independent noise of each patch and channel. The channels of the three smallest keys are picked in order,
            so that all ordered choices of three channels are equally likely.
    """
    return keys.argsort(-1)[..., :MIXED_CHANNELS]


def sample_picks_of_present(keys: Float[Tensor, "m cells c"], present: Bool[Tensor, "n c"]) -> Int[Tensor, "n cells 3"]:
    """Return source channels without missing channels. Fewer than three present channels repeat in turn.

    Args:
        keys: Noise in [0, 1] as in :func:`sample_channel_picks`, per frame or shared by all frames (m = 1).
        present: Mask of a frame's present channels. A frame without any repeats one channel.
    """
    order = (keys + 2 * ~present[:, None]).argsort(-1)
    turns = torch.arange(MIXED_CHANNELS, device=order.device) % present.sum(1, keepdim=True).clamp(1, MIXED_CHANNELS)
    return order.gather(-1, turns[:, None].expand(-1, order.shape[1], -1))


def mix_channels(
    images: Float[Tensor, "n c h w"], picks: Int[Tensor, "m cells 3"], patch: int
) -> Float[Tensor, "n 3 h w"]:
    """Assemble images from the picked channels of each patch.

    Args:
        images: Channels of all modalities in order.
        picks: Source channels per frame or shared by all frames (m = 1).
        patch: Side of a patch in pixels.
    """
    n, c, height, width = images.shape
    rows, columns = height // patch, width // patch
    cut = images.reshape(n, c, rows, patch, columns, patch)
    index = picks.reshape(-1, rows, columns, MIXED_CHANNELS).permute(0, 3, 1, 2)[:, :, :, None, :, None]
    return cut.gather(1, index.expand(n, -1, -1, patch, -1, patch)).reshape(n, MIXED_CHANNELS, height, width)
