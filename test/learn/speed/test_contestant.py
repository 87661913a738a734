"""The networks a benchmark times: what is shipped, what is random, and other people's."""

import sys
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from twnet_ros.learn.speed import contestant
from twnet_ros.learn.speed.contestant import RANDOM, our_entries, peer_entry, untrained
from twnet_ros.net import Config, TWNet, save_checkpoint
from twnet_ros.segment import CITYSCAPES
from twnet_ros.segment.device import has_onednn, place

SIZE = (96, 64)


class Attributes(nn.Module):
    """A network that applies its parts in ``forward``, as most do."""

    def __init__(self, activate=torch.relu):
        super().__init__()
        self.activate = activate
        self.conv = nn.Conv2d(3, 6, 3, 8, 1)
        self.norm = nn.BatchNorm2d(6)
        self.classify = nn.Conv2d(6, 5, 1)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, image):
        return self.classify(self.activate(self.norm(self.conv(image))))


class Twice(Attributes):
    """The same, but its first convolution is run once more without the batch norm."""

    def forward(self, image):
        return super().forward(image) + self.conv(image)[:, :5]


class Shared(Attributes):
    """The same, but what the activation is of is used beside it."""

    def forward(self, image):
        x = self.conv(image)
        return self.classify(self.activate(x) - x)


class Nested(nn.Module):
    """The same as a part of another network."""

    def __init__(self):
        super().__init__()
        self.inner = nn.ModuleList([Attributes()])

    def forward(self, image):
        return self.inner[0](image)


class Branching(Attributes):
    """The same, but what it does depends on the picture."""

    class Doubled(nn.Module):
        """A part of such a network."""

        def forward(self, x):
            return x if x.sum() > 0 else 2 * x

    def forward(self, image):
        return super().forward(image if image.sum() > 0 else -image)


class Momentary(Attributes):
    """The same, but normalised by the statistics of what it is given."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(6, track_running_stats=False)


class Sequence(nn.Sequential):
    """The same, in a row, and what cannot be traced behind it."""

    def __init__(self):
        momentary = Momentary()
        super().__init__(momentary.conv, momentary.norm, momentary.classify, Branching.Doubled())


class Wrong(nn.Module):
    """Returns what a function makes of an image."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, image):
        return self.function(image)


def fails(*_):
    raise RuntimeError("no such weights")


@pytest.fixture
def config():
    return Config("mobilenetv1", 1, ("a", "b"), ((0, 0, 0),) * 2, SIZE)


@pytest.fixture
def module(monkeypatch):
    """A module of factories by name."""
    made = ModuleType("peers_of_a_test")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


@pytest.mark.parametrize(
    ("kind", "left"),
    [(Attributes, 0), (Nested, 0), (Twice, 1), (Branching, 1), (Momentary, 1), (Sequence, 1)],
)
def test_batch_norms_are_folded_where_the_graph_can_be_traced(module, config, kind, left):
    torch.manual_seed(0)
    given = kind().eval()
    module.make = lambda: given
    entry = peer_entry("peers_of_a_test:make", config, SIZE)
    assert entry.network.unfolded == left
    image = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        logits, _ = entry.network.key(image)
        torch.testing.assert_close(logits, given(image), rtol=1e-4, atol=1e-5)
    assert (entry.name, entry.per_frame) == ("peers_of_a_test:make", True)


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (nn.ReLU, lambda x: x.relu()),
        (nn.ReLU, lambda x: x.relu_()),
        (nn.ReLU, torch.relu),
        (nn.ReLU, F.relu),
        (nn.ReLU, nn.ReLU(inplace=True)),
        (nn.ReLU6, F.relu6),
        (nn.ReLU6, nn.ReLU6()),
    ],
)
def test_activations_are_put_behind_their_convolutions(module, config, kind, call):
    torch.manual_seed(0)
    given = Attributes(call).eval()
    given.norm.running_mean.mul_(10)  # so that some are at zero, and some above six
    image = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        expected = given(image)
        module.make = lambda: given
        peer = peer_entry("peers_of_a_test:make", config, SIZE).network
        assert [type(part) for part in peer.network.conv] == [nn.Conv2d, kind]
        torch.testing.assert_close(peer.key(image)[0], expected, rtol=1e-4, atol=1e-5)


class Blocks(nn.Module):
    """The same of blocks one after another."""

    def __init__(self):
        super().__init__()
        parts = Attributes()
        self.block = nn.Sequential(parts.conv, parts.norm, nn.ReLU())
        self.classify = parts.classify

    def forward(self, image):
        return self.classify(self.block(image))


class Unread(Blocks):
    """One that cannot be traced."""

    def forward(self, image):
        return super().forward(image) if image.shape[-1] > 1 else image


