"""Pictures and label images in files, in this project's own order and types."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


class PictureError(ValueError):
    """A file that is not the picture it should be."""


def read_rgb(path: Path) -> Picture:
    """Read a PNG or JPEG file as RGB (H, W, 3)."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise PictureError(f"{path}: expected a PNG or JPEG picture, which it cannot be read as")
    return np.ascontiguousarray(picture[..., ::-1], np.uint8)


def read_labels(path: Path) -> Picture:
    """Read a single-channel, 8-bit PNG file of train ids (H, W)."""
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if labels is None or labels.ndim != 2 or labels.dtype != np.uint8:
        actual = "none" if labels is None else f"{labels.shape} {labels.dtype}"
        raise PictureError(f"{path}: expected one channel of 8-bit labels, got {actual}")
    return np.asarray(labels, np.uint8)


def write_png(path: Path, picture: Picture) -> None:
    """Write RGB (H, W, 3) or labels (H, W) as PNG, the file whole or not at all."""
    _, data = cv2.imencode(".png", picture[..., ::-1] if picture.ndim == 3 else picture)
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_bytes(data.tobytes())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
