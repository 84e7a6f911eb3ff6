import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aubench.faces.depth import depth_map, locate, z_buffer
from aubench.faces.meshes import Mesh

PHOTO = (300, 200)
SQUARE = np.array([100.0, 150.0, 160.0, 0.0])


def filled(corners: np.ndarray, nearness: np.ndarray, size: int) -> np.ndarray:
    """The z-buffer of triangles that share no corner."""
    rows = np.arange(3 * len(corners)).reshape(-1, 3)
    return z_buffer(corners.reshape(-1, 2), rows, nearness.ravel(), rows, size)


def naive(corners: np.ndarray, nearness: np.ndarray, size: int) -> np.ndarray:
    """Every pixel against every triangle, by solving for the pixel's shares of the three corners."""
    buffer = np.full((size, size), -np.inf)
    for triangle, near in zip(corners, nearness, strict=True):
        system = np.vstack([triangle.T, np.ones(3)])
        if np.linalg.det(system) == 0:
            continue
        for row in range(size):
            for column in range(size):
                shares = np.linalg.solve(system, [column + 0.5, row + 0.5, 1])
                if (shares >= -1e-9).all():
                    buffer[row, column] = max(buffer[row, column], shares @ near)
    return buffer


@pytest.mark.slow
@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.sampled_from([3.0, 12.0, 60.0]))
def test_agrees_with_a_naive_z_buffer(seed: int, triangles: int, reach: float) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-4, 16, (triangles, 1, 2)) + rng.uniform(-reach, reach, (triangles, 3, 2))
    nearness = rng.normal(0, 50, (triangles, 3))
    fast, slow = filled(corners, nearness, 12), naive(corners, nearness, 12)
    assert (np.isfinite(fast) == np.isfinite(slow)).all()
    assert np.allclose(fast, slow, atol=1e-6)


def test_neighbours_leave_no_gap_and_do_not_spill() -> None:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[4:29:13j, 4:29:13j]
    inner = np.zeros_like(x, bool)
    inner[1:-1, 1:-1] = True
    points = np.stack([x, y], -1) + inner[..., None] * rng.uniform(-0.9, 0.9, (13, 13, 2))
    a, b, c, d = points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]
    corners = np.concatenate([np.stack(t, -2).reshape(-1, 3, 2) for t in ([a, b, c], [a, c, d])])
    seen = np.isfinite(filled(corners, np.ones((len(corners), 3)), 32))
    assert seen[4:29, 4:29].all()
    assert seen.sum() == 25 * 25


def test_lines_and_points_cover_nothing_and_break_nothing() -> None:
    corners = np.array([[[1, 1], [5, 5], [9, 9]], [[3, 3], [3, 3], [3, 3]]], float)
    assert np.isneginf(filled(corners, np.zeros((2, 3)), 12)).all()


def dome(height: float = 40.0, *, nose: tuple[float, float] = (0.0, 0.0), step: int = 41) -> Mesh:
    """A dome with a narrow peak, 160 mm wide, one pixel of the photo a millimetre, camera towards +z."""
    line = np.linspace(-80, 80, step)
    x, y = (part.ravel() for part in np.meshgrid(line, line))
    z = height * np.exp(-(x**2 + y**2) / 5000) + 20 * np.exp(-((x - nose[0]) ** 2 + (y - nose[1]) ** 2) / 100)
    i = (np.arange(step - 1)[:, None] * step + np.arange(step - 1)).ravel()
    triangles = np.concatenate([np.stack([i, i + 1, i + step], 1), np.stack([i + 1, i + step + 1, i + step], 1)])
    texture = np.stack([(100 + x) / PHOTO[1], 1 - (150 - y) / PHOTO[0]], 1)
    vertices = np.stack([x, y, z - 1200], 1)
    return Mesh(vertices, texture, triangles.astype(np.int32), triangles.astype(np.int32))


def turned(mesh: Mesh, turn: list[list[float]], scale: float = 1.0) -> Mesh:
    return Mesh(mesh.vertices @ np.array(turn, float).T * scale, mesh.texture, mesh.triangles, mesh.texture_triangles)


def project(mesh: Mesh, square: np.ndarray = SQUARE) -> np.ndarray | str:
    located = locate(mesh, PHOTO)
    return located if isinstance(located, str) else depth_map(located, square, 64)


def made(mesh: Mesh, square: np.ndarray = SQUARE) -> np.ndarray:
    depth = project(mesh, square)
    assert isinstance(depth, np.ndarray), depth
    return depth[..., 0]


@pytest.mark.slow
def test_the_peak_is_brightest_and_where_the_photo_has_it() -> None:
    depth = made(dome(nose=(20.0, 30.0)))
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    assert abs((column + 0.5) - (120 - 20) * 64 / 160) <= 1
    assert abs((row + 0.5) - (120 - 70) * 64 / 160) <= 1
    assert depth.min() > 0


def test_grey_levels_measure_depth() -> None:
    low, high = made(dome(20)).astype(int), made(dome(40)).astype(int)
    a_level = 0.65 * 160 / 255  # mm
    assert np.ptp(high - low) * a_level == pytest.approx(20 * (1 - np.exp(-2 * 80**2 / 5000)), abs=1.5)
    assert np.median(high[16:-16, 16:-16]) == pytest.approx(144, abs=1)


