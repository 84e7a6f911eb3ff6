"""Tests of contact sheets."""

from types import SimpleNamespace

import cv2
import pandas as pd
import pytest

from aubench.core.errors import DataError
from aubench.datasets import catalog
from aubench.datasets.synth.synth_dataset import SYNTH
from aubench.plots import contact_sheet
from aubench.rendering.constants import AUS
from tests.factories.synth import generate, short


@pytest.mark.slow
def test_the_synth_sheet_is_a_picture(tmp_path):
    contact_sheet.draw_rendered(SYNTH, tmp_path / "sheet.png", size=32)
    picture = cv2.imread(str(tmp_path / "sheet.png"))
    assert picture.shape[1] > 1500
    assert picture.std() > 40


def test_every_au_has_its_name():
    assert set(AUS) <= set(contact_sheet.NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 7, 99])
def test_the_sheet_of_a_store_is_a_picture(tmp_path, count):
    store = generate(tmp_path / "store", short(subjects=1, sequences=1, frames=8, size=32), lambda done, total: None)
    contact_sheet.draw_store(store, tmp_path / "sheet.png", count=count)
    assert cv2.imread(str(tmp_path / "sheet.png")).std() > 20


def test_a_sheet_of_a_broken_store_says_so(tmp_path):
    store = generate(tmp_path / "store", short(subjects=1, sequences=1, frames=2, size=32), lambda done, total: None)
    (store.path / "arrays/F001/T1.depth.npy").write_bytes(b"x")
    with pytest.raises(DataError, match="depth"):
        contact_sheet.draw_store(store, tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()


@pytest.mark.slow
def test_the_sheet_of_a_store_shows_its_least_certain_crops(tmp_path, monkeypatch):
    settings = short(subjects=1, sequences=2, frames=4, size=32)
    store = generate(tmp_path / "store", settings, lambda done, total: None)
    contact_sheet.draw_store(store, tmp_path / "one.png", count=4)
    store.frames = store.frames.assign(crop_source="detector", crop_score=[90, 80, 70, 99, 20, 30, 40, 95])
    assert store.worst_crops(3) == [4, 2, 5]
    captions = []
    monkeypatch.setattr(contact_sheet, "_crop_caption", lambda store, row: captions.append(row) or "x")
    contact_sheet.draw_store(store, tmp_path / "two.png", count=4)
    assert captions == [4, 2, 5, 6]
    one, two = (cv2.imread(str(tmp_path / name)) for name in ("one.png", "two.png"))
    assert two.shape[0] > 1.5 * one.shape[0]


def test_a_check_names_the_least_certain_crops(tmp_path):
    settings = short(subjects=1, sequences=1, frames=2, size=32)
    store = generate(tmp_path / "store", settings, lambda done, total: None)
    assert catalog.crop_lines(store) == []
    store.frames = store.frames.assign(crop_source=["mesh", "neighbours"], crop_score=[99, 12])
    assert catalog.crop_lines(store) == ["crop of F001 T1 frame 2: score 12 of 100, from neighbours"]


@pytest.mark.parametrize(("labels", "caption"), [("occurrence", "AU 6 12"), ("intensity", "AU 6:1 12:5")])
def test_a_caption_has_the_active_aus_and_their_intensities(labels, caption):
    values = {"AU4": [-1], "AU6": [1], "AU12": [5], "AU25": [0]}
    frames = pd.DataFrame({"subject": ["SN001"], "sequence": ["left"], "frame": [3], **values, "labelled": [True]})
    store = SimpleNamespace(frames=frames, aus=(4, 6, 12, 25), info=SimpleNamespace(labels=labels))
    assert contact_sheet._frame_caption(store, 0) == f"SN001 left 3\n{caption}"
