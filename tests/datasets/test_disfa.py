"""DISFA: which file and which frame becomes which row of the store."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from factories.disfa import FRAMES, write_frame_labels, write_points_66
from scipy.io import savemat

from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.data.store import Store
from aubench.datasets.disfa.disfa_dataset import DISFA, DisfaOptions
from aubench.datasets.disfa.disfa_files import find_disfa
from aubench.datasets.disfa.disfa_landmarks import read_disfa_landmarks
from aubench.datasets.disfa.disfa_sequences import Numbering, read_sequence

pytestmark = pytest.mark.usefixtures("one_worker")


def prepare(delivery, store: Path, **options) -> Store:
    DISFA.prepare(delivery.root, store, DisfaOptions(size=32, **options), lambda done, total: None)
    return Store(store)


def skipped(store: Store) -> list[str]:
    return [line for line in (store.path / "skipped.csv").read_text().splitlines()[1:] if "neither a video" not in line]


def brightness(store: Store, rows) -> np.ndarray:
    return store.read(Modality.VISUAL, rows).mean(axis=(1, 2, 3))


@pytest.fixture(scope="module")
def expected() -> dict[str, list[list[int]]]:
    """Intensities of AU1, AU12 and AU25 of each frame, written by hand."""
    return {
        "SN001": [[2, 1, 2], [3, 2, 3], [4, 3, 4], [5, 4, 5], [0, 5, 0], [1, 0, 1], [2, 1, 2], [3, 2, 3]],
        "SN002": [[3, 2, 3], [4, 3, 4], [5, 4, 5], [0, 5, 0], [1, 0, 1], [2, 1, 2], [3, 2, 3], [4, 3, 4]],
        "SN010": [[4, 3, 4], [5, 4, 5], [0, 5, 0], [1, 0, 1], [2, 1, 2], [3, 2, 3], [4, 3, 4]],
    }


@pytest.mark.slow
def test_every_frame_gets_the_labels_of_its_number(disfa, tmp_path, expected) -> None:
    store = prepare(disfa, tmp_path / "store")
    assert store.info.labels == "intensity"
    assert store.info.modalities == {Modality.VISUAL: "RGB of the video of the left camera"}
    assert store.aus == (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
    frames = store.frames
    assert frames["labelled"].all()
    for subject, labels in expected.items():
        of_subject = frames[frames["subject"] == subject]
        assert of_subject["frame"].tolist() == list(range(1, len(labels) + 1))
        assert of_subject[["AU1", "AU12", "AU25"]].to_numpy().tolist() == labels
        steps = np.diff(brightness(store, of_subject.index))
        assert np.allclose(steps, 6, atol=2), steps
    assert frames["source"].unique().tolist() == [
        "Videos_LeftCamera/LeftVideoSN001_comp.avi",
        "Videos_LeftCamera/leftVideoSN002_Comp.avi",
        "Videos_LeftCamera/LeftVideoSN010_comp.avi",
    ]
    assert (frames["sequence"] == "left").all() and (frames["crop_source"] == "detector").all()
    assert skipped(store) == ['SN010,left,8,"coded, but not in the video"']
    store.verify(full=True)


@pytest.mark.slow
def test_the_right_camera_has_its_own_videos(disfa, tmp_path) -> None:
    left, right = (prepare(disfa, tmp_path / camera, camera=camera) for camera in ("left", "right"))
    assert brightness(right, [0])[0] - brightness(left, [0])[0] == pytest.approx(80, abs=4)
    assert right.info.modalities == {Modality.VISUAL: "RGB of the video of the right camera"}
    assert set(right.frames["sequence"]) == {"right"}
    labels = [f"AU{au}" for au in left.aus]
    assert right.frames[labels].equals(left.frames[labels])


@pytest.mark.slow
def test_label_files_that_count_from_0_give_the_same_store(disfa, tmp_path) -> None:
    before = prepare(disfa, tmp_path / "from1")
    for file in disfa.root.glob("ActionUnit_Labels/*/*.txt"):
        write_frame_labels(file, [int(line.split(",")[1]) for line in file.read_text().split()], first=0)
    after = prepare(disfa, tmp_path / "from0")
    assert after.frames.equals(before.frames)
    notes = (after.path / "sequences.csv").read_text()
    assert "label files of 3 subjects begin with 0" in notes


def test_label_files_of_two_countings_are_refused(disfa, tmp_path) -> None:
    for file in (disfa.root / "ActionUnit_Labels/SN002").iterdir():
        write_frame_labels(file, [0] * FRAMES, first=0)
    says = "label files count from 1 in 2 subjects and from 0 in SN002; copy those files"
    with pytest.raises(DataError, match=says):
        prepare(disfa, tmp_path / "store")
    assert not list(tmp_path.glob("store*"))


@pytest.mark.slow
def test_landmark_files_of_both_countings_belong_to_the_same_frames(disfa, tmp_path) -> None:
    folder = disfa.root / "Landmark_Points"
    stores = []
    for first in (0, 1):
        shutil.rmtree(folder)
        for subject in ("SN001", "SN002", "SN010"):
            for index in range(FRAMES):
                if (subject, index) != ("SN001", 0):  # lost, so that its subject follows the others
                    write_points_66(disfa.points(subject, first + index), offset=index)
        stores.append(prepare(disfa, tmp_path / f"store{first}", landmarks=folder))
        notes = (stores[-1].path / "sequences.csv").read_text()
        assert f"label files of 3 subjects begin with 1, landmark files of 2 subjects begin with {first}" in notes
    store, other = stores
    points = store.landmarks(range(FRAMES))
    assert store.info.landmarks == 49
    assert np.isnan(points[0]).all() and np.isfinite(points[1:]).all()
    assert store.frames["crop_source"].tolist()[:2] == ["neighbours", "landmarks"]
    assert (points[1:, 19, 0] < 0.4).all() and (points[1:, 28, 0] > 0.6).all()
    assert other.frames.equals(store.frames)
    assert np.array_equal(other.landmarks(range(FRAMES)), points, equal_nan=True)


def test_frames_and_landmark_files_without_the_other_are_listed(disfa) -> None:
    for index in (1, 2, 4):
        disfa.points("SN001", index).unlink()
    write_points_66(disfa.points("SN001", FRAMES))
    files, *_ = find_disfa(disfa.root, "left", disfa.root / "Landmark_Points")[0]
    sequence = read_sequence(files, "left", Numbering(1, 0, ""), 32, lambda kind, shape, dtype: np.empty(shape, dtype))
    assert sequence.skipped == [
        (-1, f"1 landmark files, such as that of frame {FRAMES + 1}, belong to no video frame"),
        (-1, "no landmark file of frame 2 to 3"),
        (-1, "no landmark file of frame 5"),
    ]


def test_the_points_are_where_the_face_is(disfa, tmp_path) -> None:
    """The eyes of the drawn face are dark, and the cheeks between eyes and mouth are not."""
    store = prepare(disfa, tmp_path / "store", landmarks=disfa.root / "Landmark_Points")
    image, points = store.read(Modality.VISUAL, [0])[0].mean(axis=2), 32 * store.landmarks([0])[0]

    def light(columns_and_rows: np.ndarray) -> float:
        column, row = columns_and_rows.mean(axis=0)
        return float(image[int(row), int(column)])

    cheeks = [(points[19:25] + points[31]) / 2, (points[25:31] + points[37]) / 2]
    assert max(light(points[19:25]), light(points[25:31])) < min(map(light, cheeks)) - 10


def test_points_of_another_camera_are_refused(disfa, tmp_path) -> None:
    for subject in ("SN001", "SN002", "SN010"):
        for number in range(FRAMES):
            write_points_66(disfa.points(subject, number), offset=60)
    with pytest.raises(DataError, match=r"avi: the points of SN\d+ are not where its face is in this video; give"):
        prepare(disfa, tmp_path / "store", landmarks=disfa.root / "Landmark_Points")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda d: shutil.rmtree(d.root / "Landmark_Points/SN002"), "no landmark file of SN002; add them"),
        (
            lambda d: d.points("SN002", 3).write_bytes(b"x"),
            r"SN002_0003_lm\.mat: is not a landmark file \(not a MATLAB",
        ),
        (
            lambda d: d.points("SN002", 3).rename(d.points("SN001", 3).with_name("SN002_0003_lm.mat")),
            r"SN002_0003_lm\.mat: is in the folder of SN001",
        ),
    ],
)
def test_damaged_landmark_files_are_one_line(disfa, tmp_path, damage, says) -> None:
    damage(disfa)
    with pytest.raises(DataError, match=says):
        prepare(disfa, tmp_path / "store", landmarks=disfa.root / "Landmark_Points")
    assert not (tmp_path / "store").exists()


def test_a_file_without_the_subject_in_its_name_is_that_of_its_folder(disfa, tmp_path) -> None:
    for file in (disfa.root / "Landmark_Points/SN002/tmp_frame_lm").iterdir():
        file.rename(file.with_name(file.name.replace("SN002_", "l")))
    store = prepare(disfa, tmp_path / "store", landmarks=disfa.root / "Landmark_Points")
    assert np.isfinite(store.landmarks(range(len(store.frames)))).all()


def test_points_at_one_place_are_those_of_a_lost_face(tmp_path) -> None:
    files = {number: tmp_path / f"SN001_{number:04}_lm.mat" for number in range(3)}
    for file in files.values():
        write_points_66(file)
    savemat(files[1], {"pts": np.full((66, 2), -1.0)})
    points = read_disfa_landmarks(files, 0, 3)
    assert np.isfinite(points[[0, 2]]).all() and np.isnan(points[1]).all()
