"""Motion without vectors: backward, in pixels."""

import math
import sys
from types import SimpleNamespace

import pytest
import torch

from twnet_ros.segment import SegmentError
from twnet_ros.segment.flow import FlowNetwork, OpticalFlow, open_flow


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


def test_standing_still_is_no_motion(world):
    motion = open_flow("none")(world, world.roll(3, 3))
    assert motion.shape == (1, 2, 160, 160) and motion.dtype == torch.float32
    assert not motion.any()
    assert open_flow("codec") is None


class BestShift(torch.nn.Module):
    """Flow as ptlflow gives it, of the first picture to the second: the shift that fits best."""

    def __init__(self):
        super().__init__()
        self.seen = None

    def forward(self, inputs):
        assert not self.training
        self.seen = inputs["images"]
        first, second = self.seen[0]
        shifts = [(dx, dy) for dx in range(-8, 9) for dy in range(-8, 9)]

        def misfit(shift):
            dx, dy = shift
            there = second[:, 8 + dy : 120 + dy, 8 + dx : 120 + dx]
            return (first[:, 8:120, 8:120] - there).abs().mean()

        best = torch.tensor(min(shifts, key=misfit), dtype=torch.float32)
        return {"flows": best[None, None, :, None, None].expand(1, 1, 2, *first.shape[1:])}


@pytest.fixture
def ptlflow(monkeypatch):
    """Put a package into the place of ptlflow; return the calls of its get_model."""
    calls = []

    def get_model(name, ckpt_path=None, args=None):
        calls.append((name, ckpt_path))
        return BestShift()

    monkeypatch.setitem(sys.modules, "ptlflow", SimpleNamespace(get_model=get_model))
    return calls


@pytest.mark.parametrize("name", ["flownet2", "pwcnet"])
@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (4, 0), (-3, 5), (7, -6)])
def test_a_network_s_flow_goes_from_the_current_to_the_previous_picture(
    world, ptlflow, name, dx, dy
):
    previous = world[..., 16:144, 16:144]
    current = world[..., 16 + dy : 144 + dy, 16 + dx : 144 + dx]
    motion = open_flow(name)(current, previous)
    assert ptlflow == [(name, "things")]
    expected = torch.tensor([float(dx), float(dy)])[None, :, None, None].expand(1, 2, 128, 128)
    torch.testing.assert_close(motion, expected, rtol=0, atol=0)


def test_a_network_sees_blue_green_and_red_from_0_to_1(ptlflow):
    # Limited-range BT.601 of pure red, of blue, and of what is blacker than black.
    colours = torch.tensor([[81.0, 90, 240], [41, 240, 110], [0, 128, 128]])
    current, previous, black = colours[:, None, :, None, None].expand(3, 1, 3, 128, 128)
    flow = FlowNetwork("pwcnet")
    flow(current, previous)
    seen = flow._network.seen
    assert seen.shape == (1, 2, 3, 128, 128) and seen.dtype == torch.float32
    expected = torch.tensor([[0.0, 0, 1], [1, 0, 0]])
    torch.testing.assert_close(seen[0, :, :, 0, 0], expected, rtol=0, atol=0.01)
    flow(black, black)
    assert not flow._network.seen.any()


def test_motion_that_is_no_number_is_none(ptlflow):
    flow, picture = FlowNetwork("pwcnet"), torch.zeros(1, 3, 128, 128)
    flow._network.forward = lambda inputs: {"flows": torch.full((1, 1, 2, 128, 128), math.nan)}
    assert torch.equal(flow(picture, picture), torch.zeros(1, 2, 128, 128))


def test_a_picture_too_small_for_a_network(ptlflow):
    picture = torch.zeros(1, 3, 64, 96)
    with pytest.raises(SegmentError, match="at least 65 px a side for a flow network, got 96x64"):
        FlowNetwork("pwcnet")(picture, picture)


def test_without_ptlflow_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ptlflow", None)
    with pytest.raises(SegmentError, match=r"motion pwcnet: .* pip install 'ptlflow>=0.4'"):
        open_flow("pwcnet")


def test_a_ptlflow_that_lacks_a_package_says_which(monkeypatch, tmp_path):
    (tmp_path / "ptlflow.py").write_text("import what_it_rests_on")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "ptlflow", raising=False)
    with pytest.raises(SegmentError, match="ptlflow lacks a package: .*what_it_rests_on"):
        open_flow("flownet2")


def test_weights_that_cannot_be_had(monkeypatch):
    def get_model(name, ckpt_path):
        raise OSError("no route to host")

    monkeypatch.setitem(sys.modules, "ptlflow", SimpleNamespace(get_model=get_model))
    with pytest.raises(SegmentError, match="flownet2: .* weights 'things': no route to host"):
        open_flow("flownet2")
