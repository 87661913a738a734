"""Step 1: training the key-frame CNN, and going on where it stopped."""

import numpy as np
import pytest
import torch

from twnet_ros.learn.data.folder import read_split
from twnet_ros.learn.data.image import normalise
from twnet_ros.learn.data.source import StillSource
from twnet_ros.learn.training.key import Crops, histogram, train_key
from twnet_ros.learn.training.loop import Schedule
from twnet_ros.net import load_checkpoint
from twnet_ros.net.config import BACKBONES

CROP = (64, 64)
SIZE = (96, 64)


class Interrupted(Exception):
    """Stands in for Ctrl-C."""


class Held(list):
    """Held-out pictures that interrupt the training when they are looked at too often."""

    def __init__(self, pictures, looks):
        super().__init__(pictures)
        self.looks = looks

    def __iter__(self):
        self.looks -= 1
        if self.looks < 0:
            raise Interrupted
        return super().__iter__()


@pytest.fixture
def pictures(source):
    """One labelled picture."""
    return [source.stills.read(0)]


def schedule(iterations, **settings):
    return Schedule(iterations, batch=2, rate=1e-3, validate_every=1, **settings)


def test_crops_are_a_function_of_seed_and_number(source):
    crops, same, other = (Crops(source, SIZE, CROP, seed) for seed in (1, 1, 2))
    same[3]  # whichever came before
    for a, b in zip(crops[4], same[4], strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(crops[0][0], crops[1][0])
    assert not torch.equal(crops[0][0], other[0][0])


def test_crops_are_of_pictures_at_the_size_the_network_runs_at(still_folder):
    """Of stills twice as large the same part is seen, at half the size."""
    stills, _ = read_split(still_folder(1, (192, 128), noise=0), 3, [], "train")
    crops = Crops(StillSource(stills, (), SIZE), SIZE, SIZE, seed=1, scale=(1.0, 1.0))
    for rgb, labels in map(crops.__getitem__, range(8)):
        assert rgb.shape == (64, 96, 3)
        assert (labels == 2).sum() == 13 * 10  # the whole car, 26 by 20
        assert (labels == 255).sum() == 0


def test_pictures_are_normalised(network):
    model = network()
    rgb = torch.tensor([[[[0, 128, 255]]]], dtype=torch.uint8)
    expected = (np.array([0, 128, 255]) - model.config.mean) / model.config.std
    assert normalise(rgb, model.config).flatten().tolist() == pytest.approx(
        expected.tolist(), rel=1e-5
    )


def test_classes_are_counted(source):
    counts = histogram(source, 3, count=20)
    assert counts.sum() == 20 * 64 * 96
    assert counts.argmin() == 2
    _, labels = source.stills.read(0)
    assert histogram(source, 2, count=3).shape == (2,)
    assert (labels == 2).sum() == 26 * 20


def test_training_changes_the_key_frame_cnn_and_its_copies(source, network, tmp_path, pictures):
    model = network()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    train_key(model, source, pictures, schedule(2), CROP, tmp_path / "run")
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and not any(name.startswith(("cfr.", "rga.")) for name in changed)
    weights = {name for name, _ in model.named_parameters() if name.startswith("keyframe.")}
    assert weights <= changed


def test_a_run_leaves_a_checkpoint_a_state_and_logs(source, network, tmp_path, pictures):
    model = network()
    train_key(model, source, pictures, schedule(1), CROP, tmp_path / "run")
    names = {p.name.split(".")[0] for p in (tmp_path / "run").iterdir()}
    assert names == {"model", "last", "state", "events"}
    loaded = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert loaded.config == model.config
    expected = model.keyframe.tail.classifier.weight.half().float()
    assert torch.equal(loaded.keyframe.tail.classifier.weight, expected)


def test_a_run_is_repeatable(source, network, tmp_path, pictures):
    for name in ("one", "two"):
        torch.rand(3)  # whatever was drawn before
        train_key(network(), source, pictures, schedule(2), CROP, tmp_path / name)
    one, two = (tmp_path / name / "model.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_workers_change_nothing(source, network, tmp_path, pictures):
    for workers in (1, 2):
        run = tmp_path / str(workers)
        train_key(network(), source, pictures, schedule(3), CROP, run, workers=workers)
    one, two = (tmp_path / name / "model.safetensors" for name in ("1", "2"))
    assert one.read_bytes() == two.read_bytes()


def test_what_is_pretrained_learns_at_its_share_of_the_rate(source, network, tmp_path):
    model = network()
    encoder = {f"keyframe.{k}" for k, _ in model.keyframe.named_parameters() if ".stages." in k}
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    run = tmp_path / "run"
    settings = (schedule(3), CROP, run)
    train_key(model, source, [], *settings, pretrained=encoder, encoder_rate=0.25)
    trained = model.state_dict()
    moved = {name: float((trained[name] - p).abs().max()) for name, p in before.items()}
    fast = max(moved[f"keyframe.tail.classifier.{name}"] for name in ("weight", "bias"))
    slow = [moved[name] for name in encoder]  # Adam's steps are about as long as the rate
    assert 0.2 * fast < max(slow) < 0.3 * fast and min(slow) > 0
    with pytest.raises(ValueError, match="expected a run with peak rates .* to resume, got "):
        train_key(network(), source, [], *settings, pretrained=encoder, encoder_rate=0.5)


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(source, network, tmp_path, pictures):
    whole = network()
    train_key(whole, source, pictures, schedule(3), CROP, tmp_path / "whole")

    parts = network()
    with pytest.raises(Interrupted):
        train_key(parts, source, Held(pictures, 2), schedule(3), CROP, tmp_path / "run")
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=True)["reached"][0] == 1
    parts = network(seed=9)  # nothing of it may be left
    held = Held(pictures, 2)
    train_key(parts, source, held, schedule(3), CROP, tmp_path / "run")
    assert held.looks == 0  # two iterations were left
    for name, tensor in whole.state_dict().items():
        if name.startswith("keyframe."):
            assert torch.equal(parts.state_dict()[name], tensor), name


def test_the_checkpoint_is_the_model_that_scored_best(
    source, network, tmp_path, pictures, monkeypatch
):
    """Whether the run was interrupted or not; 30 is better than before, but not the best."""
    run, scores, shown = tmp_path / "run", [20.0, 50.0, 10.0, None, 30.0], []

    def scored(model, pictures, device):
        shown.append(model.keyframe.tail.classifier.weight.half().float())
        value = scores[len(shown) - 1]
        if value is None:
            raise Interrupted
        return value

    monkeypatch.setattr("twnet_ros.learn.training.key.score_pictures", scored)
    with pytest.raises(Interrupted):
        train_key(network(), source, pictures, schedule(3), CROP, run)
    train_key(network(), source, pictures, schedule(3), CROP, run)
    assert len(shown) == 5
    kept, last = (
        load_checkpoint(run / f"{name}.safetensors").keyframe.tail.classifier.weight
        for name in ("model", "last")
    )
    assert torch.equal(kept, shown[1])
    assert torch.equal(last, shown[4]) and not torch.equal(last, kept)


def test_a_finished_run_stays_as_it_is(source, network, tmp_path, pictures):
    model = network()
    train_key(model, source, pictures, schedule(1), CROP, tmp_path / "run")
    written = (tmp_path / "run" / "model.safetensors").read_bytes()
    again = network(seed=4)
    train_key(again, source, Held(pictures, 0), schedule(1), CROP, tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == written
    assert torch.equal(
        again.keyframe.tail.classifier.weight, model.keyframe.tail.classifier.weight
    )


def test_a_run_of_another_length_is_refused(source, network, tmp_path, pictures):
    train_key(network(), source, pictures, schedule(1), CROP, tmp_path / "run")
    with pytest.raises(ValueError, match="expected a run with iterations 5 to resume, got 1"):
        train_key(network(), source, pictures, schedule(5), CROP, tmp_path / "run")


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_checkpoint_can_take_non_key_steps(source, network, tmp_path, backbone):
    train_key(network(backbone=backbone), source, [], schedule(2), CROP, tmp_path)
    model = load_checkpoint(tmp_path / "model.safetensors")
    image = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        logits, state = model.key(image)
        none = torch.zeros(1, 3, *state.context.shape[-2:])
        again, _ = model.nonkey(image, none[:, :2], none, state)
    torch.testing.assert_close(again, logits)
