import hashlib
import json
import multiprocessing
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from factories.bp4d import Prepared, prepare_bp4d

from aubench.core.errors import DataError
from aubench.core.task import Modality
from aubench.data.store import Store
from aubench.datasets import sequence_pool


@pytest.fixture(scope="module")
def damaged(master, tmp_path_factory: pytest.TempPathFactory):
    """Copy the delivery without one photo and one mesh, and with another unknown code."""
    root = tmp_path_factory.mktemp("damaged") / "BP4D"
    shutil.copytree(master.root, root)
    delivery = type(master)(root)
    (delivery.task("F001", "T2") / "0001.jpg").unlink()
    (delivery.task("F002", "T1") / "0001.obj").unlink()
    codes = delivery.codes("F001", "T1")
    lines = codes.read_text().splitlines()
    cells = lines[1].split(",")
    cells[12] = "9"
    codes.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]) + "\n")
    return delivery


@pytest.fixture(scope="module")
def prepared(damaged, tmp_path_factory: pytest.TempPathFactory) -> tuple[Prepared, list[tuple[int, int]]]:
    """Return the summary of its store, and the reported progress."""
    steps: list[tuple[int, int]] = []
    store = tmp_path_factory.mktemp("stores") / "bp4d"
    report = prepare_bp4d(damaged.root, store, size=32, workers=1, progress=lambda *step: steps.append(step))
    return report, steps


