"""Tiny models, clips with motion, and frames made by hand."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from coded import encode
from twnet_ros.codec import (
    BlockMotion,
    ClipEncoder,
    CodedFrame,
    FrameKind,
    StreamDecoder,
    write_clip,
)
from twnet_ros.net import Config, TWNet, save_checkpoint
from twnet_ros.segment import CODEC_KEYS, Segmenter

NAMES = ("road", "sky", "traffic light", "car", "person")
COLORS = ((128, 64, 128), (70, 130, 180), (250, 170, 30), (0, 0, 142), (220, 20, 60))


def tiny_network(seed=0, **settings):
    """Make a random network whose labels vary and whose two steps differ."""
    fields = {"backbone": "mobilenetv1", "layer": 1, "input_size": (96, 64)}
    cut = {"correction": "none"} if settings.get("layer") == 3 else {}
    config = Config(**{**fields, **cut, "classes": NAMES, "colors": COLORS, **settings})
    torch.manual_seed(seed)
    made = TWNet(config).eval()
    with torch.no_grad():
        image = torch.randn(4, 3, 8, 12).repeat_interleave(8, 2).repeat_interleave(8, 3)
        for module in made.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        made.train().key(image)  # gives the batch norms statistics
        logits, _ = made.eval().key(image)
        classifier = made.keyframe.tail.classifier
        spread = logits.std((0, 2, 3))  # no class shall win everywhere
        classifier.bias.sub_(logits.mean((0, 2, 3))).div_(spread)
        classifier.weight.div_(spread[:, None, None, None])
        made.copy_key_parts()
        for part in (made.head, made.tail, *([made.cfr] if made.corrects else [])):
            for parameter in part.parameters():
                parameter += 0.01 * torch.randn_like(parameter)
    return made


@pytest.fixture
def network():
    """Make a random network; settings replace its configuration's fields."""
    return tiny_network


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The file of a random network for pictures of 96x64."""
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_checkpoint(path, tiny_network())
    return path


@pytest.fixture
def engine(model):
    """Make an engine of the tiny model on the CPU, with key steps at I-frames alone."""
    usual = {"device": "cpu", "precision": "fp32", "policy": CODEC_KEYS}

    def make(**settings):
        return Segmenter.load(model, **usual | settings)

    return make


@pytest.fixture(scope="session")
def pan(pan_over):
    """Make RGB frames of a camera that pans over a smooth texture by (dx, dy) px a frame."""
    return partial(pan_over, width=96, height=64, square=8, blur=6)


@pytest.fixture(scope="session")
def packets():
    """Encode RGB frames."""

    def run(frames, codec="mpeg4", **settings):
        height, width = frames[0].shape[:2]
        encoder = ClipEncoder(codec, width, height, **settings)
        return [p.data for rgb in frames for p in encoder.encode(rgb)]

    return run


@pytest.fixture(scope="session")
def coded(packets):
    """Encode RGB frames and decode them again."""

    def run(frames, codec="mpeg4", **settings):
        decoder = StreamDecoder(codec)
        data = packets(frames, codec, **settings)
        return [frame for one in data for frame in decoder.decode(one)]

    return run


@pytest.fixture(scope="session")
def coded_with_b():
    """Encode RGB frames in H.264 with two B-frames between anchors, and decode them again."""

    def run(frames):
        parameters = "keyint=99:bframes=2:b-adapt=0:b-pyramid=0:scenecut=0:ref=1:weightp=0"
        packets = encode("h264", frames, {"x264-params": parameters})
        decoder = StreamDecoder("h264")
        return [f for data in packets for f in decoder.decode(data)] + decoder.flush()

    return run


@pytest.fixture(scope="session")
def intra_refresh():
    """Encode RGB frames in H.264 of one key frame, renewed column by column in 20 frames."""

    def run(frames):
        parameters = "intra-refresh=1:keyint=20:bframes=0:ref=1:weightp=0:scenecut=0"
        return encode("h264", frames, {"x264-params": parameters})

    return run


@pytest.fixture
def clip(tmp_path, pan):
    """Write a clip of a panning camera and return its path."""

    def make(count=5, name="clip.avi", gop=3, codec="mpeg4", **camera):
        write_clip(tmp_path / name, pan(count, **camera), codec=codec, gop=gop, fps=17.0)
        return tmp_path / name

    return make


@pytest.fixture
def frame_of():
    """Make a coded frame of planes; motion makes it a P-frame."""

    def make(y, u=None, v=None, *, motion=None, matrix="bt601", full_range=False, index=0):
        height, width = y.shape
        chroma = np.full(((height + 1) // 2, (width + 1) // 2), 128, np.uint8)
        kind = FrameKind.I if motion is None else FrameKind.P
        planes = (y, chroma if u is None else u, chroma if v is None else v)
        return CodedFrame(*(index, None, kind, *planes, matrix, full_range, motion, "", True, 0.0))

    return make


@pytest.fixture
def motion_of():
    """Make block motion for a picture: (dx, dy) everywhere, or random quarter pixels."""

    def make(height, width, vector=None, seed=0):
        grid = (-(-height // 8), -(-width // 8))
        rng = np.random.default_rng(seed)
        moved = rng.integers(-60, 61, (*grid, 2)) / 4 if vector is None else vector
        displacement = np.broadcast_to(moved, (*grid, 2)).astype(np.float32)
        return BlockMotion(displacement.copy(), np.full(grid, -1, np.int8))

    return make
