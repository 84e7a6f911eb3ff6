"""AU-vMAE as a whole: losses against loops written from the paper, levels, switches, first weights."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from aubench import AubenchError, Batch, Modality, Progress, Task
from aubench.core.errors import RecipeError
from aubench.methods._modules import video, video_weights
from aubench.methods.au_vmae import AUvMAE
from aubench.testing.cases import Case
from aubench.testing.check_method import INSTANCE_CHECKS

V, D, T = Modality
AUS = (1, 2, 4, 6, 12)
NOW = Progress(0, 10, 0, 4)
SMALL = {
    **{"image_size": 16, "crop": 16, "patch": 4, "clip_frames": 16, "segment": 8},
    **{"width": 16, "depth": 2, "heads": 2, "decoder_width": 8, "decoder_depth": 1},
}


def built(modalities=(V,), seed=0, **changes):
    torch.manual_seed(seed)
    recipe = AUvMAE.Recipe.from_preset("tiny", {**SMALL, **changes})
    return AUvMAE(Task(modalities, AUS, 16), recipe)


def clips(modalities=(V,), n=3, frames=16):
    generator = torch.Generator().manual_seed(1)
    return {m: torch.rand(n, frames, m.channels, 16, 16, generator=generator) * 2 - 1 for m in modalities}


def labels(n=3, frames=16):
    return torch.randint(-1, 2, (n, frames, len(AUS)), generator=torch.Generator().manual_seed(2))


def stage_of(method, pretraining):
    return next(stage for stage in method.stages() if stage.pretraining == pretraining)


def naive_terms(p, y, weights, k_intra, k_inter):
    """eqs. (2), (5) and (8) of a batch, frame by frame and pair by pair."""
    clips_, frames, aus = y.shape
    cls, seen = 0.0, 0
    for n, t in np.ndindex(clips_, frames):
        for i in range(aus):
            if y[n, t, i] >= 0:
                cls -= weights[i] * (math.log(p[n, t, i]) if y[n, t, i] == 1 else math.log(1 - p[n, t, i]))
        seen += (y[n, t] >= 0).any()
    intra = inter = 0.0
    for i, j in itertools.product(range(aus), repeat=2):
        pairs = [
            (p[n, t, i] > 0.5, p[n, t, j] > 0.5)
            for n, t in np.ndindex(clips_, frames)
            if y[n, t, i] >= 0 and y[n, t, j] >= 0
        ]
        either = sum(a or b for a, b in pairs)
        if either and k_intra[i, j] >= 0:
            intra += (k_intra[i, j] - sum(a and b for a, b in pairs) / either) ** 2
    for i, j in itertools.permutations(range(aus), 2):
        steps = [
            (p[n, t, i], p[n, t, j], p[n, t + 1, i], p[n, t + 1, j])
            for n, t in np.ndindex(clips_, frames - 1)
            if y[n, t : t + 2][:, [i, j]].min() >= 0
        ]
        for s in range(16):
            shares = [math.prod(x if s >> k & 1 else 1 - x for k, x in enumerate(step)) for step in steps]
            inter += (k_inter[i, j, s] - np.mean(shares)) ** 2
    return {"cls": cls / seen, "intra": math.sqrt(intra), "inter": math.sqrt(inter)}


@pytest.mark.parametrize("level", ["video", "frame"])
def test_eq_9_agrees_with_loops(level):
    method = built(level=level)
    generator = torch.Generator().manual_seed(5)
    method.on_train_labels([torch.randint(-1, 2, (60, len(AUS)), generator=generator)])
    y = labels()
    y[1, 9:] = -1
    with torch.no_grad():
        nn.init.normal_(method.head[1].weight, std=0.5)
        actual = method.loss(Batch(clips(), y), stage_of(method, False), NOW)
        p = method(clips()).double().numpy()
    expected = naive_terms(
        p, y.numpy(), method.au_weights.numpy(), method.knowledge_intra.numpy(), method.knowledge_inter.numpy()
    )
    assert expected["intra"] > 0.1
    expected["total"] = expected["cls"] + 0.01 * expected["intra"] + 0.01 * expected["inter"]
    assert {name: value.item() for name, value in actual.items()} == pytest.approx(expected, rel=1e-4)


def test_eq_1_agrees_with_loops():
    method = built()
    torch.manual_seed(9)
    actual = method.loss(Batch(clips(), labels()), stage_of(method, True), NOW)
    torch.manual_seed(9)
    cut = method.tubelets(clips())
    visible, hidden = method.sample_masks(cut, 0.9)
    with torch.no_grad():
        guess = method.decoder(method.encoder(cut, visible), visible, hidden)
    errors = []
    for n, step, k in np.ndindex(*guess.shape[:3]):
        tubelet = cut[n, step, hidden[n, k]].reshape(-1, 3)
        target = (tubelet - tubelet.mean(0)) / (tubelet.std(0) + 1e-6)
        errors.append((guess[n, step, k] - target.flatten()).square().mean().item())
    assert hidden.shape == (6, 14)
    assert actual["total"].item() == pytest.approx(np.mean(errors), rel=1e-4)


def test_pre_training_looks_at_shown_places_and_at_no_label():
    method = built()
    cut = method.tubelets(clips())
    visible, hidden = method.sample_masks(cut, 0.5)
    guess = method.decoder(method.encoder(cut, visible), visible, hidden)
    other = video.fill_masked(cut, hidden, torch.rand(*cut.shape[:2], hidden.shape[1], cut.shape[3]))
    assert torch.equal(guess, method.decoder(method.encoder(other, visible), visible, hidden))


@pytest.mark.parametrize(("level", "seen"), [("video", range(16)), ("frame", (2, 6, 10, 14)), ("patch", range(16))])
def test_every_level_predicts_every_frame_from_what_it_sees(level, seen):
    method = built(level=level).eval()
    images = clips()[V].requires_grad_()
    actual = method({V: images})
    assert actual.shape == (3, 16, len(AUS))
    (slopes,) = torch.autograd.grad(actual.square().sum(), images)
    met = slopes.abs().amax((0, 2)) > 0
    assert met.flatten(1).any(1).nonzero()[:, 0].tolist() == list(seen)
    places = met[list(seen)].unfold(1, 4, 4).unfold(2, 4, 4).flatten(3).any(-1).flatten(1)
    if level == "patch":
        assert places.sum(1).tolist() == [8] * 16
        assert (places[:8] == places[0]).all(), "the mask changes within a segment"
        assert (places[8:] == places[8]).all()
        assert (places[8] != places[0]).any()
    else:
        assert places.all()


def test_the_patch_level_trains_with_masks_by_chance_and_predicts_with_fixed_ones():
    method = built(level="patch")
    totals = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        totals.append(method.loss(Batch(clips(), labels()), stage_of(method, False), NOW)["total"].item())
    assert totals[0] != totals[1]
    torch.testing.assert_close(method(clips()), method(clips()))


def test_a_segment_does_not_see_the_others_but_where_frames_lie_between():
    method = built().eval()
    images = clips(n=1)[V].requires_grad_()
    (slopes,) = torch.autograd.grad(method({V: images})[0, 6].sum(), images)
    assert slopes[0, :8].any()
    assert not slopes[0, 8:].any()


def test_knowledge_is_neutral_until_labels_are_met_and_saved_with_the_weights():
    method = built()
    actual = method.loss(Batch(clips(), labels()), stage_of(method, False), NOW)
    assert actual["intra"] == actual["inter"] == 0
    method.on_train_labels(list(labels(40)))
    assert (method.knowledge_intra >= 0).all()
    other = built(seed=3)
    other.load_state_dict(method.state_dict())
    torch.testing.assert_close(other.knowledge_inter, method.knowledge_inter)
    torch.testing.assert_close(other.au_weights, method.au_weights)


def test_pair_knowledge_of_the_labels_is_what_was_met():
    method = built()
    method.on_train_labels(list(labels(40)))
    intra, inter = method.pair_statistics([x.float() for x in labels(40)])
    assert torch.equal(intra, method.knowledge_intra)
    assert torch.equal(inter, method.knowledge_inter)


def loss_of(**changes):
    method = built(**changes)
    method.on_train_labels(list(labels(40)))
    return method.loss(Batch(clips(), labels()), stage_of(method, False), NOW)


def test_every_term_has_a_switch():
    full = loss_of(weight_intra=0.5, weight_inter=2)
    torch.testing.assert_close(full["total"], full["cls"] + 0.5 * full["intra"] + 2 * full["inter"])
    torch.testing.assert_close(loss_of(weight_intra=0, weight_inter=0)["total"], full["cls"])
    assert loss_of(class_weights=False)["cls"] != full["cls"]
    assert loss_of(norm="mean")["intra"] < full["intra"]


def test_minority_clips_have_a_switch_and_follow_the_tasks_aus():
    track = torch.zeros(60, len(AUS), dtype=torch.int8)
    track[10, AUS.index(2)] = track[40, AUS.index(12)] = 1
    assert built().extra_clip_spans(track) == [(10, 26)]
    assert built(minority_aus="12").extra_clip_spans(track) == [(40, 56)]
    assert built(minority_clips=False).extra_clip_spans(track) == ()


def test_the_patch_level_shares_the_video_levels_pre_training_and_the_frame_level_has_its_own():
    before = {
        level: AUvMAE.Recipe.from_preset("tiny", {"level": level}).pretraining_config() for level in ("video", "patch")
    }
    assert before["video"] == before["patch"]
    assert before["video"] != AUvMAE.Recipe.from_preset("tiny", {"level": "frame"}).pretraining_config()
    later = {"weight_intra": 0.0, "minority_clips": False, "learning_rate": 0.5, "drop_path": 0.3}
    assert AUvMAE.Recipe.from_preset("tiny", later).pretraining_config() == before["video"]


@pytest.mark.parametrize(
    "changes",
    [
        {"segment": 6},
        {"patch": 9},
        {"width": 97},
        {"tubelet": 3},
        {"warmup_epochs": 90},
        {"pretrain_epochs": 1},
        {"level": "frame", "clip_frames": 18, "segment": 18},
    ],
)
def test_pieces_that_do_not_fit_are_refused(changes):
    with pytest.raises(RecipeError):
        AUvMAE.Recipe.from_preset("tiny", changes)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"level": "frame", "frame_stride": 16}, "clip_frames 8 is smaller than frame_stride 16"),
        ({"level": "frame", "clip_frames": 2}, "clip_frames 2 is smaller than frame_stride 4"),
        ({"patch": 64}, "mask 0.9 hides none of the 1 patches"),
        ({"mask": 0.05}, "mask 0.05 hides none of the 16 patches"),
    ],
)
def test_clips_without_frames_and_masks_without_patches_are_refused(changes, problem):
    with pytest.raises(RecipeError, match=problem):
        AUvMAE.Recipe.from_preset("tiny", changes)


def test_one_patch_needs_no_mask_without_pretraining():
    assert AUvMAE.Recipe.from_preset("tiny", {"patch": 64, "pretrain_epochs": 0}).patch == 64


def test_named_rare_aus_that_the_task_does_not_have_are_refused():
    task = Task((Modality.VISUAL,), (1, 2, 4), 64)
    for aus, reason in (("1,9", "names AU9"), ("99", "names AU99"), ("2", None), ("", None)):
        recipe = AUvMAE.Recipe.from_preset("tiny", {"minority_aus": aus})
        given = AUvMAE.unsupported_reason(task, recipe)
        assert given is None if reason is None else reason in given
    unused = AUvMAE.Recipe.from_preset("tiny", {"minority_aus": "99", "minority_clips": False})
    assert AUvMAE.unsupported_reason(task, unused) is None


def test_a_short_trial_runs_and_one_that_is_too_short_says_what_to_change_in_one_line():
    assert AUvMAE.Recipe.from_preset("tiny", {"epochs": 2}).epochs == 2
    with pytest.raises(RecipeError) as error:
        AUvMAE.Recipe.from_preset("tiny", {"epochs": 1})
    assert str(error.value) == "recipe: epochs is 1 and must exceed warmup_epochs, which is 1.5; set both"
    without_warmup = {"epochs": 1, "learning_rate_schedule": "constant"}
    assert AUvMAE.Recipe.from_preset("tiny", without_warmup).epochs == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", INSTANCE_CHECKS)
@pytest.mark.parametrize(
    ("modalities", "changes"),
    [
        ((V, D, T), {"input": "early"}),
        ((D,), {"input": "depth", "level": "patch"}),
        ((V,), {"level": "frame", "pretrain_epochs": 0}),
    ],
)
def test_other_inputs_and_levels_keep_the_contract(name, modalities, changes):
    recipe = AUvMAE.Recipe.from_preset("tiny", {**SMALL, **changes})
    INSTANCE_CHECKS[name](Case(AUvMAE, Task(modalities, (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24), 16), recipe))


def test_it_uses_the_modality_that_the_recipe_names():
    task = Task((V, D), AUS, 16)
    of = {name: AUvMAE.Recipe.from_preset("tiny", {"input": name}) for name in ("visual", "depth", "thermal", "early")}
    assert AUvMAE.select_modalities(task, of["depth"]) == (D,)
    assert AUvMAE.select_modalities(task, of["early"]) == (V, D)
    assert AUvMAE.unsupported_reason(task, of["thermal"]) == "needs thermal images"
    assert "got one" in AUvMAE.unsupported_reason(replace(task, modalities=(D,)), of["early"])


def test_reconstructions_keep_what_is_shown_and_fill_in_the_rest():
    method, images = built((V, D), input="early"), clips((V, D), n=2)
    with torch.no_grad():
        result = method.reconstruct(images, 0.5)
    original, masked, full = result.original, result.masked, result.restored
    for m in (V, D):
        torch.testing.assert_close(original[m], images[m])
        gone = masked[m] == 0
        assert gone.float().mean().item() == pytest.approx(0.5)
        assert torch.equal(full[m][~gone], images[m][~gone])
        assert (full[m][gone] != images[m][gone]).float().mean() > 0.99
    assert torch.equal(masked[V][:, :, :1] == 0, masked[D] == 0)


def test_with_nothing_hidden_the_images_come_back():
    method, images = built(), clips(n=1)
    result = method.reconstruct(images, 0.0)
    assert torch.equal(result.restored[V], images[V]) and torch.equal(result.masked[V], images[V])


def test_a_decoder_that_tells_the_target_reconstructs_the_images():
    method, images = built(), clips(n=1)
    cut = method.tubelets(images)
    method.decoder.forward = lambda tokens, visible, hidden: video.normalize_tubelets(
        video.gather_cells(cut, hidden), 3
    )
    torch.testing.assert_close(method.reconstruct(images, 0.75).restored[V], images[V])


def test_without_pre_training_there_is_nothing_to_reconstruct():
    assert not built(pretrain_epochs=0).reconstruct(clips(), 0.5).restored


def published(width=16, depth=2, patch=4, decoder=8):
    """Random weights under the names of the hub's, with both halves."""
    generator = torch.Generator().manual_seed(0)
    state = {
        "videomae.embeddings.patch_embeddings.projection.weight": (width, 3, 2, patch, patch),
        "videomae.embeddings.patch_embeddings.projection.bias": (width,),
        "mask_token": (1, 1, decoder),
        "encoder_to_decoder.weight": (decoder, width),
        "decoder.head.weight": (2 * patch**2 * 3, decoder),
        "decoder.head.bias": (2 * patch**2 * 3,),
    }
    for norm, size in (("videomae.layernorm", width), ("decoder.norm", decoder)):
        state |= {f"{norm}.weight": (size,), f"{norm}.bias": (size,)}
    for stack, count, d in (("videomae.encoder.layer", depth, width), ("decoder.decoder_layers", 1, decoder)):
        for i in range(count):
            own = f"{stack}.{i}."
            attention = f"{own}attention.attention."
            state |= {f"{attention}{part}.weight": (d, d) for part in ("query", "key", "value")}
            state |= {f"{attention}{part}_bias": (d,) for part in "qv"}
            for layer, rows, columns in (
                ("attention.output.dense", d, d),
                ("intermediate.dense", 4 * d, d),
                ("output.dense", d, 4 * d),
            ):
                state |= {f"{own}{layer}.weight": (rows, columns), f"{own}{layer}.bias": (rows,)}
            for norm in ("layernorm_before", "layernorm_after"):
                state |= {f"{own}{norm}.weight": (d,), f"{own}{norm}.bias": (d,)}
    return {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in state.items()}


