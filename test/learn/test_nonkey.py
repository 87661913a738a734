"""Step 2: lanes of clips, what is trained, and going on where it stopped."""

from itertools import islice

import pytest
import torch

from twnet_ros.learn.clip import Coding
from twnet_ros.learn.evaluate import make_clips, score
from twnet_ros.learn.loop import Schedule
from twnet_ros.learn.loss import consistency_loss, segmentation_loss
from twnet_ros.learn.nonkey import Lanes, Rollout, restart, rollout_losses, train_nonkey
from twnet_ros.net import FeatureState, load_checkpoint

ROLLOUT = Rollout(frames=2, shortest=4, longest=7)
FIELDS = ("first", "key", "image", "motion", "residual", "labels")


class Interrupted(Exception):
    """Stands in for Ctrl-C."""


@pytest.fixture
def lanes(source, network):
    """Take stretches of two lanes."""
    config = network().config

    def make(count, seed=(0, 0), rollout=ROLLOUT):
        return list(islice(Lanes(source, config, rollout, 2, seed), count))

    return make


def schedule(iterations, **settings):
    return Schedule(iterations, batch=2, rate=1e-3, validate_every=1, **settings)


def trained(model, source, run, iterations=2, held_out=()):
    train_nonkey(model, source, list(held_out), schedule(iterations), ROLLOUT, run)
    return model


def test_stretches_have_their_shapes(lanes):
    (stretch,) = lanes(1)
    assert stretch.first.tolist() == [True, True]
    assert stretch.key.shape == (2, 3, 64, 96)
    assert stretch.image.shape == stretch.residual.shape == (2, 2, 3, 64, 96)
    assert stretch.motion.shape == (2, 2, 2, 64, 96)
    assert stretch.labels.shape == (2, 2, 64, 96)
    assert stretch.labels.dtype == torch.uint8
    assert set(stretch.labels.unique().tolist()) <= {0, 1, 2, 255}


def test_the_seed_alone_decides(lanes):
    one, two, other = lanes(4), lanes(4), lanes(4, seed=(0, 1))
    for a, b in zip(one, two, strict=True):
        assert all(torch.equal(getattr(a, f), getattr(b, f)) for f in FIELDS)
    assert not torch.equal(one[0].image, other[0].image)
    assert not torch.equal(one[0].image[0], one[0].image[1])  # lanes have clips of their own


def test_a_walk_begins_with_its_first_stretch_and_then_goes_on(lanes):
    found = lanes(12)
    for lane in range(2):
        first = [bool(s.first[lane]) for s in found]
        assert first[0]
        starts = [i for i, f in enumerate(first) if f]
        lengths = [b - a for a, b in zip(starts, starts[1:], strict=False)]
        assert lengths and all(2 <= n <= 3 for n in lengths)  # 4 to 7 frames, 2 a stretch
        for before, after in zip(found, found[1:], strict=False):
            same = torch.equal(before.key[lane], after.key[lane])
            assert same != bool(after.first[lane])


def test_frames_follow_each_other(panning, network):
    """In a panning clip vectors explain most of what changes, across stretches too."""
    walk = Lanes(panning(), network().config, Rollout(2, 6, 6), 1, (0, 0))
    found = list(islice(walk, 3))
    moves = torch.cat([s.motion[0] for s in found])
    assert moves[:, 0].median() == 2  # what the camera sees moves left, so it comes from the right
    assert moves[:, 1].median() == 0
    for stretch in found:
        assert stretch.residual.abs().mean() < 12


@torch.no_grad()
def test_lanes_start_anew_where_a_clip_begins(lanes, network):
    model = network()
    stretch = lanes(1)[0]
    expected = model.key(stretch.key)[1].context
    assert torch.allclose(restart(model, stretch, torch.empty(0), "cpu"), expected, atol=1e-4)
    carried = torch.randn_like(expected)
    stretch.first = torch.tensor([False, False])
    assert restart(model, stretch, carried, "cpu") is carried
    stretch.first = torch.tensor([False, True])
    mixed = restart(model, stretch, carried, "cpu")
    assert torch.equal(mixed[0], carried[0])
    assert torch.allclose(mixed[1], expected[1], atol=1e-4)


