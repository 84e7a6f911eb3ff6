"""MCM's masked autoencoder, losses (eqs. 4 and 5), stages, optimisers and schedules, against plain loops."""

import math

import numpy as np
import pytest
import torch

from aubench import Batch, Modality, Progress, Task
from aubench.core import registry
from aubench.core.errors import RecipeError
from aubench.methods import mcm
from aubench.methods._modules import masked_autoencoder as mae
from aubench.methods._modules.transformer import patchify

V, D, T = Modality
AUS = (1, 2, 4)
MCM = registry.find_method("mcm").method_class
SMALL = {"patch": 8, "width": 16, "heads": 2, "depth": 2, "decoder_width": 16, "decoder_heads": 2, "decoder_depth": 1}


def build(modalities=(V, D), **changes):
    torch.manual_seed(0)
    return MCM(Task(modalities, AUS, 56), MCM.Recipe.from_preset("tiny", {**SMALL, **changes}))


def batch(modalities=(V, D), frames=4):
    generator = torch.Generator().manual_seed(1)
    images = {m: torch.rand(frames, m.channels, 56, 56, generator=generator) * 2 - 1 for m in modalities}
    return Batch(images, torch.randint(-1, 2, (frames, len(AUS)), generator=generator))


def loss(method, stage, data):
    torch.manual_seed(2)
    return method.loss(data, stage, Progress(0, stage.epochs, 0, 1))


@pytest.mark.parametrize(("cells", "share", "masked"), [(196, 0.5, 98), (196, 0.75, 147), (49, 0.5, 24), (10, 0.97, 9)])
def test_masking_keeps_exactly_the_share(cells, share, masked):
    visible = mae.sample_visible_patches(64, cells, share, torch.device("cpu"))
    hidden = mae.masked_patches(visible, cells)
    assert visible.shape == (64, cells - masked)
    assert (hidden.sum(1) == masked).all()
    for frame in range(64):
        assert sorted(visible[frame].tolist()) == [cell for cell in range(cells) if not hidden[frame, cell]]


def test_every_patch_is_masked_equally_often():
    torch.manual_seed(3)
    share = mae.masked_patches(mae.sample_visible_patches(20_000, 12, 0.25, torch.device("cpu")), 12).double().mean(0)
    np.testing.assert_allclose(share, 0.25, atol=0.015)


def test_loss_agrees_with_a_loop_over_masked_patches():
    random = np.random.default_rng(4)
    predicted, target = random.normal(size=(2, 3, 6, 5))
    masked = np.array([[True, False, True, True, False, False], [False] * 6, [True] * 6])
    terms = [np.mean((predicted[n, i] - target[n, i]) ** 2) for n, i in np.ndindex(3, 6) if masked[n, i]]
    tensors = [torch.from_numpy(values) for values in (predicted, target, masked)]
    assert mae.mean_squared_error(*tensors).item() == pytest.approx(sum(terms) / len(terms))
    assert mae.mean_squared_error(*tensors[:2], tensors[2] & False).item() == 0


def test_normalised_targets_agree_with_a_loop():
    patches = np.random.default_rng(5).normal(2, 3, size=(2, 3, 12))
    actual = mae.normalize_patches(torch.from_numpy(patches)).numpy()
    for n, i in np.ndindex(2, 3):
        values = patches[n, i]
        variance = sum((v - values.mean()) ** 2 for v in values) / 11
        np.testing.assert_allclose(actual[n, i], (values - values.mean()) / math.sqrt(variance + 1e-6))


def test_encoder_sees_kept_patches_alone_with_their_positions():
    method = build()
    image, visible = torch.randn(2, 3, 56, 56), torch.tensor([[3, 40, 7], [0, 1, 48]])
    hidden = mae.masked_patches(visible, 49).view(2, 1, 7, 7).repeat_interleave(8, 2).repeat_interleave(8, 3)
    with torch.no_grad():
        tokens = method.encoder(image, visible)
        assert tokens.shape == (2, 4, 16)
        assert torch.equal(tokens, method.encoder(image.masked_fill(hidden, 9.0), visible))
        assert not torch.allclose(tokens, method.encoder(image, (visible + 1) % 49))
        torch.testing.assert_close(tokens[:, [0, 3, 1, 2]], method.encoder(image, visible[:, [2, 0, 1]]))


