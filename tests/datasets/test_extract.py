from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.datasets.bp4d import extract as extraction
from aubench.datasets.bp4d.delivery import scan_delivery
from aubench.datasets.bp4d.extract import ImageOptions, extract
from aubench.datasets.bp4d.labels import read_label_file
from aubench.faces import crops
from aubench.faces.meshes import read_obj
from tests.factories.bp4d import write_head, write_photo

OPTIONS = ImageOptions(size=48, depth=True, landmarks=None)


def first(delivery, options: ImageOptions = OPTIONS):
    return extract(replace(scan_delivery(delivery.root).recordings[0], offset=-1), options)


@pytest.mark.slow
def test_photos_meshes_and_labels_come_together(delivery) -> None:
    sequence = first(delivery)
    assert sequence.images[Modality.VISUAL].shape == (5, 48, 48, 3)
    assert sequence.images[Modality.DEPTH].shape == (5, 48, 48, 1)
    assert sequence.frames["frame"].tolist() == [1, 2, 3, 4, 5]
    assert sequence.frames["source"].tolist() == [f"F001/T1/000{n}.jpg" for n in range(5)]
    assert sequence.frames["labelled"].tolist() == [True] * 4 + [False]
    codes = read_label_file(delivery.codes("F001", "T1"))
    labels = sequence.frames.filter(like="AU").to_numpy()
    assert (labels[:4] == codes.labels).all()
    assert (labels[4] == -1).all()
    assert sequence.notes["offset"] == -1
    assert sequence.skipped == []


def test_the_face_fills_the_crop_in_both_modalities(delivery) -> None:
    sequence = first(delivery)
    visual, depth = sequence.images[Modality.VISUAL].mean(-1), sequence.images[Modality.DEPTH][..., 0]
    assert (visual[:, 19:24, 21:27] > 120).all()  # the nose is above the crop's middle, to hold the chin
    assert (visual[:, :4, :4] < 90).all()  # and the wall its corner
    assert (depth[:, 6:33, 10:38] > 0).all()
    peak = np.array([np.unravel_index(one.argmax(), one.shape) for one in depth])
    nose = np.array([np.unravel_index(one[14:32, 14:34].argmax(), (18, 20)) for one in visual]) + 14
    assert np.abs(peak - nose).max() <= 6


def test_a_lost_photo_is_listed_and_its_mesh_left_out(delivery) -> None:
    (delivery.task("F001", "T1") / "0000.jpg").unlink()
    sequence = first(delivery)
    assert sequence.frames["frame"].tolist() == [2, 3, 4, 5]
    assert sequence.skipped == [(1, "coded, but without a photo")]
    assert sequence.notes["offset"] == -1  # from the number of the mesh


def test_a_lost_mesh_leaves_the_depth_black_and_says_so(delivery) -> None:
    (delivery.task("F001", "T1") / "0002.obj").unlink()
    sequence = first(delivery)
    assert sequence.frames["missing"].tolist() == ["", "", "D", "", ""]
    assert (sequence.images[Modality.DEPTH].reshape(5, -1).max(1) > 0).tolist() == [True, True, False, True, True]
    assert sequence.skipped == [(3, "depth: there is no mesh")]
    assert sequence.notes["without_mesh"] == 1


def test_a_frame_without_a_face_is_cut_where_its_neighbours_are(delivery, take_photo) -> None:
    (delivery.task("F001", "T1") / "0002.jpg").write_bytes(take_photo().data)
    sequence = first(delivery)
    assert len(sequence.frames) == 5
    assert sequence.notes["without_face"] == 1


def test_a_sequence_without_any_face_is_left_out_and_listed(delivery, take_photo) -> None:
    for photo in delivery.task("F001", "T1").glob("*.jpg"):
        photo.write_bytes(take_photo().data)
    sequence = first(delivery)
    assert sequence.images == {}
    assert sequence.frames.empty
    assert sequence.skipped == [(frame, "no face in the whole sequence") for frame in range(1, 6)]


