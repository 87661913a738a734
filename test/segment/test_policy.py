"""Bounds beyond which a predicted frame takes the key step."""

import pytest
import torch

from twnet_ros.segment import KeyPolicy, key_policy


def residual_of(luma, chroma=0.0):
    levels = torch.tensor([luma, chroma, chroma])[None, :, None, None]
    return levels.expand(1, 3, 4, 6)


STILL = residual_of(0.0)


def test_by_default_nothing_asks():
    assert not KeyPolicy().asks(10_000, 1.0, residual_of(255.0, 255.0))


@pytest.mark.parametrize(("distance", "asks"), [(23, False), (24, True), (25, True)])
def test_an_interval_asks_when_it_has_passed(distance, asks):
    assert KeyPolicy(interval=24).asks(distance, 0.0, STILL) == asks


@pytest.mark.parametrize(("intra", "asks"), [(0.0, False), (0.5, False), (0.5625, True)])
def test_more_blocks_without_a_vector_than_allowed_ask(intra, asks):
    assert KeyPolicy(intra=0.5).asks(1, intra, STILL) == asks


@pytest.mark.parametrize(
    ("luma", "chroma", "asks"),
    [(13.0, 0.0, True), (12.0, 0.0, False), (11.0, 200.0, False)],
)
def test_a_larger_residual_of_luma_than_allowed_asks(luma, chroma, asks):
    assert KeyPolicy(residual=12.0).asks(1, 0.0, residual_of(luma, chroma)) == asks


def test_interval_and_adaptive_differ_in_the_residual():
    assert key_policy("interval", 7, 0.3, 9.0) == KeyPolicy(7, 0.3)
    assert key_policy("adaptive", 7, 0.3, 9.0) == KeyPolicy(7, 0.3, 9.0)
    with pytest.raises(ValueError, match="one of codec, interval, adaptive, got 'often'"):
        key_policy("often")