def naive_block(state, own, x, heads):
    """A block of VideoMAE on (tokens, width), head by head."""
    d = x.shape[1]
    attention = f"{own}attention.attention."

    def norm(name, values):
        return functional.layer_norm(values, (d,), state[f"{own}{name}.weight"], state[f"{own}{name}.bias"])

    def dense(name, values):
        return values @ state[f"{own}{name}.weight"].T + state[f"{own}{name}.bias"]

    h = norm("layernorm_before", x)
    q = h @ state[f"{attention}query.weight"].T + state[f"{attention}q_bias"]
    k = h @ state[f"{attention}key.weight"].T
    v = h @ state[f"{attention}value.weight"].T + state[f"{attention}v_bias"]
    size = d // heads
    parts = [slice(i * size, (i + 1) * size) for i in range(heads)]
    mixed = [(q[:, c] @ k[:, c].T / math.sqrt(size)).softmax(1) @ v[:, c] for c in parts]
    x = x + dense("attention.output.dense", torch.cat(mixed, 1))
    return x + dense("output.dense", functional.gelu(dense("intermediate.dense", norm("layernorm_after", x))))


def test_published_weights_encode_as_their_own_network_does(tmp_path):
    state = published()
    save_file(state, tmp_path / "videomae.safetensors")
    method = built(weights=str(tmp_path / "videomae.safetensors"), segment=16, positions="line")
    images = clips(n=1)[V]
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = ((images[0] + 1) / 2 - mean[:, None, None]) / deviation[:, None, None]
    projection = "videomae.embeddings.patch_embeddings.projection"
    maps = functional.conv3d(
        pixels.transpose(0, 1)[None], state[f"{projection}.weight"], state[f"{projection}.bias"], stride=(2, 4, 4)
    )
    tokens = maps[0].flatten(1).T
    for p, k in np.ndindex(128, 8):
        angle = p / 10000 ** (2 * k / 16)
        tokens[p, 2 * k] += math.sin(angle)
        tokens[p, 2 * k + 1] += math.cos(angle)
    for i in range(2):
        tokens = naive_block(state, f"videomae.encoder.layer.{i}.", tokens, 2)
    actual = method.encoder(method.tubelets({V: images})).detach().flatten(0, 2)
    torch.testing.assert_close(actual, tokens, rtol=1e-3, atol=1e-4)


