"""Predictions under many conditions, with shared computations done once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from aubench.core.conditions import Condition, CorruptionLevel
from aubench.core.method import BranchedMethod
from aubench.core.task import Modality
from aubench.evaluation.corruptions import FrameNoise, Means, corrupt
from aubench.evaluation.predictor import Predictor

if TYPE_CHECKING:
    from jaxtyping import Float

    from aubench.core.method import Method
    from aubench.evaluation.predictor import Arithmetic, Stored


class MultiConditionPredictor(Predictor):
    """Predictor of a method with fixed weights under many conditions.

    Conditions that corrupt the method's modalities equally share one prediction. The branches of a
    :class:`~aubench.core.method.BranchedMethod` are encoded once per batch and corruption. Where a corruption makes
    all images equal, few copies of the image are encoded. Only the features of such images are cached across batches.

    Args:
        method: Method with its weights.
        conditions: Conditions in the order of the predictions.
        means: Mean image of each modality, for conditions that need it.
        arithmetic: As of :class:`~aubench.evaluation.predictor.Predictor`.
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
        self._constant: dict[tuple[Modality, CorruptionLevel], Any] = {}

    @torch.inference_mode()
    def predict_all(self, images: Stored, frames: FrameNoise) -> Float[Tensor, "conditions n *t au"]:
        """Predict AU probabilities of stored images under each condition.

        Args:
            images: Images of the store, on the method's device.
            frames: Random numbers of the frames.

        Raises:
            MethodError: As :meth:`probabilities`.
        """
        modalities = self.method.task.modalities
        by_corruptions: dict[tuple[CorruptionLevel, ...], Tensor] = {}
        probs = []
        with self.evaluating():
            batch = _Batch(self, self.preprocess(images), frames)
            for condition in self.conditions:
                corruptions = tuple(condition.corruptions(modalities).values())
                if corruptions not in by_corruptions:
                    by_corruptions[corruptions] = self.checked_shape(batch.predict(corruptions), batch.views)
                probs.append(by_corruptions[corruptions])
        return self.checked_probabilities(torch.stack(probs))

    def constant(self, modality: Modality, corruption: CorruptionLevel, view: Tensor) -> Any:
        """Return the features of the image that a corruption makes of all images.

        Returns:
            Features of a batch of one, None if their first axis is not that of the frames.
        """
        key = (modality, corruption)
        if key not in self._constant:
            single = corrupt(view[:1], corruption, modality, None, self.means)
            one, two = (self.encode(modality, single.repeat(n, *[1] * (single.ndim - 1))) for n in (1, 2))
            lengths = [[x.shape[:1] for x in pytree.tree_leaves(tree) if isinstance(x, Tensor)] for tree in (one, two)]
            has_frames_first = all(pair == ((1,), (2,)) for pair in zip(*lengths, strict=True))
            self._constant[key] = one if has_frames_first else None
        return self._constant[key]

    def encode(self, modality: Modality, view: Tensor) -> Any:
        """Return the features of images, for a method with branches."""
        assert isinstance(self.method, BranchedMethod)
        return self.method.encode(modality, view)


class _Batch:
    """Batch with its features by modality and corruption."""

    def __init__(self, predictor: MultiConditionPredictor, views: dict[Modality, Tensor], frames: FrameNoise) -> None:
        self.predictor, self.views, self.frames = predictor, views, frames
        self._features: dict[tuple[Modality, CorruptionLevel], Any] = {}

    def predict(self, corruptions: tuple[CorruptionLevel, ...]) -> Any:
        """Return the method's output under one corruption per modality."""
        pairs = list(zip(self.views, corruptions, strict=True))
        method = self.predictor.method
        if isinstance(method, BranchedMethod):
            features = {m: self._encode(m, corruption) for m, corruption in pairs}
            return method.fuse(pytree.tree_map_only(Tensor, Tensor.clone, features))  # may change them in place
        return method({m: self._corrupt(m, corruption) for m, corruption in pairs})

    def _encode(self, modality: Modality, corruption: CorruptionLevel) -> Any:
        key = (modality, corruption)
        if key not in self._features:
            self._features[key] = self._compute_features(modality, corruption)
        return self._features[key]

    def _compute_features(self, modality: Modality, corruption: CorruptionLevel) -> Any:
        view = self.views[modality]
        if corruption.is_constant and (features := self.predictor.constant(modality, corruption, view)) is not None:
            return pytree.tree_map_only(Tensor, lambda x: x.expand(len(view), *x.shape[1:]), features)
        return self.predictor.encode(modality, self._corrupt(modality, corruption))

    def _corrupt(self, modality: Modality, corruption: CorruptionLevel) -> Tensor:
        return corrupt(self.views[modality], corruption, modality, self.frames, self.predictor.means)
