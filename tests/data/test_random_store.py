"""Random images in place of a store: splits, shapes of batches, and memory."""

from __future__ import annotations

import numpy as np
import pytest

from aubench.core.registry import builtin_protocols, find_protocol
from aubench.core.task import Modality
from aubench.data import loader
from aubench.data.random_store import RandomStore, random_store
from aubench.data.splits import ProtocolDataset


@pytest.mark.parametrize("name", builtin_protocols())
def test_every_protocol_has_training_and_test_frames(name):
    protocol = find_protocol(name)
    store = random_store(protocol, 16, 4)
    split = ProtocolDataset(store, protocol).split(1, validation=False)
    assert len(split.train) + len(split.test) == 4 * len(protocol.subjects)
    for modality in protocol.modalities:
        assert store.read(modality, split.train[:3]).shape == (3, 16, 16, modality.channels)


def test_batches_have_images_labels_and_landmarks():
    protocol = find_protocol("bp4d_3fold")
    data = ProtocolDataset(RandomStore(protocol, 16, 4), protocol)
    batch = loader.read(data, protocol.modalities, np.arange(6), landmarks=True)
    assert batch.images[Modality.DEPTH].shape == (6, 16, 16, 1) and batch.images[Modality.VISUAL].float().std() > 50
    assert batch.landmarks is not None and batch.landmarks.shape == (6, 49, 2)
    assert set(batch.labels.unique().tolist()) == {0, 1}


def test_subjects_share_their_images():
    store = RandomStore(find_protocol("synth_3fold"), 16, 4)
    first, second = (store.read(Modality.VISUAL, range(start, start + 4)) for start in (0, 4))
    assert np.array_equal(first, second) and store.array_files(["visual"], [0, 1]) == []
