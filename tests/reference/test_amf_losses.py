"""AMF eqs. 7 to 11 against loops written from the paper, with classifiers and scoring read out of the model."""

import math

import numpy as np
import pytest
import torch

from aubench import Batch, Modality, Progress, Task, masked_bce
from aubench.core.errors import RecipeError
from aubench.methods._modules import gumbel_selection
from aubench.methods.amf import AMF
from aubench.methods.amf import loss_gradient as in_closed_form

AUS = (1, 2, 4, 6)
FRAMES, DRAWS = 5, 7
NOTHING = 1e-8
"""More than rounding leaves of a gradient that cancels, far less than the gradients here."""
V, D, T = Modality


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def linear(layer, vector):
    weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
    return [sum(w * x for w, x in zip(row, vector, strict=True)) + b for row, b in zip(weight, bias, strict=True)]


def cross_entropy(probabilities, labels):
    """eq. (7) of one frame: the sum over known labels, and how many those are."""
    terms = [-math.log(p) if y == 1 else -math.log(1 - p) for p, y in zip(probabilities, labels, strict=True) if y >= 0]
    return sum(terms), len(terms)


def mean_cross_entropy(probabilities, labels, over_aus):
    """eq. (7) summed over AUs and averaged over labelled frames, or averaged over both."""
    sums = [cross_entropy(p, y) for p, y in zip(probabilities, labels, strict=True)]
    count = sum(known if over_aus == "mean" else known > 0 for _, known in sums)
    return sum(total for total, _ in sums) / count


def scored(g, vector):
    hidden = [max(x, 0.0) for x in linear(g[0], vector)]
    return [sigmoid(x) for x in linear(g[2], hidden)]


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
    return dot / lengths if lengths else 0.0


def loss_gradient(layer, vector, labels, step=1e-6):
    """Slopes of a frame's eq. (8) with respect to its features, by central differences."""

    def loss(v):
        return cross_entropy([sigmoid(x) for x in linear(layer, v)], labels)[0]

    slopes = []
    for d in range(len(vector)):
        up, down = list(vector), list(vector)
        up[d] += step
        down[d] -= step
        slopes.append((loss(up) - loss(down)) / (2 * step))
    return slopes


class Bench:
    """An AMF whose encoders hand out given features."""

    def __init__(self, modalities, **changes):
        torch.manual_seed(3)
        recipe = AMF.Recipe.from_preset("tiny", {"samples": DRAWS, "crop": 16, "image_size": 16, **changes})
        self.amf = AMF(Task(modalities, AUS, 16), recipe)
        self.features = {m: torch.randn(FRAMES, 128, requires_grad=True) for m in modalities}
        self.amf.encode = lambda modality, images: self.features[modality] * 1.0
        self.labels = torch.randint(-1, 2, (FRAMES, len(AUS)))
        self.stage = self.amf.stages()[0]

    def loss(self, epoch=0):
        torch.manual_seed(11)
        images = {m: torch.zeros(FRAMES, m.channels, 16, 16) for m in self.features}
        return self.amf.loss(Batch(images, self.labels), self.stage, Progress(epoch, 11, 0, 1))

    def noise(self):
        """What the loss drew."""
        torch.manual_seed(11)
        return gumbel_selection.Noise.sample(len(self.features), FRAMES, DRAWS, 128).differences()

    def vectors(self, m):
        return self.features[m].detach().double().numpy().tolist()


