"""Cityscapes in its published layout.

``leftImg8bit/<split>/<city>/<city>_<sequence>_<frame>_leftImg8bit.png`` and ``gtFine/`` hold the
labelled frames; ``leftImg8bit_sequence/``, where it is there, the 30 frames around each of them,
the 20th of which it is.
"""

from pathlib import Path

import numpy as np

from twnet_ros.learn.data.snippet import Snippet
from twnet_ros.learn.data.still import DataError, Stills, read_indices, require
from twnet_ros.segment.palette import CITYSCAPES, UNLABELLED
from twnet_ros.segment.picture import Picture

IMAGES, LABELS, SEQUENCES = "leftImg8bit", "gtFine", "leftImg8bit_sequence"
BEFORE, AFTER = 19, 10  # frames of a snippet around the labelled one
IDS = 34  # 0 unlabeled to 33 bicycle

# The ids that are scored, in the order of their train ids: 7 is road, 33 bicycle.
SCORED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
TRAIN_IDS = np.full(256, UNLABELLED, np.uint8)
TRAIN_IDS[list(SCORED)] = np.arange(len(SCORED))

_IMAGE = "_leftImg8bit.png"
_LABEL_IDS, _LABEL_TRAIN_IDS = "_gtFine_labelIds.png", "_gtFine_labelTrainIds.png"


def recognises(root: Path) -> bool:
    """Tell whether a folder has a part of the layout."""
    return any((root / name).is_dir() for name in (IMAGES, LABELS, SEQUENCES))


def read_split(root: Path, split: str) -> tuple[Stills, list[Snippet]]:
    """Return the labelled frames of ``train`` or ``val`` and, where they are, their snippets.

    DataError says what is missing. The labels of ``test`` are not public.
    """
    if split not in ("train", "val"):
        raise DataError(
            f"{root}: expected split 'train' or 'val', whose labels are public, got {split!r}"
        )
    images, labels = (root / name / split for name in (IMAGES, LABELS))
    for folder in (images, labels):
        if not folder.is_dir():
            raise DataError(f"{folder}: expected a folder of cities, found no such folder")
    cities = sorted(
        {p.name for folder in (images, labels) for p in folder.iterdir() if p.is_dir()}
    )
    if not cities:
        raise DataError(f"{images}: expected a folder of each city, found none")
    pairs = [pair for city in cities for pair in _city(images / city, labels / city)]
    sequences = root / SEQUENCES
    snippets = _snippets(sequences / split, pairs) if sequences.is_dir() else []
    return Stills(tuple(pairs), train_ids), snippets


def train_ids(path: Path) -> Picture:
    """Read ``_labelIds.png`` or ``_labelTrainIds.png`` as train ids."""
    labels = read_indices(path)
    trained = path.name.endswith(_LABEL_TRAIN_IDS)
    bound = len(CITYSCAPES.names) if trained else IDS
    wrong = labels[(labels >= bound) & (labels != UNLABELLED)]
    if wrong.size:
        kind = "train ids" if trained else "ids"
        raise DataError(
            f"{path}: expected {kind} below {bound} or {UNLABELLED}, got {int(wrong.max())}"
        )
    return labels if trained else TRAIN_IDS[labels]


def _city(images: Path, labels: Path) -> list[tuple[Path, Path]]:
    """Pair a city's images and labels."""
    pictures = _names(images, _IMAGE)
    # The published ids; train ids only where they were made instead.
    found = {
        **_names(labels, _LABEL_TRAIN_IDS),
        **_names(labels, _LABEL_IDS),
    }
    if not pictures:
        raise DataError(f"{images}: expected *{_IMAGE}, found none")
    lost = sorted(pictures.keys() - found.keys())
    require([labels / f"{name}{_LABEL_IDS}" for name in lost], "labels")
    lost = sorted(found.keys() - pictures.keys())
    require([images / f"{name}{_IMAGE}" for name in lost], "images")
    return [(pictures[name], found[name]) for name in sorted(pictures)]


def _snippets(sequences: Path, pairs: list[tuple[Path, Path]]) -> list[Snippet]:
    """Return the 30 frames around each labelled one."""
    if not sequences.is_dir():
        raise DataError(f"{sequences}: expected a folder of cities, found no such folder")
    there: dict[str, set[Path]] = {}
    snippets, missing = [], []
    for image, label in pairs:
        city, sequence, frame = image.name.removesuffix(_IMAGE).rsplit("_", 2)
        if city not in there:
            there[city] = set(_names(sequences / city, _IMAGE).values())
        frames = tuple(
            sequences / city / f"{city}_{sequence}_{number:06d}{_IMAGE}"
            for number in range(int(frame) - BEFORE, int(frame) + AFTER + 1)
        )
        missing += [path for path in frames if path not in there[city]]
        snippets.append(Snippet(frames, {BEFORE: label}))
    require(missing, "frames of snippets")
    return snippets


def _names(folder: Path, ending: str) -> dict[str, Path]:
    """Return the files with an ending by the name that stands before it."""
    return {p.name.removesuffix(ending): p for p in folder.glob(f"*{ending}")}
