"""MTUT's correlation, focal weight and losses against loops written from the paper."""

import math

import numpy as np
import pytest
import torch

from aubench import Batch, Modality, Progress, Task
from aubench.methods._modules import ssa_loss
from aubench.methods.mtut import MTUT

AUS = (1, 2, 4, 6)
FRAMES, CHANNELS, HEIGHT, WIDTH = 5, 128, 2, 3
POSITIONS = HEIGHT * WIDTH
V, D, T = Modality


def correlation(maps, floor=0.25):
    """corr(F) of one frame's (C, H, W)."""
    channels = np.asarray(maps, dtype=float).reshape(len(maps), -1)
    centred = [[x - sum(channel) / len(channel) for x in channel] for channel in channels]
    lengths = [math.sqrt(sum(x * x for x in channel)) for channel in centred]
    least = floor * sum(lengths) / len(lengths)
    rows = [[x / max(length, least) for x in row] for row, length in zip(centred, lengths, strict=True)]
    actual = [[0.0] * len(rows[0]) for _ in rows[0]]
    for i in range(len(rows[0])):
        for j in range(len(rows[0])):
            for row in rows:
                actual[i][j] += row[i] * row[j]
    return actual


def squared_norm(first, second):
    return sum((a - b) ** 2 for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True))


def rho(own, other, beta=2.0, limit=10.0):
    return min(math.exp(beta * (own - other)) - 1, limit) if own - other > 0 else 0.0


def frame_loss(probabilities, labels):
    terms = [-math.log(p if y == 1 else 1 - p) for p, y in zip(probabilities, labels, strict=True) if y >= 0]
    return sum(terms) / len(terms) if terms else 0.0


