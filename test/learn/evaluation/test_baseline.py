"""What the network is held against, in the network's own form."""

import pytest
import torch

from twnet_ros.learn.evaluation.baseline import (
    CarriedFeature,
    CarriedLogits,
    TracedFeature,
    uncorrected,
)
from twnet_ros.net import warp_cubic


@pytest.fixture
def inputs():
    """A non-key step's inputs: image, motion (dx, dy) in feature pixels everywhere, residual."""

    def make(stride, dx=0.0, dy=0.0):
        image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
        grid = 64 // stride, 96 // stride
        motion = torch.tensor([dx, dy]).reshape(1, 2, 1, 1).expand(1, 2, *grid)
        return image, motion, torch.zeros(1, 3, *grid)

    return make


@pytest.mark.parametrize("backbone, stride", [("mobilenetv1", 4), ("ddrnet23slim", 8)])
@torch.no_grad()
def test_carried_logits_are_warped_by_their_own_pixels(network, inputs, backbone, stride):
    model = network(backbone=backbone)
    carried = CarriedLogits(model)
    image, motion, residual = inputs(stride, 2.0, -1.0)
    logits, state = carried.key(image)
    assert torch.equal(logits, model.key(image)[0])
    moved, after = carried.nonkey(image, motion, residual, state)
    h, w = 64 // stride, 96 // stride
    rows, columns = (torch.arange(h) - 1).clamp(min=0), (torch.arange(w) + 2).clamp(max=w - 1)
    assert torch.equal(moved, logits[:, :, rows][:, :, :, columns])
    twice, later = carried.nonkey(image, motion, residual, after)
    assert torch.equal(twice, moved[:, :, rows][:, :, :, columns])
    assert (state.distance, after.distance, later.distance) == (0, 1, 2)


@torch.no_grad()
def test_uncorrected_is_the_key_frame_s_own_head_and_tail_behind_warping(network, inputs):
    model = network()
    for parameter in (*model.head.parameters(), *model.tail.parameters(), *model.cfr.parameters()):
        parameter += 0.1 * torch.randn_like(parameter)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    bare = uncorrected(model)
    image, motion, residual = inputs(16, 0.4, -0.2)
    logits, state = bare.key(image)
    assert torch.equal(logits, model.key(image)[0])
    found, after = bare.nonkey(image.flip(3), motion, residual + 9, state)
    context = warp_cubic(state.context, motion)
    keyframe = model.keyframe
    assert torch.equal(after.context, context)
    assert torch.equal(found, keyframe.tail(context, keyframe.head(image.flip(3))))
    assert not torch.allclose(found, model.nonkey(image.flip(3), motion, residual + 9, state)[0])
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    "backbone, layer, stride, channels",
    [("mobilenetv1", 1, 4, 64), ("mobilenetv1", 3, 4, 64), ("ddrnet23slim", 3, 8, 128)],
)
@torch.no_grad()
def test_the_deepest_feature_moves_by_whole_pixels_exactly(
    network, inputs, backbone, layer, stride, channels
):
    model = network(backbone=backbone, layer=layer)
    carried = CarriedFeature(model)
    image, motion, residual = inputs(stride, 2.0, -1.0)
    logits, state = carried.key(image)
    h, w = 64 // stride, 96 // stride
    assert torch.equal(logits, model.key(image)[0])
    assert state.context.shape == (1, channels, h, w)
    kept = state.context.clone()
    moved, after = carried.nonkey(torch.zeros_like(image), motion, residual, state)
    rows, columns = (torch.arange(h) - 1).clamp(min=0), (torch.arange(w) + 2).clamp(max=w - 1)
    assert torch.equal(after.context, kept[:, :, rows][:, :, :, columns])
    assert torch.equal(moved, model.keyframe.tail.classifier(after.context))
    assert (state.distance, after.distance) == (0, 1)


@torch.no_grad()
def test_a_traced_feature_is_a_carried_one_with_the_motion_that_led_to_it(network, inputs):
    model = network()
    carried, traced = CarriedFeature(model), TracedFeature(model)
    image = inputs(4, 0.0, 0.0)[0]
    (logits, state), (found, beside) = carried.key(image), traced.key(image)
    for dx, dy in [(0.0, 0.0), (2.0, -1.0), (0.5, 0.25)]:
        image, motion, residual = inputs(4, dx, dy)
        assert torch.equal(found, logits) and beside.distance == state.distance
        assert torch.equal(beside.context[:, :-2], state.context)
        logits, state = carried.nonkey(image, motion, residual, state)
        found, beside = traced.nonkey(image, motion, residual, beside)
        assert torch.equal(beside.context[:, -2:], motion)