@pytest.mark.skipif(not has_onednn(), reason="torch was built without oneDNN")
@pytest.mark.parametrize("kind", [Attributes, Blocks, Unread])
def test_in_the_engine_no_activation_stands_alone(module, config, kind):
    module.make = lambda: kind().eval()
    peer = peer_entry("peers_of_a_test:make", config, SIZE).network
    assert peer.unfolded == 0
    placed = place(peer, torch.device("cpu"), torch.float32)
    assert not any(isinstance(part, nn.ReLU) for part in placed.modules())
    placed.key(torch.randn(1, 3, 64, 96))


def test_a_convolution_that_others_use_keeps_its_own_output(module, config):
    torch.manual_seed(0)
    given, image = Shared().eval(), torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        expected = given(image)
        module.make = lambda: given
        peer = peer_entry("peers_of_a_test:make", config, SIZE).network
        torch.testing.assert_close(peer.key(image)[0], expected, rtol=1e-4, atol=1e-5)


def test_a_factory_may_lie_within_a_class_of_the_module(module, config):
    module.Zoo = type("Zoo", (), {"small": staticmethod(Attributes)})
    peer = peer_entry("peers_of_a_test:Zoo.small", config, SIZE).network
    assert peer.key(torch.zeros(1, 3, 64, 96))[0].shape == (1, 5, 8, 12)


@pytest.mark.parametrize(
    "factory, expected",
    [
        ("peers_of_a_test", "expected MODULE:FACTORY, as in networks:ddrnet, got 'peers_of_a"),
        ("no_such_module:make", "expected a factory to import, got ModuleNotFoundError"),
        ("peers_of_a_test:none", "expected a factory to import, got AttributeError"),
        ("peers_of_a_test:number", "expected a callable, got int"),
        ("peers_of_a_test:fails", "failed with RuntimeError: no such weights"),
        ("peers_of_a_test:list", r"expected it to return a torch.nn.Module, got list"),
    ],
)
def test_a_wrong_factory_says_what_is_wrong(module, config, factory, expected):
    module.number, module.fails, module.list = 1, fails, list
    with pytest.raises(ValueError, match=expected):
        peer_entry(factory, config, SIZE)


@pytest.mark.parametrize(
    "function, got",
    [
        (fails, "RuntimeError: no such weights"),
        (lambda image: {"out": image}, "dict"),
        (lambda image: image[0], r"\(3, 64, 96\)"),
        (lambda image: image[:, :1], r"\(1, 1, 64, 96\)"),
        (lambda image: image.repeat(1, 1, 2, 2), r"\(1, 3, 128, 192\)"),
    ],
)
def test_other_output_than_logits_is_refused(module, config, function, got):
    module.make = lambda: Wrong(function)
    expected = (
        rf"make: expected logits \(1, classes, h, w\) of an image \(1, 3, 64, 96\), got {got}"
    )
    with pytest.raises(ValueError, match=expected):
        peer_entry("peers_of_a_test:make", config, SIZE)


def test_a_layer_that_is_not_shipped_gets_random_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(contestant, "MODELS", tmp_path)
    shipped = untrained(Config("mobilenetv1", 2, CITYSCAPES.names, CITYSCAPES.colors, SIZE))
    save_checkpoint(tmp_path / "ours-mobilenetv1-layer2.safetensors", shipped)
    few = Config("mobilenetv1", 1, ("a", "b"), ((0, 0, 0),) * 2, SIZE)
    save_checkpoint(tmp_path / "few-mobilenetv1-layer1.safetensors", TWNet(few))
    entries = our_entries("mobilenetv1", SIZE)
    assert [e.name for e in entries] == ["per_frame", "layer1", "layer2", "layer3"]
    ours = "ours-mobilenetv1-layer2"
    assert [e.weights for e in entries] == [ours, RANDOM, ours, RANDOM]
    assert [e.per_frame for e in entries] == [True, False, False, False]
    assert [e.network.config.layer for e in entries] == [2, 1, 2, 3]
    assert all(e.network.config.classes == CITYSCAPES.names for e in entries)


def test_without_any_trained_layer_the_frames_are_labelled_by_the_third_s(tmp_path, monkeypatch):
    monkeypatch.setattr(contestant, "MODELS", tmp_path)
    entries = our_entries("mobilenetv1", SIZE)
    assert entries[0].network is entries[3].network and entries[0].weights == RANDOM


def test_an_unknown_backbone_is_refused():
    with pytest.raises(ValueError, match="backbone: expected one of .*, got 'alexnet'"):
        our_entries("alexnet", SIZE)


def test_activations_of_an_untrained_network_neither_vanish_nor_overflow():
    state = torch.get_rng_state()
    network = untrained(Config("ddrnet23slim", 1, ("a", "b"), ((0, 0, 0),) * 2, SIZE))
    assert torch.equal(torch.get_rng_state(), state)
    with torch.inference_mode():
        logits, feature = network.key(torch.randn(1, 3, 64, 96))
    assert 0.01 < float(feature.context.std()) < 100
    assert torch.isfinite(logits).all()