def naive_terms(bench):
    """The terms of eq. (11), frame by frame, draw by draw, feature by feature."""
    amf, names, labels = bench.amf, list(bench.features), bench.labels.tolist()
    over_aus = amf.recipe.over_aus
    noise = np.concatenate([bench.noise().double().numpy(), np.zeros((1, FRAMES, DRAWS, 128))])
    scores = {m: [scored(amf.scoring[m], v) for v in bench.vectors(m)] for m in names}
    voted = []
    for n in range(FRAMES):
        votes = []
        for k in range(DRAWS):
            star = []
            for d in range(128):
                values = [math.log(scores[m][n][d]) + noise[i, n, k, d] for i, m in enumerate(names)]  # eq. (4)
                star.append(bench.features[names[int(np.argmax(values))]][n, d].item())
            votes.append([sigmoid(x) for x in linear(amf.classifier, star)])
        voted.append(np.mean(votes, axis=0).tolist())
    terms = {"fused": mean_cross_entropy(voted, labels, over_aus)}  # eq. (9)
    for m in names:
        alone = [[sigmoid(x) for x in linear(amf.classifiers[m], v)] for v in bench.vectors(m)]
        terms[m.value] = mean_cross_entropy(alone, labels, over_aus)  # eq. (8)
        slopes = [loss_gradient(amf.classifiers[m], v, y) for v, y in zip(bench.vectors(m), labels, strict=True)]
        likeness = [cosine(a, [abs(s) for s in row]) for a, row in zip(scores[m], slopes, strict=True)]
        known = [x for x, row in zip(likeness, labels, strict=True) if max(row) >= 0]
        terms[f"guidance_{m}"] = float(np.mean([1 - x for x in known]))  # eq. (10)
    return terms


@pytest.mark.slow
@pytest.mark.parametrize(("modalities", "over_aus"), [((V, D), "sum"), ((D, T), "mean"), ((V, D, T), "sum")])
def test_eqs_8_to_11_agree_with_loops(modalities, over_aus):
    bench = Bench(modalities, over_aus=over_aus)
    bench.labels[0] = -1
    actual = {name: value.item() for name, value in bench.loss().items()}
    expected = naive_terms(bench)
    expected["total"] = 2 * expected["fused"] + sum(
        expected[m] + expected[f"guidance_{m}"] for m in modalities
    )  # eq. (11)
    assert actual == pytest.approx(expected, rel=2e-5)


def test_the_paper_preset_weighs_eq_10_as_printed():
    recipe = AMF.Recipe.from_preset("paper", {})
    assert recipe.over_aus == "sum" and recipe.weight_guidance == recipe.weight_modality == 1
    printed, mean = (Bench((V, D), over_aus=over_aus) for over_aus in ("sum", "mean"))
    printed.labels[:] = mean.labels[:] = 1
    printed_terms, mean_terms = printed.loss(), mean.loss()
    for name in ("fused", "visual", "depth"):
        torch.testing.assert_close(printed_terms[name], len(AUS) * mean_terms[name])
    torch.testing.assert_close(printed_terms["guidance_depth"], mean_terms["guidance_depth"])


@pytest.mark.parametrize("over_aus", ["sum", "mean"])
def test_a_batch_without_known_labels_has_no_classification_loss(over_aus):
    bench = Bench((V, D), over_aus=over_aus)
    bench.labels[:] = -1
    assert bench.loss()["fused"] == bench.loss()["visual"] == 0


def test_eq_11_takes_its_weights_from_the_recipe():
    actual = Bench((V, D), weight_fused=0.5, weight_modality=3, weight_guidance=0.25).loss()
    parts = 0.5 * actual["fused"] + 3 * (actual["visual"] + actual["depth"])
    parts = parts + 0.25 * (actual["guidance_visual"] + actual["guidance_depth"])
    torch.testing.assert_close(actual["total"], parts)


def test_frames_without_labels_change_no_term():
    bench = Bench((V, D))
    bench.labels[:2] = -1
    scores, gradient = torch.rand(FRAMES, 8), torch.rand(FRAMES, 8)
    expected = bench.amf.guidance(scores[2:], gradient[2:], bench.labels[2:])
    torch.testing.assert_close(bench.amf.guidance(scores, gradient, bench.labels), expected)


@pytest.mark.parametrize("unknown", ["some", "all"])
def test_the_gradient_in_eq_10_is_that_of_eq_8(unknown):
    bench = Bench((V, D))
    labels = bench.labels if unknown == "some" else torch.full_like(bench.labels, -1)
    classifier = bench.amf.classifiers["depth"]
    chances = classifier(bench.features[D]).sigmoid()
    (expected,) = torch.autograd.grad(masked_bce(chances, labels), bench.features[D])
    torch.testing.assert_close(in_closed_form(classifier.weight, chances, labels), expected)


