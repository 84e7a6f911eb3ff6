from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aubench.core.errors import DataError
from aubench.faces.meshes import MeshEnding, check_endings, read_obj

TRIANGLE = ["v 0 0 0", "v 1 0 0", "v 0 1 0", "vt 0 0", "vt 1 0", "vt 0 1", "f 1/1 2/2 3/3"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "0000.obj"


def write(file: Path, lines: list[str], ending: str = "\n") -> Path:
    file.write_bytes(ending.join([*lines, ""]).encode())
    return file


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_reads_vertices_texture_and_triangles(file: Path, ending: str) -> None:
    lines = ["# a face", "mtllib 0.mtl", "", "  ", "vn 0 0 1", *TRIANGLE, "g end", "s off"]
    mesh = read_obj(write(file, lines, ending))
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert mesh.texture.tolist() == [[0, 0], [1, 0], [0, 1]]
    assert mesh.triangles.tolist() == mesh.texture_triangles.tolist() == [[0, 1, 2]]


@pytest.mark.slow
@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), st.sampled_from(["{!r}", "{:.4f}", "{:e}", "{:+.2E}"]))
def test_numbers_in_any_spelling(tmp_path_factory, numbers: list[float], spelling: str) -> None:
    file = tmp_path_factory.mktemp("obj") / "0.obj"
    words = [spelling.format(number) for number in numbers]
    mesh = read_obj(write(file, ["v " + " ".join(words), *TRIANGLE]))
    assert mesh.vertices[0] == pytest.approx(list(map(float, words)), rel=1e-14, abs=1e-280)  # tinier ones may become 0


@pytest.mark.parametrize(
    ("faces", "triangles", "texture"),
    [
        (["f 1 2 3"], [[0, 1, 2]], [[-1, -1, -1]]),
        (["f 1//1 2//1 3//1"], [[0, 1, 2]], [[-1, -1, -1]]),
        (["f 1/3/1 2/2/1 3/1/1"], [[0, 1, 2]], [[2, 1, 0]]),
        (["f -3/-1 -2/-2 -1/-3"], [[1, 2, 3]], [[2, 1, 0]]),
        (["f 1 2 3 4"], [[0, 1, 2], [0, 2, 3]], [[-1] * 3] * 2),
        (["f\t4 3\t 1  ", "f 1 2 4"], [[3, 2, 0], [0, 1, 3]], [[-1] * 3] * 2),
    ],
)
def test_faces_in_any_spelling(file: Path, faces, triangles, texture) -> None:
    mesh = read_obj(write(file, [*TRIANGLE[:3], "v 1 1 0", *TRIANGLE[3:6], *faces]))
    assert mesh.triangles.tolist() == triangles
    assert mesh.texture_triangles.tolist() == texture


def test_colours_behind_a_vertex_are_left_alone(file: Path) -> None:
    mesh = read_obj(write(file, ["v 1 2 3 0.5 0.5 0.5", *TRIANGLE]))
    assert mesh.vertices[0].tolist() == [1, 2, 3]


def test_faces_may_come_before_their_vertices(file: Path) -> None:
    assert read_obj(write(file, [TRIANGLE[-1], *TRIANGLE[:-1]])).triangles.tolist() == [[0, 1, 2]]
    with pytest.raises(DataError, match=":1: the line names a vertex"):
        read_obj(write(file, ["f 0/1 2/2 3/3", *TRIANGLE[:-1]]))


