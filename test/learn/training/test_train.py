"""What both steps are given to train on, and to score on."""

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
    settings = {"layer": None, "correction": None, "device": "cpu", "precision": "fp32"} | changed
    module.step_two(data, SCHEDULE, rollout, run, model=str(model), workers=1, **settings)


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


@pytest.mark.parametrize("correction", [None, "fusion"])
def test_a_second_step_goes_on_with_the_models_own_or_begins_anew(
    data, given, second, tmp_path, correction
):
    stored = load_checkpoint(second)
    for anew in (False, True):
        take_step_two(data, second, tmp_path, anew=anew, correction=correction)
        model, _, _, _, rollout, *_ = given()
        assert rollout.fit == (ROLLOUT.fit if anew else 0)
        assert model.config.correction == (correction or stored.config.correction)
        kept = {k: torch.equal(t, stored.state_dict()[k]) for k, t in model.state_dict().items()}
        assert all(kept.values()) == (not anew)
        assert all(same for name, same in kept.items() if name.startswith("keyframe."))


@pytest.mark.parametrize("other", [{"layer": 2}, {"correction": "cfr"}])
def test_a_second_step_of_another_kind_cannot_go_on(data, given, second, tmp_path, other):
    expected = "expected the model's own layer 1 and correction rga, got layer"
    with pytest.raises(DataError, match=expected):
        take_step_two(data, second, tmp_path, anew=False, **other)


def test_a_model_of_the_first_step_has_no_second_to_go_on_with(data, given, network, tmp_path):
    save_checkpoint(tmp_path / "key.safetensors", network())
    with pytest.raises(DataError, match="expected a model of the second step, got one of the fir"):
        take_step_two(data, tmp_path / "key.safetensors", tmp_path, anew=False)
