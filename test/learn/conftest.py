"""A tiny labelled data set, clips of a panning camera, and tiny networks."""

import cv2
import numpy as np
import pytest
import torch

from twnet_ros.learn.data.folder import read_split
from twnet_ros.learn.data.source import StillSource
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
    stills, _ = read_split(still_folder(), len(CLASSES), [], "train")
    return StillSource(stills, (2,), SIZE)


@pytest.fixture
def network():
    """Make a random network of three classes for pictures of 96x64."""

    def make(seed=0, layer=1, backbone="mobilenetv1", correction="", input_size=SIZE):
        torch.manual_seed(seed)
        colors = tuple((level,) * 3 for level in LEVELS)
        correction = correction or ("rga" if layer < 3 else "none")
        config = Config(backbone, layer, CLASSES, colors, input_size, correction=correction)
        return TWNet(config).eval()

    return make


class Panning:
    """Clips of a camera that pans by 2 px a frame (none when static), labels beside them."""

    def __init__(self, step=2):
        self.step = step

    def sample(self, rng):
        return next(self.clip(rng, 1))

    def clip(self, rng, frames):
        small = rng.integers(0, 3, (8, 400), dtype=np.uint8)
        labels = small.repeat(8, 0).repeat(8, 1)
        rgb = np.array(LEVELS, np.uint8)[labels][..., None].repeat(3, 2)
        for number in range(frames):
            start = self.step * number
            window = np.s_[:, start : start + SIZE[0]]
            yield rgb[window].copy(), labels[window].copy()


class Drive:
    """Frames of a camera that pans by 2 px over squares, and their truth, to be written."""

    def __init__(self, seed=0, size=(32, 16)):
        self.size = size
        rng = np.random.default_rng(seed)
        # Class after class along each row, so that every frame shows them all.
        small = (np.arange(64) + rng.integers(0, 3, (size[1] // 8, 1))) % 3
        self.labels = small.astype(np.uint8).repeat(8, 0).repeat(8, 1)
        self.rgb = np.array(LEVELS, np.uint8)[self.labels][..., None].repeat(3, 2)

    def _window(self, number):
        return np.s_[:, 2 * number : 2 * number + self.size[0]]

    def truth(self, number):
        return self.labels[self._window(number)].copy()

    def write(self, path, number):
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), self.rgb[self._window(number)])

    def write_truth(self, path, number, table=None):
        path.parent.mkdir(parents=True, exist_ok=True)
        ids = self.truth(number)
        assert cv2.imwrite(str(path), ids if table is None else np.array(table, np.uint8)[ids])


@pytest.fixture
def drive_of():
    """Make a drive whose frames a test writes where its layout wants them."""
    return Drive


@pytest.fixture
def cityscapes_folder(tmp_path, drive_of):
    """Write Cityscapes' layout: labelled frames of two cities, snippets around them or not."""

    def make(splits=("train", "val"), snippets=False, first=0, ids=(7, 23, 26)):
        root = tmp_path / "cityscapes"
        for split in splits:
            for number, city in enumerate(("aachen", "bad_ems")):  # a name with the separator
                drive = drive_of(number)
                name = f"{city}_{number:06d}_{first + 19:06d}"
                image = f"{split}/{city}/{name}_leftImg8bit.png"
                label = f"{split}/{city}/{name}_gtFine_labelIds.png"
                drive.write(root / "leftImg8bit" / image, 19)
                drive.write_truth(root / "gtFine" / label, 19, ids)
                for k in range(30) if snippets else ():
                    frame = f"{city}_{number:06d}_{first + k:06d}_leftImg8bit.png"
                    drive.write(root / "leftImg8bit_sequence" / split / city / frame, k)
        return root

    return make


@pytest.fixture
def panning():
    """Make a source of panning clips."""
    return Panning
