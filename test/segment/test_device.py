"""The form in which a network runs on a device, and how many threads its step runs on."""

import logging
import threading

import pytest
import torch
from torch import nn

from twnet_ros.net import Config, TWNet
from twnet_ros.segment import device
from twnet_ros.segment.device import (
    choose,
    free_memory,
    has_bf16,
    has_onednn,
    place,
    share_threads,
)

CPU = torch.device("cpu")


def model():
    torch.manual_seed(0)
    return TWNet(Config("mobilenetv1", 1, ("a", "b"), ((0, 0, 0),) * 2, (96, 64)))


@pytest.fixture(autouse=True)
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("streams, share", [(1, 4), (2, 2), (3, 1), (9, 1)])
def test_each_stream_has_its_share_at_least_one(streams, share):
    share_threads(streams)
    found = []
    stream = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    stream.start()
    stream.join()
    assert found == [torch.get_num_threads()] == [share]


@pytest.mark.parametrize(
    ("gpus", "name", "expected"),
    [
        (0, "auto", ("cpu", "fp32")),
        (1, "auto", ("cuda:0", "fp16")),
        (2, "auto", ("cuda:0", "fp16")),
        (1, "cuda", ("cuda:0", "fp16")),
        (2, "cuda:1", ("cuda:1", "fp16")),
        (1, "cpu", ("cpu", "fp32")),
    ],
)
def test_a_gpu_is_taken_where_there_is_one_and_float16_there(gpus, name, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(device, "_gain", lambda _: 1.0)  # bfloat16 does not pay on this CPU
    found, precision = choose(model(), name, "auto")
    assert (str(found), precision) == expected


@pytest.mark.skipif(not has_onednn(), reason="torch was built without oneDNN")
@pytest.mark.parametrize("supported", [True, False])
def test_without_instructions_for_bfloat16_pytorch_computes_it(supported, monkeypatch):
    if supported and not has_bf16(CPU):
        pytest.skip("no instructions for bfloat16")
    monkeypatch.setattr(device, "has_bf16", lambda _: supported)
    placed = place(model(), CPU, torch.bfloat16)
    plain = [part for part in placed.modules() if isinstance(part, nn.Conv2d)]
    assert bool(plain) is not supported
    image = torch.randn(1, 3, 64, 96, dtype=torch.bfloat16)
    with torch.inference_mode():
        logits, _ = placed.key(image.contiguous(memory_format=torch.channels_last))
    assert logits.dtype == torch.bfloat16 and bool(logits.isfinite().all())


@pytest.mark.parametrize(
    ("instructions", "times_s", "expected"),
    [
        (True, [2.0, 1.0], "bf16"),
        (True, [1.2, 1.0], "fp32"),  # no clear case
        (True, [1.0, 2.0], "fp32"),
        (False, [2.0, 1.0], "fp32"),
    ],
)
def test_on_a_cpu_bfloat16_is_chosen_where_it_is_measured_to_be_clearly_faster(
    instructions, times_s, expected, monkeypatch
):
    """By the times of both, float32 first."""
    steps = []
    monkeypatch.setattr(device, "has_bf16", lambda _: instructions)
    monkeypatch.setattr(device, "has_onednn", lambda: False)  # which might not have them
    monkeypatch.setattr(device, "by_turns", lambda *given: steps.append(given) or times_s)
    assert choose(model(), "cpu", "auto") == (CPU, expected)
    for given in steps:
        assert [step()[0].dtype for step in given] == [torch.float32, torch.bfloat16]
    assert len(steps) == instructions
    for named in ("bf16", "fp32"):
        assert choose(model(), "cpu", named) == (CPU, named)


def test_memory_that_torch_does_not_free_is_a_warning(monkeypatch, caplog):
    def refuse():
        raise RuntimeError("captures_underway.empty() INTERNAL ASSERT FAILED")

    monkeypatch.setattr(torch.cuda, "empty_cache", refuse)
    with caplog.at_level(logging.WARNING):
        free_memory()
    (said,) = caplog.messages
    assert "not freed" in said and "captures_underway" in said
