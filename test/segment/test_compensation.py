"""The fused residual is the network's own."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from twnet_ros.net import residual
from twnet_ros.segment.compensation import compensate


def pictures(height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    made = 255 * torch.rand(2, 1, 3, height, width, generator=generator)
    return (one.contiguous(memory_format=torch.channels_last) for one in made)


@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(0, 9), st.sampled_from([0.0, 1.0, 9.0, 90])
)
def test_it_equals_the_separate_passes(height, width, seed, reach):
    current, previous = pictures(height, width, seed)
    generator = torch.Generator().manual_seed(seed + 100)
    motion = reach * torch.randn(1, 2, height, width, generator=generator)
    expected = residual(current, previous, motion)
    torch.testing.assert_close(compensate(current, previous, motion), expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (5, -3), (-40, 40)])
def test_whole_pixels_are_exact(dx, dy):
    current, previous = pictures(24, 32, seed=0)
    motion = torch.tensor([float(dx), float(dy)])[None, :, None, None].expand(1, 2, 24, 32)
    assert torch.equal(compensate(current, previous, motion), residual(current, previous, motion))


def test_the_pictures_stay_as_they_are():
    current, previous = pictures(16, 16, seed=1)
    before = current.clone(), previous.clone()
    compensate(current, previous, torch.ones(1, 2, 16, 16))
    assert torch.equal(current, before[0]) and torch.equal(previous, before[1])
