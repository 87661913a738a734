"""Any folder of frames with index labels.

``ROOT/images`` (or ``frames``) and ``ROOT/labels`` hold either labelled stills, under the same
file stems, or a folder for each sequence of frames, some of which have a label.
"""

from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from twnet_ros.learn.data.snippet import Snippet
from twnet_ros.learn.data.still import DataError, Stills, read_indices, require
from twnet_ros.segment.palette import UNLABELLED
from twnet_ros.segment.picture import Picture, by_name, find_pictures, is_picture

IMAGE_FOLDERS = ("images", "frames")


def recognises(root: Path) -> bool:
    """Tell whether a folder has a part of the layout."""
    return any((root / name).is_dir() for name in (*IMAGE_FOLDERS, "labels"))


def read_split(
    root: Path, classes: int, hold_out: list[str], split: str
) -> tuple[Stills, list[Snippet]]:
    """Return what is held out (``val``) or what is not (``train``): stills and sequences.

    Each entry of ``hold_out`` is the beginning of the names of files or, where there are
    sequences, of their folders: ``0006R0``, or that with a count, ``0016E5:40``, for the last so
    many of them. Labels are single-channel PNG; ids from ``classes`` on are unlabelled.
    """
    if split not in ("train", "val"):
        raise DataError(f"{root}: expected split 'val' of a folder with hold-outs, got {split!r}")
    folders = [root / name for name in IMAGE_FOLDERS if (root / name).is_dir()]
    if len(folders) != 1 or not (root / "labels").is_dir():
        raise DataError(
            f"{root}: expected the folders 'images' or 'frames', one of them, and 'labels'"
        )
    images, labels = folders[0], root / "labels"
    read = partial(train_ids, classes=classes)
    if names := _folders(images):
        if stray := [path for path in images.iterdir() if is_picture(path)]:
            raise DataError(
                f"{images}: expected pictures or folders of them, got both, {stray[0].name} and "
                f"{names[0]}"
            )
        strange = _folders(labels)
        require([images / name for name in strange if name not in names], "labelled sequences")
        chosen = _choose(names, hold_out, split, "sequence")
        snippets = [_snippet(images / name, labels / name) for name in chosen]
        pairs = [(s.frames[n], label) for s in snippets for n, label in s.labels.items()]
        return Stills(tuple(pairs), read), snippets
    stills = {path.name: path for path in _frames(images)}
    chosen = _choose(list(stills), hold_out, split, "image")
    expected = {name: _label(labels, path) for name, path in stills.items()}
    _require_frames(labels, list(stills.values()))
    require([path for path in expected.values() if not path.is_file()], "labels")
    return Stills(tuple((stills[name], expected[name]) for name in chosen), read), []


def train_ids(path: Path, classes: int) -> Picture:
    """Read index labels; ids from ``classes`` on are unlabelled."""
    labels = read_indices(path)
    return np.where(labels < classes, labels, UNLABELLED).astype(np.uint8)


def _folders(root: Path) -> list[str]:
    """Return the names of the folders in one, but those that are hidden, as of thumbnails."""
    found = by_name(path for path in root.iterdir() if path.is_dir())
    return [path.name for path in found if not path.name.startswith(".")]


def _snippet(images: Path, labels: Path) -> Snippet:
    frames = _frames(images)
    if not labels.is_dir():
        raise DataError(f"{labels}: expected the labels of {images}, found no such folder")
    found = _require_frames(labels, frames)
    if not found:
        raise DataError(f"{labels}: expected a label for some frames of {images}, found none")
    numbers = (n for n, frame in enumerate(frames) if frame.stem in found)
    return Snippet(tuple(frames), {n: _label(labels, frames[n]) for n in numbers})


def _frames(images: Path) -> list[Path]:
    """Return the pictures of a folder; DataError where two have one name, and so one label."""
    frames = find_pictures(images)
    for one, other in pairwise(sorted(frames, key=lambda path: path.stem)):
        if one.stem == other.stem:
            raise DataError(
                f"{images}: expected a name for each picture, got {one.name}, {other.name}"
            )
    return frames


def _require_frames(labels: Path, frames: list[Path]) -> set[str]:
    """Return the stems of the labels in a folder; DataError where a picture is missing."""
    pictures, stems = [*filter(is_picture, labels.iterdir())], {frame.stem for frame in frames}
    found = {path.stem for path in pictures if path.suffix == ".png"}
    for path in pictures:
        if path.stem in stems - found:
            raise DataError(f"{labels}: expected labels in files *.png, got {path.name}")
    strange = sorted(found - stems)
    images, suffix = frames[0].parent, frames[0].suffix
    require([images / f"{stem}{suffix}" for stem in strange], "labelled frames")
    return found


def _label(labels: Path, image: Path) -> Path:
    return labels / f"{image.stem}.png"


def _choose(names: list[str], hold_out: list[str], split: str, noun: str) -> list[str]:
    held: set[str] = set()
    for entry in hold_out:
        prefix, colon, count = entry.partition(":")
        if colon and not (count.isdecimal() and int(count)):
            raise DataError(f"hold-out {entry!r}: expected a count of 1 or more, got {count!r}")
        named = [name for name in names if name.startswith(prefix)]
        if not named:
            raise DataError(f"hold-out {entry!r}: no {noun}'s name begins with {prefix!r}")
        held.update(named[-int(count) :] if colon else named)
    return [name for name in names if (name in held) == (split == "val")]
