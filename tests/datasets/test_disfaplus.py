"""DISFA+: which image becomes which row of the store."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from factories.bp4d import write_photo
from factories.disfa import TRIAL, write_image_labels

from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.data.store import Store
from aubench.datasets.delivered import DeliveredOptions
from aubench.datasets.disfa.disfaplus_dataset import DISFAPLUS

pytestmark = pytest.mark.usefixtures("one_worker")


def prepare(delivery, store: Path) -> Store:
    DISFAPLUS.prepare(delivery.root, store, DeliveredOptions(size=32), lambda done, total: None)
    return Store(store)


def skipped(store: Store) -> list[str]:
    lines = (store.path / "skipped.csv").read_text().splitlines()[1:]
    return [line for line in lines if "neither images nor label files" not in line]


def test_every_image_gets_the_labels_of_its_name(disfaplus, tmp_path) -> None:
    store = prepare(disfaplus, tmp_path / "store")
    frames = store.frames
    assert (store.info.dataset, store.info.labels) == ("disfaplus", "intensity")
    assert frames["subject"].tolist() == ["SN001"] * 5 + ["SN027"] * 5
    assert frames["frame"].tolist() == [0, 1, 2, 3, 4] * 2
    assert set(frames["sequence"]) == {TRIAL}
    assert frames["AU1"].tolist() == [1, 2, 3, 4, 5, 2, 3, 4, 5, 0]
    assert frames["AU12"].tolist() == [0, 1, 2, 3, 4, 1, 2, 3, 4, 5]
    assert frames["source"].tolist()[:2] == [f"SN001/{TRIAL}/000.jpg", f"SN001/{TRIAL}/001.jpg"]
    light = store.read(Modality.VISUAL, range(5)).mean(axis=(1, 2, 3))
    assert np.allclose(np.diff(light), 6, atol=2)
    assert skipped(store) == []
    missing = (store.path / "skipped.csv").read_text()
    assert missing.count("neither images nor label files") == 7
    store.verify(full=True)


def test_missing_images_and_labels_are_listed(disfaplus, tmp_path) -> None:
    (disfaplus.images("SN001") / "003.jpg").unlink()
    disfaplus.labels("SN001", 20).unlink()
    shutil.rmtree(disfaplus.labels("SN027", 1).parent)
    (disfaplus.images("SN001") / "cover.jpg").write_bytes(b"")
    (disfaplus.images("SN001") / "Thumbs.db").write_bytes(b"")
    store = prepare(disfaplus, tmp_path / "store")
    assert skipped(store) == [
        f",,-1,1 files like cover.jpg: {REASON}",
        f'SN001,{TRIAL},-1,"no label file of AU20, so that AU is unknown"',
        f'SN027,{TRIAL},-1,"no label file, so its frames are without labels"',
        f'SN001,{TRIAL},3,"coded, but without an image"',
    ]
    frames = store.frames
    assert frames["frame"].tolist() == [0, 1, 2, 4, 0, 1, 2, 3, 4]
    assert frames["AU1"].tolist() == [1, 2, 3, 5, -1, -1, -1, -1, -1]
    assert (frames["AU20"] == -1).all()
    assert frames["labelled"].tolist() == [True] * 4 + [False] * 5


def test_images_are_joined_by_number_and_those_without_a_label_are_listed(disfaplus, tmp_path) -> None:
    images = disfaplus.images("SN001")
    (images / "003.jpg").rename(images / "3.JPG")
    shutil.copy(images / "004.jpg", images / "005.jpg")
    store = prepare(disfaplus, tmp_path / "store")
    assert store.frames["AU1"].tolist()[:6] == [1, 2, 3, 4, 5, -1]
    assert skipped(store) == [f"SN001,{TRIAL},5,not coded"]


def test_folders_of_a_trial_may_differ_in_case(disfaplus, tmp_path) -> None:
    for folder in (disfaplus.images("SN001"), disfaplus.labels("SN027", 1).parent):
        folder.rename(folder.with_name(TRIAL.swapcase()))
    store = prepare(disfaplus, tmp_path / "store")
    assert store.frames["AU1"].tolist() == [1, 2, 3, 4, 5, 2, 3, 4, 5, 0] and skipped(store) == []
    assert store.frames["sequence"].tolist() == [TRIAL.swapcase()] * 5 + [TRIAL] * 5


def test_two_trials_whose_names_differ_in_case_are_refused(disfaplus) -> None:
    images = [disfaplus.images("SN001").with_name(name) / f"00{i}.jpg" for i, name in enumerate(("a1", "A1"))]
    for image in images:
        image.parent.mkdir(exist_ok=True)
        shutil.copy(disfaplus.images("SN001") / "000.jpg", image)
    if images[0].with_name(images[1].name).exists():
        pytest.skip("this disk does not distinguish the two names")
    with pytest.raises(DataError, match=r"the trial A1 of SN001 is also spelt a1; keep one"):
        DISFAPLUS.find(disfaplus.root, DeliveredOptions())


REASON = "the name is neither a number with .jpg nor AU and one of the 12 AUs with .txt"


def test_names_of_images_need_not_be_utf_8(disfaplus, tmp_path) -> None:
    image = disfaplus.images("SN001") / "000.jpg"
    image.rename(image.with_name(os.fsdecode(b"\xe9000.jpg")))
    assert prepare(disfaplus, tmp_path / "store").frames["source"][0] == rf"SN001/{TRIAL}/\xe9000.jpg"


def test_a_trial_without_images_is_listed(disfaplus, tmp_path) -> None:
    shutil.rmtree(disfaplus.images("SN027"))
    store = prepare(disfaplus, tmp_path / "store")
    assert skipped(store) == [f"SN027,{TRIAL},-1,no image"]
    assert set(store.frames["subject"]) == {"SN001"}


def other_labels(delivery):
    write_image_labels(delivery.labels("SN001", 4), {f"{n:03}.jpg": 0 for n in range(4)})


def small_image(delivery):
    write_photo(delivery.images("SN001") / "002.jpg", np.zeros((40, 40, 3), np.uint8))


def cut_image(delivery):
    path = delivery.images("SN001") / "002.jpg"
    path.write_bytes(path.read_bytes()[:-400])


def second_number(delivery):
    shutil.copy(delivery.images("SN001") / "002.jpg", delivery.images("SN001") / "02.jpg")


def unknown_subject(delivery):
    delivery.images("SN001").parent.rename(delivery.images("SN001").parents[1] / "SN002")


def no_labels(delivery):
    shutil.rmtree(delivery.root / "DISFAPlusDataset/Labels")


def odd_trial(delivery):
    delivery.images("SN001").rename(delivery.images("SN001").with_name("A1,\n"))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (other_labels, r"AU4\.txt: image 4 is coded either here or in AU1\.txt, not in both"),
        (small_image, r"002\.jpg: has 40 × 40 pixels, 000\.jpg has 208 × 278"),
        (cut_image, r"002\.jpg: is cut short"),
        (second_number, r"has the same number as .*; keep one of the two"),
        (unknown_subject, r"SN002: SN002 is not a subject of DISFA\+; its nine subjects are SN001, SN003"),
        (no_labels, r"DISFA\+: no label file in it; expected Images/SN001/<trial>/000\.jpg"),
        (odd_trial, r"the name of the trial has other than letters, digits and"),
    ],
)
def test_a_damaged_delivery_is_one_line_and_no_store(disfaplus, tmp_path, damage, says) -> None:
    damage(disfaplus)
    with pytest.raises(DataError, match=says) as error:
        prepare(disfaplus, tmp_path / "store")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "store").exists()
