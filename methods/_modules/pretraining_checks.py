# Installed as aubench.methods._modules.pretraining_checks.
"""Checks of recipes with pre-training by a masked autoencoder, and with a warm-up in each stage."""

from __future__ import annotations

from aubench import Recipe


def check_warmups(recipe: Recipe, *, uses_warmup: bool) -> None:
    """Check that the learning rate falls before each stage ends.

    Args:
        recipe: Recipe with the fields ``pretrain_epochs``, ``pretrain_warmup_epochs`` and ``warmup_epochs``.
        uses_warmup: Whether fine-tuning has a warm-up.

    Raises:
        ValueError: A warm-up is as long as its stage or longer.
    """
    warmups = {"pretrain_epochs": "pretrain_warmup_epochs"}
    warmups |= {"epochs": "warmup_epochs"} if uses_warmup else {}
    for epochs, warmup in warmups.items():
        count, rise = getattr(recipe, epochs), getattr(recipe, warmup)
        if 0 < count <= rise:
            raise ValueError(f"{epochs} is {count} and must exceed {warmup}, which is {rise:g}; set both")


def check_mask(cells: int, masked: int, share: float, epochs: int) -> None:
    """Check that pre-training hides at least one patch.

    Args:
        cells: Number of patches of an image.
        masked: Number of masked patches.
        share: Share of masked patches in the recipe.
        epochs: Epochs of pre-training.

    Raises:
        ValueError: No patch is masked.
    """
    if epochs and not masked:
        raise ValueError(f"mask {share:g} hides none of the {cells} patches; use smaller patches or a larger share")
