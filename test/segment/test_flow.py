"""Optical flow: backward motion in pixels."""

import pytest
import torch

from twnet_ros.segment.flow import OpticalFlow


@pytest.fixture
def world():
    """A smooth random picture (1, 3, 160, 160) of 0 to 255."""
    rough = torch.rand(1, 3, 164, 164, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.avg_pool2d(rough, 5, 1)
    return (smooth - smooth.min()) / (smooth.max() - smooth.min()) * 255


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (4, 0), (-3, 5), (7, -6)])
def test_source_is_position_plus_motion(world, dx, dy):
    previous = world[..., 16:144, 16:144]
    current = world[..., 16 + dy : 144 + dy, 16 + dx : 144 + dx]
    motion = OpticalFlow()(current, previous)
    assert motion.shape == (1, 2, 128, 128)
    assert motion.dtype == torch.float32
    inside = motion[0, :, 16:112, 16:112].flatten(1)
    expected = torch.tensor([[float(dx)], [float(dy)]])
    assert (inside - expected).abs().median() < 0.2
    assert (inside - expected).abs().quantile(0.95) < 1.0


def test_each_pair_is_looked_at_afresh(world):
    flow = OpticalFlow()
    one, other = world[..., :128, :128], world[..., 3:131, 5:133]
    first = flow(other, one)
    flow(one, other)
    torch.testing.assert_close(flow(other, one), first, rtol=0, atol=0)