@pytest.mark.parametrize(
    ("number", "line", "says"),
    [
        (2, "v nan 0 0", "not a finite number"),
        (2, "v 0 -inf 0", "not a finite number"),
        (2, "v 0 1e999 0", "not a finite number"),
        (2, "v 0 1,5 0", "not a finite number"),
        (2, "v 0 - 0", "not a finite number"),
        (2, "v 0 .e1 0", "not a finite number"),
        (2, "v 0 1.2.3 0", "not a finite number"),
        (2, "v 0 1e 0", "not a finite number"),
        (2, "v 0 1", "too few numbers"),
        (5, "vt nan 0", "not a finite number"),
        (5, "vt 1", "too few numbers"),
        (7, "f 1/1 2/2", "too few numbers"),
        (7, "f 1/1 2/2 3", "with and without texture"),
        (7, "f 1/1 2/2 3/", "not a finite number"),
        (7, "f 1/1 2/2 x", "not a finite number"),
        (7, "f 1/1 2/2 4/3", "names a vertex"),
        (7, "f 0/1 2/2 3/3", "names a vertex"),
        (7, "f -4/1 2/2 3/3", "names a vertex"),
        (7, "f 99999999999999999999 2 3", "names a vertex"),
        (7, "f 1/1 2/2 3/4", "names a texture coordinate"),
    ],
)
def test_damage_is_named_with_file_and_line(file: Path, number: int, line: str, says: str) -> None:
    lines = list(TRIANGLE)
    lines[number - 1] = line
    with pytest.raises(DataError, match=says) as caught:
        read_obj(write(file, lines))
    assert str(caught.value).startswith(f"{file}:{number}: ")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.95])
def test_part_of_a_mesh_is_refused(file: Path, share: float) -> None:
    text = "\n".join(TRIANGLE)
    file.write_text(text[: int(len(text) * share)])
    with pytest.raises(DataError, match=r"0000\.obj"):
        read_obj(file)


