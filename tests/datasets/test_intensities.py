"""Label files of DISFA and DISFA+: what is read, and what is refused."""

from pathlib import Path

import pytest
from factories.disfa import AUS, write_frame_labels, write_image_labels

from aubench.core.errors import DataError
from aubench.datasets.disfa.intensities import (
    SUBJECTS,
    read_all_intensities,
    read_image_intensities,
    read_intensities,
)

LINES = [f"{frame},{frame % 6}" for frame in range(1, 13)]
HEADER = ["Image Number        Intensity", "-----"]


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_disfa_has_27_subjects() -> None:
    assert len(set(SUBJECTS)) == 27
    assert not {"SN014", "SN015", "SN019", "SN020", "SN022", "SN033"} & set(SUBJECTS)


@pytest.mark.parametrize("first", [0, 1])
def test_frames_count_from_0_or_from_1(tmp_path, first) -> None:
    write_frame_labels(tmp_path / "a.txt", [3, 0, 5], first=first)
    labels = read_intensities(tmp_path / "a.txt")
    assert (labels.first, labels.values.tolist()) == (first, [3, 0, 5])


@pytest.mark.parametrize(
    "content",
    [
        b"1,3\r\n2,0\r\n3,5\r\n",
        b"1,3\r2,0\r3,5",
        b"\xef\xbb\xbf1,3\n2,0\n3,5\n\n",
        "1,3\n2,0\n3,5".encode("utf-16"),
        b" 1 , 3\n2,\t0\n3,5 ",
    ],
    ids=["CR LF", "CR", "byte order mark", "UTF-16", "spaces"],
)
def test_a_file_of_another_system_holds_the_same(tmp_path, content) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    labels = read_intensities(tmp_path / "a.txt")
    assert (labels.first, labels.values.tolist()) == (1, [3, 0, 5])


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([*LINES[:4], "5,7", *LINES[5:]], r"a\.txt:5: 7 is not an intensity \(0 to 5\)"),
        ([*LINES[:4], "4,4", *LINES[5:]], r"a\.txt:5: frame 4 is coded a second time"),
        ([*LINES[:4], *LINES[5:]], r"a\.txt:5: frame 6 follows frame 4"),
        ([*LINES[:4], "5,-1", *LINES[5:]], r"a\.txt:5: '5,-1' is not a frame and an intensity"),
        ([*LINES[:4], "5,2.0", *LINES[5:]], r"a\.txt:5: '5,2.0' is not"),
        ([*LINES[:4], "5,٣", *LINES[5:]], r"a\.txt:5: '5,٣' is not"),
        ([*LINES[:4], "", *LINES[5:]], r"a\.txt:5: '' is not"),
        (["frame,intensity", *LINES], r"a\.txt:1: 'frame,intensity' is not"),
        ([*LINES, "13"], r"a\.txt:13: '13' is not"),
        (LINES[2:], r"a\.txt:1: begins with frame 3, and frames count from 1 or from 0"),
        ([], r"a\.txt:1: '' is not"),
        (["x" * 99], r"a\.txt:1: 'x{40}'… is not"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path, lines, says) -> None:
    with pytest.raises(DataError, match=says + ".*; copy the file from the delivery again"):
        read_intensities(write(tmp_path / "a.txt", lines))


def test_all_files_of_a_video_code_the_same_frames(tmp_path) -> None:
    files = {au: tmp_path / f"SN001_au{au}.txt" for au in AUS}
    for au, path in files.items():
        write_frame_labels(path, [au % 6, (au + 1) % 6])
    assert read_all_intensities(files).values.tolist() == [[au % 6 for au in AUS], [(au + 1) % 6 for au in AUS]]
    write_frame_labels(files[12], [0, 1, 2])
    with pytest.raises(DataError, match=r"au12\.txt: codes the frames 1 to 3, SN001_au1\.txt codes 1 to 2"):
        read_all_intensities(files)


def test_the_names_of_images_are_read_from_disfaplus(tmp_path) -> None:
    write_image_labels(tmp_path / "AU1.txt", {"000.jpg": 0, "001.jpg": 5})
    assert read_image_intensities(tmp_path / "AU1.txt") == {0: 0, 1: 5}


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([*HEADER, "000.jpg 7"], r":3: 7 is not an intensity"),
        ([*HEADER, "000.jpg 1", "0.jpg 1"], r":4: image 0\.jpg is coded a second time"),
        ([*HEADER, "000.jpg 1 001.jpg 1"], r":3: '000\.jpg 1 001\.jpg 1' is not an image and an intensity"),
        ([HEADER[0], "000.jpg 1"], r":2: is a label, but the first two lines must be a header"),
        ([*HEADER, "one.jpg 1"], r":3: 'one\.jpg 1' is not"),
        ([*HEADER, "000.jpg"], r":3: '000\.jpg' is not"),
        (HEADER, r"AU1\.txt: holds no coded image"),
    ],
)
def test_a_damaged_file_of_disfaplus_is_named_with_its_line(tmp_path, lines, says) -> None:
    with pytest.raises(DataError, match=says + ".*; copy the file from the delivery again"):
        read_image_intensities(write(tmp_path / "AU1.txt", lines))
