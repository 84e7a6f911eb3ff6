"""Thermal videos, decoded by OpenCV and by PyAV, and the inversion of their colours."""

from pathlib import Path

import numpy as np
import pytest

from aubench.core.errors import DataError
from aubench.datasets.bp4dplus import thermal
from aubench.datasets.bp4dplus.colour_bar import LEGEND, invert_colours, read_colour_bar
from aubench.datasets.bp4dplus.infrared_points import HEIGHT, WIDTH
from aubench.datasets.bp4dplus.thermal import ThermalFiles, thermal_images
from aubench.faces.video_files import Video
from tests.factories.bp4d import make_points_49
from tests.factories.bp4dplus import FACE, colour, infrared_line, thermal_picture
from tests.factories.videos import write_video

RAMP = np.broadcast_to(np.linspace(0, 1, LEGEND), (HEIGHT, LEGEND))


def convert(files: ThermalFiles, count: int = 3, size: int = 32):
    frames = np.arange(1, count + 1)
    points = np.stack([make_points_49(FACE[0] + n, *FACE[1:]) for n in range(count)])
    squares = np.array([[FACE[0] + n, FACE[1] + 20, 120, 0.0] for n in range(count)])
    return thermal_images(files, size, True, frames, points, squares, lambda kind, shape, dtype: np.zeros(shape, dtype))


@pytest.fixture
def files(tmp_path: Path) -> ThermalFiles:
    return written(tmp_path, [thermal_picture(n) for n in range(3)])


def written(folder: Path, pictures: list[np.ndarray], lines: int = 3, codec: str = "WMV2") -> ThermalFiles:
    infrared = folder / "F001_T1.txt"
    infrared.write_text("\n".join(map(infrared_line, range(lines))) + "\n")
    return ThermalFiles(write_video(folder / "T1.wmv", pictures, codec, 25), infrared)


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["WMV1", "WMV2"])
def test_both_decoders_yield_the_same_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str) -> None:
    pytest.importorskip("av", reason="PyAV is not installed")
    files = written(tmp_path, [thermal_picture(n) for n in range(3)], codec=codec)
    by_opencv = [frame.decode_rgb() for frame in thermal.decode_by_opencv(Video.open(files.video))]
    by_pyav = [frame.decode_rgb() for frame in thermal.decode_by_pyav(files.video, DataError(""))]
    assert len(by_opencv) == len(by_pyav) == 3
    difference = np.abs(np.array(by_opencv, int) - np.array(by_pyav, int))
    assert difference.mean() < 2

    images = convert(files).images
    monkeypatch.setattr(Video, "open", fail_to_decode)
    other = convert(files)
    assert other.missing == {}
    assert np.abs(images.astype(int) - other.images).mean() < 2


@pytest.mark.slow
def test_pyav_has_a_decoder_for_the_codec_of_the_delivery() -> None:
    av = pytest.importorskip("av", reason="PyAV is not installed")
    assert av.codec.Codec("wmv3", "r").name == "wmv3"


@pytest.mark.slow
def test_a_video_that_pyav_does_not_decode_either_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="PyAV is not installed")
    path = tmp_path / "T1.wmv"
    path.write_bytes(b"no video at all")
    with pytest.raises(DataError, match="the error of OpenCV"):
        list(thermal.decode_by_pyav(path, DataError("the error of OpenCV")))


def fail_to_decode(path: Path) -> Video:
    raise DataError("OpenCV has no decoder", where=path)


def test_a_missing_decoder_names_the_extra(files: ThermalFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Video, "open", fail_to_decode)
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(DataError, match=r"T1\.wmv: OpenCV cannot decode the video.*pip install 'aubench\[thermal\]'"):
        convert(files)


@pytest.mark.parametrize("decoder", ["OpenCV", "PyAV"])
def test_a_truncated_video_is_refused(files: ThermalFiles, monkeypatch: pytest.MonkeyPatch, decoder: str) -> None:
    if decoder == "PyAV":
        pytest.importorskip("av", reason="PyAV is not installed")
        monkeypatch.setattr(Video, "open", fail_to_decode)
    content = files.video.read_bytes()
    files.video.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(DataError, match=r"T1\.wmv: is cut short: \d frames can be decoded"):
        convert(files)


def test_a_video_shorter_than_its_points_leaves_later_frames_without_thermal(tmp_path: Path) -> None:
    other = convert(written(tmp_path, [thermal_picture(n) for n in range(2)]))
    assert other.missing == {3: "the video ends before"}
    assert other.remarks == ["the video has 2 frames, the file of its points 3 lines"]
    assert other.images[1].any() and not other.images[2].any()


