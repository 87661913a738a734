"""Bounds beyond which a predicted frame takes the key step."""

import pytest
import torch

from twnet_ros.segment import KeyPolicy, key_policy


def residual_of(luma, chroma=0.0):
    levels = torch.tensor([luma, chroma, chroma])[None, :, None, None]
    return levels.expand(1, 3, 4, 6)


STILL = residual_of(0.0)


def test_by_default_nothing_asks():
    assert not KeyPolicy().is_due(10_000)
    assert not KeyPolicy().sees_another(1.0, residual_of(255.0, 255.0))


@pytest.mark.parametrize(("since", "due"), [(23, False), (24, True), (25, True)])
def test_a_key_step_is_due_when_the_interval_has_passed(since, due):
    assert KeyPolicy(interval=24).is_due(since) == due


@pytest.mark.parametrize(("intra", "another"), [(0.0, False), (0.5, False), (0.5625, True)])
def test_more_blocks_without_a_vector_than_allowed_are_another_picture(intra, another):
    assert KeyPolicy(intra=0.5).sees_another(intra, STILL) == another


@pytest.mark.parametrize(
    ("luma", "chroma", "another"),
    [(13.0, 0.0, True), (12.0, 0.0, False), (11.0, 200.0, False)],
)
def test_a_larger_residual_of_luma_than_allowed_is_another_picture(luma, chroma, another):
    assert KeyPolicy(residual=12.0).sees_another(0.0, residual_of(luma, chroma)) == another


def test_interval_and_adaptive_differ_in_the_residual():
    assert key_policy("interval", 7, 0.3, 9.0) == KeyPolicy(7, 0.3)
    assert key_policy("adaptive", 7, 0.3, 9.0) == KeyPolicy(7, 0.3, 9.0)
    with pytest.raises(ValueError, match="one of codec, interval, adaptive, got 'often'"):
        key_policy("often")
