import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aubench.core.errors import DataError
from aubench.datasets.bp4d.bp4d_dataset import BP4D, Bp4dOptions
from aubench.datasets.bp4d.delivery import Delivery, scan_delivery
from aubench.datasets.bp4d.frame_offsets import OffsetRequest, decide_offsets
from aubench.datasets.bp4d.layout import Recording, match


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def recording(*names: str) -> Recording:
    photos = {int(Path(n).stem): Path(n) for n in names if n.endswith("jpg")}
    meshes = {int(Path(n).stem): Path(n) for n in names if n.endswith("obj")}
    return Recording("F001", "T1", photos, meshes, None)


def offsets(recordings: list[Recording], request: str = "auto", codes: Sequence[Iterable[int]] = ()) -> list[int]:
    coded = [np.array([*numbers], int) for numbers in codes] or [np.empty(0, int)] * len(recordings)
    delivery = decide_offsets(Delivery(recordings, []), OffsetRequest.parse(request), coded)
    return [recording.offset for recording in delivery.recordings]


def test_subjects_of_bp4d_plus_are_refused(tmp_path: Path) -> None:
    touch(*(tmp_path / f"2D+3D/{subject}/T1/000.jpg" for subject in ("F001", "F023", "F024", "M018", "M019")))
    touch(tmp_path / "AUCoding/AU_OCC/F082_T1.csv")
    says = "has 3 subjects that are not of BP4D: F024, F082, M019; move them elsewhere, or read BP4D\\+ with"
    with pytest.raises(DataError, match=says):
        BP4D.find(tmp_path, Bp4dOptions())


@pytest.mark.parametrize("folder", ["Sequences(2D+3D)", "Sequences_2D+3D", "sequences (2D+3D)", "2D+3D", "."])
@pytest.mark.parametrize("up", [0, 1])
def test_finds_sequences_however_the_folder_is_called(tmp_path: Path, folder: str, up: int) -> None:
    root = tmp_path / "delivery"
    touch(root / folder / "F001/T1/0000.jpg", root / folder / "M018/T8/000.jpg", root / folder / "M018/T8/000.obj")
    touch(root / "AUCoding/AU_OCC/F001_T1.csv", root / "AUCoding/AU_OCC/M018_T8.csv")
    touch(root / "AUCoding/AU_INT/AU06/F001_T1_AU06.csv")
    recordings = scan_delivery([root, tmp_path][up]).recordings
    assert [(r.subject, r.sequence) for r in recordings] == [("F001", "T1"), ("M018", "T8")]
    assert [r.label_file.name for r in recordings if r.label_file] == ["F001_T1.csv", "M018_T8.csv"]
    assert recordings[1].meshes.keys() == {0}


def test_finds_labels_beside_the_folder_of_sequences(tmp_path: Path) -> None:
    touch(tmp_path / "Sequences(2D+3D)/F001/T1/0000.jpg", tmp_path / "AUCoding/AU_OCC/F001_T1.csv")
    (recording,) = scan_delivery(tmp_path / "Sequences(2D+3D)").recordings
    assert recording.label_file == tmp_path / "AUCoding/AU_OCC/F001_T1.csv"


def test_reads_the_layout_of_the_fera_challenge(tmp_path: Path) -> None:
    touch(tmp_path / "BP4D-training/F001/T1/2440.jpg", tmp_path / "BP4D-training/AU_OCC/F001_T1.csv")
    (recording,) = scan_delivery(tmp_path).recordings
    assert recording.photos.keys() == {2440}
    assert offsets([recording]) == [0]


def test_names_count_as_numbers(tmp_path: Path) -> None:
    names = ["0000.jpg", "007.jpg", "12.JPG", "0012.obj", "0000.mtl", "poster.jpg", ".0003.jpg"]
    touch(*(tmp_path / "S/F001/T1" / name for name in names), tmp_path / "AU_OCC/F001_T1.csv")
    (recording,) = scan_delivery(tmp_path).recordings
    assert recording.photos.keys() == {0, 7, 12}
    assert recording.meshes.keys() == {12}
    assert recording.unnumbered_files == ("poster.jpg",)


def test_tasks_come_in_order_of_number(tmp_path: Path) -> None:
    touch(*(tmp_path / f"S/F001/{task}/0.jpg" for task in ("T10", "T2", "t1")), tmp_path / "AU_OCC/f001_t2.csv")
    recordings = scan_delivery(tmp_path).recordings
    assert [r.sequence for r in recordings] == ["T1", "T2", "T10"]
    assert [r.label_file is None for r in recordings] == [True, False, True]


