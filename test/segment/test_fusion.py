"""Logits and contexts that are carried along and fused with a frame's own."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from twnet_ros.net import warp_cubic
from twnet_ros.segment.compensation import Field
from twnet_ros.segment.fusion import FADE, SHARE, fuse, fuse_by_torch, fuse_contexts

STRIDE = 4  # of the logits
METHODS = pytest.mark.parametrize("method", [fuse, fuse_by_torch])
sides = st.integers(1, 5)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def field_of(height, width, seed=0, reach=0.0):
    """Make motion for logits (h, w), in blocks of 8 pixels, half of which point ahead."""
    blocks = -(-height // 2), -(-width // 2)
    vectors, ahead = reach * noise(*blocks, 2, seed=seed), noise(*blocks, seed=seed + 1) > 0
    row, column = (torch.arange(STRIDE * side) // 8 for side in (height, width))
    return Field(vectors, ahead, row, column)


def bilinear(picture, x, y):
    """Sample (h, w, C) at a position, which counts as its border where it is outside."""
    height, width, _ = picture.shape
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    left, top = math.floor(x), math.floor(y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    upper = picture[top, left] * (left + 1 - x) + picture[top, right] * (x - left)
    lower = picture[bottom, left] * (left + 1 - x) + picture[bottom, right] * (x - left)
    return upper * (top + 1 - y) + lower * (y - top)


@given(sides, sides, st.integers(1, 3), st.integers(0, 99), st.sampled_from([0, 4, 90]))
def test_each_cell_is_drawn_towards_where_it_comes_from(rows, columns, coarser, seed, reach):
    """The residual is on a grid that is as fine as the logits', or coarser."""
    height, width = coarser * rows, coarser * columns
    logits, past, future = (noise(1, 3, height, width, seed=seed + n) for n in range(3))
    field = field_of(height, width, seed + 3, reach)
    error = 8 * noise(1, 3, rows, columns, seed=seed + 5).abs()
    new, *sources = (one[0].permute(1, 2, 0).numpy() for one in (logits, past, future))
    expected = np.empty((height, width, 3))
    for y in range(height):
        for x in range(width):
            source = sources[int(field.ahead[y // 2, x // 2])]
            dx, dy = (field.vectors[y // 2, x // 2] / STRIDE).tolist()
            share = SHARE * math.exp(-float(error[0, 0, y // coarser, x // coarser]) / FADE)
            seen = bilinear(source, x + dx, y + dy)
            expected[y, x] = (1 - share) * new[y, x] + share * seen
    for method in (fuse, fuse_by_torch):
        found = method(logits, past, field, error, future)
        assert found.dtype == torch.float32 and found.shape == logits.shape
        np.testing.assert_allclose(found[0].permute(1, 2, 0), expected, rtol=1e-3, atol=1e-4)


@METHODS
def test_without_a_later_frame_all_comes_from_the_past(method):
    logits, past, field = noise(1, 3, 4, 6), noise(1, 3, 4, 6, seed=1), field_of(4, 6, 2, reach=4)
    error = torch.zeros(1, 3, 2, 3)
    expected = method(logits, past, field, error, future=past)
    assert torch.equal(method(logits, past, field, error), expected)


@METHODS
def test_where_the_picture_is_another_the_past_does_not_count(method):
    logits, past = noise(1, 3, 4, 6), 9 * noise(1, 3, 4, 6, seed=1)
    found = method(logits, past, field_of(4, 6), torch.full((1, 3, 2, 3), 255.0))
    torch.testing.assert_close(found, logits, rtol=0, atol=1e-6)


@METHODS
def test_labels_of_a_still_picture_settle(method):
    """Noise of its frames averages out: what remains has the variance of the recurrence."""
    field, error, state = field_of(40, 50), torch.zeros(1, 3, 20, 25), noise(1, 4, 40, 50)
    for seed in range(1, 13):
        state = method(noise(1, 4, 40, 50, seed=seed), state, field, error)
    assert float(state.var()) == pytest.approx((1 - SHARE) / (1 + SHARE), rel=0.1)


def test_half_precision_is_fused_in_single():
    logits, past = noise(1, 3, 4, 6).bfloat16(), noise(1, 3, 4, 6, seed=1)
    field, error = field_of(4, 6, 2, reach=4), noise(1, 3, 2, 3, seed=3).abs()
    expected = fuse(logits.float(), past, field, error)
    assert torch.equal(fuse(logits, past, field, error), expected)


@given(st.integers(0, 99), st.sampled_from([0, 1.5, 90]))
def test_a_context_is_drawn_towards_the_one_before(seed, reach):
    fresh, past = noise(1, 5, 4, 6, seed=seed), noise(1, 5, 4, 6, seed=seed + 1)
    motion = reach * noise(1, 2, 4, 6, seed=seed + 2)
    error = 8 * noise(1, 3, 4, 6, seed=seed + 3).abs()
    share = SHARE * np.exp(-error[:, :1].numpy() / FADE)
    expected = (1 - share) * fresh.numpy() + share * warp_cubic(past, motion).numpy()
    found = fuse_contexts(fresh, past, motion, error)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    halved = fuse_contexts(fresh.bfloat16(), past.bfloat16(), motion, error)
    assert halved.dtype == torch.bfloat16
    np.testing.assert_allclose(halved.float(), expected, atol=0.05)


def test_a_context_of_another_picture_does_not_count():
    fresh, past = noise(1, 5, 4, 6), 9 * noise(1, 5, 4, 6, seed=1)
    found = fuse_contexts(fresh, past, torch.zeros(1, 2, 4, 6), torch.full((1, 3, 4, 6), 255.0))
    torch.testing.assert_close(found, fresh, rtol=0, atol=1e-6)
