"""Modules that several processes compute in parts: numbers of one process, or a refusal."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from factories import rank_works
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from aubench._util import ranks
from aubench.core.errors import AubenchError, MethodError
from aubench.runs.devices import DeviceChoice
from aubench.runs.fold_process import preload_workers
from aubench.runs.scheduler import Job, run_jobs
from aubench.training.shared_batch_norm import SharedBatchNorm
from aubench.training.split_draws import RankRows, SplitDraws
from aubench.training.split_modules import SplitModules, _compare, require_splittable

CONVOLUTIONAL = ("resnet_visual", "early_fusion", "late_fusion", "cam", "mtut", "temt_net", "mft")
VIDEO = {"clip_frames": 4, "segment": 4, "image_size": 32, "crop": 32, "width": 16, "depth": 2, "decoder_width": 16}
IMAGES = {"width": 16, "depth": 2, "decoder_width": 16, "image_size": 28, "crop": 28}


class Draws(nn.Module):
    """All kinds of random tensors that depend on the batch, and two that do not."""

    def forward(self, x):
        draws = [nn.functional.dropout(x, 0.4), x * torch.rand(len(x), 1), x + torch.randn_like(x)]
        draws += [x * x.new_empty(len(x), 1).bernoulli_(0.5), x * torch.randint(3, (len(x), 1)), x.clone().uniform_()]
        draws += [torch.bernoulli(x.abs().clamp(max=1)), torch.rand(2 * len(x), 3).view(len(x), -1)]
        return torch.cat([*draws, x * torch.rand(()), x * torch.rand(1, x.shape[1])], 1)


@pytest.mark.parametrize(("total", "count"), [(6, 2), (6, 3), (5, 2), (7, 3), (5, 4)])
def test_parts_of_a_batch_draw_the_random_numbers_of_the_batch(total, count):
    images = torch.rand(total, 4)
    torch.manual_seed(0)
    expected, state = Draws()(images), torch.get_rng_state()
    parts = []
    for rank in range(count):
        rows = RankRows(total, rank, count)
        torch.manual_seed(0)
        with SplitDraws(rows):
            parts.append(Draws()(rows.select(images)))
        assert torch.equal(torch.get_rng_state(), state), "every process continues with the same numbers"
    assert torch.equal(torch.cat(parts)[:total], expected)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (1, 0, 2, 3), (3, 1, 0, 2)])
def test_any_order_of_the_memory_draws_the_random_numbers_of_the_batch(order):
    def place(images):
        return images.permute(order).contiguous().permute([order.index(axis) for axis in range(4)])

    images = torch.rand(4, 3, 5, 6)
    torch.manual_seed(0)
    expected = nn.functional.dropout(place(images), 0.4)
    rows = RankRows(4, 1, 2)
    torch.manual_seed(0)
    with SplitDraws(rows):
        assert torch.equal(nn.functional.dropout(place(rows.select(images)), 0.4), expected[2:])


def test_batch_normalisation_in_layers_that_are_computed_again_is_refused():
    layer, x = nn.BatchNorm1d(4), torch.rand(2, 4, requires_grad=True)
    with SharedBatchNorm(RankRows(4, 0, 2)):
        with pytest.raises(MethodError, match="computed again"):
            torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False)
        with pytest.raises(MethodError, match="normalises 3 rows for 2 samples"):
            layer(torch.rand(3, 4))
        assert torch.equal(layer.eval()(x), nn.functional.batch_norm(x, layer.running_mean, layer.running_var))


def test_draws_that_cannot_be_split_are_refused():
    layer = nn.Dropout(0.5)
    x = torch.rand(2, 4, requires_grad=True)
    attention = partial(nn.functional.scaled_dot_product_attention, *[torch.rand(2, 1, 4, 8)] * 3)
    with SplitDraws(RankRows(4, 0, 2)):
        attention()
        with pytest.raises(MethodError, match="computed again"):
            torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False)
        with pytest.raises(MethodError, match="'multinomial' draws"):
            torch.rand(2, 4).multinomial(2)


def test_modules_have_their_own_forward_again_after_each_step():
    method = nn.Module()
    method.encoder, method.head = nn.Linear(2, 2), nn.Linear(2, 1)
    method.parts = nn.ModuleDict({"head": method.head})
    method.encoder.forward = own = lambda x: x + 1
    split = SplitModules(method)
    for _ in range(2):
        with split.active():
            assert method.encoder.forward is not own and "forward" in vars(method.head)
        assert method.encoder.forward is own and "forward" not in vars(method.head)


def test_running_statistics_of_samples_train_on_one_device():
    with pytest.raises(AubenchError) as refused:
        require_splittable(nn.Sequential(nn.InstanceNorm2d(2, track_running_stats=True)), "a method")
    assert str(refused.value).startswith(
        "a method: trains on one device, because '0' has running statistics of samples"
    )
    require_splittable(nn.Sequential(nn.InstanceNorm2d(2), nn.BatchNorm2d(2)), "a method")


@pytest.mark.slow
def test_gradients_of_two_processes_are_those_of_one_or_the_method_is_refused(decide, tmp_path):
    """In float64, if the method can. Parts of other sizes sum in another order, which changes the last digits."""
    mcm = decide(tmp_path, "mcm", **IMAGES, drop_path=0.4)
    exact = {
        "mcm": (mcm, "mcm", 5),
        "mcm recomputed": (decide(tmp_path, "mcm", **IMAGES, drop_path=0.4, activation_checkpointing=True), "mcm", 4),
        "au_vmae": (decide(tmp_path, "au_vmae", **VIDEO, drop_path=0.4), "au_vmae", 3),
        "statistics of a batch": (mcm, "comparing", 5),
        **{name: (decide(tmp_path, name, image_size=32, crop=28), name, 5) for name in CONVOLUTIONAL},
        "amf": (decide(tmp_path, "amf", image_size=32, crop=28), "amf", 5, torch.float32),
    }
    refused = {"mixes": (mcm, "mixing", 4), "counts": (mcm, "counting", 4)}
    target = partial(rank_works.compute_gradients, cases=exact | refused)
    preload_workers()
    run_jobs([Job(mcm, 1, target)], DeviceChoice("cpu", 2, "a test", 1, 2), lambda job, event: None)
    first, second = (torch.load(mcm.fold_dir(1) / f"gradients-{rank}.pt") for rank in (0, 1))
    for name, case in exact.items():
        expected = rank_works.gradients(*case)
        assert first[name].keys() == expected.keys()
        for step, gradients in expected.items():
            assert gradients.keys() == first[name][step].keys()
            for parameter, gradient in gradients.items():
                computed = first[name][step][parameter]
                tolerance = 1e-4 * gradient.abs().max().item() if gradient.dtype == torch.float32 else 1e-12
                torch.testing.assert_close(computed, gradient, rtol=1e-9, atol=tolerance, msg=lambda m: f"{name}: {m}")  # noqa: B023
                if parameter != "loss":
                    assert torch.equal(computed, second[name][step][parameter]), "processes never drift apart"
    assert first["mixes"] == (
        "module 'layer' mixes the samples of a batch, so the method trains on one device; omit --devices"
    )
    assert first["counts"].startswith("module 'layer' updates 'calls' from a batch")


@pytest.mark.parametrize(("dtype", "difference"), [(torch.float64, 1e-8), (torch.float32, 2e-3), (torch.bfloat16, 0.1)])
def test_outputs_of_parts_may_differ_by_rounding_only(dtype, difference):
    outputs = torch.ones(4, 3, dtype=dtype)
    _compare("layer", [outputs], [outputs * (1 + difference / 20)])
    with pytest.raises(MethodError, match="module 'layer' mixes the samples"):
        _compare("layer", [outputs], [outputs * (1 + difference)])
    if dtype == torch.float32:
        with torch.autocast("cpu", torch.bfloat16):
            _compare("layer", [outputs], [outputs * (1 + difference)])


@pytest.mark.parametrize(("device", "saved"), [("cuda:1", ["cuda:1"]), ("cpu", [])])
def test_the_generators_of_the_inputs_devices_are_saved(monkeypatch, device, saved):
    """A module without parameters draws on the device of its inputs. A CPU saves the generator of no GPU."""
    calls = []

    def fork(devices=None):
        calls.append([str(one) for one in devices])
        raise MethodError("ends here")

    monkeypatch.setattr(torch.random, "fork_rng", fork)
    monkeypatch.setattr(ranks, "count", lambda: 2)
    method = nn.Sequential(nn.Dropout())
    with FakeTensorMode(), SplitModules(method).active(), pytest.raises(MethodError, match="ends here"):
        method[0](torch.zeros(4, 3, device=device))
    assert calls == [saved]
