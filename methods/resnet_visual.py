"""ResNet on visual images alone."""

from __future__ import annotations

from aubench import Card, Fidelity, Modality
from aubench.methods._modules.single_modality import DEPARTURES, PAPER, Unimodal


class ResNetVisual(Unimodal):
    """ResNet-18 (or another) on visual images."""

    modality = Modality.VISUAL
    card = Card(
        title="ResNet (visual)",
        paper=f"Baseline of {PAPER}",
        fidelity=Fidelity.RESOLVED,
        departures=DEPARTURES,
    )
