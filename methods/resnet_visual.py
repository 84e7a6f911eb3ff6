# Installed as aubench.methods.resnet_visual.
"""Baseline ResNet on visual images."""

from __future__ import annotations

from aubench import Fidelity, MethodCard, Modality
from aubench.methods._modules.single_modality import DEVIATIONS, PAPER, SingleModality


class ResNetVisual(SingleModality):
    """ResNet on visual images, ResNet-18 by default."""

    modality = Modality.VISUAL
    card = MethodCard(
        title="ResNet (visual)",
        paper=f"Baseline of {PAPER}",
        fidelity=Fidelity.RESOLVED,
        deviations=DEVIATIONS,
    )
