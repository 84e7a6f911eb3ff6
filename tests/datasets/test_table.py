"""Stores of manifests: pixels, crops, videos, missing modalities, protocols and faults of images."""

import errno
import itertools
import json
import os
import re
import resource
from contextlib import nullcontext
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from factories.bp4d import draw_face
from factories.videos import grey_frames, write_video

from aubench import load_results
from aubench.core import protocol_file
from aubench.core.errors import DataError, UsageError
from aubench.core.task import Modality
from aubench.data.splits import ProtocolDataset
from aubench.data.store import Store
from aubench.data.store_writer import Sequence, StoreWriter, frame_table
from aubench.datasets.catalog import open_any_store, open_store
from aubench.datasets.table import picture_files, store_export
from aubench.datasets.table.picture_files import PictureReader, ValueRanges, convert, read_image
from aubench.datasets.table.store_export import export_store
from aubench.datasets.table.table_dataset import TABLE, TableOptions
from aubench.datasets.table.table_paths import Picture
from aubench.faces.video_files import Video
from tests.factories.synth import generate, short

pytestmark = pytest.mark.usefixtures("one_worker")


def prepare(manifest, store, **options) -> Store:
    options = TableOptions(**{"name": "mylab", "size": 32, "crop": False, **options})
    TABLE.prepare(manifest, store, options, lambda done, total: None)
    return Store(store)


def brightness(store: Store, modality: Modality = Modality.VISUAL) -> list[int]:
    return store.read(modality, range(len(store.frames))).mean((1, 2, 3)).round().astype(int).tolist()


@pytest.fixture(scope="module")
def synth(tmp_path_factory) -> Store:
    """Two subjects of synth."""
    path = tmp_path_factory.mktemp("stores") / "synth"
    generate(path, short(subjects=2, sequences=1, frames=16, size=32), lambda done, total: None)
    return Store(path)


@pytest.mark.slow
def test_an_exported_store_is_read_back_to_the_same_bytes(synth, tmp_path) -> None:
    manifest = export_store(synth, tmp_path / "export", lambda done, total: None)
    copy = prepare(manifest, tmp_path / "copy")
    assert copy.info.arrays == synth.info.arrays
    labels = ["subject", "sequence", "frame", "missing", *(f"AU{au}" for au in synth.aus)]
    assert copy.frames[labels].equals(synth.frames[labels])
    assert copy.frames["labelled"].equals(synth.frames["labelled"])
    assert copy.aus == synth.aus and copy.info.dataset == "mylab"


@pytest.mark.slow
def test_intensities_landmarks_and_missing_images_survive_the_export(tree, tmp_path) -> None:
    rows = tree.people(depth="")
    points = {f"{axis}_{i}": i / 3 for axis in "xy" for i in range(49)}
    for i, row in enumerate(rows):
        row.update({"AU12": i % 6, **(points if i else dict.fromkeys(points, ""))})
    rows[1]["depth"] = tree.image("d.png", 7, channels=1)
    first = prepare(tree.write(*rows), tmp_path / "first", intensity="keep")
    assert first.info.labels == "intensity" and first.frames["AU12"].tolist() == [0, 1, 2, 3, 4, 5]
    assert first.frames["missing"].tolist() == ["D", "", "D", "D", "D", "D"]
    assert np.isnan(first.landmarks([0])).all() and first.landmarks([1])[0, 48, 0] == pytest.approx(16 / 32)
    manifest = export_store(first, tmp_path / "export", lambda done, total: None)
    second = prepare(manifest, tmp_path / "second", intensity="keep")
    assert second.info.arrays == first.info.arrays
    assert second.frames.drop(columns="source").equals(first.frames.drop(columns="source"))


def test_names_that_no_manifest_may_have_are_replaced_in_the_export(tmp_path) -> None:
    names = [("anna", "d" * 150), ("anna", "d" * 151), ("+b", "a..b"), ("eve", "a")]
    images = np.arange(2 * 32 * 32 * 3).astype(np.uint8).reshape(2, 32, 32, 3)
    with StoreWriter(tmp_path / "video", {}) as writer:
        for subject, sequence in names:
            table = frame_table([1, 2], "", False, (), np.empty((2, 0)))
            writer.add(Sequence(subject, sequence, {Modality.VISUAL: images}, table))
        meanings = {Modality.VISUAL: "RGB"}
        store = writer.finish(dataset="video", version="1", size=32, modalities=meanings, crop="")
    store._array = lambda *_: images
    store.frames["subject"] = store.frames["subject"].replace("eve", "../../../eve")  # of a store that somebody forged
    manifest = export_store(store, tmp_path / "export", lambda done, total: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export", "video"]
    copy = prepare(manifest, tmp_path / "copy")
    keys = sorted(set(zip(copy.frames["subject"], copy.frames["sequence"], strict=True)))
    assert [subject.split("-")[0] for subject, _ in keys] == ["anna", "anna", "b", "eve"] and len(copy.frames) == 8
    assert ("anna", "d" * 60) in {(subject, sequence[:60]) for subject, sequence in keys}


def test_an_export_replaces_nothing(synth, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").touch()
    with pytest.raises(DataError, match="is not an empty folder; name a new folder with --out"):
        export_store(synth, tmp_path / "out", lambda done, total: None)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_store_of_more_files_than_the_shell_allows_is_exported(synth, tmp_path) -> None:
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 3, old[1]))
    try:
        manifest = export_store(Store(synth.path), tmp_path / "export", lambda done, total: None)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, old)
    assert len(pd.read_csv(manifest)) == len(synth.frames) and len(synth.info.arrays) > 3