def test_labels_without_a_sequence_are_listed(delivery) -> None:
    for file in delivery.task("F001", "T1").iterdir():
        file.unlink()
    sequence = first(delivery)
    assert sequence.frames.empty
    assert sequence.skipped == [(frame, "coded, but without a photo") for frame in range(1, 5)]


def test_a_sequence_without_labels_is_kept_unlabelled(delivery) -> None:
    delivery.codes("F001", "T1").unlink()
    sequence = first(delivery)
    assert len(sequence.frames) == 5
    assert not sequence.frames["labelled"].any()
    assert sequence.notes["codes"] == "none"


def test_names_that_are_no_number_are_listed(delivery) -> None:
    (delivery.task("F001", "T1") / "poster.jpg").touch()
    assert first(delivery).skipped == [(-1, "poster.jpg: its name is not a number")]


def test_landmarks_take_the_place_of_the_detector(delivery, monkeypatch, tmp_path, points_49) -> None:
    asked = []

    def read(path, frames):
        asked.append((path, frames))
        return np.stack([points_49(104.0, 140.0, 42.0) + 3 * i for i in range(len(frames))])

    monkeypatch.setattr(extraction, "read_landmarks", read)
    monkeypatch.setattr(extraction.face_detection, "follow_face", lambda photos: pytest.fail("the detector was asked"))
    sequence = first(delivery, ImageOptions(48, True, tmp_path))
    assert asked == [(tmp_path / "F001_T1.mat", [1, 2, 3, 4, 5])]
    assert sequence.images[Modality.VISUAL].shape == (5, 48, 48, 3)
    assert sequence.landmarks.shape == (5, 49, 2)
    assert sequence.landmarks.min() > 0 and sequence.landmarks.max() < 1


def test_without_landmarks_a_sequence_has_none(delivery) -> None:
    assert first(delivery).landmarks is None


def test_lost_points_are_nan_and_a_sequence_without_any_is_left_out(delivery, monkeypatch, tmp_path, points_49) -> None:
    points = np.stack([points_49(104.0, 140.0, 42.0)] * 5)
    points[1] = np.nan
    monkeypatch.setattr(extraction, "read_landmarks", lambda path, frames: points)
    sequence = first(delivery, ImageOptions(48, False, tmp_path))
    assert np.isnan(sequence.landmarks).all((1, 2)).tolist() == [False, True, False, False, False]
    points[:] = np.nan
    sequence = first(delivery, ImageOptions(48, False, tmp_path))
    assert (sequence.images, sequence.landmarks) == ({}, None)
    assert sequence.frames.empty


def test_a_mesh_with_nan_is_named_with_its_line(delivery) -> None:
    mesh = delivery.task("F001", "T1") / "0003.obj"
    mesh.write_text(mesh.read_text().replace("\nv ", "\nv nan ", 1))
    with pytest.raises(DataError, match=r"0003\.obj:2: the line has something that is not a finite number"):
        first(delivery)


def test_half_a_photo_is_named(delivery) -> None:
    photo = delivery.task("F001", "T1") / "0003.jpg"
    photo.write_bytes(photo.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"0003\.jpg: is cut short"):
        first(delivery)


@pytest.mark.parametrize("lines", [1, 2, 40])
def test_a_mesh_cut_between_two_face_lines_is_named(delivery, lines: int) -> None:
    mesh = delivery.task("F001", "T1") / "0003.obj"
    mesh.write_text("".join(mesh.read_text().splitlines(keepends=True)[:-lines]))
    with pytest.raises(DataError, match=r"0003\.obj: is cut short"):
        first(delivery)


def test_a_vertex_beyond_every_face_is_named(delivery) -> None:
    mesh = delivery.task("F001", "T1") / "0003.obj"
    mesh.write_text("v 1e160 0 -1100\n" + mesh.read_text())
    with pytest.raises(DataError, match=r"0003\.obj:1: the line has a number beyond a thousand million"):
        first(delivery)


