"""Tests of conditions, suites, corruption of images, and shared predictions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from aubench import Modality, Recipe, Task
from aubench.core.conditions import CLEAN, IDENTITY, Condition, CorruptionLevel, missing, subsets
from aubench.core.errors import AubenchError, MethodError, UsageError
from aubench.core.method import BranchedMethod
from aubench.core.registry import builtin_methods, find_method
from aubench.core.suites import Suite, builtin_suites, find_suite
from aubench.evaluation.corruptions import GRID, FrameNoise, apply_condition, corrupt
from aubench.evaluation.multi_condition import MultiConditionPredictor
from aubench.evaluation.predictor import Predictor

V, D, T = Modality
NAMES = [("F001", "T1", i) for i in range(5)]
AUS = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)


@pytest.mark.parametrize(
    "text",
    [
        *("clean", "missing:visual", "missing:visual+depth", "missing:all", "missing:thermal:black"),
        *("missing:depth:mean", "noise:depth:0.2", "noise:all:0.05", "noise:visual+thermal:1", "mask:all:0.5"),
    ],
)
def test_conditions_round_trip_through_strings(text):
    assert str(Condition.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "noise", "noise:depth", "noise:depth:0", "noise:depth:-1", "noise:depth:nan", "noise:dept:0.1"),
        *("missing:visual:grey", "missing:visual+visual", "mask:all:1.5", "clean:1", "noise:all:0.1:2", "missing:"),
    ],
)
def test_invalid_conditions_are_refused(text):
    with pytest.raises(UsageError, match="no condition"):
        Condition.parse(text)


@pytest.mark.parametrize("text", ["noise:all:0.1234567", "noise:depth:0.30000001"])
def test_levels_have_six_digits_so_that_no_two_share_a_name(text):
    with pytest.raises(UsageError, match="has more than six digits"):
        Condition.parse(text)


def images(*lead: int, seed: int = 0, size: int = 28) -> dict[Modality, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {m: torch.rand(*lead, m.channels, size, size, generator=generator) * 2 - 1 for m in (V, D)}


def test_noise_has_its_standard_deviation_and_depends_on_the_frame():
    frames, views = FrameNoise(3, NAMES), images(5, size=56)
    for sigma in (0.1, 0.5):
        noisy = corrupt(views[V], CorruptionLevel("noise", sigma), V, frames)
        assert (noisy - views[V]).std().item() == pytest.approx(sigma, rel=0.02)
    some = FrameNoise(3, NAMES[2:4]).noise(V, views[V][2:4])
    assert torch.equal(some, frames.noise(V, views[V])[2:4])
    assert not torch.equal(FrameNoise(4, NAMES).noise(V, views[V]), frames.noise(V, views[V]))
    assert not torch.equal(frames.noise(V, views[V])[:, :1], frames.noise(D, views[D]))


def test_every_sigma_scales_the_same_noise():
    frames, views = FrameNoise(0, NAMES), images(5)
    weak, strong = (corrupt(views[D], CorruptionLevel("noise", s), D, frames) - views[D] for s in (0.25, 0.5))
    assert torch.allclose(2 * weak, strong, atol=1e-6)


def test_masks_hide_their_share_at_the_same_places_and_grow():
    frames, views = FrameNoise(0, NAMES), {m: torch.ones(5, m.channels, 56, 56) for m in (V, D)}
    hidden = {}
    for share in (0.25, 0.75):
        under = apply_condition(views, Condition.parse(f"mask:all:{share}"), frames)
        hidden[share] = under[D][:, 0] == 0
        assert torch.equal(under[V][:, 2] == 0, hidden[share])
        assert hidden[share].float().mean((1, 2)).tolist() == pytest.approx([share] * 5, abs=1e-6)
        blocks = hidden[share].view(5, GRID, 4, GRID, 4).float().mean((2, 4))
        assert set(blocks.unique().tolist()) == {0.0, 1.0}
    assert not (hidden[0.25] & ~hidden[0.75]).any()


def test_fills_are_zero_black_and_the_mean():
    views, mean = images(5), {V: torch.full((3, 28, 28), 0.25)}
    filled = {fill: apply_condition(views, missing((V,), fill), None, mean) for fill in ("zero", "black", "mean")}
    assert {fill: x[V].unique().tolist() for fill, x in filled.items()} == {"zero": [0], "black": [-1], "mean": [0.25]}
    assert all(torch.equal(x[D], views[D]) for x in filled.values())


def test_noise_without_frame_identifiers_is_an_error():
    with pytest.raises(MethodError, match="condition 'noise' needs frame identifiers"):
        apply_condition(images(2), Condition.parse("noise:all:0.1"))


def test_subsets_leave_over_every_proper_subset_once():
    gone = [c.modalities for c in subsets((V, D, T))]
    assert len(gone) == len(set(gone)) == 7 and (V, D, T) in gone and (D,) in gone


def test_suite_of_amf_has_fourteen_conditions_beside_clean_on_two_modalities():
    texts = [str(c) for c in find_suite("amf").conditions((V, D))]
    assert texts[:3] == ["missing:visual", "missing:depth", "noise:visual:0.1"]
    assert len(texts) == 14 and texts[-1] == "noise:all:0.8"
    narrowed = find_suite("amf").with_noise((0.3,)).conditions((V, D, T))
    assert [str(c) for c in narrowed[3:]] == [
        "noise:visual:0.3",
        "noise:depth:0.3",
        "noise:thermal:0.3",
        "noise:all:0.3",
    ]


def test_every_suite_is_read_and_every_condition_written():
    assert {"amf", "every_subset", "mask"} <= set(builtin_suites())
    for name in builtin_suites():
        suite = find_suite(name)
        assert suite.name == name
        for condition in suite.conditions((V, D, T)):
            assert Condition.parse(str(condition)) == condition != CLEAN


def test_a_bad_suite_is_refused(tmp_path):
    with pytest.raises(UsageError, match="did you mean 'amf'"):
        find_suite("amff")
    path = tmp_path / "mine.toml"
    for text, message in (
        ("x = [", "is not TOML"),
        ('name = "mine"\nversion = 1\ntitle = "t"\n[[noise]]\non = ["each"]\nsigma = [-1]\n', "toml: level -1 of"),
        ('name = "mine"\nversion = 1\ntitle = "t"\nnoisy = 1\n', "noisy"),
    ):
        path.write_text(text)
        with pytest.raises(AubenchError, match=message):
            find_suite(str(path))
    with pytest.raises(UsageError, match="no noise to change"):
        Suite(name="x", version=1, title="").with_noise((0.1,))


def stored(*lead: int, size: int) -> dict[Modality, torch.Tensor]:
    generator = torch.Generator().manual_seed(9)
    return {m: torch.randint(0, 256, (*lead, size, size, m.channels), generator=generator).byte() for m in Modality}


def built(name: str):
    entry = find_method(name)
    recipe = entry.method_class.Recipe.from_preset("tiny", {})
    for offered in ((V, D), (V, T), (T,)):
        task = Task(offered, AUS, recipe.crop)
        if entry.method_class.unsupported_reason(task, recipe) is None:
            torch.manual_seed(2)
            return entry.method_class(
                Task(entry.method_class.select_modalities(task, recipe), AUS, recipe.crop), recipe
            )
    raise AssertionError(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", builtin_methods())
def test_shared_predictions_equal_single_ones(name):
    method = built(name)
    length, size = method.recipe.clip_length, method.recipe.image_size
    lead = (5,) if length is None else (1, length)
    names = [("F001", "T1", i) for i in range(int(np.prod(lead)))]
    images = stored(*lead, size=size)
    means = {m: torch.rand(m.channels, method.recipe.crop, method.recipe.crop) for m in Modality}
    texts = (
        "missing:visual",
        "missing:visual:black",
        "missing:all:mean",
        "noise:visual:0.2",
        "noise:all:0.5",
        "mask:all:0.5",
    )
    conditions = [CLEAN, *map(Condition.parse, texts)]
    sharing, single = MultiConditionPredictor(method, conditions, means), Predictor(method)
    for _ in range(2):  # the second batch uses features cached by the first
        together = sharing.predict_all(images, FrameNoise(1, names))
        for condition, actual in zip(conditions, together, strict=True):
            expected = single.probabilities(images, condition, FrameNoise(1, names), means)
            assert torch.allclose(actual, expected, atol=1e-6, rtol=0), str(condition)


class TokensFirst(BranchedMethod):
    """Features (tokens, frames, width), the default layout of PyTorch's transformers, which fusion changes in place."""

    def __init__(self, task, recipe):
        super().__init__(task, recipe)
        self.embed = nn.ModuleDict({m.value: nn.Conv2d(m.channels, 8, 14, 14) for m in task.modalities})
        self.activation, self.head = nn.SELU(inplace=True), nn.Linear(8, len(task.aus))

    def encode(self, modality, images):
        return self.embed[modality.value](images).flatten(2).permute(2, 0, 1)

    def fuse(self, features):
        tokens = torch.cat([self.activation(features[m]) for m in self.task.modalities])
        return self.head(tokens.mean(0)).sigmoid()


