"""Checkpoints: what is stored comes back; anything else is one clear error."""

import dataclasses
import json
import resource

import pytest
import torch
from safetensors.torch import load_file, save_file

from twnet_ros.net import CheckpointError, Config, load_checkpoint, save_checkpoint
from twnet_ros.net.config import BACKBONES


@pytest.fixture
def saved(tmp_path, correcting):
    """A checkpoint file and the network it holds."""
    model = correcting()
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, model)
    return path, model


@pytest.fixture
def rewrite(tmp_path, config):
    """Write a file of some tensors with a checkpoint's metadata, changed."""

    def run(tensors=None, **metadata):
        fields = {"format": "twnet-1", "config": config().to_json(), **metadata}
        target = tmp_path / "changed.safetensors"
        stored = {"one": torch.zeros(1)} if tensors is None else tensors
        save_file(stored, target, {k: v for k, v in fields.items() if v is not None})
        return target

    return run


def fields_of(config, **changes):
    """The configuration as JSON text, with fields changed; ... removes one."""
    fields = {**json.loads(config.to_json()), **changes}
    return json.dumps({k: v for k, v in fields.items() if v is not ...})


@pytest.mark.parametrize("layer", [1, 2, 3])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_checkpoint_comes_back_in_half_precision(tmp_path, correcting, backbone, layer):
    settings = {"mean": (1.5, 2.5, 3.5), "input_size": (96, 64)}
    model = correcting(backbone=backbone, layer=layer, **settings)
    model.train()
    model.key(torch.randn(2, 3, 64, 96))  # moves the batch norms' statistics
    model.eval()
    save_checkpoint(tmp_path / "a.safetensors", model)
    loaded = load_checkpoint(tmp_path / "a.safetensors")
    assert loaded.config == model.config
    assert not loaded.training
    parameters, stored = dict(model.named_parameters()), loaded.state_dict()
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        expected = tensor.half().float() if name in parameters else tensor
        assert stored[name].dtype == torch.float32
        assert torch.equal(stored[name], expected), name


def test_the_file_holds_half_precision_and_little_else(saved):
    path, model = saved
    parameters = sum(p.numel() for p in model.parameters())
    assert path.stat().st_size < 2.1 * parameters


def test_a_second_round_trip_changes_nothing(saved, tmp_path):
    path, _ = saved
    save_checkpoint(tmp_path / "again.safetensors", load_checkpoint(path))
    first, second = load_file(path), load_file(tmp_path / "again.safetensors")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e5])
def test_what_is_no_finite_number_in_half_precision_is_not_stored(saved, value):
    path, model = saved
    before = path.read_bytes()
    with torch.no_grad():
        next(model.tail.parameters()).view(-1)[3] = value
    with pytest.raises(CheckpointError, match=r"tail\..*: expected finite numbers"):
        save_checkpoint(path, model)
    assert path.read_bytes() == before


def test_what_is_no_finite_number_is_not_loaded(saved, rewrite):
    path, model = saved
    tensors = load_file(path)
    name = next(name for name, _ in model.named_parameters())
    tensors[name].view(-1)[5] = float("nan")
    with pytest.raises(CheckpointError, match=f"{name}: expected finite numbers"):
        load_checkpoint(rewrite(tensors, config=model.config.to_json()))


def test_what_is_no_variance_is_not_loaded(saved, rewrite):
    path, model = saved
    tensors = load_file(path)
    name = next(name for name in tensors if name.endswith("running_var"))
    tensors[name][0] = -1
    with pytest.raises(CheckpointError, match=f"{name}: expected variances, got negative ones"):
        load_checkpoint(rewrite(tensors, config=model.config.to_json()))


def test_the_same_model_gives_the_same_bytes(saved):
    path, model = saved
    contents = {path.read_bytes()}
    for _ in range(8):
        save_checkpoint(path, model)
        contents.add(path.read_bytes())
    assert len(contents) == 1


