"""MFT's AU tokens, fusion attention and losses against loops; its cost against a count by hand."""

import itertools
import math

import numpy as np
import pytest
import torch

from aubench import AubenchError, Batch, Modality, Progress, Task
from aubench.evaluation import flops
from aubench.methods._modules.au_tokens import AttendedTokens, AUEncoding, AUHeads, FusionAttention, ProjectedTokens
from aubench.methods.mft import MFT

AUS = (1, 2, 4, 6, 7)
FRAMES, CHANNELS, HEIGHT, WIDTH, TOKEN = 3, 6, 2, 3, 8
V, D, T = Modality
SETS = [(V,), (V, D), (V, D, T)]


def numbers(tensor):
    return tensor.detach().double().numpy()


def linear(weight, bias, vector):
    return [sum(w * x for w, x in zip(row, vector, strict=True)) + b for row, b in zip(weight, bias, strict=True)]


def softmax(values):
    powers = [math.exp(x - max(values)) for x in values]
    return [x / sum(powers) for x in powers]


def normed(norm, vector):
    mean = sum(vector) / len(vector)
    spread = math.sqrt(sum((x - mean) ** 2 for x in vector) / len(vector) + norm.eps)
    return [
        (x - mean) / spread * w + b for x, w, b in zip(vector, numbers(norm.weight), numbers(norm.bias), strict=True)
    ]


def gelu(x):
    return x * 0.5 * (1 + math.erf(x / math.sqrt(2)))


@pytest.fixture
def maps():
    return torch.randn(FRAMES, CHANNELS, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))


def test_a_token_is_the_projected_average_under_the_attention_map_of_its_au(maps):
    torch.manual_seed(0)
    tokens = AttendedTokens(CHANNELS, len(AUS), TOKEN)
    actual = numbers(tokens(maps))
    looks = numbers(tokens.attention.weight)[:, :, 0, 0]
    places = [(i, j) for i in range(HEIGHT) for j in range(WIDTH)]
    for n, a in np.ndindex(FRAMES, len(AUS)):
        frame = numbers(maps[n])
        weights = softmax([sum(looks[a, c] * frame[c, i, j] for c in range(CHANNELS)) for i, j in places])
        seen = [sum(w * frame[c, i, j] for w, (i, j) in zip(weights, places, strict=True)) for c in range(CHANNELS)]
        expected = linear(numbers(tokens.projection.weight), numbers(tokens.projection.bias), seen)
        np.testing.assert_allclose(actual[n, a], expected, atol=1e-6)


def test_a_linear_token_is_a_projection_of_the_average_for_its_au(maps):
    torch.manual_seed(0)
    tokens = ProjectedTokens(CHANNELS, len(AUS), TOKEN)
    actual = numbers(tokens(maps))
    weight, bias = numbers(tokens.projection.weight), numbers(tokens.projection.bias)
    for n, a in np.ndindex(FRAMES, len(AUS)):
        average = [sum(map(sum, channel)) / (HEIGHT * WIDTH) for channel in numbers(maps[n])]
        own = slice(a * TOKEN, (a + 1) * TOKEN)
        np.testing.assert_allclose(actual[n, a], linear(weight[own], bias[own], average), atol=1e-6)


@pytest.mark.parametrize("kind", ["attention", "linear"])
def test_the_embedding_is_added_before_the_transformer(maps, kind):
    torch.manual_seed(0)
    encoding = AUEncoding(kind, CHANNELS, len(AUS), TOKEN, layers=2, heads=2, dropout=0.1).eval()
    torch.testing.assert_close(encoding(maps), encoding.transformer(encoding.tokens(maps) + encoding.embedding))
    assert encoding.embedding.shape == (len(AUS), TOKEN)
    first, second = (block.attn.qkv.weight for block in list(encoding.transformer)[:2])
    assert not torch.equal(first, second), "both layers begin with the same weights"


