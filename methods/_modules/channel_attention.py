# Installed as aubench.methods._modules.channel_attention.
"""Channel attention, a gate in [0, 1] for each channel of a feature map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

Gate = Literal["cbam", "se"]


class ChannelAttention(nn.Module):
    """Bottleneck MLP on the pooled channels and a sigmoid.

    Args:
        channels: Channels of the maps.
        reduction: Reduction r. The bottleneck has channels / r units, at least one.
        gate: Kind of gate. ``cbam`` adds the MLP's outputs for the average and the maximum over positions (Woo et al.:
            CBAM, ECCV 2018, eq. 2). ``se`` uses the average only (Hu et al.: Squeeze-and-Excitation Networks, CVPR
            2018, eqs. 2 and 3).
    """

    def __init__(self, channels: int, reduction: int, gate: Gate) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.mlp = nn.Sequential(
            nn.Linear(channels, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, channels, bias=False)
        )
        self.gate = gate

    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Return the maps multiplied by the gates of their channels."""
        logits: Tensor = self.mlp(maps.mean((2, 3)))
        if self.gate == "cbam":
            logits = logits + self.mlp(maps.amax((2, 3)))
        return maps * logits.sigmoid()[:, :, None, None]
