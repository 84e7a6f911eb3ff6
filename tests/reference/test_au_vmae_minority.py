"""AU-vMAE's clips of rare AUs (appendix §2) by hand and against a rule applied frame by frame."""

import pytest
import torch

from aubench import Batch, Modality, Task
from aubench.core.errors import RecipeError
from aubench.methods._modules.rare_au_clips import RareAUClipsRecipe, rare_au_spans
from aubench.methods.au_vmae import AUvMAE

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


def clip_of_columns(clips, modalities=(Modality.VISUAL,), size=64):
    """Images whose pixels are their column, from -1 to 1."""
    columns = torch.linspace(-1, 1, size).expand(clips, 8, 1, size, size)
    return {m: columns.expand(-1, -1, m.channels, -1, -1).contiguous() for m in modalities}


def augmented(is_extra, seed=0, modalities=(Modality.VISUAL,), **changes):
    source = "early" if len(modalities) > 1 else "visual"
    recipe = AUvMAE.Recipe.from_preset("tiny", {"input": source, "minority_crop": 0.875, **changes})
    method = AUvMAE(Task(modalities, BP4D, 64), recipe)
    mask = None if is_extra is None else torch.tensor(is_extra)
    clips = 4 if is_extra is None else len(is_extra)
    batch = Batch(clip_of_columns(clips, modalities), torch.zeros(clips, 8, 12), is_extra=mask)
    return batch, method.augment(batch, torch.Generator().manual_seed(seed))


def test_only_clips_of_rare_aus_are_cropped_and_mirrored():
    batch, changed = augmented([False, True, False, True])
    before, after = (each.inputs[Modality.VISUAL] for each in (batch, changed))
    same = (before == after).flatten(1).all(1)
    assert same.tolist() == [True, False, True, False]
    assert torch.equal(before, clip_of_columns(4)[Modality.VISUAL]), "changed in place"
    assert torch.equal(augmented([False] * 4)[1].inputs[Modality.VISUAL], before)
    assert torch.equal(augmented(None)[1].inputs[Modality.VISUAL], before)


@pytest.mark.slow
def test_a_crop_has_the_recipes_share_of_the_image_and_its_size():
    lefts, mirrored = set(), 0
    for seed in range(60):
        image = augmented([True], seed)[1].inputs[Modality.VISUAL][0]
        assert image.shape == (8, 3, 64, 64)
        torch.testing.assert_close(image, image[:1, :1, :1].expand_as(image))
        row = image[0, 0, 0]
        mirrored += bool(row[0] > row[-1])
        left, right = sorted(((row[[0, -1]] + 1) * 63 / 2).tolist())
        assert right - left == pytest.approx(55, abs=0.1)
        lefts.add(round(left))
    assert lefts == set(range(9)) and 15 < mirrored < 45
    image = augmented([True] * 40, minority_crop=1.0)[1].inputs[Modality.VISUAL]
    whole = clip_of_columns(40)[Modality.VISUAL]
    assert all(torch.allclose(a, b) or torch.allclose(a, b.flip(-1)) for a, b in zip(image, whole, strict=True))


def test_all_modalities_of_a_clip_have_the_same_crop():
    images = augmented([True] * 3, modalities=(Modality.VISUAL, Modality.DEPTH))[1].inputs
    torch.testing.assert_close(images[Modality.VISUAL][:, :, :1], images[Modality.DEPTH])


def test_as_published_whole_images_have_224_pixels_and_no_epoch_is_left_out():
    paper = AUvMAE.Recipe.from_preset("paper", {})
    assert (paper.image_size, paper.crop, paper.flip) == (224, 224, False)
    assert paper.patience >= paper.epochs == 20
    small, tiny = (AUvMAE.Recipe.from_preset(preset, {}) for preset in ("small", "tiny"))
    for preset in (small, tiny):
        assert preset.image_size == preset.crop and not preset.flip and preset.minority_crop == 1
    assert any("The presets tiny and small only mirror them" in deviation for deviation in AUvMAE.card.deviations)
    shared = AUvMAE.Recipe.from_preset("tiny", {"minority_crop": 0.5}).pretraining_config()
    assert shared == tiny.pretraining_config()
