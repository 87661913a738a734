"""What both steps are given to train on, and to score on."""

from dataclasses import replace

import pytest
import torch

from twnet_ros.learn.data.clip import Coding
from twnet_ros.learn.data.dataset import Data
from twnet_ros.learn.data.still import DataError
from twnet_ros.learn.training import train as module
from twnet_ros.learn.training.loop import Schedule
from twnet_ros.learn.training.rollout import Rollout
from twnet_ros.net import load_checkpoint, save_checkpoint
from twnet_ros.segment.palette import ClassSet

CLASSES = ClassSet(("road", "sky", "car"), ((40, 40, 40), (210, 210, 210), (120, 120, 120)))
SCHEDULE = Schedule(1, batch=1, rate=1e-3)
ROLLOUT = Rollout()


@pytest.fixture
def data():
    """A data set whose splits are their names."""
    return Data(CLASSES, (96, 64), {"train": "train", "val": "val"}.get)


@pytest.fixture
def given(monkeypatch):
    """Have the steps not train; return what they would have trained with."""
    seen = {}
    for name in ("train_key", "train_nonkey"):
        monkeypatch.setattr(module, name, lambda *arguments: seen.update(arguments=arguments))
    monkeypatch.setattr(module, "held_out_pictures", lambda source: f"pictures of {source}")
    monkeypatch.setattr(module, "make_clips", lambda *arguments: arguments)
    return lambda: seen["arguments"]


def take_step_two(data, model, run, rollout=ROLLOUT, **changed):
    settings = {"layer": None, "correction": None, "init": None} | changed
    settings |= {"device": "cpu", "precision": "fp32", "workers": 1}
    module.step_two(data, SCHEDULE, rollout, run, model=str(model), **settings)


def test_step_one_scores_what_is_held_out(data, given, tmp_path):
    settings = {"backbone": "mobilenetv1", "layer": 1, "input_size": (96, 64), "crop": (64, 64)}
    settings |= {"scale": (1.0, 1.0), "init": None, "pretrained": None, "encoder_rate": 0.1}
    module.step_one(
        data, SCHEDULE, tmp_path, device="cpu", precision="fp32", workers=1, **settings
    )
    _, source, pictures, *_ = given()
    assert (source, pictures) == ("train", "pictures of val")


def test_step_two_scores_near_the_key_frame_and_far_from_it(data, given, network, tmp_path):
    save_checkpoint(tmp_path / "key.safetensors", network())
    take_step_two(data, tmp_path / "key.safetensors", tmp_path)
    _, source, clips, *_ = given()
    near, far = Coding(gop=12, bits_per_pixel=0.3), Coding(gop=600, bits_per_pixel=0.3)
    assert source == "train"
    seed = module.CHOICE
    assert clips == {"gop_12": ("val", 6, 24, near, seed), "far": ("val", 4, 101, far, seed + 1)}


def test_a_model_of_other_classes_is_refused_by_their_names(data, given, network, tmp_path):
    save_checkpoint(tmp_path / "key.safetensors", network())
    other = Data(ClassSet(("road", "sky", "tree"), CLASSES.colors), data.size, data.split)
    with pytest.raises(DataError, match="classes road, sky, tree, got road, sky, car"):
        take_step_two(other, tmp_path / "key.safetensors", tmp_path)


@pytest.mark.parametrize("uncorrected", [{"correction": "none"}, {"layer": 3}])
def test_a_consistency_that_weighs_nothing_is_refused(data, given, network, tmp_path, uncorrected):
    path = tmp_path / "key.safetensors"
    save_checkpoint(path, network())
    take_step_two(data, path, tmp_path, **uncorrected)
    take_step_two(data, path, tmp_path, Rollout(consistency=10.0))
    with pytest.raises(DataError, match="--consistency: expected a correction"):
        take_step_two(data, path, tmp_path, Rollout(consistency=10.0), **uncorrected)


@pytest.fixture
def second(network, tmp_path):
    """A checkpoint of the second step."""
    model = network()
    with torch.no_grad():
        for parameter in (*model.head.parameters(), *model.cfr.parameters()):
            parameter.add_(0.25)
    save_checkpoint(tmp_path / "second.safetensors", model)
    return tmp_path / "second.safetensors"


@pytest.fixture
def first(network, tmp_path):
    """A checkpoint of the first step, of another key-frame CNN than the second's."""
    model = network(layer=2)
    with torch.no_grad():
        for parameter in model.keyframe.parameters():
            parameter.mul_(1.5)
    model.copy_key_parts()
    save_checkpoint(tmp_path / "first.safetensors", model)
    return tmp_path / "first.safetensors"


@pytest.mark.parametrize("correction", [None, "fusion"])
def test_a_second_step_goes_on_with_a_models_beside_another_key_frame_cnn(
    data, given, first, second, tmp_path, correction
):
    trained = load_checkpoint(second)
    take_step_two(data, first, tmp_path, init=str(second), correction=correction)
    model, _, _, _, rollout, *_ = given()
    assert rollout == replace(ROLLOUT, fit=0)
    assert (model.config.layer, model.config.correction) == (1, correction or "rga")
    wanted = load_checkpoint(first).keyframe.uncut()
    for name, tensor in model.keyframe.uncut().items():
        assert torch.equal(tensor, wanted[name]), name
    for name, tensor in model.cfr.state_dict().items():
        assert torch.equal(tensor, trained.cfr.state_dict()[name]), name
    for name, tensor in model.head.named_parameters():
        copy = model.keyframe.head.get_parameter(name)
        # As ``second`` was trained; checkpoints are in half precision.
        torch.testing.assert_close(tensor, copy + 0.25, rtol=0, atol=1e-3)
    for name, tensor in model.tail.state_dict().items():
        assert torch.equal(tensor, model.keyframe.tail.state_dict()[name]), name


def test_a_second_step_goes_on_with_the_models_own(data, given, second, tmp_path):
    take_step_two(data, second, tmp_path, init=str(second))
    model, *_ = given()
    for name, tensor in load_checkpoint(second).state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name


def test_a_second_step_begins_with_copies_where_it_has_no_other(data, given, second, tmp_path):
    take_step_two(data, second, tmp_path)
    model, _, _, _, rollout, *_ = given()
    assert rollout == ROLLOUT and not model.cfr.predict.weight.any()
    for part in ("head", "tail"):
        own = getattr(model, part).state_dict()
        for name, tensor in getattr(model.keyframe, part).state_dict().items():
            assert torch.equal(own[name], tensor), name


@pytest.mark.parametrize(
    ("other", "expected"),
    [({"layer": 2}, "layer 2, rga"), ({"correction": "cfr"}, "layer 1, cfr")],
)
def test_a_second_step_of_another_kind_cannot_go_on(
    data, given, second, tmp_path, other, expected
):
    expected = f"expected a non-key step of mobilenetv1, {expected}, got one of .*layer 1, rga"
    with pytest.raises(DataError, match=expected):
        take_step_two(data, second, tmp_path, init=str(second), **other)


def test_a_model_of_the_first_step_has_no_second_to_go_on_with(data, given, first, tmp_path):
    with pytest.raises(DataError, match="expected a model of the second step, got one of the fir"):
        take_step_two(data, first, tmp_path, init=str(first))