@pytest.mark.parametrize(
    ("code", "hint"), [(errno.EMFILE, "raise `ulimit -n`"), (errno.ENOSPC, "free some space"), (errno.EIO, "check the")]
)
def test_an_export_that_fails_names_the_remedy_of_its_error(synth, tmp_path, monkeypatch, code, hint) -> None:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(store_export, "_write", fail)
    with pytest.raises(DataError) as error:
        export_store(synth, tmp_path / "export", lambda done, total: None)
    assert error.value.hint.startswith(hint) and not any(tmp_path.iterdir())


@pytest.mark.slow
def test_commands_prepare_check_and_export(call, tree, tmp_path) -> None:
    tree.write(*tree.people())
    words = ["data", "prepare", "table", "--manifest", tree.manifest, "--name", "mylab", "--no-crop", "--size", 32]
    planned = call(*words, "--dry-run")
    assert planned.code == 0, planned.err
    assert "fewer subjects with labels (3) than folds (4)" in call(*words, "--dry-run", "--folds", 4).out
    assert "no protocol" not in planned.out
    assert "subjects               3" in planned.out and "nothing was written" in planned.out
    assert not (tmp_path / "stores").exists()
    prepared = call(*words)
    assert prepared.code == 0, prepared.err
    assert "mylab_3fold.toml" in prepared.err and (tmp_path / "stores/mylab_3fold.toml").exists()
    assert call("data", "check", "mylab").code == 0
    assert call("data", "export", "mylab", "--out", "copy").code == 0
    assert (tmp_path / "copy/frames.csv").exists()
    other = call("data", "prepare", "table", "--manifest", tree.manifest, "--name", "bp4d")
    assert (other.code, other.err.strip().split("aubench: ")[-1]) == (
        2,
        "--name: bp4d is another data set; choose another name",
    )
    assert call("data", "export", "nowhere", "--out", "new").code == 2
    assert "--depth-range" in call(*words, "--depth-range", "5").err


@pytest.mark.slow
def test_people_with_every_name_of_a_manifest_are_trained_and_recorded(call, tree, tmp_path) -> None:
    names = {f"p{i}": name for i, name in enumerate(["spNo.1", "B 02 (left)", "c-3+x", "4", "e_5", "F" * 80], 1)}
    rows = tree.people(6, frames=4)
    for row in rows:
        row["subject"] = names[row["subject"]]
    tree.write(*rows)
    words = ["--manifest", tree.manifest, "--name", "mylab", "--no-crop", "--size", 32]
    assert call("data", "prepare", "table", *words).code == 0
    sizes = [f"{key}={value}" for key, value in {"image_size": 32, "crop": 28, "epochs": 1}.items()]
    words = ["--protocol", tmp_path / "stores/mylab_3fold.toml", "--method", "resnet_visual", "--preset", "tiny"]
    trained = call("run", *words, "--device", "cpu", "--no-track", *(w for size in sizes for w in ("--set", size)))
    assert trained.code == 0, trained.err
    (stored,) = load_results(tmp_path / "runs").records
    assert set(stored.counts["subject"]) == set(names.values())


def test_names_of_folders_and_images_need_not_be_utf_8(tree, tmp_path) -> None:
    rows = tree.people()
    root = tree.root.rename(tmp_path / os.fsdecode(b"data\xe9"))
    (root / "p1/1.png").rename(root / os.fsdecode(b"p1/\xe9.png"))
    rows[0]["visual"] = "p1/\udce9.png"  # as json.dumps writes it
    manifest = root / "frames.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    store = prepare(manifest, tmp_path / "store")
    assert store.frames["source"].tolist()[:2] == ["p1/\\xe9.png", "p1/2.png"]


def test_a_missing_store_of_a_manifest_names_the_command(tmp_path) -> None:
    with pytest.raises(UsageError, match=r"no store of mylab here.*aubench data prepare table --name mylab"):
        open_store("mylab", tmp_path / "store", lambda done, total: None)


@pytest.mark.slow
def test_a_command_is_stated_with_the_option_of_its_files(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("AUBENCH_STORES", str(tmp_path))
    with pytest.raises(DataError, match="make one with `aubench data prepare table --manifest FILE`"):
        open_any_store("table")
    with pytest.raises(UsageError, match="table: needs the delivered files; name them with --manifest"):
        TABLE.prepare(None, tmp_path, TableOptions(name="mylab"), lambda done, total: None)


def test_every_frame_of_a_video_gets_the_labels_of_its_number(tree, tmp_path) -> None:
    """OpenFace counts frames from 1, LibreFace from 0."""
    frames = [cv2.resize(frame, (64, 64)) for frame in grey_frames(6)]
    for name, first, header in (
        ("openface", 1, "frame, face_id, success, AU12_c"),
        ("libreface", 0, "frame_idx,au_12"),
    ):
        rows = []
        for person in ("a", "b", "c"):
            write_video(tree.root / f"{person}.avi", frames)
            lines = [f"{first + i}, 0, 1, {i % 2}.00" if first else f"{i},{i % 2}" for i in range(6)]
            (tree.root / f"{person}_{name}.csv").write_text("\n".join([header, *lines]))
            rows.append({"subject": person, "video": f"{person}.avi", "labels": f"{person}_{name}.csv"})
        store = prepare(tree.write(*rows), tmp_path / name)
        assert store.frames["sequence"].tolist()[::6] == ["a", "b", "c"]
        assert store.frames["frame"].tolist()[:6] == list(range(first, first + 6))
        assert store.frames["AU12"].tolist()[:6] == [0, 1, 0, 1, 0, 1]
        assert np.allclose(brightness(store)[:6], [0, 10, 20, 30, 40, 50], atol=2)


@pytest.mark.slow
def test_frames_that_a_video_lacks_and_lost_faces_are_named(tree, tmp_path) -> None:
    rows = []
    for person in ("a", "b", "c"):
        write_video(tree.root / f"{person}.avi", [cv2.resize(frame, (64, 64)) for frame in grey_frames(3)])
        lines = ["frame,success,AU1_c,AU2_c", "1,1,0,1", "2,0,1,1", "3,1,1,9", "4,1,1,1"]
        (tree.root / f"{person}.csv").write_text("\n".join(lines))
        rows.append({"subject": person, "video": f"{person}.avi", "labels": f"{person}.csv"})
    store = prepare(tree.write(*rows), tmp_path / "store")
    assert store.frames["labelled"].tolist()[:3] == [True, False, True]
    assert store.frames[["AU1", "AU2"]].to_numpy().tolist()[:3] == [[0, 1], [-1, -1], [1, -1]]
    assert (store.path / "skipped.csv").read_text().splitlines()[1] == "a,a,4,visual: not in the video a.avi"


def face(value: int, column: int) -> np.ndarray:
    return draw_face(column, 140, 104, value)


@pytest.mark.slow
def test_faces_of_a_sequence_are_tracked_and_stills_are_cropped_alone(tree, tmp_path) -> None:
    rows = []
    for person in ("a", "b", "c"):
        for frame in range(4):
            path = tree.root / f"{person}{frame}.png"
            cv2.imwrite(str(path), face(0, 90 + 5 * frame)[..., ::-1])
            rows.append({"subject": person, "sequence": "s", "frame": frame, "visual": path.name, "AU1": frame % 2})
    cv2.imwrite(str(tree.root / "b1.png"), np.zeros_like(face(0, 90)))
    tracked = prepare(tree.write(*rows), tmp_path / "tracked", crop=True)
    assert len(tracked.frames) == 12
    assert tracked.frames["crop_source"].tolist()[4:8] in (
        ["detector", "neighbours", "detector", "detector"],
        ["detector", "flow", "detector", "detector"],
    )
    for row in rows:
        del row["sequence"]
    stills = prepare(tree.write(*rows), tmp_path / "stills", crop=True)
    assert len(stills.frames) == 11 and set(stills.frames["crop_source"]) == {"detector"}
    assert "b,stills,1,no face" in (stills.path / "skipped.csv").read_text()


@pytest.mark.slow
def test_one_box_crops_all_modalities(tree, tmp_path) -> None:
    """A bright square of the visual image, and the same square of a depth image of half the size."""
    rows = tree.people(depth="", left=10, top=20, right=42, bottom=52)
    for i, row in enumerate(rows):
        for name, factor in (("visual", 1), ("depth", 2)):
            image = np.full((64 // factor, 64 // factor), 1, np.uint8)
            image[20 // factor : 52 // factor, 10 // factor : 42 // factor] = 200
            row[name] = f"{name}{i}.png"
            cv2.imwrite(str(tree.root / row[name]), image)
    store = prepare(tree.write(*rows), tmp_path / "store", crop=True)
    assert set(store.frames["crop_source"]) == {"box"}
    for modality in (Modality.VISUAL, Modality.DEPTH):
        assert (store.read(modality, [0])[0, 2:-2, 2:-2] >= 190).all()


def test_depth_and_thermal_are_converted_as_stated(tmp_path) -> None:
    depth = np.array([[0, 400, 500, 1000, 1500, 1501]], np.uint16)
    ranges = ValueRanges((500, 1500), (0, 2000))
    assert convert(depth, Modality.DEPTH, ranges, tmp_path)[0, :, 0].tolist() == [0, 255, 255, 128, 1, 0]
    eight = np.array([[0, 100, 200]], np.uint8)
    assert convert(eight, Modality.DEPTH, ranges, tmp_path)[0, :, 0].tolist() == [0, 100, 200], "8 bits stay"
    assert convert(depth, Modality.THERMAL, ranges, tmp_path)[0, :, 0].tolist() == [0, 51, 64, 128, 191, 191]
    none = ValueRanges(None, None)
    with pytest.raises(DataError, match=r"has values of type uint16 from 0 to 1501; .* with --depth-range"):
        convert(depth, Modality.DEPTH, none, tmp_path)
    with pytest.raises(DataError, match=r"has values of type float32 from 400\.0 to 1501\.0; "):
        convert(np.where(depth > 0, depth, np.nan).astype(np.float32), Modality.DEPTH, none, tmp_path)
    with pytest.raises(DataError, match="has values of type float32, all unknown; "):
        convert(np.full((1, 6), np.nan, np.float32), Modality.DEPTH, none, tmp_path)
    colour = np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8)  # blue, red
    assert convert(colour, Modality.THERMAL, none, tmp_path)[0, :, 0].tolist() == [29, 76]
    for kind in (np.int16, np.int32, np.float32, np.float64):
        thermal = convert(colour.astype(kind) * 10, Modality.THERMAL, ranges, tmp_path)
        assert thermal[0, :, 0].tolist() == [37, 97], kind
    assert convert(colour, Modality.VISUAL, none, tmp_path)[0, 0].tolist() == [0, 0, 255]
    with pytest.raises(DataError, match="has colours, not depth"):
        convert(colour, Modality.DEPTH, none, tmp_path)
    with pytest.raises(DataError, match="write visual images with 8 bits"):
        convert(depth, Modality.VISUAL, ranges, tmp_path)


def test_depth_in_a_video_needs_a_codec_without_loss(tree, tmp_path) -> None:
    frames = [cv2.resize(np.arange(0, 256, 8, np.uint8)[None, :, None].repeat(3, 2), (64, 64)) for _ in range(3)]
    rows = [{"subject": "a", "frame": i + 1, "depth": "a.avi", "AU1": 0} for i in range(3)]
    write_video(tree.root / "a.avi", frames, "FFV1")
    store = prepare(tree.write(*rows), tmp_path / "store", size=64)
    assert np.array_equal(store.read(Modality.DEPTH, [2])[0], frames[2][..., :1])
    write_video(tree.root / "a.avi", frames, "XVID")
    with pytest.raises(DataError, match=r"a.avi: is compressed with loss, so its depth is not exact; .*FFV1"):
        prepare(tree.write(*rows), tmp_path / "other")


@pytest.mark.parametrize("extension", ["png", "jpg", "bmp", "webp", "tif"])
def test_images_that_are_cut_are_refused(tmp_path, capfd, extension) -> None:
    path = tmp_path / f"x.{extension}"
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    cv2.imwrite(str(path), image)
    assert read_image(path).shape == (40, 40, 3)
    content = path.read_bytes()
    for end in (0, len(content) // 2, len(content) - 2):
        path.write_bytes(content[:end])
        with pytest.raises(DataError, match=r"x\."):
            read_image(path)
    assert capfd.readouterr().err == "", "OpenCV prints nothing of its own"


def test_a_damaged_block_of_a_png_is_noticed(tmp_path) -> None:
    path = tmp_path / "x.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="is cut short or damaged"):
        read_image(path)


@pytest.mark.slow
def test_a_damaged_image_leaves_no_store(tree, tmp_path) -> None:
    rows = tree.people()
    path = tree.root / rows[3]["visual"]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"p2/2.png: is cut short"):
        prepare(tree.write(*rows), tmp_path / "store")
    assert not (tmp_path / "store").exists()
    tree.image(rows[3]["visual"], 99)
    assert 99 in brightness(prepare(tree.manifest, tmp_path / "store"))


def test_frames_of_a_video_before_those_of_a_sequence_are_not_converted(tree, monkeypatch) -> None:
    video = write_video(tree.root / "a.avi", grey_frames(10))
    pictures = [Picture(video, i) for i in (5, 7)]
    expected = [frame.pixels for frame in Video.open(video).frames()]
    sizes = []
    whole = Video.frames

    def frames(self, *wanted):
        for frame in whole(self, *wanted):
            sizes.append(frame.pixels.size)
            yield frame

    monkeypatch.setattr(Video, "frames", frames)
    reader = PictureReader()
    assert reader.has(Picture(video, 2))
    for picture in pictures:
        assert np.array_equal(reader.read(picture, Modality.VISUAL), expected[picture.frame_index])
    assert [i for i, size in enumerate(sizes) if size] == [5, 7]
    assert not reader.has(Picture(video, 10)) and reader.read(Picture(video, 11), Modality.VISUAL) is None


def test_a_truncated_video_is_refused(tree, tmp_path) -> None:
    video = write_video(tree.root / "a.avi", [cv2.resize(frame, (64, 64)) for frame in grey_frames(6)])
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    rows = [{"subject": "a", "frame": i + 1, "video": "a.avi", "AU1": 0} for i in range(6)]
    with pytest.raises(DataError, match=r"a.avi: is cut short"):
        prepare(tree.write(*rows), tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_video_that_lost_a_frame_in_the_middle_is_refused(tree, tmp_path, monkeypatch) -> None:
    """Its later frames would get the labels of earlier ones."""
    write_video(tree.root / "a.avi", [cv2.resize(frame, (64, 64)) for frame in grey_frames(10)])
    whole = Video.frames
    rows = [{"subject": "a", "frame": i + 1, "video": "a.avi", "AU1": 0} for i in range(10)]

    def damaged(self, wanted):
        yield from (frame for i, frame in enumerate(whole(self, wanted)) if i not in (4, 5))

    monkeypatch.setattr(Video, "frames", damaged)
    with pytest.raises(
        DataError, match=r"a.avi: no frame can be decoded after frame 4, so later frames would have wrong"
    ):
        prepare(tree.write(*rows), tmp_path / "store")
    monkeypatch.setattr(Video, "frames", lambda self, wanted: itertools.islice(whole(self, wanted), 6))
    monkeypatch.setattr(picture_files, "_TOLERANCE", 2)
    with pytest.raises(DataError, match=r"a.avi: 6 of 10 frames can be decoded"):
        prepare(tree.write(*rows), tmp_path / "other")
    assert not (tmp_path / "store").exists() and not (tmp_path / "other").exists()


def test_a_video_that_lost_its_first_frames_is_refused(tree, tmp_path, monkeypatch) -> None:
    """Its other frames would get the labels of those before."""
    write_video(tree.root / "a.mp4", [cv2.resize(frame, (64, 64)) for frame in grey_frames(10)], "mp4v")
    whole = Video.frames
    monkeypatch.setattr(Video, "frames", lambda self, wanted: itertools.islice(whole(self, wanted), 3, None))
    rows = [{"subject": "a", "frame": i + 1, "video": "a.mp4", "AU1": 0} for i in range(10)]
    with pytest.raises(DataError, match=r"a.mp4: its first frame is lost, so later frames would have wrong numbers"):
        prepare(tree.write(*rows), tmp_path / "store")


@pytest.mark.parametrize(("rows_after", "is_refused"), [(20, False), (21, True)])
def test_rows_of_another_frame_rate_than_the_video_are_refused(tree, tmp_path, rows_after, is_refused) -> None:
    write_video(tree.root / "a.avi", [cv2.resize(frame, (64, 64)) for frame in grey_frames(10)])
    rows = [{"subject": "a", "frame": i + 1, "video": "a.avi", "AU1": 0} for i in range(10 + rows_after)]
    refused = pytest.raises(
        DataError, match=r"a.avi: 10 frames can be decoded, and rows name frames more than 20 after"
    )
    with refused if is_refused else nullcontext():
        prepare(tree.write(*rows), tmp_path / "store")
    assert (tmp_path / "store").exists() is not is_refused


def test_a_video_that_lost_a_frame_is_refused_also_if_all_rows_find_one(tree, tmp_path) -> None:
    video = write_video(tree.root / "a.avi", [cv2.resize(frame, (64, 64)) for frame in grey_frames(10)])
    content = bytearray(video.read_bytes())
    fifth = [match.start() for match in re.finditer(b"00dc", content)][4]
    content[fifth : fifth + 8] = bytes(8)
    video.write_bytes(content)
    rows = [{"subject": "a", "frame": i + 1, "video": "a.avi", "AU1": 0} for i in range(7)]
    with pytest.raises(DataError, match=r"a.avi: is damaged: 9 of 10 frames can be decoded"):
        prepare(tree.write(*rows), tmp_path / "store")


def test_a_video_of_variable_rate_may_lack_its_last_frame(tree, tmp_path, monkeypatch) -> None:
    write_video(tree.root / "a.avi", [cv2.resize(frame, (64, 64)) for frame in grey_frames(10)])
    whole = Video.frames
    monkeypatch.setattr(Video, "frames", lambda self, wanted: (replace(f, time=f.time**1.5) for f in whole(self)))
    rows = [{"subject": "a", "frame": i + 1, "video": "a.avi", "AU1": 0} for i in range(11)]
    store = prepare(tree.write(*rows), tmp_path / "store")
    assert len(store.frames) == 10 and "a,a,11,visual: not in" in (store.path / "skipped.csv").read_text()


@pytest.mark.slow
def test_points_refer_to_the_visual_image_of_any_resolution(tree, tmp_path) -> None:
    points = {f"{axis}_{i}": 16 if i else 8 for axis in "xy" for i in range(49)}
    rows = tree.people(depth="", **points)
    for i in (0, 2):
        rows[i]["depth"] = tree.image(f"d{i}.png", 9, size=16, channels=1)
    rows[3] |= {"visual": "", "depth": tree.image("d3.png", 9, size=16, channels=1)}
    store = prepare(tree.write(*rows), tmp_path / "store")
    assert np.allclose(store.landmarks(range(len(rows)))[:, 1:], 0.5)


@pytest.mark.slow
def test_a_sequence_may_begin_without_its_visual_image(tree, tmp_path) -> None:
    rows = tree.people(depth="", left=8, top=8, right=24, bottom=24)
    for i, row in enumerate(rows):
        row["depth"] = tree.image(f"d{i}.png", 9, size=16, channels=1)
    rows[0]["visual"] = ""
    store = prepare(tree.write(*rows), tmp_path / "store", crop=True)
    assert store.frames["missing"].tolist() == ["V", "", "", "", "", ""]


@pytest.mark.slow
@pytest.mark.parametrize(("step", "sources"), [(1, {"box", "neighbours"}), (25, {"box", "neighbours"}), (26, {"box"})])
def test_frames_over_a_second_apart_are_cropped_at_their_own_boxes(tree, tmp_path, step, sources) -> None:
    rows = []
    for i in range(7):
        picture = np.zeros((64, 192, 3), np.uint8)
        left = 8 + 100 * (i % 2)
        picture[8:40, left : left + 32] = 255
        cv2.imwrite(str(tree.root / f"{i}.png"), picture)
        place = {"left": left, "top": 8, "right": left + 32, "bottom": 40}
        rows.append({"subject": "a", "sequence": "s", "frame": i * step, "visual": f"{i}.png", **place, "AU1": i % 2})
    store = prepare(tree.write(*rows), tmp_path / "store", crop=True)
    assert set(store.frames["crop_source"]) == sources
    images = store.read(Modality.VISUAL, np.arange(7))
    seen = images.reshape(7, -1).mean(1) > 200
    assert seen.all() if sources == {"box"} else not seen.all()


@pytest.mark.slow
def test_frames_without_a_place_take_that_of_others_at_any_distance(tree, tmp_path) -> None:
    rows = tree.people()
    assert rows[0]["subject"] == rows[1]["subject"]
    for row in rows:
        row |= {"sequence": "s", "left": "", "top": "", "right": "", "bottom": ""}
        row["frame"] = 1000 * int(row["frame"])
    for row in rows[::2]:
        row |= {"left": 8, "top": 8, "right": 24, "bottom": 24}
    store = prepare(tree.write(*rows), tmp_path / "store", crop=True)
    assert store.frames["crop_source"].tolist() == ["box", "neighbours"] * 3
    assert (store.frames["crop_score"][1::2] < 50).all()


@pytest.mark.slow
def test_a_place_in_a_still_needs_the_visual_image_whose_pixels_it_is_in(tree, tmp_path) -> None:
    rows = tree.people(depth="", left=8, top=8, right=24, bottom=24)
    for i, row in enumerate(rows):
        row.pop("sequence", None)
        row["depth"] = tree.image(f"d{i}.png", 9, size=16, channels=1)
    rows[0]["visual"] = ""
    store = prepare(tree.write(*rows), tmp_path / "store", crop=True)
    assert len(store.frames) == 5 and (store.frames["missing"] == "").all()
    assert "a box or landmarks without their visual image" in (store.path / "skipped.csv").read_text()


@pytest.mark.slow
def test_a_lost_face_has_no_box_of_its_own_table(tree, tmp_path) -> None:
    rows = tree.people(success=1, left=8, top=8, right=24, bottom=24)
    rows[1] |= {"success": 0, "left": 1, "right": 9}
    store = prepare(tree.write(*rows), tmp_path / "store", crop=True)
    assert store.frames["crop_source"].tolist() == ["box", "neighbours", *["box"] * 4]
    assert store.frames["AU12"][1] == -1


@pytest.mark.slow
def test_stills_with_a_box_do_not_change_the_others(tree, tmp_path) -> None:
    rows = []
    for i in range(3):
        cv2.imwrite(str(tree.root / f"{i}.png"), face(0, 90)[..., ::-1])
        rows.append({"subject": "a", "visual": f"{i}.png", "left": "", "top": "", "right": "", "bottom": "", "AU1": 1})
    rows[1] |= {"left": 90, "top": 90, "right": 200, "bottom": 200}
    store = prepare(tree.write(*rows), tmp_path / "store", crop=True)
    assert store.frames["crop_source"].tolist() == ["detector", "box", "detector"]


@pytest.mark.slow
@pytest.mark.parametrize("size", [32, 128])
def test_unknown_depth_does_not_blur_into_images_that_are_resized(tree, tmp_path, size) -> None:
    depth = np.zeros((64, 64), np.uint8)
    depth[:, 33:] = 200
    assert cv2.imwrite(str(tree.root / "depth.png"), depth)
    rows = [{"subject": "p1", "depth": "depth.png", "AU12": 1}]
    store = prepare(tree.write(*rows), tmp_path / "store", size=size)
    known = np.setdiff1d(store.read(Modality.DEPTH, [0]), 0)
    assert known == pytest.approx(200, abs=1)


def test_jpegs_of_all_modalities_are_turned_alike(tree, tmp_path) -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[:8] = 200
    rows = tree.people(thermal="")
    for i, row in enumerate(rows):
        for name in ("visual", "thermal"):
            data = cv2.imencode(".jpg", image)[1].tobytes()
            exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x03\0\0\0\0\0\0\0"
            segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif
            row[name] = f"{name}{i}.jpg"
            (tree.root / row[name]).write_bytes(data[:2] + segment + data[2:])
    store = prepare(tree.write(*rows), tmp_path / "store")
    for modality in (Modality.VISUAL, Modality.THERMAL):
        pixels = store.read(modality, [0])[0]
        assert pixels[-4:].min() > 150 and pixels[:4].max() < 50


@pytest.mark.slow
def test_a_label_file_may_have_its_box_in_the_manifest(tree, tmp_path) -> None:
    rows = []
    for person in ("a", "b", "c"):
        write_video(tree.root / f"{person}.avi", [cv2.resize(frame, (64, 64)) for frame in grey_frames(3)])
        (tree.root / f"{person}.csv").write_text("frame,success,AU1\n1,True,1\n2,False,1\n3,0.00,1\n")
        box = {"left": 8, "top": 8, "right": 40, "bottom": 40}
        rows.append({"subject": person, "video": f"{person}.avi", "labels": f"{person}.csv", **box})
    store = prepare(tree.write(*rows), tmp_path / "store", crop=True)
    assert set(store.frames["crop_source"]) == {"box"}
    assert store.frames["AU1"].tolist() == [1, -1, -1] * 3


@pytest.mark.parametrize(
    ("options", "size", "says"),
    [({"crop": False}, (40, 30), "--no-crop takes square images"), ({"crop": True}, (30, 30), "have 32 × 32")],
)
def test_images_of_another_shape_are_refused(tree, tmp_path, options, size, says) -> None:
    rows = tree.people(left=1, top=1, right=9, bottom=9)
    cv2.imwrite(str(tree.root / rows[1]["visual"]), np.zeros((size[1], size[0], 3), np.uint8))
    with pytest.raises(DataError, match=says):
        prepare(tree.write(*rows), tmp_path / "store", **options)


@pytest.fixture
def interrupted(tree, tmp_path) -> list[dict[str, object]]:
    """Rows of a manifest whose preparation ended at a damaged image, which is whole again."""
    rows = tree.people()
    path = tree.root / rows[5]["visual"]
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    with pytest.raises(DataError):
        prepare(tree.write(*rows), tmp_path / "store")
    assert list((tmp_path / "store.partial").rglob("*.json"))
    path.write_bytes(content)
    return rows


@pytest.mark.slow
def test_changed_rows_are_prepared_again_after_an_interruption(tree, tmp_path, interrupted) -> None:
    rows = interrupted
    rows[0]["AU12"] = 9
    store = prepare(tree.write(*rows), tmp_path / "store")
    assert store.frames["AU12"].tolist() == [-1, 1, 1, 0, 0, 1]


@pytest.mark.slow
def test_a_renamed_column_is_prepared_again_after_an_interruption(tree, tmp_path, interrupted) -> None:
    rows = [{("AU6" if name == "AU12" else name): value for name, value in row.items()} for row in interrupted]
    store = prepare(tree.write(*rows), tmp_path / "store")
    assert store.aus == (6,) and store.frames["AU6"].tolist() == [0, 1, 1, 0, 0, 1]


def test_parts_of_the_manifest_become_folds(tree, tmp_path) -> None:
    rows = [{**row, "fold": int(row["subject"][1:]) % 2} for row in tree.people(5)]
    store = prepare(tree.write(*rows), tmp_path / "store")
    proven = protocol_file.load(tmp_path / "mylab_2fold.toml")
    assert proven.parts == {"0": ("p2", "p4"), "1": ("p1", "p3", "p5")}
    assert proven.test_subjects(1) == {"p2", "p4"} and proven.train_subjects(1) == {"p1", "p3", "p5"}
    assert proven.aus == (12,) and len(ProtocolDataset(store, proven).split(1, validation=True).test) == 4


@pytest.mark.parametrize("name", ["f" * 251 + ".csv", os.fsdecode(b"fr\xfcmes.csv"), "a\nb.csv"])
def test_any_name_of_a_manifest_has_a_protocol(tree, tmp_path, name) -> None:
    rows = [{**row, "fold": f"{row['subject']}\x7f"} for row in tree.people(2, 1)]
    prepare(tree.write(*rows, name=name), tmp_path / "store")
    proven = protocol_file.load(tmp_path / "mylab_2fold.toml")
    assert proven.title.startswith("mylab: parts as in ") and proven.parts.keys() == {"p1\x7f", "p2\x7f"}


@pytest.mark.slow
def test_a_protocol_is_named_after_the_parts_that_it_has(tree, tmp_path) -> None:
    rows = [{**row, "fold": row["subject"][1:]} for row in tree.people(3)]
    for row in rows[4:]:
        row["AU12"] = -1
    prepare(tree.write(*rows), tmp_path / "store")
    assert protocol_file.load(tmp_path / "mylab_2fold.toml").fold_count == 2


def test_roles_of_a_split_beside_other_parts_are_refused(tree, tmp_path) -> None:
    roles = {"p1": "train", "p2": "eval", "p3": "test"}
    rows = [{**row, "split": roles[row["subject"]]} for row in tree.people(3)]
    with pytest.raises(DataError, match="part 'eval' is none of train, validation and test, and 'test' is"):
        prepare(tree.write(*rows), tmp_path / "store")


def test_columns_that_are_not_read_are_named(tree, tmp_path, capfd) -> None:
    prepare(tree.write(*tree.people(depth_image="d.png", AU12L=1)), tmp_path / "store")
    assert "aubench: columns not read: depth_image AU12L\n" in capfd.readouterr().err


BOX = {"left": 0.3, "top": 0.2, "right": 0.7, "bottom": 0.7}


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (BOX, "frames.csv: the box of p1 s, frame 1, is smaller than 4 pixels; write boxes in pixels"),
        ({name: 1000 + 100 * value for name, value in BOX.items()}, "1.png: the face is at column 1050 and row 1045"),
        ({"left": 0, "top": 0, "right": 500, "bottom": 400}, "1.png: the face is 500 pixels large, and the"),
        (
            {f"{axis}_{i}": i / 49 + (axis == "y") for axis in "xy" for i in range(49)},
            "frames.csv: the landmarks of p1 s are not those of faces in pixels",
        ),
    ],
)
def test_places_that_hold_no_face_are_refused(tree, tmp_path, place, says) -> None:
    with pytest.raises(DataError, match=says):
        prepare(tree.write(*tree.people(**place)), tmp_path / "store", crop=True)


def test_landmarks_at_one_point_are_unknown(tree, tmp_path) -> None:
    points = {f"{axis}_{i}": -1 for axis in "xy" for i in range(49)}
    store = prepare(tree.write(*tree.people(**points)), tmp_path / "store")
    assert np.isnan(store.landmarks(range(len(store.frames)))).all()


@pytest.mark.slow
def test_a_split_of_the_manifest_becomes_a_fixed_split(tree, tmp_path) -> None:
    roles = {"p1": "Train", "p2": "valid", "p3": "test", "p4": ""}
    rows = [{**row, "split": roles[row["subject"]]} for row in tree.people(4)]
    prepare(tree.write(*rows), tmp_path / "store")
    proven = protocol_file.load(tmp_path / "mylab_split.toml")
    assert proven.roles(1) == (frozenset({"p1"}), frozenset({"p2"}), frozenset({"p3"}))


@pytest.mark.slow
def test_drawn_folds_are_balanced_and_depend_on_the_seed_alone(tree, tmp_path) -> None:
    """Of 12 subjects, 6 always show AU12 and 6 never."""
    rows = tree.people(12, 1)
    for i, row in enumerate(rows):
        row["AU12"] = int(i < 6)
    tree.write(*rows)
    texts = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        prepare(tree.manifest, tmp_path / name / "store", seed=seed)
        texts.append((tmp_path / name / "mylab_3fold.toml").read_text())
        proven = protocol_file.load(tmp_path / name / "mylab_3fold.toml")
        assert "seed " + str(seed) in proven.title
        for subjects in proven.parts.values():
            assert len(subjects) == 4 and sum(int(subject[1:]) <= 6 for subject in subjects) == 2
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.slow
def test_a_protocol_of_the_user_is_not_replaced(tree, tmp_path, capfd) -> None:
    (tmp_path / "mylab_3fold.toml").write_text("mine")
    prepare(tree.write(*tree.people()), tmp_path / "store")
    assert (tmp_path / "mylab_3fold.toml").read_text() == "mine"
    assert "exists already and stays as it is" in capfd.readouterr().err


def test_a_complete_store_gets_the_protocol_that_it_lacks(tree, tmp_path, capfd) -> None:
    manifest = tree.write(*tree.people(2))
    store = prepare(manifest, tmp_path / "store")
    assert "wrote no protocol: fewer subjects with labels (2) than folds (3)" in capfd.readouterr().err
    with pytest.raises(DataError, match="a store is here already"):
        prepare(manifest, tmp_path / "store")
    before = (store.path / "store.json").stat()
    assert len(prepare(manifest, tmp_path / "store", folds=2).frames) == 4
    assert f"{store.path} stays as it is and lacks mylab_2fold.toml" in capfd.readouterr().err
    assert len(protocol_file.load(tmp_path / "mylab_2fold.toml").parts) == 2
    assert (store.path / "store.json").stat() == before
    for options in ({"folds": 2}, {"folds": 2, "size": 64}):
        with pytest.raises(DataError, match="a store is here already"):
            prepare(manifest, tmp_path / "store", **options)


@pytest.mark.parametrize("change", ["label", "image", "row", "column"])
def test_a_complete_store_of_other_rows_gets_no_protocol(tree, tmp_path, change) -> None:
    """Its labels are not those of the corrected manifest."""
    rows = tree.people(2)
    prepare(tree.write(*rows), tmp_path / "store")
    if change == "row":
        rows.pop()
    else:
        values = {"label": {"AU12": -1}, "image": {"visual": tree.image("new.png", 9)}, "column": {"AU25": 1}}
        rows[0] |= values[change]
    with pytest.raises(DataError, match="a store is here already; delete it first"):
        prepare(tree.write(*rows), tmp_path / "store", folds=2)
    assert not list(tmp_path.glob("*.toml"))


def test_a_complete_store_gets_its_protocol_although_frames_were_skipped(tree, tmp_path) -> None:
    rows = tree.people(2)
    write_video(tree.root / "a.avi", [cv2.resize(frame, (64, 64)) for frame in grey_frames(3)])
    rows += [{"subject": "007", "sequence": "s", "frame": i + 1, "visual": "a.avi", "AU12": i % 2} for i in range(5)]
    manifest = tree.write(*rows)
    prepare(manifest, tmp_path / "store", folds=4)
    assert len(prepare(manifest, tmp_path / "store").frames) == 4 + 3
    assert (tmp_path / "mylab_3fold.toml").exists()


@pytest.mark.slow
def test_a_store_without_enough_people_has_no_protocol(tree, tmp_path, capfd) -> None:
    manifest = tree.write(*tree.people(2))
    prepare(manifest, tmp_path / "store")
    said = capfd.readouterr().err
    remark = "fewer subjects with labels (2) than folds (3), so there will be no protocol; give --folds 2 for one"
    assert said.index(remark) < said.index("wrote no protocol: fewer subjects with labels (2) than folds (3)")
    assert not list(tmp_path.glob("*.toml"))
    prepare(manifest, tmp_path / "other", folds=2)
    assert "no protocol" not in capfd.readouterr().err and list(tmp_path.glob("*.toml"))


@pytest.mark.parametrize("part", ["1", "train"])
def test_a_single_part_is_named_before_images_are_read(tree, capfd, part) -> None:
    TABLE.find(tree.write(*tree.people(part=part)), TableOptions(name="mylab", size=32))
    assert f"parts of people with labels: {part}, so there will be no protocol; write" in capfd.readouterr().err


@pytest.mark.parametrize("intensity", [None, "keep"])
def test_aus_that_nobody_in_training_shows_are_named(tree, tmp_path, capfd, intensity) -> None:
    rows = [row | {"AU2": 0, "AU4": i % 2} for i, row in enumerate(tree.people(3))]
    rows[0]["AU2"] = 1 if intensity is None else 2
    rows[1]["AU4"] = 0 if intensity is None else 5
    rows = [row | {"fold": row["subject"], "AU12": 5 if intensity else 1} for row in rows]
    rows[3]["AU4"] = rows[5]["AU4"] = 1 if intensity is None else 5
    prepare(tree.write(*rows), tmp_path / "store", intensity=intensity)
    says = "nobody in training shows AU2 in fold 1, where a model cannot learn them; leave out their columns"
    assert says in capfd.readouterr().err


def test_a_store_without_a_present_au_has_no_protocol(tree, tmp_path, capfd) -> None:
    prepare(tree.write(*tree.people()), tmp_path / "store", intensity="2")
    assert "wrote no protocol: no AU is present in any frame; --intensity says" in capfd.readouterr().err
    assert not list(tmp_path.glob("*.toml"))


@pytest.mark.slow
def test_intensities_have_a_rule_in_the_protocol(tree, tmp_path) -> None:
    rows = tree.people()
    for i, row in enumerate(rows):
        row |= {"AU12": i % 6, "AU4": i % 2}
    store = prepare(tree.write(*rows), tmp_path / "store", intensity="keep")
    proven = protocol_file.load(tmp_path / "mylab_3fold.toml")
    assert proven.labels == "intensity >= 2" and proven.aus == (12,), "nobody shows AU4 at 2"
    assert ProtocolDataset(store, proven).labels[:, 0].tolist() == [0, 0, 1, 1, 1, 1]


def test_faces_need_a_place(tree, tmp_path) -> None:
    rows = [{"subject": "a", "depth": tree.image("d.png", channels=1), "AU1": 1}]
    with pytest.raises(DataError, match="has nothing to locate faces by"):
        prepare(tree.write(*rows), tmp_path / "store", crop=True)
    with pytest.raises(UsageError, match=r"--intensity: cannot be '7' \(Read .* n for present from n on, or keep\)$"):
        TableOptions(name="mylab", intensity="7")
    with pytest.raises(UsageError, match=r"--name: cannot be 'My-Lab' \(Name .* 50 letters a to z, digits and _\)$"):
        TableOptions(name="My-Lab")
    with pytest.raises(UsageError, match="--name: is missing; Name of the data set"):
        TableOptions()
    with pytest.raises(UsageError, match="--folders: is no option; did you mean 'folds'"):
        TableOptions(name="mylab", folders=3)
    with pytest.raises(UsageError, match="--depth-range: cannot be '5'; give two numbers, the smaller one first"):
        TableOptions(name="mylab", depth_range="5")


@pytest.mark.slow
def test_a_table_of_the_store_is_plain(tree, tmp_path) -> None:
    store = prepare(tree.write(*tree.people()), tmp_path / "store")
    frames = pd.read_parquet(store.path / "frames.parquet")
    assert frames["source"].tolist()[:2] == ["p1/1.png", "p1/2.png"] and brightness(store)[:2] == [11, 12]