def test_nothing_but_the_file_is_left(saved):
    path, _ = saved
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_write_that_fails_leaves_the_old_file(saved, network):
    path, _ = saved
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            save_checkpoint(path, network(seed=3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_error_of_a_full_disk_names_the_file(tmp_path, network):
    (tmp_path / "a.safetensors.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '.*a\.safetensors'"):
        save_checkpoint(tmp_path / "a.safetensors", network())
    assert not [*tmp_path.iterdir()]


def test_a_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.safetensors: expected a checkpoint file"):
        load_checkpoint(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="expected a checkpoint file"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x00" * 7, b"\xff" * 64, b"RIFF....AVI "])
def test_a_file_of_another_kind(tmp_path, content):
    path = tmp_path / "wrong.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"wrong\.safetensors: expected a safetensors file"):
        load_checkpoint(path)


def test_a_file_too_large(saved, monkeypatch):
    path, _ = saved
    size = path.stat().st_size
    monkeypatch.setattr("twnet_ros.net.checkpoint.MAX_BYTES", size)
    load_checkpoint(path)
    monkeypatch.setattr("twnet_ros.net.checkpoint.MAX_BYTES", size - 1)
    with pytest.raises(CheckpointError, match=f"expected at most {size - 1} bytes, got {size}"):
        load_checkpoint(path)


def test_a_truncated_file(saved):
    path, _ = saved
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="expected a safetensors file"):
        load_checkpoint(path)


def test_a_pickle_is_refused_and_never_executed(tmp_path, trap):
    path = tmp_path / "model.safetensors"
    torch.save({"trap": trap}, path)
    with pytest.raises(CheckpointError, match="expected a safetensors file"):
        load_checkpoint(path)
    assert not trap.mark.exists()


@pytest.mark.parametrize("format_", [None, "twnet-2", "pt"])
def test_another_format(rewrite, format_):
    with pytest.raises(CheckpointError, match=r"expected a twnet-1 checkpoint, .*say") as error:
        load_checkpoint(rewrite(format=format_))
    assert repr(format_) in str(error.value)


def test_a_missing_tensor(saved, rewrite):
    tensors = load_file(saved[0])
    del tensors["cfr.predict.bias"]
    with pytest.raises(CheckpointError, match=r"1 tensors are missing, first cfr\.predict\.bias"):
        load_checkpoint(rewrite(tensors))


def test_an_unknown_tensor(saved, rewrite):
    tensors = {**load_file(saved[0]), "cfr.extra": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"1 unknown tensors, first cfr\.extra"):
        load_checkpoint(rewrite(tensors))


def test_a_tensor_of_another_shape(saved, rewrite):
    tensors = {**load_file(saved[0]), "cfr.predict.bias": torch.zeros(64)}
    wanted = r"cfr\.predict\.bias: expected \(128,\), got \(64,\)"
    with pytest.raises(CheckpointError, match=wanted):
        load_checkpoint(rewrite(tensors))


@pytest.mark.parametrize("kind", [torch.int8, torch.bool, torch.float64, torch.float8_e4m3fn])
def test_numbers_of_another_kind(saved, rewrite, kind):
    tensors = load_file(saved[0])
    tensors["cfr.predict.bias"] = tensors["cfr.predict.bias"].to(kind)
    with pytest.raises(CheckpointError, match=rf"cfr\.predict\.bias: expected .*, got {kind}"):
        load_checkpoint(rewrite(tensors))


def test_the_tensors_of_another_layer(saved, rewrite, config):
    with pytest.raises(CheckpointError, match="tensors are missing"):
        load_checkpoint(rewrite(load_file(saved[0]), config=config(layer=2).to_json()))


def test_the_tensors_of_another_backbone(saved, rewrite, config):
    settings = config(backbone="resnet18").to_json()
    with pytest.raises(CheckpointError, match="tensors are missing"):
        load_checkpoint(rewrite(load_file(saved[0]), config=settings))


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"layer": ...}, "layer"),
        ({"flavour": "sweet"}, "flavour"),
        ({"backbone": "resnet1000"}, "resnet1000"),
        ({"backbone": 7}, "backbone"),
        ({"layer": 4}, "layer"),
        ({"layer": None}, ""),
        ({"layer": "1"}, "layer"),
        ({"layer": 1.5}, "layer"),
        ({"classes": "abc"}, "classes"),
        ({"classes": 3}, ""),
        ({"classes": ["road", "sky", 3]}, "classes"),
        ({"classes": ["road", "road", "car"]}, "distinct"),
        ({"classes": ["road"], "colors": [[0, 0, 0]]}, "classes"),
        ({"colors": [[0, 0, 0]]}, "colors"),
        ({"colors": [[0, 0, 256]] * 3}, "256"),
        ({"colors": [[0, 0]] * 3}, ""),
        ({"colors": [["red", 0, 0]] * 3}, ""),
        ({"input_size": [64]}, ""),
        ({"input_size": [64, 32, 16]}, "input_size"),
        ({"input_size": {"width": 64, "height": 32}}, ""),
        ({"input_size": [16, 32]}, "16"),
        ({"input_size": [float("inf"), 32]}, ""),
        ({"mean": [1, 2]}, "mean"),
        ({"mean": [float("nan"), 2, 3]}, "mean"),
        ({"std": [1, 0, 1]}, "std"),
        ({"std": None}, ""),
    ],
)
def test_a_wrong_configuration(config, rewrite, changes, named):
    text = fields_of(config(), **changes)
    with pytest.raises(CheckpointError, match="its configuration is wrong") as error:
        load_checkpoint(rewrite(config=text))
    assert named in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", [None, "", "{", "[]", "null", '"config"', "7", "[" * 100_000])
def test_no_configuration(rewrite, text):
    with pytest.raises(CheckpointError, match="its configuration is wrong"):
        load_checkpoint(rewrite(config=text))


def test_a_configuration_survives_json(config):
    original = config(mean=(1.25, 2.5, 3.0), layer=2)
    assert Config.from_json(original.to_json()) == original
    assert {f.name for f in dataclasses.fields(Config)} == set(json.loads(original.to_json()))


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({"backbone": "vgg"}, "backbone: expected one of .*ddrnet.*resnet18.*, got 'vgg'"),
        ({"layer": 0}, "layer: expected 1, 2 or 3, got 0"),
        ({"classes": ("a",)}, "classes: expected 2 to 255 names, got 1"),
        ({"classes": tuple(map(str, range(256)))}, "classes: expected 2 to 255 names, got 256"),
        ({"classes": ("a", "a", "b")}, "classes: expected distinct names"),
        ({"colors": ()}, r"colors: expected one a class \(3\), got 0"),
        ({"colors": ((0, 0, -1),) * 3}, "colors: expected three levels of 0 to 255"),
        ({"input_size": (31, 64)}, "input_size: expected .* of 32 to 8192, got"),
        ({"input_size": (64, 9000)}, "input_size: expected .* of 32 to 8192, got"),
        ({"std": (1.0, -1.0, 1.0)}, "std: expected three levels of 1 to 255"),
        ({"std": (0.229, 0.224, 0.225)}, "std: expected .*, of pictures of 0 to 255, got"),
        ({"mean": (0.0, 255.0, 256.0)}, "mean: expected three levels of 0 to 255"),
    ],
)
def test_a_configuration_says_what_it_expects(config, settings, expected):
    with pytest.raises(ValueError, match=expected):
        config(**settings)