@pytest.mark.parametrize("floor", [0, 0.25, 0.9])
def test_the_correlation_agrees_with_loops(floor):
    maps = torch.randn(FRAMES, 7, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    maps[:, 3] *= 0.01
    actual = ssa_loss.correlations(maps, floor)
    for n in range(FRAMES):
        np.testing.assert_allclose(actual[n], correlation(maps[n].tolist(), floor), atol=1e-5)


def test_the_correlation_does_not_see_gain_and_offset_of_channels():
    maps = torch.randn(FRAMES, 7, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    other = maps * torch.linspace(0.5, 4, 7).reshape(7, 1, 1) - 3
    torch.testing.assert_close(
        ssa_loss.correlations(maps, 0.0), ssa_loss.correlations(other, 0.0), atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(
        ssa_loss.correlations(maps, 0.25), ssa_loss.correlations(1e-3 * maps, 0.25), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("size", [1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 0.0])
def test_a_weakly_active_channel_sends_back_no_more_than_others(size):
    generator = torch.Generator().manual_seed(2)
    maps, target = (torch.rand(1, 8, 2, 2, generator=generator) for _ in range(2))
    maps[0, 0] = 0
    maps[0, 0, 0, 0] = size  # as after a ReLU
    maps.requires_grad_()
    loss = ssa_loss.misalignment(ssa_loss.correlations(maps, 0.25), ssa_loss.correlations(target, 0.25), per_pair=True)
    loss.sum().backward()
    others = maps.grad[0, 1:].abs().max()
    assert 0 < others < 2 and maps.grad[0, 0].abs().max() < 4 * others


def test_channels_that_are_the_same_everywhere_add_nothing_and_send_back_nothing():
    maps = torch.randn(1, 4, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(2))
    maps[:, 1], maps[:, 3] = 0.0, 1.0
    maps.requires_grad_()
    actual = ssa_loss.correlations(maps, 0.25)
    np.testing.assert_allclose(actual[0].detach(), correlation(maps[0, [0, 2]].tolist()), atol=1e-5)
    actual.square().sum().backward()
    assert maps.grad.isfinite().all()
    assert maps.grad[:, [0, 2]].abs().max() < 1e3
    assert not maps.grad[:, 1].any()


@pytest.mark.parametrize("beta", [2.0, 0.5])
def test_rho_agrees_with_the_formula(beta):
    own = torch.tensor([0.2, 0.7, 0.7, 0.9, 1.5, 9.0])
    other = torch.tensor([0.9, 0.7, 0.6, 0.2, 0.4, 0.1])
    actual = ssa_loss.focal_weights(own, other, beta, 10.0)
    expected = [rho(a, b, beta) for a, b in zip(own.tolist(), other.tolist(), strict=True)]
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    assert actual[:2].tolist() == [0, 0]
    assert 0 < actual[2] < actual[3] < actual[4] < actual[5] == 10


def test_rho_is_a_constant():
    own = torch.tensor([0.9], requires_grad=True)
    assert not ssa_loss.focal_weights(own, torch.tensor([0.1]), 2.0, 10.0).requires_grad


def test_rho_stays_finite_where_the_exponential_would_not():
    actual = ssa_loss.focal_weights(torch.tensor([500.0]), torch.tensor([0.0]), 2.0, 10.0)
    assert actual.tolist() == [10]


@pytest.mark.parametrize(("per_pair", "share"), [(True, POSITIONS**2), (False, 1)])
def test_the_squared_norm_agrees_with_loops(per_pair, share):
    first, second = torch.randn(2, FRAMES, POSITIONS, POSITIONS, generator=torch.Generator().manual_seed(3))
    actual = ssa_loss.misalignment(first, second, per_pair=per_pair)
    expected = [squared_norm(a, b) / share for a, b in zip(first.tolist(), second.tolist(), strict=True)]
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


class Bench:
    """An MTUT whose encoders hand out given maps, with labels of which some are unknown, one frame's all."""

    def __init__(self, modalities, **changes):
        torch.manual_seed(4)
        small = {"crop": 16, "image_size": 16, "warm_up": 0, "weight_alignment": 0.05}
        recipe = MTUT.Recipe.from_preset("tiny", {**small, **changes})
        self.mtut = MTUT(Task(modalities, AUS, 16), recipe)
        self.maps = {m: torch.randn(FRAMES, CHANNELS, HEIGHT, WIDTH, requires_grad=True) for m in modalities}
        self.mtut.encode = lambda modality, images: self.maps[modality] * 1.0
        with torch.no_grad():
            for m in modalities:
                self.mtut.classifiers[m].weight.mul_(12)  # so that some frames are far better in one modality
        self.labels = torch.tensor([[1, 0, -1, 0], [0, 0, 1, 1], [-1, -1, -1, -1], [1, -1, -1, -1], [0, 1, 0, 1]])

    def loss(self, labels=None, epoch=0):
        labels = self.labels if labels is None else labels
        images = {m: torch.zeros(FRAMES, m.channels, 16, 16) for m in self.maps}
        return self.mtut.loss(Batch(images, labels), self.mtut.stages()[0], Progress(epoch, 10, 0, 1))

    def probabilities(self, m):
        layer = self.mtut.classifiers[m]
        weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
        actual = []
        for maps in self.maps[m].detach().double().numpy():
            pooled = [sum(channel.ravel()) / POSITIONS for channel in maps]
            logits = [
                sum(w * x for w, x in zip(row, pooled, strict=True)) + b for row, b in zip(weight, bias, strict=True)
            ]
            actual.append([1 / (1 + math.exp(-x)) for x in logits])
        return actual

    def gradients(self, total):
        for x in self.maps.values():
            x.grad = None
        self.mtut.zero_grad()
        total.backward()
        return {m: x.grad for m, x in self.maps.items()}


def naive_terms(bench, focal="sample", share=POSITIONS**2, weight=0.05, beta=2.0, limit=10.0, floor=0.25):
    """All terms, frame by frame, over frames with known labels."""
    labels = bench.labels.tolist()
    known = [n for n in range(FRAMES) if any(y >= 0 for y in labels[n])]
    losses, seen = {}, {}
    for m in bench.maps:
        probabilities = bench.probabilities(m)
        losses[m] = {n: frame_loss(probabilities[n], labels[n]) for n in known}
        seen[m] = {n: correlation(bench.maps[m][n].tolist(), floor) for n in known}
    batch = {m: sum(x.values()) / len(known) for m, x in losses.items()}
    terms = {"total": 0.0}
    for m in bench.maps:
        aligned = 0.0
        for other in bench.maps:
            if other is m:
                continue
            for n in known:
                pair = (losses[m][n], losses[other][n]) if focal == "sample" else (batch[m], batch[other])
                aligned += rho(*pair, beta, limit) * squared_norm(seen[m][n], seen[other][n]) / share
        terms[m.value], terms[f"alignment_{m}"] = batch[m], aligned / len(known)
        terms["total"] += batch[m] + weight * aligned / len(known)
    return terms


@pytest.mark.parametrize("modalities", [(V, D), (V, D, T)])
@pytest.mark.parametrize(
    ("changes", "naive"),
    [
        ({}, {}),
        ({"focal": "batch"}, {"focal": "batch"}),
        ({"normaliser": "none"}, {"share": 1}),
        ({"norm_floor": 0}, {"floor": 0}),
        ({"norm_floor": 1.1}, {"floor": 1.1}),
        ({"weight_alignment": 3, "beta": 0.7, "focal_limit": 0.4}, {"weight": 3, "beta": 0.7, "limit": 0.4}),
    ],
)
def test_the_whole_loss_agrees_with_loops(modalities, changes, naive):
    bench = Bench(modalities, **changes)
    actual = {name: value.item() for name, value in bench.loss().items()}
    expected = naive_terms(bench, **naive)
    assert actual == pytest.approx(expected, rel=1e-4)
    assert sum(expected[f"alignment_{m}"] for m in modalities) > 0.01, "nothing was aligned, so nothing was tested"


def test_a_frame_without_known_labels_counts_nowhere():
    bench = Bench((V, D))
    gradients = bench.gradients(bench.loss()["total"])
    for m in (V, D):
        assert not gradients[m][2].any()
        assert all(gradients[m][n].any() for n in (0, 1, 3, 4))


def test_a_batch_without_known_labels_costs_nothing():
    bench = Bench((V, D, T))
    assert {x.item() for x in bench.loss(torch.full_like(bench.labels, -1)).values()} == {0.0}


def test_each_frame_weighs_the_same_however_few_labels_it_has():
    bench = Bench((V, D))
    labels = bench.labels.tolist()
    each = [frame_loss(p, y) for p, y in zip(bench.probabilities(V), labels, strict=True)]
    assert bench.loss()["visual"].item() == pytest.approx(sum(each) / 4, rel=1e-5)


def test_alignment_moves_the_worse_modality_alone():
    bench = Bench((V, D))
    terms = bench.loss()
    for own, other in ((V, D), (D, V)):
        gradients = bench.gradients(bench.loss()[f"alignment_{own}"])
        assert gradients[other] is None or not gradients[other].any()
        assert not any(p.grad is not None and p.grad.any() for p in bench.mtut.classifiers.parameters())
        better = np.array(
            [frame_loss(p, y) for p, y in zip(bench.probabilities(other), bench.labels.tolist(), strict=True)]
        )
        worse = np.array(
            [frame_loss(p, y) for p, y in zip(bench.probabilities(own), bench.labels.tolist(), strict=True)]
        )
        assert gradients[own].flatten(1).any(1).tolist() == (worse > better).tolist()
    assert terms["alignment_visual"] > 0
    assert terms["alignment_depth"] > 0


@pytest.mark.slow
def test_the_gradient_of_the_alignment_is_that_of_loops_with_everything_else_held_still():
    bench = Bench((V, D), normaliser="none", norm_floor=0)
    actual = bench.gradients(bench.loss()["alignment_visual"])[V]
    labels = bench.labels.tolist()
    losses = {m: [frame_loss(p, y) for p, y in zip(bench.probabilities(m), labels, strict=True)] for m in (V, D)}
    n = max(range(FRAMES), key=lambda n: losses[V][n] - losses[D][n])
    weight = rho(losses[V][n], losses[D][n]) / 4  # ρ of that frame, a constant, over four labelled frames
    target = correlation(bench.maps[D][n].tolist(), 0)
    for c, i, j in ((0, 0, 0), (5, 1, 2), (127, 0, 1)):
        ends = []
        for step in (1e-4, -1e-4):
            maps = bench.maps[V][n].detach().double().numpy().copy()
            maps[c, i, j] += step
            ends.append(weight * squared_norm(correlation(maps, 0), target))
        assert actual[n, c, i, j].item() == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-2, abs=1e-5)


@pytest.mark.parametrize(("epoch", "aligned"), [(0, False), (2, False), (3, True), (9, True)])
def test_the_first_epochs_classify_and_nothing_else(epoch, aligned):
    terms = Bench((V, D), warm_up=0.3, weight_alignment=7).loss(epoch=epoch)
    classification = terms["visual"] + terms["depth"]
    alone = torch.isclose(terms["total"], classification)
    assert alone.item() != aligned
    if aligned:
        torch.testing.assert_close(
            terms["total"], classification + 7 * (terms["alignment_visual"] + terms["alignment_depth"])
        )


def test_without_alignment_each_network_trains_for_itself():
    terms = Bench((V, D), weight_alignment=0).loss()
    torch.testing.assert_close(terms["total"], terms["visual"] + terms["depth"])


@pytest.mark.parametrize("modalities", [(V, D), (V, D, T)])
def test_the_mean_of_all_predicts_or_one_alone(modalities):
    images = {m: torch.rand(FRAMES, m.channels, 16, 16) for m in modalities}
    for scored in ("mean", *modalities):
        bench = Bench(modalities, scored=str(scored))
        chosen = modalities if scored == "mean" else (scored,)
        expected = np.mean([bench.probabilities(m) for m in chosen], axis=0)
        np.testing.assert_allclose(bench.mtut(images).detach(), expected, atol=1e-5)


def test_what_is_not_scored_need_not_be_there_but_is_trained():
    mtut = MTUT(
        Task((V, D), AUS, 16), MTUT.Recipe.from_preset("tiny", {"crop": 16, "image_size": 16, "scored": "depth"})
    )
    assert mtut.eval()({D: torch.rand(2, 1, 16, 16)}).shape == (2, 4)
    images = {m: torch.rand(2, m.channels, 16, 16) for m in (V, D)}
    mtut.train().loss(Batch(images, torch.ones(2, 4)), mtut.stages()[0], Progress(0, 1, 0, 1))["total"].backward()
    assert all(p.grad is not None for p in mtut.parameters())


@pytest.mark.parametrize(
    ("modalities", "scored", "reason"),
    [((V,), "mean", "got one"), ((V,), "visual", "got one"), ((V, D), "thermal", "needs thermal images")],
)
def test_it_refuses_with_a_reason(modalities, scored, reason):
    assert reason in MTUT.unsupported_reason(Task(modalities, AUS, 224), MTUT.Recipe(scored=scored))


def test_it_accepts_a_scored_modality_that_is_there():
    assert MTUT.unsupported_reason(Task((V, T), AUS, 224), MTUT.Recipe(scored="thermal")) is None
    assert MTUT.select_modalities(Task((V, T), AUS, 224), MTUT.Recipe(scored="thermal")) == (V, T)