def test_the_losses_are_those_of_each_frame_along_the_stretch(lanes, network):
    model = network()
    model.start_finetuning()
    torch.nn.init.normal_(model.cfr.predict.weight, std=0.05)
    stretch, weights = lanes(1)[0], torch.tensor([1.0, 2.0, 3.0])
    context = model.key(stretch.key)[1].context.detach()
    losses, after = rollout_losses(model, stretch, context, weights, "cpu")
    state, segmentation, consistency = FeatureState(context, 0), 0.0, 0.0
    with torch.no_grad():
        for t in range(2):
            step = (part[:, t] for part in (stretch.image, stretch.motion, stretch.residual))
            logits, state = model.nonkey(*step, state)
            segmentation += segmentation_loss(logits, stretch.labels[:, t], weights) / 2
            target = model.key(stretch.image[:, t])[1].context
            consistency += consistency_loss(state.context, target) / 2
    assert losses["segmentation"].item() == pytest.approx(float(segmentation), rel=1e-4)
    assert losses["consistency"].item() == pytest.approx(float(consistency), rel=1e-4)
    assert torch.allclose(after, state.context, atol=1e-5)
    assert not after.requires_grad
    rms = losses["context_rms"]
    assert float(rms) > 0 and not rms.requires_grad


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


def test_every_clip_of_the_training_begins_at_its_key_frame(
    source, network, tmp_path, monkeypatch
):
    seen = []

    def watched(model, batch, context, weights, device):
        with torch.no_grad():
            expected = model.key(batch.key)[1].context
        seen.append((context.float() - expected).abs().mean() / expected.abs().mean())
        return rollout_losses(model, batch, context, weights, device)

    monkeypatch.setattr("twnet_ros.learn.nonkey.rollout_losses", watched)
    single = Rollout(frames=2, shortest=2, longest=2)
    train_nonkey(network(), source, [], schedule(3), single, tmp_path / "run")
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
    assert names == {"model", "state", "events"}


class Looks:
    """Stands in for the scoring: keeps the weights it was shown; the n-th look interrupts."""

    def __init__(self, last=None):
        self.last, self.shown = last, []

    def __call__(self, model, clips, method, device):
        self.shown.append({k: v.clone() for k, v in model.state_dict().items()})
        if len(self.shown) == self.last:
            raise Interrupted
        return score(model, clips, method, device)


def test_an_interrupted_run_goes_on_from_its_state(source, network, tmp_path, monkeypatch):
    """Lanes begin with new clips then, so the weights differ from an uninterrupted run's."""
    run, clips = tmp_path / "run", make_clips(source, 1, 2, Coding(), 0)
    looks = Looks(last=5)  # two methods are scored an iteration
    monkeypatch.setattr("twnet_ros.learn.nonkey.score", looks)
    with pytest.raises(Interrupted):
        trained(network(), source, run, 3, clips)
    state = torch.load(run / "state.pt", weights_only=True)
    assert state["step"] == 2
    for name, tensor in looks.shown[3].items():
        assert torch.equal(state["model"][name], tensor)

    looks = Looks()
    monkeypatch.setattr("twnet_ros.learn.nonkey.score", looks)
    resumed = trained(network(seed=5), source, run, 3, clips)
    assert len(looks.shown) == 2  # one iteration was left
    for name, tensor in state["model"].items():
        if name.startswith("keyframe.") or "running" in name:
            assert torch.equal(resumed.state_dict()[name], tensor), name
    moved = (resumed.cfr.predict.weight - state["model"]["cfr.predict.weight"]).abs().max()
    assert 0 < moved < 2e-3  # one step of about the learning rate
    after = torch.load(run / "state.pt", weights_only=True)
    assert (after["step"], after["rate"]["last_epoch"]) == (3, 3)


def test_a_finished_run_stays_as_it_is(source, network, tmp_path):
    model = trained(network(), source, tmp_path / "run", iterations=1)
    written = (tmp_path / "run" / "model.safetensors").read_bytes()
    again = trained(network(seed=4), source, tmp_path / "run", iterations=1)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == written
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_layer_3_trains_its_classifier_alone(source, network, tmp_path):
    model = network(layer=3)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    trained(model, source, tmp_path / "run", iterations=1)
    classifier = "tail.classifier.weight"
    assert not torch.equal(model.state_dict()[classifier], before["keyframe." + classifier])