def test_decoder_puts_tokens_where_their_patches_were():
    decoder = build().decoders["depth"]
    tokens, visible = torch.randn(1, 4, 16), torch.tensor([[3, 40, 7]])
    seen = []
    decoder.blocks.register_forward_pre_hook(lambda module, args: seen.append(args[0][0]))
    with torch.no_grad():
        assert decoder(tokens, visible).shape == (1, 49, 64)
        embedded = decoder.embed(tokens)[0]
        for cell in range(49):
            index = visible[0].tolist().index(cell) + 1 if cell in visible[0] else None
            expected = (decoder.mask_token[0, 0] if index is None else embedded[index]) + decoder.positions[cell]
            torch.testing.assert_close(seen[0][1 + cell], expected)
        torch.testing.assert_close(seen[0][0], embedded[0])


@pytest.mark.parametrize("modalities", [(V, D), (V, T), (V, D, T)])
def test_reconstructions_of_all_modalities_add_up(modalities):
    method = build(modalities)
    terms = loss(method, method.stages()[0], batch(modalities))
    assert set(terms) == {"total", *(m.value for m in modalities)}
    assert terms["total"].item() == pytest.approx(sum(terms[m.value].item() for m in modalities), rel=1e-6)


@pytest.mark.parametrize("modalities", [(V, D), (V, T), (V, D, T)])
def test_decoders_have_the_depths_of_the_paper(modalities):
    method = build(modalities, decoder_depth=8, other_decoder_depth=4)
    assert [len(method.decoders[m.value].blocks) for m in modalities] == [8, 4, 4][: len(modalities)]
    assert [method.decoders[m.value].pixels.out_features for m in modalities] == [192, 64, 64][: len(modalities)]


@pytest.mark.parametrize("judged", ["masked", "all"])
def test_visible_patches_count_only_on_request(judged):
    method = build(loss_on=judged)
    stage, data = method.stages()[0], batch()
    actual = []
    for change in (0.0, 1.0):
        torch.manual_seed(2)
        image = method._image(data.inputs, "mixed")
        visible = mae.sample_visible_patches(4, 49, 0.5, image.device)
        tokens = method.encoder(image, visible)
        output, target = method.decoders["depth"](tokens, visible), patchify(data.inputs[D], 8)
        hidden = mae.masked_patches(visible, 49)
        target = torch.where(hidden[..., None], target, target + change)
        counted = hidden if judged == "masked" else torch.ones_like(hidden)
        actual.append(mae.mean_squared_error(output, target, counted).item())
    assert actual[0] == pytest.approx(loss(method, stage, data)["depth"].item(), rel=1e-5)
    assert (actual[0] == actual[1]) == (judged == "masked")


def test_labels_have_no_part_in_pretraining():
    method = build()
    data = batch()
    hidden = Batch(data.inputs, torch.full_like(data.labels, -1))
    assert torch.equal(*(loss(method, method.stages()[0], each)["total"] for each in (data, hidden)))


@pytest.mark.parametrize("how", ["inverse", "as_printed", "none"])
def test_eq_4_agrees_with_a_loop(how):
    labels = np.array([[1, 0, 1], [1, 0, 0], [1, 1, 0], [1, 0, 0]])
    total = sum(labels[i, k] for i in range(4) for k in range(3))
    chance = [sum(labels[i, k] for i in range(4)) / total for k in range(3)]
    as_printed = [p / min(chance) for p in chance]
    expected = {"as_printed": as_printed, "inverse": [max(chance) / p for p in chance], "none": [1, 1, 1]}[how]
    method = build()
    method.on_train_labels([torch.from_numpy(labels[:1]), torch.from_numpy(labels[1:])])
    np.testing.assert_allclose(mcm.positive_weights(method.rates, how), expected, rtol=1e-6)


def met(labels):
    method = build()
    method.on_train_labels([torch.tensor(labels)])
    return method.rates


def test_rates_leave_unknown_labels_out():
    np.testing.assert_allclose(met([[1, 0, 1], [0, 1, -1], [-1, 1, -1], [0, 0, 0]]), [1 / 3, 1 / 2, 1 / 2])


@pytest.mark.parametrize(("how", "expected"), [("inverse", [3, 1]), ("as_printed", [1, 3]), ("none", [1, 1])])
@pytest.mark.parametrize("third", [0, -1])
def test_an_au_that_never_occurs_weighs_1_and_sways_no_other(third, how, expected):
    rates = met([[1, 1, third], [0, 1, third], [0, 1, third], [0, 0, third]])
    np.testing.assert_allclose(mcm.positive_weights(rates, how), [*expected, 1])


