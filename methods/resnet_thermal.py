"""ResNet on thermal images alone."""

from __future__ import annotations

from aubench import Fidelity, MethodCard, Modality
from aubench.methods._modules.single_modality import DEVIATIONS, ONE_CHANNEL, PAPER, SingleModality


class ResNetThermal(SingleModality):
    """ResNet-18 (or another) on thermal images."""

    modality = Modality.THERMAL
    card = MethodCard(
        title="ResNet (thermal)",
        paper=f"Baseline of {PAPER}",
        fidelity=Fidelity.RESOLVED,
        deviations=(*DEVIATIONS, *ONE_CHANNEL),
    )
