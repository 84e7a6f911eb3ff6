"""Tests of a corruption that one plug-in file adds: suite, predictions, tables and figures."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from aubench import Modality, Task
from aubench.core.conditions import CLEAN, Condition, CorruptionLevel
from aubench.core.corruption_registry import CORRUPTIONS, Corruption
from aubench.core.errors import ProtocolError, UsageError
from aubench.core.plugins import PLUGINS_VARIABLE
from aubench.core.registry import find_method
from aubench.core.suites import find_suite
from aubench.evaluation.corruptions import FrameNoise, apply_condition
from aubench.evaluation.multi_condition import MultiConditionPredictor
from aubench.leaderboard import robustness_tables
from aubench.metrics import robustness_profile
from aubench.plots import curves, robustness_figures
from aubench.results import counts

PLUGIN = Path(__file__).parents[2] / "docs/examples/blur.py"
V, D, _ = Modality
SUITE = 'name = "soft"\nversion = 1\ntitle = "Blur"\n[[blur]]\non = ["each", "all"]\nlevels = [1, 3]\n'
TEXTS = ["blur:visual:1", "blur:visual:3", "blur:depth:1", "blur:depth:3", "blur:all:1", "blur:all:3"]


@pytest.fixture
def plugin(monkeypatch):
    """Name the plug-in file in the environment, as ``--plugin`` does."""
    monkeypatch.setenv(PLUGINS_VARIABLE, str(PLUGIN))


def blur(images: np.ndarray, radius: int) -> np.ndarray:
    """Average the pixels of each box, one box at a time."""
    blurred = np.empty_like(images)
    for row, column in np.ndindex(images.shape[-2:]):
        rows, columns = (slice(max(center - radius, 0), center + radius + 1) for center in (row, column))
        blurred[..., row, column] = images[..., rows, columns].mean((-2, -1))
    return blurred


def test_images_are_blurred_as_by_a_naive_loop(plugin):
    generator = torch.Generator().manual_seed(0)
    for lead in ((3,), (2, 4)):
        views = {m: torch.rand(*lead, m.channels, 20, 20, generator=generator, dtype=torch.double) for m in (V, D)}
        corrupted = apply_condition(views, Condition.parse("blur:visual:3"))
        np.testing.assert_allclose(corrupted[V].numpy(), blur(views[V].numpy(), 3), atol=1e-12)
        assert torch.equal(corrupted[D], views[D])


@pytest.mark.slow
def test_a_suite_with_its_levels_is_evaluated(plugin, tmp_path):
    (tmp_path / "soft.toml").write_text(SUITE)
    conditions = find_suite(str(tmp_path / "soft.toml")).conditions((V, D))
    assert list(map(str, conditions)) == TEXTS and tuple(map(Condition.parse, TEXTS)) == conditions
    entry = find_method("late_fusion").method_class
    recipe = entry.Recipe.from_preset("tiny", {})
    torch.manual_seed(0)
    method = entry(Task((V, D), (1, 2, 4), recipe.crop), recipe)
    generator = torch.Generator().manual_seed(1)
    images = {m: torch.randint(0, 256, (4, 64, 64, m.channels), generator=generator).byte() for m in (V, D)}
    predictor = MultiConditionPredictor(method, [CLEAN, *conditions])
    probs = predictor.predict_all(images, FrameNoise(0, [("F001", "T1", i) for i in range(4)]))
    views = predictor.preprocess(images)
    for condition, actual in zip([CLEAN, *conditions], probs, strict=True):
        inputs = {
            m: torch.from_numpy(blur(x.numpy(), int(condition.corruption.level)))
            if condition.corruptions((m,))[m].level
            else x
            for m, x in views.items()
        }
        with predictor.evaluating(), torch.inference_mode():
            assert torch.allclose(actual, method(inputs), atol=1e-5), str(condition)
    assert not torch.allclose(probs[0], probs[-1], atol=1e-4)


def test_a_corruption_may_change_its_images_in_place(monkeypatch):
    class Blinds:
        def apply(self, images, level, noise):
            images[..., : int(level), :] = -1
            return images

    monkeypatch.setattr(CORRUPTIONS, "get", lambda name: Blinds())
    views = {V: torch.ones(2, 3, 4, 4)}
    corrupted = apply_condition(views, Condition("blinds", (), CorruptionLevel("blinds", 2.0)))
    assert (corrupted[V] == -1).any() and (views[V] == 1).all()


@pytest.mark.slow
def test_tables_and_figures_show_it(plugin, make_record, tmp_path):
    parts = [make_record("amf", skill=1 / (i + 2)).counts.assign(condition=c) for i, c in enumerate(TEXTS)]
    table = counts.canonical(pd.concat([make_record("amf").counts, *parts]))
    profile = robustness_profile.build_profile("amf", (V, D), [table])
    rows = robustness_tables.make_tables([profile])["areas"].rows
    targets = [[cell.text for cell in row][:4] for row in rows]
    assert targets == [["amf", "blur", target, "3"] for target in ("visual", "depth", "all")]
    figure = curves.plot_levels([profile], "blur", [])
    assert [axes.get_xlabel() for axes in figure.axes] == ["radius of the box in pixels"] * 3
    assert figure.axes[0].get_lines()[1].get_xdata().tolist() == [0, 1, 3]
    assert robustness_figures.describe(Condition.parse("blur:all:3")) == "blur 3 on all"
    paths = robustness_figures.plot([profile], [], tmp_path)
    assert [path.name for path in paths if path.suffix == ".svg"] == ["curves_blur.svg", "heatmap_amf.svg"]
    assert "F1 under box blur" in (tmp_path / "curves_blur.svg").read_text()


def test_a_corruption_that_fails_is_named_with_its_line():
    def divide(images, level, noise):
        return images / noise.missing

    broken = Corruption("broken", "Broken", "level", divide)
    with pytest.raises(UsageError, match=r"corruption 'broken': fails in line \d+ \(AttributeError: .*missing"):
        broken.apply(torch.ones(1, 3, 4, 4), 1.0, FrameNoise(0, []))


def test_memory_that_runs_out_in_a_corruption_keeps_its_message():
    def exhaust(images, level, noise):
        raise RuntimeError("CUDA out of memory")

    with pytest.raises(RuntimeError, match="CUDA out of memory"):
        Corruption("large", "Large", "level", exhaust).apply(torch.ones(1, 3, 4, 4), 1.0, FrameNoise(0, []))


def test_invalid_levels_and_unknown_corruptions_are_refused(plugin, tmp_path, monkeypatch):
    path = tmp_path / "soft.toml"
    for text in ("blur:all:1.5", "blur:all:0", "blur:all:101", "blur:all"):
        with pytest.raises(UsageError, match="no condition"):
            Condition.parse(text)
    path.write_text(SUITE.replace("[1, 3]", "[1.5]"))
    with pytest.raises(ProtocolError, match=r"level 1\.5 of blur is not an integer above 0 and at most 100"):
        find_suite(str(path))
    monkeypatch.setenv(PLUGINS_VARIABLE, "")
    path.write_text(SUITE)
    with pytest.raises(ProtocolError, match="key 'blur'"):
        find_suite(str(path))
    assert CORRUPTIONS.names() == ["noise", "mask"]


def test_a_corruption_keeps_the_shape_and_has_a_free_name():
    for function, got in (
        (lambda images, level, noise: images[..., 1:], r"shape \(2, 3, 8, 7\) of torch.float32"),
        (lambda images, level, noise: images.double(), r"shape \(2, 3, 8, 8\) of torch.float64"),
        (lambda images, level, noise: None, "NoneType"),
    ):
        message = rf"'crop' returns {got} for images of shape \(2, 3, 8, 8\) of torch.float32"
        with pytest.raises(UsageError, match=message):
            Corruption("crop", "", "", function).apply(torch.zeros(2, 3, 8, 8), 0.5, None)
    for name in ("missing", "zero", "Blur", "clean"):
        with pytest.raises(UsageError, match="is invalid"):
            Corruption(name, "", "", lambda images, level, noise: images)