def test_without_any_positive_all_aus_weigh_1():
    rates = met([[0, 0, -1], [0, -1, 0]])
    assert all(mcm.positive_weights(rates, how).eq(1).all() for how in ("inverse", "as_printed", "none"))


def test_eq_5_agrees_with_a_loop():
    random = np.random.default_rng(6)
    logits, labels, weights = random.normal(size=(5, 3)), random.integers(-1, 2, (5, 3)), random.uniform(1, 4, 3)
    expected = 0.0
    for i, k in np.ndindex(5, 3):
        chance = 1 / (1 + math.exp(-logits[i, k]))
        if labels[i, k] >= 0:
            expected -= weights[k] * labels[i, k] * math.log(chance) + (1 - labels[i, k]) * math.log(1 - chance)
    actual = mcm.weighted_bce(*map(torch.from_numpy, (logits, labels, weights)))
    assert actual.item() == pytest.approx(expected / 5, rel=1e-5)


def test_finetuning_minimises_eq_5_of_its_own_rates():
    method = build(inputs="visual", drop_path=0.0)
    method.on_train_labels([torch.tensor([[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 0, 0]])])
    data = batch()
    chance = method.eval()(data.inputs)
    expected = mcm.weighted_bce(chance.logit(), data.labels, torch.tensor([1.0, 4.0, 4.0]))
    actual = loss(method.train(), method.stages()[1], data)["total"]
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_each_stage_trains_its_own_parts():
    method = build(layer_decay=0.5)
    names = {id(p): name for name, p in method.named_parameters()}
    first, second = (method.optimizer(stage) for stage in method.stages())
    parts = [{names[id(p)].split(".")[0] for g in o.param_groups for p in g["params"]} for o in (first, second)]
    assert parts == [{"encoder", "decoders"}, {"encoder", "classifier"}]
    assert {g["lr"] for g in first.param_groups} == {method.recipe.pretrain_learning_rate}
    rates = {names[id(p)]: g["lr"] / method.recipe.learning_rate for g in second.param_groups for p in g["params"]}
    for start, depth in {"encoder.cls_token": 0, "encoder.patch_embed": 0, "encoder.blocks.0": 1}.items():
        assert {rates[name] for name in rates if name.startswith(start)} == {0.5 ** (3 - depth)}
    assert {rates[name] for name in rates if name.startswith(("encoder.norm", "classifier"))} == {1.0}
    assert (first.param_groups[0]["betas"], second.param_groups[0]["betas"]) == ((0.9, 0.95), (0.9, 0.99))


def test_schedules_agree_with_the_paper():
    paper = {name: field.default for name, field in MCM.Recipe.model_fields.items()}
    names = [name for name in paper if any(word in name for word in ("epochs", "learning", "decay", "checkpoint"))]
    method = build(**{name: paper[name] for name in names})
    pretrain, train = method.stages()
    assert (pretrain.epochs, train.epochs, pretrain.pretraining, pretrain.include_all_subjects) == (25, 5, True, False)
    for stage, epoch, step in [(pretrain, *divmod(i, 4)) for i in range(120)] + [
        (train, *divmod(i, 4)) for i in range(20)
    ]:
        base, warmup, epochs = (2e-4, 5, 30) if stage is pretrain else (4e-4, 1, 5)
        now = epoch + step / 4
        rate = base * now / warmup
        if now >= warmup:
            cosine = (1 + math.cos(math.pi * (now - warmup) / (epochs - warmup))) / 2
            cut = 0.1 if stage is train else 1.0
            rate = 1e-6 + (cut * base - 1e-6) * cosine
        actual = base * method.learning_rate_factor(stage, Progress(epoch, epochs, step, 4))
        assert actual == pytest.approx(rate)


def test_fine_tuning_starts_from_epoch_25_of_a_schedule_of_30():
    paper = MCM.Recipe.from_preset("paper", {})
    assert (paper.pretrain_epochs, paper.pretrain_checkpoint) == (30, 25)
    rates = []
    for checkpoint in (2, None):
        method = build(pretrain_epochs=8, pretrain_checkpoint=checkpoint, pretrain_warmup_epochs=0)
        stage = method.stages()[0]
        rates.append([method.learning_rate_factor(stage, Progress(e, stage.epochs, 1, 2)) for e in range(stage.epochs)])
    assert [len(each) for each in rates] == [2, 8]
    assert rates[0] == rates[1][:2], "epochs after the chosen one still shape the schedule"
    assert build(pretrain_epochs=3, pretrain_checkpoint=25).stages()[0].epochs == 3
    assert build(pretrain_epochs=0, pretrain_checkpoint=25).stages()[0].name == "train"


