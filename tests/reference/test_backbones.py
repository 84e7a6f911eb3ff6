"""First layers for other channel counts, and how weights come in."""

import pickle

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from aubench import AubenchError, Modality, Task
from aubench.core import registry
from aubench.core.errors import RecipeError
from aubench.methods._modules import backbones
from aubench.methods._modules.backbones import Encoder, widen_conv1

AUS = (1, 2, 4, 6)
V, D, T = Modality


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_widening_agrees_with_a_loop(channels):
    rgb = np.random.default_rng(0).normal(size=(4, 3, 7, 7))
    actual = widen_conv1(torch.tensor(rgb), channels).numpy()
    for o, c, i, j in np.ndindex(4, channels, 7, 7):
        weight = rgb[o, c, i, j] if channels >= 3 and c < 3 else sum(rgb[o, :, i, j]) / 3
        assert actual[o, c, i, j] == pytest.approx(weight * 3 / channels)


def test_one_channel_answers_like_the_replicated_image():
    rgb = torch.randn(8, 3, 7, 7, dtype=torch.float64)
    grey = torch.randn(2, 1, 16, 16, dtype=torch.float64)
    replicated = torch.conv2d(grey.expand(-1, 3, -1, -1), rgb)
    torch.testing.assert_close(torch.conv2d(grey, widen_conv1(rgb, 1)), replicated)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights in the form that timm publishes, drawn by chance."""
    torch.manual_seed(0)
    network = timm.create_model("resnet18")
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(network.state_dict(), path)
    return network.eval(), path


@pytest.mark.slow
def test_weights_from_a_file_see_imagenet_statistics(weights):
    network, path = weights
    encoder = Encoder("resnet18", 3, str(path)).eval()
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    usual = ((images + 1) / 2 - mean[:, None, None]) / std[:, None, None]
    with torch.no_grad():
        expected = network.forward_head(network.forward_features(usual), pre_logits=True)
        torch.testing.assert_close(encoder(images), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_early_and_late_fusion_widen_their_first_layers(weights):
    network, path = weights
    rgb = network.conv1.weight
    late, early = (registry.find_method(name).method_class for name in ("late_fusion", "early_fusion"))
    recipe = {"weights": str(path)}
    late = late(Task((V, D), AUS, 224), late.Recipe.from_preset("paper", recipe))
    early = early(Task((V, D, T), AUS, 224), early.Recipe.from_preset("paper", recipe))
    torch.testing.assert_close(late.encoders["visual"].network.conv1.weight, rgb)
    torch.testing.assert_close(late.encoders["depth"].network.conv1.weight, rgb.sum(1, keepdim=True))
    wide = early.encoder.network.conv1.weight
    torch.testing.assert_close(wide[:, :3], rgb * 3 / 5)
    torch.testing.assert_close(wide[:, 3], rgb.mean(1) * 3 / 5)
    torch.testing.assert_close(wide[:, 4], wide[:, 3])


def test_without_weights_images_pass_as_they_are():
    encoder = Encoder("narrow", 3, "none").eval()
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(encoder(images), encoder.network(images))


def test_a_pickle_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps({"conv1.weight": 1}))
    with pytest.raises(AubenchError, match="is not a safetensors file") as caught:
        Encoder("resnet18", 3, str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(AubenchError, match=r"nothing\.safetensors: no such file"):
        Encoder("resnet18", 3, str(tmp_path / "nothing.safetensors"))


@pytest.mark.slow
def test_weights_of_another_network_are_refused(weights):
    with pytest.raises(AubenchError, match="give weights of timm's resnet50"):
        Encoder("resnet50", 3, str(weights[1]))


def test_offline_imagenet_weights_end_in_one_line(monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def absent(*args, **kwargs):
        raise LocalEntryNotFoundError("not in the cache")

    def unreachable(*args, **kwargs):
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", absent)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", unreachable)
    with pytest.raises(AubenchError) as caught:
        Encoder("resnet18", 3, "imagenet")
    assert str(caught.value) == (
        "ImageNet weights of resnet18: cannot be downloaded (ConnectionError); "
        "set weights=PATH to model.safetensors of timm/resnet18.tv_in1k, or weights=none"
    )


def test_narrow_has_no_imagenet_weights():
    with pytest.raises(AubenchError, match="set weights=none"):
        Encoder("narrow", 3, "imagenet")


def test_on_the_meta_device_no_weights_are_wanted():
    with torch.device("meta"):
        assert Encoder("resnet18", 3, "imagenet").scale.is_meta


def test_narrow_is_narrow():
    network = backbones.Encoder("narrow", 3, "none")
    assert network.features == 128
    assert sum(p.numel() for p in network.parameters()) < 320_000


@pytest.mark.parametrize(
    ("weights", "datasets"),
    [("none", []), ("imagenet", [("ImageNet-1k",)]), ("some/where/w.safetensors", [("unknown",)])],
)
def test_recipe_says_what_its_first_weights_had_seen(weights, datasets):
    assert [seen.datasets for seen in backbones.BackboneRecipe(weights=weights).pretraining_sources()] == datasets


@pytest.mark.parametrize("step", [{"batch_size": 1}, {"frames_per_epoch": 1}])
def test_a_step_of_one_frame_needs_a_map_of_several_positions(step):
    with pytest.raises(RecipeError, match=f"a step of one frame needs a crop above 32, or set {next(iter(step))} to 2"):
        backbones.BackboneRecipe.from_preset("tiny", {"image_size": 32, "crop": 32, **step})
    recipe = backbones.BackboneRecipe.from_preset("tiny", {"image_size": 64, "crop": 33, **step})
    with torch.no_grad():
        encoder = backbones.Encoder(recipe.backbone, 1, "none").train()
        assert torch.isfinite(encoder(torch.rand(1, 1, recipe.crop, recipe.crop))).all()
