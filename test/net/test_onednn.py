"""What oneDNN computes in one pass is what the layers compute one after another."""

import copy

import pytest
import torch
from torch import nn

from twnet_ros.net import Config, TWNet, fold, use_onednn
from twnet_ros.net.config import BACKBONES
from twnet_ros.net.layer import Residual, basic
from twnet_ros.segment.device import has_bf16

if not torch.backends.mkldnn.is_available():
    pytest.skip("torch was built without oneDNN", allow_module_level=True)


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@torch.inference_mode()
def both_steps(network, image, motion, residual):
    """Return logits and context of a key and of a non-key step."""
    key_logits, state = network.key(image)
    key_context = state.context.clone()
    logits, state = network.nonkey(image.flip(-1), motion, residual, state)
    return key_logits, key_context, logits, state.context


@pytest.mark.parametrize("layer", [1, 2, 3])
@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_both_steps_differ_by_rounding_alone(backbone, layer, threads, randomise):
    torch.manual_seed(0)
    correction = "none" if layer == 3 else "rga"
    config = Config(
        backbone, layer, ("a", "b", "c"), ((0, 0, 0),) * 3, (96, 64), correction=correction
    )
    network = randomise(TWNet(config)).eval()
    fold(network)
    fused = copy.deepcopy(network)
    use_onednn(fused)
    stride = network.keyframe.stride
    grid = 64 // stride, 96 // stride
    image = 3 * torch.randn(1, 3, 64, 96).contiguous(memory_format=torch.channels_last)
    given = image, torch.randn(1, 2, *grid), 10 * torch.rand(1, 3, *grid)
    pairs = zip(both_steps(network, *given), both_steps(fused, *given), strict=True)
    for expected, got in pairs:
        level = float(expected.abs().max())
        assert level > 0
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4 * level)


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param([nn.Conv2d(8, 4, 1, groups=2, bias=False)], id="groups, no bias"),
        pytest.param([nn.Conv2d(8, 4, 3, 2, 1), nn.ReLU()], id="relu"),
        pytest.param([nn.Conv2d(8, 8, 3, 1, 2, 2, 8), nn.ReLU6()], id="depthwise, dilated, relu6"),
        pytest.param([nn.Conv2d(8, 8, 1), nn.Identity(), nn.ReLU()], id="after an identity"),
        pytest.param([nn.ReLU(), nn.Conv2d(8, 8, 1)], id="activation in front"),
        pytest.param([nn.Conv2d(8, 8, 1), nn.Sigmoid(), nn.ReLU6()], id="of something else"),
        pytest.param([nn.Conv2d(8, 8, 1), nn.ReLU(), nn.ReLU6()], id="two"),
        pytest.param([nn.Conv2d(8, 8, 3, padding="same"), nn.ReLU()], id="padding by name"),
        pytest.param(
            [nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"), nn.ReLU()], id="reflected"
        ),
    ],
)
def test_layers_one_after_another(layers, threads):
    torch.manual_seed(0)
    network, image = nn.Sequential(*layers), 20 * torch.randn(2, 8, 5, 7)
    with torch.inference_mode():
        expected = network(image)
        use_onednn(network)
        torch.testing.assert_close(network(image), expected)


@pytest.mark.parametrize("activate", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_residual_block_leaves_its_input_as_it_was(stride, activate, threads, randomise):
    torch.manual_seed(0)
    block = randomise(basic(8, 8, stride, activate=activate)).eval()
    fold(block)
    network, image = nn.Sequential(block), torch.randn(1, 8, 6, 10)
    before = image.clone()
    with torch.inference_mode():
        expected = network(image)
        use_onednn(network)
        assert not isinstance(network[0], Residual)
        torch.testing.assert_close(network(image), expected)
    assert (image == before).all()


def test_a_residual_block_that_ends_in_an_activation_keeps_it():
    torch.manual_seed(0)
    body = [nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
    network, image = nn.Sequential(Residual(body, 8, 8)), torch.randn(1, 8, 6, 10)
    with torch.inference_mode():
        expected = network(image)
        use_onednn(network)
        torch.testing.assert_close(network(image), expected)


@pytest.mark.skipif(not has_bf16(torch.device("cpu")), reason="no instructions for bfloat16")
def test_in_bfloat16_an_activation_changes_no_bit():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU6(), nn.Conv2d(8, 4, 1))
    image = 5 * torch.randn(1, 8, 16, 24, dtype=torch.bfloat16)
    image = image.contiguous(memory_format=torch.channels_last)
    network.to(torch.bfloat16).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = network(image)
        use_onednn(network)
        assert (network(image) == expected).all()