def test_oppose_turns_eq_10_around():
    align, oppose = Bench((V, D)).loss(), Bench((V, D), guidance="oppose").loss()
    torch.testing.assert_close(align["guidance_visual"] + oppose["guidance_visual"], torch.tensor(1.0))


def gradients(bench, term):
    bench.amf.zero_grad()
    for feature in bench.features.values():
        feature.grad = None
    bench.loss()[term].backward()
    return {name for name, p in bench.amf.named_parameters() if p.grad is not None and p.grad.any()}


def test_the_own_loss_of_a_modality_trains_its_classifier_and_its_encoder():
    bench = Bench((V, D))
    assert gradients(bench, "visual") == {"classifiers.visual.weight", "classifiers.visual.bias"}
    assert bench.features[V].grad.any()
    assert bench.features[D].grad is None or not bench.features[D].grad.any()


SCORING = {f"scoring.visual.{name}" for name in ("0.weight", "0.bias", "2.weight", "2.bias")}


def test_guidance_trains_scoring_alone():
    bench = Bench((V, D))
    assert gradients(bench, "guidance_visual") == SCORING
    assert not bench.features[V].grad.any()
    assert bench.features[D].grad is None or not bench.features[D].grad.any()


@pytest.mark.slow
@pytest.mark.parametrize("guidance", ["align", "oppose"])
def test_the_gradient_of_eq_10_is_that_of_loops_whose_target_is_held_still(guidance):
    bench = Bench((V, D), guidance=guidance)
    labels, vectors = bench.labels.tolist(), bench.vectors(V)
    slopes = [loss_gradient(bench.amf.classifiers[V], v, y) for v, y in zip(vectors, labels, strict=True)]

    def loop():
        likeness = [
            cosine(scored(bench.amf.scoring[V], v), [abs(s) for s in row])
            for v, row in zip(vectors, slopes, strict=True)
        ]
        return float(np.mean([1 - x if guidance == "align" else x for x in likeness]))

    gradients(bench, "guidance_visual")
    for name, parameter in bench.amf.scoring[V].named_parameters():
        place = np.unravel_index(int(parameter.grad.abs().argmax()), parameter.shape)
        ends, places = [], []
        for step in (1e-2, -2e-2):
            with torch.no_grad():
                parameter[place] += step
            ends.append(loop())
            places.append(parameter[place].item())
        with torch.no_grad():
            parameter[place] += 1e-2
        expected = (ends[0] - ends[1]) / (places[0] - places[1])
        assert parameter.grad[place].item() == pytest.approx(expected, rel=1e-2), name


def test_guidance_reaches_the_encoder_on_request():
    bench = Bench((V, D), guidance_trains="all")
    assert gradients(bench, "guidance_visual") == SCORING
    assert bench.features[V].grad.any()
    assert bench.features[D].grad is None or not bench.features[D].grad.any()


@pytest.mark.parametrize("detached", [False, True])
def test_the_fused_loss_reaches_a_modality_that_is_not_chosen_only_through_scoring(detached):
    bench = Bench((V, D), detach_scored=detached)
    with torch.no_grad():
        bench.amf.scoring["visual"][2].bias.fill_(12.0)
        bench.amf.scoring["depth"][2].bias.fill_(-12.0)
    gradients(bench, "fused")
    assert bench.features[V].grad.any()
    assert (bench.features[D].grad.abs().max() > NOTHING) != detached


def test_the_fused_loss_trains_scoring_through_the_draws():
    names = gradients(Bench((V, D)), "fused")
    assert {"scoring.visual.0.weight", "scoring.depth.2.bias", "classifier.weight"} <= names
    assert not any(name.startswith("classifiers.") for name in names)


@pytest.mark.parametrize(("epoch", "expected"), [(0, 1.0), (5, 0.75), (10, 0.5)])
def test_the_temperature_falls_from_epoch_to_epoch(epoch, expected):
    amf = Bench((V, D)).amf
    assert amf.temperature(Progress(epoch, 11, 3, 24)) == pytest.approx(expected)


