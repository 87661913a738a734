"""Motion and residual on the context's grid are those of the dense fields."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from twnet_ros.codec import BlockMotion
from twnet_ros.net import Config, residual, residual_magnitude, to_grid
from twnet_ros.segment.compensation import Field, compensate, compensate_by_torch
from twnet_ros.segment.input import Geometry, InputPass

CONFIG = Config("mobilenetv1", 1, ("a", "b"), ((0, 0, 0),) * 2, (64, 64))
CPU = torch.device("cpu")
sizes = st.tuples(st.integers(1, 75), st.integers(1, 75))
strides = st.sampled_from([4, 8, 16])


def pictures(height, width, seed, count=2):
    generator = torch.Generator().manual_seed(seed)
    made = 255 * torch.rand(count, 1, 3, height, width, generator=generator)
    return [one.contiguous(memory_format=torch.channels_last) for one in made]


def vectors(height, width, seed, reach):
    """Random quarter pixels; a third of the blocks have no vector, others point ahead."""
    rng = np.random.default_rng(seed)
    grid = (-(-height // 8), -(-width // 8))
    reference = rng.integers(-1, 2, grid).astype(np.int8)
    moved = np.rint(4 * reach * rng.standard_normal((*grid, 2))) / 4
    return BlockMotion((moved * (reference != 0)[..., None]).astype(np.float32), reference)


def block_field(video, box, seed, reach):
    """Return the field of a video (width, height) scaled to fit a box and padded."""
    source = InputPass(Geometry.of(video, box), CONFIG, CPU, torch.float32)
    return source.motion(vectors(video[1], video[0], seed, reach))


def alike(found, expected):
    torch.testing.assert_close(found[0], expected[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[1], expected[1], rtol=0, atol=2e-3)


@given(sizes, sizes, st.integers(0, 99), st.sampled_from([0, 1, 9, 90]), strides)
def test_blocks_give_what_the_dense_passes_do(video, box, seed, reach, stride):
    """At any scale, with padding, and with vectors that leave the picture."""
    field = block_field(video, box, seed, reach)
    current, previous = pictures(len(field.row), len(field.column), seed)
    motion = field.dense()
    magnitude = residual_magnitude(residual(current, previous, motion), stride)
    alike(compensate(current, previous, field, stride), (to_grid(motion, stride), magnitude))


@given(sizes, st.integers(0, 99), strides)
def test_each_block_is_compensated_from_the_side_that_it_points_to(video, seed, stride):
    field = block_field(video, video, seed, 5)
    current, past, future = pictures(len(field.row), len(field.column), seed, 3)
    motion, ahead = field.dense(), field.dense_ahead()
    error = residual(current, past, motion) * (1 - ahead)
    error += residual(current, future, motion) * ahead
    expected = to_grid(motion, stride), residual_magnitude(error, stride)
    alike(compensate(current, past, field, stride, future), expected)
    alike(compensate_by_torch(current, past, field, stride, future), expected)


@given(st.integers(0, 99), st.sampled_from([0.0, 1.0, 9.0, 90.0]), strides)
def test_so_does_motion_of_every_pixel(seed, reach, stride):
    current, previous = pictures(32, 64, seed)
    generator = torch.Generator().manual_seed(seed + 100)
    motion = reach * torch.randn(1, 2, 32, 64, generator=generator)
    field = Field.of_pixels(motion)
    assert torch.equal(field.dense(), motion) and not field.dense_ahead().any()
    magnitude = residual_magnitude(residual(current, previous, motion), stride)
    alike(compensate(current, previous, field, stride), (to_grid(motion, stride), magnitude))


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (5, -3), (-40, 40)])
def test_whole_pixels_of_whole_levels_are_exact(dx, dy):
    current, previous = (one.round() for one in pictures(32, 64, seed=0))
    motion = torch.tensor([float(dx), float(dy)])[None, :, None, None].expand(1, 2, 32, 64)
    found = compensate(current, previous, Field.of_pixels(motion), 8)
    expected = compensate_by_torch(current, previous, Field.of_pixels(motion), 8)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_the_pictures_stay_as_they_are():
    current, previous = pictures(32, 32, seed=1)
    before = current.clone(), previous.clone()
    compensate(current, previous, Field.of_pixels(torch.ones(1, 2, 32, 32)), 16)
    assert torch.equal(current, before[0]) and torch.equal(previous, before[1])


@pytest.mark.parametrize("threads", [2, 3])
def test_any_number_of_threads_gives_the_same(threads):
    field = block_field((150, 150), (150, 150), 0, 9)
    current, previous = pictures(160, 160, seed=0)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = compensate(current, previous, field, 16)
        torch.set_num_threads(threads)
        found = compensate(current, previous, field, 16)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_motion_that_is_no_position_reads_inside_the_picture(value):
    current, previous = pictures(32, 32, seed=2)
    motion = torch.full((1, 2, 32, 32), value)
    _, magnitude = compensate(current, previous, Field.of_pixels(motion), 16)
    assert (magnitude >= 0).all() and (magnitude <= 255).all()


@pytest.mark.parametrize("stride", [2, 4])
def test_a_thinned_field_has_the_motion_at_the_centres(stride):
    motion = torch.arange(2.0 * 16 * 24).reshape(1, 2, 16, 24)
    thinned = Field.of_pixels(motion).thinned(stride)
    centres = slice(stride // 2, None, stride)
    assert torch.equal(thinned.dense(), motion[..., centres, centres] / stride)
