"""Predictions of a method at test time: evaluation mode, autocast, corruption, and validation of the output."""

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


ROUNDING = 1e-5
"""Excess of probabilities over [0, 1] that is a matter of rounding, e.g. of weighted means of ones."""


class Predictor:
    """Predictor with a method.

    Args:
        method: Method. Each call sets it to evaluation mode and restores its mode afterwards.
        arithmetic: Function that returns the context of the computation, e.g. autocast.
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
        """Predict AU probabilities of stored images under a condition.

        Args:
            images: Images of the store, on the method's device.
            condition: Corruption of the normalized images.
            frames: Random numbers of the frames, for conditions that draw any.
            means: Mean image of each modality, for conditions that need it.

        Returns:
            Float32 (N, A), or (N, T, A) for clips, on the CPU.

        Raises:
            MethodError: The method returned another shape, a value outside [0, 1] or one that is not finite.
        """
        return self.checked_probabilities(self.predict(images, condition, frames, means))

    @torch.inference_mode()
    def predict(
        self,
        images: Stored,
        condition: Condition = CLEAN,
        frames: FrameNoise | None = None,
        means: Means | None = None,
    ) -> Float[Tensor, "n *t au"]:
        """Predict as :meth:`probabilities`, on the method's device and without a check of the values.

        Raises:
            MethodError: The method returned another shape.
        """
        with self.evaluating():
            views = self.preprocess(images)
            probs = self.method(apply_condition(views, condition, frames, means))
        return self.checked_shape(probs, views)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Set the method to evaluation mode and to its precision."""
        training = self.method.training
        self.method.eval()
        try:
            with self._arithmetic():
                yield
        finally:
            self.method.train(training)

    def preprocess(self, images: Stored) -> dict[Modality, Tensor]:
        """Crop and normalize stored images to the inputs of the method."""
        task, recipe = self.method.task, self.method.recipe
        return center_crop({m: images[m] for m in task.modalities}, recipe.image_size, recipe.crop)

    def checked_shape(self, output: object, views: Mapping[Modality, Tensor]) -> Float[Tensor, "n *t au"]:
        """Return the output of a method as float32 after checking its shape."""
        frames = next(iter(views.values())).shape[:-3]
        name, shape = type(self.method).__name__, (*frames, len(self.method.task.aus))
        if not isinstance(output, Tensor) or tuple(output.shape) != shape:
            got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise MethodError(f"forward returned {got} instead of {shape}", where=name)
        return output.float()

    def checked_probabilities(self, output: Float[Tensor, "*n au"]) -> Float[Tensor, "*n au"]:
        """Return finite probabilities on the CPU. Values at most :data:`ROUNDING` beyond 0 or 1 are limited to it."""
        probs, name = output.cpu(), type(self.method).__name__
        if not torch.isfinite(probs).all():
            raise Diverged("forward returned a value that is not finite", where=name)
        low, high = probs.min(), probs.max()
        if low < -ROUNDING or high > 1 + ROUNDING:
            raise MethodError(
                f"forward returned {low:.6g} to {high:.6g}", where=name, hint="probabilities lie in 0 to 1"
            )
        return probs.clamp(0, 1)
