import shutil
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest

from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.data.store import Store
from aubench.data.store_writer import StoreWriter
from aubench.datasets import sequence_pool
from aubench.datasets.bp4d import delivery as bp4d_delivery
from aubench.datasets.bp4d.sequence_files import ZipFolder
from aubench.datasets.bp4dplus.bp4dplus_dataset import BP4DPLUS
from aubench.datasets.bp4dplus.bp4dplus_files import scan_bp4dplus
from tests.factories.bp4d import WIDTH
from tests.factories.bp4dplus import NAMED, PlusDelivery, colour, write_delivery

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


@pytest.mark.slow
def test_false_colours_are_kept_on_request(delivery: PlusDelivery, store: Store, tmp_path: Path) -> None:
    coloured = prepare(delivery, tmp_path / "store", thermal_colour=True)
    coloured.verify(full=True)
    kept = [name for name in coloured.info.arrays if name.endswith(".thermal_colour.npy")]
    assert len(kept) == 3
    assert {name: sha for name, sha in coloured.info.arrays.items() if name not in kept} == store.info.arrays
    colours = np.load(coloured.path / "arrays/F001/T1.thermal_colour.npy")
    assert colours.shape == (5, SIZE, SIZE, 3)
    assert colours.any(axis=(1, 2, 3)).tolist() == [True, False, True, False, True]
    column, row = np.floor(coloured.landmarks([0])[0, 13] * SIZE).astype(int)
    assert np.abs(colours[0, row, column] - colour(np.array(104 / WIDTH)).astype(int)).max() < 40


def skipped(store: Store) -> list[list[object]]:
    return pd.read_csv(store.path / "skipped.csv", keep_default_na=False).to_numpy().tolist()


def rewrite_zip(path: Path, change: Callable[[str, bytes], Iterable[tuple[str, bytes]]]) -> None:
    """Replace the files of an archive by those that ``change`` returns for each."""
    with zipfile.ZipFile(path) as archive:
        files = [pair for name in archive.namelist() for pair in change(name, archive.read(name))]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files:
            archive.writestr(name, content)


def labels_of_photos(store: Store) -> dict[str, int]:
    frames = store.frames[store.frames["labelled"] & (store.frames["subject"] == "F001")]
    return dict(zip(frames["source"], frames["AU1"].tolist(), strict=True))


@pytest.mark.slow
def test_photos_and_labels_may_count_alike(delivery: PlusDelivery, tmp_path: Path) -> None:
    """The other convention: photo 1 has label frame 1."""

    def count_from_1(name: str, content: bytes) -> Iterable[tuple[str, bytes]]:
        stem, suffix = Path(name).stem, Path(name).suffix
        yield (f"{Path(name).parent}/{int(stem) + 1:03}{suffix}" if stem.isdigit() else name), content

    rewrite_zip(delivery.zip("F001"), count_from_1)
    for photo in sorted((delivery.root / "2D+3D/M002").glob("*/*.*"), reverse=True):
        photo.rename(photo.with_stem(f"{int(photo.stem) + 1:04}"))
    store = prepare(delivery, tmp_path / "store")
    assert labels_of_photos(store) == {"F001/T1/002.jpg": 0, "F001/T1/004.jpg": 0, "F001/T1/005.jpg": 1}
    assert pd.read_csv(store.path / "sequences.csv")["offset"].tolist() == [0, 0, 0]


@pytest.mark.slow
def test_a_requested_offset_joins_photo_and_label_of_one_number(delivery: PlusDelivery, tmp_path: Path) -> None:
    store = prepare(delivery, tmp_path / "store", frame_offset="0")
    assert labels_of_photos(store) == {"F001/T1/003.jpg": 1, "F001/T1/004.jpg": 0, "F001/T1/005.jpg": 1}


@pytest.mark.slow
def test_unpacked_photos_give_the_same_store(delivery: PlusDelivery, store: Store, tmp_path: Path) -> None:
    with zipfile.ZipFile(delivery.zip("F001")) as archive:
        archive.extractall(delivery.zip("F001").parent)
    delivery.zip("F001").unlink()
    assert prepare(delivery, tmp_path / "store").info.arrays == store.info.arrays


