# Installed as aubench.methods._modules.activation_memory.
"""Recipe fields that reduce the memory of training at the cost of time."""

from __future__ import annotations

from pydantic import Field
from torch import nn

from aubench import Recipe
from aubench.methods._modules.transformer import Blocks


class ActivationMemoryRecipe(Recipe):
    """Hyper-parameters that change no number beyond rounding.

    They exist for methods without batch normalisation, since the statistics of a part differ from those of its batch.
    """

    gradient_accumulation: int = Field(
        1,
        ge=1,
        description="Parts of a batch that pass the transformer blocks one after another. The backward pass computes "
        "each again and adds its gradients. The loss is that of the whole batch.",
    )
    activation_checkpointing: bool = Field(
        False, description="Keep only the inputs of transformer blocks, and compute each again in the backward pass."
    )


def configure_memory(network: nn.Module, recipe: ActivationMemoryRecipe) -> None:
    """Set the memory use of all transformer blocks of a network."""
    for module in network.modules():
        if isinstance(module, Blocks):
            module.parts, module.recompute = recipe.gradient_accumulation, recipe.activation_checkpointing
