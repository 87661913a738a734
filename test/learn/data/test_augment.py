"""Random changes that keep picture and labels together."""

import numpy as np
import pytest

from twnet_ros.learn.data.augment import _crop, augment, compress, recolor

GREYS = np.array([20, 90, 160, 230], np.uint8)


@pytest.fixture
def labelled():
    """A picture whose greys say its labels."""

    def make(height=120, width=160):
        rng = np.random.default_rng(0)
        small = rng.integers(0, 4, (height // 40, width // 40), dtype=np.uint8)
        labels = small.repeat(40, 0).repeat(40, 1)
        return GREYS[labels][..., None].repeat(3, 2), labels

    return make


@pytest.mark.parametrize("size", [(64, 48), (160, 120), (352, 288)])
def test_crops_have_the_size_that_was_asked_for(labelled, size):
    for seed in range(8):
        rgb, labels = augment(*labelled(), size, np.random.default_rng(seed))
        assert rgb.shape == (size[1], size[0], 3) and rgb.dtype == np.uint8
        assert labels.shape == (size[1], size[0]) and labels.dtype == np.uint8
        assert set(np.unique(labels)) <= {0, 1, 2, 3, 255}


def test_labels_move_with_the_picture(labelled):
    for seed in range(20):
        rgb, labels = augment(*labelled(), (96, 80), np.random.default_rng(seed))
        luma = rgb.mean(2)
        middles = [np.median(luma[labels == c]) for c in range(4) if (labels == c).sum() > 200]
        # However it was recoloured, brighter classes stay brighter, and most pixels are close.
        assert middles == sorted(middles)
        for c in range(4):
            if (labels == c).sum() > 200 and len(middles) > 1:
                assert np.mean(np.abs(luma[labels == c] - np.median(luma[labels == c])) < 12) > 0.8


def test_what_a_small_picture_leaves_is_unlabelled(labelled):
    rgb, labels = labelled(80, 80)
    _, ids = augment(rgb, labels, (128, 128), np.random.default_rng(0), scale=(0.5, 0.5))
    assert (ids != 255).sum() == 40 * 40


def test_the_scale_is_within_its_range(labelled):
    rgb, labels = labelled(80, 80)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        _, ids = augment(rgb, labels, (400, 400), rng, scale=(0.7, 1.6))
        side = np.sqrt((ids != 255).sum())
        assert 0.69 * 80 <= side <= 1.61 * 80


def test_the_generator_alone_decides(labelled):
    one = augment(*labelled(), (64, 64), np.random.default_rng(7))
    two = augment(*labelled(), (64, 64), np.random.default_rng(7))
    other = augment(*labelled(), (64, 64), np.random.default_rng(8))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert not np.array_equal(one[0], other[0])


def test_the_source_is_left_alone(labelled):
    rgb, labels = labelled()
    kept = rgb.copy(), labels.copy()
    for seed in range(4):
        augment(rgb, labels, (64, 64), np.random.default_rng(seed))
    assert np.array_equal(rgb, kept[0]) and np.array_equal(labels, kept[1])


def test_recolouring_keeps_the_order_of_greys():
    ramp = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2)
    changed = 0
    for seed in range(10):
        out = recolor(ramp, np.random.default_rng(seed)).astype(int)
        assert out.shape == ramp.shape
        assert (np.diff(out.sum(2)) >= -3).all()  # rounding aside
        changed += np.abs(out - ramp).mean() > 3
    assert changed >= 8


def test_labels_of_crops_are_those_of_the_pixel_behind_the_centre():
    ids = np.arange(256, dtype=np.uint8).reshape(16, 16)
    rgb = np.zeros((16, 16, 3), np.uint8)
    _, half = _crop(rgb, ids, (8, 8), np.random.default_rng(0), (0.5, 0.5))
    np.testing.assert_array_equal(half, ids[1::2, 1::2])


def test_compression_hurts_more_at_low_quality(labelled):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    harm = [np.abs(compress(noise, q).astype(int) - noise).mean() for q in (10, 50, 95)]
    assert harm[0] > harm[1] > harm[2] > 0
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 200
    assert compress(red, 95)[8, 8].argmax() == 0  # channels keep their order
