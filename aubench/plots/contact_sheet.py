"""Contact sheets of data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aubench.core.task import Modality
from aubench.data.store import Store
from aubench.datasets.base import RenderedDataset
from aubench.datasets.catalog import DATASETS, require_store
from aubench.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

NAMES = {
    1: "inner brow raiser",
    2: "outer brow raiser",
    4: "brow lowerer",
    6: "cheek raiser",
    7: "lid tightener",
    9: "nose wrinkler",
    10: "upper lip raiser",
    12: "lip corner puller",
    14: "dimpler",
    15: "lip corner depressor",
    17: "chin raiser",
    23: "lip tightener",
    24: "lip pressor",
}
"""FACS names of the AUs."""

_MAPS = {Modality.DEPTH: "viridis", Modality.THERMAL: "inferno"}


def draw(name: str, path: Path | None, out: Path) -> Path:
    """Draw the contact sheet of a data set.

    Args:
        name: Name of the data set.
        path: Folder of a store. If None, a rendered data set is drawn without a store, others from the default one.
        out: File to write, .png or .svg.
    """
    dataset = DATASETS.get(name) if name in DATASETS.names() else None
    if path is None and isinstance(dataset, RenderedDataset):
        draw_rendered(dataset, out)
    else:
        draw_store(Store(require_store(name, path)), out)
    return out


def draw_rendered(dataset: RenderedDataset, out: Path, size: int = 192) -> None:
    """Draw each AU on the faces of the example subjects, of ``size`` pixels, in every modality, and sampled frames."""
    kinds, modalities = [None, *dataset.aus], list(dataset.modalities)
    rows = len(dataset.example_subjects) * len(modalities)
    figure = _figure(len(kinds), rows + len(modalities) + 1.1)
    halves = figure.add_gridspec(
        2, 1, height_ratios=(rows, len(modalities)), hspace=0.11, left=0.028, right=0.997, top=0.935, bottom=0.01
    )
    cells = _cells(figure, halves[0], rows, len(kinds))
    for index, subject in enumerate(dataset.example_subjects):
        faces = [dataset.render_face(subject, {au: 1.0} if au else {}, size) for au in kinds]
        for row, modality in enumerate(modalities, index * len(modalities)):
            limits = _limits(faces[0][modality])
            for cell, images in zip(cells[row], faces, strict=True):
                _show(cell, modality, images[modality], limits)
            cells[row][0].set_ylabel(f"{subject}  {modality}", fontsize=11)
    for cell, au in zip(cells[0], kinds, strict=True):
        cell.set_title(f"AU{au}\n{NAMES.get(au, '')}" if au else "neutral", fontsize=11, fontweight="bold")
    _samples(dataset, _cells(figure, halves[1], len(modalities), len(kinds)), size)
    title = f"{dataset.name}: neutral face and each AU at full intensity (top), sampled frames (bottom)"
    figure.suptitle(title, fontsize=15, y=0.988)
    style.save(figure, out, dpi=100)


def _samples(dataset: RenderedDataset, cells: list[list[Axes]], size: int) -> None:
    for column in range(len(cells[0])):
        frame = dataset.render_frame(column, size)
        for row, modality in enumerate(dataset.modalities):
            _show(cells[row][column], modality, frame.images[modality], _limits(frame.images[modality]))
        caption = _caption(frame.subject, frame.sequence, frame.number, frame.labels, dataset.aus)
        cells[0][column].set_title(caption, fontsize=9)
    for row, modality in enumerate(dataset.modalities):
        cells[row][0].set_ylabel(modality.value, fontsize=11)


def draw_store(store: Store, out: Path, count: int = 12, seed: int = 0) -> None:
    """Draw ``count`` random frames of a store with their labels, and those with the least certain crops."""
    random = np.random.default_rng(seed)
    chosen = np.sort(random.choice(len(store.frames), min(count, len(store.frames)), replace=False))
    blocks = [chosen.tolist()] + [rows for rows in [store.worst_crops(len(chosen))] if rows]
    modalities = list(store.info.modalities)
    height = len(modalities) + 1.0 + (len(blocks) - 1) * (len(modalities) + 0.5)
    figure = _figure(max(len(chosen), 4), height)
    grid = figure.add_gridspec(
        len(blocks), 1, left=0.03, right=0.997, bottom=0.01, top=1.0 - 0.9 / height, hspace=0.5 / len(modalities)
    )
    for block, rows in enumerate(blocks):
        cells = _cells(figure, grid[block], len(modalities), len(chosen))
        for modality, line in zip(modalities, cells, strict=True):
            for cell, image in zip(line, store.read(modality, rows), strict=True):
                _show(cell, modality, image, _limits(image))
            line[0].set_ylabel(modality.value, fontsize=11)
        for cell, row in zip(cells[0], rows, strict=True):
            cell.set_title(_crop_caption(store, row) if block else _frame_caption(store, row), fontsize=9)
    title = f"{store.info.dataset}: {len(chosen)} of {len(store.frames):,} frames"
    title += " (top), lowest crop scores of 100 (bottom)" if len(blocks) > 1 else ""
    figure.suptitle(title, fontsize=13, y=0.985)
    style.save(figure, out, dpi=100)


def _frame_caption(store: Store, row: int) -> str:
    frame = store.frames.iloc[row]
    labels = frame[[f"AU{au}" for au in store.aus]].to_numpy()
    graded = store.info.labels == "intensity"
    caption = _caption(frame["subject"], frame["sequence"], frame["frame"], labels, store.aus, graded)
    return caption if frame["labelled"] else caption + " (not coded)"


def _crop_caption(store: Store, row: int) -> str:
    frame = store.frames.iloc[row]
    where = f"{frame['subject']} {frame['sequence']} {frame['frame']}"
    return f"{where}\n{frame['crop_score']} from {frame['crop_source']}"


def _caption(
    subject: str, sequence: str, frame: int, labels: np.ndarray, aus: tuple[int, ...], graded: bool = False
) -> str:
    """Return the name of a frame and its active AUs, with their intensities such as ``12:3`` if they are graded."""
    present = [(au, label) for au, label in zip(aus, labels, strict=True) if label > 0]
    active = [f"{au}:{label}" if graded else str(au) for au, label in present] or ["none"]
    lines = [" ".join(active[i : i + 6]) for i in range(0, len(active), 6)]
    return f"{subject} {sequence} {frame}\nAU " + "\n".join(lines)


def _figure(columns: int, rows: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(1.75 * columns, 1.75 * rows), dpi=100)


def _cells(figure: Figure, spec: SubplotSpec, rows: int, columns: int) -> list[list[Axes]]:
    grid = spec.subgridspec(rows, columns, wspace=0.02, hspace=0.02)
    return [[figure.add_subplot(grid[row, column]) for column in range(columns)] for row in range(rows)]


def _limits(image: np.ndarray) -> tuple[float, float]:
    """Return the limits of a colour map: the range of values in the middle of the image, which shows the face."""
    quarter = image.shape[0] // 4
    middle = image[quarter:-quarter, quarter:-quarter]
    if not middle.any():
        return 0.0, 255.0
    low, high = np.percentile(middle[middle > 0], [1.0, 99.9])
    return float(low) - 10.0, float(high) + 4.0


def _show(cell: Axes, modality: Modality, image: np.ndarray, limits: tuple[float, float]) -> None:
    cell.set_xticks([])
    cell.set_yticks([])
    cell.set_facecolor("black")
    if modality.channels == 3:
        cell.imshow(image)
    else:
        shown = np.ma.masked_equal(image[..., 0], 0)
        cell.imshow(shown, cmap=_MAPS.get(modality, "gray"), vmin=limits[0], vmax=limits[1])