@pytest.mark.parametrize("empty", ["0003.obj", "0003.jpg"])
def test_an_empty_file_is_named(delivery, empty: str) -> None:
    (delivery.task("F001", "T1") / empty).write_bytes(b"")
    with pytest.raises(DataError, match=empty):
        first(delivery)


@pytest.mark.parametrize("shape", [(556, 416), (1, 1), (208, 278)])
def test_a_photo_of_another_size_is_named(delivery, shape: tuple[int, int]) -> None:
    write_photo(delivery.task("F001", "T1") / "0003.jpg", np.zeros((*shape, 3), np.uint8))
    says = rf"0003\.jpg: has {shape[1]} × {shape[0]} pixels, 0000\.jpg has 208 × 278; copy .*, or remove it"
    with pytest.raises(DataError, match=says):
        first(delivery)


@pytest.mark.slow
def test_a_mesh_tells_where_the_face_is_without_a_detector(delivery, take_photo, monkeypatch) -> None:
    folder, wall = delivery.task("F001", "T1"), take_photo().data
    for n in range(5):
        (folder / f"{n:04d}.jpg").write_bytes(wall)
        write_head(folder / f"{n:04d}.obj", (80 + 12 * n, 140), scale=0.6)
    sequence = first(delivery)
    assert sequence.frames["crop_source"].tolist() == ["mesh"] * 5
    assert (sequence.frames["crop_score"] > 60).all()
    assert sequence.notes["without_face"] == 0
    depth = sequence.images[Modality.DEPTH][..., 0]
    peaks = np.array([np.unravel_index(image.argmax(), image.shape) for image in depth])
    assert np.abs(peaks - [24 - 6, 24]).max() <= 6  # the nose, above the middle because the chin is below it


def test_every_frame_says_where_its_crop_comes_from(delivery, take_photo) -> None:
    (delivery.task("F001", "T1") / "0002.jpg").write_bytes(take_photo().data)
    frames = first(delivery).frames
    assert frames["crop_source"].tolist() == ["detector"] * 2 + ["neighbours"] + ["detector"] * 2
    assert frames["crop_score"][2] < 50 < frames["crop_score"][1]


@pytest.mark.slow
def test_every_mesh_of_a_long_sequence_is_read_once(delivery, monkeypatch) -> None:
    recording = replace(scan_delivery(delivery.root).recordings[0], offset=-1)
    photo, mesh = recording.photos[0], recording.meshes[0]
    recording = replace(
        recording, photos=dict.fromkeys(range(90), photo), meshes=dict.fromkeys(range(90), mesh), label_file=None
    )
    read, written, waiting = [], [], []

    class Sink:
        def __setitem__(self, row: int, values: np.ndarray) -> None:
            written.append(row)
            waiting.append(len(read) - row)

    monkeypatch.setattr(extraction, "read_obj", lambda path: read.append(path) or read_obj(path))
    extract(recording, replace(OPTIONS, depth=False), lambda kind, shape, dtype: Sink())
    assert written == [*range(90)]
    assert len(read) == 90
    assert max(waiting) <= 64


def test_the_work_of_a_track_grows_with_its_frames(monkeypatch) -> None:
    face, smooth = np.array([100.0, 120, 80, 0]), crops.median_filter
    filtered: list[int] = []

    def count(values: np.ndarray, **settings: object) -> np.ndarray:
        filtered.append(len(values))
        return smooth(values, **settings)

    def rows(frames: int) -> int:
        filtered.clear()
        instants = [SimpleNamespace(frame=frame, mesh=True) for frame in range(frames)]
        assert len(list(extraction._crops(instants, extraction._Faces.empty(instants)))) == frames
        return sum(filtered)

    monkeypatch.setattr(crops, "median_filter", count)
    monkeypatch.setattr(extraction, "FaceTracker", lambda: SimpleNamespace(locate=lambda photo, mesh: (face, "mesh")))
    monkeypatch.setattr(extraction._Frame, "read", lambda instant: extraction._Frame(None, "", None))
    assert rows(800) < 2.2 * rows(400)
