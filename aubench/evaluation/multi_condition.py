"""Predictions under many conditions at the cost of few: what several share is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from aubench.core.conditions import Condition, Corruption
from aubench.core.method import BranchedMethod
from aubench.core.task import Modality
from aubench.evaluation.corruptions import FrameNoise, Means, corrupt
from aubench.evaluation.predictor import Predictor

if TYPE_CHECKING:
    from jaxtyping import Float

    from aubench.core.method import Method
    from aubench.evaluation.predictor import Arithmetic, Stored


class MultiConditionPredictor(Predictor):
    """A method whose weights stay as they are, under many conditions.

    A condition is a treatment of each modality. Conditions that treat what a method uses alike are one
    prediction; of a :class:`~aubench.core.method.BranchedMethod`, branches that are treated alike are encoded
    once a batch, and where a treatment makes every image the same, once and for all. Nothing is kept
    beyond a batch but the features of such single images.

    Args:
        method: The method.
        conditions: In the order of the answers.
        means: Mean image of each modality, where a condition needs any.
        arithmetic: As of :class:`~aubench.evaluation.predictor.Sealed`.
    """

    def __init__(
        self,
        method: Method,
        conditions: Sequence[Condition],
        means: Means | None = None,
        arithmetic: Arithmetic = nullcontext,
    ) -> None:
        super().__init__(method, arithmetic)
        self.conditions, self.means = conditions, means
        self._constant: dict[tuple[Modality, Corruption], Any] = {}

    @torch.inference_mode()
    def predict_all(self, images: Stored, frames: FrameNoise) -> Float[Tensor, "conditions n *t au"]:
        """AU probabilities of stored images under each condition.

        Args:
            images: As the store holds them, on the method's device.
            frames: Their chance.

        Raises:
            MethodError: As :meth:`probabilities`.
        """
        modalities = self.method.task.modalities
        answers: dict[tuple[Corruption, ...], Tensor] = {}
        found = []
        with self.evaluating():
            batch = _Batch(self, self.preprocess(images), frames)
            for condition in self.conditions:
                treatments = tuple(condition.corruptions(modalities).values())
                if treatments not in answers:
                    answers[treatments] = self.validate_output(batch.predicted(treatments), batch.views)
                found.append(answers[treatments])
        return torch.stack(found)

    def constant(self, modality: Modality, treatment: Corruption, view: Tensor) -> Any:
        """Features of the one image that a treatment makes of all."""
        key = (modality, treatment)
        if key not in self._constant:
            single = corrupt(view[:1], treatment, modality, None, self.means)
            self._constant[key] = self.encoded(modality, single.contiguous())
        return self._constant[key]

    def encoded(self, modality: Modality, view: Tensor) -> Any:
        """Features of images, of a method that has branches."""
        assert isinstance(self.method, BranchedMethod)
        return self.method.encode(modality, view)


class _Batch:
    """What was computed of a batch."""

    def __init__(self, sharing: MultiConditionPredictor, views: dict[Modality, Tensor], frames: FrameNoise) -> None:
        self.sharing, self.views, self.frames = sharing, views, frames
        self._features: dict[tuple[Modality, Corruption], Any] = {}

    def predicted(self, treatments: tuple[Corruption, ...]) -> Any:
        """The method's answer when each modality, in order, is treated so."""
        pairs = list(zip(self.views, treatments, strict=True))
        method = self.sharing.method
        if isinstance(method, BranchedMethod):
            return method.fuse({m: self._encoded(m, treatment) for m, treatment in pairs})
        return method({m: self._treated(m, treatment) for m, treatment in pairs})

    def _encoded(self, modality: Modality, treatment: Corruption) -> Any:
        key = (modality, treatment)
        if key not in self._features:
            self._features[key] = self._encode(modality, treatment)
        return self._features[key]

    def _encode(self, modality: Modality, treatment: Corruption) -> Any:
        view = self.views[modality]
        if treatment.is_constant:
            one = self.sharing.constant(modality, treatment, view)
            return pytree.tree_map_only(Tensor, lambda x: x.expand(len(view), *x.shape[1:]), one)
        return self.sharing.encoded(modality, self._treated(modality, treatment))

    def _treated(self, modality: Modality, treatment: Corruption) -> Tensor:
        return corrupt(self.views[modality], treatment, modality, self.frames, self.sharing.means)
