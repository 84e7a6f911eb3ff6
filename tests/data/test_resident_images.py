"""Images in a device's memory: the same bytes as from the store, used only if they fit."""

from __future__ import annotations

import os
import random
import shutil
import time

import numpy as np
import pytest
import torch

from aubench.core.errors import DataError
from aubench.core.landmarks import COUNT
from aubench.core.registry import find_protocol
from aubench.core.task import Modality, Task
from aubench.data import loader, resident_images
from aubench.data.resident_images import ResidentImages
from aubench.data.splits import ProtocolDataset
from aubench.data.store import Store
from aubench.data.store_format import StoreInfo

V, D = Modality.VISUAL, Modality.DEPTH
CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
GIB = 2**30
TASK = Task((V, D), (1, 2), 32, landmarks=COUNT)


@pytest.fixture(scope="module")
def data(small_store, tmp_path_factory):
    """Small store with random landmarks, every fifth of which is unknown."""
    path = tmp_path_factory.mktemp("landmarks") / "synth"
    shutil.copytree(small_store, path)
    rng, info = np.random.default_rng(0), Store(path).info
    for images in path.glob("arrays/*/*.depth.npy"):
        points = rng.random((len(np.load(images)), COUNT, 2), np.float32)
        points[:, ::5] = np.nan
        np.save(images.with_name(images.name.replace("depth", "landmarks")), points)
    fields = info.model_dump(exclude={"digest", "landmarks"}) | {"landmarks": COUNT}
    (path / "store.json").write_text(StoreInfo.with_digest(**fields).model_dump_json())
    return ProtocolDataset(Store(path), find_protocol("synth_3fold"))


@pytest.fixture(scope="module")
def rows(data):
    return data.split(1, validation=True).train[::3]


@pytest.fixture(scope="module")
def held(data, rows):
    return data.with_resident(ResidentImages(data, (V, D), rows, CPU, landmarks=True))


def assert_same_bytes(batches, others):
    for one, other in zip(batches, others, strict=True):
        assert np.array_equal(one.rows, other.rows) and one.images.keys() == other.images.keys()
        assert one.labels.dtype == other.labels.dtype and torch.equal(one.labels, other.labels)
        for m, images in one.images.items():
            assert images.dtype == torch.uint8 and torch.equal(images, other.images[m])
        points = [np.zeros(0) if batch.landmarks is None else batch.landmarks.numpy() for batch in (one, other)]
        assert points[0].tobytes() == points[1].tobytes() and points[0].shape == points[1].shape


@pytest.mark.parametrize("landmarks", [False, True])
@pytest.mark.parametrize("modalities", [(V, D), (D,)])
def test_frames_are_those_of_the_store(data, held, rows, monkeypatch, modalities, landmarks):
    batches = loader.split_batches(loader.shuffled_epoch(rows, 100, 3), 32)
    expected = list(loader.iter_batches(data, modalities, batches, landmarks=landmarks))
    monkeypatch.setattr(Store, "read", lambda *_: pytest.fail("read from the store"))
    assert_same_bytes(loader.iter_batches(held, modalities, batches, landmarks=landmarks), expected)


def test_padding_of_clips_has_an_image_and_no_label(data, held, rows):
    drawn = np.stack([np.append(rows[i : i + 5], [-1 - rows[i], -1 - rows[i + 4]]) for i in (40, 0, 17)])
    padded = list(loader.iter_batches(held, (V, D), [drawn[:2], drawn[2:]], landmarks=True))
    assert padded[0].images[V].shape == (2, 7, 32, 32, 3) and (padded[0].labels[:, 5:] == -1).all()
    assert_same_bytes(padded, loader.iter_batches(data, (V, D), [drawn[:2], drawn[2:]], landmarks=True))


def test_other_frames_modalities_and_devices_come_from_the_store(data, held, rows):
    resident, other = held.resident, np.setdiff1d(np.arange(len(data.labels)), rows)[:5]
    for batches in ([rows[:3], rows[3:5]], []):
        assert resident.holds((V,), batches, CPU, landmarks=True)
    assert not resident.holds((V,), [rows[:3], other], CPU, landmarks=False)
    assert not resident.holds((Modality.THERMAL,), [rows[:3]], CPU, landmarks=False)
    assert not resident.holds((V,), [rows[:3]], GPU, landmarks=False)
    assert not ResidentImages(data, (V,), rows[:3], CPU).holds((V,), [rows[:3]], CPU, landmarks=True)
    assert_same_bytes(loader.iter_batches(held, (V,), [other]), loader.iter_batches(data, (V,), [other]))


def test_withheld_frames_are_neither_held_nor_read(held, rows):
    visible = held.without_labels(rows[:10])
    assert visible.resident is None
    with pytest.raises(DataError, match="cannot be read"):
        list(loader.iter_batches(visible, (V,), [rows[:10]]))


