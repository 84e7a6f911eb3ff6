"""ResNet on depth images alone."""

from __future__ import annotations

from aubench import Card, Fidelity, Modality
from aubench.methods._modules.single_modality import DEPARTURES, ONE_CHANNEL, PAPER, Unimodal


class ResNetDepth(Unimodal):
    """ResNet-18 (or another) on depth images."""

    modality = Modality.DEPTH
    card = Card(
        title="ResNet (depth)",
        paper=f"Baseline of {PAPER}",
        fidelity=Fidelity.RESOLVED,
        departures=(*DEPARTURES, *ONE_CHANNEL),
    )
