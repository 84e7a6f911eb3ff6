"""TEMT-Net's terms against loops. Its paper gives no equations: the equations follow the card."""

import math

import numpy as np
import pytest
import torch

from aubench import Batch, Modality, Progress, Task
from aubench.methods import temt_net
from aubench.methods.temt_net import Decoder, TEMTNet, image_loss, landmark_loss

V, D, T = Modality.VISUAL, Modality.DEPTH, Modality.THERMAL
FRAMES, AUS, SIDE, POINTS = 5, (1, 4, 12), 40, 49


def mean_cross_entropy(probabilities, labels):
    terms = []
    for p, y in zip(np.ravel(probabilities), np.ravel(labels), strict=True):
        if y >= 0:
            terms.append(-math.log(p) if y else -math.log(1 - p))
    return sum(terms) / len(terms)


def mean_absolute(samples, wanted):
    total = count = 0
    for one, other in zip(samples, wanted, strict=True):
        if any(value != -1 for value in other.ravel()):
            for a, b in zip(one.ravel(), other.ravel(), strict=True):
                total, count = total + abs(a - b), count + 1
    return total / count


def mean_smooth_l1(actual, wanted):
    terms = []
    for one, other in zip(actual, wanted, strict=True):
        unit = max(math.dist(other[19], other[28]), temt_net.MIN_EYE_DISTANCE)
        if math.isnan(unit):
            continue
        for (x, y), (u, v) in zip(one, other, strict=True):
            for error in ((x - u) / unit, (y - v) / unit):
                if not math.isnan(error):
                    terms.append(0.5 * error**2 if abs(error) < 1 else abs(error) - 0.5)
    return sum(terms) / len(terms) if terms else 0.0


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    samples, wanted = (torch.rand(FRAMES, 3, 6, 7, generator=generator) * 2 - 1 for _ in range(2))
    wanted[2] = -1  # a frame without this image
    return samples, wanted


@pytest.fixture
def points():
    """Found and wanted ones: some unknown points, a lost frame, a frame without an eye's corner, a profile."""
    generator = torch.Generator().manual_seed(1)
    actual, wanted = (torch.rand(FRAMES, POINTS, 2, generator=generator) * 2 - 1 for _ in range(2))
    wanted[0, [3, 40]] = math.nan
    wanted[1] = math.nan
    wanted[2, 28] = math.nan
    wanted[3, 28] = wanted[3, 19]
    return actual, wanted


def test_generation_agrees_with_loops(images):
    samples, wanted = images
    assert image_loss(samples, wanted).item() == pytest.approx(mean_absolute(samples.numpy(), wanted.numpy()), rel=1e-5)


@pytest.mark.parametrize("value", [-1.0, 0.0])
def test_without_any_other_image_there_is_nothing_to_draw(images, value):
    assert image_loss(images[0], torch.full_like(images[0], value)).item() == 0


def test_points_agree_with_loops(points):
    actual, wanted = points
    expected = mean_smooth_l1(actual.tolist(), wanted.tolist())
    assert landmark_loss(actual, wanted).item() == pytest.approx(expected, rel=1e-5)


def test_unknown_points_send_no_gradient_and_known_ones_a_finite_one(points):
    actual, wanted = points[0].requires_grad_(), points[1]
    landmark_loss(actual, wanted).backward()
    assert torch.isfinite(actual.grad).all()
    assert actual.grad[[0, 0], [3, 40]].eq(0).all()
    assert actual.grad[[1, 2]].eq(0).all()
    assert actual.grad[0, 5].ne(0).all()


def test_points_do_not_care_how_large_the_face_is(points):
    actual, wanted = points[0][4:], points[1][4:]
    torch.testing.assert_close(landmark_loss(actual, wanted), landmark_loss(actual * 3, wanted * 3))


def test_no_known_point_is_no_loss(points):
    assert landmark_loss(points[0], torch.full_like(points[1], math.nan)).item() == 0