def test_folders_of_other_sensors_are_no_sequences(tmp_path: Path) -> None:
    touch(
        tmp_path / "Physiology/F001/T1/BP_mmHg.txt", tmp_path / "2D+3D/F001/T1/0.jpg", tmp_path / "AU_OCC/F001_T1.csv"
    )
    assert [r.photos[0].parts[-4] for r in scan_delivery(tmp_path).recordings] == ["2D+3D"]


def test_labels_without_a_sequence_are_kept_to_be_told(tmp_path: Path) -> None:
    touch(tmp_path / "S/F001/T1/0.jpg", tmp_path / "AU_OCC/F001_T1.csv", tmp_path / "AU_OCC/F001_T2.csv")
    assert [(r.sequence, len(r.photos)) for r in scan_delivery(tmp_path).recordings] == [("T1", 1), ("T2", 0)]


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
        scan_delivery(tmp_path / "in")


def test_a_missing_source_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder; expected Sequences\(2D\+3D\)"):
        scan_delivery(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("names", "wanted", "offset"),
    [
        (["0000.jpg", "0001.jpg"], "auto", -1),
        (["0001.jpg", "0002.jpg"], "auto", 0),
        (["0001.jpg", "0000.obj", "0001.obj"], "auto", -1),  # the first photo is lost, its mesh is not
        (["0000.jpg"], "0", 0),
        (["0001.jpg"], "-1", -1),
    ],
)
def test_frame_offset(names: list[str], wanted, offset: int) -> None:
    assert offsets([recording(*names)], wanted) == [offset]


def test_match_pairs_photo_and_frame_by_offset() -> None:
    files = replace(recording("0002.jpg", "0000.jpg", "0001.obj", "0002.obj"), offset=-1)
    instants, lost = match(files, np.array([2, 3, 4]))
    assert [(i.frame, i.photo.name, i.mesh and i.mesh.name) for i in instants] == [
        (1, "0000.jpg", None),
        (3, "0002.jpg", "0002.obj"),
    ]
    assert lost == [2, 4]


def test_reads_the_small_delivery(delivery) -> None:
    recordings = scan_delivery(delivery.root).recordings
    assert len(recordings) == 6
    assert all(r.photos.keys() == r.meshes.keys() == set(range(5)) for r in recordings)
    shutil.rmtree(delivery.task("F001", "T1"))
    assert not scan_delivery(delivery.root).recordings[0].photos


def from_0(*numbers: int) -> list[str]:
    return [f"{number:04}.jpg" for number in numbers]


@pytest.mark.parametrize(
    ("files", "codes", "expected"),
    [
        ([[0, 1, 2], [0, 1, 2], [1, 2]], [[1, 2], [], [1, 2, 3]], [-1, -1, -1]),  # a lost first photo, codes go on
        ([[0, 1, 2], [1, 2, 3]], [[1, 2], []], [-1, -1]),  # without codes nothing can shift
        ([[0, 1, 2], [7, 8, 9]], [[1, 2], [1, 2]], [-1, -1]),  # many lost photos
        ([[1, 2, 3], [2, 3], [1, 2]], [[1, 2], [1, 2], [1, 2, 3]], [0, 0, 0]),
        ([[2440, 2441], [7, 8]], [[2440, 2441], [7, 8]], [0, 0]),  # only coded frames were copied
        ([[2439, 2440], [6, 7]], [[2440, 2441], [7, 8]], [-1, -1]),  # the same, counted from 0
        ([[2440, 2441], [5, 7]], [[2440, 2441], [4, 9]], [0, 0]),
        ([[], [0]], [[1], [1]], [-1, -1]),
    ],
)
def test_one_offset_holds_for_the_whole_delivery(files, codes, expected) -> None:
    assert offsets([recording(*from_0(*numbers)) for numbers in files], codes=codes) == expected


def test_a_material_file_shows_that_the_first_photo_is_lost() -> None:
    lost = replace(recording(*from_0(1, 2)), materials=frozenset([0, 1, 2]))
    assert offsets([recording(*from_0(0, 1)), lost], codes=[[1, 2], [1, 2]]) == [-1, -1]


@pytest.mark.parametrize(
    ("files", "codes", "says"),
    [
        ([[0, 1], [1, 2]], [[1], [1, 2]], r"from 0 in 1 sequence \(F001/T1\), from 1 in 1 sequence"),
        ([[1, 2]] * 5 + [[0, 1]], [[1]] * 6, r"from 1 in 5 sequences \(.*, …\), from 0 in 1 .*--frame-offset 0 if"),
        ([[2440, 2441], [6, 7]], [[2440, 2441], [7, 8]], "two ways"),
        ([[0, 1], [0, 1]], [[1], [0, 1]], "codes a frame 0, so frame numbers do not count from 1; decide with"),
    ],
)
def test_two_ways_of_counting_are_refused(files, codes, says: str) -> None:
    with pytest.raises(DataError, match=says):
        offsets([recording(*from_0(*numbers)) for numbers in files], codes=codes)


