import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aubench.core.task import Modality
from aubench.data.store import Store
from aubench.datasets import sequence_pool
from aubench.datasets.bp4dplus.bp4dplus_dataset import BP4DPLUS
from tests.factories.bp4d import WIDTH
from tests.factories.bp4dplus import PlusDelivery, write_delivery

SIZE = 48


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> PlusDelivery:
    return write_delivery(tmp_path_factory.mktemp("plus") / "BP4D+")


@pytest.fixture
def delivery(master: PlusDelivery, tmp_path: Path) -> PlusDelivery:
    shutil.copytree(master.root, tmp_path / "BP4D+")
    return PlusDelivery(tmp_path / "BP4D+")


@pytest.fixture(scope="module")
def store(master: PlusDelivery, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return prepare(master, tmp_path_factory.mktemp("stores") / "bp4dplus")


def prepare(delivery: PlusDelivery, path: Path, **options: object) -> Store:
    """Prepare a store in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequence_pool, "worker_pool", lambda workers: ThreadPoolExecutor(1))
        options = {"size": SIZE, "workers": 1, **options}
        BP4DPLUS.prepare(delivery.root, path, BP4DPLUS.Options(**options), lambda done, total: None)
    return Store(path)


def crop_values(store: Store, rows: list[int], point: int) -> np.ndarray:
    """Return the thermal values of frames at one of the 49 points."""
    at = np.floor(store.landmarks(rows)[:, point] * SIZE).astype(int)
    return store.read(Modality.THERMAL, rows)[np.arange(len(rows)), at[:, 1], at[:, 0], 0]


def test_every_frame_gets_its_photo_its_labels_and_its_modalities(store: Store) -> None:
    store.verify(full=True)
    frames = store.frames
    columns = ["subject", "sequence", "frame", "source", "labelled", "missing", "AU1", "AU2", "AU12", "AU24", "AU5"]
    assert frames[columns].to_numpy().tolist() == [
        ["F001", "T1", 1, "F001/T1/000.jpg", False, "", -1, -1, -1, -1, -1],
        ["F001", "T1", 2, "F001/T1/001.jpg", True, "T", 0, 1, 1, 0, -1],
        ["F001", "T1", 4, "F001/T1/003.jpg", True, "", 0, 1, 1, 0, -1],
        ["F001", "T1", 5, "F001/T1/004.jpg", True, "T", 1, 0, 1, 0, -1],
        ["F001", "T1", 6, "F001/T1/005.jpg", False, "", -1, -1, -1, -1, -1],
        ["M002", "T1", 1, "M002/T1/0000.jpg", True, "", 1, -1, -1, -1, -1],
        ["M002", "T1", 2, "M002/T1/0001.jpg", True, "", 0, -1, -1, -1, -1],
        ["M002", "T1", 3, "M002/T1/0002.jpg", False, "", -1, -1, -1, -1, -1],
        ["M002", "T6", 1, "M002/T6/0000.jpg", False, "T", -1, -1, -1, -1, -1],
        ["M002", "T6", 2, "M002/T6/0001.jpg", True, "T", 0, -1, -1, 1, -1],
        ["M002", "T6", 3, "M002/T6/0002.jpg", False, "T", -1, -1, -1, -1, -1],
    ]
    assert store.info.modalities.keys() == {Modality.VISUAL, Modality.DEPTH, Modality.THERMAL}
    assert "not a temperature" in store.info.modalities[Modality.THERMAL]
    assert (store.read(Modality.DEPTH, range(len(frames))).max(axis=(1, 2, 3)) > 100).all()


def test_what_is_missing_is_listed_with_reasons(store: Store) -> None:
    rows = pd.read_csv(store.path / "skipped.csv", keep_default_na=False).to_numpy().tolist()
    assert rows == [
        ["", "", -1, "T2: tasks without AU codes, not read"],
        ["F001", "T1", 2, "thermal: the infrared points are lost"],
        ["F001", "T1", 3, "coded, but without a photo"],
        ["F001", "T1", 5, "thermal: the 49 points are lost"],
        ["M002", "T6", -1, "thermal: there are no infrared points"],
    ]


def test_thermal_images_have_the_crop_of_the_photo_and_the_scale_of_the_bar(store: Store) -> None:
    rows = [0, 2, 4, 5, 6, 7]
    frames = store.frames.loc[rows, "frame"].to_numpy()
    for point, column in ((13, 0.0), (14, -10.5), (18, 10.5)):
        photo = 104 + (frames - 1) + column
        assert np.abs(crop_values(store, rows, point) - (1 + 254 * photo / WIDTH)).max() < 6
    missing = store.frames["missing"].str.contains("T").to_numpy()
    assert not store.read(Modality.THERMAL, np.flatnonzero(missing)).any()
