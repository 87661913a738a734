"""CamVid in its two common layouts.

The published one, 960x720 with colour labels of 32 classes: ``701_StillsRaw_full/NAME.png`` and
``LabeledApproved_full/NAME_L.png``. And SegNet's, 480x360 with labels 0 to 11, where 11 is
unlabelled: ``train/NAME.png`` and ``trainannot/NAME.png``, the same for ``val`` and ``test``.
``train.txt``, ``val.txt`` and ``test.txt`` say in both which frames belong to a split; without
them the published one is split as SegNet's is.
"""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twnet_ros.learn.data.snippet import Snippet
from twnet_ros.learn.data.still import (
    DataError,
    Stills,
    read_indices,
    read_picture,
    require,
)
from twnet_ros.segment.palette import CAMVID, UNLABELLED
from twnet_ros.segment.picture import Picture

SPLITS = ("train", "val", "test")
STILLS, COLOUR_LABELS = "701_StillsRaw_full", "LabeledApproved_full"
STRAY = 0.01  # share of pixels of a label image that may have another colour

# The published colours (RGB) and the class of the usual eleven that each belongs to.
COLOURS: dict[tuple[int, int, int], str] = {
    (64, 128, 64): "pedestrian",  # Animal
    (192, 0, 128): "building",  # Archway
    (0, 128, 192): "cyclist",  # Bicyclist
    (0, 128, 64): "building",  # Bridge
    (128, 0, 0): "building",  # Building
    (64, 0, 128): "car",  # Car
    (64, 0, 192): "pedestrian",  # CartLuggagePram
    (192, 128, 64): "pedestrian",  # Child
    (192, 192, 128): "pole",  # Column_Pole
    (64, 64, 128): "fence",  # Fence
    (128, 0, 192): "road",  # LaneMkgsDriv
    (192, 0, 64): "road",  # LaneMkgsNonDriv
    (128, 128, 64): "sign",  # Misc_Text
    (192, 0, 192): "cyclist",  # MotorcycleScooter
    (128, 64, 64): "car",  # OtherMoving
    (64, 192, 128): "pavement",  # ParkingBlock
    (64, 64, 0): "pedestrian",  # Pedestrian
    (128, 64, 128): "road",  # Road
    (128, 128, 192): "pavement",  # RoadShoulder
    (0, 0, 192): "pavement",  # Sidewalk
    (192, 128, 128): "sign",  # SignSymbol
    (128, 128, 128): "sky",  # Sky
    (64, 128, 192): "car",  # SUVPickupTruck
    (0, 0, 64): "pole",  # TrafficCone
    (0, 64, 64): "sign",  # TrafficLight
    (192, 64, 128): "car",  # Train
    (128, 128, 0): "tree",  # Tree
    (192, 128, 192): "car",  # Truck_Bus
    (64, 0, 64): "building",  # Tunnel
    (192, 192, 0): "tree",  # VegetationMisc
    (0, 0, 0): "",  # Void
    (64, 192, 0): "building",  # Wall
}


def recognises(root: Path) -> bool:
    """Tell whether a folder has a part of either layout."""
    names = (STILLS, COLOUR_LABELS, *(f"{split}annot" for split in SPLITS))
    return any((root / name).is_dir() for name in names)


def read_split(root: Path, split: str) -> tuple[Stills, list[Snippet]]:
    """Return the stills of ``train``, ``val`` or ``test`` and, of 15 Hz stretches, sequences.

    DataError says what is missing.
    """
    if split not in SPLITS:
        raise DataError(f"{root}: expected a split of {', '.join(SPLITS)}, got {split!r}")
    published = (root / STILLS).is_dir() or (root / COLOUR_LABELS).is_dir()
    images = root / (STILLS if published else split)
    labels = root / (COLOUR_LABELS if published else f"{split}annot")
    ending = "_L.png" if published else ".png"
    for folder in (images, labels):
        if not folder.is_dir():
            raise DataError(f"{folder}: expected a folder of PNG files, found no such folder")
    stems = {path.stem for path in images.glob("*.png")}
    labelled = {path.name.removesuffix(ending) for path in labels.glob(f"*{ending}")}
    chosen = stems | labelled
    if (root / f"{split}.txt").is_file():
        chosen = _listed(root / f"{split}.txt")
    elif published:
        chosen = {stem for stem in chosen if _usual_split(images, stem) == split}
    if not chosen:
        raise DataError(f"{images}: expected PNG files of split {split!r}, found none")
    require([images / f"{stem}.png" for stem in sorted(chosen - stems)], "images")
    require([labels / f"{stem}{ending}" for stem in sorted(chosen - labelled)], "labels")
    pairs = tuple((images / f"{s}.png", labels / f"{s}{ending}") for s in sorted(chosen))
    stills = Stills(pairs, colour_train_ids if published else index_train_ids)
    return stills, _stretches(pairs)


