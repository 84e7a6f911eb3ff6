"""Tests of the content and reproducibility of robustness figures."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from aubench.core.conditions import Condition
from aubench.core.task import Modality
from aubench.metrics import baselines, intervals, robustness_profile
from aubench.plots import curves
from aubench.plots import robustness_figures as plots
from aubench.results import counts

V, D, T = Modality
UNDER = ["missing:visual", "missing:depth:mean", "noise:depth:0.5", "noise:visual:0.2", "noise:all:0.5", "mask:all:0.5"]


@pytest.fixture
def actual(make_record) -> list[robustness_profile.RobustnessProfile]:
    """Return the profiles of two methods, the second with fewer conditions."""

    def one(name: str, skill: float, conditions) -> robustness_profile.RobustnessProfile:
        clean = make_record(name, skill=skill).counts
        parts = [make_record(name, skill=skill / (i + 2)).counts.assign(condition=c) for i, c in enumerate(conditions)]
        return robustness_profile.build_profile(name, (V, D), [counts.canonical(pd.concat([clean, *parts]))])

    return [one("amf", 1.0, UNDER), one("late_fusion", 0.8, UNDER[:4])]


@pytest.mark.slow
def test_curves_have_a_panel_per_modality_set_and_a_line_per_method(actual):
    figure = curves.plot_levels(actual, "noise", ["words"])
    panels = figure.axes
    assert [axes.get_title(loc="left") for axes in panels] == ["on visual", "on depth", "on all"]
    assert [[line.get_label() for line in axes.get_lines()] for axes in panels] == [
        ["always positive", "amf", "late_fusion"],
        ["always positive", "amf", "late_fusion"],
        ["always positive", "amf"],
    ]
    line, band = panels[1].get_lines()[1], panels[1].collections[0].get_paths()[0]
    points = [100 * intervals.mean_interval(each).estimate for _, each in actual[0].curve("noise", (D,))]
    assert line.get_xdata().tolist() == [0, 0.5]
    assert line.get_ydata().tolist() == pytest.approx(points)
    low = 100 * intervals.mean_interval(actual[0].curve("noise", (D,))[0][1]).low
    assert band.get_extents().y0 <= low
    assert curves.plot_levels(actual[1:], "mask", []) is None
    assert len(curves.plot_levels(actual, "mask", []).axes) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "draw", [lambda profiles: curves.plot_levels(profiles, "noise", []), lambda p: plots.bars(p, [])]
)
@pytest.mark.parametrize("ending", ["", " (small, cut_switch=0.0)", f" ({'a long recipe, ' * 8})"])
def test_a_legend_lies_in_its_figure(actual, draw, ending):
    names = [f"{each.name}{number}{ending}" for each in actual for number in (1, 2, 3)]
    figure = draw([replace(actual[i // 3], name=name) for i, name in enumerate(names)])
    figure.draw_without_rendering()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1
    assert ending or legend._ncols == 4


@pytest.mark.slow
def test_a_method_has_the_same_colour_in_all_figures(actual):
    def by_name(profiles):
        lines = curves.plot_levels(profiles, "noise", []).axes[0].get_lines()
        bars = plots.bars(profiles, []).axes[0].containers
        of_lines = {line.get_label(): line.get_color() for line in lines}
        of_bars = {each.get_label(): to_hex(each.patches[0].get_facecolor()).upper() for each in bars}
        assert of_bars.items() <= of_lines.items()
        return of_lines

    both = by_name(actual)
    assert both == by_name(actual[::-1]) and both["amf"] != both["late_fusion"]
    assert by_name(actual[1:])["late_fusion"] == both["late_fusion"]


def test_the_baseline_is_at_the_f1_of_its_counts(actual, make_record):
    always, _ = baselines.always_positive(make_record("amf"))
    height = 100 * intervals.f1_interval([always]).estimate
    for figure in (curves.plot_levels(actual, "noise", []), plots.bars(actual, [])):
        for axes in figure.axes:
            (line,) = (one for one in axes.get_lines() if one.get_label() == "always positive")
            assert line.get_ydata() == pytest.approx([height, height])
        assert [text.get_text() for text in figure.legends[0].get_texts()][-1] == "always positive"


def test_the_heat_map_has_the_loss_of_each_au(actual):
    axes = plots.heat_map(actual[0], plots._lost_points(actual[0]), [], 60.0).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()][:2] == ["50% of all masked", "no visual"]
    assert [text.get_text() for text in axes.get_xticklabels()][-2:] == ["AU24", "mean"]
    values = axes.images[0].get_array()
    lost = -100 * actual[0].change(Condition.parse("missing:visual"))[-1].estimate
    assert values[1, -1] == pytest.approx(lost)
    assert values.shape == (len(UNDER), 13)


@pytest.mark.slow
def test_heat_maps_of_one_comparison_have_the_same_colours(actual, tmp_path, monkeypatch):
    limits = []
    monkeypatch.setattr(plots, "heat_map", lambda profile, values, subtitle, limit: limits.append(limit))
    plots.plot(actual, ["w"], tmp_path)
    assert len(limits) == len(actual) > 1 and len(set(limits)) == 1
    assert limits[0] >= max(-100 * x.estimate for each in actual for c in each.conditions for x in each.change(c))


def test_bars_have_a_panel_per_fill(actual):
    zeros, means = plots.bars(actual, []).axes
    assert [text.get_text() for text in zeros.get_xticklabels()] == ["all modalities", "no visual"]
    assert [text.get_text() for text in means.get_xticklabels()] == ["all modalities", "no depth"]
    heights = [bar.get_height() for bar in zeros.patches]
    expected = [
        100 * one.f1(c)[-1].estimate for one in actual for c in (Condition(), Condition.parse("missing:visual"))
    ]
    assert heights == pytest.approx(expected)


@pytest.mark.slow
def test_equal_counts_give_equal_bytes(actual, tmp_path):
    one, other = ({p.name: p.read_bytes() for p in plots.plot(actual, ["w"], tmp_path / f)} for f in ("a", "b"))
    assert one == other
    assert {"curves.png", "curves.svg", "curves_mask.png", "missing.svg", "heatmap_late_fusion.png"} <= set(one)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("clean", "all modalities"),
        ("missing:visual+depth:black", "no visual or depth (black)"),
        ("noise:all:0.2", "noise 0.2 on all"),
        ("mask:depth:0.25", "25% of depth masked"),
    ],
)
def test_conditions_in_words(text, words):
    assert plots.describe(Condition.parse(text)) == words


@pytest.mark.slow
def test_a_name_with_more_than_letters_gives_a_plain_file(actual, tmp_path, make_record):
    named = [robustness_profile.RobustnessProfile("amf (tiny, learning_rate=0.1)", (V, D), actual[0].by_condition)]
    names = [path.stem for path in plots.plot(named, [], tmp_path)]
    assert any(name.startswith("heatmap_amf_") and len(name) == 20 for name in names)


@pytest.mark.slow
def test_figures_of_an_earlier_comparison_are_removed(actual, tmp_path):
    plots.plot(actual, [], tmp_path)
    own = [tmp_path / name for name in ("heatmap_mine.png", "notes.png", "notes.svg")]
    for path in own:
        path.write_bytes(b"mine")
    paths = plots.plot([replace(actual[1], by_condition=dict(list(actual[1].by_condition.items())[:2]))], [], tmp_path)
    assert {path.stem for path in paths} == {"missing", "heatmap_late_fusion"}
    assert sorted(tmp_path.iterdir()) == sorted([*paths, *own])
