"""ResNet on visual images alone."""

from __future__ import annotations

from aubench import Fidelity, MethodCard, Modality
from aubench.methods._modules.single_modality import DEVIATIONS, PAPER, SingleModality


class ResNetVisual(SingleModality):
    """ResNet-18 (or another) on visual images."""

    modality = Modality.VISUAL
    card = MethodCard(
        title="ResNet (visual)",
        paper=f"Baseline of {PAPER}",
        fidelity=Fidelity.RESOLVED,
        deviations=DEVIATIONS,
    )
