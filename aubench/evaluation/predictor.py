"""The one way from harness to method at test time: nobody can forget the mask, the range or the mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from aubench.core.conditions import CLEAN, Condition
from aubench.core.errors import Diverged, MethodError
from aubench.core.task import Modality
from aubench.data.transforms import center_crop
from aubench.evaluation.corruptions import FrameNoise, Means, apply_condition

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

    from aubench.core.method import Method

    Arithmetic = Callable[[], AbstractContextManager[Any]]
    Stored = Mapping[Modality, UInt8[Tensor, "n *t h w c"]]


class Predictor:
    """A method behind the sealed call.

    Args:
        method: The method; it is put into evaluation mode for each call and back after it.
        arithmetic: Makes the context in which it computes.
    """

    def __init__(self, method: Method, arithmetic: Arithmetic = nullcontext) -> None:
        self.method, self._arithmetic = method, arithmetic

    @torch.inference_mode()
    def probabilities(
        self,
        images: Stored,
        condition: Condition = CLEAN,
        frames: FrameNoise | None = None,
        means: Means | None = None,
    ) -> Float[Tensor, "n *t au"]:
        """AU probabilities of stored images under a condition.

        Args:
            images: As the store holds them, on the method's device.
            condition: What to do to them after normalisation.
            frames: Chance of the frames, where the condition needs any.
            means: Mean image of each modality, where the condition needs any.

        Returns:
            Float32 (N, A), or (N, T, A) of clips, on the CPU.

        Raises:
            MethodError: The method returned another shape, a value outside [0, 1] or one that is not finite.
        """
        with self.evaluating():
            views = self.preprocess(images)
            found = self.method(apply_condition(views, condition, frames, means))
        return self.validate_output(found, views)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """The method in evaluation mode and in its precision."""
        training = self.method.training
        self.method.eval()
        try:
            with self._arithmetic():
                yield
        finally:
            self.method.train(training)

    def preprocess(self, images: Stored) -> dict[Modality, Tensor]:
        """What the method sees of stored images when nothing is done to them."""
        task, recipe = self.method.task, self.method.recipe
        return center_crop({m: images[m] for m in task.modalities}, recipe.image_size, recipe.crop)

    def validate_output(self, found: object, views: Mapping[Modality, Tensor]) -> Float[Tensor, "n *t au"]:
        """What a method returned, proven to be probabilities of these views."""
        frames = next(iter(views.values())).shape[:-3]
        name, wanted = type(self.method).__name__, (*frames, len(self.method.task.aus))
        if not isinstance(found, Tensor) or tuple(found.shape) != wanted:
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise MethodError(f"forward returned {got} instead of {wanted}", where=name)
        found = found.float().cpu()
        if not torch.isfinite(found).all():
            raise Diverged("forward returned a value that is not finite", where=name)
        if found.min() < 0 or found.max() > 1:
            raise MethodError(
                f"forward returned {found.min():.3g} to {found.max():.3g}",
                where=name,
                hint="probabilities lie in 0 to 1",
            )
        return found
