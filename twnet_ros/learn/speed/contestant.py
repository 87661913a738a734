"""The networks that a benchmark times: ours by layer, and those of others."""

import importlib
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.utils import fuse_conv_bn_eval

from twnet_ros.net import Config, FeatureState, TWNet, fold, load_checkpoint
from twnet_ros.segment import CITYSCAPES
from twnet_ros.segment.network import MODELS

LAYERS = (1, 2, 3)
RANDOM = "random"  # weights that nobody trained
# How networks call what oneDNN takes into a convolution.
ACTIVATIONS: dict[object, type[nn.Module]] = {
    nn.ReLU: nn.ReLU,
    nn.ReLU6: nn.ReLU6,
    F.relu: nn.ReLU,
    F.relu6: nn.ReLU6,
    torch.relu: nn.ReLU,
    torch.relu_: nn.ReLU,
    "relu": nn.ReLU,
    "relu_": nn.ReLU,
}


class Peer(nn.Module):
    """Somebody else's per-frame network in the form the engine takes: with a key step alone."""

    def __init__(self, network: nn.Module, config: Config) -> None:
        """Take a network from a normalised image (1, 3, H, W) to logits (1, C, h, w).

        Of ``config`` the engine uses the normalisation.
        """
        super().__init__()
        self.network, self.config = network, config

    def key(self, image: Tensor) -> tuple[Tensor, FeatureState]:
        """Return the logits; the state is never used."""
        logits = self.network(image)
        return logits, FeatureState(logits, 0)

    @property
    def unfolded(self) -> int:
        """How many batch norms stand alone."""
        return sum(isinstance(part, nn.BatchNorm2d) for part in self.network.modules())


@dataclass(frozen=True)
class Entry:
    """A network as it takes part."""

    name: str
    network: TWNet | Peer
    weights: str  # a shipped model's name, RANDOM, or whose they are
    per_frame: bool


def our_entries(backbone: str, input_size: tuple[int, int]) -> list[Entry]:
    """Return ``per_frame``, ``layer1``, ``layer2`` and ``layer3`` of a backbone, 19 classes.

    A layer that no shipped model has is given random weights. Per frame, the key-frame CNN is that
    of a layer with trained weights, if there are any: random ones make labels that meet
    everywhere, and the output pass takes longer. Else it is layer 3's, which has nothing in it
    that only the other layers need.
    """
    entries = []
    for layer in LAYERS:
        network, weights = _network(backbone, layer, input_size)
        entries.append(Entry(f"layer{layer}", network, weights, per_frame=False))
    trained = (entry for entry in entries if entry.weights != RANDOM)
    best = next(trained, entries[-1])
    return [Entry("per_frame", best.network, best.weights, per_frame=True), *entries]


def _network(backbone: str, layer: int, input_size: tuple[int, int]) -> tuple[TWNet, str]:
    for path in sorted(MODELS.glob(f"*{backbone}-layer{layer}.safetensors")):
        network = load_checkpoint(path)
        if network.config.classes == CITYSCAPES.names:
            return network, path.stem
    config = Config(
        backbone,
        layer,
        CITYSCAPES.names,
        CITYSCAPES.colors,
        input_size,
        correction="rga" if layer < 3 else "none",
    )
    return untrained(config), RANDOM