def bytes_of(store: Path) -> dict[str, str]:
    files = sorted(path for path in store.rglob("*") if path.is_file() and path.name != ".verified.json")
    return {str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
def test_a_delivery_becomes_a_store(prepared) -> None:
    report, _ = prepared
    store = Store(report.store)
    store.verify(full=True)
    assert store.info.modalities.keys() == {Modality.VISUAL, Modality.DEPTH}
    assert list(store.frames[["subject", "sequence"]].drop_duplicates().itertuples(index=False, name=None)) == [
        (subject, task) for subject in ("F001", "F002", "M009") for task in ("T1", "T2")
    ]
    assert store.read(Modality.VISUAL, [0])[0].mean() > 60
    assert {path.name for path in report.store.iterdir()} - {".verified.json"} == {
        "arrays",
        "frames.parquet",
        "sequences.csv",
        "skipped.csv",
        "store.json",
    }


@pytest.mark.slow
def test_the_summary_counts(prepared) -> None:
    report, _ = prepared
    lines = [" ".join(line.split()) for line in report.lines]
    assert lines[:4] == ["subjects 3", "sequences 6", "frames 29", "labelled 23"]
    assert (report.store / "skipped.csv").read_text().splitlines() == [
        "subject,sequence,frame,reason",
        'F001,T2,2,"coded, but without a photo"',
        "F002,T1,2,depth: there is no mesh",
    ]


@pytest.mark.slow
def test_the_summary_is_readable(prepared) -> None:
    report, _ = prepared
    lines = [" ".join(line.split()) for line in report.lines]
    for line in ("sequences 6", "frames 29", "labelled 23", "without face 0", "without mesh 1", "skipped 2"):
        assert line in lines
    assert "sequences with photo = frame -1 6" in lines
    assert "AU1 AU2 AU4 AU6 AU7 AU10 AU12 AU14 AU15 AU17 AU23 AU24" in lines
    assert "0 0 0 0 0 0 1 0 0 0 0 0" in lines
    assert lines[-1].endswith("skipped.csv")


@pytest.mark.slow
def test_a_store_and_its_summary_say_where_the_crops_come_from(prepared) -> None:
    report, _ = prepared
    frames = Store(report.store).frames
    assert set(frames["crop_source"]) == {"detector"}
    assert frames["crop_score"].dtype == np.int8
    lines = [" ".join(line.split()) for line in report.lines]
    assert "crop from detector 29" in lines
    assert "crop score below 50 0" in lines


@pytest.mark.slow
def test_progress_starts_at_nothing_and_ends_with_all(prepared) -> None:
    _, steps = prepared
    assert (steps[0], steps[-1]) == ((0, 29), (29, 29))
    assert steps == sorted(steps)


@pytest.mark.slow
def test_a_store_is_never_overwritten(prepared, damaged) -> None:
    with pytest.raises(DataError, match="a store is here already"):
        prepare_bp4d(damaged.root, prepared[0].store, size=32)


@pytest.mark.slow
def test_a_folder_with_files_is_refused_before_the_work(damaged, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="is not an empty folder; name one inside it"):
        prepare_bp4d(damaged.root, tmp_path, size=32)
    assert not tmp_path.with_name(tmp_path.name + ".partial").exists()


@pytest.mark.slow
def test_an_interrupted_command_resumes_to_the_same_bytes(prepared, damaged, tmp_path: Path) -> None:
    store = tmp_path / "bp4d"

    def stop(done: int, total: int) -> None:
        if done >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_bp4d(damaged.root, store, size=32, workers=2, progress=stop)
    assert not store.exists()
    half = tmp_path / "bp4d.partial/arrays/F001/.T1.visual.npy.x.tmp"
    half.parent.mkdir(exist_ok=True)
    half.write_bytes(b"half")

    steps: list[int] = []
    prepare_bp4d(damaged.root, store, size=32, workers=2, progress=lambda done, total: steps.append(done))
    assert steps[0] >= 10
    assert bytes_of(store) == bytes_of(prepared[0].store)


@pytest.mark.slow
def test_a_damaged_mesh_ends_it_and_resuming_needs_the_same_options(delivery, tmp_path: Path) -> None:
    (delivery.task("M009", "T2") / "004.obj").write_text("v nan 0 0\n")
    with pytest.raises(DataError, match=r"004\.obj:1: the line has something that is not a finite number"):
        prepare_bp4d(delivery.root, tmp_path / "store", size=32, workers=1)
    assert not (tmp_path / "store").exists()
    with pytest.raises(DataError, match="was begun with other options"):
        prepare_bp4d(delivery.root, tmp_path / "store", size=48, workers=1)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: text.replace(",9,", ",x,", 101), r"F002_T2\.csv:2:\d+: 'x' is not a whole number"),
        (lambda text: text.rstrip()[:-40], r"F002_T2\.csv:5: the row has \d+ columns, the header 100"),
    ],
    ids=["letter", "cut"],
)
def test_label_files_are_read_before_the_first_photo(delivery, tmp_path: Path, monkeypatch, damage, says) -> None:
    file = delivery.codes("F002", "T2")
    header, rows = file.read_text().split("\n", 1)
    file.write_text(f"{header}\n{damage(rows)}")
    monkeypatch.setattr(sequence_pool, "worker_pool", lambda workers: pytest.fail("work started"))
    with pytest.raises(DataError, match=says):
        prepare_bp4d(delivery.root, tmp_path / "store", size=16)
    assert [path.name for path in tmp_path.iterdir()] == ["BP4D"]


@pytest.mark.slow
def test_without_any_mesh_there_is_no_depth(delivery, tmp_path: Path) -> None:
    for mesh in delivery.root.rglob("*.obj"):
        mesh.unlink()
    report = prepare_bp4d(delivery.root, tmp_path / "store", size=16, workers=1)
    assert Store(report.store).info.modalities.keys() == {Modality.VISUAL}
    assert any(line.split() == ["skipped", "0"] for line in report.lines)


def test_missing_landmark_files_are_reported_immediately(delivery, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"F001_T1\.mat: no such landmark file"):
        prepare_bp4d(delivery.root, tmp_path / "store", landmarks=tmp_path)


@pytest.fixture
def pointed(delivery, tmp_path: Path, points_49, write_points):
    """Add a folder of 49-point files of its faces; one frame of F001 T2 is lost."""
    pytest.importorskip("h5py")
    for subject in ("F001", "F002", "M009"):
        for task in ("T1", "T2"):
            points = np.stack([points_49(104.0 + n, 126.0 - 2 * n, 42.0) for n in range(5)])
            if (subject, task) == ("F001", "T2"):
                points[2] = np.nan
            write_points(tmp_path / "2DFeatures" / f"{subject}_{task}.mat", points)
    return delivery.root, tmp_path / "2DFeatures"