def attended(attention, heads, query, memory):
    """Multi-head attention of one frame: queries and memory are lists of vectors."""
    width = len(query[0])
    size = width // heads
    weight, bias = numbers(attention.in_proj_weight), numbers(attention.in_proj_bias)
    parts = [slice(k * width, (k + 1) * width) for k in range(3)]
    asks = [linear(weight[parts[0]], bias[parts[0]], x) for x in query]
    keys = [linear(weight[parts[1]], bias[parts[1]], x) for x in memory]
    values = [linear(weight[parts[2]], bias[parts[2]], x) for x in memory]
    actual = []
    for ask in asks:
        joined = []
        for h in range(heads):
            own = range(h * size, (h + 1) * size)
            scores = [sum(ask[d] * key[d] for d in own) / math.sqrt(size) for key in keys]
            shares = softmax(scores)
            joined += [sum(share * value[d] for share, value in zip(shares, values, strict=True)) for d in own]
        actual.append(linear(numbers(attention.out_proj.weight), numbers(attention.out_proj.bias), joined))
    return actual


def fused(fusion, heads, query, memory):
    """The fusion block of one frame."""
    answers = []
    for asked, actual in zip(query, attended(fusion.attention, heads, query, memory), strict=True):
        mixed = normed(fusion.after_attention, [a + b for a, b in zip(asked, actual, strict=True)])
        hidden = [gelu(x) for x in linear(numbers(fusion.mlp[0].weight), numbers(fusion.mlp[0].bias), mixed)]
        more = linear(numbers(fusion.mlp[2].weight), numbers(fusion.mlp[2].bias), hidden)
        answers.append(normed(fusion.after_mlp, [a + b for a, b in zip(mixed, more, strict=True)]))
    return answers


@pytest.mark.parametrize("heads", [1, 4])
def test_the_fusion_block_agrees_with_loops(heads):
    torch.manual_seed(0)
    fusion = FusionAttention(TOKEN, heads, dropout=0.1).eval()
    for parameter in fusion.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    query, memory = torch.randn(FRAMES, len(AUS), TOKEN), torch.randn(FRAMES, 2 * len(AUS), TOKEN)
    actual = numbers(fusion(query, memory))
    for n in range(FRAMES):
        expected = fused(fusion, heads, numbers(query[n]).tolist(), numbers(memory[n]).tolist())
        np.testing.assert_allclose(actual[n], expected, atol=1e-5)


def test_each_au_answers_by_its_own_token_and_weights():
    torch.manual_seed(0)
    heads = AUHeads(TOKEN, len(AUS))
    tokens = torch.randn(FRAMES, len(AUS), TOKEN)
    actual = numbers(heads(tokens))
    for n, a in np.ndindex(FRAMES, len(AUS)):
        (expected,) = linear(numbers(heads.weight)[a : a + 1], numbers(heads.bias)[a : a + 1], numbers(tokens[n, a]))
        assert actual[n, a] == pytest.approx(expected, abs=1e-6)


class Bench:
    """A small MFT whose encoders hand out given tokens."""

    def __init__(self, modalities, **changes):
        torch.manual_seed(5)
        small = {"crop": 16, "image_size": 16, "width": TOKEN, "heads": 2, "dropout": 0.0}
        self.mft = MFT(Task(modalities, AUS, 16), MFT.Recipe.from_preset("tiny", {**small, **changes}))
        self.tokens = {m: torch.randn(FRAMES, len(AUS), TOKEN, requires_grad=True) for m in modalities}
        self.mft.encode = lambda modality, images: self.tokens[modality] * 1.0
        self.images = {m: torch.zeros(FRAMES, m.channels, 16, 16) for m in modalities}
        self.labels = torch.randint(-1, 2, (FRAMES, len(AUS)))

    def loss(self):
        return self.mft.loss(Batch(self.images, self.labels), self.mft.stages()[0], Progress(0, 1, 0, 1))

    def naive(self, n, query="sum"):
        """Probabilities of a frame."""
        streams = {m: numbers(x[n]).tolist() for m, x in self.tokens.items()}
        asked = np.sum(list(streams.values()), axis=0).tolist() if query == "sum" else streams[query]
        return self.answered(
            self.mft.classifier, fused(self.mft.fusion, 2, asked, list(itertools.chain(*streams.values())))
        )

    def alone(self, m, n):
        return self.answered(self.mft.classifiers[m], numbers(self.tokens[m][n]).tolist())

    @staticmethod
    def answered(heads, tokens):
        weight, bias = numbers(heads.weight), numbers(heads.bias)
        logits = [sum(w * x for w, x in zip(weight[a], token, strict=True)) + bias[a] for a, token in enumerate(tokens)]
        return [1 / (1 + math.exp(-x)) for x in logits]


