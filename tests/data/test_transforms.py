from __future__ import annotations

import numpy as np
import pytest
import torch

from aubench.core.landmarks import COUNT, MIRRORED
from aubench.core.task import Modality
from aubench.data import transforms

V, D = Modality.VISUAL, Modality.DEPTH


def stored(n=6, size=12, seed=0):
    rng = np.random.default_rng(seed)
    return {
        V: torch.from_numpy(rng.integers(0, 256, (n, size, size, 3), np.uint8)),
        D: torch.from_numpy(rng.integers(0, 256, (n, size, size, 1), np.uint8)),
    }


def random_views(images, size, crop, *, flip, seed):
    generator = torch.Generator().manual_seed(seed)
    windows = transforms.random_crops(len(next(iter(images.values()))), size, crop, flip=flip, generator=generator)
    return transforms.random_crop_views(images, windows)


@pytest.mark.slow
def test_random_views_are_crops_or_mirrored_crops_the_same_in_all_modalities():
    images, crop = stored(40), 8
    views = random_views(images, 12, crop, flip=True, seed=1)
    mirrored_any = plain_any = False
    for i in range(40):
        matches = []
        for mirrored in (False, True):
            for top in range(5):
                for left in range(5):
                    boxes = {m: x[i, top : top + crop, left : left + crop].numpy() for m, x in images.items()}
                    if mirrored:
                        boxes = {m: b[:, ::-1] for m, b in boxes.items()}
                    expected = {m: b.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1 for m, b in boxes.items()}
                    if all(np.allclose(views[m][i].numpy(), w, atol=1e-6) for m, w in expected.items()):
                        matches.append(mirrored)
        assert len(matches) == 1
        mirrored_any, plain_any = mirrored_any or matches[0], plain_any or not matches[0]
    assert mirrored_any and plain_any


@pytest.mark.parametrize(("each", "channels"), [(1, 1), (1, 3), (4, 3)])
def test_a_cpu_copies_the_pixels_that_a_gpu_selects(each, channels):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (9 * each, 12, 12, channels), dtype=torch.uint8, generator=generator)
    windows = transforms.random_crops(9, 12, 7, flip=True, generator=generator)
    assert 0 < windows.mirrored.sum() < 9
    selected = images[transforms.pixel_index(windows, each)]
    assert torch.equal(transforms.copy_windows(images, windows, each), selected)


def test_random_views_do_not_depend_on_the_modalities_asked_for():
    images = stored()
    both = random_views(images, 12, 8, flip=True, seed=3)
    depth_only = random_views({D: images[D]}, 12, 8, flip=True, seed=3)
    assert torch.equal(both[D], depth_only[D])


def test_no_frame_is_mirrored_where_the_recipe_says_so():
    images = {V: torch.arange(12, dtype=torch.uint8).expand(30, 12, 12)[..., None].expand(30, 12, 12, 3).contiguous()}
    views = random_views(images, 12, 12, flip=False, seed=0)
    assert (views[V][:, 0, 0, 1:] > views[V][:, 0, 0, :-1]).all()


@pytest.mark.slow
def test_points_stay_on_the_pixels_that_they_mark():
    count, side, size, crop = 60, 24, 12, 8
    rng = np.random.default_rng(4)
    spots = rng.integers(0, size, (count, COUNT, 2))  # column and row among the resized pixels
    landmarks = torch.from_numpy(((spots + 0.5) / size).astype(np.float32))
    windows = transforms.random_crops(count, size, crop, flip=True, generator=torch.Generator().manual_seed(5))
    points = transforms.landmarks_in_views(landmarks, windows)
    assert windows.mirrored.any() and not windows.mirrored.all()
    shown = 0
    for i in range(count):
        for k in range(COUNT):
            marked = spots[i, MIRRORED[k] if windows.mirrored[i] else k]
            image = torch.zeros(1, side, side, 1, dtype=torch.uint8)
            column, row = marked * (side // size)
            image[0, row : row + 2, column : column + 2] = 255
            window = transforms.CropParams(
                size, crop, *(x[i : i + 1] for x in (windows.top, windows.left, windows.mirrored))
            )
            lit = (transforms.random_crop_views({D: image}, window)[D][0, 0] > 0).nonzero()
            inside = bool((points[i, k].abs() < 1).all())
            assert len(lit) == inside
            if inside:
                shown += 1
                assert torch.allclose(points[i, k], (lit[0].flip(0) + 0.5) / crop * 2 - 1, atol=1e-5)
    assert shown > 100


def test_points_of_a_clip_move_together_and_lost_ones_stay_lost():
    windows = transforms.random_crops(5, 12, 8, flip=True, generator=torch.Generator().manual_seed(6))
    frames = torch.rand(5, COUNT, 2, generator=torch.Generator().manual_seed(7))
    frames[:, 10] = torch.nan  # on the line that the mirror leaves where it is
    clip = frames[:, None].expand(-1, 3, -1, -1)
    alone, together = transforms.landmarks_in_views(frames, windows), transforms.landmarks_in_views(clip, windows)
    for t in range(3):
        assert torch.equal(together[:, t].nan_to_num(9), alone.nan_to_num(9))
    assert alone[:, 10].isnan().all() and alone.isnan().sum() == 10


def test_centre_views_are_the_centre_in_minus_one_to_one():
    images = stored()
    views = transforms.center_crop(images, 12, 8)
    assert torch.allclose(views[V], images[V][:, 2:10, 2:10].permute(0, 3, 1, 2).float() / 127.5 - 1)
    assert views[V].min() >= -1 and views[V].max() <= 1


def test_shrinking_averages_blocks():
    images = stored(2, 16)[V]
    resized = transforms.resize(images, 4).numpy()
    expected = images.numpy().reshape(2, 4, 4, 4, 4, 3).astype(np.float64).mean((2, 4))
    assert np.allclose(resized, expected, atol=1e-4)


def test_growing_keeps_a_flat_image_flat():
    flat = torch.full((1, 8, 8, 1), 77, dtype=torch.uint8)
    assert torch.allclose(transforms.resize(flat, 13), torch.full((1, 13, 13, 1), 77.0))