def test_an_offset_may_be_given_for_all_and_for_single_sequences() -> None:
    recordings = [replace(recording(*from_0(1, 2)), sequence=f"T{n}") for n in (1, 2, 12)]
    codes = [[1, 2]] * 3
    assert offsets(recordings, "1", codes) == [1, 1, 1]
    assert offsets(recordings, "-1, f001_t02=0", codes) == [-1, 0, -1]
    assert offsets(recordings, "F001/T12=1,F001-T2=-1", codes) == [0, -1, 1]
    assert offsets(recordings, "auto,F001/T1=-1", codes) == [-1, 0, 0]


SMALL = ("S/F001/T1/0.jpg", "AU_OCC/F001_T1.csv")


def missing(source: Path) -> list[tuple[str, ...]]:
    delivery = scan_delivery(source)
    rows = delivery.missing([np.empty(0, int)] * len(delivery.recordings))
    return [tuple(map(str, row)) for row in rows]


@pytest.mark.parametrize(
    ("files", "row"),
    [
        (["AU_OCC/F001T1.csv"], ("", "", "-1", "AU_OCC/F001T1.csv: its name is not like F001_T1.csv")),
        (["AU_OCC/F001_T1 (1).csv"], ("", "", "-1", "AU_OCC/F001_T1 (1).csv: its name is not like F001_T1.csv")),
        (["AU_OCC/F001_T\u0661.csv"], ("", "", "-1", "AU_OCC/F001_T\u0661.csv: its name is not like F001_T1.csv")),
        (["AU_OCC/F001_T1.txt"], ("", "", "-1", "AU_OCC/F001_T1.txt: its name is not like F001_T1.csv")),
        (["S/F001/T1 - Copy/0.jpg"], ("", "", "-1", "F001/T1 - Copy: its name is not like F001/T1")),
        (["S/F002 (1)/T1/0.jpg"], ("", "", "-1", "F002 (1)/T1: its name is not like F001/T1")),
        (["S/F\u0660\u0660\u0662/T1/0.jpg"], ("", "", "-1", "F\u0660\u0660\u0662/T1: its name is not like F001/T1")),
        (["S/F002.zip"], ("", "", "-1", "F002.zip: not unpacked")),
        (["S/F001/T2/0.jpg"], ("F001", "T2", "-1", "no label file, so its frames are without labels")),
        (["AU_OCC/F001_T2.csv"], ("F001", "T2", "-1", "no photo")),
        (["S/F001/T1/1.png"], ("F001", "T1", "-1", "1 files like 1.png: only .jpg and .jpeg are read, not .png")),
        (["S/F001/T1/3.jpg"], ("F001", "T1", "-1", "no photo has the number 1 to 2")),
        (
            ["S/F001/T1/20130401123456.jpg"],
            ("F001", "T1", "-1", "1 files like 20130401123456.jpg: the number has more"),
        ),
        (["S/F001/T1/1.jpg/x"], ("F001", "T1", "-1", "1 files like 1.jpg: a broken link or a folder")),
        (
            ["S/F002/T1/0.jpg", "S/F001/T2/0.jpg", "S/F003/T2/0.jpg", "S/F003/T1/0.jpg"],
            ("F002", "T2", "-1", "neither a folder nor a label file"),
        ),
    ],
)
def test_what_is_missing_or_unused_is_listed(tmp_path: Path, files: list[str], row: tuple[str, ...]) -> None:
    touch(*(tmp_path / file for file in (*SMALL, *files)))
    assert any(line[:3] == row[:3] and line[3].startswith(row[3]) for line in missing(tmp_path)), missing(tmp_path)


def test_lost_first_photos_are_listed_where_the_delivery_counts_from_0(tmp_path: Path) -> None:
    touch(*(tmp_path / file for file in (*SMALL, "S/F001/T2/3.jpg", "AU_OCC/F001_T2.csv")))
    delivery = scan_delivery(tmp_path)
    codes = [np.array([1]), np.array([2])]
    delivery = decide_offsets(delivery, OffsetRequest.parse("auto"), codes)
    assert delivery.missing(codes) == [
        ("F001", "T2", -1, "no photo has the number 0"),
        ("F001", "T2", -1, "no photo has the number 2"),
    ]


def test_a_complete_delivery_misses_nothing(delivery) -> None:
    assert missing(delivery.root) == []


