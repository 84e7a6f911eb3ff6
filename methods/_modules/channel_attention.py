"""Channel attention: a gate in [0, 1] for each channel of a feature map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

Gate = Literal["cbam", "se"]


class ChannelAttention(nn.Module):
    """One bottleneck MLP on the pooled channels, then a sigmoid.

    Args:
        channels: Of the maps.
        reduction: r; the bottleneck has channels / r units, one at least.
        gate: ``cbam`` adds what the MLP makes of the average and of the maximum over positions (Woo et al.: CBAM,
            ECCV 2018, eq. 2); ``se`` has the average alone (Hu et al.: Squeeze-and-Excitation Networks, CVPR 2018,
            eqs. 2 and 3).
    """

    def __init__(self, channels: int, reduction: int, gate: Gate) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.mlp = nn.Sequential(
            nn.Linear(channels, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, channels, bias=False)
        )
        self.gate = gate

    def forward(self, maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """The maps, each times the gate of its channel."""
        logits: Tensor = self.mlp(maps.mean((2, 3)))
        if self.gate == "cbam":
            logits = logits + self.mlp(maps.amax((2, 3)))
        return maps * logits.sigmoid()[:, :, None, None]
