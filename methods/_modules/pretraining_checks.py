# Installed as aubench.methods._modules.pretraining_checks.
"""Checks of recipes with pre-training by a masked autoencoder, and with a warm-up in each stage."""

from __future__ import annotations

from collections.abc import Callable

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


def check_mask(recipe: Recipe, count_masked: Callable[[int, float], int]) -> None:
    """Check that pre-training hides at least one patch.

    Args:
        recipe: Recipe with the fields ``pretrain_epochs``, ``patch`` and ``mask``.
        count_masked: Number of masked patches of a number of patches and a share.

    Raises:
        ValueError: No patch is masked.
    """
    epochs, patch, share = (getattr(recipe, name) for name in ("pretrain_epochs", "patch", "mask"))
    cells = (recipe.crop // patch) ** 2
    if epochs and not count_masked(cells, share):
        raise ValueError(f"mask {share:g} hides none of the {cells} patches; use smaller patches or a larger share")
