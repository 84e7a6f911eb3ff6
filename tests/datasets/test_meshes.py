from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aubench.core.errors import DataError
from aubench.datasets.bp4d.meshes import read_obj

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
