"""The networks to be timed beside ours are those that were published."""

from pathlib import Path

import pytest
import torch

from twnet_ros.learn.evaluation.complexity import count_macs
from twnet_ros.learn.speed.contestant import find

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"


@pytest.fixture
def peer(monkeypatch):
    """Make a network of docs/examples as ``--against`` finds it there."""
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return lambda factory: find(factory)()


# Millions of parameters and GMACs at 1024x2048 as the papers have them: Hong et al., 2021, and Xu
# et al., 2023. They count more than convolutions.
@pytest.mark.parametrize(
    ("factory", "millions", "gmacs"),
    [("networks:ddrnet", 5.7, 36.3), ("pidnet:pidnet_s", 7.6, 47.6)],
)
def test_peers_are_as_large_as_the_published_ones(peer, factory, millions, gmacs):
    network = peer(factory)
    parameters = sum(part.numel() for part in network.parameters())
    assert round(parameters / 1e6, 1) == millions
    image = torch.zeros(1, 3, 256, 512)
    with torch.inference_mode():
        macs = sum(count_macs(network, lambda: network(image)).values())
    assert 16 * macs / 1e9 == pytest.approx(gmacs, rel=0.02)


@pytest.mark.parametrize("factory", ["networks:ddrnet", "pidnet:pidnet_s"])
@pytest.mark.parametrize("size", [(96, 160), (384, 480)])
def test_peers_take_any_size_that_the_engine_gives(peer, factory, size):
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits = peer(factory)(image)
    assert logits.shape == (1, 19, size[0] // 8, size[1] // 8)
    assert logits.isfinite().all() and logits.std() > 0
