"""1x1 convolutions by oneDNN compute what the others do."""

import copy

import pytest
import torch
from torch import nn

from twnet_ros.net import Config, TWNet, keep_onednn

if not torch.backends.mkldnn.is_available():
    pytest.skip("torch was built without oneDNN", allow_module_level=True)


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_a_step_differs_by_rounding_alone(threads):
    torch.manual_seed(0)
    network = TWNet(Config("mobilenetv1", 1, ("a", "b", "c"), ((0, 0, 0),) * 3, (96, 64))).eval()
    kept = copy.deepcopy(network)
    keep_onednn(kept)
    image = torch.randn(1, 3, 64, 96).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        for one, other in zip(network.key(image), kept.key(image), strict=True):
            a, b = (getattr(x, "context", x) for x in (one, other))
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * float(a.abs().max()))


def test_what_is_no_1x1_convolution_of_stride_1_stays():
    parts = [nn.Conv2d(4, 8, 1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1, 2), nn.ReLU()]
    network = nn.Sequential(*parts)
    keep_onednn(network)
    assert network[0] is not parts[0] and network[0].weight is parts[0].weight
    assert list(network)[1:] == parts[1:]


def test_groups_and_no_bias(threads):
    network = nn.Sequential(nn.Conv2d(8, 4, 1, groups=2, bias=False))
    image = torch.randn(2, 8, 5, 7)
    with torch.inference_mode():
        expected = network(image)
        keep_onednn(network)
        torch.testing.assert_close(network(image), expected)
