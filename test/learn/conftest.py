"""A tiny labelled data set, clips of a panning camera, and tiny networks."""

import cv2
import numpy as np
import pytest
import torch

from twnet_ros.learn.source import StillSource
from twnet_ros.learn.still import Stills
from twnet_ros.net import Config, TWNet

CLASSES = ("road", "sky", "car")
LEVELS = (40, 210, 120)  # the grey of each class in the pictures, before noise
SIZE = (96, 64)


@pytest.fixture
def still_folder(tmp_path):
    """Write labelled stills: sky above, road below, a car on it; return their folder."""

    def make(count=4, size=(96, 64), images="images", noise=6):
        root = tmp_path / "stills"
        (root / images).mkdir(parents=True)
        (root / "labels").mkdir()
        rng = np.random.default_rng(1)
        width, height = size
        for number in range(count):
            labels = np.zeros((height, width), np.uint8)
            labels[: height // 2] = 1
            x = int(rng.integers(width // 8, width // 2))
            labels[height // 2 - 6 : height // 2 + 14, x : x + 26] = 2
            grey = np.array(LEVELS)[labels][..., None] + rng.integers(-noise, noise + 1, 3)
            grey = grey + rng.integers(-noise, noise + 1, (height, width, 1))
            name = f"{'AB'[number % 2]}_{number:03d}.png"
            cv2.imwrite(str(root / images / name), np.clip(grey, 0, 255).astype(np.uint8))
            cv2.imwrite(str(root / "labels" / name), labels)
        return root

    return make


@pytest.fixture
def source(still_folder):
    """Stills and clips of three classes, 96x64."""
    return StillSource(Stills(still_folder(), len(CLASSES)), (2,), SIZE)


@pytest.fixture
def network():
    """Make a random network of three classes for pictures of 96x64."""

    def make(seed=0, layer=1, backbone="mobilenetv1"):
        torch.manual_seed(seed)
        colors = tuple((level,) * 3 for level in LEVELS)
        return TWNet(Config(backbone, layer, CLASSES, colors, SIZE)).eval()

    return make


class Panning:
    """Clips of a camera that pans by 2 px a frame (none when static), labels beside them."""

    def __init__(self, step=2):
        self.step = step

    def sample(self, rng):
        return next(self.clip(rng))

    def clip(self, rng):
        small = rng.integers(0, 3, (8, 400), dtype=np.uint8)
        labels = small.repeat(8, 0).repeat(8, 1)
        rgb = np.array(LEVELS, np.uint8)[labels][..., None].repeat(3, 2)
        start = 0
        while True:
            window = np.s_[:, start : start + SIZE[0]]
            yield rgb[window].copy(), labels[window].copy()
            start += self.step


@pytest.fixture
def panning():
    """Make a source of panning clips."""
    return Panning
