"""Step 2: what is trained, on what losses, and going on where it stopped."""

from dataclasses import replace

import pytest
import torch

from twnet_ros.learn.data.clip import Coding
from twnet_ros.learn.evaluation.evaluate import make_clips, score
from twnet_ros.learn.training.loop import Schedule, mixed_precision
from twnet_ros.learn.training.loss import consistency_loss, segmentation_loss
from twnet_ros.learn.training.nonkey import rollout_losses, train_nonkey
from twnet_ros.learn.training.rollout import Lanes, Rollout
from twnet_ros.net import FeatureState, load_checkpoint

ROLLOUT = Rollout(frames=2, shortest=4, longest=7, fit=2)


class Interrupted(Exception):
    """Stands in for Ctrl-C."""


@pytest.fixture
def stretch(source, network):
    """Return a stretch of two frames of two lanes."""
    return next(iter(Lanes(source, network(), ROLLOUT, 2, (0, 0))))


def schedule(iterations, **settings):
    return Schedule(iterations, batch=2, rate=1e-3, validate_every=1, **settings)


def trained(model, source, run, iterations=2, held_out=None):
    train_nonkey(model, source, held_out or {}, schedule(iterations), ROLLOUT, run)
    return model


def walked(model, stretch, context, weights):
    """Return equation 8's parts by whole non-key steps, gradients all the way."""
    state = FeatureState(context, 0)
    for t in range(2):
        motion, error = stretch.motion[:, t], stretch.residual[:, t]
        logits, state = model.nonkey(stretch.image[:, t], motion, error, state)
    target = model.key(stretch.clean)[1].context
    segmentation = segmentation_loss(logits, stretch.labels, weights)
    return segmentation, consistency_loss(state.context, target), state


def test_the_losses_are_those_of_whole_steps(stretch, network):
    """Both are those of the last frame; CFR's gradient goes back over both frames."""
    weights, found = torch.tensor([1.0, 2.0, 3.0]), {}
    for name in ("rollout", "reference"):
        model = network()
        model.copy_key_parts()
        torch.nn.init.normal_(model.cfr.predict.weight, std=0.05)
        context = model.key(stretch.key)[1].context.detach()
        if name == "rollout":
            losses, after = rollout_losses(model, stretch, context, weights, "cpu")
            segmentation, consistency = losses["segmentation"], losses["consistency"]
        else:
            segmentation, consistency, state = walked(model, stretch, context, weights)
        (segmentation + 10 * consistency).backward()
        found[name] = (segmentation, consistency, model.cfr.predict.weight.grad)
    for one, other in zip(found["rollout"], found["reference"], strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-4)
    assert torch.allclose(after, state.context, atol=1e-5)
    assert not after.requires_grad
    rms = losses["context_rms"]
    assert float(rms) > 0 and not rms.requires_grad


def test_head_and_tail_learn_in_half_precision_too(stretch, network):
    """Autocast must not keep weights that earlier frames have cast without gradient."""
    model = network()
    model.copy_key_parts()
    context = model.key(stretch.key)[1].context.detach()
    with mixed_precision("cpu", "bf16"):
        losses, _ = rollout_losses(model, stretch, context, torch.ones(3), "cpu")
    losses["segmentation"].backward()
    for part in (model.head, model.tail):
        assert all(parameter.grad is not None for parameter in part.parameters())


def test_training_leaves_the_key_frame_cnn_as_it_is(source, network, tmp_path):
    model = network()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    trained(model, source, tmp_path / "run")
    after = model.state_dict()
    assert all(torch.equal(after[k], before[k]) for k in after if k.startswith("keyframe."))
    copied = {"head": "keyframe.head", "tail": "keyframe.tail"}
    for name, parameter in model.named_parameters():
        part, _, rest = name.partition(".")
        if part != "keyframe":
            start = before[f"{copied[part]}.{rest}"] if part in copied else before[name]
            assert not torch.equal(parameter, start), name
    for name, buffer in model.named_buffers():  # the batch norms keep the key frames' statistics
        part, _, rest = name.partition(".")
        if part in copied:
            assert torch.equal(buffer, before[f"{copied[part]}.{rest}"]), name


def test_workers_change_nothing(source, network, tmp_path):
    """Three lanes, of which one of two workers has two; clips are gone through to their ends."""
    rhythm, found = Schedule(5, batch=3, rate=1e-3, validate_every=3), []
    for workers in (1, 2):
        model = network()
        train_nonkey(model, source, {}, rhythm, ROLLOUT, tmp_path / str(workers), workers=workers)
        found.append(model.state_dict())
    one, two = found
    assert all(torch.equal(two[name], tensor) for name, tensor in one.items())


def test_every_clip_of_the_training_begins_at_its_key_frame(
    source, network, tmp_path, monkeypatch
):
    seen = []

    def watched(model, batch, context, weights, device):
        with torch.no_grad():
            expected = model.key(batch.key)[1].context
        seen.append((context.float() - expected).abs().mean() / expected.abs().mean())
        return rollout_losses(model, batch, context, weights, device)

    monkeypatch.setattr("twnet_ros.learn.training.nonkey.rollout_losses", watched)
    single = Rollout(frames=2, shortest=2, longest=2, fit=1)
    train_nonkey(network(), source, {}, schedule(3), single, tmp_path / "run")
    assert len(seen) == 3
    assert max(seen) < 0.02  # half precision, where it is used


