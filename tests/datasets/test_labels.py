from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aubench.core.errors import DataError
from aubench.datasets.bp4d.labels import AUS, coded_frames, number_gaps, read_label_file

NAMED = [1, *AUS, *range(29, 40)]


def wide(*rows: dict[int, int], frames: list[int]) -> str:
    """A 100-column file: in each row 9 but for the codes given by AU."""
    lines = [",".join(map(str, range(100)))]
    for frame, codes in zip(frames, rows, strict=True):
        lines.append(",".join(map(str, [frame, *(codes.get(au, 9) for au in range(1, 100))])))
    return "\n".join(lines) + "\n"


def named(*rows: dict[int, int], frames: list[int]) -> str:
    """A named file, whose first header cell is itself 1."""
    lines = [",".join(map(str, NAMED))]
    for frame, codes in zip(frames, rows, strict=True):
        lines.append(",".join(map(str, [frame, *(codes.get(au, 9) for au in NAMED[1:])])))
    return "\n".join(lines) + "\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "F001_T1.csv"


@pytest.mark.parametrize("write", [wide, named])
def test_reads_both_headers_by_position(file: Path, write) -> None:
    file.write_text(write({1: 1, 2: 0, 24: 1}, {1: 0, 12: 1}, frames=[7, 8]))
    codes = read_label_file(file)
    assert codes.frames.tolist() == [7, 8]
    of = {au: codes.labels[:, i].tolist() for i, au in enumerate(AUS)}
    assert (of[1], of[2], of[12], of[24], of[5]) == ([1, 0], [0, -1], [-1, 1], [1, -1], [-1, -1])


@pytest.mark.slow
@given(
    frames=st.lists(st.integers(1, 3000), min_size=1, max_size=8, unique=True),
    data=st.data(),
    ending=st.sampled_from(["\n", "\r\n"]),
    mark=st.sampled_from(["", "\ufeff"]),
)
def test_both_headers_say_the_same(tmp_path_factory, frames, data, ending, mark) -> None:
    rows = [{au: data.draw(st.sampled_from([0, 1, 9])) for au in AUS} for _ in frames]
    file = tmp_path_factory.mktemp("codes") / "F001_T1.csv"
    read = []
    for write in (wide, named):
        file.write_bytes((mark + write(*rows, frames=frames)).replace("\n", ending).encode())
        read.append(read_label_file(file))
    expected = np.array([[{0: 0, 1: 1, 9: -1}[rows[i][au]] for au in AUS] for i in np.argsort(frames)])
    for codes in read:
        assert codes.frames.tolist() == sorted(frames)
        assert (codes.labels == expected).all()


def test_header_without_some_aus_leaves_them_unknown(file: Path) -> None:
    file.write_text("frame,AU01,AU12\n1,1,0\n")
    codes = read_label_file(file)
    assert codes.labels[0, AUS.index(1)] == 1
    assert codes.labels[0, AUS.index(12)] == 0
    assert (codes.labels >= 0).sum() == 2


def damage(text: str, kind: str) -> str:
    lines = text.splitlines()
    if kind == "letter":
        lines[2] = lines[2].replace("9", "x", 1)
    elif kind == "other code":
        lines[2] = lines[2].replace("9", "5", 1)
    elif kind == "short row":
        lines[2] = lines[2].rsplit(",", 1)[0]
    elif kind == "long row":
        lines[2] += ",9"
    elif kind == "empty last cell":
        lines[2] = lines[2].rsplit(",", 1)[0] + ","
    elif kind == "cut":
        return text[:-120]
    elif kind == "twice":
        lines[2] = lines[1]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("kind", "place", "says"),
    [
        ("letter", ":3:2", "'x' is not a whole number"),
        ("other code", ":3:2", "5 is not a code"),
        ("short row", ":3", "99 columns, the header 100"),
        ("long row", ":3", "101 columns, the header 100"),
        ("empty last cell", ":3:100", "'' is not a whole number"),
        ("cut", ":3", "columns, the header 100"),
        ("twice", ":3", "frame 4 is coded a second time"),
    ],
)
def test_damage_is_named_with_file_line_and_column(file: Path, kind: str, place: str, says: str) -> None:
    file.write_text(damage(wide({}, {}, frames=[4, 6]), kind))
    with pytest.raises(DataError, match=says) as caught:
        read_label_file(file)
    assert str(caught.value).startswith(f"{file}{place}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no coded frame"),
        (b"0,1,2\n", "no coded frame"),
        (b"frame,smile\n1,0\n", "not a list of AU numbers"),
        (b"frame,1,2,1\n1,0,0,0\n", "neither 0 to 99 nor"),
        ((",".join(map(str, range(99))) + "\n1\n").encode(), "has 99 columns, neither"),
        (b"\xff\xfe0\x001\n1,2\n", "not text"),
        (b"frame,1\n-3,0\n", "-3 is not a frame number"),
    ],
)
def test_other_files_are_refused(file: Path, content: bytes, says: str) -> None:
    file.write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_label_file(file)