def test_published_weights_fill_the_decoder_too_where_images_are_rgb(tmp_path):
    state = published()
    save_file(state, tmp_path / "w.safetensors")
    method = built(weights=str(tmp_path / "w.safetensors"))
    assert torch.equal(method.decoder.head.weight, state["decoder.head.weight"])
    assert torch.equal(method.decoder.mask_token, state["mask_token"][0, 0])
    depth = built((D,), input="depth", weights=str(tmp_path / "w.safetensors"))
    assert torch.equal(depth.encoder.blocks[1].norm1.bias, state["videomae.encoder.layer.1.layernorm_before.bias"])
    assert not torch.equal(depth.decoder.blocks[0].mlp.fc1.weight, method.decoder.blocks[0].mlp.fc1.weight)


def test_a_single_channel_meets_what_a_grey_image_meets_in_three():
    kernel, bias = torch.randn(5, 3, 2, 4, 4), torch.randn(5)
    grey = torch.rand(2, 4, 1, 8, 8)
    actual = []
    for images in (grey, grey.expand(-1, -1, 3, -1, -1)):
        weight, shift = video_weights.embedding(kernel, bias, images.shape[2])
        actual.append(video.tubelets(images, 2, 4) @ weight.T + shift)
    torch.testing.assert_close(*actual, rtol=1e-4, atol=1e-4)