@pytest.mark.slow
def test_a_store_keeps_the_delivered_points(pointed, tmp_path: Path) -> None:
    source, folder = pointed
    report = prepare_bp4d(source, tmp_path / "store", size=32, landmarks=folder, workers=1)
    store = Store(report.store)
    store.verify(full=True)
    assert store.landmark_count == 49
    assert json.loads((report.store / "store.json").read_text())["landmarks"] == 49
    rows = np.array([7, 0, 3])
    points = store.landmarks(rows)
    assert (points.shape, points.dtype) == ((3, 49, 2), np.float32)
    assert store.frames.loc[7, ["subject", "sequence", "frame"]].tolist() == ["F001", "T2", 3]
    assert np.isnan(points[0]).all()
    assert points[1:].min() > 0.1 and points[1:].max() < 0.9


@pytest.mark.slow
def test_a_changed_landmark_file_is_detected(pointed, tmp_path: Path) -> None:
    source, folder = pointed
    report = prepare_bp4d(source, tmp_path / "store", size=32, landmarks=folder, workers=1)
    file = report.store / "arrays/F002/T1.landmarks.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"T1\.landmarks\.npy: has changed since the store was made"):
        Store(report.store).verify(full=False)


@pytest.mark.slow
def test_a_store_without_points_says_nothing_of_them(prepared) -> None:
    report, _ = prepared
    assert Store(report.store).landmark_count == 0
    assert "landmarks" not in json.loads((report.store / "store.json").read_text())
    assert not list(report.store.rglob("*.landmarks.npy"))


@pytest.mark.slow
def test_a_killed_worker_is_reported_in_one_line(delivery, tmp_path: Path) -> None:
    def kill(done: int, total: int) -> None:
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(DataError, match="a worker process was killed"):
        prepare_bp4d(delivery.root, tmp_path / "store", size=16, workers=1, progress=kill)


@pytest.mark.slow
def test_a_worker_uses_one_thread() -> None:
    with sequence_pool.worker_pool(1) as pool:
        assert pool.submit(cv2.getNumThreads).result() == 1


@pytest.fixture
def stopped(delivery, tmp_path: Path, monkeypatch):
    """Prepare in this process, stopped after the first two sequences; returns a function that resumes."""

    @contextmanager
    def pool(workers: int):
        executor = ThreadPoolExecutor(1)
        try:
            yield executor
        finally:
            executor.shutdown(cancel_futures=True)

    def stop(done: int, total: int) -> None:
        if done >= 10:
            raise KeyboardInterrupt

    def resume(progress=lambda done, total: None, **options) -> Store:
        return Store(prepare_bp4d(delivery.root, tmp_path / "store", size=32, progress=progress, **options).store)

    monkeypatch.setattr(sequence_pool, "worker_pool", pool)
    monkeypatch.setattr(sequence_pool, "as_completed", lambda jobs: jobs)

    def begin(**options):
        with pytest.raises(KeyboardInterrupt):
            resume(stop, **options)
        return resume

    return begin


@pytest.mark.slow
def test_meshes_added_after_a_stop_enter_the_store(delivery, stopped, tmp_path: Path, capfd) -> None:
    folder = delivery.task("F001", "T1")
    (tmp_path / "meshes").mkdir()
    for mesh in folder.glob("*.obj"):
        mesh.rename(tmp_path / "meshes" / mesh.name)
    resume = stopped()
    for mesh in (tmp_path / "meshes").iterdir():
        mesh.rename(folder / mesh.name)
    store = resume()
    store.verify(full=True)
    assert (store.frames["missing"] == "").all()
    assert store.read(Modality.DEPTH, [0]).max() > 0
    assert "aubench: F001 T1: 5 meshes, before 0; it is prepared again" in capfd.readouterr().err


