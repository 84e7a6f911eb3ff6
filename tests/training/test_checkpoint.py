from __future__ import annotations

import pickle

import pytest
import torch

from aubench.core.errors import CheckpointError
from aubench.training import checkpoint
from aubench.training.checkpoint import CheckpointIdentity

MINE = CheckpointIdentity(run="a" * 16, method="amf", protocol="p" * 64, fold=1, seed=0)


def test_what_is_written_is_read_back(tmp_path):
    tensors = {"w": torch.randn(3, 4), "n": torch.tensor(7)}
    checkpoint.write(tmp_path / "c.safetensors", MINE, tensors, {"epoch": 3})
    restored = checkpoint.read(tmp_path / "c.safetensors", MINE)
    assert restored.notes == {"epoch": 3}
    assert all(torch.equal(restored.tensors[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize(
    ("key", "value"), [("fold", 2), ("seed", 1), ("protocol", "q" * 64), ("run", "b" * 16), ("method", "late_fusion")]
)
def test_checkpoint_scores_nothing_else(tmp_path, key, value):
    path = tmp_path / "c.safetensors"
    checkpoint.write(path, MINE, {"w": torch.zeros(1)}, {})
    with pytest.raises(CheckpointError, match=f"belongs to {key}") as caught:
        checkpoint.read(path, CheckpointIdentity(**{**vars(MINE), key: value}))
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"fold1.c.safetensors: is missing; delete its folder fold1 and repeat"):
        checkpoint.read(tmp_path / "fold1" / "c.safetensors", MINE)


def test_memory_that_runs_out_is_no_other_version(tmp_path):
    with pytest.raises(torch.OutOfMemoryError), checkpoint.restoring(tmp_path):
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_pickle_is_refused_unread(tmp_path):
    path = tmp_path / "c.safetensors"

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    path.write_bytes(pickle.dumps({"w": Trap()}))
    with pytest.raises(CheckpointError, match="not a checkpoint in safetensors"):
        checkpoint.read(path, MINE)
    assert not (tmp_path / "sprung").exists()


def test_safetensors_of_somebody_else_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(2)}, tmp_path / "c.safetensors")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        checkpoint.read(tmp_path / "c.safetensors", MINE)


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
def test_optimizer_goes_on_as_if_never_stopped(tmp_path, kind):
    def model():
        torch.manual_seed(0)
        return torch.nn.Linear(4, 2)

    def steps(net, optimizer, seed):
        torch.manual_seed(seed)
        for _ in range(3):
            net(torch.randn(5, 4)).pow(2).sum().backward()
            optimizer.step()
            optimizer.zero_grad()

    extra = {"momentum": 0.9} if kind is torch.optim.SGD else {"weight_decay": 0.01}
    straight = model()
    optimizer = kind(straight.parameters(), lr=0.01, **extra)
    steps(straight, optimizer, 1)
    tensors, notes = checkpoint.flatten_optimizer(optimizer)
    checkpoint.write(tmp_path / "c.safetensors", MINE, {**tensors, "w": straight.weight, "b": straight.bias}, notes)
    steps(straight, optimizer, 2)

    restored = checkpoint.read(tmp_path / "c.safetensors", MINE)
    resumed = model()
    with torch.no_grad():
        resumed.weight.copy_(restored.tensors["w"])
        resumed.bias.copy_(restored.tensors["b"])
    fresh = kind(resumed.parameters(), lr=0.5)
    checkpoint.restore_optimizer(fresh, restored.tensors, restored.notes)
    steps(resumed, fresh, 2)
    assert torch.equal(resumed.weight, straight.weight)
