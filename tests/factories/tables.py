"""Small manifests: rows of a table and images that they name."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest


class Tree:
    """Folder with a manifest.

    Args:
        root: Folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.manifest = root / "frames.csv"

    def image(self, name: str, value: int = 0, size: int = 32, dtype: type = np.uint8, channels: int = 3) -> str:
        """Write an image of one value, and return its name."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (size, size, channels) if channels > 1 else (size, size)
        assert cv2.imwrite(str(path), np.full(shape, value, dtype))
        return name

    def write(self, *rows: dict[str, object], name: str = "frames.csv", end: str = "\n", encoding="utf-8") -> Path:
        """Write a manifest in CSV with the columns of the first row."""
        path = self.root / name
        with path.open("w", newline="", encoding=encoding) as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator=end)
            writer.writeheader()
            writer.writerows(rows)
        return path

    def people(self, count: int = 3, frames: int = 2, **more: object) -> list[dict[str, object]]:
        """Return rows of subjects p1, p2, … with a visual image and AU12 for each frame."""
        return [
            {
                "subject": f"p{person}",
                "sequence": "s",
                "frame": frame,
                "visual": self.image(f"p{person}/{frame}.png", 10 * person + frame),
                **more,
                "AU12": (person + frame) % 2,
            }
            for person in range(1, count + 1)
            for frame in range(1, frames + 1)
        ]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Provide an empty folder for a manifest."""
    (tmp_path / "data").mkdir()
    return Tree(tmp_path / "data")