@pytest.mark.slow
def test_the_first_mesh_of_a_delivery_renews_every_sequence(delivery, stopped, tmp_path: Path, capfd) -> None:
    meshes = {mesh: mesh.read_bytes() for mesh in delivery.root.rglob("*.obj")}
    for mesh in meshes:
        mesh.unlink()
    resume = stopped()
    for mesh, content in meshes.items():
        if "M009" in mesh.parts:
            mesh.write_bytes(content)
    store = resume()
    store.verify(full=True)
    assert store.info.modalities.keys() == {Modality.VISUAL, Modality.DEPTH}
    assert "F001 T1: 2 modalities, before 1; it is prepared again" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: (d.task("F001", "T1") / "0004.jpg").unlink(), "4 photos, before 5"),
        (lambda d: os.utime(d.task("F001", "T1") / "0003.jpg", (1, 1)), "other photos"),
        (lambda d: os.utime(d.task("F001", "T1") / "0003.obj", (1, 1)), "other meshes"),
        (lambda d: d.codes("F001", "T1").write_text(d.codes("F001", "T1").read_text() + "\n"), "other label files"),
        (lambda d: d.codes("F001", "T1").unlink(), "0 label files, before 1"),
    ],
)
def test_a_resumed_command_says_what_changed(delivery, stopped, capfd, change, says: str) -> None:
    resume = stopped()
    change(delivery)
    steps: list[int] = []
    resume(lambda done, total: steps.append(done))
    assert 5 <= steps[0] < 30
    assert f"aubench: F001 T1: {says}; it is prepared again" in capfd.readouterr().err


@pytest.mark.slow
def test_a_sequence_that_is_gone_leaves_the_store(delivery, stopped, capfd) -> None:
    resume = stopped()
    shutil.rmtree(delivery.task("F001", "T1"))
    delivery.codes("F001", "T1").unlink()
    store = resume()
    assert ("F001", "T1") not in set(zip(store.frames["subject"], store.frames["sequence"], strict=True))
    assert not list((store.path / "arrays/F001").glob("T1*"))
    assert "aubench: F001 T1: no longer there" in capfd.readouterr().err


@pytest.mark.slow
def test_other_landmark_files_are_noticed(pointed, stopped, capfd) -> None:
    _, folder = pointed
    resume = stopped(landmarks=folder)
    os.utime(folder / "F001_T1.mat", (1, 1))
    resume(landmarks=folder)
    assert "aubench: F001 T1: other landmark files; it is prepared again" in capfd.readouterr().err


def test_a_second_command_at_the_same_time_is_refused(delivery, tmp_path: Path, monkeypatch) -> None:
    def again(*_: object) -> None:
        with pytest.raises(DataError, match="another process is writing this store"):
            prepare_bp4d(delivery.root, tmp_path / "store", size=48)
        raise KeyboardInterrupt

    monkeypatch.setattr(sequence_pool, "write_sequences", again)
    with pytest.raises(KeyboardInterrupt):
        prepare_bp4d(delivery.root, tmp_path / "store", size=32)


def test_frames_go_to_the_disk_one_by_one(delivery) -> None:
    from aubench.datasets.bp4d.delivery import scan_delivery
    from aubench.datasets.bp4d.extract import ImageOptions, extract

    rows: dict[str, list[int]] = {}

    class Sink:
        def __init__(self, kind: str) -> None:
            self.kind = kind

        def __setitem__(self, row: int, values: np.ndarray) -> None:
            assert values.shape[:2] == (32, 32)
            rows.setdefault(self.kind, []).append(row)

    (delivery.task("F001", "T1") / "0002.obj").unlink()
    recording = replace(scan_delivery(delivery.root).recordings[0], offset=-1)
    sequence = extract(recording, ImageOptions(32, True, None), lambda kind, shape, dtype: Sink(kind))
    assert rows == {"visual": [0, 1, 2, 3, 4], "depth": [0, 1, 2, 3, 4]}
    assert isinstance(sequence.images[Modality.VISUAL], Sink)
