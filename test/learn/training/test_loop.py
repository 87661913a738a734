"""What both training steps share."""

import pytest
import torch

from twnet_ros.learn.training import loop


@pytest.mark.parametrize(
    ("device", "instructions", "gain", "expected"),
    [
        ("cpu", True, 2.0, "bf16"),
        ("cpu", True, 0.7, "fp32"),
        ("cpu", False, 2.0, "fp32"),
        ("cuda", True, 0.7, "bf16"),
        ("cuda", False, 2.0, "fp32"),
    ],
)
def test_training_is_in_bfloat16_where_that_is_measured_to_be_faster(
    monkeypatch, network, tmp_path, device, instructions, gain, expected
):
    monkeypatch.setattr(loop, "has_bf16", lambda _: instructions)
    monkeypatch.setattr(loop, "_gain", lambda backbone, layer: gain)
    config = network().config
    assert loop.choose_precision("auto", config, device, tmp_path) == expected
    for named in ("bf16", "fp32"):
        assert loop.choose_precision(named, config, device, tmp_path) == named
        with loop.mixed_precision("cpu", named):
            assert torch.is_autocast_enabled("cpu") == (named == "bf16")


def test_a_run_goes_on_in_the_precision_it_began_in(monkeypatch, network, tmp_path):
    """Whatever would be measured now."""
    model = network()
    parameters = list(model.parameters())

    def optimise(precision):
        schedule = loop.Schedule(1, batch=1, rate=1e-3, precision=precision)
        loss = {"loss": sum(p.sum() for p in parameters)}
        batches = lambda start: iter(range(start, 1))  # noqa: E731
        loop.optimise(model, [(1, parameters)], schedule, batches, lambda _: loss, dict, tmp_path)

    optimise("bf16")
    monkeypatch.setattr(loop, "_gain", lambda backbone, layer: 0.5)
    assert loop.choose_precision("auto", model.config, "cpu", tmp_path) == "bf16"
    optimise("bf16")
    with pytest.raises(ValueError, match="expected a run with precision fp32 to resume, got bf16"):
        optimise("fp32")


def test_a_training_that_diverges_ends(network, tmp_path):
    model = network()
    parameters = list(model.parameters())
    schedule = loop.Schedule(9, batch=1, rate=1e-3)

    def losses(batch):
        return {"loss": sum(p.sum() for p in parameters) * (float("inf") if batch == 2 else 1)}

    settings = [(1, parameters)], schedule, lambda start: iter(range(9)), losses, dict, tmp_path
    with pytest.raises(ValueError, match="iteration 3: expected a finite gradient, got a norm of"):
        loop.optimise(model, *settings)


def test_a_score_that_is_no_number_ends_a_training(network, tmp_path):
    model, schedule = network(), loop.Schedule(2, batch=1, rate=1e-3)
    groups = [(1, list(model.parameters()))]
    settings = schedule, lambda start: iter(range(2)), dict, lambda: {"score": float("nan")}
    with pytest.raises(ValueError, match="expected labels of the classes in what is held out"):
        loop.optimise(model, groups, *settings, tmp_path)


@pytest.fixture
def resumed(network, tmp_path):
    """Resume a training."""
    model, schedule = network(), loop.Schedule(2, batch=1, rate=1e-3)
    settings = schedule, lambda start: iter(range(2)), dict, dict, tmp_path
    return lambda: loop.optimise(model, [(1, list(model.parameters()))], *settings)


WANTED = r"state\.pt: expected the state of a run to resume"


@pytest.mark.parametrize("content", [b"", b"nothing", b"PK\3\4"])
def test_a_damaged_state_is_said_to_be_one(resumed, tmp_path, content):
    (tmp_path / loop.STATE).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{WANTED} \("):
        resumed()


@pytest.mark.parametrize(
    ("content", "actual"),
    [({"model": {}, "epoch": 3}, "one of 2 parts, model, …"), ({}, "a dict"), ([1], "a list")],
)
def test_the_state_of_another_training_is_said_to_be_one(resumed, tmp_path, content, actual):
    torch.save(content, tmp_path / loop.STATE)
    with pytest.raises(ValueError, match=f"{WANTED}, got {actual}; choose another"):
        resumed()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_gain_is_measured_without_a_trace(monkeypatch, mode):
    """What is drawn at random afterwards must not depend on the processor."""
    ran = []

    def by_turns(*steps):
        for step in steps:
            step()
            ran.append(step)
        return [3.0, 2.0]

    monkeypatch.setattr(loop, "by_turns", by_turns)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with mode():  # as the least-squares start and the scoring are
        assert loop._gain("mobilenetv1", 1) == 1.5
    assert len(ran) == 2
    assert torch.equal(torch.rand(3), expected)
