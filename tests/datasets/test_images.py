import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from aubench.core.errors import DataError
from aubench.datasets.table.picture_files import read_image
from aubench.faces.images import Photo, reduction


def jpeg(height: int = 60, width: int = 80, seed: int = 0, **flags: int) -> bytes:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    image = cv2.GaussianBlur(image, (9, 9), 3)
    return cv2.imencode(".jpg", image, [v for k, x in flags.items() for v in (getattr(cv2, k), x)])[1].tobytes()


def with_segment(data: bytes, marker: int, payload: bytes) -> bytes:
    return data[:2] + bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload + data[2:]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "0000.jpg"


@pytest.mark.parametrize("flags", [{}, {"IMWRITE_JPEG_PROGRESSIVE": 1}, {"IMWRITE_JPEG_RST_INTERVAL": 4}])
def test_reads_size_and_pixels(file: Path, flags: dict[str, int]) -> None:
    file.write_bytes(jpeg(60, 80, **flags))
    photo = Photo.read(file)
    assert (photo.height, photo.width) == (60, 80)
    assert (photo.decode_rgb() == cv2.imread(str(file))[..., ::-1]).all()


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.9, 0.99])
def test_part_of_a_jpeg_is_refused(file: Path, share: float) -> None:
    data = jpeg(200, 200)
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match=r"0000.jpg: is cut short"):
        Photo.read(file)


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_photo(file: Path) -> None:
    data = with_segment(jpeg(200, 200), 0xE1, b"Exif\0\0" + jpeg(16, 16))
    file.write_bytes(data)
    assert Photo.read(file).decode_rgb().shape == (200, 200, 3)
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="is cut short"):
        Photo.read(file)


def test_a_zero_filled_second_half_is_refused(file: Path) -> None:
    data = jpeg(200, 200)
    file.write_bytes(data[: len(data) // 2] + bytes(len(data) // 2))
    with pytest.raises(DataError, match="is cut short"):
        Photo.read(file)


def test_what_follows_the_end_does_not_matter(file: Path) -> None:
    file.write_bytes(jpeg() + b"\0\0padding")
    assert Photo.read(file).decode_rgb().shape == (60, 80, 3)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"<html>"])
def test_other_files_are_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(DataError, match="is not a JPEG"):
        Photo.read(file)


@pytest.mark.parametrize("name", ["0000.jpg", "0000.png", "0000.tif"])
def test_a_file_too_large_for_an_image_is_not_read(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        file.truncate(300 << 20)
    tracemalloc.start()
    with pytest.raises(DataError, match=rf"{name}: is too large for an image; "):
        read_image(tmp_path / name)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(("name", "marker", "skip"), [("0000.jpg", b"\xff\xc0", 5), ("0000.png", b"IHDR", 4)])
def test_a_small_file_of_too_many_pixels_is_not_decoded(tmp_path: Path, name: str, marker: bytes, skip: int) -> None:
    path, sides = tmp_path / name, (40_000).to_bytes(2 if skip == 5 else 4, "big") * 2
    content = bytearray(cv2.imencode(path.suffix, np.zeros((64, 64, 3), np.uint8))[1].tobytes())
    at = content.index(marker) + skip
    content[at : at + len(sides)] = sides
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}: has 40000 × 40000 pixels, too many for a photo; "):
        read_image(path)


def test_a_missing_file_is_one_line(file: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        Photo.read(file)


def test_orientation_in_exif_does_not_turn_the_photo(file: Path) -> None:
    turned = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    file.write_bytes(with_segment(jpeg(60, 80), 0xE1, turned))
    assert cv2.imread(str(file)).shape == (80, 60, 3)
    assert Photo.read(file).decode_rgb().shape == (60, 80, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shorter", "factor"), [(150, 1), (399, 1), (400, 2), (900, 4), (1040, 4), (1600, 8), (4000, 8)]
)
def test_grey_is_as_small_as_asked(file: Path, shorter: int, factor: int) -> None:
    file.write_bytes(jpeg(shorter, shorter + 10))
    image, by = Photo.read(file).decode_grey(200)
    assert by == factor
    assert image.shape == (-(-shorter // by), -(-(shorter + 10) // by))


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_reduced_photo_has_the_colours_of_the_full_one(file: Path, factor: int) -> None:
    file.write_bytes(jpeg(160, 80, IMWRITE_JPEG_QUALITY=98))
    full, reduced = Photo.read(file).decode_rgb(), Photo.read(file).decode_rgb(factor)
    averaged = full.reshape(160 // factor, factor, 80 // factor, factor, 3).mean((1, 3))
    assert reduced.shape == averaged.shape
    assert np.abs(reduced - averaged).max() < 8
    assert np.abs(reduced[..., ::-1] - averaged).max() > 20


@pytest.mark.parametrize("start", [0.3, 0.9])
def test_a_page_of_zeros_inside_a_photo_is_refused(file: Path, start: float) -> None:
    data = bytearray(jpeg(400, 400, IMWRITE_JPEG_QUALITY=99))
    at = int(len(data) * start)
    data[at : at + 4096] = bytes(4096)
    file.write_bytes(data[:-2] + b"\xff\xd9")
    with pytest.raises(DataError, match="is cut short"):
        Photo.read(file)


@pytest.mark.parametrize("flag", ["IMWRITE_JPEG_OPTIMIZE", "IMWRITE_JPEG_PROGRESSIVE"])
def test_a_plain_background_in_tables_of_its_own_is_no_hole(file: Path, flag: str) -> None:
    image = np.full((2400, 2400, 3), 128, np.uint8)
    image[800:1200, 800:1200] = cv2.imdecode(np.frombuffer(jpeg(400, 400), np.uint8), cv2.IMREAD_COLOR)
    cv2.imwrite(str(file), image, [getattr(cv2, flag), 1])
    assert bytes(4096) in file.read_bytes()
    assert Photo.read(file).decode_rgb().shape == image.shape


@pytest.mark.parametrize("start", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("flag", ["IMWRITE_JPEG_OPTIMIZE", "IMWRITE_JPEG_PROGRESSIVE"])
def test_a_hole_between_tables_of_the_picture_is_refused(file: Path, flag: str, start: float) -> None:
    data = bytearray(jpeg(400, 400, IMWRITE_JPEG_QUALITY=98, **{flag: 1}))
    at = int(len(data) * start)
    data[at : at + 4096] = bytes(4096)
    file.write_bytes(data[:-2] + b"\xff\xd9")
    with pytest.raises(DataError, match="is cut short"):
        Photo.read(file)


def test_one_photo_is_decoded_at_the_size_of_its_crop(file: Path) -> None:
    assert [reduction(side, 256) for side in (100, 256, 511, 512, 1023, 1024, 9999)] == [1, 1, 1, 2, 2, 4, 8]
