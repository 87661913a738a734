"""Logits that are carried along and fused with a frame's own."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from twnet_ros.segment.fusion import FADE, SHARE, fuse, fuse_by_torch

sides = st.integers(1, 9)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def bilinear(picture, x, y):
    """Sample (h, w, C) at a position, which counts as its border where it is outside."""
    height, width, _ = picture.shape
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    left, top = math.floor(x), math.floor(y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    upper = picture[top, left] * (left + 1 - x) + picture[top, right] * (x - left)
    lower = picture[bottom, left] * (left + 1 - x) + picture[bottom, right] * (x - left)
    return upper * (top + 1 - y) + lower * (y - top)


@given(sides, sides, st.integers(1, 5), st.integers(0, 99), st.sampled_from([0, 1, 30]))
def test_each_pixel_is_drawn_towards_where_it_comes_from(height, width, classes, seed, reach):
    logits, past, future = (noise(1, classes, height, width, seed=seed + n) for n in range(3))
    motion = reach * noise(1, 2, height, width, seed=seed + 3)
    error = 8 * noise(1, 3, height, width, seed=seed + 4).abs()
    ahead = noise(height, width, seed=seed + 5) > 0
    new, sources = logits[0].permute(1, 2, 0).numpy(), [past, future]
    expected = np.empty((height, width, classes))
    for y in range(height):
        for x in range(width):
            source = sources[int(ahead[y, x])][0].permute(1, 2, 0).numpy()
            dx, dy = motion[0, :, y, x].tolist()
            share = SHARE * math.exp(-float(error[0, 0, y, x]) / FADE)
            seen = bilinear(source, x + dx, y + dy)
            expected[y, x] = (1 - share) * new[y, x] + share * seen
    for method in (fuse, fuse_by_torch):
        found = method(logits, past, motion, error, future, ahead)
        assert found.dtype == torch.float32 and found.shape == logits.shape
        np.testing.assert_allclose(found[0].permute(1, 2, 0), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", [fuse, fuse_by_torch])
def test_all_comes_from_the_past_where_nothing_points_ahead(method):
    logits, past, motion = noise(1, 3, 4, 6), noise(1, 3, 4, 6, seed=1), noise(1, 2, 4, 6, seed=2)
    error = torch.zeros(1, 3, 4, 6)
    nowhere = torch.zeros(4, 6, dtype=torch.bool)
    expected = method(logits, past, motion, error, noise(1, 3, 4, 6, seed=3), nowhere)
    assert torch.equal(method(logits, past, motion, error), expected)


@pytest.mark.parametrize("method", [fuse, fuse_by_torch])
def test_where_the_picture_is_another_the_past_does_not_count(method):
    logits, past = noise(1, 3, 4, 6), 9 * noise(1, 3, 4, 6, seed=1)
    error = torch.full((1, 3, 4, 6), 255.0)
    found = method(logits, past, torch.zeros(1, 2, 4, 6), error)
    torch.testing.assert_close(found, logits, rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", [fuse, fuse_by_torch])
def test_labels_of_a_still_picture_settle(method):
    """Noise of its frames averages out: what remains has the variance of the recurrence."""
    still, error = torch.zeros(1, 2, 40, 50), torch.zeros(1, 3, 40, 50)
    state = noise(1, 4, 40, 50)
    for seed in range(1, 13):
        state = method(noise(1, 4, 40, 50, seed=seed), state, still, error)
    assert float(state.var()) == pytest.approx((1 - SHARE) / (1 + SHARE), rel=0.1)


def test_half_precision_is_fused_in_single():
    logits, past = noise(1, 3, 4, 6).bfloat16(), noise(1, 3, 4, 6, seed=1)
    motion, error = noise(1, 2, 4, 6, seed=2), noise(1, 3, 4, 6, seed=3).abs()
    expected = fuse(logits.float(), past, motion, error)
    assert torch.equal(fuse(logits, past, motion, error), expected)
