# Installed as aubench.methods._modules.au_pair_statistics.
"""Co-occurrence and transitions of AU pairs in labels and predictions (AU-vMAE §3.4).

States are labels or probabilities in [0, 1], or -1 if unknown. Undefined entries of the matrices are -1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch.nn.functional import logsigmoid

from aubench import LogUniform, Recipe

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

TRANSITIONS = 16
"""Number of states of two AUs in two consecutive frames."""

Norm = Literal["frobenius", "mean"]


class PairStatisticsRecipe(Recipe):
    """Hyper-parameters of methods with losses on pair statistics."""

    finetune_only: ClassVar[frozenset[str]] = frozenset(
        {"weight_cls", "weight_intra", "weight_inter", "norm", "class_weights"}
    )

    weight_cls: float = Field(1.0, ge=0, description="Weight λ_cls of eq. 9.")
    weight_intra: Annotated[float, LogUniform(1e-4, 1)] = Field(0.01, ge=0, description="Weight λ_intra of eq. 9.")
    weight_inter: Annotated[float, LogUniform(1e-4, 1)] = Field(0.01, ge=0, description="Weight λ_inter of eq. 9.")
    norm: Norm = Field(
        "frobenius", description="Norm of eqs. 5 and 8. 'mean' divides it by the root of the number of entries."
    )
    class_weights: bool = Field(True, description="Weight AUs by eq. 2.")


class PairTargets(NamedTuple):
    """Statistics of AU pairs in training labels.

    Attributes:
        intra: Co-occurrence (A, A), eq. (3).
        inter: Transitions (A, A, 16), eqs. (6) and (7). The bits of state s of AUs i and j are i now, j now, i next
            and j next, from the lowest. Entries with i = j are undefined.
    """

    intra: Tensor
    inter: Tensor


def pair_targets(sequences: Sequence[Float[Tensor, "frames au"]]) -> PairTargets:
    """Compute the pair statistics of labels or probabilities.

    Args:
        sequences: States of consecutive frames. Pairs of frames never cross sequences.
    """
    now, after = (torch.cat([x[part] for x in sequences]).double() for part in (slice(None, -1), slice(1, None)))
    intra, inter = co_occurrence(torch.cat(list(sequences)).double()), transitions(now, after)
    return PairTargets(intra.float(), inter.float())


def class_weights(sequences: Sequence[Int[Tensor, "frames au"]]) -> Float[Tensor, " au"]:
    """Return the weights of eq. (2): the inverse of each AU's rate, with mean 1.

    An AU that is never positive has weight 1 and no effect on other weights.
    """
    labels = torch.cat(list(sequences))
    positives = (labels > 0).sum(0).double()
    inverse = torch.where(positives > 0, (labels >= 0).sum(0) / positives, 0)
    occurs = positives > 0
    return torch.where(occurs, occurs.sum() * inverse / inverse.sum(), 1).float()


def weighted_bce(
    logits: Float[Tensor, "*n au"], labels: Int[Tensor, "*n au"], weights: Float[Tensor, " au"]
) -> Float[Tensor, ""]:
    """Return eq. (2), summed over a frame's known AUs and averaged over labelled frames, 0 without labelled frames."""
    known = labels >= 0
    terms = logsigmoid(torch.where(labels > 0, logits, -logits)) * weights * known
    return -terms.sum() / known.any(-1).sum().clamp(min=1)


def thresholded(states: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Return the Iverson bracket [p > 0.5] of eq. (4), with the gradient of p."""
    return (states > 0.5).to(states.dtype) + (states - states.detach())


def co_occurrence(states: Float[Tensor, "n au"]) -> Float[Tensor, "au au"]:
    """Return eq. (3) of labels or eq. (4) of probabilities: the frames with both AUs over those with either AU.

    Args:
        states: States of any frames.
    """
    known = (states >= 0).to(states.dtype)
    present = thresholded(states) * known
    absent = known - present
    with torch.autocast(states.device.type, enabled=False):  # bfloat16 counts to 256
        either = known.T @ known - absent.T @ absent
        both = present.T @ present
    return torch.where(either > 0.5, both / either.clamp(min=0.5), -1)


def transitions(now: Float[Tensor, "n au"], after: Float[Tensor, "n au"]) -> Float[Tensor, "au au 16"]:
    """Return eq. (7) averaged over frames: the probability of each of the 16 states of two AUs.

    Eq. (6) is read as D_k(x) = x where s_k = 1, so that labels fall on the state of their bits. As printed, it
    would exchange s and 15 - s in labels and in probabilities, which changes no distance.

    Args:
        now: States of any frames.
        after: States of the next frames.
    """
    known = ((now >= 0) & (after >= 0)).to(now.dtype)
    single = torch.stack([a * b for b in (1 - after, after) for a in (1 - now, now)], -1)  # bit 0 is now, bit 1 next
    single = single * known[..., None]
    aus = now.shape[1]
    with torch.autocast(now.device.type, enabled=False):
        both = torch.einsum("nix,njy->ijxy", single, single).reshape(aus, aus, 2, 2, 2, 2)  # i j i' i j' j
        frames = (known.T @ known).fill_diagonal_(0)[..., None]
    states = both.permute(0, 1, 4, 2, 5, 3).reshape(aus, aus, TRANSITIONS)
    return torch.where(frames > 0.5, states / frames.clamp(min=0.5), -1)


def distance(target: Float[Tensor, "*pairs"], predicted: Float[Tensor, "*pairs"], norm: Norm) -> Float[Tensor, ""]:
    """Return eq. (5) or (8), the distance of statistics over the entries that both define.

    Args:
        target: Statistics K of the labels.
        predicted: Statistics C or S of the predictions.
        norm: Frobenius norm as printed. ``mean`` divides it by the root of the number of entries.
    """
    compared = (target >= 0) & (predicted >= 0)
    value: Tensor = torch.linalg.vector_norm(torch.where(compared, target - predicted, 0))
    return value if norm == "frobenius" else value / compared.sum().clamp(min=1).sqrt()