@pytest.mark.parametrize("scale", [1.0, 0.001])
@pytest.mark.parametrize(
    "turn",
    [
        [[1, 0, 0], [0, -1, 0], [0, 0, -1]],  # y down, z away from the camera
        [[-1, 0, 0], [0, 1, 0], [0, 0, -1]],  # x to the left
        [[0, 1, 0], [-1, 0, 0], [0, 0, 1]],  # lying on its side
    ],
)
def test_the_map_depends_on_neither_axes_nor_unit(turn, scale: float) -> None:
    assert np.abs(made(turned(dome(), turn, scale)).astype(int) - made(dome())).max() <= 1


def test_it_moves_with_the_crop() -> None:
    shifted = made(dome(), np.add(SQUARE, [25, 0, 0, 0]))  # ten pixels of the crop
    assert (shifted[:, :54] > 0).all()
    assert (shifted[:, 54:] == 0).all()
    difference = shifted[:, :54].astype(int) - made(dome())[:, 10:]
    assert difference.std() < 1


def test_the_nearer_of_two_surfaces_is_seen() -> None:
    front = dome()
    back = Mesh(front.vertices - [0, 0, 30], front.texture, front.triangles, front.texture_triangles)
    both = Mesh(
        np.concatenate([front.vertices, back.vertices]),
        np.concatenate([front.texture, back.texture]),
        np.concatenate([front.triangles, back.triangles + len(front.vertices)]),
        np.concatenate([front.triangles, back.triangles + len(front.vertices)]),
    )
    assert (made(both) == made(front)).all()


def test_says_why_there_is_no_map() -> None:
    mesh = dome()
    bare = Mesh(mesh.vertices, np.empty((0, 2)), mesh.triangles, np.full_like(mesh.triangles, -1))
    assert project(bare) == "the mesh has no texture coordinates"
    atlas = np.random.default_rng(0).permutation(mesh.texture)
    scattered = Mesh(mesh.vertices, atlas, mesh.triangles, mesh.texture_triangles)
    assert "do not map it onto the photo" in str(project(scattered))
    flat = Mesh(mesh.vertices * [1, 0, 0], mesh.texture, mesh.triangles, mesh.texture_triangles)
    assert "do not map it onto the photo" in str(project(flat))
    assert project(mesh, np.add(SQUARE, [500, 0, 0, 0])) == "the mesh is not where the face is"


def from_above(mesh: Mesh) -> Mesh:
    """Count the texture rows from above."""
    return Mesh(mesh.vertices, mesh.texture * [1, -1] + [0, 1], mesh.triangles, mesh.texture_triangles)


@pytest.mark.parametrize("turn", [np.eye(3), [[1, 0, 0], [0, -1, 0], [0, 0, -1]], [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]])
def test_texture_rows_that_count_from_above_do_not_turn_the_face_inside_out(turn) -> None:
    mesh = turned(dome(nose=(20.0, 30.0)), turn)
    assert (made(from_above(mesh)) == made(mesh)).all()


@pytest.mark.parametrize("degrees", [-60, -30, 30, 60])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_turned_head_keeps_its_depth_with_rows_from_either_side(degrees: float, axis: int) -> None:
    """The camera sees the front half of a head that is turned."""
    angle = np.radians(degrees)
    line = np.linspace(-75, 75, 61)
    x, y = (part.ravel() for part in np.meshgrid(line, line))
    z = 90 * np.sqrt(np.maximum(1 - (x / 80) ** 2 - (y / 110) ** 2, 0)) + 25 * np.exp(-(x**2 + y**2) / 200)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    turn = np.eye(3)
    turn[i, i] = turn[j, j] = np.cos(angle)
    turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
    x, y, z = turn @ np.stack([x, y, z])
    triangles = dome(step=61).triangles
    a, b, c = (np.stack([x, y], 1)[triangles[:, k]] for k in range(3))
    triangles = triangles[(b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0] > 0]
    texture = np.stack([(100 + x) / PHOTO[1], 1 - (150 - y) / PHOTO[0]], 1)
    mesh = Mesh(np.stack([x, y, z - 1200], 1), texture, triangles, triangles)
    depth = made(mesh)
    assert (made(from_above(mesh)) == depth).all()
    assert locate(mesh, PHOTO).towards == pytest.approx(1, abs=0.01)


def test_a_plane_keeps_the_usual_direction() -> None:
    plane = dome(0.0)
    plane = Mesh(plane.vertices * [1, 1, 0] - [0, 0, 1200], plane.texture, plane.triangles, plane.texture_triangles)
    assert (made(plane) == 144).all()


def test_numbers_beyond_every_face_end_in_no_map() -> None:
    mesh = dome()
    vertices = mesh.vertices.copy()
    vertices[5] = [1e9, 0, -1100]
    far = Mesh(vertices, mesh.texture, mesh.triangles, mesh.texture_triangles)
    assert isinstance(project(far), str | np.ndarray)
    fine = dome(step=120)
    for row in range(5000, 5010):
        texture = fine.texture.copy()
        texture[row] = [0.5, 51234567]  # a decimal point is lost
        lost = Mesh(fine.vertices, texture, fine.triangles, fine.texture_triangles)
        assert "do not map it onto the photo" in str(project(lost))
    one_point = Mesh(mesh.vertices * 0, mesh.texture * 0, mesh.triangles, mesh.texture_triangles)
    assert "do not map it onto the photo" in str(project(one_point))
