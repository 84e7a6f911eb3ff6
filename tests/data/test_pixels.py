from __future__ import annotations

import numpy as np
import torch

from aubench.data import pixels
from aubench.task import Modality

V, D = Modality.VISUAL, Modality.DEPTH


def stored(n=6, size=12, seed=0):
    rng = np.random.default_rng(seed)
    return {
        V: torch.from_numpy(rng.integers(0, 256, (n, size, size, 3), np.uint8)),
        D: torch.from_numpy(rng.integers(0, 256, (n, size, size, 1), np.uint8)),
    }


def test_random_views_are_crops_or_mirrored_crops_the_same_in_all_modalities():
    images, crop = stored(40), 8
    views = pixels.random_views(images, 12, crop, flip=True, generator=torch.Generator().manual_seed(1))
    mirrored_any = plain_any = False
    for i in range(40):
        found = []
        for mirrored in (False, True):
            for top in range(5):
                for left in range(5):
                    boxes = {m: x[i, top : top + crop, left : left + crop].numpy() for m, x in images.items()}
                    if mirrored:
                        boxes = {m: b[:, ::-1] for m, b in boxes.items()}
                    wanted = {m: b.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1 for m, b in boxes.items()}
                    if all(np.allclose(views[m][i].numpy(), w, atol=1e-6) for m, w in wanted.items()):
                        found.append(mirrored)
        assert len(found) == 1
        mirrored_any, plain_any = mirrored_any or found[0], plain_any or not found[0]
    assert mirrored_any and plain_any


def test_random_views_do_not_depend_on_the_modalities_asked_for():
    images = stored()
    both = pixels.random_views(images, 12, 8, flip=True, generator=torch.Generator().manual_seed(3))
    one = pixels.random_views({D: images[D]}, 12, 8, flip=True, generator=torch.Generator().manual_seed(3))
    assert torch.equal(both[D], one[D])


def test_no_frame_is_mirrored_where_the_recipe_says_so():
    images = {V: torch.arange(12, dtype=torch.uint8).expand(30, 12, 12)[..., None].expand(30, 12, 12, 3).contiguous()}
    views = pixels.random_views(images, 12, 12, flip=False, generator=torch.Generator().manual_seed(0))
    assert (views[V][:, 0, 0, 1:] > views[V][:, 0, 0, :-1]).all()


def test_centre_views_are_the_centre_in_minus_one_to_one():
    images = stored()
    views = pixels.centre_views(images, 12, 8)
    assert torch.allclose(views[V], images[V][:, 2:10, 2:10].permute(0, 3, 1, 2).float() / 127.5 - 1)
    assert views[V].min() >= -1 and views[V].max() <= 1


def test_shrinking_averages_blocks():
    images = stored(2, 16)[V]
    found = pixels.resized(images, 4).numpy()
    wanted = images.numpy().reshape(2, 4, 4, 4, 4, 3).astype(np.float64).mean((2, 4))
    assert np.allclose(found, wanted, atol=1e-4)


def test_growing_keeps_a_flat_image_flat():
    flat = torch.full((1, 8, 8, 1), 77, dtype=torch.uint8)
    assert torch.allclose(pixels.resized(flat, 13), torch.full((1, 13, 13, 1), 77.0))
