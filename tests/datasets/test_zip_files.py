import random
import struct
import zipfile
from pathlib import Path

import pytest

from aubench._util.zip_files import list_zip
from aubench.core.errors import DataError


def write_zip(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_files_are_listed_by_name_and_read_in_place(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "F001.zip", {"F001/T1/b.jpg": b"two", "F001/T1/": b"", "F001/T1/a.jpg": b"one"})
    files, outside = list_zip(path)
    assert [(file.name, file.parts[-3:], file.read_bytes()) for file in files] == [
        ("a.jpg", ("F001", "T1", "a.jpg"), b"one"),
        ("b.jpg", ("F001", "T1", "b.jpg"), b"two"),
    ]
    assert outside == []
    assert str(files[0]) == f"{path}/F001/T1/a.jpg"
    assert sorted(tmp_path.iterdir()) == [path]


def test_files_of_operating_systems_are_passed_over(tmp_path: Path) -> None:
    names = ["__MACOSX/F001/T1/._0.jpg", "F001/T1/Thumbs.db", "F001/.DS_Store", "F001/T1/0.jpg"]
    files, _ = list_zip(write_zip(tmp_path / "F001.zip", dict.fromkeys(names, b"x")))
    assert [file.entry for file in files] == ["F001/T1/0.jpg"]


@pytest.mark.parametrize(
    "name", ["../0.jpg", "F001/../../T1/0.jpg", "/etc/T1/0.jpg", "C:/F001/T1/0.jpg", "F001/..", "."]
)
def test_names_outside_the_archive_are_not_read(tmp_path: Path, name: str) -> None:
    files, outside = list_zip(write_zip(tmp_path / "F001.zip", {name: b"x", "F001/T1/1.jpg": b"x"}))
    assert [file.entry for file in files] == ["F001/T1/1.jpg"]
    assert outside == [name]


def test_windows_separators_are_separators(tmp_path: Path) -> None:
    files, outside = list_zip(write_zip(tmp_path / "F001.zip", {"F001\\T1\\0.jpg": b"x", "..\\0.jpg": b"x"}))
    assert [(file.parts, file.read_bytes()) for file in files] == [(("F001", "T1", "0.jpg"), b"x")]
    assert outside == ["../0.jpg"]


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "F001.zip", {"F001/T1/0.jpg": bytes(2 << 20)})
    with pytest.raises(DataError, match=r"F001\.zip/F001/T1/0\.jpg: unpacks from \d+ to 2097152 bytes, too many"):
        list_zip(path)


def test_a_file_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "F001.zip"
    with pytest.warns(UserWarning, match="Duplicate"):  # noqa: SIM117
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("F001/T1/0.jpg", b"1")
            archive.writestr("F001/T1/0.jpg", b"2")
    with pytest.raises(DataError, match="is in the archive a second time"):
        list_zip(path)


def test_an_encrypted_file_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "F001.zip", {"0.jpg": b"x"})
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")
    struct.pack_into("<H", content, at + 8, 1)
    path.write_bytes(content)
    with pytest.raises(DataError, match="is encrypted"):
        list_zip(path)


@pytest.mark.parametrize("damage", ["cut", "not a zip", "missing"])
def test_a_damaged_archive_is_one_line(tmp_path: Path, damage: str) -> None:
    path = write_zip(tmp_path / "F001.zip", {"F001/T1/0.jpg": b"x" * 1000})
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-30] if damage == "cut" else b"GIF89a")
    with pytest.raises(DataError, match=r"F001\.zip: is not a complete ZIP archive"):
        list_zip(path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "F001.zip", {"F001/T1/0.jpg": b"abcdefgh"}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"abcdefgh", b"abcdefgX"))
    (file,), _ = list_zip(path)
    with pytest.raises(DataError, match=r"F001\.zip/F001/T1/0\.jpg: cannot be unpacked \(Bad CRC"):
        file.read_bytes()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_file_of_each_compression_is_named(tmp_path: Path, method: int) -> None:
    path = write_zip(tmp_path / "F001.zip", {"F001/T1/0.jpg": bytes(range(256)) * 40}, method)
    content = bytearray(path.read_bytes())
    content[60:75] = bytes(byte ^ 0x5A for byte in content[60:75])
    path.write_bytes(content)
    (file,), _ = list_zip(path)
    with pytest.raises(DataError, match=r"F001\.zip/F001/T1/0\.jpg: cannot be unpacked"):
        file.read_bytes()


def test_mutated_archives_are_read_or_refused_in_one_line(tmp_path: Path) -> None:
    path, rng = tmp_path / "F001.zip", random.Random(0)
    names = [f"F001/T1/{n:03}.jpg" for n in range(4)]
    whole = write_zip(path, {name: bytes(range(200)) for name in names}).read_bytes()
    for n in range(200):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(content) // 2 * (n % 2), len(content))
            content[at : at + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 3))
        path.write_bytes(content)
        try:
            for file in list_zip(path)[0]:
                assert file.read_bytes() == bytes(range(200))
        except DataError as error:
            assert "\n" not in str(error)


def test_a_new_archive_of_the_same_name_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "F001.zip"
    for content in (b"old", b"newer"):
        (file,), _ = list_zip(write_zip(path, {"0.jpg": content}))
        assert file.read_bytes() == content
