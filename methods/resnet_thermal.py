"""ResNet on thermal images alone."""

from __future__ import annotations

from aubench import Card, Fidelity, Modality
from aubench.methods._modules.single_modality import DEPARTURES, ONE_CHANNEL, PAPER, Unimodal


class ResNetThermal(Unimodal):
    """ResNet-18 (or another) on thermal images."""

    modality = Modality.THERMAL
    card = Card(
        title="ResNet (thermal)",
        paper=f"Baseline of {PAPER}",
        fidelity=Fidelity.RESOLVED,
        departures=(*DEPARTURES, *ONE_CHANNEL),
    )
