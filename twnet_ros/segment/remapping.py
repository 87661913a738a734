"""Labels in other classes: those of a data set put together into those of a driving stack."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from twnet_ros.segment.palette import UNLABELLED, ClassSet, read_class_set
from twnet_ros.segment.segmentation import SegmentError

CLASSES = Path(__file__).parents[1] / "classes"  # the shipped files

_KEYS = ("names", "colors", "sources", "unlabelled")


@dataclass(frozen=True, eq=False)
class Remapping:
    """From the classes of one model to those of a file.

    A pixel takes the target of its most probable class, and keeps the probability of that class
    as its confidence. The target's own, the sum over its classes, would be no lower.
    """

    class_set: ClassSet  # the targets by id
    table: NDArray[np.uint8]  # (256,) the target's id by train id, 255 = unlabelled

    def apply(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return train ids (H, W) as the ids of their targets."""
        return np.asarray(cv2.LUT(labels, self.table), np.uint8)


def find_remapping(remapping: str | os.PathLike[str]) -> Path:
    """Return the file of a shipped name or of a path; SegmentError where there is none."""
    shipped = {path.stem: path for path in sorted(CLASSES.glob("*.json"))}
    if str(remapping) in shipped:
        return shipped[str(remapping)]
    path = Path(remapping)
    if not path.is_file():
        raise SegmentError(
            f"class_map: expected a JSON file or one of {', '.join(shipped)}, "
            f"got {str(remapping)!r}"
        )
    return path


def read_remapping(remapping: str | os.PathLike[str], classes: Sequence[str]) -> Remapping:
    """Read a file (a shipped one by its name) for a model of these classes, in train-id order.

    Besides what a class set has, the file holds, by target, the names of the classes that go
    there, ``{"sources": {"vehicle": ["car", "truck", …], …}}``, and those that are to be without a
    label, ``{"unlabelled": ["sky", …]}``. It may name classes that this model does not have.
    SegmentError if one that it has is not named, or the file is not as described.
    """
    path = find_remapping(remapping)
    class_set = read_class_set(path)
    target = _targets(path, class_set.names)
    missing = [name for name in classes if name not in target]
    if missing:
        raise SegmentError(
            f"{path}: expected every class of the model in sources or unlabelled, "
            f"missing {', '.join(missing)}"
        )
    table = np.full(256, UNLABELLED, np.uint8)
    table[: len(classes)] = [target[name] for name in classes]
    table.flags.writeable = False
    return Remapping(class_set, table)


def _targets(path: Path, names: Sequence[str]) -> dict[str, int]:
    """Return the target of each class that the file names."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if unknown := content.keys() - set(_KEYS):
        raise SegmentError(
            f"{path}: expected the keys {', '.join(_KEYS)}, got {', '.join(sorted(unknown))}"
        )
    sources = content.get("sources")
    if not isinstance(sources, Mapping) or sources.keys() != set(names):
        got = ", ".join(sources) if isinstance(sources, Mapping) else repr(sources)
        raise SegmentError(
            f"{path}: expected sources for each of {', '.join(names)}, got {got or 'none'}"
        )
    target: dict[str, int] = {}
    for number, listed in [
        *((names.index(name), sources[name]) for name in sources),
        (UNLABELLED, content.get("unlabelled", [])),
    ]:
        for name in _names(path, listed):
            if name in target:
                raise SegmentError(f"{path}: expected each class once, got {name!r} twice")
            target[name] = number
    return target


def _names(path: Path, listed: Any) -> list[str]:
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise SegmentError(f"{path}: expected lists of class names, got {listed!r}")
    return listed