def untrained(config: Config) -> TWNet:
    """Return a network of random weights whose batch norms have seen something.

    Activations that vanish or overflow, layer by layer, would not take the usual time.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = TWNet(config)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        with torch.no_grad():
            network.train().key(torch.randn(4, 3, 128, 256))
        network.copy_key_parts()
    return network.eval()


def peer_entry(factory: str, config: Config, size: tuple[int, int]) -> Entry:
    """Make a network by ``MODULE:FACTORY``, a callable without arguments, to be timed per frame.

    Where its graph can be traced, or they stand one after another in an ``nn.Sequential``, its
    batch norms are folded and its activations put behind their convolutions, as ours are; sums
    that ours take into a convolution are left. ValueError where there is no such factory, it
    fails, or what it makes does not map an image of ``size`` (width, height in pixels),
    normalised as ``config`` says, to logits.
    """
    make = find(factory)
    try:
        network = make()
    except Exception as error:
        raise ValueError(f"{factory}: failed with {type(error).__name__}: {error}") from error
    if not isinstance(network, nn.Module):
        raise ValueError(
            f"{factory}: expected it to return a torch.nn.Module, got {type(network).__name__}"
        )
    image = torch.rand(1, 3, size[1], size[0])
    network = network.cpu().float().eval()
    logits = _logits(factory, network, image)
    joined = _joined(network)
    other = None if joined is None else _logits(factory, joined, image)
    # Tracing keeps one way through code that branches: what is left has to do the same.
    if (
        joined is not None
        and other is not None
        and other.shape == logits.shape
        and (other - logits).abs().max() <= 1e-2 * logits.std()
    ):
        network = joined
    else:
        fold(network)
    return Entry(factory, Peer(network, config), "its own", per_frame=True)


def find(factory: str) -> Callable[[], object]:
    """Import ``MODULE:FACTORY``, from the current folder, too; ValueError where that fails."""
    module, colon, name = factory.partition(":")
    if not (module and colon and name):
        raise ValueError(f"expected MODULE:FACTORY, as in networks:ddrnet, got {factory!r}")
    if str(Path.cwd()) not in sys.path:  # a file in the current folder is a module, too
        sys.path.append(str(Path.cwd()))
    try:
        made = attrgetter(name)(importlib.import_module(module))
    except Exception as error:  # whatever the module's own code raises
        raise ValueError(
            f"{factory}: expected a factory to import, got {type(error).__name__}: {error}"
        ) from error
    if not callable(made):
        raise ValueError(f"{factory}: expected a callable, got {type(made).__name__}")
    found: Callable[[], object] = made
    return found


def _logits(factory: str, network: nn.Module, image: Tensor) -> Tensor:
    """Run a network once, in float32; ValueError where it does not return logits."""
    expected = f"{factory}: expected logits (1, classes, h, w) of an image {tuple(image.shape)}"
    try:
        with torch.inference_mode():
            logits = network(image)
    except Exception as error:
        raise ValueError(f"{expected}, got {type(error).__name__}: {error}") from error
    if not isinstance(logits, Tensor):
        raise ValueError(f"{expected}, got {type(logits).__name__}")
    shape = tuple(logits.shape)
    if len(shape) != 4 or shape[0] != 1 or not 2 <= shape[1] <= 255:
        raise ValueError(f"{expected}, got {shape}")
    if not (1 <= shape[2] <= image.shape[2] and 1 <= shape[3] <= image.shape[3]):
        raise ValueError(f"{expected}, got {shape}")
    return logits


def _joined(network: nn.Module) -> nn.Module | None:
    """Return the network with batch norms in its convolutions and activations behind them.

    None where it cannot be traced. ``fold`` and the engine see only what stands one after another
    in an ``nn.Sequential``; of that nothing is left in the graph.
    """
    try:
        traced = fx.symbolic_trace(network)
    except Exception:  # torch.fx raises many things, and the report tells what is left unfolded
        return None
    calls = Counter(node.target for node in traced.graph.nodes if node.op == "call_module")
    for node in list(traced.graph.nodes):
        before = node.args[0] if node.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) > 1:
            continue
        path = str(before.target)
        conv = traced.get_submodule(path)
        if not isinstance(conv, nn.Conv2d) or calls[path] > 1:
            continue
        part = traced.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(part, nn.BatchNorm2d) and part.running_mean is not None:
            made: nn.Module = fuse_conv_bn_eval(conv, part)
        elif activation := ACTIVATIONS.get(type(part) if part is not None else node.target):
            made = nn.Sequential(conv, activation())
        else:
            continue
        parent, _, name = path.rpartition(".")
        setattr(traced.get_submodule(parent), name, made)
        node.replace_all_uses_with(before)
        traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced
