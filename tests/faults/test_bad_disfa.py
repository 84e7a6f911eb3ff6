"""Damaged and unusual deliveries of DISFA: one line, or a listed frame or file, and never half a store."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from factories.disfa import AUS, FRAMES, DisfaDelivery, draw_frames, write_frame_labels
from factories.videos import write_video

from aubench.core.errors import DataError
from aubench.data.store import Store
from aubench.datasets.disfa import disfa_sequences
from aubench.datasets.disfa.disfa_dataset import DISFA, DisfaOptions
from aubench.datasets.disfa.intensities import FrameIntensities
from aubench.faces.video_files import CountedFrames, Video, VideoFrame


@pytest.fixture
def prepare(call, disfa, tmp_path, one_worker) -> Callable:
    """``aubench data prepare disfa`` on the delivery, in this process."""
    words = ("data", "prepare", "disfa", "--source", disfa.root, "--store", tmp_path / "store", "--size", 32)
    return lambda *more: call(*words, *more)


def refused(answer, *texts: str) -> str:
    """Check that a command ended with one line, and return it."""
    assert answer.code == 2, answer
    lines = [line for line in answer.err.splitlines() if not line.startswith("disfa")]
    (line,) = [line for line in lines if line.startswith("aubench: ")]
    assert "Traceback" not in answer.err
    assert all(text in line for text in texts), line
    return line


def change_line(path: Path, number: int, text: str) -> None:
    lines = path.read_text().splitlines()
    lines[number - 1] = text
    path.write_text("\n".join(lines) + "\n")


def relabel(delivery: DisfaDelivery, subject: str, count: int) -> None:
    for au in AUS:
        write_frame_labels(delivery.labels(subject, au), [1] * count)


def cut_video(delivery: DisfaDelivery) -> None:
    video = delivery.video("SN002")
    video.write_bytes(video.read_bytes()[: int(0.7 * video.stat().st_size)])


def other_codec(delivery: DisfaDelivery) -> None:
    video = delivery.video("SN002")
    video.write_bytes(video.read_bytes().replace(b"MJPG", b"ZZZZ"))


def broken_link(delivery: DisfaDelivery) -> None:
    video = delivery.video("SN002")
    video.unlink()
    video.symlink_to("/nowhere/video.avi")


def second_video(delivery: DisfaDelivery) -> None:
    shutil.copy(delivery.video("SN002"), delivery.video("SN002").with_name("LeftVideoSN002_comp.mp4"))


def other_camera(delivery: DisfaDelivery) -> None:
    video = delivery.video("SN002", "Right")
    video.rename(video.with_name("LeftVideoSN002_comp.avi"))


def other_subject(delivery: DisfaDelivery) -> None:
    delivery.labels("SN002", 4).rename(delivery.labels("SN001", 4).with_name("SN002_au4.txt"))


def unknown_subject(delivery: DisfaDelivery) -> None:
    shutil.copy(delivery.video("SN002"), delivery.video("SN002").with_name("LeftVideoSN033_comp.avi"))


def second_label_file(delivery: DisfaDelivery) -> None:
    shutil.copy(delivery.labels("SN002", 4), delivery.labels("SN002", 4).with_name("SN002_au04.txt"))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (cut_video, "leftVideoSN002_Comp.avi: is cut short: "),
        (other_codec, "or OpenCV has no decoder for its codec (ZZZZ); copy the file from the delivery again"),
        (broken_link, "leftVideoSN002_Comp.avi: cannot be read (No such file or directory)"),
        (second_video, "holds the same as "),
        (other_camera, "LeftVideoSN002_comp.avi: is in the folder of the right camera; move it"),
        (other_subject, "SN001/SN002_au4.txt: is in the folder of SN001; move it"),
        (
            unknown_subject,
            "LeftVideoSN033_comp.avi: SN033 is not a subject of DISFA; its 27 subjects are SN001 to SN032",
        ),
        (second_label_file, "holds the same as "),
        (lambda d: d.labels("SN002", 4).unlink(), "ActionUnit_Labels/SN002: no label file of AU4 of SN002; copy"),
        (lambda d: change_line(d.labels("SN002", 4), 3, "3,7"), "SN002_au4.txt:3: 7 is not an intensity (0 to 5)"),
        (lambda d: change_line(d.labels("SN002", 4), 3, "2,1"), "SN002_au4.txt:3: frame 2 is coded a second time"),
        (lambda d: write_frame_labels(d.labels("SN002", 4), [1] * 9), "SN002_au4.txt: codes the frames 1 to 9, SN002"),
        (lambda d: relabel(d, "SN002", FRAMES + 21), "has 8 frames that can be decoded, and the label files code 29"),
        (lambda d: shutil.rmtree(d.root / "ActionUnit_Labels"), "DISFA: no label file in it; expected Videos_Left"),
        (lambda d: shutil.rmtree(d.root / "Videos_LeftCamera"), "DISFA: no video of the left camera in it; expected"),
    ],
)
def test_a_damaged_delivery_is_one_line_and_no_store(prepare, disfa, tmp_path, damage, says) -> None:
    damage(disfa)
    refused(prepare(), says)
    assert not (tmp_path / "store").exists()
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.slow
def test_a_video_that_is_much_longer_than_its_labels_is_refused(prepare, disfa) -> None:
    write_video(disfa.video("SN002"), draw_frames(FRAMES + 21, 0))
    refused(prepare(), "has 29 frames that can be decoded, and the label files code 8; copy video and label files")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "line"),
    [
        (FRAMES + 1, 'SN002,left,9,"coded, but not in the video"'),
        (FRAMES - 2, "SN002,left,-1,frames 7 to 8 are not coded"),
    ],
)
def test_labels_that_end_within_a_second_of_the_video_are_listed(prepare, disfa, tmp_path, count, line) -> None:
    relabel(disfa, "SN002", count)
    assert prepare().code == 0
    store = Store(tmp_path / "store")
    assert line in (store.path / "skipped.csv").read_text()
    frames = store.frames[store.frames["subject"] == "SN002"]
    assert frames["labelled"].tolist() == [number <= count for number in range(1, FRAMES + 1)]
    assert frames["AU4"].tolist() == [1 if number <= count else -1 for number in range(1, FRAMES + 1)]


@pytest.mark.slow
def test_files_of_other_systems_give_the_same_labels(prepare, disfa, tmp_path) -> None:
    path = disfa.labels("SN001", 1)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    path = disfa.labels("SN001", 2)
    path.write_text(path.read_text(), encoding="utf-16")
    shutil.copy(path, path.with_name("._SN001_au2.txt"))
    (path.parent / ".DS_Store").write_bytes(b"\0")
    assert prepare().code == 0
    frames = Store(tmp_path / "store").frames
    assert frames["AU1"].tolist()[:3] == [2, 3, 4] and frames["AU2"].tolist()[:3] == [3, 4, 5]


@pytest.mark.slow
def test_missing_and_unused_files_are_listed(prepare, disfa, tmp_path) -> None:
    disfa.video("SN001").unlink()
    shutil.rmtree(disfa.labels("SN002", 1).parent)
    (disfa.root / "ActionUnit_Labels/SN001/SN001_au7.txt").write_text("1,0\n")
    (disfa.root / "Videos_LeftCamera/LeftSN003.avi").write_bytes(b"")
    answer = prepare()
    assert answer.code == 0, answer
    for line in (
        "- SN001_au7.txt: its name is not like SN001_au1.txt with one of the 12 AUs",
        "- LeftSN003.avi: its name is not like LeftVideoSN001_comp.avi",
        "- SN001 left no video",
        "- SN002 left no label files, so its frames are without labels",
        "- SN003 neither a video nor label files",
    ):
        assert line in answer.out.splitlines()
    frames = Store(tmp_path / "store").frames
    assert frames.groupby("subject")["labelled"].sum().to_dict() == {"SN002": 0, "SN010": FRAMES - 1}


def test_a_folder_without_permission_is_one_line(prepare, disfa, monkeypatch) -> None:
    scandir = os.scandir

    def scan(path: Path) -> Iterator:
        if Path(path).name == "Videos_LeftCamera":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("aubench.datasets.file_search.os.scandir", scan)
    refused(prepare(), "Videos_LeftCamera: cannot be read (Permission denied); change its permissions")


@pytest.mark.slow
def test_a_video_without_a_face_is_listed(prepare, disfa, tmp_path) -> None:
    write_video(disfa.video("SN002"), [np.full((278, 208, 3), 60, np.uint8)] * FRAMES)
    assert prepare().code == 0
    store = Store(tmp_path / "store")
    assert set(store.frames["subject"]) == {"SN001", "SN010"}
    assert "SN002,left,8,no face in the whole video" in (store.path / "skipped.csv").read_text()


@dataclass(frozen=True)
class _Gap(Video):
    """A video of three frames, the second of which comes two frames after the first."""

    path: Path = Path("video.avi")
    rate: float = 20.0
    stated_frames: int = 3

    def frames(self) -> Iterator[VideoFrame]:
        for time in (0.0, 100.0, 150.0):
            yield VideoFrame(np.zeros((4, 4, 3), np.uint8), time)

    def check_end(self, frames: int) -> None:
        assert frames == 3


@pytest.mark.parametrize(("coded", "fits"), [(3, True), (4, False)])
def test_a_gap_within_a_video_matters_where_labels_have_no_frame(coded, fits) -> None:
    decoded = CountedFrames(_Gap(), _Gap().frames())
    assert len(list(decoded)) == 3 and decoded.gaps == [1]
    labels = FrameIntensities(1, np.zeros((coded, 12), np.int8))
    if fits:
        assert disfa_sequences._compare_lengths(decoded, labels) == []
        return
    with pytest.raises(
        DataError, match="no frame can be decoded after frame 1, so later frames would have wrong numbers"
    ):
        disfa_sequences._compare_lengths(decoded, labels)


def bytes_of(store: Path) -> dict[str, str]:
    files = sorted(path for path in store.rglob("*") if path.is_file() and path.name != ".verified.json")
    return {str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
def test_an_interrupted_command_resumes_to_the_same_bytes(disfa, tmp_path, one_worker, capfd) -> None:
    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    def run(store: Path, progress=lambda done, total: None, **options) -> None:
        DISFA.prepare(disfa.root, store, DisfaOptions(size=32, **options), progress)

    run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "store", stop)
    assert not (tmp_path / "store").exists()
    with pytest.raises(DataError, match="was begun with other options: camera was left and is right"):
        run(tmp_path / "store", camera="right")
    steps: list[int] = []
    run(tmp_path / "store", lambda done, total: steps.append(done), workers=1)
    assert steps[0] > 0
    assert bytes_of(tmp_path / "store") == bytes_of(tmp_path / "whole")

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "other", stop)
    change_line(disfa.labels("SN001", 4), 1, "1,5")
    run(tmp_path / "other")
    assert "aubench: SN001 left: other label files; it is prepared again" in capfd.readouterr().err
    assert Store(tmp_path / "other").frames["AU4"].tolist()[0] == 5


@pytest.mark.slow
def test_two_processes_write_the_bytes_of_one(call, disfa, tmp_path) -> None:
    words = ("data", "prepare", "disfa", "--source", disfa.root, "--size", 32)
    for workers in (1, 2):
        assert call(*words, "--store", tmp_path / f"{workers}", "--workers", workers).code == 0
    assert bytes_of(tmp_path / "1") == bytes_of(tmp_path / "2")


def test_the_header_of_a_video_may_state_more_frames(tmp_path) -> None:
    path = write_video(tmp_path / "a.avi", draw_frames(3, 0))
    opened = Video.open(path)
    decoded = CountedFrames(Video(path, 4, opened.rate), opened.frames())
    list(decoded)
    labels = FrameIntensities(1, np.zeros((3, 12), np.int8))
    assert disfa_sequences._compare_lengths(decoded, labels) == [
        (-1, "the header of the video states 4 frames, 3 can be decoded")
    ]
