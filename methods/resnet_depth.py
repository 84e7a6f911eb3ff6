"""ResNet on depth images alone."""

from __future__ import annotations

from aubench import Fidelity, MethodCard, Modality
from aubench.methods._modules.single_modality import DEVIATIONS, ONE_CHANNEL, PAPER, SingleModality


class ResNetDepth(SingleModality):
    """ResNet-18 (or another) on depth images."""

    modality = Modality.DEPTH
    card = MethodCard(
        title="ResNet (depth)",
        paper=f"Baseline of {PAPER}",
        fidelity=Fidelity.RESOLVED,
        deviations=(*DEVIATIONS, *ONE_CHANNEL),
    )