@pytest.mark.parametrize("decoder", ["OpenCV", "PyAV"])
@pytest.mark.parametrize(("lines", "fits"), [(6, False), (5, True)])
def test_a_video_that_lost_a_frame_in_the_middle_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoder: str, lines: int, fits: bool
) -> None:
    av = pytest.importorskip("av", reason="PyAV is not installed")
    files = written(tmp_path, [thermal_picture()], lines=lines)
    with av.open(str(files.video), "w") as container:
        stream = container.add_stream("wmv2", rate=25, width=WIDTH, height=HEIGHT, pix_fmt="yuv420p")
        stream.bit_rate = 8_000_000
        for n in (0, 1, 3, 4, 5):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(thermal_picture(n)), format="rgb24")
            frame.pts = n
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    if decoder == "PyAV":
        monkeypatch.setattr(Video, "open", fail_to_decode)
    if fits:
        assert convert(files).notes["thermal_frames"] == 5
        return
    says = r"T1\.wmv: no frame can be decoded after frame 2, so later frames would have wrong numbers; copy"
    with pytest.raises(DataError, match=says):
        convert(files)


def test_points_shorter_than_the_video_leave_later_frames_without_thermal(tmp_path: Path) -> None:
    other = convert(written(tmp_path, [thermal_picture(n) for n in range(3)], lines=1))
    assert other.missing == {2: "the infrared points are lost", 3: "the infrared points are lost"}
    assert other.notes == {"thermal_frames": 3, "infrared_lines": 1, "without_thermal": 2}


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (ThermalFiles(None, Path("x")), "there is no video"),
        (ThermalFiles(Path("x"), None), "there are no infrared points"),
    ],
)
def test_a_missing_file_is_the_reason_for_the_whole_sequence(files: ThermalFiles, reason: str) -> None:
    other = convert(files)
    assert other.skipped(3) == [(-1, f"thermal: {reason}")]
    assert not other.images.any()


def test_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 320 × 240 pixels, the videos of BP4D\\+ have 726 × 480"):
        convert(written(tmp_path, [thermal_picture()[:240, :320]] * 3))


def test_frames_without_a_colour_bar_or_in_other_colours_are_missing(tmp_path: Path) -> None:
    bare, grey = thermal_picture(1), thermal_picture(2)
    bare[:, LEGEND:] = 0
    grey[:, :LEGEND] = 128
    other = convert(written(tmp_path, [thermal_picture(), bare, grey]))
    assert other.missing == {
        2: "the video frame has no colour bar",
        3: "the colours are not those of the colour bar",
    }


def test_a_face_outside_the_picture_is_missing(tmp_path: Path) -> None:
    files = written(tmp_path, [thermal_picture()] * 3)
    numbers = np.array([line.split() for line in files.infrared.read_text().splitlines()], float).reshape(3, 28, 2)
    middle = numbers.mean(axis=(0, 1))
    files.infrared.write_text(
        "\n".join(" ".join(map(str, face.ravel())) for face in (numbers - middle) / 8 + [790, 230])
    )
    assert set(convert(files).missing.values()) == {"the face is outside the thermal picture"}


def test_colours_become_their_position_on_the_bar() -> None:
    picture = thermal_picture(shown=RAMP)
    bar = read_colour_bar(picture)
    grey = invert_colours(picture[:, :LEGEND], bar)
    assert np.abs(grey - (1 + 254 * RAMP)).max() <= 4
    assert grey.min() == 1 and grey.max() == 255


def test_the_bar_of_each_picture_counts() -> None:
    half = thermal_picture(shown=RAMP)
    half[30:450, 690:704] = colour(0.5 - 0.5 * np.arange(420) / 419)[:, None]  # the range of the camera doubled
    grey = invert_colours(half[:, : LEGEND // 2], read_colour_bar(half))
    assert np.abs(grey - (1 + 2 * 254 * RAMP[:, : LEGEND // 2])).max() <= 6


def test_a_legend_without_a_bar_has_none() -> None:
    picture = thermal_picture()
    for legend in (np.zeros((HEIGHT, 42, 3), np.uint8), np.random.default_rng(0).integers(0, 256, (HEIGHT, 42, 3))):
        picture[:, LEGEND:] = legend
        assert read_colour_bar(picture) is None
