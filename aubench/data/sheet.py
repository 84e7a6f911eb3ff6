"""Contact sheets: what a dataset looks like, on one page."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aubench import atomic
from aubench.data.store import Store
from aubench.data.synth import identity, render, tracks
from aubench.data.synth.anatomy import AUS
from aubench.task import Modality

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
"""What the AUs are called in FACS."""

_WHO = ("F020", "M004")
_MAPS = {Modality.DEPTH: "viridis", Modality.THERMAL: "inferno"}


def draw_synth(out: Path, size: int = 192) -> None:
    """Draw what each AU does to two synthetic faces in every modality, and some frames as they come.

    Args:
        out: The PNG file to write.
        size: Height and width in pixels of each face, 32 to 256.
    """
    faces = [(name, identity.make(0, name)) for name in _WHO]
    rows = [(name, who, modality) for name, who in faces for modality in Modality]
    columns = [None, *AUS]
    figure = _figure(len(columns), len(rows) + 3 + 0.9)
    grid = figure.add_gridspec(
        2, 1, height_ratios=(len(rows), 3), hspace=0.11, left=0.03, right=0.997, top=0.93, bottom=0.03
    )
    cells = grid[0].subgridspec(len(rows), len(columns), wspace=0.02, hspace=0.02).subplots()
    for column, au in enumerate(columns):
        drawn = {name: render.single(who, {au: 1.0} if au else {}, size) for name, who in faces}
        for row, (name, _, modality) in enumerate(rows):
            _show(cells[row, column], modality, drawn[name][modality])
        cells[0, column].set_title(f"AU{au}\n{NAMES[au]}" if au else "neutral", fontsize=11, fontweight="bold")
    for row, (name, _, modality) in enumerate(rows):
        cells[row, 0].set_ylabel(f"{name}  {modality}", fontsize=10)
    _strip(figure, grid[1], len(columns), size)
    figure.suptitle(
        "synth: each AU at full intensity beside the neutral face; below, frames as a method gets them",
        fontsize=14,
        y=0.985,
    )
    _save(figure, out)


def _strip(figure: Figure, place: object, count: int, size: int) -> None:
    cells = place.subgridspec(len(Modality), count, wspace=0.02, hspace=0.02).subplots()  # type: ignore[attr-defined]
    for column in range(count):
        subject = identity.ROSTER[(column * 19 + 3) % len(identity.ROSTER)]
        task = tracks.TASKS[column % len(tracks.TASKS)]
        track = tracks.make(0, subject, task, 32)
        images = render.sequence(0, subject, task, track.only([20]), size)
        for row, modality in enumerate(Modality):
            _show(cells[row, column], modality, images[modality][0])
        cells[0, column].set_title(_caption(subject, task, 21, track.labels[20], AUS), fontsize=8)
    for row, modality in enumerate(Modality):
        cells[row, 0].set_ylabel(modality.value, fontsize=10)


def draw_store(store: Store, out: Path, count: int = 12, seed: int = 0) -> None:
    """Draw frames of a store, taken at random, with their labels.

    Args:
        store: The store.
        out: The PNG file to write.
        count: How many frames.
        seed: Another seed takes other frames.
    """
    random = np.random.default_rng(seed)
    chosen = np.sort(random.choice(len(store.frames), min(count, len(store.frames)), replace=False))
    modalities = list(store.info.modalities)
    figure = _figure(len(chosen), len(modalities) + 0.6)
    cells = figure.subplots(
        len(modalities),
        len(chosen),
        squeeze=False,
        gridspec_kw={"wspace": 0.02, "hspace": 0.02, "left": 0.03, "right": 0.997, "bottom": 0.01, "top": 0.84},
    )
    for row, modality in enumerate(modalities):
        for column, image in enumerate(store.read(modality, chosen)):
            _show(cells[row, column], modality, image)
        cells[row, 0].set_ylabel(modality.value, fontsize=10)
    labels = store.frames[[f"AU{au}" for au in store.aus]].to_numpy()
    for column, frame in enumerate(chosen):
        row = store.frames.iloc[frame]
        cells[0, column].set_title(
            _caption(row["subject"], row["sequence"], row["frame"], labels[frame], store.aus), fontsize=8
        )
    figure.suptitle(f"{store.info.dataset}: {len(chosen)} of {len(store.frames):,} frames", fontsize=13, y=0.985)
    _save(figure, out)


def _caption(subject: str, sequence: str, frame: int, labels: np.ndarray, aus: tuple[int, ...]) -> str:
    active = [str(au) for au, label in zip(aus, labels, strict=True) if label == 1]
    lines = [" ".join(active[i : i + 6]) for i in range(0, len(active), 6)] or ["none"]
    return f"{subject} {sequence} {frame}\nAU " + "\n".join(lines)


def _figure(columns: int, rows: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(1.75 * columns, 1.75 * rows), dpi=100)


def _show(cell: Axes, modality: Modality, image: np.ndarray) -> None:
    cell.set_xticks([])
    cell.set_yticks([])
    if modality is Modality.VISUAL:
        cell.imshow(image, interpolation="nearest")
        return
    seen = image[image > 0]
    low, high = np.percentile(seen, [3, 99.7]) if seen.size else (0, 1)
    cell.imshow(
        np.ma.masked_equal(image[..., 0], 0), cmap=_MAPS[modality], vmin=low, vmax=high, interpolation="nearest"
    )
    cell.set_facecolor("black")


def _save(figure: Figure, out: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    atomic.write_bytes(out, buffer.getvalue())
