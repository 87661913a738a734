"""Labelled pictures in files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twnet_ros.segment.picture import Picture, PictureError, read_labels, read_rgb

TrainIds = Callable[[Path], Picture]  # reads a label file as train ids (H, W)


class DataError(ValueError):
    """A data set that is missing, incomplete or not in the expected layout."""


@dataclass(frozen=True)
class Stills:
    """Labelled stills: pairs of a picture's file and its labels' file, and how to read labels."""

    pairs: tuple[tuple[Path, Path], ...]
    train_ids: TrainIds

    def __len__(self) -> int:
        return len(self.pairs)

    def read(self, index: int) -> tuple[Picture, Picture]:
        """Return one still as RGB (H, W, 3) and its train ids (H, W)."""
        image_path, label_path = self.pairs[index]
        image, labels = read_picture(image_path), self.train_ids(label_path)
        if labels.shape != image.shape[:2]:
            raise DataError(f"{label_path}: expected {image.shape[:2]}, got {labels.shape}")
        return image, labels

    def sample(self, rng: np.random.Generator) -> tuple[Picture, Picture]:
        """Return a still drawn at random."""
        return self.read(int(rng.integers(len(self))))


def read_picture(path: Path) -> Picture:
    """Read a PNG or JPEG file as RGB (H, W, 3); DataError where it is none."""
    try:
        return read_rgb(path)
    except PictureError as error:
        raise DataError(str(error)) from error


def read_indices(path: Path) -> Picture:
    """Read a single-channel label file (H, W) as it is; DataError where it is none."""
    try:
        return read_labels(path)
    except PictureError as error:
        raise DataError(str(error)) from error


def require(missing: list[Path], what: str) -> None:
    """Raise DataError that names the first of the files that are missing, if there are any."""
    if missing:
        folder, name = missing[0].parent, missing[0].name
        raise DataError(f"{folder}: {len(missing)} {what} are missing, first {name}")
