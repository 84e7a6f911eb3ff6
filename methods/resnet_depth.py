# Installed as aubench.methods.resnet_depth.
"""Baseline ResNet on depth images."""

from __future__ import annotations

from aubench import Fidelity, MethodCard, Modality
from aubench.methods._modules.single_modality import DEVIATIONS, ONE_CHANNEL, PAPER, SingleModality


class ResNetDepth(SingleModality):
    """ResNet on depth images, ResNet-18 by default."""

    modality = Modality.DEPTH
    card = MethodCard(
        title="ResNet (depth)",
        paper=f"Baseline of {PAPER}",
        fidelity=Fidelity.RESOLVED,
        deviations=(*DEVIATIONS, *ONE_CHANNEL),
    )
