"""Pictures and label images in files, in this project's own order and types."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from twnet_ros.segment.file import whole

Picture = NDArray[np.uint8]
SUFFIXES = {".png", ".jpg", ".jpeg"}
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG, _SCAN = b"\xff\xd8", b"\xda"


class PictureError(ValueError):
    """A file that is not the picture it should be."""


def find_pictures(folder: Path) -> list[Path]:
    """Return a folder's pictures (``is_picture``) by name; PictureError where there are none."""
    if not folder.is_dir():
        raise PictureError(f"{folder}: expected a folder of PNG or JPEG pictures, found none")
    found = by_name(path for path in folder.iterdir() if is_picture(path))
    if not found:
        raise PictureError(f"{folder}: expected PNG or JPEG pictures, found none")
    return found


def is_picture(path: Path) -> bool:
    """Tell by its name whether a file is a picture; one that is hidden is none."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def by_name(paths: Iterable[Path]) -> list[Path]:
    """Sort by name, numbers in it by their value: frame_9 comes before frame_10."""

    def key(path: Path) -> list[tuple[bool, int, str]]:
        parts = re.findall(r"\d+|\D+", path.name)
        return [(p.isdecimal(), int(p) if p.isdecimal() else 0, p) for p in parts]

    return sorted(paths, key=key)


def read_rgb(path: Path) -> Picture:
    """Read a PNG or JPEG file as RGB (H, W, 3)."""
    picture = _read(path, cv2.IMREAD_COLOR)
    if picture is None:
        raise PictureError(f"{path}: expected a PNG or JPEG picture, which it cannot be read as")
    if _is_cut(path):
        raise PictureError(f"{path}: expected a whole JPEG file, found one without its end")
    return np.ascontiguousarray(picture[..., ::-1], np.uint8)


def read_labels(path: Path) -> Picture:
    """Read a grey 8-bit PNG file of train ids (H, W).

    PictureError for others: OpenCV makes 255 of the 1 in one-bit files, and colours of a palette's
    indices.
    """
    labels = _read(path, cv2.IMREAD_UNCHANGED)
    kind = "none" if labels is None else _png_kind(path)
    if kind != "8-bit grey":
        raise PictureError(f"{path}: expected a PNG file of 8-bit grey labels, got {kind}")
    return np.asarray(labels, np.uint8)


def _png_kind(path: Path) -> str:
    """Return what the pixels of a picture are in its file (PNG, clause 11.2.1)."""
    with path.open("rb") as file:
        header = file.read(26)
    if not header.startswith(_PNG):
        return "another format"
    kinds = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}
    return f"{header[24]}-bit {kinds[header[25]]}"


def _is_cut(path: Path) -> bool:
    """Tell whether a JPEG file ends before its picture does: OpenCV makes grey of the rest.

    No coded data contains the marker at a picture's end (ITU-T T.81, B.1.1.5), but a thumbnail in
    a segment before them may.
    """
    data = path.read_bytes()
    if not data.startswith(_JPEG):
        return False
    at = len(_JPEG)
    while data[at : at + 1] == b"\xff" and (marker := data[at + 1 : at + 2]) != _SCAN:
        at += 1 if marker == b"\xff" else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data.find(b"\xff\xd9", at) < 0


def _read(path: Path, flags: int) -> Picture | None:
    try:
        return cast("Picture | None", cv2.imread(str(path), flags))
    except cv2.error:  # more pixels than OpenCV reads
        return None


def write_png(path: Path, picture: Picture) -> None:
    """Write RGB (H, W, 3) or labels (H, W) as PNG, the file whole or not at all."""
    _, data = cv2.imencode(".png", picture[..., ::-1] if picture.ndim == 3 else picture)
    with whole(path) as file:
        file.write_bytes(data.tobytes())
