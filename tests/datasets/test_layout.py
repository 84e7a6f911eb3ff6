import shutil
from pathlib import Path

import numpy as np
import pytest

from aubench.core.errors import DataError
from aubench.datasets.bp4d.layout import Recording, choose_offset, find_recordings, match


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def recording(*names: str) -> Recording:
    photos = {int(Path(n).stem): Path(n) for n in names if n.endswith("jpg")}
    meshes = {int(Path(n).stem): Path(n) for n in names if n.endswith("obj")}
    return Recording("F001", "T1", photos, meshes, None)


@pytest.mark.parametrize("folder", ["Sequences(2D+3D)", "Sequences_2D+3D", "sequences (2D+3D)", "2D+3D", "."])
@pytest.mark.parametrize("up", [0, 1])
def test_finds_sequences_however_the_folder_is_called(tmp_path: Path, folder: str, up: int) -> None:
    root = tmp_path / "delivery"
    touch(root / folder / "F001/T1/0000.jpg", root / folder / "M018/T8/000.jpg", root / folder / "M018/T8/000.obj")
    touch(root / "AUCoding/AU_OCC/F001_T1.csv", root / "AUCoding/AU_OCC/M018_T8.csv")
    touch(root / "AUCoding/AU_INT/AU06/F001_T1_AU06.csv")
    recordings = find_recordings([root, tmp_path][up])
    assert [(r.subject, r.sequence) for r in recordings] == [("F001", "T1"), ("M018", "T8")]
    assert [r.label_file.name for r in recordings if r.label_file] == ["F001_T1.csv", "M018_T8.csv"]
    assert recordings[1].meshes.keys() == {0}


def test_finds_labels_beside_the_folder_of_sequences(tmp_path: Path) -> None:
    touch(tmp_path / "Sequences(2D+3D)/F001/T1/0000.jpg", tmp_path / "AUCoding/AU_OCC/F001_T1.csv")
    (recording,) = find_recordings(tmp_path / "Sequences(2D+3D)")
    assert recording.label_file == tmp_path / "AUCoding/AU_OCC/F001_T1.csv"


def test_reads_the_layout_of_the_fera_challenge(tmp_path: Path) -> None:
    touch(tmp_path / "BP4D-training/F001/T1/2440.jpg", tmp_path / "BP4D-training/AU_OCC/F001_T1.csv")
    (recording,) = find_recordings(tmp_path)
    assert recording.photos.keys() == {2440}
    assert choose_offset(recording, "auto")[0] == 0


def test_names_count_as_numbers(tmp_path: Path) -> None:
    names = ["0000.jpg", "007.jpg", "12.JPG", "0012.obj", "0000.mtl", "poster.jpg", ".0003.jpg"]
    touch(*(tmp_path / "S/F001/T1" / name for name in names), tmp_path / "AU_OCC/F001_T1.csv")
    (recording,) = find_recordings(tmp_path)
    assert recording.photos.keys() == {0, 7, 12}
    assert recording.meshes.keys() == {12}
    assert recording.unnumbered_files == ("poster.jpg",)


def test_tasks_come_in_order_of_number(tmp_path: Path) -> None:
    touch(*(tmp_path / f"S/F001/{task}/0.jpg" for task in ("T10", "T2", "t1")), tmp_path / "AU_OCC/f001_t2.csv")
    recordings = find_recordings(tmp_path)
    assert [r.sequence for r in recordings] == ["T1", "T2", "T10"]
    assert [r.label_file is None for r in recordings] == [True, False, True]


def test_folders_of_other_sensors_are_no_sequences(tmp_path: Path) -> None:
    touch(
        tmp_path / "Physiology/F001/T1/BP_mmHg.txt", tmp_path / "2D+3D/F001/T1/0.jpg", tmp_path / "AU_OCC/F001_T1.csv"
    )
    assert [r.photos[0].parts[-4] for r in find_recordings(tmp_path)] == ["2D+3D"]


def test_labels_without_a_sequence_are_kept_to_be_told(tmp_path: Path) -> None:
    touch(tmp_path / "S/F001/T1/0.jpg", tmp_path / "AU_OCC/F001_T1.csv", tmp_path / "AU_OCC/F001_T2.csv")
    assert [(r.sequence, len(r.photos)) for r in find_recordings(tmp_path)] == [("T1", 1), ("T2", 0)]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (["AU_OCC/F001_T1.csv"], "no folder of a sequence"),
        (["S/F001/T1/0.jpg"], "no label file"),
        (["S/F001/T1/0.jpg", "S/F001/T01/0.jpg", "AU_OCC/F001_T1.csv"], "F001 T1 is also in"),
        (["S/F001/T1/0.jpg", "S/F001/T1/000.jpg", "AU_OCC/F001_T1.csv"], "has the same number as 0.jpg"),
        (["S/F001/T1/0.jpg", "AU_OCC/F001_T1.csv", "AU_OCC/new/F001_T1.csv"], "the same sequence is coded in"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, files: list[str], says: str) -> None:
    touch(*(tmp_path / "in" / file for file in files))
    with pytest.raises(DataError, match=says):
        find_recordings(tmp_path / "in")


def test_a_missing_source_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder; expected Sequences\(2D\+3D\)"):
        find_recordings(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("names", "wanted", "offset"),
    [
        (["0000.jpg", "0001.jpg"], "auto", -1),
        (["0001.jpg", "0002.jpg"], "auto", 0),
        (["0001.jpg", "0000.obj", "0001.obj"], "auto", -1),  # the first photo is lost, its mesh is not
        (["0000.jpg"], 0, 0),
        (["0001.jpg"], -1, -1),
    ],
)
def test_frame_offset(names: list[str], wanted, offset: int) -> None:
    assert choose_offset(recording(*names), wanted)[0] == offset


def test_match_pairs_photo_and_frame_by_offset() -> None:
    instants, lost = match(recording("0002.jpg", "0000.jpg", "0001.obj", "0002.obj"), np.array([2, 3, 4]), -1)
    assert [(i.frame, i.photo.name, i.mesh and i.mesh.name) for i in instants] == [
        (1, "0000.jpg", None),
        (3, "0002.jpg", "0002.obj"),
    ]
    assert lost == [2, 4]


def test_reads_the_small_delivery(delivery) -> None:
    recordings = find_recordings(delivery.root)
    assert len(recordings) == 6
    assert all(r.photos.keys() == r.meshes.keys() == set(range(5)) for r in recordings)
    shutil.rmtree(delivery.task("F001", "T1"))
    assert not find_recordings(delivery.root)[0].photos
