import pytest
import timm
import torch
from torch import nn

import aubench
from aubench import BranchedMethod, Fidelity, Method, MethodCard, Modality, Task
from aubench.core import registry
from aubench.evaluation import flops

AUS = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
V, D, T = Modality


class Whole(Method):
    card = MethodCard(title="Whole", paper="none", fidelity=Fidelity.EXACT)

    def make(self):
        raise NotImplementedError

    def __init__(self, task, recipe):
        super().__init__(task, recipe)
        self.network = self.make()

    def forward(self, inputs):
        return self.network(inputs[V]).sigmoid()


def of(make, size=224):
    method = type("Of", (Whole,), {"make": lambda self: make()})
    return flops.count_flops(method, Task((V,), AUS, size), aubench.Recipe())


def test_resnet18_costs_twice_1_8_g_macs():
    cost = of(lambda: timm.create_model("resnet18")).total
    assert cost.flops == pytest.approx(3.628e9, rel=1e-3)
    assert cost.flops == 2 * cost.macs
    assert cost.parameters == 11_689_512


@pytest.mark.slow
def test_vit_counts_its_fused_attention():
    cost = of(lambda: timm.create_model("vit_base_patch16_224")).total
    assert cost.flops == pytest.approx(35.128e9, rel=1e-4)
    assert cost.parameters == 86_567_656


@pytest.mark.parametrize("trained", [True, False])
def test_a_transformer_layer_in_evaluation_mode_is_counted(trained):
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).requires_grad_(trained)

        def forward(self, images):
            return self.layer(images.reshape(1, -1, 8)).mean((1, 2))

    tokens = 16 * 16 * 3 // 8
    projections = 2 * tokens * (8 * 24 + 8 * 8 + 8 * 16 * 2)
    attention = 2 * 2 * tokens * tokens * 8
    assert of(Tokens, size=16).total.flops == projections + attention


def test_a_linear_layer_by_hand_and_what_is_not_counted():
    compute = of(lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 12)), size=16)
    assert (compute.total.macs, compute.total.parameters) == (3 * 16 * 16 * 12, 3 * 16 * 16 * 12 + 12)
    assert compute.uncounted == ("aten.sigmoid",)
    assert compute.parts == {}


@pytest.mark.slow
def test_products_with_vectors_and_bilinear_layers_are_counted():
    class Products(nn.Module):
        def __init__(self):
            super().__init__()
            self.vector, self.bilinear = nn.Parameter(torch.ones(768)), nn.Bilinear(48, 48, 12)

        def forward(self, images):
            tokens = images.reshape(len(images), 16, 48)
            products = images.flatten(1) @ self.vector + torch.addmv(self.vector[:1], images.flatten(1), self.vector)
            return self.bilinear(tokens[:, 0], tokens[:, 1]) + products[:, None] + self.vector @ self.vector

    cost = of(Products, 16)
    assert cost.total.macs == 3 * 768 + 48 * 48 * 12
    assert not {"aten.mv", "aten.addmv", "aten.dot", "aten._trilinear"} & set(cost.uncounted)


def test_attention_without_gradients_is_counted():
    layer, tokens = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval(), torch.ones(1, 5, 8)
    was_enabled = torch.backends.mha.get_fastpath_enabled()
    with torch.inference_mode(), flops.counted_flops() as counter:
        layer(tokens)
    assert counter.get_total_flops() == 2 * 5 * (8 * 24 + 8 * 8 + 8 * 16 * 2) + 2 * 2 * 5 * 5 * 8
    assert torch.backends.mha.get_fastpath_enabled() is was_enabled


def test_branches_and_fusion_make_up_the_whole():
    method = registry.find_method("amf").method_class
    recipe = method.Recipe.from_preset("tiny", {})
    compute = flops.count_flops(method, Task((V, D, T), AUS, recipe.crop), recipe)
    assert list(compute.parts) == ["visual", "depth", "thermal", "fusion"]
    for what in ("flops", "macs", "parameters"):
        assert sum(getattr(part, what) for part in compute.parts.values()) == getattr(compute.total, what)
    scoring, votes = 3 * 2 * 128 * 128, 100 * 128 * 12
    assert compute.parts["fusion"].macs == scoring + votes


def test_there_are_no_parts_where_predictions_do_not_use_all():
    method = registry.find_method("mtut").method_class
    task = Task((V, D), AUS, 56)
    mean, visual = (
        flops.count_flops(method, task, method.Recipe.from_preset("tiny", {"scored": scored}))
        for scored in ("mean", "visual")
    )
    assert sum(part.flops for part in mean.parts.values()) == mean.total.flops
    assert visual.total.flops < mean.total.flops and visual.parts == {}


@pytest.mark.slow
def test_late_fusion_of_two_full_resnets():
    method = registry.find_method("late_fusion").method_class
    compute = flops.count_flops(method, Task((V, D), AUS, 224), method.Recipe())
    assert compute.parts["visual"].flops == pytest.approx(2 * 1.81e9, rel=5e-3)
    assert compute.parts["fusion"].macs == 1024 * 12
    assert compute.parts["fusion"].parameters == 1024 * 12 + 12


def test_an_encoder_that_is_shared_counts_with_each_and_not_with_the_fusion():
    class Shared(BranchedMethod):
        card = Whole.card

        def __init__(self, task, recipe):
            super().__init__(task, recipe)
            self.encoder, self.head = nn.Linear(256, 4), nn.Linear(4, 12)

        def encode(self, modality, images):
            return self.encoder(images.mean(1).flatten(1))

        def fuse(self, features):
            return self.head(sum(features.values())).sigmoid()

    compute = flops.count_flops(Shared, Task((V, D), AUS, 16), aubench.Recipe())
    assert {name: part.parameters for name, part in compute.parts.items()} == {
        "visual": 1028,
        "depth": 1028,
        "fusion": 60,
    }
    assert compute.total.parameters == 1028 + 60


def test_counting_draws_no_weights(monkeypatch):
    monkeypatch.setattr(
        torch.Tensor, "normal_", lambda *args, **kwargs: pytest.fail("drew") if not args[0].is_meta else args[0]
    )
    method = registry.find_method("resnet_visual").method_class
    assert flops.count_flops(method, Task((V,), AUS, 224), method.Recipe()).total.flops > 3e9
