"""The synthetic data set: identical on every platform, labelled as rendered, and resumable."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from aubench.core.errors import DataError, UsageError
from aubench.core.task import Modality
from aubench.data.store import Store
from aubench.datasets.synth.synth_dataset import SynthDataset, SynthOptions
from aubench.rendering import frames as rendering
from aubench.rendering import identity, tracks
from aubench.rendering.constants import AUS, SUBJECTS
from tests.factories.synth import generate, short

TINY = short(subjects=2, sequences=2, frames=6, size=32)
GOLDEN_STORE = "1e2b38ddef5213812465e3ce9cdd51d384a49168fb8ac0d7bf2b267ec9a7469b"
GOLDEN_FRAME = {
    Modality.VISUAL: "b40fa71bc381c905861ca01d8ff487843976c0d9783231181478af596ea69a16",
    Modality.DEPTH: "58479171a58c7936edea49df60c79af1c2adb3df28488a9062a80f8d4ed3c5ee",
    Modality.THERMAL: "f2628d33c9abc07c3e099ac749d89b41b0a0ec6c91c99dccd01c005398d45b87",
}
ONE_FRAME = """
import hashlib, warnings
warnings.simplefilter("ignore")
from aubench.rendering import frames as rendering, tracks
from aubench.core.task import Modality
images = rendering.sequence(0, "F009", "T7", tracks.make_track(0, "F009", "T7", 32).only([20]), 32)
print(*(hashlib.sha256(images[m].tobytes()).hexdigest() for m in Modality))
"""


def quiet(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return generate(tmp_path_factory.mktemp("synth") / "store", TINY, quiet)


def test_a_store_has_the_golden_digest(store):
    assert store.info.digest == GOLDEN_STORE


def test_a_frame_has_the_golden_bytes():
    images = rendering.sequence(0, "F009", "T7", tracks.make_track(0, "F009", "T7", 32).only([20]), 64)
    assert {m: hashlib.sha256(images[m].tobytes()).hexdigest() for m in Modality} == GOLDEN_FRAME


@pytest.mark.slow
def test_without_a_compiler_the_bytes_are_the_same():
    compiled, interpreted = (
        subprocess.run(
            [sys.executable, "-c", ONE_FRAME],
            env=os.environ | {"NUMBA_DISABLE_JIT": off},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for off in "01"
    )
    assert compiled == interpreted
    assert len(compiled.split()) == 3


@pytest.mark.parametrize("workers", [1, 3])
def test_the_bytes_do_not_depend_on_the_workers(tmp_path, monkeypatch, workers):
    monkeypatch.setattr(SynthDataset, "workers", workers)
    assert generate(tmp_path / "store", TINY, quiet).info.digest == GOLDEN_STORE


def test_another_seed_yields_other_subjects(tmp_path):
    other = generate(tmp_path / "store", short(subjects=1, sequences=1, frames=2, size=32, seed=1), quiet)
    assert identity.make_identity(1, "F001") != identity.make_identity(0, "F001")
    assert other.info.digest != GOLDEN_STORE


def test_the_store_is_complete(store):
    assert len(store.frames) == 2 * 2 * 6
    assert store.aus == AUS
    assert list(store.info.modalities) == list(Modality)
    first = store.frames.iloc[0]
    assert (first["subject"], first["sequence"], first["frame"]) == ("F001", "T1", 1)
    assert first["source"] == "synth/F001/T1/0001"
    for modality in Modality:
        assert store.read(modality, [0, 23]).shape == (2, 32, 32, modality.channels)
    store.verify(full=True)


def test_an_interrupted_run_resumes(tmp_path, monkeypatch, store):
    drawn = []

    def draw(seed, subject, name, track, size):
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append((subject, name))
        return sequence(seed, subject, name, track, size)

    sequence = rendering.sequence
    monkeypatch.setattr(SynthDataset, "workers", 1)
    monkeypatch.setattr(rendering, "sequence", draw)
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "store", TINY, quiet)
    assert not (tmp_path / "store").exists()
    monkeypatch.setattr(rendering, "sequence", sequence)
    seen = []
    again = generate(tmp_path / "store", TINY, lambda done, total: seen.append((done, total)))
    assert seen == [(2, 4), (3, 4), (4, 4)]
    assert again.info == store.info


def test_a_partial_store_with_other_settings_is_refused(tmp_path):
    (tmp_path / "store.partial/parts/F001").mkdir(parents=True)
    (tmp_path / "store.partial/parts/F001/T1.json").touch()
    (tmp_path / "store.partial/plan.json").write_text(json.dumps({"seed": 5}))
    with pytest.raises(DataError, match="other options"):
        generate(tmp_path / "store", TINY, quiet)


@pytest.mark.parametrize(
    "wrong",
    [{"subjects": 42}, {"subjects": 0}, {"sequences": 9}, {"frames": 0}, {"size": 16}, {"size": 512}, {"seed": -1}],
)
def test_settings_out_of_bounds_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        SynthOptions(**wrong)


def test_the_roster_is_that_of_bp4d():
    assert len(SUBJECTS) == 41
    assert (SUBJECTS[0], SUBJECTS[22], SUBJECTS[23], SUBJECTS[40]) == (
        "F001",
        "F023",
        "M001",
        "M018",
    )


def test_images_show_a_face_at_any_size():
    for size in (32, 100, 256):
        images = rendering.single(identity.AVERAGE, {}, size)
        assert images[Modality.VISUAL].shape == (size, size, 3)
        middle, corner = slice(size * 3 // 8, size * 5 // 8), slice(0, size // 16)
        for modality in (Modality.DEPTH, Modality.THERMAL):
            assert images[modality][middle, middle].mean() > images[modality][-size // 16 :, corner].mean() + 50
        assert np.ptp(images[Modality.VISUAL][middle, middle].astype(int)) > 60
