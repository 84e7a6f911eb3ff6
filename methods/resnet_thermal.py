# Installed as aubench.methods.resnet_thermal.
"""Baseline ResNet on thermal images."""

from __future__ import annotations

from aubench import Fidelity, MethodCard, Modality
from aubench.methods._modules.single_modality import DEVIATIONS, ONE_CHANNEL, PAPER, SingleModality


class ResNetThermal(SingleModality):
    """ResNet on thermal images, ResNet-18 by default."""

    modality = Modality.THERMAL
    card = MethodCard(
        title="ResNet (thermal)",
        paper=f"Baseline of {PAPER}",
        fidelity=Fidelity.RESOLVED,
        deviations=(*DEVIATIONS, *ONE_CHANNEL),
    )
