"""Tests of contact sheets."""

import cv2
import pytest

from aubench.core.errors import DataError
from aubench.datasets.synth.constants import AUS
from aubench.datasets.synth.synth_dataset import SYNTH, SynthSettings, generate
from aubench.plots import contact_sheet


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
    store = generate(
        tmp_path / "store", SynthSettings(subjects=1, sequences=1, frames=8, size=32), lambda done, total: None
    )
    contact_sheet.draw_store(store, tmp_path / "sheet.png", count=count)
    assert cv2.imread(str(tmp_path / "sheet.png")).std() > 20


def test_a_sheet_of_a_broken_store_says_so(tmp_path):
    store = generate(
        tmp_path / "store", SynthSettings(subjects=1, sequences=1, frames=2, size=32), lambda done, total: None
    )
    (store.path / "arrays/F001/T1.depth.npy").write_bytes(b"x")
    with pytest.raises(DataError, match="depth"):
        contact_sheet.draw_store(store, tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()