def net(modalities=(V, D), landmarks=POINTS, **changes):
    torch.manual_seed(3)
    recipe = TEMTNet.Recipe.from_preset("tiny", {"crop": SIDE, "image_size": SIDE, **changes})
    return TEMTNet(Task(modalities, AUS, SIDE, landmarks), recipe)


def batch_of(modalities, points):
    generator = torch.Generator().manual_seed(2)
    images = {m: torch.rand(FRAMES, m.channels, SIDE, SIDE, generator=generator) * 2 - 1 for m in modalities}
    labels = torch.randint(-1, 2, (FRAMES, len(AUS)), generator=generator)
    return Batch(images, labels, points)


def terms_of(method, batch):
    stage = method.stages()[0]
    return method.loss(batch, stage, Progress(0, 1, 0, 1))


@pytest.mark.parametrize("other", [D, T])
def test_all_tasks_add_up_with_their_weights(other, points):
    method = net((V, other), weight_au=2.0, weight_generation=0.25, weight_landmarks=4.0).eval()
    batch = batch_of((V, other), points[1])
    actual = {name: term.item() for name, term in terms_of(method, batch).items()}
    with torch.no_grad():
        maps = method.encoder.maps(batch.inputs[V])
        samples, located = method.decoder(maps), method.regressor(maps.mean((2, 3))).reshape(FRAMES, POINTS, 2)
        probabilities = method(batch.inputs)
    wanted = {
        "au": mean_cross_entropy(probabilities.numpy(), batch.labels.numpy()),
        "generation": mean_absolute(samples.numpy(), batch.inputs[other].numpy()),
        "landmarks": mean_smooth_l1(located.tolist(), points[1].tolist()),
    }
    wanted["total"] = 2 * wanted["au"] + 0.25 * wanted["generation"] + 4 * wanted["landmarks"]
    assert actual == pytest.approx(wanted, rel=1e-4)


def test_the_defaults_are_those_of_the_card():
    recipe = TEMTNet.Recipe()
    assert (recipe.weight_au, recipe.weight_generation, recipe.weight_landmarks) == (1.0, 1.0, 0.5)
    assert recipe.backbone == "resnet18"


def test_tasks_that_are_off_are_not_built():
    without = net(landmarks=0, weight_generation=0)
    assert set(terms_of(without, batch_of((V, D), None))) == {"total", "au"}
    assert {name.split(".")[0] for name, _ in without.named_parameters()} == {"encoder", "classifier"}
    assert not hasattr(net(weight_landmarks=0), "regressor")


@pytest.mark.parametrize("size", [224, 56, 33])
def test_the_decoder_ends_at_the_size_of_the_image_whatever_it_is(size):
    encoder = net().encoder.eval()
    with torch.no_grad():
        maps = encoder.maps(torch.zeros(1, 3, size, size))
        image = Decoder(encoder.features, 1, size).eval()(maps)
    assert maps.shape[-1] == math.ceil(size / 32)
    assert image.shape == (1, 1, size, size)
    assert image.abs().max() <= 1


def test_predictions_see_the_visual_images_alone():
    method = net().eval()
    inputs = dict(batch_of((V, D), None).inputs)
    with torch.no_grad():
        both, alone = method(inputs), method({V: inputs[V]})
        other = method({V: inputs[V].flip(0), D: inputs[D]})
    assert torch.equal(both, alone)
    assert not torch.allclose(both, other)


@pytest.mark.parametrize(
    ("modalities", "reason"),
    [((V,), "needs a second modality"), ((D, T), "needs visual images"), ((V, D, T), "the task has 2"), ((V, T), None)],
)
def test_it_takes_visual_and_one_other(modalities, reason):
    actual = TEMTNet.unsupported_reason(Task(modalities, AUS, SIDE), TEMTNet.Recipe())
    assert (actual is None) if reason is None else reason in actual
