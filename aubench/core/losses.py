"""Binary cross-entropy over known labels, and the check of the terms of a loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from aubench.core.errors import MethodError

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor


def masked_bce(probabilities: Float[Tensor, "*n au"], labels: Int[Tensor, "*n au"]) -> Float[Tensor, ""]:
    """Compute the binary cross-entropy over the known labels (AMF eq. 7, averaged over frames and AUs).

    Prefer :func:`masked_bce_with_logits`. In float32, a sigmoid beyond 17 is exactly 1 and has no gradient.

    Args:
        probabilities: Values in [0, 1]. The logarithm takes at least 1e-7, with the gradient of 1e-7 below.
        labels: 1 present, 0 absent, -1 unknown. Unknown labels are ignored.

    Returns:
        The mean over known labels, or 0 if none is known.

    Raises:
        MethodError: The shapes differ.
    """
    probs = _checked(probabilities, labels)
    likelihood = torch.where(labels > 0, probs, 1 - probs)
    floored = likelihood + (likelihood.clamp(min=1e-7) - likelihood).detach()
    return _mean_over_known(-floored.log(), labels)


def masked_bce_with_logits(logits: Float[Tensor, "*n au"], labels: Int[Tensor, "*n au"]) -> Float[Tensor, ""]:
    """Compute :func:`masked_bce` of the sigmoid of logits. A wrong answer has a gradient however certain it is.

    Args:
        logits: Any finite values.
        labels: 1 present, 0 absent, -1 unknown. Unknown labels are ignored.

    Returns:
        The mean over known labels, or 0 if none is known.

    Raises:
        MethodError: The shapes differ.
    """
    logits = _checked(logits, labels)
    return _mean_over_known(-nn.functional.logsigmoid(torch.where(labels > 0, logits, -logits)), labels)


def _checked(values: object, labels: Tensor) -> Tensor:
    """Return values in float32 after checking their shape, which could broadcast without an error."""
    if isinstance(values, torch.Tensor) and values.shape == labels.shape:
        return values.float()
    got = tuple(values.shape) if isinstance(values, torch.Tensor) else type(values).__name__
    hint = "forward and forward_logits return one value per frame and AU"
    raise MethodError(f"the loss received {got} instead of {tuple(labels.shape)}", hint=hint)


def _mean_over_known(terms: Float[Tensor, "*n au"], labels: Int[Tensor, "*n au"]) -> Float[Tensor, ""]:
    known = labels >= 0
    return (terms * known).sum() / known.sum().clamp(min=1)


def require_terms(terms: object, method: object) -> dict[str, Tensor]:
    """Return the terms that ``Method.loss`` returned, if they are valid.

    Raises:
        MethodError: They are no dictionary of scalar tensors by name, or have no ``total``.
    """
    if not (isinstance(terms, dict) and all(isinstance(value, torch.Tensor) for value in terms.values())):
        what = f"returns {type(terms).__name__}, expected a dictionary of tensors"
    elif "total" not in terms or terms["total"].numel() != 1:
        what = f"returns no scalar 'total', but {', '.join(f'{n} {tuple(v.shape)}' for n, v in terms.items()) or '{}'}"
    elif odd := [n for n, value in terms.items() if value.numel() != 1 or not isinstance(n, str)]:
        what = f"returns the term {odd[0]!r} of shape {tuple(terms[odd[0]].shape)}, expected names and scalars"
    else:
        return terms
    raise MethodError(what, where=f"{type(method).__name__}.loss", hint='return {"total": loss}, a scalar tensor')