def test_a_tenth_of_the_frames_is_held_out_of_pretraining():
    assert build(pretrain_validation=0.1).stages()[0].held_out == 0.1
    assert MCM.Recipe.from_preset("paper", {}).pretrain_validation == 0.1


def test_the_second_version_has_its_preset():
    second, paper = (MCM.Recipe.from_preset(preset, {}) for preset in ("paper_v2", "paper"))
    method = MCM(Task((V, D, T), AUS, 56), second.model_copy(update={**SMALL, "weights": "none"}))
    assert method.stages()[0].epochs == 100 and list(method.decoders) == ["visual", "depth", "thermal"]
    assert method.fuse.in_channels == 5 and method.patterns.shape[2] == 5
    changed = {name for name in MCM.Recipe.model_fields if getattr(second, name) != getattr(paper, name)}
    assert changed == {"pretrain_epochs", "pretrain_checkpoint"}


@pytest.mark.parametrize("pool", ["fc_norm", "mean", "cls"])
def test_the_classifier_takes_the_mean_of_patch_tokens_before_a_new_norm_as_mae_does(pool):
    method, tokens = build(pool=pool).eval(), []
    method.encoder.blocks.register_forward_hook(lambda module, args, output: tokens.append(output))
    with torch.no_grad():
        for name, value in method.named_parameters():
            if "norm" in name or name.startswith("classifier.0"):
                value.add_(torch.rand_like(value))
        actual = method._logits(torch.randn(2, 3, 56, 56))
        new_norm, linear = method.classifier
        encoded = method.encoder.norm(tokens[0])
        pooled = {"fc_norm": new_norm(tokens[0][:, 1:].mean(1)), "mean": encoded[:, 1:].mean(1), "cls": encoded[:, 0]}
        torch.testing.assert_close(actual, linear(pooled[pool]))
    assert MCM.Recipe.from_preset("paper", {}).pool == "fc_norm"


@pytest.mark.parametrize("epochs", [0, 1])
@pytest.mark.parametrize("pool", ["fc_norm", "mean"])
def test_every_norm_is_trained_where_it_is_used(epochs, pool):
    method = build(pool=pool, pretrain_epochs=epochs)
    names = {id(p): name for name, p in method.named_parameters()}
    for stage in method.stages():
        method.zero_grad()
        loss(method, stage, batch())["total"].backward()
        trained = {
            names[id(p)] for g in method.optimizer(stage).param_groups for p in g["params"] if p.grad is not None
        }
        assert trained == {name for name, p in method.named_parameters() if p.grad is not None}
        assert ("encoder.norm.weight" in trained) == (stage.pretraining or pool == "mean")
        assert ("classifier.0.weight" in trained) == (pool == "fc_norm" and not stage.pretraining)


@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_presets_that_do_not_crop_are_those_that_the_card_names(preset):
    recipe = MCM.Recipe.from_preset(preset, {})
    assert (recipe.image_size, recipe.crop, recipe.flip) == (56, 56, True)
    assert any("The presets tiny and small do not crop" in deviation for deviation in MCM.card.deviations)


def test_drop_path_is_for_finetuning_alone():
    method = build(drop_path=0.2)
    rates = []
    for stage in method.stages():
        loss(method, stage, batch())
        rates.append([block.drop_path1.drop_prob for block in method.encoder.blocks])
    assert rates == [[0.0, 0.0], [0.0, 0.2]]


IMAGES = ("mixed", "conv", "visual", "depth")


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(a, b) for a in IMAGES for b in IMAGES])
def test_every_row_of_the_ablation_trains_all_that_it_has(before, after):
    method = build(pretrain_inputs=before, inputs=after).train()
    assert set(method.decoders) == ({before} if before in ("visual", "depth") else {"visual", "depth"})
    for stage in method.stages():
        loss(method, stage, batch())["total"].backward()
        trained = {id(p) for group in method.optimizer(stage).param_groups for p in group["params"]}
        seen = before if stage.pretraining else after
        assert (id(method.fuse.weight) in trained) == (seen == "conv")
        assert trained <= {id(p) for p in method.parameters() if p.grad is not None}
    assert all(p.grad is not None for p in method.parameters() if p.requires_grad)


