"""The class sets of the data the shipped models were trained on."""

import json
from dataclasses import dataclass
from pathlib import Path

from twnet_ros.segment.segmentation import SegmentError

UNLABELLED = 255  # the train id of pixels that have no class and are not scored


@dataclass(frozen=True)
class ClassSet:
    """Class names in train-id order and their colours (RGB)."""

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]


def read_class_set(path: Path) -> ClassSet:
    """Read a JSON file ``{"names": ["road", …], "colors": [[128, 64, 128], …]}``.

    SegmentError if it is none, or names are not distinct or colours not one a name.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names = tuple(content["names"])
        colors = tuple((int(r), int(g), int(b)) for r, g, b in content["colors"])
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise SegmentError(
            f'{path}: expected JSON with "names" and "colors" (RGB): {error}'
        ) from error
    if not isinstance(content["names"], list) or not all(isinstance(one, str) for one in names):
        raise SegmentError(f"{path}: expected a list of names, got {content['names']!r}")
    if not 1 <= len(set(names)) == len(names) <= UNLABELLED:
        raise SegmentError(f"{path}: expected 1 to {UNLABELLED} distinct names, got {names}")
    if len(colors) != len(names):
        raise SegmentError(f"{path}: expected {len(names)} colors, one a name, got {len(colors)}")
    for color, given in zip(colors, content["colors"], strict=True):
        if list(color) != given or not 0 <= min(color) <= max(color) <= 255:
            raise SegmentError(f"{path}: expected colors of levels from 0 to 255, got {given}")
    return ClassSet(names, colors)


CITYSCAPES = ClassSet(
    names=(
        "road",
        "sidewalk",
        "building",
        "wall",
        "fence",
        "pole",
        "traffic light",
        "traffic sign",
        "vegetation",
        "terrain",
        "sky",
        "person",
        "rider",
        "car",
        "truck",
        "bus",
        "train",
        "motorcycle",
        "bicycle",
    ),
    colors=(
        (128, 64, 128),
        (244, 35, 232),
        (70, 70, 70),
        (102, 102, 156),
        (190, 153, 153),
        (153, 153, 153),
        (250, 170, 30),
        (220, 220, 0),
        (107, 142, 35),
        (152, 251, 152),
        (70, 130, 180),
        (220, 20, 60),
        (255, 0, 0),
        (0, 0, 142),
        (0, 0, 70),
        (0, 60, 100),
        (0, 80, 100),
        (0, 0, 230),
        (119, 11, 32),
    ),
)

CAMVID = ClassSet(
    names=(
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign",
        "fence",
        "car",
        "pedestrian",
        "cyclist",
    ),
    colors=(
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (0, 0, 192),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
    ),
)