def test_the_exponential_temperature_falls_within_each_epoch():
    amf = Bench((V, D), schedule="exponential").amf
    for epoch in (0, 9):
        assert amf.temperature(Progress(epoch, 10, 0, 5000)) == 1.0
        assert amf.temperature(Progress(epoch, 10, 500, 5000)) == pytest.approx(math.exp(-0.0006 * 500))
        assert amf.temperature(Progress(epoch, 10, 4999, 5000)) == 0.5


@pytest.mark.parametrize("schedule", ["linear", "exponential"])
def test_a_temperature_that_rises_is_refused(schedule):
    with pytest.raises(RecipeError, match=r"^recipe: final_temperature 0.6 is above temperature 0.5$"):
        AMF.Recipe.from_preset("paper", {"temperature": 0.5, "final_temperature": 0.6, "schedule": schedule})
    assert AMF.Recipe.from_preset("paper", {"temperature": 0.5}).final_temperature == 0.5


@pytest.mark.slow
@pytest.mark.parametrize("voting", ["sampled", "expected", "argmax"])
def test_predictions_agree_with_loops(voting):
    bench = Bench((V, D, T), voting=voting)
    amf, names = bench.amf.eval(), (V, D, T)
    actual = amf.fuse({m: bench.features[m] for m in names}).detach().numpy()
    votes = np.concatenate([amf.votes.numpy()[:, 0], np.zeros((1, DRAWS, 128))])
    for n in range(FRAMES):
        scores = np.array([scored(amf.scoring[m], bench.vectors(m)[n]) for m in names])
        features = np.array([bench.vectors(m)[n] for m in names])
        if voting == "expected":
            selected = [(scores / scores.sum(0) * features).sum(0)]
        elif voting == "argmax":
            selected = [features[scores.argmax(0), range(128)]]
        else:
            selected = [features[(np.log(scores) + votes[:, k]).argmax(0), range(128)] for k in range(DRAWS)]
        expected = np.mean([[sigmoid(x) for x in linear(amf.classifier, star)] for star in selected], axis=0)
        np.testing.assert_allclose(actual[n], expected, atol=1e-5)


def test_many_fixed_votes_come_near_to_fresh_draws():
    bench = Bench((V, D), samples=4000)
    fixed = bench.amf.fuse(bench.features)
    bench.amf.votes = gumbel_selection.Noise.sample(
        2, 1, 4000, 128, generator=torch.Generator().manual_seed(99)
    ).differences()
    torch.testing.assert_close(fixed, bench.amf.fuse(bench.features), atol=0.02, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("voting", ["sampled", "expected", "argmax"])
def test_picks_are_counted_by_a_loop(voting):
    bench, names = Bench((V, D, T), voting=voting), (V, D, T)
    amf = bench.amf.eval()
    actual = amf.modality_selection(dict.fromkeys(names)).detach().numpy()
    votes = np.concatenate([amf.votes.numpy()[:, 0], np.zeros((1, DRAWS, 128))])
    for n in range(FRAMES):
        scores = np.array([scored(amf.scoring[m], bench.vectors(m)[n]) for m in names])
        if voting == "expected":
            expected = (scores / scores.sum(0)).mean(1)
        else:
            noise = votes if voting == "sampled" else votes[:, :1] * 0
            best = (np.log(scores)[:, None] + noise).argmax(0)
            expected = [(best == i).mean() for i in range(3)]
        np.testing.assert_allclose(actual[n], expected, atol=1e-5)


@pytest.mark.parametrize("modalities", [(V, D), (V, D, T)])
def test_equal_scores_pick_each_modality_equally_often(modalities):
    bench = Bench(modalities, samples=6 * len(modalities))
    bench.amf.scores = lambda stacked: torch.full_like(stacked, 0.3)
    actual = bench.amf.modality_selection(dict.fromkeys(modalities))
    assert actual.shape == (FRAMES, len(modalities))
    torch.testing.assert_close(actual, torch.full_like(actual, 1 / len(modalities)))