class FramesFirst(TokensFirst):
    """The same with features (frames, width)."""

    def encode(self, modality, images):
        return super().encode(modality, images).mean(0)

    def fuse(self, features):
        return self.head(sum(self.activation(features[m]) for m in self.task.modalities)).sigmoid()


@pytest.mark.parametrize("method_class", [TokensFirst, FramesFirst])
@pytest.mark.parametrize("crop", [16, 28])  # one token, and four
def test_shared_features_may_have_any_layout_and_be_changed_in_place(method_class, crop):
    torch.manual_seed(0)
    method = method_class(Task((V, D), AUS, crop), Recipe(image_size=28, crop=crop))
    images = {m: x for m, x in stored(4, size=28).items() if m in (V, D)}
    conditions = [CLEAN, *find_suite("amf").conditions((V, D))]
    sharing = MultiConditionPredictor(method, conditions)
    for _ in range(2):
        together = sharing.predict_all(images, FrameNoise(0, NAMES[:4]))
        for condition, actual in zip(conditions, together, strict=True):
            expected = Predictor(method).probabilities(images, condition, FrameNoise(0, NAMES[:4]))
            assert torch.allclose(actual, expected, atol=1e-6, rtol=0), str(condition)


def test_a_branch_is_encoded_only_where_something_changed(monkeypatch):
    method = built("late_fusion")
    assert isinstance(method, BranchedMethod)
    encoded = []
    original = type(method).encode
    monkeypatch.setattr(
        type(method), "encode", lambda self, m, x: (encoded.append((m, len(x))), original(self, m, x))[1]
    )
    conditions = [CLEAN, *find_suite("amf").conditions((V, D))]
    sharing = MultiConditionPredictor(method, conditions)
    sharing.predict_all(stored(4, size=64), FrameNoise(0, NAMES[:4]))
    assert len(conditions) == 15
    assert sorted(encoded) == sorted([(m, 4) for m in (V, D)] * 5 + [(m, n) for m in (V, D) for n in (1, 2)])
    encoded.clear()
    sharing.predict_all(stored(4, size=64), FrameNoise(0, NAMES[:4]))
    assert len(encoded) == 10


def test_untouched_modalities_change_nothing():
    assert CLEAN.corruptions((V, D)) == {V: IDENTITY, D: IDENTITY}
    assert Condition.parse("noise:thermal:0.2").corruptions((V,)) == {V: IDENTITY}
    method = built("resnet_visual")
    sharing = MultiConditionPredictor(method, [CLEAN, Condition.parse("noise:depth:0.8")])
    clean, other = sharing.predict_all({V: stored(3, size=64)[V]}, FrameNoise(0, NAMES[:3]))
    assert torch.equal(clean, other)