@pytest.mark.parametrize(
    "files",
    [
        ["3D/F001/T1/0.obj", "2D/F001/T1/0.jpg"],
        ["F001/T1/0.obj", "a/b/F001/T1/0.jpg"],
        ["F001/F001/T1/0.jpg", "F001/F001/T1/0.obj"],
        ["Thermal/F001/T1/0.png", "2D/F001/T1/0.jpg", "2D/F001/T1/0.obj"],
        ["__MACOSX/F001/T1/._0.jpg", "2D/F001/T1/0.jpg", "2D/F001/T1/0.obj", "2D/F001/T1/._0.obj"],
        ["@eaDir/F001/T1/0.jpg", "2D/F001/T1/0.jpg", "2D/F001/T1/0.obj", "2D/F001/T1/@eaDir/1.jpg"],
        ["2D/F001/T1/0.jpg", "2D/f001/t1/0.OBJ"],
    ],
)
def test_photos_and_meshes_come_together_from_any_folder(tmp_path: Path, files: list[str]) -> None:
    touch(*(tmp_path / file for file in (*files, "AU_OCC/F001_T1.csv")))
    (found,) = scan_delivery(tmp_path).recordings
    assert (found.photos.keys(), found.meshes.keys()) == ({0}, {0})
    assert missing(tmp_path) == []


def test_label_folders_on_several_levels_are_all_read(tmp_path: Path) -> None:
    touch(*(tmp_path / file for file in SMALL), tmp_path / "S/F001/T2/0.jpg", tmp_path / "AUCoding/AU_OCC/F001_T2.csv")
    assert all(entry.label_file for entry in scan_delivery(tmp_path).recordings)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (["AU_OCC/f001_t1.CSV", "S/F001/T1/0.jpg", "AU_OCC/F001_T1.csv"], "the same sequence is coded in"),
        (["S/f001/t1/0.jpg", "S/F001/T1/0.jpg", "AU_OCC/F001_T1.csv"], "F001 T1 is also in"),
        (["S/F001/T1/0.JPG", "S/F001/T1/0.jpg", "AU_OCC/F001_T1.csv"], "has the same number as"),
        (["S/F001/T1/0.png", "AU_OCC/F001_T1.csv"], "T1: no photo in it: 1 files like 0.png: only .jpg and .jpeg"),
        ([*SMALL, "S/F001/T2/0.PNG"], "T2: no photo in it: 1 files like 0.PNG: only .jpg and .jpeg are read, not .png"),
        (["S/F001/T1/0.obj", "AU_OCC/F001_T1.csv"], "T1: no photo in it; expected"),
        (["S/F001.zip", "AU_OCC/F001_T1.csv"], "no folder of a sequence in it; unpack F001.zip"),
        (["S/F001/T1/0.jpg", "AU_OCC/F001T1.csv"], "no label file in it; rename AU_OCC/F001T1.csv"),
        (["S/F001/T1/0.jpg", "AU_OCC/README"], "no label file in it; expected"),
        (
            ["S/F001/T1/0.jpg", "S/F001/T1/1.jpg", "M/F001/T1/1.obj", "M/F001/T1/2.obj", "AU_OCC/F001_T1.csv"],
            "photos are numbered 0 to 1, meshes 1 to 2; give a photo and its mesh the same number",
        ),
    ],
)
def test_odd_deliveries_are_refused_in_fitting_words(tmp_path: Path, files: list[str], says: str) -> None:
    touch(*(tmp_path / file for file in files))
    with pytest.raises(DataError, match=says):
        scan_delivery(tmp_path)


def test_links_that_lead_in_circles_change_nothing(tmp_path: Path) -> None:
    touch(*(tmp_path / file for file in SMALL))
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "S/F001/up").symlink_to(tmp_path)
    (tmp_path / "AU_OCC/up").symlink_to(tmp_path / "AU_OCC")
    (tmp_path / "S/self").symlink_to(tmp_path / "S/self")
    (tmp_path / "S/F001/T1/1.jpg").symlink_to(tmp_path / "S/F001/T1/1.jpg")
    assert missing(tmp_path) == [("F001", "T1", "-1", "1 files like 1.jpg: a broken link or a folder")]


def test_a_link_from_one_sequence_to_another_is_refused(tmp_path: Path) -> None:
    touch(*(tmp_path / file for file in SMALL))
    (tmp_path / "S/F002").symlink_to(tmp_path / "S/F001")
    with pytest.raises(DataError, match="F002/T1: is a link to F001 T1"):
        scan_delivery(tmp_path)


@pytest.mark.parametrize("name", ["S", "S/F001", "S/F001/T1", "AU_OCC", "lost+found"])
def test_an_unreadable_folder_is_named(tmp_path: Path, monkeypatch, name: str) -> None:
    touch(*(tmp_path / file for file in SMALL), tmp_path / "lost+found/x")
    scandir = os.scandir

    def fail(path):
        if Path(path) == tmp_path / name:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", fail)
    if name == "lost+found":
        assert missing(tmp_path) == []
        return
    with pytest.raises(DataError, match=f"{name}: cannot be read .Permission denied.; change its permissions"):
        scan_delivery(tmp_path)