@pytest.fixture
def card(monkeypatch):
    """Pretend that a card has 10 of 40 GiB free; returns the setter of the process's limit."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10 * GIB, 40 * GIB))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)

    def limit(fraction):
        monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda device: fraction)

    limit(1.0)
    return limit


def test_images_take_at_most_half_of_the_free_memory_or_of_the_folds_part(card):
    assert resident_images.memory_budget(GPU) == 5 * GIB
    card(0.125)
    assert resident_images.memory_budget(GPU) == 2.5 * GIB
    assert resident_images.memory_budget(CPU) < 0 and resident_images.memory_budget(torch.device("mps")) < 0


def test_choice_is_made_to_the_byte(data, rows, monkeypatch):
    needed = resident_images.needed_bytes(data, TASK, rows)
    whole = ResidentImages(data, TASK.modalities, rows, CPU, landmarks=True)
    assert needed == sum(x.nbytes for x in (*whole.images.values(), whole.landmarks))
    monkeypatch.setattr(resident_images, "memory_budget", lambda device: needed)
    twice = np.concatenate([rows[::-1], rows])
    held = resident_images.prepare(data, TASK, twice, CPU)
    assert held.resident.holds((V, D), [rows], CPU, landmarks=True) and data.resident is None
    monkeypatch.setattr(resident_images, "memory_budget", lambda device: needed - 1)
    assert resident_images.prepare(data, TASK, rows, CPU) is data


def test_a_cpu_prepares_nothing(data, rows, monkeypatch):
    monkeypatch.setattr(resident_images, "warm_page_cache", lambda files: pytest.fail("loads files"))
    assert resident_images.prepare(data, TASK, rows, CPU) is data
    assert resident_images.prepare(data, TASK, rows[:0], CPU) is data


@pytest.mark.parametrize("budget", [0, 2**40])
def test_where_images_do_not_fit_their_files_are_loaded_into_the_page_cache(data, rows, monkeypatch, budget):
    def use_up(*args, **options):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    loaded = []
    monkeypatch.setattr(resident_images, "memory_budget", lambda device: budget)
    monkeypatch.setattr(resident_images, "ResidentImages", use_up)
    monkeypatch.setattr(resident_images, "warm_page_cache", loaded.extend)
    assert resident_images.prepare(data, TASK, rows, GPU) is data
    assert all(path.is_file() for path in loaded)
    names = {path.name.split(".", 1)[1] for path in loaded}
    assert names == {"visual.npy", "depth.npy", "landmarks.npy"}
    assert {path.parent.name for path in loaded} == set(data.subjects[rows].tolist())


def test_page_cache_is_filled_in_a_thread_unless_the_files_exceed_it(data, rows, monkeypatch):
    files, asked = data.store.array_files(["depth"], rows), []
    monkeypatch.setattr(os, "posix_fadvise", lambda *request: asked.append(request), raising=False)
    resident_images.warm_page_cache(files).join(10)
    assert len(asked) == len(files) and {request[1:] for request in asked} == {(0, 0, os.POSIX_FADV_WILLNEED)}
    asked.clear()
    resident_images.warm_page_cache([files[0].with_name("gone"), *files]).join(10)
    monkeypatch.setattr(resident_images, "CACHE_SHARE", 0.0)
    resident_images.warm_page_cache(files).join(10)
    assert asked == []
    monkeypatch.delattr(os, "posix_fadvise")
    monkeypatch.setattr(resident_images, "CACHE_SHARE", 1.0)
    resident_images.warm_page_cache(files).join(10)


def test_several_readers_give_the_batches_in_order(data, rows, monkeypatch):
    batches, read, active = loader.split_batches(rows, 8), loader.read, []

    def slow(*args, **options):
        active.append(1)
        time.sleep(random.random() / 200)
        return read(*args, **options)

    expected = list(loader.iter_batches(data, (V, D), batches, landmarks=True))
    monkeypatch.setattr(loader, "READERS", {"cpu": 4})
    monkeypatch.setattr(loader, "read", slow)
    assert_same_bytes(loader.iter_batches(data, (V, D), batches, landmarks=True), expected)
    assert len(active) == len(batches)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_held_and_read_batches_are_those_of_the_store(data, rows):
    drawn = np.stack([np.append(rows[i : i + 5], [-1 - rows[i]]) for i in range(0, 60, 5)])
    held = resident_images.prepare(data, TASK, rows, GPU)
    assert held.resident is not None and held.resident.images[V].device == GPU
    for batches in (loader.split_batches(rows, 32), loader.split_batches(drawn, 4)):
        expected = list(loader.iter_batches(data, (V, D), batches, landmarks=True))
        for source in (data, held):
            received = loader.iter_batches(source, (V, D), batches, landmarks=True, device=GPU)
            moved = [
                batch._replace(
                    images={m: x.cpu() for m, x in batch.images.items()},
                    labels=batch.labels.cpu(),
                    landmarks=batch.landmarks.cpu(),
                )
                for batch in received
            ]
            assert_same_bytes(moved, expected)