def test_weights_of_another_shape_or_kind_are_refused_in_one_line(tmp_path):
    save_file(published(width=24), tmp_path / "wide.safetensors")
    for source, message in (("wide.safetensors", "instead of"), ("none.safetensors", "no such file")):
        with pytest.raises(AubenchError, match=message) as error:
            built(weights=str(tmp_path / source))
        assert "\n" not in str(error.value)


PROJECTION = "videomae.embeddings.patch_embeddings.projection"
QUERY = "videomae.encoder.layer.0.attention.attention"


@pytest.mark.parametrize(
    ("missing", "changed", "message"),
    [
        (f"{QUERY}.q_bias", {}, r"\('.*q_bias'\)"),
        (f"{QUERY}.key.weight", {}, r"\('.*key.weight'\)"),
        (f"{PROJECTION}.bias", {}, r"\('.*projection.bias'\)"),
        (None, {f"{PROJECTION}.weight": torch.zeros(16, 1, 2, 4, 4)}, r"\(kernel .* is not for videos in RGB\)"),
        (None, {f"{PROJECTION}.weight": torch.zeros(16, 3, 4, 4)}, r"\(kernel .* is not for videos in RGB\)"),
        (None, {f"{QUERY}.value.weight": torch.zeros(16, 12)}, r"\(Sizes of tensors must match .*\)"),
    ],
)
def test_weights_without_a_part_of_a_layer_are_refused_in_one_line(tmp_path, missing, changed, message):
    state = published() | changed
    state.pop(missing, None)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(AubenchError, match=f"w.safetensors: is incomplete or has other shapes {message}; give weights"):
        built(weights=str(tmp_path / "w.safetensors"))


def test_published_weights_say_what_they_have_seen():
    assert AUvMAE.Recipe(weights="videomae").pretraining_sources()[0].datasets == ("Kinetics-400",)
    assert AUvMAE.Recipe().pretraining_sources() == ()
    assert AUvMAE.Recipe(weights="a/b.safetensors").pretraining_sources()[0].source == "b.safetensors"