def test_a_missing_file_is_one_line(file: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_label_file(file)


@pytest.mark.parametrize(
    "cell",
    ["--1", "0_1", "+1", "-0", "\u0663", "\uff11", "0x1", "1.0", "1e0", "", "nan", "1 0", "1\u2028"],
)
def test_a_cell_that_is_not_a_number_is_named_with_its_column(file: Path, cell: str) -> None:
    file.write_bytes(f"frame,1,2\n1,{cell},0\n".encode())
    with pytest.raises(DataError, match="is not a whole number") as caught:
        read_label_file(file)
    assert str(caught.value).startswith(f"{file}:2:2: ")
    file.write_bytes(f"frame,1,2\n{cell},1,0\n".encode())
    with pytest.raises(DataError, match="is not a whole number"):
        read_label_file(file)


def test_thousands_of_digits_are_one_short_line(file: Path) -> None:
    for row in ("1," + "1" * 5000 + ",0", "1" * 5000 + ",1,0", "-" * 5000 + ",1,0"):
        file.write_text(f"frame,1,2\n{row}\n")
        with pytest.raises(DataError, match="has 5000 characters, too many for a whole number") as caught:
            read_label_file(file)
        assert len(str(caught.value)) < len(str(file)) + 160


@pytest.mark.parametrize(
    "header",
    ["frame,-1,-2", "frame,0,1", "frame,1_2,4", "frame,+1,2", "frame,100,200", "frame,\u0661,2", "frame", "1,40"],
)
def test_a_header_that_makes_every_au_unknown_is_refused(file: Path, header: str) -> None:
    file.write_bytes(f"{header}\n1{',0' * header.count(',')}\n".encode())
    with pytest.raises(DataError, match="not a list of AU numbers"):
        read_label_file(file)


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace("frame", "Bild f\xfcr Bild").encode("latin-1"),
        lambda text: text.replace("frame,1,2", '"frame","AU01","AU 2"').encode(),
        lambda text: text + "\n \n",
    ],
)
def test_encodings_and_line_ends_of_other_systems_are_read(file: Path, encode) -> None:
    content = encode("frame,1,2\n7,1,0\n8, 9 ,1\n")
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    codes = read_label_file(file)
    assert codes.frames.tolist() == [7, 8]
    assert codes.labels[:, :2].tolist() == [[1, 0], [-1, 1]]


def test_a_gap_in_the_frame_numbers_is_refused_or_allowed(file: Path) -> None:
    file.write_text(named(*[{}] * 5, frames=[4, 5, 8, 9, 11]))
    with pytest.raises(DataError, match=r"has no row for frame 6 to 7 and 1 other ranges; copy .* with --allow-gaps"):
        coded_frames(file, allow_gaps=False)
    assert coded_frames(file, allow_gaps=True).tolist() == [4, 5, 8, 9, 11]
    assert number_gaps([4, 5, 8, 9, 11]) == ["6 to 7", "10"]
    assert coded_frames(None, allow_gaps=False).tolist() == []
