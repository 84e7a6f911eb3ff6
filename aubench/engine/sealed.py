"""The one way from harness to method at test time: nobody can forget the mask, the range or the mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from aubench.data.pixels import centre_views
from aubench.errors import MethodError, UsageError, nearest
from aubench.task import Inputs, Modality

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    from aubench.method import Method


@dataclass(frozen=True)
class Condition:
    """What is done to the test inputs.

    Attributes:
        missing: Modalities whose images are set to zero after normalisation.
    """

    missing: tuple[Modality, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read ``clean`` or ``missing:<modality>``.

        Raises:
            UsageError: It is neither.
        """
        known = {str(condition): condition for condition in (CLEAN, *(cls((m,)) for m in Modality))}
        if text not in known:
            raise UsageError(f"no condition '{text}'", hint=nearest(text, known))
        return known[text]

    def __str__(self) -> str:
        return ":".join(["missing", *self.missing]) if self.missing else "clean"

    def apply(self, inputs: Inputs) -> dict[Modality, Tensor]:
        """The inputs under this condition."""
        return {m: torch.zeros_like(x) if m in self.missing else x for m, x in inputs.items()}


CLEAN = Condition()


class Sealed:
    """A method behind the sealed call.

    Args:
        method: The method; it is put into evaluation mode for each call and back after it.
        wrapped: What to call in its stead, if it is wrapped for a device and a precision.
    """

    def __init__(self, method: Method, wrapped: nn.Module | None = None) -> None:
        self.method = method
        self._forward = method if wrapped is None else wrapped

    @torch.inference_mode()
    def probabilities(
        self, images: Mapping[Modality, UInt8[Tensor, "n *t h w c"]], condition: Condition = CLEAN
    ) -> Float[Tensor, "n *t au"]:
        """AU probabilities of stored images under a condition.

        Args:
            images: As the store holds them, on the method's device.
            condition: What to do to them after normalisation.

        Returns:
            Float32 (N, A), or (N, T, A) of clips, on the CPU.

        Raises:
            MethodError: The method returned another shape, a value outside [0, 1] or one that is not finite.
        """
        task, recipe = self.method.task, self.method.recipe
        views = centre_views({m: images[m] for m in task.modalities}, recipe.image_size, recipe.crop)
        training = self.method.training
        self.method.eval()
        try:
            found = self._forward(condition.apply(views))
        finally:
            self.method.train(training)
        return self._checked(found, tuple(next(iter(images.values())).shape[:-3]))

    def _checked(self, found: object, frames: tuple[int, ...]) -> Tensor:
        name, wanted = type(self.method).__name__, (*frames, len(self.method.task.aus))
        if not isinstance(found, Tensor) or tuple(found.shape) != wanted:
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise MethodError(f"forward returned {got} instead of {wanted}", where=name)
        found = found.float().cpu()
        if not torch.isfinite(found).all():
            raise MethodError("forward returned a value that is not finite", where=name)
        if found.min() < 0 or found.max() > 1:
            raise MethodError(
                f"forward returned {found.min():.3g} to {found.max():.3g}",
                where=name,
                hint="probabilities lie in 0 to 1",
            )
        return found