@pytest.mark.slow
@pytest.mark.parametrize("modalities", SETS)
def test_all_tokens_are_asked_by_their_sum_or_by_one_modality(modalities):
    for query in ("sum", *modalities):
        bench = Bench(modalities, query=str(query))
        actual = numbers(bench.mft.eval()(bench.images))
        for n in range(FRAMES):
            np.testing.assert_allclose(actual[n], bench.naive(n, query), atol=1e-5)


def mean_cross_entropy(probabilities, labels):
    terms = [
        -math.log(p if y == 1 else 1 - p)
        for row, known in zip(probabilities, labels, strict=True)
        for p, y in zip(row, known, strict=True)
        if y >= 0
    ]
    return sum(terms) / len(terms)


@pytest.mark.slow
@pytest.mark.parametrize("modalities", SETS)
@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_the_loss_is_the_fused_one_and_each_modality_s_own(modalities, weight):
    bench = Bench(modalities, weight_unimodal=weight)
    labels = bench.labels.tolist()
    expected = {"fused": mean_cross_entropy([bench.naive(n) for n in range(FRAMES)], labels)}
    for m in modalities:
        expected[m.value] = mean_cross_entropy([bench.alone(m, n) for n in range(FRAMES)], labels)
    expected["total"] = expected["fused"] + weight * sum(expected[m] for m in modalities)
    assert {name: x.item() for name, x in bench.loss().items()} == pytest.approx(expected, rel=1e-5)


def test_a_modality_s_own_loss_leaves_the_others_alone():
    bench = Bench((V, D))
    bench.loss()["visual"].backward()
    assert bench.tokens[V].grad.any()
    assert bench.tokens[D].grad is None


@pytest.mark.slow
@pytest.mark.parametrize("modalities", [(V,), (V, D)])
def test_attention_is_in_the_count_of_flops(modalities):
    width, aus, positions = 64, len(AUS), 4

    def parts(**changes):
        return flops.count_flops(MFT, Task(modalities, AUS, 56), MFT.Recipe.from_preset("tiny", changes)).parts

    actual, deep, plain = parts(layers=1), parts(layers=3), parts(layers=1, tokens="linear")
    memory = len(modalities) * aus
    products = 2 * aus * memory * width  # queries with keys, then shares with values
    linears = 2 * aus * width**2 + 2 * memory * width**2 + 8 * aus * width**2
    assert actual["fusion"].macs == products + linears + aus * width
    for m in modalities:
        assert deep[m].macs - actual[m].macs == 2 * (12 * aus * width**2 + 2 * aus**2 * width)
        assert actual[m].macs - plain[m].macs == 2 * aus * 128 * positions


def test_no_attention_takes_a_path_of_its_own_at_prediction():
    torch.manual_seed(0)
    mft = MFT(Task((V, D), AUS, 56), MFT.Recipe.from_preset("tiny", {"dropout": 0.0}))
    images = {m: torch.rand(2, m.channels, 56, 56) for m in (V, D)}
    for part in mft.encoders.values():
        part.eval()
    with torch.no_grad():
        trained = mft.fuse({m: mft.encode(m, images[m]) for m in (V, D)})
    with torch.inference_mode():
        torch.testing.assert_close(mft.eval()(images), trained, atol=1e-6, rtol=1e-5)


def test_dropout_acts_in_training_alone():
    mft = Bench((V, D), dropout=0.5).mft
    tokens = {m: torch.randn(FRAMES, len(AUS), TOKEN) for m in (V, D)}
    assert not torch.equal(mft.fuse(tokens), mft.fuse(tokens))
    mft.eval()
    assert torch.equal(mft.fuse(tokens), mft.fuse(tokens))


def test_it_refuses_to_be_asked_by_a_modality_that_is_not_there():
    assert (
        MFT.unsupported_reason(Task((V, D), AUS, 224), MFT.Recipe(query="thermal"))
        == "query=thermal needs thermal images"
    )
    for modalities in SETS:
        assert MFT.unsupported_reason(Task(modalities, AUS, 224), MFT.Recipe(query="visual")) is None


@pytest.mark.parametrize(
    ("changes", "reason"), [({"heads": 7}, "not a multiple of heads 7"), ({"tokens": "all"}, "tokens")]
)
def test_the_recipe_refuses_what_does_not_fit(changes, reason):
    with pytest.raises(AubenchError, match=reason):
        MFT.Recipe.from_preset("paper", changes)