def test_a_missing_or_binary_file_is_one_line(file: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_obj(file)
    file.write_bytes(bytes(range(256)) * 50)
    with pytest.raises(DataError, match="holds no triangle"):
        read_obj(file)


@pytest.mark.slow
@given(st.binary(max_size=200) | st.text("vtf 0123/.-e\n", max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(tmp_path_factory, content: bytes) -> None:
    file = tmp_path_factory.mktemp("obj") / "0.obj"
    file.write_bytes(content)
    try:
        mesh = read_obj(file)
    except DataError:
        return
    assert 0 <= mesh.triangles.min() <= mesh.triangles.max() < len(mesh.vertices)
    assert np.isfinite(mesh.vertices).all()


@pytest.mark.parametrize("number", ["1e160", "-1e160", "1e308", "2000000000", "1e10"])
@pytest.mark.parametrize("line", ["v {} 0 -1100", "v 0 0 {}", "vt {} 0"])
def test_a_number_that_no_face_has_is_named(file: Path, number: str, line: str) -> None:
    with pytest.raises(DataError, match=r"0000\.obj:1: the line has a number beyond a thousand million"):
        read_obj(write(file, [line.format(number), *TRIANGLE]))


def test_trailing_zero_bytes_are_refused(file: Path) -> None:
    write(file, TRIANGLE)
    file.write_bytes(file.read_bytes() + bytes(4096))
    with pytest.raises(DataError, match=r"0000\.obj:8: the line has zero bytes; copy the file"):
        read_obj(file)


def test_zero_bytes_in_a_comment_are_refused(file: Path) -> None:
    write(file, ["# \0", *TRIANGLE])
    with pytest.raises(DataError, match=r"0000\.obj:1: the line has zero bytes"):
        read_obj(file)


@pytest.mark.parametrize(
    "line",
    [
        "# " + "x" * 1_000_000,
        "v 0 0 0." + "0" * 1_000_000,
        "vt 0 0" + " " * 1_000_000,
        "f" + " 1/1 2/2 3/3" * 80_000,
    ],
    ids=["comment", "decimals", "blanks", "polygon"],
)
def test_a_line_of_a_million_characters_is_read(file: Path, line: str) -> None:
    mesh = read_obj(write(file, [*TRIANGLE, line]))
    assert mesh.triangles[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("line", ["v 0 0 " + "9" * 1_000_000, "f 1/1 2/2 " + "3" * 1_000_000])
def test_a_number_of_a_million_digits_is_named(file: Path, line: str) -> None:
    with pytest.raises(DataError, match=r"0000\.obj:8: the line (has|names)"):
        read_obj(write(file, [*TRIANGLE, line]))


def test_an_index_that_no_integer_holds_is_named(file: Path) -> None:
    for number in ("2147483647", "2147483648", "4294967297", "9999999999"):
        with pytest.raises(DataError, match=r"0000\.obj:9: the line names a vertex"):
            read_obj(write(file, [*TRIANGLE, "", f"f 1/1 2/2 {number}/3"]))
        with pytest.raises(DataError, match=r"0000\.obj:8: the line names a texture coordinate"):
            read_obj(write(file, [*TRIANGLE, f"f 1/1 2/2 3/{number}"]))


@pytest.mark.slow
@given(st.lists(st.sampled_from(["0", "-1.5", "12.345678", ".5", "3.", "1e2", "+7", "123456789012345678"]), min_size=3))
def test_short_and_long_numbers_mix(tmp_path_factory, words: list[str]) -> None:
    file = tmp_path_factory.mktemp("obj") / "0.obj"
    lines = [f"v {' '.join(words[:3])}", *TRIANGLE]
    if "123456789012345678" in words[:3]:
        with pytest.raises(DataError, match="beyond a thousand million"):
            read_obj(write(file, lines))
    else:
        assert read_obj(write(file, lines)).vertices[0].tolist() == list(map(float, words[:3]))


def ending(file: Path, lines: list[str], newline: str = "\n") -> MeshEnding:
    file.write_text("\n".join(lines) + newline)
    return MeshEnding.of(file, read_obj(file))


@pytest.fixture
def grid() -> list[str]:
    """Lines of a mesh of 25 vertices, whose 32 triangles end the file."""
    lines = [f"v {i % 5} {i // 5} 0" for i in range(25)] + [f"vt 0.{i % 5} 0.{i // 5}" for i in range(25)]
    for i in (5 * row + column + 1 for row in range(4) for column in range(4)):
        lines += [f"f {i}/{i} {i + 1}/{i + 1} {i + 6}/{i + 6}", f"f {i}/{i} {i + 6}/{i + 6} {i + 5}/{i + 5}"]
    return lines


@pytest.mark.parametrize("lines", [2, 3, 10, 30])
def test_a_mesh_cut_between_two_face_lines_is_refused(file: Path, grid: list[str], lines: int) -> None:
    whole = [ending(file.with_name(f"{i}.obj"), grid) for i in range(4)]
    check_endings(whole)
    cut = ending(file, grid[:-lines])
    with pytest.raises(
        DataError, match=r"0000\.obj: is cut short, .*; copy the file from the delivery again, or remove"
    ):
        check_endings([*whole[:2], cut, *whole[2:]])


def test_a_mesh_without_its_last_newline_is_refused_among_others(file: Path, grid: list[str]) -> None:
    cut = ending(file, grid, newline="")
    with pytest.raises(DataError, match=r"0000\.obj: is cut short, its last line does not end"):
        check_endings([ending(file.with_name("1.obj"), grid), cut])
    check_endings([cut, ending(file.with_name("2.obj"), grid, newline="")])  # the habit of this delivery


def test_an_isolated_vertex_of_one_mesh_is_accepted(file: Path) -> None:
    lines = [f"v {i % 30} {i // 30} 0" for i in range(900)]
    lines += [f"f {i + 1} {i + 2} {i + 31}" for i in range(868)] + ["f 870 899 900"]
    whole = [ending(file.with_name(f"{i}.obj"), lines) for i in range(2)]
    assert whole[0].unused == 0
    check_endings([*whole, ending(file, [*lines, "v 9 9 9"])])
    with pytest.raises(DataError, match="is cut short, 4 of its points belong to no triangle, usually 0"):
        check_endings([*whole, ending(file, [*lines, *["v 9 9 9"] * 4])])


def test_unused_vertices_of_every_mesh_are_accepted(file: Path, grid: list[str]) -> None:
    check_endings([ending(file.with_name(f"{i}.obj"), [*grid, *["v 9 9 9"] * (5 + i % 2)]) for i in range(4)])
