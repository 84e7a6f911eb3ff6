"""AU-vMAE's clips of rare AUs (appendix §2) by hand and against a rule applied frame by frame."""

import pytest
import torch

from aubench.core.errors import RecipeError
from aubench.methods._modules.rare_au_clips import RareAUClipsRecipe, rare_au_spans

BP4D = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
DISFA = (1, 2, 4, 6, 9, 12, 25, 26)


def track(frames, *rare):
    """Two AUs: column 0 always there, column 1 in the frames given."""
    labels = torch.zeros(frames, 2, dtype=torch.int8)
    labels[:, 0] = 1
    labels[list(rare), 1] = 1
    return labels


def naive_spans(labels, columns):
    """One frame after another: open at a minority AU, close when 15 frames without any have passed."""
    spans, start, rest = [], None, 0
    for t, frame in enumerate(labels.tolist()):
        if any(frame[c] == 1 for c in columns):
            start, rest = t if start is None else start, 0
        elif start is not None:
            rest += 1
            if rest == 15:
                spans.append((start, t + 1))
                start = None
    return [*spans, (start, len(labels))] if start is not None else spans


def test_spans_by_hand():
    assert rare_au_spans(track(60, 3, 5), [1]) == [(3, 21)]
    assert rare_au_spans(track(60, 3, 18), [1]) == [(3, 34)], "14 frames of rest end nothing"
    assert rare_au_spans(track(60, 3, 19), [1]) == [(3, 19), (19, 35)]
    assert rare_au_spans(track(30, 0, 25), [1]) == [(0, 16), (25, 30)]
    assert rare_au_spans(track(30), [1]) == []


def test_spans_agree_with_the_rule_told_frame_by_frame():
    generator = torch.Generator().manual_seed(0)
    for chance in (0.01, 0.05, 0.1, 0.3):
        rare = torch.rand(300, 4, generator=generator) < chance
        labels = torch.where(torch.rand(300, 4, generator=generator) < 0.1, -1, rare.to(torch.int8))
        assert rare_au_spans(labels, [1, 3]) == naive_spans(labels, [1, 3])


def test_the_minority_is_the_papers_for_each_dataset():
    assert RareAUClipsRecipe().minority(BP4D) == (1, 2, 4, 15, 23, 24)
    assert RareAUClipsRecipe().minority(DISFA) == (1, 2, 9)
    assert RareAUClipsRecipe().minority((1, 2, 4, 6, 12)) == (1, 2, 4)


def test_the_minority_can_be_chosen():
    assert RareAUClipsRecipe.from_preset("paper", {"minority_aus": "12,9"}).minority(BP4D) == (12,)
    with pytest.raises(RecipeError, match="minority_aus"):
        RareAUClipsRecipe.from_preset("paper", {"minority_aus": "12;9"})
