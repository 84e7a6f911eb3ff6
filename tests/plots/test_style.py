from __future__ import annotations

import pytest
from factories.paper_methods import PAPER_METHODS

from aubench.core.errors import DataError, UsageError
from aubench.plots import style


def bar_figure():
    with style.styled():
        figure = style.make_figure(3, 2)
        figure.add_subplot().bar([0, 1], [1, 2])
        style.set_title(figure, "Bars", ("one", "two"))
    return figure


@pytest.mark.parametrize(("suffix", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_equal_figures_are_equal_files(tmp_path, suffix, begins):
    first, second = (style.save(bar_figure(), tmp_path / f"{i}{suffix}").read_bytes() for i in range(2))
    assert first == second
    assert first.startswith(begins)
    assert len(list(tmp_path.iterdir())) == 2


def test_methods_of_a_figure_have_different_colours_up_to_the_size_of_the_palette():
    names = PAPER_METHODS
    alone = [style.colours([name])[0][0] for name in names]
    assert len(set(alone)) == len(names), "these methods keep their colours in every figure"
    assert [colour for colour, _ in style.colours(names)] == alone
    many = [f"method{i}" for i in range(len(style.PALETTE))]
    assert {colour for colour, _ in style.colours(many)} == set(style.PALETTE)
    assert all(times == 0 for _, times in style.colours(many))
    assert style.colours([*many, "more"])[-1][1] == 1


def test_the_order_of_a_figure_does_not_change_colours():
    names = [f"method{i}" for i in range(12)]
    assert dict(zip(names, style.colours(names), strict=True)) == dict(
        zip(names[::-1], style.colours(names[::-1]), strict=True)
    )


def test_rows_of_one_method_share_a_colour_and_are_counted():
    (first, zero), (other, _), (again, one) = style.colours(["amf (tiny)", "mine", "amf (tiny, tuned)"])
    assert (first, zero, one) == (style.colours(["amf"])[0][0], 0, 1) and again == first
    assert style.colours(["mine"])[0][0] == other, "a method of a plug-in keeps its colour too"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("figure.pdf", r"cannot be a '\.pdf' file; known: \.png, \.svg$"),
        ("figure", r"has no ending; use \.png or \.svg$"),
    ],
)
def test_other_kinds_of_files_are_refused(tmp_path, name, words):
    with pytest.raises(UsageError, match=words):
        style.save(bar_figure(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_figure_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = style.save(bar_figure(), tmp_path / "a.png")
    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", lambda number: (_ for _ in ()).throw(OSError("broken")))
    with pytest.raises(DataError, match=r"a\.png: cannot be written \(broken\)"):
        style.save(bar_figure(), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("title", "subtitle"),
    [
        ("F1", ("Late fusion", "synth_vdt_3fold v1", "visual + depth + thermal", "preset small", "seed 1")),
        ("F1 per AU: mean 0.866, always positive 0.342", ("run 1b07ce14",)),
        ("F1", ("a method with a very long title that names each of its modules",)),
    ],
)
def test_titles_wider_than_the_figure_are_wrapped_above_its_axes(title, subtitle):
    with style.styled():
        figure = style.make_figure(3, 2)
        axes = figure.add_subplot()
        style.set_title(figure, title, subtitle)
    figure.set_dpi(150)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.texts]
    assert max(box.x1 for box in boxes) < figure.bbox.width
    assert boxes[1].y0 > axes.get_window_extent().y1
    assert set(" ".join(subtitle).split()) <= set(figure.texts[1].get_text().split())


def test_a_figure_without_a_subtitle_keeps_its_height():
    figure = style.make_figure(3, 2)
    style.set_title(figure, "F1", ())
    assert figure.get_figheight() == 2
