"""Small deliveries of DISFA and DISFA+: drawn faces in videos or images, and label files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from factories.bp4d import draw_face, make_points_49, write_photo
from factories.videos import write_video

AUS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
FRAMES = 8
TRIAL = "A1_AU1_TrailNo_1"
FACE = (104, 140, 104)


def draw_frames(count: int, start: int) -> Iterator[np.ndarray]:
    """Draw a face in frames that become brighter by 6 each, uint8 (HEIGHT, WIDTH, 3)."""
    face = draw_face(*FACE).astype(np.int16) // 2
    for number in range(count):
        yield (face + start + 6 * number).clip(0, 255).astype(np.uint8)


def write_frame_labels(path: Path, values: list[int], first: int = 1, end: str = "\n") -> None:
    """Write a label file of DISFA."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{first + i},{value}{end}" for i, value in enumerate(values)).encode())


def write_points_66(path: Path, offset: float = 0) -> None:
    """Write a landmark file: the outline of the face, then the 49 points, with a face as :data:`FACE`."""
    from scipy.io import savemat

    points = make_points_49(FACE[0] + offset, FACE[1] - 13, 42)
    outline = np.stack([np.linspace(60, 150, 17), np.linspace(120, 200, 17)], axis=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"pts": np.concatenate([outline, points])})


@dataclass(frozen=True)
class DisfaDelivery:
    """Paths of a small delivery of DISFA."""

    root: Path

    def video(self, subject: str, camera: str = "Left") -> Path:
        (path,) = self.root.glob(f"Video*_{camera}Camera/*{subject}*")
        return path

    def labels(self, subject: str, au: int) -> Path:
        return self.root / f"ActionUnit_Labels/{subject}/{subject}_au{au}.txt"

    def points(self, subject: str, number: int) -> Path:
        return self.root / f"Landmark_Points/{subject}/tmp_frame_lm/{subject}_{number:04}_lm.mat"


def write_disfa(root: Path, subjects: Sequence[str], points: bool = True) -> DisfaDelivery:
    """Write a delivery: names in both cases, and a video of SN010 with one frame less than its labels."""
    delivery = DisfaDelivery(root)
    for i, subject in enumerate(subjects):
        count = FRAMES - (subject == "SN010")
        left, end = ("left", "Comp") if i == 1 else ("Left", "comp")
        right = "right" if i == 1 else "Right"
        write_video(root / f"Videos_LeftCamera/{left}Video{subject}_{end}.avi", draw_frames(count, 10 + 20 * (i % 3)))
        write_video(root / f"Video_RightCamera/{right}Video{subject}_{end}.avi", draw_frames(count, 90), "XVID")
        for au in AUS:
            write_frame_labels(delivery.labels(subject, au), [(frame + au + i) % 6 for frame in range(1, FRAMES + 1)])
        for number in range(FRAMES if points else 0):
            write_points_66(delivery.points(subject, number))
    return delivery


@pytest.fixture(scope="session")
def disfa_master(tmp_path_factory: pytest.TempPathFactory) -> DisfaDelivery:
    """Write the delivery that tests copy."""
    return write_disfa(tmp_path_factory.mktemp("disfa") / "DISFA", ("SN001", "SN002", "SN010"))


@pytest.fixture
def disfa(disfa_master: DisfaDelivery, tmp_path: Path) -> DisfaDelivery:
    """Copy three subjects of :data:`FRAMES` frames."""
    shutil.copytree(disfa_master.root, tmp_path / "DISFA")
    return DisfaDelivery(tmp_path / "DISFA")


@pytest.fixture
def one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read sequences in a thread of this process."""
    from aubench.datasets import sequence_pool

    @contextmanager
    def pool(workers: int) -> Iterator[ThreadPoolExecutor]:
        with ThreadPoolExecutor(1) as executor:
            try:
                yield executor
            finally:
                executor.shutdown(cancel_futures=True)

    monkeypatch.setattr(sequence_pool, "worker_pool", pool)
    monkeypatch.setattr(sequence_pool, "as_completed", lambda jobs: jobs)


def write_image_labels(path: Path, values: dict[str, int]) -> None:
    """Write a label file of DISFA+: two lines of header, then image and intensity."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = "Image Number        Intensity\n------------        ---------\n"
    path.write_text(header + "".join(f"{name}        {value}\n" for name, value in values.items()))


@dataclass(frozen=True)
class DisfaplusDelivery:
    """Paths of a small delivery of DISFA+."""

    root: Path

    def images(self, subject: str) -> Path:
        return self.root / "DISFAPlusDataset/Images" / subject / TRIAL

    def labels(self, subject: str, au: int) -> Path:
        return self.root / "DISFAPlusDataset/Labels" / subject / TRIAL / f"AU{au}.txt"


@pytest.fixture
def disfaplus(tmp_path: Path) -> DisfaplusDelivery:
    """Write two subjects with one trial of five images each."""
    delivery = DisfaplusDelivery(tmp_path / "DISFA+")
    for i, subject in enumerate(("SN001", "SN027")):
        for number, image in enumerate(draw_frames(5, 10 + 20 * i)):
            write_photo(delivery.images(subject) / f"{number:03}.jpg", image)
        for au in AUS:
            values = {f"{number:03}.jpg": (number + au + i) % 6 for number in range(5)}
            write_image_labels(delivery.labels(subject, au), values)
    return delivery
