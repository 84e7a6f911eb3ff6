"""Initial weights of MCM's encoder: timm's names and values, error messages, and training data."""

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer

from aubench import AubenchError, Modality, Task
from aubench.core import registry
from aubench.evaluation import flops
from aubench.methods._modules import masked_autoencoder as mae
from aubench.methods._modules.transformer import sine_cosine_grid

V, D, T = Modality
AUS = (1, 2, 4)
MCM = registry.find_method("mcm").method_class


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A small vision transformer of timm's with weights drawn by chance, and its file."""
    torch.manual_seed(0)
    network = VisionTransformer(img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=4, num_classes=0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    network.pos_embed.data = torch.cat([torch.zeros(1, 32), sine_cosine_grid(4, 4, 32)]).unsqueeze(0)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file({**network.state_dict(), "head.weight": torch.zeros(5, 32)}, path)
    return network.eval(), path


def test_with_the_same_weights_the_encoder_is_timms(published):
    network, path = published
    encoder = mae.ViT(32, 8, 32, 2, 4, source=str(path)).eval()
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    mean, deviation = (0.485 + 0.456 + 0.406) / 3, (0.229 + 0.224 + 0.225) / 3
    with torch.no_grad():
        expected = network.forward_features(((images + 1) / 2 - mean) / deviation)
        torch.testing.assert_close(encoder(images), expected, atol=1e-4, rtol=1e-4)


def test_without_weights_images_pass_as_they_are():
    encoder = mae.ViT(32, 8, 32, 2, 4)
    assert (encoder.scale, encoder.shift) == (1.0, 0.0)


def test_weights_of_another_size_are_refused(published):
    with pytest.raises(AubenchError, match="give weights of a ViT") as caught:
        mae.ViT(32, 8, 64, 2, 4, source=str(published[1]))
    assert "\n" not in str(caught.value)


def test_offline_weights_end_in_one_line(monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def absent(*args, **kwargs):
        raise LocalEntryNotFoundError("not in the cache")

    def unreachable(*args, **kwargs):
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", absent)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", unreachable)
    with pytest.raises(AubenchError) as caught:
        mae.ViT(32, 16, 32, 2, 4, source="mae")
    assert str(caught.value) == (
        "weights 'mae' of ViT-B/16: cannot be downloaded (ConnectionError); "
        "set weights=PATH to model.safetensors of timm/vit_base_patch16_224.mae, or weights=none"
    )


@pytest.fixture(scope="module")
def full_size():
    with torch.device("meta"):
        return MCM(Task((V, D), AUS, 224), MCM.Recipe.from_preset("paper", {}))


@pytest.mark.slow
@pytest.mark.parametrize("name", mae.REPOSITORIES)
def test_the_papers_encoder_has_the_names_and_shapes_of_the_hub(full_size, name):
    architecture = mae.REPOSITORIES[name].removeprefix("timm/").split(".")[0]
    with torch.device("meta"):
        hub = timm.create_model(architecture, num_classes=0).state_dict()
    own = full_size.encoder.state_dict()
    assert {key: value.shape for key, value in own.items()} == {
        key: value.shape for key, value in hub.items() if key != "pos_embed"
    }


@pytest.mark.slow
def test_the_papers_recipe_costs_what_vit_b_16_costs():
    actual = flops.count_flops(MCM, Task((V, D), AUS, 224), MCM.Recipe.from_preset("paper", {}))
    assert actual.total.flops == pytest.approx(2 * 17.56e9, rel=0.005)


@pytest.mark.parametrize(
    ("weights", "datasets"),
    [
        ("none", []),
        ("mae", [("ImageNet-1k",)]),
        ("imagenet", [("ImageNet-1k",)]),
        ("some/w.safetensors", [("unknown",)]),
    ],
)
def test_recipe_says_what_its_first_weights_had_seen(weights, datasets):
    assert [seen.datasets for seen in MCM.Recipe(weights=weights).pretraining_sources()] == datasets