def index_train_ids(path: Path) -> Picture:
    """Read labels 0 to 11, of which 11 is unlabelled, as train ids."""
    labels = read_indices(path)
    void = len(CAMVID.names)
    if labels.max() > void:
        raise DataError(f"{path}: expected labels up to {void}, got {int(labels.max())}")
    return np.where(labels < void, labels, UNLABELLED).astype(np.uint8)


def colour_train_ids(path: Path) -> Picture:
    """Read colour labels as train ids; few pixels of other colours are left unlabelled."""
    rgb = read_picture(path).astype(np.int32)
    codes = _code(rgb)
    known = np.array(sorted(_TRAIN_ID_OF_CODE), np.int32)
    place = np.searchsorted(known, codes).clip(max=len(known) - 1)
    stray = known[place] != codes
    if stray.mean() > STRAY:
        colour = tuple(int(level) for level in rgb[stray][0])
        raise DataError(
            f"{path}: expected CamVid's {len(COLOURS)} colours, got others in "
            f"{100 * stray.mean():.0f} % of the pixels, first RGB {colour}"
        )
    ids = np.array([_TRAIN_ID_OF_CODE[int(code)] for code in known], np.uint8)
    return np.where(stray, UNLABELLED, ids[place]).astype(np.uint8)


def _code(rgb: NDArray[np.int32]) -> NDArray[np.int32]:
    """Put the three levels of a colour into one number."""
    return (rgb[..., 0] << 16) | (rgb[..., 1] << 8) | rgb[..., 2]


_TRAIN_ID_OF_CODE = {
    (r << 16) | (g << 8) | b: CAMVID.names.index(name) if name else UNLABELLED
    for (r, g, b), name in COLOURS.items()
}


def _listed(path: Path) -> set[str]:
    """Return the stems that a list names, each by the first path of a line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {Path(line.split()[0]).stem for line in lines if line.strip()}


def _numbered(stem: str) -> tuple[str, int]:
    """Take a still's name apart: sequence and frame number at 30 Hz."""
    match = re.fullmatch(r"(\w+?)_f?(\d+)", stem)
    return (match[1], int(match[2])) if match else (stem, -1)


def _usual_split(images: Path, stem: str) -> str:
    """Return SegNet's split: 367 stills to train on, 101 to validate on, 233 to test on."""
    sequence, number = _numbered(stem)
    if sequence == "0001TP":
        return "train" if number <= 8520 else "test"
    if sequence == "0016E5":
        return "val" if 7959 <= number <= 8159 else "train"
    if sequence in ("0006R0", "Seq05VD"):
        return "train" if sequence == "0006R0" else "test"
    raise DataError(
        f"{images}: expected stills of 0001TP, 0006R0, 0016E5 and Seq05VD, got {stem!r}"
    )


def _stretches(pairs: tuple[tuple[Path, Path], ...]) -> list[Snippet]:
    """Return the stretches of stills at 15 Hz where a split has nothing else, as ``val`` does."""
    stretches: list[list[tuple[Path, Path]]] = []
    sequence, number = "", -1
    for pair in pairs:
        previous, (sequence, number) = (sequence, number + 2), _numbered(pair[0].stem)
        if (sequence, number) != previous:
            stretches.append([])
        stretches[-1].append(pair)
    if min(map(len, stretches)) < 2:
        return []
    return [
        Snippet(tuple(image for image, _ in s), {n: label for n, (_, label) in enumerate(s)})
        for s in stretches
    ]
