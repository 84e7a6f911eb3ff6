"""Export of a store: a manifest and one PNG for each frame and modality."""

from __future__ import annotations

import csv
import io
import re
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from aubench._util import atomic
from aubench.core import hashing
from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.data.store import Store
from aubench.datasets.base import Progress
from aubench.datasets.sequence_checks import is_name

MANIFEST = "frames.csv"
"""Name of the manifest."""


def export_store(store: Store, out: Path, progress: Progress) -> Path:
    """Write the frames of a store as a manifest and PNG files without loss.

    ``aubench data prepare table --no-crop`` reads them back to the same pixels and labels. Names that no manifest may
    have, as in stores of videos, are replaced by their first letters and a digest.

    Args:
        store: Store.
        out: New folder; it is complete when it appears.
        progress: Called with the numbers of written and of all frames.

    Returns:
        Path of the manifest.

    Raises:
        DataError: The folder is not empty or cannot be written, or the disk is full.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError("is not an empty folder", where=out, hint="name a new folder with --out")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.", suffix=".tmp") as partial:
            written = Path(partial, "export")
            written.mkdir()
            _write(store, written, progress)
            written.replace(out)
    except OSError as error:
        raise atomic.write_error(error, out) from None
    return out / MANIFEST


def _write(store: Store, folder: Path, progress: Progress) -> None:
    modalities, count = list(store.info.modalities), store.landmark_count
    labels = [f"AU{au}" for au in store.aus]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    points = [f"{axis}_{i}" for axis in "xy" for i in range(count)]
    writer.writerow(["subject", "sequence", "frame", *modalities, *labels, *points])
    for row, frame in enumerate(store.frames.to_dict("records")):
        names: list[Any] = []
        subject, sequence = _name(frame["subject"]), _name(frame["sequence"])
        for modality in modalities:
            name = f"images/{subject}/{sequence}/{frame['frame']:06}.{modality}.png"
            if modality.letter in frame["missing"]:
                name = ""
            else:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(_png(store.read(modality, [row])[0], modality))
            names.append(name)
        if any(names):
            places = _pixels(store.landmarks([row])[0], store.info.size) if count else []
            values = [frame[label] for label in labels]
            writer.writerow([subject, sequence, frame["frame"], *names, *values, *places])
        progress(row + 1, len(store.frames))
    (folder / MANIFEST).write_text(text.getvalue(), encoding="utf-8")


def _name(name: str) -> str:
    """Return the name in the manifest of a subject or a sequence."""
    plain = re.sub(r"[^0-9A-Za-z]+", "-", name).strip("-")[:60]
    return name if is_name(name) else f"{plain or 'x'}-{hashing.hash_json(name)[:8]}"


def _png(pixels: np.ndarray, modality: Modality) -> bytes:
    padded = np.dstack([pixels, np.zeros_like(pixels[..., :1])]) if modality.channels == 2 else pixels
    image = padded[..., ::-1]
    return cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def _pixels(points: np.ndarray, size: int) -> list[str]:
    """Return columns, then rows of landmarks in pixels; empty text if they are unknown."""
    return ["" if np.isnan(value) else repr(float(value) * size) for value in points.T.ravel()]