def test_without_pretraining_there_are_no_decoders():
    method = build(pretrain_epochs=0)
    assert [stage.name for stage in method.stages()] == ["train"]
    assert len(method.decoders) == 0


def test_pretraining_on_everyone_is_said():
    assert build(pretrain_scope="all").stages()[0].include_all_subjects


@pytest.mark.parametrize("judged", ["masked", "all"])
def test_reconstructions_are_whole_images(judged):
    method = build((V, D, T), loss_on=judged, norm_pix_loss=judged == "all").eval()
    inputs = batch((V, D, T)).inputs
    torch.manual_seed(0)
    actual = method.reconstruct(inputs, 0.75)
    assert {m: x.shape[1] for m, x in actual.restored.items()} == {V: 3, D: 1, T: 1}
    assert all(torch.equal(actual.original[m], inputs[m]) for m in (V, D, T))
    hidden = patchify((actual.masked["mixed"] == 0).float(), 8).all(-1)
    assert (hidden.sum(1) == 37).all()
    channels = patchify(torch.cat([inputs[m] for m in (V, D, T)], 1), 8).unflatten(-1, (64, 5))
    shown = patchify(actual.masked["mixed"], 8).unflatten(-1, (64, 3))
    among = (shown[..., None] == channels[..., None, :]).all(2).any(-1).all(-1)
    assert torch.equal(among, ~hidden)
    same = (patchify(actual.restored[D], 8) == patchify(inputs[D], 8)).all(-1)
    assert torch.equal(same, ~hidden) if judged == "masked" else not same.any()


@pytest.mark.parametrize(
    ("modalities", "changes", "reason"),
    [
        ((D, T), {}, "needs visual images"),
        ((V, D), {"inputs": "thermal"}, "needs thermal images"),
        ((V, T), {"pretrain_inputs": "depth"}, "needs depth images"),
        ((V, T), {"pretrain_inputs": "depth", "inputs": "depth", "pretrain_epochs": 0}, "needs depth images"),
    ],
)
def test_what_cannot_be_done_is_refused(modalities, changes, reason):
    assert reason in MCM.unsupported_reason(Task(modalities, AUS, 56), MCM.Recipe.from_preset("tiny", changes))


def test_inputs_of_a_pretraining_that_does_not_happen_are_not_needed():
    task = Task((V, T), AUS, 56)
    recipe = MCM.Recipe.from_preset("tiny", {"pretrain_inputs": "depth", "pretrain_epochs": 0})
    assert MCM.unsupported_reason(task, recipe) is None
    assert MCM(task, recipe)(batch((V, T)).inputs).shape == (len(batch((V, T)).labels), len(AUS))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"patch": 9}, "not a multiple"),
        ({"heads": 5}, "not a multiple of 5 heads"),
        ({"mask": 0.02}, "mask 0.02 hides none of the 16 patches"),
        ({"patch": 56}, "mask 0.5 hides none of the 1 patches"),
        ({"epochs": 1}, "epochs is 1 and must exceed warmup_epochs, which is 1; set both"),
        ({"pretrain_warmup_epochs": 9}, "pretrain_epochs is 8 and must exceed pretrain_warmup_epochs, which is 9"),
        ({"final_learning_rate": 0.1}, "learning_rate is below final_learning_rate, which is 0.1"),
    ],
)
def test_values_that_do_not_fit_are_refused(changes, problem):
    with pytest.raises(RecipeError, match=problem):
        MCM.Recipe.from_preset("tiny", changes)


def test_visual_images_alone_are_mixed_among_their_channels():
    recipe = MCM.Recipe.from_preset("tiny", {})
    task = Task((V,), AUS, 56)
    assert MCM.unsupported_reason(task, recipe) is None
    method = MCM(task, recipe)
    images = torch.rand(2, 3, 56, 56) * 2 - 1
    seen = []
    method.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    method({V: images})
    assert torch.equal(seen[0].sort(1).values, images.sort(1).values)
    encoder = {name: x.shape for name, x in method.encoder.state_dict().items()}
    assert encoder == {name: x.shape for name, x in MCM(Task((V, D), AUS, 56), recipe).encoder.state_dict().items()}
