"""Damaged deliveries: one line that names the file, exit code 2, and no store, until the file is repaired."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aubench.data.store import Store


@pytest.fixture
def prepare(call, delivery, tmp_path) -> Callable:
    """``aubench data prepare bp4d`` on the delivery."""
    words = ("data", "prepare", "bp4d", "--source", delivery.root, "--store", tmp_path / "store")
    return lambda: call(*words, "--size", 32, "--workers", 1)


def label_row(change: Callable[[str], str], line: int) -> Callable[[Path], None]:
    """Change one line of a label file, counted from 1."""

    def damage(path: Path) -> None:
        lines = path.read_text().splitlines(keepends=True)
        lines[line - 1] = change(lines[line - 1])
        path.write_text("".join(lines))

    return damage


def letter_in_column_13(row: str) -> str:
    cells = row.split(",")
    return ",".join([*cells[:12], "x", *cells[13:]])


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def nan_in_line_7(path: Path) -> None:
    lines = path.read_text().splitlines()
    lines[6] = "v 1.0 nan 2.0"
    path.write_text("\n".join(lines) + "\n")


LABELS = "AUCoding/AU_OCC/F002_T1.csv"
PHOTO = "Sequences(2D+3D)/F002/T1/0002.jpg"
MESH = "Sequences(2D+3D)/F002/T1/0002.obj"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "damage", "position", "message"),
    [
        (LABELS, label_row(letter_in_column_13, 3), ":3:13: ", "'x' is not a whole number"),
        (LABELS, label_row(lambda row: f"0,{row}", 4), ":4: ", "the row has 101 columns, the header 100"),
        (LABELS, label_row(lambda row: row[:60], 5), ":5: ", "columns, the header 100"),
        (PHOTO, half, ": ", "is cut short"),
        (MESH, nan_in_line_7, ":7: ", "not a finite number"),
    ],
    ids=["letter", "columns", "cut", "half a photo", "nan"],
)
def test_damaged_file_is_named_and_after_its_repair_the_same_command_finishes(
    prepare, delivery, tmp_path, name, damage, position, message
):
    path = delivery.root / name
    shutil.copy(path, tmp_path / "intact")
    damage(path)
    answer = prepare()
    assert answer.code == 2, answer
    *before, last = answer.err.splitlines()
    assert last.startswith(f"aubench: {path}{position}") and message in last, answer.err
    assert not any(line.startswith("aubench: ") for line in before)
    assert "Traceback" not in answer.err
    assert not (tmp_path / "store").exists()

    shutil.copy(tmp_path / "intact", path)
    answer = prepare()
    assert answer.code == 0, answer.err
    store = Store(tmp_path / "store")
    store.verify(full=True)
    assert len(store.frames) == 30
    assert not (tmp_path / "store.partial").exists()


@pytest.mark.slow
def test_missing_source_is_named(prepare, delivery, tmp_path):
    delivery.root.rename(tmp_path / "elsewhere")
    answer = prepare()
    assert answer.code == 2
    assert answer.err.startswith(f"aubench: {delivery.root}: ") and answer.err.count("\n") == 1
    assert not list(tmp_path.glob("store*"))
    (tmp_path / "elsewhere").rename(delivery.root)
    assert prepare().code == 0
    Store(tmp_path / "store").verify(full=True)