def test_photos_in_an_archive_and_in_a_folder_are_refused(delivery: PlusDelivery, tmp_path: Path) -> None:
    with zipfile.ZipFile(delivery.zip("F001")) as archive:
        archive.extractall(delivery.zip("F001").parent)
    with pytest.raises(DataError, match=r"F001 T1 is also in .*; keep one of the two"):
        prepare(delivery, tmp_path / "store")


def test_a_bad_photo_in_an_archive_is_named(delivery: PlusDelivery, tmp_path: Path) -> None:
    path = delivery.zip("F001")
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo("F001/T1/003.jpg").header_offset
    content = bytearray(path.read_bytes())
    content[at + 300] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"F001\.zip/F001/T1/003\.jpg: cannot be unpacked \(Bad CRC"):
        prepare(delivery, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_files_of_tasks_without_codes_are_not_kept(delivery: PlusDelivery, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = []

    def keep(*values: Any) -> ZipFolder:
        folders.append(ZipFolder(*values))
        return folders[-1]

    monkeypatch.setattr(bp4d_delivery, "ZipFolder", keep)
    found = scan_bp4dplus(delivery.root)
    counts = {"/".join(Path(folder.name).parts[-2:]): len(folder.files) for folder in folders}
    assert counts["F001/T2"] == 1 < counts["F001/T1"]
    assert "T2: tasks without AU codes, not read" in found.delivery.unused


@pytest.mark.slow
def test_entries_with_other_names_are_listed(delivery: PlusDelivery, tmp_path: Path) -> None:
    def add(name: str, content: bytes) -> Iterable[tuple[str, bytes]]:
        yield name, content
        if name == "F001/T1/000.jpg":
            yield "../evil/T1/0009.jpg", content
            yield "F001/extra/0001.jpg", content
            yield "F002/T1/0001.jpg", content

    rewrite_zip(delivery.zip("F001"), add)
    assert skipped(prepare(delivery, tmp_path / "store"))[:4] == [
        ["", "", -1, "F001.zip/F001/extra: its name is not like F001/T1"],
        ["", "", -1, "F001.zip/F002/T1: its name is not like F001/T1"],
        ["", "", -1, "F001.zip: 1 files like ../evil/T1/0009.jpg are outside the archive, not read"],
        ["", "", -1, "T2: tasks without AU codes, not read"],
    ]
    assert not (tmp_path / "evil").exists()


def test_thermal_files_with_other_names_are_listed(delivery: PlusDelivery) -> None:
    assert scan_bp4dplus(delivery.root).delivery.unused == ["T2: tasks without AU codes, not read"]
    for name in ("F001_T1", "M002_T1", "M002_T6"):
        delivery.video(name).rename(delivery.video(name).with_suffix(".MV"))
    delivery.infrared("F001_T1").rename(delivery.infrared("F001_T01_IR"))
    found = scan_bp4dplus(delivery.root)
    assert not found.thermal
    assert found.delivery.unused[1:] == [
        "3 files like Thermal/F001/T1.MV: not like F001/T1.wmv, not read",
        "1 files like IRFeatures/F001_T01_IR.txt: not like F001_T1.txt, not read",
    ]


@pytest.mark.slow
def test_unknown_subjects_and_known_problems_are_listed(delivery: PlusDelivery, tmp_path: Path) -> None:
    for name, task in (("F083", "T1"), ("F041", "T7"), ("M049", "T6")):
        shutil.copytree(delivery.root / "2D+3D/M002/T1", delivery.root / "2D+3D" / name / task)
        shutil.copy(delivery.codes("M002_T1"), delivery.codes(f"{name}_{task}"))
    rows = skipped(prepare(delivery, tmp_path / "store"))
    unknown = "F083/T1: not a subject of BP4D+, which has F001 to F082 and M001 to M058"
    length = "known problem: video and label file are reported to have different lengths"
    for row in (
        ["", "", -1, unknown],
        ["F041", "T7", -1, length],
        ["F041", "T7", -1, "no file like 2DFeatures/F001_T1.mat, so the face is detected"],
        ["F041", "T7", -1, "thermal: there is no video"],
        ["M049", "T6", -1, "known problem: delivered without infrared points"],
    ):
        assert row in rows


@pytest.mark.slow
def test_a_sequence_without_49_points_is_detected(delivery: PlusDelivery, tmp_path: Path) -> None:
    delivery.points("M002_T1").unlink()
    store = prepare(delivery, tmp_path / "store")
    of_sequence = store.frames[(store.frames["subject"] == "M002") & (store.frames["sequence"] == "T1")]
    assert set(of_sequence["crop_source"]) <= {"mesh", "detector", "neighbours"}
    assert set(of_sequence["missing"]) == {"T"}
    assert np.isnan(store.landmarks(of_sequence.index.to_numpy())).all()


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["2DFeatures", "IRFeatures"])
def test_thermal_needs_both_sets_of_points(delivery: PlusDelivery, tmp_path: Path, folder: str) -> None:
    shutil.rmtree(delivery.root / folder)
    store = prepare(delivery, tmp_path / "store")
    assert store.info.modalities.keys() == {Modality.VISUAL, Modality.DEPTH}
    reason = f"thermal videos: not read, because there is no folder {folder} to align them with the photos"
    assert ["", "", -1, reason] in skipped(store)
    assert not store.frames["missing"].str.contains("T").any()


@pytest.mark.slow
def test_a_delivery_of_photos_and_labels_alone_is_read(delivery: PlusDelivery, tmp_path: Path) -> None:
    for folder in ("2DFeatures", "IRFeatures", "Thermal", "Physiology"):
        shutil.rmtree(delivery.root / folder)
    for mesh in delivery.root.glob("2D+3D/*/*/*.obj"):
        mesh.unlink()
    rewrite_zip(delivery.zip("F001"), lambda name, content: [] if name.endswith(".obj") else [(name, content)])
    store = prepare(delivery, tmp_path / "store")
    assert store.info.modalities.keys() == {Modality.VISUAL}
    assert labels_of_photos(store) == {"F001/T1/001.jpg": 0, "F001/T1/003.jpg": 0, "F001/T1/004.jpg": 1}


def test_two_videos_of_a_sequence_are_refused(delivery: PlusDelivery, tmp_path: Path) -> None:
    shutil.copy(delivery.video("M002_T1"), delivery.root / "Thermal/M002_T1.wmv")
    with pytest.raises(DataError, match=r"the same sequence is in .*; keep one of the two"):
        prepare(delivery, tmp_path / "store")


def test_a_delivery_without_any_known_subject_is_refused(delivery: PlusDelivery, tmp_path: Path) -> None:
    delivery.zip("F001").unlink()
    (delivery.root / "2D+3D/M002").rename(delivery.root / "2D+3D/M059")
    with pytest.raises(DataError, match=r"no photo of a subject of BP4D\+ in it; expected 2D\+3D/F001\.zip"):
        prepare(delivery, tmp_path / "store")


def test_other_thermal_files_are_prepared_again(delivery: PlusDelivery, tmp_path: Path) -> None:
    before = BP4DPLUS.find(delivery.root, BP4DPLUS.Options(size=SIZE)).jobs["M002", "T1"].inputs
    delivery.infrared("M002_T1").write_text("0 " * 55 + "0")
    after = BP4DPLUS.find(delivery.root, BP4DPLUS.Options(size=SIZE)).jobs["M002", "T1"].inputs
    assert [kind for kind in before if before[kind] != after[kind]] == ["thermal files"]


def test_gaps_can_be_allowed_when_a_command_resumes(delivery: PlusDelivery, tmp_path: Path, capfd) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(StoreWriter, "finish", Mock(side_effect=KeyboardInterrupt))
        prepare(delivery, tmp_path / "store")
    codes = delivery.codes("M002_T6")
    codes.write_text(codes.read_text() + ",".join(["9"] * len(NAMED)) + "\n")
    with pytest.raises(DataError, match=r"has no row for frame .* with --allow-gaps"):
        prepare(delivery, tmp_path / "store")
    prepare(delivery, tmp_path / "store", allow_gaps=True).verify(full=True)
    assert capfd.readouterr().err == "aubench: M002 T6: other label files; it is prepared again\n"


def test_the_summary_counts_what_is_missing(store: Store) -> None:
    lines = [" ".join(line.split()) for line in BP4DPLUS.summarize(store)]
    for line in ("sequences 3", "frames 11", "labelled 6", "without mesh 0", "without thermal 5"):
        assert line in lines
    assert "sequences with photo = frame -1 3" in lines