def test_a_run_is_repeatable_and_can_be_loaded(source, network, tmp_path):
    one = trained(network(), source, tmp_path / "one")
    two = trained(network(), source, tmp_path / "two")
    for name, tensor in one.state_dict().items():
        assert torch.equal(two.state_dict()[name], tensor), name
    loaded = load_checkpoint(tmp_path / "one" / "model.safetensors")
    assert torch.equal(loaded.cfr.predict.weight, one.cfr.predict.weight.half().float())
    names = {p.name.split(".")[0] for p in (tmp_path / "one").iterdir()}
    assert names == {"model", "last", "state", "events"}


class Looks:
    """Stands in for the scoring: keeps the weights it was shown; the n-th look interrupts."""

    def __init__(self, last=None):
        self.last, self.shown = last, []

    def __call__(self, model, clips, method, device, precision):
        self.shown.append({k: v.clone() for k, v in model.state_dict().items()})
        if len(self.shown) == self.last:
            raise Interrupted
        return score(model, clips, method, device, precision)


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(source, network, tmp_path, monkeypatch):
    """Two iterations lie between the scores, so that contexts are handed on, and one is left."""
    run, clips = tmp_path / "run", {"near": make_clips(source, 1, 2, Coding(), 0)}
    rhythm = Schedule(5, batch=2, rate=1e-3, validate_every=2)
    whole = network()
    train_nonkey(whole, source, clips, rhythm, ROLLOUT, tmp_path / "whole")

    looks = Looks(last=5)  # two at the start, then one after two and four iterations
    monkeypatch.setattr("twnet_ros.learn.training.nonkey.score", looks)
    with pytest.raises(Interrupted):
        train_nonkey(network(), source, clips, rhythm, ROLLOUT, run)
    state = torch.load(run / "state.pt", weights_only=True)
    assert state["reached"][0] == 4
    for name, tensor in looks.shown[3].items():
        assert torch.equal(state["model"][name], tensor)

    looks = Looks()
    monkeypatch.setattr("twnet_ros.learn.training.nonkey.score", looks)
    resumed = network(seed=5)  # nothing of it may be left
    train_nonkey(resumed, source, clips, rhythm, ROLLOUT, run)
    assert len(looks.shown) == 2
    for name, tensor in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name
    one, two = (folder / "model.safetensors" for folder in (run, tmp_path / "whole"))
    assert one.read_bytes() == two.read_bytes()


def test_a_finished_run_stays_as_it_is(source, network, tmp_path):
    model = trained(network(), source, tmp_path / "run", iterations=1)
    written = (tmp_path / "run" / "model.safetensors").read_bytes()
    again = trained(network(seed=4), source, tmp_path / "run", iterations=1)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == written
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_without_a_fit_training_goes_on_with_what_the_model_has(source, network, tmp_path):
    one, two, unfitted = network(), network(), replace(ROLLOUT, fit=0)
    one.load_state_dict(trained(network(), source, tmp_path / "first").state_dict())
    two.load_state_dict(one.state_dict())
    train_nonkey(two, source, {}, schedule(0), unfitted, tmp_path / "kept")
    assert all(torch.equal(two.state_dict()[name], t) for name, t in one.state_dict().items())
    train_nonkey(two, source, {}, schedule(1), unfitted, tmp_path / "second")
    assert not torch.equal(two.cfr.predict.weight, one.cfr.predict.weight)


@pytest.mark.parametrize("correction", ["none", "cfr"])
def test_what_is_not_there_is_not_trained(source, network, tmp_path, correction):
    model = trained(network(correction=correction), source, tmp_path / "run", iterations=1)
    loaded = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert loaded.config.correction == correction
    parts = {name.partition(".")[0] for name in loaded.state_dict()}
    assert parts == {"keyframe", "head", "tail"} | ({"cfr"} if model.corrects else set())
    assert not model.corrects or model.cfr.predict.weight.any()


@pytest.mark.parametrize("consistency", [0, 1])
def test_without_an_iteration_the_start_is_kept(source, network, tmp_path, consistency):
    model, rollout = network(), replace(ROLLOUT, consistency=consistency)
    train_nonkey(model, source, {}, schedule(0), rollout, tmp_path / "run")
    loaded = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert model.cfr.predict.weight.any()  # the least-squares solution
    for part in ("head", "tail"):
        own = getattr(loaded, part).state_dict()
        for name, tensor in getattr(model.keyframe, part).state_dict().items():
            assert torch.allclose(own[name], tensor, rtol=1e-3, atol=1e-6), name


def test_layer_3_trains_its_classifier_alone(source, network, tmp_path):
    model = network(layer=3)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    trained(model, source, tmp_path / "run", iterations=1)
    classifier = "tail.classifier.weight"
    assert not torch.equal(model.state_dict()[classifier], before["keyframe." + classifier])
