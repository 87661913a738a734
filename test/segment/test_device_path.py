"""What runs on a GPU, on tensors without data: it may not read any of them but what it returns."""

import numpy as np
import pytest
import torch

from twnet_ros.segment import (
    CODEC_KEYS,
    KeyPolicy,
    Network,
    Path,
    Segmenter,
    Wish,
    evidence,
    key_policy,
    output,
)
from twnet_ros.segment import network as network_module

TOTAL = ((), torch.float32)  # of the logits, which tells whether they are finite
META = torch.device("meta")  # refuses to be read, and to be mixed with what is on the CPU


@pytest.fixture
def engine(network, monkeypatch):
    """Make an engine on a device that stands for a GPU, and the list of what it returned."""

    def make(network, **settings):
        returned = []

        def download(*tensors):
            assert all(part.device == META for part in tensors)
            returned.append([(tuple(part.shape), part.dtype) for part in tensors])
            return tuple(np.zeros(part.shape, np.uint8) for part in tensors)

        monkeypatch.setattr(network_module, "choose", lambda *_: (META, "fp16"))
        monkeypatch.setattr(output, "download", download)
        monkeypatch.setattr(evidence, "download", download)
        return Segmenter(Network(network), **{"policy": CODEC_KEYS, **settings}), returned

    return make


@pytest.mark.parametrize(
    "settings",
    [
        {"correction": "fusion"},
        {"correction": "none"},
        {"layer": 3},
        {"backbone": "resnet18", "layer": 2},
        {"backbone": "mobilenetv2"},
        {"backbone": "efficientnetlite0"},
        {"backbone": "ddrnet23slim", "layer": 2},
    ],
)
@pytest.mark.parametrize("policy", [CODEC_KEYS, KeyPolicy(interval=6)])
def test_only_labels_come_back(network, engine, coded_with_b, pan, settings, policy):
    segmenter, returned = engine(network(**settings), motion="codec", policy=policy)
    frames = coded_with_b(pan(10))
    results = [one for frame in frames for one in segmenter.step(frame)]
    keys = [one.index for one in results if one.path is Path.KEY]
    assert keys == ([0, 6] if policy.interval else [0]) and len(results) == 10
    assert returned == [[((64, 96), torch.uint8), TOTAL]] * len(results)
    assert segmenter.state.context.device == META


def test_what_is_wished_for_comes_back_too(network, engine, coded_with_b, pan):
    segmenter, returned = engine(network(), input_size=(64, 64))
    segmenter.wish = Wish(confidence=True, evidence=True, scale=0.5, least_confidence=0.5)
    results = [one for frame in coded_with_b(pan(7)) for one in segmenter.step(frame)]
    labels = [((32, 48), torch.uint8)] * 2 + [TOTAL]
    pixels = [((43, 64, 2), torch.float32), ((43, 64, 3), torch.float32)]
    carried = sum(one.path is Path.NONKEY for one in results)
    assert returned.count(labels) == len(results) and returned.count(pixels) == carried > 0
    assert len(returned) == len(results) + carried


def test_a_policy_by_the_residual_has_to_read_it(network, engine, coded, pan):
    """This is how the tests above would find out that something is read."""
    segmenter, _ = engine(network(), policy=key_policy("adaptive"))
    frames = coded(pan(2))
    segmenter.step(frames[0])
    with pytest.raises(RuntimeError, match="meta"):
        segmenter.step(frames[1])
