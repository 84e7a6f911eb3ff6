"""Videos: frames of every codec that the tests can write, and files that are damaged."""

import re
from pathlib import Path

import numpy as np
import pytest
from factories.videos import grey_frames, write_video

from aubench.core.errors import DataError
from aubench.faces.video_files import CountedFrames, Video, VideoFrame


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "a.avi", grey_frames(12))


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "MJPG"), ("a.avi", "XVID"), ("a.mp4", "mp4v")])
def test_every_frame_is_decoded_in_order(tmp_path, name, codec) -> None:
    video = Video.open(write_video(tmp_path / name, grey_frames(12), codec))
    frames = list(video.frames())
    means = [frame.decode_rgb().mean() for frame in frames]
    assert np.allclose(means, 10 * np.arange(12), atol=5)
    assert np.allclose([frame.time for frame in frames], 50 * np.arange(12))
    assert (video.stated_frames, video.rate) == (12, 20)
    assert [frame.decode_rgb().mean() for frame in video.frames()] == means
    video.check_end(12)


def test_only_wanted_frames_have_pixels(video) -> None:
    frames, some = (list(Video.open(video).frames(wanted)) for wanted in (None, {3, 11, 99}))
    assert [frame.time for frame in some] == [frame.time for frame in frames]
    assert [i for i, frame in enumerate(some) if frame.pixels.size] == [3, 11]
    assert all(np.array_equal(some[i].pixels, frames[i].pixels) for i in (3, 11))


def test_a_frame_in_grey_keeps_the_smallest_side(tmp_path) -> None:
    red = np.zeros((60, 80, 3), np.uint8)
    red[..., 0] = 200
    (frame,) = Video.open(write_video(tmp_path / "a.avi", [red])).frames()
    assert frame.decode_rgb()[..., 0].mean() > 190 and frame.decode_rgb()[..., 2].mean() < 10
    grey, factor = frame.decode_grey(20)
    assert (grey.shape, factor) == ((20, 26), 3)
    assert frame.decode_grey(61)[1] == 1


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.95])
@pytest.mark.parametrize(("name", "codec"), [("a.avi", "MJPG"), ("a.avi", "XVID")])
def test_a_video_that_is_cut_short_is_refused(tmp_path, name, codec, kept, capfd) -> None:
    path = write_video(tmp_path / name, grey_frames(12), codec)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError, match=r"a\.avi: is cut short.*; copy the file from the delivery again$"):
        opened = Video.open(path)
        opened.check_end(sum(1 for _ in opened.frames()))
    assert capfd.readouterr() == ("", "")


def test_a_video_that_lost_a_frame_without_a_gap_in_time_is_refused(video) -> None:
    content = bytearray(video.read_bytes())
    fifth = [match.start() for match in re.finditer(b"00dc", content)][4]
    content[fifth : fifth + 8] = bytes(8)
    video.write_bytes(content)
    opened = Video.open(video)
    times = [frame.time for frame in opened.frames()]
    assert np.allclose(times, 50 * np.arange(11)), "times have no gap"
    with pytest.raises(DataError, match=r"a\.avi: is damaged: 11 of 12 frames can be decoded; copy the file"):
        opened.check_end(11)


@pytest.mark.parametrize(
    ("name", "times", "losses"),
    [
        ("a.mkv", [0, 40, 80], []),
        ("a.mkv", [80, 120, 160], [0]),
        ("a.mp4", [80, 120, 160], [0]),
        ("a.avi", [80, 120, 240], [2]),  # times of the decoder, which delays the first frame
    ],
)
def test_a_lost_first_frame_is_a_gap(name, times, losses) -> None:
    pixels = np.zeros((2, 2, 3), np.uint8)
    counted = CountedFrames(Video(Path(name), 8, 25), [VideoFrame(pixels, time) for time in times])
    assert len(list(counted)) == 3
    assert counted.losses == losses


def test_a_codec_without_a_decoder_is_named(video, capfd) -> None:
    video.write_bytes(video.read_bytes().replace(b"MJPG", b"ZZZZ"))
    with pytest.raises(DataError, match=r"a\.avi: .*OpenCV has no decoder for its codec \(ZZZZ\); copy the file"):
        Video.open(video)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("content", "says"), [(b"", "is empty"), (b"hello", "is damaged or not a video"), (None, "cannot be read")]
)
def test_a_file_that_is_no_video_is_one_line(tmp_path, content, says, capfd) -> None:
    path = tmp_path / "a.avi"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.avi: {says}"):
        Video.open(path)
    assert capfd.readouterr() == ("", "")


def test_a_path_that_is_not_utf_8_is_one_line(video) -> None:
    odd = video.with_name("a\udcff.avi")
    video.rename(odd)
    with pytest.raises(DataError, match=r"the path is not UTF-8; rename it"):
        Video.open(odd)
