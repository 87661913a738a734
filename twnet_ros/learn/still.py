"""Data sets of labelled single frames in a folder."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twnet_ros.segment.palette import UNLABELLED
from twnet_ros.segment.picture import PictureError, read_labels, read_rgb

Picture = NDArray[np.uint8]
IMAGE_FOLDERS = ("images", "frames")
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg"}


class DataError(ValueError):
    """A data set that is missing, incomplete or not in the expected layout."""


class Stills:
    """Labelled stills: ``ROOT/images`` (or ``frames``) and ``ROOT/labels``, same file stems.

    Labels are single-channel PNG of train ids; ids from ``classes`` on are unlabelled.
    """

    def __init__(self, root: Path, classes: int) -> None:
        """List the pairs under ``root``."""
        folders = [root / name for name in IMAGE_FOLDERS if (root / name).is_dir()]
        if not folders or not (root / "labels").is_dir():
            raise DataError(f"{root}: expected the folders 'images' (or 'frames') and 'labels'")
        images = sorted(p for p in folders[0].iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        if not images:
            raise DataError(f"{folders[0]}: expected PNG or JPEG images, found none")
        self.pairs = [(path, root / "labels" / f"{path.stem}.png") for path in images]
        missing = [label.name for _, label in self.pairs if not label.is_file()]
        if missing:
            raise DataError(
                f"{root}/labels: {len(missing)} labels are missing, first {missing[0]}"
            )
        self.classes = classes

    def split(self, hold_out: list[str]) -> tuple["Stills", "Stills"]:
        """Return what to train on and what to hold out.

        Each entry of ``hold_out`` is the beginning of file names, ``0006R0``, or that with a
        count, ``0016E5:40``, for the last so many of them.
        """
        held: set[Path] = set()
        for entry in hold_out:
            prefix, colon, count = entry.partition(":")
            if colon and not (count.isdecimal() and int(count)):
                raise DataError(
                    f"hold-out {entry!r}: expected a count of 1 or more, got {count!r}"
                )
            named = [image for image, _ in self.pairs if image.name.startswith(prefix)]
            if not named:
                raise DataError(f"hold-out {entry!r}: no image's name begins with {prefix!r}")
            held.update(named[-int(count) :] if colon else named)
        return (
            self._subset([pair for pair in self.pairs if pair[0] not in held]),
            self._subset([pair for pair in self.pairs if pair[0] in held]),
        )

    def _subset(self, pairs: list[tuple[Path, Path]]) -> "Stills":
        subset = object.__new__(Stills)
        subset.pairs, subset.classes = pairs, self.classes
        return subset

    def __len__(self) -> int:
        return len(self.pairs)

    def read(self, index: int) -> tuple[Picture, Picture]:
        """Return one still as RGB (H, W, 3) and its train ids (H, W)."""
        image_path, label_path = self.pairs[index]
        try:
            image, labels = read_rgb(image_path), read_labels(label_path)
        except PictureError as error:
            raise DataError(str(error)) from error
        if labels.shape != image.shape[:2]:
            raise DataError(f"{label_path}: expected {image.shape[:2]}, got {labels.shape}")
        labels = np.where(labels < self.classes, labels, UNLABELLED).astype(np.uint8)
        return image, labels

    def sample(self, rng: np.random.Generator) -> tuple[Picture, Picture]:
        """Return a still drawn at random."""
        return self.read(int(rng.integers(len(self))))
